import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.data.datasets import shapes
from attnzoo.features.boxes import MAX_BOXES, Boxes, Objects, objects_column
from attnzoo.records.annotations import Annotation

NAMES = ("cat", "dog", "owl")
OPTIONS = shapes.Config(name="shapes", image_size=[20, 40])


def objects(*boxes, labels=None, crowd=None, height=10, width=20):
    count = len(boxes)
    return Objects(
        height,
        width,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels if labels is not None else [0] * count, np.int32),
        np.array(crowd if crowd is not None else [False] * count, bool),
    )


COLUMN = objects_column(
    [
        objects((0, 0, 20, 10), (5, 5, 10, 10), labels=[1, 0]),
        objects(),
        objects((1, 1, 3, 3), (4, 4, 20, 9), (2, 2, 4, 4), labels=[1, 2, 1], crowd=[False, True, False]),
    ]
)


@pytest.fixture
def learned():
    return Boxes(names=NAMES).learn([COLUMN], OPTIONS, None, "train")


def batch_of(feature, column, *indices):
    encoded = feature.encode(column)
    batch = feature.host_batch(encoded, np.array(indices, np.int32), None)
    assert feature.host_spec.is_compatible_with(tf.constant(batch))
    return feature.graph_batch(encoded)(batch)


def test_a_batch_has_fractions_of_the_canvas_the_class_and_the_kind(learned):
    assert (learned.max_boxes, learned.canvas) == (3, (20, 40))
    batch = batch_of(learned, COLUMN, 2, 0, 1)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(
        batch[0],
        [[0.05, 0.1, 0.15, 0.3, 1, 1], [0.2, 0.4, 1, 0.9, 2, -1], [0.1, 0.2, 0.2, 0.4, 1, 1]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(batch[1], [[0, 0, 1, 1, 1, 1], [0.25, 0.5, 0.5, 1, 0, 1], [0] * 6], rtol=1e-6)
    assert not batch[2].any()


def test_the_canvas_is_that_of_the_images():
    same = Boxes(names=NAMES).learn([COLUMN], shapes.Config(name="shapes"), None, "train")
    assert same.canvas == (10, 20)
    wide = Boxes(names=NAMES).learn(
        [COLUMN], shapes.Config(name="shapes", image_size=40, resize="letterbox"), None, "train"
    )
    assert (wide.canvas, wide.resize) == ((40, 40), "letterbox")
    np.testing.assert_allclose(batch_of(wide, COLUMN, 0)[0, 0], [0, 0.25, 1, 0.75, 1, 1])


def test_of_more_boxes_than_train_has_the_largest_objects_are_kept(learned):
    many = objects(
        (0, 0, 20, 10), (0, 0, 1, 1), (0, 0, 9, 9), (0, 0, 5, 5), (0, 0, 2, 2), crowd=[True] + [False] * 4
    )
    rows = batch_of(learned, objects_column([many]), 0)[0]
    np.testing.assert_allclose(rows[:, 2] * 20, [9, 5, 2], rtol=1e-6)


def test_very_many_boxes_are_cut_with_a_warning():
    crowded = objects(*([(0, 0, 1, 1)] * (MAX_BOXES + 1)))
    with pytest.warns(UserWarning, match="1 images have more than 1,000 boxes"):
        feature = Boxes(names=NAMES).learn([objects_column([crowded])], OPTIONS, None, "train")
    assert feature.max_boxes == MAX_BOXES
    assert batch_of(feature, objects_column([crowded]), 0).shape == (1, MAX_BOXES, 6)


def test_images_without_any_object_make_a_batch():
    empty = objects_column([objects(), objects()])
    feature = Boxes(names=NAMES).learn([empty], OPTIONS, None, "train")
    assert batch_of(feature, empty, 1, 0).tolist() == [[[0.0] * 6]] * 2
    assert feature.describe("boxes", empty, feature.encode(empty))["objects"]["objects"] == 0
    assert list(feature.data_notes({"train": feature.encode(empty)}))


def test_objects_are_counted_by_class_size_and_place_without_crowds(learned):
    report = learned.describe("boxes", COLUMN, learned.encode(COLUMN))
    assert report["labels"] == {"cat": 1, "dog": 3, "owl": 0}
    assert report["objects"] == {
        "images": 2,
        "without": 1,
        "objects": 4,
        "small": 4,
        "medium": 0,
        "large": 0,
        "crowds": 1,
    }
    assert report["per_image"]["boxes"]["median"] == 2
    assert report["sides"]["boxes"]["greatest"] == 28.3  # square root of 20 x 40
    assert report["places"]["boxes"] == [[0.5, 0, 0], [0, 0.25, 0], [0, 0.25, 0]]
    json.dumps(report)


def test_sizes_are_those_of_coco():
    column = objects_column(
        [objects((0, 0, 32, 31.9), (0, 0, 32, 32), (0, 0, 96, 96), height=200, width=200)]
    )
    feature = Boxes(names=NAMES).learn([column], OPTIONS, None, "train")
    counts = feature.describe("boxes", column, feature.encode(column))["objects"]
    assert [counts[size] for size in ("small", "medium", "large")] == [1, 1, 1]


def test_what_will_not_be_found_is_said(learned):
    column = objects_column([objects((0, 0, 1, 5), labels=[0])])
    notes = list(learned.data_notes({"train": learned.encode(column)}))
    assert any("1 of 1 boxes of train have a side of fewer than 4 pixels" in note for note in notes)
    assert any("train has no examples of 2 of 3 classes (dog, owl)" in note for note in notes)
    lines = learned.balance({"train": learned.encode(COLUMN)})
    assert lines == ["train: dog 3, cat 1, owl 0"]


def test_splits_are_stratified_by_the_rarest_class_of_an_image():
    assert Boxes(names=NAMES).strata(COLUMN).tolist() == [0, 3, 2]


def test_the_fingerprint_sees_boxes_labels_crowds_and_sizes():
    def bytes_of(**changes):
        return b"".join(Boxes().fingerprint(objects_column([objects((1, 2, 3, 4))._replace(**changes)])))

    changes = [
        {},
        {"boxes": np.float32([[1, 2, 3, 5]])},
        {"labels": np.int32([1])},
        {"crowd": np.array([True])},
        {"height": 11},
    ]
    assert len({bytes_of(**one) for one in changes}) == len(changes)


def test_it_is_saved_as_json_and_an_invalid_state_is_named(learned):
    again = Boxes.model_validate_json(learned.model_dump_json())
    assert again == learned
    assert not list(again.problems("boxes"))
    for change in (
        {"names": ()},
        {"max_boxes": 0},
        {"canvas": (0, 3)},
        {"canvas": (3,)},
        {"max_boxes": 10**6},
    ):
        assert list(learned.model_copy(update=change).problems("boxes"))


def test_annotations_become_a_column_and_other_classes_are_told_apart(learned):
    annotation = Annotation(10, 20, np.float32([[1, 2, 3, 4]]), ("owl",), (True,))
    (value,) = learned.column_of([annotation])
    assert value.labels.tolist() == [2]
    assert value.crowd.tolist() == [True]
    assert learned.difference(Boxes(names=NAMES)) is None
    assert "other classes (cat)" in learned.difference(Boxes(names=("cat",)))


def test_reading_annotations_imports_no_tensorflow():
    modules = "attnzoo.features.boxes, attnzoo.data.datasets.voc, attnzoo.data.datasets.coco"
    code = f"import sys, {modules}, attnzoo.data.datasets.yolo; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
