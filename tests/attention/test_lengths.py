"""Lengths that were not seen before, and batches and sequences of nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention import blockwise, dropout, kernel, loops
from attnzoo.attention.compilation import plain_operations, round_up
from attnzoo.attention.kernel import attention, choose_implementation
from tests.arrays import close
from tests.attention.test_kernel import ALL_ARGUMENTS, assert_all_close, outputs_and_gradients, tensors
from tests.attention.test_layers import LAYERS, UNITS, build, every_layer
from tests.thinned import thinned

DROPPED = {**ALL_ARGUMENTS, "dropout": 0.3, "seed": 7}


def any_size(tensor):
    """Unknown batch and lengths."""
    return tf.TensorSpec([None if axis in (0, 2) else size for axis, size in enumerate(tensor.shape)])


def for_any_size(function, sources):
    return tf.function(function, input_signature=[any_size(tensor) for tensor in sources], autograph=False)


@pytest.fixture
def kernel_gives_nan(monkeypatch):
    """Shows in the result whether it is the kernel's."""

    def forward(inputs, sizes):
        shape = tf.shape(inputs.query)[:3]
        value_dim = inputs.value.shape[3]
        return tf.fill([*tf.unstack(shape), value_dim], np.nan), tf.fill(shape, np.nan)

    monkeypatch.setattr(loops, "forward", forward)


@pytest.mark.usefixtures("kernel_gives_nan")
def test_a_function_that_is_traced_for_one_length_compiles_the_kernel(monkeypatch):
    short = tensors(query=300, key=307)
    traced = tf.function(lambda *sources: attention(*sources), autograph=False)
    assert np.isnan(traced(*short)).all()
    for_any_batch = tf.function(
        lambda *sources: attention(*sources),
        input_signature=[tf.TensorSpec([None, *tensor.shape[1:]]) for tensor in short],
        autograph=False,
    )
    assert np.isnan(for_any_batch(*short)).all()


@pytest.mark.parametrize("wrap", [lambda function, sources: function, for_any_size])
@pytest.mark.usefixtures("kernel_gives_nan")
def test_what_a_window_hides_is_not_worth_computing(wrap, monkeypatch):
    sources = tensors(query=300, key=310)
    few = sources[0].shape[0] * sources[0].shape[1] * 300 * 310
    for module in (blockwise, kernel):
        monkeypatch.setattr(module, "MAX_PLAIN_LOGITS", few * 9)
    wide, narrow = (
        wrap(lambda *parts, window=window: attention(*parts, window=window), sources)
        for window in ((40, 0), (20, 9))
    )
    assert np.isfinite(wide(*sources)).all()
    assert np.isnan(narrow(*sources)).all()


@pytest.mark.parametrize("wrap", [lambda function, sources: function, for_any_size])
@pytest.mark.usefixtures("kernel_gives_nan")
def test_a_call_with_few_logits_is_not_compiled_outside_of_a_compiled_function(wrap, monkeypatch):
    short, long = tensors(query=300, key=307), tensors(query=300, key=311)  # over 65,536 pairs, over 256 keys
    few = short[0].shape[0] * short[0].shape[1] * 300 * 307
    for module in (blockwise, kernel):
        monkeypatch.setattr(module, "MAX_PLAIN_LOGITS", few)
    attend = wrap(lambda *sources: attention(*sources), short)
    assert_all_close([attend(*short)], [attention(*short, implementation="reference")])
    assert np.isnan(attend(*long)).all()
    compiled = tf.function(lambda *sources: attention(*sources), jit_compile=True, autograph=False)
    assert np.isnan(compiled(*short)).all()


def test_what_is_chosen_depends_on_the_function_around_it():
    query, key = tf.zeros([2, 4, 300, 7]), tf.zeros([2, 4, 307, 7])
    implementation, reason = choose_implementation(query, key)
    assert implementation == "reference"
    assert "736800 logits outside of a function for these lengths, at most 16777216" in reason
    with plain_operations():
        assert choose_implementation(tf.zeros([9, 9, 999, 7]), keras.Input([9, None, 7]))[0] == "reference"


def test_few_logits_in_a_function_for_any_size_have_the_gradients_of_the_kernel():
    sources = tensors()
    traced = for_any_size(lambda *parts: outputs_and_gradients(list(parts), **DROPPED), sources)
    assert_all_close(traced(*sources), outputs_and_gradients(sources, implementation="xla", **DROPPED))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nothing_to_attend_with_is_no_block_also_in_a_function_for_any_size(jit_compile):
    def both_passes(*sources):
        return outputs_and_gradients(list(sources), causal=True, align="bottom_right", implementation="xla")

    signature = [any_size(tensor) for tensor in tensors()]
    traced = tf.function(both_passes, input_signature=signature, jit_compile=jit_compile, autograph=False)
    for sizes in ({"batch": 0}, {"query": 0}, {"key": 0}):
        sources = tensors(**sizes)
        results = traced(*sources)
        assert [result.shape for result in results[2:]] == [source.shape for source in sources]
        assert_all_close(results, both_passes(*sources))


def test_the_kernel_is_compiled_for_few_sizes():
    before = loops.forward.experimental_get_tracing_count()
    for number in range(3):  # padded to 18, 128 and 144
        sources = tensors(batch=17 + number % 2, query=121 + 3 * number, key=137 + 2 * number)
        arguments = {"causal": True, "window": (7, 5), "implementation": "xla"}
        expected = attention(*sources, **{**arguments, "implementation": "reference"})
        assert_all_close([attention(*sources, **arguments)], [expected])
    assert loops.forward.experimental_get_tracing_count() == before + 1


def test_lengths_are_padded_by_at_most_an_eighth():
    lengths = range(1, 5000)
    padded = [round_up(length) for length in lengths]
    assert all(length <= longer <= length * 9 / 8 for length, longer in zip(lengths, padded, strict=True))
    assert len(set(padded)) < 90
    assert [int(round_up(tf.constant(length))) for length in (1, 17, 300, 4099)] == [1, 18, 320, 4608]


def test_dropout_is_only_compiled_where_a_function_is_traced_for_one_shape():
    def compiled_functions(*shape):
        run = tf.function(lambda inputs: dropout.drop(inputs, 0.3, 7), autograph=False)
        graph = run.get_concrete_function(tf.TensorSpec(shape)).graph.as_graph_def()
        return [one for one in graph.library.function if one.attr["_XlaMustCompile"].b]

    assert compiled_functions(3, 5)
    assert not compiled_functions(None, 5)
    before = dropout._drop.experimental_get_tracing_count()
    dropout.drop(tf.ones([53, 59]), 0.3, 7)
    assert dropout._drop.experimental_get_tracing_count() == before


def sequence(batch, length):
    return np.random.default_rng(0).standard_normal((batch, length, UNITS)).astype("float32")


SIZES = [(2, 5), (1, 1), (0, 3), (2, 0), (3, 13)]


@pytest.mark.parametrize("name", thinned(LAYERS, 4))
def test_an_exported_layer_takes_any_number_of_examples_and_positions(name, tmp_path):
    inputs = keras.Input((None, UNITS))
    model = keras.Model(inputs, build(name)(inputs))
    model.export(tmp_path, verbose=False)
    exported = tf.saved_model.load(tmp_path)
    for batch, length in SIZES:
        example = sequence(batch, length)
        close(exported.serve(example), model(example))


@every_layer
def test_a_layer_takes_any_number_of_examples_and_positions(name):
    layer = build(name)
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, UNITS])], autograph=False)
    for batch, length in SIZES:
        example = sequence(batch, length)
        outputs = layer(example)
        assert outputs.shape == example.shape
        close(traced(example), outputs)


@pytest.mark.parametrize("name", thinned(LAYERS, 7))
def test_a_layer_is_converted_to_litert(name, tmp_path):
    inputs = keras.Input((None, UNITS))
    model = keras.Model(inputs, build(name)(inputs))
    with plain_operations():
        model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    run = tf.lite.Interpreter(str(tmp_path / "model.tflite")).get_signature_runner()
    (name_of_input,) = run.get_input_details()
    for batch, length in ((2, 5), (1, 13)):
        example = sequence(batch, length)
        (outputs,) = run(**{name_of_input: example}).values()
        close(outputs, model(example), 1e-4)
