"""`attnzoo compare`: whether runs differ more than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attnzoo.data import examples as data_examples
from attnzoo.errors import UserError
from attnzoo.info import TRANSLATION
from attnzoo.run_dir import MANY, evaluation_sizes, load_splits, load_trained
from attnzoo.tasks import translation, translation_scores
from attnzoo.tasks.translation_scores import Comparison


def compare(folders: Sequence[Path], split: str = "test") -> tuple[list[Comparison], str]:
    """Compares the BLEU of runs with that of the first by paired bootstrap resampling.

    Every run translates as its own `eval` section says; tokenization and case of BLEU are those of the first.

    Args:
        folders: two or more runs of translation models with the same split.
        split: "train", "validation" or "test".

    Returns:
        One comparison a run, and the signature of the metric.

    Raises:
        UserError: no such run or split, another task, splits that differ, fewer than two runs (2), damaged
            weights (4).
    """
    if len(folders) < 2:
        raise UserError(f"{folders[0]}: one run has nothing to be compared with; name two or more.")
    references: np.ndarray | None = None
    systems, options = [], None
    for folder in folders:
        trained = load_trained(folder)
        if trained.info.task != TRANSLATION:
            raise UserError(f"{folder}: a run of {trained.info.task}; only translations can be compared.")
        named = load_splits(trained.config).named()
        if split not in named:
            raise UserError(f"{folder}: the data has no split '{split}'; it has {', '.join(named)}.")
        wanted = named[split].columns["target"]
        if references is None:
            references, options = wanted, trained.config.eval
        elif not np.array_equal(references, wanted):
            raise UserError(f"{folder}: its {split} split is another one than that of {folders[0]}.")
        examples = data_examples.encode_split(named[split], trained.info)
        predict = translation.predictor(
            [trained.model], trained.info, trained.config.eval, len(wanted) >= MANY
        )
        sizes = evaluation_sizes(trained.config)
        found = translation.translations(predict, examples, trained.info, sizes)
        systems.append((str(folder), found))
    assert references is not None
    assert options is not None
    return translation_scores.compare(systems, list(references), options)
