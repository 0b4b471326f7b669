"""The command line: `attnzoo COMMAND`. TensorFlow is imported by the commands that need it, not before."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from attnzoo import __version__, catalog
from attnzoo.cli import answers, attend, compare, config, data, sweep
from attnzoo.cli.common import (
    ConfigFile,
    Overrides,
    RunFolder,
    Split,
    print_table,
    refuse,
    require_folder,
)
from attnzoo.cli.supervision import OUT_OF_MEMORY, go_on_in_child
from attnzoo.errors import EXIT_STOPPED, EXIT_USER, DataNote, DataWarning, UserError
from attnzoo.startup import import_tensorflow


class Kind(str, enum.Enum):
    """What `attnzoo list` can list: members are made of what the catalog has."""

    _ignore_ = "kind"  # type: ignore[assignment]
    for kind in catalog.KINDS:
        vars()[kind.upper()] = kind


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, evaluate and export attention models from a YAML file.",
    epilog="Start here:  attnzoo list configs",
)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(answers.app)
app.add_typer(attend.app)
app.add_typer(compare.app)
app.add_typer(sweep.app)


def command() -> None:
    """Is `attnzoo`: runs the command line in a child process, and tells where that crashes."""
    try:
        go_on_in_child()
    except UserError as error:
        print(f"attnzoo: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    main()


def main() -> None:
    """Runs the command line in this process and ends the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # While it trains, `train` handles both its own way.
        signal.signal(number, _stop)
    warnings.showwarning = _show_warning
    try:
        app(prog_name="attnzoo")
    except BrokenPipeError:  # who reads the output has seen enough, as `head` does
        sys.stdout = None
        sys.exit(0)
    except (UserError, DataWarning) as error:
        for line in str(error).splitlines():
            print(f"attnzoo: error: {line}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, UserError) else EXIT_USER)
    except Exception as error:
        # The first is TensorFlow's, which may not have been imported; the last is of a library without room.
        named = type(error).__name__ == "ResourceExhaustedError" or "failed to map segment" in str(error)
        if not (named or isinstance(error, MemoryError)):
            raise
        print(f"attnzoo: error: {OUT_OF_MEMORY}", file=sys.stderr)
        sys.exit(EXIT_USER)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process at once.

    What it was writing appears whole or not at all. An exception instead could be lost in a library, or come
    out of it as another one.
    """
    with contextlib.suppress(OSError, RuntimeError):  # it may have come in the middle of a print
        sys.stdout.flush()
    shown_cursor = b"\x1b[?25h" if sys.stderr.isatty() else b""
    os.write(2, shown_cursor + b"attnzoo: stopped; the same command starts again\n")
    os._exit(EXIT_STOPPED)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Shows what the data is warned of as one line, and other warnings as Python does."""
    if issubclass(category, DataWarning):
        from attnzoo.training.console import note, warn

        (note if issubclass(category, DataNote) else warn)(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    if version:
        print(f"attnzoo {__version__}")
        raise typer.Exit


@app.command(epilog="Example:  attnzoo train translate_dates --set train.epochs=3")
def train(
    file: ConfigFile,
    overrides: Overrides = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. Default: runs/ and the config's name.", show_default=False),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what the folder holds.")] = False,
    allow_changed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Continue although this key of the config (or 'data', or 'code') has changed; "
            "may be given more than once.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with an error where the data gives a warning.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(metavar="START:STOP", help="Trace these steps for TensorBoard.", show_default=False),
    ] = None,
) -> None:
    """Train the model of a config; the same command continues after a stop or a crash."""
    from attnzoo.config import resolve

    resolved = resolve(file, overrides or [])
    steps = _steps(profile)
    warnings.simplefilter("error" if strict else "always", DataWarning)
    warnings.simplefilter("always", DataNote)
    import_tensorflow()
    from attnzoo.training import run as training

    folder = run or Path("runs") / resolved.config.name
    training.train(resolved, folder, restart, steps, allow_changed or ())


@app.command("eval", epilog="Example:  attnzoo eval runs/translate_dates --split validation")
def evaluate(
    run: RunFolder,
    split: Annotated[Split, typer.Option(help="Part of the data.")] = Split.TEST,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure a trained run on a split of its data."""
    require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import evaluation

        result, details = evaluation.evaluate(run, split.value)
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=float))
    else:
        _print_metrics(result, details)


@app.command(epilog="Example:  attnzoo export runs/translate_dates --out served/dates")
def export(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write. Default: a new one in the run.", show_default=False),
    ] = None,
) -> None:
    """Write a trained run as a SavedModel that takes raw text or image bytes."""
    require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo.export import export as export_run

        folder = export_run(run, out)
    print(folder)
    print(f"checked in a process of its own; inputs and outputs: {folder}/export.json; use:", file=sys.stderr)
    print(f'  tf.saved_model.load("{folder}").signatures["serving_default"](...)', file=sys.stderr)


@app.command("list", epilog="Example:  attnzoo list models")
def list_names(kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)]) -> None:
    """List what a config can name, or the configs themselves."""
    if kind.value == "configs":
        _print_configs()
    else:
        print_table(["name", "what it is"], catalog.describe(kind.value))


def _print_configs() -> None:
    """Prints the recipes, with where each is if they are in more folders than one."""
    recipes = catalog.describe_configs()
    folders = list(dict.fromkeys(folder for *_, folder in recipes))
    shown = 2 if len(folders) == 1 else 3
    print_table(["name", "what it is", "folder"][:shown], [recipe[:shown] for recipe in recipes])
    print(f"in {' and '.join(folders)}; to change one: attnzoo config copy NAME", file=sys.stderr)


def _steps(text: str | None) -> tuple[int, int] | None:
    """Parses START:STOP."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    digits_only = all(part.isascii() and part.isdigit() for part in (start, stop))
    if not (colon and digits_only and int(start) < int(stop)):
        refuse(f"--profile {text}: expected two steps START:STOP with START below STOP, such as 10:20")
    return int(start), int(stop)


def _print_metrics(result: dict[str, Any], details: Sequence[str]) -> None:
    rows = [(name, _format(value)) for name, value in result["metrics"].items()]
    truncated = (
        f", {result['truncated_fraction']:.2%} of tokens truncated"
        if result.get("truncated_fraction")
        else ""
    )
    print(
        f"{result['run']}: {result['split']}, {result['examples']} examples{truncated}, weights of "
        f"{result['weights']}, {result['seconds']:.1f} s"
    )
    print_table(["metric", "value"], rows)
    for line in details:
        print(line)


def _format(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
