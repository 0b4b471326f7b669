import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import addons
from attnzoo.config.augmentation import parse
from attnzoo.errors import UserError
from attnzoo.images.augmentation import augment

INSTALLED = sys.version_info < (3, 12)


@pytest.fixture
def without_addons(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow_addons", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_without_addons_the_error_names_what_is_missing_and_the_python_versions_that_have_it(without_addons):
    message = r"tensorflow_addons\.image\.filters is missing .*3\.10 and 3\.11"
    with pytest.raises(UserError, match=message):
        addons.load("image.filters")


def test_without_addons_a_config_is_read_so_that_its_run_can_answer(without_addons):
    assert parse(["median_blur"])[0].needs_addons
    assert not addons.is_installed()


def filtered():
    images = tf.random.stateless_uniform([5, 11, 13, 1], [1, 2])
    seeds = tf.stack([tf.range(5), tf.range(5)], axis=1)
    changes = parse([{"name": "median_blur", "probability": 1.0}])
    return images, tf.function(lambda: augment({"image": images}, changes, seeds, tf.zeros([1]))["image"])()


@pytest.mark.skipif(not INSTALLED, reason="TensorFlow Addons ends with Python 3.11")
def test_the_median_filter_works_in_a_graph():
    images, smooth = filtered()
    neighborhoods = tf.image.extract_patches(images, [1, 3, 3, 1], [1, 1, 1, 1], [1, 1, 1, 1], "VALID")
    np.testing.assert_array_equal(smooth[:, 1:-1, 1:-1, 0], np.median(neighborhoods, axis=-1))
