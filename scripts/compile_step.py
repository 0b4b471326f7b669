"""Compiles the training step of a recipe for an H100: launches, bytes moved and memory. Needs no GPU.

    python scripts/compile_step.py long_texts --jax-python JAX/bin/python
    python scripts/compile_step.py multi30k --rounds 2 --jax-python JAX/bin/python
    python scripts/compile_step.py configs/text_languages.yaml --jax-python JAX/bin/python

`long_texts` is a text classifier of 6 layers and 512 units in bfloat16 with made texts of 2,048 tokens in
batches of 32; `multi30k` is configs/translate_multi30k.yaml with made texts of 32 tokens in batches of 128
pairs and the recipe's vocabulary of 10,000. A config takes its own data, and the first batch of its most
frequent shape.

Prints an object for each program of the step, gradients and update: what they contain says
`compile_for_gpu.py`, and how to install JAX too. Where attention goes through cuDNN, there is one without.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compile_attention import GPU_BLOCK, compile_programs

if TYPE_CHECKING:
    from training_programs import Prepared

    from attnzoo.config import ResolvedConfig

WITHOUT_CUDNN = (7, 5)
"""A compute capability below that of attention by cuDNN."""


def resolve_recipe(name: str, overrides: Sequence[str], folder: Path) -> ResolvedConfig:
    """Returns the config of a recipe; made data is written to a folder."""
    import training_programs

    from attnzoo.config import resolve

    if name == "multi30k":
        return training_programs.multi30k(folder, overrides)
    if name == "long_texts":
        return training_programs.long_texts(folder, overrides)
    return resolve(Path(name), list(overrides))


def lower_step(prepared: Prepared) -> dict[str, bytes]:
    """Returns the programs of a step by name, as TensorFlow hands them to XLA for a GPU."""
    import training_programs

    from attnzoo.attention.devices import assumed_gpu

    with assumed_gpu():
        programs = {"gradients": training_programs.lower_gradients(prepared, "hlo_serialized")}
    if b"__cudnn$fmha" in programs["gradients"]:
        with assumed_gpu(WITHOUT_CUDNN):
            without = training_programs.lower_gradients(prepared, "hlo_serialized")
        programs["gradients_without_cudnn"] = without
    return {**programs, "update": training_programs.lower_update(prepared)}


def main() -> None:
    """Lowers and compiles the step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="long_texts, multi30k, or the file of a config")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--jax-python", required=True, help="the Python that JAX is installed in")
    parser.add_argument(
        "--rounds",
        type=float,
        help="rounds of loops that do not know theirs: blocks of attention (the default: all of a row), or "
        "chunks of a vocabulary (2 for multi30k)",
    )
    arguments = parser.parse_args()
    import training_programs

    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve_recipe(arguments.recipe, arguments.overrides, Path(folder))
        prepared = training_programs.prepare(resolved)
    shapes = {name: tuple(part.shape) for part in prepared.batch for name, part in part.items()}
    print(json.dumps({"model": prepared.config.model.name, **shapes}))
    longest = max(shape[1] for shape in shapes.values() if len(shape) > 1)
    trips = arguments.rounds or float(math.ceil(longest / GPU_BLOCK))
    programs = {name: (program, trips) for name, program in lower_step(prepared).items()}
    for result in compile_programs(programs, arguments.jax_python).values():
        print(json.dumps(result))


if __name__ == "__main__":
    main()
