"""Attention by cuDNN, as far as it goes without a GPU: what is chosen, refused and lowered, and the numbers
of everything around the calls. A plain computation of what cuDNN computes replaces these here.
"""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.attention import cudnn_call
from attnzoo.attention.arguments import AttentionArguments
from attnzoo.attention.devices import assumed_gpu
from attnzoo.attention.kernel import attention, choose_implementation, compute_attention
from attnzoo.attention.multi_head import MultiHeadAttention

BATCH, HEADS, KEY_HEADS, TIME, DIM = 3, 4, 2, 23, 16
HALF = tf.bfloat16.as_numpy_dtype


def spec(heads=HEADS, time=TIME, dim=DIM, dtype=tf.bfloat16):
    return tf.TensorSpec([BATCH, heads, time, dim], dtype)


def lower(function, *specs):
    """Returns the program of a function, as TensorFlow hands it to XLA for a GPU."""
    with assumed_gpu():
        compiled = tf.function(function, jit_compile=True, autograph=False)
        return compiled.experimental_get_compiler_ir(*specs)(stage="hlo", platform_name="GPU")


def chosen(query=None, key=None, capability=(9, 0), jit_compile=True, **arguments):
    """Returns the choice of "auto" on a GPU, and why."""
    choices = []

    def trace(query, key):
        choices.append(choose_implementation(query, key, **arguments))
        return query

    with assumed_gpu(capability):
        function = tf.function(trace, jit_compile=jit_compile, autograph=False)
        function.get_concrete_function(query or spec(), key or spec(KEY_HEADS))
    return choices[0]


def test_auto_takes_cudnn_on_a_gpu_for_what_it_can_compute():
    for arguments in (
        {},
        {"causal": True},
        {"causal": True, "window": 5},
        {"window": (5, 0)},
        {"window": TIME - 1},
        {"key_lengths": [3, 0, TIME]},
        {"causal": True, "key_lengths": [3, 0, TIME]},
        {"padding_mask": np.eye(BATCH, TIME) > 0},
    ):
        assert chosen(**arguments)[0] == "cudnn", arguments
    assert chosen(spec(dtype=tf.float16), spec(KEY_HEADS, dtype=tf.float16))[0] == "cudnn"
    assert chosen(key=spec(time=31))[0] == "cudnn"
    assert chosen(spec(dim=256), spec(dim=256))[0] == "cudnn"
    assert chosen(spec(time=1031), spec(time=1031))[0] == "cudnn"


@pytest.mark.parametrize(
    ("reason", "case"),
    [
        (
            "float32, not bfloat16 or float16",
            {"query": spec(dtype=tf.float32), "key": spec(dtype=tf.float32)},
        ),
        ("head dim 12", {"query": spec(dim=12), "key": spec(dim=12)}),
        (
            "head dim 136, not a multiple of 8 up to 128",
            {"query": spec(dim=136), "key": spec(dim=136), "capability": (8, 6)},
        ),
        ("compute capability 7.5, below 8.0", {"capability": (7, 5)}),
        ("outside of a function that XLA compiles", {"jit_compile": False}),
        ("sizes that are not static", {"query": tf.TensorSpec([BATCH, HEADS, None, DIM], tf.bfloat16)}),
        (r"window \(5, 5\) with keys after the query", {"window": 5}),
        (r"window \(22, 21\) with keys after", {"window": (TIME - 1, TIME - 2)}),
        (r"window \(22, 22\) with keys after", {"window": TIME - 1, "align": 1}),
        ("nothing to compute", {"query": spec(time=0)}),
        ("value dim 24, not the head dim 16", {"value": np.zeros([BATCH, KEY_HEADS, TIME, 24], HALF)}),
        ("return_lse", {"return_lse": True}),
        ("causal with 23 queries and 31 keys", {"key": spec(time=31), "causal": True}),
        ("causal with 23 queries and 23 keys that do not begin", {"causal": True, "align": 2}),
        ("padding mask that need not be a prefix", {"causal": True, "padding_mask": np.ones([BATCH, TIME])}),
        ("one query", {"query": spec(time=1)}),
        ("dropout", {"dropout": 0.1, "seed": 1}),
        ("soft_cap", {"soft_cap": 5.0}),
        ("sink", {"sink": np.zeros(HEADS)}),
        ("alibi_slopes", {"alibi_slopes": np.zeros(HEADS)}),
        ("segment_ids", {"segment_ids": np.zeros([BATCH, TIME])}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cudnn_cannot_compute_takes_another_implementation(reason, case):
    implementation, why = chosen(**case)
    assert implementation == "reference"
    assert re.search(f"; not cuDNN: .*{reason}", why)


def test_other_calls_hold_few_logits_in_memory_where_xla_compiles_for_a_gpu():
    few, many = (spec(time=time, dtype=tf.float32) for time in (307, 4099))
    assert re.search("1130988 logits on a GPU", chosen(few, few)[1])
    assert chosen(few, few)[0] == "reference"
    assert chosen(many, many)[0] == "xla"
    assert chosen(few, few, jit_compile=False)[0] == "xla"


def test_an_argument_that_attention_does_not_have_is_an_error_on_every_device():
    query = tf.zeros([1, 1, 3, 8])
    with pytest.raises(TypeError, match="casual"):
        choose_implementation(query, query, casual=True)


def test_a_call_that_cudnn_cannot_compute_is_refused_with_the_reason():
    query = tf.zeros([1, 1, 3, 8], tf.bfloat16)
    with pytest.raises(ValueError, match=r'use "auto".*Received: outside of a function that XLA compiles'):
        attention(query, query, query, implementation="cudnn")
    on_cpu = tf.function(
        lambda query: attention(query, query, query, implementation="cudnn"), jit_compile=True
    )
    with pytest.raises(ValueError, match="Received: on a CPU, not a GPU"):
        on_cpu(query)
    with assumed_gpu(), pytest.raises(ValueError, match="Received: return_lse"):
        tf.function(
            lambda query: attention(query, query, query, return_lse=True, implementation="cudnn")[0],
            jit_compile=True,
        )(query)


def test_the_calls_say_what_they_compute():
    def train(query, key, value, lengths):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            output = attention(
                query, key, value, causal=True, window=5, scale=np.float32(0.5), key_lengths=lengths
            )
        return tape.gradient(output, [query, key, value])

    program = lower(train, spec(), spec(KEY_HEADS), spec(KEY_HEADS), tf.TensorSpec([BATCH], tf.int32))
    calls = [line for line in program.splitlines() if "__cudnn" in line]
    targets = [re.search(r'custom_call_target="([^"]+)"', line)[1] for line in calls]
    assert targets == [cudnn_call.FORWARD, cudnn_call.BACKWARD]
    for line in calls:
        config = json.loads(line.partition("backend_config=")[2])["cudnn_fmha_backend_config"]
        assert config["mask_type"] == "PADDING_CAUSAL"
        assert (config["fmha_scale"], config["sliding_window_length"]) == (0.5, 6)
        assert config["intermediate_tensor_shape"]["element_type"] == "BF16"
        assert config["intermediate_tensor_shape"]["dimensions"] == ["3", "4", "23", "23"]


@pytest.mark.parametrize(
    ("argument", "shape"),
    [("padding_mask", shape) for shape in ([None, None], [None, TIME], [BATCH, None])]
    + [("key_lengths", [None])],
)
def test_masks_and_lengths_of_unknown_shape_get_that_of_the_keys(argument, shape):
    def train(query, mask):
        with tf.GradientTape() as tape:
            tape.watch(query)
            output = attention(query, query, query, implementation="cudnn", **{argument: mask})
        return tape.gradient(output, query)

    mask = tf.TensorSpec(shape, tf.int32 if argument == "key_lengths" else tf.bool)
    with assumed_gpu():
        function = tf.function(train, jit_compile=True, autograph=False)
        graph = function.get_concrete_function(spec(), mask).graph
    calls = [one for one in graph.get_operations() if one.type == "XlaCustomCallV2"]
    assert len(calls) == 2
    for call in calls:
        assert all(tensor.shape.is_fully_defined() for tensor in (*call.inputs, *call.outputs))
        assert b"None" not in call.get_attr("backend_config")


def test_the_lse_of_auto_has_its_gradient_and_that_of_cudnn_has_none(monkeypatch):
    replace_calls(monkeypatch)
    rng = np.random.default_rng(2)
    query, key, upstream = (
        tf.constant(rng.standard_normal([BATCH, 2, TIME, DIM]), tf.float16) for _ in "qku"
    )

    def gradient(call):
        @tf.function(jit_compile=True, autograph=False)
        def run(query):
            with tf.GradientTape() as tape:
                tape.watch(query)
                lse = call(query)
            return tape.gradient(lse, query, tf.cast(upstream[..., 0], lse.dtype))

        with assumed_gpu():
            return run(query)

    own = gradient(lambda query: attention(query, key, key, return_lse=True)[1])
    expected = gradient(
        lambda query: attention(query, key, key, return_lse=True, implementation="reference")[1]
    )
    assert np.abs(expected).max() > 0.1
    np.testing.assert_array_equal(own, expected)
    assert (
        gradient(lambda query: compute_attention(query, key, key, AttentionArguments(), "cudnn")[1]) is None
    )


def replace_calls(monkeypatch):
    """Computes what cuDNN would with plain operations; what it does not promise to write is NaN."""

    def plain(call, query, key, value):
        dtype, keys = tf.float32, call.key.shape[2]
        shared = call.query.shape[1] // call.key.shape[1]
        key, value = (tf.repeat(tf.cast(tensor, dtype), shared, axis=1) for tensor in (key, value))
        logits = tf.einsum("bhqd,bhkd->bhqk", tf.cast(query, dtype), key) * call.scale
        distance = tf.range(keys)[None, :] - tf.range(call.query.shape[2])[:, None]
        allowed = distance <= 0 if call.causal else tf.ones_like(distance) > 0
        allowed &= distance > -call.window if call.window else True
        lengths = tf.fill([BATCH], keys) if call.lengths is None else call.lengths
        allowed = allowed & tf.sequence_mask(lengths, keys)[:, None, None]
        is_length = (lengths >= 0) & (lengths <= keys)
        logits += tf.where(is_length, 0.0, float("nan"))[:, None, None, None]
        logits = tf.where(allowed, logits, -float("inf"))
        return tf.einsum("bhqk,bhkd->bhqd", tf.nn.softmax(logits), value), logits, allowed

    def forward(call):
        output, logits, _ = plain(call, *call[:3])
        return tf.cast(output, call.query.dtype), tf.reduce_logsumexp(logits, axis=-1)

    def backward(call, output, lse, grad_output):
        query, key, value = (tf.cast(tensor, tf.float32) for tensor in call[:3])
        output, grad_output = tf.cast(output, tf.float32), tf.cast(grad_output, tf.float32)
        _, logits, _ = plain(call, *call[:3])
        weights = tf.exp(logits - lse[..., None])
        shared = call.query.shape[1] // call.key.shape[1]
        grouped = [BATCH, KEY_HEADS, shared, *call.key.shape[2:]]
        repeated = [tf.repeat(tensor, shared, axis=1) for tensor in (key, value)]
        difference = tf.einsum("bhqd,bhkd->bhqk", grad_output, repeated[1])
        grad_logits = (
            weights * (difference - tf.reduce_sum(output * grad_output, -1, keepdims=True)) * call.scale
        )
        gradients = [tf.einsum("bhqk,bhkd->bhqd", grad_logits, repeated[0])]
        for rows, weighted in ((query, grad_logits), (grad_output, weights)):
            gradient = tf.reshape(tf.einsum("bhqk,bhqd->bhkd", weighted, rows), grouped)
            gradient = tf.reduce_sum(gradient, axis=2)
            if call.lengths is not None:
                valid = tf.sequence_mask(call.lengths, call.key.shape[2])[:, None, :, None]
                gradient = tf.where(valid, gradient, float("nan"))
            gradients.append(gradient)
        return [tf.cast(gradient, call.query.dtype) for gradient in gradients]

    monkeypatch.setattr(cudnn_call.CudnnCall, "forward", forward)
    monkeypatch.setattr(cudnn_call.CudnnCall, "backward", backward)


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding_mask": np.array([[True, False] * 11 + [True], [False] * 23, [False] * 6 + [True] * 17])},
        {"causal": True, "window": 5, "key_lengths": [3, -2, 99]},
    ],
    ids=["padding", "window"],
)
def test_masks_order_of_keys_and_empty_rows_around_the_calls(monkeypatch, arguments):
    replace_calls(monkeypatch)
    rng = np.random.default_rng(1)
    shapes = [[BATCH, heads, TIME, DIM] for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    sources = [tf.constant(rng.standard_normal(shape), tf.float16) for shape in shapes]

    def train(implementation, *sources):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output = attention(*sources, implementation=implementation, **arguments)
            loss = tf.reduce_sum(tf.sin(tf.cast(output, tf.float32)))
        return output, *tape.gradient(loss, sources)

    expected = train("reference", *sources)
    with assumed_gpu():
        outputs = tf.function(train, jit_compile=True, autograph=False)("cudnn", *sources)
    for one, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(one.numpy().astype(float), other.numpy().astype(float), atol=5e-3)
    assert not outputs[0][1].numpy().any()


def test_only_a_function_that_xla_compiles_for_a_gpu_holds_the_calls_and_half_products():
    layer = MultiHeadAttention(32, num_heads=2, dtype="mixed_bfloat16")
    inputs = tf.TensorSpec([BATCH, 5, 32])
    layer.build([None, None, 32])

    def operations(jit_compile):
        with assumed_gpu():
            function = tf.function(layer, jit_compile=jit_compile, autograph=False)
            graph = function.get_concrete_function(inputs).graph
        return {operation.type for operation in graph.get_operations()}

    assert "XlaCustomCallV2" in operations(jit_compile=True)
    exported = operations(jit_compile=None)
    assert not exported & {"XlaCustomCallV2", "BatchMatMulV3"}

    def reference(query):
        return attention(query, query, query, implementation="reference")

    assert re.search(r"f32\[3,4,23,23\]\S* dot\(bf16", lower(reference, spec()))
