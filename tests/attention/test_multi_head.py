"""Grouped heads, position encoding, soft cap, sink and window of multi-head attention."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import attention
from attnzoo.attention.arguments import AttentionArguments
from attnzoo.attention.position_bias import alibi_slopes, relative_bucket
from attnzoo.layers.transformer import DecoderBlock
from tests.arrays import close

BATCH, TIME, SOURCE, UNITS, HEADS = 2, 5, 7, 8, 4
KINDS = {
    "rotary": {"name": "multi_head", "position": "rotary", "num_key_value_heads": 1},
    "relative": {
        "name": "multi_head",
        "position": "relative",
        "num_key_value_heads": 2,
        "soft_cap": 1.5,
        "sink": True,
    },
    "alibi": {"name": "local", "position": "alibi", "window": 2},
}


def sequence(length=TIME, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal((BATCH, length, UNITS)), tf.float32)


def randomise(layer):
    """Gives every weight a value that matters; biases, sinks and tables begin with 0."""
    numbers = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(0.7 * numbers.standard_normal(weight.shape))
    return layer


def build(options):
    layer = attention.build(options, UNITS, name="attention")
    layer.build((None, None, UNITS))
    return randomise(layer)


KERAS = {
    "MultiHeadAttention": lambda: keras.layers.MultiHeadAttention(HEADS, UNITS // HEADS),
    "GroupQueryAttention": lambda: keras.layers.GroupQueryAttention(UNITS // HEADS, HEADS, 2),
}


@pytest.mark.parametrize("causal", [False, True], ids=["cross", "causal"])
@pytest.mark.parametrize("name", KERAS)
def test_outputs_weights_and_gradients_are_those_of_keras(name, causal):
    theirs, query = KERAS[name](), sequence()
    memory = query if causal else sequence(SOURCE, 1)
    mask = tf.sequence_mask([3, memory.shape[1]], memory.shape[1])
    theirs.build(query.shape, memory.shape)
    randomise(theirs)
    ours = attention.MultiHeadAttention(UNITS, HEADS, 2 if name == "GroupQueryAttention" else None)
    ours.build(query.shape)
    # Both hold kernel and bias of query, key, value and output, in this order. Keras has an axis for the
    # heads and one for the features of a head where here they are one axis.
    for weight, other in zip(ours.weights, theirs.weights, strict=True):
        weight.assign(tf.reshape(other, weight.shape))

    def run(layer, **arguments):
        with tf.GradientTape() as tape:
            tape.watch([query, memory])
            output = layer(query, memory, **arguments)
            loss = tf.reduce_sum(tf.sin(output))
        return output, tape.gradient(loss, [query, memory, *layer.trainable_variables])

    keras_arguments = {"attention_mask": mask[:, None, :], "use_causal_mask": causal}
    # Query, value and key are told apart by their order alone.
    sources = query, memory, memory[:, ::-1]
    close(ours(*sources, **keras_arguments), theirs(*sources, **keras_arguments))
    output, gradients = run(ours, padding_mask=mask, use_causal_mask=causal)
    expected_output, expected_gradients = run(theirs, **keras_arguments)
    close(output, expected_output)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        close(gradient, tf.reshape(expected, gradient.shape))
    arguments = {"padding_mask": mask, "use_causal_mask": causal, "return_attention_scores": True}
    _, attention_weights = ours(query, memory, **arguments)
    _, expected_weights = theirs(query, memory, return_attention_scores=True, **keras_arguments)
    close(attention_weights, expected_weights)


@pytest.mark.parametrize("position", ["alibi", "relative"])
def test_weights_without_content_are_the_softmax_of_the_bias(position):
    layer = build({"name": "multi_head", "position": position})
    layer.key_projection.kernel.assign(tf.zeros([UNITS, UNITS]))
    layer.key_projection.bias.assign(tf.zeros([UNITS]))
    distance = np.arange(SOURCE)[None, :] - np.arange(TIME)[:, None]  # [query, key]
    bias = {
        "alibi": lambda: -np.array(alibi_slopes(HEADS))[:, None, None] * abs(distance),
        "relative": lambda: np.moveaxis(layer.bucket_biases.numpy()[relative_bucket(distance)], -1, 0),
    }[position]()  # [heads, query, key]
    _, attention_weights = layer(sequence(), value=sequence(SOURCE, 1), return_attention_scores=True)
    close(attention_weights[0], tf.nn.softmax(bias))


def test_moving_query_and_keys_together_changes_no_rotary_output():
    layer, query, memory = build(KINDS["rotary"]), sequence(), sequence(SOURCE, 1)
    expected = layer(query, value=memory)
    close(layer.attend(query, layer.project_memory(memory, memory, 11), position=11), expected, 1e-4)
    elsewhere = layer.attend(query, layer.project_memory(memory, memory, 11))
    assert np.abs(elsewhere - expected).max() > 1e-2


@pytest.mark.parametrize(("sink", "sum_of_weights"), [(0.0, 7 / 8), (np.log(7), 1 / 2), (-1e4, 1.0)])
def test_sink_is_one_more_key_without_a_value(sink, sum_of_weights):
    layer = attention.MultiHeadAttention(1, 1, sink=True)
    layer.build((None, None, 1))
    for projection in (layer.query_projection, layer.value_projection, layer.output_projection):
        projection.kernel.assign([[1.0]])
    layer.sink_logits.assign([sink])
    # A query of 0 has logits of 0 with all 7 keys; their values are 1.
    output, attention_weights = layer(
        tf.zeros([1, 1, 1]), value=tf.ones([1, 7, 1]), return_attention_scores=True
    )
    close(attention_weights, np.full([1, 1, 1, 7], sum_of_weights / 7))
    close(output, [[[sum_of_weights]]])
    close(layer(tf.zeros([1, 1, 1]), value=tf.ones([1, 7, 1])), output)


def test_soft_cap_bounds_the_logits():
    layer = attention.MultiHeadAttention(1, 1, soft_cap=1.5)
    layer.build((None, None, 1))
    for projection in (layer.query_projection, layer.key_projection):
        projection.kernel.assign([[1.0]])
    _, attention_weights = layer(
        tf.ones([1, 1, 1]), value=tf.constant([[[2.0], [-90.0]]]), return_attention_scores=True
    )
    capped = 1.5 * np.tanh(2 / 1.5), -1.5
    close(attention_weights, [[[np.exp(capped) / np.sum(np.exp(capped))]]])


@pytest.mark.parametrize("causal", [False, True])
def test_local_attention_only_sees_its_window(causal):
    layer = build({"name": "local", "window": 1})
    output, attention_weights = layer(sequence(), use_causal_mask=causal, return_attention_scores=True)
    seen = np.eye(TIME) + np.eye(TIME, k=-1) + (0 if causal else np.eye(TIME, k=1))
    np.testing.assert_array_equal(attention_weights[1, 2] > 0, seen > 0)
    close(layer(sequence(), use_causal_mask=causal), output)


def test_local_attention_with_a_wide_window_is_multi_head_attention():
    wide_window, plain = build({"name": "local", "window": TIME - 1}), build("multi_head")
    close(wide_window(sequence()), plain(sequence()))


@pytest.mark.parametrize("with_attention_weights", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_queries_that_continue_a_memory_equal_the_full_causal_call(kind, with_attention_weights):
    layer, inputs, before = build(KINDS[kind]), sequence(), 2
    expected = layer(inputs, use_causal_mask=True)[:, before:]
    parts = inputs[:, :before], inputs[:, before:]
    memories = [layer.project_memory(x, x, start) for x, start in zip(parts, (0, before), strict=True)]
    memory = tuple(tf.concat(pair, axis=2) for pair in zip(*memories, strict=True))
    assert [part.shape for part in memory] == [
        (BATCH, heads, TIME, dim) for heads, *dims in [layer.memory_dims] for dim in dims
    ]
    actual = layer.attend(
        parts[1],
        memory,
        use_causal_mask=True,
        position=before,
        return_attention_scores=with_attention_weights,
    )
    close(actual[0] if with_attention_weights else actual, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_a_decoder_equal_its_call(kind):
    block = DecoderBlock(UNITS, KINDS[kind], cross_attention="dot_product")
    inputs, encoded = sequence(), sequence(SOURCE, 1)
    block.build(inputs.shape, encoded.shape)
    randomise(block.attention)

    @tf.function(jit_compile=True, autograph=False)
    def decode(inputs, encoded):
        def advance(position, outputs, caches):
            column, caches = block.step(inputs[:, position][:, None], caches, position)
            return position + 1, tf.tensor_scatter_nd_update(outputs, [[position]], [column[:, 0]]), caches

        start = 0, tf.zeros([TIME, BATCH, UNITS]), block.start(encoded, 1, TIME)
        return tf.while_loop(lambda position, *_: position < TIME, advance, start)[1]

    close(tf.transpose(decode(inputs, encoded), [1, 0, 2]), block(inputs, encoded))


def test_functional_model_with_all_options_trains_and_is_loaded_with_its_weights(tmp_path):
    def build():
        query, memory = keras.Input((None, UNITS)), keras.Input((None, UNITS))
        mask = keras.Input((None,), dtype="bool")
        layer = attention.LocalAttention(
            UNITS, window=3, num_key_value_heads=2, position="relative", soft_cap=5.0, sink=True, name="local"
        )
        return keras.Model([query, memory, mask], layer(query, memory, memory, padding_mask=mask))

    model = build()
    before = [weight.numpy() for weight in model.weights]
    model.compile("adam", "mse")
    example = [sequence(), sequence(SOURCE, 1), tf.sequence_mask([3, SOURCE], SOURCE)]
    model.fit(example, sequence(TIME, 2), batch_size=BATCH, verbose=0)
    learned = {
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if (weight != old).numpy().any()
    }
    assert {"local/sink", "local/relative", "local/key/kernel"} <= learned
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    close(loaded(example), model(example))
    assert loaded.get_layer("local").get_config() == model.get_layer("local").get_config()


def test_bias_of_relative_positions_grows_linearly_with_the_length():
    arguments = build(KINDS["relative"]).kernel_arguments(AttentionArguments(), 1009, 2003, 0)
    assert arguments.distance_bias.shape == (HEADS, 1009 + 2003 - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, r"multiple of `num_heads`. Received: units=8, num_heads=3"),
        (
            {"num_key_value_heads": 3},
            r"multiple of `num_key_value_heads`.*num_heads=4, num_key_value_heads=3",
        ),
        ({"num_key_value_heads": 0}, r"at least 1. Received: num_key_value_heads=0"),
        ({"position": "absolute"}, r"one of none, rotary, alibi, relative. Received: position='absolute'"),
        ({"num_heads": 8, "position": "rotary"}, r"must be even. Received: units=8, num_heads=8"),
        ({"soft_cap": 0.0}, r"`soft_cap` must be above 0. Received: soft_cap=0.0"),
        ({"window": -1}, r"at least 0. Received: window=-1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention.LocalAttention(UNITS, **arguments)
