import numpy as np
import pytest

from attnzoo.data.splits import DataSplits, Split, split_validation
from attnzoo.errors import UserError
from attnzoo.features.label import Label


def text_split(texts, labels, origin="test data"):
    return Split({"text": np.array(texts, object), "label": np.array(labels, np.int32)}, origin)


def test_validation_is_held_out_the_same_way_for_the_same_seed_and_leaves_nothing_out():
    train = text_split([f"text {number}" for number in range(101)], [0] * 101)
    splits = DataSplits(train, None, None, {"label": Label(names=("a",))})
    held_out = split_validation(splits, 0.1, seed=5)
    again = split_validation(splits, 0.1, seed=5)
    other = split_validation(splits, 0.1, seed=6)
    assert len(held_out.validation) == 10
    assert sorted([*held_out.train.column("text"), *held_out.validation.column("text")]) == sorted(
        train.column("text")
    )
    assert list(held_out.validation.column("text")) == list(again.validation.column("text"))
    assert list(held_out.validation.column("text")) != list(other.validation.column("text"))
    assert held_out.validation.origin == "test data (10 held out for validation)"
    assert held_out.features == splits.features


def test_a_given_validation_split_is_kept():
    train, validation = text_split(["a", "b"], [0, 1]), text_split(["c"], [0])
    splits = DataSplits(train, validation, None, {"label": Label(names=("a", "b"))})
    assert split_validation(splits, 0.5, seed=1) is splits


def test_of_one_example_validation_is_that_of_train():
    train = text_split(["a"], [0])
    assert split_validation(DataSplits(train, None, None), 0.5, seed=1).validation is train


class Numbers:
    """A source that makes its values when they are read."""

    names = ("number",)

    def __len__(self):
        return 11

    def read(self, indices):
        return {"number": 2 * indices}


@pytest.mark.parametrize("source", [Numbers(), {"number": 2 * np.arange(11)}], ids=["made", "in memory"])
def test_examples_are_read_by_index_whatever_holds_them(source):
    split = Split(source, "numbers")
    assert (len(split), split.names, split.origin) == (11, ("number",), "numbers")
    assert split.column("number").tolist() == list(range(0, 22, 2))
    assert split.read(np.array([7, 3]))["number"].tolist() == [14, 6]
    taken = split.take(np.array([5, 2]), "some")
    assert (taken.column("number").tolist(), taken.origin) == ([10, 4], "some")
    assert split.take(np.array([5])).origin == "numbers"
    assert split.first(3).column("number").tolist() == [0, 2, 4]
    assert len(split.first(13)) == 11


def test_an_empty_split_is_the_users_error():
    with pytest.raises(UserError, match=r"empty\.csv: there is not one example"):
        text_split([], [], "empty.csv")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"Columns differ in length: \{'source': 1, 'target': 2\}"):
        Split({"source": np.array(["a"], object), "target": np.array(["a", "b"], object)}, "pairs")
