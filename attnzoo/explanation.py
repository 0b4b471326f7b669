"""`attnzoo attend`: the attention of a trained model, for raw inputs or examples of its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.errors import UserError
from attnzoo.explain.faithfulness import Faithfulness
from attnzoo.explain.view import AttentionMap, AttentionView
from attnzoo.runs.trained import TrainedRun, load_examples, load_trained
from attnzoo.tasks.requests import refuse_unused
from attnzoo.tasks.types import Request


class Explanation:
    """The attention of a trained model.

    Args:
        folder: a run folder.
        layer: name of the attention layer; None for the one nearest to the output.
        beams: overrides the beam size of the run if not None.

    Attributes:
        view: the view of the attention.

    Raises:
        UserError: no such run or layer, a run without attention to show, beams for a task that does not
            search (2), damaged weights (4).
    """

    def __init__(self, folder: Path, layer: str | None = None, beams: int | None = None) -> None:
        self.folder = folder
        self.trained: TrainedRun = load_trained(folder)
        options = self.trained.config.eval
        if beams is not None:
            refuse_unused(folder, self.trained.task, self.trained.config, Request(beams=beams))
            options = options.model_copy(update={"beams": beams})
        task, info = self.trained.task, self.trained.info
        view = task.attention_view(self.trained.prediction_model, info, options, layer)
        if view is None:
            option = self.trained.config.model.attention_option
            advice = f"; train one with --set {option}" if option else ""
            raise UserError(
                f"{folder}: a run of {task.name} without a layer with attention over positions{advice}."
            )
        self.view: AttentionView[Any] = view

    def explain_inputs(self, inputs: Sequence[str]) -> Sequence[AttentionMap]:
        """Returns the attention for raw inputs: texts, or paths of images."""
        return self.view.explain_inputs(inputs)

    def explain_examples(self, split: str | None, count: int) -> Sequence[AttentionMap]:
        """Returns the attention for examples that represent a split.

        Args:
            split: name of the split; None for test, or validation if there is no test. Without the data, the
                examples that the run keeps are used.
            count: maximum number of examples.
        """
        _, chosen = load_examples(self.trained, split)
        return self.view.explain_split(chosen, self.trained.task.sample_indices(chosen, count))

    def faithfulness(self, split: str | None, count: int) -> Faithfulness:
        """Measures how predictions change when the most attended tokens are removed.

        Args:
            split: name of the split; None for test, or validation if there is no test.
            count: number of examples, sampled from the split with a fixed seed.

        Raises:
            UserError: the task does not support it, or there are fewer than 2 examples.
        """
        name, chosen = load_examples(self.trained, split)
        drawn = np.sort(np.random.default_rng(0).permutation(len(chosen))[:count])
        result = self.view.faithfulness(chosen.take(drawn, name))
        if result is None:
            raise UserError(
                f"{self.folder}: a run of {self.trained.task.name}; --faithfulness is only for single-label "
                "text classification."
            )
        return result
