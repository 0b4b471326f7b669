"""`attnzoo predict` and `attnzoo score`: answers to new texts, and how likely given ones are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnzoo import catalog, tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.text_records import TextRecord
from attnzoo.errors import UserError
from attnzoo.info import TRANSLATION
from attnzoo.run_dir import TrainedRun, evaluation_sizes, load_trained
from attnzoo.tasks.answers import Request

TEXTS_AT_ONCE = 1024
"""Texts that are read before the first is answered: those of like lengths share a batch."""
MANY_TEXTS = 64
"""Fewer than these are answered before XLA had compiled anything."""


def predict(
    folders: Sequence[Path],
    records: Iterable[TextRecord],
    request: Request,
    beams: int | None = None,
    at_once: int = TEXTS_AT_ONCE,
) -> Iterator[dict[str, Any]]:
    """Yields an answer for each text, in order, with the `id` of its record if it has one.

    Memory does not grow with their number. What comes before a bad record is answered.

    Args:
        folders: run folders; several answer together, by the mean of their probabilities.
        records: the texts.
        request: how to answer.
        beams: in place of `eval.beams` of the first run.
        at_once: texts read before the first answer.

    Raises:
        UserError: no such run, a run whose task is not about texts, runs that do not go together, more
            answers than beams, a bad record (2), damaged weights (4).
    """
    trained = _load(folders)
    info, options = trained[0].info, trained[0].config.eval
    task = tasks.load(info.task)
    if not hasattr(task, "answerer"):
        raise UserError(
            f"{folders[0]}: a run of {info.task}, which gives no answers to lines of text; "
            "name a run that classifies or translates texts."
        )
    if beams is not None:
        options = options.model_copy(update={"beams": beams})
    if info.task == TRANSLATION and not request.sample and request.count > options.beams:
        raise UserError(
            f"--count {request.count}: a search with {options.beams} beam(s) gives at most as many "
            f"translations; add --beams {request.count}, or --sample."
        )
    answer = None
    for chunk in _chunks(records, at_once):
        if answer is None:
            if request.xla is None:
                request = dataclasses.replace(request, xla=len(chunk) >= MANY_TEXTS)
            answer = task.answerer([run.answering for run in trained], info, options, request)
        answers = answer([record.text for record in chunk])
        for record, given in zip(chunk, answers, strict=True):
            yield given if record.id is None else {"id": record.id, **given}


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
    """Yields `log_probability` (nats) and `tokens` (with END) of each target, given its source, and `cut`.

    `cut` says whether the source or the target is longer than the longest bucket; only its beginning counts.

    Args:
        folder: a run of a translation model.
        source: texts, one a line.
        target: a translation of each.

    Raises:
        UserError: no such run, another task, files that are not aligned (2), damaged weights (4).
    """
    trained = load_trained(folder)
    if trained.info.task != TRANSLATION:
        raise UserError(f"{folder}: a run of {trained.info.task}; only translations can be scored.")
    pairs = catalog.load("datasets", "parallel_text")
    config = pairs.Config(name="parallel_text", train=[str(source), str(target)])
    split = pairs.load(config, TRANSLATION, 0).train
    examples = data_examples.encode_split(split, trained.info)
    task, sizes = tasks.load(TRANSLATION), evaluation_sizes(trained.config)
    cut = data_examples.cut_examples(examples.texts, trained.info.buckets[-1])
    found = {
        index: {"log_probability": total, "tokens": count, "cut": bool(cut[index])}
        for index, total, count in task.log_probabilities(trained.model, examples, trained.info, sizes)
    }
    yield from (found[index] for index in range(len(examples)))


def _load(folders: Sequence[Path]) -> list[TrainedRun]:
    trained = [load_trained(folder) for folder in folders]
    first = trained[0].info
    for other in trained[1:]:
        same = (
            other.info.task == first.task
            and other.info.labels == first.labels
            and other.info.tokenizers == first.tokenizers
            and other.info.buckets == first.buckets
        )
        if not same:
            raise UserError(
                f"{other.run.path}: answers together with {folders[0]} only if both were trained on the same "
                "data with the same vocabulary; train it with the same data section."
            )
    return trained
