import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.dropout import check_rate, drop, next_seed


def test_fraction_of_dropped_elements_is_the_rate_and_the_mean_is_preserved():
    dropped = drop(tf.ones([101, 1009]), 0.3, 7).numpy()
    assert abs((dropped == 0).mean() - 0.3) < 0.005
    assert abs(dropped.mean() - 1) < 0.01


def test_neighbors_are_independent():
    kept = (drop(tf.ones([503, 509]), 0.5, 11).numpy() > 0).astype(float) - 0.5
    for shifted in (np.roll(kept, 1, 0), np.roll(kept, 1, 1)):
        assert abs((kept * shifted).mean()) < 0.003


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_and_eager_drop_the_same(jit_compile):
    inputs = tf.ones([3, 5, 7], tf.float16)
    compiled = tf.function(lambda x: drop(x, 0.4, 13), jit_compile=jit_compile)
    np.testing.assert_array_equal(compiled(inputs), drop(inputs, 0.4, 13))


def test_gradient_drops_the_same_elements():
    inputs = tf.ones([5, 7])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = drop(inputs, 0.4, 17)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_generator_gives_another_seed_each_time():
    generator = keras.random.SeedGenerator(3)
    assert next_seed(generator, 3).numpy().tolist() != next_seed(generator, 3).numpy().tolist()


def test_rate_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"must be in \[0, 1\). Received: dropout=-0.1"):
        check_rate(-0.1)
