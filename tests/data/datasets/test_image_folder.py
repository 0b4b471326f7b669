import re

import numpy as np
import pytest
from PIL import Image

from attnzoo import tasks
from attnzoo.data.datasets import image_folder
from attnzoo.errors import UserError


def add(folder, name, kind="PNG"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 5)).save(path, kind)
    return str(path)


def load(train, **options):
    config = image_folder.Config(name="image_folder", train=str(train), **options)
    return image_folder.load(config, tasks.load("image_classification").features, 3)


@pytest.fixture
def folders(tmp_path):
    train = tmp_path / "train"
    add(train, "cat/b.jpg", "PNG")
    add(train, "cat/a.png", "JPEG")
    add(train, "ant/z.bmp", "BMP")
    add(train, "ant/deep/y.gif", "GIF")
    add(train, "dog/x", "PNG")
    (train / "cat" / ".DS_Store").write_bytes(b"junk")
    (train / ".cache").mkdir()
    (train / "readme.txt").write_text("not a class")
    return tmp_path


def test_classes_are_sorted_folders_and_hidden_and_loose_files_are_passed_over(folders):
    splits = load(folders / "train")
    names = [path[len(str(folders / "train")) + 1 :] for path in splits.train.column("image")]
    assert names == ["ant/deep/y.gif", "ant/z.bmp", "cat/a.png", "cat/b.jpg", "dog/x"]
    assert splits.train.column("label").tolist() == [0, 0, 1, 1, 2]
    assert splits.train.column("label").dtype == np.int32
    assert splits.features["label"].names == ("ant", "cat", "dog")
    assert splits.validation is None
    assert splits.test is None


def test_other_splits_may_lack_classes_and_use_the_ids_of_train(folders):
    path = add(folders / "test", "dog/1.png")
    splits = load(folders / "train", test=str(folders / "test"), validation=str(folders / "test"))
    assert splits.test.column("image").tolist() == [path]
    assert splits.test.column("label").tolist() == [2]
    assert splits.validation.column("label").tolist() == [2]


def test_folders_that_do_not_fit_are_named(folders):
    with pytest.raises(
        UserError, match=re.escape(f"{folders}/none: not found; expected a folder with one sub-f")
    ):
        load(folders / "none")
    with pytest.raises(UserError, match=re.escape(f"{folders}/train/readme.txt: a file; expected a folder")):
        load(folders / "train" / "readme.txt")
    with pytest.raises(UserError, match=re.escape(f"{folders}/train/cat: no sub-folder in it")):
        load(folders / "train" / "cat")
    add(folders / "single", "cat/1.png")
    with pytest.raises(UserError, match=re.escape(f"{folders}/single: one class folder only ('cat')")):
        load(folders / "single")


def test_an_empty_class_an_unknown_class_and_a_file_that_is_no_image_are_named(folders):
    add(folders / "test", "dogs/1.png")
    message = f"{folders}/test/dogs: class 'dogs' does not occur in train (did you mean 'dog'?); the classes"
    with pytest.raises(UserError, match=re.escape(message)):
        load(folders / "train", test=str(folders / "test"))
    (folders / "train" / "bee").mkdir()
    with pytest.raises(
        UserError, match=re.escape(f"{folders}/train/bee: the class folder has no file in it")
    ):
        load(folders / "train")
    (folders / "train" / "bee" / "note.png").write_text("no picture")
    with pytest.raises(
        UserError, match=re.escape(f"{folders}/train/bee/note.png: not a JPEG, PNG, GIF or BMP")
    ):
        load(folders / "train")
