import gzip
import json
import re

import numpy as np
import pytest
from PIL import Image

from attnzoo import tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.datasets import image_table
from attnzoo.data.splits import DataSplits
from attnzoo.errors import DataWarning, UserError


def add(folder, name, level=0, kind="PNG"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 5), (level, level, level)).save(path, kind)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    add(tmp_path, "a.png", 11)
    add(tmp_path, "deep/b.jpg", 101)
    add(tmp_path, "ü c.gif", 211, "GIF")
    return tmp_path


def load(folder, content, name="train.csv", task="image_classification", **options):
    path = folder / name
    content = content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    config = image_table.Config(name="image_table", train=str(path), **options)
    return image_table.load(config, tasks.load(task).features, seed=3)


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_images_are_named_relative_to_their_table_whatever_the_working_directory(folder, name, monkeypatch):
    monkeypatch.chdir(folder / "deep")
    table = f"label,image,more\ndark,a.png,1\nlight, deep/b.jpg ,2\nlight,{folder}/ü c.gif,3\n"
    splits = load(folder, table, name)
    paths = [str(folder / path) for path in ("a.png", "deep/b.jpg", "ü c.gif")]
    assert splits.train.column("image").tolist() == paths
    assert splits.train.column("label").tolist() == [0, 1, 1]
    assert splits.train.column("label").dtype == np.int32
    assert splits.features["label"].names == ("dark", "light")
    assert splits.train.origin == str(folder / name)
    assert splits.validation is None
    assert splits.test is None


def test_the_images_may_be_in_a_folder_of_their_own(folder, tmp_path):
    (tmp_path / "tables").mkdir()
    table = "image,label\na.png,dark\ndeep/b.jpg,light\n"
    splits = load(folder / "tables", table, images=str(folder))
    assert splits.train.column("image").tolist() == [str(folder / "a.png"), str(folder / "deep/b.jpg")]
    with pytest.raises(UserError, match=r"tables/a\.png: cannot be read .*data\.images is the folder"):
        load(folder / "tables", table)


def test_json_lines_and_columns_of_other_names_are_read(folder):
    lines = [{"file": "a.png", "kind": 7}, {"file": "../" + folder.name + "/deep/b.jpg", "kind": "x"}]
    (folder / "test.tsv").write_text("file\tkind\na.png\tx\n")
    splits = load(
        folder,
        "\n".join(map(json.dumps, lines)),
        "train.jsonl",
        image="file",
        label="kind",
        test=str(folder / "test.tsv"),
    )
    assert splits.features["label"].names == ("7", "x")
    assert splits.train.column("label").tolist() == [0, 1]
    assert splits.test.column("label").tolist() == [1]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("image,label\na.png,2.5\ndeep/b.jpg, -3 \n", "train.csv"),
        ('{"image": "a.png", "label": 2.5}\n{"image": "deep/b.jpg", "label": -3}\n', "train.jsonl"),
    ],
)
def test_numbers_are_read_for_a_task_of_numbers(folder, content, name):
    splits = load(folder, content, name, task="image_regression")
    assert splits.train.column("label").tolist() == [2.5, -3.0]
    assert splits.train.column("label").dtype == np.float64


def test_what_is_read_can_be_learned_from(folder):
    train = load(folder, "image,label\na.png,2\ndeep/b.jpg,5\nü c.gif,11\n", task="image_regression").train
    task = tasks.load("image_regression")
    options = image_table.Config(name="image_table", train="train.csv")
    splits = DataSplits(train, train.first(1), None)
    with pytest.warns(DataWarning, match="1 of 1 validation examples are in train too"):
        info, examples = data_examples.learn(splits, options, task.name, task.features)
    assert info.features["image"].shape == (5, 7, 3)
    assert info.features["label"].mean == pytest.approx(6.0)
    images = info.features["image"].first(examples["train"].encoded["image"])
    np.testing.assert_allclose(images[:, 2, 3, 0], [11, 101, 211], atol=2)


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (
            "image_classification",
            "image,label\na.png,x\nnone.png,y\n",
            ":3: {folder}/none.png: cannot be read (No such file or directory); an image file is expected.",
        ),
        (
            "image_classification",
            "image,label\na.png,x\ndeep,y\n",
            ":3: {folder}/deep: cannot be read (Is a directory)",
        ),
        (
            "image_classification",
            "image,label\nnote.png,x\n",
            ":2: {folder}/note.png: not a JPEG, PNG, WebP, GIF or BMP image (it starts with the bytes 6e 6f",
        ),
        ("image_classification", "image,label\na.png,x\n  ,y\n", ":3: the image name is empty; fill it in"),
        ("image_classification", "image,label\na.png, \n", ":2: the label is empty"),
        ("image_classification", "image,label\na.png,x\n", ": every example has the label 'x'"),
        (
            "image_classification",
            "file,label\na.png,x\n",
            ":1: no column 'image'; the header has: file, label",
        ),
        (
            "image_regression",
            "image,label\na.png,1\ndeep/b.jpg,two\n",
            ":3: 'label' must be a number such as 3 or 2.5; got 'two'.",
        ),
        ("image_regression", "image,label\na.png,3\n", ": every example has the number 3 in column 'label'"),
    ],
    ids=range(9),
)
def test_what_is_wrong_is_reported_with_file_and_line(folder, task, content, message):
    (folder / "note.png").write_text("no picture")
    expected = re.escape(f"{folder}/train.csv" + message.replace("{folder}", str(folder)))
    with pytest.raises(UserError, match=expected) as caught:
        load(folder, content, task=task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image": 5, "label": "x"}', "'image' must be a string; got 5"),
        ('{"image": "a\\u0000.png", "label": "x"}', "NUL character in the image name"),
        ('{"image": "a\\nb.png", "label": "x"}', "the image name is not printable UTF-8 text; rename"),
        ('{"image": "\\u001b[2J", "label": "x"}', "the image name is not printable UTF-8 text; rename"),
        ('{"image": "a.png", "label": 0.5}', "'label' must be a string or a whole number; got 0.5"),
    ],
)
def test_what_is_wrong_in_json_lines_is_reported_with_file_and_line(folder, line, message):
    with pytest.raises(UserError, match=re.escape(f"{folder}/train.jsonl:2: {message}")):
        load(folder, '{"image": "a.png", "label": "y"}\n' + line + "\n", "train.jsonl")


def test_records_that_cannot_be_used_are_skipped_and_reported_where_that_is_allowed(folder):
    (folder / "note.png").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:-3])
    table = "image,label\na.png,2\nnone.png,3\nnote.png,5\ncut.png,7\ndeep/b.jpg,eleven\nü c.gif,13\n"
    options = {"on_bad_record": "skip", "max_bad_fraction": 0.7, "task": "image_regression"}
    with pytest.warns(DataWarning) as caught:
        splits = load(folder, table, **options)
    (warning,) = caught
    place = f"{folder}/train.csv"
    assert f"{place}: 4 of 6 records (66.67%) cannot be read and are skipped: " in str(warning.message)
    for line, reason in enumerate(("not readable", "not an image", "truncated", "without a number"), 3):
        assert f"1 {reason} (first: {place}:{line})" in str(warning.message)
    assert splits.train.column("label").tolist() == [2.0, 13.0]
    with pytest.raises(
        UserError, match=r"train\.csv: 4 of 6 records .* data\.max_bad_fraction allows 1\.00%"
    ):
        load(folder, table, on_bad_record="skip", task="image_regression")


def test_one_column_cannot_be_image_and_label(folder):
    with pytest.raises(UserError, match=r"data\.image and data\.label are both 'label'"):
        load(folder, "image,label\na.png,x\n", image="label")


def test_images_above_the_limit_are_refused_in_training_and_predictions(folder):
    Image.new("L", (1100, 1000)).save(folder / "large.png")
    table = "image,label\na.png,x\nlarge.png,y\n"
    assert len(load(folder, table).train) == 2
    message = (
        "large.png: 1100 x 1000 pixels; at most 1 megapixels are read (data.max_megapixels): scale it down"
    )
    with pytest.raises(UserError, match=re.escape(f"{folder}/train.csv:3: {folder}/{message}")):
        load(folder, table, max_megapixels=1)
    feature = tasks.load("image_classification").features["image"]
    feature.check_raw("large.png", "large.png", folder)
    with pytest.raises(UserError, match=re.escape(f"{folder}/{message}")):
        feature.model_copy(update={"max_megapixels": 1}).check_raw("large.png", "large.png", folder)
