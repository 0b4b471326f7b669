"""Both detectors: what they compute, with every attention, and after saving."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog
from attnzoo.config import resolve
from attnzoo.errors import UserError
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.layers.attention_weights import attention_names
from attnzoo.runs.building import build_model
from tests import mechanisms
from tests.thinned import thinned

INFO = DataInfo(
    "detection",
    {
        "image": Image(shape=(40, 56, 3), mean=(0.5,) * 3, std=(0.2,) * 3),
        "boxes": Boxes(names=("a", "b", "c"), max_boxes=4, canvas=(40, 56)),
    },
)
SMALL = (
    "model.stages=[[4], [6], {width: 8, depth: 1, stride: 2}, {width: 8, depth: 1, stride: 2}]",
    "model.strides=[8, 16]",
    "model.pyramid_units=8",
)
CANDIDATES = {"detector": 5 * 7 + 3 * 4, "detector_transformer": 7}


def built(name, *overrides):
    recipe = {"detector": "detect_shapes", "detector_transformer": "detect_shapes_transformer"}[name]
    if name == "detector_transformer":
        overrides = ("model.num_queries=7", "model.num_layers=2", "model.feed_forward_units=8", *overrides)
    return build_model(resolve(catalog.config_path(recipe), [*SMALL, *overrides]).config, INFO)


@functools.cache
def unchanged(name):
    """A model that tests leave as it is."""
    return built(name)


def images(count=2):
    generator = np.random.default_rng(3)
    return {"image": tf.constant(generator.normal(size=(count, 40, 56, 3)), tf.float32)}


each_model = pytest.mark.parametrize("name", list(CANDIDATES))


@each_model
def test_a_detector_gives_boxes_on_the_canvas_and_logits(name):
    outputs = unchanged(name)(images(), training=False)
    assert outputs["boxes"].shape == (2, CANDIDATES[name], 4)
    assert outputs["logits"].shape == (2, CANDIDATES[name], 3)
    assert outputs["boxes"].dtype == outputs["logits"].dtype == tf.float32
    boxes = outputs["boxes"].numpy()
    assert np.isfinite(outputs["logits"]).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    assert np.abs(boxes).max() < 4.0


@pytest.mark.parametrize("name", thinned(CANDIDATES, 2))
def test_the_same_weights_are_in_the_same_places_every_time(name):
    paths = [variable.path for variable in unchanged(name).variables]
    assert len(paths) == len(set(paths))
    assert paths == [variable.path for variable in built(name).variables]


@each_model
def test_every_trained_weight_has_a_gradient(name):
    model = unchanged(name)
    with tf.GradientTape() as tape:
        outputs = model(images(), training=True)
        loss = sum(tf.reduce_sum(tf.square(values)) for values in outputs.values())
    variables = [variable.value for variable in model.trainable_variables]
    missing = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, variables), strict=True)
        if gradient is None
    ]
    assert missing == []


@each_model
def test_a_detector_survives_a_keras_file(name, tmp_path):
    model = unchanged(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model(images(), training=False)
    assert set(expected) >= {"boxes", "logits"}
    for key, values in loaded(images(), training=False).items():
        np.testing.assert_allclose(values, expected[key], atol=1e-5)
    assert loaded.get_layer("head").needs_suppression is (name == "detector")


@pytest.mark.parametrize(
    "attention", thinned(["null", *mechanisms.GATES, "{name: multi_head, position: relative}"], 4)
)
def test_the_attention_of_the_levels_is_changed_by_its_name(attention):
    model = built("detector", f"model.attention={attention}")
    assert np.isfinite(model(images(), training=False)["logits"]).all()
    names = [layer.name for layer in model.layers if layer.name.startswith("attention_")]
    assert names == ([] if attention == "null" else ["attention_8", "attention_16"])


def test_the_decoder_blocks_have_attention_to_show():
    assert attention_names(unchanged("detector_transformer")) == ["decoder_0", "decoder_1"]
    assert attention_names(unchanged("detector")) == ["attention_8", "attention_16"]


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("detector", "model.strides=[4, 16]", r"model\.strides.*each twice the one before.*\[4, 16\]"),
        ("detector", "model.strides=[32, 64]", r"no stage has a map of stride 32; .* have 2, 4, 8, 16"),
        ("detector", "model.attention={name: multi_head, num_heads: 3}", r"a divisor of the width 8"),
        ("detector_transformer", "model.pyramid_units=6", r"expected a multiple of 4, received 6"),
        ("detector_transformer", "model.decoder_attention=cbam", r"'cbam' does not support cross-attention"),
        ("detector_transformer", "train.xla=true", r"train\.xla.*XLA cannot compile detector_transformer"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(name, override, message):
    with pytest.raises(UserError, match=message):
        built(name, override)


def test_levels_beyond_the_stages_are_made():
    model = built("detector", "model.strides=[8, 16, 32]")
    assert model(images(), training=False)["boxes"].shape == (2, 35 + 12 + 2 * 2, 4)


@pytest.mark.slow
@each_model
def test_half_precision_gives_nearly_the_same(name):
    expected = unchanged(name)
    try:
        half = built(name, "train.precision=mixed_bfloat16")
        half.set_weights(expected.get_weights())
        outputs = half(images(), training=False)
        assert outputs["boxes"].dtype == outputs["logits"].dtype == tf.float32
        np.testing.assert_allclose(outputs["boxes"], expected(images(), training=False)["boxes"], atol=0.05)
    finally:
        keras.config.set_dtype_policy("float32")
