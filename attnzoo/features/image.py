"""Images as pixels."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from etils import epy

from attnzoo import addons
from attnzoo.config.base import Problem
from attnzoo.config.sections import DataOptions, FileOptions
from attnzoo.features.feature import Column, Feature, RawReader, digest
from attnzoo.features.image_data_options import MEGAPIXEL, ImageOptions, max_pixels, sides_of
from attnzoo.features.packing import pack_bytes, unpack_bytes
from attnzoo.images.image_files import identify_files, parse_header, read_header
from attnzoo.images.image_headers import MAX_DECODED_PIXELS, MAX_PIXELS, ImageHeader
from attnzoo.images.image_inputs import image_inputs
from attnzoo.images.letterbox import Resize
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import require_string, require_text
from attnzoo.records.text_files import object_array

with epy.lazy_imports():
    import tensorflow as tf

    from attnzoo.images import augmentation, decoding, image_statistics, pixels


class Image(Feature):
    """Images as pixels, resized to one shape.

    A column is <uint8>[examples, height, width, channels], or <object>[examples] of encoded `bytes` or of
    paths as `str`.

    Attributes:
        shape: (height, width, channels) that every image is resized to; empty before learning.
        resize: how they are resized, see `images.letterbox`.
        mean: mean of the training pixels of each channel, 0 to 1.
        std: standard deviation of the training pixels of each channel, 0 to 1.
        background: red, green and blue, 0 to 255, of the background of transparent images; empty for none.
        max_value: value of white in images with 16 bits per channel; 0 if train has none.
        max_megapixels: size of the largest image file that is read, in millions of pixels.
    """

    is_content: ClassVar[bool] = True
    is_augmented: ClassVar[bool] = True
    compiles_well: ClassVar[bool] = False
    noun: ClassVar[str] = "image name"
    Options: ClassVar[type[DataOptions]] = ImageOptions

    kind: Literal["image"] = "image"
    shape: tuple[int, ...] = ()
    resize: Resize = "stretch"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    background: tuple[int, ...] = ()
    max_value: int = 0
    max_megapixels: int = MAX_PIXELS // MEGAPIXEL

    @property
    def pixel_format(self) -> decoding.PixelFormat:
        """Format that image files are decoded to; color before learning."""
        return decoding.PixelFormat(self.shape[2] if self.shape else 3, self.background, self.max_value)

    @property
    def max_pixels(self) -> int:
        """Number of pixels of the largest image file that is read."""
        return self.max_megapixels * MEGAPIXEL

    @property
    def bars(self) -> tuple[float, ...] | None:
        """Color of the bars of a letterbox, 0 to 1 for each channel; None where images are stretched."""
        return self.mean if self.resize == "letterbox" else None

    def read(self, location: str, name: str, value: Any, options: DataOptions) -> str:
        """Returns the path of an image file, given relative to its folder, after checking its header."""
        require_string(location, name, value)
        require_text(location, self.noun, value)
        file = value.strip()
        if not file.isprintable():
            message = "the image name is not printable UTF-8 text; rename the file."
            raise BadRecord(location, "with an unprintable name", message)
        table = location.rpartition(":")[0]
        folder = options.image_folder(table) if isinstance(options, ImageOptions) else Path(table).parent
        path = _as_on_disk(folder / file)
        try:
            read_header(path, max_pixels=max_pixels(options))
        except BadRecord as bad:
            hint = "" if os.path.exists(path) else " data.images is the folder of the images."
            raise BadRecord(location, bad.reason, f"{bad}{hint}") from None
        return str(path)

    def unreadable(self, values: Sequence[str]) -> dict[int, BadRecord]:
        """Returns the images that cannot be decoded although their headers are valid."""
        undecodable = {
            bad.location: bad for bad in pixels.undecodable(self.column(values), self.pixel_format, "")
        }
        return {index: undecodable[path] for index, path in enumerate(values) if path in undecodable}

    def check_raw(self, location: str, value: str, folder: Path | None) -> None:
        """Rejects a path that is not an image file with a valid header."""
        require_text(location, self.noun, value)
        try:
            read_header(find_file(value, folder), max_pixels=self.max_pixels)
        except BadRecord as bad:
            if location == value:  # named on the command line, not in a list
                raise
            raise BadRecord(location, bad.reason, str(bad)) from None

    def locate(self, value: str, folder: Path | None) -> str:
        """Returns the path of the file."""
        return str(find_file(value, folder))

    def expand_input(self, argument: str) -> list[str] | None:
        """Returns the paths that an image file, a folder or a glob pattern stands for."""
        return image_inputs(argument)

    def column(self, values: Sequence[str]) -> Column:
        """Returns <object>[examples] of paths."""
        return object_array(list(values))

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        """Yields a size that no image may have."""
        if isinstance(options, ImageOptions) and options.image_size is not None:
            height, width = sides_of(options.image_size)
            if height * width > MAX_PIXELS:
                most = MAX_PIXELS // MEGAPIXEL
                yield (
                    "image_size",
                    f"{height} x {width} pixels; expected at most {most} megapixels, make it smaller",
                )

    def machine_problems(self, options: DataOptions) -> Iterator[Problem]:
        """Yields changes of images by TensorFlow Addons where it is missing."""
        for number, change in enumerate(options.augment if isinstance(options, ImageOptions) else ()):
            if change.needs_addons and not addons.is_installed():
                yield ("augment", number), f"TensorFlow Addons is {addons.missing()}"

    def learn(
        self, columns: Sequence[Column], options: DataOptions, initial: Feature | None, origin: str
    ) -> Image:
        """Learns the shape, background, value of white and pixel statistics."""
        if not isinstance(options, ImageOptions):
            raise ValueError(
                f"Data set '{options.name}' has no image options; expected a subclass of ImageOptions."
            )
        (column,) = columns
        headers = image_statistics.headers_of(column, origin)
        channels = options.channels or image_statistics.num_channels(headers)
        shape = (*_height_and_width(column, headers, options, origin), channels)
        chosen = {"shape": shape, "resize": options.resize, "max_megapixels": options.max_megapixels}
        learned = self.model_copy(update=chosen)
        learned.check(column, options, origin)
        image_statistics.warn_of_transparent_gifs(headers, origin)
        try:
            return learned._learn_pixels(column, headers, options, origin)
        except tf.errors.OpError:
            damaged = learned.find_damaged(column, origin)
            if damaged is None:
                raise
            raise damaged from None

    def _learn_pixels(
        self, column: Column, headers: Sequence[ImageHeader], options: ImageOptions, origin: str
    ) -> Image:
        """Learns the properties that require decoding."""
        background = (
            image_statistics.choose_background(column, headers, origin)
            if options.background == "auto"
            else _rgb(options.background)
        )
        max_value = options.max_value
        if max_value is None:
            max_value = image_statistics.choose_max_value(column, headers, origin)
        learned = self.model_copy(update={"background": background, "max_value": max_value})
        mean, std = image_statistics.pixel_statistics(column, self.shape, learned.pixel_format)
        return learned.model_copy(update={"mean": mean, "std": std})

    def check(self, column: Column, options: DataOptions, origin: str) -> None:
        """Decodes every image once unless that takes minutes, to report damage before training."""
        if isinstance(options, FileOptions) and options.on_bad_record == "skip":
            return  # the loader has done it
        try:
            pixels.check_decodable(column, self.pixel_format, origin)
        except BadRecord as bad:
            raise (bad.with_advice() if isinstance(options, FileOptions) else bad) from None

    def graph_batch(self, encoded: Column) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a function from indices to images [batch, height, width, channels].

        They are <uint8>, or <float32> in 0 to 1 if train has images with 16 bits per channel.
        """
        return pixels.read_images(encoded, self.shape, self.pixel_format, self.bars)

    def augment(
        self,
        tensors: Mapping[str, tf.Tensor],
        options: DataOptions,
        seeds: tf.Tensor,
        fraction_done: tf.Tensor | float = 0.0,
    ) -> dict[str, tf.Tensor]:
        """Applies the augmentation of `data.augment`; images keep their type."""
        changes = options.augment if isinstance(options, ImageOptions) else ()
        return augmentation.augment(tensors, changes, seeds, tf.constant(self.mean), fraction_done)

    def prepare(self, values: tf.Tensor) -> tf.Tensor:
        """Returns images with zero mean and unit variance per channel, <float32>."""
        return pixels.standardize(values, self.mean, self.std)

    def find_damaged(self, encoded: Column, origin: str) -> BadRecord | None:
        """Returns the first image that can no longer be decoded."""
        return next(pixels.undecodable(encoded, self.pixel_format, origin), None)

    def raw(self, column: Column) -> list[bytes]:
        """Returns the bytes of the image files."""
        return [file_bytes(image) for image in column]

    def pack(self, column: Column) -> dict[str, np.ndarray]:
        """Returns the bytes of the image files; pixels become PNG files."""
        return pack_bytes(self.raw(column))

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Column:
        """Returns the encoded images that `pack` has packed."""
        images = unpack_bytes(arrays)
        for number, image in enumerate(images):
            try:
                parse_header(image, f"image {number}", max_pixels=self.max_pixels)
            except BadRecord as bad:
                raise ValueError(str(bad)) from None
        return object_array(images)

    def raw_reader(self, length: int | None) -> RawReader:
        """Returns the conversion of JPEG, PNG, WebP, GIF (first frame) or BMP bytes to images of a batch."""

        def read(strings: tf.Tensor) -> tf.Tensor:
            return tf.map_fn(
                lambda encoded: pixels.resize(
                    decoding.decode(encoded, self.pixel_format), self.shape, self.bars
                ),
                strings,
                fn_output_signature=tf.TensorSpec(self.shape, self.pixel_format.dtype),
            )

        return RawReader([], read)

    def first(self, column: Column) -> np.ndarray:
        """Returns all images of a column, as returned by `graph_batch`."""
        return self.graph_batch(column)(tf.range(len(column))).numpy()

    def describe(self, name: str, column: Column, encoded: Column) -> dict[str, Any]:
        """Returns the number of images of each size, format and number of channels."""
        headers = image_statistics.headers_of(column, name)
        return {
            "sizes": dict(Counter(f"{header.height} x {header.width}" for header in headers).most_common()),
            "formats": dict(Counter(header.format for header in headers).most_common()),
            "channels": dict(Counter(header.channels for header in headers).most_common()),
        }

    def summary(self, name: str) -> str:
        """Returns the shape."""
        return " x ".join(map(str, self.shape)) + " pixels"

    def contents(self, columns: Sequence[Column]) -> list[list[Hashable]]:
        """Returns digests of pixels or bytes; files are only read if their size occurs in every column."""
        if not all(column.dtype == object and isinstance(column[0], str) for column in columns):
            return [[digest(_content_bytes(image)) for image in column] for column in columns]
        sizes = [[os.path.getsize(path) for path in column] for column in columns]
        common = set.intersection(*map(set, sizes))
        return [
            [
                digest(Path(path).read_bytes()) if size in common else path
                for path, size in zip(column, column_sizes, strict=True)
            ]
            for column, column_sizes in zip(columns, sizes, strict=True)
        ]

    def fingerprint(self, column: Column) -> Iterator[bytes]:
        """Yields pixels or bytes; of files what `identify_files` yields, so that their folder may move."""
        if column.dtype == object and isinstance(column[0], str):
            column = object_array(list(identify_files(list(column))))
        yield from super().fingerprint(column)

    def problems(self, name: str) -> Iterator[str]:
        """Yields invalid shapes and statistics."""
        shape = self.shape
        is_valid = len(shape) == 3 and min(shape) > 0 and shape[2] in (1, 3)
        if not is_valid or shape[0] * shape[1] > MAX_PIXELS:
            yield f"{name}.shape: {shape}"
        elif not (len(self.mean) == len(self.std) == shape[2] and min(self.std) > 0.0):
            yield f"{name}.mean, {name}.std: expected a number per channel, std above 0"
        if len(self.background) not in (0, 3) or not all(0 <= value <= 255 for value in self.background):
            yield f"{name}.background: {self.background}"
        if not 0 <= self.max_value <= 65535:
            yield f"{name}.max_value: {self.max_value}"
        if not 0 < self.max_megapixels <= MAX_DECODED_PIXELS // MEGAPIXEL:
            yield f"{name}.max_megapixels: {self.max_megapixels}"


def _height_and_width(
    column: Column, headers: Sequence[ImageHeader], options: ImageOptions, origin: str
) -> tuple[int, int]:
    if options.image_size is not None:
        return sides_of(options.image_size)
    sizes = [header.sides for header in headers]
    image_statistics.note_sizes(column, sizes, origin)
    return image_statistics.default_size(sizes)


def _rgb(background: str | list[int]) -> tuple[int, ...]:
    named = image_statistics.BACKGROUNDS
    return named[background] if isinstance(background, str) else tuple(background)


def image_name(column: Column, index: int) -> str:
    """Returns the name of an example's image: its path, or its number."""
    return column[index] if isinstance(column[index], str) else f"number {index}"


def find_file(name: str, folder: Path | None = None) -> Path:
    """Returns the path of an image file in a folder, or else in the working directory."""
    path = Path(name.strip())
    in_folder = path if folder is None else _as_on_disk(folder / path)
    return in_folder if os.path.exists(in_folder) else _as_on_disk(path)


def _as_on_disk(path: Path) -> Path:
    """Returns the path in the Unicode normal form, NFC or NFD, in which the file exists."""
    if not os.path.exists(path):
        for form in ("NFC", "NFD"):
            other = unicodedata.normalize(form, str(path))
            if os.path.exists(other):
                return Path(other)
    return path


def file_bytes(image: np.ndarray | bytes | str) -> bytes:
    """Returns the bytes of an image file for a value of a column; pixels become a PNG file."""
    if isinstance(image, np.ndarray):
        return tf.io.encode_png(image).numpy()
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _content_bytes(image: np.ndarray | bytes | str) -> bytes:
    return image.tobytes() if isinstance(image, np.ndarray) else file_bytes(image)
