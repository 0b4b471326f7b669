"""Raw values as arrays of numbers, which a run keeps, and back."""

import numpy as np
import pytest
import tensorflow as tf

from attnzoo.features.alignment import Alignment
from attnzoo.features.boxes import Boxes, Objects, objects_column
from attnzoo.features.image import Image
from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.features.number import Number
from attnzoo.features.packing import pack_bytes
from attnzoo.features.references import References
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.records.text_files import object_array


def objects(count):
    return Objects(
        31,
        37,
        np.arange(4.0 * count, dtype=np.float32).reshape(-1, 4),
        np.arange(count, dtype=np.int32) % 2,
        np.arange(count) % 3 == 0,
    )


def png(height, width):
    return tf.io.encode_png(np.full((height, width, 1), 7, np.uint8)).numpy()


COLUMNS = {
    "text": (Text(), object_array(["one", "", "zwei 漢\u200c"])),
    "alignment": (Alignment(), object_array(["0-0 1-2", ""])),
    "references": (References(), np.fromiter([("a", "b"), ("", "ü")], object, 2)),
    "label": (Label(names=("a", "b", "c")), np.array([2, 0, 1, 1], np.int32)),
    "labels": (Labels(names=("a", "b")), np.array([[0, 1], [1, 1], [0, 0]], np.float32)),
    "number": (Number(), np.array([0.1, -7e9])),
    "boxes": (Boxes(names=("a", "b")), objects_column([objects(3), objects(0), objects(2)])),
    "encoded images": (Image(), object_array([png(3, 4), png(1, 1)])),
    "weight": (Weight(), np.array([0.1, 7.0])),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_values_come_back_as_they_were(kind):
    feature, column = COLUMNS[kind]
    packed = feature.pack(column)
    assert all(array.dtype != object for array in packed.values())
    again = feature.unpack(packed)
    assert (again.dtype, again.shape) == (column.dtype, column.shape)
    assert b"".join(feature.fingerprint(again)) == b"".join(feature.fingerprint(column))


def test_pixels_and_files_come_back_as_encoded_images(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (2, 5, 7, 1)).astype(np.uint8)
    again = Image().unpack(Image().pack(pixels))
    assert [tf.io.decode_png(data).numpy().tolist() for data in again] == pixels.tolist()
    path = tmp_path / "1.png"
    path.write_bytes(again[1])
    assert Image().unpack(Image().pack(object_array([str(path)])))[0] == again[1]


HOSTILE = {
    "a class that is none": ("label", {"values": np.array([3], np.int32)}, "0 to 2"),
    "a negative class": ("label", {"values": np.array([-1], np.int32)}, "0 to 2"),
    "another type": ("label", {"values": np.array([1.0])}, r"expected int32\['n'\], got float64\[1\]"),
    "nothing": ("number", {}, "got none"),
    "a number that is none": ("number", {"values": np.array([np.nan])}, "finite"),
    "too many labels": ("labels", {"values": np.zeros((1, 3), np.float32)}, r"\['n', 2\]"),
    "half a label": ("labels", {"values": np.full((1, 2), 0.5, np.float32)}, "zeros and ones"),
    "sizes that are more than the bytes": (
        "text",
        {**pack_bytes([b"ab"]), "sizes": np.array([3])},
        "sum of 2",
    ),
    "negative sizes": ("text", {**pack_bytes([b"ab"]), "sizes": np.array([3, -1])}, "sum of 2"),
    "numbers as texts": ("text", {"values": np.zeros(2)}, "bytes: .*got none"),
    "a weight below 0": ("weight", {"values": np.array([1.0, -1.0])}, "below 0"),
    "a weight that is none": ("weight", {"values": np.array([np.inf])}, "not finite"),
    "an image that is none": ("encoded images", pack_bytes([b"ab"]), "image 0"),
    "half an image": ("encoded images", pack_bytes([png(9, 9)[:-4]]), "image 0"),
    "an image of too many pixels": (
        "encoded images",
        pack_bytes([png(1, 1)[:16] + bytes([0, 0, 255, 255, 0, 0, 255, 255]) + png(1, 1)[24:]]),
        "image 0",
    ),
    "no UTF-8": ("text", pack_bytes([b"\xff"]), "decode"),
    "no list": ("references", pack_bytes([b'{"a": 1}']), "lists of texts"),
    "no JSON": ("references", pack_bytes([b"["]), "Expecting"),
    "boxes without an image": (
        "boxes",
        {**Boxes(names=("a",)).pack(objects_column([objects(1)])), "sizes": np.array([[0, 1, 1]])},
        "sizes of 1 or more",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_d1_arrays_that_are_not_of_the_feature_are_refused(name):
    kind, arrays, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message):
        COLUMNS[kind][0].unpack(arrays)
