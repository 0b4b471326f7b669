"""The gates against their formulas, on sequences and feature maps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from attnzoo.attention.mechanisms import parse
from attnzoo.attention.memory import MemoryAttention
from attnzoo.layers.transformer import DecoderBlock
from tests import mechanisms
from tests.arrays import close

BATCH, HEIGHT, WIDTH, UNITS = 2, 3, 5, 7
SMALL = {"hidden_units": 11, "ratio": 2, "kernel_size": 3}
"""Values of the options that a gate may have."""
every_gate = pytest.mark.parametrize("name", mechanisms.GATES)


def options_of(name):
    known = parse(name).model_dump()
    return {**known, **{option: value for option, value in SMALL.items() if option in known}}


def build(name, dtype=None):
    return attention.build(options_of(name), UNITS, name="gate", dtype=dtype)


def feature_map(seed=0):
    shape = (BATCH, HEIGHT, WIDTH, UNITS)
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def mask_of_map():
    mask = np.ones((BATCH, HEIGHT, WIDTH), bool)
    mask[0, 2:], mask[1, :, 3:] = False, False
    return mask


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def excite(layer, pooled):
    """E(z) in NumPy; fresh biases are zero."""
    hidden = np.maximum(pooled @ layer.squeeze_projection.kernel.numpy(), 0)
    return hidden @ layer.excite_projection.kernel.numpy()


def convolve(layer, summary):
    """Convolution of [batch, height, width, 2] with zeros around it, in NumPy."""
    kernel = layer.convolution.kernel.numpy()[..., 0]  # [size, size, 2]
    reach = kernel.shape[0] // 2
    padded = np.pad(summary, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
    actual = np.zeros(summary.shape[:3])
    for row, column in np.ndindex(kernel.shape[:2]):
        window = padded[:, row : row + summary.shape[1], column : column + summary.shape[2]]
        actual += window @ kernel[row, column]
    return actual[..., None]


def test_squeeze_excitation_scales_channels_by_a_gate_of_the_mean():
    layer, maps, mask = build("squeeze_excitation"), feature_map(), mask_of_map()
    actual, attention_weights = layer(maps, padding_mask=mask, return_attention_scores=True)
    mean = np.stack([maps[example][mask[example]].mean(0) for example in range(BATCH)])
    gate = sigmoid(excite(layer, mean))  # [batch, units]
    close(attention_weights[:, 0, 0], gate)
    close(actual, maps * mask[..., None] * gate[:, None, None])
    close(layer(maps), maps * sigmoid(excite(layer, maps.mean((1, 2))))[:, None, None])


def test_cbam_scales_channels_and_then_positions():
    layer, maps, mask = build("cbam"), feature_map(), mask_of_map()
    actual, attention_weights = layer(maps, padding_mask=mask, return_attention_scores=True)
    valid = [maps[example][mask[example]] for example in range(BATCH)]  # each [positions, units]
    mean, maximum = np.stack([part.mean(0) for part in valid]), np.stack([part.max(0) for part in valid])
    scaled = maps * sigmoid(excite(layer, mean) + excite(layer, maximum))[:, None, None] * mask[..., None]
    summary = np.stack([scaled.mean(-1), scaled.max(-1)], axis=-1)
    gate = sigmoid(convolve(layer, summary))  # [batch, height, width, 1]
    close(actual, scaled * gate)
    close(attention_weights, (gate * mask[..., None]).reshape(BATCH, 1, 1, HEIGHT * WIDTH))


def test_cbam_of_a_sequence_is_cbam_of_a_map_one_position_high():
    on_sequence, on_map = build("cbam"), build("cbam")
    maps = feature_map()[:, :1]
    on_sequence.build((None, None, UNITS))
    on_map.build(maps.shape)
    *dense, kernel = on_map.get_weights()
    on_sequence.set_weights([*dense, kernel[1]])
    close(on_sequence(maps[:, 0]), on_map(maps)[:, 0])


@pytest.mark.parametrize("name", ["spatial", "squeeze_excitation"])
def test_map_and_its_flat_sequence_give_the_same(name):
    layer, maps, mask = build(name), feature_map(), mask_of_map()
    actual, attention_weights = layer(maps, padding_mask=mask, return_attention_scores=True)
    flat, flat_weights = layer(
        maps.reshape(BATCH, -1, UNITS), padding_mask=mask.reshape(BATCH, -1), return_attention_scores=True
    )
    close(tf.reshape(actual, flat.shape), flat)
    close(attention_weights, flat_weights)


@every_gate
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_map_with_nothing_valid_gives_zeros_and_finite_gradients(name, policy):
    layer, maps = build(name, policy), tf.constant(feature_map())
    mask = mask_of_map()
    mask[0] = False
    with tf.GradientTape() as tape:
        tape.watch(maps)
        output = layer(maps, padding_mask=mask)
        loss = tf.reduce_sum(tf.square(tf.cast(output, tf.float32)))
    gradients = tape.gradient(loss, [maps, *layer.trainable_variables])
    assert output.dtype == layer.compute_dtype
    assert (output.numpy()[0] == 0).all()
    assert (gradients[0].numpy()[0] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@every_gate
def test_saved_and_loaded_gate_of_maps_of_any_size_gives_the_same(name, tmp_path):
    inputs = keras.Input((None, None, UNITS))
    outputs = build(name)(inputs)
    assert outputs.shape == (None, None, None, UNITS)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    close(loaded(feature_map()), model(feature_map()))
    assert [variable.path for variable in loaded.variables] == [variable.path for variable in model.variables]


def test_hidden_layer_has_at_least_one_unit():
    assert attention.SqueezeExcitation(UNITS).squeeze_projection.units == 1
    assert attention.CBAM(35).squeeze_projection.units == 2


@every_gate
def test_what_a_gate_cannot_do_is_refused(name):
    layer, inputs = build(name), feature_map()[:, 0]
    kind = type(layer).__name__
    with pytest.raises(
        ValueError, match=rf"{kind} 'gate'.*only uses its query.*value.shape=\(2, 5, 7\), key.shape=None"
    ):
        layer(inputs, inputs)
    with pytest.raises(ValueError, match=rf"{kind} 'gate'.*cannot be causal.*use_causal_mask=True"):
        layer(inputs, use_causal_mask=True)
    with pytest.raises(ValueError, match=rf"{kind} 'gate'.*packed sequences.*segment_ids.shape=\(2, 5\)"):
        layer(inputs, segment_ids=tf.zeros([2, 5], tf.int32))
    with pytest.raises(ValueError, match=rf"{kind} 'gate'.*pairs.*attention_mask.shape=\(2, 5, 5\)"):
        layer(inputs, attention_mask=tf.ones([2, 5, 5], tf.bool))
    with pytest.raises(ValueError, match=r"`padding_mask` must .*\[batch, time\] = \(2, 5\).*=\(2, 7\)"):
        layer(inputs, padding_mask=tf.ones([2, 7], tf.bool))
    with pytest.raises(ValueError, match=rf"{kind} 'gate'.*query_shape=\(2, 7\)"):
        build(name).build((2, 7))
    with pytest.raises(ValueError, match=rf"causal attention; {kind} does not.*'{name}'"):
        DecoderBlock(UNITS, options_of(name), "additive")
    with pytest.raises(ValueError, match=rf"cross-attention; {kind} does not.*'{name}'"):
        DecoderBlock(UNITS, "additive", options_of(name))


@every_gate
def test_a_gate_has_neither_a_memory_nor_dropout(name):
    layer = build(name)
    assert not isinstance(layer, MemoryAttention)
    assert "dropout" not in layer.get_config()


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"at least 1. Received: ratio=0"):
        attention.SqueezeExcitation(UNITS, 0)
    with pytest.raises(ValueError, match=r"at least 1. Received: kernel_size=0"):
        attention.CBAM(UNITS, kernel_size=0)
