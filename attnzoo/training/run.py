"""`attnzoo train`: trains a resolved config into a run folder."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Collection
from pathlib import Path

import keras
import tensorflow as tf

from attnzoo.config import ResolvedConfig, RunConfig, locations
from attnzoo.data import examples as data_examples
from attnzoo.data.examples import Examples
from attnzoo.errors import EXIT_DAMAGED, Diverged, UserError
from attnzoo.features.info import DataInfo
from attnzoo.files import disk_errors, read_json, remove_leftovers, write_text
from attnzoo.layers.adapted import Batches, adapt
from attnzoo.layers.batch_normalization import has_batch_statistics
from attnzoo.runs import kept_examples
from attnzoo.runs.building import build_model, evaluation_sizes, set_determinism, set_numerics
from attnzoo.runs.data import load_splits, load_task
from attnzoo.runs.folder import RunDir
from attnzoo.startup import peak_memory_bytes
from attnzoo.tasks.evaluating import Evaluator, evaluation_batches
from attnzoo.tasks.task import Task
from attnzoo.training import (
    changes,
    checkpoint,
    continuing,
    distribution,
    initial,
    learning_rate_multipliers,
    memory,
    optimizers,
    selection,
    summary,
)
from attnzoo.training.console import Display, duration, metrics_text, next_commands_text, print_line, warn
from attnzoo.training.loop import Trainer, num_weights_kept
from attnzoo.training.records import Records
from attnzoo.training.step import TrainStep
from attnzoo.variables import by_name, read_values, write_tensors


def train(
    resolved: ResolvedConfig,
    folder: Path,
    restart: bool = False,
    profile: tuple[int, int] | None = None,
    allowed: Collection[str] = (),
) -> None:
    """Starts a training, continues it, or reports that it is already finished.

    Args:
        resolved: the config.
        folder: the run folder.
        restart: whether to delete an earlier run in the folder first.
        profile: first and last step of a TensorBoard profile.
        allowed: what may have changed since the run started: config keys, "paths" (of data that is otherwise
            the same), "data", "code".

    Raises:
        UserError: invalid data or options, a change that is not allowed, a folder that is locked or not a
            run (2), divergence (3), a damaged checkpoint or a full disk (4), a request to stop (75).
    """
    run = RunDir(folder)
    run.refuse_others()
    with run.lock():
        resolved, taken = initial.with_options(resolved)
        if restart:
            run.clear()
        for written in (run.path, run.checkpoints):
            remove_leftovers(written)
        changed = changes.config_changes(run, resolved) + changes.code_changes(run)
        continuing.require_unchanged(run, resolved, changed, allowed)
        if run.result.is_file() and not changed:
            result, task = _read_result(run), load_task(resolved.config)
            shown = task.on_line(result["metrics"], resolved.config.eval)
            print_line(f"{folder}: already finished")
            print_line(f"{result['split']}: {metrics_text(shown)}")
            print_line(next_commands_text(task.next_commands(_typed(folder), bool(result.get("attends")))))
            return
        if taken:
            print_line(f"options  {', '.join(taken)}, from {resolved.config.train.init_from}")
        _train(run, resolved, profile, allowed, changed)


def _read_result(run: RunDir) -> dict:
    """Returns the content of a finished run's `result.json`.

    Raises:
        UserError: the file is damaged (4).
    """
    result = read_json(run.result)
    try:
        metrics_text(result["metrics"])
        str(result["split"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{run.result}: damaged: unexpected content.", EXIT_DAMAGED) from None
    return result


def _train(
    run: RunDir,
    resolved: ResolvedConfig,
    profile: tuple[int, int] | None,
    allowed: Collection[str],
    changed: list[str],
) -> None:
    config = resolved.config
    set_determinism(config.train)  # before anything is compiled
    set_numerics(config.train)
    strategy = distribution.make_strategy(config.train.replicas)
    task = load_task(config)
    info, examples = _load_data(run, config, task, allowed)
    task.check_data(resolved, info, examples)
    info = task.answering_info(info, config.eval, {})
    average = build_model(config, info, strategy) if config.train.ema_decay else None
    model = build_model(config, info, strategy)
    with strategy.scope():
        optimizer = optimizers.build(config.train)
    if not run.steps():
        _initialize_weights(model, config, task, info, examples["train"])
    multipliers = learning_rate_multipliers.apply_multipliers(resolved, model)
    xla = use_xla(config, task, model)
    train_step = TrainStep(
        model,
        optimizer,
        task,
        info,
        config.train,
        strategy,
        xla=xla,
        average=average,
        multipliers=multipliers,
    )
    if average is not None:
        average.set_weights(model.get_weights())
    evaluator = Evaluator(
        average or model, task, info, evaluation_sizes(config), config.eval, strategy, xla=xla
    )
    memory.require_memory(config, info, examples["train"], task, train_step, evaluator)
    checkpoint.require_space(run, train_step, num_weights_kept(config))
    progress = checkpoint.restore(run, train_step) or checkpoint.Progress()
    _write_start(run, resolved, info, examples["validation"])
    for change in changed:
        warn(f"{run.path}: continuing after step {progress.step} although {change} has changed.")
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
                f"{error} Going back to step {progress.step} with half the learning rate, "
                f"recovery {progress.recoveries} of {config.train.max_recoveries}."
            )


def _initialize_weights(
    model: keras.Model, config: RunConfig, task: Task, info: DataInfo, examples: Examples
) -> None:
    """Initializes the weights of a new run that do not depend on the seed alone."""

    def batches() -> Batches:
        for inputs, targets in evaluation_batches(task, examples, info, evaluation_sizes(config)):
            real = targets["weights"] > 0  # the others pad the batch
            batch = (info.model_inputs(inputs), targets)
            yield tf.nest.map_structure(lambda part, real=real: part[real], batch)

    adapt(model, batches)
    if config.train.init_from:
        origin = RunDir(Path(config.train.init_from))
        loaded, fresh = initial.assign_weights(origin, model)
        randomly = f", {len(fresh)} randomly initialized" if fresh else ""
        print_line(f"weights  {loaded} tensors from {origin.path}{randomly}")
        for name in fresh[:5]:
            print_line(f"         randomly initialized: {name.removeprefix('model/')}")


def _train_and_finish(
    trainer: Trainer, resolved: ResolvedConfig, profile: tuple[int, int] | None, xla: bool
) -> None:
    progress, records = trainer.progress, trainer.records
    summary.warn_of_learning_rate(trainer)
    summary.warn_of_steps_per_call(trainer)
    with Display(trainer.total_steps, progress.step, trainer.task.unit) as display:
        summary.print_summary(display, trainer, xla)
        if progress.step == 0:
            records.text("train", 0, "config", "```yaml\n" + resolved.to_yaml(with_origins=True) + "```")
        trainer.train(display, profile)
        _finish(trainer, display, resolved)


def _load_data(
    run: RunDir, config: RunConfig, task: Task, allowed: Collection[str]
) -> tuple[DataInfo, dict[str, Examples]]:
    """Loads the data; for a run that continues, checks it against the data of the start."""
    splits = load_splits(config)
    if run.config.is_file():
        info = changes.updated_data_info(run, splits, task, allowed)
        examples = data_examples.encode_splits(splits, info, config.data)
        info = dataclasses.replace(info, num_examples={name: len(one) for name, one in examples.items()})
    else:
        other = DataInfo.read(RunDir(Path(config.train.init_from)).info) if config.train.init_from else None
        info, examples = data_examples.learn(splits, config.data, task.name, task.features, other)
    examples["train"] = data_examples.with_resamplers(examples["train"], info, config.data)
    return info, examples


def _write_start(run: RunDir, resolved: ResolvedConfig, info: DataInfo, validation: Examples) -> None:
    """Writes the first files of a run, after its data and model have been built: errors leave no run."""
    base = locations.base_for_run(run.path)
    if base is None:
        resolved = dataclasses.replace(resolved, config=locations.absolute(resolved.config))
    versions = {
        **changes.code_versions(),
        "device": distribution.describe_device(),
        locations.BASE: base,
    }
    write_text(run.machine, json.dumps(versions, indent=1) + "\n")  # This file marks the folder as a run.
    with disk_errors(run.path):
        run.checkpoints.mkdir(exist_ok=True)
        run.logs.mkdir(exist_ok=True)
        run.result.unlink(missing_ok=True)
    kept_examples.keep(run, validation.raw, info)
    write_text(run.info, info.to_json())
    write_text(run.config, resolved.to_yaml(with_origins=False))


def use_xla(config: RunConfig, task: Task, model: keras.Model) -> bool:
    """Returns whether the gradients, and the sums of evaluations, are compiled with XLA.

    "auto" means yes, except with several replicas of a model that normalizes by the statistics of the whole
    batch, which replicas cannot exchange from within a compiled program; with several replicas on a CPU; with
    models that XLA cannot compile; and on a CPU where TensorFlow's own kernels (oneDNN) are much faster than
    XLA's: convolutions of images, and bfloat16 on a CPU with instructions for it.

    Raises:
        UserError: `xla: true` with several replicas on one CPU, which XLA treats as a single device.
    """
    replicas, on_cpu = config.train.replicas, not tf.config.list_physical_devices("GPU")
    exchanges = replicas > 1 and has_batch_statistics(model)
    if config.train.xla == "auto":
        half = config.train.precision == "mixed_bfloat16" and distribution.multiplies_bfloat16()
        slower = on_cpu and (replicas > 1 or not task.compiles_well or half)
        return config.model.compiles and not exchanges and not slower
    if config.train.xla and replicas > 1 and on_cpu:
        raise UserError(
            "train.xla: true is not supported with several train.replicas on a CPU; set it to auto."
        )
    if config.train.xla and exchanges:
        warn(
            f"train.xla: true is not used with train.replicas: {replicas}: {config.model.name} has batch "
            "normalization, whose statistics replicas cannot exchange from within a program of XLA."
        )
    return config.train.xla and not exchanges


def _finish(trainer: Trainer, display: Display, resolved: ResolvedConfig) -> None:
    run, config, progress = trainer.run, trainer.config, trainer.progress
    steps = selection.select_steps(run, trainer.task, progress.best_step, config.eval)
    chosen = checkpoint.average_checkpoints(run, trainer.evaluator.model, steps)
    split = "test" if "test" in trainer.examples else "validation"
    begin, on_batch = time.monotonic(), display.evaluation()
    calibration = trainer.evaluator.fit_calibration(trainer.examples["validation"], on_batch)
    report = trainer.evaluator.report(trainer.examples[split], calibration, on_batch)
    metrics = report.metrics
    numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    log = split if split == "test" else "final"
    trainer.records.scalars(log, progress.step, numbers)
    for tag, picture in trainer.evaluator.pictures(report, trainer.examples[split]).items():
        trainer.records.images(log, progress.step, tag, picture[None])
    trainer.records.hparams(log, progress.step, resolved.flat())
    trainer.records.flush()
    values = read_values(by_name(trainer.evaluator.model.weights, "model"))
    write_tensors(run.final, values, {"weights": chosen, **calibration})
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
    display.training()
    display.close()
    early = " (stopped early)" if progress.stopped_early else ""
    display.line(f"trained {progress.step} steps in {duration(progress.seconds)}{early}; weights: {chosen}")
    display.line(f"{split}: {metrics_text(trainer.task.on_line(metrics, config.eval))}")
    for name, value in metrics.items():
        if isinstance(value, str):
            display.line(f"  {name} {value}")
    for line in summary.advice(progress, config, trainer.total_steps):
        display.line(line)
    print_line(next_commands_text(trainer.task.next_commands(_typed(run.path), attends)))


def _typed(folder: Path) -> Path:
    """Returns a folder as it is typed into a shell, with quotation marks if it needs them."""
    return Path(shlex.quote(str(folder)))
