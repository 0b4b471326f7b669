import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.special_tokens import NUM_SPECIAL, PADDING, UNKNOWN
from attnzoo.text import masking

VOCABULARY = 101


def masked(ids, seed=3):
    ids = tf.constant(ids, tf.int32)
    seeds = tf.stack([tf.fill([len(ids)], seed), tf.range(len(ids))], axis=1)
    return [values.numpy() for values in masking.mask(ids, seeds, VOCABULARY)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([PADDING, UNKNOWN, *range(4, VOCABULARY)]), min_size=7, max_size=7),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 2**31 - 1),
)
def test_what_is_to_be_predicted_is_what_was_there_and_the_rest_is_seen_as_it_is(ids, seed):
    seen, targets = masked(ids, seed)
    ids = np.array(ids)
    chosen = targets != PADDING
    np.testing.assert_array_equal(targets[chosen], ids[chosen])
    np.testing.assert_array_equal(seen[~chosen], ids[~chosen])
    assert (ids[chosen] >= NUM_SPECIAL).all()
    assert (
        (seen[chosen] == masking.MASK) | ((seen[chosen] >= NUM_SPECIAL) & (seen[chosen] < VOCABULARY))
    ).all()


def test_the_fractions_are_those_of_the_paper_and_random_tokens_are_of_the_whole_vocabulary():
    ids = np.full((500, 200), 7)
    seen, targets = masked(ids)
    chosen = targets != PADDING
    assert abs(chosen.mean() - 0.15) < 0.005
    assert abs((seen[chosen] == masking.MASK).mean() - 0.8) < 0.02
    others = seen[chosen & (seen != masking.MASK) & (seen != 7)]
    assert abs(len(others) / chosen.sum() - 0.1) < 0.02
    assert set(others) == set(range(4, VOCABULARY)) - {7}


def test_a_text_is_masked_by_its_seed_alone():
    ids = np.full((3, 50), 7)
    seen, _ = masked(ids)
    np.testing.assert_array_equal(masked(ids)[0], seen)
    assert not np.array_equal(masked(ids, seed=4)[0], seen)
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(masked(ids[:2])[0], seen[:2])
