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


def test_without_addons_the_error_names_what_is_missing_and_the_supported_pythons(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow_addons", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"tensorflow_addons\.image\.transform_ops is missing .*3\.10 and 3\.11"
    ):
        addons.load("image.transform_ops")


def rotated():
    images = tf.random.stateless_uniform([5, 11, 13, 1], [1, 2])
    seeds = tf.stack([tf.range(5), tf.range(5)], axis=1)
    changes = parse(["rotate"])
    return images, tf.function(lambda: augment({"image": images}, changes, seeds, tf.zeros([1]))["image"])()


def test_rotation_turns_every_image_by_its_own_angle_or_names_what_is_missing():
    if not INSTALLED:
        with pytest.raises(UserError, match=r"tensorflow_addons\.image\.transform_ops is missing"):
            rotated()
        return
    images, turned = rotated()
    assert turned.shape == images.shape
    changes = tf.reduce_max(tf.abs(turned - images), axis=[1, 2, 3]).numpy()
    assert (changes > 0.01).all()
    np.testing.assert_array_equal(turned, rotated()[1])
