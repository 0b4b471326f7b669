import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.attention import MultiHeadAttention
from attnzoo.errors import UserError
from attnzoo.evaluation import evaluate
from attnzoo.features.info import DataInfo
from attnzoo.layers.batch_normalization import BatchNormalization, MapNormalization
from attnzoo.layers.dropout import Dropout, StochasticDepth
from attnzoo.runs.folder import RunDir
from attnzoo.training import distribution, optimizers, run
from attnzoo.training.run import train
from attnzoo.training.step import TrainStep
from tests import recipes

TASK = tasks.load("image_classification")
STEPS, BATCH, CLASSES = 20, 24, 3


def _attended_maps(inputs):
    maps = keras.layers.Conv2D(7, 3, name="convolution")(inputs)
    maps = keras.ops.tanh(MapNormalization(momentum=0.9, name="normalization")(maps))
    rows = keras.layers.Reshape([-1, 6])(keras.layers.Conv2D(6, 1, name="projection")(maps))
    return rows + MultiHeadAttention(6, num_heads=2, dropout=0.2, name="attention")(rows, rows)


def make_train_step(replicas, xla=False, maps=True):
    """A step of a small model with all that depends on the rows beside a row; without `maps` with less."""
    options = TASK.TrainOptions(
        optimizer="sgd", learning_rate=0.1, beta_1=0.9, weight_decay=0.01, clip_norm=0.5
    )
    strategy = distribution.make_strategy(replicas)
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    with strategy.scope():
        inputs = keras.Input([5, 5, 2], name="image")
        rows = _attended_maps(inputs) if maps else inputs
        hidden = Dropout(0.3, name="dropout")(keras.layers.Flatten()(rows))
        hidden = keras.layers.Dense(11, activation="tanh", name="hidden")(hidden)
        hidden = StochasticDepth(0.2, name="depth")(hidden)
        if maps:
            hidden = BatchNormalization(momentum=0.9, name="rows_normalization")(hidden)
        logits = keras.layers.Dense(CLASSES, name="logits")(hidden)
        model = keras.Model({"image": inputs}, logits)
        optimizer = optimizers.build(options)
    return TrainStep(model, optimizer, TASK, DataInfo(TASK.name), options, strategy, xla=xla)


def make_batch(number):
    generator = np.random.default_rng(number)
    return (
        {"image": tf.constant(generator.normal(size=[BATCH, 5, 5, 2]), tf.float32)},
        {
            "labels": tf.constant(generator.integers(0, CLASSES, BATCH), tf.int32),
            "weights": tf.constant(np.arange(BATCH) < BATCH - number % 5, tf.float32),
            "indices": tf.range(BATCH),
        },
    )


def values_after_training(replicas, steps=STEPS, **options):
    train_step = make_train_step(replicas, **options)
    for number in range(steps):
        sums = train_step.step([make_batch(2 * number), make_batch(2 * number + 1)], 0.1)
    variables = [*train_step.model.variables, *train_step.optimizer.variables]
    copies = [train_step.strategy.experimental_local_results(variable.value) for variable in variables]
    for variable, own in zip(variables, copies, strict=True):
        for copy in own[1:]:
            np.testing.assert_array_equal(copy, own[0], err_msg=variable.path)
    return {one.path: own[0].numpy() for one, own in zip(variables, copies, strict=True)}, sums


@pytest.fixture(scope="module")
def alone():
    return values_after_training(1)


@pytest.mark.parametrize(
    "replicas", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)]
)
def test_replicas_train_as_one_with_batch_normalization_and_dropout_and_keep_equal_copies(
    replicas, alone, monkeypatch
):
    expected, expected_sums = alone
    traced, sums_of = [], TASK.sums
    monkeypatch.setattr(TASK, "sums", lambda *arguments: [traced.append(1), sums_of(*arguments)][1])
    values, sums = values_after_training(replicas)
    assert len(traced) == replicas  # not again for each of the batches of a step
    assert values.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(values[path], value, atol=1e-6, err_msg=path)
    for name, value in expected_sums.items():
        np.testing.assert_allclose(sums[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_step_of_replicas_that_xla_compiles_equals_one_that_it_does_not():
    (expected, expected_sums), (values, sums) = (
        values_after_training(2, steps=1, xla=xla, maps=False) for xla in (False, True)
    )
    for path, value in expected.items():
        np.testing.assert_allclose(values[path], value, atol=1e-6, err_msg=path)
    for name, value in expected_sums.items():
        np.testing.assert_allclose(sums[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_run_of_replicas_that_xla_compiles_ends_as_one_that_it_does_not(tmp_path, monkeypatch):
    results = []
    for xla in (False, True):
        monkeypatch.setattr(run, "use_xla", lambda *_, xla=xla: xla)  # on a CPU it is refused
        folder = tmp_path / str(xla)
        train(recipes.translation_config(tmp_path, "train.replicas=2", "train.epochs=1"), folder)
        metrics = json.loads(RunDir(folder).result.read_text())["metrics"]
        results.append({name: value for name, value in metrics.items() if isinstance(value, float)})
    assert results[1] == pytest.approx(results[0], rel=1e-5)


def on_two_replicas(call):
    strategy = distribution.make_strategy(2)
    results = strategy.run(call, args=(strategy.experimental_distribute_values_from_function(make_rows),))
    return [result.numpy() for result in strategy.experimental_local_results(results)]


def make_rows(context):
    own = context.replica_id_in_sync_group if context else slice(None)
    return tf.constant(np.random.default_rng(3).normal(1e4, 1e-3, [2, 5, 3])[own])


def test_float64_is_normalized_in_float64_on_replicas_too():
    with distribution.make_strategy(2).scope():
        layer = BatchNormalization(dtype="float64", epsilon=1e-12)
        layer.build([None, 3])
    outputs = np.concatenate(on_two_replicas(lambda rows: layer(rows, training=True)))
    rows = make_rows(None).numpy().reshape(-1, 3)
    np.testing.assert_allclose(outputs, (rows - rows.mean(0)) / rows.std(0), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"leave the mask out.*Received: mask.shape=\(5,\)"):
        on_two_replicas(lambda rows: layer(rows, training=True, mask=tf.ones([5])))


def test_a_layer_that_would_store_other_statistics_on_each_replica_is_refused():
    model = keras.Sequential([keras.Input([3]), keras.layers.BatchNormalization(name="own")], name="model")
    with pytest.raises(UserError, match=r"the layer 'model/own'.*attnzoo.*, or train.replicas: 1"):
        TrainStep(
            model,
            keras.optimizers.SGD(),
            TASK,
            DataInfo(TASK.name),
            TASK.TrainOptions(),
            distribution.make_strategy(2),
            xla=False,
        )


@pytest.mark.slow
def test_eval_repeats_the_last_validation_of_a_run_of_two_replicas(tmp_path):
    overrides = ("train.replicas=2", "train.epochs=2", "eval.weights=last", "model.dropout=0.2")
    train(recipes.image_config(tmp_path, *overrides), tmp_path / "run")
    lines = [json.loads(line) for line in RunDir(tmp_path / "run").metrics.read_text().splitlines()]
    (*_, last) = (line for line in lines if line["split"] == "validation")
    again, _ = evaluate(tmp_path / "run", "validation")
    assert again["metrics"]["loss"] == pytest.approx(last["loss"], rel=1e-6)
    assert again["metrics"]["accuracy"] == last["accuracy"]
