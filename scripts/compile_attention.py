"""Compiles attention for an H100 and prints a table of its memory, bytes moved and kernels. Needs no GPU.

    python scripts/compile_attention.py --jax-python JAX/bin/python --write attnzoo/attention/README.md

`compile_for_gpu.py` says how to install JAX in a Python of its own, and what is counted. Every length has
16,384 tokens a batch: 8 heads with a head dim of 64, bfloat16.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import tempfile
from pathlib import Path
from typing import Any

TOKENS, HEADS, DIM = 16_384, 8, 64
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
IMPLEMENTATIONS = {"reference": "reference", "xla": "blocks", "cudnn": "cuDNN"}
PASSES = ("forward", "forward and backward")
START, END = "<!-- compile-attention -->\n", "<!-- /compile-attention -->\n"
GPU_BLOCK = 1024

Case = tuple[int, str, str, str]
"""Length, mask, pass and implementation."""


def lower(case: Case) -> bytes:
    """Returns the program of a case as TensorFlow hands it to XLA for a GPU."""
    import tensorflow as tf

    from attnzoo.attention import attention
    from attnzoo.attention.devices import assumed_gpu

    time, mask, direction, implementation = case

    def forward(query, key, value):
        return attention(query, key, value, causal=mask == "causal", implementation=implementation)

    def train(query, key, value, upstream):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            output = forward(query, key, value)
        return output, *tape.gradient(output, [query, key, value], upstream)

    function, count = (forward, 3) if direction == "forward" else (train, 4)
    specs = [tf.TensorSpec([TOKENS // time, HEADS, time, DIM], tf.bfloat16)] * count
    with assumed_gpu():
        compiled = tf.function(function, jit_compile=True, autograph=False)
        lowered = compiled.experimental_get_compiler_ir(*specs)
    return lowered(stage="hlo_serialized", platform_name="GPU")


def compile_programs(programs: dict[str, tuple[bytes, float]], jax_python: str) -> dict[str, dict[str, Any]]:
    """Compiles programs in the Python that has JAX.

    Args:
        programs: by name, each with the rounds of loops that do not know theirs.
        jax_python: that Python.

    Returns:
        What `compile_for_gpu.py` prints about each.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for name, (program, trips) in programs.items():
            path = Path(folder, f"{name}.pb")
            path.write_bytes(program)
            arguments.append(f"{path}:{trips}")
        command = [jax_python, str(Path(__file__).with_name("compile_for_gpu.py")), *arguments]
        lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    results = [json.loads(line) for line in lines]
    return {result["program"]: result for result in results}


def table(results: dict[Case, dict[str, Any]], lengths: list[int]) -> str:
    """Returns a table for each mask and pass."""
    text = ""
    for mask, direction in itertools.product(("full", "causal"), PASSES):
        names = list(IMPLEMENTATIONS.values())
        text += f"\n{mask.capitalize()}, {direction}.\n\n| B×T | "
        text += " | ".join([*(f"{name} MiB" for name in names), *(f"{name} GB" for name in names)])
        text += " | kernels |\n| --- " + "| ---: " * (2 * len(names) + 1) + "|\n"
        for time in lengths:
            row = [results[time, mask, direction, implementation] for implementation in IMPLEMENTATIONS]
            kernels = " / ".join(f"{result['kernels'] + result['cudnn_calls']:,}" for result in row)
            cells = [f"{result['temporary_mib']:,.0f}" for result in row]
            cells += [f"{result['moved_gb']:.2f}" for result in row]
            text += f"| {TOKENS // time}×{time:,} | {' | '.join(cells)} | {kernels} |\n"
    return text


def main() -> None:
    """Lowers, compiles and prints or writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jax-python", required=True, help="the Python that JAX is installed in")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--write", type=Path, help="file with two comments between which the table goes")
    arguments = parser.parse_args()
    cases = list(itertools.product(arguments.lengths, ("full", "causal"), PASSES, IMPLEMENTATIONS))
    programs = {}
    for number, case in enumerate(cases):
        # A causal mask skips blocks: from 1 block for the first queries to all for the last.
        trips = (math.ceil(case[0] / GPU_BLOCK) + 1) / 2
        programs[str(number)] = (lower(case), trips)
    compiled = compile_programs(programs, arguments.jax_python)
    results = {case: compiled[str(number)] for number, case in enumerate(cases)}
    text = table(results, arguments.lengths)
    if arguments.write is None:
        print(text)
        return
    page = arguments.write.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    arguments.write.write_text(before + START + text.lstrip("\n") + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
