import json

from attnzoo.training.run import train
from tests import recipes


def test_after_a_run_with_attention_it_is_offered_to_be_shown(runs, capsys):
    run = runs["image"]
    assert json.loads((run / "result.json").read_text())["attends"] is True
    capsys.readouterr()
    train(recipes.image_config(run.parent, "train.xla=false", "eval.calibrate=true"), run)
    printed = capsys.readouterr().out
    assert "already finished" in printed
    for verb in ("eval", "attend", "predict", "export"):
        assert f"attnzoo {verb} {run}" in printed


def test_after_a_run_without_attention_it_is_not(tmp_path, capsys):
    resolved = recipes.image_config(tmp_path, "train.xla=false", "train.steps=1", "model.attention=null")
    for _ in ("trained", "already finished"):
        train(resolved, tmp_path / "run")
        printed = capsys.readouterr().out
        assert f"attnzoo predict {tmp_path / 'run'}" in printed
        assert "attnzoo attend" not in printed
    assert json.loads((tmp_path / "run" / "result.json").read_text())["attends"] is False
