"""Records of CSV, TSV and JSON Lines files, one by one: errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import collections
import csv
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from attnzoo.errors import DataWarning, UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.json_lines import read_json_lines
from attnzoo.records.rows import Lines, Row, bad_text, names_of
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, listed, shown
from attnzoo.suggest import did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHER_DELIMITERS = (",", ";", "\t", "|")
JSON_LINES = ".jsonl"
MAX_QUOTED_LINES = 50
"""A quoted field of more lines is hardly meant."""
SUFFIXES = (*DELIMITERS, JSON_LINES)


class Dialect(NamedTuple):
    """How a table is written, beyond its suffix.

    Attributes:
        delimiter: between two fields; None for what the suffix says, or the header shows.
        quotes: whether quote signs enclose fields; else they are parts of texts.
        columns: their names, where there is no header.
    """

    delimiter: str | None = None
    quotes: bool = True
    columns: tuple[str, ...] = ()


USUAL = Dialect()


def suffix_of(path: str) -> str:
    """Returns the suffix of a file in lower case, without `.gz` behind it."""
    return Path(path.removesuffix(".gz")).suffix.lower()


def read_rows(
    path: str,
    lines: Lines,
    suffix: str,
    required: Sequence[str],
    strict: bool = True,
    dialect: Dialect = USUAL,
) -> Iterator[Row | BadRecord]:
    """Yields the records of a file, checked one by one; empty lines are skipped.

    Args:
        path: name of the file, for messages.
        lines: of the file.
        suffix: what is in it, one of `SUFFIXES`.
        required: columns or keys that every record must have.
        strict: bytes that are not UTF-8 were refused where the lines were read.
        dialect: of a table.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    if suffix == JSON_LINES:
        return read_json_lines(path, lines, required)
    return _read_table(path, lines, suffix, required, strict, dialect)


def _read_table(
    path: str, lines: Lines, suffix: str, required: Sequence[str], strict: bool, dialect: Dialect
) -> Iterator[Row | BadRecord]:
    layout, lines = _layout(path, lines, suffix, required, dialect)
    rows = _read_fields(path, lines, layout, strict)
    header_line, header = 1, list(dialect.columns)
    if not dialect.columns:
        header_line, found = next(rows, (1, []))
        if isinstance(found, BadRecord):
            raise found
        if not found:
            raise UserError(f"{path}: empty; the first line must name the {names_of('column', required)}.")
        # A space after each delimiter is none of the names, unless the config has it.
        header = [name if name in required else name.strip() for name in found]
    _require_columns(f"{path}:{header_line}", header, required, layout.delimiter, bool(dialect.columns))
    empty, swallowed = True, _Swallowed(layout.delimiter, len(header))
    for line, fields in rows:
        if dialect.columns and empty and not isinstance(fields, BadRecord) and set(fields) == set(header):
            raise UserError(f"{path}:{line}: the columns are named here; leave data.columns out.")
        empty = False
        if isinstance(fields, BadRecord):
            yield fields
        elif len(fields) != len(header):
            named = "data.columns has" if dialect.columns else "the header has"
            yield BadRecord(
                f"{path}:{line}",
                "with another number of columns than the header",
                f"{len(fields)} columns; {named} {len(header)} ('{shown(layout.delimiter.join(header))}'). "
                "Quote texts that hold the delimiter or a line break.",
            )
        else:
            swallowed.look_at(line, fields)
            yield Row(line, dict(zip(header, fields, strict=True)))
    if empty:
        raise UserError(f"{path}: only a header; at least one example is needed.")
    swallowed.warn(path)


class _Layout(NamedTuple):
    """How the fields of a table are told apart."""

    delimiter: str
    quotes: bool
    skips_spaces: bool


def _layout(
    path: str, lines: Lines, suffix: str, required: Sequence[str], dialect: Dialect
) -> tuple[_Layout, Lines]:
    """Returns what the first line of a table shows of its layout, and all of the lines."""
    usual = DELIMITERS[suffix]
    rest = iter(lines)
    first = next(rest, None)
    if first is None:
        return _Layout(dialect.delimiter or usual, dialect.quotes, False), ()
    every = itertools.chain([first], rest)
    delimiter = dialect.delimiter or usual
    names = {name.strip() for name in required}
    if dialect.delimiter is None and not dialect.columns:
        others = [other for other in OTHER_DELIMITERS if other != usual]
        fitting = [one for one in (usual, *others) if names <= set(_plain_fields(first[1], one))]
        delimiter = fitting[0] if fitting else usual
        if delimiter != usual:
            warnings.warn(
                f"{path}: fields are taken to end at {delimiter!r}, as the header shows; say so with "
                f"data.delimiter: {json.dumps(delimiter)}.",
                DataWarning,
                stacklevel=2,
            )
    begun = [field.startswith(" ") for field in first[1].split(delimiter)[1:]]
    fits = bool(dialect.columns) or names <= set(_plain_fields(first[1], delimiter))
    return _Layout(delimiter, dialect.quotes, fits and bool(begun) and all(begun)), every


def _plain_fields(line: str, delimiter: str) -> list[str]:
    """Returns the fields of a header without the quotes and spaces around them."""
    return [field.strip().strip('"') for field in line.split(delimiter)]


def _require_columns(
    place: str, header: Sequence[str], required: Sequence[str], delimiter: str, given: bool
) -> None:
    """Refuses a header without the columns that are used, or with one of them twice.

    Raises:
        UserError: saying what to do.
    """
    counts = collections.Counter(header)
    for name in required:
        if counts[name] > 1:
            raise UserError(f"{place}: column '{shown(name)}' occurs {counts[name]} times; rename one.")
        if counts[name] == 0:
            what = "data.columns has" if given else "the header has"
            advice = "" if given else " Without a header the columns are named by data.columns."
            if len(header) == 1 and not given:
                advice += f" Fields are to end at {delimiter!r}; data.delimiter says something else."
            raise UserError(
                f"{place}: no column {name!r}{did_you_mean(name, header)}; {what}: {listed(header)}.{advice}"
            )


class _Swallowed:
    """Finds quoted fields that look like many records: two stray quotes take all rows between them."""

    def __init__(self, delimiter: str, columns: int) -> None:
        self.delimiter, self.columns = delimiter, columns
        self.count = self.lines = self.first = 0

    def look_at(self, line: int, fields: Sequence[str]) -> None:
        """Counts the record if a field of it spans lines that look like records."""
        for field in fields:
            inside = field.split("\n")[1:]
            like = sum(part.count(self.delimiter) >= self.columns - 1 for part in inside[:-1] or inside)
            if len(inside) > MAX_QUOTED_LINES or (self.columns > 1 and like >= 2):
                self.count += 1
                self.lines += len(inside)
                self.first = self.first or line
                return

    def warn(self, path: str) -> None:
        """Issues a `DataWarning` if there are any."""
        if self.count:
            warnings.warn(
                f"{path}:{self.first}: {self.count:,} record(s), of which this is the first, span "
                f'{self.lines:,} lines within quotes that look like records of their own; is a quote (") not '
                "closed? Where quotes are parts of texts set data.quoting: none.",
                DataWarning,
                stacklevel=2,
            )


def _read_fields(
    path: str, lines: Lines, layout: _Layout, strict: bool
) -> Iterator[tuple[int, list[str] | BadRecord]]:
    """Yields (line where the row starts, fields) of every row that is not an empty line."""
    reader = csv.reader(
        (text for _, text in lines),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quotes else csv.QUOTE_NONE,
        skipinitialspace=layout.skips_spaces,
        strict=True,
    )
    before = csv.field_size_limit()
    while True:
        line = reader.line_num + 1
        place = f"{path}:{line}"
        # The limit is a setting of the whole process: it is changed for one row and put back.
        csv.field_size_limit(MAX_TEXT_CHARACTERS)
        row: list[str] | BadRecord
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = _bad_row(place, str(error))
        finally:
            csv.field_size_limit(before)
        if isinstance(row, list) and row and not strict:
            row = bad_text(place, "".join(row)) or row
        if row:
            yield line, row


def _bad_row(place: str, problem: str) -> BadRecord:
    """Returns the problem of a row, in plain words.

    Raises:
        UserError: an open quote: it took the rest of the file into one field.
    """
    advice = 'Write a quote inside a quoted field as "".'
    if "unexpected end of data" in problem:
        raise UserError(f'{place}: the quote (") opened in this record is never closed. {advice}')
    if "field larger than field limit" in problem:
        raise UserError(
            f'{place}: a field is longer than {MAX_TEXT_CHARACTERS:,} characters; is a quote (") not '
            f"closed. {advice}"
        )
    if "new-line character" in problem:
        problem = "a lone carriage return outside quotes; save the file with \\n line ends"
    return BadRecord(place, "with quotes or line ends that do not fit", f"{problem}. {advice}")
