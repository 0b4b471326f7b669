"""`attnzoo predict` and `attnzoo score`: predictions for raw inputs, and scores of given translations."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnzoo.data.token_batches import BATCH_SIZE
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import find_file
from attnzoo.features.info import DataInfo
from attnzoo.pictures import write_png
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.chunks import chunks, live_chunks
from attnzoo.records.text_records import TextRecord
from attnzoo.runs.building import evaluation_sizes, set_numerics
from attnzoo.runs.trained import TrainedRun, load_trained
from attnzoo.tasks.requests import refuse_unscored, refuse_unused
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import ERROR, Predictor, Request

CHUNK_SIZE = 1024
"""Texts that are predicted together, so that those of similar lengths can share a batch."""
MIN_TEXTS_FOR_XLA = 64
"""Predicting fewer inputs at once takes less time than compiling with XLA."""

Answer = dict[str, Any]
AnswerFn = Callable[[list[TextRecord]], list[Answer]]


class EnsemblePredictor:
    """Predicts for raw inputs with one run or an ensemble, which averages probabilities or numbers.

    Args:
        folders: run folders.
        request: options of the prediction.

    Raises:
        UserError: no such run, a task without predictions, options of the request that the task does not
            have, incompatible runs (2), damaged weights (4).
    """

    def __init__(self, folders: Sequence[Path], request: Request) -> None:
        self.folders, self.request = folders, request
        self.runs = _load(folders)
        self._drawn: set[str] = set()
        refuse_unused(folders[0], self.task, self.runs[0].config, request)

    @property
    def task(self) -> Task:
        """The task of the runs."""
        return self.runs[0].task

    @property
    def null_answer(self) -> dict[str, None]:
        """The answer to an input that cannot be used, without the reason."""
        return self.task.null_answer(self.runs[0].info, self.request)

    def predict(
        self, records: Iterable[TextRecord], chunk_size: int = CHUNK_SIZE, *, is_live: bool = False
    ) -> Iterator[Answer]:
        """Yields an answer for each record, in order, with its `id` if it has one.

        The answer to a record that cannot be used is `null_answer`, with the reason as `error`. Memory does
        not grow with the number of records.

        Args:
            records: the inputs.
            chunk_size: texts that are read before the first answer; of others at most `BATCH_SIZE`.
            is_live: whether an answer is given as soon as no further record is waiting.

        Raises:
            UserError: the task cannot fulfill the request, or the records cannot be read.
        """
        return (answer for _, answer in self.answer_records(records, chunk_size, is_live=is_live))

    def answer_records(
        self, records: Iterable[TextRecord], chunk_size: int = CHUNK_SIZE, *, is_live: bool = False
    ) -> Iterator[tuple[TextRecord, Answer]]:
        """Yields what `predict` does, each with its record, whose `problem` says why it has no answer."""
        size = chunk_size if self._feature.has_lengths else min(chunk_size, BATCH_SIZE)
        numbered = (record._replace(number=number) for number, record in enumerate(records))
        answer_fn: AnswerFn | None = None
        xla = bool(self.request.xla)
        for chunk in (live_chunks if is_live else chunks)(numbered, size):
            is_worth = self.request.xla is None and not xla and len(chunk) >= MIN_TEXTS_FOR_XLA
            if answer_fn is None or is_worth:  # input that starts slowly may become fast
                xla = xla or is_worth
                answer_fn = self._answer_fn(self._predictor(xla))
            yield from _answer_usable([*map(self._checked, chunk)], answer_fn, self._null_answer_to)

    def write_picture(self, answer: Mapping[str, Any], record: TextRecord, folder: Path) -> Path:
        """Draws an answer of a task that finds objects over its image; returns the path of the PNG file.

        Raises:
            UserError: the file cannot be written (4).
        """
        image = find_file(record.text, record.folder)
        picture = self.task.answer_picture(answer, image, self.runs[0].info)
        assert picture is not None
        # Images in several folders may have the same name, and `a_2` may be one too.
        names = (f"{image.stem}_{number}" if number > 1 else image.stem for number in itertools.count(1))
        name = next(name for name in names if name not in self._drawn)
        self._drawn.add(name)
        path = folder / f"{name}.png"
        write_png(picture, path)
        return path

    @property
    def _feature(self) -> Feature:
        return self.runs[0].info.features[self.task.input_name]

    def _checked(self, record: TextRecord) -> TextRecord:
        """Returns the record, with a problem if the task's input feature does not accept it."""
        if record.problem is None:
            try:
                self._feature.check_raw(record.location, record.text, record.folder)
            except BadRecord as bad:
                return record._replace(problem=bad)
        return record

    def _answer_fn(self, predictor: Predictor) -> AnswerFn:
        feature, name = self._feature, self.task.input_name

        def answer(records: list[TextRecord]) -> list[Answer]:
            inputs = [feature.locate(record.text, record.folder) for record in records]
            prefixes = [[record.target for record in records]] if self.request.has_prefixes else []
            numbers = {"numbers": [record.number for record in records]} if self.request.sample else {}
            answers = predictor(inputs, *prefixes, **numbers)
            return [
                {**answer, name: record.text} if name in answer else answer
                for record, answer in zip(records, answers, strict=True)
            ]

        return answer

    def _null_answer_to(self, record: TextRecord) -> Answer:
        name = self.task.input_name
        return {key: record.text if key == name else None for key in self.null_answer}

    def _predictor(self, xla: bool) -> Predictor:
        request, trained = dataclasses.replace(self.request, xla=xla), self.runs[0]
        models = [run.prediction_model for run in self.runs]
        predictor = self.task.predictor(models, trained.info, trained.config.eval, request)
        if predictor is None:
            raise UserError(
                f"{self.folders[0]}: a run of {self.task.name}, which makes no predictions of its own; start "
                f"another model from it with train.init_from: {self.folders[0]}."
            )
        return predictor


def score(
    folder: Path, records: Iterable[TextRecord], *, with_tokens: bool = False, is_live: bool = False
) -> Iterator[tuple[TextRecord, Answer]]:
    """Returns each pair of texts with a score, which has its `id` if it has one; see `Task.scorer`.

    The score of a record that cannot be used has no values, and the reason as `error`.

    Args:
        folder: a run of a task that scores given answers.
        records: inputs with their targets.
        with_tokens: whether a score includes those of the tokens.
        is_live: whether a score is given as soon as no further record is waiting.

    Raises:
        UserError: no such run, another task, or the records cannot be read (2), damaged weights (4).
    """
    trained = load_trained(folder)
    refuse_unscored(folder, trained.task)
    scorer = trained.task.scorer(trained.model, trained.info, evaluation_sizes(trained.config), with_tokens)
    assert scorer is not None
    null_score = trained.task.null_score(with_tokens)

    def answer_fn(pairs: list[TextRecord]) -> list[Answer]:
        return scorer([pair.text for pair in pairs], [pair.target for pair in pairs])

    def scores() -> Iterator[tuple[TextRecord, Answer]]:
        for chunk in (live_chunks if is_live else chunks)(records, CHUNK_SIZE):
            yield from _answer_usable(chunk, answer_fn, lambda _: dict(null_score))

    return scores()


def _answer_usable(
    records: Sequence[TextRecord], answer_fn: AnswerFn, null_answer: Callable[[TextRecord], Answer]
) -> Iterator[tuple[TextRecord, Answer]]:
    """Yields each record with its answer: a null answer with the reason to those with a problem."""
    usable = [record for record in records if record.problem is None]
    answers = iter(_answer_or_problem(usable, answer_fn) if usable else ())
    for record in records:
        result = next(answers) if record.problem is None else record.problem
        if isinstance(result, BadRecord):
            record = record._replace(problem=result)
            message = str(result)
            if not message.startswith(record.location):  # it names an image that a file lists
                message = f"{record.location}: {message}"
            result = {**null_answer(record), ERROR: message}
        yield record, result if record.id is None else {"id": record.id, **result}


def _answer_or_problem(records: list[TextRecord], answer: AnswerFn) -> list[Answer | BadRecord]:
    """Returns the answers; for a record that only the answering finds unusable, its problem."""
    try:
        return [*answer(records)]
    except BadRecord as bad:
        if len(records) == 1:
            return [bad]
    middle = len(records) // 2
    return [*_answer_or_problem(records[:middle], answer), *_answer_or_problem(records[middle:], answer)]


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
    set_numerics(*(one.config.train for one in trained))  # loading set those of each
    return trained


def _model_features(info: DataInfo) -> dict[str, dict[str, Any]]:
    """Returns what was learned of the features that are inputs or targets of models."""
    return {name: feature.model_dump() for name, feature in info.features.items() if feature.in_batches}
