"""How much memory a step takes: estimated from its graph, and held against what there is."""

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
from attnzoo.startup import ALLOCATOR_LIMIT, processors
from attnzoo.tasks.evaluating import Evaluator
from attnzoo.tasks.task import Task
from attnzoo.training.step import TrainStep

MARGIN = 1.5
"""Times what is there an estimate may be: it is coarse, and a training that would work is not refused."""
COMPILER_BYTES = 256 << 20
"""What compiling and running a small step took on top of its tensors (measured: 200 to 450 MiB)."""

_SHARED = (
    "Identity",
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "StopGradient",
    "PreventGradient",
    "ReadVariableOp",
)
"""Operations whose output is the buffer of an input."""
_OUTSIDE = ("Placeholder", "Const")
_APART = ("Conv", "MatMul", "Pool", "Einsum", "Transpose", "Concat", "Pack", "Gather", "Tile", "Pad")
"""Parts of the names of operations that never write into the buffer of an input."""


def require(
    config: RunConfig,
    info: DataInfo,
    examples: Examples,
    task: Task,
    train_step: TrainStep,
    evaluator: Evaluator,
) -> None:
    """Refuses a training whose largest batch would take far more memory than there is.

    Only for one device that is not a GPU, whose memory is its own.

    Args:
        config: all options.
        info: what is known of the data.
        examples: of train.
        task: makes batches.
        train_step: whose weights and slots have their memory already.
        evaluator: is looked at where its batches are the larger ones.

    Raises:
        UserError: with the estimate, what is there, and what takes less.
    """
    if config.train.replicas > 1 or tf.config.list_physical_devices("GPU"):
        return
    train, lengths = config.train, info.buckets[-1] if info.buckets else {}
    size = pipeline.BatchSizes(train.batch_size, train.batch_tokens).of(lengths)
    larger = evaluator.sizes.of(lengths)
    held = bytes_of(train_step.kept_values())
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
    """Returns what a step is very unlikely to take, without its graph: tracing one takes a second."""
    positions = [math.prod(one.shape[:2]) for one in info.features.values() if isinstance(one, Image)]
    most = max([1, *positions, *(info.buckets[-1].values() if info.buckets else ())])
    widest = max([most, *(dim for weight in model.weights for dim in weight.shape)])
    return COMPILER_BYTES + 4 * size * most * widest * len(model.weights)


def _allowed(held: int) -> tuple[int, str]:
    """Returns the bytes that there are for a training that holds some already, and what sets this bound."""
    free, source = free_memory()
    limit = allocator_limit()
    return (free + held, source) if limit is None else min((free + held, source), (limit, ALLOCATOR_LIMIT))


def _require(what: str, needed: int, held: int, smaller: str) -> None:
    """Refuses what needs far more memory than there is, besides what weights hold."""
    allowed, source = _allowed(held)
    needed += held + COMPILER_BYTES
    if needed > MARGIN * allowed:
        raise UserError(
            f"out of memory: {what} takes about {needed >> 20:,} MiB, and {source} allows "
            f"{allowed >> 20:,} MiB; lower {smaller}."
        )


def _smaller(batch: dict[str, int], config: RunConfig, info: DataInfo) -> str:
    """Returns what decides how much memory is taken, with the values that it has."""
    data, model = config.data.model_dump(), config.model.model_dump()
    values = {name: str(value) for name, value in batch.items()}
    for feature in info.features.values():
        if isinstance(feature, Image):
            values["data.image_size"] = str(list(feature.shape[:2]))
    if "max_length" in data and info.buckets:
        values["data.max_length"] = f"{data['max_length']}, texts have up to {max(info.buckets[-1].values())}"
    values |= {f"model.{name}": str(model[name]) for name in ("units", "stages") if name in model}
    texts = [f"{name} (now {value})" for name, value in values.items()]
    return ", ".join(texts[:-1]) + f" or {texts[-1]}"


def _specs(
    size: int, info: DataInfo, examples: Examples, task: Task, config: RunConfig | None
) -> pipeline.Batch:
    """Returns what a batch of the longest bucket looks like, as the first example shows it.

    A batch of training where there is a config, else one of evaluations.
    """
    bucket = max(0, len(info.buckets) - 1)
    planned = pipeline.PlannedBatch(np.zeros(1, np.int32), 1, bucket, examples.encoded)
    make_batch = task.make_batch(info, examples, config.train if config else None)
    changes = config.data if config else None
    one = next(iter(pipeline.batches(examples, info, iter([(0, planned)]), make_batch, changes=changes)))
    return tf.nest.map_structure(lambda part: tf.TensorSpec([size, *part.shape[1:]], part.dtype), one)


def _waiting_bytes(specs: pipeline.Batch, taken: int) -> int:
    """Returns what batches take: those that are ready, those that are being made and those of the step."""
    return bytes_of(tf.nest.flatten(specs)) * (pipeline.PREFETCHED + processors() + taken)


def bytes_of(tensors: Iterable[tf.Tensor | tf.TensorSpec]) -> int:
    """Returns what tensors take whose shapes are known; others count as nothing."""
    known = (tensor for tensor in tensors if tensor.shape.is_fully_defined())
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in known)


def peak_bytes(graph: tf.Graph) -> int:
    """Returns the most bytes that the tensors of a function's graph take at a time, its inputs left out.

    Operations run one after another, each tensor lives until its last use, and a result takes the place of
    an input that is not used again. So attention counts its logits where it keeps them, and where it goes
    over blocks it does not. What loops keep of their rounds is not counted.
    """
    operations = graph.get_operations()
    owners: dict[str, str] = {}  # name of a tensor -> of the one whose buffer it has
    sizes: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, operation in enumerate(operations):
        for tensor in operation.outputs:
            if operation.type in _SHARED:
                first = operation.inputs[0].name
                owners[tensor.name] = owners.get(first, first)
            else:
                owners[tensor.name] = tensor.name
                sizes[tensor.name] = 0 if operation.type in _OUTSIDE else bytes_of([tensor])
            last[owners[tensor.name]] = number
    for number, operation in enumerate(operations):  # a loop gets some of its inputs after it was made
        for tensor in operation.inputs:
            last[owners[tensor.name]] = max(number, last[owners[tensor.name]])
    last.update((owners[tensor.name], len(operations)) for tensor in graph.outputs)
    taken = peak = 0
    for number, operation in enumerate(operations):
        used = {owners[tensor.name] for tensor in (*operation.inputs, *operation.outputs)}
        made = sum(sizes.get(tensor.name, 0) for tensor in operation.outputs)
        gone = sum(sizes.get(name, 0) for name in used if last[name] == number)
        in_place = 0 if any(part in operation.type for part in _APART) else min(made, gone)
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
