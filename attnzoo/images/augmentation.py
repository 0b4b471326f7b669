"""Random changes of training images: a pure function of (seed, epoch, example), for a batch at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.config.augmentation import BOXES
from attnzoo.config.base import Section
from attnzoo.images import box_changes, image_changes, image_filters, image_warps
from attnzoo.images.image_changes import choose, rectangle, to_bytes, to_float
from attnzoo.images.mosaic import DRAWS as MOSAIC_DRAWS
from attnzoo.images.mosaic import mosaic
from attnzoo.images.rand_augment import DRAWS, rand_augment

IMAGE = "image"
"""The feature whose pixels are changed."""


CHANGES: dict[type[Section], tuple[int, Callable[..., tf.Tensor]]] = {
    options_of.Flip: (1, image_changes.flip),
    options_of.FlipVertical: (1, image_changes.flip_vertical),
    options_of.Shift: (2, image_changes.shift),
    options_of.Crop: (4, image_changes.crop),
    options_of.Color: (4, image_changes.color),
    options_of.Cutout: (2, image_changes.cutout),
    options_of.Erase: (5, image_changes.erase),
    options_of.Rotate: (1, image_warps.rotate),
    options_of.Shear: (2, image_warps.shear),
    options_of.Translate: (2, image_warps.translate),
    options_of.Zoom: (1, image_warps.zoom),
    options_of.Perspective: (2 * image_warps.CORNERS, image_warps.perspective),
    options_of.Elastic: (2 * image_warps.KNOTS**2, image_warps.elastic),
    options_of.Equalize: (1, image_filters.equalize),
    options_of.GaussianBlur: (2, image_filters.gaussian_blur),
    options_of.MedianBlur: (1, image_filters.median_blur),
    options_of.RandAugment: (DRAWS, rand_augment),
}
"""Options -> draws of the change (`erase`: without its noise; `rand_augment`: of one step), and how pixels
change. Boxes move by `box_changes.TRANSFORMS`."""

OF_BYTES = (options_of.Flip, options_of.FlipVertical)
"""Changes that take <uint8> as well: a quarter of the memory traffic."""
MIN_LARGE = 2**15
"""Pixel values from which on images are changed one by one."""
MIXTURES = (options_of.MixUp, options_of.CutMix)
MIXTURE_DRAWS = 4
QUANTILES = 1025
"""Points at which the inverse distribution of fractions is known."""


class Mixture(NamedTuple):
    """How labels of a batch are mixed.

    Attributes:
        mixture_partners: <int32>[batch], the row of the batch that each image is mixed with.
        mixture_fractions: <float32>[batch], how much of each image, and of its label, is its own, 0 to 1.
    """

    mixture_partners: tf.Tensor
    mixture_fractions: tf.Tensor


def seeds(seed: int, epoch: int | tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Returns <int32>[batch, 2], the seeds of the examples `indices` <int32>[batch] in an epoch."""
    return tf.stack([tf.fill(tf.shape(indices), epoch + seed * 1_000_003), indices], axis=1)


def augment(
    features: Mapping[str, tf.Tensor],
    changes: Sequence[options_of.ImageChange],
    seeds: tf.Tensor,
    fill: tf.Tensor,
    fraction_done: tf.Tensor | float = 0.0,
) -> dict[str, tf.Tensor]:
    """Changes images at random, each by its own seed: the same seed gives the same change.

    Args:
        features: `image`, <uint8>, or <float32> in 0..1, [batch, height, width, channels], of which all but
            the batch is known; `boxes` <float32>[batch, slots, 6] if there are any, see `box_changes`, which
            move with the pixels; others stay as they are.
        changes: their options, applied in this order, as `config.augmentation.parse` returns them; mixtures
            come last. Of several mixtures one is drawn for each image.
        seeds: <int32>[batch, 2].
        fill: <float32>[channels], the color of what moves in.
        fraction_done: <float32>[], fraction of training that precedes the batch, 0 to 1; mosaics end before
            training does.

    Returns:
        The features, `image` of the same type, rounded to whole levels if that is <uint8>; `boxes` with more
        slots if images are joined; with a mixture also the fields of `Mixture`.

    Raises:
        UserError: `median_blur` without TensorFlow Addons.
        ValueError: a change cannot move boxes.
    """
    images = features[IMAGE]
    dtype = images.dtype
    if not changes:
        return dict(features)
    _require_support(features, changes)
    mixtures = [one for one in changes if isinstance(one, MIXTURES)]
    steps = [one for one in changes if not isinstance(one, MIXTURES)]
    counts = [_draws(one, images) for one in steps] + [MIXTURE_DRAWS] * bool(mixtures)
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([sum(counts)], seed), seeds, fn_output_signature=tf.float32
    )
    parts = tf.split(tf.ensure_shape(draws, [None, sum(counts)]), counts, axis=1)
    # Of every pixel, as TensorFlow is slow to broadcast over an axis of one or three elements.
    fill = tf.broadcast_to(fill, images.shape[1:])
    changed = dict(features)
    pairs = zip(steps, parts, strict=False)
    for is_mosaic, group in itertools.groupby(pairs, key=lambda pair: isinstance(pair[0], options_of.Mosaic)):
        members = list(group)
        if not is_mosaic:
            changed = _change_each(changed, members, fill)
            continue
        for one, part in members:
            assert isinstance(one, options_of.Mosaic)
            images, boxes = to_float(changed[IMAGE]), changed.get(BOXES)
            images, boxes = mosaic(images, boxes, part, one, fill, fraction_done)
            changed |= {IMAGE: images} if boxes is None else {IMAGE: images, BOXES: boxes}
    if mixtures:
        changed = _mix_features({**changed, IMAGE: to_float(changed[IMAGE])}, parts[-1], mixtures)
    if changed[IMAGE].dtype != dtype:
        changed[IMAGE] = to_bytes(changed[IMAGE])
    return changed


def _require_support(features: Mapping[str, tf.Tensor], changes: Sequence[options_of.ImageChange]) -> None:
    unsupported = [type(one).__name__ for one in changes if not one.supports_boxes]
    if BOXES in features and unsupported:
        raise ValueError(f"Some changes cannot move boxes: {', '.join(unsupported)}; remove them.")


def _change_each(
    features: dict[str, tf.Tensor], steps: list[tuple[options_of.ImageChange, tf.Tensor]], fill: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Applies changes that look at one image alone, (options, draws <float32>[batch, n]) each."""
    images = features[IMAGE]
    height, width = images.shape[1:3]
    only_bytes = all(isinstance(one, OF_BYTES) for one, _ in steps)
    dtype = images.dtype if only_bytes else tf.float32

    def change(features: dict[str, tf.Tensor], draws: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        for (one, _), part in zip(steps, draws, strict=True):
            pixels = features[IMAGE] if isinstance(one, OF_BYTES) else to_float(features[IMAGE])
            _, function = CHANGES[type(one)]
            features = {**features, IMAGE: function(pixels, part, one, fill)}
            if BOXES in features and type(one) in box_changes.TRANSFORMS:
                transforms = box_changes.TRANSFORMS[type(one)](images, part, one)
                min_visible = one.min_visible if isinstance(one, options_of.LosingChange) else 0.0
                features[BOXES] = box_changes.move_boxes(
                    features[BOXES], transforms, height, width, min_visible
                )
        return features

    def change_one(item: tuple[dict[str, tf.Tensor], tuple[tf.Tensor, ...]]) -> dict[str, tf.Tensor]:
        features, draws = tf.nest.map_structure(lambda tensor: tensor[None], item)
        return {name: tensor[0] for name, tensor in change(features, draws).items()}

    draws = tuple(part for _, part in steps)
    if math.prod(images.shape[1:]) < MIN_LARGE:
        return change(features, draws)
    # One after another, as a batch of them would not stay in the cache of a CPU.
    specs = {name: tf.TensorSpec(tensor.shape[1:], tensor.dtype) for name, tensor in features.items()}
    specs[IMAGE] = tf.TensorSpec(images.shape[1:], dtype)
    return tf.map_fn(change_one, (features, draws), fn_output_signature=specs)


def _mix_features(
    features: dict[str, tf.Tensor], draws: tf.Tensor, mixtures: Sequence[options_of.MixUp | options_of.CutMix]
) -> dict[str, tf.Tensor]:
    """Mixes images; an image keeps its boxes, and gets those of its partner, where enough of it is seen."""
    mixed, mixture = mix(features[IMAGE], draws, mixtures)
    features = {**features, IMAGE: mixed, **mixture._asdict()}
    if BOXES in features:
        partners, own = mixture
        limit = max(one.min_visible for one in mixtures if isinstance(one, options_of.MixUp))
        others = tf.gather(features[BOXES], partners)
        features[BOXES] = box_changes.unite_boxes(
            [
                box_changes.keep_where(own >= limit, features[BOXES]),
                box_changes.keep_where(1.0 - own >= limit, others),
            ]
        )
    return features


def _draws(options: Section, images: tf.Tensor) -> int:
    if isinstance(options, options_of.Mosaic):
        return MOSAIC_DRAWS
    count, _ = CHANGES[type(options)]
    if isinstance(options, options_of.Erase):
        return count + math.prod(images.shape[1:])
    return count * options.count if isinstance(options, options_of.RandAugment) else count


def mix(
    images: tf.Tensor, draws: tf.Tensor, mixtures: Sequence[options_of.MixUp | options_of.CutMix]
) -> tuple[tf.Tensor, Mixture]:
    """Mixes each image with the one before it in the batch: which mixture, fraction and place are drawn.

    Args:
        images: <float32>[batch, height, width, channels].
        draws: <float32>[batch, 4].
        mixtures: one or more.

    References: Zhang et al. 2018, https://arxiv.org/abs/1710.09412 (MixUp); Yun et al. 2019,
        https://arxiv.org/abs/1905.04899 (CutMix).
    """
    rows = tf.range(tf.shape(images)[0])
    partners = tf.roll(rows, 1, axis=0)
    others = tf.gather(images, partners)
    chosen = tf.cast(draws[:, 0] * len(mixtures), tf.int32)  # [batch]
    mixed, fractions = images, tf.ones_like(draws[:, 0])
    for number, one in enumerate(mixtures):
        levels = np.linspace(0.0, 1.0, QUANTILES)
        quantiles = tf.constant(scipy.stats.beta.ppf(levels, one.alpha, one.alpha), tf.float32)
        own = tf.gather(quantiles, tf.cast(tf.round(draws[:, 1] * (QUANTILES - 1)), tf.int32))  # [batch]
        if isinstance(one, options_of.CutMix):
            side = tf.sqrt(1.0 - own)
            other = rectangle(images, draws[:, 2], draws[:, 3], side, side)
            own = 1.0 - tf.reduce_mean(tf.cast(other, tf.float32), axis=[1, 2, 3])
            result = tf.where(other, others, images)
        else:
            # Two axes, as TensorFlow is slow to broadcast over more.
            flat, other_flat = (
                tf.reshape(tensor, [-1, math.prod(images.shape[1:])]) for tensor in (images, others)
            )
            blended = own[:, None] * flat + (1.0 - own[:, None]) * other_flat
            result = tf.reshape(blended, tf.shape(images))
        mixed = result if len(mixtures) == 1 else choose(chosen == number, result, mixed)
        fractions = tf.where(chosen == number, own, fractions)
    return mixed, Mixture(partners, fractions)
