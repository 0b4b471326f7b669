import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.position_bias import NUM_BUCKETS, alibi_slopes, distance_bias, relative_bucket
from attnzoo.attention.rotary import rotate

QUERY, KEY, HEADS = 3, 5, 2


def test_alibi_slopes_are_those_of_the_paper():
    assert alibi_slopes(8) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
    assert alibi_slopes(1) == [1 / 256]


def test_alibi_slopes_of_other_numbers_of_heads_add_every_second_of_twice_as_many():
    assert alibi_slopes(6) == [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]
    assert alibi_slopes(3) == [1 / 16, 1 / 256, 1 / 4]


def test_relative_buckets_grow_with_the_distance_and_differ_by_direction():
    # From 8 on a bucket is sqrt(2) times as far out as the one before: 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5.
    buckets = {
        **{0: 0, -1: 1, -7: 7, -8: 8, -11: 8, -12: 9, -15: 9, -16: 10, -22: 10, -23: 11, -31: 11},
        **{-32: 12, -45: 12, -46: 13, -64: 14, -90: 14, -91: 15, -127: 15, -128: 15, -9999: 15},
        **{1: 17, 7: 23, 8: 24, 12: 25, 16: 26, 64: 30, 91: 31, 9999: 31},
    }
    actual = relative_bucket(tf.constant(list(buckets)))
    np.testing.assert_array_equal(actual, list(buckets.values()))


@pytest.mark.parametrize("position", [0, tf.constant(200)])
def test_distance_bias_is_the_table_at_the_bucket_of_every_distance(position):
    table = np.random.default_rng(0).standard_normal((NUM_BUCKETS, HEADS)).astype("float32")
    actual = distance_bias(tf.constant(table), QUERY, KEY, position)  # [heads, query + key - 1]
    assert actual.shape == (HEADS, QUERY + KEY - 1)
    for query in range(QUERY):
        for key in range(KEY):
            bucket = relative_bucket(tf.constant(key - query - int(position)))
            np.testing.assert_array_equal(actual[:, key - query + QUERY - 1], table[bucket])


def test_feature_pairs_rotate_by_one_radian_and_by_less():
    # dim 4: pairs (0, 2) and (1, 3) turn by 1 and 1 / 100 radian a position.
    actual = rotate(tf.constant([[[[1.0, 1.0, 0.0, 0.0]] * 2]]), 2)
    angles = np.array([[2, 0.02], [3, 0.03]])
    np.testing.assert_allclose(actual[0, 0], np.concatenate([np.cos(angles), np.sin(angles)], 1), rtol=1e-6)


def test_products_of_rotated_vectors_only_depend_on_the_distance():
    query, key = np.random.default_rng(1).standard_normal((2, 1, 1, 1, 6))

    def product(query_position, key_position):
        return tf.reduce_sum(
            rotate(tf.constant(query), query_position) * rotate(tf.constant(key), key_position)
        )

    for distance in (0, 3, 17):
        expected = product(0, distance)
        for position in (1, 29, tf.constant(401)):
            np.testing.assert_allclose(product(position, position + distance), expected, atol=1e-9)
    assert abs(product(0, 3) - product(0, 4)) > 1e-2
    assert abs(product(0, 3) - product(3, 0)) > 1e-2


def test_rotation_keeps_half_precision_at_far_positions():
    vector = tf.constant(np.random.default_rng(2).standard_normal((1, 1, 1, 6)), tf.bfloat16)
    actual = rotate(vector, 60_001)
    assert actual.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(actual, tf.float32), rotate(tf.cast(vector, tf.float32), 60_001), atol=0.02
    )
