"""Times the random changes of training images beside Keras's own preprocessing layers.

python scripts/bench_image_changes.py

Each change runs inside `tf.data`, as in training: ours, the layer of Keras as it is (it draws from a state,
some layers once for the whole batch), and the same layer image by image with stateless seeds, which would
repeat as ours do. All are in one process, in turns, and the ratios are medians over the rounds, so that other
work on the machine falls on all of them alike.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

SIZES = {32: 128, 224: 16}
"""Height and width -> images of a batch."""
WARM_ROUNDS = 2
RANGE = {"value_range": (0, 1)}
CONSTANT = {"fill_mode": "constant", "fill_value": 0.5}
CHANGES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "flip": ("RandomFlip", {"mode": "horizontal"}, True),
    "flip_vertical": ("RandomFlip", {"mode": "vertical"}, True),
    "shift": ("RandomTranslation", {**CONSTANT, "interpolation": "nearest"}, True),
    "zoom": ("RandomZoom", {"height_factor": 0.2, **CONSTANT}, True),
    "color": ("RandomColorJitter", {**RANGE}, False),
    "gaussian_blur": ("RandomGaussianBlur", {"factor": 0.5, "kernel_size": 5, **RANGE}, True),
    "cutout": ("RandomErasing", {"scale": (0.06, 0.06), "fill_value": 0.5, **RANGE}, True),
    "erase": ("RandomErasing", {"factor": 0.5, **RANGE}, True),
    "rotate": ("RandomRotation", {"factor": 15 / 360, **CONSTANT}, True),
    "shear": ("RandomShear", {"x_factor": 0.2, "y_factor": 0.2, **CONSTANT}, True),
    "translate": ("RandomTranslation", {**CONSTANT}, True),
    "perspective": ("RandomPerspective", {"scale": 0.2}, True),
    "equalize": ("Equalization", {**RANGE}, True),
    "elastic": ("RandomElasticTransform", {**RANGE}, True),
    "rand_augment": ("RandAugment", {**RANGE}, False),
    "mixup": ("MixUp", {}, False),
    "cutmix": ("CutMix", {}, False),
}
"""Change -> layer of Keras, its options, and whether the layer takes seeds from outside for one image."""
MORE = {
    "RandomTranslation": {"height_factor": 0.125, "width_factor": 0.125},
    "RandomColorJitter": {
        "brightness_factor": 0.2,
        "contrast_factor": 0.2,
        "saturation_factor": 0.2,
        "hue_factor": 0.02,
    },
}
"""Further options of a layer."""


def ours(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a change of (images, seeds) as training does it."""
    import tensorflow as tf

    from attnzoo.config.augmentation import parse
    from attnzoo.images.augmentation import augment

    changes = parse([name])
    return lambda images, seeds: augment({"image": images}, changes, seeds, tf.fill([3], 0.5))["image"]


def of_batch(layer) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a change of (images, seeds) by a layer as it is."""
    import tensorflow as tf

    def change(images, seeds):
        if type(layer).__name__ in ("MixUp", "CutMix"):
            return layer({"images": images, "labels": tf.one_hot(seeds[:, 1], 10)}, training=True)["images"]
        return layer(images, training=True)

    return change


def image_by_image(layer) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a change of (images, seeds) by a layer that draws from the seed of each image."""
    import keras
    import tensorflow as tf

    class Seeds(keras.random.SeedGenerator):
        """Seeds that follow from one."""

        def __init__(self, seed):
            self.first, self.count = seed, 0

        def next(self, ordered=True):
            self.count += 1
            return tf.random.experimental.stateless_fold_in(self.first, self.count)

    def change_one(item):
        image, seed = item[0][None], Seeds(item[1])
        transformation = layer.get_random_transformation(image, training=True, seed=seed)
        return layer.transform_images(image, transformation, training=True)[0]

    def change(images, seeds):
        layer.backend.set_backend("tensorflow")
        signature = tf.TensorSpec(images.shape[1:], tf.float32)
        return tf.map_fn(change_one, (images, seeds), fn_output_signature=signature)

    return change


def batches(change: Callable, size: int, count: int) -> Iterator[tf.Tensor]:
    """Returns batches without end of the same images, changed inside `tf.data`."""
    import tensorflow as tf

    images = tf.random.stateless_uniform([count, size, size, 3], [1, 2])
    seeds = tf.stack([tf.fill([count], 1), tf.range(count)], axis=1)
    data = tf.data.Dataset.from_tensors((images, seeds)).repeat().map(change)
    options = tf.data.Options()
    options.autotune.enabled = False
    return iter(data.with_options(options))


def time_all(name: str, size: int, rounds: int) -> tuple[float, list[float]]:
    """Returns microseconds an image of ours, and how often that the layer takes, and image by image."""
    import keras

    layer_name, options, takes_seeds = CHANGES[name]
    layer = getattr(keras.layers, layer_name)(**options, **MORE.get(layer_name, {}))
    sides = [ours(name), of_batch(layer), *([image_by_image(layer)] if takes_seeds else [])]
    count = SIZES[size]
    readers = [batches(change, size, count) for change in sides]
    times = []
    for _ in range(WARM_ROUNDS + rounds):
        moments = [time.perf_counter()]
        for reader in readers:
            next(reader)
            moments.append(time.perf_counter())
        times.append([later - earlier for earlier, later in itertools.pairwise(moments)])
    counted = times[WARM_ROUNDS:]
    ratios = [statistics.median(row[side] / row[0] for row in counted) for side in range(1, len(sides))]
    return 1e6 * statistics.median(row[0] for row in counted) / count, ratios


def main() -> None:
    """Prints a table for each size, Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="batches of each side, in turns")
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    arguments = parser.parse_args()
    from attnzoo.startup import import_tensorflow

    import_tensorflow()
    for size, count in SIZES.items():
        print(f"\n| {size} x {size}, batches of {count} | µs an image | Keras's layer | image by image |")
        print("|---|---|---|---|")
        for name in arguments.changes:
            own, ratios = time_all(name, size, arguments.rounds)
            cells = [f"{ratio:.2f}" for ratio in ratios] + ["-"] * (2 - len(ratios))
            print(f"| {name} | {own:,.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
