"""Small batches of objects."""

import numpy as np
import tensorflow as tf

from attnzoo.layers.matches import ObjectBatch, unpack_objects

OBJECT, NOTHING, CROWD = 1.0, 0.0, -1.0


def random_boxes(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Returns boxes <float32>[*shape, 4] with sides of 0.1 to 0.5, inside the canvas."""
    sides = generator.uniform(0.1, 0.5, (*shape, 2))
    corner = generator.uniform(0.0, 1.0 - sides)
    return np.concatenate([corner, corner + sides], axis=-1).astype(np.float32)


def packed(images: list[list[tuple]], slots: int) -> np.ndarray:
    """Returns <float32>[batch, slots, 6] of images, each a list of (box, class, kind)."""
    batch = np.zeros((len(images), slots, 6), np.float32)
    for row, objects in zip(batch, images, strict=True):
        for slot, (box, number, kind) in zip(row, objects, strict=False):
            slot[:] = (*box, number, kind)
    return batch


def objects_of(*images: list[tuple], slots: int = 3) -> ObjectBatch:
    """Returns the objects of images, each a list of (box, class, kind)."""
    return unpack_objects(tf.constant(packed(list(images), slots)))


def random_objects(generator: np.random.Generator, batch: int, slots: int, classes: int) -> np.ndarray:
    """Returns <float32>[batch, slots, 6] of objects alone."""
    objects = np.ones((batch, slots, 6), np.float32)
    objects[..., :4] = random_boxes(generator, batch, slots)
    objects[..., 4] = generator.integers(classes, size=(batch, slots))
    return objects
