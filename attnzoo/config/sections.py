"""The options of a run, section by section. Defaults live here and nowhere else.

Features, data sets, models, tasks and attention layers add their own options in their own files, by
subclassing `DataOptions`, `TrainOptions`, `EvalOptions` and `Section`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from attnzoo.config.base import EffectIf, PositiveInt, Problem, Rate, Section
from attnzoo.config.source import KeyPath
from attnzoo.suggest import did_you_mean


class DataOptions(Section):
    """Options that every data set has."""

    name: str = Field(description="Data set, by the name that `attnzoo list datasets` shows.")
    validation_fraction: Annotated[
        float,
        Field(gt=0.0, lt=1.0),
        EffectIf("the data has no validation split", lambda own: own.holds_out_validation),
    ] = Field(
        0.1,
        description="Share of train, of each class, that is held out where the data has no validation split.",
    )

    @property
    def holds_out_validation(self) -> bool:
        """Whether validation is held out from train."""
        return self.model_dump().get("validation") is None

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields options that do not go together for a task with these features."""
        yield from ()

    def known_labels(self) -> tuple[str, ...] | None:
        """Returns the labels of the data, where they are known without reading it."""
        return None

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the files and folders that the options name: key and path."""
        yield from ()

    def look_at(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the beginning of one of `files`, which is there, and whether a task finds its columns.

        Raises:
            UserError: it is not what is needed.
        """


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"expected an encoding such as utf-8 or cp1252, received {name!r}") from None
    return name


class FileOptions(DataOptions):
    """Options of data that is read from files of the user."""

    on_bad_record: Literal["error", "skip"] = Field(
        "error", description="A record that cannot be read ends the command, or is passed over and counted."
    )
    max_bad_fraction: Annotated[
        float,
        Field(ge=0.0, le=1.0),
        EffectIf("on_bad_record is skip", lambda own: own.on_bad_record == "skip"),
    ] = Field(0.01, description="skip: largest share of a file's records that may be passed over, 0 to 1.")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8", description="Encoding of the files, as Python names it: cp1252, utf-16, gb18030 ..."
    )


def files_of_splits(*files: str | None) -> Iterator[tuple[KeyPath, str]]:
    """Yields the key and the file of each split: train, validation and test, where it is given."""
    for name, file in zip(("train", "validation", "test"), files, strict=True):
        if file is not None:
            yield (name,), file


def _known_delimiter(character: str) -> str:
    if character in '"\r\n\0\ufeff':
        raise ValueError(f"expected a character that no quote and no line end is, received {character!r}")
    return character


def _reads_tables(own: Any) -> bool:
    return not all(file.removesuffix(".gz").lower().endswith(".jsonl") for _, file in own.files())


_OF_TABLES = EffectIf("a file is csv or tsv", _reads_tables)


class TableOptions(FileOptions):
    """Options of records that are read from tables."""

    delimiter: Annotated[
        Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_known_delimiter)] | None, _OF_TABLES
    ] = Field(
        None,
        description="Character between two fields of a csv or tsv file. Default: by the file's suffix, or "
        "another of , ; tab | if the header shows that.",
    )
    quoting: Annotated[Literal["minimal", "none"], _OF_TABLES] = Field(
        "minimal",
        description="none: a quote sign in a csv or tsv file is a part of the text, and encloses nothing.",
    )
    columns: Annotated[Annotated[list[str], Field(min_length=1)] | None, _OF_TABLES] = Field(
        None, description="Names of the columns of csv or tsv files without a header."
    )

    def named_columns(self, features: Mapping[str, Any]) -> dict[str, str]:
        """Returns feature -> its column: the value of the option that is called like the feature."""
        values = self.model_dump()
        return {name: str(values[name]) for name in features if name in values}

    def problems(self, features: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields a column that two features share, and one that `columns` does not name."""
        yield from super().problems(features)
        yield from repeated_columns(self.named_columns(features))
        if self.columns is None or not _reads_tables(self):
            return
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            yield ("columns",), f"{', '.join(map(repr, twice))} more than once; give each column another name"
        needed = self.named_columns(features)
        if len(set(self.columns)) < len(needed):
            keys = " and ".join(f"data.{option}" for option in needed)
            yield ("columns",), f"fewer names than are needed; expected those of {keys}"
            return
        for option, column in needed.items():
            if column not in self.columns:
                near = did_you_mean(column, self.columns)
                what = f"no column {column!r}{near}; data.columns has: {', '.join(self.columns)}"
                yield (option,), what


def repeated_columns(columns: Mapping[str, str]) -> Iterator[Problem]:
    """Yields the options that name the column of another one, of option -> column."""
    first: dict[str, str] = {}
    for option, column in columns.items():
        other = first.setdefault(column, option)
        if other != option:
            what = f"data.{other} and data.{option} are both {column!r}; name two different columns"
            yield (option,), what


class ModelOptions(Section):
    """Options of every model."""

    name: str

    def problems(self, config: Any) -> Iterator[Problem]:
        """Yields options that do not go together, or not with those of the whole `RunConfig`."""
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
        description="Optimizer steps; if given, epochs is not used. --set train.epochs takes their place.",
    )
    batch_size: PositiveInt = Field(64, description="Examples a batch, over all replicas.")
    batch_tokens: PositiveInt | None = Field(
        None,
        description="Most padded tokens a batch, of the longest text; if given, batch_size is not used.",
    )
    accumulate: PositiveInt = Field(
        1, description="Batches whose gradients are summed for one optimizer step."
    )
    replicas: PositiveInt = Field(
        1, description="Devices that share each batch (GPUs, or CPUs where there are none)."
    )
    xla: Literal["auto"] | bool = Field(
        "auto",
        description="Compile the training step with XLA as a whole. auto: yes, but for several replicas, and "
        "on a CPU for images, and for bfloat16 where the processor multiplies it (AMX, AVX-512 BF16).",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Type of the computation; weights are float32 always."
    )
    optimizer: Literal["adamw", "sgd", "lamb", "lion", "adafactor"] = Field(
        "adamw", description="Update rule."
    )
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-3, description="Peak learning rate.")
    layer_rates: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        {},
        description="Factors of the learning rate by layer, {embedding: 0, 'block_*': 0.1}; 0 = frozen. Of "
        "several patterns that fit the first counts; other layers have 1.",
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Decoupled decay a step, times the learning rate; not for biases and normalisation.",
    )
    beta_1: Annotated[
        Rate, EffectIf("optimizer is not adafactor", lambda own: own.optimizer != "adafactor")
    ] = Field(0.9, description="Decay of the first moment; momentum of sgd.")
    beta_2: Annotated[
        Rate,
        EffectIf("optimizer is adamw, lamb or lion", lambda own: own.optimizer in ("adamw", "lamb", "lion")),
    ] = Field(0.999, description="Decay of the second moment (adamw, lamb, lion).")
    schedule: Literal["constant", "cosine", "inverse_square_root", "step", "plateau"] = Field(
        "constant", description="How the learning rate falls after warm-up."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Steps of linear rise from 0 to the peak."
    )
    cooldown_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Last steps, over which the rate of any schedule also falls linearly to 0."
    )
    schedule_every: Annotated[
        PositiveInt, EffectIf("schedule is step", lambda own: own.schedule == "step")
    ] = Field(1000, description="step: steps between two falls.")
    schedule_factor: Annotated[
        float,
        Field(gt=0.0, lt=1.0),
        EffectIf("schedule is step or plateau", lambda own: own.schedule in ("step", "plateau")),
    ] = Field(0.5, description="step, plateau: factor of one fall. cosine falls to 0.")
    schedule_patience: Annotated[PositiveInt, _OF_PLATEAU] = Field(
        2, description="plateau: evaluations without a better one before a fall."
    )
    min_learning_rate: Annotated[float, Field(ge=0.0), _OF_PLATEAU] = Field(
        0.0, description="plateau: the rate does not fall below it."
    )
    clip_norm: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="Gradients with a larger global norm are scaled down to it."
    )
    init_from: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Finished run whose vocabulary, and weights where they fit, the training starts with.",
    )
    ema: Rate = Field(
        0.0, description="Decay of the moving average of weights, 0 = off; evaluated instead of the weights."
    )
    early_stopping: PositiveInt | None = Field(
        None, description="Evaluations without a better one before training stops."
    )
    min_delta: Annotated[
        float,
        Field(ge=0.0),
        EffectIf(
            "early_stopping is given or schedule is plateau",
            lambda own: own.early_stopping is not None or own.schedule == "plateau",
        ),
    ] = Field(
        0.0,
        description="Least gain of the monitored metric that early_stopping and plateau take for a better "
        "evaluation.",
    )
    recoveries: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="Times that a run that diverged goes back to its last checkpoint, at half the rate."
    )
    checkpoint_seconds: Annotated[float, Field(ge=0.0)] = Field(
        60.0, description="Most seconds of work that a crash can lose, evaluations apart."
    )
    log_every: PositiveInt = Field(
        20, description="Steps between two lines of metrics.jsonl and TensorBoard."
    )

    def problems(self) -> Iterator[Problem]:
        """Yields rates that leave no weight to train, whatever the layers are called."""
        for pattern, rate in self.layer_rates.items():
            if rate:
                return
            if pattern == "*":
                yield ("layer_rates",), "every weight is frozen (rate 0); leave one to train"
                return


class EvalOptions(Section):
    """How the model is evaluated and which weights are kept."""

    every: PositiveInt | None = Field(
        None, description="Optimizer steps between two evaluations. Default: every epoch."
    )
    monitor: str | None = Field(
        None,
        description="Metric that says which evaluation is the best; of equal ones the one with the lower "
        "loss is. Default: accuracy of labels, mae of numbers, else loss.",
    )
    weights: Literal["best", "last", "average", "average_best"] = Field(
        "best",
        description="Weights of the finished run: best on validation, last, or the mean of the last or of "
        "the best ones.",
    )
    average: Annotated[
        PositiveInt,
        EffectIf("weights is average or average_best", lambda own: own.weights.startswith("average")),
    ] = Field(5, description="Number of evaluations whose weights are averaged (average, average_best).")
    batch_size: PositiveInt | None = Field(None, description="Examples a batch. Default: as in training.")
    decode: Literal["final", "every"] = Field(
        "final",
        description="When whole predictions are made and scored (translations; F1, kappa and calibration of "
        "labels; RMSE and ranks of numbers): at the end, or at every evaluation.",
    )
    samples: Annotated[int, Field(ge=0, le=64)] = Field(
        8, description="Sample predictions shown in TensorBoard."
    )
