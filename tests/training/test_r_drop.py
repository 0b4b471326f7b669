"""Training on two passes with different dropout, which are drawn together."""

import json

import pytest

from attnzoo.training.run import train
from tests import recipes


@pytest.mark.parametrize(
    "kind", ["text", *(pytest.param(name, marks=pytest.mark.slow) for name in ("image", "translation"))]
)
def test_the_divergence_is_logged_for_training_alone(kind, tmp_path):
    make = getattr(recipes, f"{kind}_config")
    options = ["train.r_drop=1", "train.xla=false", "train.steps=2", "train.log_every=1", "eval.every=2"]
    train(make(tmp_path, *options, "model.dropout=0.3"), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.get("divergence", 0.0) > 0.0 if line["split"] == "train" else "divergence" not in line
