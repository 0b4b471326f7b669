import numpy as np
import pytest
from sklearn.metrics import f1_score

from attnzoo.tasks import label_thresholds


def make_decisions(count, seed):
    """Probabilities with many equal ones, and truths that they tell something about."""
    generator = np.random.default_rng(seed)
    probabilities = np.round(generator.random(count), 1)
    return probabilities, generator.random(count) < probabilities**2


@pytest.mark.parametrize("seed", range(2))
def test_the_best_threshold_is_the_best_of_all(seed):
    probabilities, truth = make_decisions(53, seed)
    best = label_thresholds.best_threshold(probabilities, truth)
    every = [f1_score(truth, probabilities >= one) for one in np.linspace(0.001, 0.999, 997)]
    assert f1_score(truth, probabilities >= best) == pytest.approx(max(every))
    assert not np.isclose(probabilities, best).any()  # a rounding error would turn a decision


def test_a_threshold_is_between_0_and_1_whatever_was_predicted():
    for probabilities in (np.zeros(3), np.ones(3), np.array([0.0, 1.0, 1.0])):
        for truth in (np.array([True, False, True]), np.zeros(3, bool), np.ones(3, bool)):
            assert 0.0 < label_thresholds.best_threshold(probabilities, truth) < 1.0


def test_a_rare_label_takes_the_threshold_of_all_labels_together():
    probabilities, truth = make_decisions(211, 3)
    rare = np.zeros_like(truth)
    rare[np.flatnonzero(truth)[:3]] = True
    both, truths = np.stack([probabilities, probabilities], axis=1), np.stack([truth, rare], axis=1)
    fitted = label_thresholds.fit(both, truths, ["often", "rare"])
    assert fitted == {
        "often": label_thresholds.best_threshold(probabilities, truth),
        "rare": label_thresholds.best_threshold(both.ravel(), truths.ravel()),
    }
    assert label_thresholds.resolve("auto", ["often", "rare"], None) is None
    assert label_thresholds.resolve("auto", ["often", "rare"], fitted) == fitted
    assert label_thresholds.resolve({"rare": 0.1}, ["often", "rare"], fitted) == {"rare": 0.1}


def test_the_threshold_of_all_labels_is_fitted_only_for_rare_ones_and_to_so_many_decisions(monkeypatch):
    sizes = []

    def counting(probabilities, truth):
        sizes.append(len(truth))
        return best_threshold(probabilities, truth)

    best_threshold = label_thresholds.best_threshold
    monkeypatch.setattr(label_thresholds, "best_threshold", counting)
    monkeypatch.setattr(label_thresholds, "MAX_DECISIONS", 100)
    probabilities, truth = (np.reshape(part, (101, 3)) for part in make_decisions(303, 3))
    label_thresholds.fit(probabilities, truth, ["a", "b", "c"])
    assert sizes == [101, 101, 101]
    truth[:, 1] = False
    fitted = label_thresholds.fit(probabilities, truth, ["a", "b", "c"])
    assert sizes[3:] == [26 * 3, 101, 101]  # every fourth example
    assert fitted["b"] == best_threshold(probabilities[::4].ravel(), truth[::4].ravel())
