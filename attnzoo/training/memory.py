"""Memory of a training step, estimated from its graph and compared with the available memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config import RunConfig
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.errors import UserError
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.free_memory import allocator_limit, free_memory
from attnzoo.startup import ALLOCATOR_LIMIT, num_cpus
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.tasks.task import Task
from attnzoo.training.step import TrainStep

MARGIN = 1.5
"""Training is refused if the estimate exceeds the available memory by this factor: it is a coarse one."""
COMPILER_BYTES = 256 << 20
"""Memory for compiling and running a small step, in addition to its tensors (measured: 200 to 450 MiB)."""

_BUFFER_ALIASES = (
    "Identity",
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "StopGradient",
    "PreventGradient",
    "ReadVariableOp",
)
"""Operations whose output shares the buffer of an input."""
_NO_BUFFER = ("Placeholder", "Const")
_NEVER_IN_PLACE = ("Conv", "MatMul", "Pool", "Einsum", "Transpose", "Concat", "Pack", "Gather", "Tile", "Pad")
"""Parts of the names of operations that never reuse the buffer of an input for their output."""


def require_memory(
    config: RunConfig,
    info: DataInfo,
    examples: Examples,
    task: Task,
    train_step: TrainStep,
    evaluator: Evaluator,
) -> None:
    """Refuses a training whose largest batch would need far more memory than is available.

    Checked only for a single replica on a CPU; a GPU has memory of its own.

    Args:
        config: all options.
        info: what is known about the data.
        examples: training examples.
        task: the task, which makes the batches.
        train_step: its weights and optimizer slots are already allocated.
        evaluator: checked too if its batches are larger.

    Raises:
        UserError: it states the estimate, the available memory, and which options need less.
    """
    if config.train.replicas > 1 or tf.config.list_physical_devices("GPU"):
        return
    train, lengths = config.train, info.buckets[-1] if info.buckets else {}
    size = pipeline.BatchSizes(train.batch_size, train.batch_tokens).of(lengths)
    larger = evaluator.sizes.of(lengths)
    held = num_bytes(train_step.persistent_values())
    if _bound(max(size, larger), info, train_step.model) + held < _allowed(held)[0]:
        return
    batch = {"train.batch_size": size}
    if train.batch_tokens is not None:
        batch = {"train.batch_tokens": train.batch_tokens}
    specs = _specs(size, info, examples, task, config)
    needed = peak_bytes(train_step.graph(*specs)) + _waiting_bytes(specs, train.gradient_accumulation_steps)
    _require(f"a training step of {size} examples", needed, held, _smaller(batch, config, info))
    if larger > size:
        specs = _specs(larger, info, examples, task, None)
        needed = peak_bytes(evaluator.graph(*specs)) + _waiting_bytes(specs, 1)
        what = f"an evaluation of {larger} examples at a time"
        _require(what, needed, held, _smaller({"eval.batch_size": larger}, config, info))


def _bound(size: int, info: DataInfo, model: keras.Model) -> int:
    """Returns a generous upper bound of the memory of a step, without tracing it, which takes a second."""
    positions = [
        math.prod(feature.shape[:2]) for feature in info.features.values() if isinstance(feature, Image)
    ]
    length = max([1, *positions, *(info.buckets[-1].values() if info.buckets else ())])
    width = max([length, *(dim for weight in model.weights for dim in weight.shape)])
    return COMPILER_BYTES + 4 * size * length * width * len(model.weights)


def _allowed(held: int) -> tuple[int, str]:
    """Returns the bytes available to a training that holds some already, and what limits them."""
    free, source = free_memory()
    limit = allocator_limit()
    return (free + held, source) if limit is None else min((free + held, source), (limit, ALLOCATOR_LIMIT))


def _require(what: str, needed: int, held: int, smaller: str) -> None:
    """Raises a `UserError` if far more memory is needed than is available, in addition to weights."""
    allowed, source = _allowed(held)
    needed += held + COMPILER_BYTES
    if needed > MARGIN * allowed:
        raise UserError(
            f"out of memory: {what} needs about {needed >> 20:,} MiB, but {source} allows only "
            f"{allowed >> 20:,} MiB; reduce {smaller}."
        )


def _smaller(batch: dict[str, int], config: RunConfig, info: DataInfo) -> str:
    """Returns the options that determine the memory of a step, with their current values."""
    data, model = config.data.model_dump(), config.model.model_dump()
    values = {name: str(value) for name, value in batch.items()}
    for feature in info.features.values():
        if isinstance(feature, Image):
            values["data.image_size"] = str(list(feature.shape[:2]))
    if "max_length" in data and info.buckets:
        values["data.max_length"] = f"{data['max_length']}, texts have up to {max(info.buckets[-1].values())}"
    values |= {f"model.{name}": str(model[name]) for name in ("units", "stages") if name in model}
    options = [f"{name} (now {value})" for name, value in values.items()]
    return ", ".join(options[:-1]) + f" or {options[-1]}"


def _specs(
    size: int, info: DataInfo, examples: Examples, task: Task, config: RunConfig | None
) -> pipeline.Batch:
    """Returns the tensor specs of a batch of the longest bucket, derived from the first example.

    With a config it is a training batch, otherwise an evaluation batch.
    """
    bucket = max(0, len(info.buckets) - 1)
    planned = pipeline.PlannedBatch(np.zeros(1, np.int32), 1, bucket, examples.encoded)
    make_batch = task.make_batch(info, examples, config.train if config else None)
    changes = config.data if config else None
    one = next(iter(pipeline.batches(examples, info, iter([(0, planned)]), make_batch, changes=changes)))
    return tf.nest.map_structure(lambda part: tf.TensorSpec([size, *part.shape[1:]], part.dtype), one)


def _waiting_bytes(specs: pipeline.Batch, taken: int) -> int:
    """Returns what batches take: those that are ready, those that are being made and those of the step."""
    return num_bytes(tf.nest.flatten(specs)) * (pipeline.PREFETCHED + num_cpus() + taken)


def num_bytes(tensors: Iterable[tf.Tensor | tf.TensorSpec]) -> int:
    """Returns the bytes of the tensors whose shapes are known; others count as 0."""
    known = (tensor for tensor in tensors if tensor.shape.is_fully_defined())
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in known)


def peak_bytes(graph: tf.Graph) -> int:
    """Returns the peak bytes of the tensors in a function's graph, without its inputs.

    It assumes that operations run one after another, that each tensor lives until its last use, and that a
    result reuses the buffer of an input that is not used again. So attention logits count where they are
    materialized, and not where attention is computed in blocks. Values that loops keep of their iterations
    are not counted.
    """
    operations = graph.get_operations()
    owners: dict[str, str] = {}  # name of a tensor -> name of the tensor whose buffer it shares
    sizes: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, operation in enumerate(operations):
        for tensor in operation.outputs:
            if operation.type in _BUFFER_ALIASES:
                first = operation.inputs[0].name
                owners[tensor.name] = owners.get(first, first)
            else:
                owners[tensor.name] = tensor.name
                sizes[tensor.name] = 0 if operation.type in _NO_BUFFER else num_bytes([tensor])
            last[owners[tensor.name]] = number
    for number, operation in enumerate(operations):  # a loop gets some of its inputs after its creation
        for tensor in operation.inputs:
            last[owners[tensor.name]] = max(number, last[owners[tensor.name]])
    last.update((owners[tensor.name], len(operations)) for tensor in graph.outputs)
    taken = peak = 0
    for number, operation in enumerate(operations):
        used = {owners[tensor.name] for tensor in (*operation.inputs, *operation.outputs)}
        made = sum(sizes.get(tensor.name, 0) for tensor in operation.outputs)
        gone = sum(sizes.get(name, 0) for name in used if last[name] == number)
        in_place = 0 if any(part in operation.type for part in _NEVER_IN_PLACE) else min(made, gone)
        inner = max(map(peak_bytes, _called(operation)), default=0)
        peak = max(peak, taken + made - in_place + inner)
        taken += made - gone
    return peak


def _called(operation: tf.Operation) -> Iterator[tf.Graph]:
    """Yields the graphs of the functions that an operation calls."""
    attributes = operation.node_def.attr
    for name in attributes:
        if attributes[name].HasField("func"):
            yield operation.graph._get_function(attributes[name].func.name).graph
