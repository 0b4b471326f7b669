"""Texts with labels or numbers, from CSV, TSV or JSON Lines files."""

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
from attnzoo.features.labels import LabelsOptions
from attnzoo.features.text import TextOptions

COLUMNS = {"text": ("text",), "label": None}


class Config(TextOptions, LabelsOptions, TableOptions):
    """UTF-8 files ending in `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, optionally followed by `.gz`."""

    name: Literal["csv"] = Field(description="Texts with labels or numbers, from csv, tsv or jsonl files.")
    train: str = Field(description="Training file.")
    validation: str | None = Field(
        None, description="Validation file, for selecting a checkpoint. Default: held out from train."
    )
    test: str | None = Field(None, description="Test file, for the final evaluation.")
    text: str = Field("text", description="Column (jsonl: key) with the text.")
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
    """Returns texts <object>[examples] in file order, with labels or numbers if the task has them.

    The classes are the distinct labels of train, stripped and sorted. Empty lines are skipped. With
    `on_bad_record: skip`, so are incomplete records and records with a label that train does not have.

    Raises:
        UserError: a file or record cannot be used; names file and line.
    """
    require_columns(config, features)
    paths = {"train": config.train, "validation": config.validation, "test": config.test}
    return load_records(paths, {"text": config.text, "label": config.label}, features, config)
