import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.fusion import fused
from attnzoo.layers.transformer import EncoderBlock


def plain(first, second, third, *, mask, power):
    outputs = tf.where(mask, first**power, 0.0) * second
    return outputs if third is None else (outputs, outputs * third)


def outcome(function, third, mode):
    def run(first, second, third):
        sources = [source for source in (first, second, third) if source is not None]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = tf.nest.flatten(function(first, second, third, mask=first > 0.5, power=3))
            loss = tf.add_n([tf.reduce_sum(output * output) for output in outputs])
        return outputs, tape.gradient(loss, sources)

    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "xla", autograph=False)
    chance = np.random.default_rng(1)
    first, second = (tf.constant(chance.uniform(size=[4, 3]), tf.float32) for _ in range(2))
    return tf.nest.flatten(run(first, second, tf.constant([1.0, 2.0, 3.0]) if third else None))


@pytest.mark.parametrize("third", [False, True])
@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_a_fused_function_has_the_values_and_gradients_of_the_plain_one(mode, third):
    actual, expected = outcome(fused(plain), third, mode), outcome(plain, third, mode)
    assert len(actual) == len(expected) == (5 if third else 3)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_source_without_influence_has_a_gradient_of_zeros():
    @tf.function(autograph=False)
    def gradient(first):
        with tf.GradientTape() as tape:
            tape.watch(first)
            outputs = fused(lambda first, second: second + 0.0 * tf.stop_gradient(first))(first, tf.ones([2]))
        return tape.gradient(outputs, first)

    np.testing.assert_array_equal(gradient(tf.constant([1.0, 2.0])), [0.0, 0.0])


def test_keyword_tensors_have_no_gradient():
    scale = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scale)
        outputs = fused(lambda first, *, scale: first * scale)(tf.constant([1.0, 2.0]), scale=scale)
    assert tape.gradient(outputs, scale) is None


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_blocks_are_compiled_in_training_on_one_shape_and_plain_otherwise(norm):
    block = EncoderBlock(units=8, feed_forward_units=8, dropout=0.1, norm=norm)
    block.build((None, None, 8))

    def compiled_functions(training, *shape):
        run = tf.function(lambda inputs: block(inputs, training=training), autograph=False)
        graph = run.get_concrete_function(tf.TensorSpec(shape)).graph.as_graph_def()
        return [one for one in graph.library.function if one.attr["_XlaMustCompile"].b]

    assert compiled_functions(True, 2, 16, 8)
    assert not compiled_functions(True, None, 16, 8)
    assert not compiled_functions(False, 2, 16, 8)
