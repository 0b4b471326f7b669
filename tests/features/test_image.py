"""Images as pixels, whatever a column holds of them."""

import io
import os
import re
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Picture

from attnzoo.config.sections import FileOptions
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.image import Image, find_file, image_name
from attnzoo.features.image_data_options import ImageOptions
from attnzoo.images import image_files
from attnzoo.images.image_headers import MAX_PIXELS
from attnzoo.records.bad_records import BadRecord
from attnzoo.records.text_files import object_array
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
    assert image.summary("image") == "5 x 7 x 3 pixels"
    encoded = image.encode(column)
    expected = (whole - np.array(image.mean)) / np.array(image.std)
    np.testing.assert_allclose(batch(image, encoded, [2, 0]), expected[[2, 0]], atol=1e-5)
    np.testing.assert_array_equal(image.first(encoded[:2]), PIXELS[:2])
    assert image.find_damaged(encoded, "train") is None


@pytest.mark.parametrize("form", FORMS)
def test_raw_images_become_what_batches_have(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    resources, read_raw = image.raw_reader(None)
    assert resources == []
    found = image.prepare(tf.function(read_raw)(tf.constant(image.raw(column))))
    np.testing.assert_allclose(found, batch(image, image.encode(column), [0, 1, 2]), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_size_and_channels_are_options(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column, image_size=[3, 11], channels=1)
    assert image.shape == (3, 11, 1)
    assert batch(image, image.encode(column), [1]).shape == (1, 3, 11, 1)


@pytest.mark.parametrize(
    ("sizes", "size", "warning"),
    [
        ([(11, 13)] * 5, (11, 13), None),
        ([(300, 500)] * 2, (300, 500), None),
        (
            [(1, 1), *[(11, 13)] * 5],
            (11, 13),
            "train: images of 1 to 11 x 1 to 13 pixels (height x width), 1 of them with a side of fewer than "
            "8 (first: number 0); all are resized to 11 x 13; set data.image_size for another size.",
        ),
        ([(600, 300)] * 2, (224, 112), "images of 600 x 300 pixels (height x width); all are resized to 224"),
        ([(9, 300), (11, 200), (17, 100)], (11, 200), "images of 9 to 17 x 100 to 300 pixels"),
        (
            [(20, 30), (20, 30), (30, 20)],
            (20, 30),
            "images of 20 to 30 x 20 to 30 pixels",
        ),
        ([(5, 7)], (5, 7), "1 of them with a side of fewer than 8 (first: number 0); all are resized to 5"),
    ],
    ids=["one size", "moderate", "a single pixel", "large", "many sizes", "upright and across", "tiny"],
)
def test_the_size_is_the_one_that_all_have_or_their_median_and_odd_ones_are_reported(
    tmp_path, recwarn, sizes, size, warning
):
    images = [np.zeros((*one, 3), np.uint8) for one in sizes]
    column = np.concatenate([column_of("bytes", tmp_path, image[None]) for image in images])
    assert learn(column).shape == (*size, 3)
    messages = [str(one.message) for one in recwarn]
    assert len(messages) == (warning is not None)
    assert all(warning in one for one in messages)
    assert learn(column, image_size=17).shape == (17, 17, 3)
    assert len(recwarn) == len(messages)


def test_one_image_in_color_makes_all_of_them_color(tmp_path):
    gray, color = (column_of("bytes", tmp_path, PIXELS[:, :, :, :count]) for count in (1, 3))
    assert learn(gray).shape[2] == 1
    assert learn(np.concatenate([gray, color[:1]])).shape[2] == 3


def drawing(level, opacity):
    """PNG bytes of 11 x 13 pixels of one gray, opaque in the middle alone."""
    pixels = np.full((11, 13, 4), level, np.uint8)
    pixels[..., 3] = 0
    pixels[3:7, 3:7, 3] = opacity
    return tf.io.encode_png(pixels).numpy()


@pytest.mark.parametrize(
    ("levels", "options", "background"),
    [
        ((0, 50), {}, "white"),
        ((240, 255), {}, "black"),
        ((0, 255), {}, "gray"),
        ((0, 50), {"background": "black"}, None),
        ((0, 50), {"background": [7, 7, 7]}, None),
    ],
    ids=["dark", "bright", "both", "named", "numbers"],
)
def test_what_is_transparent_is_laid_on_a_color_on_which_the_rest_is_seen(
    recwarn, levels, options, background
):
    column = Image().column([drawing(level, 255) for level in levels])
    image = learn(column, **options)
    messages = [str(one.message) for one in recwarn]
    assert messages == (
        [
            "train: 2 of 2 images with an alpha channel are transparent in parts: they are composited on "
            f"{background}; set data.background for another color."
        ]
        if background
        else []
    )
    expected = {"white": 255, "black": 0, "gray": 128, None: image.background[0]}[background]
    assert image.background == (expected,) * 3
    for pixels, level in zip(image.first(column), levels, strict=True):
        assert pixels[0, 0].tolist() == [expected] * 3
        assert pixels[4, 4].tolist() == [level] * 3
    raw = image.prepare(image.raw_reader(None).read(tf.constant(list(column))))
    np.testing.assert_allclose(raw, batch(image, column, [0, 1]), atol=1e-5)
    half = image.first(Image().column([drawing(100, 51)]))[0, 4, 4, 0]
    assert half == round(0.2 * 100 + 0.8 * expected)


@pytest.mark.parametrize(
    ("largest", "white"), [(200, 255), (700, 1023), (4000, 4095), (4096, 16383), (65535, 65535)]
)
def test_images_of_16_bits_keep_the_values_that_train_uses(largest, white):
    values = np.linspace(0, largest, 11 * 13).astype(np.uint16).reshape(11, 13, 1)
    column = Image().column([tf.io.encode_png(values).numpy()] * 2)
    with pytest.warns(DataWarning, match=f"2 of 2 images have 16 bits per channel, .* {largest}: {white} "):
        image = learn(column)
    assert image.max_value == white
    np.testing.assert_allclose(image.first(column)[1], values / white, atol=1e-6)
    np.testing.assert_allclose(image.mean, (values / white).mean(), rtol=1e-5)
    raw = image.prepare(image.raw_reader(None).read(tf.constant(list(column))))
    np.testing.assert_allclose(raw, batch(image, column, [0, 1]), atol=1e-5)
    assert abs(float(tf.math.reduce_std(raw)) - 1.0) < 0.01
    assert learn(column, max_value=9999).max_value == 9999


def test_webp_is_read_with_its_transparency_and_what_moves_is_not():
    files = {}
    for mode in ("RGB", "RGBA"):
        files[mode] = io.BytesIO()
        color = (10, 200, 30, 0)[: len(mode)]
        Picture.new(mode, (13, 11), color).save(files[mode], "WEBP", lossless=True, exact=True)
    column = Image().column([file.getvalue() for file in files.values()])
    image = learn(column, background="white")
    opaque, transparent = image.first(column)
    assert opaque[0, 0].tolist() == [10, 200, 30]
    assert transparent[0, 0].tolist() == [255, 255, 255]
    moving = io.BytesIO()
    frames = [Picture.new("L", (13, 11), level) for level in (10, 99)]
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError):
        image.raw_reader(None).read(tf.constant([moving.getvalue()]))


def test_a_gif_with_a_transparent_color_is_reported():
    file = io.BytesIO()
    Picture.new("P", (13, 11)).save(file, "GIF", transparency=0)
    with pytest.warns(DataWarning, match="train: 1 GIF images have a transparent color, which is ignored"):
        learn(Image().column([file.getvalue()]))


@pytest.mark.parametrize("form", FORMS)
def test_random_changes_are_those_of_the_options(form, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    images = image.graph_batch(image.encode(column))(tf.range(3))
    seeds = tf.constant([[1, 2], [3, 5], [7, 11]])
    tensors = {"image": images, "other": tf.range(3)}
    plain = image.augment(tensors, FileOptions(name="table"), seeds)
    np.testing.assert_array_equal(plain["image"], PIXELS)
    options = OPTIONS.model_copy(update={"augment": Options(name="i", augment=["flip_vertical"]).augment})
    flipped = image.augment(tensors, options, seeds)
    assert flipped["other"] is tensors["other"]
    for found, before in zip(flipped["image"].numpy(), PIXELS, strict=True):
        assert any(np.array_equal(found, either) for either in (before, before[::-1]))


def test_a_damaged_image_is_found_before_training_and_later(tmp_path):
    column = column_of("paths", tmp_path)
    image = learn(column)
    (tmp_path / "1.png").write_bytes(b"no image")
    message = f"{tmp_path}/1.png: cannot be decoded ("
    with pytest.raises(UserError, match=re.escape(message)):
        image.check(column, OPTIONS, "test")
    with pytest.raises(UserError, match=r"data\.on_bad_record: skip leaves out such records\.$"):
        image.check(column, FileOptions(name="image_folder"), "test")
    assert str(image.find_damaged(column, "test")).startswith(message)
    image.check(column, OPTIONS.model_copy(update={"on_bad_record": "skip"}), "test")
    column = np.array([b"no image"], object)
    assert image.find_damaged(column, "test").location == "test: example 0"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("none.png", "{folder}/none.png: cannot be read (No such file or directory)"),
        (
            "../note.png",
            "{folder}/../note.png: not a JPEG, PNG, WebP, GIF or BMP image (it starts with the bytes 6e",
        ),
        ("note.png", "{folder}/note.png: cannot be read (No such file or directory)"),
        ("pipe", "{folder}/pipe: a pipe or a device; an image file is expected."),
        ("x" * 5000, "{folder}/" + "x" * 5000 + ": cannot be read (File name too long)"),
        (" ", "the image name is empty; fill it in or remove the record."),
        ("a\0", "NUL character in the image name; remove it."),
        ("\ud800", "lone surrogate (half a character) in the image name; replace it."),
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
    location = f"{folder}/table.csv:13"
    with pytest.raises(
        BadRecord, match=re.escape(f"{location}: {message.replace('{folder}', str(folder))}")
    ) as caught:
        Image().read(location, "file", value, OPTIONS)
    assert caught.value.location == location
    assert "\n" not in str(caught.value)


def test_a_name_is_found_in_either_form_of_unicode(tmp_path):
    (path, *_) = column_of("paths", tmp_path)
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    for stored, written in ((composed, decomposed), (decomposed, composed)):
        os.rename(path, path := str(tmp_path / stored))
        assert Image().read(f"{tmp_path}/table.csv:13", "file", written, OPTIONS) == path
        assert find_file(written, tmp_path) == tmp_path / stored


def test_a_name_is_relative_to_its_table(tmp_path):
    (path, *_) = column_of("paths", tmp_path)
    for value in ("0.png", " 0.png\n", path):
        assert Image().read(f"{tmp_path}/table.csv:13", "file", value, OPTIONS) == path


@pytest.mark.parametrize(
    ("form", "kind"), [("pixels", "array"), ("bytes", "png"), ("paths", "png")], ids=FORMS
)
def test_sizes_formats_and_channels_are_reported(form, kind, tmp_path):
    column = column_of(form, tmp_path)
    image = learn(column)
    assert image.describe("image", column, image.encode(column)) == {
        "sizes": {"5 x 7": 3},
        "formats": {kind: 3},
        "channels": {3: 3},
    }
    assert image_name(column, 2) == (column[2] if form == "paths" else "number 2")


@pytest.mark.parametrize("form", FORMS)
def test_equal_images_are_the_same_and_others_are_not(form, tmp_path):
    (tmp_path / "test").mkdir()
    train, test = column_of(form, tmp_path), column_of(form, tmp_path / "test", PIXELS[1:])
    of_train, of_test = Image().contents([train, test])
    assert of_train[1:] == of_test
    assert of_train[0] not in of_test


def test_files_count_by_their_names_sizes_and_contents_wherever_their_folder_is(tmp_path, monkeypatch):
    def fingerprint(column):
        return b"".join(Image().fingerprint(column))

    (tmp_path / "one").mkdir()
    column = column_of("paths", tmp_path / "one")
    before = fingerprint(column)
    (tmp_path / "one").rename(tmp_path / "two")
    column = object_array([path.replace("/one/", "/two/") for path in column])
    assert fingerprint(column) == before
    file = tmp_path / "two" / "1.png"
    data = file.read_bytes()
    file.write_bytes(data + b"x")
    assert fingerprint(column) != before
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert fingerprint(column) != before
    monkeypatch.setattr(image_files, "MAX_IDENTIFIED_BYTES", 1)  # the contents of the first alone
    few = fingerprint(column)
    file.write_bytes(data)
    assert fingerprint(column) == few != before
    file.rename(tmp_path / "two" / "x.png")
    assert fingerprint(object_array([path.replace("1.png", "x.png") for path in column])) != few
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
        ({"mean": (0.5,)}, "column.mean, column.std: expected a number per channel, std above 0"),
        (
            {"std": (0.2, 0.3)},
            "column.mean, column.std: expected a number per channel, std above 0",
        ),
        ({"std": (0.2, 0.0, 1.0)}, "column.mean, column.std: expected a number per channel, std"),
        (
            {"std": (0.2, -1.0, 1.0)},
            "column.mean, column.std: expected a number per channel, std",
        ),
        ({"background": (255, 255, 255), "max_value": 4095}, None),
        ({"background": (255, 255)}, "column.background: (255, 255)"),
        ({"background": (255, 256, 0)}, "column.background: (255, 256, 0)"),
        ({"max_value": 65536}, "column.max_value: 65536"),
    ],
    ids=range(15),
)
def test_shapes_and_statistics_that_no_images_have_are_found(change, problem):
    found = problems(Image(**{**STATE, **change}))
    assert len(found) == (problem is not None)
    assert all(one.startswith(problem) for one in found)


def test_letterboxed_images_are_the_same_in_training_and_as_raw_input():
    wide, high = np.full((10, 40, 3), 40, np.uint8), np.full((40, 20, 3), 200, np.uint8)
    column = Image().column([tf.io.encode_png(image).numpy() for image in (wide, high)])
    image = learn(column, image_size=[20, 40], resize="letterbox")
    assert image.resize == "letterbox"
    values = image.first(column)
    assert values.shape == (2, 20, 40, 3)
    bars = np.rint(255 * np.array(image.mean))
    assert 100 < bars[0] < 140
    expected = np.broadcast_to(bars, values.shape).copy()
    expected[0, 5:15] = 40
    expected[1, :, 15:25] = 200
    np.testing.assert_array_equal(values, expected)
    read = image.prepare(image.raw_reader(None).read(tf.constant(list(column))))
    np.testing.assert_array_equal(read, batch(image, image.encode(column), [0, 1]))


@pytest.mark.parametrize(
    ("location", "message"), [("a.png", "a.png: not a JPEG"), ("l.txt:3", "l.txt:3: a.png: not a")]
)
def test_a_file_that_is_no_image_is_named_once(tmp_path, monkeypatch, location, message):
    (tmp_path / "a.png").write_text("hello")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRecord) as refused:
        Image().check_raw(location, "a.png", None)
    assert str(refused.value).startswith(message)
