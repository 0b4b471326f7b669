"""The losses of boxes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from attnzoo.losses.complete_iou import complete_iou
from attnzoo.losses.generalized_iou import generalized_iou

MAXIMUM = {generalized_iou: 2.0, complete_iou: 3.0}
each_loss = pytest.mark.parametrize("loss", list(MAXIMUM), ids=lambda loss: loss.__name__)
places = st.floats(0.0, 1.0, width=32)
any_boxes = st.lists(st.tuples(places, places, places, places), min_size=2, max_size=2)


@each_loss
@settings(max_examples=30, deadline=None)
@given(pair=any_boxes)
def test_losses_of_any_two_boxes_are_in_range_and_have_finite_gradients(loss, pair):
    boxes, targets = tf.constant(pair[:1]), tf.constant(pair[1:])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        losses = loss(boxes, targets)
    gradients = tape.gradient(losses, boxes)
    assert np.isfinite(gradients).all()
    ordered = all(left <= right and top <= bottom for left, top, right, bottom in pair)
    if ordered:
        assert -1e-5 <= losses[0] <= MAXIMUM[loss] + 1e-5


@each_loss
@settings(max_examples=30, deadline=None)
@given(corner=st.tuples(places, places), sides=st.tuples(*[st.floats(0.015625, 1.0, width=32)] * 2))
def test_equal_boxes_have_no_loss(loss, corner, sides):
    box = tf.constant([[*corner, corner[0] + sides[0], corner[1] + sides[1]]])
    np.testing.assert_allclose(loss(box, box), [0.0], atol=1e-6)


@each_loss
@pytest.mark.parametrize("degenerate", [[0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.75, 0.5], [0.5, 0.0, 0.5, 1.0]])
def test_boxes_without_area_are_as_far_as_boxes_apart_and_are_drawn_nearer(loss, degenerate):
    target = tf.constant([[0.125, 0.25, 0.375, 0.75]])
    boxes = tf.constant([degenerate])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        losses = loss(boxes, target)
    assert losses[0] >= 1.0 - 1e-6
    gradient = tape.gradient(losses, boxes).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0.0
    np.testing.assert_allclose(loss(target, boxes)[0] >= 1.0 - 1e-6, True)


@each_loss
def test_the_loss_of_moved_boxes_grows_with_the_distance(loss):
    target = tf.constant([[0.0, 0.0, 2.0, 2.0]])
    moved = tf.constant([[step, 0.0, 2.0 + step, 2.0] for step in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)])
    losses = loss(moved, target).numpy()
    assert (np.diff(losses) > 0.0).all()
    scaled = loss(moved * 0.01, target * 0.01)  # a matter of shape, not of the unit
    np.testing.assert_allclose(scaled, losses, rtol=1e-3, atol=1e-6)


def test_the_complete_iou_sees_the_aspect_ratio():
    # Same center, same IoU of 1/2: half as wide and half as high differ from the target, the square does not.
    target = tf.constant([[-2.0, -2.0, 2.0, 2.0]])
    side = np.sqrt(2.0)
    boxes = tf.constant([[-1.0, -2.0, 1.0, 2.0], [-side, -side, side, side]], tf.float32)
    ratio = 4.0 / np.pi**2 * (np.arctan(1.0) - np.arctan(0.5)) ** 2
    np.testing.assert_allclose(complete_iou(boxes, target), [0.5 + ratio**2 / (0.5 + ratio), 0.5], rtol=1e-5)
