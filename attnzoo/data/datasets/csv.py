"""Texts with labels or numbers, or pairs of texts, from CSV, TSV or JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from attnzoo.config.base import Problem
from attnzoo.data.records import TableFileOptions, load_records
from attnzoo.data.splits import DataSplits
from attnzoo.features.feature import Feature
from attnzoo.features.labels import LabelsOptions
from attnzoo.features.text import TextPairOptions
from attnzoo.features.weight import WeightOptions

COLUMNS = {"text": ("text",), "label": None, "source": ("text",), "target": ("text",), "weight": ("weight",)}


class Config(TextPairOptions, LabelsOptions, WeightOptions, TableFileOptions):
    """UTF-8 files ending in `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, optionally followed by `.gz`."""

    name: Literal["csv"] = Field(
        description="Texts with labels or numbers, or pairs of texts, from csv, tsv or jsonl files."
    )
    text: str = Field(
        "text",
        description="Column with the text; in jsonl a key, also of a nested object, such as review.body.",
    )
    label: str | Annotated[list[str], Field(min_length=1)] = Field(
        "label",
        description="Column (jsonl: key) with the label, or the number for regression. For multi_label "
        "models also a list of columns with 0 or 1, one for each label.",
    )
    source: str = Field("source", description="Column (jsonl: key) with the text to translate.")
    target: str = Field("target", description="Column (jsonl: key) with its translation.")

    def unused(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields a separator of labels that have columns of their own."""
        yield from super().unused(features)
        if "label" in features and not isinstance(self.label, str):
            yield ("label_separator",), "data.label is a list of columns"

    def known_labels(self) -> tuple[str, ...] | None:
        """Returns the labels that have columns of their own."""
        return None if isinstance(self.label, str) else tuple(self.label)


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns texts <object>[examples] in file order, with labels or numbers if the task has them.

    The classes are the distinct labels of train, stripped and sorted, or the columns of `data.label` as they
    are. Empty lines are skipped. With `on_bad_record: skip`, so are incomplete records and records with a
    label that train does not have.

    Raises:
        UserError: a file or record cannot be used; names file and line.
    """
    return load_records(config, features)
