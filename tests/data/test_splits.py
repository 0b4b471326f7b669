import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnzoo.data.splits import DataSplits, Split, split_validation
from attnzoo.errors import UserError
from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.features.number import Number


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


@settings(max_examples=100, deadline=None)
@example(counts=[2, 2, 38, 48, 60], fraction=0.0234375, seed=0)  # more classes than are held out
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    fraction=st.floats(0.02, 0.5),
    seed=st.integers(0, 3),
)
def test_every_class_has_its_share_of_what_is_held_out(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    train = text_split([str(number) for number in range(len(labels))], labels)
    names = tuple(map(str, range(len(counts))))
    splits = DataSplits(train, None, None, {"label": Label(names=names)})
    held_out = split_validation(splits, fraction, seed)
    chosen = np.bincount(held_out.validation.column("label"), minlength=len(counts))
    size, room = max(1, round(len(labels) * fraction)), sum(count - 1 for count in counts)
    if 2 * min(size, room) < size:
        assert chosen.sum() == size
        return
    assert chosen.sum() == min(size, room)
    scarce = sum(count > 1 and count * size < len(labels) for count in counts)
    for count, of_class in zip(counts, chosen, strict=True):
        assert of_class < count or (count, of_class) == (1, 0)
        if 2 * scarce <= size >= len(counts) and count > 1 and 1 not in counts:
            assert of_class >= 1
    for count in set(counts):
        assert np.ptp([one for size, one in zip(counts, chosen, strict=True) if size == count]) <= 1


def test_where_classes_are_many_or_small_as_many_are_held_out():
    def held_out(counts):
        labels = np.repeat(np.arange(len(counts)), counts)
        train = text_split(["x"] * len(labels), labels)
        splits = DataSplits(train, None, None, {"label": Label(names=tuple(map(str, range(len(counts)))))})
        chosen = split_validation(splits, 0.1, seed=1).validation.column("label")
        return np.bincount(chosen, minlength=len(counts)).tolist()

    assert held_out([1] * 500 + [100] * 5) == [0] * 500 + [20] * 5
    assert sum(held_out([1] * 998 + [2])) == 100
    *pairs, large = held_out([2] * 90 + [820])
    assert (sum(pairs), large) == (18, 82)
    assert held_out([500, 1, 5]) == [50, 0, 1]


def test_numbers_and_several_labels_are_held_out_too():
    several = np.zeros([60, 3], np.float32)
    several[:4, 0] = several[:30, 1] = 1.0
    train = Split({"label": several, "text": np.array(["x"] * 60, object)}, "test data")
    splits = DataSplits(train, None, None, {"label": Labels(names=("rare", "common", "never"))})
    held_out = split_validation(splits, 0.1, seed=1).validation.column("label")
    assert (len(held_out), held_out[:, 0].sum()) == (6, 1)
    numbers = Split({"label": np.arange(20.0)}, "test data")
    assert len(split_validation(DataSplits(numbers, None, None, {"label": Number()}), 0.1, 1).validation) == 2


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
    with pytest.raises(UserError, match=r"empty\.csv: no examples"):
        text_split([], [], "empty.csv")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"Columns differ in length: \{'source': 1, 'target': 2\}"):
        Split({"source": np.array(["a"], object), "target": np.array(["a", "b"], object)}, "pairs")
