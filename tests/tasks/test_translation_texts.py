"""Unknown words of translations: copied from the source, or never written."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.config import resolve
from attnzoo.errors import ConfigErrors, DataWarning, UserError
from attnzoo.features.info import DataInfo
from attnzoo.features.text import Text, TextOptions
from attnzoo.layers.beam_search import beam_search
from attnzoo.layers.constraints import Constraints
from attnzoo.layers.decoding import generate
from attnzoo.layers.encoder_decoder import EncoderDecoder
from attnzoo.special_tokens import END, NUM_SPECIAL, START, UNKNOWN
from attnzoo.tasks import translation_checks, translation_metrics
from attnzoo.tasks.translation_options import TranslationEvalOptions
from attnzoo.tasks.translation_texts import TranslationDetokenizer
from attnzoo.text import tokenizers
from tests import recipes


def text(*tokens, kind="words"):
    state = {"kind": kind, "lowercase": False, "tokens": list(tokens)}
    return Text(ends=True, tokenizer=state, vocabulary_size=NUM_SPECIAL + len(tokens))


def test_an_unknown_word_becomes_the_word_of_the_source_that_it_attends_to_most():
    info = DataInfo("translation", {"source": text("the", "cat"), "target": text("die", "Katze")})
    tokens = tf.constant([[4, UNKNOWN, END, 0], [UNKNOWN, UNKNOWN, END, 0], [4, END, 0, 0]])
    alignment = np.full((3, 4, 5), 0.1, np.float32)
    alignment[0, 1, 1] = 0.6
    alignment[1, 0, 4] = 0.9  # END of the source and padding are no words
    alignment[1, 0, 1] = 0.5
    alignment[1, 1, 0] = 0.6
    sources = tf.constant(["the Zelda", "Link\u200cs Epona", ""])
    for write_texts in (TranslationDetokenizer(info), tf.function(TranslationDetokenizer(info).__call__)):
        texts = [one.decode() for one in write_texts(tokens, tf.constant(alignment), sources).numpy()]
        assert texts == ["die Zelda", "Epona Link\u200cs", "die"]


def test_other_tokens_are_written_as_ever():
    state = tokenizers.build("characters", ["ab"], 10, False)
    characters = Text(ends=True, tokenizer=state, vocabulary_size=262)
    info = DataInfo("translation", {"source": characters, "target": characters})
    tokens = characters.make_tokenizer().encode(tf.constant(["ba"])).to_tensor()
    assert TranslationDetokenizer(info)(tokens, tf.zeros([1, 2, 3]), tf.constant(["x"])).numpy().tolist() == [
        b"ba"
    ]


@pytest.mark.parametrize("beams", [1, 3])
def test_unknown_words_are_never_written_unless_they_may_be(beams):
    keras.utils.set_random_seed(3)
    sizes = {"units": 8, "num_encoder_layers": 1, "num_decoder_layers": 1, "feed_forward_units": 8}
    model = EncoderDecoder(11, 13, **sizes, attention={"name": "multi_head", "num_heads": 2})
    source = tf.constant([[5, 6, 3], [7, 3, 0]])
    model({"source": source, "target": tf.constant([[START], [START]])})
    search = (
        generate if beams == 1 else lambda *arguments, **options: beam_search(*arguments, beams, **options)
    )
    without = search([model], source, 9, constraints=Constraints(unknown=False))
    assert not (without.tokens.numpy() == UNKNOWN).any()
    step = model.step

    def likes_unknown(*arguments, **options):
        logits, caches, attended = step(*arguments, **options)
        return logits + 9.0 * tf.one_hot(UNKNOWN, 13), caches, attended

    model.step = likes_unknown
    assert (search([model], source, 9).tokens.numpy() == UNKNOWN).any()
    assert not (
        search([model], source, 9, constraints=Constraints(unknown=False)).tokens.numpy() == UNKNOWN
    ).any()


def test_copying_needs_a_word_tokenizer(tmp_path):
    recipes.translation_config(tmp_path, "data.tokenizer=words", "eval.unknown=copy")
    with pytest.raises(ConfigErrors, match=r"unknown: copy needs data\.tokenizer: words, received charact"):
        recipes.translation_config(tmp_path, "eval.unknown=copy")


SENTENCES = ["The <b>house</b> is red.", "See https://x.org/{name}!"] * 10


@pytest.mark.parametrize(("kind", "lowercase"), [("words", False), ("subwords", True), ("words", True)])
def test_a_tokenizer_that_cannot_reproduce_the_targets_is_reported(kind, lowercase):
    tokenizer = tokenizers.from_state(tokenizers.build(kind, SENTENCES, 99, lowercase))
    with pytest.warns(DataWarning, match=r"100% of the target texts cannot be reproduced .*'The <b>"):
        translation_checks.warn_of_lost_targets(tokenizer, SENTENCES)


@pytest.mark.parametrize("kind", ["characters", "bytes", "subwords", "bpe"])
@pytest.mark.filterwarnings("error")
def test_tags_names_and_addresses_are_written_as_they_are(kind):
    tokenizer = tokenizers.from_state(tokenizers.build(kind, SENTENCES, 99, False))
    translation_checks.warn_of_lost_targets(tokenizer, SENTENCES)


def test_translations_are_cased_pieces_of_words_by_default(tmp_path):
    (tmp_path / "x.yaml").write_text("data: {name: parallel_text, train: [a, b]}\nmodel: translation\n")
    options = resolve(tmp_path / "x.yaml").config.data
    learned = Text(ends=True).learn([np.array(SENTENCES, object)], options, None, "x")
    assert (learned.tokenizer["kind"], learned.tokenizer["lowercase"]) == ("subwords", False)
    learned = Text().learn([np.array(SENTENCES, object)], options, None, "x")
    assert (learned.tokenizer["kind"], learned.tokenizer["lowercase"]) == ("words", True)


CHINESE = ["我喜欢吃苹果。", "今天天气很好。"]


def test_bleu_of_texts_without_spaces_is_reported_and_can_be_fixed():
    with pytest.warns(DataWarning, match=r"eval\.bleu_tokenizer: 13a splits at spaces, .* set it to zh"):
        translation_checks.warn_of_bleu_tokenizer(TranslationEvalOptions(), CHINESE)
    wrong = ["我喜欢吃苹果。", "今天天气很坏。"]
    scores = [
        translation_metrics.compute_metrics(wrong, [CHINESE], TranslationEvalOptions(bleu_tokenizer=name))[
            "bleu"
        ]
        for name in ("13a", "zh")
    ]
    assert scores[0] < 1.0 < 60.0 < scores[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("targets", [["One. Two."], ["2020-01-02"], ["한국어 문장 하나"], ["Привет, мир"]])
def test_texts_with_spaces_are_not_complained_of(targets):
    translation_checks.warn_of_bleu_tokenizer(TranslationEvalOptions(), targets)


@pytest.mark.parametrize("name", ["ja-mecab", "flores200"])
def test_a_bleu_tokenizer_that_is_not_installed_is_one_line(name, monkeypatch, tmp_path):
    monkeypatch.setattr(translation_metrics, "_FLORES", tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "MeCab", None)
    with pytest.raises(UserError, match=rf"^eval\.bleu_tokenizer: {name} needs "):
        translation_metrics.bleu(TranslationEvalOptions(bleu_tokenizer=name))


def test_a_word_tokenizer_for_texts_without_spaces_is_reported():
    options = TextOptions(name="t", tokenizer="words")
    with pytest.warns(DataWarning, match=r"no spaces between words.* data\.tokenizer: characters or sub"):
        Text().learn([np.array([*CHINESE, "ภาษาไทยไม่มีช่องว่าง"], object)], options, None, "x")
