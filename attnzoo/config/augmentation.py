"""What a config can say about random changes of training images. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from attnzoo.config.base import PositiveFloat, PositiveInt, Section, named

Share = Annotated[float, Field(gt=0.0, le=1.0)]

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

    name: Literal["shift"] = Field("shift", description="Moved by whole pixels; the mean colour moves in.")
    share: Share = Field(0.125, description="Most, as a share of a side.")


class Crop(ImageChange):
    """Random resized crop."""

    name: Literal["crop"] = Field("crop", description="A part of the image, resized to the whole.")
    area: Share = Field(0.5, description="Least area of the part, as a share of the image.")
    aspect: Annotated[float, Field(ge=1.0, le=4.0)] = Field(
        4 / 3, description="Most that the part's sides are stretched against each other, 1 to 4."
    )


class Color(ImageChange):
    """Brightness, contrast, saturation and hue."""

    name: Literal["color"] = Field(
        "color", description="Brightness, contrast and, of colour images, saturation and hue."
    )
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.2, description="Most that is added or taken away, as a share of white."
    )
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.2, description="Factor 1 - this to 1 + this.")
    saturation: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.2, description="Factor 1 - this to 1 + this."
    )
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.02, description="Most turn, in turns of the colour circle."
    )


class Cutout(ImageChange):
    """A square becomes the mean colour."""

    name: Literal["cutout"] = Field("cutout", description="A square anywhere becomes the mean colour.")
    share: Share = Field(0.25, description="Its side, as a share of the shorter side of the image.")


class Erase(ImageChange):
    """Random erasing."""

    name: Literal["erase"] = Field("erase", description="A rectangle becomes noise.")
    probability: Share = Field(0.5, description="Share of the images.")
    area: Share = Field(0.33, description="Largest area; the smallest is 0.02 of the image.")


class Rotate(AddonsChange):
    """Rotation."""

    name: Literal["rotate"] = Field("rotate", description=f"Turned about the centre {_ADDONS}.")
    degrees: Annotated[float, Field(gt=0.0, le=180.0)] = Field(15.0, description="Most, either way.")


class Shear(AddonsChange):
    """Shear along both axes."""

    name: Literal["shear"] = Field("shear", description=f"Slanted along both axes {_ADDONS}.")
    slope: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.2, description="Most, pixels a pixel, either way."
    )


class Translate(AddonsChange):
    """Shift by parts of pixels."""

    name: Literal["translate"] = Field("translate", description=f"Moved by parts of pixels {_ADDONS}.")
    share: Share = Field(0.125, description="Most, as a share of a side.")


class Equalize(AddonsChange):
    """Histogram equalization."""

    name: Literal["equalize"] = Field(
        "equalize", description=f"Brightness values made equally frequent in each channel {_ADDONS}."
    )
    probability: Share = Field(0.5, description="Share of the images.")


class Elastic(AddonsChange):
    """Elastic warp."""

    name: Literal["elastic"] = Field(
        "elastic", description=f"Warped by a smooth random field of 4 x 4 knots {_ADDONS}."
    )
    share: Share = Field(0.06, description="Most that a pixel moves, as a share of a side.")


class RandAugment(AddonsChange):
    """RandAugment."""

    name: Literal["rand_augment"] = Field(
        "rand_augment", description=f"Changes drawn for each image from the 14 of the paper {_ADDONS}."
    )
    count: PositiveInt = Field(2, description="Changes of an image.")
    magnitude: Annotated[float, Field(gt=0.0, le=30.0)] = Field(
        9.0, description="How strong they are, to 30."
    )


class MixUp(ImageChange):
    """MixUp."""

    name: Literal["mixup"] = Field(
        "mixup", description="Each image is mixed with another one of its batch, and so are their labels."
    )
    alpha: PositiveFloat = Field(0.2, description="The share is drawn from Beta(alpha, alpha).")


class CutMix(ImageChange):
    """CutMix."""

    name: Literal["cutmix"] = Field(
        "cutmix",
        description="A rectangle comes from another image of the batch; labels are mixed by its area.",
    )
    alpha: PositiveFloat = Field(1.0, description="The share is drawn from Beta(alpha, alpha).")


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
"""One kind of change with its options, or its bare name."""

_ADAPTER: TypeAdapter[list[_Change]] = TypeAdapter(list[Change])


def parse(changes: Sequence[Section | Mapping[str, Any] | str]) -> list[_Change]:
    """Returns checked options of each change: an options object, a mapping with `name`, or a name.

    Raises:
        pydantic.ValidationError: unknown name or option, or a value out of range.
    """
    return _ADAPTER.validate_python(list(changes))
