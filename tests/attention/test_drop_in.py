"""The layers in models as anybody writes them: `compile`, `fit`, `save`, `load_model`."""

import keras
import numpy as np
import pytest

from attnzoo.attention import MultiHeadAttention

EXAMPLES, TIME, TOKENS, UNITS = 1024, 7, 5, 24


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(5)


def marked_tokens():
    """Sequences in which one token is marked, and the next token is the label; padded with 0."""
    generator = np.random.default_rng(3)
    inputs = generator.integers(1, TOKENS + 1, (EXAMPLES, TIME))
    lengths = generator.integers(3, TIME + 1, EXAMPLES)
    marked = generator.integers(0, lengths - 1)
    rows = np.arange(EXAMPLES)
    labels = inputs[rows, marked + 1] - 1
    inputs[rows, marked] += TOKENS
    inputs[np.arange(TIME) >= lengths[:, None]] = 0
    return inputs, labels


def functional():
    inputs = keras.Input([None], dtype="int32")
    valid = keras.ops.not_equal(inputs, 0)
    positions = keras.layers.Embedding(TIME, UNITS)(keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1) - 1)
    hidden = keras.layers.Embedding(2 * TOKENS + 1, UNITS)(inputs) + positions
    normed = keras.layers.LayerNormalization()(hidden)
    hidden += MultiHeadAttention(UNITS, num_heads=3, dropout=0.05)(normed, normed, padding_mask=valid)
    normed = keras.layers.LayerNormalization()(hidden)
    hidden += keras.layers.Dense(UNITS)(keras.layers.Dense(2 * UNITS, activation="relu")(normed))
    pooled = keras.layers.GlobalMaxPooling1D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(TOKENS)(pooled))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tokens = keras.layers.Embedding(2 * TOKENS + 1, UNITS)
        self.positions = keras.layers.Embedding(TIME, UNITS)
        self.norm = keras.layers.LayerNormalization()
        self.attention = MultiHeadAttention(UNITS, num_heads=3)
        self.widen = keras.layers.Dense(2 * UNITS, activation="relu")
        self.pool = keras.layers.GlobalMaxPooling1D()
        self.classify = keras.layers.Dense(TOKENS)

    def call(self, inputs, training=None):
        valid = keras.ops.not_equal(inputs, 0)
        hidden = self.tokens(inputs) + self.positions(keras.ops.arange(inputs.shape[1]))
        hidden += self.attention(self.norm(hidden), padding_mask=valid, training=training)
        return self.classify(self.pool(self.widen(hidden)))


@pytest.mark.parametrize("make_model", [functional, pytest.param(Subclassed, marks=pytest.mark.slow)])
def test_model_fits_saves_and_loads(make_model, tmp_path):
    inputs, labels = marked_tokens()
    model = make_model()
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    history = model.fit(inputs, labels, batch_size=64, epochs=10, verbose=0).history
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    assert history["accuracy"][-1] > 0.85
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    few = inputs[:7]
    np.testing.assert_allclose(loaded.predict(few, verbose=0), model(few), rtol=1e-5, atol=1e-5)
