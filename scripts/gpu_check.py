"""Checks and times attention on a GPU, on a machine that has JAX and need not have TensorFlow.

    python scripts/gpu_check.py prepare FOLDER              # with attnzoo and TensorFlow, on any machine
    JAX/bin/python FOLDER/gpu_check.py run FOLDER           # on the GPU machine; writes FOLDER/results.json

`prepare` writes the programs that TensorFlow hands to XLA for a GPU, a few MiB, and this file. `run` checks
every kind of mask with cuDNN, blocks and reference, forward and backward, against float64 in NumPy; then it
times lengths for `implementation="auto"`, beside `jax.nn.dot_product_attention` (xla and cudnn), in less than
8 minutes: what has not begun after `--seconds` is left out, and said. Results are written after each program.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

IMPLEMENTATIONS = ("cudnn", "xla", "reference")
HEADS, TOKENS, DIM = 8, 16_384, 64
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384)
MAX_REFERENCE = 8192
SMALL = {"batch": 4, "heads": 4, "key_heads": 4, "queries": 192, "keys": 192, "dim": 64, "dtype": "bfloat16"}
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "full, more keys": {"keys": 320},
    "odd lengths": {"queries": 131, "keys": 197},
    "causal": {"causal": True},
    "causal, odd length": {"causal": True, "queries": 131, "keys": 131},
    "window": {"causal": True, "window": 29},
    "lengths": {"lengths": True},
    "causal lengths": {"causal": True, "lengths": True},
    "window lengths": {"causal": True, "window": 29, "lengths": True},
    "padding in any place": {"padding": True},
    "grouped": {"key_heads": 2},
    "one key head, causal": {"key_heads": 1, "causal": True},
    "grouped, lengths": {"key_heads": 2, "lengths": True},
    "dim 8": {"dim": 8},
    "dim 128": {"dim": 128, "causal": True},
    "dim 256": {"dim": 256, "causal": True},
    "short": {"queries": 7, "keys": 7},
    "two queries": {"queries": 2, "keys": 2, "causal": True},
}
TOLERANCE = {"bfloat16": 2e-2, "float16": 3e-3}
"""Maximum difference from float64, in units of the largest number of a result."""


def programs() -> list[dict[str, Any]]:
    """Returns what is run, in this order: numerics first, then times from long to short."""
    listed = []
    for kind, changes in KINDS.items():
        for dtype in ("bfloat16", "float16"):
            for implementation in IMPLEMENTATIONS:
                case = {**SMALL, **changes, "dtype": dtype, "train": True}
                listed.append({"check": True, "kind": kind, "implementation": implementation, **case})
    for length in reversed(LENGTHS):
        for causal in (False, True):
            for train in (True, False):
                for implementation in (*IMPLEMENTATIONS, "jax cudnn", "jax xla"):
                    if length > MAX_REFERENCE and implementation in ("reference", "jax xla"):
                        continue
                    sizes = {"batch": TOKENS // length, "queries": length, "keys": length, "dim": DIM}
                    case = {**SMALL, **sizes, "heads": HEADS, "key_heads": HEADS, "causal": causal}
                    listed.append({"check": False, "implementation": implementation, **case, "train": train})
    return [{"number": number, **program} for number, program in enumerate(listed)]


def shapes(case: dict[str, Any]) -> list[tuple[int, ...]]:
    """Returns the shapes of query, key, value and the gradient of the output."""
    query = (case["batch"], case["heads"], case["queries"], case["dim"])
    key = (case["batch"], case["key_heads"], case["keys"], case["dim"])
    return [query, key, key, query]


def prepare(folder: Path) -> None:
    """Writes the programs of attnzoo."""
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs():
        if not program["implementation"].startswith("jax"):
            (folder / f"{program['number']}.pb.gz").write_bytes(gzip.compress(lower(program)))
    shutil.copy(__file__, folder / "gpu_check.py")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(list(folder.glob('*.pb.gz')))} programs, {size / 2**20:.1f} MiB")


def lower(case: dict[str, Any]) -> bytes:
    """Returns the program of a case. Its inputs are those of `make_inputs`."""
    import tensorflow as tf

    from attnzoo.attention import attention
    from attnzoo.attention.devices import assumed_gpu

    arguments = {"causal": case.get("causal", False), "window": case.get("window")}
    arguments["implementation"] = case["implementation"]

    def function(query, key, value, upstream, *masks):
        name = "key_lengths" if case.get("lengths") else "padding_mask"
        masked = {name: masks[0]} if masks else {}
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            output = attention(query, key, value, **arguments, **masked)
        if not case["train"]:
            return output
        return output, *tape.gradient(output, [query, key, value], upstream)

    specs = [tf.TensorSpec(shape, case["dtype"]) for shape in shapes(case)]
    if case.get("lengths"):
        specs.append(tf.TensorSpec([case["batch"]], tf.int32))
    if case.get("padding"):
        specs.append(tf.TensorSpec([case["batch"], case["keys"]], tf.bool))
    with assumed_gpu():
        compiled = tf.function(function, jit_compile=True, autograph=False)
        lowered = compiled.experimental_get_compiler_ir(*specs)
    return lowered(stage="hlo_serialized", platform_name="GPU")


def make_inputs(case: dict[str, Any]) -> list[Any]:
    """Returns query, key, value, the gradient of the output, and lengths or a padding mask, in NumPy."""
    import ml_dtypes
    import numpy as np

    rng = np.random.default_rng(1)
    dtype = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}[case["dtype"]]
    tensors = [rng.standard_normal(shape, np.float32).astype(dtype) for shape in shapes(case)]
    if case.get("lengths"):
        tensors.append(np.array([case["keys"], 0, 1, case["keys"] // 3], np.int32))
    if case.get("padding"):
        mask = rng.random([case["batch"], case["keys"]]) < 0.6
        mask[1] = False
        tensors.append(mask)
    return tensors


def expected_outputs(case: dict[str, Any], tensors: list[Any]) -> list[Any]:
    """Returns output and gradients in float64."""
    import numpy as np

    query, key, value, upstream = (tensor.astype(np.float64) for tensor in tensors[:4])
    shared = case["heads"] // case["key_heads"]
    key, value = (np.repeat(tensor, shared, axis=1) for tensor in (key, value))
    distance = np.arange(case["keys"])[None, :] - np.arange(case["queries"])[:, None]
    allowed = np.ones(distance.shape, bool)[None, None]
    if case.get("causal"):
        allowed = allowed & (distance <= 0)
    if case.get("window"):
        allowed = allowed & (distance >= -case["window"])
    if case.get("lengths"):
        allowed = allowed & (np.arange(case["keys"]) < tensors[4][:, None])[:, None, None]
    if case.get("padding"):
        allowed = allowed & tensors[4][:, None, None]
    scale = case["dim"] ** -0.5
    logits = np.where(allowed, np.einsum("bhqd,bhkd->bhqk", query, key) * scale, -np.inf)
    largest = np.maximum(logits.max(axis=-1, keepdims=True), -1e30)
    weights = np.exp(logits - largest)
    weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)
    output = np.einsum("bhqk,bhkd->bhqd", weights, value)
    grad_weights = np.einsum("bhqd,bhkd->bhqk", upstream, value)
    grad_logits = weights * (grad_weights - (output * upstream).sum(axis=-1, keepdims=True)) * scale
    grouped = (case["batch"], case["key_heads"], shared, case["keys"], case["dim"])
    grad_key = np.einsum("bhqk,bhqd->bhkd", grad_logits, query).reshape(grouped).sum(axis=2)
    grad_value = np.einsum("bhqk,bhqd->bhkd", weights, upstream).reshape(grouped).sum(axis=2)
    return [output, np.einsum("bhqk,bhkd->bhqd", grad_logits, key), grad_key, grad_value]


def differences(case: dict[str, Any], tensors: list[Any], outputs: list[Any]) -> dict[str, Any]:
    """Returns the largest differences from float64, and whether all are small enough."""
    import numpy as np

    found: dict[str, Any] = {}
    names = ("output", "grad_query", "grad_key", "grad_value")
    ok = True
    for name, output, expected in zip(names, outputs, expected_outputs(case, tensors), strict=True):
        output = np.asarray(output).astype(np.float64)
        difference = float(np.abs(output - expected).max() / max(np.abs(expected).max(), 1e-6))
        zero = (np.abs(expected) == 0).all(axis=-1)  # rows without keys, and keys that nothing attends to
        exact = bool((output[zero] == 0).all())
        found[name] = difference if math.isfinite(difference) else None
        ok = ok and difference <= TOLERANCE[case["dtype"]] and exact
    return {**found, "ok": ok}


def compile_program(program: bytes) -> Any:
    """Returns a function of arrays on the first device, for a serialized HLO module."""
    import jax
    from jax._src.lib import xla_client

    device = jax.devices()[0]
    computation = xla_client.XlaComputation(program)
    module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
    devices = xla_client.DeviceList((device,))
    executable = device.client.compile_and_load(module, devices, xla_client.CompileOptions())
    return executable.execute


def jax_function(case: dict[str, Any]) -> Any:
    """Returns `jax.nn.dot_product_attention` as a function of arrays [batch, time, heads, dim]."""
    import jax

    implementation = case["implementation"].split()[1]

    def forward(query, key, value):
        return jax.nn.dot_product_attention(
            query, key, value, is_causal=case["causal"], implementation=implementation
        )

    def train(query, key, value, upstream):
        output, gradients = jax.vjp(forward, query, key, value)
        return output, *gradients(upstream)

    compiled = jax.jit(train if case["train"] else forward)
    return lambda tensors: compiled(*tensors[: 4 if case["train"] else 3])


def milliseconds(function: Any, tensors: list[Any]) -> float:
    """Returns the median time of a call in 5 groups of calls."""
    import jax

    jax.block_until_ready(function(tensors))
    begin = time.perf_counter()
    jax.block_until_ready(function(tensors))
    calls = max(1, min(50, int(0.05 / max(time.perf_counter() - begin, 1e-6))))
    groups = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(calls):
            outputs = function(tensors)
        jax.block_until_ready(outputs)
        groups.append((time.perf_counter() - begin) / calls * 1e3)
    return statistics.median(groups)


def measure(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Runs a program: checks its numbers, or times it."""
    import jax

    tensors = make_inputs(case)
    begin = time.perf_counter()
    if case["implementation"].startswith("jax"):
        function = jax_function(case)
        arrays = [jax.device_put(tensor.swapaxes(1, 2)) for tensor in tensors]
    else:
        function = compile_program(gzip.decompress((folder / f"{case['number']}.pb.gz").read_bytes()))
        arrays = [jax.device_put(tensor) for tensor in tensors]
    outputs = jax.block_until_ready(function(arrays))
    result = {"first_call_s": round(time.perf_counter() - begin, 2)}
    if case["check"]:
        return {**result, **differences(case, tensors, outputs)}
    return {**result, "ms": milliseconds(function, arrays)}


def run(folder: Path, seconds: float, numbers: list[int] | None) -> int:
    """Runs the programs and writes results.json; returns 1 if one fails or differs."""
    import jax

    begin, results = time.perf_counter(), []
    about = {"jax": jax.__version__, "device": jax.devices()[0].device_kind}
    for case in programs():
        if numbers is not None and case["number"] not in numbers:
            continue
        result: dict[str, Any] = {"left_out": True}
        if time.perf_counter() - begin < seconds:
            try:
                result = measure(folder, case)
            except Exception as error:  # whatever XLA and cuDNN raise is a result
                result = {"ok": False, "error": f"{type(error).__name__}: {error}"[:500]}
        results.append({**case, **result})
        elapsed = round(time.perf_counter() - begin, 1)
        text = json.dumps({**about, "seconds": elapsed, "results": results}, indent=1)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        if not result.get("ok", True):
            print(json.dumps(results[-1]), flush=True)
    failed = sum(not result.get("ok", True) for result in results)
    left_out = sum("left_out" in result for result in results)
    print(f"{about}: {len(results)} programs, {failed} failed or differ, {left_out} left out, {elapsed} s")
    return int(failed > 0)


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("prepare", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=420.0, help="begin no program after this time")
    parser.add_argument("--numbers", type=int, nargs="+", help="run only these programs")
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        prepare(arguments.folder)
        return 0
    return run(arguments.folder, arguments.seconds, arguments.numbers)


if __name__ == "__main__":
    sys.exit(main())
