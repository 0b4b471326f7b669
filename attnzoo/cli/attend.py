"""`attnzoo attend`: where a model attends, and whether that means anything."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attnzoo.cli.common import Beams, RunFolder, Split, print_table, refuse, require_folder
from attnzoo.startup import import_tensorflow

SHOWN_TOKENS = 3
EXAMPLES = 5
FAITHFULNESS_EXAMPLES = 200
COLOURED = 0.05
"""Tokens with less than this share of the largest weight stay as they are."""

CUT = "  (cut: longer than the longest text in training)"

app = typer.Typer()


@app.command(epilog='Example:  attnzoo attend runs/translate_dates "Saturday, 3 May 1980"')
def attend(
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, or image files, to answer. Default: the first of a split.", show_default=False
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
            help="Classifiers: whose attention. Default: the pooling, else the last block.",
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
    """Show where a translation or a classifier attended: in words, as pictures or page, as JSON."""
    require_folder(run)
    texts = texts or []
    _check(texts, split, faithfulness, out)
    from attnzoo.info import IMAGE_CLASSIFICATION, TRANSLATION, DataInfo

    task = DataInfo.read(run / "info.json").task
    translation, images = task == TRANSLATION, task == IMAGE_CLASSIFICATION
    if images and faithfulness:
        refuse(f"{run}: a run of images; --faithfulness is about text classifiers")
    if translation and (layer is not None or faithfulness):
        refuse(f"{run}: a run of translation; --layer and --faithfulness are about text classifiers")
    if not translation and beams is not None:
        refuse(f"{run}: no run of translation; --beams is about translations")
    part = None if split is None else split.value
    with contextlib.redirect_stdout(sys.stderr):
        import_tensorflow()
        from attnzoo import explain

        found: Any
        if faithfulness:
            found = explain.faithfulness(run, part, count or FAITHFULNESS_EXAMPLES, layer)
        elif translation:
            found = explain.align(run, texts, beams, count or EXAMPLES, part)
        elif images:
            found = explain.attend_images(run, texts, layer, count or EXAMPLES, part)
        else:
            found = explain.attend(run, texts, layer, count or EXAMPLES, part)
    folder = out or run / "attention"
    if as_json:
        for one in [found] if faithfulness else found:
            print(one.to_json())
    elif faithfulness:
        print_faithfulness(found)
    elif translation:
        _show_alignments(found, folder)
    elif images:
        _show_images(found, folder)
    else:
        explain.write_page(found, folder / "attention.html", f"{run.name}: where it attends")
        print_attention(found)
        print(folder / "attention.html")


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


def _show_alignments(found: Sequence[Any], folder: Path) -> None:
    from attnzoo import explain

    for number, alignment in enumerate(found, 1):
        path = folder / f"{number}.png"
        explain.draw(alignment, path)
        _print_alignment(alignment)
        print(f"  {path}\n")


def _show_images(found: Sequence[Any], folder: Path) -> None:
    from attnzoo import explain

    for number, one in enumerate(found, 1):
        path = folder / f"{number}.png"
        explain.draw_image(one, path)
        print(f"{one.image}  ->  {one.said}\n  {path}\n")


def _print_alignment(alignment: Any) -> None:
    """Prints a line a token of the translation, with the source tokens that it attended to most."""
    print(f"{alignment.source}{CUT if alignment.cut else ''}  ->  {alignment.translation}")
    for token, row in zip(alignment.target_tokens, alignment.weights, strict=True):
        most = row.argsort()[::-1][:SHOWN_TOKENS]
        looked = "  ".join(f"{alignment.source_tokens[place]!r} {row[place]:.0%}" for place in most)
        print(f"    {token!r:12} <- {looked}")


def print_attention(found: Sequence[Any]) -> None:
    """Prints each text: coloured on a terminal, elsewhere every token with its weight."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    in_colours = console.is_terminal and not console.no_color
    if in_colours:
        console.print(_legend(found[0].layer))
    for one in found:
        truth = "" if one.truth is None else f"  (true: {one.truth})"
        console.print(f"{one.said}{truth}{CUT if one.cut else ''}", markup=False)
        if in_colours:
            console.print(_coloured(one))
        else:
            pairs = zip(one.shown, one.weights, strict=True)
            print("  " + " ".join(f"{token.strip() or repr(token)}({weight:.3f})" for token, weight in pairs))
        print()


def _coloured(one: Any) -> Any:
    """Returns the text of its tokens, the more of the attention the deeper their background."""
    from rich.text import Text

    text = Text("  ")
    for token, share in zip(one.shown, one.shares, strict=True):
        text.append(token, _background(share) if share >= COLOURED else "")
    return text


def _legend(layer: str) -> Any:
    from rich.text import Text

    text = Text(f"attention of {layer}: 0 ")
    for step in range(1, 11):
        text.append("  ", _background(step / 10))
    return text.append(" largest weight of the text")


def _background(share: float) -> str:
    from attnzoo.explain.page import COLOUR

    red, green, blue = (round(255 + (part - 255) * share) for part in COLOUR)
    return f"black on rgb({red},{green},{blue})"


def print_faithfulness(found: Any) -> None:
    """Prints a row a share of removed tokens, the areas, and what they mean."""
    curves = {"most attended": found.attention, "random": found.random, "least attended": found.least}
    rows = [
        (
            f"{share:.0%}",
            *(f"{one.probability[row]:.4f}  {one.changed[row]:6.1%}" for one in curves.values()),
        )
        for row, share in enumerate(found.shares)
    ]
    rows.append(("area", *(f"{one.area:.4f}" for one in curves.values())))
    print(f"{found.run}: {found.split}, {found.examples} examples, attention of {found.layer}")
    print("mean probability of the label given to the whole text, and texts whose label changes, without")
    print_table(["removed", *curves], rows)
    draws = ", ".join(f"{area:.4f}" for area in found.random_areas)
    print(f"area over the curve: mean drop of that probability; random draws: {draws}")
    print(found.meaning)
