"""Names of classes: their order, and what in them was surely not meant."""

import re

import numpy as np
import pytest

from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.records import class_names
from attnzoo.records.bad_records import BadRecord
from tests.features.columns import LOCATION, learned


def notes(names, train=None, **others):
    counts = {"train": [5] * len(names) if train is None else train, **others}
    return list(
        class_names.class_notes(
            names, {split: np.array(split_counts) for split, split_counts in counts.items()}
        )
    )


def test_numbers_are_in_the_order_of_their_values():
    assert class_names.sort_names(["10", "2", "1", "-3", "2.5"]) == ("-3", "1", "2", "2.5", "10")
    assert class_names.sort_names(["b", "10", "a", "9", "a"]) == ("9", "10", "a", "b")
    label, column = learned(Label(), [10, "9", "11"])
    assert (label.names, column.tolist()) == (("9", "10", "11"), [1, 0, 2])
    assert label.summary("label") == "3 classes (numbers, as unordered classes)"
    labels, _ = learned(Labels(), ["10,9", "11"])
    assert labels.names == ("9", "10", "11")


def test_the_two_forms_of_an_accent_are_one_label():
    label, column = learned(Label(), ["caf\u00e9", "cafe\u0301", "tea"])
    assert (label.names, column.tolist()) == (("caf\u00e9", "tea"), [0, 0, 1])


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (("Sport", "sport", "tea"), "'Sport' and 'sport'"),
        (("a b", "a  b"), "'a b' and 'a  b'"),
        (("tea", "te\u200ba"), r"'tea' and 'te\u200ba'"),
        (("\ufb01t", "fit"), "'\ufb01t' and 'fit'"),
        (("stra\u00dfe", "STRASSE"), "'stra\u00dfe' and 'STRASSE'"),
    ],
)
def test_labels_that_look_alike_are_named(names, written):
    (line,) = notes(names)
    assert line.startswith(f"the labels {written} differ only in case, spaces or invisible characters; are")


def test_of_many_look_alikes_one_group_is_named_and_the_others_counted():
    (line,) = notes(("tea", "Tea", "egg", "EGG", "ham", "Ham"))
    assert line.startswith("the labels 'tea' and 'Tea' (and 2 more such groups) differ only in case, spaces")
    assert notes(("a", "A", "2", "\u00b2")) == []


def test_a_label_of_validation_that_looks_like_one_of_train_is_reported():
    message = r"label 'Sport' does not occur in train (it differs from 'sport' only in case"
    with pytest.raises(BadRecord, match=re.escape(message)):
        Label(names=("sport", "tea")).require_known(LOCATION, "Sport")


def test_classes_without_an_example_are_named():
    assert notes(("a", "b", "c"), [3, 0, 1], validation=[1, 1, 0], test=[0, 2, 0]) == [
        "train has no examples of 1 of 3 classes (b), which cannot be learned.",
        "validation has no examples of 1 of 3 classes (c), which cannot be evaluated on validation.",
        "test has no examples of 2 of 3 classes (a, c), which cannot be evaluated on test.",
    ]
    assert notes(("a", "b"), validation=[1, 1]) == []


def test_labels_that_are_no_classes_are_reported():
    ids = [f"id {number}" for number in range(11)]
    assert notes(ids, [1] * 10 + [3])[0].startswith("10 of 11 labels have only one example, too few to learn")
    assert notes(ids, [1] * 5 + [3] * 6) == []
    numbers = (
        "the 3 labels are numbers but are learned as unordered classes; to learn their values use a model "
    )
    assert notes(("0.5", "1", "3.25"))[0] == numbers + "whose name ends in _regressor."
    assert notes([str(7 * number) for number in range(21)])[0].startswith("the 21 labels are numbers")
    assert notes([str(number) for number in range(1, 103)]) == []
    lists = "the label 'food, sport' looks like a combination of other labels; if examples can have "
    assert notes(("food", "food, sport", "sport"))[0].startswith(lists)
    assert notes(("a, b", "b")) == []


def test_a_label_that_every_text_has_is_reported():
    train = np.array([[1, 1], [1, 0]], np.float32)
    assert list(Labels(names=("always", "b")).data_notes({"train": train})) == [
        "every example of train has the label 'always', which teaches nothing."
    ]
