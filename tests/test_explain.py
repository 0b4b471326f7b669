"""Where text classifiers attend, on a run whose weights are set so that it is known."""

import html
import html.parser
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugin_util import markdown_to_safe_html

from attnzoo import catalog, explain
from attnzoo.cli.attend import print_attention, print_faithfulness
from attnzoo.errors import UserError
from attnzoo.explain.faithfulness import Curve, removal_orders, without
from attnzoo.explain.page import page
from attnzoo.info import DataInfo
from attnzoo.layers.scores import attention_names, weighs_positions, with_scores
from attnzoo.layers.transformer import EncoderBlock
from attnzoo.models import text_classifier
from attnzoo.run_dir import load_trained
from attnzoo.tasks.text_attention import marked_tokens, received, visible
from attnzoo.tensors import by_name, values_of, write_tensors
from attnzoo.training.records import table
from tests import commands

SIGNALS = ("good", "hello", "thank")
"""The words that the known run looks at: with one of them a text is English, without German."""
HOSTILE = "<script>alert(1)</script> hello </title> & \"'> \x1b[31m"


@pytest.fixture(scope="module")
def known(runs, tmp_path_factory) -> Path:
    """A run whose block does nothing and whose pooling looks at the signals alone where there is one."""
    folder = tmp_path_factory.mktemp("known") / "run"
    shutil.copytree(runs["text"], folder)
    trained = load_trained(folder)
    model, units = trained.model, 16
    signal, other = np.eye(units, dtype=np.float32)[:2]
    for weight in model.get_layer("block_0").trainable_weights:
        weight.assign(tf.zeros_like(weight))
    table = np.tile(other, (trained.info.vocabulary_sizes["text"], 1))
    for token in SIGNALS:
        table[4 + trained.info.tokenizers["text"]["tokens"].index(token)] = signal
    model.get_layer("embedding").trainable_weights[0].assign(table)
    model.get_layer("norm").set_weights([np.ones(units), np.zeros(units)])
    model.get_layer("pooling").score.score.kernel.assign(20.0 * signal[:, None])
    column = {"en": signal, "de": other}
    kernel = np.stack([10.0 * column[label] for label in trained.info.labels], axis=1)
    model.get_layer("logits").set_weights([kernel, np.zeros(len(trained.info.labels))])
    write_tensors(trained.run.final, values_of(by_name(model.weights, "model")), {})
    return folder


def model_with(attention: str, **options):
    info = DataInfo(
        "text_classification",
        labels=("a", "b", "c"),
        vocabulary_sizes={"text": 11},
        buckets=({"text": 7},),
    )
    config = text_classifier.Config(units=8, attention={"name": attention}, **options)
    return text_classifier.build(config, info)


def test_a_tokens_weight_is_the_mean_over_heads_and_over_queries_that_are_no_padding():
    scores = np.zeros([1, 2, 3, 3], np.float32)
    scores[0, :, 0] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    scores[0, :, 1] = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    scores[0, :, 2] = [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]  # padding
    found = received(tf.constant(scores), tf.constant([[True, True, False]]))
    np.testing.assert_allclose(found, [[0.75, 0.25, 0.0]])
    of_pooling = received(tf.constant(scores[:, :1, 1:2]), tf.constant([[True, True, False]]))
    np.testing.assert_allclose(of_pooling, [[1.0, 0.0, 0.0]])
    nothing = received(tf.constant(scores), tf.constant([[False, False, False]]))
    np.testing.assert_allclose(nothing, np.zeros([1, 3]))


@pytest.mark.parametrize("name", catalog.names("attention"))
def test_every_attention_that_weighs_tokens_can_be_asked(name):
    assert weighs_positions(EncoderBlock(8, name)) == (name != "squeeze_excitation")


@pytest.mark.parametrize("name", ["linear", "spatial"])
def test_scores_come_with_the_outputs_and_the_weights_of_the_model_itself(name):
    model = model_with(name)
    assert attention_names(model) == ["block_0", "pooling"]
    ids = tf.constant([[4, 5, 6, 0], [7, 0, 0, 0]])
    outputs = model({"text": ids})
    paths = [weight.path for weight in model.weights]
    explained = with_scores(model, "block_0")
    again, scores = explained({"text": ids}, training=False)
    np.testing.assert_allclose(again, outputs, atol=1e-6)
    assert [weight.path for weight in explained.weights] == paths
    assert all(one is other for one, other in zip(explained.weights, model.weights, strict=True))
    valid = tf.cast(ids != 0, tf.float32)
    np.testing.assert_allclose(received(scores, ids != 0) * (1 - valid), tf.zeros([2, 4]))
    np.testing.assert_allclose(tf.reduce_sum(received(scores, ids != 0), axis=1), [1.0, 1.0], atol=1e-5)


def test_the_weights_of_a_known_run_are_found(known):
    english, german, unknown, empty = explain.attend(known, ["hello friend 3", "guten morgen", "what?", ""])
    assert english.tokens == ["hello", "friend", "3"]
    np.testing.assert_allclose(english.weights, [1.0, 0.0, 0.0], atol=1e-6)
    assert (english.labels, english.layer, english.true_labels, english.cut) == (
        ["en"],
        "pooling",
        None,
        False,
    )
    assert english.probabilities["en"] > 0.999
    np.testing.assert_allclose(german.weights, [0.5, 0.5], atol=1e-6)
    assert german.labels == ["de"]
    assert unknown.tokens == ["(unknown)", "(unknown)"]
    assert (empty.tokens, empty.weights.tolist(), empty.shares.tolist()) == ([], [], [])
    given = json.loads(english.to_json())
    assert given["weights"] == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    assert given["probabilities"]["en"] == given["probability"]
    assert set(given) == {
        *("text", "tokens", "weights", "layer", "label", "probability", "probabilities", "true_label", "cut")
    }
    first, second = explain.attend(known, layer="block_0", count=2, split="train")
    assert [first.true_labels, second.true_labels] == [["en"], ["en"]]
    np.testing.assert_allclose(first.weights, np.full(len(first.tokens), 1 / len(first.tokens)), atol=1e-6)


def test_taking_away_the_token_that_is_looked_at_changes_the_answer_and_others_do_not(known, capsys):
    found = explain.faithfulness(known)
    assert (found.split, found.examples, found.layer) == ("test", 18, "pooling")
    # Half of the texts are English: they turn German without their signal, German ones stay German.
    assert found.attention.changed == [0.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(found.attention.probability, [1.0, 0.5, 0.5, 0.5, 0.5, 0.5], atol=1e-3)
    assert found.attention.area == pytest.approx(0.5 * 5 / 6, abs=1e-3)
    assert found.least.changed == [0.0] * 6
    assert found.least.area == pytest.approx(0.0, abs=1e-3)
    assert found.least.area < found.random.area < found.attention.area
    assert found.random.area == pytest.approx(np.mean(found.random_areas))
    assert found.advantage == pytest.approx(found.attention.area - found.random.area)
    assert found.meaning.startswith("Attention above random")
    given = json.loads(found.to_json())
    assert given["meaning"] == found.meaning
    assert given["attention"]["changed"] == found.attention.changed
    print_faithfulness(found)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["0%", "1.0000", "0.0%", "1.0000", "0.0%", "1.0000", "0.0%"] in lines
    assert ["area", *(f"{one.area:.4f}" for one in (found.attention, found.random, found.least))] in lines


@pytest.mark.parametrize(
    ("advantage", "begin"),
    [(0.3, "Attention above random"), (-0.3, "Attention below random"), (0.1, "Attention like random")],
)
def test_a_difference_within_its_interval_is_none(advantage, begin):
    curve = Curve([1.0], [0.0], 0.0)
    found = explain.Faithfulness(
        "run", "test", 7, "pooling", (0.0,), curve, curve, curve, [0.0], advantage, interval=0.2
    )
    assert found.meaning.startswith(begin)
    assert "± 0.2000" in found.meaning


def test_tokens_go_in_the_order_of_their_weights_and_one_always_stays():
    weights = np.array([0.1, 0.5, 0.0, 0.4])
    most, least, *random = removal_orders(weights, index=3)
    assert most.tolist() == [1, 3, 0, 2]
    assert least.tolist() == [2, 0, 3, 1]
    assert [sorted(order.tolist()) for order in random] == [[0, 1, 2, 3]] * 5
    assert len({tuple(order) for order in random}) > 1
    row = np.array([7, 8, 9, 10], np.int32)
    assert without(row, most, 0.0).tolist() == [7, 8, 9, 10]
    assert without(row, most, 0.05).tolist() == [7, 9, 10]
    assert without(row, most, 0.5).tolist() == [7, 9]
    assert without(row[:1], np.array([0]), 0.5).tolist() == [7]
    evenly = {tuple(removal_orders(np.ones(3), index)[0]) for index in range(11)}
    assert len(evenly) > 1


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
    (found,) = explain.attend(known, ["hello"])
    labels = {"labels": [HOSTILE], "probabilities": {HOSTILE: 1.0}, "true_labels": ["</p><img src=x>"]}
    vars(found).update(text=HOSTILE, shown=[HOSTILE], tokens=[HOSTILE], **labels)
    read = Reader(page([found], title=HOSTILE))
    assert read.tags == {
        *("html", "head", "meta", "title", "style", "body", "h1", "p", "b", "span", "article", "small")
    }
    text = "".join(read.words)
    assert text.count(visible(HOSTILE)) >= 3
    assert "</p><img src=x>" in text
    assert "\x1b" not in text
    assert "default-src 'none'" in page([found], "x")
    explain.write_page([found], tmp_path / "new" / "attention.html", "x")
    assert "&lt;script&gt;" in (tmp_path / "new" / "attention.html").read_text("utf-8")
    shown = table([{"tokens": marked_tokens(["<script>", "*", "|", " "], np.array([0.9, 0.1, 0.0, 0.0]))}])
    rendered = markdown_to_safe_html(shown)
    assert "<script" not in rendered
    assert "<strong><script> 90%</strong> * | \u2423</td>" in html.unescape(rendered)
    assert rendered.count("<td>") == 1


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


@pytest.mark.parametrize("ask", [explain.attend, explain.faithfulness])
def test_an_unknown_layer_is_one_line_with_the_names(known, ask):
    with pytest.raises(
        UserError, match="--layer x: there is no such attention; expected one of block_0, poo"
    ):
        ask(known, layer="x")


def test_a_model_without_attention_says_so():
    from attnzoo.tasks.attended import choose_layer
    from attnzoo.tasks.text_classification import attention_rows

    model = model_with("multi_head", num_layers=0, pooling="max")
    with pytest.raises(UserError, match="has no layer that attends to positions"):
        choose_layer(model)
    assert attention_rows(model, DataInfo("text_classification")) is None


def test_a_terminal_shows_the_largest_weight_in_the_deepest_colour(known, monkeypatch, capsys):
    found = explain.attend(known, ["hello friend"])
    print_attention(found)
    plain = capsys.readouterr().out
    assert plain == f"en  {found[0].probabilities['en']:.4f}\n  hello(1.000) friend(0.000)\n\n"
    for name, value in (("FORCE_COLOR", "1"), ("COLORTERM", "truecolor"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    print_attention(found)
    legend, answer, text = capsys.readouterr().out.splitlines()[:3]
    assert legend.startswith("attention of pooling: 0 ")
    assert legend.count("\x1b[30;48;2;") == 10
    assert answer == plain.splitlines()[0]
    assert text == "  \x1b[30;48;2;230;85;13mhello \x1b[0mfriend "


def test_the_command_writes_a_page_and_prints_json(known, tmp_path):
    ended = commands.run("attend", known, "hello " + HOSTILE, "--out", "shown", folder=tmp_path)
    assert (ended.code, "hello(1.000)" in ended.out) == (0, True)
    assert ended.out.endswith("\nshown/attention.html\n")
    assert "span" in Reader((tmp_path / "shown" / "attention.html").read_text("utf-8")).tags
    options = ("--count", "4", "--layer", "block_0", "--split", "train", "--json")
    ended = commands.run("attend", known, "--faithfulness", *options, folder=tmp_path)
    given = json.loads(ended.out)
    assert [given[name] for name in ("examples", "layer", "split")] == [4, "block_0", "train"]


def test_options_that_do_not_go_together_are_one_line(known, tmp_path):
    translator = tmp_path / "translator"
    translator.mkdir()
    names = ("source", "target")
    learned = DataInfo(
        "translation",
        tokenizers={name: {"kind": "words", "lowercase": True, "tokens": ["a"]} for name in names},
        vocabulary_sizes=dict.fromkeys(names, 5),
        buckets=(dict.fromkeys(names, 3),),
    )
    (translator / "info.json").write_text(learned.to_json())
    for arguments, message in (
        ((known, "x", "--split", "test"), "leave the texts out"),
        ((known, "--faithfulness", "--out", "x"), "leave --out out"),
        ((known, "--beams", "2"), "no run of translation; --beams is about translations"),
        ((known, "\udcff"), "text 1: not UTF-8; expected a terminal and a text in UTF-8"),
        ((translator, "--faithfulness"), "--layer and --faithfulness are about text classifiers"),
        ((tmp_path, "x"), "info.json: not found; is this a run folder?"),
    ):
        ended = commands.run("attend", *arguments, folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("attnzoo: error: ")
        assert ended.err.endswith(f"{message}\n")
        assert ended.err.count("\n") == 1
