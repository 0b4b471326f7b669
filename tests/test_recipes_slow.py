"""Shipped configs reach what their heads say; minutes each."""

import json
import random
import subprocess
import sys
import time

import pytest

from attnzoo import catalog
from attnzoo.run_dir import RunDir
from tests import recipes
from tests.training.test_resume import outcome

pytestmark = pytest.mark.slow


def attnzoo(*arguments):
    return [sys.executable, "-m", "attnzoo", *map(str, arguments)]


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
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


def test_kills_at_random_moments_end_bit_identical(tmp_path):
    resolved = recipes.text_config(
        tmp_path, "train.epochs=60", "train.xla=false", "train.checkpoint_seconds=0"
    )
    config = tmp_path / "killed.yaml"
    config.write_text(resolved.to_yaml(), "utf-8")
    subprocess.run(attnzoo("train", config, "--run", tmp_path / "whole"), check=True)
    command = attnzoo("train", config, "--run", tmp_path / "killed")
    moments, run = random.Random(11), RunDir(tmp_path / "killed")
    for _ in range(10):
        if run.result.exists():
            break
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(5, 25))
        process.kill()
        process.wait()
    subprocess.run(command, check=True)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
