"""What a model learns about its data, and the raw examples themselves. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attnzoo.errors import UserError

TEXT_CLASSIFICATION = "text_classification"
IMAGE_CLASSIFICATION = "image_classification"
TRANSLATION = "translation"

PADDING, UNKNOWN, START, END = range(4)
"""Token ids that every vocabulary has."""

Lengths = Mapping[str, int]
"""Padded length of each text feature, in tokens: `{"text": 128}` or `{"source": 24, "target": 16}`."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Raw examples of one split, held in memory column by column.

    Columns by task (all of one length):
        text_classification: `text` (object array of str), `label` <int32>[examples]
        image_classification: `image` (<uint8>[examples, height, width, channels], or an object array of
            encoded `bytes` or of file paths as `str`), `label` <int32>[examples]
        translation: `source` and `target` (object arrays of str)

    Attributes:
        columns: name -> array.
        origin: where the examples came from (file, folder or split expression), for messages.
    """

    columns: Mapping[str, np.ndarray]
    origin: str

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"Columns of {self.origin} differ in length: {lengths}.")
        if len(self) == 0:
            raise UserError(f"{self.origin}: there is not one example; at least one is needed.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, indices: np.ndarray, origin: str | None = None) -> Split:
        """Returns the examples at `indices` <int>[n], in that order."""
        return Split({name: column[indices] for name, column in self.columns.items()}, origin or self.origin)


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """What a data set's `load` returns.

    Attributes:
        train: examples to learn from.
        validation: examples to select on; carved from `train` later where None.
        test: examples to report on; None where the data set has none.
        labels: class names in the order of their ids; empty for translation.
    """

    train: Split
    validation: Split | None
    test: Split | None
    labels: tuple[str, ...] = ()

    def named(self) -> dict[str, Split]:
        """Returns the splits that exist, by name."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """All that a model, a task or an export needs to know about the data. Saved as `info.json`.

    Attributes:
        task: one of the task names above.
        labels: class names in the order of their ids.
        tokenizers: text feature -> state from which `data.tokenizers.from_state` rebuilds its tokenizer.
        vocabulary_sizes: text feature -> number of token ids, special tokens included.
        buckets: the fixed lengths that text batches are padded to, shortest first; empty for images.
        image_shape: (height, width, channels) that every image is brought to; empty for text.
        image_mean: mean of the training pixels by channel, in 0..1.
        image_std: standard deviation of the training pixels by channel, in 0..1.
        num_examples: split -> number of examples.
        cut_share: split -> share of tokens lost to the longest bucket, 0..1.
        fingerprint: SHA-256 over the raw examples of all splits.
    """

    task: str
    labels: tuple[str, ...] = ()
    tokenizers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vocabulary_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    buckets: tuple[Lengths, ...] = ()
    image_shape: tuple[int, ...] = ()
    image_mean: tuple[float, ...] = ()
    image_std: tuple[float, ...] = ()
    num_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cut_share: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def to_json(self) -> str:
        """Returns the text of `info.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path) -> DataInfo:
        """Reads `info.json`.

        Raises:
            UserError: the file is missing or is not what `to_json` wrote.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            for name in ("labels", "buckets", "image_shape", "image_mean", "image_std"):
                values[name] = tuple(values[name])
            return cls(**values)
        except FileNotFoundError:
            raise UserError(f"{path}: not found; is this a run folder?") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error}).", exit_code=4) from None
