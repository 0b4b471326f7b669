import pytest
import tensorflow as tf
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


def test_queries_are_aligned_with_the_first_keys_the_last_or_a_given_position():
    assert masks.query_start(2, 5) == 0
    assert masks.query_start(2, 5, "bottom_right") == 3
    assert masks.query_start(5, 2, "bottom_right") == -3
    assert masks.query_start(2, 5, -7) == -7
    position = masks.query_start(2, 5, tf.constant(7, tf.int64))
    assert (position.numpy(), position.dtype) == (7, tf.int32)


def test_distance_is_key_position_minus_query_position():
    assert masks.distances(2, 3).numpy().tolist() == [[0, 1, 2], [-1, 0, 1]]
    assert masks.distances(2, 3, "bottom_right").numpy().tolist() == [[-1, 0, 1], [-2, -1, 0]]


@pytest.mark.parametrize("align", ["top_left", "bottom_right", tf.constant(2)])
def test_lengths_may_be_unknown_when_the_program_is_traced(align):
    @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None])])
    def traced(queries, keys):
        return masks.causal_mask(tf.shape(queries)[0], tf.shape(keys)[0], align)

    actual = traced(tf.zeros([3]), tf.zeros([5])).numpy()
    assert (actual == masks.causal_mask(3, 5, align).numpy()).all()


def test_causal_mask_of_a_cached_decoder_is_the_rows_of_the_whole_one():
    whole = masks.causal_mask(7, 7).numpy()
    assert (masks.causal_mask(3, 7, align=4).numpy() == whole[4:]).all()


def test_segments_only_attend_to_themselves():
    mask = masks.segment_mask(tf.constant([[1, 2, 2]]), tf.constant([[1, 2]])).numpy()
    assert mask.tolist() == [[[True, False], [False, True], [False, True]]]


@settings(max_examples=20, deadline=None)
@given(query=LENGTHS, key=LENGTHS, left=LENGTHS, right=st.integers(0, 7))
def test_window_mask_allows_exactly_the_keys_nearby(query, key, left, right):
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
    with pytest.raises(ValueError, match="left=-1, right=0"):
        masks.window_mask(2, 3, -1, 0)
