"""What all features have, and how they are found."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import catalog
from attnzoo.errors import UserError
from attnzoo.features import feature_class
from attnzoo.features.feature import Feature, digest
from attnzoo.features.label import Label
from attnzoo.features.number import Number
from attnzoo.features.targets import Target
from tests.features.columns import OPTIONS

KINDS = {"alignment", "boxes", "image", "label", "labels", "number", "references", "text", "weight"}


def test_every_kind_is_a_file_with_a_class_of_its_name_that_knows_nothing_at_first():
    assert set(catalog.names("features")) == KINDS
    for kind in KINDS:
        feature = feature_class(kind)()
        assert isinstance(feature, Feature)
        assert feature.kind == kind
        assert feature.is_like(feature_class(kind)())
    with pytest.raises(UserError, match=r"unknown feature 'numbr'; did you mean 'number'\?"):
        feature_class("numbr")


def test_targets_are_what_models_give():
    targets = {kind for kind in KINDS if issubclass(feature_class(kind), Target)}
    assert targets == {"label", "labels", "number"}


def test_only_features_of_several_classes_take_a_column_for_each():
    takers = {kind for kind in KINDS if feature_class(kind)().takes_columns}
    assert takers == {"labels"}
    with pytest.raises(NotImplementedError, match="label has one column"):
        Label().read_columns("a.csv:2", {"a": "1"}, OPTIONS)
    with pytest.raises(NotImplementedError, match="label has one column"):
        Label().declare_columns([], "a.csv", ("a",))


def test_features_of_other_kinds_are_not_alike():
    assert not Label(names=("a", "b")).is_like(Number())


def test_equal_values_have_equal_contents_across_columns():
    one, two = np.array([1.5, 2.5, 1.5], np.float32), np.array([2.5], np.float32)
    (first, second) = Number().contents([one, two])
    assert first[0] == first[2] != first[1]
    assert second == [first[1]]
    assert len(digest(b"a")) == 16


def test_fingerprints_tell_numbers_texts_and_bytes_apart():
    columns = [
        np.array([1, 2], np.int32),
        np.array([1, 3], np.int32),
        np.array(["ab", "c"], object),
        np.array(["a", "bc"], object),
        np.array(["\udcff", ""], object),
        np.array([b"ab", b""], object),
    ]
    assert len({b"".join(Label().fingerprint(column)) for column in columns}) == len(columns)


def test_changes_of_images_leave_a_feature_that_does_not_move_with_them():
    tensors = {"label": tf.constant([1, 2])}
    assert Label().augment(tensors, OPTIONS, tf.zeros([2, 2], tf.int32)) == tensors
