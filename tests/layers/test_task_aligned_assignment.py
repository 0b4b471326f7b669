"""Which candidates of a dense detector learn which object."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers import task_aligned_assignment
from attnzoo.layers.matches import MIN_QUALITY, unpack_objects
from attnzoo.layers.task_aligned_assignment import TOP_K, assign_objects
from tests.boxes import CROWD, OBJECT, objects_of, random_boxes, random_objects

SIDE, CLASSES = 7, 3
CELL = tf.constant([1.0 / SIDE] * 2)
CENTERS = tf.constant(
    [((x + 0.5) / SIDE, (y + 0.5) / SIDE) for y in range(SIDE) for x in range(SIDE)], tf.float32
)


def candidates(seed=3, batch=2):
    """Boxes around each center, and logits."""
    generator = np.random.default_rng(seed)
    around = generator.uniform(0.05, 0.3, (batch, SIDE**2, 4)) * [-1, -1, 1, 1]
    boxes = np.tile(CENTERS.numpy(), 2) + around
    logits = generator.normal(-1.0, 2.0, (batch, SIDE**2, CLASSES))
    return tf.constant(boxes, tf.float32), tf.constant(logits, tf.float32)


def assign(packed, seed=3):
    boxes, logits = candidates(seed, len(packed))
    return assign_objects(boxes, logits, CENTERS, CELL, unpack_objects(tf.constant(packed)))


def assert_equal(one, other):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_objects_and_padding_change_nothing(seed):
    generator = np.random.default_rng(seed)
    packed = random_objects(generator, batch=2, slots=5, classes=CLASSES)
    expected = assign(packed)
    padded = np.concatenate([packed, np.zeros([2, 6, 6], np.float32)], axis=1)
    for row in padded:
        row[:] = row[generator.permutation(11)]
    assert_equal(assign(padded), expected)
    assert expected.weights.numpy().max() > 0.0


def test_each_object_has_at_most_ten_candidates_inside_it_and_its_best_one_counts_fully():
    packed = random_objects(np.random.default_rng(0), batch=2, slots=3, classes=CLASSES)
    matches = assign(packed)
    for image in range(2):
        for box in packed[image, :, :4]:
            mine = (matches.boxes[image].numpy() == box).all(axis=-1)
            assert 1 <= mine.sum() <= TOP_K
            inside = np.abs(CENTERS - (box[:2] + box[2:]) / 2) <= np.maximum(box[2:] - box[:2], 1 / SIDE) / 2
            assert inside[mine].all()
            np.testing.assert_allclose(matches.weights[image].numpy()[mine].max(), 1.0, rtol=1e-5)
    scores = matches.scores.numpy()
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert ((scores > 0).sum(axis=-1) <= 1).all()  # one class a candidate
    assert (scores.max(axis=-1)[matches.weights == 0.0] == 0.0).all()


def test_scores_and_weights_of_three_candidates_in_numbers():
    # Two candidates inside the object, with IoU 1 and 1/2 and equal probabilities; the third is outside.
    boxes = tf.constant([[[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 1.0]]])
    centers = tf.constant([[0.25, 0.25], [0.25, 0.75], [0.75, 0.5]])
    objects = objects_of([((0.0, 0.0, 0.5, 1.0), 1, OBJECT)])
    matches = assign_objects(boxes, tf.zeros([1, 3, 2]), centers, tf.constant([0.5, 0.5]), objects)
    np.testing.assert_allclose(matches.weights, [[1.0, 0.5**6, 0.0]])
    np.testing.assert_allclose(matches.scores, [[[0.0, 1.0], [0.0, 0.5**6], [0.0, 0.0]]])
    assert not np.any(matches.ignored)


def test_of_two_objects_a_candidate_learns_the_one_that_it_predicts_better():
    boxes = tf.constant([[[0.1, 0.1, 0.6, 0.6]]])
    near, far = (0.1, 0.1, 0.6, 0.6), (0.0, 0.0, 1.0, 1.0)
    for order in ([near, far], [far, near]):
        objects = objects_of([(box, 0, OBJECT) for box in order])
        matches = assign_objects(boxes, tf.zeros([1, 1, 1]), tf.constant([[0.35, 0.35]]), CELL, objects)
        np.testing.assert_allclose(matches.boxes, [[near]])
        np.testing.assert_allclose(matches.scores, [[[1.0]]], rtol=1e-6)


@pytest.mark.parametrize("place", [0.5, 0.5 / SIDE, 1.0 / SIDE, 0.123, 0.876])
def test_an_object_smaller_than_a_cell_has_a_candidate_wherever_it_is(place):
    tiny = (place, place, place + 0.01, place + 0.01)
    boxes, logits = candidates(batch=1)
    matches = assign_objects(boxes, logits, CENTERS, CELL, objects_of([(tiny, 0, OBJECT)]))
    np.testing.assert_allclose(matches.weights.numpy().max(), 1.0, rtol=1e-5)


def test_an_object_that_no_candidate_overlaps_is_learned_nevertheless():
    far_boxes = tf.tile(tf.constant([[[0.98, 0.98, 0.99, 0.99]]]), [1, SIDE**2, 1])
    objects = objects_of([((0.1, 0.1, 0.4, 0.4), 0, OBJECT)])
    matches = assign_objects(far_boxes, tf.zeros([1, SIDE**2, CLASSES]), CENTERS, CELL, objects)
    assert matches.weights.numpy().max() == 1.0
    assert matches.scores.numpy().max() == np.float32(MIN_QUALITY)  # its box comes before its score


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.5), (0.5, 0.1, 0.5, 0.9), (0.7, 0.2, 0.3, 0.8)])
def test_boxes_without_area_are_nothing(box):
    boxes, logits = candidates(batch=1)
    matches = assign_objects(boxes, logits, CENTERS, CELL, objects_of([(box, 0, OBJECT), (box, 1, CROWD)]))
    for values in matches:
        assert not np.any(values)


def test_candidates_over_a_crowd_are_neither_right_nor_wrong():
    crowd, learned = (0.0, 0.0, 0.6, 1.0), (0.05, 0.05, 0.45, 0.45)
    boxes, logits = candidates(batch=1)
    objects = objects_of([(crowd, 0, CROWD), (learned, 1, OBJECT)])
    matches = assign_objects(boxes, logits, CENTERS, CELL, objects)
    alone = assign_objects(boxes, logits, CENTERS, CELL, objects_of([(learned, 1, OBJECT)]))
    assert_equal(matches[:3], alone[:3])
    ignored = matches.ignored.numpy()[0]
    assert ignored[CENTERS[:, 0] < 0.3].sum() > 5
    assert not ignored[CENTERS[:, 0] > 0.9].any()
    assert not ignored[matches.weights[0] > 0.0].any()


@pytest.mark.slow
def test_xla_compiles_it_to_the_same():
    packed = tf.constant(random_objects(np.random.default_rng(1), batch=2, slots=4, classes=CLASSES))
    boxes, logits = candidates()

    def run():
        return assign_objects(boxes, logits, CENTERS, CELL, unpack_objects(packed))

    assert_equal(tf.function(run, jit_compile=True)(), run())


def test_of_two_objects_in_one_place_both_are_learned():
    # Every candidate predicts the first one better, and the second one nearly as well.
    boxes = tf.tile(tf.constant([[[0.2, 0.2, 0.8, 0.8]]]), [1, SIDE**2, 1])
    boxes += tf.random.stateless_uniform(boxes.shape, [3, 5], -0.01, 0.01)
    objects = objects_of([((0.2, 0.2, 0.8, 0.8), 0, OBJECT), ((0.25, 0.25, 0.8, 0.8), 0, OBJECT)])
    matches = assign_objects(boxes, tf.zeros([1, SIDE**2, 1]), CENTERS, CELL, objects)
    for box in objects.boxes[0, :2].numpy():
        assert (matches.boxes[0].numpy() == box).all(axis=-1).any()


def test_of_two_objects_with_one_best_candidate_the_better_one_gets_it_however_little_it_overlaps():
    # Only the first candidate is inside the objects; it overlaps them by IoU 0.05 and 0.04.
    boxes = tf.constant([[[0.0, 0.0, 0.2, 0.2], [0.9, 0.9, 1.0, 1.0]]])
    centers = tf.constant([[0.5, 0.5], [0.99, 0.01]])
    better, worse = (0.0, 0.0, 0.9, 0.9), (0.0, 0.0, 1.0, 1.0)
    for order in ([better, worse], [worse, better]):
        objects = objects_of([(box, 0, OBJECT) for box in order])
        matches = assign_objects(boxes, tf.zeros([1, 2, 1]), centers, CELL, objects)
        np.testing.assert_allclose(matches.boxes[0, 0], better)


def test_nothing_of_it_is_trained():
    boxes, logits = candidates()
    packed = tf.constant(random_objects(np.random.default_rng(1), batch=2, slots=4, classes=CLASSES))
    with tf.GradientTape() as tape:
        tape.watch([boxes, logits])
        matches = assign_objects(boxes, logits, CENTERS, CELL, unpack_objects(packed))
        total = tf.reduce_sum(matches.scores) + tf.reduce_sum(matches.weights)
    assert tape.gradient(total, [boxes, logits]) == [None, None]


def test_a_map_with_fewer_positions_than_an_object_may_have():
    assert task_aligned_assignment.TOP_K > 2
    boxes = tf.constant(random_boxes(np.random.default_rng(0), 1, 2))
    centers = (boxes[0, :, :2] + boxes[0, :, 2:]) / 2.0
    objects = objects_of([((0.0, 0.0, 1.0, 1.0), 0, OBJECT)])
    matches = assign_objects(boxes, tf.zeros([1, 2, 1]), centers, CELL, objects)
    assert matches.weights.shape == (1, 2)
    assert (matches.weights.numpy() > 0.0).all()
