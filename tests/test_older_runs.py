"""A run of the version before is refused in one line by every command that reads it."""

import json
import shutil

import pytest
import yaml

from attnzoo import catalog, tasks
from tests import commands
from tests.trees import tree

COMMANDS = {
    "eval": ["eval", "run"],
    "predict": ["predict", "run", "new.txt"],
    "predict-table": ["predict", "run", "new.csv"],
    "attend": ["attend", "run"],
    "export": ["export", "run"],
    "train": ["train", "run.yaml", "--run", "run"],
}


@pytest.fixture
def older(runs, tmp_path):
    """A run as the version before wrote it: options of all tasks, and what is known of data in one table."""
    shutil.copytree(runs["text"], tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    for name in catalog.names("tasks"):
        task = tasks.load(name)
        for section, options in (("train", task.TrainOptions()), ("eval", task.EvalOptions())):
            config[section] = {**options.model_dump(mode="json"), **config[section]}
    assert "beams" in config["eval"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    info = json.loads((tmp_path / "run" / "info.json").read_text())
    del info["format"]
    text, label = info.pop("features")
    info |= {
        "tokenizers": {"text": text["tokenizer"]},
        "vocabulary_sizes": {"text": text["vocabulary_size"]},
        **{"labels": label["names"], "image_shape": None, "image_mean": [], "image_std": []},
    }
    (tmp_path / "run" / "info.json").write_text(json.dumps(info))
    (tmp_path / "new.txt").write_text("good morning\n")
    (tmp_path / "new.csv").write_text("text\ngood morning\n")
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_of_the_version_before_is_refused_in_one_line(older, name):
    before = tree(older / "run", without=older / "run" / ".lock")
    ended = commands.run(*COMMANDS[name], folder=older)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "attnzoo: error: run: written by another version of attnzoo that is not compatible with this one; "
        "use that version, or train again with `attnzoo train --restart`.\n"
    )
    assert tree(older / "run", without=older / "run" / ".lock") == before


def test_a_run_of_the_version_before_can_be_trained_again(older):
    shorter = ("--set", "train.epochs=1", "--set", "train.xla=false")
    ended = commands.run(*COMMANDS["train"], *shorter, "--restart", folder=older)
    assert ended.code == 0, ended.err
    assert json.loads((older / "run" / "info.json").read_text())["format"] == 3
