"""`attnzoo compare`: whether runs differ more than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnzoo.config.sections import EvalOptions
from attnzoo.data import examples as data_examples
from attnzoo.errors import UserError
from attnzoo.info import TRANSLATION
from attnzoo.run_dir import MANY, evaluation_sizes, load_splits, load_trained, split_of
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
    systems: list[tuple[str, list[str]]] = []
    references: list[list[str]] = []
    options: list[EvalOptions] = []
    for folder in folders:
        trained = load_trained(folder)
        info, own = trained.info, trained.config.eval
        if info.task != TRANSLATION:
            raise UserError(f"{folder}: a run of {info.task}; only translations can be compared.")
        examples = data_examples.encode_split(split_of(load_splits(trained.config), split, folder), info)
        references.append(list(examples.raw.columns["target"]))
        options.append(own)
        if references[-1] != references[0]:
            raise UserError(f"{folder}: its {split} split is another one than that of {folders[0]}.")
        predict = translation.predictor([trained.model], info, own, xla=len(examples) >= MANY)
        sizes = evaluation_sizes(trained.config)
        systems.append((str(folder), translation.predictions(predict, examples, info, sizes)))
    return translation_scores.compare(systems, references[0], options[0])
