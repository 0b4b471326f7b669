"""Lines on how uneven the labels of splits are."""

import numpy as np

from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.features.number import Number

LABELS = ("a", "b", "c")
TARGETS = np.array([0] * 11 + [1] * 5 + [2], np.int32)


def imbalance_of(names, columns):
    return Label(names=tuple(names)).balance(columns)


def test_counts_are_shown_for_imbalanced_data_only():
    even, odd = np.array([0, 1, 2] * 2), np.array([0, 0, 0, 1, 1, 2, 2])
    assert imbalance_of(LABELS, {"train": even, "validation": odd, "test": even}) == []
    assert imbalance_of(LABELS, {"train": even, "test": np.array([0, 0, 0, 1, 2])}) == [
        "train: a 2, b 2, c 2",
        "test: a 3, b 1, c 1",
    ]
    assert imbalance_of(LABELS, {"train": TARGETS}) == ["train: a 11, b 5, c 1"]
    assert imbalance_of(LABELS, {"train": np.array([1, 1])}) == ["train: b 2, a 0, c 0"]
    assert Number().balance({"train": np.zeros(5, np.float32)}) == []


def test_of_many_classes_the_ends_are_shown():
    many = np.repeat(np.arange(13), np.arange(2001, 2014))
    many = np.concatenate([many, np.full(2000, 3)])
    (line,) = imbalance_of([f"l{number}" for number in range(13)], {"train": many})
    assert line == (
        "train: l3 4,004, l12 2,013, l11 2,012, l10 2,011, l9 2,010, ..., "
        "l5 2,006, l4 2,005, l2 2,003, l1 2,002, l0 2,001"
    )


def test_of_several_labels_an_example_each_is_counted():
    rare, common = np.array([[1, 1], [0, 1]], np.float32), np.array([[1, 0], [1, 0], [1, 1]], np.float32)
    labels = Labels(names=("a", "b"))
    assert labels.balance({"train": rare, "test": common}) == ["train: b 2, a 1", "test: a 3, b 1"]
    assert labels.balance({"train": np.array([[1, 1], [1, 0], [0, 1]], np.float32)}) == []
