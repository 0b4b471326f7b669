"""What the paths in a config are relative to."""

import json
from pathlib import Path

import pytest

from attnzoo import catalog
from attnzoo.config import RunConfig, locations, resolve
from attnzoo.errors import ConfigErrors

TEXTS = "data: {name: csv, train: a.csv, test: ../b.csv}\nmodel: text_classifier\n"
PAIRS = """
data: {name: parallel_text, train: [a.en, /a.de], train_alignments: links}
model: translation
train: {guided_alignment: 1}
"""
LISTS = """
data: {name: parallel_text, train: [[a.en, b*.en], [a.de, b*.de]], validation: [v.en, [/v.de]]}
model: translation
"""
VOCS = "data: {name: voc, folder: photos, train: [train, x.txt]}\nmodel: detector\n"
VOC = "data: {name: voc, folder: photos, train: train, test: lists/x.txt}\nmodel: detector\n"
COCO = "data: {name: coco, train: a.json, train_images: photos}\nmodel: detector\n"
YOLO = "data: {name: yolo, file: data.yaml}\nmodel: detector\n"
TFDS = (
    "data: {name: tfds, dataset: ag_news_subset, data_dir: x, manual_dir: 'gs://x'}\nmodel: text_classifier\n"
)


@pytest.fixture
def resolved(empty_folder):
    """Function: text of sub/x.yaml and overrides -> resolved config."""

    def run(text, *overrides, name="sub/x.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
        return resolve(name, list(overrides))

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXTS, {"train": "sub/a.csv", "test": "sub/../b.csv", "text": "text"}),
        (PAIRS, {"train": ["sub/a.en", "/a.de"], "train_alignments": "sub/links"}),
        (LISTS, {"train": [["sub/a.en", "sub/b*.en"], ["sub/a.de", "sub/b*.de"]]}),
        (LISTS, {"validation": ["sub/v.en", ["/v.de"]]}),
        (VOCS, {"folder": "sub/photos", "train": ["train", "sub/x.txt"]}),
        (VOC, {"folder": "sub/photos", "train": "train", "test": "sub/lists/x.txt", "images": "JPEGImages"}),
        (COCO, {"train": "sub/a.json", "train_images": "sub/photos"}),
        (YOLO, {"file": "sub/data.yaml"}),
        (TFDS, {"dataset": "ag_news_subset", "data_dir": "sub/x", "manual_dir": "gs://x", "train": "train"}),
    ],
)
def test_paths_in_a_file_are_relative_to_its_folder(resolved, text, expected):
    values = resolved(text).config.values()["data"]
    assert {key: values[key] for key in expected} == expected
    unchanged = resolved(text, name="x.yaml").config
    assert unchanged == RunConfig.from_yaml_text(text, "x.yaml")


def test_paths_of_overrides_are_relative_to_the_current_folder(resolved):
    config = resolved(TEXTS, "data.test=c.csv", "train.init_from=runs/first").config
    assert (config.data.train, config.data.test) == ("sub/a.csv", "c.csv")
    assert config.train.init_from == "runs/first"
    assert resolved(TEXTS + "train: {init_from: runs/first}").config.train.init_from == "sub/runs/first"
    one_of_two = resolved(PAIRS, "data.train=[b.en, b.de]").config
    assert (one_of_two.data.train, one_of_two.data.train_alignments) == (["b.en", "b.de"], "sub/links")


def test_paths_of_a_recipe_of_attnzoo_are_relative_to_the_current_folder(empty_folder):
    assert resolve("text_trec").config.data.train == "trec/train.csv"
    assert resolve(catalog.shipped_config("text_trec")).config.data.train == "trec/train.csv"


def test_a_path_that_is_only_in_the_current_folder_is_an_error_that_says_what_to_write(resolved):
    Path("a.csv").write_text("text,label\n")
    with pytest.raises(ConfigErrors) as caught:
        resolved(TEXTS)
    assert caught.value.lines == [
        "sub/x.yaml:1: data.train: sub/a.csv not found: paths are relative to the folder of the config; "
        "write ../a.csv"
    ]
    Path("sub/a.csv").write_text("text,label\n")
    assert resolved(TEXTS).config.data.train == "sub/a.csv"


def test_a_path_written_in_another_way_is_no_change(resolved):
    here = Path.cwd()
    one, other = resolved(TEXTS), resolved(TEXTS, f"data.train={here}/sub/a.csv", "data.test=b.csv")
    assert one.changed_keys(other) == []
    assert one.changed_keys(resolved(TEXTS, "data.test=sub/b.csv")) == ["data.test"]


def test_a_shown_config_of_another_folder_holds_everywhere(resolved):
    shown = resolved(TEXTS).shown(Path("sub/x.yaml"))
    assert shown.config.data.train == str(Path.cwd() / "sub/a.csv")
    assert resolved(TEXTS, name="x.yaml").shown(Path("x.yaml")).config.data.train == str(Path.cwd() / "a.csv")
    assert (
        resolve("text_trec").shown(catalog.shipped_config("text_trec")).config.data.train == "trec/train.csv"
    )


def test_patterns_are_found_beside_a_config_in_a_folder_with_brackets(resolved):
    config = resolved(TEXTS.replace("a.csv", "part*.csv"), name="e[1]/x.yaml").config
    Path("e[1]/part2.csv").write_text("")
    assert [path for _, path in config.data.files()] == ["e[1]/part2.csv", "e[1]/../b.csv"]
    assert next(locations.absolute(config).data.files())[1] == str(Path.cwd() / "e[1]/part2.csv")


def test_a_home_folder_and_an_address_are_not_beside_the_config(resolved):
    text = TEXTS.replace("a.csv", "~/a.csv").replace("../b.csv", "gs://x/b.csv")
    config = resolved(text).config
    assert (config.data.train, config.data.test) == ("~/a.csv", "gs://x/b.csv")


@pytest.fixture
def run(empty_folder):
    """A run that was trained from the folder above `runs`, with its data there."""
    run = Path("project/runs/one")
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"base": "../.."}))
    (run / "config.yaml").write_text("data: {name: csv, train: a.csv}\nmodel: text_classifier\n")
    Path("project/a.csv").write_text("text,label\n")
    return run


def test_the_paths_of_a_run_are_found_from_any_folder(run, monkeypatch):
    assert locations.in_run(RunConfig.read(run / "config.yaml"), run).data.train == "project/a.csv"
    assert Path(resolve(run / "config.yaml").config.data.train).samefile("project/a.csv")
    monkeypatch.chdir("project")
    assert locations.base_for_run(Path("runs/one")) == "../.."
    assert locations.base_for_run(Path("../elsewhere")) is None
    moved = Path("runs/one").rename("moved")
    # Not the file of that name in the current folder, which may be of something else.
    assert locations.in_run(RunConfig.read(moved / "config.yaml"), moved).data.train == "../a.csv"


@pytest.mark.parametrize("base", ["/", "../../etc", "..;", 7, None, ["a"]])
def test_d8_a_folder_that_is_not_around_the_run_is_not_looked_into(run, base):
    (run / "run.json").write_text(json.dumps({"base": base}))
    assert locations.base_of_run(run) is None
    assert locations.in_run(RunConfig.read(run / "config.yaml"), run).data.train == "a.csv"
