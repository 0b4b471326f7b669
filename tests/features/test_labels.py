"""Any number of classes."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.config.sections import FileOptions
from attnzoo.errors import UserError
from attnzoo.features.label import Label
from attnzoo.features.labels import Labels, LabelsOptions
from attnzoo.records.bad_records import BadRecord
from tests.features.columns import LOCATION, OPTIONS, batch, learned, problems, read

THREE = Labels(names=("a", "b", "c"))
VALUES = np.array([0.75, 0.25, 0.5], np.float32)


class Options(LabelsOptions, FileOptions):
    """Options of a table of several labels."""


def test_labels_are_read_from_texts_and_lists_and_come_back_in_batches():
    labels, column = learned(Labels(), ["b, a", "", ["c", 7], "a"], Options(name="table"))
    assert labels.names == ("7", "a", "b", "c")
    assert labels.num_outputs == 4
    assert labels.summary("label") == "4 classes"
    assert column.dtype == np.float32
    assert column.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    assert batch(labels, labels.encode(column), [3, 1]).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    statistics = labels.describe("label", column, labels.encode(column))
    assert statistics == {"labels": {"7": 1, "a": 2, "b": 1, "c": 1}}


def test_the_separator_is_an_option():
    assert read(Labels(), "a,b| c", Options(name="table", label_separator="|")) == ("a,b", "c")
    assert read(Labels(), "a, b") == ("a", "b")


@pytest.mark.parametrize("value", ["a,b,", ",a,b", "a,,b", " a , , b , "])
def test_what_is_between_two_separators_or_behind_the_last_is_no_label(value):
    assert read(Labels(), value) == ("a", "b")
    assert read(Labels(), ",") == ()


def test_a_column_for_each_label_has_0_or_1_and_the_columns_are_the_classes():
    table = [{"toxic": "0", "insult": " 1.0", "x": "False"}, {"toxic": True, "insult": 0.0, "x": 0}]
    values = [Labels().read_columns(LOCATION, row, OPTIONS) for row in table]
    assert values == [("insult",), ("toxic",)]
    labels = Labels().declare_columns(values, "train.csv", ("toxic", "insult", "x"))
    assert labels.names == ("toxic", "insult", "x")
    assert labels.column(values).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert labels.declare_columns([()], "other.csv", ("toxic", "insult", "x")) == labels
    for value, got in (("", "''"), ("2", "'2'"), (None, "null"), (0.5, "0.5")):
        with pytest.raises(BadRecord, match=re.escape(f"{LOCATION}: 'toxic' must be 0 or 1; got {got}.")):
            Labels().read_columns(LOCATION, {"toxic": value}, OPTIONS)
    with pytest.raises(
        UserError, match=r"train\.csv: no example has a 1 in the columns 'a', 'b'; check them"
    ):
        Labels().declare_columns([(), ()], "train.csv", ("a", "b"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", " "], "the label is empty"),
        (["a", 0.5], "'column' must be a string or a whole number; got 0.5"),
        ({"a": 1}, "'column' must be a string or a whole number; got {\"a\": 1}"),
        (None, "'column' must be a string or a whole number; got null"),
        ([["a"]], "'column' must be a string or a whole number; got [\"a\"]"),
    ],
)
def test_what_is_no_label_is_refused(value, message):
    with pytest.raises(BadRecord, match=re.escape(f"{LOCATION}: {message}")):
        read(Labels(), value)


def test_data_without_any_label_are_refused_and_one_label_is_enough():
    with pytest.raises(UserError, match=r"train\.csv: no example has a label in column 'c'"):
        Labels().declare([(), ()], "train.csv", "c")
    assert Labels().declare([("a",), ()], "train.csv", "c").names == ("a",)


def test_a_label_that_train_does_not_have_is_refused():
    THREE.require_known(LOCATION, ("a", "c"))
    with pytest.raises(BadRecord, match=re.escape(f"{LOCATION}: label 'd' does not occur in train")):
        THREE.require_known(LOCATION, ("a", "d"))


def test_an_answer_has_every_label_of_half_or_more():
    assert THREE.answer(VALUES) == {
        "labels": ["a", "c"],
        "probabilities": {"a": 0.75, "b": 0.25, "c": 0.5},
    }
    assert THREE.prediction_texts(VALUES) == [("a", "0.7500"), ("c", "0.5000")]
    assert THREE.alternatives(VALUES) == [("b", "0.2500")]
    assert THREE.is_correct(VALUES, np.array([1, 0, 1])) is True
    assert THREE.is_correct(VALUES, np.array([1, 1, 1])) is False
    assert THREE.true_answer(np.array([0, 1, 1])) == {"true_labels": ["b", "c"]}
    assert THREE.true_answer(None) == {"true_labels": None}
    assert THREE.format_value(np.array([0, 1, 1])) == "b, c"
    assert THREE.format_value(np.zeros(3)) == "no label"
    np.testing.assert_allclose(THREE.activate(tf.zeros([1, 3])), [[0.5] * 3])


def test_other_classes_than_those_that_were_learned_are_reported():
    assert THREE.difference(Labels(names=("a", "b", "c"))) is None
    assert "other classes (a) than in training (a, b, c)" in THREE.difference(Labels(names=("a",)))
    assert THREE.difference(Label(names=("a", "b", "c"))) is not None


def test_numbers_of_classes_that_no_data_has_are_found():
    assert problems(THREE) == []
    assert problems(Labels()) == ["column.names: invalid number of classes (0)"]
