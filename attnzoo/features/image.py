"""Images as pixels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from etils import epy
from pydantic import Field

from attnzoo.config.augmentation import Change
from attnzoo.config.base import PositiveInt
from attnzoo.config.sections import DataOptions, FileOptions
from attnzoo.features.feature import Column, Feature, RawReader, digest
from attnzoo.images.image_files import MAX_PIXELS, parse_header, read_header
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.tables import require_string, require_text
from attnzoo.records.text_files import object_array

with epy.lazy_imports():
    import tensorflow as tf

    from attnzoo.images import augmentation, image_changes, pixels


CHANNELS = 3
"""To which images are decoded that are only looked at."""


class ImageOptions(DataOptions):
    """Options of data with images in it."""

    image_size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[height, width] in pixels that images are resized to. Default: the size of the first.",
    )
    channels: Literal[1, 3] | None = Field(None, description="1 gray, 3 color. Default: as the first image.")
    augment: list[Change] = Field(
        [], description="Random changes in training, in this order: names, or {name: NAME} with options."
    )


class Image(Feature):
    """Images as pixels, brought to one shape.

    A column is <uint8>[examples, height, width, channels], or <object>[examples] of encoded `bytes` or of
    paths as `str`.

    Attributes:
        shape: (height, width, channels) that every image is brought to; empty before learning.
        mean: of the training pixels by channel, in 0..1.
        std: their standard deviation by channel, in 0..1.
    """

    is_content: ClassVar[bool] = True
    moves_with_images: ClassVar[bool] = True
    compiles_well: ClassVar[bool] = False

    kind: Literal["image"] = "image"
    shape: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def read(self, place: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the path of an image file whose header is in order; it is relative to the table."""
        require_string(place, name, value)
        require_text(place, "image name", value)
        file = value.strip()
        if not file.isprintable():
            what = "the image name is not printable UTF-8 text; rename the file."
            raise BadRecord(place, "with a name that is not text", what)
        path = Path(place.rpartition(":")[0]).parent / file
        try:
            read_header(path)
        except BadRecord as bad:
            raise BadRecord(place, bad.reason, str(bad)) from None
        return str(path)

    def unreadable(self, values: Sequence[str]) -> dict[int, BadRecord]:
        """Returns the images that cannot be decoded although their headers are in order."""
        broken = {bad.place: bad for bad in pixels.undecodable(self.column(values), CHANNELS, "")}
        return {index: broken[path] for index, path in enumerate(values) if path in broken}

    def check_raw(self, place: str, value: str, folder: Path | None) -> None:
        """Refuses a path of no image file whose header is in order."""
        require_text(place, "image name", value)
        try:
            read_header(find_file(value, folder))
        except BadRecord as bad:
            raise BadRecord(place, bad.reason, str(bad)) from None

    def column(self, values: Sequence[str]) -> Column:
        """Returns <object>[examples] of paths."""
        return object_array(list(values))

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Image:
        """Learns the shape and the statistics of the pixels."""
        if not isinstance(options, ImageOptions):
            raise ValueError(
                f"Data set '{options.name}' has no image options; expected a subclass of ImageOptions."
            )
        (column,) = columns
        height, width, channels = pixels.shape_of_first(column, origin)
        if options.image_size is not None:
            height, width = options.image_size
        learned = self.model_copy(update={"shape": (height, width, options.channels or channels)})
        learned.check(column, options, origin)
        mean, std = pixels.pixel_statistics(column, learned.shape)
        return learned.model_copy(update={"mean": mean, "std": std})

    def check(self, column: Column, options: DataOptions, origin: str) -> None:
        """Decodes every image once where that takes no minutes: damage is reported now, not after hours."""
        if not (
            isinstance(options, FileOptions) and options.on_bad_record == "skip"
        ):  # else done by the loader
            pixels.check_decodable(column, self.shape[2], origin)

    def graph_batch(self, encoded: Column) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a function from indices to images <uint8>[batch, height, width, channels]."""
        return pixels.read_images(encoded, self.shape)

    def change(
        self, tensors: Mapping[str, tf.Tensor], options: DataOptions, seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Applies the changes of `data.augment`."""
        changes = options.augment if isinstance(options, ImageOptions) else ()
        return augmentation.augment(tensors, changes, seeds, tf.constant(self.mean))

    def prepare(self, values: tf.Tensor) -> tf.Tensor:
        """Returns images of zero mean and unit variance a channel, <float32>."""
        return pixels.standardize(image_changes.to_float(values), self.mean, self.std)

    def damaged(self, encoded: Column, origin: str) -> BadRecord | None:
        """Returns the first image that cannot be decoded any more."""
        return next(pixels.undecodable(encoded, self.shape[2], origin), None)

    def raw(self, column: Column) -> list[bytes]:
        """Returns the bytes of image files."""
        return [_file_bytes(image) for image in column]

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns what makes images of the bytes of JPEG, PNG, GIF (first frame) or BMP files of any size."""

        def read(strings: tf.Tensor) -> tf.Tensor:
            decoded = tf.map_fn(
                lambda encoded: pixels.resize(pixels.decode(encoded, self.shape[2]), self.shape),
                strings,
                fn_output_signature=tf.TensorSpec(self.shape, tf.uint8),
            )
            return self.prepare(decoded)

        return RawReader([], read)

    def first(self, column: Column) -> np.ndarray:
        """Returns the images of a column, <uint8>[count, height, width, channels]."""
        return self.graph_batch(column)(tf.range(len(column))).numpy()

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns how many images have which size, format and channels."""
        if column.dtype == np.uint8:
            height, width, channels = column.shape[1:]
            counts: dict[str, dict] = {
                "sizes": {f"{height} x {width}": len(column)},
                "formats": {"array": len(column)},
                "channels": {channels: len(column)},
            }
            return counts
        headers = [
            read_header(item) if isinstance(item, str) else parse_header(item, name) for item in column
        ]
        return {
            "sizes": dict(Counter(f"{header.height} x {header.width}" for header in headers).most_common()),
            "formats": dict(Counter(header.format for header in headers).most_common()),
            "channels": dict(Counter(header.channels for header in headers).most_common()),
        }

    def phrase(self, name: str) -> str:
        """Returns the shape."""
        return " x ".join(map(str, self.shape)) + " pixels"

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns digests of pixels or bytes; files are read only if their size occurs in every column."""
        if not all(column.dtype == object and isinstance(column[0], str) for column in columns):
            return [[digest(_content_bytes(image)) for image in column] for column in columns]
        sizes = [[os.path.getsize(path) for path in column] for column in columns]
        common = set.intersection(*map(set, sizes))
        return [
            [
                digest(Path(path).read_bytes()) if size in common else path
                for path, size in zip(column, of_column, strict=True)
            ]
            for column, of_column in zip(columns, sizes, strict=True)
        ]

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields pixels or bytes; files named by path count by their name and size."""
        if column.dtype == object and isinstance(column[0], str):
            column = object_array([f"{path}:{os.path.getsize(path)}" for path in column])
        yield from super().fingerprint(column)

    def problems(self, name: str) -> Iterator[str]:
        """Yields shapes and statistics that no images have."""
        shape = self.shape
        whole = len(shape) == 3 and min(shape) > 0 and shape[2] in (1, 3)
        if not whole or shape[0] * shape[1] > MAX_PIXELS:
            yield f"{name}.shape: {shape}"
        elif not (len(self.mean) == len(self.std) == shape[2] and min(self.std) > 0.0):
            yield f"{name}.mean, {name}.std: expected a number for each channel, deviations above 0"


def shown_name(column: Column, index: int) -> str:
    """Returns what an example's image is called: its file, or its number."""
    return column[index] if isinstance(column[index], str) else f"number {index}"


def find_file(name: str, folder: Path | None) -> Path:
    """Returns the path of an image file in a folder, else in the working directory."""
    path = Path(name.strip())
    return path if folder is None or not (folder / path).exists() else folder / path


def _file_bytes(image: np.ndarray | bytes | str) -> bytes:
    if isinstance(image, np.ndarray):
        return tf.io.encode_png(image).numpy()
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _content_bytes(image: np.ndarray | bytes | str) -> bytes:
    return image.tobytes() if isinstance(image, np.ndarray) else _file_bytes(image)
