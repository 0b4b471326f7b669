"""Where an image classifier attends: one weight for each place of a feature map, drawn over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from attnzoo.data import image as image_ops
from attnzoo.data.examples import Examples
from attnzoo.info import DataInfo
from attnzoo.layers import scores as layer_scores
from attnzoo.pictures import plain_texts
from attnzoo.tasks.attended import choose_layer, received

BATCH_SIZE = 16
"""Images at once: all scores of a layer are in memory, [batch, heads, positions, positions]."""
OPACITY = 0.55
"""Of the colours over an image where the weight is the largest."""
COLOURS = "inferno"
INCHES = 1.6
DOTS_AN_INCH = 100


class Attended(NamedTuple):
    """What a model makes of one image.

    Attributes:
        probabilities: <float32>[classes].
        weights: <float32>[rows, columns], the attention that each place of the feature map receives.
    """

    probabilities: np.ndarray
    weights: np.ndarray


def attender(
    model: keras.Model, info: DataInfo, layer: str | None = None
) -> Callable[[np.ndarray], list[Attended]]:
    """Returns a function from images <uint8>[count, height, width, channels] to what the model makes of each.

    A place's weight is the mean over heads and queries.

    Args:
        model: an image classifier.
        info: gives the shape of images and the statistics of their pixels.
        layer: whose attention to take; None for the one nearest to the output.

    Raises:
        UserError: the model has no attention over positions, or none of this name.
    """
    chosen = choose_layer(model, layer)
    explained = layer_scores.with_scores(model, chosen)
    sides = map_sides(model, chosen)

    @tf.function(autograph=False)
    def run(images):
        logits, scores = explained({"image": image_ops.normalise(images, info)}, training=False)
        everywhere = tf.ones_like(scores[:, 0, 0], tf.bool)
        return tf.nn.softmax(tf.cast(logits, tf.float32)), received(scores, everywhere)

    def attend(images: np.ndarray) -> list[Attended]:
        found: list[Attended] = []
        for start in range(0, len(images), BATCH_SIZE):
            probabilities, weights = run(tf.constant(images[start : start + BATCH_SIZE]))
            maps = weights.numpy().reshape(-1, *sides)
            found += map(Attended, probabilities.numpy(), maps)
        return found

    return attend


def map_sides(model: keras.Model, layer: str) -> tuple[int, int]:
    """Returns rows and columns of the feature map that an attention gives, or pools: the last one."""
    names = [layer, *(other.name for other in reversed(model.layers))]
    shapes = (model.get_layer(name).output.shape for name in names)
    _, rows, columns, _ = next(shape for shape in shapes if len(shape) == 4)
    return int(rows), int(columns)


def over_image(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns an image in grey with the weights as colours over it, the deeper the larger.

    Args:
        image: <uint8>[height, width, channels].
        weights: <float32>[rows, columns].

    Returns:
        <float32>[height, width, 3] in 0..1.
    """
    import matplotlib

    grey = np.repeat(image.mean(axis=-1, keepdims=True) / 255.0, 3, axis=-1)
    smooth = tf.image.resize(weights[..., None], image.shape[:2], "bicubic").numpy()[..., 0]
    shares = np.clip(smooth / max(float(weights.max(initial=0.0)), 1e-30), 0.0, 1.0)
    colours = matplotlib.colormaps[COLOURS](shares)[..., :3]
    opacity = OPACITY * shares[..., None]
    return ((1.0 - opacity) * grey + opacity * colours).astype(np.float32)


def draw(images: np.ndarray, maps: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Draws each image, and beside it the image with the attention over it, under its title.

    Args:
        images: <uint8>[images, height, width, channels].
        maps: <float32>[rows, columns], the attention of each.
        titles: one an image.

    Returns:
        <uint8>[height, width, 3].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    with plain_texts():
        size = (2 * INCHES * columns, (INCHES + 0.35) * rows)
        figure = Figure(figsize=size, dpi=DOTS_AN_INCH, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, image, weights, title in zip(axes, images, maps, titles, strict=False):
            plain = np.broadcast_to(image / 255.0, (*image.shape[:2], 3))
            gap = np.ones((image.shape[0], max(1, image.shape[1] // 20), 3))
            both = np.concatenate([plain, gap, over_image(image, weights)], axis=1)
            axis.imshow(both, vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(title, fontsize=8)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def picture(
    attend: Callable[[np.ndarray], list[Attended]], examples: Examples, info: DataInfo, count: int
) -> np.ndarray:
    """Draws the first `count` images of a split with where the model attends, <uint8>[height, width, 3]."""
    images = first_images(examples.images, info, count)
    found = attend(images)
    titles = [
        f"{info.labels[int(one.probabilities.argmax())]} {one.probabilities.max():.2f}"
        f" (true: {info.labels[label]})"
        for one, label in zip(found, examples.labels, strict=False)
    ]
    return draw(images, [one.weights for one in found], titles)


def first_images(column: Any, info: DataInfo, count: int) -> np.ndarray:
    """Returns the first images of a column, <uint8>[count, height, width, channels]."""
    chosen = column[:count]
    return image_ops.read_images(chosen, info.image_shape)(tf.range(len(chosen))).numpy()
