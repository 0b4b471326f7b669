"""The options of a run, section by section. Defaults live here and nowhere else.

Features, data sets, models, tasks and attention layers add their own options in their own files, by
subclassing `DataOptions`, `TrainOptions`, `EvalOptions` and `Section`.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from attnzoo.config.base import PositiveInt, Rate, Section, renamed_from


class DataOptions(Section):
    """Options that every data set has."""

    name: str = Field(description="Data set, by the name that `attnzoo list datasets` shows.")
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1,
        description="Fraction of the training examples of each class that is held out for validation "
        "where the data has no validation split.",
    )


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"expected an encoding such as utf-8 or cp1252, received {name!r}") from None
    return name


class FileOptions(DataOptions):
    """Options of data that is read from files of the user."""

    on_bad_record: Literal["error", "skip"] = Field(
        "error",
        description="What a record that cannot be read does: error ends the command, skip leaves the "
        "record out and counts it.",
    )
    max_bad_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.01, description="skip: largest fraction of a file's records that may be left out, 0 to 1."
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8", description="Encoding of the files, as Python names it: cp1252, utf-16, gb18030 ..."
    )


class TableOptions(FileOptions):
    """Options of records that are read from tables."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None,
        description="Character between two fields of a csv or tsv file. Default: by the file's suffix, or "
        "another of , ; tab | if the header shows that.",
    )
    quoting: Literal["minimal", "none"] = Field(
        "minimal",
        description="How csv and tsv files use quotes. minimal: a field may be enclosed in double "
        "quotes; none: a quote is part of the text.",
    )
    columns: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Names of the columns of csv or tsv files without a header."
    )


class TrainOptions(Section):
    """How the model is trained."""

    epochs: PositiveInt = Field(10, description="Passes over the training data.")
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
        description="Compile the whole training step with XLA. auto: yes, except with several replicas, "
        "and on a CPU for images and for bfloat16 where the processor multiplies it (AMX, "
        "AVX-512 BF16).",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32",
        description="Data type of the computation, as a Keras dtype policy; weights are always float32.",
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
    beta_1: Rate = Field(0.9, description="Decay of the first moment; momentum of sgd.")
    beta_2: Rate = Field(0.999, description="Decay of the second moment (adamw, lamb, lion).")
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
    schedule_every: PositiveInt = Field(
        1000, description="step: optimizer steps between two drops of the learning rate."
    )
    schedule_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.5,
        description="step, plateau: the learning rate is multiplied by it at each drop. (cosine falls to 0.)",
    )
    schedule_patience: PositiveInt = Field(
        2, description="plateau: evaluations without improvement before the learning rate drops."
    )
    min_learning_rate: Annotated[float, Field(ge=0.0)] = Field(
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
    min_delta: Annotated[float, Field(ge=0.0)] = Field(
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
    average: PositiveInt = Field(
        5, description="Number of evaluations whose weights are averaged (average, average_best)."
    )
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
