import warnings

import numpy as np
import pytest
from scipy import special

from attnzoo.tasks import classification_metrics


def drawn(temperature, examples=5003, classes=3, seed=3):
    """Logits that are `temperature` times those that the labels were drawn from, and the labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(examples, classes)) * 2
    chances = special.softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) < generator.random((examples, 1))).sum(axis=1).astype(np.int32)
    return logits * temperature, labels


def loss(logits, labels, temperature):
    return -special.log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


def one_hot(predicted, classes):
    return np.eye(classes)[predicted]


def test_macro_f1_and_kappa_of_a_small_confusion_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2], np.int32)
    predicted = np.array([0, 0, 0, 1, 1, 1, 2, 2, 0, 0])
    result = classification_metrics.compute_metrics(one_hot(predicted, 4), labels)
    # precisions 3/5, 2/3, 1; recalls 3/4, 1, 1/2; the fourth class occurs nowhere
    assert result["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 2 / 3) / 3)
    chance = (4 * 5 + 2 * 3 + 4 * 2) / 100
    assert result["cohen_kappa"] == pytest.approx((0.7 - chance) / (1 - chance))
    assert set(result) == {"macro_f1", "cohen_kappa", "calibration_error"}


def test_rows_of_the_confusion_matrix_are_true_labels():
    matrix = classification_metrics.confusion_matrix(one_hot([1, 1, 0], 3), np.array([0, 0, 0], np.int32))
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 0]]


def test_one_class_alone_has_no_kappa_and_many_classes_are_no_mistake():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "cohen_kappa" not in classification_metrics.compute_metrics(
            one_hot([1, 1], 2), np.array([1, 1], np.int32)
        )
        every = np.arange(23, dtype=np.int32)
        assert classification_metrics.compute_metrics(one_hot(every, 23), every)["cohen_kappa"] == 1.0
        assert classification_metrics.confusion_matrix(one_hot(every, 23), every).trace() == 23


def test_calibration_error_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.94, 0.06], [0.3, 0.7], [0.55, 0.45]])
    labels = np.array([0, 1, 1, 1], np.int32)
    # bins (14/15, 1]: one of two right, confidence 0.945; (10/15, 11/15]: right; (8/15, 9/15]: wrong
    expected = 2 / 4 * abs(0.5 - 0.945) + 1 / 4 * abs(1 - 0.7) + 1 / 4 * abs(0 - 0.55)
    assert classification_metrics.calibration_error(probabilities, labels) == pytest.approx(expected)


def test_calibration_error_equals_its_definition_bin_by_bin():
    logits, labels = drawn(1.7, classes=7)
    probabilities = special.softmax(logits, axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert classification_metrics.calibration_error(probabilities, labels) == pytest.approx(
        expected, abs=1e-12
    )


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    on_edge = np.array([[10 / 15, 5 / 15], [9.5 / 15, 5.5 / 15]])
    labels = np.array([0, 1], np.int32)  # in one bin what one is too sure the other makes up for
    assert classification_metrics.calibration_error(on_edge, labels) == pytest.approx(abs(0.5 - 9.75 / 15))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_the_data_is_found_and_calibrates(temperature):
    logits, labels = drawn(temperature)
    probabilities = special.softmax(logits, axis=1)
    result = classification_metrics.fit_temperature(probabilities, labels)
    assert result == pytest.approx(temperature, rel=0.1)
    assert all(
        loss(logits, labels, result) <= loss(logits, labels, other) for other in np.linspace(0.1, 10, 199)
    )
    scaled = classification_metrics.apply_temperature(probabilities, result)
    np.testing.assert_allclose(scaled, special.softmax(logits / result, axis=1), atol=1e-12)
    metrics = classification_metrics.compute_metrics(probabilities, labels, result)
    assert metrics["temperature"] == result
    assert (
        metrics["scaled_calibration_error"] == classification_metrics.calibration_error(scaled, labels) < 0.03
    )
    if temperature != 1.0:
        assert metrics["calibration_error"] > 3 * metrics["scaled_calibration_error"]


def test_a_model_that_is_wrong_and_sure_beyond_float32_has_a_temperature():
    logits = np.array([[300.0, 0.0], [250.0, 0.0], [0.0, 200.0]])
    labels = np.array([0, 1, 1], np.int32)
    assert classification_metrics.fit_temperature(special.softmax(logits, axis=1), labels) == pytest.approx(
        10.0, rel=1e-3
    )


def test_a_model_that_is_always_right_is_not_made_infinitely_sure():
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert classification_metrics.fit_temperature(probabilities, np.array([0, 1])) == pytest.approx(
        0.1, rel=1e-3
    )


def test_probabilities_that_are_no_numbers_have_no_temperature():
    assert classification_metrics.fit_temperature(np.full((2, 2), np.nan), np.array([0, 1])) is None
    assert np.isnan(classification_metrics.calibration_error(np.full((2, 2), np.nan), np.array([0, 1])))


def test_top_five_accuracy_is_reported_for_more_than_five_classes():
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.ones(7), 50)
    labels = generator.integers(0, 7, 50)
    expected = np.mean(
        [label in np.argsort(row)[-5:] for row, label in zip(probabilities, labels, strict=True)]
    )
    assert classification_metrics.compute_metrics(probabilities, labels)["top_5_accuracy"] == pytest.approx(
        expected
    )
    five = classification_metrics.compute_metrics(probabilities[:, :5], labels % 5)
    assert "top_5_accuracy" not in five
