"""Texts with labels or numbers, from CSV, TSV or JSON Lines files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from attnzoo.data.records import TableFileOptions, load_records
from attnzoo.data.splits import DataSplits
from attnzoo.features.feature import Feature
from attnzoo.features.labels import LabelsOptions
from attnzoo.features.text import TextOptions

COLUMNS = {"text": ("text",), "label": None}


class Config(TextOptions, LabelsOptions, TableFileOptions):
    """UTF-8 files ending in `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, optionally followed by `.gz`."""

    name: Literal["csv"] = Field(description="Texts with labels or numbers, from csv, tsv or jsonl files.")
    text: str = Field("text", description="Column (jsonl: key) with the text.")
    label: str = Field(
        "label", description="Column (jsonl: key) with the label, or the number for regression."
    )


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns texts <object>[examples] in file order, with labels or numbers if the task has them.

    The classes are the distinct labels of train, stripped and sorted. Empty lines are skipped. With
    `on_bad_record: skip`, so are incomplete records and records with a label that train does not have.

    Raises:
        UserError: a file or record cannot be used; names file and line.
    """
    return load_records(config, features)
