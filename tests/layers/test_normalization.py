import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.normalization import LayerNormalization

SHAPE = (3, 5, 8)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "mixed_bfloat16": 3e-2, "mixed_float16": 4e-3}


def values(seed, policy, shape=SHAPE):
    dtype = "float64" if policy == "float64" else "float32"
    return tf.constant(np.random.default_rng(seed).normal(2.0, 3.0, shape), dtype)


def outcome(kind, policy, xla, training):
    layer = kind(epsilon=1e-3, dtype=policy)
    layer.build(SHAPE)
    for number, weight in enumerate(layer.weights):
        weight.assign(values(number, policy, weight.shape))

    @tf.function(jit_compile=xla)
    def run(inputs, upstream):
        variables = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([inputs, *variables])
            outputs = layer(inputs, training=training) if kind is LayerNormalization else layer(inputs)
            loss = tf.reduce_sum(tf.cast(outputs, upstream.dtype) * upstream)
        return outputs, tape.gradient(loss, [inputs, *variables])

    outputs, gradients = run(values(2, policy), values(3, policy))
    return {weight.name: weight.shape for weight in layer.weights}, [outputs, *gradients]


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("policy", list(TOLERANCE))
def test_weights_outputs_and_gradients_are_those_of_keras(policy, training, xla):
    (our_names, ours), (keras_names, theirs) = (
        outcome(kind, policy, xla, training) for kind in (LayerNormalization, keras.layers.LayerNormalization)
    )
    assert our_names == keras_names
    assert ours[0].dtype == theirs[0].dtype
    for actual, expected in zip(ours, theirs, strict=True):
        expected = np.asarray(expected, "float64")
        bound = TOLERANCE[policy] * np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(actual, "float64"), expected, atol=bound, rtol=0)


def test_a_row_of_one_value_gives_the_offset():
    layer = LayerNormalization()
    layer.build(SHAPE)
    layer.beta.assign(range(8))
    np.testing.assert_allclose(layer(tf.fill(SHAPE, 7.0)), np.broadcast_to(range(8), SHAPE), atol=1e-6)
