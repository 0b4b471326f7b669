"""A page of texts whose tokens are coloured by the attention they received."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from attnzoo.explain.attention import Attention
from attnzoo.tasks.text_attention import visible
from attnzoo.tensors import disk_errors, write_text

COLOUR = (230, 85, 13)
"""Red, green and blue, 0 to 255, of a token with the largest weight of its text."""

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


def write_page(found: Sequence[Attention], path: Path, title: str) -> None:
    """Writes an HTML page that needs nothing beside it and runs nothing.

    Args:
        found: texts, one or more, of one layer.
        path: of the file; its folder is made.
        title: heading.

    Raises:
        UserError: the file cannot be written (4).
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page(found, title))


def page(found: Sequence[Attention], title: str) -> str:
    """Returns the text of the page; whatever is in the texts is shown, never obeyed."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{_escaped(title)}</title>
<style>{_STYLE % COLOUR}</style>
</head>
<body>
<h1>{_escaped(title)}</h1>
<p>Attention of the layer <b>{_escaped(found[0].layer)}</b>. Colours show each weight beside the largest of
its text: 0 <span class="scale"></span> largest. Point at a token to read its weight.</p>
{"".join(map(_article, found))}</body>
</html>
"""


def _article(one: Attention) -> str:
    others = [item for item in one.probabilities.items() if item[0] not in one.labels]
    others = sorted(others, key=lambda item: -item[1])[:3]
    truth = ""
    if one.truth is not None:
        kind = "right" if one.true_labels == one.labels else "wrong"
        word = "label" if one.one_label else "labels"
        truth = f' <span class="{kind}">true {word}: {_escaped(one.truth)}</span>'
    cut = " <small>(cut: longer than the longest text in training)</small>" if one.cut else ""
    others_text = ", ".join(f"{_escaped(name)} {value:.4f}" for name, value in others)
    return (
        f"<article>\n<p>{_said(one)}{truth} "
        f"<small>{others_text}; largest weight {one.weights.max(initial=0.0):.4f}</small>{cut}</p>\n"
        f'<p class="tokens" dir="auto">{"".join(_tokens(one))}</p>\n</article>\n'
    )


def _said(one: Attention) -> str:
    parts = [f"<b>{_escaped(label)}</b> {one.probabilities[label]:.4f}" for label in one.labels]
    return ", ".join(parts) or "<b>no label</b>"


def _tokens(one: Attention) -> list[str]:
    colour = " ".join(map(str, COLOUR))
    return [
        f'<span style="background: rgb({colour} / {share:.3f})" title="{weight:.4f}">{_escaped(token)}</span>'
        for token, weight, share in zip(one.shown, one.weights, one.shares, strict=True)
    ]


def _escaped(text: str) -> str:
    return html.escape(visible(text))
