"""Every implementation against float64, with all that a call can be asked for together."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from attnzoo.attention.dropout import keep_mask, make_rng_key
from attnzoo.attention.kernel import attention
from tests.attention import float64
from tests.thinned import thinned

pytestmark = pytest.mark.usefixtures("small_blocks")

FLOOR = 1e-5
# Explained by rounding the results to the dtype, plus a little of the sums.
REFERENCE_LIMIT = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 3e-5, "float64": 1e-11}
LENGTHS = (1, 2, 5, 13, 17, 29)
DIMS = (1, 3, 7, 8)


class Structure(NamedTuple):
    """What a compiled program depends on."""

    dtype: str = "float32"
    batch: int = 2
    heads: int = 3
    key_heads: int = 3
    query: int = 13
    key: int = 17
    dim: int = 7
    value_dim: int = 3
    scale: float | None = None
    soft_cap: float | None = None
    causal: bool = False
    window: tuple[int, int] | None = None
    bias_axes: tuple[bool, ...] | None = None  # of batch, heads, query and key: which the bias has
    distance_bias: bool = False
    alibi: bool = False
    sink: bool = False
    padding: bool = False
    segments: str | None = None
    dropout: float = 0.0


def random_structure(seed):
    generator = np.random.default_rng(seed)

    def pick(*choices):
        return choices[generator.integers(len(choices))]

    heads = pick(1, 2, 3, 4, 6)
    query, key = pick(*LENGTHS), pick(*LENGTHS)
    segments = pick(None, None, "pair", "one")
    return Structure(
        dtype=pick("float32", "float32", "bfloat16", "float16"),
        batch=pick(1, 2, 3),
        heads=heads,
        key_heads=pick(*[divisor for divisor in range(1, heads + 1) if heads % divisor == 0]),
        query=query,
        key=query if segments == "one" else key,
        dim=pick(*DIMS),
        value_dim=pick(*DIMS),
        scale=pick(None, None, 0.3),
        soft_cap=pick(None, None, 1.5, 20.0),
        causal=pick(False, True),
        window=pick(None, None, (0, 0), (3, 0), (2, 5), (0, 11), (40, 1)),
        bias_axes=pick(None, tuple(pick(False, True) for _ in range(4))),
        distance_bias=pick(False, False, True),
        alibi=pick(False, False, True),
        sink=pick(False, False, True),
        padding=pick(False, True),
        segments=segments,
        dropout=pick(0.0, 0.0, 0.3),
    )


STRUCTURES = list(dict.fromkeys(random_structure(seed) for seed in range(220)))


class Case(NamedTuple):
    """Tensors for a structure, as NumPy float64 arrays that the type holds exactly."""

    sources: dict
    arguments: dict
    seed: int
    output_gradient: np.ndarray
    lse_gradient: np.ndarray


def draw(structure, seed):
    """Draws tensors, masks, positions and seeds: all that may change between calls of one program."""
    generator = np.random.default_rng(seed)
    batch, heads, queries, keys = structure.batch, structure.heads, structure.query, structure.key
    key_heads, dim, value_dim = structure.key_heads, structure.dim, structure.value_dim
    strength = generator.choice([0.3, 1.0, 3.0])

    def normal(*shape, factor=1.0):
        drawn = tf.constant(factor * generator.standard_normal(shape), structure.dtype)
        return tf.cast(drawn, tf.float64).numpy()

    sources = {
        "query": normal(batch, heads, queries, dim, factor=strength),
        "key": normal(batch, key_heads, keys, dim, factor=strength),
        "value": normal(batch, key_heads, keys, value_dim),
    }
    if structure.bias_axes is not None:
        sizes = zip((batch, heads, queries, keys), structure.bias_axes, strict=True)
        sources["bias"] = normal(*[size if own else 1 for size, own in sizes])
    if structure.distance_bias:
        sources["distance_bias"] = normal(heads, queries + keys - 1)
    if structure.alibi:
        sources["alibi_slopes"] = np.abs(normal(heads, factor=0.3))
    if structure.sink:
        sources["sink"] = normal(heads)
    arguments = {
        name: getattr(structure, name) for name in ("scale", "soft_cap", "causal", "window", "dropout")
    }
    arguments["align"] = generator.choice(
        [0, keys - queries, int(generator.integers(-queries, keys + 1))]
    ).item()
    if structure.padding:
        by_length = np.arange(keys) < generator.integers(0, keys + 1, (batch, 1))
        arguments["padding_mask"] = generator.choice([by_length, generator.random((batch, keys)) < 0.5])
    if structure.segments is not None:
        pair = [np.sort(generator.integers(0, 3, (batch, length))) for length in (queries, keys)]
        arguments["segment_ids"] = pair[0] if structure.segments == "one" else tuple(pair)
    gradients = normal(batch, heads, queries, value_dim), normal(batch, heads, queries)
    return Case(sources, arguments, int(generator.integers(2**31)), *gradients)


def expected_results(case):
    """Returns output, lse and every gradient by name, in float64."""
    arguments = {**case.sources, **case.arguments}
    if case.arguments["dropout"] > 0:
        shape = (*case.lse_gradient.shape, case.sources["key"].shape[2])
        rng_key = make_rng_key(case.seed)
        arguments["keep"] = keep_mask(rng_key, case.arguments["dropout"], tf.constant(shape)).numpy()
    result = float64.attend(**arguments)
    gradients = float64.gradients(
        **arguments, output_gradient=case.output_gradient, lse_gradient=case.lse_gradient
    )
    return {"output": result.output, "lse": result.lse, **gradients}


def actual_results(case, dtype, implementation):
    sources = {name: tf.constant(array, dtype) for name, array in case.sources.items()}
    with tf.GradientTape() as tape:
        tape.watch(sources)
        output, lse = attention(
            **sources, **case.arguments, seed=case.seed, return_lse=True, implementation=implementation
        )
    upstream = [tf.constant(case.output_gradient, output.dtype), tf.constant(case.lse_gradient, lse.dtype)]
    gradients = tape.gradient([output, lse], sources, output_gradients=upstream)
    assert output.dtype == dtype
    assert lse.dtype == (tf.float64 if dtype == "float64" else tf.float32)
    assert {name: gradient.dtype.name for name, gradient in gradients.items()} == dict.fromkeys(
        sources, dtype
    )
    actual = {"output": output, "lse": lse, **gradients}
    return {name: tf.cast(tensor, tf.float64).numpy() for name, tensor in actual.items()}


def errors(actual, expected):
    """Returns the greatest error of each result, relative to its greatest number if that is above 1."""
    greatest = {}
    for name, array in expected.items():
        assert actual[name].shape == array.shape, name
        finite = np.isfinite(array)
        np.testing.assert_array_equal(actual[name][~finite], array[~finite], err_msg=name)
        difference = np.abs(actual[name][finite] - array[finite])
        greatest[name] = difference.max(initial=0) / max(1, np.abs(array[finite]).max(initial=0))
    return greatest


def check(structure, seed):
    """Holds the kernel to twice the error of plain TensorFlow in the same type, and that to its type."""
    case = draw(structure, seed)
    expected = expected_results(case)
    reference_errors = errors(actual_results(case, structure.dtype, "reference"), expected)
    kernel_errors = errors(actual_results(case, structure.dtype, "xla"), expected)
    floor = min(FLOOR, REFERENCE_LIMIT[structure.dtype])
    for name in expected:
        assert reference_errors[name] <= REFERENCE_LIMIT[structure.dtype], (name, reference_errors)
        assert kernel_errors[name] <= 2 * reference_errors[name] + floor, (
            name,
            kernel_errors,
            reference_errors,
        )


# Together they have every feature with every other kind of length: one, one block, several, one too many.
CHOSEN = {
    "plain": Structure(),
    "one query, one key": Structure(query=1, key=1, sink=True),
    "one query of a decoder": Structure(query=1, key=29, heads=6, key_heads=2, causal=True, padding=True),
    "whole blocks": Structure(query=10, key=14, causal=True, bias_axes=(True, True, True, True)),
    "more queries than keys": Structure(query=29, key=5, causal=True, window=(3, 0), alibi=True, dropout=0.3),
    "packed": Structure(query=17, key=17, segments="one", window=(2, 2), distance_bias=True),
    "capped": Structure(soft_cap=1.5, bias_axes=(False, True, False, True), alibi=True, sink=True),
    "all in float64": Structure(
        "float64", 3, 6, 2, 13, 29, 7, 3, 0.3, 5.0, True, (11, 4), (True, False, True, True),
        True, True, True, True, "pair", 0.2,
    ),
    "all in bfloat16": Structure(
        "bfloat16", 2, 4, 1, 17, 13, 3, 8, 0.3, 5.0, False, (5, 9), (False, True, True, False),
        True, True, True, True, "pair", 0.3,
    ),
    "all in float16": Structure(
        "float16", 1, 4, 2, 5, 29, 8, 1, None, 20.0, True, None, (False, False, False, True),
        True, True, True, True, "pair", 0.3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("structure", thinned(CHOSEN.values(), 2, [*CHOSEN]))
def test_kernel_is_as_exact_as_plain_tensorflow(structure):
    for seed in range(3):
        check(structure, seed)


@pytest.mark.parametrize("name", ["all in bfloat16", "all in float16"])
def test_products_of_half_precision_as_on_a_gpu_only_lose_a_few_roundings(set_block_sizes, name):
    set_block_sizes(query=5, key=7, logits=200, half_products=True)
    structure = CHOSEN[name]
    case = draw(structure, 0)
    actual = errors(actual_results(case, structure.dtype, "xla"), expected_results(case))
    assert max(actual.values()) <= 2 * REFERENCE_LIMIT[structure.dtype], actual


DRAWN = given(structure=st.sampled_from(STRUCTURES), seed=st.integers(0, 2**32 - 1))
SETTINGS = {
    "derandomize": True,
    "deadline": None,
    # Every smaller case would be compiled first; structure and seed identify the failure anyway.
    "phases": [Phase.generate],
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


@pytest.mark.slow
@settings(max_examples=5, **SETTINGS)
@DRAWN
def test_kernel_is_as_exact_as_plain_tensorflow_on_a_sample(structure, seed):
    check(structure, seed)


@pytest.mark.own_process
@pytest.mark.slow
def test_kernel_is_as_exact_as_plain_tensorflow_on_500_cases():
    seen = set()

    @settings(max_examples=500, **SETTINGS)
    @DRAWN
    def check_all(structure, seed):
        seen.add(structure)
        check(structure, seed)

    check_all()
    assert len(seen) >= 150


def test_gradients_in_float64_are_central_differences():
    case = draw(CHOSEN["all in float64"]._replace(batch=2, heads=4, query=3, key=5, dim=2, value_dim=3), 0)
    arguments = {**case.arguments, "align": 1}
    shape = (*case.lse_gradient.shape, 5)
    arguments["keep"] = np.random.default_rng(1).random(shape) < 1 - arguments["dropout"]
    # A row that sees nothing: its lse must not count.
    del case.sources["sink"]
    arguments["segment_ids"] = (np.array([[0, 7, 1], [0, 0, 1]]), arguments["segment_ids"][1])

    def loss(sources):
        result = float64.attend(**sources, **arguments)
        finite = np.isfinite(result.lse)
        return (result.output * case.output_gradient).sum() + (result.lse * case.lse_gradient)[finite].sum()

    for sources in (case.sources, {**case.sources, "sink": np.array([0.3, -0.7, 1.1, 0.5])}):
        upstream = case.output_gradient, case.lse_gradient
        gradients = float64.gradients(
            **sources, **arguments, output_gradient=upstream[0], lse_gradient=upstream[1]
        )
        assert list(gradients) == [name for name in float64.SOURCES if name in sources]
        for name, gradient in gradients.items():
            assert gradient.shape == sources[name].shape
            for index in np.ndindex(gradient.shape):
                step = np.zeros_like(gradient)
                step[index] = 1e-5
                above, below = ({**sources, name: sources[name] + sign * step} for sign in (1, -1))
                difference = (loss(above) - loss(below)) / 2e-5
                np.testing.assert_allclose(gradient[index], difference, rtol=1e-6, atol=1e-8, err_msg=name)
