"""The recurrent encoder-decoder: steps equal the call, in any beam, and it learns."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.beam_search import beam_search
from attnzoo.layers.recurrent_encoder_decoder import RecurrentEncoderDecoder
from attnzoo.special_tokens import PADDING, START
from tests import mechanisms
from tests.thinned import thinned

SOURCE = tf.constant([[5, 6, 7, 3, 0], [8, 3, 0, 0, 0], [9, 10, 4, 5, 3]])
TARGET = tf.constant([[2, 4, 5, 6], [2, 7, 8, 0], [2, 11, 12, 4]])


def built(attention="additive", seed=3, **options):
    keras.utils.set_random_seed(seed)
    model = RecurrentEncoderDecoder(
        11, 13, units=8, num_encoder_layers=1, num_decoder_layers=2, attention={"name": attention}, **options
    )
    model({"source": SOURCE, "target": TARGET})
    return model


@pytest.mark.parametrize(
    ("cell", "input_feeding"), thinned(itertools.product(["gru", "lstm"], [True, False]), 3)
)
@pytest.mark.parametrize("attention", thinned(mechanisms.CROSS, 2))
@pytest.mark.filterwarnings("error:.*build.*was called:UserWarning")
def test_steps_equal_the_call(attention, cell, input_feeding):
    model = built(attention, cell=cell, input_feeding=input_feeding)
    expected = model({"source": SOURCE, "target": TARGET})
    encoded, mask = model.encode(SOURCE)
    caches = model.start(encoded, 1, 4)
    hidden, alignment = model.decode_all({"source": SOURCE, "target": TARGET}, False, with_alignment=True)
    np.testing.assert_allclose(model.logits(hidden), expected, atol=1e-5)
    for position in range(4):
        logits, caches, weights = model.step(TARGET[:, position, None], caches, position, None, mask)
        np.testing.assert_allclose(logits[:, 0], expected[:, position], atol=1e-5)
        np.testing.assert_allclose(weights[:, 0], alignment[:, position], atol=1e-5)
        np.testing.assert_allclose(tf.reduce_sum(weights, -1), 1.0, atol=1e-5)


def test_the_compiled_call_is_the_same():
    model = built()
    inputs = {"source": SOURCE, "target": TARGET}
    np.testing.assert_allclose(tf.function(model, jit_compile=True)(inputs), model(inputs), atol=1e-5)


def test_padding_of_the_source_changes_nothing():
    model = built()
    longer = tf.pad(SOURCE, [[0, 0], [0, 3]])
    expected = model({"source": SOURCE, "target": TARGET})
    np.testing.assert_allclose(model({"source": longer, "target": TARGET}), expected, atol=1e-5)


def test_a_search_follows_its_hypotheses_through_the_beams():
    model = built(cell="lstm")
    actual = beam_search([model], SOURCE, 9, beams=4)
    tokens = actual.tokens[:, 0]
    target = tf.concat([tf.fill([3, 1], START), tokens[:, :-1]], axis=1)
    steps = tf.nn.log_softmax(model({"source": SOURCE, "target": target}))
    steps = tf.gather(steps, tokens[..., None], batch_dims=2)[..., 0]
    total = tf.reduce_sum(tf.where(tokens == PADDING, 0.0, steps), axis=1)
    np.testing.assert_allclose(actual.log_probabilities[:, 0], total, rtol=1e-4)


@pytest.mark.slow
def test_it_learns_to_copy():
    model = built(seed=1, tie_output=False)
    generator = np.random.default_rng(0)
    source = generator.integers(4, 11, (64, 3)).astype(np.int32)
    inputs = {"source": source, "target": np.concatenate([np.full((64, 1), START), source[:, :-1]], 1)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=True)
    history = model.fit(inputs, source, batch_size=64, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_weight_paths_are_unique():
    paths = [weight.path for weight in built("multi_head", tie_output=False, cell="lstm").weights]
    assert len(set(paths)) == len(paths)
    assert any("encoder_0/forward" in path for path in paths)


def test_odd_units_are_refused():
    with pytest.raises(ValueError, match="units=7"):
        RecurrentEncoderDecoder(
            5, 5, units=7, num_encoder_layers=1, num_decoder_layers=1, attention={"name": "additive"}
        )


@pytest.mark.parametrize("gate", mechanisms.GATES)
def test_an_attention_without_cross_attention_is_refused(gate):
    with pytest.raises(ValueError, match=rf"cross-attention; \w+ does not.*'name': '{gate}'"):
        built(gate)


@pytest.mark.parametrize("jit_compile", thinned([True, False], 2))
def test_heads_that_share_keys_have_gradients_in_the_loop_over_the_target(jit_compile):
    keras.utils.set_random_seed(3)
    attention = {"name": "multi_head", "num_heads": 4, "num_key_value_heads": 2}
    model = RecurrentEncoderDecoder(
        11, 13, units=8, num_encoder_layers=1, num_decoder_layers=1, attention=attention
    )
    inputs = {"source": SOURCE, "target": TARGET}
    model(inputs)

    @tf.function(jit_compile=jit_compile)
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(inputs)))
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients())
