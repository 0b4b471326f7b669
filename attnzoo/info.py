"""What a model learns about its data, and the raw examples themselves. Imports no TensorFlow."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.tensors import MAX_JSON_BYTES, read_regular

TEXT_CLASSIFICATION = "text_classification"
IMAGE_CLASSIFICATION = "image_classification"
MULTI_LABEL = "multi_label_classification"
MASKED_TEXT = "masked_text"
TRANSLATION = "translation"

TEXT_FEATURES = {
    TEXT_CLASSIFICATION: ("text",),
    IMAGE_CLASSIFICATION: (),
    MULTI_LABEL: ("text",),
    MASKED_TEXT: ("text",),
    TRANSLATION: ("source", "target"),
}
"""Task -> its text features, in the order of the batches' lengths."""

PADDING, UNKNOWN, START, END = range(4)
"""Token ids that every vocabulary has."""

NUM_SPECIAL = 4

Tokenization = Literal["words", "characters", "bytes", "subwords", "bpe"]
SUBWORD_MODELS = {"subwords": "unigram", "bpe": "bpe"}
"""Tokenizers into pieces of words -> what SentencePiece learns; the model itself says what it is."""
"""What a token can be."""

LEARNED = {"words": "tokens", "characters": "tokens", "bytes": None, "subwords": "model"}
"""Kind of a tokenizer's state -> the key of what was learned; the model of subwords says how it splits."""

Cleaning = Literal["html", "whitespace", "unicode"]
"""What can be cleaned from a text, in graph operations."""

MAX_CLEANINGS = 8
MAX_VOCABULARY = 1_000_000
MAX_LENGTH = 65_536
MAX_BUCKETS = 16
MAX_PIXELS = 50_000_000
"""Largest image, in pixels: a few kilobytes can unpack to gigabytes."""

Lengths = Mapping[str, int]
"""Padded length of each text feature, in tokens: `{"text": 128}` or `{"source": 24, "target": 16}`."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Raw examples of one split, held in memory column by column.

    Columns by task (all of one length):
        text_classification: `text` (object array of str), `label` <int32>[examples]
        image_classification: `image` (<uint8>[examples, height, width, channels], or an object array of
            encoded `bytes` or of file paths as `str`), `label` <int32>[examples]
        multi_label_classification: `text` (object array of str), `label` <float32>[examples, classes], 0 or 1
        masked_text: `text` (object array of str)
        translation: `source` and `target` (object arrays of str), and perhaps `alignment` (object array of
            str, see `data.alignments`)

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

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    task: str
    labels: tuple[str, ...] = ()
    tokenizers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
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
    def read(cls, path: Path, task: str | None = None) -> DataInfo:
        """Reads `info.json`.

        Whatever is in it is checked before anything is made of it: types, and sizes that a config could give.

        Args:
            path: the file.
            task: what the model of the run is for; None where any task will do.

        Raises:
            UserError: the file is missing (2) or is not what `to_json` wrote (4).
        """
        try:
            info = _ADAPTER.validate_json(read_regular(path, MAX_JSON_BYTES))
        except FileNotFoundError:
            raise UserError(f"{path}: not found; is this a run folder?") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))[:60]
            raise UserError(f"{path}: damaged ({place}: {first['msg']}).", EXIT_DAMAGED) from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: damaged ({error}).", EXIT_DAMAGED) from None
        problem = next(info._problems(task or info.task), None)
        if problem is not None:
            raise UserError(f"{path}: damaged ({problem}).", EXIT_DAMAGED)
        return info

    def _problems(self, task: str) -> Iterator[str]:
        """Yields what in these values cannot have been learned from data for `task`."""
        if self.task != task or task not in TEXT_FEATURES:
            yield f"task: {self.task!r} where {task!r} is expected"
            return
        features = TEXT_FEATURES[task]
        if set(self.tokenizers) != set(features) or set(self.vocabulary_sizes) != set(features):
            yield f"tokenizers, vocabulary_sizes: expected those of {', '.join(features) or 'no text'}"
            return
        for name in features:
            yield from _tokenizer_problems(name, self.tokenizers[name], self.vocabulary_sizes[name])
        yield from self._length_problems(features)
        if task == IMAGE_CLASSIFICATION:
            yield from self._image_problems()
        if not (0 < len(self.labels) <= MAX_VOCABULARY) and task not in (TRANSLATION, MASKED_TEXT):
            yield f"labels: {len(self.labels)} of them"

    def _length_problems(self, features: tuple[str, ...]) -> Iterator[str]:
        if not (min(1, len(features)) <= len(self.buckets) <= MAX_BUCKETS * len(features)):
            yield f"buckets: {len(self.buckets)} of them"
        for bucket in self.buckets:
            if set(bucket) != set(features) or not all(0 < size <= MAX_LENGTH for size in bucket.values()):
                yield f"buckets: expected lengths of 1 to {MAX_LENGTH} for {', '.join(features)}"

    def _image_problems(self) -> Iterator[str]:
        shape = self.image_shape
        whole = len(shape) == 3 and min(shape) > 0 and shape[2] in (1, 3)
        if not whole or shape[0] * shape[1] > MAX_PIXELS:
            yield f"image_shape: {shape}"
        elif not (len(self.image_mean) == len(self.image_std) == shape[2] and min(self.image_std) > 0.0):
            yield "image_mean, image_std: expected a number for each channel, deviations above 0"


def _tokenizer_problems(name: str, state: Mapping[str, Any], size: int) -> Iterator[str]:
    """Yields what in the state of a tokenizer `data.tokenizers.build` cannot have written."""
    kind = str(state.get("kind"))
    if kind not in LEARNED or set(state) - {"clean"} != {"kind", "lowercase", LEARNED[kind]} - {None}:
        yield f"tokenizers.{name}: expected kind, lowercase, and tokens or model"
    elif not isinstance(state["lowercase"], bool):
        yield f"tokenizers.{name}.lowercase: expected true or false"
    elif not _is_cleaning(state.get("clean", [])):
        yield f"tokenizers.{name}.clean: expected at most {MAX_CLEANINGS} of {', '.join(get_args(Cleaning))}"
    elif not NUM_SPECIAL < size <= MAX_VOCABULARY:
        yield f"vocabulary_sizes.{name}: {size}, expected {NUM_SPECIAL + 1} to {MAX_VOCABULARY}"
    elif kind == "bytes":
        if size != NUM_SPECIAL + 256:
            yield f"vocabulary_sizes.{name}: {size}, expected {NUM_SPECIAL + 256} for bytes"
    elif kind == "subwords":
        if _pieces(state["model"]) != size:
            yield f"tokenizers.{name}.model: expected a SentencePiece model of {size} pieces in base64"
    else:
        tokens = state["tokens"]
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            yield f"tokenizers.{name}.tokens: expected a list of texts"
        elif len(set(tokens)) != len(tokens) or NUM_SPECIAL + len(tokens) != size:
            yield f"tokenizers.{name}.tokens: expected {size - NUM_SPECIAL} different ones"


def _is_cleaning(steps: Any) -> bool:
    return (
        isinstance(steps, list)
        and len(steps) <= MAX_CLEANINGS
        and all(isinstance(step, str) and step in get_args(Cleaning) for step in steps)
    )


def _pieces(model: Any) -> int | None:
    """Returns the number of pieces of a SentencePiece model in base64, None if it is none."""
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=base64.b64decode(model, validate=True)).vocab_size()
    except (binascii.Error, ValueError, TypeError, RuntimeError):
        return None


_ADAPTER = TypeAdapter(DataInfo)
