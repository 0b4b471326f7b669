"""Texts with labels from CSV, TSV or JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from attnzoo.config.sections import FileOptions, TextOptions
from attnzoo.data.bad_records import BadRecord, sift
from attnzoo.data.tables import SUFFIXES, Row, read_rows, require_string, require_text
from attnzoo.data.text_files import listed, nearest, object_array, read_lines, shown
from attnzoo.errors import UserError
from attnzoo.info import MASKED_TEXT, MULTI_LABEL, TEXT_CLASSIFICATION, DataSplits, Split

TASKS = (TEXT_CLASSIFICATION, MULTI_LABEL, MASKED_TEXT)

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
    label_separator: str = Field(
        ",",
        min_length=1,
        description="What stands between the labels of a text, for models that give several; jsonl may also "
        "hold a list of them.",
    )


class Record(NamedTuple):
    """One example and the line of the file on which it starts."""

    line: int
    text: str
    labels: tuple[str, ...]


def load(config: Config, task: str, seed: int) -> DataSplits:
    """Returns texts <object>[examples] in file order with their labels, as the task wants them.

    Labels are the sorted labels of train, white space around them removed; masked text has none, and no
    column of labels is read for it. Empty lines are skipped. With `on_bad_record: skip` so are records that
    are not whole, and records of a label that train does not have.

    Raises:
        UserError: with file and line, whatever in a file is not as expected.
    """
    if config.text == config.label and task != MASKED_TEXT:
        raise UserError(f"data.text and data.label are both {config.text!r}; name two different columns.")
    train = sift(read_records(config.train, config, task), config.train, config)
    labels = tuple(sorted({label for record in train for label in record.labels}))
    if train and task == MULTI_LABEL and not labels:
        raise UserError(f"{config.train}: not one text has a label in column {config.label!r}.")
    if train and task == TEXT_CLASSIFICATION and len(labels) < 2:
        raise UserError(
            f"{config.train}: every example has the label '{shown(labels[0])}'; a classifier needs at least "
            f"2 labels in column {config.label!r}."
        )
    splits = {"train": _split(config.train, train, labels, task)}
    for name in ("validation", "test"):
        path = getattr(config, name)
        if path is not None:
            records = _with_known_labels(path, read_records(path, config, task), labels)
            splits[name] = _split(path, sift(records, path, config), labels, task)
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"), labels)


def read_records(path: str, config: Config, task: str) -> Iterator[Record | BadRecord]:
    """Yields the records of one file, checked one by one.

    Args:
        path: file ending in .csv, .tsv or .jsonl, optionally followed by .gz.
        config: names the columns or keys of text and label.
        task: what they are for.

    Raises:
        UserError: the file as a whole cannot be read; with `on_bad_record: error` a line that is not UTF-8.
    """
    strict = config.on_bad_record == "error"
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: unknown suffix {suffix!r}; expected .csv, .tsv or .jsonl, optionally followed by .gz."
        )
    names = (config.text,) if task == MASKED_TEXT else (config.text, config.label)
    rows = read_rows(path, read_lines(path, strict), suffix, names, strict)
    for row in rows:
        try:
            yield row if isinstance(row, BadRecord) else _record(path, row, config, task)
        except BadRecord as bad:
            yield bad


def _record(path: str, row: Row, config: Config, task: str) -> Record:
    """Returns the text and the labels of a row.

    Raises:
        BadRecord: one of them cannot be used.
    """
    place, text = f"{path}:{row.line}", row.values[config.text]
    require_string(place, config.text, text)
    require_text(place, "text", text)
    parts = [] if task == MASKED_TEXT else [row.values[config.label]]
    if task == MULTI_LABEL:
        parts = _parted(parts[0], config.label_separator)
    for part in parts:
        require_string(place, config.label, part, or_whole_number=True)
    labels = [str(part).strip() for part in parts]
    for label in labels:
        require_text(place, "label", label, MAX_LABEL_CHARACTERS)
    return Record(row.line, text, tuple(labels))


def _parted(value: Any, separator: str) -> list[Any]:
    """Returns the labels of a column or list; a text without one has an empty column or list."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else [value]
    return value.split(separator) if value.strip() else []


def _with_known_labels(
    path: str, records: Iterator[Record | BadRecord], labels: tuple[str, ...]
) -> Iterator[Record | BadRecord]:
    known = set(labels)
    for record in records:
        unknown = [] if isinstance(record, BadRecord) else [one for one in record.labels if one not in known]
        if isinstance(record, BadRecord) or not unknown:
            yield record
        else:
            yield BadRecord(
                f"{path}:{record.line}",
                "with a label that train does not have",
                f"label '{shown(unknown[0])}' does not occur in train{nearest(unknown[0], labels)}; the "
                f"labels of train are: {listed(labels)}.",
            )


def _split(path: str, records: list[Record], labels: tuple[str, ...], task: str) -> Split:
    ids = {label: index for index, label in enumerate(labels)}
    columns = {"text": object_array([record.text for record in records])}
    if task == TEXT_CLASSIFICATION:
        columns["label"] = np.array([ids[record.labels[0]] for record in records], np.int32)
    if task == MULTI_LABEL:
        columns["label"] = np.zeros((len(records), len(labels)), np.float32)
        for row, record in enumerate(records):
            columns["label"][row, [ids[label] for label in record.labels]] = 1.0
    return Split(columns, path)
