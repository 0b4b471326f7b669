"""Random changes of images: what each does, and that all are pure functions of their seeds."""

import math
import sys

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from attnzoo.config import augmentation as options_of
from attnzoo.errors import UserError
from attnzoo.images import augmentation, image_changes, image_warps, rand_augment

BY_ADDONS = ("rotate", "shear", "translate", "equalize", "elastic", "rand_augment")
PLAIN = ("flip", "flip_vertical", "shift", "crop", "color", "cutout", "erase", "mixup", "cutmix")
INSTALLED = sys.version_info < (3, 12)
FILL = tf.constant([0.5, 0.25, 0.75])
needs_addons = pytest.mark.skipif(not INSTALLED, reason="TensorFlow Addons ends with Python 3.11")


def augment(images, changes, seeds, fill):
    changed = augmentation.augment({"image": images}, options_of.parse(changes), seeds, fill)
    images = changed.pop("image")
    return images, augmentation.Mixture(**changed) if changed else None


def pictures(count=5, height=11, width=13, channels=3):
    return tf.random.stateless_uniform([count, height, width, channels], [1, 2])


def seeds_of(count=5, epoch=1):
    return tf.stack([tf.fill([count], epoch), tf.range(count)], axis=1)


def constant(*draws, count=5):
    return tf.repeat(tf.constant([draws], tf.float32), count, axis=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*PLAIN, *BY_ADDONS])
def test_each_change_is_a_function_of_the_seed_and_keeps_shape_and_range(name, channels):
    images, fill = pictures(channels=channels), FILL[:channels]
    seeds = seeds_of()

    def changed(seeds):
        return augment(images, [name], seeds, fill)[0]

    if name in BY_ADDONS and not INSTALLED:
        with pytest.raises(UserError, match=r"tensorflow_addons\.image\..* is missing"):
            changed(seeds)
        return
    data = tf.data.Dataset.from_tensors(seeds).map(changed).get_single_element()
    assert data.shape == images.shape
    assert tf.reduce_min(data) >= -1e-5
    assert tf.reduce_max(data) <= 1 + 1e-5
    np.testing.assert_allclose(data, changed(seeds), atol=1e-5)
    assert not np.allclose(data, changed(seeds_of(epoch=2)))
    if name not in ("mixup", "cutmix"):  # those look at other images
        alone = augment(images[2:3], [name], seeds[2:3], fill)[0]
        np.testing.assert_allclose(alone[0], data[2], atol=1e-5)


def test_draws_of_one_change_leave_those_before_it_as_they_are():
    images, seeds = pictures(), seeds_of()
    both, _ = augment(images, ["flip", {"name": "cutout", "fraction": 0.3}], seeds, FILL)
    (flipped, _) = augment(images, ["flip"], seeds, FILL)
    same = tf.reduce_all((both == flipped) | (both == FILL), axis=[1, 2, 3])
    assert same.shape == [5]
    assert tf.reduce_any(both == flipped)


@pytest.mark.parametrize("changes", [[], ["flip"], ["flip_vertical", "shift", "flip"], ["color", "mixup"]])
def test_bytes_are_changed_as_floats_are(changes):
    pixels = tf.cast(255.0 * pictures(), tf.uint8)
    of_bytes, of_floats = (
        augment(images, changes, seeds_of(), FILL)[0]
        for images in (pixels, tf.cast(pixels, tf.float32) / 255.0)
    )
    assert of_bytes.dtype == tf.float32
    np.testing.assert_array_equal(of_bytes, of_floats)


@pytest.mark.parametrize("changes", [["flip", "crop", "erase"], ["shift", "cutmix"]])
def test_large_images_are_changed_as_small_ones_are(changes, monkeypatch):
    images = pictures()
    expected, shares = augment(images, changes, seeds_of(), FILL)
    monkeypatch.setattr(augmentation, "LARGE", 1)
    found, found_shares = augment(images, changes, seeds_of(), FILL)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if shares is not None:
        np.testing.assert_array_equal(found_shares.mixture_fractions, shares.mixture_fractions)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("changes", [[], ["flip"], ["shift", "mixup"]], ids=str)
def test_what_does_not_move_with_the_pixels_stays(changes, large, monkeypatch):
    if large:
        monkeypatch.setattr(augmentation, "LARGE", 1)
    features = {"image": pictures(), "other": tf.range(5)}
    changed = augmentation.augment(features, options_of.parse(changes), seeds_of(), FILL)
    mixture = set(augmentation.Mixture._fields) if "mixup" in changes else set()
    assert set(changed) == {*features, *mixture}
    np.testing.assert_array_equal(changed["other"], features["other"])


def test_no_change_leaves_the_images():
    images = pictures()
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
        augment(pictures(), [change], seeds_of(), FILL)


def test_flips_mirror_half_of_the_images():
    images = pictures(2)
    draws = tf.constant([[0.4], [0.6]])
    (turned, same) = image_changes.flip(images, draws, options_of.Flip(), FILL)
    np.testing.assert_array_equal(turned, images[0, :, ::-1])
    np.testing.assert_array_equal(same, images[1])
    (turned, same) = image_changes.flip_vertical(images, draws, options_of.FlipVertical(), FILL)
    np.testing.assert_array_equal(turned, images[0, ::-1])
    np.testing.assert_array_equal(same, images[1])


def test_a_shift_moves_the_mean_color_in():
    images = pictures(height=8, width=16)
    options = options_of.Shift(fraction=0.25)  # 2 rows, 4 columns
    moved = image_changes.shift(images, constant(0.99, 0.0), options, FILL)
    np.testing.assert_array_equal(moved[:, 2:, :-4], images[:, :-2, 4:])
    assert tf.reduce_all(moved[:, :2] == FILL)
    assert tf.reduce_all(moved[:, :, -4:] == FILL)
    still = image_changes.shift(images, constant(0.5, 0.5), options, FILL)
    np.testing.assert_array_equal(still, images)


def test_a_crop_of_everything_is_the_image_and_one_of_a_quarter_is_its_corner():
    images = pictures(height=9, width=9)
    whole = image_changes.crop(images, constant(1.0, 0.5, 0.3, 0.7), options_of.Crop(), FILL)
    np.testing.assert_allclose(whole, images, atol=1e-5)
    corner = image_changes.crop(images, constant(0.0, 0.5, 0.0, 0.0), options_of.Crop(area=0.25), FILL)
    np.testing.assert_allclose(corner[:, ::2, ::2], images[:, :5, :5], atol=1e-5)


def test_color_changes_by_the_middle_draw_are_none_and_others_keep_what_they_should():
    images = 0.25 + 0.5 * pictures()
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
    images = pictures(height=12, width=16)
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


@needs_addons
def test_warps_by_the_middle_draw_are_none():
    images = pictures()
    for name, warp in (
        ("Rotate", "rotate"),
        ("Shear", "shear"),
        ("Translate", "translate"),
        ("Elastic", "elastic"),
    ):
        draws = constant(*[0.5] * 32)
        same = getattr(image_warps, warp)(images, draws, getattr(options_of, name)(), FILL)
        np.testing.assert_allclose(same, images, atol=1e-5, err_msg=name)


@needs_addons
def test_warps_move_what_they_say():
    images = pictures(height=11, width=11)
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


@needs_addons
@pytest.mark.parametrize(
    "changes",
    [["rotate", "shear"], ["shear", "translate", "cutout"], ["translate", "rotate", "elastic", "mixup"]],
    ids=str,
)
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_warps_one_after_another_are_the_same_in_a_graph_as_outside(changes, large, monkeypatch):
    images, seeds = pictures(), seeds_of()
    expected, _ = augment(images, changes, seeds, FILL)
    if large:
        monkeypatch.setattr(augmentation, "LARGE", 1)
    batches = tf.data.Dataset.from_tensor_slices((images, seeds)).batch(5)
    changed = batches.map(lambda images, seeds: augment(images, changes, seeds, FILL)[0])
    assert changed.element_spec.shape.as_list() == [None, 11, 13, 3]
    np.testing.assert_allclose(changed.get_single_element(), expected, atol=1e-5)


@needs_addons
def test_equalized_levels_are_spread():
    dark = 0.2 * pictures(height=32, width=32)
    spread = image_warps.equalized(dark)
    assert tf.reduce_min(spread) < 0.05
    assert tf.reduce_max(spread) > 0.95


@needs_addons
@pytest.mark.parametrize("index", range(14))
def test_each_change_of_rand_augment_keeps_the_range_and_none_is_another(index):
    images = pictures(1, 16, 16)
    results = [
        rand_augment._one(images, tf.constant((number + 0.5) / 14), tf.constant(0.4), FILL)
        for number in (index, (index + 1) % 14)
    ]
    assert tf.reduce_min(results[0]) >= -1e-5
    assert tf.reduce_max(results[0]) <= 1 + 1e-5
    assert not np.allclose(*results)
    assert np.allclose(results[0], images) == (index == 0)


def test_posterized_images_have_few_levels():
    images = pictures()
    assert len(np.unique(rand_augment.posterize(images, tf.constant(4.0)))) <= 16
    np.testing.assert_allclose(rand_augment.posterize(images, tf.constant(8.0)), images, atol=1 / 500)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_mixture_is_made_of_the_image_and_its_partner_in_the_share_of_the_labels(name):
    count = 64
    values = np.arange(count, dtype=np.float32) / count
    images = tf.broadcast_to(values[:, None, None, None], [count, 16, 16, 1])
    mixed, mixture = augment(images, [{"name": name, "alpha": 1.0}], seeds_of(count), FILL[:1])
    own, other = values, values[mixture.mixture_partners.numpy()]
    assert not np.any(own == other)
    shares = mixture.mixture_fractions.numpy()
    np.testing.assert_allclose(
        tf.reduce_mean(mixed, axis=[1, 2, 3]), shares * own + (1 - shares) * other, atol=1e-5
    )
    assert 0.3 < shares.mean() < (0.7 if name == "mixup" else 0.85)
    assert shares.std() > 0.15
    if name == "cutmix":
        assert all(len(np.unique(image)) <= 2 for image in mixed.numpy())


def test_of_two_mixtures_each_image_has_one():
    count = 64
    images = pictures(count, 8, 8, 1)
    mixed, mixture = augment(images, ["mixup", "cutmix"], seeds_of(count), FILL[:1])
    partners = tf.gather(images, mixture.mixture_partners)
    pasted = tf.reduce_all((mixed == images) | (mixed == partners), axis=[1, 2, 3]).numpy()
    assert 16 < pasted.sum() < 56  # shares of exactly 0 or 1 look pasted too


def test_shares_of_mixup_follow_the_beta_distribution():
    count = 4096
    seeds = seeds_of(count)
    _, mixture = augment(tf.zeros([count, 1, 1, 1]), [{"name": "mixup", "alpha": 0.4}], seeds, FILL[:1])
    shares = mixture.mixture_fractions.numpy()
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(0.25 / (2 * 0.4 + 1), rel=0.06)  # of Beta(0.4, 0.4)
    assert math.isfinite(shares.sum())


def test_every_kind_has_a_change():
    kinds = {type(one) for one in options_of.parse([*PLAIN, *BY_ADDONS])}
    assert kinds == {*augmentation.CHANGES, *augmentation.MIXTURES}
