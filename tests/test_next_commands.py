"""The commands that `train` suggests at its end work as they are printed."""

import json
import shlex

import pytest

from attnzoo.export import raw_inputs
from attnzoo.runs.trained import load_trained
from attnzoo.training.run import train
from tests import commands, recipes
from tests.thinned import thinned

MASKED = """
seed: 3
data: {{name: csv, train: {folder}/train.csv, vocabulary_size: 64, num_buckets: 1}}
model: {{name: masked_text_model, units: 16, attention: {{name: multi_head, num_heads: 2}}}}
train: {{steps: 2, batch_size: 16, xla: false}}
eval: {{samples: 1}}
"""
LABELS = MASKED.replace("masked_text_model", "multi_label_text_classifier")


def texts(model):
    def config(folder, *overrides):
        recipes.text_config(folder)
        return recipes.write(folder, "texts", model.format(folder=folder), overrides)

    return config


CONFIGS = {
    "text": recipes.text_config,
    "image": recipes.image_config,
    "without_attention": lambda folder, *overrides: recipes.image_config(
        folder, "model.attention=null", *overrides
    ),
    "translation": recipes.translation_config,
    "detection": recipes.detection_config,
    "multi_label": texts(LABELS),
    "text_regression": recipes.text_regression_config,
    "image_regression": recipes.image_regression_config,
    "masked_text": texts(MASKED),
}
SHORT = ("train.xla=false", "train.steps=2", "eval.every=2")
WITHOUT_TEST = {"text", "image", "without_attention", "translation", "text_regression", "image_regression"}


def printed_commands(out):
    """Returns the commands after `next:`, without what each is for."""
    lines = out.partition("next:\n")[2].splitlines()
    return [line.strip().partition("  ")[0] for line in lines if line.startswith("  attnzoo ")]


@pytest.mark.parametrize("name", thinned(CONFIGS, len(CONFIGS)))
def test_every_command_that_train_suggests_works_as_it_is_printed(tmp_path, name, capsys):
    folder = tmp_path / "my run's"
    overrides = (*SHORT, *(("data.test=null",) if name in WITHOUT_TEST else ()))
    train(CONFIGS[name](tmp_path, *overrides), folder)
    suggested = printed_commands(capsys.readouterr().out)
    trained = load_trained(folder)
    attends = json.loads((folder / "result.json").read_text())["attends"]
    assert ("attend" in {command.split()[1] for command in suggested}) == attends
    assert attends == (name not in ("without_attention", "masked_text"))
    data = raw_inputs(trained, 2)
    (tmp_path / "new").mkdir()
    for number, one in enumerate(data):
        (tmp_path / "new" / f"{number}.png").write_bytes(one)
    is_image = trained.task.features[trained.task.input_name].kind == "image"
    lines = [str(tmp_path / "new" / f"{number}.png").encode() for number in range(2)] if is_image else data
    (tmp_path / "new.txt").write_bytes(b"\n".join(lines) + b"\n")
    inputs = {"FILE": str(tmp_path / "new.txt"), "FOLDER": str(tmp_path / "new")}
    for command in suggested:
        arguments = [inputs.get(part, part) for part in shlex.split(command)[1:]]
        ended = commands.run(*arguments, folder=tmp_path, limit_seconds=600)
        assert ended.code == 0, (command, ended.err)
        assert ended.out
        if " eval " in command:
            assert f": {'test' if name == 'detection' else 'validation'}, " in ended.out


def test_a_finished_run_suggests_the_same_commands(runs, capsys):
    train(recipes.text_config(runs["text"].parent), runs["text"])
    verbs = [command.split()[1] for command in printed_commands(capsys.readouterr().out)]
    assert verbs == ["eval", "attend", "predict", "export"]
