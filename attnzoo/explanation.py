"""`attnzoo attend`: where a trained run attends, for raw inputs or examples of its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.errors import UserError
from attnzoo.explain.faithfulness import Faithfulness
from attnzoo.explain.view import AttentionMap, AttentionView
from attnzoo.runs.trained import TrainedRun, chosen_split, load_trained


class Explanation:
    """The attention of a trained run.

    Args:
        folder: a run folder.
        layer: name of the attention; None for the one nearest to the output.
        beams: of the search, in place of those of the run; None for these.

    Attributes:
        view: shows it.

    Raises:
        UserError: no such run or layer, a run without attention to show, or without a search (2), damaged
            weights (4).
    """

    def __init__(self, folder: Path, layer: str | None = None, beams: int | None = None) -> None:
        self.folder = folder
        self.trained: TrainedRun = load_trained(folder)
        options = self.trained.config.eval
        if beams is not None:
            if not self.trained.task.searches:
                raise UserError(
                    f"{folder}: a run of {self.trained.task.name}; --beams is about translations."
                )
            options = options.model_copy(update={"beams": beams})
        task, info = self.trained.task, self.trained.info
        view = task.attention_view(self.trained.answering, info, options, layer)
        if view is None:
            raise UserError(f"{folder}: a run of {task.name} without a layer that attends to positions.")
        self.view: AttentionView[Any] = view

    def of_inputs(self, inputs: Sequence[str]) -> Sequence[AttentionMap]:
        """Returns where the model attends for raw inputs: texts, or paths of images."""
        return self.view.of_inputs(inputs)

    def of_examples(self, split: str | None, count: int) -> Sequence[AttentionMap]:
        """Returns where the model attends in examples that stand for a split.

        Args:
            split: None for test, or validation where there is no test.
            count: most examples.
        """
        _, chosen = chosen_split(self.trained, split)
        return self.view.of_split(chosen, self.trained.task.sample_indices(chosen, count))

    def faithfulness(self, split: str | None, count: int) -> Faithfulness:
        """Removes what is attended to, and measures what the model says then.

        Args:
            split: None for test, or validation where there is no test.
            count: examples, drawn from the split at random, the same at every call.

        Raises:
            UserError: a task for which that is not known, or fewer than 2 examples.
        """
        name, chosen = chosen_split(self.trained, split)
        drawn = np.sort(np.random.default_rng(0).permutation(len(chosen))[:count])
        result = self.view.faithfulness(chosen.take(drawn, name))
        if result is None:
            raise UserError(
                f"{self.folder}: a run of {self.trained.task.name}; --faithfulness is about text classifiers "
                "with one label a text."
            )
        return result
