"""`attnzoo data inspect` tells what the data holds, and draws what training makes of it."""

import json

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from attnzoo import inspection
from attnzoo.config import resolve
from attnzoo.errors import UserError
from attnzoo.images import augmentation
from attnzoo.inspection import box_pictures
from attnzoo.pictures import render
from tests import commands, recipes
from tests.thinned import thinned


def test_images_are_counted_by_label_size_and_format(tmp_path):
    resolved = recipes.image_config(tmp_path, f"data.validation={tmp_path}/test")
    bright = tmp_path / "train" / "bright"
    (tmp_path / "test" / "bright" / "0.png").write_bytes((bright / "3.png").read_bytes())
    (bright / "again.png").write_bytes((bright / "3.png").read_bytes())
    report, _, _ = inspection.inspect(resolved)
    train, validation, test = (report["splits"][name] for name in ("train", "validation", "test"))
    assert [split["examples"] for split in (train, validation, test)] == [27, 10, 10]
    assert [split["in_train"] for split in (train, validation, test)] == [1, 1, 1]
    assert train["labels"] == {"bright": 14, "dark": 13}
    assert test["labels"] == {"bright": 5, "dark": 5}
    assert set(test["sizes"]) == {"7 x 11", "8 x 11", "9 x 11"}
    assert (test["formats"], test["channels"]) == ({"png": 10}, {3: 10})
    assert inspection.size_range(test["sizes"]) == "7 to 9 x 11 to 11"


def test_texts_have_lengths_and_a_truncated_fraction(tmp_path):
    resolved = recipes.text_config(tmp_path, "data.max_length=2")
    report, _, _ = inspection.inspect(resolved)
    train = report["splits"]["train"]
    assert train["tokens"] == {"text": {"shortest": 2, "median": 3, "95 %": 3, "longest": 3}}
    assert 0.2 < train["truncated_fraction"] < 0.4
    assert report["splits"]["test"]["in_train"] > 0


def test_grids_show_the_images_and_the_changes_of_training(tmp_path):
    changes = "data.augment=[flip,{name: cutout, fraction: 0.5},mixup]"
    resolved = recipes.image_config(tmp_path, changes)
    config = resolved.config
    _, info, examples = inspection.inspect(resolved)
    drawn = inspection.draw(config, info, examples["train"], tmp_path / "drawn")
    assert [path.name for path in drawn] == ["flip.png", "cutout.png", "mixup.png", "all.png"]
    for path in drawn:
        pixels = tf.io.decode_png(path.read_bytes())
        assert len(np.unique(pixels)) > 50
    feature = info.features["image"]
    images = tf.zeros([3, *feature.shape])
    options = config.data.model_copy(update={"augment": config.data.augment[1:2]})
    columns = inspection.versions({"image": images}, options, info, config.seed)
    np.testing.assert_array_equal(columns[0]["image"], images)
    seeds = augmentation.seeds(config.seed, 2, tf.range(3))
    fill = tf.constant(feature.mean)
    expected = augmentation.augment({"image": images}, config.data.augment[1:2], seeds, fill)
    np.testing.assert_allclose(columns[3]["image"], expected["image"], atol=1e-6)


def test_boxes_are_drawn_before_and_after_changes_and_counted(tmp_path):
    path = tmp_path / "few.yaml"
    path.write_text("data: {name: shapes, examples: 24, augment: [flip]}\nmodel: {name: detector}\n")
    config = resolve(path, [])
    report, info, examples = inspection.inspect(config)
    train = report["splits"]["train"]
    assert sum(train["labels"].values()) == train["objects"]["objects"] > 20
    json.dumps(report)
    drawn = inspection.draw(config.config, info, examples["train"], tmp_path)
    assert [path.name for path in drawn] == ["boxes.png", "box_statistics.png", "flip.png"]


def test_a_box_is_outlined_where_it_is():
    figure = Figure(figsize=(2, 2), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(np.zeros((64, 64, 3)))
    axis.set_axis_off()
    boxes = np.array([[0.25, 0.5, 0.75, 0.75, 0.0, 1.0], [0.1, 0.1, 0.9, 0.9, 0.0, 0.0]], np.float32)
    box_pictures.outline(axis, boxes, (64, 64, 3))
    rows, columns = np.nonzero(render(figure).max(axis=2) > 90)
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == pytest.approx([100, 150, 50, 150], abs=1)


@pytest.mark.parametrize(
    "make", thinned([recipes.text_config, recipes.translation_config, recipes.image_config], 3)
)
def test_the_command_prints_tables_or_json(tmp_path, make):
    make(tmp_path)
    (path,) = tmp_path.glob("*.yaml")
    ended = commands.run("data", "inspect", path, folder=tmp_path)
    assert ended.code == 0, ended.err
    assert "also in train" in ended.out
    assert ("label" in ended.out) == (make is not recipes.translation_config)
    assert ("95 %" in ended.out) == (make is not recipes.image_config)
    if make is recipes.image_config:
        assert (tmp_path / "inspection" / "light" / "flip.png").is_file()
    ended = commands.run("data", "inspect", path, "--json", folder=tmp_path)
    assert json.loads(ended.out)["splits"]["train"]["examples"] > 10


def test_numbers_have_quantiles(tmp_path):
    recipes.text_config(tmp_path)
    for split in ("train", "test"):
        lines = [f"text {number},{number / 2}" for number in range(7)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    path = tmp_path / "greetings.yaml"
    path.write_text(path.read_text().replace("text_classifier", "text_regressor"))
    ended = commands.run("data", "inspect", path, "--json", folder=tmp_path)
    assert ended.code == 0, ended.err
    numbers = json.loads(ended.out)["splits"]["test"]["numbers"]["label"]
    assert numbers.pop("std") == pytest.approx(1.0)
    expected = {"least": 0.0, "25 %": 0.75, "median": 1.5, "75 %": 2.25, "greatest": 3.0, "mean": 1.5}
    assert numbers == expected
    ended = commands.run("data", "inspect", path, folder=tmp_path)
    assert "numbers of" in ended.out
    assert "2.25" in ended.out


def test_bad_data_is_one_line(tmp_path):
    recipes.text_config(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\nonly one column\n")
    ended = commands.run("data", "inspect", "greetings.yaml", folder=tmp_path)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("attnzoo: error: ")
    assert "train.csv:2" in ended.err


def test_the_config_is_held_against_the_data_as_in_training(tmp_path):
    resolved = recipes.text_config(tmp_path, "train.class_weights={nobody: 2.0}")
    with pytest.raises(UserError, match="nobody"):
        inspection.inspect(resolved)
