"""Where text classifiers attend, on a run whose weights are set so that it is known."""

import json

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.cli.attend import print_lines
from attnzoo.errors import UserError
from attnzoo.explanation import Explanation


def test_the_weights_of_a_known_run_are_found(known):
    texts = ["hello friend 3", "guten morgen", "what?", ""]
    english, german, unknown, empty = Explanation(known).explain_inputs(texts)
    assert english.tokens == ["hello", "friend", "3"]
    np.testing.assert_allclose(english.weights, [1.0, 0.0, 0.0], atol=1e-6)
    assert (english.layer, english.truth, english.truncated) == ("pooling", None, False)
    np.testing.assert_allclose(german.weights, [0.5, 0.5], atol=1e-6)
    assert json.loads(german.to_json())["label"] == "de"
    assert unknown.tokens == ["(unknown)", "(unknown)"]
    assert (empty.tokens, empty.weights.tolist(), empty.relative_weights.tolist()) == ([], [], [])
    given = json.loads(english.to_json())
    assert given["weights"] == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    assert (given["label"], given["true_label"]) == ("en", None)
    assert given["probabilities"]["en"] == given["probability"] > 0.999
    assert set(given) == {
        *(
            "text",
            "tokens",
            "weights",
            "layer",
            "label",
            "probability",
            "probabilities",
            "true_label",
            "truncated",
        )
    }
    first, second = Explanation(known, layer="block_0").explain_examples("train", 2)
    assert [json.loads(one.to_json())["true_label"] for one in (first, second)] == ["en", "de"]
    np.testing.assert_allclose(first.weights, np.full(len(first.tokens), 1 / len(first.tokens)), atol=1e-6)


def test_tensorboard_shows_where_fixed_examples_are_attended_to(runs):
    logs = (runs["text"] / "logs" / "validation").glob("*.tfevents.*")
    texts = {}
    for record in tf.data.TFRecordDataset([str(path) for path in logs]):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.tag == "attention":
                texts[event.step] = value.tensor.string_val[0].decode()
    assert len(texts) == 3  # epochs
    for text in texts.values():
        head, _, *rows = text.splitlines()
        assert head == "| tokens | label | predicted |"
        assert len(rows) == 3  # eval.samples

    def words(text):
        tokens = text.splitlines()[2].split(" | ")[0].replace("*", "").split()
        return [token for token in tokens if not token.endswith("%")]

    first, *others = texts.values()
    assert all(words(text) == words(first) for text in others)


def test_an_unknown_layer_is_one_line_with_the_names(known):
    with pytest.raises(UserError, match="--layer x: no such attention layer; expected one of block_0, poo"):
        Explanation(known, layer="x")


def test_a_terminal_shows_the_largest_weight_in_the_deepest_color(known, monkeypatch, capsys):
    explanation = Explanation(known)
    result = explanation.explain_inputs(["hello friend"])
    print_lines(explanation.view, result, [])
    plain = capsys.readouterr().out
    assert plain == f"en  {result[0].values.max():.4f}\n  hello(1.000) friend(0.000)\n\n"
    for name, value in (("FORCE_COLOR", "1"), ("COLORTERM", "truecolor"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    print_lines(explanation.view, result, [])
    legend, answer, text = capsys.readouterr().out.splitlines()[:3]
    assert legend.startswith("attention of pooling: 0 ")
    assert legend.count("\x1b[30;48;2;") == 10
    assert answer == plain.splitlines()[0]
    assert text == "  \x1b[30;48;2;230;85;13mhello \x1b[0mfriend "
