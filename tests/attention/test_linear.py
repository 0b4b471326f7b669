"""Linear attention against its definition, and its running sums against explicit weights."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from attnzoo.attention import linear
from attnzoo.attention.linear import causal_sums, positive_features
from tests.arrays import close

BATCH, HEADS, UNITS, LONG = 2, 3, 6, 131


def sequence(length, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal((BATCH, length, UNITS)), tf.float32)


def definition(layer, query, memory, allowed):
    """Output and weights of one query and key after the other, in NumPy."""

    def heads(tensor, projection):
        tensor = tensor.numpy() @ projection.kernel.numpy() + projection.bias.numpy()
        return tensor.reshape(BATCH, -1, HEADS, UNITS // HEADS).swapaxes(1, 2).astype("float64")

    def phi(x):
        return np.where(x > 0, x, np.exp(x) - 1) + 1

    query_heads = phi(heads(query, layer.query_projection))
    key_heads = phi(heads(memory, layer.key_projection))
    values = heads(memory, layer.value_projection)
    weights = query_heads @ key_heads.swapaxes(2, 3) * allowed  # [batch, heads, query, key]
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-30)
    context = (weights @ values).swapaxes(1, 2).reshape(BATCH, -1, UNITS)
    return context @ layer.output_projection.kernel.numpy() + layer.output_projection.bias.numpy(), weights


def test_features_are_elu_plus_one_and_never_zero_for_ordinary_numbers():
    inputs = tf.constant([-20.0, -1.0, 0.0, 3.0])
    np.testing.assert_allclose(positive_features(inputs), np.exp([-20, -1, 0, np.log(4)]), rtol=1e-5)
    assert positive_features(tf.cast(inputs, tf.float16)).dtype == tf.float32


@pytest.mark.parametrize(("causal", "queries", "keys"), [(False, LONG, 7), (True, LONG, LONG), (False, 5, 7)])
def test_output_and_weights_follow_the_definition(causal, queries, keys):
    layer, query, memory = attention.LinearAttention(UNITS, HEADS), sequence(queries, 1), sequence(keys)
    mask = tf.sequence_mask([3, keys], keys)
    allowed = mask.numpy()[:, None, None]
    allowed = allowed & np.tri(queries, keys, dtype=bool) if causal else allowed
    output, attention_weights = layer(
        query, memory, padding_mask=mask, use_causal_mask=causal, return_attention_scores=True
    )
    expected, expected_weights = definition(layer, query, memory, allowed)
    close(attention_weights, expected_weights)
    close(output, expected)
    close(layer(query, memory, padding_mask=mask, use_causal_mask=causal), expected)


@pytest.mark.parametrize(("queries", "keys"), [(11, 11), (11, 7), (7, 11), (1, 5)])
def test_causal_sums_of_chunks_equal_those_of_all_pairs(queries, keys):
    generator = np.random.default_rng(0)
    query, key, value = (
        tf.constant(generator.standard_normal((BATCH, HEADS, length, dim)), tf.float32)
        for length, dim in ((queries, 5), (keys, 5), (keys, 2))
    )
    weights = tf.einsum("bhqd,bhkd->bhqk", query, key) * np.tri(queries, keys, dtype="float32")
    close(causal_sums(query, key, value, chunk=3), weights @ value)


def test_running_sums_are_the_same_compiled_and_for_an_unknown_length(monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", 3)
    layer, inputs, mask = attention.LinearAttention(UNITS, HEADS), sequence(11), tf.sequence_mask([4, 11], 11)

    def gradient(inputs, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = layer(inputs, padding_mask=mask, use_causal_mask=True)
            loss = tf.reduce_sum(tf.sin(output))
        return output, tape.gradient(loss, inputs)

    expected = layer(inputs, padding_mask=mask, use_causal_mask=True, return_attention_scores=True)[0]
    signature = [tf.TensorSpec([None, None, UNITS]), tf.TensorSpec([None, None], tf.bool)]
    eager = gradient(inputs, mask)
    for actual in (
        eager,
        tf.function(gradient, input_signature=signature)(inputs, mask),
        tf.function(gradient, jit_compile=True)(inputs, mask),
    ):
        close(actual[0], expected)
        close(actual[1], eager[1])


@pytest.mark.parametrize("chunk", [3, 64])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_sums_equal_those_of_explicit_weights(causal, chunk, monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", chunk)
    layer, inputs, mask = attention.LinearAttention(UNITS, HEADS), sequence(11), tf.sequence_mask([0, 7], 11)
    gradients = []
    for with_attention_weights in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = layer(
                inputs,
                padding_mask=mask,
                use_causal_mask=causal,
                return_attention_scores=with_attention_weights,
            )
            loss = tf.reduce_sum(tf.square(output[0] if with_attention_weights else output))
        gradients.append(tape.gradient(loss, [inputs, *layer.trainable_variables]))
    for actual, expected in zip(*gradients, strict=True):
        close(actual, expected)
    assert (gradients[0][0].numpy()[0] == 0).all()


@pytest.mark.parametrize("position", [4, tf.constant(4)])
def test_queries_that_continue_a_memory_ignore_later_keys(position):
    layer, inputs = attention.LinearAttention(UNITS, HEADS), sequence(11)
    expected, expected_weights = layer(inputs, use_causal_mask=True, return_attention_scores=True)
    memory = layer.project_memory(inputs, inputs)
    actual = layer.attend(inputs[:, 4:6], memory, use_causal_mask=True, position=position)
    close(actual, expected[:, 4:6])
    _, attention_weights = layer.attend(
        inputs[:, 4:6], memory, use_causal_mask=True, position=position, return_attention_scores=True
    )
    close(attention_weights, expected_weights[:, :, 4:6])


@pytest.mark.parametrize("causal", [False, True])
def test_packed_sequences_do_not_attend_to_each_other(causal):
    layer, inputs = attention.LinearAttention(UNITS, HEADS), sequence(7)
    packed = layer(inputs, segment_ids=tf.constant([[0, 0, 0, 1, 1, 1, 1]] * BATCH), use_causal_mask=causal)
    separate = [layer(part, use_causal_mask=causal) for part in (inputs[:, :3], inputs[:, 3:])]
    close(packed, tf.concat(separate, axis=1))


def test_units_that_heads_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"multiple of `num_heads`. Received: units=7, num_heads=3"):
        attention.LinearAttention(7, 3)
