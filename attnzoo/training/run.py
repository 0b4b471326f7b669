"""`attnzoo train`: from a resolved config to a finished run folder."""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from attnzoo import catalog, tasks
from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.data import examples as data_examples
from attnzoo.data import pipeline
from attnzoo.data.examples import Examples
from attnzoo.data.pipeline import BatchSizes
from attnzoo.errors import EXIT_DAMAGED, Diverged, UserError
from attnzoo.info import IMAGE_CLASSIFICATION, DataInfo
from attnzoo.layers.naive_bayes import NaiveBayesNGrams
from attnzoo.run_dir import RunDir, build_model, evaluation_sizes, load_splits
from attnzoo.tasks import confusion
from attnzoo.tasks.scoring import Evaluator
from attnzoo.tensors import (
    by_name,
    disk_errors,
    read_json,
    remove_leftovers,
    values_of,
    write_tensors,
    write_text,
)
from attnzoo.training import changes, checkpoint, classes, distribution, layer_rates, optimizers
from attnzoo.training.console import Display, duration, metrics_text, next_commands, say, warn
from attnzoo.training.loop import Trainer, weights_kept
from attnzoo.training.records import Records
from attnzoo.training.step import Stepper


def train(
    resolved: ResolvedConfig,
    folder: Path,
    restart: bool = False,
    profile: tuple[int, int] | None = None,
    allowed: Collection[str] = (),
) -> None:
    """Trains, or continues, or says that there is nothing left to do.

    Args:
        resolved: the config.
        folder: the run folder.
        restart: remove what an earlier run left in it.
        profile: first and last step of a TensorBoard trace.
        allowed: what may differ from the start of a run that continues: keys of the config, "data", "code".

    Raises:
        UserError: bad data or options, a change that is not allowed, a locked folder (2), divergence (3), a
            damaged checkpoint or a disk that takes no more (4), a request to stop (75).
    """
    run = RunDir(folder)
    with run.lock():
        if restart:
            run.clear()
        remove_leftovers(run.checkpoints)
        changed = changes.of_config(run, resolved) + changes.of_code(run)
        changes.refuse(run, changed, allowed)
        if run.result.is_file() and not changed:
            result = _metrics_of(run)
            say(f"{folder}: finished already")
            say(result)
            say(next_commands(folder, catalog.load("models", resolved.config.model.name).TASK))
            return
        _train(run, resolved, profile, allowed, changed)


def _metrics_of(run: RunDir) -> str:
    """Returns the metrics of a finished run, for people."""
    result = read_json(run.result)
    try:
        return f"{result['split']}: {metrics_text(result['metrics'])}"
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{run.result}: damaged: not what a run writes.", EXIT_DAMAGED) from None


def _train(
    run: RunDir,
    resolved: ResolvedConfig,
    profile: tuple[int, int] | None,
    allowed: Collection[str],
    changed: list[str],
) -> None:
    config = resolved.config
    strategy = distribution.make_strategy(config.train.replicas)
    info, examples = _load_data(run, config, allowed)
    classes.require_known(resolved, info.labels)
    task = tasks.load(info.task)
    xla = use_xla(config)
    average = build_model(config, info, strategy) if config.train.ema else None
    model = build_model(config, info, strategy)
    with strategy.scope():
        optimizer = optimizers.build(config.train)
    if not run.steps():
        _give_first_weights(model, config, info, examples["train"])
    rates = layer_rates.assign(resolved, model)
    stepper = Stepper(model, optimizer, task, config.train, strategy, xla=xla, average=average, rates=rates)
    if average is not None:
        average.set_weights(model.get_weights())
    evaluator = Evaluator(
        average or model, task, info, evaluation_sizes(config), config.eval, strategy, xla=xla
    )
    checkpoint.require_space(run, stepper, weights_kept(config))
    progress = checkpoint.restore(run, stepper) or checkpoint.Progress()
    _write_beginning(run, resolved, info)
    for change in changed:
        warn(f"{run.path}: continues after step {progress.step} with a change of {change}.")
    if config.train.recoveries and progress.step == 0:
        checkpoint.save(run, stepper, progress)
    while True:
        try:
            with Records(run, progress.log_sizes) as records:
                trainer = Trainer(run, config, info, examples, task, stepper, evaluator, progress, records)
                _train_and_finish(trainer, resolved, profile, xla)
            return
        except Diverged as error:
            if progress.recoveries >= config.train.recoveries:
                raise
            progress = checkpoint.recover(run, stepper)
            warn(
                f"{error} Back to step {progress.step} with half the learning rate, "
                f"recovery {progress.recoveries} of {config.train.recoveries}."
            )


def _give_first_weights(model: keras.Model, config: RunConfig, info: DataInfo, examples: Examples) -> None:
    """Gives a run that begins the weights that do not depend on the seed alone."""
    for layer in model.layers:
        if isinstance(layer, NaiveBayesNGrams):
            layer.adapt(_texts_and_labels(examples, info, evaluation_sizes(config)))
    if config.train.init_from:
        origin = RunDir(Path(config.train.init_from))
        taken, fresh = checkpoint.start_from(origin, model)
        say(f"weights  {taken} tensors from {origin.path}" + (f", {len(fresh)} start anew" if fresh else ""))
        for name in fresh[:5]:
            say(f"         anew: {name.removeprefix('model/')}")


def _texts_and_labels(examples: Examples, info: DataInfo, sizes: BatchSizes) -> Iterator[tuple]:
    """Yields token ids <int32>[batch, time] and labels of one pass."""
    for inputs, targets in pipeline.batches(examples, info, pipeline.evaluation_plans(examples, info, sizes)):
        real = targets["weights"] > 0  # the others fill up a batch
        yield inputs["text"][real], targets["labels"][real]


def _train_and_finish(
    trainer: Trainer, resolved: ResolvedConfig, profile: tuple[int, int] | None, xla: bool
) -> None:
    progress, records = trainer.progress, trainer.records
    with Display(trainer.total_steps, progress.step, trainer.task.COUNTED) as display:
        _introduce(display, trainer, xla)
        if progress.step == 0:
            records.text("train", 0, "config", "```yaml\n" + resolved.to_yaml(with_origins=True) + "```")
        trainer.train(display, profile)
        _finish(trainer, display, resolved)


def _load_data(
    run: RunDir, config: RunConfig, allowed: Collection[str]
) -> tuple[DataInfo, dict[str, Examples]]:
    """Loads the data, and holds it against what a run that continues has seen before."""
    splits = load_splits(config)
    task = catalog.load("models", config.model.name).TASK
    if run.config.is_file():
        info = changes.of_data(run, splits, task, allowed)
        examples = {name: data_examples.encode_split(split, info) for name, split in splits.named().items()}
    else:
        learned = None
        if config.train.init_from:
            learned = DataInfo.read(RunDir(Path(config.train.init_from)).info).tokenizers
        info, examples = data_examples.learn(splits, config.data, task, learned)
    examples["train"] = data_examples.with_sampling(examples["train"], info, config.data)
    return info, examples


def _write_beginning(run: RunDir, resolved: ResolvedConfig, info: DataInfo) -> None:
    """Writes what a run is, once its data and its model stand; a mistake in them leaves no run behind."""
    with disk_errors(run.path):
        run.checkpoints.mkdir(exist_ok=True)
        run.logs.mkdir(exist_ok=True)
        run.result.unlink(missing_ok=True)
    versions = {**changes.code(), "device": distribution.describe_device()}
    texts = {
        run.machine: json.dumps(versions, indent=1) + "\n",
        run.info: info.to_json(),
        run.config: resolved.to_yaml(with_origins=False),
    }
    for path, text in texts.items():
        write_text(path, text)


def use_xla(config: RunConfig) -> bool:
    """Returns whether the training step is compiled with XLA.

    "auto" says yes, but for several replicas, and on a CPU where products of TensorFlow itself (oneDNN) are
    much faster than XLA's: convolutions of images, and bfloat16 on a processor that multiplies it.

    Raises:
        UserError: `xla: true` for several replicas on one CPU, which XLA sees as one device.
    """
    replicas, on_cpu = config.train.replicas, not tf.config.list_physical_devices("GPU")
    if config.train.xla == "auto":
        images = catalog.load("models", config.model.name).TASK == IMAGE_CLASSIFICATION
        half = config.train.precision == "mixed_bfloat16" and distribution.multiplies_bfloat16()
        return replicas == 1 and not (on_cpu and (images or half))
    if config.train.xla and replicas > 1 and on_cpu:
        raise UserError("train.xla: true does not go with several train.replicas on a CPU; set it to auto.")
    return bool(config.train.xla)


def _introduce(display: Display, trainer: Trainer, xla: bool) -> None:
    run, config, info, step = trainer.run, trainer.config, trainer.info, trainer.progress.step
    names = [name for name in ("train", "validation", "test") if name in info.num_examples]
    counts = ", ".join(f"{name} {info.num_examples[name]:,}" for name in names)
    display.line(f"run      {run.path}" + (f" (continues after step {step})" if step else ""))
    display.line(f"data     {config.data.name}: {counts} examples{_data_details(info)}")
    for line in classes.imbalance(info.labels, {name: trainer.examples[name].labels for name in names}):
        display.line(f"         {line}")
    display.line(f"model    {config.model.name}: {_counted(trainer.stepper.model, config)}")
    display.line(
        f"device   {distribution.describe_device()}, {config.train.replicas} replica(s), "
        f"{config.train.precision}, XLA {'on' if xla else 'off'}"
    )


def _counted(model: keras.Model, config: RunConfig) -> str:
    text = f"{model.count_params():,} weights"
    if not config.train.layer_rates:
        return text
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return f"{text}, {trained:,} of them trained"


def _data_details(info: DataInfo) -> str:
    if info.image_shape:
        height, width, channels = info.image_shape
        return f", {height} x {width} x {channels} pixels, {info.num_classes} classes"
    sizes = ", ".join(f"{size:,} {name} tokens" for name, size in info.vocabulary_sizes.items())
    buckets = " ".join("x".join(map(str, bucket.values())) for bucket in info.buckets)
    shares = ", ".join(f"{name} {share:.2%}" for name, share in info.cut_share.items() if share)
    cut = f", tokens cut: {shares}" if shares else ""
    classes = f", {info.num_classes} classes" if info.labels else ""
    return f"{classes}, vocabulary of {sizes}, padded to {buckets}{cut}"


def _finish(trainer: Trainer, display: Display, resolved: ResolvedConfig) -> None:
    run, config, progress = trainer.run, trainer.config, trainer.progress
    steps = checkpoint.chosen_steps(run, trainer.task, progress.best_step, config.eval)
    chosen = checkpoint.give_mean(run, trainer.evaluator.model, steps)
    split = "test" if "test" in trainer.examples else "validation"
    begin = time.monotonic()
    temperature = trainer.evaluator.fit_temperature(trainer.examples["validation"])
    report = trainer.evaluator.report(trainer.examples[split], temperature)
    metrics = report.metrics
    numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    shown = split if split == "test" else "final"
    trainer.records.numbers(shown, progress.step, numbers)
    if report.confusion_matrix is not None:
        picture = confusion.draw(report.confusion_matrix, trainer.info.labels)
        trainer.records.image(shown, progress.step, "confusion_matrix", picture)
    trainer.records.hparams(resolved.flat(), numbers, progress.step)
    trainer.records.flush()
    values = values_of(by_name(trainer.evaluator.model.weights, "model"))
    state = {"weights": chosen} | ({} if temperature is None else {"temperature": temperature})
    write_tensors(run.final, values, state)
    result = {
        "split": split,
        "validation": {trainer.task.MONITOR: progress.best_value},
        "examples": len(trainer.examples[split]),
        "metrics": metrics,
        "weights": chosen,
        "num_weights": trainer.stepper.model.count_params(),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "steps": progress.step,
        "training_seconds": round(progress.seconds, 1),
        "evaluation_seconds": round(time.monotonic() - begin, 1),
    }
    write_text(run.result, json.dumps(result, indent=1) + "\n")
    early = " (stopped early)" if progress.stopped_early else ""
    display.line(f"trained {progress.step} steps in {duration(progress.seconds)}{early}; weights of {chosen}")
    display.line(f"{split}: {metrics_text(metrics)}")
    for name, value in metrics.items():
        if isinstance(value, str):
            display.line(f"  {name} {value}")
    display.line(next_commands(run.path, trainer.info.task))
