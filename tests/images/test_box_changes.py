"""Boxes of objects move with the pixels of their images."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.images import augmentation, box_changes, image_changes, image_warps, mosaic

HEIGHT, WIDTH, COUNT = 61, 83, 19
BLACK = tf.zeros([3])
MOVING = sorted(options.model_fields["name"].default for options in box_changes.TRANSFORMS)
STRONG = {
    "shift": {"fraction": 0.3},
    "crop": {"area": 0.3},
    "rotate": {"degrees": 40.0},
    "zoom": {"factor": 1.7},
}
"""Options under which some objects leave the image."""
SLANTING = ("rotate", "shear", "perspective")


def random_boxes(count=COUNT, slots=3, seed=3):
    """Boxes of at least 8 pixels a side, of class 2; the last slot is empty."""
    generator = np.random.default_rng(seed)
    sides = np.array([WIDTH, HEIGHT])
    size = generator.integers(8, 23, (count, slots, 2))
    corner = generator.integers(0, sides - size)
    edges = np.concatenate([corner / sides, (corner + size) / sides], axis=-1)
    boxes = np.concatenate([edges, np.full((count, slots, 1), 2.0), np.ones((count, slots, 1))], axis=-1)
    boxes[:, -1] = 0.0
    return tf.constant(boxes, tf.float32)


def rendered(boxes):
    """White rectangles on black: one object an image, <float32>[batch, height, width, 3]."""
    images = np.zeros([len(boxes), HEIGHT, WIDTH, 3], np.float32)
    edges = np.rint(boxes[..., :4] * np.array([WIDTH, HEIGHT] * 2)).astype(int)
    for image, row in zip(images, edges, strict=True):
        for left, top, right, bottom in row:
            image[top:bottom, left:right] = 1.0
    return tf.constant(images)


def extent(image):
    """Left, top, right and bottom in pixels of what is bright, or None."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0] > 0.5)
    return (
        None if rows.size == 0 else np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    )


def augment(images, boxes, changes, epoch=1, indices=None, fraction_done=0.0):
    features = {"image": images, "boxes": boxes}
    indices = tf.range(tf.shape(images)[0]) if indices is None else indices
    seeds = augmentation.seeds(1, epoch, indices)
    changed = augmentation.augment(features, options_of.parse(changes), seeds, BLACK, fraction_done)
    return changed["image"], changed["boxes"]


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", MOVING)
def test_a_box_is_where_the_pixels_of_its_object_are(name, large, monkeypatch):
    if large:
        monkeypatch.setattr(augmentation, "MIN_LARGE", 1)
    boxes = random_boxes(slots=2)
    changes = [{"name": name, **STRONG.get(name, {})}]
    if "min_visible" in type(options_of.parse([name])[0]).model_fields:
        changes[0]["min_visible"] = 0.0
    images, moved = augment(rendered(boxes), boxes, changes)
    compared = 0
    for image, (box, empty) in zip(images, moved.numpy(), strict=True):
        seen = extent(image)
        assert not np.any(empty)
        if box[5] == 0.0:
            assert seen is None or np.min(seen[2:] - seen[:2]) <= box_changes.MIN_SIDE + 1
            continue
        assert box[4] == 2.0
        edges = box[:4] * [WIDTH, HEIGHT, WIDTH, HEIGHT]
        if name in SLANTING and np.any((box[:4] < 1e-6) | (box[:4] > 1 - 1e-6)):
            # The corner of a slanted object may be outside, and the box around its corners larger then.
            assert np.all((edges[:2] < seen[:2] + 1.0) & (edges[2:] > seen[2:] - 1.0))
            continue
        compared += 1
        np.testing.assert_allclose(edges, seen, atol=1.0)
    assert compared >= 8
    assert not np.allclose(moved, boxes, atol=0.01)


def test_two_flips_are_none():
    boxes = random_boxes()
    draws = tf.zeros([COUNT, 1])
    image = tf.zeros([COUNT, HEIGHT, WIDTH, 3])
    for options in (options_of.Flip(), options_of.FlipVertical()):
        transforms = box_changes.TRANSFORMS[type(options)](image, draws, options)
        once = box_changes.move_boxes(boxes, transforms, HEIGHT, WIDTH)
        twice = box_changes.move_boxes(once, transforms, HEIGHT, WIDTH)
        assert not np.allclose(once, boxes, atol=0.01)
        np.testing.assert_allclose(twice, boxes, atol=1e-6)


def identity(count=1):
    return tf.repeat(tf.constant([[1.0, 0, 0, 0, 1, 0, 0, 0]]), count, axis=0)


def one_box(left, top, right, bottom, kind=1.0):
    edges = [left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT]
    return tf.constant([[[*edges, 2.0, kind]]], tf.float32)


@pytest.mark.parametrize(("limit", "kept"), [(0.2, True), (0.24, True), (0.26, False), (1.0, False)])
def test_a_box_of_which_too_little_is_visible_is_dropped(limit, kept):
    # A quarter of its 20 columns stays.
    to_the_left = image_warps.translations(tf.constant([-15.0]), tf.constant([0.0]))
    moved = box_changes.move_boxes(one_box(0, 10, 20, 30), to_the_left, HEIGHT, WIDTH, limit)
    expected = one_box(0, 10, 5, 30) if kept else tf.zeros([1, 1, 6])
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_any_visible_part_of_a_crowd_stays():
    to_the_left = image_warps.translations(tf.constant([-15.0]), tf.constant([0.0]))
    moved = box_changes.move_boxes(one_box(0, 10, 20, 30, -1.0), to_the_left, HEIGHT, WIDTH, 0.9)
    np.testing.assert_allclose(moved, one_box(0, 10, 5, 30, -1.0), atol=1e-6)
    away = image_warps.translations(tf.constant([-21.0]), tf.constant([0.0]))
    assert not np.any(box_changes.move_boxes(one_box(0, 10, 20, 30, -1.0), away, HEIGHT, WIDTH))


def test_slivers_are_dropped_but_small_objects_stay():
    tiny = one_box(5, 5, 6, 6)
    np.testing.assert_allclose(box_changes.move_boxes(tiny, identity(), HEIGHT, WIDTH, 1.0), tiny, atol=1e-6)
    for steps, kept in ((18.0, True), (18.5, False)):
        to_the_left = image_warps.translations(tf.constant([-steps]), tf.constant([0.0]))
        moved = box_changes.move_boxes(one_box(0, 10, 20, 30), to_the_left, HEIGHT, WIDTH)
        assert (moved.numpy()[0, 0, 5] == 1.0) == kept


@pytest.mark.parametrize("name", [*MOVING, "mosaic", "mixup"])
def test_boxes_that_are_none_and_images_without_any_stay_so(name):
    boxes = np.array(random_boxes())
    boxes[0] = 0.0
    boxes[1, 0, :4] = 0.5
    if name == "mixup":  # which moves none
        boxes[1, 0] = 0.0
    boxes[1, 1, :4] = [0.0, 0.0, 1.0, 1.0]
    boxes[2, 0, 5] = -1.0
    changes = [
        {"name": name, **STRONG.get(name, {}), **({"fraction": 0.49} if name == "perspective" else {})}
    ]
    for epoch in range(3):
        _, moved = augment(tf.zeros([COUNT, HEIGHT, WIDTH, 3]), tf.constant(boxes), changes, epoch)
        moved = moved.numpy()
        assert np.all(np.isfinite(moved))
        assert np.all((moved[..., :4] >= 0.0) & (moved[..., :4] <= 1.0))
        valid = moved[..., 5] != 0.0
        assert np.all(moved[valid][:, 2:4] > moved[valid][:, :2])
        assert not np.any(moved[~valid])
        if name in MOVING:
            assert np.all(np.isin(moved[..., 5], [0.0, 1.0, -1.0]))
            assert np.all((moved[..., 5] == boxes[..., 5]) | (moved[..., 5] == 0.0))
            assert not np.any(moved[0])


@pytest.mark.parametrize("name", MOVING)
def test_boxes_move_alike_alone_and_in_another_batch(name):
    boxes, changes = random_boxes(), [name]
    images, indices = rendered(boxes), 5 * tf.range(COUNT) % COUNT
    _, moved = augment(images, boxes, changes, indices=indices)
    _, backwards = augment(images[::-1], boxes[::-1], changes, indices=indices[::-1])
    np.testing.assert_array_equal(backwards[::-1], moved)
    _, alone = augment(images[7:8], boxes[7:8], changes, indices=indices[7:8])
    np.testing.assert_array_equal(alone[0], moved[7])


def test_changes_that_move_no_pixel_leave_boxes_alone():
    boxes = random_boxes()
    for name in ("color", "cutout", "erase", "equalize", "gaussian_blur"):
        _, moved = augment(rendered(boxes), boxes, [name])
        np.testing.assert_array_equal(moved, boxes)


def test_every_change_moves_boxes_or_leaves_pixels_or_is_refused():
    still = {"color", "cutout", "erase", "equalize", "gaussian_blur", "median_blur"}
    for options in augmentation.CHANGES:
        name = options.model_fields["name"].default
        assert (options in box_changes.TRANSFORMS) + (name in still) + (not options.supports_boxes) == 1
    boxes = random_boxes(2)
    with pytest.raises(ValueError, match=r"cannot move boxes: Elastic, CutMix"):
        augment(rendered(boxes), boxes, ["flip", "elastic", "cutmix"])


def test_objects_beyond_the_largest_number_of_slots_are_the_smallest(monkeypatch):
    monkeypatch.setattr(box_changes, "MAX_SLOTS", 3)
    first = tf.concat([one_box(0, 0, 9, 9), one_box(0, 0, 20, 20)], axis=1)
    second = tf.concat([one_box(0, 0, 5, 5), one_box(9, 9, 40, 40)], axis=1)
    united = box_changes.unite_boxes([first, second])
    np.testing.assert_array_equal(united, tf.concat([first, second[:, 1:]], axis=1))
    assert box_changes.unite_boxes([first, tf.zeros([1, 1, 6])]).shape == [1, 3, 6]


# Mosaics and mixtures


def make_mosaics(boxes, images, fraction_done=0.0, **options):
    return augment(images, boxes, [{"name": "mosaic", **options}], fraction_done=fraction_done)


@pytest.mark.parametrize("factor", [1.0, 1.8])
def test_objects_of_a_mosaic_are_where_their_pixels_are(factor):
    boxes = random_boxes(slots=2)
    images = rendered(boxes)
    compared = 0

    @tf.function
    def make(images):
        return make_mosaics(boxes, images, factor=factor, min_visible=0.0)

    for number in range(5):
        only = tf.one_hot(number, COUNT)[:, None, None, None] * images
        joined, moved = make(only)
        assert moved.shape == [COUNT, mosaic.IMAGES * 2, 6]
        for partner in range(mosaic.IMAGES):
            row = (number + partner) % COUNT
            box, seen = moved[row, 2 * partner].numpy(), extent(joined[row])
            if box[5] == 0.0:
                assert seen is None or np.min(seen[2:] - seen[:2]) <= box_changes.MIN_SIDE + 1
                continue
            compared += 1
            np.testing.assert_allclose(box[:4] * [WIDTH, HEIGHT, WIDTH, HEIGHT], seen, atol=1.0)
    assert compared >= 7


def test_a_mosaic_without_scaling_is_made_of_the_corners_of_four_images():
    images = tf.random.stateless_uniform([COUNT, HEIGHT, WIDTH, 3], [1, 2])
    draws = tf.fill([COUNT, mosaic.DRAWS], 0.5)
    joined, boxes = mosaic.mosaic(images, None, draws, options_of.Mosaic(), BLACK, 0.0)
    assert boxes is None
    row, column = int(tf.round(HEIGHT / 2)), int(tf.round(WIDTH / 2))
    above, below, left, right = (slice(row), slice(row, None), slice(column), slice(column, None))
    last_rows, first_rows = slice(HEIGHT - row, None), slice(HEIGHT - row)
    last_columns, first_columns = slice(WIDTH - column, None), slice(WIDTH - column)
    parts = [
        (above, left, last_rows, last_columns),
        (above, right, last_rows, first_columns),
        (below, left, first_rows, last_columns),
        (below, right, first_rows, first_columns),
    ]
    for number, (rows, columns, other_rows, other_columns) in enumerate(parts):
        other = tf.roll(images, number, axis=0)
        np.testing.assert_allclose(joined[:, rows, columns], other[:, other_rows, other_columns], atol=1e-3)


def test_mosaics_end_before_training_does_and_are_made_of_a_fraction_of_the_images():
    boxes = random_boxes(slots=2)
    images = rendered(boxes)

    def is_changed(**options):
        return np.any(make_mosaics(boxes, images, **options)[0] != images, axis=(1, 2, 3))

    joined, moved = make_mosaics(boxes, images, fraction_done=0.9)
    np.testing.assert_array_equal(joined, images)
    assert moved.shape == [COUNT, mosaic.IMAGES * 2, 6]
    np.testing.assert_array_equal(moved[:, :2], boxes)
    assert not np.any(moved[:, 2:])
    assert np.all(is_changed(fraction_done=0.89))
    assert 4 <= np.sum(is_changed(probability=0.5)) <= 15


def test_a_mosaic_is_a_function_of_seeds_and_images_in_a_graph_as_outside():
    boxes = random_boxes()
    images = rendered(boxes)
    changes = ["flip", "mosaic", "rotate", {"name": "mixup", "alpha": 8.0}]
    expected = augment(images, boxes, changes)
    data = tf.data.Dataset.from_tensor_slices((images, boxes)).batch(COUNT).repeat(2)
    changed, again = data.map(lambda images, boxes: augment(images, boxes, changes))
    assert changed[1].shape == [COUNT, 2 * mosaic.IMAGES * 3, 6]
    for one, other in zip(changed, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(changed, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_mixed_image_has_the_objects_of_those_that_can_be_seen_in_it():
    boxes = random_boxes()
    features = {"image": rendered(boxes), "boxes": boxes}
    changes = options_of.parse([{"name": "mixup", "alpha": 0.4, "min_visible": 0.3}])
    mixed = augmentation.augment(features, changes, augmentation.seeds(1, 1, tf.range(COUNT)), BLACK)
    own, partners = mixed["mixture_fractions"].numpy(), mixed["mixture_partners"].numpy()
    found = mixed["boxes"].numpy()
    assert found.shape == (COUNT, 6, 6)
    for fraction, partner, row, before in zip(own, partners, found, boxes.numpy(), strict=True):
        np.testing.assert_array_equal(row[:3], before if fraction >= 0.3 else 0.0)
        np.testing.assert_array_equal(row[3:], boxes[partner] if fraction <= 0.7 else tf.zeros([3, 6]))
    assert np.any(own < 0.3)
    assert np.any((own > 0.3) & (own < 0.7))


def test_crops_take_the_part_that_boxes_are_moved_by():
    images = rendered(random_boxes())
    draws = tf.random.stateless_uniform([COUNT, 4], [5, 6])
    transforms = box_changes.TRANSFORMS[options_of.Crop](images, draws, options_of.Crop())
    cropped = image_changes.crop(images, draws, options_of.Crop(), BLACK)
    np.testing.assert_allclose(image_warps.project(images, transforms, BLACK), cropped, atol=1e-3)
