"""Texts of strangers on a page and in TensorBoard."""

import dataclasses
import html
import html.parser

import numpy as np
from tensorboard.plugin_util import markdown_to_safe_html

from attnzoo.explain.page import page
from attnzoo.explain.printable import printable
from attnzoo.explain.text import highlighted_tokens
from attnzoo.explanation import Explanation
from attnzoo.features.label import Label
from attnzoo.training.records import markdown_table

HOSTILE = "<script>alert(1)</script> hello </title> & \"'> \x1b[31m"


class Reader(html.parser.HTMLParser):
    """Collects the tags and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words = set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_data(self, data):
        self.words.append(data)


def test_hostile_texts_are_shown_and_never_obeyed(known, tmp_path):
    explanation = Explanation(known)
    (result,) = explanation.explain_inputs(["hello"])
    result = dataclasses.replace(
        result,
        text=HOSTILE,
        display_tokens=[HOSTILE],
        tokens=[HOSTILE],
        target=Label(names=(HOSTILE, "</p><img src=x>")),
        values=np.array([1.0, 0.0], np.float32),
        truth=1,
    )
    read = Reader(page([result], title=HOSTILE))
    assert read.tags == {
        *("html", "head", "meta", "title", "style", "body", "h1", "p", "b", "span", "article", "small")
    }
    text = "".join(read.words)
    assert text.count(printable(HOSTILE)) >= 3
    assert "true: </p><img src=x>" in text
    assert "\x1b" not in text
    assert "default-src 'none'" in page([result], "x")
    (path,) = explanation.view.write([result], tmp_path / "new", "x")
    assert path == tmp_path / "new" / "attention.html"
    assert "&lt;script&gt;" in path.read_text("utf-8")
    shown = markdown_table(
        [{"tokens": highlighted_tokens(["<script>", "*", "|", " "], np.array([0.9, 0.1, 0.0, 0.0]))}]
    )
    rendered = markdown_to_safe_html(shown)
    assert "<script" not in rendered
    assert "<strong><script> 90%</strong> * | \u2423</td>" in html.unescape(rendered)
    assert rendered.count("<td>") == 1
