"""Images listed in a table, with labels or numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.config.sections import TableOptions, files_of_splits
from attnzoo.config.source import KeyPath
from attnzoo.data.records import check_columns, load_records, require_columns, suffix_problems
from attnzoo.data.splits import DataSplits
from attnzoo.features.feature import Feature
from attnzoo.features.image import ImageOptions

COLUMNS = {"image": ("image",), "label": ("label", "number")}


class Config(ImageOptions, TableOptions):
    """Files ending in `.csv`, `.tsv` or `.jsonl`, optionally `.gz`; image paths are relative to them."""

    name: Literal["image_table"] = Field(
        description="Images listed in csv, tsv or jsonl files, with labels or numbers."
    )
    train: str = Field(description="Training file.")
    validation: str | None = Field(
        None, description="Validation file, for selecting a checkpoint. Default: held out from train."
    )
    test: str | None = Field(None, description="Test file, for the final evaluation.")
    image: str = Field(
        "image", description="Column (jsonl: key) with the path of the image file, relative to the table."
    )
    label: str = Field(
        "label", description="Column (jsonl: key) with the label, or the number for regression."
    )

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields files whose names do not say what is in them, and what `TableOptions` yields."""
        yield from super().problems(features)
        yield from suffix_problems(self.files())

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the file of each split."""
        return files_of_splits(self.train, self.validation, self.test)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the columns of a file."""
        check_columns(file, self, features)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns paths <object>[examples] of str in file order, with labels or numbers.

    Images may be JPEG, PNG, WebP, GIF (first frame) or BMP files with any suffix; every header is checked.
    With `on_bad_record: skip`, incomplete records and records whose image cannot be read are skipped.

    Raises:
        UserError: a file or record cannot be used; names file and line. An image with a valid header that
            cannot be decoded is only found later, and named without the line.
    """
    require_columns(config, features)
    paths = {"train": config.train, "validation": config.validation, "test": config.test}
    return load_records(paths, {"image": config.image, "label": config.label}, features, config)
