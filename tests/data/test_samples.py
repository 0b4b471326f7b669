"""Which examples are shown of a split."""

import numpy as np
import pytest

from attnzoo.data.samples import evenly_spaced, sample_every_class


@pytest.mark.parametrize("labels", [[0] * 5 + [1] * 4 + [2] * 3, [2, 0, 1] * 4], ids=["sorted", "mixed"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 30])
def test_every_class_is_shown_before_one_is_shown_twice(labels, count):
    chosen = sample_every_class(np.array(labels), count)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == min(count, len(labels))
    shown = np.bincount(np.array(labels)[chosen], minlength=3)
    if count <= 9:  # no class has run out
        assert shown.max() - shown.min() <= 1


def test_of_too_many_classes_those_shown_are_spread_over_all():
    labels = np.repeat(np.arange(100, 140), 3)
    np.testing.assert_array_equal(labels[sample_every_class(labels, 4)], [100, 110, 120, 130])


@pytest.mark.parametrize(("total", "count", "expected"), [(10, 3, [0, 3, 6]), (2, 5, [0, 1]), (0, 3, [])])
def test_examples_without_classes_are_spread_over_the_split(total, count, expected):
    assert evenly_spaced(total, count).tolist() == expected
