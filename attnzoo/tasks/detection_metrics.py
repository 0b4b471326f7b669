"""Average precision and recall of detections, as the COCO evaluation defines them, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from attnzoo.tasks.confusion import short_name
from attnzoo.tasks.detection_matching import AREAS, IOU_THRESHOLDS, MatchTable, SplitDetections
from attnzoo.tasks.types import Comparison

RECALLS = np.linspace(0.0, 1.0, 101)
LIMITS = (1, 10, 100)
"""Detections per image and class that recall is measured for."""
RESAMPLES, FEWER_RESAMPLES = 1000, 200
"""Number of bootstrap resamples of an interval or a comparison, drawn with a fixed seed."""
MANY_IMAGES = 2000
"""With more images than this there are fewer resamples, as they take long and vary little."""
SCORE_STEPS = 1000
"""Score thresholds that are tried for the best F1."""
_MAX_ELEMENTS = 1 << 22
"""Size of the arrays of several resamples."""
_AP50, _AP75 = 0, 5
"""Indices of the IoU thresholds 0.5 and 0.75."""


def compute_metrics(table: MatchTable) -> dict[str, float]:
    """Computes the metrics of the COCO evaluation, 0 to 1.

    Returns:
        `ap` (average precision, mean over the IoU thresholds 0.5 to 0.95 and the classes), `ap50` and `ap75`
        (of one threshold), `ap_small`, `ap_medium` and `ap_large` (objects below 32², below 96² and above, in
        square pixels), `ar1`, `ar10` and `ar100` (recall with so many detections per image and class), and
        `ar_small`, `ar_medium` and `ar_large`. Classes without objects count in none of them; metrics of
        which there is no object at all are left out. `ap_interval` and `ap50_interval` are half the widths
        of 95 % bootstrap intervals over the images; they need 2 images.

    Reference: Lin et al. 2014, https://arxiv.org/abs/1405.0312; interval: Efron & Tibshirani 1993.
    """
    everything = np.ones((1, table.num_images), np.int64)
    precisions = [average_precisions(table, everything, area)[0] for area in range(len(AREAS))]
    metrics = {"ap": precisions[0], "ap50": precisions[0][_AP50], "ap75": precisions[0][_AP75]}
    metrics |= {f"ap_{name}": precisions[area] for area, name in enumerate(AREAS) if area}
    metrics |= {f"ar{limit}": recalls(table, 0, limit) for limit in LIMITS}
    metrics |= {f"ar_{name}": recalls(table, area, LIMITS[-1]) for area, name in enumerate(AREAS) if area}
    results = {name: _mean(values) for name, values in metrics.items()}
    if table.num_images > 1 and not math.isnan(results["ap"]):
        resampled = resample(table)
        results["ap_interval"] = _interval(_means(resampled))
        results["ap50_interval"] = _interval(_means(resampled[:, _AP50 : _AP50 + 1]))
    return {name: value for name, value in results.items() if not math.isnan(value)}


def average_precisions(table: MatchTable, weights: np.ndarray, area: int = 0) -> np.ndarray:
    """Returns the average precision of each class at each IoU threshold; NaN for a class without objects.

    It is the mean over 101 values of recall of the highest precision with at least this recall.

    Args:
        table: detections and whether they are correct.
        weights: <int>[resamples, images], how often each image counts.
        area: index of the range of areas.

    Returns:
        <float64>[resamples, thresholds, classes].
    """
    positives = weights @ table.positives[area]  # [resamples, classes]
    results = np.zeros((len(weights), len(IOU_THRESHOLDS), table.num_classes))
    for number in range(table.num_classes):
        chosen = np.flatnonzero(table.labels == number)
        counts = weights[:, table.images[chosen]]  # [resamples, detections]
        total = np.cumsum(counts, axis=1)
        for index in range(len(IOU_THRESHOLDS)):
            correct = np.flatnonzero(table.correct[area, index, chosen])
            ignored = np.flatnonzero(table.ignored[area, index, chosen])
            skipped = np.cumsum(counts[:, ignored], axis=1)
            skipped = np.pad(skipped, ((0, 0), (1, 0)))[:, np.searchsorted(ignored, correct)]
            true = np.cumsum(counts[:, correct], axis=1)  # [resamples, correct detections]
            precision = true / np.maximum(total[:, correct] - skipped, 1)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = true / np.maximum(positives[:, number : number + 1], 1)
            reached = np.searchsorted(RECALLS, recall, side="right")
            steps = np.diff(reached, axis=1, prepend=0)
            results[:, index, number] = (steps * best).sum(axis=1) / len(RECALLS)
    return np.where(positives[:, None] > 0, results, np.nan)


def recalls(table: MatchTable, area: int, limit: int) -> np.ndarray:
    """Returns the fraction of the objects that are found, <float64>[thresholds, classes].

    Args:
        table: detections and whether they are correct.
        area: index of the range of areas.
        limit: detections per image and class that count.
    """
    correct = table.correct[area] & (table.ranks < limit)
    found = np.stack([np.bincount(table.labels[one], minlength=table.num_classes) for one in correct])
    positives = table.positives[area].sum(axis=0)
    return np.where(positives > 0, found / np.maximum(positives, 1), np.nan)


def resample(table: MatchTable) -> np.ndarray:
    """Returns average precisions of resampled images, <float64>[resamples, thresholds, classes]."""
    weights = _weights(table.num_images)
    size = max(1, _MAX_ELEMENTS // max(1, len(table.scores)))
    chunks = [weights[start : start + size] for start in range(0, len(weights), size)]
    return np.concatenate([average_precisions(table, chunk) for chunk in chunks])


def _weights(num_images: int) -> np.ndarray:
    """Returns how often each image is drawn, <int64>[resamples, images], the same at every call."""
    generator, count = np.random.default_rng(0), _num_resamples(num_images)
    return generator.multinomial(num_images, np.full(num_images, 1.0 / num_images), count)


def _num_resamples(num_images: int) -> int:
    return RESAMPLES if num_images <= MANY_IMAGES else FEWER_RESAMPLES


def _means(precisions: np.ndarray) -> np.ndarray:
    """Returns the mean over thresholds and classes, <float64>[resamples], NaN without any object."""
    return np.array([_mean(one) for one in precisions])


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _interval(values: np.ndarray) -> float:
    """Returns half the width of the central 95 % of resampled values."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(high - low) / 2.0


def compare(
    systems: Sequence[tuple[str, SplitDetections]], metric: str = "ap"
) -> tuple[list[Comparison], str]:
    """Compares the average precision of detectors with the first by paired bootstrap over the images.

    Args:
        systems: name and detections of each, two or more, of the same images.
        metric: "ap", "ap50" or "ap75".

    Returns:
        One comparison per system, and a description of the test.

    Reference: Koehn 2004, https://aclanthology.org/W04-3250
    """
    thresholds = {"ap50": slice(_AP50, _AP50 + 1), "ap75": slice(_AP75, _AP75 + 1)}.get(metric, slice(None))
    comparisons: list[Comparison] = []
    for name, split in systems:
        everything = np.ones((1, split.table.num_images), np.int64)
        value = _mean(average_precisions(split.table, everything)[:, thresholds])
        drawn = _means(resample(split.table)[:, thresholds])
        if not comparisons:
            first, first_drawn = value, drawn
        p_value = _p_value(value - first, drawn - first_drawn) if comparisons else None
        comparisons.append(Comparison(name, metric, value, _interval(drawn), p_value))
    num_images = split.table.num_images
    return comparisons, f"{metric} of {num_images} images, {_num_resamples(num_images)} resamples"


def _p_value(difference: float, drawn: np.ndarray) -> float:
    """Returns the probability of a difference at least this large if the true one is 0."""
    larger = np.abs(drawn - difference) >= abs(difference)
    return float((1 + np.count_nonzero(larger)) / (1 + len(drawn)))


class Curve:
    """Precision and recall of one class at IoU 0.5 over the score threshold.

    Args:
        table: detections and whether they are correct.
        number: of the class.

    Attributes:
        scores: <float32>[detections], descending.
        precision, recall: <float64>[detections], with the detections of at least each score.
        num_objects: objects to be found.
    """

    def __init__(self, table: MatchTable, number: int) -> None:
        chosen = (table.labels == number) & ~table.ignored[0, _AP50]
        correct = np.cumsum(table.correct[0, _AP50, chosen])
        self.scores = table.scores[chosen]
        self.num_objects = int(table.positives[0, :, number].sum())
        self.precision = correct / np.arange(1, len(correct) + 1)
        self.recall = correct / max(self.num_objects, 1)

    def at(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns precision and recall at score thresholds; precision is 0 without detections."""
        last = np.searchsorted(-self.scores, -thresholds.astype(np.float32), side="right")
        return np.append(0.0, self.precision)[last], np.append(0.0, self.recall)[last]


def details(split: SplitDetections) -> dict[str, Any]:
    """Returns the metrics of each class, and the score threshold with the best mean F1.

    Returns:
        `num_images`, `best_threshold`, and `classes`: a dict per class with `class`, `images` and
        `instances` (numbers), `precision` and `recall` (IoU 0.5, detections of at least the best threshold),
        `ap50` and `ap`; None where a class has no objects.
    """
    table = split.table
    curves = [Curve(table, number) for number in range(table.num_classes)]
    best = best_threshold(curves)
    everything = np.ones((1, table.num_images), np.int64)
    averages = average_precisions(table, everything)[0]  # [thresholds, classes]
    classes = []
    for number, (name, curve) in enumerate(zip(split.names, curves, strict=True)):
        precision, recall = (float(values[0]) for values in curve.at(np.array([best])))
        values = [precision, recall, float(averages[_AP50, number]), float(averages[:, number].mean())]
        shown = values if curve.num_objects else [None] * len(values)
        classes.append(
            {
                "class": name,
                "images": int(np.count_nonzero(table.positives[0, :, number])),
                "instances": curve.num_objects,
                **dict(zip(("precision", "recall", "ap50", "ap"), shown, strict=True)),
            }
        )
    return {"num_images": table.num_images, "best_threshold": best, "classes": classes}


def best_threshold(curves: Sequence[Curve]) -> float:
    """Returns the score threshold with the highest mean F1 of the classes that have objects.

    Of several it is the one in the middle, far from losing objects and from false detections.
    """
    thresholds = np.arange(SCORE_STEPS) / SCORE_STEPS
    known = [curve.at(thresholds) for curve in curves if curve.num_objects]
    if not known:
        return 0.0
    f1 = [2.0 * precision * recall / np.maximum(precision + recall, 1e-9) for precision, recall in known]
    mean = np.mean(f1, axis=0)
    best = np.flatnonzero(mean > mean.max() - 1e-9)
    return float(thresholds[best[len(best) // 2]])


def lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields `details` as a table."""
    rows = values["classes"]
    known = [row for row in rows if row["instances"]]
    names = ("precision", "recall", "ap50", "ap")
    means = {name: float(np.mean([row[name] for row in known])) if known else None for name in names}
    total = {
        "class": "all",
        "images": values["num_images"],
        "instances": sum(row["instances"] for row in rows),
        **means,
    }
    width = max(len(short_name(row["class"])) for row in [*rows, total])
    yield f"  {'class':{width}}  images  instances       P       R    AP50      AP"
    for row in [total, *rows]:
        numbers = "".join("       -" if row[name] is None else f"{row[name]:8.3f}" for name in names)
        yield f"  {short_name(row['class']):{width}}{row['images']:8,}{row['instances']:11,}{numbers}"
    yield f"  P and R: IoU 0.5, score from {values['best_threshold']:.2f} on, where the mean F1 is highest"
