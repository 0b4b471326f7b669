"""`attnzoo predict` and `attnzoo score`: a trained model applied to new inputs."""

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
    "beyond_training": "are longer than any training input; answers to them are less reliable",
}


@app.command(epilog="Example:  attnzoo predict runs/translate_dates dates.txt --beams 4 --json")
def predict(
    run: RunFolder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]",
            help="Texts or image paths, one per line, or a .csv, .tsv or .jsonl file; each may be gzipped "
            "(.gz). - reads standard input.",
        ),
    ] = "-",
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Format of FILE. Default: inferred from its extension.", show_default=False
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column (JSON Lines: key) that holds the input. Default: as in training.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object per line, with scores or probabilities."),
    ] = False,
    beams: Beams = None,
    count: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Translations per text, best first; more than one are printed as JSON."
        ),
    ] = 1,
    together_with: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="RUN",
            help="Another run to average with, as an ensemble; may be repeated.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample translations instead of searching for the best.")
    ] = False,
    temperature: Annotated[
        float, typer.Option(min=0.01, max=100.0, help="Sampling temperature; needs --sample.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1, help="Sample among the k most probable tokens; needs --sample.", show_default=False
        ),
    ] = None,
    top_p: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=1.0,
            help="Sample among the most probable tokens with this total probability; needs --sample.",
        ),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the sampling; needs --sample.")
    ] = 0,
) -> None:
    """Predict a translation, a label or a number for each new text or image, one per line, in order."""
    folders = [run, *(together_with or [])]
    for folder in folders:
        require_folder(folder)
    if not sample and (temperature, top_k, top_p, seed) != (1.0, None, 1.0, 0):
        refuse("--temperature, --top-k, --top-p and --seed need --sample: add it")
    records = _read_texts(run, file, form, column)
    first = list(itertools.islice(records, 1))  # reports a wrong file before TensorFlow is imported
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction
        from attnzoo.tasks.types import Request

        beside = None if file == "-" else Path(file).parent
        request = Request(count, sample, seed, temperature, top_k, top_p, beams, folder=beside)
        answers = prediction.EnsemblePredictor(folders, request)
    chunk_size = 1 if file == "-" and sys.stdin.isatty() else prediction.CHUNK_SIZE
    results = answers.predict(itertools.chain(first, records), chunk_size)
    _warn_of_lengths(_print_answers(results, None if as_json or count > 1 else answers.task.answer_line))


def _read_texts(run: Path, file: str, form: Format | None, column: str | None) -> Iterator[TextRecord]:
    """Returns the texts of a file; of a table those of `column`, by default that of the training data."""
    from attnzoo.records.text_records import LINES, read_texts, text_format

    chosen = form.value if form else text_format(file)
    if chosen == LINES:
        if column is not None:
            refuse(f"--column {column}: plain text has no columns; add --format csv, tsv or jsonl")
        return read_texts(file, chosen, "")
    return read_texts(file, chosen, column or _trained_column(run))


def _trained_column(run: Path) -> str:
    """Returns the input column that the config of a run names; by default the name of the feature."""
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
    """Prints one line per answer, as JSON without `to_line`.

    Returns:
        For each key of `LENGTH_NOTES` the numbers of the inputs that it is true of, from 1.
    """
    too_long: dict[str, list[int]] = {note: [] for note in LENGTH_NOTES}
    for number, answer in enumerate(answers, 1):
        for note, numbers in too_long.items():
            if answer[note]:
                numbers.append(number)
        print(to_line(answer) if to_line else json.dumps(answer, ensure_ascii=False), flush=True)
    return too_long


def _warn_of_lengths(too_long: Mapping[str, list[int]]) -> None:
    from attnzoo.training.console import warn

    for note, numbers in too_long.items():
        if numbers:
            warn(f"{len(numbers):,} of the inputs {LENGTH_NOTES[note]}; the first is number {numbers[0]}.")


@app.command(epilog="Example:  attnzoo score runs/translate_dates dates.txt iso.txt")
def score(
    run: RunFolder,
    source: Annotated[Path, typer.Argument(help="Source texts, one per line.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Their translations, one per line.", show_default=False)],
) -> None:
    """Print the log probability (in nats) and number of tokens of given translations, as JSON Lines."""
    require_folder(run)
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction

        scores = list(prediction.score(run, source, target))
    _warn_of_lengths(_print_answers(scores, None))
