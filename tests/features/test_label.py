"""One class out of several."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.features.label import MAX_LABEL_CHARACTERS, Label
from attnzoo.features.labels import Labels
from attnzoo.records.bad_records import BadRecord
from attnzoo.text.kinds import MAX_VOCABULARY
from tests.features.columns import LOCATION, batch, learned, problems, read

VALUES = np.array([0.125, 0.5, 0.25, 0.0625, 0.0625], np.float32)
FIVE = Label(names=("a", "b", "c", "d", "e"))


def test_labels_are_read_without_white_space_and_numbered_in_order():
    label, column = learned(Label(), [" b", "a", 7.0, "b\n"])
    assert label.names == ("7", "a", "b")
    assert label.num_outputs == 3
    assert label.summary("label") == "3 classes"
    assert (column.tolist(), column.dtype) == ([2, 1, 0, 2], np.int32)
    assert batch(label, label.encode(column), [3, 1]).tolist() == [2, 1]
    assert label.describe("label", column, label.encode(column)) == {"labels": {"7": 1, "a": 1, "b": 2}}
    assert [read(Label(), value) for value in (True, False, 3.0, -1e3)] == ["true", "false", "3", "-1000"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (" ", "the label is empty; fill it in"),
        ("x" * (MAX_LABEL_CHARACTERS + 1), "the label is longer than 1,000 characters; shorten it"),
        ("a\0", "NUL character in the label"),
        ("\ud800", "lone surrogate (half a character) in the label"),
        (0.5, "'column' must be a string or a whole number; got 0.5"),
        (None, "'column' must be a string or a whole number; got null"),
        (["a"], "'column' is a list, expected one label; use a multi_label model for several"),
    ],
)
def test_what_is_no_label_is_refused(value, message):
    with pytest.raises(BadRecord, match=re.escape(f"{LOCATION}: {message}")):
        read(Label(), value)


def test_one_label_alone_is_refused():
    message = (
        "train.csv: every example has the label 'a'; a classifier needs at least 2 labels in column 'c'."
    )
    with pytest.raises(UserError, match=re.escape(message)):
        Label().declare(["a", "a"], "train.csv", "c")


def test_a_label_that_train_does_not_have_is_refused_with_the_known_ones():
    label = Label(names=("neg", "pos"))
    label.require_known(LOCATION, "pos")
    message = "label 'poss' does not occur in train (did you mean 'pos'?); the labels of train are: neg, pos."
    with pytest.raises(BadRecord, match=re.escape(f"{LOCATION}: {message}")):
        label.require_known(LOCATION, "poss")


def test_an_answer_is_the_most_probable_label():
    assert FIVE.answer(VALUES) == {
        "label": "b",
        "probability": 0.5,
        "probabilities": {"a": 0.125, "b": 0.5, "c": 0.25, "d": 0.0625, "e": 0.0625},
    }
    assert FIVE.prediction_texts(VALUES) == [("b", "0.5000")]
    assert FIVE.alternatives(VALUES) == [("c", "0.2500"), ("a", "0.1250"), ("d", "0.0625")]
    assert FIVE.is_correct(VALUES, np.int32(1)) is True
    assert FIVE.is_correct(VALUES, np.int32(2)) is False
    assert FIVE.true_answer(np.int32(2)) == {"true_label": "c"}
    assert FIVE.true_answer(None) == {"true_label": None}
    assert FIVE.format_value(np.int32(4)) == "e"
    np.testing.assert_allclose(FIVE.activate(tf.constant([[0.0] * 5])), [[0.2] * 5], rtol=1e-6)


def test_other_classes_than_those_that_were_learned_are_reported():
    label = Label(names=("a", "b"))
    assert label.difference(Label(names=("a", "b"))) is None
    expected = "the data has other classes (a, c) than in training (a, b)"
    assert label.difference(Label(names=("a", "c"))) == expected
    assert label.difference(Labels(names=("a", "b"))) is not None


def test_numbers_of_classes_that_no_data_has_are_found():
    assert problems(FIVE) == []
    assert problems(Label()) == ["column.names: invalid number of classes (0)"]
    many = Label.model_construct(names=("x",) * (MAX_VOCABULARY + 1))
    assert problems(many) == ["column.names: invalid number of classes (1000001)"]
