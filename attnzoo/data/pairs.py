"""Training pairs of texts that are left out, as their lengths say that they are no good pairs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from attnzoo.config.sections import DataOptions
from attnzoo.errors import DataNote, UserError
from attnzoo.features.feature import Feature
from attnzoo.features.text import Text, TextPairOptions

MAX_TRUNCATED_FRACTION = 0.01
"""More truncated pairs than this fraction of train are reported."""


def usable_pairs(
    lengths: Mapping[str, np.ndarray], features: Mapping[str, Feature], options: DataOptions, origin: str
) -> np.ndarray | None:
    """Returns the indices <int64>[usable] of the training pairs that stay; None for all.

    Issues a `DataNote` that counts the others, or many that are truncated.

    Args:
        lengths: feature -> length of each text in tokens, <int64>[examples].
        features: learned features.
        options: options of the data set: `drop_longer` and `max_length_ratio`.
        origin: files of train, for messages.

    Raises:
        UserError: no pair stays.
    """
    if not isinstance(options, TextPairOptions) or len(lengths) < 2:
        return None
    longer = np.any([values > options.max_length for values in lengths.values()], axis=0)
    if not options.drop_longer:
        _note_truncated(longer, options, origin)
        longer[:] = False
    uneven = np.zeros_like(longer)
    if options.max_length_ratio is not None:
        counts = np.maximum(1, [values - _num_ends(features[name]) for name, values in lengths.items()])
        uneven = ~longer & (counts.max(axis=0) > options.max_length_ratio * counts.min(axis=0))
    usable = np.flatnonzero(~longer & ~uneven)
    if len(usable) == len(longer):
        return None
    reasons = (
        (longer, f"with more than {options.max_length} tokens (data.drop_longer)"),
        (uneven, f"with more than {options.max_length_ratio} times the tokens on one side"),
    )
    listed = "; ".join(f"{np.count_nonzero(of):,} {reason}" for of, reason in reasons if of.any())
    dropped = len(longer) - len(usable)
    what = (
        f"{origin}: {dropped:,} of {len(longer):,} training pairs ({dropped / len(longer):.2%}) are left out"
    )
    if not usable.size:
        raise UserError(
            f"{what}, so that none stays: {listed}; raise data.max_length or the limit of the ratio."
        )
    warnings.warn(f"{what}: {listed}.", DataNote, stacklevel=2)
    return usable


def _note_truncated(longer: np.ndarray, options: TextPairOptions, origin: str) -> None:
    count = np.count_nonzero(longer)
    if count > MAX_TRUNCATED_FRACTION * len(longer):
        warnings.warn(
            f"{origin}: {count:,} of {len(longer):,} training pairs have a text of more than "
            f"{options.max_length} tokens (data.max_length) and are truncated, so that what is left need not "
            "belong together; data.drop_longer: true leaves them out.",
            DataNote,
            stacklevel=3,
        )


def _num_ends(feature: Feature) -> int:
    return int(isinstance(feature, Text) and feature.ends)
