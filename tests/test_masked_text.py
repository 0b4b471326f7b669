"""Learning from texts without labels, and starting a classifier from there."""

import json

import numpy as np
import pytest

from attnzoo.errors import UserError
from attnzoo.export import export
from attnzoo.features.info import DataInfo
from attnzoo.files import read_json
from attnzoo.runs.trained import load_trained
from attnzoo.training.run import train
from tests import commands, recipes


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run on the greetings without their labels, and what it printed."""
    folder = tmp_path_factory.mktemp("masked")
    recipes.text_config(folder)
    for split in ("train", "test"):
        texts = [line.split(",")[0] for line in (folder / f"{split}.csv").read_text().splitlines()[1:]]
        lines = (json.dumps({"text": text}) for text in texts)
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    text = f"""
seed: 3
data: {{name: csv, train: {folder}/train.jsonl, test: {folder}/test.jsonl, num_buckets: 1}}
model: {{name: masked_text_model, units: 16, attention: {{name: multi_head, num_heads: 2}}}}
train: {{steps: 120, batch_size: 16, learning_rate: 2e-2, xla: false}}
eval: {{every: 60, samples: 4}}
"""
    recipes.write(folder, "masked", text, ())
    ended = commands.run("train", "masked.yaml", "--run", "run", folder=folder)
    assert ended.code == 0, ended.err
    return folder / "run", ended.out


def test_masked_tokens_are_learned_and_training_ends_with_a_suggestion(pretrained):
    run, out = pretrained
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    assert losses[-1] < 0.8 * losses[0]
    assert set(read_json(run / "result.json")["metrics"]) == {"loss", "token_accuracy", "perplexity"}
    assert f"train.init_from: {run.name}" in out
    assert "attnzoo export" not in out
    assert list(DataInfo.read(run / "info.json").features) == ["text"]


@pytest.mark.slow
def test_a_classifier_starts_with_its_weights(pretrained, tmp_path, capsys):
    run, _ = pretrained
    options = (
        "data.vocabulary_size=10000",
        "train.xla=false",
        "train.steps=1",
        "train.learning_rate_multipliers={'[!lp]*': 0}",
        "model.position=sinusoidal",
    )
    train(recipes.text_config(tmp_path, *options, f"train.init_from={run}"), tmp_path / "run")
    assert "randomly initialized: logits/kernel" in capsys.readouterr().out
    old, new = load_trained(run).model, load_trained(tmp_path / "run").model
    before = {variable.path: variable.numpy() for variable in old.weights}
    same = [
        variable.path for variable in new.weights if variable.path in before and "seed" not in variable.path
    ]
    assert {path.split("/")[0] for path in same} == {"embedding", "block_0", "norm"}
    for variable in new.weights:
        if variable.path in same:
            np.testing.assert_array_equal(variable.numpy(), before[variable.path])


def test_what_it_cannot_be_asked_is_one_line(pretrained, tmp_path):
    run, _ = pretrained
    with pytest.raises(UserError, match="a run of masked_text, which makes no predictions of its own"):
        export(run, tmp_path / "export")
    ended = commands.run("eval", run, "--json", folder=tmp_path)
    assert json.loads(ended.out)["metrics"]["perplexity"] > 1.0
    (tmp_path / "texts").write_text("hello\n")
    for arguments, message in (
        (["predict", run, "texts"], "a run of masked_text, which makes no predictions of its own"),
        (["attend", run, "hello"], "a run of masked_text without a layer with attention over positions"),
    ):
        ended = commands.run(*arguments, folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
