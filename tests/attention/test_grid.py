"""Attention over a grid knows distances along both axes, and is else multi-head attention."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention import GridAttention, MultiHeadAttention
from attnzoo.layers.convolution import FeatureMapAttention

HEIGHT, WIDTH, UNITS = 3, 5, 4


def maps(seed=1):
    return tf.random.stateless_normal([2, HEIGHT * WIDTH, UNITS], [seed, 2])


def grid(**kwargs):
    layer = GridAttention(UNITS, HEIGHT, WIDTH, num_heads=2, **kwargs)
    layer.build((None, HEIGHT * WIDTH, UNITS))
    return layer


def test_without_biases_it_is_multi_head_attention():
    layer, plain = grid(), MultiHeadAttention(UNITS, num_heads=2)
    plain.build((None, HEIGHT * WIDTH, UNITS))
    plain.set_weights(layer.get_weights()[2:])
    np.testing.assert_allclose(layer(maps()), plain(maps()), atol=1e-6)


def test_a_bias_belongs_to_a_distance_along_its_axis():
    layer = grid()
    rows, columns = layer.distance_biases
    rows.assign(tf.tensor_scatter_nd_update(tf.zeros(rows.shape), [[HEIGHT - 1 + 1, 0]], [50.0]))  # next row
    columns.assign(tf.tensor_scatter_nd_update(tf.zeros(columns.shape), [[WIDTH - 1 - 2, 0]], [50.0]))
    _, attention_weights = layer(maps(), return_attention_scores=True)
    first = attention_weights[0, 0].numpy().reshape(HEIGHT, WIDTH, HEIGHT, WIDTH)
    for row in range(HEIGHT - 1):
        for column in range(2, WIDTH):
            assert first[row, column, row + 1, column - 2] == pytest.approx(1.0, abs=1e-5)
    other = attention_weights[0, 1].numpy()
    assert other.max() < 0.99


def test_a_mask_of_pairs_applies_together_with_the_biases():
    layer, positions = grid(), HEIGHT * WIDTH
    layer.distance_biases[1].assign(tf.random.stateless_normal([2 * WIDTH - 1, 2], [5, 6]))
    pairs = np.tri(positions, dtype=bool)
    outputs, attention_weights = layer(maps(), attention_mask=pairs, return_attention_scores=True)
    unmasked = layer(maps(), return_attention_scores=True)[1].numpy() * pairs
    np.testing.assert_allclose(attention_weights, unmasked / unmasked.sum(-1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(layer(maps(), attention_mask=pairs), outputs, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_outputs_and_gradients_are_those_of_explicit_weights(compiled):
    layer = grid()
    for bias in layer.distance_biases:
        bias.assign(tf.random.stateless_normal(bias.shape, [5, 6]))

    def loss(inputs):
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(layer(inputs) ** 2)
        return value, tape.gradient(value, layer.trainable_variables)

    def loss_by_scores(inputs):
        with tf.GradientTape() as tape:
            outputs, _ = layer(inputs, return_attention_scores=True)
            value = tf.reduce_sum(outputs**2)
        return value, tape.gradient(value, layer.trainable_variables)

    run = tf.function(loss, jit_compile=True) if compiled else loss
    for actual, expected in zip(
        tf.nest.flatten(run(maps())), tf.nest.flatten(loss_by_scores(maps())), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_a_feature_map_uses_it_for_relative_positions_and_needs_its_size():
    options = {"name": "multi_head", "num_heads": 2, "position": "relative"}
    layer = FeatureMapAttention(UNITS, options, residual=False)
    pictures = tf.reshape(maps(), [2, HEIGHT, WIDTH, UNITS])
    assert layer(pictures).shape == pictures.shape
    assert layer.attention.map_size == (HEIGHT, WIDTH)
    again = FeatureMapAttention.from_config(layer.get_config())
    again.build(pictures.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(pictures), layer(pictures), atol=1e-6)
    with pytest.raises(
        ValueError,
        match=r"static height and width of the feature map\. Received: inputs_shape=\(None, None, 5, 4\)",
    ):
        FeatureMapAttention(UNITS, options).build((None, None, WIDTH, UNITS))


def test_height_and_width_are_positive():
    with pytest.raises(ValueError, match="`width` must be"):
        GridAttention(UNITS, HEIGHT, 0)
