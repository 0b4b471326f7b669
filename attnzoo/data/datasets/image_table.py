"""Images named in a table, with labels or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from attnzoo.config.sections import TableOptions
from attnzoo.data.records import load_records
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.image import ImageOptions

COLUMNS = {"image": ("image",), "label": ("label", "number")}


class Config(ImageOptions, TableOptions):
    """Files by suffix: `.csv`, `.tsv` or `.jsonl`, each also `.gz`; images are named relative to them."""

    name: Literal["image_table"] = Field(
        description="Images named in csv, tsv or jsonl files, with labels or numbers."
    )
    train: str = Field(description="File with the training examples.")
    validation: str | None = Field(
        None, description="File with the validation examples. Default: split off from train."
    )
    test: str | None = Field(None, description="File with the test examples.")
    image: str = Field("image", description="Column (jsonl: key) with the name of the image file.")
    label: str = Field("label", description="Column (jsonl: key) with the label, or with the number.")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str in file order with their labels, as the features want them.

    JPEG, PNG, WebP, GIF (first frame) and BMP, whatever their suffix; each header is checked. With
    `on_bad_record: skip` records are passed over that are not whole or whose image cannot be read.

    Raises:
        UserError: with file and line, whatever in a file is not as expected; an image that cannot be decoded
            although its header is in order is found later, and named alone.
    """
    if config.image == config.label and "label" in features:
        raise UserError(f"data.image and data.label are both {config.image!r}; name two different columns.")
    paths = {"train": config.train, "validation": config.validation, "test": config.test}
    return load_records(paths, {"image": config.image, "label": config.label}, features, config)
