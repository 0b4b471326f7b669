"""`attnzoo predict` and `attnzoo score`: answers to raw inputs, and how likely given ones are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnzoo import catalog
from attnzoo.data import examples as data_examples
from attnzoo.data.buckets import beyond_training, truncated_examples
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.info import DataInfo
from attnzoo.records.text_records import TextRecord
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.trained import TrainedRun, load_trained
from attnzoo.tasks.task import Predictor, Request, Task

TEXTS_AT_ONCE = 1024
"""Inputs that are read before the first is answered: texts of like lengths share a batch."""
MIN_TEXTS_FOR_XLA = 64
"""Fewer than these are answered before XLA had compiled anything."""


class Answers:
    """Runs that answer raw inputs together, by the mean of their probabilities or numbers.

    Args:
        folders: run folders.
        request: how to answer.

    Raises:
        UserError: no such run, a run whose task answers nothing or has no search to request something of,
            runs that do not go together (2), damaged weights (4).
    """

    def __init__(self, folders: Sequence[Path], request: Request) -> None:
        self.folders, self.request = folders, request
        self.runs = _load(folders)
        if not self.task.searches and (request.beams is not None or request.count > 1 or request.sample):
            raise UserError(
                f"{folders[0]}: a run of {self.task.name}; --beams, --count and --sample are about "
                "translations."
            )

    @property
    def task(self) -> Task:
        """What the runs are for."""
        return self.runs[0].task

    def to(self, records: Iterable[TextRecord], at_once: int = TEXTS_AT_ONCE) -> Iterator[dict[str, Any]]:
        """Yields an answer for each record, in order, with its `id` if it has one.

        Memory does not grow with their number. What comes before a bad record is answered.

        Args:
            records: the inputs.
            at_once: inputs read before the first answer.

        Raises:
            UserError: a request that the task cannot fulfill, or a bad record (2).
        """
        predictor: Predictor | None = None
        for chunk in _chunks(self._checked(records), at_once):
            if predictor is None:
                predictor = self._predictor(len(chunk))
            answers = predictor([record.text for record in chunk])
            for record, answer in zip(chunk, answers, strict=True):
                yield answer if record.id is None else {"id": record.id, **answer}

    def _checked(self, records: Iterable[TextRecord]) -> Iterator[TextRecord]:
        """Yields the records as long as they are what the task's feature takes."""
        feature = self.task.features[self.task.input_name]
        for record in records:
            feature.check_raw(record.place, record.text, self.request.folder)
            yield record

    def _predictor(self, first: int) -> Predictor:
        request, trained = self.request, self.runs[0]
        if request.xla is None:
            request = dataclasses.replace(request, xla=first >= MIN_TEXTS_FOR_XLA)
        models = [run.answering for run in self.runs]
        predictor = self.task.predictor(models, trained.info, trained.config.eval, request)
        if predictor is None:
            raise UserError(
                f"{self.folders[0]}: a run of {self.task.name}, which answers nothing by itself; start "
                f"another model from it: train.init_from: {self.folders[0]}."
            )
        return predictor


def _chunks(records: Iterable[TextRecord], size: int) -> Iterator[list[TextRecord]]:
    """Yields `size` records at once; what comes before a bad one is given first."""
    chunk: list[TextRecord] = []
    try:
        for record in records:
            chunk.append(record)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except UserError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def score(folder: Path, source: Path, target: Path) -> Iterator[dict[str, Any]]:
    """Yields `log_probability` (nats) and `tokens` (with END) of each target, given its source.

    `truncated` says whether the source or the target has more tokens than are read; only its beginning counts
    then. `beyond_training` says whether either is longer than any in training.

    Args:
        folder: a run of a translation model.
        source: texts, one a line.
        target: a translation of each.

    Raises:
        UserError: no such run, another task, files that are not aligned (2), damaged weights (4).
    """
    trained = load_trained(folder)
    info = trained.info
    pairs = catalog.load("datasets", "parallel_text")
    refusal = UserError(f"{folder}: a run of {info.task}; only translations can be scored.")
    if not trained.task.features.keys() <= pairs.COLUMNS.keys():
        raise refusal
    config = pairs.Config(name="parallel_text", train=[str(source), str(target)])
    split = pairs.load(config, trained.task.features, 0).train
    examples = data_examples.encode_split(split, info)
    scores = trained.task.score(trained.model, examples, info, evaluation_sizes(trained.config))
    if scores is None:
        raise refusal
    lengths = examples.lengths(info)
    truncated, beyond = truncated_examples(lengths, info.lengths[-1]), beyond_training(lengths, info)
    by_index = {
        index: {
            "log_probability": total,
            "tokens": count,
            "truncated": bool(truncated[index]),
            "beyond_training": bool(beyond[index]),
        }
        for index, total, count in scores
    }
    yield from (by_index[index] for index in range(len(examples)))


def _load(folders: Sequence[Path]) -> list[TrainedRun]:
    trained = [load_trained(folder) for folder in folders]
    first = trained[0].info
    for other in trained[1:]:
        same = (
            other.info.task == first.task
            and _of_batches(other.info) == _of_batches(first)
            and other.info.lengths == first.lengths
        )
        if not same:
            raise UserError(
                f"{other.run.path}: answers together with {folders[0]} only if both were trained on the same "
                "data with the same vocabulary; train it with the same data section."
            )
    return trained


def _of_batches(info: DataInfo) -> dict[str, Feature]:
    """Returns the features that models are given."""
    return {name: feature for name, feature in info.features.items() if feature.in_batches}
