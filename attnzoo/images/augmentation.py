"""Random changes of training images: a pure function of (seed, epoch, example), for a batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

from attnzoo.config import augmentation as options_of
from attnzoo.config.base import Section
from attnzoo.images import image_changes, image_filters, image_warps
from attnzoo.images.image_changes import choose, rectangle, to_float
from attnzoo.images.rand_augment import DRAWS, rand_augment

IMAGE = "image"
"""The feature whose pixels are changed."""


def _of_pixels(change: Callable[..., tf.Tensor]) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns a change of features that changes the pixels and leaves the other features as they are."""

    def changed(features: dict[str, tf.Tensor], *arguments) -> dict[str, tf.Tensor]:
        return {**features, IMAGE: change(features[IMAGE], *arguments)}

    return changed


CHANGES: dict[type[Section], tuple[int, Callable[..., dict[str, tf.Tensor]]]] = {
    options_of.Flip: (1, _of_pixels(image_changes.flip)),
    options_of.FlipVertical: (1, _of_pixels(image_changes.flip_vertical)),
    options_of.Shift: (2, _of_pixels(image_changes.shift)),
    options_of.Crop: (4, _of_pixels(image_changes.crop)),
    options_of.Color: (4, _of_pixels(image_changes.color)),
    options_of.Cutout: (2, _of_pixels(image_changes.cutout)),
    options_of.Erase: (5, _of_pixels(image_changes.erase)),
    options_of.Rotate: (1, _of_pixels(image_warps.rotate)),
    options_of.Shear: (2, _of_pixels(image_warps.shear)),
    options_of.Translate: (2, _of_pixels(image_warps.translate)),
    options_of.Zoom: (1, _of_pixels(image_warps.zoom)),
    options_of.Perspective: (2 * image_warps.CORNERS, _of_pixels(image_warps.perspective)),
    options_of.Elastic: (2 * image_warps.KNOTS**2, _of_pixels(image_warps.elastic)),
    options_of.Equalize: (1, _of_pixels(image_filters.equalize)),
    options_of.GaussianBlur: (2, _of_pixels(image_filters.gaussian_blur)),
    options_of.MedianBlur: (1, _of_pixels(image_filters.median_blur)),
    options_of.RandAugment: (DRAWS, _of_pixels(rand_augment)),
}
"""Options -> draws of the change (`erase`: without its noise; `rand_augment`: of one step), and how."""

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
    changes: Sequence[Section],
    seeds: tf.Tensor,
    fill: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Changes images at random, each by its own seed: the same seed gives the same change.

    Args:
        features: `image`, <uint8>, or <float32> in 0..1, [batch, height, width, channels], of which all but
            the batch is known, and what moves with the pixels.
        changes: their options, applied in this order, as `config.augmentation.parse` returns them; mixtures
            come last. Of several mixtures one is drawn for each image.
        seeds: <int32>[batch, 2].
        fill: <float32>[channels], the color of what moves in.

    Returns:
        The features, `image` <float32> in 0..1; with a mixture also the fields of `Mixture`.

    Raises:
        UserError: `median_blur` without TensorFlow Addons.
    """
    images = features[IMAGE]
    if not changes:
        return {**features, IMAGE: to_float(images)}
    mixtures = [one for one in changes if isinstance(one, MIXTURES)]
    steps = [one for one in changes if not isinstance(one, MIXTURES)]
    counts = [_draws(one, images) for one in steps] + [MIXTURE_DRAWS] * bool(mixtures)
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([sum(counts)], seed), seeds, fn_output_signature=tf.float32
    )
    draws = tf.ensure_shape(draws, [None, sum(counts)])
    # Of every pixel, as TensorFlow is slow to broadcast over an axis of one or three elements.
    fill = tf.broadcast_to(fill, images.shape[1:])

    def change(features: dict[str, tf.Tensor], draws: tf.Tensor) -> dict[str, tf.Tensor]:
        for one, part in zip(steps, tf.split(draws, counts, axis=1), strict=False):
            if not isinstance(one, OF_BYTES):
                features = {**features, IMAGE: to_float(features[IMAGE])}
            _, function = CHANGES[type(one)]
            features = function(features, part, one, fill)
        return {**features, IMAGE: to_float(features[IMAGE])}

    def change_one(item: tuple[dict[str, tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        changed = change({name: tensor[None] for name, tensor in item[0].items()}, item[1][None])
        return {name: tensor[0] for name, tensor in changed.items()}

    if math.prod(images.shape[1:]) < MIN_LARGE:
        changed = change(dict(features), draws)
    else:  # one after another, as a batch of them would not stay in the cache of a CPU
        specs = {name: tf.TensorSpec(tensor.shape[1:], tensor.dtype) for name, tensor in features.items()}
        specs[IMAGE] = tf.TensorSpec(images.shape[1:], tf.float32)
        changed = tf.map_fn(change_one, (dict(features), draws), fn_output_signature=specs)
    if not mixtures:
        return changed
    mixed, mixture = mix(changed[IMAGE], draws[:, -MIXTURE_DRAWS:], mixtures)
    return {**changed, IMAGE: mixed, **mixture._asdict()}


def _draws(options: Section, images: tf.Tensor) -> int:
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
