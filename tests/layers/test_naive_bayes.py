import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.layers.naive_bayes import NaiveBayesNGrams

TEXTS = np.array([[4, 5, 4], [4, 6, 0], [5, 6, 0], [7, 0, 0]], np.int32)
LABELS = np.array([0, 0, 1, 1])


def batch(texts, labels):
    """Returns inputs and targets, as `adapt` takes them."""
    return {"text": tf.constant(texts)}, {"labels": tf.constant(labels)}


def make_layer(max_n=1, buckets=10_007, seed=None, **options):
    """Trained weights are 1, or random for a seed."""
    layer = NaiveBayesNGrams(2, max_n, buckets, **options)
    layer.build()
    layer.adapt([batch(TEXTS[:3], LABELS[:3]), batch(TEXTS[3:], LABELS[3:])])
    shape = layer.factors.shape
    layer.factors.assign(np.ones(shape) if seed is None else np.random.default_rng(seed).normal(size=shape))
    return layer


def test_ratios_are_those_of_the_paper():
    # Texts with token 4, 5, 6 by label: 2/0, 1/1, 1/1; token 7 is in only one text.
    layer = make_layer()
    inside, outside = np.array([3, 2, 2]) / 7, np.array([1, 2, 2]) / 5
    expected = np.log(inside / outside)
    actual = layer(tf.constant([[4], [5], [6], [7], [8], [0]])).numpy()
    np.testing.assert_allclose(actual[:3], np.stack([expected, -expected], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(actual[3:], 0)


def test_an_ngram_counts_once_however_often_it_occurs():
    layer = make_layer(2, seed=1)
    once, thrice = layer(tf.constant([[4, 5, 0, 0, 0, 0]])), layer(tf.constant([[4, 5, 4, 5, 4, 5]]))
    np.testing.assert_allclose(once, thrice, rtol=1e-6)  # 5 4 is in no two texts


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_padding_changes_nothing_nor_does_the_order_of_single_tokens(ids):
    layer = make_layer(seed=1)
    expected = layer(tf.constant([ids], tf.int32))
    np.testing.assert_allclose(layer(tf.constant([[*ids, 0, 0]], tf.int32)), expected, atol=1e-6)
    np.testing.assert_allclose(layer(tf.constant([ids[::-1]], tf.int32)), expected, atol=1e-6)


def test_several_labels_of_a_text_are_counted_separately():
    one, several = make_layer(), NaiveBayesNGrams(2, 1, 10_007)
    several.build()
    several.adapt([batch(TEXTS, np.eye(2)[LABELS])])
    np.testing.assert_array_equal(several.ratios, one.ratios)


def test_compiled_saved_and_in_half_precision_it_is_the_same(tmp_path):
    layer = make_layer(3, seed=1, dtype="mixed_bfloat16")
    expected = layer(TEXTS)
    assert expected.dtype == tf.float32
    np.testing.assert_allclose(tf.function(layer, jit_compile=True)(TEXTS), expected, rtol=1e-6)
    inputs = keras.Input([None], dtype="int32")
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(TEXTS), expected)


def test_dropout_only_drops_ngrams_in_training():
    layer = make_layer(dropout=0.5, seed=1)
    kept = {float(layer(tf.constant([[4]]), training=True)[0, 0]) for _ in range(30)}
    valid = float(layer(tf.constant([[4]]))[0, 0])
    assert sorted(kept) == pytest.approx(sorted({0.0, 2 * valid}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1,), "classes=1"), ((2, 0), "max_n=0"), ((2, 1, 1), "buckets=1"), ((2, 1, 7, 1.0), "1.0")],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NaiveBayesNGrams(*arguments)
