"""Options of the augmentation of training images. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.config.base import PositiveFloat, PositiveInt, Section, named, renamed_from

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]

_ADDONS = "(TensorFlow Addons: Python 3.10 and 3.11 only)"


class ImageChange(Section):
    """Base of the options of every change.

    Attributes:
        needs_addons: whether TensorFlow Addons makes it.
    """

    needs_addons: ClassVar[bool] = False


class AddonsChange(ImageChange):
    """Base of the options of changes by TensorFlow Addons."""

    needs_addons: ClassVar[bool] = True


class Flip(ImageChange):
    """Mirror."""

    name: Literal["flip"] = Field("flip", description="Every second image is mirrored, left to right.")


class FlipVertical(ImageChange):
    """Mirror upside down."""

    name: Literal["flip_vertical"] = Field(
        "flip_vertical", description="Every second image is turned upside down."
    )


class Shift(ImageChange):
    """Shift by whole pixels."""

    name: Literal["shift"] = Field("shift", description="Moved by whole pixels; the mean color moves in.")
    fraction: Fraction = Field(
        0.125,
        description="Largest shift, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class Crop(ImageChange):
    """Random resized crop."""

    name: Literal["crop"] = Field("crop", description="A part of the image, resized to the whole.")
    area: Fraction = Field(0.5, description="Smallest area of the crop, as a fraction of the image.")
    aspect: Annotated[float, Field(ge=1.0, le=4.0)] = Field(
        4 / 3, description="Largest change of the aspect ratio, as a factor, 1 to 4."
    )


class Color(ImageChange):
    """Brightness, contrast, saturation and hue."""

    name: Literal["color"] = Field(
        "color", description="Brightness, contrast and, of color images, saturation and hue."
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

    name: Literal["cutout"] = Field("cutout", description="A square anywhere becomes the mean color.")
    fraction: Fraction = Field(
        0.25,
        description="Side of the square, as a fraction of the shorter side of the image.",
        json_schema_extra=renamed_from("share"),
    )


class Erase(ImageChange):
    """Random erasing."""

    name: Literal["erase"] = Field("erase", description="A rectangle becomes noise.")
    probability: Fraction = Field(0.5, description="Fraction of the images that are changed.")
    area: Fraction = Field(
        0.33, description="Largest area of the rectangle, as a fraction of the image; the smallest is 0.02."
    )


class Rotate(AddonsChange):
    """Rotation."""

    name: Literal["rotate"] = Field("rotate", description=f"Turned about the center {_ADDONS}.")
    degrees: Annotated[float, Field(gt=0.0, le=180.0)] = Field(
        15.0, description="Largest rotation, in degrees, in either direction."
    )


class Shear(AddonsChange):
    """Shear along both axes."""

    name: Literal["shear"] = Field("shear", description=f"Slanted along both axes {_ADDONS}.")
    slope: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.2, description="Largest shear, in pixels of shift per pixel, in either direction."
    )


class Translate(AddonsChange):
    """Shift by parts of pixels."""

    name: Literal["translate"] = Field("translate", description=f"Moved by parts of pixels {_ADDONS}.")
    fraction: Fraction = Field(
        0.125,
        description="Largest shift, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class Equalize(AddonsChange):
    """Histogram equalization."""

    name: Literal["equalize"] = Field(
        "equalize", description=f"Brightness values made equally frequent in each channel {_ADDONS}."
    )
    probability: Fraction = Field(0.5, description="Fraction of the images that are changed.")


class Elastic(AddonsChange):
    """Elastic warp."""

    name: Literal["elastic"] = Field(
        "elastic", description=f"Warped by a smooth random field of 4 x 4 knots {_ADDONS}."
    )
    fraction: Fraction = Field(
        0.06,
        description="Largest distance that a pixel moves, as a fraction of the side.",
        json_schema_extra=renamed_from("share"),
    )


class RandAugment(AddonsChange):
    """RandAugment."""

    name: Literal["rand_augment"] = Field(
        "rand_augment", description=f"Changes drawn for each image from the 14 of the paper {_ADDONS}."
    )
    count: PositiveInt = Field(2, description="Number of changes to each image.")
    magnitude: Annotated[float, Field(gt=0.0, le=30.0)] = Field(
        9.0, description="Strength of the changes, up to 30."
    )


class MixUp(ImageChange):
    """MixUp."""

    name: Literal["mixup"] = Field(
        "mixup", description="Each image is mixed with another one of its batch, and so are their labels."
    )
    alpha: PositiveFloat = Field(0.2, description="The mixing fraction is drawn from Beta(alpha, alpha).")


class CutMix(ImageChange):
    """CutMix."""

    name: Literal["cutmix"] = Field(
        "cutmix",
        description="A rectangle comes from another image of the batch; labels are mixed by its area.",
    )
    alpha: PositiveFloat = Field(1.0, description="The mixing fraction is drawn from Beta(alpha, alpha).")


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
    | Equalize
    | Elastic
    | RandAugment
    | MixUp
    | CutMix
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
    "equalize",
    "elastic",
    "rand_augment",
    "mixup",
    "cutmix",
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
