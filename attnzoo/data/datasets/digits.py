"""Handwritten digits from the UCI repository, as included in scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.feature import Feature
from attnzoo.features.image_data_options import ImageOptions
from attnzoo.features.label import Label

COLUMNS = {"image": ("image",), "label": ("label",)}

DIGITS = tuple(map(str, range(10)))
TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.1


class Config(ImageOptions):
    """1,797 grayscale images of 8 x 8 pixels in 10 classes."""

    name: Literal["digits"] = Field(
        description="UCI handwritten digits, 8 x 8 grayscale pixels, 10 classes; no download."
    )

    @property
    def holds_out_validation(self) -> bool:
        """False: it has a validation split."""
        return False

    def known_labels(self) -> tuple[str, ...]:
        """Returns the digits."""
        return DIGITS


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns images <uint8>[examples, 8, 8, 1] and labels <int32>[examples].

    The splits are fixed, so results are comparable: the images of each class are sorted by SHA-256, then 20 %
    go to test, 10 % to validation and the rest to train.

    Reference:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # [examples, 8, 8, 1]
    labels = digits.target.astype(np.int32)  # [examples]
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in range(10):
        order = sorted(
            np.flatnonzero(labels == label), key=lambda index: hashlib.sha256(images[index]).digest()
        )
        indices = np.array(order)
        num_test = round(TEST_FRACTION * len(indices))
        num_validation = round(VALIDATION_FRACTION * len(indices))
        parts["test"].append(indices[:num_test])
        parts["validation"].append(indices[num_test : num_test + num_validation])
        parts["train"].append(indices[num_test + num_validation :])
    splits = {}
    for name, chosen in parts.items():
        indices = np.sort(np.concatenate(chosen))
        splits[name] = Split({"image": images[indices], "label": labels[indices]}, f"digits {name}")
    return DataSplits(splits["train"], splits["validation"], splits["test"], {"label": Label(names=DIGITS)})
