import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.layers.convolution import ConvStage, FeatureMapAttention
from attnzoo.models import image_classifier
from tests import mechanisms


def image(height=7, width=5, channels=3):
    shape = (2, height, width, channels)
    return tf.constant(np.random.default_rng(0).standard_normal(shape), tf.float32)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_stage_halves_the_map_rounding_down(norm):
    stage = ConvStage([5, 11], norm)
    assert stage(image()).shape == (2, 3, 2, 11)
    assert ("bias" in " ".join(weight.path for weight in stage.weights)) is (norm == "none")


def test_map_with_a_side_below_two_is_not_pooled():
    assert ConvStage([5])(image(1, 7)).shape == (2, 1, 7, 5)


def test_stage_is_the_maximum_over_squares_of_relu():
    stage = ConvStage([1])
    stage.build((None, 2, 2, 1))
    center = np.zeros((3, 3, 1, 1), "float32")
    center[1, 1] = 1
    stage.convolutions[0].kernel.assign(center)
    maps = tf.constant([[1.0, -7.0, 5.0, 3.0], [-1.0, -2.0, -3.0, -4.0]])[:, :, None]
    np.testing.assert_allclose(stage(tf.reshape(maps, [2, 2, 2, 1]))[:, 0, 0, 0], [5.0, 0.0])


@pytest.mark.parametrize("name", mechanisms.NAMES)
@pytest.mark.parametrize("residual", [True, False])
def test_feature_map_attention_is_attention_over_the_positions(name, residual):
    layer, maps = FeatureMapAttention(4, name, residual), image(3, 5, 4)
    actual, attention_weights = layer(maps, return_attention_scores=True)
    # What a convolution makes of a map depends on its sides.
    inputs = maps if name in mechanisms.GATES else tf.reshape(maps, [2, 15, 4])
    expected = layer.attention(inputs) + (inputs if residual else 0)
    np.testing.assert_allclose(tf.reshape(actual, inputs.shape), expected, rtol=1e-5, atol=1e-6)
    if name in mechanisms.GATES:
        assert attention_weights.shape == (2, 1, 1, 15 if layer.weighs_positions else 4)
    else:
        heads, *_ = layer.attention.memory_dims
        assert attention_weights.shape == (2, heads, 15, 15)


@pytest.mark.parametrize("name", mechanisms.NAMES)
def test_image_classifier_accepts_the_attention_by_name(name):
    info = DataInfo(
        "image_classification", {"image": Image(shape=(7, 5, 3)), "label": Label(names=("a", "b", "c"))}
    )
    options = {"name": "image_classifier", "stages": [[4]], "attention": name}
    model = image_classifier.build(image_classifier.Config.model_validate(options), info)
    assert model({"image": image()}).shape == (2, 3)
    assert model.get_layer("attention").attention.name == "attention"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_saved_loaded_and_compiled_network_gives_the_same(policy, tmp_path):
    inputs = keras.Input((None, 11, 3))
    hidden = ConvStage([5, 4], norm="batch", name="stage", dtype=policy)(inputs)
    outputs = FeatureMapAttention(4, "sigmoid", name="attention", dtype=policy)(hidden)
    model = keras.Model(inputs, outputs)
    expected = tf.cast(model(image(7, 11)), tf.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    compiled = tf.function(model, jit_compile=True)
    assert [variable.path for variable in loaded.variables] == [variable.path for variable in model.variables]
    np.testing.assert_allclose(tf.cast(loaded(image(7, 11)), tf.float32), expected)
    tolerance = 1e-5 if policy == "float32" else 5e-2
    actual = tf.cast(compiled(image(7, 11)), tf.float32)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must not be empty. Received: widths=\[\]"):
        ConvStage([])
    with pytest.raises(ValueError, match=r"Received: widths=0"):
        ConvStage([5, 0])
    with pytest.raises(ValueError, match=r"query must be .*5 wide.*\(2, 35, 3\)"):
        FeatureMapAttention(5, "additive")(image())
