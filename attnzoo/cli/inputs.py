"""What the arguments of `attnzoo predict` and `attnzoo score` name, and how it is read."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from attnzoo.cli.common import Format, refuse
from attnzoo.errors import DataWarning

if TYPE_CHECKING:
    from attnzoo.config import RunConfig
    from attnzoo.records.text_records import TextRecord, Writing
    from attnzoo.tasks.task import Task

InputFormat = Annotated[
    Format | None,
    typer.Option(
        "--input-format",
        "--format",
        help="Format of the inputs. Default: by the suffix of a file, text for standard input.",
        show_default=False,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="COLUMN",
        help="Column (JSON Lines: key) with the ids of records, which answers repeat. Default: id, if there "
        "is one.",
        show_default=False,
    ),
]


class Inputs(NamedTuple):
    """The inputs of a command.

    Attributes:
        records: the inputs, in order.
        files: files that are read.
        is_live: whether they come from standard input, so that answers should not wait for more.
        are_records: whether some of them are records of a table, which may have ids.
        are_located: whether answers should say which file and line they are for.
        openers: functions that read the records of files from their beginning.
        are_named: whether several inputs are files, so that lines of answers should begin with their names.
    """

    records: Iterator[TextRecord]
    files: list[str]
    is_live: bool
    are_records: bool
    are_located: bool
    openers: tuple[Callable[[], Iterator[TextRecord]], ...] = ()
    are_named: bool = False

    def check_files(self) -> None:
        """Reads the first record of each file, so that a wrong file is reported before any answer.

        Raises:
            UserError: a file cannot be used.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # they come when the file is answered
            for opener in self.openers:
                next(opener(), None)


class ReadOptions(NamedTuple):
    """Options of the command line about tables of inputs.

    Attributes:
        format: of all files; None for that of their suffixes.
        columns: option of the command line -> name of a column, or None where it is not given.
    """

    format: Format | None
    columns: dict[str, str | None]

    def format_of(self, file: str) -> str:
        """Returns the format of a file."""
        from attnzoo.records.text_records import text_format

        return self.format.value if self.format else text_format(file)

    def given(self) -> list[str]:
        """Returns the options that are given."""
        options = [f"{option} {name}" for option, name in self.columns.items() if name is not None]
        return [f"--input-format {self.format.value}", *options] if self.format else options


def trained_task(run: Path) -> tuple[RunConfig, Task]:
    """Returns the config of a run and its task, without TensorFlow."""
    from attnzoo import catalog, tasks
    from attnzoo.config import RunConfig
    from attnzoo.features.info import require_run_format

    require_run_format(run)
    config = RunConfig.read(run / "config.yaml")
    return config, tasks.load(catalog.load("models", config.model.name).TASK)


def trained_column(config: RunConfig, name: str) -> str:
    """Returns the column of a feature that a config names; by default the name of the feature."""
    return config.data.model_dump().get(name) or name


def read_inputs(config: RunConfig, task: Task, arguments: Sequence[str], options: ReadOptions) -> Inputs:
    """Returns what the arguments name or list: texts or images of the task's input.

    Args:
        config: of the run.
        task: of the run.
        arguments: files, folders and patterns; "-" for standard input.
        options: with the columns `--column`, `--id` and `--prefix-column`.
    """
    from attnzoo.records.text_records import (
        STANDARD_INPUT,
        Columns,
        TextRecord,
        input_files,
        read_texts,
        writing_of,
    )

    feature = task.features[task.input_name]
    named: dict[str, TextRecord | None] = {}  # input or file that lists inputs; named twice, answered once
    for argument in arguments:
        values = None if argument == STANDARD_INPUT else feature.expand_input(argument)
        if values is None:
            named.update(dict.fromkeys(input_files(argument)))
        else:
            named.update((value, TextRecord(value, location=value)) for value in values)
    files = [name for name, record in named.items() if record is None]
    if not files and options.given():
        refuse(f"{arguments[0]}: {feature.kind} files, not a list of them; remove {options.given()[0]}")
    columns = Columns(
        options.columns["--column"] or trained_column(config, task.input_name),
        options.columns["--prefix-column"],
        id=options.columns["--id"],
        noun=feature.noun,
    )
    are_records, writing = _require_tables(files, options), writing_of(config.data)

    def read_file(name: str) -> Iterator[TextRecord]:
        return read_texts(name, options.format_of(name), columns, writing)

    def read() -> Iterator[TextRecord]:
        for name, record in named.items():
            if record is None:
                yield from read_file(name)
            else:
                yield record

    openers = [functools.partial(read_file, file) for file in files if file != STANDARD_INPUT]
    given = _inputs(read(), files, are_records, openers, writing)
    return given._replace(are_named=len(named) - len(files) > 1)


def read_pairs(config: RunConfig, task: Task, arguments: Sequence[str], options: ReadOptions) -> Inputs:
    """Returns pairs of an input and its target: from two files of lines, or from files of pairs.

    Args:
        config: of the run.
        task: of the run, which scores targets.
        arguments: files, folders and patterns; "-" for standard input.
        options: with the columns `--column`, `--target` and `--id`.
    """
    from attnzoo.records import text_records

    assert task.scored_name is not None
    files = [file for argument in arguments for file in text_records.input_files(argument)]
    if files.count(text_records.STANDARD_INPUT) > 1:
        refuse("-: standard input is named twice, but can be read only once; name a file for one of them")
    num_plain = sum(options.format_of(file) == text_records.TEXT for file in files)
    are_records, writing = _require_tables(files, options), text_records.writing_of(config.data)
    if num_plain == len(files) == 2:
        pairs = text_records.read_pairs(files[0], files[1], writing)
        return _inputs(pairs, files, are_records, [], writing)._replace(are_located=False)
    if num_plain not in (0, len(files)) or num_plain > 1:
        refuse(
            f"{', '.join(map(str, arguments))}: expected a file of sources and one of their targets, line by "
            "line, or files of pairs (.csv, .tsv, .jsonl)"
        )
    columns = text_records.Columns(
        options.columns["--column"] or trained_column(config, task.input_name),
        options.columns["--target"] or trained_column(config, task.scored_name),
        needs_target=True,
        id=options.columns["--id"],
    )

    def read(file: str) -> Iterator[TextRecord]:
        return text_records.read_texts(file, options.format_of(file), columns, writing)

    openers = [functools.partial(read, file) for file in files if file != text_records.STANDARD_INPUT]
    return _inputs(itertools.chain.from_iterable(map(read, files)), files, are_records, openers, writing)


def _inputs(
    records: Iterator[TextRecord],
    files: list[str],
    are_records: bool,
    openers: Sequence[Callable[[], Iterator[TextRecord]]],
    writing: Writing,
) -> Inputs:
    from attnzoo.records.text_records import STANDARD_INPUT, input_lines

    for file in files:
        if file != STANDARD_INPUT:
            next(input_lines(file, writing), None)  # a wrong path is reported before anything is answered
    is_live = STANDARD_INPUT in files
    return Inputs(records, files, is_live, are_records, len(files) > 1, tuple(openers))


def _require_tables(files: Sequence[str], options: ReadOptions) -> bool:
    """Returns whether some files are tables; refuses options about columns if none is."""
    from attnzoo.records.text_records import TEXT

    if any(options.format_of(file) != TEXT for file in files):
        return True
    for option, name in options.columns.items():
        if name is not None:
            refuse(f"{option} {name}: plain text has no columns; add --input-format csv, tsv or jsonl")
    return False


def with_prefix(inputs: Inputs, prefix: str | None) -> Inputs:
    """Returns the inputs with a beginning of their answers that is the same for all; None for their own."""
    if prefix is None:
        return inputs
    return inputs._replace(records=(record._replace(target=prefix) for record in inputs.records))
