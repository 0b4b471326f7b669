"""`attnzoo attend`: where a model attends, and whether its predictions depend on it."""

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
            help="Texts or image files. Default: examples of a split, from all its classes.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pictures or the page. Default: attention/ in the run folder.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per input, with all attention weights; write no files."
        ),
    ] = False,
    beams: Beams = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Attention layer to show; not for translation. Default: the pooling, else the last block.",
            show_default=False,
        ),
    ] = None,
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="For single-label text classifiers: measure how predictions change when the most attended "
            "tokens are removed.",
        ),
    ] = False,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Split to take examples from when no text is given. Default: test.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Number of examples when no text is given. Default: 5, or 200 with --faithfulness.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show where a model attends: in the terminal, as pictures, as an HTML page, or as JSON."""
    from attnzoo.pictures import require_own_pictures

    require_folder(run)
    texts = texts or []
    _check(texts, split, faithfulness, out)
    require_own_pictures(out)
    split_name = None if split is None else split.value
    maps: Any = None
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo.explanation import Explanation

        explanation = Explanation(run, layer, beams)
        if faithfulness:
            faithfulness_result = explanation.faithfulness(split_name, count or FAITHFULNESS_EXAMPLES)
        elif texts:
            maps = explanation.explain_inputs(texts)
        else:
            maps = explanation.explain_examples(split_name, count or EXAMPLES)
    if faithfulness:
        print_faithfulness(faithfulness_result, run, as_json)
    elif as_json:
        for one in maps:
            print(one.to_json())
    else:
        paths = explanation.view.write(maps, out or run / "attention", f"{run.name}: where it attends")
        print_lines(explanation.view, maps, paths)


def _check(texts: Sequence[str], split: Split | None, faithfulness: bool, out: Path | None) -> None:
    """Refuses options that cannot be combined, and texts that are not UTF-8."""
    if texts and (split is not None or faithfulness):
        refuse("--split and --faithfulness use examples of the data: remove them or the texts")
    if faithfulness and out is not None:
        refuse("--faithfulness prints a table and writes no files: remove --out")
    for number, text in enumerate(texts, 1):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            refuse(f"text {number}: not UTF-8; use a terminal whose encoding is UTF-8")


def print_lines(view: Any, maps: Sequence[Any], paths: Sequence[Path]) -> None:
    """Prints the lines of a view, in colors on a terminal that supports them."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for line in view.lines(maps, paths, console.is_terminal and not console.no_color):
        if isinstance(line, str):
            print(line)
        else:
            console.print(line)


def print_faithfulness(result: Any, run: Path, as_json: bool = False) -> None:
    """Prints one row per fraction of removed tokens, the areas and what they mean; or all of it as JSON."""
    if as_json:
        print(json.dumps({"run": str(run), **json.loads(result.to_json())}, ensure_ascii=False))
        return
    curves = {"most attended": result.attention, "random": result.random, "least attended": result.least}
    rows = [
        (
            f"{fraction:.0%}",
            *(f"{one.probability[row]:.4f}  {one.changed[row]:6.1%}" for one in curves.values()),
        )
        for row, fraction in enumerate(result.fractions)
    ]
    rows.append(("area", *(f"{one.area:.4f}" for one in curves.values())))
    print(f"{run}: {result.split}, {result.examples} examples, attention of {result.layer}")
    print("mean probability of the label predicted for the whole text, and how many labels change:")
    print_table(["removed", *curves], rows)
    draws = ", ".join(f"{area:.4f}" for area in result.random_areas)
    print(f"area over the curve: mean drop of that probability; areas of the random orders: {draws}")
    print(result.meaning)
