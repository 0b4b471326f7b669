"""Examples that are made in place."""

import numpy as np

from attnzoo.data.examples import Examples
from attnzoo.data.splits import Split
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label


def image_examples(count):
    """Returns images of three labels, and what is known of them."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (count, 3, 5, 1)).astype(np.uint8)
    labels = generator.integers(0, 3, count).astype(np.int32)
    split = Split({"image": images, "label": labels}, "test images")
    features = {
        "image": Image(shape=(3, 5, 1), mean=(0.5,), std=(0.3,)),
        "label": Label(names=("a", "b", "c")),
    }
    info = DataInfo("image_classification", features)
    return Examples({"image": images, "label": labels}, np.zeros(count, np.int32), split), info
