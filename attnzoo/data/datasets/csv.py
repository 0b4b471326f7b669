"""Texts with labels or numbers from CSV, TSV or JSON Lines files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from attnzoo.config.sections import TableOptions
from attnzoo.data.records import load_records
from attnzoo.data.splits import DataSplits
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.labels import LabelsOptions
from attnzoo.features.text import TextOptions

COLUMNS = {"text": ("text",), "label": None}


class Config(TextOptions, LabelsOptions, TableOptions):
    """Files by suffix: `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, each also with `.gz`; UTF-8."""

    name: Literal["csv"] = Field(description="Texts with labels or numbers from csv, tsv or jsonl files.")
    train: str = Field(description="File with the training examples.")
    validation: str | None = Field(
        None, description="File with the validation examples. Default: split off from train."
    )
    test: str | None = Field(None, description="File with the test examples.")
    text: str = Field("text", description="Column (jsonl: key) with the text.")
    label: str = Field("label", description="Column (jsonl: key) with the label, or with the number.")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns texts <object>[examples] in file order with their labels, as the features want them.

    Labels are the sorted labels of train, white space around them removed; where there are none, no column of
    labels is read. Empty lines are skipped. With `on_bad_record: skip` so are records that are not whole, and
    records of a label that train does not have.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    if config.text == config.label and "label" in features:
        raise UserError(f"data.text and data.label are both {config.text!r}; name two different columns.")
    paths = {"train": config.train, "validation": config.validation, "test": config.test}
    return load_records(paths, {"text": config.text, "label": config.label}, features, config)
