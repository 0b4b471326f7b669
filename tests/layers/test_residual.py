import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.layers.residual import ResidualBlock
from attnzoo.models import image_classifier
from tests import mechanisms


def image(height=7, width=5, channels=3):
    shape = (2, height, width, channels)
    return tf.constant(np.random.default_rng(0).standard_normal(shape), tf.float32)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("gate", [None, *mechanisms.GATES])
def test_residual_block_keeps_or_halves_the_map(norm, stride, gate):
    block = ResidualBlock(6, stride, norm, gate)
    size = (7, 5) if stride == 1 else (4, 3)
    assert block(image()).shape == (2, *size, 6)
    if gate is not None:
        outputs, attention_weights = block(image(), return_attention_scores=True)
        np.testing.assert_allclose(outputs, block(image()), atol=1e-6)
        assert attention_weights.shape[0] == 2


def test_residual_block_with_a_zero_branch_is_its_shortcut():
    block = ResidualBlock(3)
    block.build((None, None, None, 3))
    block.convolutions[1].kernel.assign(tf.zeros([3, 3, 3, 3]))
    np.testing.assert_allclose(block(image()), image())
    assert block.shortcut is None
    assert ResidualBlock(3, stride=2)(image()).shape == (2, 4, 3, 3)


def test_stochastic_depth_skips_the_branch_for_whole_images():
    maps = tf.repeat(image(channels=3)[:1], 64, axis=0)
    block = ResidualBlock(3, norm="none", drop_path=0.5)
    branch = (block(maps) - maps).numpy()
    trained = (block(maps, training=True) - maps).numpy()
    ratios = trained[:, 0, 0, 0] / branch[:, 0, 0, 0]
    np.testing.assert_allclose(trained, branch * ratios[:, None, None, None], atol=1e-4)
    assert set(np.round(ratios, 3)) == {0.0, 2.0}


@pytest.mark.parametrize("options", [{"stride": 3}, {"norm": "layer"}, {"width": 0}, {"drop_path": 1.0}])
def test_residual_block_refuses_unsupported_arguments(options):
    with pytest.raises(ValueError, match=re.escape(str(next(iter(options.values()))))):
        ResidualBlock(**{"width": 3, **options})(image())


def test_residual_classifier_takes_attention_by_stage_and_gives_the_same_compiled_and_loaded(tmp_path):
    info = DataInfo(
        "image_classification", {"image": Image(shape=(11, 9, 3)), "label": Label(names=("a", "b", "c"))}
    )
    options = {
        "name": "image_classifier",
        "stages": [
            {"width": 4, "depth": 1, "attention": "squeeze_excitation"},
            {"width": 6, "depth": 2, "stride": 2, "attention": "cbam"},
            {"width": 8, "depth": 1, "stride": 2, "attention": {"name": "multi_head", "num_heads": 2}},
            [5],
        ],
        "norm": "group",
        "drop_path": 0.2,
        "pooling": "attention",
    }
    model = image_classifier.build(image_classifier.Config.model_validate(options), info)
    pictures = {"image": image(11, 9)}
    expected = model(pictures)
    assert expected.shape == (2, 3)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if "attention" in name] == ["stage_2_attention"]
    assert model.get_layer("stage_0_block_0").attention.attention.name == "attention"
    compiled = tf.function(model, jit_compile=True)(pictures)
    np.testing.assert_allclose(compiled, expected, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pictures), expected, rtol=1e-5, atol=1e-6)
