"""What detectors get wrong, and pictures of it."""

import numpy as np

from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.features.boxes import objects_column
from attnzoo.tasks import detection_pictures
from attnzoo.tasks.detection_errors import confusion_matrix, errors_of, worst_images
from attnzoo.tasks.detection_matching import SplitDetections
from tests.tasks.detection_cases import SIDE, make_detections, make_objects
from tests.tasks.fixed_detector import fixed_detector

BOX, OTHER = (10, 10, 60, 60), (100, 100, 160, 170)
NAMES = ("cat", "dog")


def test_objects_are_paired_with_their_class_before_a_better_overlap():
    objects = make_objects([BOX], [0])
    found = make_detections([BOX, (12, 10, 60, 60)], [0.9, 0.5], [1, 0])
    errors = errors_of(found, objects)
    assert errors.object_of.tolist() == [-1, 0]
    assert errors.wrong.tolist() == [True, False]
    assert not errors.missed.any()


def test_a_box_that_metrics_count_as_several_classes_is_shown_as_its_best():
    objects = [make_objects([BOX], [0])]
    found = make_detections([BOX, OTHER, BOX], [0.9, 0.8, 0.7], [0, 1, 1])
    shown = found.shown(0.25)
    assert shown.boxes.tolist() == [list(BOX), list(OTHER)]
    assert (shown.labels.tolist(), len(found.shown(0.85).scores)) == ([0, 1], 1)
    matrix = confusion_matrix(SplitDetections([found], objects, NAMES), threshold=0.5)
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_the_confusion_matrix_has_background_in_the_last_row_and_column():
    objects = [
        make_objects([BOX, OTHER], [0, 1]),
        make_objects([BOX, (0, 0, 300, 300)], [1, 0], [False, True]),
    ]
    found = [
        make_detections([BOX, OTHER, (300, 300, 350, 350)], [0.9, 0.8, 0.7], [0, 0, 1]),
        make_detections([OTHER, BOX], [0.9, 0.1], [0, 1]),  # in the crowd; below the threshold
    ]
    matrix = confusion_matrix(SplitDetections(found, objects, NAMES), threshold=0.5)
    assert matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def make_split():
    objects = [
        make_objects([BOX], [0]),
        make_objects([BOX, OTHER], [0, 1]),
        make_objects([], []),
        make_objects([], []),
    ]
    nothing = make_detections([], [], [])
    found = [make_detections([BOX], [0.9], [0]), nothing, make_detections([BOX], [0.6], [1]), nothing]
    return SplitDetections(found, objects, NAMES)


def test_the_worst_images_miss_most_then_invent_most():
    first, second = worst_images(make_split(), 0.25, 9)
    assert (first.number, first.missed, first.objects) == (1, 2, 2)
    assert (second.number, second.wrong) == (2, 1)
    assert str(first) == "2 of 2 objects missed, 0 wrong detections"
    assert worst_images(make_split(), 0.7, 9) == [first]


def test_missed_objects_are_red_in_the_picture_of_the_worst_image():
    images = np.full((4, SIDE, SIDE, 3), 80, np.uint8)
    split = make_split()
    columns = {"image": images, "boxes": objects_column(split.objects)}
    examples = Examples(columns, np.zeros(4, np.int32), Split(columns, "test images"))
    _, info = fixed_detector([(0, 0, 1, 1)], [[0, 0]])
    (worst,) = detection_pictures.worst(split, examples, info, 0.25, 1)
    assert worst.name == "number 1"
    assert worst.values["missed"] == 2
    scale = worst.picture.shape[0] / SIDE
    edge = worst.picture[round(15 * scale) : round(55 * scale), round(10 * scale) - 3 : round(10 * scale) + 3]
    assert (edge.astype(int) @ [1, -1, -1]).max() > 200  # red
    assert (worst.picture[-5:, :5] == 80).all()


def test_curves_and_confusion_are_drawn_without_any_detection():
    objects = [make_objects([BOX], [0])]
    pictures = detection_pictures.of_split(SplitDetections([make_detections([], [], [])], objects, NAMES))
    assert {name: picture.dtype for name, picture in pictures.items()} == {
        "precision_recall": np.uint8,
        "confusion_matrix": np.uint8,
    }
    assert all(picture.shape[1] == 350 for picture in pictures.values())
