"""`attnzoo train`: from a resolved config to a finished run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from attnzoo.config import ResolvedConfig, RunConfig
from attnzoo.data import examples as data_examples
from attnzoo.data.examples import Examples
from attnzoo.errors import EXIT_DAMAGED, Diverged, UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors, read_json, remove_leftovers, write_text
from attnzoo.layers.adapted import Batches, adapt
from attnzoo.runs.building import build_model, evaluation_sizes
from attnzoo.runs.data import load_splits, task_of
from attnzoo.runs.folder import RunDir
from attnzoo.startup import peak_memory_bytes
from attnzoo.tasks.evaluating import Evaluator, evaluation_batches
from attnzoo.tasks.task import Task
from attnzoo.training import (
    changes,
    checkpoint,
    distribution,
    initial,
    learning_rate_multipliers,
    memory,
    optimizers,
    selection,
)
from attnzoo.training.console import Display, duration, metrics_text, next_lines, say, warn
from attnzoo.training.loop import Trainer, weights_kept
from attnzoo.training.records import Records
from attnzoo.training.step import TrainStep
from attnzoo.variables import by_name, values_of, write_tensors

MIN_EVALUATIONS = 3
"""Of a training, to say whether it was long enough."""
MIN_GAIN = 0.005
"""By which the loss has to have fallen last for a training to be called too short."""
LONGER = 1.5


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
        restart: remove what an earlier run wrote into it.
        profile: first and last step of a TensorBoard trace.
        allowed: what may differ from the start of a run that continues: keys of the config, "data", "code".

    Raises:
        UserError: bad data or options, a change that is not allowed, a folder that is locked or no run (2),
            divergence (3), a damaged checkpoint or a disk that takes no more (4), a request to stop (75).
    """
    run = RunDir(folder)
    run.refuse_others()
    with run.lock():
        resolved, taken = initial.with_options(resolved)
        if restart:
            run.clear()
        remove_leftovers(run.checkpoints)
        changed = changes.of_config(run, resolved) + changes.of_code(run)
        changes.refuse(run, changed, allowed)
        if run.result.is_file() and not changed:
            result = _read_result(run)
            say(f"{folder}: finished already")
            say(f"{result['split']}: {metrics_text(result['metrics'])}")
            say(next_lines(task_of(resolved.config).next_commands(folder, bool(result.get("attends")))))
            return
        if taken:
            say(f"options  {', '.join(taken)}, as in {resolved.config.train.init_from}")
        _train(run, resolved, profile, allowed, changed)


def _read_result(run: RunDir) -> dict:
    """Returns what a finished run wrote of its result.

    Raises:
        UserError: it is damaged (4).
    """
    result = read_json(run.result)
    try:
        metrics_text(result["metrics"])
        str(result["split"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{run.result}: damaged: not what a run writes.", EXIT_DAMAGED) from None
    return result


def _train(
    run: RunDir,
    resolved: ResolvedConfig,
    profile: tuple[int, int] | None,
    allowed: Collection[str],
    changed: list[str],
) -> None:
    config = resolved.config
    strategy = distribution.make_strategy(config.train.replicas)
    task = task_of(config)
    info, examples = _load_data(run, config, task, allowed)
    task.check_data(resolved, info, examples)
    xla = use_xla(config, task)
    average = build_model(config, info, strategy) if config.train.ema_decay else None
    model = build_model(config, info, strategy)
    with strategy.scope():
        optimizer = optimizers.build(config.train)
    if not run.steps():
        _initialize_weights(model, config, task, info, examples["train"])
    rates = learning_rate_multipliers.assign(resolved, model)
    train_step = TrainStep(
        model, optimizer, task, config.train, strategy, xla=xla, average=average, rates=rates
    )
    if average is not None:
        average.set_weights(model.get_weights())
    evaluator = Evaluator(
        average or model, task, info, evaluation_sizes(config), config.eval, strategy, xla=xla
    )
    memory.require(config, info, examples["train"], task, train_step, evaluator)
    checkpoint.require_space(run, train_step, weights_kept(config))
    progress = checkpoint.restore(run, train_step) or checkpoint.Progress()
    _write_beginning(run, resolved, info)
    for change in changed:
        warn(f"{run.path}: continues after step {progress.step} with a change of {change}.")
    if config.train.max_recoveries and progress.step == 0:
        checkpoint.save(run, train_step, progress)
    while True:
        try:
            with Records(run, progress.log_sizes) as records:
                trainer = Trainer(run, config, info, examples, task, train_step, evaluator, progress, records)
                _train_and_finish(trainer, resolved, profile, xla)
            return
        except Diverged as error:
            if progress.recoveries >= config.train.max_recoveries:
                raise
            progress = checkpoint.recover(run, train_step)
            warn(
                f"{error} Back to step {progress.step} with half the learning rate, "
                f"recovery {progress.recoveries} of {config.train.max_recoveries}."
            )


def _initialize_weights(
    model: keras.Model, config: RunConfig, task: Task, info: DataInfo, examples: Examples
) -> None:
    """Gives a run that begins the weights that do not depend on the seed alone."""

    def batches() -> Batches:
        for inputs, targets in evaluation_batches(task, examples, info, evaluation_sizes(config)):
            real = targets["weights"] > 0  # the others fill up a batch
            yield tf.nest.map_structure(lambda part, real=real: part[real], (inputs, targets))

    adapt(model, batches)
    if config.train.init_from:
        origin = RunDir(Path(config.train.init_from))
        taken, fresh = initial.assign_weights(origin, model)
        say(f"weights  {taken} tensors from {origin.path}" + (f", {len(fresh)} start anew" if fresh else ""))
        for name in fresh[:5]:
            say(f"         anew: {name.removeprefix('model/')}")


def _train_and_finish(
    trainer: Trainer, resolved: ResolvedConfig, profile: tuple[int, int] | None, xla: bool
) -> None:
    progress, records = trainer.progress, trainer.records
    with Display(trainer.total_steps, progress.step, trainer.task.unit) as display:
        _introduce(display, trainer, xla)
        if progress.step == 0:
            records.text("train", 0, "config", "```yaml\n" + resolved.to_yaml(with_origins=True) + "```")
        trainer.train(display, profile)
        _finish(trainer, display, resolved)


def _load_data(
    run: RunDir, config: RunConfig, task: Task, allowed: Collection[str]
) -> tuple[DataInfo, dict[str, Examples]]:
    """Loads the data, and holds it against what a run that continues has seen before."""
    splits = load_splits(config)
    if run.config.is_file():
        info = changes.of_data(run, splits, task.name, allowed)
        examples = {name: data_examples.encode_split(split, info) for name, split in splits.named().items()}
    else:
        other = DataInfo.read(RunDir(Path(config.train.init_from)).info) if config.train.init_from else None
        info, examples = data_examples.learn(splits, config.data, task.name, task.features, other)
    examples["train"] = data_examples.with_redraws(examples["train"], info, config.data)
    return info, examples


def _write_beginning(run: RunDir, resolved: ResolvedConfig, info: DataInfo) -> None:
    """Writes what a run is, once its data and its model stand; a mistake in them leaves no run behind."""
    versions = {**changes.code(), "device": distribution.describe_device()}
    write_text(run.machine, json.dumps(versions, indent=1) + "\n")  # By it the folder is known as a run.
    with disk_errors(run.path):
        run.checkpoints.mkdir(exist_ok=True)
        run.logs.mkdir(exist_ok=True)
        run.result.unlink(missing_ok=True)
    write_text(run.info, info.to_json())
    write_text(run.config, resolved.to_yaml(with_origins=False))


def use_xla(config: RunConfig, task: Task) -> bool:
    """Returns whether the training step is compiled with XLA.

    "auto" says yes, but for several replicas, and on a CPU where products of TensorFlow itself (oneDNN) are
    much faster than XLA's: convolutions of images, and bfloat16 on a processor that multiplies it.

    Raises:
        UserError: `xla: true` for several replicas on one CPU, which XLA sees as one device.
    """
    replicas, on_cpu = config.train.replicas, not tf.config.list_physical_devices("GPU")
    if config.train.xla == "auto":
        half = config.train.precision == "mixed_bfloat16" and distribution.multiplies_bfloat16()
        return replicas == 1 and not (on_cpu and (not task.compiles_well or half))
    if config.train.xla and replicas > 1 and on_cpu:
        raise UserError("train.xla: true does not go with several train.replicas on a CPU; set it to auto.")
    return bool(config.train.xla)


def _introduce(display: Display, trainer: Trainer, xla: bool) -> None:
    run, config, info, step = trainer.run, trainer.config, trainer.info, trainer.progress.step
    names = [name for name in ("train", "validation", "test") if name in info.num_examples]
    counts = ", ".join(f"{name} {info.num_examples[name]:,}" for name in names)
    display.line(f"run      {run.path}" + (f" (continues after step {step})" if step else ""))
    display.line(f"data     {config.data.name}: {counts} examples{_data_details(info)}")
    for feature_name, feature in info.features.items():
        encoded = {name: trainer.examples[name].encoded for name in names}
        columns = {name: values[feature_name] for name, values in encoded.items() if feature_name in values}
        for line in feature.balance(columns):
            display.line(f"         {line}")
    display.line(f"model    {config.model.name}: {_counted(trainer.train_step.model, config)}")
    display.line(
        f"device   {distribution.describe_device()}, {config.train.replicas} replica(s), "
        f"{config.train.precision}, XLA {'on' if xla else 'off'}"
    )


def _counted(model: keras.Model, config: RunConfig) -> str:
    text = f"{model.count_params():,} parameters"
    if not config.train.learning_rate_multipliers:
        return text
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return f"{text}, {trained:,} of them trained"


def _data_details(info: DataInfo) -> str:
    phrases = [feature.phrase(name) for name, feature in info.features.items()]
    if info.buckets:
        phrases.append(
            "padded to " + " ".join("x".join(map(str, bucket.values())) for bucket in info.buckets)
        )
    shares = ", ".join(f"{name} {share:.2%}" for name, share in info.truncated_fraction.items() if share)
    if shares:
        phrases.append(f"tokens truncated: {shares}")
    return "".join(f", {phrase}" for phrase in phrases if phrase)


def _finish(trainer: Trainer, display: Display, resolved: ResolvedConfig) -> None:
    run, config, progress = trainer.run, trainer.config, trainer.progress
    steps = selection.chosen_steps(run, trainer.task, progress.best_step, config.eval)
    chosen = checkpoint.average_checkpoints(run, trainer.evaluator.model, steps)
    split = "test" if "test" in trainer.examples else "validation"
    begin = time.monotonic()
    fitted = trainer.evaluator.fit(trainer.examples["validation"])
    report = trainer.evaluator.report(trainer.examples[split], fitted)
    metrics = report.metrics
    numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    shown = split if split == "test" else "final"
    trainer.records.numbers(shown, progress.step, numbers)
    for tag, picture in trainer.evaluator.pictures(report, trainer.examples[split]).items():
        trainer.records.images(shown, progress.step, tag, picture[None])
    trainer.records.hparams(shown, progress.step, resolved.flat())
    trainer.records.flush()
    values = values_of(by_name(trainer.evaluator.model.weights, "model"))
    write_tensors(run.final, values, {"weights": chosen, **fitted})
    attends = trainer.evaluator.attention_view is not None
    result = {
        "split": split,
        "validation": selection.best_value(trainer.task, config.eval, progress.best_rank),
        "examples": len(trainer.examples[split]),
        "metrics": metrics,
        "weights": chosen,
        "num_parameters": trainer.train_step.model.count_params(),
        "attends": attends,
        "peak_memory_bytes": peak_memory_bytes(),
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
    for line in _advice(progress, config, trainer.total_steps):
        display.line(line)
    display.line(next_lines(trainer.task.next_commands(run.path, attends)))


def _advice(progress: checkpoint.Progress, config: RunConfig, total_steps: int) -> Iterator[str]:
    """Yields a line where the training was too short for what it could have learned, or far too long."""
    best, patience = progress.best_step, config.train.early_stopping_patience
    if not best or progress.evaluations < MIN_EVALUATIONS:
        return
    if best == progress.step and progress.loss_gain >= MIN_GAIN and not progress.stopped_early:
        key, length = ("steps", total_steps) if config.train.steps else ("epochs", config.train.epochs)
        yield (
            f"validation was still improving at the end: train longer, as with --set train.{key}="
            f"{math.ceil(length * LONGER)} --allow-changed train.{key}"
        )
    elif patience is None and best * 2 <= progress.step and config.eval.weights == "best":
        yield (
            f"no evaluation after that of step {best} was better: train.early_stopping_patience=3 ends a "
            "training like this sooner"
        )
