"""Shipped configs reach what their heads say; minutes each."""

import json
import subprocess
import sys

import pytest

from attnzoo import catalog

pytestmark = pytest.mark.slow


def attnzoo(*arguments):
    return [sys.executable, "-m", "attnzoo", *map(str, arguments)]


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        ("detect_shapes", "ap50", 0.97),
        ("detect_shapes_transformer", "ap50", 0.9),
        ("image_digits", "accuracy", 0.98),
        ("text_languages", "accuracy", 0.95),
        ("translate_dates", "exact_match", 0.97),
        ("text_learned_weights", "accuracy", 0.9),
        ("text_additive", "accuracy", 0.8),
        ("text_scaled_dot_product", "accuracy", 0.9),
        ("image_sigmoid_attention", "accuracy", 0.95),
        ("image_position_gate", "accuracy", 0.9),
    ],
)
def test_a_recipe_on_embedded_data_reaches_its_figure(tmp_path, name, metric, least):
    run = tmp_path / "run"
    subprocess.run(attnzoo("train", catalog.config_path(name), "--run", run), check=True)
    evaluated = subprocess.run(attnzoo("eval", run, "--json"), check=True, capture_output=True, text=True)
    assert json.loads(evaluated.stdout)["metrics"][metric] >= least
