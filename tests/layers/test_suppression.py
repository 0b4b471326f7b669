"""From candidates to detections."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.suppression import MAX_CANDIDATES, suppress, take_best
from tests.boxes import random_boxes

A, NEAR_A, B = (0.0, 0.0, 0.4, 0.4), (0.0, 0.0, 0.4, 0.36), (0.5, 0.5, 0.9, 0.9)


def reference(boxes, scores, iou, threshold):
    """Greedy suppression of one image, class by class, as (score, class, candidate), best first."""
    kept = []
    for number in range(scores.shape[1]):
        chosen = []
        for index in np.argsort(-scores[:, number], kind="stable"):
            box = boxes[index]
            sides = [np.minimum(box[2:], boxes[i, 2:]) - np.maximum(box[:2], boxes[i, :2]) for i in chosen]
            shared = np.array([np.maximum(one, 0.0).prod() for one in sides])
            areas = np.array([(boxes[i, 2:] - boxes[i, :2]).prod() for i in chosen])
            union = areas + (box[2:] - box[:2]).prod() - shared
            if scores[index, number] > threshold and (shared <= iou * union).all():
                chosen.append(index)
        kept += [(scores[index, number], number, index) for index in chosen]
    return sorted(kept, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_greedy_suppression_class_by_class(seed):
    generator = np.random.default_rng(seed)
    boxes = random_boxes(generator, 2, 61)
    scores = generator.random((2, 61, 3)).astype(np.float32)
    found = suppress(tf.constant(boxes), tf.constant(scores), 0.3, 40, 0.2).numpy()
    for image in range(2):
        expected = reference(boxes[image], scores[image], 0.3, 0.2)[:40]
        rows = found[image, : len(expected)]
        np.testing.assert_allclose(rows[:, 4], [score for score, _, _ in expected], rtol=1e-6)
        np.testing.assert_array_equal(rows[:, 5], [number for _, number, _ in expected])
        np.testing.assert_array_equal(rows[:, :4], boxes[image][[index for _, _, index in expected]])
        assert not found[image, len(expected) :].any()


def test_boxes_of_other_classes_and_touching_ones_stay():
    boxes = tf.constant([[A, NEAR_A, B]])
    scores = tf.constant([[[0.5, 0.0], [0.4, 0.3], [0.2, 0.0]]])
    found = suppress(boxes, scores, 0.6, 5, 0.001).numpy()[0]
    expected = [[*A, 0.5, 0], [*NEAR_A, 0.3, 1], [*B, 0.2, 0], [0] * 6, [0] * 6]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("function", ["suppress", "take_best"])
def test_an_image_without_detections_gives_zeros(function):
    boxes, scores = tf.constant([[A, B]]), tf.fill([1, 2, 3], 0.0001)
    found = (
        suppress(boxes, scores, 0.6, 4, 0.001)
        if function == "suppress"
        else take_best(boxes, scores, 4, 0.001)
    )
    assert found.shape == (1, 4, 6)
    assert not found.numpy().any()


def test_equal_boxes_with_equal_scores_leave_one():
    found = suppress(tf.constant([[A] * 5]), tf.fill([1, 5, 1], 0.5), 0.6, 5, 0.001).numpy()
    assert (found[0, :, 4] > 0.0).sum() == 1


def test_of_very_many_candidates_the_best_are_compared():
    count = MAX_CANDIDATES + 500
    boxes = np.tile(np.array([A], np.float32), [1, count, 1])
    boxes[0, -1] = B
    scores = np.linspace(0.1, 0.9, count, dtype=np.float32)[None, :, None]
    found = suppress(tf.constant(boxes), tf.constant(scores), 0.6, 3, 0.001).numpy()[0]
    np.testing.assert_allclose(found[:2, 4], scores[0, [-1, -2], 0])
    assert not found[2].any()


def test_it_works_in_a_saved_model(tmp_path):
    module = tf.Module()
    boxes = random_boxes(np.random.default_rng(5), 2, 31)
    scores = np.random.default_rng(6).random((2, 31, 3)).astype(np.float32)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 31, 4], tf.float32), tf.TensorSpec([None, 31, 3], tf.float32)]
    )
    def serve(boxes, scores):
        return suppress(boxes, scores, 0.5, 7, 0.001), take_best(boxes, scores, 7, 0.001)

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path))
    found = tf.saved_model.load(str(tmp_path)).serve(tf.constant(boxes), tf.constant(scores))
    np.testing.assert_array_equal(found[0], suppress(tf.constant(boxes), tf.constant(scores), 0.5, 7, 0.001))
    np.testing.assert_array_equal(found[1], take_best(tf.constant(boxes), tf.constant(scores), 7, 0.001))
