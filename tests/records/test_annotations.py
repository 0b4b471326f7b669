import numpy as np
import pytest

from attnzoo.errors import DataWarning, UserError
from attnzoo.records.annotations import BoxCleaner, RawObject, mapped_names, require_classes
from attnzoo.records.bad_records import BadRecord

HEIGHT, WIDTH = 31, 41


def cleaned(*boxes, policy="clip", classes=None):
    """Returns the annotation of an image with cats in these boxes, and what cleaned it."""
    cleaner = BoxCleaner(policy, classes or {})
    objects = [RawObject(f"file: object {number}", "cat", box) for number, box in enumerate(boxes)]
    return cleaner.clean(objects, HEIGHT, WIDTH), cleaner


def test_sound_boxes_stay_as_they_are_and_nothing_is_reported(recwarn):
    boxes = [(0, 0, WIDTH, HEIGHT), (0.25, 0.5, 3.5, 7.75), (40, 30, 41, 31)]
    annotation, cleaner = cleaned(*boxes)
    np.testing.assert_array_equal(annotation.boxes, np.array(boxes, np.float32))
    assert annotation.labels == ("cat",) * 3
    assert annotation.crowd == (False,) * 3
    cleaner.issue_warnings("train")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("box", "kept", "reason"),
    [
        ((-3, 2, 11, 13), (0, 2, 11, 13), "clipped"),
        ((5, 2, 99, 77), (5, 2, 41, 31), "clipped"),
        ((11, 13, 1, 2), (1, 2, 11, 13), "swapped"),
        ((1, 13, 11, 2), (1, 2, 11, 13), "swapped"),
        ((3, 2, 3, 13), None, "empty"),
        ((3, 2, 11, 2), None, "empty"),
        ((1, 2, 1 + 1e-9, 3), None, "empty"),
        ((41, 2, 50, 13), None, "outside"),
        ((3, -9, 11, 0), None, "outside"),
    ],
)
def test_a_bad_box_is_corrected_or_dropped_and_counted_or_refused(box, kept, reason):
    annotation, cleaner = cleaned((0, 0, 9, 9), box)
    expected = [(0, 0, 9, 9)] + ([kept] if kept else [])
    np.testing.assert_array_equal(annotation.boxes, np.array(expected, np.float32))
    assert cleaner.counts == {reason: 1}
    assert cleaner.first == {reason: "file: object 1"}
    with pytest.raises(
        BadRecord, match=r"^file: object 1: a box of 'cat' .*; fix it, or set data.on_bad_box"
    ):
        cleaned((0, 0, 9, 9), box, policy="error")


def test_a_box_may_be_outside_by_as_much_as_files_round():
    annotation, cleaner = cleaned((-0.009, 1, 41.009, 31.009))
    np.testing.assert_array_equal(annotation.boxes, [[0, 1, 41, 31]])
    assert not cleaner.counts
    cleaned((-0.009, 1, 41.009, 31.009), policy="error")


def test_the_same_box_of_the_same_class_counts_once():
    annotation, cleaner = cleaned((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 5))
    assert len(annotation.boxes) == 2
    assert cleaner.counts == {"repeated": 1}


def test_all_that_was_done_is_said_in_one_line():
    _, cleaner = cleaned((1, 2, 3, 4), (1, 2, 1, 4), (-5, 2, 3, 4), (2, 2, 2, 4))
    with pytest.warns(DataWarning) as told:
        cleaner.issue_warnings("train.txt")
    assert [str(one.message) for one in told] == [
        "train.txt: 3 of 4 boxes corrected or dropped: 2 without area, dropped (first: file: object 1); "
        "1 partly outside the image, clipped to it (first: file: object 2)."
    ]


def test_a_place_in_the_file_itself_is_named_without_the_file():
    cleaner = BoxCleaner("clip", {})
    cleaner.clean([RawObject("train.json: annotations[3]", "cat", (1, 2, 1, 4))], HEIGHT, WIDTH)
    with pytest.warns(DataWarning, match=r"^train.json: 1 of 1 boxes .*dropped \(first: annotations\[3\]\)"):
        cleaner.issue_warnings("train.json")


def test_classes_are_renamed_and_left_out_before_boxes_are_looked_at():
    classes = {"car": "vehicle", "truck": "vehicle", "cat": None}
    cleaner = BoxCleaner("error", classes)
    objects = [
        RawObject("1", "cat", (9, 9, 9, 9)),
        RawObject("2", "truck", (1, 2, 3, 4)),
        RawObject("3", "dog", (1, 2, 3, 4), True),
    ]
    annotation = cleaner.clean(objects, HEIGHT, WIDTH)
    assert annotation.labels == ("vehicle", "dog")
    assert annotation.crowd == (False, True)
    assert mapped_names(["dog", "cat", "truck", "car"], classes) == ("dog", "vehicle")
    require_classes(classes, ["cat", "car", "truck"], "train")
    with pytest.raises(UserError, match=r"names the class 'car', .* it has: cat, truck"):
        require_classes(classes, ["cat", "truck"], "train")
