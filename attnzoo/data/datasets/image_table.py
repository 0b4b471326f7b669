"""Images listed in a table, with labels or numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from attnzoo.config.source import KeyPath
from attnzoo.data.records import TableFileOptions, load_records
from attnzoo.data.splits import DataSplits
from attnzoo.features.feature import Feature
from attnzoo.features.image_data_options import ImageOptions
from attnzoo.features.weight import WeightOptions

COLUMNS = {"image": ("image",), "label": ("label", "number"), "weight": ("weight",)}


class Config(ImageOptions, WeightOptions, TableFileOptions):
    """Files ending in `.csv`, `.tsv` or `.jsonl`, optionally `.gz`; image paths are relative to a folder."""

    name: Literal["image_table"] = Field(
        description="Images listed in csv, tsv or jsonl files, with labels or numbers."
    )
    images: str | None = Field(
        None, description="Folder that the paths of the images are relative to. Default: that of the table."
    )
    image: str = Field(
        "image",
        description="Column (jsonl: key) with the path of the image file, relative to the table, or to "
        "data.images.",
    )
    label: str = Field(
        "label", description="Column (jsonl: key) with the label, or the number for regression."
    )

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the tables, and the folder of the images."""
        yield from super().files()
        if self.images is not None:
            yield ("images",), self.images

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has tables or the folder of the images."""
        return key == "images" or super().is_path(key, text)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the header of a table."""
        if file != self.images:
            super().check_file(file, features)

    def image_folder(self, table: str) -> Path:
        """Returns `data.images`, or the folder of the table."""
        return super().image_folder(table) if self.images is None else Path(self.images)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str in file order, with labels or numbers.

    Images may be JPEG, PNG, WebP, GIF (first frame) or BMP files with any suffix; every header is checked.
    With `on_bad_record: skip`, incomplete records and records whose image cannot be read are skipped.

    Raises:
        UserError: a file or record cannot be used; names file and line. An image with a valid header that
            cannot be decoded is only found later, and named without the line.
    """
    return load_records(config, features)
