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
import typer.core

from attnzoo import __version__, catalog, files
from attnzoo.cli import answers, attend, compare, config, data, sweep
from attnzoo.cli.common import (
    ConfigFile,
    Overrides,
    RunFolder,
    Split,
    note_lines,
    print_table,
    refuse,
    require_folder,
)
from attnzoo.cli.supervision import continue_in_child, determinism_problem, memory_problem
from attnzoo.errors import EXIT_STOPPED, EXIT_USER, DataNote, DataWarning, UserError
from attnzoo.startup import import_tensorflow


class Kind(str, enum.Enum):
    """What `attnzoo list` can list: one member for each kind in the catalog."""

    _ignore_ = "kind"  # type: ignore[assignment]
    for kind in catalog.KINDS:
        vars()[kind.upper()] = kind


UsageError: Any = typer.BadParameter.__base__
"""An error of the command line; typer has no public name for it."""


class Commands(typer.core.TyperGroup):
    """The commands, which end well where the reader has closed the pipe, as `head` does."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # Typer would take it for a failure
            sys.stdout = None
            sys.exit(0)


app = typer.Typer(
    cls=Commands,
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
    """Entry point of `attnzoo`: runs the command line in a child process and reports a crash of it."""
    try:
        continue_in_child()
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
        sys.exit(app(prog_name="attnzoo", standalone_mode=False))
    except UsageError as error:
        _exit_with_usage_error(error)
    except (UserError, DataWarning) as error:
        code = error.exit_code if isinstance(error, UserError) else EXIT_USER
        label = "" if code == EXIT_STOPPED else "error: "  # to stop is what the user asked for
        for line in str(error).splitlines():
            _print_error(f"attnzoo: {label}{line}")
        sys.exit(code)
    except Exception as error:
        problem = memory_problem(error) or determinism_problem(error)
        if problem is None:
            raise
        print(f"attnzoo: error: {problem}", file=sys.stderr)
        sys.exit(EXIT_USER)


def _exit_with_usage_error(error: Any) -> NoReturn:
    """Ends the process with one line about an error of the command line; with none after the help itself."""
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".?")
    if message:
        message = message[0].lower() + message[1:]
        command = error.ctx.command_path if error.ctx else "attnzoo"
        _print_error(f"attnzoo: error: {message}; see `{command} --help`.")
    sys.exit(EXIT_USER)


def _print_error(line: str) -> None:
    from attnzoo.training.console import print_error_line

    print_error_line(line)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process at once.

    Files are written completely or not at all, so none is left half written. A library could swallow or
    replace an exception.
    """
    files.remove_unfinished()
    with contextlib.suppress(OSError, RuntimeError):  # the signal may have interrupted a print
        sys.stdout.flush()
    show_cursor = b"\x1b[?25h" if sys.stderr.isatty() else b""
    os.write(2, show_cursor + b"attnzoo: stopped; run the same command to start again\n")
    os._exit(EXIT_STOPPED)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Shows warnings about data on one line, and other warnings as Python does."""
    if issubclass(category, DataWarning):
        from attnzoo.training.console import note, warn

        (note if issubclass(category, DataNote) else warn)(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
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
        typer.Option(help="Run folder. Default: runs/NAME, with the config's name.", show_default=False),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete the run and start from scratch.")
    ] = False,
    allow_changed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Continue even though this config key, 'paths' (the same data elsewhere), 'data' or 'code' "
            "has changed since the run started; may be repeated.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Treat warnings about the data as errors.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(metavar="START:STOP", help="Profile these steps for TensorBoard.", show_default=False),
    ] = None,
) -> None:
    """Train a model from a config file. The same command resumes after an interruption or a crash."""
    from attnzoo.config import checkup, resolve

    resolved = resolve(file, overrides or [])
    steps = _steps(profile)
    warnings.simplefilter("error" if strict else "always", DataWarning)
    warnings.simplefilter("always", DataNote)
    note_lines(checkup.notes(resolved))
    checkup.require_installed(resolved)
    import_tensorflow(resolved.config.train.replicas)
    from attnzoo.training import run as training

    folder = run or Path("runs") / resolved.config.name
    training.train(resolved, folder, restart, steps, allow_changed or ())


@app.command("eval", epilog="Example:  attnzoo eval runs/translate_dates --split validation")
def evaluate(
    run: RunFolder,
    split: Annotated[
        Split | None,
        typer.Option(help="Split to evaluate. Default: test, else validation.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    worst: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, help="List so many of the worst mistakes; detection: draw the images."
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Detection: folder for --worst. Default: worst/ in the run folder.", show_default=False
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write input, true value and answer of each example to this .csv or .jsonl file.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Evaluate on this file or folder, of the kind that the run was trained on; once for each "
            "file of line-aligned texts.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Evaluate a trained model on a split of its data, or on other data."""
    from attnzoo.pictures import require_own_pictures

    require_folder(run)
    if out is not None and not worst:
        refuse("--out is the folder for the pictures of --worst: add it")
    require_own_pictures(out)
    if predictions is not None:
        _require_result_file(predictions)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import evaluation
        from attnzoo.training.console import EvaluationProgress, print_line

        chosen, progress = split.value if split else None, EvaluationProgress(print_line)
        result, details = evaluation.evaluate(
            run, chosen, worst, out, data or (), predictions=predictions, on_batch=progress
        )
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=float))
    else:
        _print_metrics(result, details)


@app.command(epilog="Example:  attnzoo export runs/translate_dates --out served/dates")
def export(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder. Default: export/ in the run folder.", show_default=False),
    ] = None,
) -> None:
    """Export a trained model as a SavedModel that takes raw text or image bytes."""
    require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow(num_gpus=0)  # so that nothing of this machine's GPU gets into the export
        from attnzoo.export import export as export_run

        folder = export_run(run, out)
    print(folder)
    print(
        f"verified in a fresh process; {folder}/export.json lists inputs and outputs; load it with:",
        file=sys.stderr,
    )
    print(f'  tf.saved_model.load("{folder}").signatures["serving_default"](...)', file=sys.stderr)


@app.command("list", epilog="Example:  attnzoo list models")
def list_names(kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)]) -> None:
    """List the models, data sets and other components that a config can name, or the recipes."""
    if kind.value == "configs":
        _print_configs()
    else:
        print_table(["name", "description"], catalog.describe(kind.value))


def _print_configs() -> None:
    """Prints the recipes, with their folders if they are in several."""
    recipes = catalog.describe_configs()
    folders = list(dict.fromkeys(folder for *_, folder in recipes))
    columns = 2 if len(folders) == 1 else 3
    print_table(["name", "description", "folder"][:columns], [recipe[:columns] for recipe in recipes])
    print(f"in {' and '.join(folders)}; to modify one: attnzoo config copy NAME", file=sys.stderr)


def _require_result_file(path: Path) -> None:
    """Refuses a file that predictions cannot be written to."""
    if path.suffix.lower() not in (".csv", ".jsonl"):
        refuse(f"--predictions {path}: expected a name that ends in .csv or .jsonl")
    if not path.parent.is_dir() or path.is_dir():
        refuse(f"--predictions {path}: expected a file in an existing folder")


def _steps(text: str | None) -> tuple[int, int] | None:
    """Parses START:STOP."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    digits_only = all(part.isascii() and part.isdigit() for part in (start, stop))
    if not (colon and digits_only and int(start) < int(stop)):
        refuse(f"--profile {text}: expected START:STOP, two steps with START below STOP, such as 10:20")
    return int(start), int(stop)


def _print_metrics(result: dict[str, Any], details: Sequence[str]) -> None:
    metrics = result["metrics"]
    rows = [(name, _format(value)) for name, value in metrics.items() if not isinstance(value, str)]
    truncated = (
        f", {result['truncated_fraction']:.2%} of tokens truncated"
        if result.get("truncated_fraction")
        else ""
    )
    print(
        f"{result['run']}: {result['split']}, {result['examples']} examples{truncated}, weights: "
        f"{result['weights']}, {result['seconds']:.1f} s"
    )
    print_table(["metric", "value"], rows)
    for name, value in metrics.items():
        if isinstance(value, str):  # a signature is longer than a column of a table is wide
            print(f"  {name} {value}")
    for line in details:
        print(line)


def _format(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
