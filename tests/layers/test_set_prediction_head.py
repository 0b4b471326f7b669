"""One query for each object."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import box_geometry
from attnzoo.layers.matches import MIN_QUALITY, unpack_objects
from attnzoo.layers.set_prediction_head import SetPredictionHead, match_costs
from tests.boxes import CROWD, OBJECT, objects_of, random_boxes, random_objects

QUERIES, CLASSES = 7, 3


def candidates(seed=3, batch=2):
    generator = np.random.default_rng(seed)
    boxes = random_boxes(generator, batch, QUERIES)
    logits = generator.normal(-1.0, 2.0, (batch, QUERIES, CLASSES)).astype(np.float32)
    return {"boxes": tf.constant(boxes), "logits": tf.constant(logits)}


def match(outputs, objects):
    return SetPredictionHead(CLASSES, num_layers=1).match(outputs, objects)


def assert_equal(one, other):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_rows_are_queries_and_columns_are_objects():
    # Seven queries, two objects: query 5 has the box of the first, query 1 that of the second.
    outputs = candidates(batch=1)
    boxes = outputs["boxes"].numpy()[0]
    objects = objects_of([(boxes[5], 2, OBJECT), (boxes[1], 0, OBJECT)])
    matches = match(outputs, objects)
    np.testing.assert_array_equal(matches.weights, [[0, 1, 0, 0, 0, 1, 0]])
    np.testing.assert_allclose(matches.boxes[0, 5], boxes[5])
    np.testing.assert_allclose(matches.boxes[0, 1], boxes[1])
    expected = np.zeros([1, QUERIES, CLASSES])
    expected[0, 5, 2] = expected[0, 1, 0] = 1.0
    np.testing.assert_allclose(matches.scores, expected, rtol=1e-5)


def test_the_sum_of_the_costs_is_smallest_not_each_by_itself():
    # Both objects are nearest to query 0; the second one would lose more by the other query.
    outputs = {
        "boxes": tf.constant([[[0.1, 0.1, 0.3, 0.3], [0.16, 0.1, 0.36, 0.3]]]),
        "logits": tf.zeros([1, 2, 1]),
    }
    first, second = (0.12, 0.1, 0.32, 0.3), (0.04, 0.1, 0.24, 0.3)
    matches = match(
        {**outputs, "logits": tf.zeros([1, 2, CLASSES])}, objects_of([(first, 0, 1), (second, 0, 1)])
    )
    np.testing.assert_allclose(matches.boxes[0], [second, first])


def test_a_query_of_the_right_class_is_preferred_to_a_slightly_nearer_one():
    box = (0.2, 0.2, 0.6, 0.6)
    outputs = {
        "boxes": tf.constant([[box, (0.21, 0.2, 0.61, 0.6)]]),
        "logits": tf.constant([[[3.0, -3.0], [-3.0, 3.0]]]),
    }
    matches = SetPredictionHead(2, num_layers=1).match(outputs, objects_of([(box, 1, OBJECT)]))
    np.testing.assert_array_equal(matches.weights, [[0.0, 1.0]])


def test_the_cost_of_a_match_in_numbers():
    # The right box: IoU 1, distance 0; at a probability of 1/2 both parts of the focal loss have 0.25 log 2.
    box = (0.25, 0.25, 0.75, 0.75)
    objects = objects_of([(box, 0, OBJECT), ((0.25, 0.25, 0.75, 0.5), 0, OBJECT)], slots=2)
    costs = match_costs(tf.constant([[box]]), tf.zeros([1, 1, 1]), objects).numpy()
    focal = 2.0 * (0.25 - 0.75) * 0.25 * np.log(2.0)
    np.testing.assert_allclose(
        costs[0, 0], [focal - 2.0, focal + 5.0 * (0.125 + 0.25) - 2.0 * 0.5], rtol=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_objects_and_padding_change_nothing(seed):
    generator = np.random.default_rng(seed)
    packed = random_objects(generator, batch=2, slots=5, classes=CLASSES)
    outputs = candidates(seed)
    expected = match(outputs, unpack_objects(tf.constant(packed)))
    padded = np.concatenate([packed, np.zeros([2, 6, 6], np.float32)], axis=1)
    for row in padded:
        row[:] = row[generator.permutation(11)]
    assert_equal(match(outputs, unpack_objects(tf.constant(padded))), expected)
    np.testing.assert_array_equal(tf.reduce_sum(expected.weights, axis=1), [5, 5])


@pytest.mark.parametrize("count", [0, 1, QUERIES, QUERIES + 4])
def test_every_object_has_a_query_as_long_as_there_are_any(count):
    packed = random_objects(np.random.default_rng(2), batch=1, slots=max(1, count), classes=CLASSES)
    packed[:, :, 5] = float(count > 0)
    matches = match(candidates(batch=1), unpack_objects(tf.constant(packed)))
    assert tf.reduce_sum(matches.weights) == min(count, QUERIES)


def test_the_target_score_is_the_iou_of_the_box():
    outputs, packed = candidates(), random_objects(np.random.default_rng(1), 2, 4, CLASSES)
    matches = match(outputs, unpack_objects(tf.constant(packed)))
    overlaps = tf.maximum(box_geometry.iou(outputs["boxes"], matches.boxes), MIN_QUALITY)
    expected = overlaps * matches.weights
    np.testing.assert_allclose(tf.reduce_sum(matches.scores, axis=-1), expected, rtol=1e-5)


def test_the_class_of_a_query_is_known_before_its_box_overlaps_the_object():
    outputs = {"boxes": tf.constant([[[0.0, 0.0, 0.2, 0.2]]]), "logits": tf.zeros([1, 1, CLASSES])}
    matches = match(outputs, objects_of([((0.5, 0.5, 0.9, 0.9), 1, OBJECT)]))
    np.testing.assert_array_equal(matches.scores.numpy() > 0.0, [[[False, True, False]]])


def test_queries_in_a_crowd_are_neither_right_nor_wrong():
    outputs = candidates(batch=1)
    boxes = outputs["boxes"].numpy()[0]
    objects = objects_of([(boxes[5], 2, OBJECT), (boxes[4], 0, CROWD)])
    matches = match(outputs, objects)
    assert matches.ignored[0, 4]
    assert not matches.ignored[0, 5]
    np.testing.assert_array_equal(matches.weights, [[0, 0, 0, 0, 0, 1, 0]])


def test_outputs_that_are_not_finite_are_matched_without_an_error():
    outputs = candidates(batch=1)
    outputs["logits"] = tf.fill(outputs["logits"].shape, np.float32(np.nan))
    objects = objects_of([((0.2, 0.2, 0.6, 0.6), 1, OBJECT)])
    assert tf.reduce_sum(match(outputs, objects).weights) == 1.0


def test_all_decoder_blocks_of_a_batch_are_matched_in_one_call_of_numpy():
    head = SetPredictionHead(CLASSES, num_layers=3)
    generator = np.random.default_rng(0)
    inputs = [
        (
            tf.constant(random_boxes(generator, 2, 5)),
            tf.constant(generator.normal(size=(2, 5, 8)), tf.float32),
        )
        for _ in range(3)
    ]
    outputs = head(inputs)
    assert outputs["auxiliary_logits"].shape == (2, 2, 5, CLASSES)
    stacked = head.all_outputs(outputs)
    np.testing.assert_allclose(stacked["boxes"][2:4], box_geometry.from_centers(inputs[0][0]), atol=1e-6)
    np.testing.assert_allclose(stacked["boxes"][:2], outputs["boxes"])
    packed = tf.constant(np.tile(random_objects(generator, 2, 4, CLASSES), [3, 1, 1]))

    @tf.function
    def run():
        return head.match(stacked, unpack_objects(packed))

    operations = [operation.type for operation in run.get_concrete_function().graph.get_operations()]
    assert sum("PyFunc" in kind for kind in operations) == 1
    assert_equal(run(), head.match(stacked, unpack_objects(packed)))
