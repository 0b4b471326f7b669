import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from attnzoo.tasks import class_weights
from attnzoo.training.run import train
from attnzoo.training.step import TrainStep
from tests import recipes

LABELS = ("a", "b", "c")
TARGETS = np.array([0] * 11 + [1] * 5 + [2], np.int32)


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    result = class_weights.class_weights("balanced", LABELS, TARGETS)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert result[TARGETS].sum() == pytest.approx(len(TARGETS))


def test_a_class_without_a_training_example_has_a_finite_weight():
    assert np.isfinite(class_weights.class_weights("balanced", (*LABELS, "d"), TARGETS)).all()


def test_weights_by_label_leave_the_others_at_1():
    assert class_weights.class_weights({"c": 2.5, "a": 0.5}, LABELS, TARGETS).tolist() == [0.5, 1.0, 2.5]
    assert class_weights.class_weights("none", LABELS, TARGETS) is None


def test_training_weights_examples_by_their_label(tmp_path, monkeypatch):
    trained, step = [], TrainStep.step

    def watched(train_step, batches, rate):
        trained.extend(batches)
        return step(train_step, batches, rate)

    monkeypatch.setattr(TrainStep, "step", watched)
    options = ["train.xla=false", "train.steps=2", "train.class_weights={en: 5}"]
    train(recipes.text_config(tmp_path, *options), tmp_path / "run")
    assert len(trained) == 2
    for _, targets in trained:
        expected = np.where(targets["labels"] == 1, 5.0, 1.0) * targets["weights"]
        np.testing.assert_array_equal(targets["loss_weights"], expected)


def test_balanced_positive_weights_give_both_sides_of_a_label_the_same_weight():
    targets = np.zeros((17, 3), np.float32)
    targets[:5, 0], targets[:1, 1], targets[:, 2] = 1.0, 1.0, 1.0
    first, second, always = class_weights.positive_weights("balanced", LABELS, targets)
    assert (5 * first, 1 * second) == (pytest.approx(12), 16)
    assert 0.0 < always < 1.0
    assert class_weights.positive_weights({"c": 2.5}, LABELS, targets).tolist() == [1.0, 1.0, 2.5]
    assert class_weights.positive_weights("none", LABELS, targets) is None
