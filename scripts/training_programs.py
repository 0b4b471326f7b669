"""Training steps of recipes, as TensorFlow hands them to XLA for a GPU: a part of other scripts and tests.

A step is two programs: the gradients of a batch, and the update of the weights.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.config import ResolvedConfig, RunConfig, resolve
from attnzoo.data import examples as data_examples
from attnzoo.data import pipeline
from attnzoo.features.info import DataInfo
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, load_task
from attnzoo.tasks.task import Task
from attnzoo.training import optimizers
from attnzoo.training.step import TrainStep

TEXT = """
seed: 1
data: {{name: csv, train: {folder}/train.csv, test: {folder}/train.csv, vocabulary_size: {vocabulary},
  max_length: {time}, num_buckets: 1}}
model:
  name: text_classifier
  units: {units}
  num_layers: {layers}
  attention: {{name: multi_head, num_heads: 8}}
train: {{epochs: 1, batch_size: {batch}, precision: mixed_bfloat16}}
"""


class Prepared(NamedTuple):
    """A model with a batch."""

    config: RunConfig
    task: Task
    info: DataInfo
    model: keras.Model
    batch: pipeline.Batch


def prepare(resolved: ResolvedConfig) -> Prepared:
    """Builds the model of a config, without a run, and makes its first batch of the most frequent shape."""
    config = resolved.config
    task = load_task(config)
    info, examples = data_examples.learn(load_splits(config), config.data, task.name, task.features, None)
    train = data_examples.with_resamplers(examples["train"], info, config.data)
    sizes = pipeline.BatchSizes(config.train.batch_size, config.train.batch_tokens)
    planned = list(pipeline.plan_epoch(train, info, sizes, (config.seed, 0)))
    ((bucket, _),) = collections.Counter(plan.bucket for plan in planned).most_common(1)
    plans = ((0, plan) for plan in planned if plan.bucket == bucket)
    make_batch = task.make_batch(info, train, config.train)
    batch = next(iter(pipeline.batches(train, info, plans, make_batch, changes=config.data)))
    return Prepared(config, task, info, build_model(config, info), batch)


def lower(function: Callable, *arguments: Any, stage: str = "hlo") -> Any:
    """Returns the program that XLA compiles of a function on a GPU.

    Raises:
        tf.errors.InvalidArgumentError: it has an operation that XLA cannot compile for a GPU.
    """
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(*arguments)(stage=stage, platform_name="GPU")


def with_values(variables: Sequence[keras.Variable], function: Callable) -> Callable:
    """Returns a function without state, which takes the values of variables before its own arguments.

    XLA lowers nothing that holds variables for a GPU that is not there.
    """

    def program(values, *arguments):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(values, *arguments)

    return program


def gradients_function(prepared: Prepared) -> tuple[Callable, list[Any]]:
    """Returns a function of the gradients of a batch, and its arguments: values of the model, and the batch.

    It returns the sum and count of the loss <float32>[2] first.
    """
    config, task, info, model, batch = prepared
    trained = {variable.path for variable in model.trainable_variables}

    def gradients(values, inputs, targets):
        watched = [value for one, value in zip(model.variables, values, strict=True) if one.path in trained]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            sums = task.sums(model, info.model_inputs(inputs), targets, config.train)
            loss = sums["loss"][0]
        computed = tape.gradient(loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return sums["loss"], [tf.convert_to_tensor(gradient) for gradient in computed], sums

    values = [tf.convert_to_tensor(variable.value) for variable in model.variables]
    return with_values(model.variables, gradients), [values, *batch]


def lower_gradients(prepared: Prepared, stage: str = "hlo") -> Any:
    """Returns the program of the gradients of a batch; raises as `lower` does."""
    function, arguments = gradients_function(prepared)
    return lower(function, *arguments, stage=stage)


def lower_update(prepared: Prepared) -> bytes:
    """Returns the program of the update, of gradients, count of targets, learning rate and its variables.

    It is lowered as for a CPU, which may have variables: it consists of operations on single elements, and of
    sums, for which that makes no difference.
    """
    config, task, _, model, _ = prepared
    optimizer = optimizers.build(config.train)
    strategy = tf.distribute.get_strategy()
    step = TrainStep(model, optimizer, task, prepared.info, config.train, strategy, xla=True)
    gradients = [tf.zeros(variable.shape) for variable in model.trainable_variables]
    lowered = step._compiled_update.experimental_get_compiler_ir(gradients, tf.ones([]), tf.ones([]))
    return lowered(stage="hlo_serialized")


def long_texts(folder: Path, overrides: Sequence[str] = (), small: bool = False) -> ResolvedConfig:
    """Returns a text classifier of 6 layers and 512 units in bfloat16, for 32 made texts of 2,048 tokens.

    Args:
        folder: where the texts are written to.
        overrides: further options, as with `--set`.
        small: whether all sizes are those of a test.
    """
    sizes = {"batch": 32, "time": 2048, "units": 512, "layers": 6, "vocabulary": 30_000}
    if small:
        sizes = {"batch": 4, "time": 64, "units": 64, "layers": 2, "vocabulary": 200}
    texts = _made_texts(sizes["batch"], sizes["time"], sizes["vocabulary"])
    lines = [f"{text},{('good', 'bad')[number % 2]}" for number, text in enumerate(texts)]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    (folder / "long_texts.yaml").write_text(TEXT.format(folder=folder, **sizes), "utf-8")
    return resolve(folder / "long_texts.yaml", list(overrides))


def multi30k(folder: Path, overrides: Sequence[str] = (), small: bool = False) -> ResolvedConfig:
    """Returns the recipe of Multi30k with made texts: vocabulary of 10,000, batches of 128 x 32.

    Arguments are those of `long_texts`.
    """
    vocabulary = 200 if small else 10_000
    for side in "ab":
        for split, count in (("train", 8 if small else 2048), ("other", 7)):
            lines = _made_texts(count, 31, vocabulary)
            (folder / f"{split}.{side}").write_text("\n".join(lines) + "\n", "utf-8")
    files = {"train": "train", "validation": "other", "test": "other"}
    sizes = ["data.vocabulary_size=200", "model.units=16", "train.batch_tokens=256"] if small else []
    return resolve(
        Path(__file__).parents[1] / "configs/translate_multi30k.yaml",
        [f"data.{split}=[{folder}/{name}.a, {folder}/{name}.b]" for split, name in files.items()]
        + ["data.tokenizer=words", "data.num_buckets=1", *sizes, *overrides],
    )


def _made_texts(count: int, words: int, vocabulary: int) -> list[str]:
    """Returns lines of random words, all of them in the vocabulary."""
    numbers = np.random.default_rng(count).integers(0, vocabulary, [count, words])
    numbers.flat[: min(vocabulary, numbers.size)] = np.arange(min(vocabulary, numbers.size))
    return [" ".join(f"w{number}" for number in line) for line in numbers]
