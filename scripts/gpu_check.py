"""Prepares a check of attention and training steps on a GPU machine with JAX, and without TensorFlow.

    python scripts/gpu_check.py FOLDER                  # with attnzoo and TensorFlow, on any machine
    JAX/bin/python FOLDER/gpu_check_run.py FOLDER       # on the GPU machine; writes FOLDER/results.json

Writes the programs that TensorFlow hands to XLA for a GPU, and `gpu_check_run.py`, which says what is done
with them there. Weights are not carried, only their means and deviations. `--small` makes small sizes of all,
which a CPU runs in minutes too, but for cuDNN: to test both scripts.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_check_run import shapes

IMPLEMENTATIONS = ("cudnn", "xla", "reference")
HEADS, DIM = 8, 64
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384)
SMALL_LENGTHS = (32, 64)
MAX_REFERENCE = 8192
RECIPES = ("long_texts", "multi30k")
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


def attention_programs(lengths: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Yields what is checked, then what is timed, from long to short."""
    for kind, changes in KINDS.items():
        for dtype in ("bfloat16", "float16"):
            for implementation in IMPLEMENTATIONS:
                case = {**SMALL, **changes, "dtype": dtype, "train": True}
                yield {"what": "check", "kind": kind, "implementation": implementation, **case}
    for length in reversed(lengths):
        for causal in (False, True):
            for train in (True, False):
                for implementation in (*IMPLEMENTATIONS, "jax cudnn", "jax xla"):
                    if length > MAX_REFERENCE and implementation in ("reference", "jax xla"):
                        continue
                    sizes = {"batch": max(lengths) // length, "queries": length, "keys": length, "dim": DIM}
                    case = {**SMALL, **sizes, "heads": HEADS, "key_heads": HEADS, "causal": causal}
                    yield {"what": "time", "implementation": implementation, **case, "train": train}


def prepare(folder: Path, small: bool) -> None:
    """Writes the programs, and programs.json, which lists them in the order in which they run."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = list(attention_programs(SMALL_LENGTHS if small else LENGTHS))
    checked = [case for case in cases if case["what"] == "check"]
    timed = [case for case in cases if case["what"] == "time"]
    listed: list[dict[str, Any]] = []

    def add(case: dict[str, Any], program: bytes | None) -> None:
        number = len(listed)
        listed.append({"number": number, **case})
        if program is not None:
            (folder / f"{number}.pb.gz").write_bytes(gzip.compress(program))

    for case in checked:
        add(case, lower(case))
    for recipe in RECIPES:
        for case, program, arguments in step_programs(recipe, small):
            if arguments is not None:
                (folder / f"{len(listed)}.npz").write_bytes(arguments)
            add({"what": "step", "recipe": recipe, **case}, program)
    for case in timed:
        add(case, None if case["implementation"].startswith("jax") else lower(case))
    (folder / "programs.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    shutil.copy(Path(__file__).with_name("gpu_check_run.py"), folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(list(folder.glob('*.pb.gz')))} programs, {size / 2**20:.1f} MiB")


def step_programs(recipe: str, small: bool) -> Iterator[tuple[dict[str, Any], bytes, bytes | None]]:
    """Yields the programs of a training step, each with what is said of it and its arguments.

    Those of the gradients are in a file of NumPy: `a3` is the fourth argument, `mean` and `std` <float>[n]
    are those of the numbers in the others. The update has none: any numbers do.
    """
    import numpy as np
    import tensorflow as tf
    import training_programs
    from compile_step import lower_step

    with tempfile.TemporaryDirectory() as made:
        prepared = training_programs.prepare(getattr(training_programs, recipe)(Path(made), small=small))
    _, arguments = training_programs.gradients_function(prepared)
    arrays = [np.asarray(argument) for argument in tf.nest.flatten(arguments)]
    num_values = len(tf.nest.flatten(arguments[0]))
    kept = {}
    statistics = np.zeros([2, len(arrays)])
    for number, array in enumerate(arrays):
        if number < num_values and array.dtype == np.float32:
            statistics[:, number] = array.mean(), array.std()
        else:
            kept[f"a{number}"] = array
    file = io.BytesIO()
    np.savez_compressed(file, mean=statistics[0], std=statistics[1], **kept)
    programs = lower_step(prepared)
    with_cudnn = "gradients_without_cudnn" in programs
    for name, program in programs.items():
        cudnn = name == "gradients" and with_cudnn
        case = {"program": name, "implementation": "cudnn" if cudnn else "xla"}
        yield case, program, None if name == "update" else file.getvalue()


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


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="sizes that a CPU runs too")
    arguments = parser.parse_args()
    prepare(arguments.folder, arguments.small)


if __name__ == "__main__":
    main()
