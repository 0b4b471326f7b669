"""Runs competitors of bench_attention.py in a process, and where asked for a Python, of their own.

Reads a command a line from stdin, a JSON object, and answers with one a line on stdout. A competitor is named
by library and variant; times are milliseconds.

    {"command": "versions", "library": "jax"}                                   package -> version
    {"command": "prepare", "name": "jax XLA", "case": {...}, "save_to": "file"} time of the first call
    {"command": "run", "name": "jax XLA"}                                       time of a call
    {"command": "forget"}                                                       nothing is prepared any more
    {"command": "memory", "name": "jax XLA", "case": {...}, "calls": 2}         time, bytes of the last call
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

DTYPES = ("float32", "bfloat16")
MASKS = ("full", "causal", "window")
LEVELS = ("function", "layer")
MATMUL = 2048
WARM_BELOW = 100.0
"""Milliseconds: what is shorter is called once before each measured call."""


class Case(NamedTuple):
    """What is measured.

    Attributes:
        level: "function" for [batch, heads, length, dim] tensors, "layer" for one with its projections.
        batch: number of sequences.
        heads: number of heads, of queries and keys alike.
        length: number of queries and of keys.
        dim: width of a head.
        dtype: "float32" or "bfloat16".
        mask: "full", "causal", or "window" for the last `window` keys up to the query's own.
        window: number of keys.
        backward: whether the gradients of all inputs, and weights, are computed too.
    """

    level: str
    batch: int
    heads: int
    length: int
    dim: int
    dtype: str
    mask: str
    window: int
    backward: bool

    @property
    def units(self) -> int:
        """Width of the layer."""
        return self.heads * self.dim

    @property
    def pairs(self) -> int:
        """Pairs of query and key that attend, in a head; half of all for a causal mask."""
        if self.mask == "window":
            short = min(self.window, self.length)
            return short * (short + 1) // 2 + (self.length - short) * short
        return self.length**2 // (2 if self.mask == "causal" else 1)

    @property
    def flops(self) -> float:
        """4 B N pairs d for the two products forward, 2.5 times that for the five backward."""
        return 4 * self.batch * self.heads * self.pairs * self.dim * (3.5 if self.backward else 1)

    def arrays(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns inputs and the gradient of the output, <float32>, the same in every process.

        Inputs are query, key, value [batch, heads, length, dim]; those of a layer are [batch, length, units]
        and kernel and bias of each of its four projections.
        """
        random = np.random.default_rng(1)

        def normal(*shape):
            return random.standard_normal(shape, np.float32)

        if self.level == "function":
            shape = (self.batch, self.heads, self.length, self.dim)
            return [normal(*shape) for _ in range(3)], normal(*shape)
        units = self.units
        kernels = [normal(units, units) / np.float32(units**0.5) for _ in range(4)]
        weights = [weight for kernel in kernels for weight in (kernel, normal(units))]
        shape = (self.batch, self.length, units)
        return [normal(*shape), *weights], normal(*shape)

    def allowed(self) -> np.ndarray:
        """Returns the mask, <bool>[query, key], True = may attend."""
        distance = np.arange(self.length)[None, :] - np.arange(self.length)[:, None]
        return (distance <= 0) & (distance > -self.window)


def time_first(array: np.ndarray) -> np.ndarray:
    """Swaps the axes of heads and time."""
    return np.ascontiguousarray(array.transpose(0, 2, 1, 3))


class TensorFlow:
    """Programs as one `tf.function`; calls of it return on a CPU when the results are there."""

    packages = ("tensorflow",)

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow

        self.tf = tensorflow

    def step(self, case: Case, variant: str, attend, sources, upstream, weights=()):
        """Returns a function that computes the output and, if asked for, the gradients."""
        tf = self.tf
        sources = [tf.cast(tf.constant(source), case.dtype) for source in sources]
        upstream = tf.cast(tf.constant(upstream), case.dtype)

        @tf.function(jit_compile=variant == "XLA", autograph=False)
        def step(*sources):
            if not case.backward:
                return [attend(*sources)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                output = attend(*sources)
            return [output, *tape.gradient(output, [*sources, *weights], output_gradients=upstream)]

        return lambda: step(*sources)

    def layer_step(self, case: Case, variant: str, layer, **arguments):
        """Returns the step of a layer on one sequence, with its weights trained."""
        (inputs, *weights), upstream = case.arrays()
        for variable, weight in zip(layer.trainable_weights, weights, strict=True):
            variable.assign(weight.reshape(variable.shape))
        variables = [variable.value for variable in layer.trainable_weights]
        return self.step(case, variant, lambda x: layer(x, x, x, **arguments), [inputs], upstream, variables)

    def array(self, result) -> np.ndarray:
        """Returns a result as <float32>."""
        return self.tf.cast(result, "float32").numpy()


class Attnzoo(TensorFlow):
    """This package, inside one compiled step."""

    packages = ("attnzoo", "tensorflow")

    def program(self, case: Case, variant: str):
        """Returns a function without arguments that returns the results."""
        import keras

        from attnzoo import attention

        if case.level == "layer":
            policy = "mixed_bfloat16" if case.dtype == "bfloat16" else case.dtype
            layer = attention.MultiHeadAttention(case.units, case.heads, dtype=keras.DTypePolicy(policy))
            layer.build((None, None, case.units))
            return self.layer_step(case, variant, layer, use_causal_mask=case.mask == "causal")
        window = (case.window - 1, 0) if case.mask == "window" else None

        def attend(query, key, value):
            return attention.attention(query, key, value, causal=case.mask != "full", window=window)

        return self.step(case, variant, attend, *case.arrays())


class Keras(TensorFlow):
    """`keras.ops.dot_product_attention` and `keras.layers.MultiHeadAttention`."""

    packages = ("keras", "tensorflow")

    def program(self, case: Case, variant: str):
        """Returns a function without arguments that returns the results."""
        import keras

        causal = case.mask == "causal"
        if case.level == "layer":
            policy = "mixed_bfloat16" if case.dtype == "bfloat16" else case.dtype
            layer = keras.layers.MultiHeadAttention(case.heads, case.dim, dtype=keras.DTypePolicy(policy))
            layer.build(*[(case.batch, case.length, case.units)] * 2)
            return self.layer_step(case, variant, layer, use_causal_mask=causal)
        mask = self.tf.constant(case.allowed()[None, None]) if case.mask == "window" else None

        def attend(query, key, value):
            return keras.ops.dot_product_attention(query, key, value, mask=mask, is_causal=causal)

        sources, upstream = case.arrays()
        return self.step(
            case, variant, attend, [time_first(source) for source in sources], time_first(upstream)
        )

    def array(self, result) -> np.ndarray:
        """Returns a result as <float32>, of a function [batch, heads, time, dim]."""
        array = super().array(result)
        return time_first(array) if array.ndim == 4 else array


class Matmul(TensorFlow):
    """A float32 product of two square matrices: what the machine can do."""

    def program(self, case: Case, variant: str):
        """Returns a function without arguments that returns the results."""
        tf = self.tf
        left, right = tf.random.stateless_normal([2, MATMUL, MATMUL], seed=[1, 2])
        product = tf.function(tf.matmul, jit_compile=variant == "XLA", autograph=False)
        return lambda: [product(left, right)]


class Torch:
    """`torch.nn.functional.scaled_dot_product_attention`."""

    packages = ("torch",)

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(len(os.sched_getaffinity(0)))

    def program(self, case: Case, variant: str):
        """Returns a function without arguments that returns the results."""
        torch = self.torch
        sources, upstream = case.arrays()
        sources = [torch.from_numpy(source).to(getattr(torch, case.dtype)) for source in sources]
        upstream = torch.from_numpy(upstream).to(getattr(torch, case.dtype))
        mask = torch.from_numpy(case.allowed()) if case.mask == "window" else None
        for source in sources:
            source.requires_grad_(case.backward)

        def run():
            output = torch.nn.functional.scaled_dot_product_attention(
                *sources, attn_mask=mask, is_causal=case.mask == "causal"
            )
            return [output, *torch.autograd.grad(output, sources, upstream)] if case.backward else [output]

        return run

    def array(self, result) -> np.ndarray:
        """Returns a result as <float32>."""
        return result.detach().float().numpy()


class Jax:
    """`jax.nn.dot_product_attention`, compiled."""

    packages = ("jax",)

    def __init__(self) -> None:
        import jax

        self.jax = jax

    def program(self, case: Case, variant: str):
        """Returns a function without arguments that returns the results."""
        jax = self.jax
        sources, upstream = case.arrays()
        sources = [jax.numpy.asarray(time_first(source), case.dtype) for source in sources]
        upstream = jax.numpy.asarray(time_first(upstream), case.dtype)
        window = (case.window - 1, 0) if case.mask == "window" else None

        def attend(query, key, value):
            return jax.nn.dot_product_attention(
                query, key, value, is_causal=case.mask != "full", local_window_size=window
            )

        @jax.jit
        def step(upstream, *sources):
            if not case.backward:
                return [attend(*sources)]
            output, gradients = jax.vjp(attend, *sources)
            return [output, *gradients(upstream)]

        return lambda: jax.block_until_ready(step(upstream, *sources))

    def array(self, result) -> np.ndarray:
        """Returns a result as <float32>[batch, heads, time, dim]."""
        return time_first(np.asarray(result.astype("float32")))


LIBRARIES = {"attnzoo": Attnzoo, "keras": Keras, "torch": Torch, "jax": Jax, "matmul": Matmul}


def timed(program):
    """Returns milliseconds and results of one call."""
    begin = time.perf_counter()
    results = program()
    return 1e3 * (time.perf_counter() - begin), results


def memory_status(name: str) -> int:
    """Returns a size from /proc/self/status in bytes."""
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


class Server:
    """Answers the commands."""

    def __init__(self) -> None:
        self.libraries: dict = {}
        self.programs: dict = {}
        self.latest: dict[str, float] = {}

    def library(self, name: str):
        """Returns the library of a competitor, which is imported the first time."""
        library = name.split()[0]
        if library not in self.libraries:
            self.libraries[library] = LIBRARIES[library]()
        return self.libraries[library]

    def versions(self, library: str) -> dict:
        """Returns the versions of a library's packages."""
        packages = self.library(library).packages
        return {package: importlib.import_module(package).__version__ for package in packages}

    def prepare(self, name: str, case: dict, save_to: str | None = None) -> dict:
        """Compiles, calls twice, and saves the results if a file is named."""
        self.programs[name] = program = self.library(name).program(Case(**case), name.split()[1])
        milliseconds, results = timed(program)
        if save_to:
            np.savez(save_to, *[self.library(name).array(result) for result in results])
        del results
        self.latest[name] = timed(program)[0]
        return {"milliseconds": milliseconds}

    def run(self, name: str) -> dict:
        """Calls once, if that is short after a call that does not count."""
        if self.latest[name] < WARM_BELOW:
            self.programs[name]()
        self.latest[name] = timed(self.programs[name])[0]
        return {"milliseconds": self.latest[name]}

    def forget(self) -> dict:
        """Drops the programs with their tensors."""
        self.programs.clear()
        return {}

    def memory(self, name: str, case: dict, calls: int) -> dict:
        """Returns the greatest resident memory during the last call above that with the inputs made.

        A short call of the same kind comes first, so that the library's own memory is there; the mark is put
        back before each call, so that the last of several is without compilation.
        """
        library, variant = self.library(name), name.split()[1]
        library.program(Case(**case)._replace(batch=1, length=16), variant)()
        program = library.program(Case(**case), variant)
        before = memory_status("VmRSS")
        for _ in range(calls):
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from VmRSS.
            milliseconds = timed(program)[0]  # The results of a call are gone before the next.
        return {"milliseconds": milliseconds, "bytes": max(0, memory_status("VmHWM") - before)}


def main() -> None:
    """Answers until stdin ends."""
    # Only answers go to stdout: what libraries print there goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = getattr(server, message.pop("command"))(**message)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
