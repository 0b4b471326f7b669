"""Average precision and recall of detections: those of the COCO tool, and what it gets wrong."""

import math

import numpy as np
import pytest

from attnzoo.tasks import detection_metrics
from attnzoo.tasks.detection_matching import SplitDetections, match
from tests.tasks.detection_cases import coco_metrics, make_case, make_detections, make_objects

COCO_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
COCO_NAMES += ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")
BOX, OTHER = (10, 10, 60, 60), (100, 100, 160, 170)
NOTHING = make_detections([], [], [])


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(detection_metrics, "RESAMPLES", 3)


def metrics_of(detections, objects, num_classes=1):
    return detection_metrics.compute_metrics(match(detections, objects, num_classes))


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 300), marks=pytest.mark.slow)])
def test_metrics_are_those_of_the_coco_tool_in_300_cases(few_resamples, seeds):
    compared = 0
    for seed in seeds:
        detections, objects, num_classes = make_case(seed)
        if not any(len(one.scores) for one in detections):
            continue  # the tool refuses them
        metrics = metrics_of(detections, objects, num_classes)
        values = [metrics.get(name, -1.0) for name in COCO_NAMES]
        expected = coco_metrics(detections, objects, num_classes)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9, err_msg=f"case {seed}")
        compared += 1
    assert compared > 0.8 * len(seeds)


def test_metrics_are_defined_however_few_detections_an_image_has():
    """The COCO tool says -1 if its largest number of detections is not 100."""
    metrics = metrics_of([make_detections([BOX], [0.9], [0])], [make_objects([BOX], [0])])
    assert [metrics[name] for name in ("ap", "ar1", "ar10", "ar100")] == [1.0] * 4


def test_more_than_100_detections_of_a_class_in_an_image_count_as_100(few_resamples):
    found = make_detections([OTHER] * 100 + [BOX], np.linspace(1.0, 0.1, 101), [0] * 101)
    metrics = metrics_of([found], [make_objects([BOX], [0])])
    assert (metrics["ap"], metrics["ar100"]) == (0.0, 0.0)


def test_classes_without_objects_are_left_out_of_means():
    objects = [make_objects([BOX], [1])]
    metrics = metrics_of([make_detections([BOX, OTHER], [0.9, 0.8], [1, 0])], objects, num_classes=3)
    assert metrics["ap"] == metrics["ar100"] == 1.0
    assert "ap_small" not in metrics
    assert metrics["ap_medium"] == 1.0


def test_the_first_object_of_the_first_image_is_found():
    """Tools that number objects from 0 take it for no match."""
    objects = [make_objects([BOX], [0]), make_objects([OTHER], [0])]
    found = [make_detections([BOX], [0.9], [0]), make_detections([OTHER], [0.8], [0])]
    assert metrics_of(found, objects)["ap"] == 1.0


def test_no_detections_at_all_give_zeros_and_no_objects_give_no_metrics():
    assert metrics_of([NOTHING], [make_objects([BOX], [0])])["ap"] == 0.0
    assert metrics_of([NOTHING, NOTHING], [make_objects([], []), make_objects([], [])]) == {}
    assert metrics_of([make_detections([BOX], [0.5], [0])], [make_objects([], [])]) == {}


def test_detections_in_crowds_are_neither_right_nor_wrong():
    objects = [make_objects([BOX, (100, 100, 300, 300)], [0, 0], [False, True])]
    found = [make_detections([BOX, (120, 120, 160, 160), (200, 200, 260, 260)], [0.7, 0.9, 0.8], [0, 0, 0])]
    assert metrics_of(found, objects)["ap"] == 1.0


def test_resampled_metrics_are_those_of_an_image_given_several_times():
    detections, objects, num_classes = make_case(7)
    weights = np.arange(len(objects)) % 3
    chosen = np.repeat(np.arange(len(objects)), weights)
    table = match(detections, objects, num_classes)
    repeated = match([detections[i] for i in chosen], [objects[i] for i in chosen], num_classes)
    (resampled,) = detection_metrics.average_precisions(table, weights[None])
    (expected,) = detection_metrics.average_precisions(repeated, np.ones((1, len(chosen)), np.int64))
    assert np.nanmax(expected) > 0.0
    np.testing.assert_allclose(resampled, expected, atol=1e-12)


def make_split(accuracy, seed=0, images=40):
    """A detector that finds each object with a probability, among as many false detections."""
    generator = np.random.default_rng(seed)
    detections, objects = [], []
    for _ in range(images):
        boxes = np.array([BOX, OTHER]) + generator.integers(0, 20)
        found = boxes[generator.random(2) < accuracy]
        wrong = np.array([[200, 200, 250, 250], [300, 300, 340, 350]])
        both = np.concatenate([found, wrong])
        detections.append(make_detections(both, generator.random(len(both)), [0] * len(both)))
        objects.append(make_objects(boxes, [0, 0]))
    return SplitDetections(detections, objects, ("thing",))


def test_intervals_shrink_with_the_number_of_images():
    few, many = (
        detection_metrics.compute_metrics(make_split(0.6, images=count).table) for count in (20, 180)
    )
    assert 0.2 < many["ap50_interval"] / few["ap50_interval"] < 0.5  # 1 / 3 by the number of images
    assert 0.0 < many["ap50_interval"] < 0.1


def test_a_better_detector_differs_significantly_and_the_same_one_does_not():
    systems = [("one", make_split(0.5)), ("same", make_split(0.5)), ("better", make_split(0.95))]
    first, same, better = detection_metrics.compare(systems, "ap50")[0]
    assert (first.metric, first.p_value, same.p_value) == ("ap50", None, 1.0)
    assert better.value > first.value
    assert better.p_value < 0.01


def test_two_detectors_of_equal_quality_do_not_differ():
    comparisons, signature = detection_metrics.compare([("a", make_split(0.6)), ("b", make_split(0.6, 1))])
    assert comparisons[1].p_value > 0.05
    assert signature == "ap of 40 images, 1000 resamples"


def test_details_have_each_class_at_the_score_with_the_best_f1(few_resamples):
    objects = [make_objects([BOX, OTHER], [0, 2]), make_objects([BOX], [0]), make_objects([], [])]
    found = [
        make_detections([BOX, OTHER, OTHER], [0.9, 0.8, 0.3], [0, 2, 0]),
        make_detections([BOX], [0.6], [0]),
        NOTHING,
    ]
    details = detection_metrics.details(SplitDetections(found, objects, ("cat", "dog", "cow")))
    cat, dog, cow = details["classes"]
    assert 0.3 < details["best_threshold"] <= 0.6
    assert cat == {
        "class": "cat", "images": 2, "instances": 2, "precision": 1.0, "recall": 1.0, "ap50": 1.0, "ap": 1.0
    }  # fmt: skip
    assert dog["instances"] == 0
    assert dog["ap"] is None
    assert cow["images"] == 1
    header, total, *_ = detection_metrics.lines(details)
    assert header.split() == ["class", "images", "instances", "P", "R", "AP50", "AP"]
    assert total.split() == ["all", "3", "3", "1.000", "1.000", "1.000", "1.000"]


def test_precision_and_recall_are_those_of_detections_from_a_score_on():
    found = make_detections([BOX, OTHER, (0, 0, 5, 5)], [0.9, 0.5, 0.5], [0, 0, 0])
    curve = detection_metrics.Curve(match([found], [make_objects([BOX, OTHER], [0, 0])], 1), 0)
    precision, recall = curve.at(np.array([0.95, 0.9, 0.5]))
    assert precision.tolist() == pytest.approx([0.0, 1.0, 2 / 3])
    assert recall.tolist() == [0.0, 0.5, 1.0]
    assert math.isclose(detection_metrics.best_threshold([curve]), 0.25)  # 0 to 0.5 are equally good
