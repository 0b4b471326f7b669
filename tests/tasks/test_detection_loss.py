"""The loss of detectors, and that it is learned."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.losses.complete_iou import complete_iou
from attnzoo.losses.focal import focal
from attnzoo.losses.generalized_iou import generalized_iou
from attnzoo.losses.quality_focal import quality_focal
from attnzoo.models import detector, detector_transformer
from attnzoo.tasks.detection import Detection
from attnzoo.tasks.detection_loss import loss_sums
from attnzoo.tasks.detection_options import DetectionTrainOptions
from attnzoo.training import optimizers
from attnzoo.training.step import TrainStep
from tests.boxes import CROWD, NOTHING, OBJECT, packed

SIDE = 32
INFO = DataInfo(
    "detection",
    {
        "image": Image(shape=(SIDE, SIDE, 3), mean=(0.5,) * 3, std=(0.3,) * 3),
        "boxes": Boxes(names=("red", "green"), max_boxes=3, canvas=(SIDE, SIDE)),
    },
)
OPTIONS = {"stages": [[8], [16]], "strides": [4, 8], "pyramid_units": 16}
LEFT, RIGHT = (0.0, 0.25, 0.5, 0.75), (0.5, 0.25, 1.0, 0.75)


@pytest.fixture(scope="module")
def model():
    return detector.build(detector.Config(**OPTIONS, head_depth=0), INFO)


def sums(model, outputs, images, weights=None, **options):
    weights = tf.ones([len(images)]) if weights is None else tf.constant(weights)
    found = loss_sums(
        model, outputs, tf.constant(packed(images, 3)), weights, DetectionTrainOptions(**options)
    )
    return {name: value.numpy() for name, value in found.items()}


def outputs_of(model, batch=2, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.normal(size=(batch, SIDE, SIDE, 3)).astype(np.float32)
    return {name: tf.identity(value) for name, value in model({"image": image}, training=False).items()}


def one(outputs, index):
    return {name: value[index : index + 1] for name, value in outputs.items()}


def test_the_sums_of_a_batch_are_those_of_its_images(model):
    outputs = outputs_of(model)
    images = [[(LEFT, 0, OBJECT), (RIGHT, 1, OBJECT)], []]
    both = sums(model, outputs, images)
    apart = [sums(model, one(outputs, index), [images[index]]) for index in range(2)]
    for name, value in both.items():
        np.testing.assert_allclose(value, apart[0][name] + apart[1][name], rtol=1e-4)
    assert both["loss"][1] == 2 + 1  # an image without objects counts as one object
    assert apart[1]["box_loss"][0] == 0.0
    assert apart[1]["class_loss"][0] > 0.0
    np.testing.assert_allclose(both["loss"], both["class_loss"] + [both["box_loss"][0], 0.0], rtol=1e-5)


def test_images_that_fill_up_a_batch_and_padding_do_not_count(model):
    outputs = outputs_of(model)
    images = [[(LEFT, 0, OBJECT)], [(RIGHT, 1, OBJECT)]]
    expected = sums(model, one(outputs, 0), images[:1])
    images[0].insert(0, ((0.3, 0.3, 0.9, 0.9), 1, NOTHING))
    for name, value in sums(model, outputs, images, weights=[1.0, 0.0]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4)


def test_a_crowd_takes_the_class_loss_of_what_is_in_it_away(model):
    outputs = outputs_of(model, batch=1)
    nothing = sums(model, outputs, [[]])
    crowd = sums(model, outputs, [[((0.0, 0.0, 1.0, 1.0), 0, CROWD)]])
    assert nothing["class_loss"][0] > 0.0
    np.testing.assert_allclose(crowd["class_loss"], [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "class_loss", "box_loss"),
    [
        ({}, quality_focal, complete_iou),
        ({"box_loss": "giou", "box_weight": 3.0, "focal_gamma": 1.5}, quality_focal, generalized_iou),
        ({"class_loss": "focal", "distance_weight": 2.0}, focal, complete_iou),
    ],
)
def test_the_options_choose_the_losses_and_their_weights(model, options, class_loss, box_loss):
    outputs = outputs_of(model, batch=1)
    image = [[(LEFT, 0, OBJECT), (RIGHT, 1, OBJECT)]]
    found = sums(model, outputs, image, **options)
    from attnzoo.layers.matches import unpack_objects

    matches = model.get_layer("head").match(outputs, unpack_objects(tf.constant(packed(image, 3))))
    scores = tf.cast(matches.scores > 0.0, tf.float32) if class_loss is focal else matches.scores
    expected = tf.reduce_sum(class_loss(outputs["logits"], scores, options.get("focal_gamma", 2.0)))
    np.testing.assert_allclose(found["class_loss"][0], expected, rtol=1e-4)
    losses = options.get("box_weight", 2.0) * box_loss(outputs["boxes"], matches.boxes)
    difference = (outputs["boxes"] - matches.boxes).numpy()
    sides = np.abs(difference[..., 2:] - difference[..., :2]).sum(axis=-1)
    centers = np.abs(difference[..., 2:] + difference[..., :2]).sum(axis=-1) / 2.0
    losses += options.get("distance_weight", 0.0) * (sides + centers)
    np.testing.assert_allclose(found["box_loss"][0], tf.reduce_sum(losses * matches.weights), rtol=1e-4)


def test_gradients_of_an_untrained_model_are_finite_for_any_objects(model):
    images = [
        [(LEFT, 0, OBJECT), (LEFT, 1, OBJECT), ((0.4, 0.4, 0.4, 0.9), 0, OBJECT)],
        [((0.0, 0.0, 1e-4, 1e-4), 1, OBJECT), ((0.0, 0.0, 1.0, 1.0), 0, CROWD)],
    ]
    generator = np.random.default_rng(0)
    image = generator.normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = model({"image": image}, training=True)
        found = loss_sums(
            model, outputs, tf.constant(packed(images, 3)), tf.ones([2]), DetectionTrainOptions()
        )
        loss = found["loss"][0]
    assert np.isfinite(loss)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient).all(), variable.path


def eight_images():
    """Red and green squares, one or two an image: pixels, and boxes as in a batch."""
    generator = np.random.default_rng(5)
    pixels = generator.normal(0.0, 0.05, (8, SIDE, SIDE, 3)).astype(np.float32)
    images = []
    for image in pixels:
        objects = []
        for half in range(generator.integers(1, 3)):
            size, color = int(generator.integers(7, 13)), int(generator.integers(2))
            left = int(generator.integers(half * 16, half * 16 + 16 - size))
            top = int(generator.integers(0, SIDE - size))
            image[top : top + size, left : left + size, color] += 2.0
            box = np.array([left, top, left + size, top + size]) / SIDE
            objects.append((box, color, OBJECT))
        images.append(objects)
    return tf.constant(pixels), packed(images, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detector", "detector_transformer"])
def test_eight_images_are_learned_by_heart(name):
    config = {
        "detector": detector.Config(**OPTIONS, head_depth=1),
        "detector_transformer": detector_transformer.Config(**OPTIONS, num_queries=9, num_layers=2),
    }[name]
    task, options = Detection(), DetectionTrainOptions(learning_rate=3e-3, clip_norm=5.0)
    module = detector if name == "detector" else detector_transformer
    keras.utils.set_random_seed(1)
    model = module.build(config, INFO)
    pixels, objects = eight_images()
    batch = (
        {"image": pixels},
        {"boxes": tf.constant(objects), "weights": tf.ones([8]), "indices": tf.range(8)},
    )
    strategy = tf.distribute.get_strategy()
    step = TrainStep(model, optimizers.build(options), task, INFO, options, strategy, xla=False)
    losses = []
    for number in range(300):
        rate = 3e-3 * min(1.0, (300 - number) / 150)
        found = step.step([batch], rate)
        losses.append(float(found["loss"][0] / found["loss"][1]))
    assert losses[0] > 2.0
    assert losses[-1] < 0.1 * losses[0]
    predict = task.predict_fn([model], INFO, task.EvalOptions(), False)
    for found, true in zip(predict(batch[0]).numpy(), objects, strict=True):
        sure = found[found[:, 4] > 0.5]
        true = true[true[:, 5] > 0.0]
        assert len(sure) == len(true)
        order = np.argsort(sure[:, 0]), np.argsort(true[:, 0])
        np.testing.assert_array_equal(sure[order[0], 5], true[order[1], 4])
        np.testing.assert_allclose(sure[order[0], :4], true[order[1], :4], atol=0.06)
