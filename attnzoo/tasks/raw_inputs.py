"""What tasks do with raw inputs: answers, scores and exports.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo.config import RunConfig, sections
from attnzoo.features.info import DataInfo
from attnzoo.tasks.types import Predictor, Request, Scorer

with epy.lazy_imports():
    import keras

    from attnzoo.data import pipeline
    from attnzoo.tasks import serving


class AnsweringTask:
    """The part of a task that concerns raw inputs; its methods are optional.

    Attributes:
        finds_objects: whether answers are boxes with scores, of which pictures are drawn.
        answer_options: the fields of a `Request` that have an effect on answers.
        scored_name: the feature whose given values `scorer` scores; None if it scores none.
    """

    finds_objects: ClassVar[bool] = False
    answer_options: ClassVar[frozenset[str]] = frozenset()
    scored_name: ClassVar[str | None] = None

    def request_problems(self, config: RunConfig, request: Request) -> Iterator[str]:
        """Yields options of a request that do nothing with a run, although the task has them, and why."""
        yield from ()

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor | None:
        """Returns a function from raw inputs to one answer each; None if the task has no answers.

        Answers include the notes of `data.token_batches.length_notes`.

        Raises:
            UserError: the task cannot fulfill the request.
            BadRecord: by the returned function: one of the inputs cannot be used.
        """
        return None

    def null_answer(self, info: DataInfo, request: Request) -> dict[str, None]:
        """Returns the answer to an input that cannot be used: the keys of the other answers, without values.

        A task with a `predictor` needs it.
        """
        return {}

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns an answer of the predictor as one line of text."""
        return str(dict(answer))

    def answer_table(self, answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
        """Returns the columns of a table of answers, and the rows of an answer or of `null_answer`."""
        return list(answer), [list(answer.values())]

    def answer_picture(self, answer: Mapping[str, Any], path: Path, info: DataInfo) -> np.ndarray | None:
        """Draws an answer over the image that it is of, <uint8>[height, width, 3]; None if unsupported.

        Args:
            answer: of the predictor.
            path: of the image file.
            info: what is known about the data.
        """
        return None

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule | None:
        """Returns the module to export; None if the task has no answers of its own."""
        return None

    def answer_scale(self, info: DataInfo) -> float:
        """Returns the scale of numbers in answers, which the tolerance for exports is relative to."""
        return 1.0

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns additional entries for `export.json`, such as class names."""
        return {}

    def scorer(
        self, model: keras.Model, info: DataInfo, sizes: pipeline.BatchSizes, with_tokens: bool
    ) -> Scorer | None:
        """Returns a function from raw inputs and given answers to a score each; None if unsupported.

        Args:
            model: a model of the task.
            info: what is known about the data.
            sizes: batch sizes.
            with_tokens: whether a score includes those of the tokens.
        """
        return None

    def null_score(self, with_tokens: bool) -> dict[str, None]:
        """Returns the score of what cannot be scored: the keys of the other scores, without values.

        A task with a `scorer` needs it.
        """
        return {}
