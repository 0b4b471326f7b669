"""Feature pyramids."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.layers.feature_pyramid import FeaturePyramid


def maps(*sizes, channels=3):
    generator = np.random.default_rng(0)
    return [
        tf.constant(generator.normal(size=(2, height, width, channels + index)), tf.float32)
        for index, (height, width) in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    "sizes", [[(8, 12), (4, 6)], [(7, 11), (4, 6), (2, 3)], [(9, 5), (4, 2)]], ids=["even", "up", "down"]
)
def test_levels_have_the_sizes_of_their_maps_however_those_were_rounded(sizes):
    pyramid = FeaturePyramid(units=8)
    assert [tuple(level.shape) for level in pyramid(maps(*sizes))] == [(2, *size, 8) for size in sizes]


def test_every_level_knows_what_the_coarsest_sees_and_nothing_of_finer_ones():
    pyramid = FeaturePyramid(units=8)
    fine, coarse = maps((8, 8), (4, 4))
    expected = [level.numpy() for level in pyramid([fine, coarse])]
    other_coarse = [level.numpy() for level in pyramid([fine, -coarse])]
    other_fine = [level.numpy() for level in pyramid([-fine, coarse])]
    assert np.abs(expected[0] - other_coarse[0]).max() > 0.1
    assert np.abs(expected[0] - other_fine[0]).max() > 0.1
    np.testing.assert_array_equal(expected[1], other_fine[1])


def test_more_levels_than_maps_are_made_and_fewer_can_be_returned(tmp_path):
    inputs = [keras.Input((9, 7, 3)), keras.Input((5, 4, 4))]
    outputs = FeaturePyramid(units=8, num_levels=4)(inputs)
    assert [tuple(level.shape[1:3]) for level in outputs] == [(9, 7), (5, 4), (3, 2), (2, 1)]
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    given = maps((9, 7), (5, 4))
    loaded = keras.models.load_model(tmp_path / "model.keras")(given)
    for level, expected in zip(loaded, model(given), strict=True):
        np.testing.assert_allclose(level, expected, atol=1e-5)
    finest = FeaturePyramid(units=8, num_levels=4, num_outputs=1)
    assert len(finest(given)) == 1
    gradients_reach = {variable.path.split("/")[-2] for variable in finest.trainable_variables}
    assert not any(name.startswith(("output_1", "output_norm_1")) for name in gradients_reach)


@pytest.mark.parametrize("options", [{"num_levels": 1}, {"num_outputs": 3}, {"units": 0}])
def test_impossible_levels_are_refused(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=re.escape(f"{name}={value}")):
        FeaturePyramid(**{"units": 8, **options})(maps((8, 8), (4, 4)))
