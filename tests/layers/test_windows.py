import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.pooling import AttentionPooling
from attnzoo.layers.attention_weights import weighs_positions
from attnzoo.layers.transformer import EncoderBlock
from attnzoo.layers.windows import WindowBlock, WindowPooling

WINDOW, UNITS = 3, 5


def sequence(time=7, batch=2, seed=3):
    return tf.constant(np.random.default_rng(seed).normal(size=(batch, time, UNITS)), tf.float32)


def mask_of(*lengths, time=7):
    return tf.sequence_mask(lengths, time)


def test_a_block_attends_within_each_window():
    options = {"attention": {"name": "multi_head", "num_heads": 1}, "feed_forward_units": 7}
    layer, block = WindowBlock(UNITS, WINDOW, **options), EncoderBlock(UNITS, **options)
    inputs, mask = sequence(), mask_of(7, 5)
    outputs, _ = layer(inputs, padding_mask=mask), block(inputs)
    block.set_weights(layer.get_weights())
    for start in range(0, 7, WINDOW):
        part = slice(start, start + WINDOW)
        expected = block(inputs[:, part], padding_mask=mask[:, part])
        valid = mask[:, part, None]
        np.testing.assert_allclose(
            tf.where(valid, outputs[:, part], 0.0), tf.where(valid, expected, 0.0), atol=1e-5
        )
    assert not weighs_positions(layer)


def test_weight_of_a_position_is_that_in_its_window_times_that_of_the_window():
    layer = WindowPooling(WINDOW)
    inputs, mask = sequence(), mask_of(7, 2)
    outputs, attention_weights = layer(inputs, mask, return_attention_scores=True)
    assert attention_weights.shape == (2, 1, 1, 7)
    np.testing.assert_allclose(
        outputs, tf.einsum("bt,btu->bu", attention_weights[:, 0, 0], inputs), atol=1e-5
    )
    np.testing.assert_allclose(tf.reduce_sum(attention_weights, axis=-1), np.ones((2, 1, 1)), atol=1e-6)
    np.testing.assert_array_equal(attention_weights[1, 0, 0, 2:], np.zeros(5))
    np.testing.assert_allclose(layer(inputs, mask), outputs)


def test_with_one_window_it_is_the_pooling_of_its_positions():
    layer, plain = WindowPooling(11, hidden_units=3), AttentionPooling(hidden_units=3)
    inputs, mask = sequence(), mask_of(7, 4)
    outputs, _ = layer(inputs, mask), plain(inputs, mask)
    plain.set_weights(layer.positions.get_weights())
    np.testing.assert_allclose(outputs, plain(inputs, mask), atol=1e-6)


def test_more_padding_changes_nothing_and_an_empty_text_gives_zeros():
    layer = WindowPooling(WINDOW)
    inputs, mask = sequence(), mask_of(7, 0)
    longer, more = tf.pad(inputs, [[0, 0], [0, 6], [0, 0]], constant_values=9.0), mask_of(7, 0, time=13)
    np.testing.assert_allclose(layer(longer, more), layer(inputs, mask), atol=1e-6)
    np.testing.assert_array_equal(layer(inputs, mask)[1], np.zeros(UNITS))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_compiled_saved_and_loaded_it_is_the_same(tmp_path, policy):
    inputs, mask = keras.Input([None, UNITS]), keras.Input([None], dtype="bool")
    attention = {"name": "multi_head", "num_heads": 1}
    block = WindowBlock(UNITS, WINDOW, attention=attention, dtype=policy)
    hidden = block(inputs, padding_mask=mask)
    model = keras.Model([inputs, mask], WindowPooling(WINDOW, dtype=policy)(hidden, mask))
    values = [sequence(), mask_of(7, 4)]
    expected = model(values)
    compiled = tf.function(model, jit_compile=True)(values)
    np.testing.assert_allclose(compiled, expected, atol=1e-5 if policy == "float32" else 0.05)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(values), expected, atol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda: WindowBlock(UNITS, 0, attention="additive"), lambda: WindowPooling(0)]
)
def test_a_window_without_positions_is_refused(make):
    with pytest.raises(ValueError, match="window=0"):
        make()
