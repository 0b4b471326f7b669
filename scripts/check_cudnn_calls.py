"""Compares the cuDNN calls of attnzoo with those that JAX makes for the same attention. Needs no GPU.

    python scripts/check_cudnn_calls.py --jax-python JAX/bin/python

JAX lives in a Python of its own: `pip install jax==0.10.2`. Every kind of mask, window, grouped heads and
dtype is lowered for a GPU by both, forward and backward; target, shapes and layouts of operands and results,
and the parsed backend config must be equal. Prints one line a case; the exit code is 1 if one differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
from typing import Any

SIZES = {"batch": 3, "heads": 8, "queries": 192, "keys": 192, "dim": 64}
MASKS: list[dict[str, Any]] = [
    {"mask": "NO_MASK"},
    {"mask": "NO_MASK", "keys": 320},
    {"mask": "PADDING"},
    {"mask": "PADDING", "keys": 320},
    {"mask": "CAUSAL"},
    {"mask": "CAUSAL", "window": 29},
    {"mask": "PADDING_CAUSAL"},
    {"mask": "PADDING_CAUSAL", "window": 29},
    {"mask": "NO_MASK", "dim": 128},
    {"mask": "CAUSAL", "dim": 256},
]


def cases() -> list[dict[str, Any]]:
    """Returns sizes, mask, dtype and number of key heads of each case."""
    combined = itertools.product(MASKS, ("bfloat16", "float16"), (8, 2, 1))
    return [
        {**SIZES, "window": 0, **mask, "dtype": dtype, "key_heads": heads} for mask, dtype, heads in combined
    ]


def calls_of_attnzoo(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the calls of attnzoo, forward and backward."""
    import tensorflow as tf

    from attnzoo.attention import attention
    from attnzoo.attention.devices import assumed_gpu

    causal, padded = "CAUSAL" in case["mask"], "PADDING" in case["mask"]
    window = case["window"] - 1 if case["window"] else None

    def train(query, key, value, lengths):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            output = attention(
                query,
                key,
                value,
                causal=causal,
                window=window,
                key_lengths=lengths if padded else None,
                implementation="cudnn",
            )
            loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
        return loss, *tape.gradient(loss, [query, key, value])

    specs = [tf.TensorSpec(shape, case["dtype"]) for shape in shapes(case)]
    specs.append(tf.TensorSpec([case["batch"]], tf.int32))
    with assumed_gpu():
        lower = tf.function(train, jit_compile=True, autograph=False).experimental_get_compiler_ir(*specs)
    return parse(lower(stage="hlo", platform_name="GPU"))


def calls_of_jax(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the calls of JAX, forward and backward."""
    import jax
    import jax.numpy as jnp
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    # Lowering asks the GPU that this machine lacks.
    cudnn.check_cudnn_version = lambda: 91000
    cudnn.check_compute_capability = lambda capability: True
    cudnn.is_cuda_compute_capability_equal = lambda capability: False
    padded = "PADDING" in case["mask"]

    def loss(query, key, value, lengths):
        output = cudnn.dot_product_attention(
            query,
            key,
            value,
            q_seqlen=jnp.full([case["batch"]], case["queries"], jnp.int32) if padded else None,
            kv_seqlen=lengths if padded else None,
            scale=case["dim"] ** -0.5,
            mask_type=cudnn.MaskType[case["mask"]],
            sliding_window_length=case["window"] or None,
            qkv_layout="BNTH",
        )
        return jnp.sum(output.astype(jnp.float32) ** 2)

    specs = [jax.ShapeDtypeStruct(shape, jnp.dtype(case["dtype"])) for shape in shapes(case)]
    specs.append(jax.ShapeDtypeStruct([case["batch"]], jnp.int32))
    train = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    return parse(train.trace(*specs).lower(lowering_platforms=("cuda",)).compiler_ir("hlo").as_hlo_text())


def shapes(case: dict[str, Any]) -> list[tuple[int, ...]]:
    """Returns the shapes of query, key and value, [batch, heads, time, dim]."""
    key = (case["batch"], case["key_heads"], case["keys"], case["dim"])
    return [(case["batch"], case["heads"], case["queries"], case["dim"]), key, key]


def parse(hlo: str) -> list[dict[str, Any]]:
    """Returns target, shapes with layouts, and config of each cuDNN call of a program in text form."""
    calls = []
    for line in hlo.splitlines():
        target = re.search(r'custom_call_target="(__cudnn[^"]+)"', line)
        if target is None:
            continue
        results = re.search(r"= (\(.*?\)) custom-call\(", line)
        operands = re.search(r"operand_layout_constraints=(\{.*?\}\})", line)
        config, _ = json.JSONDecoder().raw_decode(
            line, line.index("backend_config=") + len("backend_config=")
        )
        assert results is not None, line
        assert operands is not None, line
        # XLA's text counts long lists in comments.
        shapes_of = [re.sub(r"/\*.*?\*/", "", found[1]) for found in (results, operands)]
        calls.append(
            {"target": target[1], "results": shapes_of[0], "operands": shapes_of[1], "config": config}
        )
    return calls


def main() -> int:
    """Compares all cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jax-python", help="the Python that JAX is installed in")
    parser.add_argument("--as-jax", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_jax:
        json.dump([calls_of_jax(case) for case in cases()], sys.stdout)
        return 0
    if arguments.jax_python is None:
        parser.error("--jax-python PYTHON is needed: a Python with JAX, such as jax/bin/python")
    command = [arguments.jax_python, __file__, "--as-jax"]
    expected = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    different = 0
    for case, calls in zip(cases(), expected, strict=True):
        own = calls_of_attnzoo(case)
        parts = [
            f"call {number + 1}: {part}"
            for number, (one, other) in enumerate(zip(own, calls, strict=True))
            for part in one
            if one[part] != other[part]
        ]
        different += bool(parts) or len(calls) != 2
        print(f"{'differs' if parts else 'equal'}  {case} {' '.join(parts)}")
    print(f"{len(expected) - different} of {len(expected)} cases are equal")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
