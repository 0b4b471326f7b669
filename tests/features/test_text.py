"""Texts as token ids."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.features.text import Text, TextOptions, TextPairOptions
from attnzoo.records.bad_records import BadRecord
from attnzoo.text.kinds import MAX_VOCABULARY
from tests.features.columns import LOCATION, batch, learned, problems, read

OPTIONS = TextOptions(name="table", tokenizer="words")
TEXTS = ["a b a", "", "c a"]
BYTES = {"kind": "bytes", "lowercase": True}
WORDS = {"kind": "words", "lowercase": True, "tokens": ["a"]}


def column_of(*texts):
    return Text().column(texts)


def learn(text, *columns, options=OPTIONS, initial=None):
    return text.learn([column_of(*texts) for texts in columns], options, initial, "train.csv")


@pytest.mark.parametrize("ends", [False, True])
def test_texts_become_ids_that_batches_pad_or_cut(ends):
    text, column = learned(Text(ends=ends), ["a b a", "c a"], OPTIONS)
    assert text.vocabulary_size == 7
    assert text.tokenizer["tokens"] == ["a", "b", "c"]
    assert text.summary("text") == "vocabulary of 7 text tokens"
    encoded = text.encode(column_of(*TEXTS))
    end = [3] if ends else []
    assert text.lengths(encoded).tolist() == [3 + ends, ends, 2 + ends]
    rows = [[4, 5, 4, *end], end, [6, 4, *end]]
    padded = [(row + [0] * 7)[:7] for row in rows]
    assert batch(text, encoded, [2, 1, 0], 7).tolist() == padded[::-1]
    assert batch(text, encoded, [0], 2).tolist() == [[4, 5]]
    assert text.encode(column).values.tolist() == [*rows[0], *rows[2]]


@pytest.mark.parametrize("ends", [False, True])
def test_raw_texts_are_encoded_as_those_of_data_are(ends):
    text = learn(Text(ends=ends), TEXTS)
    raw = text.raw(column_of(*TEXTS, "a ä"))
    assert raw[-1] == "a ä".encode()
    resources, read_raw = text.raw_reader(3)
    assert len(resources) == 1
    found = tf.function(read_raw)(tf.constant(raw)).numpy()
    expected = {
        False: [[4, 5, 4], [0, 0, 0], [6, 4, 0], [4, 1, 0]],
        True: [[4, 5, 3], [3, 0, 0], [6, 4, 3], [4, 1, 3]],
    }
    assert found.tolist() == expected[ends]
    assert read_raw(tf.constant([b""])).shape == [1, 1]  # models need one position


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("  ", "the text is empty; fill it in or remove the record."),
        ("x" * (1 << 20) + "y", "the text is longer than 1,048,576 characters; shorten it."),
        ("a\0", "NUL character in the text; remove it."),
        ("\ud800", "lone surrogate (half a character) in the text; replace it."),
        (5, "'column' must be a string; got 5."),
        (None, "'column' must be a string; got null."),
        (["a"], "'column' must be a string; got [\"a\"]."),
    ],
    ids=range(7),
)
def test_what_is_no_text_is_refused(value, message):
    with pytest.raises(BadRecord, match=f"^{re.escape(f'{LOCATION}: {message}')}$"):
        read(Text(), value)


def test_white_space_around_a_text_stays():
    assert read(Text(), " a\n") == " a\n"
    assert learned(Text(), [" a\n"], OPTIONS)[1].tolist() == [" a\n"]


def test_columns_that_share_a_vocabulary_are_learned_from_as_one():
    features = {"source": Text(ends=True), "target": Text(ends=True)}
    shared = TextPairOptions(name="pairs", tokenizer="words", shared_vocabulary=True)
    assert features["target"].learned_with("target", features, shared) == ("source", "target")
    assert features["target"].learned_with("target", features, OPTIONS) == ("target",)
    assert learn(Text(ends=True), ["a"], ["b b"]).tokenizer["tokens"] == ["b", "a"]


def test_what_another_run_has_learned_is_taken():
    initial = learn(Text(), ["z y"])
    text = learn(Text(), TEXTS, initial=initial)
    assert text.tokenizer == initial.tokenizer
    assert text.vocabulary_size == initial.vocabulary_size == 6


def test_training_texts_are_resampled_only_if_the_options_say_so():
    options = TextOptions(name="table", tokenizer="bpe", vocabulary_size=31, subword_sampling=0.5)
    texts = ["lower newer wider", "lowest newest"] * 3
    text = learn(Text(ends=True), texts, options=options)
    assert text.resampler(column_of(*texts), OPTIONS) is None
    resampler = text.resampler(column_of(*texts), options)
    drawn = resampler(np.random.default_rng(3), 101)
    usual = text.encode(column_of(*texts))
    assert drawn.values.tolist() != usual.values.tolist()
    assert drawn.values[drawn.offsets[1:] - 1].tolist() == [3] * 6
    longest = int(usual.lengths.max())
    assert resampler(np.random.default_rng(3), longest).lengths.max() <= longest
    with pytest.raises(
        UserError, match=r"data\.subword_sampling: the run of train\.init_from does not use subwords"
    ):
        learn(Text(), texts).resampler(column_of(*texts), options)
    (problem,) = Text().option_problems(options.model_copy(update={"tokenizer": "words"}))
    assert problem == (
        "subword_sampling",
        "only works with data.tokenizer subwords or bpe, not words; remove it",
    )
    assert list(Text().option_problems(options)) == []


def test_lengths_are_reported_and_equal_texts_are_the_same():
    text = learn(Text(), TEXTS)
    column = column_of("a", "a a a a a", "a a", "a a a")
    statistics = text.describe("text", column, text.encode(column))
    assert statistics == {"tokens": {"text": {"shortest": 1, "median": 3, "95 %": 5, "longest": 5}}}
    assert text.contents([column_of("a", "b"), column_of("b")]) == [["a", "b"], ["b"]]
    assert b"".join(text.fingerprint(column_of("ab", "c"))) != b"".join(
        text.fingerprint(column_of("a", "bc"))
    )


def test_only_some_tokenizers_need_tensorflow_text():
    assert not learn(Text(), TEXTS).needs_tensorflow_text
    assert learn(Text(), TEXTS, options=TextOptions(name="t", clean=["unicode"])).needs_tensorflow_text


def test_a_text_is_like_what_its_task_declares_if_both_end():
    assert learn(Text(ends=True), TEXTS).is_like(Text(ends=True))
    assert not learn(Text(), TEXTS).is_like(Text(ends=True))


def test_data_without_text_options_are_the_programmers_error():
    with pytest.raises(ValueError, match="Data set 'table' has no text options; expected a subclass of"):
        learned(Text(), ["a"])


@pytest.mark.parametrize("kind", ["words", "characters", "bytes", "subwords", "bpe"])
def test_whatever_is_learned_has_no_problems(kind):
    texts = ["the cat sat", "on the mat"]
    assert problems(learn(Text(), texts, options=TextOptions(name="t", tokenizer=kind, clean=["html"]))) == []


@pytest.mark.parametrize(
    ("size", "state", "problem"),
    [
        (0, {}, "column.tokenizer: expected kind, lowercase, and tokens or model"),
        (5, {**WORDS, "kind": ["words"]}, "column.tokenizer: expected kind, lowercase, and tokens or model"),
        (5, {**WORDS, "model": ""}, "column.tokenizer: expected kind, lowercase, and tokens or model"),
        (260, {**BYTES, "tokens": []}, "column.tokenizer: expected kind, lowercase, and tokens or model"),
        (5, {**WORDS, "lowercase": 1}, "column.tokenizer.lowercase: expected true or false"),
        (
            5,
            {**WORDS, "clean": ["eval"]},
            "column.tokenizer.clean: expected at most 8 of html, whitespace, un",
        ),
        (4, {**WORDS, "tokens": []}, "column.vocabulary_size: 4, expected 5 to 1000000"),
        (MAX_VOCABULARY + 1, WORDS, "column.vocabulary_size: 1000001, expected 5 to 1000000"),
        (7, WORDS, "column.tokenizer.tokens: expected 3 distinct tokens"),
        (6, {**WORDS, "tokens": ["a", "a"]}, "column.tokenizer.tokens: expected 2 distinct tokens"),
        (6, {**WORDS, "tokens": ["a", 1]}, "column.tokenizer.tokens: expected a list of strings"),
        (5, {**WORDS, "tokens": "a"}, "column.tokenizer.tokens: expected a list of strings"),
        (261, BYTES, "column.vocabulary_size: 261, expected 260 for bytes"),
        *(
            (
                7,
                {"kind": "subwords", "lowercase": True, "model": model},
                "column.tokenizer.model: expected a Sent",
            )
            for model in ("", "%", "AAAA", "gASVBAAAAAAAAABLAC4=", 7, None, ["a"])
        ),
    ],
    ids=range(20),
)
def test_a_tokenizer_that_cannot_have_been_learned_is_found(size, state, problem):
    (found,) = problems(Text(tokenizer=state, vocabulary_size=size))
    assert found.startswith(problem)
