"""Texts with labels from CSV, TSV or JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions, TextOptions
from attnzoo.data.bad_records import BadRecord, sift
from attnzoo.data.tables import SUFFIXES, Row, read_rows, require_string, require_text
from attnzoo.data.text_files import listed, nearest, object_array, read_lines, shown
from attnzoo.errors import UserError
from attnzoo.info import TEXT_CLASSIFICATION, DataSplits, Split

TASKS = (TEXT_CLASSIFICATION,)

MAX_LABEL_CHARACTERS = 1000
"""Longest label: more is a column of another kind."""


class Config(TextOptions, FileOptions):
    """Files by suffix: `.csv`, `.tsv` (quoted like CSV) or `.jsonl`, each also with `.gz`; UTF-8."""

    name: Literal["csv"] = Field(description="Texts with labels from csv, tsv or jsonl files.")
    train: str = Field(description="File to learn from.")
    validation: str | None = Field(None, description="File to select on. Default: carved from train.")
    test: str | None = Field(None, description="File to report on.")
    text: str = Field("text", description="Column (jsonl: key) with the text.")
    label: str = Field("label", description="Column (jsonl: key) with the label.")


class Record(NamedTuple):
    """One example and the line of the file on which it starts."""

    line: int
    text: str
    label: str


def load(config: Config, task: str, seed: int) -> DataSplits:
    """Returns texts <object>[examples] and labels <int32>[examples], in file order.

    Labels are the sorted labels of train, white space around them removed; empty lines are skipped. With
    `on_bad_record: skip` so are records that are not whole, and records of a label that train does not have.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    if config.text == config.label:
        raise UserError(f"data.text and data.label are both {config.text!r}; name two different columns.")
    train = sift(read_records(config.train, config), config.train, config)
    labels = tuple(sorted({record.label for record in train}))
    if train and len(labels) < 2:
        raise UserError(
            f"{config.train}: every example has the label '{shown(labels[0])}'; a classifier needs at least "
            f"2 labels in column {config.label!r}."
        )
    splits = {"train": _split(config.train, train, labels)}
    for name in ("validation", "test"):
        path = getattr(config, name)
        if path is not None:
            records = _with_known_label(path, read_records(path, config), labels)
            splits[name] = _split(path, sift(records, path, config), labels)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), labels)


def read_records(path: str, config: Config) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, checked one by one.

    Args:
        path: file ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        config: names the columns or keys of text and label.

    Raises:
        UserError: the file as a whole cannot be read; with `on_bad_record: error` a line that is not UTF-8.
    """
    strict = config.on_bad_record == "error"
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: unknown suffix {suffix!r}; expected .csv, .tsv or .jsonl, optionally followed by .gz."
        )
    rows = read_rows(path, read_lines(path, strict), suffix, (config.text, config.label), strict)
    for row in rows:
        try:
            yield row if isinstance(row, BadRecord) else _record(path, row, config)
        except BadRecord as bad:
            yield bad


def _record(path: str, row: Row, config: Config) -> Record:
    """Returns the text and the label of a row.

    Raises:
        BadRecord: one of them cannot be used.
    """
    place, text, label = f"{path}:{row.line}", row.values[config.text], row.values[config.label]
    require_string(place, config.text, text)
    require_string(place, config.label, label, or_whole_number=True)
    label = str(label).strip()
    require_text(place, "text", text)
    require_text(place, "label", label, MAX_LABEL_CHARACTERS)
    return Record(row.line, text, label)


def _with_known_label(
    path: str, records: Iterator[Record | BadRecord], labels: tuple[str, ...]
) -> Iterator[Record | BadRecord]:
    known = set(labels)
    for record in records:
        if isinstance(record, BadRecord) or record.label in known:
            yield record
        else:
            yield BadRecord(
                f"{path}:{record.line}",
                "with a label that train does not have",
                f"label '{shown(record.label)}' does not occur in train{nearest(record.label, labels)}; the "
                f"labels of train are: {listed(labels)}.",
            )


def _split(path: str, records: list[Record], labels: tuple[str, ...]) -> Split:
    ids = {label: index for index, label in enumerate(labels)}
    texts = object_array([record.text for record in records])
    targets = np.array([ids[record.label] for record in records], np.int32)
    return Split({"text": texts, "label": targets}, path)
