"""The anchor-free head."""

import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.detection_head import FIRST_PROBABILITY, MAX_LOG_DISTANCE, AnchorFreeHead

CANVAS, STRIDES = (40, 56), [8, 16]


def levels(seed=0):
    generator = np.random.default_rng(seed)
    return [tf.constant(generator.normal(size=(2, *size, 6)), tf.float32) for size in ((5, 7), (3, 4))]


def head(**options):
    return AnchorFreeHead(3, CANVAS, STRIDES, **{"units": 8, "depth": 1, **options})


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_at_first_every_class_is_improbable_and_boxes_are_around_their_centers(depth):
    layer = head(depth=depth)
    outputs = layer(levels())
    assert outputs["boxes"].shape == (2, 35 + 12, 4)
    np.testing.assert_allclose(tf.sigmoid(outputs["logits"]), FIRST_PROBABILITY, atol=0.005)
    centers = layer.centers
    np.testing.assert_allclose(
        centers[[0, 1, 34, 35]] * [56, 40], [[4, 4], [12, 4], [52, 36], [8, 8]], rtol=1e-6
    )
    pixels = (outputs["boxes"].numpy() - np.tile(centers, 2)) * [56, 40, 56, 40]
    np.testing.assert_allclose(pixels[:, 35:] / [-16, -16, 16, 16], 1.0, atol=0.5)
    np.testing.assert_allclose(pixels[:, :35] / [-8, -8, 8, 8], 1.0, atol=0.5)


def test_a_constant_distance_makes_boxes_of_that_size():
    layer = head(depth=0)
    layer(levels())
    layer.log_distances.kernel.assign(tf.zeros_like(layer.log_distances.kernel))
    layer.log_distances.bias.assign(np.log([1.0, 2.0, 3.0, 4.0]))
    layer.scales.assign([1.0, 2.0])  # squares the distances of the coarser level
    box = layer(levels())["boxes"].numpy()[0] * [56, 40, 56, 40]
    np.testing.assert_allclose(box[0], [4 - 8, 4 - 16, 4 + 24, 4 + 32], rtol=1e-5)
    np.testing.assert_allclose(box[35], [8 - 16, 8 - 4 * 16, 8 + 9 * 16, 8 + 16 * 16], rtol=1e-5)


def test_no_distance_is_too_large_for_a_number():
    layer = head(depth=0)
    layer(levels())
    layer.log_distances.bias.assign([1e9] * 4)
    boxes = layer(levels())["boxes"].numpy()
    np.testing.assert_allclose(boxes.max(), np.exp(MAX_LOG_DISTANCE) * 16 / 40, rtol=0.01)


def test_levels_share_their_convolutions():
    layer = head(depth=1)
    layer(levels())
    names = sorted(variable.path.split("/", 1)[-1] for variable in layer.trainable_variables)
    assert len(names) == len(set(names)) == 2 * 3 + 2 * 2 + 1


def test_one_map_for_each_stride_is_needed():
    with pytest.raises(ValueError, match=re.escape("1 maps, strides=[8, 16]")):
        head()(levels()[:1])
