"""Reads input texts for prediction, from plain lines or records, one at a time. Imports no TensorFlow."""

from __future__ import annotations

import codecs
import contextlib
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from attnzoo.config.sections import DataOptions, FileOptions
from attnzoo.config.tables import TableOptions
from attnzoo.errors import UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.rows import Row, find_text_problem, require_string, require_text
from attnzoo.records.tables import DEFAULT_DIALECT, SUFFIXES, Dialect, dialect_of, read_rows, suffix_of
from attnzoo.records.text_files import is_encodable, read_lines, read_standard_input

Item = TypeVar("Item")

TEXT = "text"
STANDARD_INPUT = "-"
ID = "id"
"""Column of the ids where none is named."""
MAX_UNREADABLE = 1000
"""A file whose first records, as many as these, cannot be read is not one of its format."""


class TextRecord(NamedTuple):
    """A text to answer, and what its record says about it.

    Attributes:
        text: the text, or the path of a file.
        id: the id of the record, if it has one.
        location: file and line, for messages.
        target: a text in the language of the answer, such as the beginning of a translation.
        folder: the folder that files are relative to which `text` names.
        problem: why the text cannot be used; None if it can.
        number: its place among the inputs, from 0.
    """

    text: str
    id: str | int | None = None
    location: str = ""
    target: str = ""
    folder: Path | None = None
    problem: BadRecord | None = None
    number: int = 0


class Columns(NamedTuple):
    """Columns of a table, or keys of JSON Lines.

    Attributes:
        text: that of the text.
        target: that of the target; None without.
        needs_target: whether the target must not be empty.
        id: that of the ids; None for `id` where there is one.
        noun: what a text is called in messages.
    """

    text: str
    target: str | None = None
    needs_target: bool = False
    id: str | None = None
    noun: str = "text"

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return tuple(dict.fromkeys(name for name in (self.text, self.target, self.id) if name is not None))


class Writing(NamedTuple):
    """How files of inputs are written, as far as that is known from training.

    Attributes:
        encoding: of files; standard input is always UTF-8.
        dialect: of tables.
    """

    encoding: str | None = None
    dialect: Dialect = DEFAULT_DIALECT._replace(is_input=True)


DEFAULT_WRITING = Writing()


def writing_of(options: DataOptions) -> Writing:
    """Returns how the files were written that a run was trained on."""
    encoding = options.encoding if isinstance(options, FileOptions) else None
    if encoding is not None and codecs.lookup(encoding).name == "utf-8":
        encoding = None
    if not isinstance(options, TableOptions):
        return Writing(encoding)
    return Writing(encoding, dialect_of(options)._replace(is_input=True))


def text_format(file: str) -> str:
    """Returns "csv", "tsv" or "jsonl" by the suffix of a file, ignoring `.gz`; "text" for any other suffix.

    Examples:
        >>> text_format("reviews.tsv.gz"), text_format("reviews.txt")
        ('tsv', 'text')
    """
    suffix = suffix_of(file)
    return suffix.removeprefix(".") if suffix in SUFFIXES else TEXT


def input_files(argument: str) -> list[str]:
    """Returns the files of inputs that an argument names, in the order of their paths.

    Args:
        argument: a file, "-", a folder (searched with its subfolders for `.txt`, `.csv`, `.tsv` and `.jsonl`
            files, plain or `.gz`), or a glob pattern (** for any subfolders).

    Raises:
        UserError: no such file in the folder, or none that fits the pattern.
    """
    if os.path.isdir(argument):
        paths = sorted(Path(argument).rglob("*"))
        files = [str(path) for path in paths if path.is_file() and _is_listed(path.relative_to(argument))]
        if not files:
            raise UserError(f"{argument}: no .txt, .csv, .tsv or .jsonl files in this folder (or .gz).")
        return files
    if os.path.exists(argument) or not glob.has_magic(argument):
        return [argument]
    files = [path for path in sorted(glob.glob(argument, recursive=True)) if os.path.isfile(path)]
    if not files:
        raise UserError(f"{argument}: no file fits this pattern (relative to {Path.cwd()}).")
    return files


def _is_listed(path: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.parts)
    return suffix_of(str(path)) in (".txt", *SUFFIXES) and not is_hidden


def read_texts(
    file: str, format: str, columns: Columns, writing: Writing = DEFAULT_WRITING
) -> Iterator[TextRecord]:
    """Yields the records of a file in order; memory use does not grow with their number.

    A record that cannot be used has a `problem`, and the ones after it follow.

    Args:
        file: a file, plain or `.gz`; "-" is standard input.
        format: "text" (each line is a text; with a target, both with a tab between them), "csv", "tsv" or
            "jsonl" (empty lines are skipped).
        columns: where the parts of a record are.
        writing: how the file is written.

    Raises:
        UserError: the file as a whole cannot be read, lacks a column, or has no record that can be read.
    """
    is_live = file == STANDARD_INPUT
    name = "standard input" if is_live else file
    lines = input_lines(file, writing)
    folder = None if is_live else Path(file).parent
    if format == TEXT:
        numbered = (find_text_problem(f"{name}:{number}", line) or (number, line) for number, line in lines)
        records = _plain_records(name, numbered if is_live else _readable(numbered), columns)
    else:
        rows = read_rows(name, lines, f".{format}", columns.required, False, writing.dialect)
        records = (_to_record(name, row, columns) for row in (rows if is_live else _readable(rows)))
    return (record._replace(folder=folder) for record in records)


def input_lines(file: str, writing: Writing = DEFAULT_WRITING) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file, or of standard input for "-", see `text_files.read_lines`."""
    if file == STANDARD_INPUT:
        return read_standard_input(strict=False)
    return read_lines(file, False, writing.encoding, mentions_option=False)


def read_pairs(source: str, target: str, writing: Writing = DEFAULT_WRITING) -> Iterator[TextRecord]:
    """Yields line n of each of two files as one record, for all n; one may be "-" for standard input.

    Raises:
        UserError: a file cannot be read; or, after the records, they differ in the number of lines.
    """
    names = tuple("standard input" if file == STANDARD_INPUT else file for file in (source, target))
    lines = (input_lines(file, writing) for file in (source, target))
    counts = [0, 0]
    for pair in itertools.zip_longest(*lines):
        counts = [count + (line is not None) for count, line in zip(counts, pair, strict=True)]
        if counts[0] == counts[1]:
            number = counts[0]
            texts = [_without_end(text) for _, text in pair]
            problems = (
                find_text_problem(f"{name}:{number}", text) or _problem(f"{name}:{number}", text)
                for name, text in zip(names, texts, strict=True)
            )
            problem = next((one for one in problems if one is not None), None)
            yield TextRecord(texts[0], None, f"{names[0]}:{number}", texts[1], None, problem)
    if counts[0] != counts[1]:
        raise UserError(
            f"{names[0]} has {counts[0]} lines and {names[1]} has {counts[1]}; line n of one must be the "
            "translation of line n of the other; align the files."
        )


def _readable(items: Iterable[Item | BadRecord]) -> Iterator[Item | BadRecord]:
    """Yields what was read of a file, which standard input must not do: the first items may be held back.

    Raises:
        BadRecord: the first of them, if none can be read, of all or of the first `MAX_UNREADABLE`.
    """
    items = iter(items)
    unreadable: list[BadRecord] = []
    for item in items:
        if not isinstance(item, BadRecord):
            yield from unreadable
            yield item
            break
        unreadable.append(item)
        if len(unreadable) == MAX_UNREADABLE:
            raise unreadable[0]
    else:
        if unreadable:
            raise unreadable[0]
    yield from items


def _plain_records(
    file: str, lines: Iterable[tuple[int, str] | BadRecord], columns: Columns
) -> Iterator[TextRecord]:
    for line in lines:
        if isinstance(line, BadRecord):
            yield TextRecord("", None, line.location, problem=line)
            continue
        location, text = f"{file}:{line[0]}", _without_end(line[1])
        source, tab, target = text.partition("\t") if columns.needs_target else (text, "", "")
        problem = _problem(location, source, columns.noun)
        if columns.needs_target and problem is None:
            problem = _problem(location, target)
            if not tab:
                what = "no tab; write a source, a tab and its target in each line."
                problem = BadRecord(location, "without a tab", what)
        yield TextRecord("" if problem else source, None, location, target, None, problem)


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _problem(location: str, text: str, noun: str = "text") -> BadRecord | None:
    """Returns why a line cannot be used, or None."""
    try:
        require_text(location, noun, text)
    except BadRecord as bad:
        return bad
    return None


def _to_record(file: str, row: Row | BadRecord, columns: Columns) -> TextRecord:
    if isinstance(row, BadRecord):
        record_id = None
        with contextlib.suppress(BadRecord):
            record_id = _record_id(row.location, row.values, columns.id or ID)
        return TextRecord("", record_id, row.location, problem=row)
    location, record_id = f"{file}:{row.line}", None
    try:
        record_id = _record_id(location, row.values, columns.id or ID)
        text, target = _text_of(location, columns.noun, row.values, columns.text), ""
        if columns.target is not None:
            target = _text_of(location, columns.target, row.values, columns.target, columns.needs_target)
    except BadRecord as bad:
        return TextRecord("", record_id, location, problem=bad)
    return TextRecord(text, record_id, location, target)


def _text_of(location: str, what: str, values: dict[str, Any], column: str, is_needed: bool = True) -> str:
    """Returns the text of a column; an empty one, or null in JSON Lines, is an error if it is needed."""
    text = "" if values[column] is None else values[column]
    require_string(location, column, text)
    if text or is_needed:
        require_text(location, what, text)
    return text


def _record_id(location: str, values: Mapping[str, Any], column: str) -> str | int | None:
    """Returns the id of a record, or None if it is missing or null."""
    record_id = values.get(column)
    if record_id is None:
        return None
    require_string(location, column, record_id, or_whole_number=True)
    if isinstance(record_id, str) and not is_encodable(record_id):
        raise BadRecord(
            location, "with a lone surrogate", "lone surrogate (half a character) in the id; replace it."
        )
    return record_id
