"""`attnzoo predict` and `attnzoo score`: a trained model applied to new inputs."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|-]...",
            help="Texts or image paths, one per line, or a .csv, .tsv or .jsonl file; each may be gzipped "
            "(.gz). - reads standard input. For images also image files, folders and glob patterns, one or "
            "more.",
            show_default=False,
        ),
    ] = None,
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
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table with a header; of detections one row each.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Detection: also draw the boxes, as a PNG per image in this folder.", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Detection: lowest score. Default: eval.score_threshold of the run.",
            show_default=False,
        ),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Detection: largest IoU of two boxes of a class. Default: eval.suppression_iou of the run.",
            show_default=False,
        ),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Detection: most boxes per image. Default: eval.max_detections of the run.",
            show_default=False,
        ),
    ] = None,
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
    """Predict a translation, label, number or boxes for each new text or image, one per line, in order."""
    from attnzoo.pictures import require_own_pictures

    folders = [run, *(together_with or [])]
    for folder in folders:
        require_folder(folder)
    if not sample and (temperature, top_k, top_p, seed) != (1.0, None, 1.0, 0):
        refuse("--temperature, --top-k, --top-p and --seed need --sample: add it")
    if as_csv and (as_json or count > 1):
        refuse("--csv and --json (or --count) are two formats: leave one out")
    require_own_pictures(out)
    records, beside = _read_inputs(run, inputs or ["-"], form, column)
    first = list(itertools.islice(records, 1))  # reports a wrong file before TensorFlow is imported
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction
        from attnzoo.tasks.types import Request

        request = Request(
            count,
            sample,
            seed,
            temperature,
            top_k,
            top_p,
            beams,
            folder=beside,
            score_threshold=threshold,
            suppression_iou=iou,
            max_detections=max_detections,
        )
        answers = prediction.EnsemblePredictor(folders, request)
        if out is not None and not answers.task.finds_objects:
            refuse(f"{run}: a run of {answers.task.name}; --out is only for detection")
    is_typed = not inputs or (inputs == ["-"] and sys.stdin.isatty())
    results = answers.predict(itertools.chain(first, records), 1 if is_typed else prediction.CHUNK_SIZE)
    if out is not None:
        results = _drawn(results, answers, out)
    to_line = _TableWriter(answers.task) if as_csv else answers.task.answer_line
    _warn_of_lengths(_print_answers(results, None if as_json or count > 1 else to_line))


def _drawn(results: Iterable[dict[str, Any]], answers: Any, folder: Path) -> Iterator[dict[str, Any]]:
    """Yields the answers, each after its picture is written."""
    for answer in results:
        answers.write_picture(answer, folder)
        yield answer


class _TableWriter:
    """Makes lines of a CSV table of answers, the first with a header; None for an answer without rows."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.has_header = False

    def __call__(self, answer: dict[str, Any]) -> str | None:
        columns, rows = self.task.answer_table(answer)
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([columns] * (not self.has_header) + rows)
        self.has_header = True
        return stream.getvalue().removesuffix("\n") or None


def _read_inputs(
    run: Path, inputs: Sequence[str], form: Format | None, column: str | None
) -> tuple[Iterator[TextRecord], Path | None]:
    """Returns what the arguments name or list, and the folder that listed files are relative to."""
    from attnzoo.records.text_records import STANDARD_INPUT, TextRecord

    feature = _input_feature(run)
    if form is None and column is None:
        expanded = [feature.expand_input(one) for one in inputs]
    else:
        expanded = [None] * len(inputs)
    if None not in expanded:
        paths = dict.fromkeys(path for one in expanded for path in one or ())  # named twice, answered once
        return (TextRecord(path, location=path) for path in paths), None
    if len(inputs) > 1:
        odd = inputs[expanded.index(None)]
        refuse(f"{odd}: not an image, a folder or a glob pattern; give one file of inputs, or only images")
    (file,) = inputs
    beside = None if file == STANDARD_INPUT else Path(file).parent
    return _read_texts(run, file, form, column), beside


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
    config, task = _trained_task(run)
    return config.data.model_dump().get(task.input_name) or task.input_name


def _input_feature(run: Path) -> Any:
    """Returns the feature of the inputs of a run."""
    _, task = _trained_task(run)
    return task.features[task.input_name]


def _trained_task(run: Path) -> tuple[Any, Any]:
    """Returns the config of a run and the class of its task."""
    from attnzoo import catalog
    from attnzoo.config import RunConfig
    from attnzoo.features.info import require_run_format

    require_run_format(run)
    config = RunConfig.read(run / "config.yaml")
    return config, catalog.load_class("tasks", catalog.load("models", config.model.name).TASK)


def _print_answers(
    answers: Iterable[dict[str, Any]], to_line: Callable[[dict[str, Any]], str | None] | None
) -> dict[str, list[int]]:
    """Prints one line per answer, as JSON without `to_line`; none where that returns None.

    Returns:
        For each key of `LENGTH_NOTES` the numbers of the inputs that it is true of, from 1.
    """
    too_long: dict[str, list[int]] = {note: [] for note in LENGTH_NOTES}
    for number, answer in enumerate(answers, 1):
        for note, numbers in too_long.items():
            if answer[note]:
                numbers.append(number)
        line = to_line(answer) if to_line else json.dumps(answer, ensure_ascii=False)
        if line is not None:
            print(line, flush=True)
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
