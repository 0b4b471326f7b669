import re
import unicodedata

import numpy as np
import pytest
from PIL import Image

from attnzoo import tasks
from attnzoo.data.datasets import image_folder
from attnzoo.errors import DataWarning, UserError


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


def test_classes_are_sorted_folders_and_hidden_and_loose_files_are_skipped(folders):
    splits = load(folders / "train")
    names = [path[len(str(folders / "train")) + 1 :] for path in splits.train.column("image")]
    assert names == ["ant/deep/y.gif", "ant/z.bmp", "cat/a.png", "cat/b.jpg", "dog/x"]
    assert splits.train.column("label").tolist() == [0, 0, 1, 1, 2]
    assert splits.train.column("label").dtype == np.int32
    assert splits.features["label"].names == ("ant", "cat", "dog")
    assert splits.validation is None
    assert splits.test is None


def test_what_is_no_image_by_its_name_is_skipped_and_counted(folders):
    train = folders / "train"
    for name in ("Thumbs.db", "desktop.ini", "._a.png", "boxes.json", "notes.TXT"):
        (train / "cat" / name).write_bytes(b"junk")
    (train / "__MACOSX" / "cat").mkdir(parents=True)
    (train / "__MACOSX" / "cat" / "._a.png").write_bytes(b"junk")
    add(train, "loose.png")
    with pytest.warns(DataWarning) as caught:
        splits = load(train)
    assert splits.features["label"].names == ("ant", "cat", "dog")
    assert len(splits.train) == 5
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith(
        f"{train}: skipped, as their names or locations are not those of images: 2 *.txt, "
    )
    for name in ("Thumbs.db", "desktop.ini", "._*", "*.json", ".DS_Store", ".cache/", "__MACOSX/"):
        assert f"1 {name}" in text
    assert "1 beside the class folders" in text
    (train / "cat" / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(UserError, match=r"page\.jpg: a web page; only JPEG"):
        load(train)


def test_links_to_files_and_folders_are_followed_and_end_where_they_began(folders):
    train, elsewhere = folders / "train", folders / "elsewhere"
    add(elsewhere, "1.png")
    add(elsewhere, "deep/2.png")
    (train / "eel").symlink_to(elsewhere)
    (train / "dog" / "linked.png").symlink_to(elsewhere / "1.png")
    (train / "dog" / "more").symlink_to(elsewhere / "deep")
    (train / "dog" / "again").symlink_to(".")
    (train / "dog" / "all").symlink_to("..")
    with pytest.warns(DataWarning, match="2 a link to a folder that was read or that contains it"):
        splits = load(train)
    names = [path[len(str(train)) + 1 :] for path in splits.train.column("image")]
    assert names[4:] == ["dog/linked.png", "dog/more/2.png", "dog/x", "eel/1.png", "eel/deep/2.png"]
    (train / "dog" / "none.png").symlink_to(folders / "nowhere.png")
    with pytest.raises(UserError, match=r"none\.png: cannot be read \(No such file"):
        load(train)
    (train / "fox").symlink_to(folders / "nowhere")
    with pytest.raises(UserError, match="fox: a link to something that does not exist; fix or remove it"):
        load(train)


def test_class_names_are_compared_as_they_look(folders):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    add(folders / "train", f"{decomposed}/1.png")
    path = add(folders / "test", f"{composed}/1.png")
    (folders / "test" / "dog").mkdir()
    splits = load(folders / "train", test=str(folders / "test"))
    assert splits.features["label"].names == ("ant", composed, "cat", "dog")
    assert splits.test.column("image").tolist() == [path]
    assert splits.test.column("label").tolist() == [1]
    add(folders / "test", " Dog/1.png")
    with pytest.raises(UserError, match=r"class ' Dog' .*it differs from 'dog' only in case"):
        load(folders / "train", test=str(folders / "test"))
    add(folders / "train", "10/1.png")
    add(folders / "train", "9/1.png")
    assert load(folders / "train").features["label"].names == ("9", "10", "ant", composed, "cat", "dog")


def test_a_folder_of_splits_is_not_taken_for_classes(tmp_path):
    for split in ("train", "Valid", "test"):
        add(tmp_path, f"{split}/cat/1.png")
        add(tmp_path, f"{split}/dog/1.png")
    message = f"its subfolders are splits, not classes (Valid, test, train); set data.train: {tmp_path}/train"
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load(tmp_path)
    assert f"data.validation: {tmp_path}/Valid" in str(caught.value)
    assert f"data.test: {tmp_path}/test" in str(caught.value)
    with pytest.raises(
        UserError, match="class 'Valid' does not occur in train and is named like a split; if"
    ):
        load(tmp_path / "train", validation=str(tmp_path))
    add(tmp_path, "bus/1.png")
    with pytest.warns(
        DataWarning, match=r"named like splits are used as classes \(Valid, bus, test, train\)"
    ):
        load(tmp_path)


def test_other_splits_may_lack_classes_and_use_the_ids_of_train(folders):
    path = add(folders / "test", "dog/1.png")
    splits = load(folders / "train", test=str(folders / "test"), validation=str(folders / "test"))
    assert splits.test.column("image").tolist() == [path]
    assert splits.test.column("label").tolist() == [2]
    assert splits.validation.column("label").tolist() == [2]


def test_folders_that_do_not_fit_are_named(folders):
    with pytest.raises(
        UserError, match=re.escape(f"{folders}/none: not found; expected a folder with one subfolder p")
    ):
        load(folders / "none")
    with pytest.raises(UserError, match=re.escape(f"{folders}/train/readme.txt: a file; expected a folder")):
        load(folders / "train" / "readme.txt")
    with pytest.raises(UserError, match=re.escape(f"{folders}/train/cat: no subfolders")):
        load(folders / "train" / "cat")
    add(folders / "single", "cat/1.png")
    with pytest.raises(UserError, match=re.escape(f"{folders}/single: only one class folder ('cat')")):
        load(folders / "single")


def test_an_empty_class_an_unknown_class_and_a_file_that_is_no_image_are_named(folders):
    add(folders / "test", "dogs/1.png")
    message = f"{folders}/test/dogs: class 'dogs' does not occur in train (did you mean 'dog'?); the classes"
    with pytest.raises(UserError, match=re.escape(message)):
        load(folders / "train", test=str(folders / "test"))
    (folders / "train" / "bee").mkdir()
    with pytest.raises(UserError, match=re.escape(f"{folders}/train/bee: the class folder has no images")):
        load(folders / "train")
    (folders / "train" / "bee" / "note.png").write_text("no picture")
    with pytest.raises(
        UserError, match=re.escape(f"{folders}/train/bee/note.png: not a JPEG, PNG, WebP, GIF or BMP")
    ):
        load(folders / "train")
