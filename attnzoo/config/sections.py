"""The options of a run, section by section. Defaults live here and nowhere else.

Features, data sets, models, tasks and attention layers add their own options in their own files, by
subclassing `DataOptions`, `TrainOptions`, `EvalOptions` and `Section`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, Section, renamed_from
from attnzoo.config.paths import FilePaths, listed
from attnzoo.config.source import KeyPath


class DataOptions(Section):
    """Options of every data set.

    Attributes:
        suffixes: those of the files that it reads, if it reads no others.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    name: str = Field(description="Name of the data set; `attnzoo list datasets` shows them.")
    validation_fraction: Annotated[
        float,
        Field(gt=0.0, lt=1.0),
        EffectIf("the data has no validation split", lambda own: own.holds_out_validation),
    ] = Field(
        0.1,
        description="Fraction of train, above 0 and below 1, that is held out for validation, stratified by "
        "class, if the data has no validation split.",
    )

    @property
    def holds_out_validation(self) -> bool:
        """Whether validation is held out from train."""
        return self.model_dump().get("validation") is None

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields options that do not fit together for a task with these features."""
        yield from ()

    def unused(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields options that have no effect for a task with these features, and why."""
        yield from ()

    def known_labels(self) -> tuple[str, ...] | None:
        """Returns the labels of the data if they are known without reading it."""
        return None

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the files and folders that the options name: key and path."""
        yield from ()

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the text that is the value of an option, or is in its list, is a path."""
        return False

    def with_files(self, paths: Sequence[str]) -> DataOptions | None:
        """Returns the options that read other files, as train or as the splits that they name.

        None if the data is not read from files.

        Raises:
            ValueError: these are not the files that it reads.
        """
        return None

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Checks the beginning of an existing file of `files`, such as its columns.

        Raises:
            UserError: it is not usable.
        """


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"expected an encoding such as utf-8 or cp1252, received {name!r}") from None
    return name


class FileOptions(DataOptions):
    """Options of data that is read from the user's files."""

    on_bad_record: Literal["error", "skip"] = Field(
        "error",
        description="error: a record that cannot be read ends the command. skip: such records are skipped "
        "and counted.",
    )
    max_bad_fraction: Annotated[
        float,
        Field(ge=0.0, le=1.0),
        EffectIf("on_bad_record is skip", lambda own: own.on_bad_record == "skip"),
    ] = Field(
        0.01, description="on_bad_record: skip: largest fraction of records that may be skipped, 0 to 1."
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8", description="Python's name of the encoding of the files, such as cp1252, utf-16 or gb18030."
    )

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option is the file of a split."""
        return key in ("train", "validation", "test")

    def with_files(self, paths: Sequence[str]) -> DataOptions | None:
        """Returns the options with other files as train, and no other splits."""
        train = paths[0] if len(paths) == 1 else list(paths)
        try:
            return self.replaced(train=train, validation=None, test=None)
        except ValueError as error:
            raise ValueError("expected one file or folder" if len(paths) > 1 else str(error)) from None


def files_of_splits(*files: FilePaths | None) -> Iterator[tuple[KeyPath, str]]:
    """Yields the key and each file or pattern of train, validation and test, where they are given."""
    for name, paths in zip(("train", "validation", "test"), files, strict=True):
        for number, path in enumerate(listed(paths)):
            yield (name,) if isinstance(paths, str) else (name, number), path


class ModelOptions(Section):
    """Options of every model.

    Attributes:
        compiles: whether XLA can compile its training step.
        attention_option: an option that gives a model without attention over positions one, as after `--set`.
    """

    compiles: ClassVar[bool] = True
    attention_option: ClassVar[str] = ""

    name: str

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields options that do not fit together or with the rest of the `RunConfig`."""
        yield from ()

    def unused(self) -> Iterator[Problem]:
        """Yields options of components that have no effect in this model, and why."""
        yield from ()


_OF_PLATEAU = EffectIf("schedule is plateau", lambda own: own.schedule == "plateau")


class TrainOptions(Section):
    """How the model is trained."""

    epochs: Annotated[PositiveInt, EffectIf("steps is null", lambda own: own.steps is None)] = Field(
        10, description="Passes over the training data."
    )
    steps: PositiveInt | None = Field(
        None,
        description="Optimizer steps; if given, epochs is not used. --set train.epochs=N removes it.",
    )
    batch_size: PositiveInt = Field(64, description="Examples per batch, summed over all replicas.")
    batch_tokens: PositiveInt | None = Field(
        None,
        description="Maximum number of tokens per batch, padding included (of source or target, "
        "whichever is longer); if given, batch_size is not used.",
    )
    gradient_accumulation_steps: PositiveInt = Field(
        1,
        description="Batches whose gradients are summed for one optimizer step.",
        json_schema_extra=renamed_from("accumulate"),
    )
    replicas: PositiveInt = Field(
        1, description="Devices that each batch is split over (GPUs, or CPUs where there are none)."
    )
    xla: Literal["auto"] | bool = Field(
        "auto",
        description="Compile the training step with XLA: all of it on one device, with several replicas the "
        "gradients of each. auto: yes, except with several replicas on a CPU or of a model with batch "
        "normalization, and on a CPU for images and for bfloat16 where the processor multiplies it (AMX, "
        "AVX-512 BF16).",
    )
    steps_per_call: Literal["auto"] | PositiveInt = Field(
        "auto",
        description="Most optimizer steps taken in one call of TensorFlow, with the results of one at a "
        "time. A call ends where the shapes of the batches change, where a log line, an evaluation or the "
        "end of an epoch is due, and where its batches take 256 MiB; it then has half, a quarter ... of the "
        "steps. A number of steps is taken after it was possible 100 times. auto: 8 on a GPU, 1 on a CPU.",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32",
        description="Data type of the computation, as a Keras dtype policy; weights are always float32.",
    )
    tensor_float_32: bool = Field(
        False,
        description="On a GPU, multiply float32 as TensorFloat-32: faster, with 10 bits of precision after "
        "the leading one instead of 23, also in evaluations and predictions of the run.",
    )
    deterministic: bool = Field(
        False,
        description="Train only with operations that give the same bits each time, and without autotuning: "
        "on a GPU slower, and needed to repeat or continue a run to the bit. On a CPU runs do so anyway.",
    )
    optimizer: Literal["adamw", "sgd", "lamb", "lion", "adafactor"] = Field("adamw", description="Optimizer.")
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-3, description="Peak learning rate.")
    learning_rate_multipliers: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        {},
        description="Multiplier of the learning rate for each layer by its name or a pattern, "
        "{embedding: 0, 'block_*': 0.1}; 0 freezes the layer. The first pattern that matches "
        "counts; other layers have 1.",
        json_schema_extra=renamed_from("layer_rates"),
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Decoupled weight decay, as in AdamW: each step subtracts this times the learning "
        "rate times the weight. Not for biases and normalization.",
    )
    beta_1: Annotated[
        Rate, EffectIf("optimizer is not adafactor", lambda own: own.optimizer != "adafactor")
    ] = Field(0.9, description="Decay of the first moment; momentum of sgd.")
    beta_2: Annotated[
        Rate,
        EffectIf("optimizer is adamw, lamb or lion", lambda own: own.optimizer in ("adamw", "lamb", "lion")),
    ] = Field(0.999, description="Decay of the second moment (adamw, lamb, lion).")
    schedule: Literal["constant", "cosine", "inverse_square_root", "step", "plateau"] = Field(
        "constant", description="Learning rate schedule after the warm-up."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Steps over which the learning rate rises linearly from 0 to its peak."
    )
    cooldown_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Last steps of the training, over which the learning rate of any schedule also falls "
        "linearly to 0.",
    )
    schedule_every: Annotated[
        PositiveInt, EffectIf("schedule is step", lambda own: own.schedule == "step")
    ] = Field(1000, description="step: optimizer steps between two drops of the learning rate.")
    schedule_factor: Annotated[
        float,
        Field(gt=0.0, lt=1.0),
        EffectIf("schedule is step or plateau", lambda own: own.schedule in ("step", "plateau")),
    ] = Field(
        0.5,
        description="step, plateau: the learning rate is multiplied by it at each drop. (cosine falls to 0.)",
    )
    schedule_patience: Annotated[PositiveInt, _OF_PLATEAU] = Field(
        2, description="plateau: evaluations without improvement before the learning rate drops."
    )
    min_learning_rate: Annotated[float, Field(ge=0.0), _OF_PLATEAU] = Field(
        0.0, description="plateau: the learning rate does not fall below it."
    )
    clip_norm: Annotated[float, Field(gt=0.0)] | None = Field(
        None,
        description="Gradients are scaled down to this global norm if theirs is larger. Default: no "
        "clipping.",
    )
    init_from: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Folder of a finished run: the training starts from its vocabulary, and from its "
        "weights where the shapes fit.",
    )
    ema_decay: Rate = Field(
        0.0,
        description="Decay of an exponential moving average of the weights, which is evaluated in their "
        "place; 0 = off, 0.999 is common.",
        json_schema_extra=renamed_from("ema"),
    )
    early_stopping_patience: PositiveInt | None = Field(
        None,
        description="Evaluations without improvement before the training stops. Default: it does not "
        "stop early.",
        json_schema_extra=renamed_from("early_stopping"),
    )
    min_delta: Annotated[
        float,
        Field(ge=0.0),
        EffectIf(
            "early_stopping_patience is given or schedule is plateau",
            lambda own: own.early_stopping_patience is not None or own.schedule == "plateau",
        ),
    ] = Field(
        0.0,
        description="Smallest change of the monitored metric that early stopping and the plateau "
        "schedule count as an improvement.",
    )
    max_recoveries: Annotated[int, Field(ge=0, le=100)] = Field(
        0,
        description="How many times a run that diverges goes back to its last checkpoint and continues "
        "at half the learning rate.",
        json_schema_extra=renamed_from("recoveries"),
    )
    checkpoint_seconds: Annotated[float, Field(ge=0.0)] = Field(
        60.0,
        description="Seconds between checkpoints: the most work that a crash can lose, not counting "
        "evaluations.",
    )
    log_every: PositiveInt = Field(
        20, description="Optimizer steps between two entries in metrics.jsonl and TensorBoard."
    )

    def problems(self) -> Iterator[Problem]:
        """Yields values that the optimizer does not support, and multipliers that freeze every weight."""
        if self.optimizer == "lion" and self.beta_1 == 0.0:
            yield (
                ("beta_1",),
                "lion takes the sign of a moving average; expected a number above 0, received 0",
            )
        for pattern, rate in self.learning_rate_multipliers.items():
            if rate:
                return
            if pattern == "*":
                yield (
                    ("learning_rate_multipliers",),
                    "all weights are frozen (multiplier 0); leave some to train",
                )
                return


class EvalOptions(Section):
    """How the model is evaluated and which weights are kept."""

    every: PositiveInt | None = Field(
        None, description="Optimizer steps between two evaluations. Default: every epoch."
    )
    monitor: str | None = Field(
        None,
        description="Validation metric by which the best evaluation is chosen; the loss breaks ties. "
        "Default: accuracy for labels, mae for numbers, loss for all else.",
    )
    weights: Literal["best", "last", "average", "average_best"] = Field(
        "best",
        description="Weights of the finished run: those of the best evaluation on validation, the last "
        "ones, or the average of the last (average) or of the best evaluations "
        "(average_best).",
    )
    average: Annotated[
        PositiveInt,
        EffectIf("weights is average or average_best", lambda own: own.weights.startswith("average")),
    ] = Field(5, description="Number of evaluations whose weights are averaged (average, average_best).")
    batch_size: PositiveInt | None = Field(None, description="Examples per batch. Default: as in training.")
    decode: Literal["final", "every"] = Field(
        "final",
        description="When the metrics that need all predictions are computed (translations; F1, kappa "
        "and calibration of labels; RMSE and rank correlation of numbers): at the end only, "
        "or at every evaluation.",
    )
    samples: Annotated[int, Field(ge=0, le=64)] = Field(
        8, description="Sample predictions shown in TensorBoard."
    )
