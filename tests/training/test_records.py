"""Rows for people, as TensorBoard shows them."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from attnzoo.runs.folder import RunDir
from attnzoo.training.records import MAX_CELL_CHARACTERS, Records, markdown_table, trial_id


def test_rows_are_a_table_with_escaped_markdown_characters():
    rows = [{"text": "a|b", "label": [("x", False), ("y*", True)]}, {"text": "<b>", "label": "z"}]
    assert markdown_table(rows).splitlines() == [
        "| text | label |",
        "| --- | --- |",
        "| a&#124;b | x **y&#42;** |",
        "| &#60;b&#62; | z |",
    ]
    assert markdown_table([]) == "(no rows)"


def test_rows_beside_a_long_cell_are_paragraphs_short_columns_first():
    long = [("word", True), *[("next", False)] * (MAX_CELL_CHARACTERS // 4)]
    result = markdown_table(
        [
            {"tokens": long, "label": "neg", "predicted": "pos"},
            {"tokens": "a", "label": "b", "predicted": "c"},
        ]
    )
    first, second = result.split("---\n\n")[1:]
    assert first.startswith("label: neg \u00b7 predicted: pos\n\ntokens: **word** next next")
    assert second.strip() == "label: b \u00b7 predicted: c\n\ntokens: a"


def test_runs_of_one_name_in_two_folders_are_two_trials(tmp_path):
    one, other = (trial_id(tmp_path / name / "run") for name in ("a", "b"))
    assert one != other
    assert one.startswith("run-")
    assert str(tmp_path) not in one


def test_options_stand_beside_the_numbers_they_led_to_and_those_without_a_value_are_left_out(tmp_path):
    run = RunDir(tmp_path)
    with Records(run, {}) as records:
        records.scalars("final", 3, {"accuracy": 0.5})
        records.hparams("final", 3, {"train.steps": 3, "eval.every": None, "model.stages": [[4]]})
    (written,) = run.logs.iterdir()
    assert written.name == "final"
    accumulator = EventAccumulator(str(written)).Reload()
    assert [tag for tag in accumulator.Tags()["tensors"] if "hparam" not in tag] == ["accuracy"]
    (content,) = (
        content
        for tag, content in accumulator.PluginTagToContent("hparams").items()
        if tag.endswith("session_start_info")
    )
    options = HParamsPluginData.FromString(content).session_start_info.hparams
    assert sorted(options) == ["model.stages", "train.steps"]
