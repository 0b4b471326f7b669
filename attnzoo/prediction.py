"""`attnzoo predict` and `attnzoo score`: predictions for raw inputs, and scores of given translations."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnzoo import catalog
from attnzoo.data import examples as data_examples
from attnzoo.data.buckets import beyond_training, truncated_examples
from attnzoo.errors import UserError
from attnzoo.features.image import find_file
from attnzoo.features.info import DataInfo
from attnzoo.pictures import write_png
from attnzoo.records.text_records import TextRecord
from attnzoo.runs.building import evaluation_sizes
from attnzoo.runs.trained import TrainedRun, load_trained
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Predictor, Request

CHUNK_SIZE = 1024
"""Inputs that are predicted together, so that texts of similar lengths can share a batch."""
MIN_TEXTS_FOR_XLA = 64
"""Predicting fewer inputs takes less time than compiling with XLA."""


class EnsemblePredictor:
    """Predicts for raw inputs with one run or an ensemble, which averages probabilities or numbers.

    Args:
        folders: run folders.
        request: options of the prediction.

    Raises:
        UserError: no such run, a task without predictions, options of translation or detection for another
            task, incompatible runs (2), damaged weights (4).
    """

    def __init__(self, folders: Sequence[Path], request: Request) -> None:
        self.folders, self.request = folders, request
        self.runs = _load(folders)
        self._drawn: set[str] = set()
        if not self.task.is_generative and (request.beams is not None or request.count > 1 or request.sample):
            raise UserError(
                f"{folders[0]}: a run of {self.task.name}; --beams, --count and --sample are only for "
                "translation."
            )
        if request.is_of_detections and not self.task.finds_objects:
            raise UserError(
                f"{folders[0]}: a run of {self.task.name}; --threshold, --iou and --max-detections are only "
                "for detection."
            )

    @property
    def task(self) -> Task:
        """The task of the runs."""
        return self.runs[0].task

    def predict(
        self, records: Iterable[TextRecord], chunk_size: int = CHUNK_SIZE
    ) -> Iterator[dict[str, Any]]:
        """Yields an answer for each record, in order, with its `id` if it has one.

        Memory does not grow with the number of records. Records before a bad one are answered.

        Args:
            records: the inputs.
            chunk_size: inputs that are read before the first answer.

        Raises:
            UserError: the task cannot fulfill the request, or a record is invalid (2).
        """
        predictor: Predictor | None = None
        for chunk in _chunks(self._checked(records), chunk_size):
            if predictor is None:
                predictor = self._predictor(len(chunk))
            answers = predictor([record.text for record in chunk])
            for record, answer in zip(chunk, answers, strict=True):
                yield answer if record.id is None else {"id": record.id, **answer}

    def write_picture(self, answer: Mapping[str, Any], folder: Path) -> Path:
        """Draws an answer of a task that finds objects over its image; returns the path of the PNG file.

        Raises:
            UserError: the file cannot be written (4).
        """
        image = find_file(answer["image"], self.request.folder)
        picture = self.task.answer_picture(answer, image, self.runs[0].info)
        assert picture is not None
        # Images in several folders may have the same name, and `a_2` may be one too.
        names = (f"{image.stem}_{number}" if number > 1 else image.stem for number in itertools.count(1))
        name = next(name for name in names if name not in self._drawn)
        self._drawn.add(name)
        path = folder / f"{name}.png"
        write_png(picture, path)
        return path

    def _checked(self, records: Iterable[TextRecord]) -> Iterator[TextRecord]:
        """Yields the records, checking that the task's input feature accepts them."""
        feature = self.runs[0].info.features[self.task.input_name]
        for record in records:
            feature.check_raw(record.location, record.text, self.request.folder)
            yield record

    def _predictor(self, first: int) -> Predictor:
        request, trained = self.request, self.runs[0]
        if request.xla is None:
            request = dataclasses.replace(request, xla=first >= MIN_TEXTS_FOR_XLA)
        models = [run.prediction_model for run in self.runs]
        predictor = self.task.predictor(models, trained.info, trained.config.eval, request)
        if predictor is None:
            raise UserError(
                f"{self.folders[0]}: a run of {self.task.name}, which makes no predictions of its own; start "
                f"another model from it with train.init_from: {self.folders[0]}."
            )
        return predictor


def _chunks(records: Iterable[TextRecord], size: int) -> Iterator[list[TextRecord]]:
    """Yields lists of `size` records; records before a bad one are yielded before its error is raised."""
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
    """Yields `log_probability` (nats) and `tokens` (number, with END) of each target given its source.

    `truncated` is true if the source or the target has more tokens than the model reads; only the first ones
    are scored then. `beyond_training` is true if either is longer than any in training.

    Args:
        folder: a run of a translation model.
        source: file of source texts, one per line.
        target: file of their translations, one per line.

    Raises:
        UserError: no such run, another task, files that are not aligned (2), damaged weights (4).
    """
    trained = load_trained(folder)
    info = trained.info
    pairs = catalog.load("datasets", "parallel_text")
    required = {name for name, feature in trained.task.features.items() if not feature.is_optional}
    unsupported = UserError(f"{folder}: a run of {info.task}; only translations can be scored.")
    if not required <= pairs.COLUMNS.keys():
        raise unsupported
    config = pairs.Config(name="parallel_text", train=[str(source), str(target)])
    split = pairs.load(config, trained.task.features, 0).train
    examples = data_examples.encode_split(split, info)
    scores = trained.task.score(trained.model, examples, info, evaluation_sizes(trained.config))
    if scores is None:
        raise unsupported
    lengths = examples.lengths(info)
    truncated, beyond = truncated_examples(lengths, info.lengths[-1]), beyond_training(lengths, info)
    by_index = {
        index: {
            "log_probability": log_probability,
            "tokens": count,
            "truncated": bool(truncated[index]),
            "beyond_training": bool(beyond[index]),
        }
        for index, log_probability, count in scores
    }
    yield from (by_index[index] for index in range(len(examples)))


def _load(folders: Sequence[Path]) -> list[TrainedRun]:
    trained = [load_trained(folder) for folder in folders]
    first = trained[0].info
    for other in trained[1:]:
        compatible = (
            other.info.task == first.task
            and _model_features(other.info) == _model_features(first)
            and other.info.lengths == first.lengths
        )
        if not compatible:
            raise UserError(
                f"{other.run.path}: cannot be combined with {folders[0]}: an ensemble needs the same task, "
                "data and vocabulary; train it with the same data section."
            )
    return trained


def _model_features(info: DataInfo) -> dict[str, dict[str, Any]]:
    """Returns what was learned of the features that are inputs or targets of models."""
    return {name: feature.model_dump() for name, feature in info.features.items() if feature.in_batches}
