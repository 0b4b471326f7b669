"""A small catalog of models, data sets and tasks made for tests of the config, free of TensorFlow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BeforeValidator, Field, model_validator

from attnzoo import catalog
from attnzoo.config import DataOptions, EvalOptions, ResolvedConfig, RunConfig, Section, TrainOptions, resolve
from attnzoo.errors import ConfigErrors


class Additive(Section):
    name: Literal["additive"]
    units: Annotated[int, Field(ge=1)] = 16
    scale: bool = True


class MultiHead(Section):
    name: Literal["multi_head"]
    num_heads: Annotated[int, Field(ge=1)] = 4
    scale: bool = True


class Local(Section):
    name: Literal["local"]
    window: Annotated[int, Field(ge=1)]


Attention = Annotated[
    Additive | MultiHead | Local,
    Field(discriminator="name"),
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
]


class Classifier(Section):
    name: Literal["classifier"]
    units: Annotated[int, Field(ge=1, le=4096)]
    rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    attention: Attention = MultiHead(name="multi_head")
    second: Attention | None = None
    stages: list[Attention] = Field([])
    sizes: tuple[int, int] = (3, 5)

    @model_validator(mode="after")
    def _heads_divide_units(self) -> "Classifier":
        if isinstance(self.attention, MultiHead) and self.units % self.attention.num_heads:
            raise ValueError(f"units {self.units} is no multiple of num_heads {self.attention.num_heads}.")
        return self


class Pooled(Section):
    name: Literal["pooled"]
    units: int = 7
    depth: int = 2


class Translator(Section):
    name: Literal["translator"]


class Reviews(DataOptions):
    name: Literal["reviews"]
    train: str = "train.csv"
    label: str | None = None
    labels: list[str] = Field([])
    folder: Path | None = None
    column: Literal["text", "1"] = "text"
    weights: dict[str, float] = Field({})


class Pairs(DataOptions):
    name: Literal["pairs"]


class Column:
    """Stands for a feature."""

    is_optional = False

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def option_problems(self, options: DataOptions) -> Iterator[tuple[str, str]]:
        yield from ()


class ReviewTrainOptions(TrainOptions):
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class PairTrainOptions(ReviewTrainOptions):
    guided: float = 0.0


class PairEvalOptions(EvalOptions):
    beams: Annotated[int, Field(ge=1)] = 1


class Task:
    """What the config asks of tasks."""

    TrainOptions, EvalOptions = TrainOptions, EvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[tuple[str, str], str]]:
        yield from ()


class TextClassification(Task):
    name = "text_classification"
    features: ClassVar[dict[str, Column]] = {"text": Column("text"), "label": Column("label")}
    TrainOptions = ReviewTrainOptions


class TextRegression(Task):
    name = "text_regression"
    features: ClassVar[dict[str, Column]] = {"text": Column("text"), "label": Column("number")}


class Translation(Task):
    name = "translation"
    features: ClassVar[dict[str, Column]] = {"source": Column("text"), "target": Column("text")}
    TrainOptions, EvalOptions = PairTrainOptions, PairEvalOptions

    def config_problems(self, config: RunConfig) -> Iterator[tuple[tuple[str, str], str]]:
        if config.train.guided and config.eval.beams > 1:
            yield ("train", "guided"), "does not go with eval.beams"


MODELS = {
    "classifier": SimpleNamespace(TASK="text_classification", Config=Classifier),
    "pooled": SimpleNamespace(TASK="text_classification", Config=Pooled),
    "translator": SimpleNamespace(TASK="translation", Config=Translator),
}
DATASETS = {
    "reviews": SimpleNamespace(COLUMNS={"text": ("text",), "label": ("label",)}, Config=Reviews),
    "pairs": SimpleNamespace(COLUMNS={"source": ("text",), "target": ("text",)}, Config=Pairs),
}
TASKS = {task.name: task for task in (TextClassification, TextRegression, Translation)}

VALID = """\
# a comment
data:
  name: reviews
  label: score
model:
  name: classifier
  units: 32
  attention:
    name: multi_head
    num_heads: 8
train:
  epochs: 3
"""


@pytest.fixture
def fake_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the models, data sets and tasks of this file in place of the real ones."""
    choices: dict[str, Any] = {"models": MODELS, "datasets": DATASETS, "tasks": TASKS}
    monkeypatch.setattr(catalog, "names", lambda kind: sorted(choices[kind]))
    for load in ("load", "load_class"):
        monkeypatch.setattr(catalog, load, lambda kind, name: choices[kind][name])


@pytest.fixture
def resolve_text(fake_catalog: None, empty_folder: Path) -> Callable[..., ResolvedConfig]:
    """Function: text of x.yaml and overrides -> resolved config."""

    def run(text: str, *overrides: str) -> ResolvedConfig:
        Path("x.yaml").write_text(text, encoding="utf-8")
        return resolve("x.yaml", list(overrides))

    return run


@pytest.fixture
def errors_of(resolve_text: Callable[..., ResolvedConfig]) -> Callable[..., list[str]]:
    """Function: text of x.yaml and overrides -> lines of the errors."""

    def run(text: str, *overrides: str) -> list[str]:
        with pytest.raises(ConfigErrors) as caught:
            resolve_text(text, *overrides)
        assert caught.value.exit_code == 2
        return caught.value.lines

    return run
