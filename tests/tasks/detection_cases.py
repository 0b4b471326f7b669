"""Generated detections and objects, and what the COCO tool says of them."""

import contextlib
import io

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from attnzoo.features.boxes import Objects
from attnzoo.tasks.detection_decoding import Detections

SIDE = 400


def make_objects(boxes, labels, crowd=None) -> Objects:
    """Objects of an image of 400 x 400 pixels."""
    crowd = np.zeros(len(labels), bool) if crowd is None else np.asarray(crowd, bool)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Objects(SIDE, SIDE, boxes, np.asarray(labels, np.int32), crowd)


def make_detections(boxes, scores, labels) -> Detections:
    """Detections, best first."""
    boxes, order = (
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.argsort(-np.asarray(scores), kind="stable"),
    )
    scores, labels = np.asarray(scores, np.float32), np.asarray(labels, np.int32)
    return Detections(boxes[order], scores[order], labels[order])


def make_case(seed: int) -> tuple[list[Detections], list[Objects], int]:
    """A few images of 1 to 4 classes: some without objects or detections, crowds, ties, a missing class."""
    generator = np.random.default_rng(seed)
    num_classes = int(generator.integers(1, 5))
    missing = generator.integers(0, num_classes) if generator.random() < 0.4 else -1
    pairs = [_make_image(generator, num_classes, missing) for _ in range(generator.integers(1, 7))]
    return [found for found, _ in pairs], [objects for _, objects in pairs], num_classes


def _make_image(generator, num_classes, missing):
    count = 0 if generator.random() < 0.2 else int(generator.integers(1, 9))
    corners = generator.uniform(0, 150, (count, 2))
    sides = generator.choice([10.0, 60.0, 150.0], (count, 2)) * generator.uniform(0.5, 1.5, (count, 2))
    if generator.random() < 0.5:  # on a grid, so that overlaps are equal
        corners, sides = np.round(corners / 8) * 8, np.maximum(np.round(sides / 8) * 8, 8)
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    labels = generator.integers(0, num_classes, count)
    labels = np.where(labels == missing, (missing + 1) % num_classes, labels)
    objects = make_objects(boxes, labels, generator.random(count) < 0.15)
    times = int(generator.integers(0, 4))
    noise = generator.normal(0, generator.choice([0, 0.05, 0.15]), (times * count, 4))
    near = np.tile(boxes, (times, 1)) + np.tile(sides, (times, 2)) * noise
    extra = int(generator.integers(0, 130) if generator.random() < 0.2 else generator.integers(0, 4))
    others = generator.uniform(0, 200, (extra, 2))
    others = np.concatenate([others, others + generator.uniform(3, 120, (extra, 2))], axis=1)
    found = np.concatenate([near, others])
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    scores = generator.random(len(found))
    if generator.random() < 0.5:
        scores = np.round(scores * 4) / 4
    numbers = np.concatenate([np.tile(labels, times), generator.integers(0, num_classes, extra)])
    if generator.random() < 0.15:
        found, scores, numbers = found[:0], scores[:0], numbers[:0]
    return make_detections(found, scores, numbers), objects


def coco_metrics(detections, objects, num_classes, limits=(1, 10, 100)) -> np.ndarray:
    """The twelve numbers of the COCO tool; its ids begin with 1, as 0 means none to it."""
    annotations = [
        {"image_id": image, "category_id": int(label) + 1, "iscrowd": int(is_crowd), **_box(box)}
        for image, one in enumerate(objects, 1)
        for box, label, is_crowd in zip(one.boxes, one.labels, one.crowd, strict=True)
    ]
    results = [
        {"image_id": image, "category_id": int(label) + 1, "score": float(score), **_box(box)}
        for image, one in enumerate(detections, 1)
        for box, score, label in zip(*one, strict=True)
    ]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image + 1, "height": SIDE, "width": SIDE} for image in range(len(objects))],
        "categories": [{"id": number + 1, "name": str(number)} for number in range(num_classes)],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats[:12])


def _box(box):
    left, top, right, bottom = box.astype(float)
    width, height = right - left, bottom - top
    return {"bbox": [left, top, width, height], "area": width * height}
