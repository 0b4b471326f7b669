"""The commands that ask a trained run: predict, score."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnzoo.cli.common import Beams, Format, RunFolder, refuse, require_folder
from attnzoo.startup import import_tensorflow

if TYPE_CHECKING:
    from attnzoo.records.text_records import TextRecord


app = typer.Typer()

LENGTH_NOTES = {
    "truncated": "are longer than the model reads (data.max_length) and were truncated",
    "beyond_training": "are longer than any in training, where a model is less sure",
}


@app.command(epilog="Example:  attnzoo predict runs/translate_dates dates.txt --beams 4 --json")
def predict(
    run: RunFolder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]",
            help="Texts, or paths of images, one a line, or in .csv, .tsv or .jsonl, each also .gz; "
            "- is standard input.",
        ),
    ] = "-",
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What FILE is. Default: by its ending.", show_default=False),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Column (jsonl: key) with the text. Default: as in training.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line, with scores or probabilities.")
    ] = False,
    beams: Beams = None,
    count: Annotated[
        int, typer.Option(min=1, max=64, help="Translations of each text, best first, as JSON.")
    ] = 1,
    together_with: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="RUN",
            help="Another run that answers together with the first; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw translations, do not search.")] = False,
    temperature: Annotated[float, typer.Option(min=0.01, max=100.0, help="Of the draw.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw among so many tokens.", show_default=False)
    ] = None,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Draw among this share.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the draw.")] = 0,
) -> None:
    """Answer new texts or images: a translation, a label or a number for each, in order, one a line."""
    folders = [run, *(together_with or [])]
    for folder in folders:
        require_folder(folder)
    if not sample and (temperature, top_k, top_p, seed) != (1.0, None, 1.0, 0):
        refuse("--temperature, --top-k, --top-p and --seed are about draws: add --sample")
    records = _read_texts(run, file, form, column)
    first = list(itertools.islice(records, 1))  # a wrong file is told before TensorFlow is there
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction
        from attnzoo.tasks.task import Request

        beside = None if file == "-" else Path(file).parent
        request = Request(count, sample, seed, temperature, top_k, top_p, beams, folder=beside)
        answers = prediction.Answers(folders, request)
    at_once = 1 if file == "-" and sys.stdin.isatty() else prediction.TEXTS_AT_ONCE
    each = answers.to(itertools.chain(first, records), at_once)
    _warn_of_lengths(_print_answers(each, None if as_json or count > 1 else answers.task.answer_line))


def _read_texts(run: Path, file: str, form: Format | None, column: str | None) -> Iterator[TextRecord]:
    """Returns the texts of a file; in a table from the column that texts are in, as in training."""
    from attnzoo.records.text_records import LINES, format_of, read_texts

    chosen = form.value if form else format_of(file)
    if chosen == LINES:
        if column is not None:
            refuse(f"--column {column}: plain lines have no columns; add --format csv, tsv or jsonl")
        return read_texts(file, chosen, "")
    return read_texts(file, chosen, column or _trained_column(run))


def _trained_column(run: Path) -> str:
    """Returns the name that the config of a run gives to the column of its inputs, else the feature's."""
    from attnzoo import catalog
    from attnzoo.config import RunConfig
    from attnzoo.features.info import require_run_format

    require_run_format(run)
    config = RunConfig.read(run / "config.yaml")
    name = catalog.load_class("tasks", catalog.load("models", config.model.name).TASK).input_name
    return config.data.model_dump().get(name) or name


def _print_answers(
    answers: Iterable[dict[str, Any]], to_line: Callable[[dict[str, Any]], str] | None
) -> dict[str, list[int]]:
    """Prints a line an answer, as JSON without `to_line`; returns the numbers of too long texts, by note."""
    noted: dict[str, list[int]] = {note: [] for note in LENGTH_NOTES}
    for number, answer in enumerate(answers, 1):
        for note, numbers in noted.items():
            if answer[note]:
                numbers.append(number)
        print(to_line(answer) if to_line else json.dumps(answer, ensure_ascii=False), flush=True)
    return noted


def _warn_of_lengths(noted: Mapping[str, list[int]]) -> None:
    from attnzoo.training.console import warn

    for note, numbers in noted.items():
        if numbers:
            warn(f"{len(numbers):,} of the inputs {LENGTH_NOTES[note]}; the first is number {numbers[0]}.")


@app.command(epilog="Example:  attnzoo score runs/translate_dates dates.txt iso.txt")
def score(
    run: RunFolder,
    source: Annotated[Path, typer.Argument(help="Texts, one a line.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="A translation of each.", show_default=False)],
) -> None:
    """Print the log probability (nats) and the tokens of each given translation, as JSON lines."""
    require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction

        found = list(prediction.score(run, source, target))
    _warn_of_lengths(_print_answers(found, None))
