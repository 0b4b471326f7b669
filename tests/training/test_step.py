import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.features.info import DataInfo
from attnzoo.layers.dropout import Dropout
from attnzoo.tasks.evaluating import received
from attnzoo.training import distribution, optimizers
from attnzoo.training.step import INITIAL_LOSS_SCALE, NO_MULTIPLIERS, TrainStep
from tests.tasks.examples import image_examples
from tests.thinned import thinned

TASK = tasks.load("text_classification")
INFO = DataInfo(TASK.name)
FEATURES, CLASSES = 5, 3


def make_model(strategy, dropout=0.0):
    keras.utils.set_random_seed(7)
    with strategy.scope():
        inputs = keras.Input([FEATURES], name="text")
        hidden = keras.layers.Dense(11, activation="tanh", name="hidden")(inputs)
        hidden = Dropout(dropout)(hidden)
        logits = keras.layers.Dense(CLASSES, dtype="float32", name="logits")(hidden)
        return keras.Model({"text": inputs}, logits)


def make_train_step(
    xla=True, average=False, strategy=None, multipliers=NO_MULTIPLIERS, dropout=0.0, **options
):
    train = TASK.TrainOptions(**{"learning_rate": 0.1, "optimizer": "sgd", "beta_1": 0.0, **options})
    strategy = strategy or tf.distribute.get_strategy()
    kept = make_model(strategy) if average else None
    model = make_model(strategy, dropout)
    with strategy.scope():
        optimizer = optimizers.build(train)
    return TrainStep(
        model, optimizer, TASK, INFO, train, strategy, xla=xla, average=kept, multipliers=multipliers
    )


def make_batch(indices, count=None):
    """Examples that depend on their index alone; rows from `count` on only fill up."""
    indices = np.asarray(indices, np.int32)
    features = np.stack([np.random.default_rng(int(i)).normal(size=FEATURES) for i in indices])
    weights = (np.arange(len(indices)) < (len(indices) if count is None else count)).astype(np.float32)
    return (
        {"text": tf.constant(features, tf.float32)},
        {
            "labels": tf.constant(indices % CLASSES),
            "weights": tf.constant(weights),
            "indices": tf.constant(indices),
        },
    )


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def assert_same(first, second, tolerance=1e-6):
    for one, two in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_allclose(one, two, atol=tolerance)


def test_rows_that_fill_up_a_batch_change_nothing():
    plain, filled = make_train_step(), make_train_step()
    sums = plain.step([make_batch([0, 1, 2])], 0.1)
    padded_sums = filled.step([make_batch([0, 1, 2, 4, 4, 4, 4], count=3)], 0.1)
    np.testing.assert_allclose(sums["loss"], padded_sums["loss"], rtol=1e-6)
    assert_same(plain.model, filled.model)


def test_an_example_with_weight_two_counts_twice_in_the_loss_and_once_in_the_accuracy():
    twice, weighed = make_train_step(), make_train_step()
    expected = twice.step([make_batch([0, 1, 1, 2])], 0.1)
    inputs, targets = make_batch([0, 1, 2])
    sums = weighed.step([(inputs, {**targets, "loss_weights": tf.constant([1.0, 2.0, 1.0])})], 0.1)
    np.testing.assert_allclose(sums["loss"], expected["loss"], rtol=1e-6)
    assert sums["accuracy"][1] == 3
    assert_same(twice.model, weighed.model)


def test_only_the_ratios_of_the_weights_in_a_step_matter():
    full, light = make_train_step(), make_train_step()
    inputs, targets = make_batch([0, 1])
    full.step([(inputs, {**targets, "loss_weights": tf.constant([1.0, 3.0])})], 0.1)
    light.step([(inputs, {**targets, "loss_weights": tf.constant([0.125, 0.375])})], 0.1)
    assert_same(full.model, light.model)


@pytest.mark.parametrize("optimizer", thinned(["adamw", "sgd", "lamb", "lion", "adafactor"], 5))
def test_a_learning_rate_multiplier_scales_the_updates_of_its_weights(optimizer):
    options = {"optimizer": optimizer, "weight_decay": 0.1, "beta_1": 0.9}
    whole, slowed = (
        make_train_step(**options),
        make_train_step(**options, multipliers={"hidden/kernel": 0.25}),
    )
    before = weights_of(whole.model)
    for train_step in (whole, slowed):
        train_step.step([make_batch(range(7))], 0.1)
    for start, one, other, variable in zip(
        before, weights_of(whole.model), weights_of(slowed.model), whole.model.weights, strict=True
    ):
        factor = 0.25 if variable.path == "hidden/kernel" else 1.0
        np.testing.assert_allclose(other - start, factor * (one - start), atol=1e-6)
        assert np.abs(one - start).max() > 5e-5


def test_r_drop_without_dropout_changes_nothing():
    plain, twice = make_train_step(), make_train_step(r_drop=5.0)
    expected = plain.step([make_batch(range(7), count=5)], 0.1)
    sums = twice.step([make_batch(range(7), count=5)], 0.1)
    np.testing.assert_allclose(sums["divergence"], [0.0, 5.0], atol=1e-6)
    np.testing.assert_allclose(sums["loss"][0] / sums["loss"][1], expected["loss"][0] / 5.0, rtol=1e-6)
    assert_same(plain.model, twice.model)


def test_r_drop_draws_passes_with_different_dropout_together():
    def divergence_after_training(r_drop):
        train_step = make_train_step(r_drop=r_drop, dropout=0.5)
        for _ in range(60):
            sums = train_step.step([make_batch(range(32))], 0.1)
        return float(sums["divergence"][0] / sums["divergence"][1])

    assert 0.0 < divergence_after_training(20.0) < 0.5 * divergence_after_training(1e-6)


def test_accumulated_uneven_batches_equal_one_batch_of_everything():
    whole, parts = make_train_step(), make_train_step()
    whole.step([make_batch(range(11))], 0.1)
    parts.step([make_batch(range(7)), make_batch(range(7, 11))], 0.1)
    assert_same(whole.model, parts.model)


@pytest.mark.parametrize("optimizer", thinned(["adafactor", "adamw", "sgd", "lamb", "lion"], 3))
def test_compiled_and_plain_steps_agree_for_every_optimizer(optimizer):
    compiled, plain = (
        make_train_step(xla, optimizer=optimizer, beta_1=0.9, weight_decay=0.01) for xla in (True, False)
    )
    for train_step in (compiled, plain):
        for _ in range(3):
            train_step.step([make_batch(range(7))], 0.01)
    assert_same(compiled.model, plain.model, 1e-4)  # steps are 1e-2; Adam divides by small second moments


def test_the_learning_rate_is_the_one_that_was_passed():
    train_step = make_train_step()
    before = weights_of(train_step.model)
    train_step.step([make_batch(range(7))], 0.0)
    for one, two in zip(before, weights_of(train_step.model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_gradients_are_scaled_down_to_the_clip_norm():
    free, clipped = make_train_step(), make_train_step(clip_norm=1e-3)
    start = weights_of(free.model)
    norm = float(free.step([make_batch(range(7))], 0.1)["gradient_norm"])
    clipped_norm = float(clipped.step([make_batch(range(7))], 0.1)["gradient_norm"])
    assert clipped_norm == pytest.approx(norm)
    for begin, one, two in zip(start, weights_of(free.model), weights_of(clipped.model), strict=True):
        np.testing.assert_allclose(two - begin, (one - begin) * 1e-3 / norm, atol=1e-7)


def test_weight_decay_leaves_biases_alone():
    train_step = make_train_step(optimizer="adamw", weight_decay=0.5)
    for variable in train_step.model.variables:
        variable.assign(tf.ones_like(variable.value))
    inputs, targets = make_batch([0])
    targets["weights"] = tf.zeros([1])
    train_step.step([(inputs, targets)], 0.1)
    values = {variable.path: variable.numpy() for variable in train_step.model.variables}
    np.testing.assert_allclose(values["hidden/kernel"], 0.95, rtol=1e-6)
    np.testing.assert_allclose(values["hidden/bias"], 1.0)


def test_a_step_that_is_not_finite_changes_no_weight_and_is_reported():
    train_step = make_train_step(optimizer="adamw")
    before = weights_of(train_step.model)
    inputs, targets = make_batch(range(3))
    inputs["text"] = tf.fill([3, FEATURES], float("nan"))
    sums = train_step.step([(inputs, targets)], 0.1)
    assert not bool(sums["finite"])
    for one, two in zip(before, weights_of(train_step.model), strict=True):
        np.testing.assert_array_equal(one, two)
    assert int(train_step.optimizer.iterations.numpy()) == 0


def test_float16_halves_its_loss_scale_where_a_step_is_not_finite():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        train_step = make_train_step(precision="mixed_float16")
        inputs, targets = make_batch(range(3))
        train_step.step([(inputs, targets)], 0.1)
        assert float(train_step.scale_state[0].numpy()) == INITIAL_LOSS_SCALE
        inputs["text"] = tf.fill([3, FEATURES], float("inf"))
        assert not bool(train_step.step([(inputs, targets)], 0.1)["finite"])
        assert float(train_step.scale_state[0].numpy()) == INITIAL_LOSS_SCALE / 2
    finally:
        keras.config.set_dtype_policy("float32")


def test_loss_scale_does_not_change_the_update():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = make_train_step(precision="mixed_float16")
    finally:
        keras.config.set_dtype_policy("float32")
    full = make_train_step()
    for train_step in (half, full):
        train_step.step([make_batch(range(7))], 0.1)
    assert_same(half.model, full.model, 2e-3)


def test_moving_average_follows_the_weights_and_training_never_uses_it():
    plain, averaged = make_train_step(), make_train_step(average=True, ema_decay=0.9)
    start = weights_of(averaged.average)
    for train_step in (plain, averaged):
        train_step.step([make_batch(range(7))], 0.1)
    assert_same(plain.model, averaged.model, 0.0)
    decay = 2 / 11  # min(0.9, (1 + 1) / (10 + 1)) after the first step
    for begin, now, mean in zip(start, weights_of(averaged.model), weights_of(averaged.average), strict=True):
        np.testing.assert_allclose(mean, decay * begin + (1 - decay) * now, atol=1e-6)


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_several_steps_in_one_call_are_the_same_steps_bit_for_bit(replicas):
    strategy = distribution.make_strategy(replicas)
    options = {"optimizer": "adamw", "beta_1": 0.9, "ema_decay": 0.9, "clip_norm": 0.5, "dropout": 0.3}
    options |= {"average": True, "strategy": strategy, "xla": False}
    groups = [[make_batch(range(start, start + 4)), make_batch([start, 7], 1)] for start in range(3)]
    rates = [0.1, 0.2, 0.05]
    one_by_one, together = make_train_step(**options), make_train_step(**options)
    expected = [one_by_one.step(group, rate) for group, rate in zip(groups, rates, strict=True)]
    actual = together.steps(groups, rates)
    tf.nest.map_structure(np.testing.assert_array_equal, actual, expected)
    for one, other in ((one_by_one.model, together.model), (one_by_one.average, together.average)):
        assert_same(one, other, 0.0)


def test_a_batch_is_copied_without_types_that_stay_in_the_host_and_gives_the_same_step(monkeypatch):
    plain, copied = make_train_step(xla=False), make_train_step(xla=False)
    inputs, targets = make_batch(range(6))
    batch = (inputs, {**targets, "tokens": tf.constant([[-7, 2**31 - 1]])})
    expected = plain.step([batch], 0.1)
    device = tf.config.list_logical_devices("CPU")[1]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: [device])
    placed = copied.place(batch)
    parts = tf.nest.flatten(placed)
    assert {part.dtype for part in parts} == {
        tf.float32,
        tf.uint32,
    }
    assert all(part.device.endswith(device.name) for part in parts)
    tf.nest.map_structure(np.testing.assert_array_equal, received(placed), batch)
    assert [part.dtype for part in tf.nest.flatten(received(placed))] == [
        part.dtype for part in tf.nest.flatten(batch)
    ]
    actual = copied.step([placed], 0.1)
    tf.nest.map_structure(np.testing.assert_array_equal, actual, expected)
    assert_same(copied.model, plain.model, 0.0)


def test_two_replicas_give_the_step_of_one():
    strategy = distribution.make_strategy(2)
    one, two = make_train_step(), make_train_step(xla=False, strategy=strategy)
    for train_step in (one, two):
        sums = train_step.step([make_batch(range(6), count=5), make_batch(range(6, 10), count=3)], 0.1)
    np.testing.assert_allclose(sums["loss"][1], 8.0)
    assert_same(one.model, two.model)


def test_a_step_standardizes_the_bytes_of_images():
    task, (examples, info) = tasks.load("image_classification"), image_examples(7)
    options = task.TrainOptions(learning_rate=0.1, optimizer="sgd")
    pixels = examples.encoded["image"]
    targets = {
        "labels": examples.encoded["label"],
        "weights": np.ones(7, np.float32),
        "indices": np.arange(7),
    }
    trained = []
    for known, images in (
        (info, pixels),
        (DataInfo(task.name), ((pixels / 255.0 - 0.5) / 0.3).astype(np.float32)),
    ):
        keras.utils.set_random_seed(7)
        inputs = keras.Input([3, 5, 1], name="image")
        model = keras.Model({"image": inputs}, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
        strategy = tf.distribute.get_strategy()
        step = TrainStep(model, optimizers.build(options), task, known, options, strategy, xla=False)
        batch = tf.nest.map_structure(tf.constant, ({"image": images}, targets))
        losses = [float(step.step([batch], 0.1)["loss"][0]) for _ in range(3)]
        trained.append((losses, model))
    assert trained[0][0] == pytest.approx(trained[1][0], rel=1e-5)
    assert_same(trained[0][1], trained[1][1])


@pytest.mark.parametrize("replicas", [1, 2])
def test_accumulation_and_several_steps_in_one_call_trace_the_model_once_on_each_replica(
    replicas, monkeypatch
):
    strategy, traced, sums = distribution.make_strategy(replicas), [], TASK.sums
    train_step = make_train_step(xla=False, strategy=strategy)

    def counted(*arguments):
        traced.append(arguments)
        return sums(*arguments)

    monkeypatch.setattr(train_step, "task", TASK)
    monkeypatch.setattr(TASK, "sums", counted)
    train_step.steps([[make_batch(range(4))] * 3] * 2, [0.1, 0.2])
    assert len(traced) == replicas
