"""What holds for every attention layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from attnzoo.attention.mechanisms import parse
from tests import mechanisms
from tests.arrays import close

BATCH, QUERY, KEY, UNITS = 2, 5, 7, 6
SMALL = {"num_heads": 3, "hidden_units": 11, "ratio": 2, "kernel_size": 3}
"""Values of the options that a mechanism may have."""
VARIANTS = {
    "rotary": {"name": "multi_head", "num_heads": 3, "num_key_value_heads": 1, "position": "rotary"},
    "near": {"name": "local", "num_heads": 3, "window": 4, "position": "relative", "soft_cap": 3.0},
    "dot": {"name": "dot_product", "score": "dot"},
    "general": {"name": "dot_product", "score": "general"},
    "concat": {"name": "dot_product", "score": "concat"},
}


def small_options(name):
    known = parse(name).model_dump()
    return {**known, **{option: value for option, value in SMALL.items() if option in known}}


LAYERS = {**{name: small_options(name) for name in mechanisms.NAMES}, **VARIANTS}
CROSS = [*mechanisms.CROSS, *VARIANTS]
DROPPING = [name for name in CROSS if "dropout" in parse(LAYERS[name]).model_dump()]
"""Layers that have dropout."""
FRACTIONS = [*CROSS, "spatial"]
"""Layers whose attention weights sum to 1 over the keys."""
UNORDERED = [name for name in CROSS if not attention.build(LAYERS[name], UNITS).needs_order]
"""Layers to which the order of the keys does not matter."""
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]
every_layer = pytest.mark.parametrize("name", LAYERS)
every_cross_layer = pytest.mark.parametrize("name", CROSS)


def build(name, dtype=None, **options):
    return attention.build({**LAYERS[name], **options}, UNITS, name="attention", dtype=dtype)


def build_dropping(name):
    return build(name, dropout=0.1) if name in DROPPING else build(name)


def sequence(length=KEY, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal((BATCH, length, UNITS)), tf.float32)


@every_layer
@pytest.mark.parametrize("policy", POLICIES)
def test_eager_compiled_and_returned_weights_agree_in_every_precision(name, policy):
    layer = build(name, policy)
    inputs, mask = sequence(), tf.sequence_mask([3, KEY], KEY)
    output, attention_weights = layer(inputs, padding_mask=mask, return_attention_scores=True)
    assert output.shape == inputs.shape
    assert output.dtype == layer.compute_dtype
    assert attention_weights.dtype == tf.float32
    if name in FRACTIONS:
        close(tf.reduce_sum(attention_weights, -1), tf.ones(attention_weights.shape[:-1]))
        assert (attention_weights.numpy()[0, ..., 3:] == 0).all()
    tolerance = 1e-5 if policy == "float32" else 5e-2
    close(layer(inputs, padding_mask=mask), output, tolerance)
    compiled = tf.function(lambda x, m: layer(x, padding_mask=m), jit_compile=True)
    close(compiled(inputs, mask), output, tolerance)


@every_layer
def test_saved_and_loaded_layer_gives_the_same(name, tmp_path):
    inputs = keras.Input((None, UNITS))
    mask = keras.Input((None,), dtype="bool")
    outputs = build_dropping(name)(inputs, padding_mask=mask)
    assert outputs.shape == (None, None, UNITS)
    model = keras.Model([inputs, mask], outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    example = [sequence(), tf.sequence_mask([3, KEY], KEY)]
    close(loaded(example), model(example))
    assert [variable.path for variable in loaded.variables] == [variable.path for variable in model.variables]


@every_layer
def test_weight_paths_do_not_depend_on_what_was_built_before(name):
    paths = []
    for _ in range(2):
        layer = build_dropping(name)
        layer.build((None, None, UNITS))
        paths.append([variable.path for variable in layer.variables])
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == len(paths[0])


@every_cross_layer
@pytest.mark.parametrize("with_attention_weights", [False, True])
def test_masked_key_equals_a_removed_key(name, with_attention_weights):
    layer, query, memory = build(name), sequence(QUERY, 1), sequence()
    mask = tf.sequence_mask([4, 4], KEY)
    masked = layer(query, value=memory, padding_mask=mask, return_attention_scores=with_attention_weights)
    removed = layer(query, value=memory[:, :4], return_attention_scores=with_attention_weights)
    close(masked[0] if with_attention_weights else masked, removed[0] if with_attention_weights else removed)


@pytest.mark.parametrize("name", mechanisms.GATES)
def test_masked_position_of_a_gate_equals_a_removed_one(name):
    layer, inputs = build(name), sequence()
    masked = layer(inputs, padding_mask=tf.sequence_mask([4, 4], KEY))
    close(masked[:, :4], layer(inputs[:, :4]))
    assert (masked.numpy()[:, 4:] == 0).all()


@every_cross_layer
@pytest.mark.parametrize("with_attention_weights", [False, True])
def test_causal_output_ignores_the_future(name, with_attention_weights):
    layer, inputs = build(name), sequence()
    changed = tf.concat([inputs[:, :4], sequence(KEY, 2)[:, 4:]], axis=1)
    outputs = [
        layer(x, use_causal_mask=True, return_attention_scores=with_attention_weights)
        for x in (inputs, changed)
    ]
    first, second = (output[0] if with_attention_weights else output for output in outputs)
    close(first[:, :4], second[:, :4])
    assert np.abs(first - second)[:, 4:].max() > 1e-3


@pytest.mark.parametrize("name", UNORDERED)
def test_permuting_keys_with_their_values_changes_nothing(name):
    layer, query, memory = build(name), sequence(QUERY, 1), sequence()
    order = np.random.default_rng(3).permutation(KEY)
    mask = tf.sequence_mask([4, KEY], KEY)
    permuted = tf.gather(memory, order, axis=1)
    close(
        layer(query, permuted, permuted, padding_mask=tf.gather(mask, order, axis=1)),
        layer(query, memory, memory, padding_mask=mask),
    )


@every_layer
@pytest.mark.parametrize("with_attention_weights", [False, True])
def test_sequence_with_nothing_to_attend_to_gets_no_context_and_finite_gradients(
    name, with_attention_weights
):
    layer, inputs = build(name), sequence()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(
            inputs,
            padding_mask=tf.sequence_mask([0, KEY], KEY),
            return_attention_scores=with_attention_weights,
        )
        output = output[0] if with_attention_weights else output
        loss = tf.reduce_sum(tf.square(output))
    assert (output.numpy()[0] == 0).all()
    gradient = tape.gradient(loss, inputs).numpy()
    assert (gradient[0] == 0).all()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[1]).max() > 0


@every_cross_layer
def test_call_is_attend_of_the_projected_memory(name):
    layer, query, memory = build(name), sequence(QUERY, 1), sequence()
    expected = layer(query, memory, memory)
    projected = layer.project_memory(memory, memory)
    heads, key_dim, value_dim = layer.memory_dims
    assert projected[0].shape == (BATCH, heads, KEY, key_dim)
    assert projected[1].shape == (BATCH, heads, KEY, value_dim)
    close(layer.attend(query, projected), expected)
    close(layer(query, value=memory), expected)


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_is_only_active_in_training_and_repeats_with_the_seed(name):
    layer, inputs = build(name, dropout=0.5), sequence()
    expected = layer(inputs)
    close(layer(inputs, training=False), expected)
    outputs = []
    state = layer.seed_generator.state.numpy()
    for with_attention_weights in (False, True):
        layer.seed_generator.state.assign(state)
        output = layer(inputs, training=True, return_attention_scores=with_attention_weights)
        outputs.append(output[0] if with_attention_weights else output)
    close(*outputs)
    assert np.abs(outputs[0] - expected).max() > 1e-3
    assert np.abs(layer(inputs, training=True) - outputs[0]).max() > 1e-3


def ignores_key_bias(layer):
    """All logits of a query move alike with the bias of its keys, which no softmax sees."""
    is_multi_head = isinstance(layer, attention.MultiHeadAttention)
    return is_multi_head and layer.position != "rotary" and layer.soft_cap is None


@every_layer
def test_every_weight_gets_a_gradient(name):
    keras.utils.set_random_seed(5)  # with some weights no unit of a relu layer is above 0
    layer, inputs = build(name), sequence()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(inputs)))
    for weight, gradient in zip(
        layer.trainable_variables, tape.gradient(loss, layer.trainable_variables), strict=True
    ):
        if weight.path != "attention/key/bias" or not ignores_key_bias(layer):
            assert np.abs(gradient).max() > 0, weight.path


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"multiple of `num_heads`. Received: units=7, num_heads=3"):
        attention.MultiHeadAttention(7, 3)
    with pytest.raises(ValueError, match=r"`units` must be an integer of at least 1. Received: units=0"):
        attention.AdditiveAttention(0)
    with pytest.raises(ValueError, match=r"`score` must be one of dot, scaled.*score='cosine'"):
        attention.DotProductAttention(UNITS, "cosine")
    with pytest.raises(ValueError, match=r"query must be \[batch, time, units\] and 6 wide.*\(2, 7, 5\)"):
        build("additive")(sequence()[..., :5])
    with pytest.raises(ValueError, match=r"value is not projected.*6 wide.*\(2, 7, 5\)"):
        build("additive")(sequence(), value=sequence()[..., :5])
    with pytest.raises(ValueError, match=r"key is not projected.*6 wide.*\(2, 7, 5\)"):
        build("dot")(sequence(), sequence(), sequence()[..., :5])
    with pytest.raises(ValueError, match=r"a key requires a value.*key.shape=\(2, 7, 6\)"):
        build("additive")(sequence(), key=sequence())
    with pytest.raises(ValueError, match=r"only uses its query.*value.shape=\(2, 7, 6\), key.shape=None"):
        build("spatial")(sequence(), sequence(KEY, 1))
    with pytest.raises(ValueError, match=r"cannot be causal.*use_causal_mask=True"):
        build("spatial")(sequence(), use_causal_mask=True)


@pytest.mark.slow
@every_layer
def test_float64_is_computed_in_float64(name):
    """A slope over steps that float32 does not see is the gradient."""
    layer = build(name, "float64")
    inputs, direction = (tf.cast(sequence(seed=seed), tf.float64) for seed in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        total = tf.reduce_sum(outputs * outputs)
    assert outputs.dtype == tf.float64
    expected = tf.reduce_sum(tape.gradient(total, inputs) * direction)
    step = 1e-6
    higher, lower = (tf.reduce_sum(layer(inputs + sign * step * direction) ** 2) for sign in (1.0, -1.0))
    np.testing.assert_allclose((higher - lower) / (2 * step), expected, rtol=1e-5)
