import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.layers.ngrams import NGramEmbedding

IDS = tf.constant([[5, 6, 7, 5, 6, 0, 0], [6, 7, 0, 0, 0, 0, 0], [0] * 7], tf.int32)


def make_layer(max_n=3, buckets=10_007, units=3, seed=1, **options):
    layer = NGramEmbedding(max_n, buckets, units, **options)
    layer.build()
    generator = np.random.default_rng(seed)
    layer.embeddings.assign(generator.normal(size=(buckets, units)))
    return layer


def test_a_new_table_adds_nothing():
    layer = NGramEmbedding(3, 11, 2)
    np.testing.assert_array_equal(layer(IDS), np.zeros((3, 7, 2)))


def test_each_position_has_the_sum_of_the_ngrams_that_start_there():
    triples, pairs = make_layer(3)(IDS).numpy(), make_layer(2)(IDS).numpy()
    for values in (triples, pairs):
        for row, length in zip(values, (5, 2, 0), strict=True):
            assert np.all(row[max(0, length - 1) :] == 0)
    np.testing.assert_allclose(pairs[0, 0], pairs[0, 3])  # 5 6
    np.testing.assert_allclose(pairs[0, 1], pairs[1, 0])  # 6 7
    np.testing.assert_allclose(triples[0, 3], pairs[0, 3])  # 5 6, then padding
    assert not np.allclose(triples[0, 0], pairs[0, 0])
    assert not np.allclose(pairs[0, 0], pairs[0, 1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 1_000_000), min_size=2, max_size=2), st.integers(2, 8))
def test_the_order_of_tokens_counts_and_padding_does_not(pair, max_n):
    layer = make_layer(max_n, buckets=1_000_003)
    there, back = (layer(tf.constant([ids], tf.int32)).numpy()[0] for ids in (pair, pair[::-1]))
    np.testing.assert_allclose(layer(tf.constant([[*pair, 0, 0]])).numpy()[0, :2], there)
    assert np.allclose(there[0], back[0]) is (pair[0] == pair[1])


def test_compiled_saved_and_in_half_precision_it_is_the_same(tmp_path):
    layer = make_layer()
    expected = layer(IDS)
    np.testing.assert_allclose(tf.function(layer, jit_compile=True)(IDS), expected)
    half = make_layer(dtype="mixed_bfloat16")(IDS)
    assert half.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half, tf.float32), expected, rtol=0.02, atol=0.05)
    inputs = keras.Input([None], dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(IDS), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 7, 3), "max_n=1"),
        ((2, 0, 3), "buckets=0"),
        ((2, 7, 0), "units=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NGramEmbedding(*arguments)
