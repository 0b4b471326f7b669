import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.attention import masks

LENGTHS = st.integers(1, 7)


def test_positions_before_the_length_are_valid():
    mask = masks.lengths_to_mask([0, 2, 3], 3).numpy().tolist()
    assert mask == [[False, False, False], [True, True, False], [True, True, True]]


def test_causal_mask_starts_at_the_first_key():
    assert masks.causal_mask(2, 3).numpy().tolist() == [[True, False, False], [True, True, False]]


def test_bottom_right_causal_mask_ends_at_the_last_key():
    mask = masks.causal_mask(2, 3, align="bottom_right").numpy().tolist()
    assert mask == [[True, True, False], [True, True, True]]


def test_bottom_right_causal_mask_leaves_surplus_queries_without_keys():
    assert masks.causal_mask(3, 2, align="bottom_right").numpy().tolist() == [
        [False, False],
        [True, False],
        [True, True],
    ]


@settings(max_examples=20, deadline=None)
@given(query=LENGTHS, key=LENGTHS, left=LENGTHS, right=st.integers(0, 7))
def test_window_mask_allows_exactly_the_near_keys(query, key, left, right):
    mask = masks.window_mask(query, key, left, right).numpy()
    assert mask.shape == (query, key)
    assert all(mask[i, k] == (i - left <= k <= i + right) for i in range(query) for k in range(key))


def test_wide_window_without_future_is_the_causal_mask():
    assert (masks.window_mask(5, 7, 7, 0) == masks.causal_mask(5, 7)).numpy().all()


def test_combine_allows_what_all_masks_allow():
    padding = masks.lengths_to_mask([2, 3], 3)[:, None, :]
    both = masks.combine(None, padding, masks.causal_mask(3, 3))
    assert both.numpy()[0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    assert masks.combine(None, None) is None


def test_unknown_align_is_refused():
    with pytest.raises(ValueError, match=r"top_left.*bottom_right.*align='middle'"):
        masks.causal_mask(2, 3, align="middle")  # type: ignore[arg-type]


def test_negative_window_is_refused():
    with pytest.raises(ValueError, match="left=2, right=-3"):
        masks.window_mask(2, 3, 2, -3)
