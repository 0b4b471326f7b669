import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.config.sections import TextOptions, TranslationOptions
from attnzoo.data import examples as data_examples
from attnzoo.data.ragged import Ragged
from attnzoo.errors import UserError
from attnzoo.info import DataInfo, DataSplits, Split


def texts_of(lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.ones(max(1, offsets[-1]), np.int32), offsets)


def text_split(texts, labels, origin="test data"):
    return Split({"text": np.array(texts, object), "label": np.array(labels, np.int32)}, origin)


def test_validation_is_carved_the_same_way_for_the_same_seed_and_leaves_nothing_out():
    train = text_split([f"text {number}" for number in range(101)], [0] * 101)
    splits = DataSplits(train, None, None, ("a",))
    carved = data_examples.carve_validation(splits, 0.1, seed=5)
    again = data_examples.carve_validation(splits, 0.1, seed=5)
    other = data_examples.carve_validation(splits, 0.1, seed=6)
    assert len(carved.validation) == 10
    assert sorted([*carved.train.columns["text"], *carved.validation.columns["text"]]) == sorted(
        train.columns["text"]
    )
    assert list(carved.validation.columns["text"]) == list(again.validation.columns["text"])
    assert list(carved.validation.columns["text"]) != list(other.validation.columns["text"])


def test_a_given_validation_split_is_kept():
    train, validation = text_split(["a", "b"], [0, 1]), text_split(["c"], [0])
    splits = DataSplits(train, validation, None, ("a", "b"))
    assert data_examples.carve_validation(splits, 0.5, seed=1) is splits


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=97),
    num_buckets=st.integers(1, 6),
    max_length=st.integers(2, 200),
)
def test_buckets_hold_every_example_up_to_the_longest_length(lengths, num_buckets, max_length):
    texts = {"text": texts_of(lengths)}
    buckets = data_examples.make_buckets(texts, num_buckets, max_length)
    assert 1 <= len(buckets) <= num_buckets
    assert max(bucket["text"] for bucket in buckets) <= max_length
    assigned = data_examples.assign_buckets(texts, buckets)
    for length, number in zip(lengths, assigned, strict=True):
        if length <= max_length:
            assert length <= buckets[number]["text"]


def test_more_buckets_never_mean_more_padding():
    generator = np.random.default_rng(11)
    texts = {"text": texts_of(generator.integers(1, 101, 503))}

    def padded(num_buckets):
        buckets = data_examples.make_buckets(texts, num_buckets, 128)
        assigned = data_examples.assign_buckets(texts, buckets)
        return sum(buckets[number]["text"] for number in assigned)

    totals = [padded(count) for count in (1, 2, 3, 5)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0]


def test_translation_texts_end_with_end_and_share_a_vocabulary_on_request():
    columns = {"source": np.array(["ab", "b"], object), "target": np.array(["cd", ""], object)}
    splits = DataSplits(Split(columns, "pairs"), Split(columns, "pairs"), None)
    options = TranslationOptions(name="pairs", tokenizer="characters", shared_vocabulary=True)
    info, examples = data_examples.learn(splits, options, "translation")
    assert info.tokenizers["source"] == info.tokenizers["target"]
    assert info.vocabulary_sizes == {"source": 8, "target": 8}
    target = examples["train"].texts["target"]
    assert target.lengths.tolist() == [3, 1]
    assert target.values[-2:].tolist() == [3, 3]


def test_info_survives_its_file(tmp_path):
    splits = DataSplits(text_split(["a b", "c"], [0, 1]), text_split(["a"], [0]), None, ("x", "y"))
    info, _ = data_examples.learn(splits, TextOptions(name="any"), "text_classification")
    path = tmp_path / "info.json"
    path.write_text(info.to_json(), "utf-8")
    assert DataInfo.read(path) == info


BYTES = {"kind": "bytes", "lowercase": True}
WORDS = {"kind": "words", "lowercase": True, "tokens": ["a"]}


@pytest.mark.parametrize(
    ("size", "state", "problem"),
    [
        (260, {**BYTES, "clean": ["unicode", "html", "unicode"]}, None),
        (5, WORDS, None),
        (261, BYTES, "vocabulary_sizes.text: 261, expected 260 for bytes"),
        (260, {**BYTES, "tokens": []}, "expected kind, lowercase, and tokens or model"),
        (260, {**BYTES, "clean": ["html"] * 9}, "clean: expected at most 8 of html, whitespace, unicode"),
        (5, {**WORDS, "clean": "html"}, "clean: expected at most 8 of"),
        (5, {**WORDS, "clean": [["html"]]}, "clean: expected at most 8 of"),
        (5, {**WORDS, "clean": ["eval"]}, "clean: expected at most 8 of"),
    ],
)
def test_a_tokenizer_of_an_info_is_one_that_can_be_learned(tmp_path, size, state, problem):
    learned = {"tokenizers": {"text": state}, "vocabulary_sizes": {"text": size}}
    info = DataInfo("text_classification", ("x", "y"), **learned, buckets=({"text": 3},))
    path = tmp_path / "info.json"
    path.write_text(info.to_json(), "utf-8")
    if problem is None:
        assert DataInfo.read(path) == info
        return
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        DataInfo.read(path)
    assert caught.value.exit_code == 4


def test_damaged_info_is_one_clear_error(tmp_path):
    path = tmp_path / "info.json"
    with pytest.raises(UserError, match="not found; is this a run folder"):
        DataInfo.read(path)
    path.write_text('{"task": 1}')
    with pytest.raises(UserError, match=r"info\.json: damaged") as caught:
        DataInfo.read(path)
    assert caught.value.exit_code == 4


def test_fingerprint_changes_with_one_character():
    one = DataSplits(text_split(["a", "b"], [0, 1]), None, None)
    two = DataSplits(text_split(["a", "c"], [0, 1]), None, None)
    assert data_examples.fingerprint(one) == data_examples.fingerprint(one)
    assert data_examples.fingerprint(one) != data_examples.fingerprint(two)


def test_an_empty_split_is_the_users_error():
    with pytest.raises(UserError, match=r"empty\.csv: there is not one example"):
        text_split([], [], "empty.csv")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"Columns of pairs differ in length: \{'source': 1, 'target': 2\}"):
        Split({"source": np.array(["a"], object), "target": np.array(["a", "b"], object)}, "pairs")
