import functools
import json
import random
import re
import typing
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.errors import UserError
from attnzoo.special_tokens import END, NUM_BYTES, NUM_SPECIAL, PADDING, START, UNKNOWN
from attnzoo.text import cleaning, sentencepiece_models, tokenizers
from attnzoo.text.kinds import SUBWORD_MODELS, Cleaning, Tokenization

TEXTS = [
    "The cat doesn't sit on the mat.",
    "A dog sits on 3 mats, naïvely!",
    "Η γάτα κάθεται στο χαλί.",
    "猫はマットの上に座る。",
    "the the the mat",
]
KINDS = typing.get_args(Tokenization)
LETTERS = "abcdeéßЖ猫😀 \u0301-,."


def make(kind, texts=TEXTS, size=197, lowercase=True):
    # Through JSON, as in info.json.
    return tokenizers.from_state(json.loads(json.dumps(tokenizers.build(kind, texts, size, lowercase))))


def encode(tokenizer, *texts):
    return tokenizer.encode(tf.constant(list(texts))).to_list()


def decode(tokenizer, *ids):
    return [text.decode() for text in tokenizer.decode(tf.ragged.constant(ids, tf.int32).to_tensor()).numpy()]


@pytest.fixture(scope="module", params=KINDS)
def any_tokenizer(request):
    return make(request.param)


def test_words_are_runs_of_letters_digits_and_marks_and_other_signs_stand_alone():
    text = "Don't stop!\u00a0e\u0301te\u0301—l’été 42 :-) \u3000'quoted' a\tb\x00c"
    words = tokenizers.WordTokenizer.split(tf.constant([text, "", " \n"])).to_list()
    expected = [
        "Don't",
        "stop",
        "!",
        "e\u0301te\u0301",
        "—",
        "l’été",
        "42",
        ":",
        "-",
        ")",
        "'",
        "quoted",
        "'",
    ]
    assert [word.decode() for word in words[0]] == [*expected, "a", "b", "c"]
    assert words[1:] == [[], []]


def test_tokens_are_ordered_by_count_then_code_point_after_the_special_ones():
    state = tokenizers.build("words", ["b a b", "ä z a b"], 8, False)
    assert state == {"kind": "words", "lowercase": False, "tokens": ["b", "a", "z", "ä"]}
    state = tokenizers.build("characters", ["Ab ba", "B"], 6, True)
    assert state["tokens"] == ["b", "a"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_texts_does_not_matter(kind):
    shuffled = random.Random(5).sample(TEXTS, len(TEXTS))
    assert tokenizers.build(kind, TEXTS, 97, True) == tokenizers.build(kind, shuffled, 97, True)


def test_ids_start_after_the_special_ones_and_rare_tokens_are_unknown():
    tokenizer = make("words", ["b b a", "c"], 6)
    assert tokenizer.vocabulary_size == 6
    assert encode(tokenizer, "a B c", "") == [[5, 4, UNKNOWN], []]
    assert tokenizer.encode(tf.constant(["a"])).dtype == tf.int32
    assert decode(tokenizer, [4, UNKNOWN, 5]) == ["b <unknown> a"]


def test_decoding_stops_at_the_first_end_and_drops_padding_and_start(any_tokenizer):
    ids = encode(any_tokenizer, "the mat")[0]
    assert decode(any_tokenizer, [START, *ids, END, *ids], [PADDING, END], ids) == ["the mat", "", "the mat"]


def test_ids_outside_the_vocabulary_decode_as_unknown(any_tokenizer):
    outside = any_tokenizer.vocabulary_size + 7
    assert decode(any_tokenizer, [outside]) == decode(any_tokenizer, [UNKNOWN])


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=17).filter(lambda text: "\0" not in text))
def test_bytes_are_those_of_utf8_and_give_back_every_text(text):
    (ids,) = encode(BYTES, text)
    assert [number - NUM_SPECIAL for number in ids] == list(text.encode())
    assert decode(BYTES, ids or [PADDING]) == [text]


def test_bytes_that_are_no_text_decode_to_valid_utf8_and_are_shown_as_numbers():
    first, second = (number + NUM_SPECIAL for number in "é".encode())
    letter = ord("a") + NUM_SPECIAL
    assert decode(BYTES, [first], [first, letter, second], [letter, UNKNOWN]) == [
        "\ufffd",
        "\ufffda\ufffd",
        "a\ufffd",
    ]
    assert BYTES.pieces(tf.constant([[first, letter, END, PADDING]])) == [["\\xc3", "a", "(end)"]]
    assert BYTES.vocabulary_size == 260
    assert tokenizers.build("bytes", TEXTS, 8, True) == {"kind": "bytes", "lowercase": True}


@pytest.mark.parametrize(
    ("steps", "text", "cleaned"),
    [
        (["html"], "One.<br /><br />Two <b>three</b>", "One.  Two  three "),
        (["html"], "<!-- a\n > b -->x<SCRIPT a='b'>if (a<b) c;</script >y<!DOCTYPE html>z", " x y z"),
        (["html"], "a < b > c, I <3 it, 3<x", "a < b > c, I <3 it, 3<x"),
        (["html"], "&lt;b&gt; &quot;x&#39;s&quot; &#X27;&#0039;&#x2014;&hellip;", "<b> \"x's\" ''—…"),
        (["html"], "&amp;lt; &eacute; &Lt; &amp AT&T &nbsp;", "&lt; &eacute; &Lt; &amp AT&T \u00a0"),
        (["whitespace"], "a \t\r\n\u00a0\u3000b\u200dc\u2028", "a b\u200dc "),
        (["unicode"], "ﬁ\uff21e\u0301\u00a0½", "fiA\u00e9 1\u20442"),
        (["html", "whitespace"], "a<br />&nbsp; b", "a b"),
        (["whitespace", "html"], "a<br />&nbsp; b", "a \u00a0 b"),
        (["unicode", "html"], "＜b＞x", " x"),
        (["html", "unicode"], "＜b＞x", "<b>x"),
        ([], "a<br />  b", "a<br />  b"),
    ],
)
def test_texts_are_cleaned_in_the_order_of_the_steps(steps, text, cleaned):
    assert cleaning.clean(tf.constant([text, ""]), steps).numpy().tolist() == [cleaned.encode(), b""]
    tokenizer = tokenizers.from_state(tokenizers.build("bytes", ["a"], 97, False, steps))
    assert decode(tokenizer, *encode(tokenizer, text)) == [cleaned]


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies_are_learned_from_clean_texts(kind):
    dirty = [text.replace(" ", "<br />") for text in TEXTS]
    clean, cleaned = (tokenizers.build(kind, texts, 97, True, ["html"]) for texts in (TEXTS, dirty))
    assert cleaned == clean
    assert clean == {**tokenizers.build(kind, TEXTS, 97, True), "clean": ["html"]}
    tokenizer = tokenizers.from_state(json.loads(json.dumps(cleaned)))
    assert encode(tokenizer, "The<p>mat") == encode(make(kind, size=97), "the mat")
    assert tokenizers.needs_tensorflow_text(cleaned) == (kind in SUBWORD_MODELS)
    assert tokenizers.needs_tensorflow_text({**cleaned, "clean": ["unicode"]})


def test_what_a_config_can_name_is_what_there_is():
    assert set(typing.get_args(Cleaning)) == set(cleaning.STEPS)


def test_lowercase_is_unicode_aware_and_optional():
    assert encode(make("characters"), "ΓΆΤΑ") == encode(make("characters"), "γάτα")
    kept = make("characters", lowercase=False)
    assert encode(kept, "T") != encode(kept, "t")


def test_bytes_that_are_not_utf8_count_as_replacement_characters(any_tokenizer):
    broken, replaced = any_tokenizer.encode(
        tf.constant([b"the \xff\xc3 mat\x00", "the \ufffd\ufffd mat\x00"])
    ).to_list()
    assert broken == replaced
    assert any_tokenizer.encode(tf.constant([b"\xed\xa0\x80", b"\xf5"])).nrows() == 2


UNSEEN = {
    "Persian, with a joiner that keeps letters apart": "می\u200cخوانم",
    "Sinhala, with one that joins them": "ශ්\u200dරී",
    "a family": "👨\u200d👩\u200d👧",
    "a flag": "🇩🇪",
    "a hand with its color": "👍🏽",
    "a heart as an emoji": "❤\ufe0f",
    "a soft hyphen": "Donau\u00addampf",
    "private use": "\ue000\uf8ff",
    "a direction": "\u200fשלום",
    "a sign that SentencePiece has for spaces": "a▁b",
    "markup": "<s></s><unk><0x41>",
    "one that stands alone": "\u00ad",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
@pytest.mark.parametrize("kind", KINDS)
def test_characters_that_are_not_seen_stay_where_they_are(kind, text):
    others = make(kind, lowercase=False)
    if kind == "words":
        others = make(kind, [text], lowercase=False)
        assert len(encode(others, text)[0]) == 1 or text.startswith(("<", "a▁"))
        text = " ".join(part.decode() for part in others.split(tf.constant([text])).to_list()[0])
    assert decode(others, *encode(others, text)) == [text]
    read = (
        tf.data.Dataset.from_tensors([text])
        .map(others.encode)
        .map(lambda ids: others.decode(ids.to_tensor()))
    )
    assert next(iter(read)).numpy().tolist() == [text.encode()]


def settled(text):
    """The parts of a text between white space and control characters."""
    kinds = ("Zs", "Zl", "Zp", "Cc")
    spaced = "".join(" " if unicodedata.category(one) in kinds else one for one in text)
    return [part for part in spaced.split(" ") if part]


def check_that_nothing_is_lost(text):
    for tokenizer in (BYTES, CHARACTERS, subwords("subwords", False), subwords("bpe", False)):
        ids = encode(tokenizer, text)[0]
        assert all(number != UNKNOWN for number in ids)
        (read,) = decode(tokenizer, ids or [PADDING])
        assert settled(read) == settled(text)
        if tokenizer in (BYTES, CHARACTERS):
            assert read == text
    words = [word.decode() for word in WORDS.split(tf.constant([text])).to_list()[0]]
    assert "".join(words) == "".join(settled(text))
    if words:
        known = make("words", words, NUM_SPECIAL + len(set(words)), lowercase=False)
        for word in words:
            assert decode(known, *encode(known, word)) == [word]


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=23))
def test_decoding_gives_back_any_text(text):
    check_that_nothing_is_lost(text)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(st.text(max_size=40))
def test_decoding_gives_back_thousands_of_texts(text):
    check_that_nothing_is_lost(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["the", "cat", "doesn't", "猫は", "mat", ".", "χαλί", "座る。"]), max_size=7))
def test_subwords_give_back_every_text_over_their_characters(words):
    text = " ".join(words)
    spaced = "\u3000\n".join(words) + " \t"
    for tokenizer in (subwords(), subwords("bpe")):
        assert decode(tokenizer, encode(tokenizer, text)[0] or [PADDING]) == [text]
        assert encode(tokenizer, spaced) == encode(tokenizer, text)


@pytest.mark.parametrize("kind", ["subwords", "bpe"])
def test_learning_subwords_twice_in_any_order_gives_the_same_pieces(kind):
    first = tokenizers.build(kind, TEXTS, 120, True)
    assert tokenizers.build(kind, TEXTS[::-1], 120, True) == first


def test_byte_pair_merges_begin_with_the_most_frequent_pair():
    tokenizer = make("bpe", ["ab ab ab ab abc"], 13)
    pieces = tokenizer.token(tf.range(tokenizer.vocabulary_size)).numpy().tolist()
    assert encode(tokenizer, "ab") == [[pieces.index("▁ab".encode())]]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(max_size=17).filter(lambda text: text.isprintable()), min_size=1, max_size=5))
def test_ids_are_the_same_eager_compiled_and_in_tf_data(texts):
    for tokenizer in (WORDS, CHARACTERS, subwords()):
        eager = encode(tokenizer, *texts)
        dataset = tf.data.Dataset.from_tensors(tf.constant(texts)).map(tokenizer.encode)
        assert next(iter(dataset)).to_list() == eager
        ids, lengths = tokenizers.encode_all(tokenizer, texts)
        assert np.split(ids, np.cumsum(lengths)[:-1])[0].tolist() == eager[0]
        assert lengths.tolist() == [len(row) for row in eager]
        assert all(0 < number < tokenizer.vocabulary_size for row in eager for number in row)


WORDS = make("words")
CHARACTERS = make("characters", [LETTERS], lowercase=False)
BYTES = make("bytes", lowercase=False)


@functools.cache
def subwords(kind="subwords", lowercase=True):
    # Not while tests are collected: Keras's `clear_session` in a test before would take its resource away.
    return make(kind, lowercase=lowercase)


def test_a_saved_model_holds_its_tokenizer(any_tokenizer, tmp_path):
    class Served(tf.Module):
        def __init__(self, tokenizer):
            super().__init__()
            self.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, strings):
            ids = self.tokenizer.encode(strings)
            return {"ids": ids.to_tensor(), "texts": self.tokenizer.decode(ids.to_tensor())}

    served = Served(any_tokenizer)
    tf.saved_model.save(served, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    texts = tf.constant(["the cat", "sits on 3 mats"])
    for name, values in served(texts).items():
        assert np.array_equal(loaded(texts)[name].numpy(), values.numpy())


def test_encoding_in_chunks_equals_encoding_at_once(monkeypatch):
    monkeypatch.setattr(tokenizers, "TEXTS_PER_CHUNK", 2)
    ids, lengths = tokenizers.encode_all(WORDS, np.array(TEXTS, object))
    rows = encode(WORDS, *TEXTS)
    assert ids.dtype == np.int32
    assert ids.tolist() == [number for row in rows for number in row]
    assert lengths.tolist() == [len(row) for row in rows]
    ids, lengths = tokenizers.encode_all(WORDS, [])
    assert ids.shape == lengths.shape == (0,)


@pytest.mark.parametrize("kind", ["subwords", "bpe"])
def test_subwords_have_the_special_ids_and_at_most_the_size_asked_for(kind):
    tokenizer = make(kind, TEXTS, 100_000)
    assert 50 < tokenizer.vocabulary_size < 500
    names = [tokenizer.token(number).numpy().decode() for number in range(4)]
    assert names == ["<pad>", "<unk>", "<s>", "</s>"]
    assert decode(tokenizer, *encode(tokenizer, "Ω")) == ["ω"]  # bytes of it


def test_learning_and_using_subwords_prints_nothing(capfd):
    tokenizer = make("subwords", size=89)
    assert decode(tokenizer, *encode(tokenizer, "the mat")) == ["the mat"]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_long_texts_and_parts_of_large_sets_are_learned_from(monkeypatch):
    monkeypatch.setattr(sentencepiece_models, "MAX_BYTES", 4000)
    texts = [f"number {number} " + "very " * 199 + "long" for number in range(11)]
    tokenizer = make("subwords", texts, 61)
    assert decode(tokenizer, encode(tokenizer, "very long number")[0]) == ["very long number"]


def test_a_vocabulary_too_small_for_subwords_is_refused_with_the_least_size():
    with pytest.raises(
        UserError, match=r"data\.vocabulary_size: 9 is too small for subwords: .* have (\d+) "
    ) as caught:
        tokenizers.build("subwords", TEXTS, 9, True)
    least = int(re.search(r"set it to (\d+) or more", str(caught.value)).group(1))
    size = tokenizers.from_state(tokenizers.build("subwords", TEXTS, least, True)).vocabulary_size
    assert size <= least + NUM_BYTES
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_named():
    with pytest.raises(
        ValueError, match="Unknown kind of tokenizer 'letters'; expected one of words, characters, byt"
    ):
        tokenizers.build("letters", TEXTS, 97, True)
    with pytest.raises(ValueError, match="vocabulary_size must be larger than the 4 special tokens; got 4"):
        tokenizers.build("words", TEXTS, 4, True)
    for kind in KINDS:
        with pytest.raises(UserError, match=rf"have no tokens \(2 texts, kind '{kind}'\)"):
            tokenizers.build(kind, ["", ""], 97, True)
    with pytest.raises(
        ValueError, match=r"kind 'x' \(expected one of words, characters, bytes, subwords\), missing \['low"
    ):
        tokenizers.from_state({"kind": "x"})
    with pytest.raises(ValueError, match=r"kind 'words' .*missing \['tokens'\]"):
        tokenizers.from_state({"kind": "words", "lowercase": True, "model": ""})


def test_the_base_class_leaves_encoding_to_its_kinds():
    base = tokenizers.Tokenizer(True)
    with pytest.raises(NotImplementedError):
        base.encode(tf.constant(["a"]))
    with pytest.raises(NotImplementedError):
        base.decode(tf.constant([[4]]))
    with pytest.raises(NotImplementedError):
        tokenizers._TableTokenizer.split(tf.constant(["a"]))


def test_a_tokenizer_made_inside_a_graph_lives_on_outside():
    state = tokenizers.build("words", ["a b"], 97, True)
    made = []

    @tf.function
    def first_call(strings):
        if not made:
            made.append(tokenizers.from_state(state))
        return made[0].encode(strings).to_tensor()

    assert first_call(tf.constant(["b a"])).numpy().tolist() == [[5, 4]]
    assert encode(made[0], "a b") == [[4, 5]]
