"""A task, a feature, a mechanism, a model and a loss come as files alone, with nothing else edited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "features/answer.py": '''
"""Yes or no."""

from typing import Any, Literal

import numpy as np
from etils import epy

from attnzoo.features.targets import Target
from attnzoo.records.bad_records import BadRecord

with epy.lazy_imports():
    import tensorflow as tf


class Answer(Target):
    """Yes or no: a column <float32>[examples] of 1 and 0."""

    kind: Literal["answer"] = "answer"
    num_outputs = property(lambda self: 1)

    def read(self, place, name, value, options):
        if value not in ("yes", "no"):
            raise BadRecord(place, "without yes or no", f"{name!r} must be yes or no; got {value!r}.")
        return value == "yes"

    def column(self, values):
        return np.array(values, np.float32)

    def activate(self, outputs):
        return tf.sigmoid(outputs)

    def answer(self, values):
        return {"yes": float(values[0])}

    def prediction_texts(self, values):
        return [("yes" if values[0] >= 0.5 else "no", f"{values[0]:.4f}")]

    def true_answer(self, value):
        return {"truth": None if value is None else self.format_value(value)}

    def format_value(self, value):
        return "yes" if value else "no"
''',
    "losses/logistic.py": '''
"""Logistic loss."""

import tensorflow as tf


def logistic(outputs, answers):
    """Returns <float32>[batch], nats."""
    return tf.nn.sigmoid_cross_entropy_with_logits(answers, tf.cast(outputs, tf.float32))
''',
    "tasks/yes_or_no.py": '''
"""Text in, yes or no out."""

from etils import epy
from pydantic import Field

from attnzoo.config import sections
from attnzoo.features import feature_class
from attnzoo.features.text import Text
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import Metric

with epy.lazy_imports():
    from attnzoo.explain import text
    from attnzoo.losses import logistic
    from attnzoo.tasks import sums, target_predictions


class Options(sections.TrainOptions):
    """How it is trained."""

    optimism: float = Field(0.0, description="Weight of the answer yes beyond 1.")


class YesOrNo(Task):
    """Text in, yes or no out."""

    name = "yes_or_no"
    features = {"text": Text(), "label": feature_class("answer")()}
    input_name = "text"
    metrics = {"loss": Metric(False), "accuracy": Metric(True)}
    monitor = "accuracy"
    TrainOptions = Options

    def make_batch(self, info, examples, training):
        return lambda batch: (
            {"text": batch.values["text"]},
            {"weights": batch.weights, "indices": batch.indices, "answers": batch.values["label"]},
        )

    def sums(self, model, inputs, targets, training):
        outputs = model(inputs, training=training is not None)[:, 0]
        answers, weights = targets["answers"], targets["weights"]
        correct = (outputs >= 0.0) == (answers > 0.5)
        if training is not None:
            weights *= 1.0 + training.optimism * answers
        losses = logistic.logistic(outputs, answers)
        return {"loss": sums.ratio(losses, weights), "accuracy": sums.ratio(correct, targets["weights"])}

    def predict_fn(self, models, info, options, xla):
        return target_predictions.mean_prediction_fn(models, info, info.features["label"])

    def rows(self, predict, examples, info, sizes, indices):
        found = target_predictions.predict_examples(self, predict, examples, info, sizes, indices)
        return [{"yes": f"{values[0]:.3f}"} for values in found]

    def attention_view(self, model, info, options, layer=None):
        return text.TextView(model, info, layer)
''',
    "attention/averaging.py": '''
"""Attention that looks at everything alike."""

from typing import Literal

import keras
import tensorflow as tf
from pydantic import Field

from attnzoo.attention.memory import SoftmaxAttention
from attnzoo.attention.options import MechanismOptions


class Config(MechanismOptions):
    """Options of `Averaging`."""

    name: Literal["averaging"] = Field("averaging", description="Every key alike.")
    sharpness: float = Field(0.0, description="Weight of the product of query and key.")


@keras.saving.register_keras_serializable("attnzoo")
class Averaging(SoftmaxAttention):
    """Averages the values."""

    def __init__(self, units, sharpness=0.0, **kwargs):
        super().__init__(units, **kwargs)
        self.sharpness = sharpness

    def logits(self, query, key):
        return self.sharpness * tf.einsum("bhqd,bhkd->bhqk", query, key)
''',
    "models/yes_or_no_model.py": '''
"""A text encoder that says yes or no."""

from typing import Literal

from attnzoo.models import text_regressor
from attnzoo.models.text_encoder import PooledOptions

TASK = "yes_or_no"


class Config(PooledOptions):
    """Options of the model."""

    name: Literal["yes_or_no_model"] = "yes_or_no_model"


build = text_regressor.build
''',
}
WORDS = {"bread": "yes", "rust": "no", "sun": "yes", "mud": "no"}
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
ENTRY = """
import sys
import attnzoo.attention, attnzoo.features, attnzoo.losses, attnzoo.models, attnzoo.tasks
for name in ("attention", "features", "losses", "models", "tasks"):
    getattr(attnzoo, name).__path__.append(f"{sys.argv[1]}/{name}")
sys.argv[1:] = sys.argv[2:]
from attnzoo import cli
cli.main()
"""
CONFIG = """
seed: 3
data: {name: csv, train: answers.csv, num_buckets: 1, vocabulary_size: 64}
model: {name: yes_or_no_model, units: 11, attention: {name: averaging, sharpness: 0.5}}
train: {epochs: 20, batch_size: 13, learning_rate: 1e-2, optimism: 0.1}
"""


@pytest.fixture
def attnzoo(tmp_path):
    """Runs a command in a folder, with the files beside it in the package."""
    for name, text in FILES.items():
        path = tmp_path / "more" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), "utf-8")
    rows = [f"is {word} good {number},{answer}" for number in range(17) for word, answer in WORDS.items()]
    (tmp_path / "answers.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    (tmp_path / "answers.yaml").write_text(CONFIG, "utf-8")

    def run(*arguments):
        command = [sys.executable, "-c", ENTRY, str(tmp_path / "more"), *arguments]
        root = str(Path(__file__).parents[1])
        return subprocess.run(
            command, cwd=tmp_path, env={**ENVIRONMENT, "PYTHONPATH": root}, capture_output=True, text=True
        )

    return run


def test_files_alone_give_a_task_that_trains(attnzoo, tmp_path):
    trained = attnzoo("train", "answers.yaml", "--run", "run")
    assert trained.returncode == 0, trained.stderr
    assert "attnzoo attend run" in trained.stdout
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"]["accuracy"] == 1.0
    attended = attnzoo("attend", "run", "is bread good", "--json")
    assert json.loads(attended.stdout)["yes"] > 0.5
    assert len(json.loads(attended.stdout)["weights"]) == 3


def test_files_alone_are_in_every_list_and_check(attnzoo):
    assert "averaging" in attnzoo("list", "attention").stdout
    assert "Text in, yes or no out." in attnzoo("list", "tasks").stdout
    schema = json.loads(attnzoo("config", "schema").stdout)
    assert "optimism" in json.dumps(schema)
    wrong = attnzoo(
        "config", "check", "answers.yaml", "--set", "train.optimsm=1", "--set", "eval.beams=2"
    ).stderr
    assert "train.optimsm: unknown key, did you mean 'optimism'?" in wrong
    assert "eval.beams: an option of translation, and this model is for yes_or_no; leave it out" in wrong
    other = attnzoo("config", "check", "answers.yaml", "--set", "model=text_classifier").stderr
    assert "train.optimism: an option of yes_or_no" in other
