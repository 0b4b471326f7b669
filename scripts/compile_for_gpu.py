"""Compiles programs for an H100 on a machine that has none, and counts their kernels and the bytes they move.

    python -m venv JAX
    JAX/bin/pip install jax==0.10.2
    JAX/bin/pip install --no-deps jax-cuda12-pjrt==0.10.2 nvidia-cuda-nvcc-cu12
    JAX/bin/python scripts/compile_for_gpu.py STEP.pb[:TRIPS] [more.pb ...]

A program is what TensorFlow returns for a compiled function that is traced within `assumed_gpu()` of
`attnzoo.attention.devices`: `experimental_get_compiler_ir(*inputs)(stage="hlo_serialized",
platform_name="GPU")`. TRIPS is assumed for loops whose number of rounds the program does not know. Prints a
JSON object a program, and writes what XLA made of it beside each file, NAME.opt.hlo:

    temporary_mib       memory beside inputs and outputs, without what cuDNN asks for
    moved_gb            bytes that all kernels read and write, as if nothing stayed in a cache
    moved_beside_gb     the same without the calls of cuDNN
    kernels             launches, without the calls of cuDNN
    cudnn_calls         calls of cuDNN
    unknown_rounds      rounds of loops for which TRIPS was assumed

This is the XLA of JAX, close to but not the one of TensorFlow; nothing is tuned, and no time is measured.
"""

from __future__ import annotations

import collections
import json
import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

SITE = Path(sysconfig.get_paths()["purelib"])
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8}
BYTES["f64"] = 8
FREE = ("parameter", "get-tuple-element", "tuple", "bitcast", "constant")


def gpu() -> Any:
    """Returns an H100 that only compiles."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_gpu_cuda_data_dir={SITE}/nvidia/cuda_nvcc {flags}"
    from jax._src.lib import xla_client

    library = str(SITE / "jax_plugins/xla_cuda12/xla_cuda_plugin.so")
    plugin = xla_client.load_pjrt_plugin_dynamically("cuda", library)
    xla_client.initialize_pjrt_plugin("cuda")
    description = Path(__file__).with_name("h100.txtpb").read_text(encoding="utf-8")
    topology = xla_client.make_c_api_device_topology(plugin, "", target_config=description, topology="1x1x1")
    return topology._make_compile_only_devices()[0]


def compile_program(program: bytes, device: Any) -> Any:
    """Returns the executable of a serialized HLO module."""
    from jax._src.interpreters import mlir
    from jax._src.lib import xla_client
    from jaxlib import _hlo
    from jaxlib.mlir import ir

    computation = xla_client.XlaComputation(program)
    text = computation.get_hlo_module().to_string()
    if re.search(
        r" copy\(", text
    ):  # StableHLO has no copy; TensorFlow writes one for a variable that it returns
        module = _hlo.hlo_module_from_text(re.sub(r" copy\(", " reshape(", text))
        computation = xla_client.XlaComputation(module.as_serialized_hlo_module_proto())
    stable = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
    with mlir.make_ir_context():
        module = ir.Module.parse(stable)
    return device.client.compile(module, xla_client.DeviceList((device,)), xla_client.CompileOptions())


def size(shape: str) -> int:
    """Returns the bytes of a shape, or of all those in a text."""
    total = 0
    for dtype, sizes in re.findall(rf"({'|'.join(BYTES)})\[([\d,]*)\]", shape):
        count = BYTES[dtype]
        for number in filter(None, sizes.split(",")):
            count *= int(number)
        total += count
    return total


class Traffic:
    """Counts what the kernels of an optimized program read and write.

    Args:
        hlo: the program in text form.
        trips: rounds of a loop that does not know them.
    """

    def __init__(self, hlo: str, trips: float) -> None:
        self.trips, self.counts = trips, collections.Counter[str]()
        self.computations: dict[str, list[str]] = {}
        name = entry = ""
        for line in hlo.splitlines():
            head = re.match(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{", line)
            if head:
                name = head[2]
                entry = name if head[1] else entry
                self.computations[name] = []
            elif name and not line.startswith("}"):
                self.computations[name].append(re.sub(r"/\*.*?\*/", "", line))
        self._walk(entry, 1.0)

    def _walk(self, name: str, times: float) -> None:
        shapes: dict[str, str] = {}
        for line in self.computations[name]:
            found = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = ((?:\([^=]*?\)|\S+)) ([\w\-]+)\((.*)", line)
            if found is None:
                continue
            result, shape, operation, rest = found.groups()
            shapes[result] = shape
            if operation == "while":
                self._loop(line, times)
            elif operation not in FREE:
                operands = [
                    shapes.get(other, "") for other in re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
                ]
                self._count(line, result, size(shape), [size(operand) for operand in operands], times)

    def _loop(self, line: str, times: float) -> None:
        body = re.search(r"body=%?([\w.\-]+)", line)
        known = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
        trips = float(known[1]) if known else self.trips
        if not known:
            self.counts["unknown_rounds"] += times * trips
        assert body is not None, line
        self._walk(body[1], times * trips)

    def _count(self, line: str, result: str, written: int, read: list[int], times: float) -> None:
        if "dynamic_slice" in result:  # reads as much as it writes
            moved = 2 * written
        elif "dynamic_update_slice" in result or "dynamic-update-slice" in result:  # in place
            moved = 2 * min([operand for operand in read if operand > 64] or [0])
        else:
            moved = written + sum(read)
        call = "__cudnn$" in line
        self.counts["cudnn_calls" if call else "kernels"] += times
        self.counts["moved"] += moved * times
        self.counts["moved_beside"] += 0 if call else moved * times


def measure(path: Path, trips: float, device: Any) -> dict[str, Any]:
    """Compiles a program and describes it."""
    executable = compile_program(path.read_bytes(), device)
    text = executable.hlo_modules()[0].to_string()
    path.with_suffix(".opt.hlo").write_text(text, encoding="utf-8")
    counts = Traffic(text, trips).counts
    return {
        "program": path.stem,
        "temporary_mib": round(executable.get_compiled_memory_stats().temp_size_in_bytes / 2**20, 1),
        "moved_gb": round(counts["moved"] / 1e9, 3),
        "moved_beside_gb": round(counts["moved_beside"] / 1e9, 3),
        **{name: round(counts[name]) for name in ("kernels", "cudnn_calls", "unknown_rounds")},
    }


def main() -> None:
    """Compiles the programs of the command line."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    device = gpu()
    for argument in sys.argv[1:]:
        path, _, trips = argument.partition(":")
        print(json.dumps(measure(Path(path), float(trips or 1), device)), flush=True)


if __name__ == "__main__":
    main()
