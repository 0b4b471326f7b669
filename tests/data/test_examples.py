import dataclasses

import numpy as np
import pytest

from attnzoo import tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataNote, UserError
from attnzoo.features.label import Label
from attnzoo.features.text import TextOptions, TextPairOptions

CLASSIFICATION, TRANSLATION = (tasks.load(name) for name in ("text_classification", "translation"))


def text_split(texts, labels, origin="test data"):
    return Split({"text": np.array(texts, object), "label": np.array(labels, np.int32)}, origin)


def pairs_split():
    columns = {"source": np.array(["ab", "b"], object), "target": np.array(["cd", ""], object)}
    return Split(columns, "pairs")


def learn(task, splits, options, initial=None):
    return data_examples.learn(splits, options, task.name, task.features, initial)


def test_translation_texts_end_with_end_and_share_a_vocabulary_on_request():
    splits = DataSplits(pairs_split(), pairs_split(), None)
    options = TextPairOptions(name="pairs", tokenizer="characters", shared_vocabulary=True)
    info, examples = learn(TRANSLATION, splits, options)
    assert info.features["source"] == info.features["target"]
    assert {name: feature.vocabulary_size for name, feature in info.features.items()} == {
        "source": 264,
        "target": 264,
    }
    target = examples["train"].encoded["target"]
    assert target.lengths.tolist() == [3, 1]
    assert target.values[-2:].tolist() == [3, 3]
    alone, _ = learn(TRANSLATION, splits, options.model_copy(update={"shared_vocabulary": False}))
    assert alone.features["source"].vocabulary_size == alone.features["target"].vocabulary_size == 262
    assert alone.features["source"] != alone.features["target"]


def test_what_is_learned_is_of_train_alone_and_names_what_the_data_has():
    train, test = text_split(["a b", "c"], [0, 1]), text_split(["a d e f"], [0])
    splits = DataSplits(train, train.first(1), test, {"label": Label(names=("x", "y"))})
    options = TextOptions(name="any", num_buckets=1, max_length=3)
    info, examples = learn(CLASSIFICATION, splits, options)
    assert info.task == "text_classification"
    assert info.features["text"].tokenizer["tokens"] == ["a", "b", "c"]
    assert info.features["label"].names == ("x", "y")
    assert info.buckets == ({"text": 2},)
    assert info.longest("label") is None
    assert info.num_examples == {"train": 2, "validation": 1, "test": 1}
    assert info.truncated_fraction == {"train": 0.0, "validation": 0.0, "test": 0.25}
    assert examples["test"].raw is test
    assert examples["test"].lengths(info)["text"].tolist() == [4]
    again = data_examples.encode_split(test, info)
    np.testing.assert_array_equal(again.encoded["text"].values, examples["test"].encoded["text"].values)
    np.testing.assert_array_equal(again.buckets, examples["test"].buckets)


def test_texts_longer_than_any_in_training_are_read_up_to_max_length():
    train, test = text_split(["a b", "c"], [0, 1]), text_split(["a " * 5, "a " * 99, "c"], [0, 1, 1])
    splits = DataSplits(train, train, test, {"label": Label(names=("x", "y"))})
    info, examples = learn(CLASSIFICATION, splits, TextOptions(name="any", num_buckets=1, max_length=11))
    assert [lengths["text"] for lengths in info.lengths] == [2, 4, 8, 11]
    assert info.longest("text") == 11
    assert examples["test"].buckets.tolist() == [2, 3, 0]
    assert info.truncated_fraction["test"] == 88 / 105
    older = dataclasses.replace(info, max_length=None)
    assert (older.lengths, older.longest("text")) == (info.buckets, 2)


def test_another_run_gives_its_vocabulary_but_not_its_labels():
    train = text_split(["a b", "c"], [0, 1])
    options = TextOptions(name="any")
    splits = DataSplits(train, train, None, {"label": Label(names=("x", "y"))})
    initial, _ = learn(CLASSIFICATION, splits, options)
    other = text_split(["d e", "a"], [1, 0])
    splits = DataSplits(other, other, None, {"label": Label(names=("v", "w"))})
    info, examples = learn(CLASSIFICATION, splits, options, initial)
    assert info.features["text"] == initial.features["text"]
    assert info.features["label"].names == ("v", "w")
    assert examples["train"].encoded["text"].values.tolist() == [1, 1, 4]


def test_a_run_with_other_texts_cannot_be_started_from():
    train = text_split(["a b", "c"], [0, 1])
    splits = DataSplits(train, train, None, {"label": Label(names=("x", "y"))})
    initial, _ = learn(TRANSLATION, DataSplits(pairs_split(), pairs_split(), None), TextOptions(name="pairs"))
    with pytest.raises(
        UserError,
        match=r"train\.init_from: that run has the texts source, target, this data has text; choose",
    ):
        learn(CLASSIFICATION, splits, TextOptions(name="any"), initial)
    without = dataclasses.replace(initial, features={"label": Label(names=("x", "y"))})
    with pytest.raises(UserError, match=r"that run has the texts \(none\), this data has text"):
        learn(CLASSIFICATION, splits, TextOptions(name="any"), without)


def test_training_pairs_that_are_too_long_or_uneven_are_left_out_and_counted():
    texts = (["a b c d e", "a b", "a b c", "a", "b"], ["x", "x y", "x", "x", "x y z"])
    columns = dict(zip(("source", "target"), (np.array(side, object) for side in texts), strict=True))
    splits = DataSplits(Split(columns, "pairs"), Split(columns, "others"), None)
    plain = TextPairOptions(name="pairs", tokenizer="words", max_length=5, num_buckets=1)
    with pytest.warns(
        DataNote, match=r"^pairs: 1 of 5 training pairs .* truncated, .*; data\.drop_longer: true"
    ):
        whole, _ = learn(TRANSLATION, splits, plain)
    options = plain.model_copy(update={"drop_longer": True, "max_length_ratio": 2.5})
    message = (
        r"^pairs: 3 of 5 training pairs \(60\.00%\) are left out: 1 with more than 5 tokens "
        r"\(data\.drop_longer\); 2 with more than 2\.5 times the tokens on one side"
    )
    with pytest.warns(DataNote, match=message):
        info, examples = learn(TRANSLATION, splits, options)
    assert examples["train"].raw.column("source").tolist() == ["a b", "a"]
    assert examples["train"].encoded["target"].lengths.tolist() == [3, 2]
    assert info.num_examples == {"train": 2, "validation": 5}
    assert info.truncated_fraction["train"] == 0.0 < info.truncated_fraction["validation"]
    assert info.features == whole.features
    assert info.fingerprint == whole.fingerprint
    with pytest.warns(DataNote, match=message):
        again = data_examples.encode_splits(splits, info, options)
    for name in again:
        np.testing.assert_array_equal(
            again[name].encoded["source"].values, examples[name].encoded["source"].values
        )
    nothing = options.model_copy(update={"max_length": 2})
    with pytest.raises(
        UserError, match=r"5 of 5 training pairs .* so that none stays: .*; raise data\.max_length"
    ):
        learn(
            TRANSLATION, DataSplits(splits.train.take(np.array([0, 1, 2, 4, 4])), splits.train, None), nothing
        )


def test_fingerprint_changes_with_the_weight_of_an_example():
    columns = text_split(["a", "b"], [0, 1]).source.columns
    prints = {
        data_examples.fingerprint(
            DataSplits(Split({**columns, "weight": np.array([1.0, last])}, "x"), None, None),
            CLASSIFICATION.features,
        )
        for last in (1.0, 2.0)
    }
    assert len(prints) == 2


def test_fingerprint_changes_with_one_character():
    features = CLASSIFICATION.features
    one = DataSplits(text_split(["a", "b"], [0, 1]), None, None)
    two = DataSplits(text_split(["a", "c"], [0, 1]), None, None)
    assert data_examples.fingerprint(one, features) == data_examples.fingerprint(one, features)
    assert data_examples.fingerprint(one, features) != data_examples.fingerprint(two, features)
