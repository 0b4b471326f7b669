"""Layers that learn slower than others, or not at all."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.errors import UserError
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.runs.building import build_model
from attnzoo.runs.trained import load_trained
from attnzoo.training import learning_rate_multipliers
from attnzoo.training.run import train
from tests import recipes


@pytest.fixture(scope="module")
def parent(runs):
    return runs["text"]


def assigned(folder, info, rates):
    resolved = recipes.text_config(folder, "train.xla=false", f"train.learning_rate_multipliers={rates}")
    model = build_model(resolved.config, info)
    return learning_rate_multipliers.apply_multipliers(resolved, model), model


def test_of_several_patterns_that_fit_the_first_counts(parent, tmp_path):
    rates = "{embedding: 0, 'block_0/attention/query': 0.5, 'block_*': 0.25, '*/bias': 3}"
    factors, model = assigned(tmp_path, load_trained(parent).info, rates)
    frozen = [
        variable.path for variable in model.weights if not variable.trainable and "seed" not in variable.path
    ]
    assert frozen == ["embedding/embeddings"]
    assert factors["block_0/attention/query/kernel"] == factors["block_0/attention/query/bias"] == 0.5
    assert factors["block_0/attention/key/bias"] == 0.25
    assert factors["logits/bias"] == 3.0
    assert "logits/kernel" not in factors


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (
            "{embeddin: 0}",
            r"no weight matches 'embeddin' \(did you mean 'embedding'\?\); the layers are embedding, bl",
        ),
        ("{'*': 0}", r"all weights are frozen \(multiplier 0\); leave some to train"),
    ],
)
def test_rates_that_cannot_be_meant_are_refused(parent, tmp_path, rates, message):
    with pytest.raises(UserError, match=rf"train\.learning_rate_multipliers: {message}"):
        assigned(tmp_path, load_trained(parent).info, rates)


@pytest.mark.slow
def test_a_run_that_starts_from_another_keeps_what_is_frozen(parent, tmp_path, capsys):
    options = ("train.xla=false", "train.steps=2", f"train.init_from={parent}")
    rates = "train.learning_rate_multipliers={'[!l]*': 0}"
    train(recipes.text_config(tmp_path, *options, rates), tmp_path / "run")
    old, new = (load_trained(run).model for run in (parent, tmp_path / "run"))
    for one, other in zip(old.weights, new.weights, strict=True):
        if one.dtype == "float32":
            assert np.array_equal(one.numpy(), other.numpy()) is not one.path.startswith("logits")
    trained = sum(weight.numpy().size for weight in new.get_layer("logits").weights)
    assert f" parameters, {trained:,} of them trainable\n" in capsys.readouterr().out


def test_a_frozen_normalization_uses_its_stored_statistics(tmp_path):
    overrides = ("model.stages=[{width: 4, depth: 1}]", "train.learning_rate_multipliers={'stage_*': 0}")
    resolved = recipes.image_config(tmp_path, *overrides)
    info = DataInfo(
        "image_classification",
        {
            "image": Image(shape=(9, 11, 3), mean=(0.5,) * 3, std=(0.2,) * 3),
            "label": Label(names=("a", "b")),
        },
    )
    model = build_model(resolved.config, info)
    stored = [variable for variable in model.weights if "stage_0_block_0/norm_1/moving_" in variable.path]
    assert len(stored) == 2
    learning_rate_multipliers.apply_multipliers(resolved, model)
    before = [variable.numpy() for variable in stored]
    images = tf.random.stateless_normal([5, 9, 11, 3], [1, 2])
    model({"image": images}, training=True)
    for variable, value in zip(stored, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
