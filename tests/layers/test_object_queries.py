"""Queries for objects, and the blocks that refine their boxes."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.object_queries import (
    POOLED,
    ObjectQueries,
    QueryBlock,
    encode_fractions,
    sample_boxes,
)
from tests.boxes import random_boxes

UNITS, QUERIES = 8, 5


def inputs(seed=0):
    generator = np.random.default_rng(seed)
    boxes = tf.constant(generator.uniform(0.2, 0.8, (2, QUERIES, 4)), tf.float32)
    hidden = tf.constant(generator.normal(size=(2, QUERIES, UNITS)), tf.float32)
    maps = tf.constant(generator.normal(size=(2, 7, 11, UNITS)), tf.float32)
    return boxes, hidden, maps


def test_a_box_of_a_map_that_rises_evenly_is_sampled_at_its_points():
    rows, columns = np.meshgrid(np.arange(7) + 0.5, np.arange(11) + 0.5, indexing="ij")
    maps = tf.constant(np.stack([rows / 7, columns / 11], axis=-1)[None], tf.float32)
    box = [0.2, 0.3, 0.8, 0.6]
    sampled = sample_boxes(maps, tf.constant([[box]])).numpy().reshape(POOLED, POOLED, 2)
    y = 0.3 + 0.3 * (np.arange(POOLED) + 0.5) / POOLED
    x = 0.2 + 0.6 * (np.arange(POOLED) + 0.5) / POOLED
    np.testing.assert_allclose(sampled[..., 0], np.tile(y[:, None], POOLED), rtol=1e-5)
    np.testing.assert_allclose(sampled[..., 1], np.tile(x, [POOLED, 1]), rtol=1e-5)


def test_boxes_over_the_border_are_sampled_at_it():
    maps = tf.ones([1, 3, 5, 1])
    boxes = tf.constant([[[-1.0, -0.5, 0.5, 3.0], [0.5, 0.5, 0.5, 0.5], [2.0, 2.0, 3.0, 3.0]]])
    np.testing.assert_allclose(sample_boxes(maps, boxes), np.ones([1, 3, POOLED**2]))


def test_the_first_boxes_are_a_grid_over_the_whole_canvas_for_every_image():
    queries = ObjectQueries(12)
    boxes = queries(tf.zeros([3, 1])).numpy()
    assert boxes.shape == (3, 12, 4)
    np.testing.assert_array_equal(boxes[0], boxes[2])
    np.testing.assert_allclose(boxes[0, :, :2].mean(axis=0), [0.5, 0.5], atol=1e-6)
    assert len(np.unique(boxes[0, :, :2].round(4), axis=0)) == 12


def test_encodings_of_places_that_are_near_are_alike():
    places = tf.constant([[0.30], [0.31], [0.40], [0.90]])
    codes = encode_fractions(places, 16).numpy()
    similarity = codes @ codes[0]
    assert similarity[0] == similarity.max()
    assert similarity[1] > similarity[2] > similarity[3] - 4.0


def test_a_block_begins_by_leaving_the_boxes_as_they_are_and_moves_them_when_trained():
    boxes, hidden, maps = inputs()
    block = QueryBlock(UNITS, feed_forward_units=16)
    same, updated = block(boxes, hidden=hidden, maps=maps)
    np.testing.assert_allclose(same, boxes, atol=1e-5)
    assert updated.shape == hidden.shape
    with tf.GradientTape() as tape:
        moved, _ = block(boxes, hidden=hidden, maps=maps)
        loss = tf.reduce_sum(tf.square(moved - 0.5))
    kernel = block.refinement[-1].kernel
    assert np.abs(tape.gradient(loss, kernel.value)).max() > 0.0


def test_queries_see_their_box_each_other_and_the_whole_map():
    boxes, hidden, maps = inputs()
    block = QueryBlock(UNITS, {"name": "multi_head", "num_heads": 2}, feed_forward_units=16)
    _, expected = block(boxes, hidden=hidden, maps=maps)
    changed = hidden.numpy()
    changed[:, 3] *= -1.0
    _, others = block(boxes, hidden=tf.constant(changed), maps=maps)
    assert np.abs(others - expected)[:, 0].max() > 1e-4
    far = maps.numpy()
    far[:, -1, -1] += 3.0
    _, seen = block(boxes * [1.0, 1.0, 0.1, 0.1], hidden=hidden, maps=tf.constant(far))
    _, before = block(boxes * [1.0, 1.0, 0.1, 0.1], hidden=hidden, maps=maps)
    assert (np.abs(seen - before).max(axis=(0, 2)) > 1e-5).all()


def test_attention_weights_of_the_map_sum_to_one():
    boxes, hidden, maps = inputs()
    block = QueryBlock(UNITS, {"name": "multi_head", "num_heads": 2}, feed_forward_units=16)
    (_, outputs), weights = block(boxes, hidden=hidden, maps=maps, return_attention_scores=True)
    assert weights.shape == (2, 2, QUERIES, 77)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(outputs, block(boxes, hidden=hidden, maps=maps)[1], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"units": 6}, "units=6"), ({"attention": "spatial"}, "'name': 'spatial'")],
)
def test_unsuitable_arguments_are_refused(options, what):
    with pytest.raises(ValueError, match=re.escape(what)):
        QueryBlock(**{"units": UNITS, **options})


def test_a_map_of_another_width_is_refused():
    boxes, hidden, maps = inputs()
    with pytest.raises(ValueError, match=r"must have 8 channels.*maps_shape=\(2, 7, 11, 5\)"):
        QueryBlock(UNITS)(boxes, hidden=hidden, maps=maps[..., :5])


def test_boxes_stay_on_the_canvas_however_long_they_are_trained():
    boxes = tf.constant(random_boxes(np.random.default_rng(1), 1, QUERIES))
    block = QueryBlock(UNITS, feed_forward_units=16)
    maps = tf.random.stateless_normal([1, 7, 11, UNITS], [3, 5])
    block(boxes, maps=maps)
    block.refinement[-1].bias.assign([100.0, -100.0, 100.0, -100.0])
    moved, _ = block(boxes, maps=maps)
    assert np.isfinite(moved).all()
    assert moved.numpy().min() >= 0.0
    assert moved.numpy().max() <= 1.0
