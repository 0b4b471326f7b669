"""Where image classifiers attend: as data, as pictures over the image, and in TensorBoard."""

import json

import numpy as np
import pytest
import tensorflow as tf

from attnzoo import tasks
from attnzoo.config.sections import EvalOptions
from attnzoo.errors import UserError
from attnzoo.explain.image import ImageView, over_image
from attnzoo.explanation import Explanation
from attnzoo.features.image import Image
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.layers.attention_weights import attention_names
from attnzoo.models import image_classifier
from tests import commands

IMAGE = Image(shape=(12, 8, 3), mean=(0.5,) * 3, std=(0.2,) * 3)
INFO = DataInfo("image_classification", features={"image": IMAGE, "label": Label(names=("a", "b"))})


def model_of(**options):
    config = image_classifier.Config.model_validate({"name": "image_classifier", **options})
    return image_classifier.build(config, INFO)


def view_of(model):
    """What TensorBoard shows of a model, if anything."""
    return tasks.load("image_classification").attention_view(model, INFO, EvalOptions())


@pytest.fixture
def pictures():
    return np.random.default_rng(3).integers(0, 256, (3, 12, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("options", "names", "sides"),
    [
        ({"stages": [[4]], "attention": "sigmoid"}, ["attention"], (6, 4)),
        ({"stages": [[4], [6]], "pooling": "attention"}, ["pooling"], (3, 2)),
        ({"stages": [{"width": 4, "depth": 1, "attention": "cbam"}]}, ["stage_0_block_0"], (12, 8)),
        (
            {"stages": [{"width": 4, "depth": 1, "stride": 2, "attention": "multi_head"}]},
            ["stage_0_attention"],
            (6, 4),
        ),
    ],
)
def test_weights_are_those_of_the_last_attention_over_its_map(pictures, options, names, sides):
    model = model_of(**options)
    assert attention_names(model) == names
    result = view_of(model).predict_with_attention(pictures)
    assert [one.weights.shape for one in result] == [sides] * 3
    logits = model({"image": IMAGE.prepare(tf.constant(pictures))})
    np.testing.assert_allclose([one.values for one in result], tf.nn.softmax(logits), atol=1e-5)
    if names != ["stage_0_block_0"]:  # a gate's factors need not sum to one
        np.testing.assert_allclose([one.weights.sum() for one in result], 1.0, atol=1e-5)


def test_a_model_without_attention_over_positions_shows_none():
    model = model_of(stages=[{"width": 4, "depth": 1, "attention": "squeeze_excitation"}, {"width": 4}])
    assert attention_names(model) == []
    assert view_of(model) is None
    with pytest.raises(UserError, match="no layer with attention over positions"):
        ImageView(model, INFO)


def test_colors_are_where_the_weights_are(pictures):
    weights = np.zeros((6, 4), np.float32)
    weights[1, 1] = 1.0
    gray = np.full((12, 8, 3), 100, np.uint8)
    drawn = over_image(gray, weights)
    change = np.abs(drawn - 100 / 255).max(axis=-1)
    assert change[2:4, 2:4].min() > 0.1
    assert change[8:, :].max() < 0.01


def test_files_and_examples_are_answered_and_drawn(runs, tmp_path):
    run = runs["image"]
    explanation = Explanation(run)
    one, _ = explanation.explain_examples(None, 2)
    answer = json.loads(one.to_json())
    assert answer["true_label"] in ("bright", "dark")
    assert one.weights.shape == (4, 4)
    assert (
        one.prediction_text == f"{answer['label']} {answer['probability']:.4f} (true: {answer['true_label']})"
    )
    pixels = np.full((9, 7, 3), 40, np.uint8)
    path = tmp_path / "night.png"
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    (given,) = explanation.explain_inputs([str(path)])
    assert (given.image, given.truth) == (str(path), None)
    assert json.loads(given.to_json())["true_label"] is None
    assert explanation.view.write([given], tmp_path / "drawn", "x") == [tmp_path / "drawn" / "1.png"]
    assert tf.io.decode_png((tmp_path / "drawn" / "1.png").read_bytes()).shape[1] > 200
    (tmp_path / "not.png").write_text("no image")
    with pytest.raises(UserError, match=r"not\.png: not a JPEG, PNG, WebP, GIF or BMP image"):
        explanation.explain_inputs([str(tmp_path / "not.png")])
    with pytest.raises(UserError, match="--layer other: no such attention layer; expected one of attention"):
        Explanation(run, layer="other")


def test_the_command_draws_or_prints_json(runs, tmp_path):
    run = runs["image"]
    ended = commands.run("attend", run, "--count", "2", "--out", tmp_path / "seen", folder=tmp_path)
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["1.png", "2.png"]
    assert "(true: " in ended.out
    ended = commands.run("attend", run, "--count", "1", "--json", folder=tmp_path)
    assert np.array(json.loads(ended.out)["weights"]).shape == (4, 4)
    for option in ("--faithfulness", "--beams=2"):
        ended = commands.run("attend", run, option, folder=tmp_path)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1


def test_tensorboard_has_pictures_of_each_evaluation_as_wide_as_it_shows_them(runs):
    folder = runs["image"] / "logs" / "validation"
    events = [
        (event.step, value.tensor.string_val)
        for path in folder.glob("*tfevents*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "attention"
    ]
    steps, pictures = zip(*events, strict=True)
    assert len(steps) >= 2
    assert list(steps) == sorted(steps)
    width, _, *each = pictures[-1]
    assert int(width) == 350
    assert len(each) > 1
