"""Random changes of images: what each does, and that all are pure functions of their seeds."""

import math
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from pydantic import ValidationError

from attnzoo import addons
from attnzoo.config import augmentation as options_of
from attnzoo.errors import UserError
from attnzoo.images import augmentation, image_changes, image_filters, image_warps, rand_augment
from tests.thinned import thinned

NAMES = sorted(options.model_fields["name"].default for options in augmentation.CHANGES)
MIXTURES = ("mixup", "cutmix")
FILL = tf.constant([0.5, 0.25, 0.75])
needs_addons = pytest.mark.skipif(not addons.is_installed(), reason="TensorFlow Addons ends with Python 3.11")


def augment(images, changes, seeds, fill):
    changed = augmentation.augment({"image": images}, options_of.parse(changes), seeds, fill)
    images = changed.pop("image")
    return images, augmentation.Mixture(**changed) if changed else None


def random_images(count=5, height=11, width=13, channels=3):
    return tf.random.stateless_uniform([count, height, width, channels], [1, 2])


def seeds_of(count=5, epoch=1):
    return tf.stack([tf.fill([count], epoch), tf.range(count)], axis=1)


def constant(*draws, count=5):
    return tf.repeat(tf.constant([draws], tf.float32), count, axis=0)


@pytest.mark.parametrize("channels", thinned([3, 1], 2))
@pytest.mark.parametrize("name", [*NAMES, *MIXTURES])
def test_a_change_depends_on_the_seed_and_the_image_alone(name, channels):
    images, fill = random_images(19, channels=channels), FILL[:channels]
    indices = 5 * tf.range(19) % 19
    changes = options_of.parse([name])

    def change(images, indices, epoch=1):
        seeds = augmentation.seeds(1, epoch, indices)
        return augmentation.augment({"image": images}, changes, seeds, fill)["image"]

    if changes[0].needs_addons and not addons.is_installed():
        with pytest.raises(UserError, match=r"tensorflow_addons\.image\..* is missing"):
            change(images, indices)
        return
    signature = [
        tf.TensorSpec([None, *images.shape[1:]]),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.int32),
    ]
    compiled = tf.function(change, input_signature=signature, autograph=False)
    data = tf.data.Dataset.from_tensor_slices((images, indices)).batch(19)
    changed = data.map(change).get_single_element()
    assert changed.shape == images.shape
    assert tf.reduce_min(changed) >= -1e-5
    assert tf.reduce_max(changed) <= 1 + 1e-5
    np.testing.assert_array_equal(changed, change(images, indices))
    assert not np.array_equal(changed, compiled(images, indices, 2))
    if name in MIXTURES:  # those look at other images
        return
    backwards = compiled(images[::-1], indices[::-1], 1)
    np.testing.assert_array_equal(backwards[::-1], changed)
    for row in (2, 18):
        alone = compiled(images[row : row + 1], indices[row : row + 1], 1)
        np.testing.assert_array_equal(alone[0], changed[row])


def test_draws_of_one_change_leave_those_before_it_as_they_are():
    images, seeds = random_images(), seeds_of()
    both, _ = augment(images, ["flip", {"name": "cutout", "fraction": 0.3}], seeds, FILL)
    (flipped, _) = augment(images, ["flip"], seeds, FILL)
    same = tf.reduce_all((both == flipped) | (both == FILL), axis=[1, 2, 3])
    assert same.shape == [5]
    assert tf.reduce_any(both == flipped)


@pytest.mark.parametrize("changes", [[], ["flip"], ["flip_vertical", "shift", "flip"], ["color", "mixup"]])
def test_bytes_are_changed_as_floats_are_and_rounded(changes):
    pixels = tf.cast(255.0 * random_images(), tf.uint8)
    of_bytes, of_floats = (
        augment(images, changes, seeds_of(), FILL)[0]
        for images in (pixels, tf.cast(pixels, tf.float32) / 255.0)
    )
    assert of_bytes.dtype == tf.uint8
    assert of_floats.dtype == tf.float32
    np.testing.assert_array_equal(of_bytes, np.rint(255.0 * of_floats.numpy()))


@pytest.mark.parametrize("changes", [["flip", "crop", "erase"], ["shift", "cutmix"]])
def test_large_images_are_changed_as_small_ones_are(changes, monkeypatch):
    images = random_images()
    expected, mixture = augment(images, changes, seeds_of(), FILL)
    monkeypatch.setattr(augmentation, "MIN_LARGE", 1)
    changed, changed_mixture = augment(images, changes, seeds_of(), FILL)
    np.testing.assert_allclose(changed, expected, atol=1e-6)
    if mixture is not None:
        np.testing.assert_array_equal(changed_mixture.mixture_fractions, mixture.mixture_fractions)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("changes", [[], ["flip"], ["shift", "mixup"]], ids=str)
def test_what_does_not_move_with_the_pixels_stays(changes, large, monkeypatch):
    if large:
        monkeypatch.setattr(augmentation, "MIN_LARGE", 1)
    features = {"image": random_images(), "other": tf.range(5)}
    changed = augmentation.augment(features, options_of.parse(changes), seeds_of(), FILL)
    mixture = set(augmentation.Mixture._fields) if "mixup" in changes else set()
    assert set(changed) == {*features, *mixture}
    np.testing.assert_array_equal(changed["other"], features["other"])


def test_no_change_leaves_the_images():
    images = random_images()
    changed, mixture = augment(images, [], seeds_of(), FILL)
    np.testing.assert_array_equal(changed, images)
    assert mixture is None


@pytest.mark.parametrize(
    "change",
    [
        "blur",
        {"name": "shift", "fraction": 0.0},
        {"name": "rotate", "angle": 3},
        {"name": "mixup", "alpha": 0.0},
    ],
)
def test_unknown_changes_and_options_are_refused(change):
    with pytest.raises(ValidationError):
        augment(random_images(), [change], seeds_of(), FILL)


def test_flips_mirror_half_of_the_images():
    images = random_images(2)
    draws = tf.constant([[0.4], [0.6]])
    (turned, same) = image_changes.flip(images, draws, options_of.Flip(), FILL)
    np.testing.assert_array_equal(turned, images[0, :, ::-1])
    np.testing.assert_array_equal(same, images[1])
    (turned, same) = image_changes.flip_vertical(images, draws, options_of.FlipVertical(), FILL)
    np.testing.assert_array_equal(turned, images[0, ::-1])
    np.testing.assert_array_equal(same, images[1])


def test_a_shift_moves_the_mean_color_in():
    images = random_images(height=8, width=16)
    options = options_of.Shift(fraction=0.25)  # 2 rows, 4 columns
    moved = image_changes.shift(images, constant(0.99, 0.0), options, FILL)
    np.testing.assert_array_equal(moved[:, 2:, :-4], images[:, :-2, 4:])
    assert tf.reduce_all(moved[:, :2] == FILL)
    assert tf.reduce_all(moved[:, :, -4:] == FILL)
    still = image_changes.shift(images, constant(0.5, 0.5), options, FILL)
    np.testing.assert_array_equal(still, images)


def test_a_crop_of_everything_is_the_image_and_one_of_a_quarter_is_its_corner():
    images = random_images(height=9, width=9)
    whole = image_changes.crop(images, constant(1.0, 0.5, 0.3, 0.7), options_of.Crop(), FILL)
    np.testing.assert_allclose(whole, images, atol=1e-5)
    corner = image_changes.crop(images, constant(0.0, 0.5, 0.0, 0.0), options_of.Crop(area=0.25), FILL)
    np.testing.assert_allclose(corner[:, ::2, ::2], images[:, :5, :5], atol=1e-5)


def test_color_changes_by_the_middle_draw_are_none_and_others_keep_what_they_should():
    images = 0.25 + 0.5 * random_images()
    same = image_changes.color(images, constant(0.5, 0.5, 0.5, 0.5), options_of.Color(), FILL)
    np.testing.assert_allclose(same, images, atol=1e-5)
    only_hue = options_of.Color(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.05)
    turned = image_changes.color(images, constant(0.5, 0.5, 0.5, 1.0), only_hue, FILL)
    luma = image_changes.YIQ[0]
    np.testing.assert_allclose(turned @ luma[:, None], images @ luma[:, None], atol=2e-3)
    assert not np.allclose(turned, images, atol=1e-2)
    gray = tf.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(
        image_changes.color(gray, constant(0.5, 0.5, 0.5, 1.0), only_hue, FILL), gray, atol=2e-3
    )
    brighter = options_of.Color(brightness=0.1, contrast=0.0, saturation=0.0, hue=0.0)
    np.testing.assert_allclose(
        image_changes.color(images, constant(1.0, 0.5, 0.5, 0.5), brighter, FILL), images + 0.1, atol=1e-5
    )


def test_cutout_and_erasing_change_a_rectangle_alone():
    images = random_images(height=12, width=16)
    cut = image_changes.cutout(images, constant(0.5, 0.5), options_of.Cutout(fraction=0.5), FILL)
    assert tf.reduce_all(cut[:, 3:9, 5:11] == FILL)
    assert int(tf.reduce_sum(tf.cast(tf.reduce_any(cut != images, axis=-1), tf.int32))) == 5 * 36
    noise = tf.random.stateless_uniform([5, 12 * 16 * 3], [3, 4])
    draws = tf.concat([constant(0.2, 1.0, 0.5, 0.0, 1.0), noise], axis=1)
    erased = image_changes.erase(images, draws, options_of.Erase(area=0.25), FILL)
    touched = tf.reduce_any(erased != images, axis=-1)
    np.testing.assert_array_equal(touched[:, :6, 8:], True)
    assert int(tf.reduce_sum(tf.cast(touched, tf.int32))) == 5 * 48
    draws = tf.concat([constant(0.6, 1.0, 0.5, 0.0, 1.0), noise], axis=1)
    np.testing.assert_array_equal(image_changes.erase(images, draws, options_of.Erase(), FILL), images)


def test_warps_by_the_middle_draw_are_none():
    images = random_images()
    for name, warp in (
        ("Rotate", "rotate"),
        ("Shear", "shear"),
        ("Translate", "translate"),
        ("Elastic", "elastic"),
    ):
        draws = constant(*[0.5] * 32)
        same = getattr(image_warps, warp)(images, draws, getattr(options_of, name)(), FILL)
        np.testing.assert_allclose(same, images, atol=1e-5, err_msg=name)


def test_warps_move_what_they_say():
    images = random_images(height=11, width=11)
    turned = image_warps.rotate(images, constant(1.0), options_of.Rotate(degrees=90.0), FILL)
    np.testing.assert_allclose(turned, tf.image.rot90(images), atol=1e-4)
    moved = image_warps.translate(images, constant(1.0, 0.5), options_of.Translate(fraction=3 / 11), FILL)
    np.testing.assert_allclose(moved[:, :, 3:], images[:, :, :-3], atol=1e-5)
    np.testing.assert_allclose(moved[:, :, :3], tf.broadcast_to(FILL, [5, 11, 3, 3]), atol=1e-5)
    slanted = image_warps.shear(images, constant(1.0, 0.5), options_of.Shear(slope=1.0), FILL)
    for row in range(11):
        shifted = row - 5  # columns to the left
        part = images[:, row, max(0, shifted) : 11 + min(0, shifted)]
        np.testing.assert_allclose(
            slanted[:, row, max(0, -shifted) : 11 - max(0, shifted)], part, atol=1e-5, err_msg=row
        )


@pytest.mark.parametrize(
    "changes",
    [["rotate", "shear"], ["shear", "translate", "cutout"], ["translate", "rotate", "elastic", "mixup"]],
    ids=str,
)
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_warps_one_after_another_are_the_same_in_a_graph_as_outside(changes, large, monkeypatch):
    images, seeds = random_images(), seeds_of()
    expected, _ = augment(images, changes, seeds, FILL)
    if large:
        monkeypatch.setattr(augmentation, "MIN_LARGE", 1)
    batches = tf.data.Dataset.from_tensor_slices((images, seeds)).batch(5)
    changed = batches.map(lambda images, seeds: augment(images, changes, seeds, FILL)[0])
    assert changed.element_spec.shape.as_list() == [None, 11, 13, 3]
    np.testing.assert_allclose(changed.get_single_element(), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_equalized_levels_are_those_of_pillow(channels):
    chance = np.random.default_rng(1)
    pixels = np.uint8(255 * chance.beta(2, 5, [3, 31, 37, channels]))
    pixels[2] = 7  # one level only stays
    equalized = image_filters.equalized(tf.cast(pixels, tf.float32) / 255.0)
    expected = [np.asarray(ImageOps.equalize(Image.fromarray(image.squeeze()))) for image in pixels]
    np.testing.assert_array_equal(np.rint(255.0 * equalized), np.reshape(expected, pixels.shape))


def test_a_zoom_by_two_doubles_the_middle_and_its_inverse_halves_the_image():
    image = tf.constant([[0, 0, 0, 0, 0], [0, 0, 4, 0, 0], [0, 2, 8, 6, 0], [0, 0, 4, 0, 0], [0, 0, 0, 0, 0]])
    images = tf.cast(image, tf.float32)[None, :, :, None]
    options = options_of.Zoom(factor=2.0)
    larger, smaller = (
        image_warps.zoom(images, tf.constant([[draw]]), options, tf.zeros([1]))[0, :, :, 0]
        for draw in (1.0, 0.0)
    )
    np.testing.assert_allclose(larger[2], [2, 5, 8, 7, 6], atol=1e-5)
    np.testing.assert_allclose(larger[:, 2], [4, 6, 8, 6, 4], atol=1e-5)
    np.testing.assert_allclose(smaller[2], [0, 0, 8, 0, 0], atol=1e-5)
    assert float(tf.reduce_sum(smaller)) == pytest.approx(8.0, abs=1e-4)


def test_a_perspective_moves_its_corners():
    images = random_images(height=9, width=9)
    options = options_of.Perspective(fraction=0.25)  # 2 pixels
    right = image_warps.perspective(images, constant(*[1.0, 0.5] * 4), options, FILL)
    np.testing.assert_allclose(right[:, :, 2:], images[:, :, :-2], atol=1e-4)
    np.testing.assert_allclose(right[:, :, :2], tf.broadcast_to(FILL, [5, 9, 2, 3]), atol=1e-4)
    top_left = image_warps.perspective(images, constant(1.0, 1.0, *[0.5] * 6), options, FILL)
    np.testing.assert_allclose(top_left[:, 2, 2], images[:, 0, 0], atol=1e-4)
    np.testing.assert_allclose(top_left[:, 8, 8], images[:, 8, 8], atol=1e-4)


def test_an_elastic_warp_whose_knots_agree_is_a_move():
    images = random_images(height=8, width=12)
    options = options_of.Elastic(fraction=0.25)  # 2 rows, 3 columns
    moved = image_warps.elastic(images, constant(*[1.0] * 32), options, FILL)
    np.testing.assert_allclose(moved[:, 2:, 3:], images[:, :-2, :-3], atol=1e-5)
    np.testing.assert_allclose(moved[:, 0, 3:], images[:, 0, :-3], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_an_elastic_warp_takes_images_of_one_row_or_column(shape):
    images = random_images(2, *shape)
    warped = image_warps.elastic(images, tf.zeros([2, 32]), options_of.Elastic(), FILL)
    assert warped.shape == images.shape
    assert tf.reduce_all((warped >= 0.0) & (warped <= 1.0))


def test_a_gaussian_blur_spreads_a_dot_evenly_and_leaves_flat_images_and_those_not_drawn():
    dot = tf.reshape(tf.one_hot(40, 81), [1, 9, 9, 1])
    options = options_of.GaussianBlur(probability=0.5, sigma=1.0)
    blurred = image_filters.gaussian_blur(dot, tf.constant([[0.4, 1.0]]), options, FILL)[0, :, :, 0]
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    weights /= weights.sum()
    np.testing.assert_allclose(blurred, np.outer(weights, weights), atol=1e-3)
    flat = tf.fill([1, 9, 7, 3], 0.3)
    np.testing.assert_allclose(
        image_filters.gaussian_blur(flat, tf.constant([[0.4, 1.0]]), options, FILL), flat, atol=1e-6
    )
    same = image_filters.gaussian_blur(dot, tf.constant([[0.6, 1.0]]), options, FILL)
    np.testing.assert_array_equal(same, dot)


@needs_addons
def test_a_median_blur_removes_a_dot_and_keeps_an_edge():
    image = np.repeat([[0.0, 0.0, 0.0, 1.0, 1.0]], 5, axis=0).astype(np.float32)
    noisy = image.copy()
    noisy[2, 1] = 1.0
    images = tf.constant(np.stack([noisy, noisy])[..., None])
    draws = tf.constant([[0.05], [0.2]])
    filtered, same = image_filters.median_blur(images, draws, options_of.MedianBlur(), FILL[:1])
    np.testing.assert_array_equal(filtered[..., 0], image)
    np.testing.assert_array_equal(same[..., 0], noisy)
    tiny = random_images(1, 1, 2)
    options = options_of.MedianBlur(probability=1.0, size=7)
    assert image_filters.median_blur(tiny, tf.zeros([1, 1]), options, FILL).shape == tiny.shape


@pytest.mark.parametrize("index", range(14))
def test_each_change_of_rand_augment_keeps_the_range_and_none_is_another(index):
    images = random_images(1, 16, 16)
    results = [
        rand_augment._one(images, tf.constant((number + 0.5) / 14), tf.constant(0.4), FILL)
        for number in (index, (index + 1) % 14)
    ]
    assert tf.reduce_min(results[0]) >= -1e-5
    assert tf.reduce_max(results[0]) <= 1 + 1e-5
    assert not np.allclose(*results)
    assert np.allclose(results[0], images) == (index == 0)


def test_posterized_images_have_few_levels():
    images = random_images()
    assert len(np.unique(image_filters.posterize(images, tf.constant(4.0)))) <= 16
    np.testing.assert_allclose(image_filters.posterize(images, tf.constant(8.0)), images, atol=1 / 500)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_mixture_is_made_of_the_image_and_its_partner_by_the_fractions_of_the_labels(name):
    count = 64
    values = np.arange(count, dtype=np.float32) / count
    images = tf.broadcast_to(values[:, None, None, None], [count, 16, 16, 1])
    mixed, mixture = augment(images, [{"name": name, "alpha": 1.0}], seeds_of(count), FILL[:1])
    own, other = values, values[mixture.mixture_partners.numpy()]
    assert not np.any(own == other)
    fractions = mixture.mixture_fractions.numpy()
    np.testing.assert_allclose(
        tf.reduce_mean(mixed, axis=[1, 2, 3]), fractions * own + (1 - fractions) * other, atol=1e-5
    )
    assert 0.3 < fractions.mean() < (0.7 if name == "mixup" else 0.85)
    assert fractions.std() > 0.15
    if name == "cutmix":
        assert all(len(np.unique(image)) <= 2 for image in mixed.numpy())


def test_of_two_mixtures_each_image_has_one():
    count = 64
    images = random_images(count, 8, 8, 1)
    mixed, mixture = augment(images, ["mixup", "cutmix"], seeds_of(count), FILL[:1])
    partners = tf.gather(images, mixture.mixture_partners)
    pasted = tf.reduce_all((mixed == images) | (mixed == partners), axis=[1, 2, 3]).numpy()
    assert 16 < pasted.sum() < 56  # fractions of exactly 0 or 1 look pasted too


def test_fractions_of_mixup_follow_the_beta_distribution():
    count = 4096
    seeds = seeds_of(count)
    mixup = [{"name": "mixup", "alpha": 0.4}]
    _, mixture = tf.function(augment, autograph=False)(tf.zeros([count, 1, 1, 1]), mixup, seeds, FILL[:1])
    fractions = mixture.mixture_fractions.numpy()
    assert fractions.mean() == pytest.approx(0.5, abs=0.03)
    assert fractions.var() == pytest.approx(0.25 / (2 * 0.4 + 1), rel=0.06)  # of Beta(0.4, 0.4)
    assert math.isfinite(fractions.sum())


def test_every_kind_has_a_change():
    names = get_args(options_of._Name)
    assert len(names) == len(set(names))
    known = {*augmentation.CHANGES, *augmentation.MIXTURES, options_of.Mosaic}
    assert {type(one) for one in options_of.parse(names)} == known


def test_smoothing_leaves_images_that_are_all_border():
    narrow = tf.random.stateless_uniform([2, 2, 7, 3], [1, 2])
    np.testing.assert_array_equal(image_filters.smooth(narrow), narrow)
