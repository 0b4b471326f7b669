import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention.dropout import keep_mask, make_rng_key
from attnzoo.attention.kernel import attention, attention_weights, choose_implementation

BATCH, HEADS, KEY_HEADS, QUERY, KEY, DIM, VALUE_DIM = 2, 6, 3, 5, 11, 7, 13
every_implementation = pytest.mark.parametrize("implementation", ["xla", "reference", "auto"])
both_implementations = pytest.mark.parametrize("implementation", ["xla", "reference"])


def normal(*shape, seed=0, dtype=tf.float32):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def tensors(query=QUERY, key=KEY, batch=BATCH, heads=HEADS, key_heads=KEY_HEADS, dtype=tf.float32):
    return [
        normal(batch, heads, query, DIM, seed=1, dtype=dtype),
        normal(batch, key_heads, key, DIM, seed=2, dtype=dtype),
        normal(batch, key_heads, key, VALUE_DIM, seed=3, dtype=dtype),
    ]


def mask(lengths=(4, 0), key=KEY):
    return tf.sequence_mask(lengths, key)


def outputs_and_gradients(sources, **arguments):
    """Returns output, lse and the gradients of a loss that both take part in."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output, lse = attention(*sources, return_lse=True, **arguments)
        loss = tf.reduce_sum(tf.sin(tf.cast(output, tf.float32)))
        loss += tf.reduce_sum(tf.cos(tf.where(tf.math.is_inf(lse), 0.0, lse)))
    return [output, lse, *tape.gradient(loss, sources)]


def assert_all_close(actual, expected, tolerance=3e-5):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), tf.cast(other, tf.float32), rtol=tolerance, atol=tolerance
        )


@every_implementation
def test_golden_numbers(implementation):
    query = tf.constant([[[[1.0], [0.0]]]])
    key = value = tf.constant([[[[0.0], [np.log(3.0)]]]])  # e^0 : e^log 3 = 1 : 3
    output, lse = attention(query, key, value, return_lse=True, implementation=implementation)
    np.testing.assert_allclose(output[0, 0, :, 0], [0.75 * np.log(3), 0.5 * np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(lse[0, 0], [np.log(4), np.log(2)], rtol=1e-6)


def test_golden_numbers_of_every_argument():
    """With products of 0 the weights depend only on the arguments."""
    query, key, value = tf.zeros([1, 1, 2, 1]), tf.zeros([1, 1, 3, 1]), tf.eye(3)[None, None]

    def weights(**arguments):
        return attention(query, key, value, implementation="reference", **arguments)[0, 0].numpy().tolist()

    def near(*rows):
        return [pytest.approx(row, abs=1e-6) for row in rows]

    third = 1 / 3
    log = np.log(np.array([1, 2, 3, 4], np.float32))
    assert weights(padding_mask=[[True, False, True]]) == near([0.5, 0, 0.5], [0.5, 0, 0.5])
    pairs = np.array([[[[True, False, False], [False, True, True]]]])
    assert weights(attention_mask=pairs) == near([1, 0, 0], [0, 0.5, 0.5])
    assert weights(attention_mask=pairs[..., :1]) == near([third, third, third], [0, 0, 0])
    assert weights(segment_ids=([[4, 5]], [[4, 5, 5]])) == near([1, 0, 0], [0, 0.5, 0.5])
    assert weights(causal=True) == near([1, 0, 0], [0.5, 0.5, 0])
    assert weights(causal=True, align="bottom_right") == near([0.5, 0.5, 0], [third, third, third])
    assert weights(causal=True, align=-1) == near([0, 0, 0], [1, 0, 0])
    assert weights(window=0, align=1) == near([0, 1, 0], [0, 0, 1])
    assert weights(window=(1, 0), align=tf.constant(2)) == near([0, 0.5, 0.5], [0, 0, 1])
    assert weights(bias=log[None, None, None, :3]) == near([1 / 6, 1 / 3, 1 / 2], [1 / 6, 1 / 3, 1 / 2])
    # The last query and key 0 come first.
    assert weights(distance_bias=log[None]) == near([2 / 9, 3 / 9, 4 / 9], [1 / 6, 2 / 6, 3 / 6])
    assert weights(alibi_slopes=log[1:2]) == near([4 / 7, 2 / 7, 1 / 7], [1 / 4, 2 / 4, 1 / 4])
    assert weights(sink=log[2:3]) == near([1 / 6, 1 / 6, 1 / 6], [1 / 6, 1 / 6, 1 / 6])
    far = tf.constant([[[[-99.0, 99.0, 0.0]]]])
    total = 1 / 2 + 2 + 1  # e^(c tanh(far / c)) with c = log 2
    assert weights(bias=far, soft_cap=float(log[1])) == near(*[[0.5 / total, 2 / total, 1 / total]] * 2)


@both_implementations
@pytest.mark.parametrize(
    "arguments",
    [{"padding_mask": mask()}, {"causal": True, "window": (1, 2), "align": tf.constant(-QUERY)}],
    ids=["padding", "position"],
)
def test_row_with_nothing_to_attend_to_is_zero_with_finite_gradients(arguments, implementation):
    output, lse, *gradients = outputs_and_gradients(tensors(), implementation=implementation, **arguments)
    assert (output.numpy()[1] == 0).all()
    assert (lse.numpy()[1] == -np.inf).all()
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (gradient.numpy()[1] == 0).all()


@both_implementations
@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_bias_of_minus_infinity_masks_the_pair(soft_cap, implementation):
    allowed = np.random.default_rng(5).random((BATCH, 1, 1, KEY)) < 0.5
    allowed[1] = False
    arguments = {"soft_cap": soft_cap, "implementation": implementation}
    expected = outputs_and_gradients(tensors(), padding_mask=allowed[:, 0, 0], **arguments)
    biased = outputs_and_gradients(tensors(), bias=tf.where(allowed, 0.0, -np.inf), **arguments)
    assert_all_close(biased, expected)
    assert_all_close(outputs_and_gradients(tensors(), attention_mask=allowed, **arguments), expected)


@both_implementations
def test_sink_takes_all_the_weight_without_keys(implementation):
    sink = normal(HEADS)
    output, lse = attention(
        *tensors(), sink=sink, padding_mask=mask((0, 0)), return_lse=True, implementation=implementation
    )
    assert (output.numpy() == 0).all()
    assert_all_close([lse], [tf.broadcast_to(sink[:, None], lse.shape)])


@every_implementation
@pytest.mark.parametrize("jit_compile", [None, True])
def test_dropout_uses_the_same_random_bits_in_both_passes(jit_compile, implementation):
    value = tf.eye(7, batch_shape=[BATCH, KEY_HEADS])
    zeros = tf.zeros([BATCH, KEY_HEADS, 7, DIM])

    def both_passes(seed):
        with tf.GradientTape() as tape:
            tape.watch(value)
            # Uniform weights: output row i is weight row i after dropout, and so is column i of the gradient.
            output = attention(zeros, zeros, value, dropout=0.3, seed=seed, implementation=implementation)
        return output, tape.gradient(output, value, output_gradients=value)

    run = both_passes if jit_compile is None else tf.function(both_passes, jit_compile=jit_compile)
    output, gradient = run(tf.constant(4))
    kept = keep_mask(make_rng_key(4), 0.3, tf.constant([BATCH, KEY_HEADS, 7, 7]))
    expected = tf.where(kept, 1 / 7 / 0.7, 0.0)
    np.testing.assert_allclose(output, expected, rtol=1e-6)
    np.testing.assert_allclose(np.swapaxes(gradient, 2, 3), expected, rtol=1e-6)


def test_same_seed_drops_the_same_weights_and_padding_does_not_move_them():
    query, key, value = tensors()
    once = attention(query, key, value, dropout=0.5, seed=[3, 5])
    again = attention(query[:, :, :3], key, value, dropout=0.5, seed=tf.constant([3, 5]))
    assert_all_close([once[:, :, :3]], [again])
    assert np.abs(once - attention(query, key, value, dropout=0.5, seed=[3, 6])).max() > 0.01


ALL_ARGUMENTS = {
    "padding_mask": mask((KEY, 4)),
    "attention_mask": np.random.default_rng(8).random((BATCH, 1, QUERY, KEY)) < 0.8,
    "segment_ids": (np.arange(QUERY)[None] // 3 * [[1], [1]], np.arange(KEY)[None] // 7 * [[1], [1]]),
    "causal": True,
    "window": (5, 3),
    "align": "bottom_right",
    "bias": normal(1, HEADS, QUERY, 1, seed=4),
    "distance_bias": normal(HEADS, QUERY + KEY - 1, seed=5),
    "alibi_slopes": normal(HEADS, seed=6),
    "scale": 0.3,
    "soft_cap": 5.0,
    "sink": normal(HEADS, seed=7),
}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "sizes", [(2, 3, 11), pytest.param((1, 1, 1), marks=SLOW), pytest.param((5, 11, 10**6), marks=SLOW)]
)
def test_blocks_of_any_size_give_the_same_results(set_block_sizes, sizes):
    arguments = {**ALL_ARGUMENTS, "dropout": 0.3, "seed": 7}
    expected = outputs_and_gradients(tensors(), implementation="reference", **arguments)
    set_block_sizes(**dict(zip(("query", "key", "logits"), sizes, strict=True)))
    assert_all_close(outputs_and_gradients(tensors(), implementation="xla", **arguments), expected)


def test_weights_reproduce_the_output():
    query, key, value = tensors()
    weights = attention_weights(query, key, **ALL_ARGUMENTS)
    assert weights.shape == (BATCH, HEADS, QUERY, KEY)
    output = weights @ tf.repeat(value, HEADS // KEY_HEADS, axis=1)
    assert_all_close([attention(query, key, value, implementation="xla", **ALL_ARGUMENTS)], [output])


def test_weights_of_selected_rows_are_those_rows():
    query, key, _ = tensors()
    weights = attention_weights(query, key, **ALL_ARGUMENTS)
    actual = attention_weights(query, key, rows=[4, 0, 4], **ALL_ARGUMENTS)
    assert_all_close([actual], [tf.gather(weights, [4, 0, 4], axis=2)], 1e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("wrap", [lambda function: function, pytest.param(tf.function, marks=SLOW)])
def test_second_derivatives_equal_those_of_the_reference(wrap):
    def second_order(implementation):
        sources, arguments = tensors(), dict(ALL_ARGUMENTS)
        learned = {name: arguments.pop(name) for name in ("bias", "distance_bias", "alibi_slopes", "sink")}
        with tf.GradientTape() as outer:
            outer.watch([sources, learned])
            with tf.GradientTape() as inner:
                inner.watch([sources, learned])
                output, lse = attention(
                    *sources,
                    return_lse=True,
                    dropout=0.3,
                    seed=7,
                    implementation=implementation,
                    **learned,
                    **arguments,
                )
                loss = tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(tf.cos(lse))
            gradients = tf.nest.flatten(inner.gradient(loss, [sources, learned]))
            loss = sum(tf.reduce_sum(tf.sin(gradient)) for gradient in gradients)
        return tf.nest.flatten(outer.gradient(loss, [sources, learned]))

    expected = second_order("reference")
    assert_all_close(wrap(second_order)("xla"), expected, 1e-4)


UNKNOWN_LENGTHS = [
    tf.TensorSpec([None, HEADS, None, DIM]),
    tf.TensorSpec([None, KEY_HEADS, None, DIM]),
    tf.TensorSpec([None, KEY_HEADS, None, VALUE_DIM]),
]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("jit_compile", [pytest.param(False, marks=SLOW), True])
def test_inside_another_function_with_unknown_lengths(jit_compile):
    arguments = {"causal": True, "align": "bottom_right", "window": 3, "dropout": 0.3, "seed": 3}

    @tf.function(input_signature=UNKNOWN_LENGTHS, jit_compile=jit_compile)
    def outer(*sources):
        return outputs_and_gradients(list(sources), implementation="xla", **arguments)

    for sources in (tensors(), tensors(query=3, key=13, batch=1)):
        expected = outputs_and_gradients(sources, implementation="reference", **arguments)
        assert_all_close(outer(*sources), expected)


@pytest.mark.usefixtures("small_blocks")
def test_saved_model_keeps_results_and_gradients(tmp_path):
    def function(query, key, value, implementation="xla"):
        return attention(query, key, value, causal=True, implementation=implementation)

    module = tf.Module()
    module.function = tf.function(function, input_signature=UNKNOWN_LENGTHS)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path), options=options)
    loaded = tf.saved_model.load(str(tmp_path))

    def results(function, **options):
        sources = tensors()
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = function(*sources, **options)
        return [output, *tape.gradient(output, sources)]

    assert_all_close(results(loaded.function), results(function, implementation="reference"))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_replica_gets_the_results_of_its_own_examples(jit_compile):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    sources = tensors()

    @tf.function(jit_compile=jit_compile)
    def run_replica(*parts):
        return outputs_and_gradients(list(parts), causal=True, implementation="xla")

    @tf.function
    def run_all(parts):
        return strategy.run(run_replica, args=parts)

    def part(tensor):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tensor[context.replica_id_in_sync_group :][:1]
        )

    actual = run_all(tuple(part(tensor) for tensor in sources))
    joined = [tf.concat(strategy.experimental_local_results(result), axis=0) for result in actual]
    assert_all_close(joined, outputs_and_gradients(sources, causal=True, implementation="reference"))


@pytest.mark.parametrize(("batch", "queries", "keys"), [(0, 300, 307), (2, 0, 307), (2, 300, 0)])
def test_call_without_examples_queries_or_keys_gives_zeros(batch, queries, keys):
    query, key = tf.zeros([batch, 2, queries, 7]), tf.zeros([batch, 1, keys, 7])
    output = attention(query, key, key, implementation="xla")
    assert output.shape == query.shape
    assert (output.numpy() == 0).all()


def test_auto_selects_the_kernel_for_long_and_unknown_lengths():
    assert choose_implementation(tf.zeros([1, 1, 5, 7]), tf.zeros([1, 1, 7, 7]))[0] == "reference"
    implementation, reason = choose_implementation(tf.zeros([1, 4, 1031, 7]), tf.zeros([1, 4, 4099, 7]))
    assert implementation == "xla"
    assert "4099" in reason
    assert choose_implementation(tf.zeros([1, 1, 5, 7]), keras.Input([1, None, 7]))[0] == "xla"
    assert choose_implementation(tf.zeros([1, 1, 1, 7]), tf.zeros([1, 1, 4099, 7]))[0] == "reference"


@every_implementation
def test_surrounding_function_is_compiled_once_for_all_values(implementation):
    """A value that XLA must know when it compiles is no parameter, and each other one compiles again."""

    @tf.function(jit_compile=True)
    def both_passes(query, key, value, mask, seed):
        arguments = {"padding_mask": mask, "causal": True, "dropout": 0.3, "seed": seed}
        return outputs_and_gradients([query, key, value], implementation=implementation, **arguments)

    program = both_passes.experimental_get_compiler_ir(*tensors(), mask(), tf.constant(3))(stage="hlo")
    parameters = re.search(r"entry_computation_layout={\((.*?)\)->", program)[1]
    assert re.findall(r"\w+\[[\d,]*\]", parameters) == [
        f"f32[{BATCH},{HEADS},{QUERY},{DIM}]",
        f"f32[{BATCH},{KEY_HEADS},{KEY},{DIM}]",
        f"f32[{BATCH},{KEY_HEADS},{KEY},{VALUE_DIM}]",
        f"pred[{BATCH},{KEY}]",
        "s32[]",
    ]


def elements_of_program(length, implementation):
    """Returns the sum and the greatest of all array sizes in the optimized program; few are alive at once."""

    @tf.function(jit_compile=True)
    def both_passes(query, key, value):
        return outputs_and_gradients([query, key, value], implementation=implementation)

    specification = tf.TensorSpec([1, 1, length, 8])
    program = both_passes.experimental_get_compiler_ir(*[specification] * 3)(stage="optimized_hlo")
    shapes = re.findall(r"\b(?:f|bf|s|u|pred)\d*\[([\d,]+)\]", program)
    counts = [int(np.prod([int(size) for size in shape.split(",")])) for shape in shapes]
    return sum(counts), max(counts)


def test_memory_grows_linearly_with_the_length(set_block_sizes):
    set_block_sizes(query=256, key=512, logits=256 * 512)
    (total, _), (longer_total, longer_greatest) = (
        elements_of_program(length, "xla") for length in (4096, 8192)
    )
    assert longer_total <= 2.05 * total
    assert longer_greatest < 8192**2 / 64
    # The measure finds the logits in memory.
    total, greatest = elements_of_program(2048, "reference")
    assert greatest == 2048**2
