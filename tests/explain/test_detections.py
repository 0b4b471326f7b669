"""What each detection attends to."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog
from attnzoo.explain.detections import AttendedDetection, DetectionsView
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.layers.attention_weights import with_attention_weights

SIDES = (32, 48)
NAMES = ("cat", "dog")
SMALL = {"stages": [[4], [8], [8]], "strides": [4, 8], "pyramid_units": 8}


def make_info():
    features = {
        "image": Image(shape=(*SIDES, 3), mean=(0.5,) * 3, std=(0.3,) * 3),
        "boxes": Boxes(names=NAMES, canvas=SIDES),
    }
    return DataInfo("detection", features)


def make_model(name, **options):
    module = catalog.load("models", name)
    return module.build(module.Config(name=name, **SMALL, **options), make_info())


gated_detector = functools.cache(lambda: make_model("detector", attention="spatial"))
"""A model that tests leave as it is, with an attention layer for each of two levels."""


def make_view(model, candidates, layer=None):
    """Returns a view of a model that detects the given candidates, whatever their scores."""
    indices = tf.constant(candidates, tf.int32)

    def decode(outputs):
        boxes = tf.clip_by_value(tf.gather(outputs["boxes"], indices, axis=1), 0.0, 1.0)
        scores = tf.sigmoid(tf.gather(outputs["logits"], indices, axis=1))[..., :1]
        return tf.concat([boxes, scores, tf.zeros_like(scores)], axis=-1)

    return DetectionsView(model, make_info(), decode, layer)


def random_images(count=2):
    return np.random.default_rng(5).integers(0, 256, (count, *SIDES, 3)).astype(np.uint8)


def test_a_detection_has_the_attention_of_its_level():
    positions = 8 * 12
    view = make_view(gated_detector(), [5, positions + 3])
    fine, coarse = view.detect(random_images())[0]
    assert (fine.layer, coarse.layer) == ("attention_4", "attention_8")
    assert (fine.weights.shape, coarse.weights.shape) == ((8, 12), (4, 6))
    assert fine.weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_with_weights_for_each_position_a_detection_has_those_of_its_center():
    model = make_model("detector", attention={"name": "multi_head", "num_heads": 2})
    view = make_view(model, [100])
    (detection,) = view.detect(random_images(1))[0]
    explained = with_attention_weights(model, detection.layer)
    _, weights = explained({"image": view.image.prepare(tf.constant(random_images(1)))})
    rows, columns = detection.weights.shape
    x, y = (detection.box[0] + detection.box[2]) / 2, (detection.box[1] + detection.box[3]) / 2
    position = min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)
    expected = weights.numpy()[0].mean(axis=0)[position].reshape(rows, columns)
    np.testing.assert_allclose(detection.weights, expected, atol=1e-6)


def test_a_query_has_its_own_attention_to_the_map():
    model = make_model("detector_transformer", num_queries=5, num_layers=2, feed_forward_units=16)
    view = make_view(model, [1, 4])
    one, other = view.detect(random_images(1))[0]
    assert one.layer == other.layer == "decoder_1"
    assert one.weights.shape == (8, 12)
    assert np.abs(one.weights - other.weights).max() > 1e-6
    assert one.weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_another_layer_can_be_looked_at():
    view = make_view(gated_detector(), [5], layer="attention_8")
    assert view.detect(random_images(1))[0][0].layer == "attention_8"


def test_attention_inside_a_box_counts_parts_of_positions():
    weights = np.array([[0.5, 0.25], [0.125, 0.125]], np.float32)
    whole = AttendedDetection(np.array([0.0, 0.0, 1.0, 1.0]), 0.5, 0, "attention", weights)
    assert whole.attention_inside == pytest.approx(1.0)
    half = whole._replace(box=np.array([0.0, 0.0, 0.5, 0.25]))
    assert half.attention_inside == pytest.approx(0.25)  # half of the first position
    assert half.area == 0.125


def test_pictures_and_json_have_a_panel_and_an_entry_for_each_detection(tmp_path):
    view = make_view(gated_detector(), [5, 50, 99])
    path = tmp_path / "image.png"
    path.write_bytes(tf.io.encode_png(np.full((64, 96, 3), 90, np.uint8)).numpy())
    maps = view.explain_inputs([str(path)])
    (picture,) = view.write(maps, tmp_path / "out", "title")
    height, width, _ = tf.io.decode_png(picture.read_bytes()).shape
    assert (height, width) == (640, 3 * 480)  # the image above its attention, and two columns of panels
    values = json.loads(maps[0].to_json())
    assert values["image"] == str(path)
    assert [len(one["weights"]) for one in values["detections"]] == [8, 8, 4]
    left, top, right, bottom = values["detections"][0]["box"]
    assert 0.0 <= left <= right <= 96.0
    assert 0.0 <= top <= bottom <= 64.0
    first, second, *_ = view.lines(maps, [picture], in_colors=False)
    assert first == f"{path}  ->  3 detections\n  {picture}"
    assert "of the attention in" in second


def test_an_image_without_detections_is_drawn_without_attention(tmp_path):
    view = make_view(gated_detector(), [])
    path = tmp_path / "image.png"
    path.write_bytes(tf.io.encode_png(np.full((*SIDES, 3), 90, np.uint8)).numpy())
    (one,) = view.explain_inputs([str(path)])
    assert one.detections == []
    assert one.overview(480).shape == (640, 480, 3)
