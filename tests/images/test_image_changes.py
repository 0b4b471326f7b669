"""Pixels as bytes and as floats."""

import numpy as np
import tensorflow as tf

from attnzoo.images.image_changes import to_bytes, to_float


def test_floats_become_the_nearest_bytes_and_are_clipped():
    levels = [-999.0, -0.4, 0.0, 0.4, 0.6, 127.4, 127.6, 254.4, 254.6, 255.0, 255.4, 999.0, 1e9]
    found = tf.function(to_bytes)(tf.constant(levels) / 255.0)
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 1, 127, 128, 254, 255, 255, 255, 255, 255])


def test_bytes_stay_what_they_are_on_the_way_through_floats():
    every = tf.cast(tf.range(256), tf.uint8)
    np.testing.assert_array_equal(to_bytes(to_float(every)), every)
