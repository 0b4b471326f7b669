"""`attnzoo predict` and `attnzoo score`: a trained model applied to new inputs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnzoo.cli import outputs
from attnzoo.cli.common import Beams, RunFolder, refuse, require_folder
from attnzoo.cli.inputs import (
    IdColumn,
    InputFormat,
    ReadOptions,
    read_inputs,
    read_pairs,
    trained_task,
    with_prefix,
)
from attnzoo.cli.outputs import AnswerWriter, AsCsv, AsJson, Strict
from attnzoo.startup import import_tensorflow

if TYPE_CHECKING:
    from attnzoo.records.text_records import TextRecord

app = typer.Typer()


@app.command(epilog="Example:  attnzoo predict runs/translate_dates dates.txt --beams 4 --json")
def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|-]...",
            help="Texts or image paths, one per line, or a .csv, .tsv or .jsonl file; each may be gzipped "
            "(.gz). - reads standard input. For images also image files. Folders and glob patterns stand for "
            "their files.",
            show_default=False,
        ),
    ] = None,
    input_format: InputFormat = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column (JSON Lines: key) that holds the input. Default: as in training.",
            show_default=False,
        ),
    ] = None,
    id_column: IdColumn = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the answers (.csv, .jsonl or .txt). Detection: or a folder, for a PNG file per "
            "image with the boxes.",
            show_default=False,
        ),
    ] = None,
    strict: Strict = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Labels: so many per input with their probabilities, most probable first. Default: what is "
            "predicted; with --json also the probabilities of all.",
            show_default=False,
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
    prefix: Annotated[
        str | None,
        typer.Option(help="Translation: beginning of every translation, as text.", show_default=False),
    ] = None,
    prefix_column: Annotated[
        str | None,
        typer.Option(
            help="Translation: column (JSON Lines: key) with the beginning of each; a cell may be empty.",
            show_default=False,
        ),
    ] = None,
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
    from attnzoo.records.text_files import is_encodable
    from attnzoo.tasks.requests import refuse_unused
    from attnzoo.tasks.types import Request

    folders = [run, *(together_with or [])]
    for folder in folders:
        require_folder(folder)
    if not sample and (temperature, top_k, top_p, seed) != (1.0, None, 1.0, 0):
        refuse("--temperature, --top-k, --top-p and --seed need --sample: add it")
    if prefix is not None and prefix_column is not None:
        refuse("--prefix and --prefix-column are two sources of one thing: leave one out")
    if prefix is not None and not is_encodable(prefix):
        refuse("--prefix: not UTF-8; use a terminal whose encoding is UTF-8")
    config, task = trained_task(run)
    request = Request(
        count,
        top,
        beams,
        has_prefixes=prefix is not None or prefix_column is not None,
        sample=sample,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        score_threshold=threshold,
        suppression_iou=iou,
        max_detections=max_detections,
    )
    refuse_unused(run, task, config, request)
    default = outputs.JSON if count > 1 else outputs.TEXT
    output = outputs.choose_output(out, as_json, as_csv, default, task.finds_objects)
    if count > 1 and output.format == outputs.TEXT:
        refuse(
            f"--out {out}: --count gives several translations per text; expected the suffix .csv or .jsonl"
        )
    columns = {"--column": column, "--id": id_column, "--prefix-column": prefix_column}
    given = read_inputs(config, task, inputs or ["-"], ReadOptions(input_format, columns))
    outputs.refuse_input_as_output(output, given)
    require_own_pictures(output.folder)
    given = with_prefix(given, prefix)
    given.check_files()
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo.prediction import EnsemblePredictor

        predictor = EnsemblePredictor(folders, request)
    answers = predictor.answer_records(given.records, is_live=given.is_live)
    if output.folder is not None:
        answers = _drawn(answers, predictor, output.folder)
    writer = AnswerWriter(output.format, task.answer_line, task.answer_table, predictor.null_answer, given)
    outputs.write_answers(answers, output, writer, strict)


def _drawn(
    answers: Iterable[tuple[TextRecord, dict[str, Any]]], predictor: Any, folder: Path
) -> Iterator[tuple[TextRecord, dict[str, Any]]]:
    """Yields the answers, each after its picture is written."""
    for record, answer in answers:
        if record.problem is None:
            predictor.write_picture(answer, record, folder)
        yield record, answer


@app.command(epilog="Example:  attnzoo score runs/translate_dates dates.txt iso.txt")
def score(
    run: RunFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE TARGET|PAIRS|-]...",
            help="Source texts and their translations, one per line, in two files; or a .csv, .tsv or .jsonl "
            "file with both. - reads standard input: the lines of one of two files, or a source, a tab and "
            "its translation in each line.",
            show_default=False,
        ),
    ] = None,
    input_format: InputFormat = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column (JSON Lines: key) with the sources. Default: as in training, or source.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Column (JSON Lines: key) with the translations. Default: as in training, or target.",
            show_default=False,
        ),
    ] = None,
    id_column: IdColumn = None,
    with_tokens: Annotated[
        bool, typer.Option("--tokens", help="Also give the log probability of each token.")
    ] = False,
    as_csv: AsCsv = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the scores: .jsonl, .csv, or .txt for the log probabilities alone.",
            show_default=False,
        ),
    ] = None,
    strict: Strict = False,
) -> None:
    """Print the log probability (in nats) and number of tokens of given translations, as JSON Lines."""
    from attnzoo.tasks.requests import refuse_unscored

    require_folder(run)
    config, task = trained_task(run)
    refuse_unscored(run, task)
    output = outputs.choose_output(out, False, as_csv, outputs.JSON, has_pictures=False)
    if with_tokens and output.format == outputs.TEXT:
        refuse(f"--out {out}: --tokens gives several numbers per text; expected the suffix .csv or .jsonl")
    columns = {"--column": column, "--target": target, "--id": id_column}
    given = read_pairs(config, task, inputs or ["-"], ReadOptions(input_format, columns))
    outputs.refuse_input_as_output(output, given)
    given.check_files()
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import prediction

        scores = prediction.score(run, given.records, with_tokens=with_tokens, is_live=given.is_live)
    writer = AnswerWriter(
        output.format,
        lambda answer: str(answer["log_probability"]),
        lambda answer: (list(answer), [list(answer.values())]),
        task.null_score(with_tokens),
        given,
    )
    outputs.write_answers(scores, output, writer, strict)
