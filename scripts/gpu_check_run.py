"""Checks and times attention and training steps on a GPU, with JAX and NumPy alone.

    JAX/bin/python FOLDER/gpu_check_run.py FOLDER       # FOLDER is what gpu_check.py has written

Checks every kind of mask with cuDNN, blocks and reference, forward and backward, against float64 in NumPy;
times training steps: the gradients of a batch, with and without cuDNN, and the update; then lengths for
`implementation="auto"`, beside `jax.nn.dot_product_attention` (xla and cudnn). It takes less than 8 minutes:
what has not begun after `--seconds` is left out, and said. Results are written after each program. On a CPU
what is cuDNN's is left out, and times mean nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

TOLERANCE = {"bfloat16": 2e-2, "float16": 3e-3}
"""Maximum difference from float64, in units of the largest number of a result."""
MAX_LOSS_DIFFERENCE = 1e-2
"""Maximum relative difference between the losses of a step with and without cuDNN."""


def shapes(case: dict[str, Any]) -> list[tuple[int, ...]]:
    """Returns the shapes of query, key, value and the gradient of the output."""
    query = (case["batch"], case["heads"], case["queries"], case["dim"])
    key = (case["batch"], case["key_heads"], case["keys"], case["dim"])
    return [query, key, key, query]


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


def allowed_pairs(case: dict[str, Any], tensors: list[Any]) -> Any:
    """Returns which keys a query may attend to, <bool>[batch, 1, query, key]."""
    import numpy as np

    distance = np.arange(case["keys"])[None, :] - np.arange(case["queries"])[:, None]
    allowed = np.ones([case["batch"], 1, *distance.shape], bool)
    if case.get("causal"):
        allowed &= distance <= 0
    if case.get("window"):
        allowed &= distance >= -case["window"]
    if case.get("lengths"):
        allowed &= (np.arange(case["keys"]) < tensors[4][:, None])[:, None, None]
    if case.get("padding"):
        allowed &= tensors[4][:, None, None]
    return allowed


def expected_outputs(case: dict[str, Any], tensors: list[Any]) -> list[Any]:
    """Returns output and gradients in float64."""
    import numpy as np

    query, key, value, upstream = (tensor.astype(np.float64) for tensor in tensors[:4])
    shared = case["heads"] // case["key_heads"]
    key, value = (np.repeat(tensor, shared, axis=1) for tensor in (key, value))
    allowed = allowed_pairs(case, tensors)
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

    errors: dict[str, Any] = {}
    names = ("output", "grad_query", "grad_key", "grad_value")
    ok = True
    # Exactly 0: queries without keys, and keys that nothing attends to.
    allowed = allowed_pairs(case, tensors)
    empty = dict.fromkeys(names[:2], ~allowed.any(axis=-1)) | dict.fromkeys(names[2:], ~allowed.any(axis=-2))
    for name, output, expected in zip(names, outputs, expected_outputs(case, tensors), strict=True):
        output = np.asarray(output).astype(np.float64)
        difference = float(np.abs(output - expected).max() / max(np.abs(expected).max(), 1e-6))
        zero = np.broadcast_to(empty[name], output.shape[:-1])
        exact = bool((output[zero] == 0).all())
        errors[name] = difference if math.isfinite(difference) else None
        ok = ok and difference <= TOLERANCE[case["dtype"]] and exact
    return {**errors, "ok": ok}


class Program:
    """A serialized HLO module, compiled for the first device.

    Attributes:
        parameters: shape and NumPy dtype of each argument.
    """

    def __init__(self, serialized: bytes) -> None:
        import jax
        from jax._src.lib import xla_client
        from jaxlib import _hlo

        device = jax.devices()[0]
        computation = xla_client.XlaComputation(serialized)
        text = computation.get_hlo_module().to_string()
        # StableHLO has no copy, which TensorFlow writes for a variable that it returns. The memory of
        # variables is not taken over by their new values: there are many calls with the same arguments.
        plain = re.sub(r"input_output_alias=\{ .*? \}, ", "", text.replace(" copy(", " reshape("))
        if plain != text:
            module = _hlo.hlo_module_from_text(plain)
            computation = xla_client.XlaComputation(module.as_serialized_hlo_module_proto())
        stable = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
        devices = xla_client.DeviceList((device,))
        self._executable = device.client.compile_and_load(stable, devices, xla_client.CompileOptions())
        found = computation.program_shape().parameter_shapes()
        self.parameters = [(shape.dimensions(), shape.numpy_dtype()) for shape in found]

    def __call__(self, arrays: list[Any]) -> list[Any]:
        """Runs the program."""
        return self._executable.execute(arrays)


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


def step_arguments(program: Program, file: Path) -> list[Any]:
    """Returns the arguments of a program of a step: those in the file, and random ones."""
    import jax
    import numpy as np

    rng = np.random.default_rng(1)
    kept = dict(np.load(file)) if file.is_file() else {}
    arrays = []
    with jax.enable_x64(True):  # the number of steps is <int64>[]
        for number, (shape, dtype) in enumerate(program.parameters):
            array = kept.get(f"a{number}")
            if array is None and not np.issubdtype(dtype, np.floating):
                array = np.zeros(shape, dtype)
            elif array is None and kept:
                array = kept["mean"][number] + kept["std"][number] * rng.standard_normal(shape, np.float32)
            elif array is None:  # of the update, some of whose numbers are squares
                array = 0.01 * np.abs(rng.standard_normal(shape, np.float32))
            assert array.shape == tuple(shape), (number, array.shape, shape)
            arrays.append(jax.device_put(array.astype(dtype)))
    return arrays


def measure_step(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Times a program of a training step; the loss of its batch, and all its numbers, must be finite."""
    import jax
    import numpy as np

    begin = time.perf_counter()
    program = Program(gzip.decompress((folder / f"{case['number']}.pb.gz").read_bytes()))
    arrays = step_arguments(program, folder / f"{case['number']}.npz")
    outputs = jax.block_until_ready(program(arrays))
    result = {"first_call_s": round(time.perf_counter() - begin, 2)}
    ok = all(bool(np.isfinite(np.asarray(output).astype(np.float32)).all()) for output in outputs)
    if case["program"] != "update":
        loss, count = np.asarray(outputs[0])
        result["loss"] = float(loss / count) if ok else None
    return {**result, "ok": ok, "ms": milliseconds(program, arrays)}


def measure(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Runs a program: checks its numbers, or times it."""
    import jax

    if case["what"] == "step":
        return measure_step(folder, case)
    tensors = make_inputs(case)
    begin = time.perf_counter()
    if case["implementation"].startswith("jax"):
        function = jax_function(case)
        arrays = [jax.device_put(tensor.swapaxes(1, 2)) for tensor in tensors]
    else:
        function = Program(gzip.decompress((folder / f"{case['number']}.pb.gz").read_bytes()))
        # A forward pass has no use for the gradient of its output.
        arrays = [jax.device_put(tensor) for tensor in tensors[: len(function.parameters)]]
    outputs = jax.block_until_ready(function(arrays))
    result = {"first_call_s": round(time.perf_counter() - begin, 2)}
    if case["what"] == "check":
        return {**result, **differences(case, tensors, outputs)}
    return {**result, "ms": milliseconds(function, arrays)}


def compare_losses(results: list[dict[str, Any]]) -> None:
    """Marks the steps whose loss differs from that of the same step by other means."""
    first: dict[str, float] = {}
    for result in results:
        if result.get("loss") is not None:
            expected = first.setdefault(result["recipe"], result["loss"])
            if abs(result["loss"] - expected) > MAX_LOSS_DIFFERENCE * abs(expected):
                result.update(ok=False, expected_loss=expected)


def run_program(folder: Path, case: dict[str, Any], on_gpu: bool) -> dict[str, Any]:
    """Returns the result of a program, whatever happens."""
    if "cudnn" in case["implementation"] and not on_gpu:
        return {"left_out": "cuDNN needs a GPU"}
    try:
        return measure(folder, case)
    except Exception as error:  # whatever XLA and cuDNN raise is a result
        if not on_gpu and "UNIMPLEMENTED" in str(error):  # such as bfloat16 products with sums in float32
            return {"left_out": f"not for a CPU: {error}"[:200]}
        return {"ok": False, "error": f"{type(error).__name__}: {error}"[:500]}


def run(folder: Path, seconds: float, numbers: list[int] | None) -> int:
    """Runs the programs and writes results.json; returns 1 if one fails or differs."""
    import jax

    begin, elapsed = time.perf_counter(), 0.0
    results: list[dict[str, Any]] = []
    device = jax.devices()[0]
    about = {"jax": jax.__version__, "device": device.device_kind}
    for case in json.loads((folder / "programs.json").read_text(encoding="utf-8")):
        if numbers is not None and case["number"] not in numbers:
            continue
        result: dict[str, Any] = {"left_out": f"{seconds:g} s have passed"}
        if time.perf_counter() - begin < seconds:
            result = run_program(folder, case, device.platform == "gpu")
        results.append({**case, **result})
        compare_losses(results)
        elapsed = round(time.perf_counter() - begin, 1)
        text = json.dumps({**about, "seconds": elapsed, "results": results}, indent=1)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        if not results[-1].get("ok", True):
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
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=420.0, help="begin no program after this time")
    parser.add_argument("--numbers", type=int, nargs="+", help="run only these programs")
    arguments = parser.parse_args()
    return run(arguments.folder, arguments.seconds, arguments.numbers)


if __name__ == "__main__":
    sys.exit(main())
