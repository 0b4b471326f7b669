"""The devices that a batch is distributed over."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import tensorflow as tf

from attnzoo.config.sections import TrainOptions
from attnzoo.errors import UserError
from attnzoo.gpus import VISIBLE_DEVICES
from attnzoo.startup import num_cpus

STEPS_PER_CALL_ON_GPU = 8


def make_strategy(replicas: int) -> tf.distribute.Strategy:
    """Returns the strategy for `replicas` devices of this machine: GPUs if there are any, else logical CPUs.

    Raises:
        UserError: there are fewer GPUs, or TensorFlow was started with another number of logical CPUs.
    """
    if replicas == 1:
        return tf.distribute.get_strategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if len(gpus) < replicas:
            raise UserError(
                f"train.replicas: {replicas}: this process sees {len(gpus)} GPUs (those of this machine that "
                f"{VISIBLE_DEVICES} leaves); lower it."
            )
        return _mirrored_strategy("GPU", replicas)
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) < replicas:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
            )
        except RuntimeError as error:
            raise UserError(f"train.replicas: {replicas}: {error}") from None
    return _mirrored_strategy("CPU", replicas)


@functools.cache
def _mirrored_strategy(kind: str, replicas: int) -> tf.distribute.Strategy:
    """Returns one strategy for a process: TensorFlow confuses the collective operations of several."""
    devices = [f"{kind}:{number}" for number in range(replicas)]
    reduction = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None  # None: by NCCL
    return tf.distribute.MirroredStrategy(devices, reduction)


def steps_per_call(options: TrainOptions) -> int:
    """Returns the most steps that are taken in one call."""
    if options.steps_per_call == "auto":
        return STEPS_PER_CALL_ON_GPU if steps_overlap_input() else 1
    return options.steps_per_call


def steps_overlap_input() -> bool:
    """Returns whether steps run on a GPU, while the CPU reads the batches of the next ones."""
    return bool(tf.config.list_physical_devices("GPU"))


def describe_device() -> str:
    """Returns a human-readable name of the device that the model runs on."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        threads = tf.config.threading.get_intra_op_parallelism_threads() or num_cpus()
        return f"CPU, {threads} of {os.cpu_count()} threads"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return name if len(gpus) == 1 else f"{len(gpus)} x {name}"


def multiplies_bfloat16() -> bool:
    """Returns whether the CPU has bfloat16 matrix instructions; detected only on Linux with x86."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
