"""Images as pixels, whatever a column holds of them."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.config.sections import FileOptions
from attnzoo.errors import UserError
from attnzoo.features.image import Image, ImageOptions, shown_name
from attnzoo.images.image_files import MAX_PIXELS
from attnzoo.records.bad_records import BadRecord
from tests.features.columns import batch, problems

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 5, 7, 3)).astype(np.uint8)
FORMS = ("pixels", "bytes", "paths")


class Options(ImageOptions, FileOptions):
    """Options of images in files."""


OPTIONS = Options(name="images")


def column_of(form, folder, pixels=PIXELS):
    """Returns images as a column of one of the forms that a data set can give."""
    if form == "pixels":
        return pixels
    encoded = [tf.io.encode_png(image).numpy() for image in pixels]
    paths = [folder / f"{number}.png" for number in range(len(encoded))]
    for path, data in zip(paths, encoded, strict=True):
        path.write_bytes(data)
    return Image().column(encoded if form == "bytes" else [str(path) for path in paths])


def learn(column, **options):
    return Image().learn([column], Options(name="images", **options), None, "train")


@pytest.mark.parametrize("form", FORMS)
def test_images_are_learned_and_come_back_standardized_in_batches(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    assert image.shape == (5, 7, 3)
    whole = PIXELS / 255.0
    np.testing.assert_allclose(image.mean, whole.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(image.std, whole.std(axis=(0, 1, 2)), rtol=1e-6)
    assert image.phrase("image") == "5 x 7 x 3 pixels"
    encoded = image.encode(column)
    expected = (whole - np.array(image.mean)) / np.array(image.std)
    np.testing.assert_allclose(batch(image, encoded, [2, 0]), expected[[2, 0]], atol=1e-5)
    np.testing.assert_array_equal(image.first(encoded[:2]), PIXELS[:2])
    assert image.damaged(encoded, "train") is None


@pytest.mark.parametrize("form", FORMS)
def test_raw_images_become_what_batches_have(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    resources, read_raw = image.raw_reader(None)
    assert resources == []
    found = tf.function(read_raw)(tf.constant(image.raw(column)))
    np.testing.assert_allclose(found, batch(image, image.encode(column), [0, 1, 2]), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_size_and_channels_are_options(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column, image_size=[3, 11], channels=1)
    assert image.shape == (3, 11, 1)
    assert batch(image, image.encode(column), [1]).shape == (1, 3, 11, 1)


def test_the_first_image_gives_the_size(tmp_path):
    small = column_of("bytes", tmp_path, PIXELS[:1, :3, :2])
    column = np.concatenate([small, column_of("bytes", tmp_path)])
    assert learn(column).shape == (3, 2, 3)


@pytest.mark.parametrize("form", FORMS)
def test_random_changes_are_those_of_the_options(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    images = image.graph_batch(image.encode(column))(tf.range(3))
    seeds = tf.constant([[1, 2], [3, 5], [7, 11]])
    tensors = {"image": images, "other": tf.range(3)}
    plain = image.change(tensors, FileOptions(name="table"), seeds)
    np.testing.assert_allclose(plain["image"], PIXELS / 255.0, atol=1e-6)
    options = OPTIONS.model_copy(update={"augment": Options(name="i", augment=["flip_vertical"]).augment})
    flipped = image.change(tensors, options, seeds)
    assert flipped["other"] is tensors["other"]
    for found, before in zip(flipped["image"].numpy(), PIXELS / 255.0, strict=True):
        assert any(np.allclose(found, either, atol=1e-6) for either in (before, before[::-1]))


def test_a_damaged_image_is_found_before_training_and_later(tmp_path):
    column = column_of("paths", tmp_path)
    image = learn(column)
    (tmp_path / "1.png").write_bytes(b"no image")
    message = f"{tmp_path}/1.png: cannot be decoded ("
    with pytest.raises(UserError, match=re.escape(message)):
        image.check(column, OPTIONS, "test")
    assert str(image.damaged(column, "test")).startswith(message)
    image.check(column, OPTIONS.model_copy(update={"on_bad_record": "skip"}), "test")
    column = np.array([b"no image"], object)
    assert image.damaged(column, "test").place == "test: example 0"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("none.png", "{folder}/none.png: cannot be read (No such file or directory)"),
        (
            "../note.png",
            "{folder}/../note.png: not a JPEG, PNG, GIF or BMP image (it starts with the bytes 6e",
        ),
        ("note.png", "{folder}/note.png: cannot be read (No such file or directory)"),
        ("pipe", "{folder}/pipe: a pipe or a device; an image file is expected."),
        ("x" * 5000, "{folder}/" + "x" * 5000 + ": cannot be read (File name too long)"),
        (" ", "the image name is empty; fill it in or remove the record."),
        ("a\0", "NUL character in the image name; remove it."),
        ("\ud800", "half a surrogate pair in the image name; write the whole character."),
        ("a\nb.png", "the image name is not printable UTF-8 text; rename the file."),
        (5, "'file' must be a string; got 5."),
        (None, "'file' must be a string; got null."),
    ],
    ids=range(11),
)
def test_a_name_of_no_image_is_refused(tmp_path, value, message):
    (tmp_path / "note.png").write_text("no picture")
    folder = tmp_path / "deep:1"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    place = f"{folder}/table.csv:13"
    with pytest.raises(
        BadRecord, match=re.escape(f"{place}: {message.replace('{folder}', str(folder))}")
    ) as caught:
        Image().read(place, "file", value, OPTIONS)
    assert caught.value.place == place
    assert "\n" not in str(caught.value)


def test_a_name_is_relative_to_its_table(tmp_path):
    (path, *_) = column_of("paths", tmp_path)
    for value in ("0.png", " 0.png\n", path):
        assert Image().read(f"{tmp_path}/table.csv:13", "file", value, OPTIONS) == path


@pytest.mark.parametrize(
    ("form", "kind"), [("pixels", "array"), ("bytes", "png"), ("paths", "png")], ids=FORMS
)
def test_sizes_formats_and_channels_are_told(form, kind, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    assert image.describe("image", column, image.encode(column)) == {
        "sizes": {"5 x 7": 3},
        "formats": {kind: 3},
        "channels": {3: 3},
    }
    assert shown_name(column, 2) == (column[2] if form == "paths" else "number 2")


@pytest.mark.parametrize("form", FORMS)
def test_equal_images_are_the_same_and_others_are_not(form, tmp_path):
    (tmp_path / "test").mkdir()
    train, test = column_of(form, tmp_path), column_of(form, tmp_path / "test", PIXELS[1:])
    of_train, of_test = Image().contents([train, test])
    assert of_train[1:] == of_test
    assert of_train[0] not in of_test


def test_files_that_are_named_count_by_name_and_size(tmp_path):
    column = column_of("paths", tmp_path)
    before = b"".join(Image().fingerprint(column))
    with (tmp_path / "1.png").open("ab") as file:
        file.write(b"x")
    assert b"".join(Image().fingerprint(column)) != before
    assert len({b"".join(Image().fingerprint(column_of(form, tmp_path))) for form in FORMS}) == 3


def test_data_without_image_options_are_the_programmers_error():
    with pytest.raises(ValueError, match="Data set 'table' has no image options; expected a subclass of"):
        Image().learn([PIXELS], FileOptions(name="table"), None, "train")


STATE = {"shape": (5, 7, 3), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"shape": (), "mean": (), "std": ()}, "column.shape: ()"),
        ({"shape": (5, 7)}, "column.shape: (5, 7)"),
        ({"shape": (5, 7, 4)}, "column.shape: (5, 7, 4)"),
        ({"shape": (0, 7, 3)}, "column.shape: (0, 7, 3)"),
        ({"shape": (-5, -7, 3)}, "column.shape: (-5, -7, 3)"),
        ({"shape": (MAX_PIXELS, 2, 3)}, "column.shape: (50000000, 2, 3)"),
        ({"mean": (0.5,)}, "column.mean, column.std: expected a number for each channel, deviations above 0"),
        (
            {"std": (0.2, 0.3)},
            "column.mean, column.std: expected a number for each channel, deviations above 0",
        ),
        ({"std": (0.2, 0.0, 1.0)}, "column.mean, column.std: expected a number for each channel, deviations"),
        (
            {"std": (0.2, -1.0, 1.0)},
            "column.mean, column.std: expected a number for each channel, deviations",
        ),
    ],
    ids=range(11),
)
def test_shapes_and_statistics_that_no_images_have_are_found(change, problem):
    found = problems(Image(**{**STATE, **change}))
    assert len(found) == (problem is not None)
    assert all(one.startswith(problem) for one in found)
