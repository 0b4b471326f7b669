import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.dropout import Dropout
from attnzoo.layers.embedding import TokenEmbedding
from attnzoo.layers.position import LearnedPosition, SinusoidalPosition

IDS = tf.constant([[3, 5, 0], [1, 0, 0]])


def test_vectors_are_rows_of_the_table_times_the_square_root_of_units():
    layer = TokenEmbedding(7, 5, scale=True)
    vectors = layer(IDS)
    np.testing.assert_allclose(vectors[0, 1], layer.embeddings.numpy()[5] * 5**0.5, rtol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_products_with_the_table(policy):
    layer = TokenEmbedding(7, 5, dtype=policy)
    hidden = layer(IDS)
    logits = tf.function(layer.logits, jit_compile=True)(hidden)
    assert hidden.dtype == layer.compute_dtype
    assert logits.dtype == tf.float32
    expected = tf.cast(hidden, tf.float32) @ tf.transpose(layer.embeddings)
    np.testing.assert_allclose(logits, expected, atol=1e-6 if policy == "float32" else 3e-2)


def test_gradient_of_taken_rows_is_sparse():
    layer = TokenEmbedding(7, 5, dtype="mixed_bfloat16")
    layer.build(None)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(IDS), tf.float32))
    assert isinstance(tape.gradient(loss, layer.embeddings.value), tf.IndexedSlices)


def test_padding_mask_is_false_at_id_zero():
    mask = TokenEmbedding(7, 5).padding_mask(IDS)
    assert mask.numpy().tolist() == [[True, True, False], [True, False, False]]


def test_sinusoidal_waves_have_the_values_of_the_formula():
    waves = SinusoidalPosition()(tf.zeros([1, 3, 5])).numpy()[0]
    for t in range(3):
        expected = [f(t / 10000 ** (2 * i / 5)) for i in range(3) for f in (np.sin, np.cos)][:5]
        np.testing.assert_allclose(waves[t], expected, atol=1e-6)


@pytest.mark.parametrize("make", [SinusoidalPosition, lambda: LearnedPosition(11)])
def test_offset_continues_where_the_sequence_stopped(make):
    layer = make()
    inputs = tf.constant(np.random.default_rng(0).standard_normal((2, 7, 5)), tf.float32)
    whole = layer(inputs)
    for jit_compile in (False, True):
        rest = tf.function(lambda x, offset: layer(x, offset=offset), jit_compile=jit_compile)
        np.testing.assert_allclose(rest(inputs[:, 3:], tf.constant(3)), whole[:, 3:], atol=1e-6)
    np.testing.assert_allclose(layer(inputs[:, 3:], offset=3), whole[:, 3:], atol=1e-6)


def test_far_positions_stay_distinct_in_half_precision():
    waves = SinusoidalPosition(dtype="float16")(tf.zeros([1, 2, 4], tf.float16), offset=4001).numpy()[0]
    np.testing.assert_allclose(waves[:, 0], np.sin([4001, 4002]), atol=1e-3)


def test_saved_and_loaded_layers_give_the_same(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    hidden = TokenEmbedding(7, 5, scale=True, name="embedding")(ids)
    hidden = LearnedPosition(11, name="learned")(SinusoidalPosition(name="waves")(hidden))
    model = keras.Model(ids, Dropout(0.3, name="dropout")(hidden))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(IDS), model(IDS))
    assert sorted(variable.path for variable in loaded.variables) == [
        "dropout/seed/seed_generator_state",
        "embedding/embeddings",
        "learned/embeddings",
    ]


def test_dropout_is_only_active_in_training_and_repeats_with_the_seed():
    layer, inputs = Dropout(0.5), tf.ones([5, 7, 11])
    assert (layer(inputs) == 1).numpy().all()
    state = layer.seed_generator.state.numpy()
    first = layer(inputs, training=True).numpy()
    assert set(np.unique(first)) == {0.0, 2.0}
    assert (layer(inputs, training=True) != first).numpy().any()
    layer.seed_generator.state.assign(state)
    compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    np.testing.assert_array_equal(compiled(inputs), first)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"vocabulary_size=0"):
        TokenEmbedding(0, 5)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\). Received: dropout=1"):
        Dropout(1)
    with pytest.raises(ValueError, match=r"has 11 positions.*\(2, 7, 5\), offset=5"):
        LearnedPosition(11)(tf.zeros([2, 7, 5]), offset=5)
