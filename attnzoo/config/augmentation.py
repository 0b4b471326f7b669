"""Options of the random changes of training images. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.config.base import PositiveFloat, PositiveInt, Section, named, renamed_from

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]


BOXES = "boxes"
"""The feature whose boxes move with the pixels."""


class ImageChange(Section):
    """Base of the options of every change.

    Attributes:
        needs_addons: whether TensorFlow Addons makes it.
        supports_boxes: whether it suits images with boxes: no pixel moves, or the boxes move along.
        needs_boxes: whether it is for images with boxes alone.
    """

    needs_addons: ClassVar[bool] = False
    supports_boxes: ClassVar[bool] = True
    needs_boxes: ClassVar[bool] = False


class LosingChange(ImageChange):
    """Base of the options of the changes after which a part of a box may not be visible."""

    min_visible: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.25,
        description="Smallest visible fraction of a box, 0 to 1: one of which less is left is dropped. "
        "Without effect on images without boxes.",
    )


class Flip(ImageChange):
    """Mirror."""

    name: Literal["flip"] = Field("flip", description="Mirrors half of the images left to right.")


class FlipVertical(ImageChange):
    """Mirror upside down."""

    name: Literal["flip_vertical"] = Field(
        "flip_vertical", description="Mirrors half of the images upside down."
    )


class Shift(LosingChange):
    """Shift by whole pixels."""

    name: Literal["shift"] = Field("shift", description="Moves by whole pixels; the mean color moves in.")
    fraction: Fraction = Field(
        0.125,
        description="Largest shift, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class Crop(LosingChange):
    """Random resized crop."""

    name: Literal["crop"] = Field("crop", description="Takes a part of the image, resized to the whole.")
    area: Fraction = Field(0.5, description="Smallest area of the crop, as a fraction of the image.")
    aspect: Annotated[float, Field(ge=1.0, le=4.0)] = Field(
        4 / 3, description="Largest change of the aspect ratio, as a factor, 1 to 4."
    )


class Color(ImageChange):
    """Brightness, contrast, saturation and hue."""

    name: Literal["color"] = Field(
        "color", description="Changes brightness, contrast and, of color images, saturation and hue."
    )
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.2, description="Largest amount that is added or subtracted, as a fraction of white."
    )
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="Largest change: the factor is between 1 - this and 1 + this."
    )
    saturation: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="Largest change: the factor is between 1 - this and 1 + this."
    )
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.02, description="Largest rotation of the hue, in turns of the color wheel."
    )


class Cutout(ImageChange):
    """A square becomes the mean color."""

    name: Literal["cutout"] = Field("cutout", description="Fills a square anywhere with the mean color.")
    fraction: Fraction = Field(
        0.25,
        description="Side of the square, as a fraction of the shorter side of the image.",
        json_schema_extra=renamed_from("share"),
    )


class Erase(ImageChange):
    """Random erasing."""

    name: Literal["erase"] = Field("erase", description="Fills a rectangle with noise.")
    probability: Fraction = Field(0.5, description="Fraction of the images that are changed.")
    area: Fraction = Field(
        0.33, description="Largest area of the rectangle, as a fraction of the image; the smallest is 0.02."
    )


class Rotate(LosingChange):
    """Rotation."""

    name: Literal["rotate"] = Field(
        "rotate", description="Rotates about the center; the mean color moves in."
    )
    degrees: Annotated[float, Field(gt=0.0, le=180.0)] = Field(
        15.0, description="Largest rotation, in degrees, in either direction."
    )


class Shear(LosingChange):
    """Shear along both axes."""

    name: Literal["shear"] = Field(
        "shear", description="Slants along both axes about the center; the mean color moves in."
    )
    slope: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.2, description="Largest shear, in pixels of shift per pixel, in either direction."
    )


class Translate(LosingChange):
    """Shift by fractions of pixels."""

    name: Literal["translate"] = Field(
        "translate", description="Moves by fractions of pixels; the mean color moves in."
    )
    fraction: Fraction = Field(
        0.125,
        description="Largest shift, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class Zoom(LosingChange):
    """Zoom in or out."""

    name: Literal["zoom"] = Field(
        "zoom", description="Makes larger or smaller about the center; the mean color moves in."
    )
    factor: Annotated[float, Field(gt=1.0, le=4.0)] = Field(
        1.25, description="Largest factor by which sides grow, or shrink, 1 to 4."
    )


class Perspective(LosingChange):
    """Change of perspective."""

    name: Literal["perspective"] = Field(
        "perspective", description="Moves each corner on its own; the mean color moves in."
    )
    fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.1, description="Largest distance that a corner moves, as a fraction of the side, below 0.5."
    )


class Elastic(ImageChange):
    """Elastic warp."""

    supports_boxes: ClassVar[bool] = False

    name: Literal["elastic"] = Field("elastic", description="Warps by a smooth random field of 4 x 4 knots.")
    fraction: Fraction = Field(
        0.06,
        description="Largest distance that a pixel moves, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class Equalize(ImageChange):
    """Histogram equalization."""

    name: Literal["equalize"] = Field(
        "equalize", description="Makes the values of each channel equally frequent."
    )
    probability: Fraction = Field(0.5, description="Fraction of the images that are changed.")


class GaussianBlur(ImageChange):
    """Gaussian blur."""

    name: Literal["gaussian_blur"] = Field("gaussian_blur", description="Blurs by a Gaussian kernel.")
    probability: Fraction = Field(0.5, description="Fraction of the images that are changed.")
    sigma: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        1.0, description="Largest standard deviation in pixels; the smallest is 0.1."
    )


class MedianBlur(ImageChange):
    """Median filter."""

    needs_addons: ClassVar[bool] = True

    name: Literal["median_blur"] = Field(
        "median_blur",
        description="Replaces each pixel by the median of its neighborhood; slow for large images "
        "(TensorFlow Addons: Python 3.10 and 3.11 only).",
    )
    probability: Fraction = Field(0.1, description="Fraction of the images that are changed.")
    size: Literal[3, 5, 7] = Field(3, description="Side of the neighborhood in pixels.")


class RandAugment(ImageChange):
    """RandAugment."""

    supports_boxes: ClassVar[bool] = False

    name: Literal["rand_augment"] = Field(
        "rand_augment", description="Applies changes drawn for each image from the 14 of the paper."
    )
    count: PositiveInt = Field(2, description="Number of changes to each image.")
    magnitude: Annotated[float, Field(gt=0.0, le=30.0)] = Field(
        9.0, description="Strength of the changes, up to 30."
    )


class MixUp(LosingChange):
    """MixUp."""

    name: Literal["mixup"] = Field(
        "mixup", description="Mixes each image, and its label, with another one of its batch."
    )
    alpha: PositiveFloat = Field(0.2, description="The mixing fraction is drawn from Beta(alpha, alpha).")


class CutMix(ImageChange):
    """CutMix."""

    supports_boxes: ClassVar[bool] = False

    name: Literal["cutmix"] = Field(
        "cutmix",
        description="Fills a rectangle with pixels of another image of the batch; labels are mixed by area.",
    )
    alpha: PositiveFloat = Field(1.0, description="The mixing fraction is drawn from Beta(alpha, alpha).")


class Mosaic(LosingChange):
    """Mosaic."""

    needs_boxes: ClassVar[bool] = True

    name: Literal["mosaic"] = Field(
        "mosaic",
        description="Joins four images of the batch, with their boxes, around a random center; the mean "
        "color is where none of them reaches. For images with boxes only.",
    )
    probability: Fraction = Field(1.0, description="Fraction of the images that are changed.")
    until: Fraction = Field(
        0.9, description="Fraction of training after which it is off, so that the end is on whole images."
    )
    factor: Annotated[float, Field(ge=1.0, le=4.0)] = Field(
        1.5, description="Largest factor by which the sides of each image grow, or shrink, 1 to 4."
    )


_Change = (
    Flip
    | FlipVertical
    | Shift
    | Crop
    | Color
    | Cutout
    | Erase
    | Rotate
    | Shear
    | Translate
    | Zoom
    | Perspective
    | Elastic
    | Equalize
    | GaussianBlur
    | MedianBlur
    | RandAugment
    | MixUp
    | CutMix
    | Mosaic
)
_Name = Literal[
    "flip",
    "flip_vertical",
    "shift",
    "crop",
    "color",
    "cutout",
    "erase",
    "rotate",
    "shear",
    "translate",
    "zoom",
    "perspective",
    "elastic",
    "equalize",
    "gaussian_blur",
    "median_blur",
    "rand_augment",
    "mixup",
    "cutmix",
    "mosaic",
]
_Discriminated = Annotated[_Change, Field(discriminator="name")]

Change = Annotated[_Discriminated, BeforeValidator(named, json_schema_input_type=_Name | _Discriminated)]
"""One augmentation with its options, or its bare name."""

_ADAPTER: TypeAdapter[list[_Change]] = TypeAdapter(list[Change])


def parse(changes: Sequence[Section | Mapping[str, Any] | str]) -> list[_Change]:
    """Returns the options of augmentations, each given as options, a mapping with `name`, or a name.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.

    Examples:
        >>> [change.name for change in parse(["flip", {"name": "crop", "area": 0.7}])]
        ['flip', 'crop']
    """
    return _ADAPTER.validate_python(list(changes))
