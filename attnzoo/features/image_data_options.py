"""Options of data with images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from attnzoo.config.augmentation import Change
from attnzoo.config.augmentation_checks import box_problems, unused_without_boxes
from attnzoo.config.base import PositiveInt, Problem
from attnzoo.config.sections import DataOptions
from attnzoo.images.image_headers import MAX_DECODED_PIXELS, MAX_PIXELS
from attnzoo.images.letterbox import Resize

MEGAPIXEL = 1_000_000

Rgb: TypeAlias = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
"""Red, green and blue."""


class ImageOptions(DataOptions):
    """Options of data with images."""

    image_size: PositiveInt | Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="Size in pixels that images are resized to: [height, width], or one number for both. "
        "Default: the size of the images if all are equal and at most 512 per side, else their median size, "
        "at most 224 per side.",
    )
    resize: Resize = Field(
        "stretch",
        description="How images become that size. stretch: to both sides. letterbox: the aspect ratio is "
        "kept, and bars of the mean color fill the rest.",
    )
    channels: Literal[1, 3] | None = Field(
        None,
        description="1 for grayscale, 3 for color. Default: 3 if any image of train has color, else 1.",
    )
    background: Literal["auto", "white", "black", "gray"] | Rgb = Field(
        "auto",
        description="Background color of transparent PNG and WebP images: a name or [red, green, blue], each "
        "0 to 255. auto: white, or black or gray if images of train would be invisible on white.",
    )
    max_value: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None,
        description="Value of white in PNG images with 16 bits per channel, 1 to 65535; for example 4095 for "
        "12-bit data. Default: the largest value of as many bits as train uses.",
    )
    max_megapixels: Annotated[int, Field(ge=1, le=MAX_DECODED_PIXELS // MEGAPIXEL)] = Field(
        MAX_PIXELS // MEGAPIXEL,
        description="Size of the largest image file that is read, in millions of pixels, in predictions too. "
        "Decoding one takes 3 bytes a pixel, resizing it 12.",
    )
    augment: list[Change] = Field(
        [],
        description="Random image augmentation in training, applied in this order: names, or {name: NAME} "
        "with options.",
    )

    def image_folder(self, table: str) -> Path:
        """Returns the folder that the paths of images in a table are relative to."""
        return Path(table).parent

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields changes of images that do not suit a task with boxes, or one without."""
        yield from super().problems(features)
        yield from box_problems(self.augment, features)

    def unused(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields options of changes that concern boxes where there are none."""
        yield from super().unused(features)
        yield from unused_without_boxes(self.augment, features)


def max_pixels(options: DataOptions) -> int:
    """Returns the number of pixels of the largest image file that `data.max_megapixels` lets in."""
    return options.max_megapixels * MEGAPIXEL if isinstance(options, ImageOptions) else MAX_PIXELS


def sides_of(size: int | list[int]) -> tuple[int, int]:
    """Returns the height and width that `data.image_size` gives."""
    height, width = [size, size] if isinstance(size, int) else size
    return height, width
