"""Any data set of TensorFlow Datasets whose features fit a task, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.data.splits import DataSplits, Split
from attnzoo.data.tfds_builders import find_builder, one_line, prepare
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import ImageOptions
from attnzoo.features.label import Label
from attnzoo.features.text import TextPairOptions
from attnzoo.images.image_files import parse_header
from attnzoo.records.text_files import object_array
from attnzoo.suggest import did_you_mean

COLUMNS = {
    "text": ("text",),
    "image": ("image",),
    "label": ("label", "number"),
    "source": ("text",),
    "target": ("text",),
}

MAX_BYTES = 8 << 30
"""Most memory that the raw examples of one split may take."""

MAX_DECODED_BYTES = 1 << 30
"""Images of one size are held as pixels up to this many bytes, larger sets as encoded files."""

READ_BATCH = 512


class Config(TextPairOptions, ImageOptions):
    """A data set by its TensorFlow Datasets name; features are found by type unless they are named."""

    name: Literal["tfds"] = Field(description="A data set of TensorFlow Datasets, by name.")
    dataset: str = Field(
        description="Name as in `tfds.load`: `ag_news_subset`, `glue/sst2`, `fashion_mnist`."
    )
    data_dir: str | None = Field(
        None, description="Folder of prepared data sets. Default: ~/tensorflow_datasets."
    )
    manual_dir: str | None = Field(
        None,
        description="Folder with the files of the data set, checked by checksum; nothing is downloaded then.",
    )
    train: str = Field("train", description="Split to train on, such as `train` or `train[:90%]`.")
    validation: str | None = Field(None, description="Split for validation. Default: split off from train.")
    test: str | None = Field(None, description="Split for the test.")
    text: str | None = Field(None, description="Feature with the text. Default: found by type.")
    image: str | None = Field(None, description="Feature with the image. Default: found by type.")
    label: str | None = Field(None, description="Feature with the label or number. Default: found by type.")
    source: str | None = Field(None, description="Feature or language to translate from. Default: the first.")
    target: str | None = Field(None, description="Feature or language to translate to. Default: the second.")


class Column(NamedTuple):
    """One column of the task: its name and kind, the feature in the data set and the path of keys to it."""

    name: str
    kind: str
    path: tuple[str, ...]
    feature: Any


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Prepares the data set if it is not, and reads the splits into memory in their stored order.

    Returns texts as str, labels <int32>, numbers <float64>, images as <uint8>[examples, height, width,
    channels] where all have one size (up to 1 GiB) and as encoded bytes otherwise.

    Raises:
        UserError: unknown data set, split or feature, or data that cannot be prepared or is too large.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = find_builder(config.dataset, config.data_dir)
    kinds = {name: feature.kind for name, feature in features.items() if not feature.is_optional}
    columns = _find_columns(config, kinds, builder.info)
    prepare(builder, config.manual_dir)
    known = {one.name: Label(names=tuple(one.feature.names)) for one in columns if one.kind == "label"}
    splits = {}
    for name in ("train", "validation", "test"):
        expression = getattr(config, name)
        if expression is not None:
            splits[name] = _read_split(builder, expression, columns)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), known)


def _find_columns(config: Config, kinds: Mapping[str, str], info: Any) -> list[Column]:
    """Finds the features of the task: as configured, else as the data set pairs them, else by type.

    Args:
        config: may name some.
        kinds: column -> kind of its feature, in the order of the task.
        info: of the builder.
    """
    features = dict(_flatten(info.features, ()))
    names = tuple(kinds)
    supervised: Any = info.supervised_keys or (None, None)
    suggestions = {name: (key,) for name, key in zip(names, supervised, strict=False)}
    chosen: dict[str, tuple[str, ...]] = {}
    # What the config names comes first, so that nothing found by type takes it away.
    for name in sorted(names, key=lambda name: getattr(config, name) is None):
        kind, fits = _kind(kinds[name])
        candidates = [
            path for path, feature in features.items() if fits(feature) and path not in chosen.values()
        ]
        asked = getattr(config, name)
        alike = [one for one in names if kinds[one] == kinds[name]]
        num_open = len(alike) - sum(one in chosen for one in alike)
        if asked is not None:
            chosen[name] = _resolve(name, asked, features, candidates, kind)
        elif suggestions.get(name) in candidates:
            chosen[name] = suggestions[name]
        elif len(candidates) == num_open:
            chosen[name] = candidates[0]
        else:
            _fail_feature(name, kind, candidates, features)
    return [Column(name, kinds[name], chosen[name], features[chosen[name]]) for name in names]


def _flatten(features: Any, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    import tensorflow_datasets as tfds

    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _flatten(feature, (*prefix, key))
        else:
            yield (*prefix, key), feature


def _kind(kind: str) -> tuple[str, Any]:
    """Returns what a kind is called, and the test for features of the data set that can fill it."""
    import tensorflow_datasets as tfds

    if kind == "label":
        return "a ClassLabel", lambda feature: isinstance(feature, tfds.features.ClassLabel)
    if kind == "image":
        return "an Image", lambda feature: isinstance(feature, tfds.features.Image)
    if kind == "number":
        return "a number", _is_number
    # Text is a Tensor of one string; some data sets declare just that.
    return (
        "a Text",
        lambda feature: (
            not isinstance(feature, tfds.features.Sequence)
            and feature.shape == ()
            and feature.np_dtype in (str, np.object_)
        ),
    )


def _is_number(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    numeric = feature.shape == () and any(
        np.issubdtype(feature.np_dtype, kind) for kind in (np.integer, np.floating)
    )
    return numeric and not isinstance(feature, tfds.features.Sequence | tfds.features.ClassLabel)


def _resolve(name: str, asked: str, features: dict, candidates: list, kind: str) -> tuple[str, ...]:
    matches = [path for path in features if asked in ("/".join(path), path[-1])]
    if not matches:
        known = ["/".join(path) for path in features]
        raise UserError(
            f"data.{name}: no feature {asked!r}{did_you_mean(asked, known)}; the data set has: "
            f"{', '.join(sorted(known))}."
        )
    if matches[0] not in candidates:
        raise UserError(
            f"data.{name}: feature {asked!r} cannot be used: expected {kind} not used for another column, "
            f"got {type(features[matches[0]]).__name__}."
        )
    return matches[0]


def _fail_feature(name: str, kind: str, candidates: list, features: dict) -> NoReturn:
    if len(candidates) > 1:
        names = ", ".join(sorted("/".join(path) for path in candidates))
        raise UserError(f"data.{name}: several features could be meant; name one of: {names}.")
    shown = ", ".join(
        sorted(f"{'/'.join(path)} ({type(feature).__name__})" for path, feature in features.items())
    )
    raise UserError(f"data.{name}: no feature is left that is {kind}; the data set has: {shown}.")


def _read_split(builder: Any, expression: str, columns: Sequence[Column]) -> Split:
    import tensorflow_datasets as tfds

    origin = f"{builder.info.full_name} {expression}"
    num_examples = _count(builder, expression)
    if num_examples == 0:
        raise UserError(f"{origin}: there is not one example; choose another split.")
    pixels = _fixed_pixels(columns[0], num_examples)
    images = [column for column in columns if column.kind == "image"]
    decoders: Any = None
    if images and not pixels:
        decoders = tfds.decode.SkipDecoding()
        for key in reversed(images[0].path):
            decoders = {key: decoders}
    options = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(
        split=expression, shuffle_files=False, decoders=decoders, read_config=options
    )
    dataset = dataset.map(lambda example: {column.name: _descend(example, column.path) for column in columns})
    parts: dict[str, list[np.ndarray]] = {column.name: [] for column in columns}
    for batch in dataset.batch(READ_BATCH).as_numpy_iterator():
        for name, values in batch.items():
            parts[name].append(values)
    return Split(
        {column.name: _convert(column, np.concatenate(parts[column.name]), origin) for column in columns},
        origin,
    )


def _count(builder: Any, expression: str) -> int:
    """Returns the number of examples of a split, once it is known to exist and to fit in memory."""
    splits = builder.info.splits
    try:
        num_examples = splits[expression].num_examples
    except Exception as error:
        # The parser of split expressions raises many types.
        name = re.split(r"[\[+]", expression)[0]
        raise UserError(
            f"data: no split {expression!r} in {builder.info.full_name}{did_you_mean(name, splits)}; it has: "
            f"{', '.join(sorted(splits))}, and parts of them such as 'train[:90%]' ({one_line(error)})."
        ) from None
    total = max(1, sum(split.num_examples for split in splits.values()))
    num_bytes = sum(int(split.num_bytes) for split in splits.values()) * num_examples / total
    if num_bytes > MAX_BYTES:
        raise UserError(
            f"data: split {expression!r} of {builder.info.full_name} has about {num_bytes / 2**30:.1f} GiB, "
            f"more than the {MAX_BYTES / 2**30:.0f} GiB that are held in memory; take a part of it, as in "
            "'train[:10%]'."
        )
    return num_examples


def _fixed_pixels(column: Column, num_examples: int) -> bool:
    """Tells whether the images all have one size and fit in memory as pixels."""
    if column.kind != "image":
        return False
    if column.feature.np_dtype != np.uint8:
        raise UserError(
            f"data.image: pixels of type {np.dtype(column.feature.np_dtype)}; only uint8 is supported."
        )
    shape = column.feature.shape
    return None not in shape and num_examples * int(np.prod(shape)) <= MAX_DECODED_BYTES


def _descend(example: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        example = example[key]
    return example


def _convert(column: Column, values: np.ndarray, origin: str) -> np.ndarray:
    if column.kind == "label":
        outside = np.flatnonzero((values < 0) | (values >= column.feature.num_classes))
        if outside.size:
            raise UserError(
                f"{origin}: example {outside[0]} has label {values[outside[0]]}; expected 0 to "
                f"{column.feature.num_classes - 1}. Splits without labels cannot be used."
            )
        return values.astype(np.int32)
    if column.kind == "number":
        unusable = np.flatnonzero(~np.isfinite(values))
        if unusable.size:
            raise UserError(
                f"{origin}: example {unusable[0]} has the number {values[unusable[0]]}; take another split."
            )
        return values.astype(np.float64)
    if column.kind == "image":
        if values.dtype == np.uint8:
            return values
        for index, encoded in enumerate(values):
            parse_header(encoded, f"{origin}: example {index}")
        return object_array(values.tolist())
    texts = []
    for index, text in enumerate(values):
        try:
            texts.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{origin}: example {index}: not UTF-8 at byte {error.start} of its {column.name}."
            ) from None
    return object_array(texts)
