"""Sets of TensorFlow Datasets whose images have objects."""

import numpy as np
import pytest
import tensorflow_datasets as public_sets

from attnzoo.data.datasets import tfds
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from tests.data.datasets.test_tfds import TinySet, data_dir  # noqa: F401 - a fixture

features = public_sets.features
FEATURES = {"image": Image(), "boxes": Boxes()}
HEIGHT, WIDTH = 10, 20


def sequence(**more):
    return features.Sequence({"bbox": features.BBoxFeature(), **more})


def box(left, top, right, bottom, height=HEIGHT):
    return features.BBox(ymin=top / height, xmin=left / WIDTH, ymax=bottom / height, xmax=right / WIDTH)


class TinyObjects(TinySet):
    """Images of different sizes with 0 to 2 objects; the last one of train has a box without area."""

    FEATURES = {  # noqa: RUF012
        "photo": features.Image(encoding_format="png"),
        "scene": features.ClassLabel(num_classes=3),
        "inner": features.FeaturesDict(
            {
                "objects": sequence(
                    label=features.ClassLabel(names=["cat", "dog", "owl"]),
                    pose=features.ClassLabel(names=["left", "right"]),
                    is_crowd=np.bool_,
                )
            }
        ),
    }

    def example(self, number):
        height = HEIGHT + number
        found = [(box(1, 2, 5, 9, height), "dog"), (box(3, 0, 20, 10, height), "cat")][: number % 3]
        if number == 6:
            found = [(box(3, 1, 3, 5, height), "owl")]
        values = [
            {"bbox": one, "label": label, "pose": "left", "is_crowd": label == "cat"} for one, label in found
        ]
        photo = np.full((height, WIDTH, 3), number, np.uint8)
        return {"photo": photo, "scene": 0, "inner": {"objects": values}}


class TinyFaces(TinySet):
    FEATURES = {"image": features.Image(shape=(HEIGHT, WIDTH, 1)), "faces": sequence()}  # noqa: RUF012

    def example(self, number):
        faces = [{"bbox": box(1, 2, 5, 9)}] * (number == 1)
        return {"image": np.full((HEIGHT, WIDTH, 1), number, np.uint8), "faces": faces}


class TinyPoses(TinySet):
    FEATURES = {  # noqa: RUF012
        "image": features.Image(shape=(HEIGHT, WIDTH, 1)),
        "objects": sequence(kind=features.ClassLabel(num_classes=2), pose=features.ClassLabel(num_classes=2)),
    }

    def example(self, number):
        return {"image": np.zeros((HEIGHT, WIDTH, 1), np.uint8), "objects": []}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Makes the sets above known by name, as installed ones are, for this file only."""
    registry = public_sets.core.registered._DATASET_REGISTRY
    sets = (TinyObjects, TinyFaces, TinyPoses)
    registry.update({made.name: made for made in sets})
    yield
    for made in sets:
        del registry[made.name]


def load(data_dir, dataset, **options):  # noqa: F811 - the fixture
    return tfds.load(tfds.Config(name="tfds", dataset=dataset, data_dir=data_dir, **options), FEATURES, 3)


def test_objects_are_found_by_type_and_are_in_pixels_of_their_images(data_dir):  # noqa: F811
    with pytest.warns(DataWarning, match="train: 1 of 7 boxes corrected or dropped: 1 without area"):
        splits = load(data_dir, "tiny_objects", test="test")
    assert splits.features["boxes"].names == ("cat", "dog", "owl")
    by_height = {one.height: one for one in splits.train.column("boxes")}
    assert sorted(by_height) == [10, 11, 12, 13, 14, 15, 16]
    assert {one.width for one in by_height.values()} == {WIDTH}
    two = by_height[12]
    np.testing.assert_allclose(two.boxes, [[1, 2, 5, 9], [3, 0, 20, 10]], atol=1e-5)
    assert two.labels.tolist() == [1, 0]
    assert two.crowd.tolist() == [False, True]
    assert [len(by_height[height].boxes) for height in (10, 11, 16)] == [0, 1, 0]
    assert len(splits.test) == 3


def test_boxes_without_a_label_are_of_one_class_called_like_their_key(data_dir):  # noqa: F811
    splits = load(data_dir, "tiny_faces", boxes="faces")
    assert splits.features["boxes"].names == ("faces",)
    assert sum(len(one.boxes) for one in splits.train.column("boxes")) == 1
    assert splits.train.column("image").dtype == np.uint8
    renamed = load(data_dir, "tiny_faces", classes={"faces": "face"})
    assert renamed.features["boxes"].names == ("face",)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("tiny_poses", {}, "several class labels in 'objects' (kind, pose), none is called 'label'"),
        ("tiny_objects", {"classes": {"cta": None}}, "data.classes names the class 'cta'"),
        ("tiny_objects", {"classes": {"cat": None, "dog": None, "owl": None}}, "leaves all 3 classes out"),
        ("tiny_objects", {"on_bad_box": "error"}, "a box of 'owl' without area"),
        ("tiny_objects", {"boxes": "scene"}, "expected a sequence of boxes with a ClassLabel"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir, dataset, options, message):  # noqa: F811
    with pytest.raises(UserError) as caught:
        load(data_dir, dataset, **options)
    assert message in str(caught.value)
