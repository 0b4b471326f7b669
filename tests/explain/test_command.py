"""`attnzoo attend`: what it writes, prints and refuses."""

import json

from tests import commands
from tests.explain.test_page import HOSTILE, Reader


def test_the_command_writes_a_page_and_prints_json(known, tmp_path):
    ended = commands.run("attend", known, "hello " + HOSTILE, "--out", "shown", folder=tmp_path)
    assert (ended.code, "hello(0.500)" in ended.out) == (0, True)
    assert ended.out.endswith("\nshown/attention.html\n")
    assert "span" in Reader((tmp_path / "shown" / "attention.html").read_text("utf-8")).tags
    options = ("--count", "4", "--layer", "block_0", "--split", "train", "--json")
    ended = commands.run("attend", known, "--faithfulness", *options, folder=tmp_path)
    given = json.loads(ended.out)
    assert [given[name] for name in ("run", "examples", "layer", "split")] == [
        *(str(known), 4, "block_0", "train")
    ]


def test_options_that_cannot_be_combined_are_one_line(known, runs, tmp_path):
    for arguments, message in (
        ((known, "x", "--split", "test"), "remove them or the texts"),
        ((known, "--faithfulness", "--out", "x"), "remove --out"),
        ((known, "--beams", "2"), "a run of text_classification; --beams is only for translation."),
        ((known, "\udcff"), "text 1: not UTF-8; use a terminal whose encoding is UTF-8"),
        (
            (runs["translation"], "--faithfulness"),
            "a run of translation; --faithfulness is only for single-label text classification.",
        ),
        (
            (runs["translation"], "--layer", "x"),
            "--layer x: not available for translation, which always shows the last block; remove it.",
        ),
        (
            (tmp_path, "x"),
            "not a run folder (it has no config.yaml); expected one created by `attnzoo train`.",
        ),
    ):
        ended = commands.run("attend", *arguments, folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("attnzoo: error: ")
        assert ended.err.endswith(f"{message}\n")
        assert ended.err.count("\n") == 1
