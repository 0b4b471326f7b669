"""Object detection: an image in, boxes with classes out.

TensorFlow is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from etils import epy

from attnzoo.config import ResolvedConfig, RunConfig, sections
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import Split
from attnzoo.features.boxes import Boxes
from attnzoo.features.feature import Feature
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.models.detector import PyramidOptions
from attnzoo.tasks.detection_options import DetectionEvalOptions, DetectionTrainOptions
from attnzoo.tasks.task import Task
from attnzoo.tasks.types import (
    Calibration,
    Comparison,
    Metric,
    PredictFn,
    Predictor,
    Request,
    WorstExample,
)

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from attnzoo.data import examples as data_examples
    from attnzoo.data import pipeline, samples
    from attnzoo.explain import detections as detections_view
    from attnzoo.layers import attention_weights
    from attnzoo.tasks import (
        detection_answers,
        detection_checks,
        detection_decoding,
        detection_loss,
        detection_matching,
        detection_metrics,
        detection_pictures,
        serving,
    )


class Detection(Task):
    """Finds the objects in an image: a box and a class for each."""

    name: ClassVar[str] = "detection"
    features: ClassVar[Mapping[str, Feature]] = {"image": Image(), "boxes": Boxes()}
    input_name: ClassVar[str] = "image"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric(False),
        "class_loss": Metric(False),
        "box_loss": Metric(False),
        "ap": Metric(True, needs_predictions=True),
        "ap50": Metric(True, needs_predictions=True),
        "ap75": Metric(True, needs_predictions=True),
        "ar100": Metric(True, needs_predictions=True),
    }
    monitor: ClassVar[str] = "ap"
    comparison_metric: ClassVar[str | None] = "ap"
    headline: ClassVar[tuple[str, ...]] = ("ap50",)
    line_metrics: ClassVar[tuple[str, ...]] = ("loss", "ap", "ap50", "ap75")
    finds_objects: ClassVar[bool] = True
    answer_options: ClassVar[frozenset[str]] = frozenset(
        {"score_threshold", "suppression_iou", "max_detections"}
    )
    TrainOptions = DetectionTrainOptions
    EvalOptions = DetectionEvalOptions

    # Config

    def config_problems(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields XLA for a model that it cannot compile."""
        if config.train.xla is True and not config.model.compiles:
            what = f"XLA cannot compile {config.model.name}, which SciPy matches objects for; expected auto"
            yield ("train", "xla"), what

    def unused(self, config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
        """Yields options of suppression for a model without it."""
        yield from super().unused(config)
        if _suppresses_nothing(config):
            yield ("eval", "suppression_iou"), _NO_SUPPRESSION.format(config.model.name)

    def check_data(
        self, resolved: ResolvedConfig, info: DataInfo, examples: Mapping[str, data_examples.Examples]
    ) -> None:
        """Checks that there are objects, and warns about images with more than can be found."""
        config = resolved.config
        name, metric = self.monitored(config.eval)
        objects = {split: list(one.raw.column("boxes")) for split, one in examples.items()}
        detection_checks.require_objects(objects, name if metric.needs_predictions else None)
        limits = {"eval.max_detections": _eval(config.eval).max_detections}
        if isinstance(config.model, PyramidOptions):
            limits |= {f"model.{key}": limit for key, limit in config.model.max_objects.items()}
        detection_checks.warn_of_limits(limits, objects)

    # Training

    def make_batch(
        self, info: DataInfo, examples: data_examples.Examples, training: sections.TrainOptions | None
    ) -> pipeline.MakeBatch:
        """Returns a function from a feature batch to the image and targets `boxes`.

        `boxes` <float32>[batch, slots, 6] are as the feature `boxes` gives them.
        """

        def make(batch: pipeline.FeatureBatch) -> pipeline.Batch:
            targets = {"weights": batch.weights, "indices": batch.indices, "boxes": batch.values["boxes"]}
            return {"image": batch.values["image"]}, targets

        return make

    def sums(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        targets: dict[str, tf.Tensor],
        training: sections.TrainOptions | None,
    ) -> dict[str, tf.Tensor]:
        """Returns the loss per object, and its parts for classes and boxes.

        In evaluations it is the loss of the default options.
        """
        outputs = model(inputs, training=training is not None)
        options = DetectionTrainOptions() if training is None else _train(training)
        return detection_loss.loss_sums(model, outputs, targets["boxes"], targets["weights"], options)

    def predict_fn(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, xla: bool
    ) -> PredictFn:
        """Returns a compiled function from inputs to detections <float32>[batch, max_detections, 6].

        See `detection_decoding.decode`; those of several models are put together.
        """
        own = _eval(options)
        threshold = detection_decoding.EVALUATION_THRESHOLD
        return detection_decoding.detect_fn(
            models, info, detection_decoding.Decoding(threshold, own.suppression_iou, own.max_detections)
        )

    # Predictions of whole splits

    def predictions(
        self, predict: PredictFn, examples: data_examples.Examples, info: DataInfo, sizes: pipeline.BatchSizes
    ) -> detection_matching.SplitDetections:
        """Returns the detections of a split, from a score of 0.001 on, with its true objects."""
        each = dict(detection_decoding.detections_of(self, predict, examples, info, sizes))
        ordered = [each[index] for index in range(len(examples))]
        return detection_matching.SplitDetections(
            ordered, list(examples.raw.column("boxes")), info.features["boxes"].names
        )

    def corpus_metrics(
        self,
        predictions: detection_matching.SplitDetections,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        calibration: Calibration,
    ) -> dict[str, float | str]:
        """Returns the metrics of `detection_metrics.compute_metrics`."""
        return dict(detection_metrics.compute_metrics(predictions.table))

    def details(
        self,
        predictions: detection_matching.SplitDetections,
        examples: data_examples.Examples,
        info: DataInfo,
    ) -> dict[str, Any]:
        """Returns `best_threshold` and `classes`, see `detection_metrics.details`."""
        return detection_metrics.details(predictions)

    def describe(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the metrics of each class as a table."""
        return list(detection_metrics.lines(details)) if details else []

    def pictures(
        self,
        predictions: detection_matching.SplitDetections,
        examples: data_examples.Examples,
        info: DataInfo,
    ) -> dict[str, np.ndarray]:
        """Draws curves of precision and recall, and the confusion matrix with background."""
        return detection_pictures.of_split(predictions)

    def results(
        self,
        predictions: detection_matching.SplitDetections,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> Iterator[dict[str, Any]]:
        """Yields each image with its objects and the detections that `predict` would show."""
        return detection_answers.results(predictions, examples, _eval(options).score_threshold)

    def worst(
        self,
        predictions: detection_matching.SplitDetections,
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
        count: int,
    ) -> list[WorstExample]:
        """Returns the images with the most missed objects, with the detections that `predict` would show."""
        return detection_pictures.worst(predictions, examples, info, _eval(options).score_threshold, count)

    def compare(
        self,
        systems: Sequence[tuple[str, detection_matching.SplitDetections]],
        examples: data_examples.Examples,
        info: DataInfo,
        options: sections.EvalOptions,
    ) -> tuple[list[Comparison], str]:
        """Compares average precision with the first: that of `eval.monitor`, by default AP50:95."""
        metric, _ = self.monitored(options)
        return detection_metrics.compare(systems, metric if metric in ("ap50", "ap75") else "ap")

    # Human-readable output

    def sample_indices(self, split: Split, count: int) -> np.ndarray:
        """Returns indices of images whose objects are of all classes."""
        labels = [one.labels for one in split.column("boxes")]
        return samples.sample_every_class(np.array([min(one, default=-1) for one in labels]), count)

    def rows(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> list[dict[str, str]]:
        """Returns the images at `indices` with how many objects of each class there are and are detected."""
        return detection_answers.rows(self, predict, examples, info, sizes, indices)

    def sample_pictures(
        self,
        predict: PredictFn,
        examples: data_examples.Examples,
        info: DataInfo,
        sizes: pipeline.BatchSizes,
        indices: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Draws the images at `indices` with true and predicted boxes, as `detections`."""
        detections = dict(detection_decoding.detections_of(self, predict, examples, info, sizes, indices))
        images = info.features["image"].first(examples.encoded["image"][indices])
        return {"detections": detection_pictures.draw_samples(images, detections, examples, indices, info)}

    def attention_view(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions, layer: str | None = None
    ) -> detections_view.DetectionsView | None:
        """Returns the view of what each detection attends to; None if the model has no such attention."""
        if layer is None and not attention_weights.attention_names(model):
            return None
        decoding = self._decoding(options)
        suppressed = model.get_layer("head").needs_suppression

        def decode(outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
            return detection_decoding.decode(outputs, decoding, suppressed)

        return detections_view.DetectionsView(model, info, decode, layer)

    def next_commands(self, folder: Path, attends: bool) -> list[tuple[str, str]]:
        """Returns commands to continue with after training, and what each is for."""
        return [
            *super().next_commands(folder, attends),
            (f"attnzoo eval {folder} --worst 20", "draw the images with the most missed objects"),
            (f"attnzoo predict {folder} FOLDER", "detect objects in images; --out DIR draws them"),
            (f"attnzoo export {folder}", "write a SavedModel that takes image bytes"),
        ]

    # Raw inputs

    def predictor(
        self, models: Sequence[keras.Model], info: DataInfo, options: sections.EvalOptions, request: Request
    ) -> Predictor:
        """Returns a function from paths of images to the answers of `detection_answers.predictor`."""
        return detection_answers.predictor(models, info, self._decoding(options, request))

    def request_problems(self, config: RunConfig, request: Request) -> Iterator[str]:
        """Yields an option of suppression for a model without it."""
        if request.suppression_iou is not None and _suppresses_nothing(config):
            yield f"{_NO_SUPPRESSION.format(config.model.name)}; remove --iou"

    def null_answer(self, info: DataInfo, request: Request) -> dict[str, None]:
        """Returns the keys of an answer without values."""
        return dict.fromkeys(detection_answers.KEYS)

    def answer_line(self, answer: Mapping[str, Any]) -> str:
        """Returns the image and its detections."""
        return detection_answers.answer_line(answer)

    def answer_table(self, answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
        """Returns one row per detection."""
        return detection_answers.answer_table(answer)

    def answer_picture(self, answer: Mapping[str, Any], path: Path, info: DataInfo) -> np.ndarray:
        """Draws the detections over the image."""
        return detection_pictures.draw_answer(answer, path, info)

    def serving_module(
        self, model: keras.Model, info: DataInfo, options: sections.EvalOptions
    ) -> serving.ServingModule:
        """Returns an export from the bytes of image files to the outputs of `serving_function`."""
        return detection_answers.serving_module(model, info, self._decoding(options))

    def export_notes(self, info: DataInfo, options: sections.EvalOptions) -> dict[str, Any]:
        """Returns the class names and how detections are chosen."""
        decoding = self._decoding(options)
        return {
            "labels": list(info.features["boxes"].names),
            "boxes": "left, top, right, bottom in pixels of the upright image",
            "score_threshold": decoding.threshold,
            "suppression_iou": decoding.iou,
        }

    def _decoding(
        self, options: sections.EvalOptions, request: Request | None = None
    ) -> detection_decoding.Decoding:
        """Returns how answers are decoded: as the request says, by default as the options."""
        own, asked = _eval(options), request or Request()
        return detection_decoding.Decoding(
            own.score_threshold if asked.score_threshold is None else asked.score_threshold,
            own.suppression_iou if asked.suppression_iou is None else asked.suppression_iou,
            asked.max_detections or own.max_detections,
            one_class=True,
        )


_NO_SUPPRESSION = "{} predicts each object once, and suppresses nothing"


def _suppresses_nothing(config: RunConfig) -> bool:
    return isinstance(config.model, PyramidOptions) and not config.model.suppresses


def _train(training: sections.TrainOptions) -> DetectionTrainOptions:
    assert isinstance(training, DetectionTrainOptions)
    return training


def _eval(options: sections.EvalOptions) -> DetectionEvalOptions:
    assert isinstance(options, DetectionEvalOptions)
    return options
