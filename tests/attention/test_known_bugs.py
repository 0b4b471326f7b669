"""What other implementations of attention got wrong. Each docstring says whose bug it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention import MultiHeadAttention, kernel
from attnzoo.attention.kernel import attention, attention_weights
from tests import arrays


def close(actual, expected, tolerance=3e-5):
    arrays.close(actual, expected, tolerance)


both_implementations = pytest.mark.parametrize("implementation", ["xla", "reference"])


def normal(*shape, seed=0, dtype=tf.float32):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def tensors(query=13, key=17, heads=2, key_heads=2):
    return [
        normal(2, heads, query, 3, seed=1),
        normal(2, key_heads, key, 3, seed=2),
        normal(2, key_heads, key, 5, seed=3),
    ]


def with_gradients(sources, **arguments):
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output = attention(*sources, **arguments)
    upstream = tf.cast(tf.reshape(tf.range(tf.size(output)) % 7, output.shape), output.dtype)
    return [output, *tape.gradient(output, sources, output_gradients=upstream)]


def weights(query, key, **arguments):
    """Returns the attention weights, derived from the output: [batch, heads, query, key]."""
    value = tf.eye(key.shape[2], batch_shape=key.shape[:2], dtype=key.dtype)
    return attention(query, key, value, **arguments)


@pytest.mark.usefixtures("small_blocks")
def test_lengths_that_no_block_divides_are_attended_to_in_full():
    """lucidrains/flash-attention-jax: a slice that starts too late is moved back, and counts keys twice."""
    for actual, expected in zip(
        with_gradients(tensors(), implementation="xla"),
        with_gradients(tensors(), implementation="reference"),
        strict=True,
    ):
        close(actual, expected)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_the_gradient_belong_to_their_own_example_and_head():
    """lucidrains/flash-attention-jax: slices of the backward pass started at the block's number."""
    changed = [tf.concat([tensor[:1], tensor[1:] * 1.7], axis=0) for tensor in tensors()]
    # Only the second example also has a different upstream gradient, so only the first must not change.
    for actual, expected in zip(
        with_gradients(changed, implementation="xla"),
        with_gradients(tensors(), implementation="xla"),
        strict=True,
    ):
        np.testing.assert_array_equal(actual[0], expected[0])
        assert np.abs(actual[1] - expected[1]).max() > 0.01


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_tape_outside_the_compiled_loop_gives_gradients(jit_compile):
    """tensorflow#108080: a tape over a compiled loop aborts the process."""
    function = with_gradients if jit_compile is None else tf.function(with_gradients, jit_compile=jit_compile)
    actual = function(tensors(), implementation="xla")
    for one, other in zip(actual, with_gradients(tensors(), implementation="reference"), strict=True):
        close(one, other)


@both_implementations
def test_common_offset_of_the_logits_only_shifts_the_lse(implementation):
    """The first FlashAttention: an epsilon in the sum counts where the logits are far below 0."""
    options = {"return_lse": True, "implementation": implementation}
    output, lse = attention(*tensors(), bias=tf.zeros([1] * 4), **options)
    moved_output, moved_lse = attention(*tensors(), bias=tf.fill([1] * 4, -512.0), **options)
    close(moved_output, output, 1e-3)
    close(moved_lse, lse - 512, 1e-3)


@both_implementations
def test_mask_applies_together_with_a_bias_with_one_column(implementation):
    """AminRezaei0x443/memory-efficient-attention: the mask was cut only if the bias had one column."""
    mask, bias = tf.sequence_mask([4, 9], 17), normal(2, 1, 13, 1)
    actual = attention(*tensors(), padding_mask=mask, bias=bias, implementation=implementation)
    close(actual, attention(*tensors(), padding_mask=mask, implementation="reference"))


@both_implementations
def test_sums_over_many_keys_and_queries_are_not_rounded_to_half_precision(implementation):
    """MaxText: accumulators of the type of the inputs; in bfloat16 a sum of ones ends at 256."""
    ones = tf.ones([1, 1, 2003, 1], tf.bfloat16)
    few = tf.ones([1, 1, 2, 1], tf.bfloat16)
    assert (attention(few, ones, ones, implementation=implementation).numpy() == 1).all()
    with tf.GradientTape() as tape:
        tape.watch(few)
        output = attention(ones, few, few, implementation=implementation)
    gradient = tape.gradient(output, few)
    assert gradient.numpy().ravel().tolist() == [1000, 1000]  # 2003 / 2, rounded once


@both_implementations
def test_logits_of_half_precision_are_not_rounded_before_the_softmax(implementation):
    """Keras: the product of bfloat16 query and key is rounded, then made float32."""
    query = tf.constant([[[[16.0, 0.5]]]], tf.bfloat16)
    key = tf.constant([[[[16.0, 0.0], [16.0, 2.0]]]], tf.bfloat16)  # logits 256 and 257; bfloat16 has no 257
    actual = weights(query, key, scale=1.0, implementation=implementation)
    close(actual[0, 0, 0], [0.2689, 0.7311], 3e-3)


@both_implementations
def test_logits_above_the_largest_half_number_do_not_overflow(implementation):
    """keras#17571, tensorflow#59657: float16 ends at 65504."""
    query = tf.fill([1, 1, 1, 64], tf.constant(60, tf.float16))
    key = tf.concat([query, query - 0.03125], axis=2)  # logits 230400 and 230280
    with tf.GradientTape() as tape:
        tape.watch([query, key])
        actual = weights(query, key, scale=1 / 120, implementation=implementation)[0, 0, 0]
        first = actual[0]
    close(actual, [0.7311, 0.2689], 3e-3)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(first, [query, key]))


@both_implementations
def test_query_with_no_key_gets_zeros_and_not_the_mean(implementation):
    """Keras: masked logits are -2.4e38, so that a row of them has even weights."""
    actual = weights(*tensors()[:2], padding_mask=tf.zeros([2, 17], tf.bool), implementation=implementation)
    assert (actual.numpy() == 0).all()


@both_implementations
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32])
def test_smallest_number_as_bias_plus_masks_does_not_give_nan(dtype, implementation):
    """NVIDIA Automodel#2658: two masks of the least number make -inf, and a row of it NaN."""
    sources = [tf.cast(tensor, dtype) for tensor in tensors()]
    masks = {"padding_mask": tf.sequence_mask([4, 0], 17), "causal": True, "window": (20, 0)}
    bias = tf.where(masks["padding_mask"], tf.zeros([], dtype), dtype.min)[:, None, None]
    actual = with_gradients(sources, bias=bias, implementation=implementation, **masks)
    for one, other in zip(actual, with_gradients(sources, implementation="reference", **masks), strict=True):
        close(one, other, 2e-3)
        assert (one.numpy()[1] == 0).all()


@both_implementations
def test_soft_cap_is_applied(implementation):
    """Keras on TensorFlow: `attn_logits_soft_cap` is accepted and ignored."""
    query, key = tf.constant([[[[1.0]]]]), tf.constant([[[[1000.0], [-1000.0]]]])
    actual = weights(query, key, soft_cap=1.0, implementation=implementation)
    close(actual[0, 0, 0], [0.8808, 0.1192], 1e-4)  # e : 1 / e


@both_implementations
def test_grouped_heads_share_the_key_that_a_repeat_would_give_them(implementation):
    """keras#23081: grouped queries crashed on TensorFlow."""
    query, key, value = tensors(heads=6)
    expected = attention(query, tf.repeat(key, 3, 1), tf.repeat(value, 3, 1), implementation="reference")
    close(attention(query, key, value, implementation=implementation), expected)


@pytest.mark.parametrize("with_attention_weights", [False, True])
def test_causal_layer_stays_causal_with_dropout_and_returned_weights(with_attention_weights):
    """keras#23038: with dropout, or when weights were returned, the causal mask was dropped."""
    layer, inputs = MultiHeadAttention(6, 3, dropout=0.3, name="attention"), normal(2, 7, 6)
    layer.build(inputs.shape)
    state = layer.seed_generator.state.numpy()
    outputs = []
    for changed in (inputs, tf.concat([inputs[:, :4], -inputs[:, 4:]], axis=1)):
        layer.seed_generator.state.assign(state)
        outputs.append(
            layer(
                changed, use_causal_mask=True, training=True, return_attention_scores=with_attention_weights
            )
        )
    if with_attention_weights:
        outputs, weights = zip(*outputs, strict=True)
        assert (np.triu(weights[0], 1) == 0).all()
    close(outputs[0][:, :4], outputs[1][:, :4])
    assert np.abs(outputs[0] - outputs[1])[:, 4:].max() > 0.01


@both_implementations
def test_window_is_used(implementation):
    """keras-hub#2186: the flash path of Gemma 2 never used the sliding window."""
    query, key, value = tensors()
    far = tf.concat([1000 * key[:, :, :6], key[:, :, 6:]], axis=2)
    actual = attention(query, far, value, window=(3, 2), implementation=implementation)
    expected = attention(query, key, value, window=(3, 2), implementation="reference")
    close(actual[:, :, 9:], expected[:, :, 9:])
    assert np.abs(actual - expected)[:, :, :9].max() > 0.01
    distance = np.arange(17) - np.arange(13)[:, None]
    weights = attention_weights(query, key, window=(3, 2)).numpy()
    np.testing.assert_array_equal(
        weights > 0, np.broadcast_to((distance >= -3) & (distance <= 2), weights.shape)
    )


@both_implementations
def test_causal_mask_starts_at_the_given_position(implementation):
    """PyTorch, JAX and Keras start at the first key, FlashAttention from 2.1 on ends at the last."""
    query, key = tensors()[:2]
    for align, start in (("top_left", 0), ("bottom_right", 4)):
        actual = weights(query, key, causal=True, align=align, implementation=implementation)
        np.testing.assert_array_equal(actual[1, 1] > 0, np.tri(13, 17, start, bool))


def test_layer_with_dropout_runs_the_kernel_in_training_and_inference(monkeypatch):
    """bayesflow#754: Keras leaves the fused path if dropout is above 0, in inference too."""
    rates, compute = [], kernel.compute_attention

    def recorded(query, key, value, arguments):
        rates.append(arguments.dropout)
        return compute(query, key, value, arguments, "reference")

    monkeypatch.setattr(kernel, "compute_attention", recorded)
    layer = MultiHeadAttention(6, 3, dropout=0.3)
    for training in (True, False, None):
        layer(normal(2, 7, 6), training=training)
    assert rates == [0.3, 0, 0]


def test_layer_drops_the_same_weights_with_and_without_compilation():
    """tensorflow#117644: stateless random numbers are others under XLA."""
    layer, inputs = MultiHeadAttention(6, 3, dropout=0.3), normal(2, 7, 6)
    layer.build(inputs.shape)
    state = layer.seed_generator.state.numpy()
    outputs = []
    for jit_compile in (False, True):
        layer.seed_generator.state.assign(state)
        outputs.append(tf.function(lambda x: layer(x, training=True), jit_compile=jit_compile)(inputs))
    close(*outputs)


@both_implementations
def test_dropout_of_float16_compiles_with_a_seed_that_is_a_tensor(implementation):
    """tensorflow#59678: float16; tensorflow#108502: a tensor as seed; cuDNN: the seed is in the program."""
    sources = [tf.cast(tensor, tf.float16) for tensor in tensors()]
    traces = []

    @tf.function(jit_compile=True)
    def dropped(seed):
        traces.append(seed)
        return attention(*sources, dropout=0.5, seed=seed, implementation=implementation)

    first, second, again = (dropped(tf.constant(seed)) for seed in (3, 4, 3))
    assert len(traces) == 1
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.1
    close(first, attention(*sources, dropout=0.5, seed=3, implementation="reference"), 2e-3)


@both_implementations
@pytest.mark.parametrize("as_bias", [False, True])
def test_weights_beside_masked_keys_are_not_uniform_when_compiled(as_bias, implementation):
    """tensorflow#55682, transformers#16838: after adding -1e9 XLA gave even weights on CPUs only."""
    mask = tf.sequence_mask([4, 9], 17)
    arguments = {"bias": tf.where(mask, 0.0, -1e9)[:, None, None]} if as_bias else {"padding_mask": mask}
    query, key = tensors()[:2]
    compiled = tf.function(weights, jit_compile=True)
    actual = compiled(query, key, implementation=implementation, **arguments).numpy()
    close(actual[0, ..., :4], tf.nn.softmax(query[0] @ tf.transpose(key[0, :, :4], [0, 2, 1]) / 3**0.5))
    assert (actual[0, ..., 4:] == 0).all()
    assert np.ptp(actual[0, ..., :4], axis=-1).min() > 1e-3


def test_layer_under_mixed_precision_returns_weights_in_float32():
    """Keras: logits are computed in the dtype of the inputs."""
    layer = MultiHeadAttention(6, 3, dtype=keras.DTypePolicy("mixed_bfloat16"))
    _, weights = layer(normal(2, 7, 6), return_attention_scores=True)
    assert weights.dtype == tf.float32
    close(tf.reduce_sum(weights, -1), np.ones(weights.shape[:-1]), 1e-6)
