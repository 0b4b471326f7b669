"""Every layer in the place of a layer of Keras: its arguments, shapes, wrappers and initializers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from attnzoo.layers.convolution import FeatureMapAttention
from attnzoo.layers.transformer import DecoderBlock, EncoderBlock
from attnzoo.layers.windows import WindowBlock, WindowPooling
from tests import mechanisms
from tests.arrays import close

BATCH, TIME, KEYS, UNITS = 2, 5, 7, 8
WRONG = r"`padding_mask` must have the shape .* = \(2, 5\).*\. Received: padding_mask\.shape=\(2, 7\)"
every_mechanism = pytest.mark.parametrize("name", mechanisms.NAMES)
every_cross_mechanism = pytest.mark.parametrize("name", mechanisms.CROSS)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def ones(*shape):
    return np.ones(shape, bool)


def symbolic(*shape, dtype="float32"):
    return keras.Input(shape, batch_size=BATCH, dtype=dtype)


@every_mechanism
def test_shapes_are_known_without_a_call_and_in_symbolic_calls(name):
    layer = attention.build(name, UNITS)
    assert layer.compute_output_shape((None, None, UNITS)) == (None, None, UNITS)
    described = layer(symbolic(TIME, UNITS), return_attention_scores=True)
    computed = layer(normal(BATCH, TIME, UNITS), return_attention_scores=True)
    assert [tensor.shape for tensor in described] == [tuple(tensor.shape) for tensor in computed]
    assert [tensor.dtype for tensor in described] == ["float32", "float32"]


@every_mechanism
def test_a_wrapper_applies_a_layer_and_its_mask_to_each_step(name):
    layer = attention.build(name, UNITS)
    wrapped = keras.layers.TimeDistributed(layer)
    assert wrapped(keras.Input((3, None, UNITS))).shape == (None, 3, None, UNITS)
    inputs, mask = normal(BATCH, 3, TIME, UNITS), ones(BATCH, 3, TIME)
    mask[:, 1, 3:] = False
    outputs = wrapped(inputs, mask=mask)
    for step in range(3):
        close(outputs[:, step], layer(inputs[:, step], padding_mask=mask[:, step]))


def test_a_wrapper_applies_poolings_and_blocks_to_each_step():
    inputs = normal(BATCH, 3, TIME, UNITS)
    for layer in (
        attention.AttentionPooling(),
        EncoderBlock(UNITS, "additive"),
        WindowBlock(UNITS, 2, attention="additive"),
        WindowPooling(2),
    ):
        wrapped = keras.layers.TimeDistributed(layer)
        outputs = wrapped(inputs)
        assert wrapped.compute_output_shape(inputs.shape) == tuple(outputs.shape)
        close(outputs[:, 1], layer(inputs[:, 1]))
    wrapped = keras.layers.TimeDistributed(FeatureMapAttention(UNITS, "additive"))
    assert wrapped(keras.Input((3, 4, 5, UNITS))).shape == (None, 3, 4, 5, UNITS)


@every_mechanism
def test_a_mask_of_another_shape_is_one_error_also_in_symbolic_calls(name):
    layer = attention.build(name, UNITS)
    for inputs, mask in (
        (normal(BATCH, TIME, UNITS), ones(BATCH, KEYS)),
        (symbolic(TIME, UNITS), symbolic(KEYS, dtype="bool")),
    ):
        with pytest.raises(ValueError, match=WRONG) as caught:
            layer(inputs, padding_mask=mask)
        assert "Could not automatically infer" not in str(caught.value)
    with pytest.raises(ValueError, match=r"query must be \[batch, time, units\].*query_shape=\(2, 8\)"):
        layer(normal(BATCH, UNITS))


@every_cross_mechanism
def test_other_shapes_that_do_not_fit_are_one_error(name):
    layer = attention.build(name, UNITS)
    query, memory = normal(BATCH, TIME, UNITS), normal(BATCH, KEYS, UNITS)
    for arguments, message in (
        ({"padding_mask": ones(2, 5, 7)}, r"is `attention_mask`\..*padding_mask\.shape=\(2, 5, 7\)"),
        ({"attention_mask": ones(2, 7, 5)}, r"\[batch, query, key\] = \(2, 5, 7\).*shape=\(2, 7, 5\)"),
        ({"attention_mask": ones(2, 3, 5, 7)}, r"\[batch, heads, query, key\].*shape=\(2, 3, 5, 7\)"),
        ({"attention_mask": ones(7)}, r"`attention_mask` must have the shape .*shape=\(7,\)"),
        ({"segment_ids": np.ones([2, 7], int)}, r"\[batch, query\] = \(2, 5\).*shape=\(2, 7\)"),
        ({"key": memory[:, 1:]}, r"`key` must have the shape .* = \(2, 7, None\).*shape=\(2, 6, 8\)"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(query, memory, **arguments)
    with pytest.raises(ValueError, match=r"arguments of their own, not a list\..*\(2, 7, 8\)"):
        attention.build(name, UNITS)([query, memory])
    with pytest.raises(ValueError, match=r"`value` must have the shape .* = \(2, None, None\)"):
        layer(query, memory[:1])


def test_poolings_and_blocks_say_the_same_of_masks():
    inputs = normal(BATCH, TIME, UNITS)
    with pytest.raises(ValueError, match=WRONG):
        attention.AttentionPooling()(inputs, padding_mask=ones(BATCH, KEYS))
    with pytest.raises(ValueError, match=WRONG):
        EncoderBlock(UNITS, "additive")(inputs, padding_mask=ones(BATCH, KEYS))
    with pytest.raises(ValueError, match=WRONG):
        DecoderBlock(UNITS, "additive")(inputs, inputs, source_mask=ones(BATCH, KEYS))


@every_cross_mechanism
def test_a_mask_of_pairs_masks_what_other_masks_do(name):
    layer, query, memory = (
        attention.build(name, UNITS),
        normal(BATCH, TIME, UNITS),
        normal(BATCH, KEYS, UNITS),
    )
    valid = np.arange(KEYS) < np.array([[3], [KEYS]])
    pairs = valid[:, None] & np.tri(TIME, KEYS, dtype=bool)  # [batch, query, key]
    expected = layer(query, memory, padding_mask=valid, use_causal_mask=True)
    close(layer(query, memory, attention_mask=pairs), expected)
    outputs, attention_weights = layer(query, memory, attention_mask=pairs, return_attention_scores=True)
    close(outputs, expected)
    assert (
        np.asarray(attention_weights)[np.broadcast_to(~pairs[:, None], attention_weights.shape)] == 0
    ).all()


@every_cross_mechanism
def test_a_mask_of_pairs_may_lack_axes_or_differ_by_head(name):
    layer, query = attention.build(name, UNITS), normal(BATCH, TIME, UNITS)
    pairs = np.tri(TIME, dtype=bool)
    by_head = np.broadcast_to(pairs, [BATCH, layer.num_heads, TIME, TIME]).copy()
    by_head[:, -1, :, 0] = False
    _, attention_weights = layer(query, attention_mask=pairs, return_attention_scores=True)
    _, differing = layer(query, attention_mask=by_head, return_attention_scores=True)
    close(differing[:, :-1], attention_weights[:, :-1])
    assert (np.asarray(attention_weights)[:, :, ~pairs] == 0).all()
    assert (np.asarray(differing)[:, -1, :, 0] == 0).all()


def layers_with_kernels():
    options = [name for name in mechanisms.NAMES if name != "dot_product"]
    types = [type(attention.build(name, UNITS)) for name in options]
    return [*types, attention.DotProductAttention, attention.AttentionPooling]


@pytest.mark.parametrize("layer_type", layers_with_kernels())
def test_kernels_begin_as_their_initializer_says_each_with_its_own_numbers(layer_type):
    options = {"units": UNITS} if layer_type is not attention.AttentionPooling else {"hidden_units": UNITS}
    if layer_type is attention.DotProductAttention:
        options["score"] = "concat"
    layer = layer_type(**options, kernel_initializer=keras.initializers.RandomNormal(7.0, 0.1))
    for one in (layer, layer_type.from_config(layer.get_config())):
        one.build((None, None, UNITS))
        kernels = [weight.numpy().ravel() for weight in one.weights if weight.path.endswith("kernel")]
        assert kernels
        assert all(abs(kernel.mean() - 7) < 0.5 for kernel in kernels)
        firsts = [kernel[0] for kernel in kernels]
        assert len(set(firsts)) == len(firsts)


def test_an_initializer_without_a_kernel_is_refused():
    with pytest.raises(ValueError, match=r"has no kernels.*score='scaled', kernel_initializer='zeros'"):
        attention.DotProductAttention(UNITS, kernel_initializer="zeros")


def test_blocks_honor_masks_of_keras():
    embedding = keras.layers.Embedding(9, UNITS, mask_zero=True)
    padded, ids = embedding(np.array([[5, 6, 0, 0]])), embedding(np.array([[5, 6]]))
    block = EncoderBlock(UNITS, "additive")
    close(block(padded)[:, :2], block(ids))
    block = DecoderBlock(UNITS, "additive")
    close(block(ids, padded), block(ids, ids))


@every_mechanism
def test_masks_of_keras_of_another_shape_are_one_error_also_in_symbolic_calls(name):
    layer = attention.build(name, UNITS)
    for query, mask in (
        (normal(BATCH, TIME, UNITS), ones(BATCH, KEYS)),
        (symbolic(TIME, UNITS), symbolic(KEYS, dtype="bool")),
    ):
        for argument in ("mask", "query_mask"):
            with pytest.raises(ValueError, match=WRONG.replace("padding_mask", argument)):
                layer(query, **{argument: mask})


def test_a_mask_without_its_tensor_and_lists_are_refused_also_by_a_layer_that_is_built():
    layer = attention.AdditiveAttention(UNITS)
    query = normal(BATCH, TIME, UNITS)
    layer(query)
    with pytest.raises(ValueError, match=r"`mask` is for calls without a value; pass `padding_mask`"):
        layer(query, query, mask=ones(BATCH, TIME))
    with pytest.raises(ValueError, match=r"arguments of their own, not a list"):
        layer([query, query])


def test_a_call_that_is_refused_does_not_build_the_layer():
    layer = attention.AdditiveAttention(UNITS)
    query = normal(BATCH, TIME, UNITS)
    with pytest.raises(ValueError, match=r"`value` must have the shape .* = \(2, None, None\).*\(3, 7, 6\)"):
        layer(query, normal(BATCH + 1, KEYS, 6))
    assert layer(query, normal(BATCH, KEYS, UNITS)).shape == query.shape


def test_the_width_of_a_query_may_be_unknown_once_a_layer_is_built():
    layer = attention.MultiHeadAttention(UNITS)
    query = normal(BATCH, TIME, UNITS)
    expected = layer(query)
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None])], autograph=False)
    close(traced(query), expected)
    with pytest.raises(ValueError, match=r"the query must be \[batch, time, units\] and 8 wide"):
        attention.MultiHeadAttention(UNITS).build((None, None, None))
