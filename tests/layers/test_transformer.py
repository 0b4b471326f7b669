import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from attnzoo.attention.mechanisms import parse
from attnzoo.layers.connection import Connection
from attnzoo.layers.transformer import DecoderBlock, EncoderBlock, FeedForward
from tests.arrays import close
from tests.thinned import thinned

BATCH, TARGET, SOURCE, UNITS = 2, 5, 7, 6
ATTENTIONS = {
    "multi_head": {"name": "multi_head", "num_heads": 3},
    "additive": {"name": "additive", "hidden_units": 11},
    "dot": {"name": "dot_product", "score": "dot"},
    "general": {"name": "dot_product", "score": "general"},
    "sigmoid": {"name": "sigmoid", "hidden_units": 11},
}
NORMS = ["pre", "post", "none"]


def sequence(length, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal((BATCH, length, UNITS)), tf.float32)


def decode(block, inputs, encoded, mask, jit_compile):
    """All steps in one program, as a generation runs them."""

    @tf.function(jit_compile=jit_compile)
    def run(inputs, encoded, mask):
        def advance(position, outputs, caches):
            column, caches = block.step(inputs[:, position][:, None], caches, position, None, mask)
            return position + 1, tf.tensor_scatter_nd_update(outputs, [[position]], [column]), caches

        outputs = tf.zeros([TARGET, BATCH, 1, UNITS], block.compute_dtype)
        caches = block.start(encoded, 1, TARGET)
        return tf.while_loop(lambda position, *_: position < TARGET, advance, (0, outputs, caches))[1]

    return tf.transpose(run(inputs, encoded, mask)[:, :, 0], [1, 0, 2])  # [batch, target, units]


@pytest.mark.parametrize("jit_compile", thinned([True, False], 2))
@pytest.mark.parametrize("attention", ATTENTIONS.values(), ids=ATTENTIONS)
def test_steps_equal_the_call_column_by_column(attention, jit_compile):
    block = DecoderBlock(UNITS, attention, feed_forward_units=13)
    inputs, encoded, mask = sequence(TARGET), sequence(SOURCE, 1), tf.sequence_mask([3, SOURCE], SOURCE)
    expected = block(inputs, encoded, source_mask=mask)
    close(decode(block, inputs, encoded, mask, jit_compile), expected)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_steps_follow_the_call_in_half_precision(policy, norm):
    block = DecoderBlock(UNITS, ATTENTIONS["general"], norm=norm, dtype=policy)
    inputs, encoded, mask = sequence(TARGET), sequence(SOURCE, 1), tf.sequence_mask([3, SOURCE], SOURCE)
    expected = block(inputs, encoded, source_mask=mask)
    assert expected.dtype == block.compute_dtype
    close(decode(block, inputs, encoded, mask, True), expected, 0.1)


def test_step_returns_the_weights_of_the_call():
    block = DecoderBlock(UNITS, ATTENTIONS["multi_head"], cross_attention="additive")
    inputs, encoded, mask = sequence(TARGET), sequence(SOURCE, 1), tf.sequence_mask([3, SOURCE], SOURCE)
    _, attention_weights = block(inputs, encoded, source_mask=mask, return_attention_scores=True)
    assert attention_weights.shape == (BATCH, 1, TARGET, SOURCE)
    caches = block.start(encoded, 1, TARGET)
    for position in range(2):
        column = inputs[:, position : position + 1]
        _, caches, actual = block.step(column, caches, position, None, mask, return_attention_scores=True)
        close(actual[:, :, 0], attention_weights[:, :, position])


def test_decoder_ignores_future_targets_and_masked_sources():
    block = DecoderBlock(UNITS, ATTENTIONS["multi_head"], feed_forward_units=13)
    inputs, encoded = sequence(TARGET), sequence(SOURCE, 1)
    expected = block(inputs, encoded, source_mask=tf.sequence_mask([3, 3], SOURCE))
    close(block(inputs[:, :2], encoded[:, :3]), expected[:, :2])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("residual", [True, False])
def test_encoder_block_follows_its_formula(norm, residual):
    block = EncoderBlock(UNITS, ATTENTIONS["sigmoid"], feed_forward_units=13, norm=norm, residual=residual)
    inputs, mask = sequence(SOURCE), tf.sequence_mask([3, SOURCE], SOURCE)
    actual, attention_weights = block(inputs, padding_mask=mask, return_attention_scores=True)
    assert attention_weights.shape == (BATCH, 1, SOURCE, SOURCE)
    hidden = inputs
    for part, connection in (
        (lambda x: block.attention(x, padding_mask=mask), block.attention_connection),
        (block.feed_forward, block.feed_forward_connection),
    ):
        outputs = part(connection.normalization(hidden) if norm == "pre" else hidden)
        outputs = outputs + hidden if residual else outputs
        hidden = connection.normalization(outputs) if norm == "post" else outputs
    close(actual, hidden)
    close(block(inputs, padding_mask=mask), actual)


@pytest.mark.parametrize("attention", [*ATTENTIONS.values(), "spatial"], ids=[*ATTENTIONS, "spatial"])
def test_masked_position_equals_a_removed_one(attention):
    block, inputs = EncoderBlock(UNITS, attention, feed_forward_units=13), sequence(SOURCE)
    close(block(inputs, padding_mask=tf.sequence_mask([4, 4], SOURCE))[:, :4], block(inputs[:, :4]))


def test_saved_and_loaded_blocks_give_the_same_with_the_same_paths(tmp_path):
    def build():
        source, target = keras.Input((None, UNITS)), keras.Input((None, UNITS))
        options = parse({"name": "additive", "hidden_units": 11, "dropout": 0.1})
        encoded = EncoderBlock(UNITS, options, 13, dropout=0.1, name="encoder")(source)
        block = DecoderBlock(UNITS, {"name": "multi_head", "num_heads": 2}, options, 13, 0.1, name="decoder")
        return keras.Model([source, target], block(target, encoded))

    model = build()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    example = [sequence(SOURCE), sequence(TARGET)]
    close(loaded(example), model(example))
    paths = [variable.path for variable in model.variables]
    assert (
        paths
        == [variable.path for variable in loaded.variables]
        == [variable.path for variable in build().variables]
    )
    assert len(set(paths)) == len(paths)
    assert all(path.startswith(("encoder/", "decoder/")) for path in paths)


@pytest.mark.parametrize(("jit_compile", "policy"), thinned([(True, "mixed_float16"), (False, "float32")], 2))
def test_fit_trains_with_dropout(jit_compile, policy):
    inputs = keras.Input((None, UNITS))
    options = {"name": "multi_head", "num_heads": 3, "dropout": 0.2}
    hidden = EncoderBlock(UNITS, options, 13, 0.1, dtype=policy)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(hidden[:, 0]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=jit_compile)
    features = np.random.default_rng(0).standard_normal((10, SOURCE, UNITS)).astype("float32")
    history = model.fit(features, np.arange(10) % 3, batch_size=5, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_feed_forward_is_two_dense_layers():
    layer = FeedForward(2, 3)
    layer.build((None, 1))
    layer.hidden.kernel.assign([[1.0, -1.0, 2.0]])
    layer.outputs.kernel.assign([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    close(layer(tf.constant([[[3.0]], [[-5.0]]])), [[[3.0, 6.0]], [[5.0, 0.0]]])


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"causal attention; SpatialGate does not.*'spatial'"):
        DecoderBlock(UNITS, "spatial")
    with pytest.raises(ValueError, match=r"cross-attention; SpatialGate does not.*'spatial'"):
        DecoderBlock(UNITS, "additive", "spatial")
    with pytest.raises(ValueError, match=r"one of pre, post, none. Received: norm='batch'"):
        Connection("batch", True, 0.0)
    with pytest.raises(ValueError, match=r"feed_forward_units=-1"):
        EncoderBlock(UNITS, "additive", -1)
    with pytest.raises(ValueError, match=r"is not built.*built=False"):
        DecoderBlock(UNITS, "additive").start(sequence(SOURCE), 1, TARGET)
    rotary = {"name": "multi_head", "num_heads": 3, "position": "rotary"}
    with pytest.raises(ValueError, match=r"must not have a position encoding\. Received: beams=2.*rotary"):
        DecoderBlock(UNITS, "additive", rotary).start(sequence(SOURCE), 2, TARGET)
    with pytest.raises(pydantic.ValidationError, match="num_head"):
        EncoderBlock(UNITS, {"name": "multi_head", "num_head": 2})
