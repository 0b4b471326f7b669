"""How `attnzoo predict` and `attnzoo score` write answers: as lines, JSON Lines or a table."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from attnzoo.cli.common import refuse
from attnzoo.errors import UserError
from attnzoo.tasks.types import ERROR

if TYPE_CHECKING:
    from attnzoo.cli.inputs import Inputs
    from attnzoo.records.text_records import TextRecord

TEXT, JSON, CSV = "text", "json", "csv"
FORMATS = {".txt": TEXT, ".jsonl": JSON, ".csv": CSV}
"""Suffix of a file -> format of the answers in it."""
LENGTH_NOTES = {
    "truncated": "are longer than the model reads (data.max_length) and were truncated",
    "beyond_training": "are longer than any training input; answers to them are less reliable",
}

Answer = Mapping[str, Any]
Table = tuple[list[str], list[list[Any]]]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line, with scores or probabilities.")
]
AsCsv = Annotated[
    bool, typer.Option("--csv", help="Print a table with a header; of detections one row each.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 2 if an input has no answer; all others are answered.")
]


class Output(NamedTuple):
    """Where answers go.

    Attributes:
        format: `TEXT`, `JSON` or `CSV`.
        file: None for standard output.
        folder: of pictures of the answers; None for no pictures.
    """

    format: str
    file: Path | None = None
    folder: Path | None = None


def choose_output(out: Path | None, as_json: bool, as_csv: bool, default: str, has_pictures: bool) -> Output:
    """Returns where answers go.

    Args:
        out: a file, whose suffix says the format, or a folder of pictures; None for neither.
        as_json, as_csv: whether they are printed like that.
        default: format without these.
        has_pictures: whether there are pictures of the answers.
    """
    if as_json and as_csv:
        refuse("--csv and --json are two formats: leave one out")
    printed = JSON if as_json else CSV if as_csv else default
    if out is None:
        return Output(printed)
    suffix = "" if out.is_dir() else out.suffix.lower()
    if suffix in FORMATS:
        if as_json or as_csv:
            refuse(f"--out {out}: the suffix says the format; remove {'--json' if as_json else '--csv'}")
        _refuse_file_of_run(out)
        return Output(FORMATS[suffix], out)
    if suffix:
        pictures = ", or an existing folder for pictures" if has_pictures else ""
        refuse(f"--out {out}: unknown suffix {suffix}; expected .csv, .jsonl or .txt{pictures}")
    if not has_pictures:
        refuse(
            f"--out {out}: a folder, which is for pictures of detections; expected a file with the suffix "
            ".csv, .jsonl or .txt"
        )
    return Output(printed, folder=out)


def _refuse_file_of_run(out: Path) -> None:
    """Refuses to replace what training has written."""
    from attnzoo.runs.folder import is_file_of_run

    if is_file_of_run(out):
        refuse(f"--out {out}: a file that the run needs itself; choose another name")


def refuse_input_as_output(output: Output, inputs: Inputs) -> None:
    """Refuses to replace a file that is read."""
    if output.file is not None and output.file.exists():
        for file in inputs.files:
            if Path(file).exists() and output.file.samefile(file):
                refuse(f"--out {output.file}: one of the inputs; choose another name")


class AnswerWriter:
    """Turns answers into lines.

    Args:
        format: `TEXT`, `JSON` or `CSV`.
        to_line: an answer as one line of text.
        to_table: the columns of a table, and the rows of an answer.
        null_answer: the keys of answers, without values.
        inputs: what is answered; says whether answers have ids, locations and names.
    """

    def __init__(
        self,
        format: str,
        to_line: Callable[[Answer], str],
        to_table: Callable[[Answer], Table],
        null_answer: Answer,
        inputs: Inputs,
    ) -> None:
        self.format, self.to_line, self.to_table = format, to_line, to_table
        self.has_locations, self.has_names = inputs.are_located, inputs.are_named
        self.first = ["id"] * inputs.are_records + ["location"] * inputs.are_located
        columns, _ = to_table(null_answer)
        self.header = [*self.first, *columns, ERROR]

    def head(self) -> str | None:
        """Returns the header of a table; None for other formats."""
        return _csv_lines([self.header]) if self.format == CSV else None

    def lines(self, record: TextRecord, answer: Answer) -> str | None:
        """Returns an answer; None if it has no lines in a table."""
        if self.format == TEXT:
            line, name = "" if ERROR in answer else self.to_line(answer), f"{record.text}\t"
            return line if not self.has_names or line.startswith(name) else name + line
        located = {"location": record.location} if self.has_locations else {}
        if self.format == JSON:
            return json.dumps({**located, **answer}, ensure_ascii=False)
        about = {"id": answer.get("id"), **located}
        values = {key: value for key, value in answer.items() if key not in ("id", ERROR)}
        _, rows = self.to_table(values)
        first = [about[key] for key in self.first]
        return _csv_lines([[*first, *map(_cell, row), answer.get(ERROR)] for row in rows]) or None


def _csv_lines(rows: Sequence[Sequence[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().removesuffix("\n")


def _cell(value: Any) -> Any:
    """Returns a value as a cell of a table; lists and mappings as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


class Report:
    """Counts answers, inputs without one, and inputs that are too long."""

    def __init__(self) -> None:
        self.total = 0
        self.too_long: dict[str, list[int]] = {note: [] for note in LENGTH_NOTES}
        self.reasons: dict[str, int] = {}
        self.first: dict[str, str] = {}

    def add(self, record: TextRecord, answer: Answer) -> None:
        """Counts an answer."""
        self.total += 1
        for note, numbers in self.too_long.items():
            if answer.get(note):
                numbers.append(self.total)
        if record.problem is not None:
            reason = record.problem.reason
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            self.first.setdefault(reason, answer[ERROR])

    def finish(self, strict: bool) -> None:
        """Prints what is to say about the inputs.

        Raises:
            UserError: an input has no answer, with `strict`.
        """
        from attnzoo.training.console import warn

        for note, numbers in self.too_long.items():
            if numbers:
                warn(
                    f"{len(numbers):,} of the inputs {LENGTH_NOTES[note]}; the first is number {numbers[0]}."
                )
        if not self.reasons:
            return
        count = sum(self.reasons.values())
        reasons = "; ".join(
            f"{number:,} {reason} (first: {self.first[reason]})" for reason, number in self.reasons.items()
        )
        message = f"{count:,} of {self.total:,} inputs {'has' if count == 1 else 'have'} no answer: {reasons}"
        (refuse if strict else warn)(message)


def write_answers(
    answers: Iterable[tuple[TextRecord, Answer]], output: Output, writer: AnswerWriter, strict: bool
) -> None:
    """Writes answers, each as soon as it is there, and reports on them at the end.

    Answers that are there before the inputs turn out to be unreadable are kept.

    Raises:
        UserError: an input has no answer, with `strict`; or the inputs cannot be read to their end, or the
            file cannot be written.
    """
    from attnzoo.training.console import note

    report = Report()
    failures: list[UserError] = []
    with _opened(output.file) as write:
        head = writer.head()
        if head is not None:
            write(head)
        for record, answer in _until_failure(answers, failures):
            report.add(record, answer)
            lines = writer.lines(record, answer)
            if lines is not None:
                write(lines)
        if failures and not report.total:
            raise failures[0]
    if output.file is not None:
        note(f"{report.total:,} answers are in {output.file}")
    report.finish(strict and not failures)
    if failures:
        raise failures[0]


def _until_failure(
    answers: Iterable[tuple[TextRecord, Answer]], failures: list[UserError]
) -> Iterator[tuple[TextRecord, Answer]]:
    """Yields the answers; an error of theirs ends them, and is added to `failures`."""
    try:
        yield from answers
    except UserError as error:
        failures.append(error)


@contextlib.contextmanager
def _opened(file: Path | None) -> Iterator[Callable[[str], None]]:
    """Yields a function that writes lines to a file, or to standard output at once.

    A byte of a file name that is not UTF-8 is written as an escape, which JSON reads back.
    """
    from attnzoo.files import disk_errors, replaced_file

    if file is None:
        yield lambda lines: print(_writable(lines, sys.stdout.encoding), flush=True)
        return
    with replaced_file(file) as stream:

        def write(lines: str) -> None:
            with disk_errors(file):
                stream.write(f"{_writable(lines)}\n")

        yield write


def _writable(lines: str, encoding: str | None = None) -> str:
    """Returns lines with an escape for each character that an encoding, UTF-8 if None, does not have."""
    encoding = encoding or "utf-8"
    return lines.encode(encoding, "backslashreplace").decode(encoding)
