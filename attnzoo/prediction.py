"""`attnzoo predict` and `attnzoo score`: answers to new texts, and how likely given ones are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnzoo import catalog, tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.text_files import MAX_TEXT_CHARACTERS
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
    lines: Iterable[tuple[int, str]],
    request: Request,
    beams: int | None = None,
    at_once: int = TEXTS_AT_ONCE,
) -> Iterator[dict[str, Any]]:
    """Yields an answer for each line, in order; memory does not grow with their number.

    Args:
        folders: run folders; several answer together, by the mean of their probabilities.
        lines: line number and text each.
        request: how to answer.
        beams: in place of `eval.beams` of the first run.
        at_once: lines read before the first answer.

    Raises:
        UserError: no such run, a run whose task is not about texts, runs that do not go together, more
            answers than beams, a line that is too long (2), damaged weights (4).
    """
    trained = _load(folders)
    info, options = trained[0].info, trained[0].config.eval
    task = tasks.load(info.task)
    if not hasattr(task, "answerer"):
        raise UserError(
            f"{folders[0]}: a run of {info.task}: only texts can be given line by line; `attnzoo export` "
            "writes a model that takes images."
        )
    if beams is not None:
        options = options.model_copy(update={"beams": beams})
    if info.task == TRANSLATION and not request.sample and request.count > options.beams:
        raise UserError(
            f"--count {request.count}: a search with {options.beams} beam(s) gives at most as many "
            f"translations; add --beams {request.count}, or --sample."
        )
    answer = None
    for chunk in _chunks(lines, at_once):
        if answer is None:
            if request.xla is None:
                request = dataclasses.replace(request, xla=len(chunk) >= MANY_TEXTS)
            answer = task.answerer([run.answering for run in trained], info, options, request)
        yield from answer(chunk)


def _chunks(lines: Iterable[tuple[int, str]], size: int) -> Iterator[list[str]]:
    """Yields texts without line ends, `size` at once; what comes before a bad line is given first."""
    chunk: list[str] = []
    try:
        for number, line in lines:
            if len(line) > MAX_TEXT_CHARACTERS:
                raise UserError(f"line {number}: longer than {MAX_TEXT_CHARACTERS:,} characters; split it.")
            chunk.append(line.removesuffix("\n").removesuffix("\r"))
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
    found = {
        index: {"log_probability": total, "tokens": count}
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
