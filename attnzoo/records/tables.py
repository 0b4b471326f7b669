"""Reads CSV, TSV and JSON Lines files record by record; errors name file and line. Imports no TensorFlow."""

from __future__ import annotations

import collections
import csv
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from attnzoo.config.tables import TableOptions
from attnzoo.errors import DataWarning, UserError
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.json_lines import read_json_lines
from attnzoo.records.rows import Lines, Row, find_text_problem, quote_names
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, join_names, printable
from attnzoo.suggest import did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHER_DELIMITERS = (",", ";", "\t", "|")
JSON_LINES = ".jsonl"
MAX_QUOTED_LINES = 50
"""A quoted field with more lines than this probably lacks its closing quote."""
SUFFIXES = (*DELIMITERS, JSON_LINES)


class Dialect(NamedTuple):
    """How a table is written, as far as its suffix leaves it open.

    Attributes:
        delimiter: character between two fields; None to infer it from the suffix or the header.
        quotes: whether quotation marks enclose fields; otherwise they are part of the text.
        columns: column names for a table without a header; empty if it has one.
        is_input: whether the table is an input of a trained model, which the options of its data describe: it
            may have a header that says something else. Messages name no options that only training has.
    """

    delimiter: str | None = None
    quotes: bool = True
    columns: tuple[str, ...] = ()
    is_input: bool = False

    @property
    def delimiter_advice(self) -> str:
        """What to do about a table that is split at the wrong character."""
        if self.is_input:
            return "use it between the fields."
        return "set data.delimiter for another delimiter."


DEFAULT_DIALECT = Dialect()


def dialect_of(options: TableOptions) -> Dialect:
    """Returns how the options of a data set say that its tables are written."""
    return Dialect(options.delimiter, options.quoting == "minimal", tuple(options.columns or ()))


def suffix_of(path: str) -> str:
    """Returns the suffix of a file in lower case, ignoring a final `.gz`."""
    return Path(path.removesuffix(".gz")).suffix.lower()


def read_rows(
    path: str,
    lines: Lines,
    suffix: str,
    required: Sequence[str],
    strict: bool = True,
    dialect: Dialect = DEFAULT_DIALECT,
) -> Iterator[Row | BadRecord]:
    r"""Yields the records of a file, or a `BadRecord` for each that cannot be read; skips empty lines.

    Args:
        path: name of the file, for messages.
        lines: lines of the file.
        suffix: format of the file, one of `SUFFIXES`.
        required: columns or keys that every record must have.
        strict: whether `lines` were decoded strictly, so that invalid UTF-8 need not be checked here.
        dialect: how the table is written; not used for JSON Lines.

    Raises:
        UserError: the file as a whole cannot be read.

    Examples:
        >>> lines = [(1, "text,label\n"), (2, '"Good, really.",1\n')]
        >>> [row.values for row in read_rows("reviews.csv", lines, ".csv", ["text"])]
        [{'text': 'Good, really.', 'label': '1'}]
    """
    if suffix == JSON_LINES:
        return read_json_lines(path, lines, required)
    return _read_table(path, lines, suffix, required, strict, dialect)


def _read_table(
    path: str, lines: Lines, suffix: str, required: Sequence[str], strict: bool, dialect: Dialect
) -> Iterator[Row | BadRecord]:
    given, all_lines = dialect, iter(lines)
    first = next(all_lines, (1, ""))
    dialect = _infer_dialect(path, first[1], suffix, required, given)
    layout = _infer_layout(first[1], required, dialect)
    lines = itertools.chain([first], all_lines)
    rows = _read_fields(path, lines, layout, strict)
    header_line, header = 1, list(dialect.columns)
    if not dialect.columns:
        header_line, fields = next(rows, (1, []))
        if isinstance(fields, BadRecord):
            raise fields
        if not fields:
            raise UserError(f"{path}: empty; the first line must name the {quote_names('column', required)}.")
        # Spaces around a column name are dropped unless the config names the column with them.
        header = [name if name in required else name.strip() for name in fields]
    _require_columns(f"{path}:{header_line}", header, required, layout.delimiter, dialect)
    empty, stray_quotes = True, _StrayQuoteDetector(layout.delimiter, len(header))
    for line, fields in rows:
        if dialect.columns and empty and not isinstance(fields, BadRecord) and set(fields) == set(header):
            raise UserError(f"{path}:{line}: this line names the columns; remove data.columns.")
        empty = False
        if isinstance(fields, BadRecord):
            yield fields
        elif len(fields) != len(header):
            source = "data.columns has" if dialect.columns else "the header has"
            columns = printable(layout.delimiter.join(header))
            yield BadRecord(
                f"{path}:{line}",
                "with a different number of columns than the header",
                f"{len(fields)} columns; {source} {len(header)} ('{columns}'). "
                f"{_column_advice(fields, layout, given._replace(columns=dialect.columns))}",
            )
        else:
            stray_quotes.check(line, fields)
            yield Row(line, dict(zip(header, fields, strict=True)))
    if empty:
        raise UserError(f"{path}: only a header; at least one example is needed.")
    stray_quotes.warn(path, dialect)


class _Layout(NamedTuple):
    """How lines are split into fields."""

    delimiter: str
    quotes: bool
    skip_initial_space: bool


def _infer_dialect(path: str, first: str, suffix: str, required: Sequence[str], dialect: Dialect) -> Dialect:
    """Returns the dialect of a table with its delimiter, which the first line may suggest.

    For inputs, a header that names the required columns counts more than what the dialect says.
    """
    default = dialect.delimiter or DELIMITERS[suffix]
    if dialect.is_input or (dialect.delimiter is None and not dialect.columns):
        names = {name.strip() for name in required}
        candidates = dict.fromkeys((default, *OTHER_DELIMITERS))
        suggested = next((one for one in candidates if names <= set(_plain_fields(first, one))), None)
        if suggested is not None:
            if suggested != default:
                option = f"; to confirm it set data.delimiter: {json.dumps(suggested)}"
                warnings.warn(
                    f"{path}: the header suggests the delimiter {suggested!r}, which is used"
                    f"{'' if dialect.is_input else option}.",
                    DataWarning,
                    stacklevel=2,
                )
            return dialect._replace(delimiter=suggested, columns=())
    return dialect._replace(delimiter=default)


def _infer_layout(first: str, required: Sequence[str], dialect: Dialect) -> _Layout:
    """Returns the layout of a table of a known delimiter from its first line."""
    delimiter = dialect.delimiter
    assert delimiter is not None
    starts_with_space = [field.startswith(" ") for field in first.split(delimiter)[1:]]
    names = {name.strip() for name in required}
    is_matching = bool(dialect.columns) or names <= set(_plain_fields(first, delimiter))
    return _Layout(
        delimiter, dialect.quotes, is_matching and bool(starts_with_space) and all(starts_with_space)
    )


def _plain_fields(line: str, delimiter: str) -> list[str]:
    """Returns the fields of a header without surrounding quotes and spaces."""
    return [field.strip().strip('"') for field in line.split(delimiter)]


def _require_columns(
    location: str, header: Sequence[str], required: Sequence[str], delimiter: str, dialect: Dialect
) -> None:
    """Rejects a header in which a required column is missing or occurs twice.

    Args:
        location: file and line of the header.
        header: column names.
        required: columns that are used.
        delimiter: character between two fields.
        dialect: how the table is written; may give the names.

    Raises:
        UserError: naming the column.
    """
    counts = collections.Counter(header)
    for name in required:
        if counts[name] > 1:
            raise UserError(
                f"{location}: column '{printable(name)}' occurs {counts[name]} times; rename one."
            )
        if counts[name] == 0:
            source = "data.columns has" if dialect.columns else "the header has"
            naming = "add one" if dialect.is_input else "name the columns in data.columns"
            advice = "" if dialect.columns else f" If the file has no header, {naming}."
            if len(header) == 1 and not dialect.columns:
                advice += f" Fields were split at {delimiter!r}; {dialect.delimiter_advice}"
            known = join_names(header)
            raise UserError(
                f"{location}: no column {name!r}{did_you_mean(name, header)}; {source}: {known}.{advice}"
            )


def _column_advice(fields: Sequence[str], layout: _Layout, dialect: Dialect) -> str:
    """Returns what to do about a record with another number of fields than the header."""
    others = (other for other in OTHER_DELIMITERS if other != layout.delimiter)
    is_open = dialect.is_input or dialect.delimiter is None
    if len(fields) == 1 and is_open and any(other in fields[0] for other in others):
        return f"Fields were split at {layout.delimiter!r}; {dialect.delimiter_advice}"
    if dialect.is_input and dialect.columns:
        return "Add a header to a file whose columns are not those of the training data."
    if layout.quotes and any(field.startswith(' "') for field in fields):
        return 'A space before a quote (") makes it part of the text; remove the space.'
    return "Quote texts that contain the delimiter or a line break."


class _StrayQuoteDetector:
    """Finds quoted fields that seem to contain records: two stray quotes swallow the rows between them."""

    def __init__(self, delimiter: str, columns: int) -> None:
        self.delimiter, self.columns = delimiter, columns
        self.num_records = self.num_lines = self.first_line = 0

    def check(self, line: int, fields: Sequence[str]) -> None:
        """Counts the record if one of its fields spans lines that look like records."""
        for field in fields:
            inner = field.split("\n")[1:]
            candidates = inner[:-1] or inner
            num_similar = sum(part.count(self.delimiter) >= self.columns - 1 for part in candidates)
            if len(inner) > MAX_QUOTED_LINES or (self.columns > 1 and num_similar >= 2):
                self.num_records += 1
                self.num_lines += len(inner)
                self.first_line = self.first_line or line
                return

    def warn(self, path: str, dialect: Dialect) -> None:
        """Issues a `DataWarning` if any were found."""
        if self.num_records:
            option = " If quotes are part of the text, set data.quoting: none."
            warnings.warn(
                f"{path}:{self.first_line}: {self.num_records:,} record(s), starting with this one, have "
                f"quoted fields that span {self.num_lines:,} lines and look like separate records; is a "
                f'closing quote (") missing?{"" if dialect.is_input else option}',
                DataWarning,
                stacklevel=2,
            )


def _read_fields(
    path: str, lines: Lines, layout: _Layout, strict: bool
) -> Iterator[tuple[int, list[str] | BadRecord]]:
    """Yields (line where the row starts, its fields) for every row that is not empty."""
    reader = csv.reader(
        (text for _, text in lines),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quotes else csv.QUOTE_NONE,
        skipinitialspace=layout.skip_initial_space,
        strict=True,
    )
    previous_limit = csv.field_size_limit()
    while True:
        line = reader.line_num + 1
        location = f"{path}:{line}"
        # The limit is global to the process: it is changed for one row and restored.
        csv.field_size_limit(MAX_TEXT_CHARACTERS)
        row: list[str] | BadRecord
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = _bad_row(location, str(error))
        finally:
            csv.field_size_limit(previous_limit)
        if isinstance(row, list) and row and not strict:
            row = find_text_problem(location, "".join(row)) or row
        if row:
            yield line, row


def _bad_row(location: str, problem: str) -> BadRecord:
    """Returns the problem that the csv module reports, in plain words.

    Raises:
        UserError: a quote is never closed, so that the rest of the file is one field.
    """
    advice = 'Write a quote inside a quoted field as "".'
    if "unexpected end of data" in problem:
        raise UserError(f'{location}: the quote (") that starts in this record is never closed. {advice}')
    if "field larger than field limit" in problem:
        raise UserError(
            f'{location}: a field is longer than {MAX_TEXT_CHARACTERS:,} characters; is a closing quote (") '
            f"missing? {advice}"
        )
    if "new-line character" in problem:
        problem = "a lone carriage return outside quotes; save the file with \\n line endings"
    return BadRecord(location, "with misplaced quotes or line endings", f"{problem}. {advice}")
