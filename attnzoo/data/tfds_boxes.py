"""Objects of data sets of TensorFlow Datasets: sequences with a box and, mostly, a class label.

TensorFlow Datasets, which imports TensorFlow, is imported only when a function is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from attnzoo.errors import UserError
from attnzoo.features.boxes import Boxes, BoxOptions
from attnzoo.features.feature import Column
from attnzoo.features.image_data_options import max_pixels
from attnzoo.images.image_files import parse_header
from attnzoo.records.annotations import BoxCleaner, RawObject, mapped_names, require_classes

CROWDS = ("is_crowd", "is_difficult")
"""Keys of what COCO and VOC have to be neither learned nor counted as missed."""
FORMAT = "REL_YXYX"
"""Top, left, bottom and right as fractions of the image: what boxes are unless a data set says otherwise."""


def has_boxes(feature: Any) -> bool:
    """Whether a feature is a sequence whose elements have one box."""
    import tensorflow_datasets as tfds

    return (
        isinstance(feature, tfds.features.Sequence)
        and isinstance(feature.feature, tfds.features.FeaturesDict)
        and len(_keys_of(feature, tfds.features.BBoxFeature)) == 1
    )


def declare(feature: Any, options: BoxOptions, key: str, origin: str) -> Boxes:
    """Returns boxes with the classes of a sequence; without a ClassLabel it has one, called like its key.

    Raises:
        UserError: it is not clear which label is the class, boxes are not fractions, or `data.classes`
            names a class that there is not.
    """
    names = _class_names(feature, key, origin)
    (box,) = _keys_of(feature, _type("BBoxFeature"))
    if feature.feature[box].bbox_format.name != FORMAT:
        raise UserError(
            f"{origin}: boxes of {key!r} are {feature.feature[box].bbox_format.value}; only fractions of the "
            "image as top, left, bottom and right are supported."
        )
    require_classes(options.classes, names, origin)
    learned = mapped_names(names, options.classes)
    if not learned:
        raise UserError(f"{origin}: data.classes leaves all {len(names)} classes out; keep some.")
    return Boxes(names=learned)


def packer(feature: Any, key: str, origin: str) -> Callable[[Mapping[str, Any]], Any]:
    """Returns a graph function from the objects of an example to one string, which `unpack` reads."""
    import tensorflow as tf

    (box,) = _keys_of(feature, _type("BBoxFeature"))
    label = _label_key(feature, key, origin)
    crowds = [name for name in CROWDS if name in feature.feature]

    def pack(objects: Mapping[str, Any]) -> Any:
        boxes = objects[box]  # [objects, 4]
        zeros = tf.zeros_like(boxes[:, 0])
        numbers = zeros if label is None else tf.cast(objects[label], tf.float32)
        crowd = tf.cast(objects[crowds[0]], tf.float32) if crowds else zeros
        return tf.io.serialize_tensor(tf.concat([boxes, tf.stack([numbers, crowd], axis=1)], axis=1))

    return pack


def unpack(
    packed: Sequence[bytes],
    images: Column,
    feature: Any,
    boxes: Boxes,
    options: BoxOptions,
    key: str,
    origin: str,
) -> Column:
    """Returns the column of objects of a split.

    Args:
        packed: results of `packer`.
        images: <uint8>[examples, height, width, channels], or <object>[examples] of encoded bytes.
        feature: the sequence.
        boxes: result of `declare`.
        options: options of the data set.
        key: name of the sequence.
        origin: name of the split, for messages.

    Raises:
        UserError: an object has no class, or a box is not right and `data.on_bad_box` is `error`.
    """
    import tensorflow as tf

    names = _class_names(feature, key, origin)
    cleaner = BoxCleaner(options.on_bad_box, options.classes)
    annotations = []
    for index, (image, content) in enumerate(zip(images, packed, strict=True)):
        place = f"{origin}: example {index}"
        if isinstance(image, np.ndarray):
            height, width = image.shape[:2]
        else:
            height, width = parse_header(image, place, max_pixels=max_pixels(options)).sides
        objects = []
        for top, left, bottom, right, number, crowd in (
            tf.io.parse_tensor(content, tf.float32).numpy().tolist()
        ):
            if not 0 <= number < len(names):
                raise UserError(
                    f"{place} has an object of class {number:.0f}; expected 0 to {len(names) - 1}."
                )
            edges = (left * width, top * height, right * width, bottom * height)
            objects.append(RawObject(place, names[int(number)], edges, bool(crowd)))
        annotations.append(cleaner.clean(objects, height, width))
    cleaner.issue_warnings(origin)
    return boxes.column_of(annotations)


def _class_names(feature: Any, key: str, origin: str) -> tuple[str, ...]:
    label = _label_key(feature, key, origin)
    return (key,) if label is None else tuple(feature.feature[label].names)


def _label_key(feature: Any, key: str, origin: str) -> str | None:
    labels = _keys_of(feature, _type("ClassLabel"))
    if len(labels) > 1 and "label" not in labels:
        raise UserError(
            f"{origin}: several class labels in {key!r} ({', '.join(labels)}), none is called 'label'."
        )
    return "label" if "label" in labels else next(iter(labels), None)


def _keys_of(feature: Any, kind: type) -> list[str]:
    return [key for key, inner in feature.feature.items() if isinstance(inner, kind)]


def _type(name: str) -> type:
    import tensorflow_datasets as tfds

    return {"BBoxFeature": tfds.features.BBoxFeature, "ClassLabel": tfds.features.ClassLabel}[name]
