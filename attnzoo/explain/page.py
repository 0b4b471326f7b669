"""An HTML page of texts whose tokens are colored by attention."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnzoo.explain.printable import printable
from attnzoo.files import disk_errors, write_text

if TYPE_CHECKING:
    from attnzoo.explain.text import TextAttention

COLOR = (230, 85, 13)
"""Red, green and blue, 0 to 255, of the token with the largest weight in a text."""

_STYLE = """
body { font: 16px/1.7 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
article { border-top: 1px solid #ccc; padding: 1rem 0; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; }
.tokens span { border-radius: .2em; }
.scale { display: inline-block; width: 12rem; height: 1em; vertical-align: middle; border: 1px solid #ccc;
  background: linear-gradient(to right, #fff, rgb(%d %d %d)); }
.wrong { color: #b00020; }
small { color: #555; }
"""


def write_page(maps: Sequence[TextAttention], path: Path, title: str) -> None:
    """Writes a self-contained HTML page without scripts.

    Args:
        maps: one or more texts with the attention of one layer.
        path: path of the file; its folder is created.
        title: heading.

    Raises:
        UserError: the file cannot be written (4).
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page(maps, title))


def page(maps: Sequence[TextAttention], title: str) -> str:
    """Returns the HTML of the page, with all texts escaped."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{_escaped(title)}</title>
<style>{_STYLE % COLOR}</style>
</head>
<body>
<h1>{_escaped(title)}</h1>
<p>Attention of the layer <b>{_escaped(maps[0].layer)}</b>. Colors show weights relative to the largest one of
each text: 0 <span class="scale"></span> largest. Hover over a token to see its weight.</p>
{"".join(map(_article, maps))}</body>
</html>
"""


def _article(one: TextAttention) -> str:
    truth = ""
    if one.truth is not None:
        kind = {True: "correct", False: "wrong", None: ""}[one.target.is_correct(one.values, one.truth)]
        truth = f' <span class="{kind}">true: {_escaped(one.target.format_value(one.truth))}</span>'
    truncated = " <small>(truncated: longer than the model reads)</small>" if one.truncated else ""
    others = ", ".join(
        f"{_escaped(name)} {probability}" for name, probability in one.target.alternatives(one.values)
    )
    largest = f"largest weight {one.weights.max(initial=0.0):.4f}"
    return (
        f"<article>\n<p>{_prediction(one)}{truth} "
        f"<small>{'; '.join(part for part in (others, largest) if part)}</small>{truncated}</p>\n"
        f'<p class="tokens" dir="auto">{"".join(_tokens(one))}</p>\n</article>\n'
    )


def _prediction(one: TextAttention) -> str:
    texts = one.target.prediction_texts(one.values)
    parts = [f"<b>{_escaped(name)}</b> {probability}".rstrip() for name, probability in texts]
    return ", ".join(parts) or "<b>no label</b>"


def _tokens(one: TextAttention) -> list[str]:
    color = " ".join(map(str, COLOR))
    return [
        f'<span style="background: rgb({color} / {relative:.3f})" title="{weight:.4f}">'
        f"{_escaped(token)}</span>"
        for token, weight, relative in zip(one.display_tokens, one.weights, one.relative_weights, strict=True)
    ]


def _escaped(text: str) -> str:
    return html.escape(printable(text))
