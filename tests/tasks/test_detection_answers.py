"""Detections in pixels of the original image: of a predictor, and of an export."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PillowImage

from attnzoo.errors import UserError
from attnzoo.images.letterbox import to_canvas
from attnzoo.tasks import detection_answers, detection_decoding
from attnzoo.tasks.detection_decoding import Decoding
from tests.tasks.fixed_detector import fixed_detector

DECODING = Decoding(0.25, 0.6, 5, one_class=True)
LEFT_HALF = (0.0, 0.25, 0.5, 0.75)
"""Of the canvas: the left half of an image twice as wide as high that is letterboxed."""


def save_image(path, height, width, orientation=None):
    """Writes a gray JPEG image, turned as a camera says."""
    exif = PillowImage.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    PillowImage.new("RGB", (width, height), (90, 90, 90)).save(path, exif=exif)
    return str(path)


def answers_of(paths, boxes, logits, decoding=DECODING, **options):
    model, info = fixed_detector(boxes, logits, **options)
    return detection_answers.predictor([model], info, decoding)(paths)


def test_boxes_are_in_pixels_of_the_original_image_whatever_its_size(tmp_path):
    paths = [save_image(tmp_path / "small.jpg", 20, 40), save_image(tmp_path / "large.jpg", 300, 600)]
    small, large = answers_of(paths, [LEFT_HALF], [[2.0, -3.0]])
    assert (small["height"], small["width"]) == (20, 40)
    assert small["detections"] == [{"label": "cat", "score": 0.880797, "box": [0.0, 0.0, 20.0, 20.0]}]
    assert large["detections"][0]["box"] == [0.0, 0.0, 300.0, 300.0]


def test_boxes_are_of_the_upright_image_where_the_camera_was_turned(tmp_path):
    path = save_image(tmp_path / "turned.jpg", 40, 20, orientation=6)  # upright it is 20 high, 40 wide
    (answer,) = answers_of([path], [LEFT_HALF], [[-3.0, 2.0]])
    assert (answer["height"], answer["width"]) == (20, 40)
    assert answer["detections"][0]["box"] == [0.0, 0.0, 20.0, 20.0]


def test_boxes_end_at_the_edges_of_the_image(tmp_path):
    path = save_image(tmp_path / "wide.jpg", 20, 40)
    (answer,) = answers_of([path], [(-0.2, 0.0, 1.3, 1.0)], [[2.0, -3.0]])
    assert answer["detections"][0]["box"] == [0.0, 0.0, 40.0, 20.0]


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_boxes_survive_the_way_to_the_canvas_and_back(resize):
    _, info = fixed_detector([LEFT_HALF], [[0.0, 0.0]], resize=resize)
    sizes = np.array([[37, 101], [101, 37], [16, 16]])
    boxes = np.array([[2.0, 3.0, 11.0, 15.5]], np.float32)
    for height, width in sizes:
        row = np.zeros((1, 1, 6), np.float32)
        row[0, :, :4] = to_canvas(boxes, int(height), int(width), (32, 32), resize)
        row[..., 4:] = 0.5, 1.0
        (found,) = detection_decoding.unpack(row, np.array([[height, width]]), info.features["image"])
        np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)
        assert (found.scores.tolist(), found.labels.tolist()) == ([0.5], [1])


def test_an_image_without_detections_has_an_empty_answer(tmp_path):
    path = save_image(tmp_path / "empty.jpg", 20, 40)
    (answer,) = answers_of([path], [LEFT_HALF], [[-9.0, -9.0]])
    assert answer["detections"] == []
    assert detection_answers.answer_line(answer) == f"{path}\tnothing"
    assert detection_answers.answer_table(answer)[1] == []


def scores_of(boxes, logits, decoding=DECODING, suppressed=True):
    """Scores and classes of the detections of one image."""
    outputs = {"boxes": tf.constant([boxes]), "logits": tf.constant([logits])}
    (rows,) = detection_decoding.decode(outputs, decoding, suppressed).numpy()
    return [(round(float(score), 2), int(label)) for *_, score, label in rows if score > 0]


def test_overlapping_candidates_of_a_class_give_one_detection_unless_they_are_a_set():
    boxes, logits = [LEFT_HALF, (0.0, 0.25, 0.5, 0.74)], [[2.0, -9.0], [1.0, -9.0]]
    assert scores_of(boxes, logits) == [(0.88, 0)]
    assert scores_of(boxes, logits, suppressed=False) == [(0.88, 0), (0.73, 0)]
    assert scores_of(boxes, logits, DECODING._replace(iou=0.99)) == [(0.88, 0), (0.73, 0)]


def test_a_candidate_is_answered_with_its_best_class_only():
    assert scores_of([LEFT_HALF], [[1.0, 2.0]]) == [(0.88, 1)]
    assert scores_of([LEFT_HALF], [[1.0, 2.0]], DECODING._replace(one_class=False)) == [(0.88, 1), (0.73, 0)]


def test_several_models_put_their_candidates_together(tmp_path):
    path = save_image(tmp_path / "one.jpg", 20, 40)
    right = (0.5, 0.25, 1.0, 0.75)
    models, (info, _) = zip(
        *(fixed_detector([box], [[2.0, -9.0]]) for box in (LEFT_HALF, right)), strict=True
    )
    (answer,) = detection_answers.predictor(models, info, DECODING)([path])
    assert [one["box"][0] for one in answer["detections"]] == [0.0, 20.0]


def test_a_broken_image_is_named(tmp_path):
    path = tmp_path / "broken.jpg"
    save_image(path, 64, 64)
    data = bytearray(path.read_bytes())
    data[180:-40] = bytes(len(data) - 220)
    path.write_bytes(data)
    good = save_image(tmp_path / "good.jpg", 20, 40)
    with pytest.raises(UserError, match=r"broken\.jpg"):
        answers_of([good, str(path)], [LEFT_HALF], [[2.0, -9.0]])


def test_an_export_gives_what_the_predictor_does(tmp_path):
    paths = [save_image(tmp_path / "small.jpg", 20, 40), save_image(tmp_path / "large.jpg", 300, 600)]
    model, info = fixed_detector([LEFT_HALF, (0.5, 0.5, 0.75, 0.6)], [[2.0, -3.0], [-3.0, 1.0]])
    module = detection_answers.serving_module(model, info, DECODING)
    folder = str(tmp_path / "saved")
    tf.saved_model.save(module, folder, module.signatures())
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    contents = tf.constant([tf.io.read_file(path).numpy() for path in paths])
    outputs = {name: tensor.numpy() for name, tensor in serve(image=contents).items()}
    answers = detection_answers.predictor([model], info, DECODING)(paths)
    for index, answer in enumerate(answers):
        count = outputs["num_detections"][index]
        assert count == len(answer["detections"]) == 2
        for number, one in enumerate(answer["detections"]):
            assert outputs["labels"][index, number].decode() == one["label"]
            assert outputs["scores"][index, number] == pytest.approx(one["score"], abs=1e-6)
            assert outputs["boxes"][index, number] == pytest.approx(one["box"], abs=0.01)
        assert (outputs["labels"][index, count:] == b"").all()
        assert not outputs["boxes"][index, count:].any()
    assert serve(image=tf.constant([], tf.string))["boxes"].shape == (0, *outputs["boxes"].shape[1:])
