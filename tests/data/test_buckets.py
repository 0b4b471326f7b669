import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.data.buckets import assign_buckets, make_buckets, truncated_examples, truncated_fraction


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=97),
    num_buckets=st.integers(1, 6),
    max_length=st.integers(2, 200),
)
def test_buckets_hold_every_example_up_to_the_longest_length(lengths, num_buckets, max_length):
    sizes = {"text": np.array(lengths)}
    buckets = make_buckets(sizes, num_buckets, max_length)
    assert 1 <= len(buckets) <= num_buckets
    assert max(bucket["text"] for bucket in buckets) <= max_length
    assigned = assign_buckets(sizes, buckets)
    for length, number in zip(lengths, assigned, strict=True):
        if length <= max_length:
            assert length <= buckets[number]["text"]


def test_more_buckets_never_mean_more_padding():
    generator = np.random.default_rng(11)
    sizes = {"text": generator.integers(1, 101, 503)}

    def padded(num_buckets):
        buckets = make_buckets(sizes, num_buckets, 128)
        assigned = assign_buckets(sizes, buckets)
        return sum(buckets[number]["text"] for number in assigned)

    totals = [padded(count) for count in (1, 2, 3, 5)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0]


def test_what_is_beyond_the_longest_bucket_is_counted():
    sizes = {"source": np.array([2, 7, 3]), "target": np.array([5, 2, 11])}
    longest = {"source": 5, "target": 7}
    assert truncated_fraction(sizes, longest) == pytest.approx(6 / 30)
    assert truncated_examples(sizes, longest).tolist() == [False, True, True]
    assert truncated_fraction({"text": np.zeros(3, int)}, {"text": 2}) == 0.0
