"""`attnzoo attend`: where a model attends, and whether that means anything."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attnzoo.cli.common import Beams, RunFolder, Split, print_table, refuse, require_folder
from attnzoo.startup import import_tensorflow

EXAMPLES = 5
FAITHFULNESS_EXAMPLES = 200

app = typer.Typer()


@app.command(epilog='Example:  attnzoo attend runs/translate_dates "Saturday, 3 May 1980"')
def attend(
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, or image files, to answer. Default: examples of a split, of all its classes.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures or page. Default: attention/ in the run.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object a text or image with all weights; write nothing."),
    ] = False,
    beams: Beams = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Whose attention; not of translators. Default: the pooling, else the last block.",
            show_default=False,
        ),
    ] = None,
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="Classifiers of one label a text: whether what is attended to matters, by taking it away.",
        ),
    ] = False,
    split: Annotated[
        Split | None,
        typer.Option(help="Part of the data, where no text is given. Default: test.", show_default=False),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Examples where no text is given. Default: 5, or 200 of --faithfulness.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show where a model attended: in words, as pictures or page, as JSON."""
    require_folder(run)
    texts = texts or []
    _check(texts, split, faithfulness, out)
    part = None if split is None else split.value
    maps: Any = None
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo.explanation import Explanation

        explanation = Explanation(run, layer, beams)
        if faithfulness:
            measured = explanation.faithfulness(part, count or FAITHFULNESS_EXAMPLES)
        elif texts:
            maps = explanation.of_inputs(texts)
        else:
            maps = explanation.of_examples(part, count or EXAMPLES)
    if faithfulness:
        print_faithfulness(measured, run, as_json)
    elif as_json:
        for one in maps:
            print(one.to_json())
    else:
        paths = explanation.view.write(maps, out or run / "attention", f"{run.name}: where it attends")
        print_lines(explanation.view, maps, paths)


def _check(texts: Sequence[str], split: Split | None, faithfulness: bool, out: Path | None) -> None:
    """Refuses options that do not go together, and texts that are none."""
    if texts and (split is not None or faithfulness):
        refuse("--split and --faithfulness are about examples of the data: leave the texts out")
    if faithfulness and out is not None:
        refuse("--faithfulness prints a table and writes nothing: leave --out out")
    for number, text in enumerate(texts, 1):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            refuse(f"text {number}: not UTF-8; expected a terminal and a text in UTF-8")


def print_lines(view: Any, maps: Sequence[Any], paths: Sequence[Path]) -> None:
    """Prints what a view says of inputs: in colors on a terminal that has them."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for line in view.lines(maps, paths, console.is_terminal and not console.no_color):
        if isinstance(line, str):
            print(line)
        else:
            console.print(line)


def print_faithfulness(found: Any, run: Path, as_json: bool = False) -> None:
    """Prints a row a fraction of removed tokens, the areas, and what they mean; or all of it as JSON."""
    if as_json:
        print(json.dumps({"run": str(run), **json.loads(found.to_json())}, ensure_ascii=False))
        return
    curves = {"most attended": found.attention, "random": found.random, "least attended": found.least}
    rows = [
        (
            f"{fraction:.0%}",
            *(f"{one.probability[row]:.4f}  {one.changed[row]:6.1%}" for one in curves.values()),
        )
        for row, fraction in enumerate(found.fractions)
    ]
    rows.append(("area", *(f"{one.area:.4f}" for one in curves.values())))
    print(f"{run}: {found.split}, {found.examples} examples, attention of {found.layer}")
    print("mean probability of the label given to the whole text, and texts whose label changes, without")
    print_table(["removed", *curves], rows)
    draws = ", ".join(f"{area:.4f}" for area in found.random_areas)
    print(f"area over the curve: mean drop of that probability; random draws: {draws}")
    print(found.meaning)
