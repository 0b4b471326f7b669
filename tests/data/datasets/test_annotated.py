"""Images with boxes of Pascal VOC, COCO and YOLO, and what they have in common."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PilImage

from attnzoo.data.datasets import coco, shapes, voc, yolo
from attnzoo.errors import DataNote, DataWarning, UserError
from attnzoo.features.image import Image
from tests import annotated
from tests.annotated import NAMES, SPLITS, picture, voc_object, voc_xml, write

ORIENTATION = 0x0112


def load_voc(folder, **options):
    return voc.load(voc.Config(name="voc", folder=str(folder), **options), {}, 0)


def load_coco(folder, **options):
    config = coco.Config(name="coco", train=str(folder / "train.json"), **options)
    return coco.load(config, {}, 0)


def load_yolo(folder, **options):
    return yolo.load(yolo.Config(name="yolo", file=str(folder / "data.yaml"), **options), {}, 0)


def write_all(folder):
    for kind in ("voc", "coco", "yolo"):
        getattr(annotated, f"write_{kind}")(folder / kind)


def names_in(split):
    return [path.rpartition("/")[2].partition(".")[0] for path in split.column("image")]


def boxes_in(splits, split="train"):
    """Returns name of the image -> (class, box) of each object, in whole pixels."""
    names = splits.features["boxes"].names
    return {
        name: [
            (names[label], tuple(np.round(box, 2).tolist()))
            for label, box in zip(one.labels, one.boxes, strict=True)
        ]
        for name, one in zip(
            names_in(splits.named()[split]), splits.named()[split].column("boxes"), strict=True
        )
    }


@pytest.mark.filterwarnings("ignore")
def test_the_same_images_and_boxes_are_read_from_all_formats(tmp_path):
    write_all(tmp_path)
    loaded = [
        load_voc(tmp_path / "voc", test="test"),
        load_coco(tmp_path / "coco", test=str(tmp_path / "coco/test.json")),
        load_yolo(tmp_path / "yolo"),
    ]
    for splits in loaded:
        assert splits.features["boxes"].names == NAMES
        assert splits.validation is None
        for split, images in SPLITS.items():
            expected = {
                name: [(label, tuple(map(float, box))) for label, box in found]
                for name, (_, _, found) in images.items()
            }
            assert boxes_in(splits, split) == expected
            sides = [(one.height, one.width) for one in splits.named()[split].column("boxes")]
            assert sides == [size[:2] for size in images.values()]


def test_images_without_label_files_are_counted_as_images_without_objects(tmp_path):
    annotated.write_yolo(tmp_path)
    with pytest.warns(DataNote, match=r"images/train: 1 of 4 images have no label file, .*first: .*/c\.png"):
        splits = load_yolo(tmp_path)
    assert boxes_in(splits)["c"] == []


def test_classes_are_renamed_and_left_out_and_their_images_stay(tmp_path):
    write_all(tmp_path)
    for load, folder in ((load_voc, "voc"), (load_coco, "coco"), (load_yolo, "yolo")):
        splits = load(tmp_path / folder, classes={"cat": None, "dog": "animal"}, on_bad_box="error")
        assert splits.features["boxes"].names == ("animal",)
        assert {name: len(found) for name, found in boxes_in(splits).items()} == {
            "a": 1,
            "b": 0,
            "c": 0,
            "d": 2,
        }
    one = load_coco(tmp_path / "coco", classes={"cat": "animal", "dog": "animal"})
    assert one.features["boxes"].names == ("animal",)
    problems = voc.Config(name="voc", folder="x", classes={"cat": " "}).problems({})
    assert [key for key, _ in problems] == [("classes",)]


def test_images_of_a_kind_that_is_not_read_are_named_and_not_left_out(tmp_path):
    annotated.write_yolo(tmp_path)
    write(tmp_path / "images/train/e.tif", b"II*\0")
    with pytest.raises(UserError, match=rf"^{tmp_path}/images/train/e\.tif: a TIFF image; only JPEG"):
        load_yolo(tmp_path)


def test_label_files_without_an_image_are_counted(tmp_path):
    annotated.write_yolo(tmp_path)
    write(tmp_path / "labels/train/classes.txt", "cat\ndog\n")
    write(tmp_path / "labels/train/e.txt", "0 0.5 0.5 0.1 0.1\n")
    with pytest.warns(DataWarning, match=r"images/train: 1 label files have no image, .*first: .*/e\.txt\)"):
        load_yolo(tmp_path)


@pytest.mark.parametrize(("new", "kept"), [(None, 1), ("dog", 2)])
def test_a_class_that_only_validation_has_is_renamed_or_left_out(tmp_path, new, kept):
    annotated.write_voc(tmp_path)
    text = voc_object("cow", (1, 2, 3, 4)) + voc_object("dog", (5, 6, 9, 9))
    write(tmp_path / "Annotations/t.xml", voc_xml(31, 41, text))
    with pytest.raises(UserError, match=r"'cow' does not occur in train;.*leave out the class with data.cl"):
        load_voc(tmp_path, validation="test")
    splits = load_voc(tmp_path, validation="test", classes={"cow": new})
    assert len(boxes_in(splits, "validation")["t"]) == kept
    with pytest.raises(UserError, match=r"data.classes names the class 'cwo', .*\(did you mean 'cow'\?\)"):
        load_voc(tmp_path, validation="test", classes={"cow": new, "cwo": None})


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_rotated_where_the_annotation_is_of_the_image_as_stored(tmp_path, orientation):
    """A bright rectangle is drawn into the stored pixels; the box of the file is around it."""
    height, width, box = 32, 48, (4, 8, 20, 14)
    stored = np.full((height, width, 3), 50, np.uint8)
    stored[box[1] : box[3], box[0] : box[2]] = 200
    exif = PilImage.Exif()
    exif[ORIENTATION] = orientation
    (tmp_path / "JPEGImages").mkdir()
    PilImage.fromarray(stored).save(tmp_path / "JPEGImages/a.jpg", quality=100, exif=exif)
    write(tmp_path / "Annotations/a.xml", voc_xml(height, width, voc_object("cat", box)))
    write(tmp_path / "ImageSets/Main/train.txt", "a\n")
    if orientation >= 5:
        with pytest.warns(DataNote, match=r"1 annotations are of images as stored.*\(first: .*a\.xml\)"):
            splits = load_voc(tmp_path)
    else:  # the sizes tell nothing: the annotation is of the upright image
        splits = load_voc(tmp_path)
    (objects,) = splits.train.column("boxes")
    shown = Image(shape=(objects.height, objects.width, 3)).graph_batch(splits.train.column("image"))(
        tf.constant([0])
    )[0]
    bright = np.argwhere(shown.numpy()[..., 0] > 127)
    found = np.concatenate([bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1])
    assert (objects.height, objects.width) == ((width, height) if orientation >= 5 else (height, width))
    np.testing.assert_array_equal(objects.boxes[0], found if orientation >= 5 else box)


def test_an_annotation_of_the_upright_image_stays_as_it_is(tmp_path):
    exif = PilImage.Exif()
    exif[ORIENTATION] = 6
    write(tmp_path / "train/a.jpg", picture(32, 48, "JPEG", exif=exif))
    lists = annotated.coco("train")
    lists["images"] = [{"id": 0, "file_name": "train/a.jpg", "height": 48, "width": 32}]
    lists["annotations"] = [{"image_id": 0, "category_id": 0, "bbox": [1, 2, 30, 45]}]
    write(tmp_path / "train.json", json.dumps(lists))
    assert boxes_in(load_coco(tmp_path)) == {"a": [("cat", (1, 2, 31, 47))]}


def test_difficult_objects_and_crowds_are_marked(tmp_path):
    annotated.write_voc(tmp_path)
    text = voc_object("cat", (1, 2, 3, 4), "<difficult>1</difficult>") + voc_object("cat", (5, 6, 9, 9))
    write(tmp_path / "Annotations/a.xml", voc_xml(31, 41, text))
    assert load_voc(tmp_path).train.column("boxes")[0].crowd.tolist() == [True, False]
    annotated.write_coco(tmp_path)
    lists = annotated.coco("train")
    lists["annotations"][1]["iscrowd"] = 1
    write(tmp_path / "train.json", json.dumps(lists))
    assert load_coco(tmp_path).train.column("boxes")[0].crowd.tolist() == [False, True]


def test_bad_boxes_are_dropped_with_one_line_and_their_images_stay(tmp_path):
    annotated.write_voc(tmp_path)
    text = voc_object("cat", (3, 3, 3, 9)) + voc_object("cat", (5, 6, 99, 9))
    write(tmp_path / "Annotations/a.xml", voc_xml(31, 41, text))
    with pytest.warns(DataWarning) as told:
        splits = load_voc(tmp_path)
    place = f"{tmp_path}/Annotations/a.xml"
    assert [str(one.message).partition(": ")[2] for one in told] == [
        f"2 of 5 boxes corrected or dropped: 1 without area, dropped (first: {place}: object 1); 1 "
        f"partly outside the image, clipped to it (first: {place}: object 2)."
    ]
    assert boxes_in(splits)["a"] == [("cat", (5, 6, 41, 9))]
    assert names_in(splits.train) == ["a", "b", "c", "d"]


def test_voc_takes_every_annotation_pixels_from_1_and_the_name_in_the_file(tmp_path):
    annotated.write_voc(tmp_path)
    (tmp_path / "JPEGImages/b.png").rename(tmp_path / "JPEGImages/other.png")
    write(
        tmp_path / "Annotations/b.xml",
        voc_xml(0, 0, voc_object("cat", (1, 1, 29, 37)), "C:\\photos\\other.png"),
    )
    splits = load_voc(tmp_path, train="all", coordinates="pixels")
    assert names_in(splits.train) == ["a", "other", "c", "d", "t"]
    assert boxes_in(splits)["other"] == [("cat", (0, 0, 29, 37))]
    write(tmp_path / "some.txt", "a.png\n\n  c  \n")
    assert names_in(load_voc(tmp_path, train=str(tmp_path / "some.txt")).train) == ["a", "c"]


def test_coco_takes_absolute_names_subfolders_and_other_separators(tmp_path):
    annotated.write_coco(tmp_path)
    lists = annotated.coco("train")
    lists["images"][0]["file_name"] = str(tmp_path / "train/a.png")
    lists["images"][1]["file_name"] = "train\\b.png"
    write(tmp_path / "elsewhere/train.json", json.dumps(lists))
    splits = load_coco(tmp_path / "elsewhere", train_images=str(tmp_path))
    assert names_in(splits.train) == ["a", "b", "c", "d"]


def test_coco_classes_follow_their_ids_and_splits_are_matched_by_name(tmp_path):
    annotated.write_coco(tmp_path)
    lists = annotated.coco("train")
    for entry, number in zip(lists["categories"], (90, 3), strict=True):
        entry["id"] = number
    for entry in lists["annotations"]:
        entry["category_id"] = (90, 3)[entry["category_id"]]
    write(tmp_path / "train.json", json.dumps(lists))
    splits = load_coco(tmp_path, test=str(tmp_path / "test.json"))
    assert splits.features["boxes"].names == ("dog", "cat")
    assert boxes_in(splits)["b"] == [("cat", (0, 0, 29, 37))]
    assert boxes_in(splits, "test")["t"] == [("dog", (13, 11, 37, 31))]


def test_yolo_takes_outlines_lists_of_images_and_the_folders_of_roboflow(tmp_path):
    annotated.write_yolo(tmp_path)
    write(tmp_path / "labels/train/c.txt", "1 0.1 0.2 0.5 0.1 0.3 0.9\n")
    content = "train: ../images/train\nval: lists/val.txt\nnames: {0: cat, 1: dog}\n"
    write(tmp_path / "data.yaml", content)
    write(tmp_path / "lists/val.txt", f"../images/train/a.png\n{tmp_path}/images/test/t.png\n")
    splits = load_yolo(tmp_path)
    np.testing.assert_allclose(splits.train.column("boxes")[2].boxes, [[1.9, 2.3, 9.5, 20.7]], rtol=1e-6)
    assert names_in(splits.validation) == ["a", "t"]


def test_files_are_checked_without_reading_all(tmp_path):
    write_all(tmp_path)
    configs = [
        voc.Config(name="voc", folder=str(tmp_path / "voc"), test="test"),
        coco.Config(
            name="coco", train=str(tmp_path / "coco/train.json"), train_images=str(tmp_path / "coco")
        ),
        yolo.Config(name="yolo", file=str(tmp_path / "yolo/data.yaml")),
    ]
    for config in configs:
        for _, file in config.files():
            config.check_file(file, {})
    (tmp_path / "voc/Annotations/a.xml").unlink()
    with pytest.raises(UserError, match=r"train\.txt:1: 'a' has no annotation"):
        configs[0].check_file(str(tmp_path / "voc/ImageSets/Main/train.txt"), {})
    write(tmp_path / "yolo/data.yaml", "train: nowhere\nnames: [cat]\n")
    with pytest.raises(UserError, match=re.escape("nowhere not found")):
        configs[2].check_file(configs[2].file, {})


def test_shapes_are_the_same_for_any_number_and_boxes_fit_what_is_drawn():
    splits = shapes.load(shapes.Config(name="shapes", examples=48), {}, 0)
    assert {name: len(split) for name, split in splits.named().items()} == {
        "train": 48,
        "validation": 6,
        "test": 12,
    }
    fewer = shapes.load(shapes.Config(name="shapes", examples=8), {}, 7)
    np.testing.assert_array_equal(fewer.train.column("image"), splits.train.column("image")[:8])
    contents = {split.column("image")[0].tobytes() for split in splits.named().values()}
    assert len(contents) == 3
    counts = [len(one.boxes) for one in splits.train.column("boxes")]
    assert min(counts) == 0
    assert max(counts) >= 4


@pytest.mark.parametrize("name", shapes.NAMES)
def test_a_box_is_tight_around_its_shape(name):
    shape = shapes._Shape(name, 60.3, 66.8, 21.4, 0.4)
    covered = shape.coverage(slice(0, shapes.SIDE), slice(0, shapes.SIDE)) > 0.05
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    drawn = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(drawn, shape.box, atol=1.6)
