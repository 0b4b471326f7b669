"""A run folder without the data that it was trained on."""

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pytest

from attnzoo import evaluation, explanation
from attnzoo.config import resolve
from attnzoo.data.splits import Split
from attnzoo.errors import DataNote, UserError
from attnzoo.explanation import Explanation
from attnzoo.export import raw_inputs
from attnzoo.features.info import DataInfo
from attnzoo.features.label import Label
from attnzoo.features.text import Text
from attnzoo.features.weight import Weight
from attnzoo.layers.attention_weights import attention_names
from attnzoo.records.text_files import object_array
from attnzoo.runs import kept_examples
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits
from attnzoo.runs.folder import RunDir
from attnzoo.runs.trained import load_other_split, load_trained
from tests import commands
from tests.thinned import thinned

OTHER_DATA = {"text": ["test.csv"], "image": ["test"], "translation": ["test.a", "test.b"]}


@pytest.fixture
def alone(runs, tmp_path):
    """Function: name of a run -> the run in another place, where its data is not."""

    def copy(name):
        folder = tmp_path / "elsewhere" / name
        shutil.copytree(runs[name], folder)
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace(str(runs[name].parent), str(tmp_path / "gone")))
        return folder

    return copy


@pytest.mark.parametrize("name", thinned(OTHER_DATA, 3))
def test_a_run_keeps_what_an_export_is_checked_with_and_what_attend_shows(runs, alone, name):
    run = alone(name)
    trained = load_trained(run)
    validation = load_splits(load_trained(runs[name]).config).validation
    feature = trained.info.features[trained.task.input_name]
    kept = kept_examples.read(RunDir(run), trained.info)
    assert len(kept) == len(validation)  # all, as they are few
    assert raw_inputs(trained, 3) == feature.raw(validation.first(3).column(trained.task.input_name))
    with pytest.warns(DataNote, match=rf"its data is not there; these are from the {len(kept)} examples of"):
        maps = Explanation(run).explain_examples(None, 2)
    assert len(maps) == 2


@pytest.mark.parametrize("name", thinned([*OTHER_DATA], 2))
def test_eval_takes_other_data_of_the_same_kind(runs, alone, name):
    run = alone(name)
    paths = [str(runs[name].parent / path) for path in OTHER_DATA[name]]
    result, _ = evaluation.evaluate(run, data=paths)
    expected = json.loads((runs[name] / "result.json").read_text())
    assert (result["split"], result["examples"]) == (", ".join(paths), expected["examples"])
    assert {key: value for key, value in result["metrics"].items() if not isinstance(value, str)} == (
        pytest.approx(
            {key: value for key, value in expected["metrics"].items() if not isinstance(value, str)}, abs=1e-4
        )
    )


def test_without_its_data_eval_says_how_to_name_other_data(alone):
    run = alone("text")
    with pytest.raises(
        UserError, match=rf"its data is not there \(.*train\.csv not found\).*eval {run} --data FILE"
    ):
        evaluation.evaluate(run)


def test_other_data_may_have_fewer_classes_and_no_unknown_ones(runs, alone, tmp_path):
    run = alone("text")
    table = tmp_path / "new.csv"
    table.write_text("text,label\nguten morgen 1,de\n")
    result, _ = evaluation.evaluate(run, data=[str(table)])
    assert result["metrics"]["accuracy"] == 1.0
    table.write_text("text,label\nguten morgen 1,de\nbonjour,fr\n")
    with pytest.raises(UserError, match=r"new\.csv:3: label 'fr' does not occur in train"):
        evaluation.evaluate(run, data=[str(table)])
    with pytest.raises(UserError, match=r"--split"):
        evaluation.evaluate(run, "test", data=[str(runs["text"].parent / "test.csv")])
    with pytest.raises(UserError, match=r"nowhere\.csv: not found"):
        evaluation.evaluate(run, data=[str(tmp_path / "nowhere.csv")])


def test_other_data_needs_no_weights(runs):
    trained = load_trained(runs["text"])
    data = trained.config.data.replaced(weight="importance")
    weighted = dataclasses.replace(
        trained,
        config=dataclasses.replace(trained.config, data=data),
        info=dataclasses.replace(
            trained.info, features={**trained.info.features, "weight": Weight(mean=1.0, greatest=2.0)}
        ),
    )
    _, split, info = load_other_split(weighted, [str(runs["text"].parent / "test.csv")])
    assert set(split.names) == set(info.features) == {"text", "label"}


def test_other_data_that_a_run_cannot_read_is_one_line(runs, tmp_path):
    ended = commands.run("eval", runs["translation"], "--data", "one.txt", folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "attnzoo: error: --data one.txt: expected two files or more, line-aligned: the sources, then their "
        "translations (data.name: parallel_text).\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OTHER_DATA, "detection"])
def test_every_command_works_on_a_run_without_its_data(runs, alone, tmp_path, name):
    run = alone(name)
    new = {"text": "guten morgen\n", "translation": "abc\n"}
    inputs = tmp_path / "new.txt"
    if name in new:
        inputs.write_text(new[name])
    else:
        image = raw_inputs(load_trained(run), 1)[0]
        inputs = tmp_path / "new.png"
        inputs.write_bytes(image)
    arguments = [("export", run), ("attend", run), ("predict", run, inputs)]
    if name in OTHER_DATA:
        arguments.append(("eval", run, *(f"--data={runs[name].parent / path}" for path in OTHER_DATA[name])))
    for command in arguments:
        ended = commands.run(*command, folder=tmp_path, limit_seconds=600)
        assert ended.code == 0, ended.err


def texts_of(*values):
    return Split({"text": object_array(list(values)), "label": np.zeros(len(values), np.int32)}, "texts")


@pytest.fixture
def empty_run(tmp_path):
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


FEATURES = {"text": Text(), "label": Label(names=("a", "b"))}
INFO = DataInfo("text_classification", FEATURES, fingerprint="first")


def test_kept_examples_are_few_and_small_and_in_order(empty_run, monkeypatch):
    monkeypatch.setattr(kept_examples, "MAX_EXAMPLES", 7)
    validation = texts_of(*(f"text {number:02}" for number in range(31)))
    kept_examples.keep(empty_run, validation, INFO)
    texts = kept_examples.read(empty_run, INFO).column("text").tolist()
    assert len(texts) == 7
    assert texts == sorted(texts)
    assert set(texts) <= set(validation.column("text"))
    monkeypatch.setattr(kept_examples, "MAX_BYTES", 3 * (len("text 00") + 8 + 4))
    kept_examples.keep(empty_run, validation, info_with("second"))
    assert len(kept_examples.read(empty_run, INFO)) == 3


def info_with(fingerprint):
    return DataInfo("text_classification", FEATURES, fingerprint=fingerprint)


def test_kept_examples_are_written_once_and_again_for_other_data(empty_run):
    kept_examples.keep(empty_run, texts_of("one"), INFO)
    kept_examples.keep(empty_run, texts_of("two"), INFO)
    assert kept_examples.read(empty_run, INFO).column("text").tolist() == ["one"]
    kept_examples.keep(empty_run, texts_of("two"), info_with("second"))
    assert kept_examples.read(empty_run, INFO).column("text").tolist() == ["two"]
    empty_run.clear()
    assert kept_examples.read(empty_run, INFO) is None
    assert not empty_run.examples.exists()


def test_examples_that_are_all_too_large_are_not_kept(empty_run, monkeypatch):
    kept_examples.keep(empty_run, texts_of("one"), info_with("of other data"))
    monkeypatch.setattr(kept_examples, "MAX_BYTES", 5)
    kept_examples.keep(empty_run, texts_of("too long", "longer still"), INFO)
    assert not empty_run.examples.exists()


def test_a9_kept_examples_that_are_damaged_are_one_line(empty_run):
    kept_examples.keep(empty_run, texts_of("one", "two"), INFO)
    with pytest.raises(
        UserError, match=r"examples: damaged \(class numbers 0 to 0, expected 0 to -1\)"
    ) as caught:
        kept_examples.read(empty_run, DataInfo("text_classification", {"text": Text(), "label": Label()}))
    assert caught.value.exit_code == 4
    file = empty_run.examples / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged: its checksum differs") as caught:
        kept_examples.read(empty_run, INFO)
    assert caught.value.exit_code == 4


WITHOUT_ATTENTION = {
    "text": ["model.num_layers=0", "model.pooling=mean"],
    "image": ["model.attention=null"],
}


@pytest.mark.parametrize("name", thinned(WITHOUT_ATTENTION, 2))
def test_a_model_without_attention_is_told_the_option_that_gives_it_one(runs, name, monkeypatch):
    (path,) = runs[name].parent.glob("*.yaml")
    options = WITHOUT_ATTENTION[name]
    trained = load_trained(runs[name])

    def with_model(overrides):
        config = resolve(path, overrides).config
        return {"config": config, "model": build_model(config, trained.info)}

    without = type(trained)(**{**vars(trained), **with_model(options)})
    monkeypatch.setattr(explanation, "load_trained", lambda folder: without)
    with pytest.raises(UserError, match=r"without a layer with attention.*; train one with --set") as caught:
        Explanation(runs[name])
    advice = str(caught.value).rstrip(".").split(" --set ")[1:]
    assert any(one.startswith("model.attention.name=") for one in advice)
    assert attention_names(with_model([*options, *advice])["model"])


def test_nothing_is_said_where_the_data_is_there(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Explanation(runs["text"]).explain_examples(None, 1)) == 1
