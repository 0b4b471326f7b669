"""`attnzoo config explain` and the page of every key."""

import pytest

from attnzoo.cli.common import print_table
from attnzoo.config import explaining, schema
from attnzoo.errors import UserError
from tests.conftest import ROOT


def explained(asked, capsys):
    """Returns the blocks that are printed, and what the tables hold."""
    texts, rows = [], []
    for part in explaining.explain(asked):
        if isinstance(part, str):
            texts.append(part)
        else:
            rows += part
            print_table(["key", "for", "default", "description"], part)
    capsys.readouterr()
    return texts, rows


def test_the_page_of_every_key_is_up_to_date():
    page = ROOT / "attnzoo/config/README.md"
    command = "attnzoo config explain > attnzoo/config/README.md"
    assert page.read_text(encoding="utf-8") == explaining.page(), f"run: {command}"
    assert command in page.read_text(encoding="utf-8")


def test_every_key_that_the_schema_has_is_on_the_page():
    page = explaining.page()
    definitions = schema()["$defs"]
    assert len(definitions) > 30
    for name, definition in definitions.items():
        keys = [key for key in definition.get("properties", {}) if key != "name"]
        assert [key for key in keys if f".{key}` |" not in page] == [], name


def test_every_key_has_a_description():
    without = [key.path for _, key in explaining._all_keys() if not key.description]
    assert without == []


def test_a_key_is_explained_with_its_values_its_default_and_what_has_it(capsys):
    texts, rows = explained("train.schedule", capsys)
    assert rows == []
    (lines,) = [text.splitlines() for text in texts]
    assert lines[0] == "train.schedule"
    assert lines[2:] == [
        "  value    one of 'constant', 'cosine', 'inverse_square_root', 'step', 'plateau'",
        "  default  constant",
        "  for      every task",
    ]


def test_a_key_that_several_things_have_is_explained_for_each_meaning(capsys):
    texts, _ = explained("model.attention.window", capsys)
    assert [text.splitlines()[-1] for text in texts] == ["  for      local"]
    texts, _ = explained("data.tokenizer", capsys)
    ends = [text.splitlines()[-2:] for text in texts]
    assert ends == [
        ["  default  auto", "  for      csv, parallel_text, tfds"],
        ["  default  characters", "  for      dates, languages"],
    ]


@pytest.mark.parametrize("asked", ["window", "local.window", "model.attention.local.window"])
def test_a_part_of_a_path_is_enough(asked, capsys):
    texts, _ = explained(asked, capsys)
    assert "model.attention.window" in [text.splitlines()[0] for text in texts]


def test_an_old_name_leads_to_the_new_one(capsys):
    texts, _ = explained("train.ema", capsys)
    (lines,) = [text.splitlines() for text in texts]
    assert (lines[0], lines[-1]) == ("train.ema_decay", "  was      train.ema")


def test_a_section_lists_its_keys(capsys):
    texts, rows = explained("eval", capsys)
    assert texts[0].splitlines()[0] == "eval"
    assert ("eval.beams", "translation", "1") in [row[:3] for row in rows]
    assert ("eval.weights", "every task", "best") in [row[:3] for row in rows]


def test_a_name_lists_all_keys_that_it_has(capsys):
    texts, rows = explained("local", capsys)
    what = "Sliding-window multi-head attention."
    assert f"attention mechanism local (model.attention): {what}" in texts
    assert all(text.endswith(what) for text in texts)
    assert {"model.attention.window", "model.attention.num_heads"} <= {row[0] for row in rows}
    assert "model.attention.hidden_units" not in {row[0] for row in rows}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("train.shedule", "unknown key 'train.shedule', did you mean 'train.schedule'?"),
        ("shedule", "unknown key 'shedule', did you mean 'schedule'?"),
        ("multihead", "unknown key 'multihead', did you mean 'multi_head'?"),
        ("zzz", "unknown key 'zzz', see `attnzoo config explain` for all of them"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(asked, message):
    with pytest.raises(UserError) as caught:
        list(explaining.explain(asked))
    assert str(caught.value) == message
