import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from attnzoo.training import classes
from attnzoo.training.run import train
from attnzoo.training.step import Stepper
from tests import recipes

LABELS = ("a", "b", "c")
TARGETS = np.array([0] * 11 + [1] * 5 + [2], np.int32)


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    found = classes.weights("balanced", LABELS, TARGETS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[TARGETS].sum() == pytest.approx(len(TARGETS))


def test_a_class_without_a_training_example_has_a_finite_weight():
    assert np.isfinite(classes.weights("balanced", (*LABELS, "d"), TARGETS)).all()


def test_weights_by_label_leave_the_others_at_1():
    assert classes.weights({"c": 2.5, "a": 0.5}, LABELS, TARGETS).tolist() == [0.5, 1.0, 2.5]
    assert classes.weights("none", LABELS, TARGETS) is None


def test_counts_are_shown_for_imbalanced_data_only():
    even, odd = np.array([0, 1, 2] * 2), np.array([0, 0, 0, 1, 1, 2, 2])
    assert classes.imbalance(LABELS, {"train": even, "validation": odd, "test": even}) == []
    assert classes.imbalance(LABELS, {"train": even, "test": np.array([0, 0, 0, 1, 2])}) == [
        "train: a 2, b 2, c 2",
        "test: a 3, b 1, c 1",
    ]
    assert classes.imbalance(LABELS, {"train": TARGETS}) == ["train: a 11, b 5, c 1"]
    assert classes.imbalance(LABELS, {"train": np.array([1, 1])}) == ["train: b 2, a 0, c 0"]
    assert classes.imbalance((), {"train": np.zeros(5, np.int32)}) == []


def test_of_many_classes_the_ends_are_shown():
    many = np.repeat(np.arange(13), np.arange(2001, 2014))
    many = np.concatenate([many, np.full(2000, 3)])
    (line,) = classes.imbalance([f"l{number}" for number in range(13)], {"train": many})
    assert line == (
        "train: l3 4,004, l12 2,013, l11 2,012, l10 2,011, l9 2,010, ..., "
        "l5 2,006, l4 2,005, l2 2,003, l1 2,002, l0 2,001"
    )


def test_training_weighs_examples_by_their_label(tmp_path, monkeypatch):
    trained, step = [], Stepper.step

    def watched(stepper, batches, rate):
        trained.extend(batches)
        return step(stepper, batches, rate)

    monkeypatch.setattr(Stepper, "step", watched)
    options = ["train.xla=false", "train.steps=2", "train.class_weights={en: 5}"]
    train(recipes.text_config(tmp_path, *options), tmp_path / "run")
    assert len(trained) == 2
    for _, targets in trained:
        expected = np.where(targets["labels"] == 1, 5.0, 1.0) * targets["weights"]
        np.testing.assert_array_equal(targets["loss_weights"], expected)
