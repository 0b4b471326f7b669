"""The formulas of the attention layers, in numbers small enough to read."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from tests import arrays

close = functools.partial(arrays.close, absolute=1e-6)


def set_identity(layer, *names):
    for name in names:
        kernel = getattr(layer, name).kernel
        kernel.assign(tf.eye(*kernel.shape))


def test_additive_weights():
    layer = attention.AdditiveAttention(1, hidden_units=1)
    layer.build((1, 1, 1))
    set_identity(layer, "query_projection", "key_projection", "score_projection")
    query, memory = tf.constant([[[0.5]]]), tf.constant([[[-0.5], [0.5]]])
    output, attention_weights = layer(query, memory, return_attention_scores=True)
    second = 1 / (1 + np.exp(np.tanh(0.0) - np.tanh(1.0)))
    close(attention_weights, [[[[1 - second, second]]]])
    close(output, [[[0.5 * second - 0.5 * (1 - second)]]])


@pytest.mark.parametrize(("score", "factor"), [("dot", 1.0), ("scaled", 0.5), ("general", 3.0)])
def test_dot_product_weights(score, factor):
    layer = attention.DotProductAttention(4, score)
    layer.build((1, 1, 4))
    if score == "general":
        layer.key_projection.kernel.assign(3 * tf.eye(4))
    query, memory = tf.constant([[[1.0, 0, 0, 0]]]), tf.constant([[[0.0, 0, 0, 0], [2.0, 0, 0, 0]]])
    _, attention_weights = layer(query, memory, return_attention_scores=True)
    second = 1 / (1 + np.exp(-2.0 * factor))
    close(attention_weights, [[[[1 - second, second]]]])


def test_concat_logits_equal_a_layer_over_the_concatenation():
    layer = attention.DotProductAttention(3, "concat")
    query = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    memory = np.random.default_rng(1).standard_normal((2, 7, 3)).astype("float32")
    output, attention_weights = layer(query, memory, return_attention_scores=True)
    matrix = np.concatenate([layer.query_projection.kernel, layer.key_projection.kernel])
    pairs = np.concatenate(
        [np.repeat(query[:, :, None], 7, axis=2), np.repeat(memory[:, None], 5, axis=1)], axis=-1
    )  # [batch, query, key, 6]
    exponentials = np.exp(np.tanh(pairs @ matrix) @ layer.score_projection.kernel.numpy())[..., 0]
    expected = exponentials / exponentials.sum(-1, keepdims=True)
    close(attention_weights[:, 0], expected)
    close(output, expected @ memory)
    assert len(layer.weights) == 3


def test_sigmoid_weights():
    layer = attention.SigmoidAttention(1, hidden_units=1)
    layer.build((1, 1, 1))
    set_identity(layer, "query_projection", "key_projection", "value_projection")
    query, memory = tf.constant([[[1.0]]]), tf.constant([[[0.0], [np.log(3.0)]]])
    output, attention_weights = layer(query, memory, return_attention_scores=True)
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4, that is 2 : 3.
    close(attention_weights, [[[[0.4, 0.6]]]])
    close(output, [[[0.6 * np.log(3.0)]]])


def test_sigmoid_weights_sum_to_one_if_every_sigmoid_rounds_to_zero():
    layer = attention.SigmoidAttention(1, hidden_units=1)
    layer.build((1, 1, 1))
    set_identity(layer, "query_projection", "key_projection")
    memory = tf.constant([[[200.0], [200.0 + np.log(3.0)]]])
    _, attention_weights = layer(tf.constant([[[-1.0]]]), memory, return_attention_scores=True)
    np.testing.assert_allclose(attention_weights, [[[[0.75, 0.25]]]], rtol=1e-4)


@pytest.mark.parametrize(("rescale", "factor"), [(False, 1.0), (True, 2.0)])
def test_spatial_gate_scales_each_position(rescale, factor):
    layer = attention.SpatialGate(1, rescale=rescale)
    layer.build((1, 3, 1))
    set_identity(layer.score, "score")
    inputs = tf.constant([[[0.0], [np.log(3.0)], [5.0]]])
    output, attention_weights = layer(
        inputs, padding_mask=[[True, True, False]], return_attention_scores=True
    )
    close(attention_weights, [[[[0.25, 0.75, 0.0]]]])
    close(output, [[[0.0], [factor * 0.75 * np.log(3.0)], [0.0]]])


@pytest.mark.parametrize("hidden_units", [0, 3])
def test_pooling_sums_valid_positions_by_weight(hidden_units, tmp_path):
    inputs = keras.Input((None, 5))
    mask = keras.Input((None,), dtype="bool")
    layer = attention.AttentionPooling(hidden_units, name="pooling")
    model = keras.Model([inputs, mask], layer(inputs, padding_mask=mask, return_attention_scores=True))
    example = tf.constant(np.random.default_rng(2).standard_normal((3, 7, 5)), tf.float32)
    valid = tf.sequence_mask([2, 7, 0], 7)
    pooled, attention_weights = model([example, valid])
    assert pooled.shape == (3, 5)
    assert attention_weights.shape == (3, 1, 1, 7)
    close(tf.reduce_sum(attention_weights, -1)[:, 0, 0], [1, 1, 0])
    close(pooled[0], tf.reduce_sum(attention_weights[0, 0, 0, :2, None] * example[0, :2], 0))
    close(pooled[2], np.zeros(5))
    model.save(tmp_path / "model.keras")
    close(keras.models.load_model(tmp_path / "model.keras")([example, valid])[0], pooled)
    compiled = tf.function(lambda x, m: layer(x, padding_mask=m), jit_compile=True)
    close(compiled(example, valid), pooled)


def test_pooling_weights_are_a_softmax_over_time():
    layer = attention.AttentionPooling()
    layer.build((1, 2, 1))
    set_identity(layer.score, "score")
    pooled, attention_weights = layer(tf.constant([[[0.0], [np.log(3.0)]]]), return_attention_scores=True)
    close(attention_weights, [[[[0.25, 0.75]]]])
    close(pooled, [[0.75 * np.log(3.0)]])


def test_negative_hidden_width_is_refused():
    with pytest.raises(ValueError, match=r"at least 0. Received: hidden_units=-1"):
        attention.AttentionPooling(-1)
