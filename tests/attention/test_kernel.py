import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.attention import kernel, reference
from attnzoo.attention.kernel import attention

BATCH, HEADS, QUERY, KEY, DIM, VALUE_DIM = 2, 3, 5, 11, 7, 13


def tensors(query=QUERY, key=KEY, batch=BATCH, heads=HEADS, dtype=tf.float32, seed=0):
    generator = np.random.default_rng(seed)
    shapes = [(batch, heads, query, DIM), (batch, heads, key, DIM), (batch, heads, key, VALUE_DIM)]
    return [tf.constant(generator.standard_normal(shape), dtype) for shape in shapes]


def mask(lengths=(4, 0), key=KEY):
    return tf.sequence_mask(lengths, key)


def outputs_and_gradients(sources, bias=None, **options):
    sources = [*sources, bias] if bias is not None else sources
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output, lse = attention(*sources[:3], bias=bias, return_lse=True, **options)
        # Both outputs matter, each with a gradient that differs between elements.
        loss = tf.reduce_sum(tf.sin(tf.cast(output, tf.float32)))
        loss += tf.reduce_sum(tf.cos(tf.where(tf.math.is_inf(lse), 0.0, lse)))
    return [output, lse, *tape.gradient(loss, sources)]


def assert_all_close(found, expected, tolerance=3e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), tf.cast(other, tf.float32), rtol=tolerance, atol=tolerance
        )


CASES = {
    "plain": {},
    "padding": {"padding_mask": mask()},
    "causal": {"causal": True, "scale": 0.3},
    "causal and padding": {"causal": True, "padding_mask": mask()},
    "dropout": {"dropout": 0.3, "seed": 4, "padding_mask": mask()},
    "bias": {"bias": np.random.default_rng(1).standard_normal((1, HEADS, 1, KEY))},
    "full bias": {"bias": np.random.default_rng(2).standard_normal((BATCH, 1, QUERY, KEY)), "causal": True},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_kernel_and_its_gradients_equal_the_reference(options):
    options = dict(options)
    if "bias" in options:
        options["bias"] = tf.constant(options["bias"], tf.float32)
    expected = outputs_and_gradients(tensors(), implementation="reference", **options)
    assert_all_close(outputs_and_gradients(tensors(), implementation="xla", **options), expected)


@pytest.mark.parametrize(("query", "key"), [(19, 19), (17, 5), (11, 17)])
def test_blocks_change_nothing(monkeypatch, query, key):
    monkeypatch.setattr(kernel, "_blocks", lambda *_: [kernel._Block(0, query, None)])
    bias = tf.constant(np.random.default_rng(3).standard_normal((1, HEADS, query, 1)), tf.float32)
    options = {"causal": True, "dropout": 0.2, "seed": 5, "padding_mask": mask((3, 5), key), "bias": bias}
    expected = outputs_and_gradients(tensors(query, key), implementation="reference", **options)
    starts = range(0, query, 7)
    blocks = [kernel._Block(i, min(i + 7, query), min(i + 7, query, key)) for i in starts]
    monkeypatch.setattr(kernel, "_blocks", lambda *_: blocks)
    # New functions: the module's own remember programs traced with other blocks.
    for name in ("_forward", "_backward"):
        compiled = tf.function(getattr(kernel, name).python_function, jit_compile=True)
        monkeypatch.setattr(kernel, name, compiled)
    assert_all_close(outputs_and_gradients(tensors(query, key), implementation="xla", **options), expected)


@settings(max_examples=30, deadline=None)
@given(query=st.integers(1, 5000), key=st.integers(1, 5000), causal=st.booleans())
def test_blocks_cover_every_query_once_and_every_key_it_may_see(query, key, causal):
    blocks = kernel._blocks(query, key, causal)
    assert len(blocks) <= 16
    position = 0
    for block in blocks:
        stop = query if block.stop is None else block.stop
        assert block.start == position < stop
        seen = key if block.key_stop is None else block.key_stop
        assert seen >= (min(stop, key) if causal else key)
        position = stop
    assert position == query


def test_long_sequences_are_split_and_unknown_lengths_are_not():
    assert len(kernel._blocks(512, 512, True)) == 1
    assert [block.key_stop for block in kernel._blocks(700, 700, True)] == [256, 512, 700]
    assert len(kernel._blocks(None, 4096, False)) == 1


def test_long_causal_attention_equals_the_reference():
    query, key, value = tensors(601, 601, batch=1, heads=2)
    expected = attention(query, key, value, causal=True, implementation="reference")
    assert_all_close([attention(query, key, value, causal=True)], [expected])


def test_golden_numbers():
    query = tf.constant([[[[1.0], [0.0]]]])
    key = value = tf.constant([[[[0.0], [np.log(3.0)]]]])  # e^0 : e^log 3 = 1 : 3
    output, lse = attention(query, key, value, return_lse=True)
    np.testing.assert_allclose(output[0, 0, :, 0], [0.75 * np.log(3), 0.5 * np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(lse[0, 0], [np.log(4), np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(
        reference.attention_scores(query, key)[0, 0], [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6
    )


@pytest.mark.parametrize("implementation", ["xla", "reference"])
def test_row_with_nothing_to_attend_to_is_zero_with_finite_gradients(implementation):
    options = {"padding_mask": mask(), "implementation": implementation}
    output, lse, *gradients = outputs_and_gradients(tensors(), **options)
    assert (output.numpy()[1] == 0).all()
    assert (lse.numpy()[1] == -np.inf).all()
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (gradient.numpy()[1] == 0).all()


def test_gradient_of_the_gradient_equals_the_reference():
    def second_order(implementation):
        sources = tensors()
        with tf.GradientTape() as outer:
            outer.watch(sources)
            gradients = outputs_and_gradients(
                sources, implementation=implementation, padding_mask=mask(), dropout=0.3, seed=7
            )[2:]
            loss = sum(tf.reduce_sum(tf.sin(gradient)) for gradient in gradients)
        return outer.gradient(loss, sources)

    assert_all_close(second_order("xla"), second_order("reference"))
    assert_all_close(tf.function(second_order)("xla"), second_order("reference"))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_inside_another_function_with_unknown_lengths(jit_compile):
    specification = [
        tf.TensorSpec([None, HEADS, None, DIM]),
        tf.TensorSpec([None, HEADS, None, DIM]),
        tf.TensorSpec([None, HEADS, None, VALUE_DIM]),
    ]

    @tf.function(input_signature=specification, jit_compile=jit_compile)
    def outer(*sources):
        return outputs_and_gradients(list(sources), causal=True, dropout=0.3, seed=3)

    for sources in (tensors(), tensors(query=3, batch=1)):
        expected = outputs_and_gradients(
            sources, causal=True, dropout=0.3, seed=3, implementation="reference"
        )
        assert_all_close(outer(*sources), expected)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_is_close_to_float32(dtype):
    found = outputs_and_gradients(tensors(dtype=dtype), padding_mask=mask())
    rounded = [tf.cast(tensor, tf.float32) for tensor in tensors(dtype=dtype)]
    assert found[0].dtype == found[2].dtype == dtype
    assert_all_close(found, outputs_and_gradients(rounded, padding_mask=mask()), 3e-2)


def test_saved_model_keeps_results_and_gradients(tmp_path):
    module = tf.Module()
    module.function = tf.function(
        lambda query, key, value: attention(query, key, value, causal=True),
        input_signature=[tf.TensorSpec([None, HEADS, None, size]) for size in (DIM, DIM, VALUE_DIM)],
    )
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path), options=options)
    loaded = tf.saved_model.load(str(tmp_path))
    results = []
    for function in (loaded.function, module.function):
        query, key, value = tensors()
        with tf.GradientTape() as tape:
            tape.watch(query)
            output = function(query, key, value)
        results.append([output, tape.gradient(output, query)])
    assert_all_close(*results)


def test_same_seed_drops_the_same_weights_and_padding_does_not_move_them():
    query, key, value = tensors()
    once = attention(query, key, value, dropout=0.5, seed=[3, 5])
    again = attention(query[:, :, :3], key, value, dropout=0.5, seed=tf.constant([3, 5]))
    np.testing.assert_allclose(once[:, :, :3], again, rtol=1e-5, atol=1e-6)
    assert np.abs(once - attention(query, key, value, dropout=0.5, seed=[3, 6])).max() > 0.01


def test_arguments_that_do_not_fit_are_refused():
    query, key, value = tensors()
    with pytest.raises(ValueError, match=r"`query` must have 4 axes.*\(3, 5, 7\)"):
        attention(query[0], key, value)
    with pytest.raises(ValueError, match=r"batch, heads and length.*\(2, 3, 11, 7\).*\(2, 3, 3, 13\)"):
        attention(query, key, value[:, :, :3])
    with pytest.raises(ValueError, match=r"heads and dim.*\(2, 2, 5, 7\).*\(2, 3, 11, 7\)"):
        attention(query[:, :2], key, value)
    with pytest.raises(ValueError, match=r"one column a key.*\(2, 5\).*\(2, 3, 11, 7\)"):
        attention(query, key, value, padding_mask=mask((1, 2), 5))
    with pytest.raises(ValueError, match=r"below 1.*dropout=1\.5"):
        attention(query, key, value, dropout=1.5, seed=1)
    with pytest.raises(ValueError, match=r"needs a seed.*dropout=0\.5"):
        attention(query, key, value, dropout=0.5)
    with pytest.raises(ValueError, match=r"implementation='flash'"):
        attention(query, key, value, implementation="flash")  # type: ignore[arg-type]
