import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.batch_normalization import MapNormalization

SHAPE = (3, 5, 7, 2)
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 4e-2, "mixed_float16": 4e-3}


def maps(seed=1):
    return np.random.default_rng(seed).normal(2.0, 3.0, SHAPE).astype("float32")


def pair(policy="float32", **options):
    layers = [
        kind(momentum=0.9, dtype=policy, **options)
        for kind in (MapNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build(SHAPE)
        for number, weight in enumerate(layer.weights):
            weight.assign(np.random.default_rng(number).uniform(0.5, 1.5, weight.shape))
    return layers


def outcome(layer, training, xla):
    @tf.function(jit_compile=xla)
    def run(inputs, upstream):
        variables = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch([inputs, *variables])
            outputs = layer(inputs, training=training)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
        return outputs, tape.gradient(loss, [inputs, *variables])

    outputs, gradients = run(tf.constant(maps()), tf.constant(maps(2)))
    return [outputs, *gradients, *(variable.value for variable in layer.non_trainable_variables)]


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("policy", list(TOLERANCE))
@pytest.mark.parametrize("training", [False, True])
def test_outputs_gradients_and_statistics_are_those_of_keras(training, policy, xla):
    ours, keras_own = (outcome(layer, training, xla) for layer in pair(policy))
    assert ours[0].dtype == keras_own[0].dtype
    for actual, expected in zip(ours, keras_own, strict=True):
        scale = np.abs(np.asarray(expected, "float32")).max()
        np.testing.assert_allclose(
            np.asarray(actual, "float32"),
            np.asarray(expected, "float32"),
            atol=TOLERANCE[policy] * scale,
            rtol=0,
        )


def test_float64_maps_without_scale_and_offset_are_normalized_too():
    ours, keras_own = (outcome(layer, True, False)[0] for layer in pair(scale=False, center=False))
    np.testing.assert_allclose(ours, keras_own, atol=1e-5)
    layer = MapNormalization(dtype="float64")
    assert layer(maps().astype("float64"), training=True).dtype == tf.float64


def test_a_frozen_layer_keeps_its_statistics():
    layer, _ = pair()
    layer.trainable = False
    before = layer.moving_mean.numpy()
    layer(maps(), training=True)
    np.testing.assert_array_equal(layer.moving_mean, before)


def test_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input(SHAPE[1:]), MapNormalization(momentum=0.7)])
    model(maps(), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(maps()), model(maps()))
    assert loaded.layers[0].momentum == 0.7


def test_another_axis_is_refused():
    with pytest.raises(ValueError, match=r"`axis` can only be -1. Received: axis=1"):
        MapNormalization(axis=1)


def test_masked_maps_are_normalized_as_keras_does():
    mask = np.random.default_rng(5).random(SHAPE[:3]) < 0.5
    ours, keras_own = (layer(maps(), training=True, mask=mask) for layer in pair())
    np.testing.assert_array_equal(ours, keras_own)
