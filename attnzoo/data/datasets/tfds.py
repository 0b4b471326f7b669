"""Data sets of TensorFlow Datasets, by name, if their features fit the task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.config.tables import repeated_columns
from attnzoo.data import tfds_boxes
from attnzoo.data.splits import DataSplits, Split
from attnzoo.data.tfds_builders import find_builder, name_problems, one_line, prepare
from attnzoo.errors import UserError
from attnzoo.features.boxes import Boxes, BoxOptions
from attnzoo.features.feature import Feature
from attnzoo.features.image_data_options import ImageOptions, max_pixels
from attnzoo.features.label import Label
from attnzoo.features.text import TextPairOptions
from attnzoo.images.image_files import parse_header
from attnzoo.records.text_files import object_array
from attnzoo.suggest import did_you_mean

COLUMNS = {
    "text": ("text",),
    "image": ("image",),
    "label": ("label", "number"),
    "boxes": ("boxes",),
    "source": ("text",),
    "target": ("text",),
}

MAX_BYTES = 8 << 30
"""Largest size of the raw examples of one split in memory."""

MAX_DECODED_BYTES = 1 << 30
"""Images of the same size are held as pixels up to this many bytes in all, others as encoded files."""

READ_BATCH = 512


class Config(TextPairOptions, ImageOptions, BoxOptions):
    """A data set by its TensorFlow Datasets name; features that are not named are found by type."""

    name: Literal["tfds"] = Field(description="A data set of TensorFlow Datasets, by name.")
    dataset: str = Field(
        description="Name as in `tfds.load`, such as `ag_news_subset`, `glue/sst2` or `fashion_mnist`."
    )
    data_dir: str | None = Field(
        None, description="Folder of prepared data sets. Default: ~/tensorflow_datasets."
    )
    manual_dir: str | None = Field(
        None,
        description="Folder with the original files of the data set, which are verified by checksum; if "
        "given, nothing is downloaded. Default: download.",
    )
    train: str = Field("train", description="Training split, such as `train` or `train[:90%]`.")
    validation: str | None = Field(
        None, description="Validation split, for selecting a checkpoint. Default: held out from train."
    )
    test: str | None = Field(None, description="Test split, for the final evaluation.")
    text: str | None = Field(None, description="Feature with the text. Default: by type.")
    image: str | None = Field(None, description="Feature with the image. Default: by type.")
    label: str | None = Field(None, description="Feature with the label or number. Default: by type.")
    boxes: str | None = Field(
        None,
        description="Feature with the objects of an image: a sequence with a box and a class label. Default: "
        "by type.",
    )
    source: str | None = Field(
        None, description="Feature or language to translate from. Default: the first text."
    )
    target: str | None = Field(
        None, description="Feature or language to translate to. Default: the second text."
    )

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has a folder."""
        return key in ("data_dir", "manual_dir")

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields names that are none of TensorFlow Datasets, and a feature that is named twice."""
        yield from super().problems(features)
        yield from name_problems(self.dataset, self.data_dir)
        named = self.model_dump(include=set(features))
        yield from repeated_columns({name: column for name, column in named.items() if column is not None})


class Column(NamedTuple):
    """A column of the task: name, kind, path of keys to the feature in the data set, and that feature."""

    name: str
    kind: str
    path: tuple[str, ...]
    feature: Any


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Prepares the data set if necessary, and reads its splits into memory in stored order.

    Returns texts as str, labels as <int32>, numbers as <float64>, and images as <uint8>[examples, height,
    width, channels] if all have the same size (up to 1 GiB) or else as encoded bytes.

    Raises:
        UserError: a data set, split or feature is unknown, or the data cannot be prepared or is too large.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = find_builder(config.dataset, config.data_dir)
    kinds = {name: feature.kind for name, feature in features.items() if not feature.is_optional}
    columns = _find_columns(config, kinds, builder.info)
    prepare(builder, config.manual_dir)
    known: dict[str, Feature] = {
        one.name: Label(names=tuple(one.feature.names)) for one in columns if one.kind == "label"
    }
    for one in columns:
        if one.kind == "boxes":
            known[one.name] = tfds_boxes.declare(one.feature, config, one.path[-1], builder.info.full_name)
    splits = {}
    for name in ("train", "validation", "test"):
        expression = getattr(config, name)
        if expression is not None:
            splits[name] = _read_split(builder, expression, columns, known, config)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), known)


def _find_columns(config: Config, kinds: Mapping[str, str], info: Any) -> list[Column]:
    """Finds the feature for each column: as configured, as the data set pairs inputs and targets, or by type.

    Args:
        config: options, which may name features.
        kinds: column -> kind of its feature, in the order of the task.
        info: data set info of the builder.
    """
    features = dict(_flatten(info.features, ()))
    names = tuple(kinds)
    supervised: Any = info.supervised_keys or (None, None)
    suggestions = {name: (key,) for name, key in zip(names, supervised, strict=False)}
    chosen: dict[str, tuple[str, ...]] = {}
    # Configured features come first, so that none of them is taken by a search by type.
    for name in sorted(names, key=lambda name: getattr(config, name) is None):
        kind, fits = _kind(kinds[name])
        candidates = [
            path for path, feature in features.items() if fits(feature) and path not in chosen.values()
        ]
        configured = getattr(config, name)
        same_kind = [one for one in names if kinds[one] == kinds[name]]
        num_missing = sum(one not in chosen for one in same_kind)
        if configured is not None:
            chosen[name] = _resolve(name, configured, features, candidates, kind)
        elif suggestions.get(name) in candidates:
            chosen[name] = suggestions[name]
        elif len(candidates) == num_missing:
            chosen[name] = candidates[0]
        else:
            _raise_ambiguous(name, kind, candidates, features)
    return [Column(name, kinds[name], chosen[name], features[chosen[name]]) for name in names]


def _flatten(features: Any, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    import tensorflow_datasets as tfds

    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _flatten(feature, (*prefix, key))
        else:
            yield (*prefix, key), feature


def _kind(kind: str) -> tuple[str, Any]:
    """Returns the description of a kind, and the test for features of a data set that can provide it."""
    import tensorflow_datasets as tfds

    if kind == "label":
        return "a ClassLabel", lambda feature: isinstance(feature, tfds.features.ClassLabel)
    if kind == "boxes":
        return "a sequence of boxes with a ClassLabel", tfds_boxes.has_boxes
    if kind == "image":
        return "an Image", lambda feature: isinstance(feature, tfds.features.Image)
    if kind == "number":
        return "a number", _is_number
    # Some data sets declare text as a Tensor with a single string.
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


def _resolve(name: str, configured: str, features: dict, candidates: list, kind: str) -> tuple[str, ...]:
    matches = [path for path in features if configured in ("/".join(path), path[-1])]
    if not matches:
        known = ["/".join(path) for path in features]
        raise UserError(
            f"data.{name}: no feature {configured!r}{did_you_mean(configured, known)}; the data set has: "
            f"{', '.join(sorted(known))}."
        )
    if matches[0] not in candidates:
        raise UserError(
            f"data.{name}: feature {configured!r} cannot be used: expected {kind} not used for another "
            f"column, got {type(features[matches[0]]).__name__}."
        )
    return matches[0]


def _raise_ambiguous(name: str, kind: str, candidates: list, features: dict) -> NoReturn:
    if len(candidates) > 1:
        names = ", ".join(sorted("/".join(path) for path in candidates))
        raise UserError(f"data.{name}: several features fit; set it to one of: {names}.")
    listed = ", ".join(
        sorted(f"{'/'.join(path)} ({type(feature).__name__})" for path, feature in features.items())
    )
    raise UserError(f"data.{name}: no feature is left that is {kind}; the data set has: {listed}.")


def _read_split(
    builder: Any, expression: str, columns: Sequence[Column], known: Mapping[str, Feature], config: Config
) -> Split:
    import tensorflow_datasets as tfds

    origin = f"{builder.info.full_name} {expression}"
    num_examples = _num_examples(builder, expression)
    if num_examples == 0:
        raise UserError(f"{origin}: no examples; choose another split.")
    as_pixels = _has_fixed_pixels(columns[0], num_examples)
    images_of = [column for column in columns if column.kind == "image"]
    decoders: Any = None
    if images_of and not as_pixels:
        decoders = tfds.decode.SkipDecoding()
        for key in reversed(images_of[0].path):
            decoders = {key: decoders}
    options = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(
        split=expression, shuffle_files=False, decoders=decoders, read_config=options
    )
    packers = {
        one.name: tfds_boxes.packer(one.feature, one.path[-1], origin)
        for one in columns
        if one.kind == "boxes"
    }

    def choose(example: Any) -> dict[str, Any]:
        values = {column.name: _get_nested(example, column.path) for column in columns}
        return values | {name: pack(values[name]) for name, pack in packers.items()}

    dataset = dataset.map(choose)
    parts: dict[str, list[np.ndarray]] = {column.name: [] for column in columns}
    for batch in dataset.batch(READ_BATCH).as_numpy_iterator():
        for name, values in batch.items():
            parts[name].append(values)
    raw = {name: np.concatenate(values) for name, values in parts.items()}
    converted = {
        column.name: _convert(column, raw[column.name], origin, config)
        for column in columns
        if column.kind != "boxes"
    }
    for one in columns:
        boxes = known.get(one.name)
        if isinstance(boxes, Boxes):
            images = converted[images_of[0].name]
            converted[one.name] = tfds_boxes.unpack(
                raw[one.name].tolist(), images, one.feature, boxes, config, one.path[-1], origin
            )
    return Split({column.name: converted[column.name] for column in columns}, origin)


def _num_examples(builder: Any, expression: str) -> int:
    """Returns the number of examples of a split after checking that it exists and fits in memory."""
    splits = builder.info.splits
    try:
        num_examples = splits[expression].num_examples
    except Exception as error:
        # The parser of split expressions raises many types of errors.
        name = re.split(r"[\[+]", expression)[0]
        raise UserError(
            f"data: no split {expression!r} in {builder.info.full_name}{did_you_mean(name, splits)}; it has: "
            f"{', '.join(sorted(splits))}, and slices of them such as 'train[:90%]' ({one_line(error)})."
        ) from None
    total = max(1, sum(split.num_examples for split in splits.values()))
    num_bytes = sum(int(split.num_bytes) for split in splits.values()) * num_examples / total
    if num_bytes > MAX_BYTES:
        raise UserError(
            f"data: split {expression!r} of {builder.info.full_name} has about {num_bytes / 2**30:.1f} GiB, "
            f"more than the {MAX_BYTES / 2**30:.0f} GiB that may be held in memory; use a slice of it, "
            "such as 'train[:10%]'."
        )
    return num_examples


def _has_fixed_pixels(column: Column, num_examples: int) -> bool:
    """Whether the images all have the same size and fit in memory as pixels."""
    if column.kind != "image":
        return False
    if column.feature.np_dtype != np.uint8:
        raise UserError(
            f"data.image: pixels of type {np.dtype(column.feature.np_dtype)}; only uint8 is supported."
        )
    shape = column.feature.shape
    return None not in shape and num_examples * int(np.prod(shape)) <= MAX_DECODED_BYTES


def _get_nested(example: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        example = example[key]
    return example


def _convert(column: Column, values: np.ndarray, origin: str, config: Config) -> np.ndarray:
    if column.kind == "label":
        outside = np.flatnonzero((values < 0) | (values >= column.feature.num_classes))
        if outside.size:
            raise UserError(
                f"{origin}: example {outside[0]} has label {values[outside[0]]}; expected 0 to "
                f"{column.feature.num_classes - 1}. A split without labels cannot be used."
            )
        return values.astype(np.int32)
    if column.kind == "number":
        unusable = np.flatnonzero(~np.isfinite(values))
        if unusable.size:
            raise UserError(
                f"{origin}: example {unusable[0]} has the number {values[unusable[0]]}; use another split."
            )
        return values.astype(np.float64)
    if column.kind == "image":
        if values.dtype == np.uint8:
            return values
        for index, encoded in enumerate(values):
            parse_header(encoded, f"{origin}: example {index}", max_pixels=max_pixels(config))
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
