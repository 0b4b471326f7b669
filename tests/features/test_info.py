"""What a run knows of its data survives its file, and nothing else that may be in the file does."""

import json
import re

import numpy as np
import pytest

from attnzoo import catalog, tasks
from attnzoo.data import examples as data_examples
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import EXIT_DAMAGED, EXIT_USER, UserError
from attnzoo.features.alignment import Alignment
from attnzoo.features.boxes import Boxes
from attnzoo.features.image import Image
from attnzoo.features.info import FORMAT, DataInfo
from attnzoo.features.label import Label
from attnzoo.features.labels import Labels
from attnzoo.features.number import Number
from attnzoo.features.references import References
from attnzoo.features.text import Text, TextOptions

WORDS = {"kind": "words", "lowercase": True, "tokens": ["a"]}
BYTES = {"kind": "bytes", "lowercase": True}
TEXT = Text(tokenizer=WORDS, vocabulary_size=5)
ENDING = Text(ends=True, tokenizer=BYTES, vocabulary_size=260)
IMAGE = Image(shape=(5, 7, 1), mean=(0.5,), std=(0.25,))
LABEL = Label(names=("x", "größer\u2028"))
NUMBER = Number(mean=-1e-7, std=0.1)
FEATURES = {
    "text_classification": {"text": TEXT, "label": LABEL},
    "multi_label_classification": {"text": TEXT, "label": Labels(names=("x", "y"))},
    "text_regression": {"text": TEXT, "label": NUMBER},
    "image_classification": {"image": IMAGE, "label": LABEL},
    "image_regression": {"image": IMAGE, "label": NUMBER},
    "translation": {"source": ENDING, "target": ENDING, "alignment": Alignment(), "references": References()},
    "masked_text": {"text": TEXT},
    "detection": {"image": IMAGE, "boxes": Boxes(names=("x", "y"), max_boxes=3, canvas=(5, 7))},
}


def info_of(task):
    features = FEATURES[task]
    lengths = {name: 3 for name, feature in features.items() if feature.has_lengths}
    return DataInfo(
        task,
        features,
        (lengths,) if lengths else (),
        {"train": 11, "test": 2},
        {"train": 0.125} if lengths else {},
        "fingerprint",
    )


def write(folder, info, change=None):
    """Writes the `info.json` of a run, changed as a hostile person might."""
    values = json.loads(info.to_json())
    if change is not None:
        change(values)
    path = folder / "info.json"
    path.write_text(json.dumps(values), "utf-8")
    return path


def damage(path, task=None):
    """Returns why `info.json` is refused as damaged."""
    with pytest.raises(UserError, match=re.escape(f"{path}: damaged (")) as caught:
        DataInfo.read(path, task)
    assert caught.value.exit_code == EXIT_DAMAGED
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: damaged (").removesuffix(").")


@pytest.mark.parametrize("task", catalog.names("tasks"))
def test_info_of_every_task_survives_its_file(tmp_path, task):
    info = info_of(task)
    path = tmp_path / "info.json"
    path.write_text(info.to_json(), "utf-8")
    for found in (DataInfo.read(path), DataInfo.read(path, task)):
        assert found == info
        assert list(found.features) == list(info.features)


def test_learned_info_survives_its_file(tmp_path):
    def split(texts, labels):
        return Split({"text": np.array(texts, object), "label": np.array(labels, np.int32)}, "test data")

    features = tasks.load("text_classification").features
    label = {"label": Label(names=("x", "y"))}
    splits = DataSplits(split(["a b", "c"], [0, 1]), split(["d"], [0]), None, label)
    info, _ = data_examples.learn(splits, TextOptions(name="any"), "text_classification", features)
    path = tmp_path / "info.json"
    path.write_text(info.to_json(), "utf-8")
    assert DataInfo.read(path) == info


def test_alignments_and_further_references_may_be_missing(tmp_path):
    info = info_of("translation")
    path = write(tmp_path, info, lambda values: values["features"].__delitem__(slice(2, 4)))
    assert list(DataInfo.read(path, "translation").features) == ["source", "target"]


@pytest.mark.parametrize("number", [None, FORMAT - 1, FORMAT + 1, "2", [2]])
def test_a_run_of_another_version_is_refused_with_what_to_do(tmp_path, number):
    def change(values):
        values.update({"format": number, "more": 1})
        if number is None:
            del values["format"]

    path = write(tmp_path, info_of("text_classification"), change)
    message = (
        f"{path}: written by another version of attnzoo that is not compatible with this one; use that "
        "version, or train again with `attnzoo train --restart`."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$") as caught:
        DataInfo.read(path)
    assert caught.value.exit_code == EXIT_USER


def test_a_missing_info_is_no_damage(tmp_path):
    with pytest.raises(UserError, match=r"info\.json: not found; is this a run folder\?") as caught:
        DataInfo.read(tmp_path / "info.json")
    assert caught.value.exit_code == EXIT_USER


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value"),
        (b"[]", "not a JSON object"),
        (b"\xff", "'utf-8' codec"),
        (b'{"a": ' + b"[" * 100_000, ""),
        (b'{"format": 3, "task": 1}', "task: Input should be a valid string"),
        (b'{"format": 3}', "task: Field required"),
    ],
    ids=range(6),
)
def test_what_is_no_info_at_all_is_damaged(tmp_path, content, problem):
    path = tmp_path / "info.json"
    path.write_bytes(content)
    assert damage(path).startswith(problem)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("more", 1, "more: Unexpected keyword argument"),
        ("\n\x1b[2J", 1, r"\n\x1b[2J: Unexpected keyword argument"),
        ("task", "text_regression", "label: expected a feature of kind 'number' as in text_regression"),
        ("task", "os", "task: expected 'os', got 'os'"),
        ("features", {}, "features: Input should be a valid array"),
        ("features", [1], "features.0: Input should be an object"),
        ("features", [], "features: expected those of text, label"),
        ("buckets", [], "buckets: invalid number of buckets (0)"),
        ("buckets", [{"text": 3}] * 17, "buckets: invalid number of buckets (17)"),
        ("buckets", [{"text": 0}], "buckets: expected lengths of 1 to 65536 for text"),
        ("buckets", [{"text": 10**9}], "buckets: expected lengths of 1 to 65536 for text"),
        ("buckets", [{"text": 3.5}], "buckets.0.text: Input should be a valid integer"),
        ("buckets", [{"text": 3, "label": 3}], "buckets: expected lengths of 1 to 65536 for text"),
        ("num_examples", {"train": "11"}, "num_examples.train: Input should be a valid integer"),
        (
            "truncated_fraction",
            {"train": float("nan")},
            "truncated_fraction.train: Input should be a finite number",
        ),
        ("fingerprint", None, "fingerprint: Input should be a valid string"),
    ],
    ids=range(16),
)
def test_values_that_cannot_have_been_learned_are_damage(tmp_path, key, value, problem):
    path = write(tmp_path, info_of("text_classification"), lambda values: values.update({key: value}))
    assert damage(path).startswith(problem)


def test_the_info_of_another_task_is_damage(tmp_path):
    path = write(tmp_path, info_of("text_classification"))
    assert damage(path, "text_regression") == "task: expected 'text_regression', got 'text_classification'"


@pytest.mark.parametrize(
    ("task", "name", "state", "problem"),
    [
        ("text_classification", "text", {"name": "label"}, "features: expected those of text, label"),
        ("text_classification", "text", {"name": 1}, "features: expected those of text, label"),
        ("text_classification", "text", {"kind": "os"}, "features: unknown kind 'os'"),
        ("text_classification", "text", {"kind": "feature"}, "features: unknown kind 'fea"),
        ("text_classification", "text", {"kind": ["text"]}, "features: unknown kind "),
        ("text_classification", "text", {"kind": None}, "features: unknown kind 'None'"),
        ("text_classification", "text", {"more": 1}, "more: Extra inputs are not permitted"),
        (
            "text_classification",
            "text",
            {"ends": True},
            "text: expected a feature of kind 'text' as in text_classif",
        ),
        (
            "text_classification",
            "text",
            {"vocabulary_size": 7},
            "text.tokenizer.tokens: expected 3 distinct",
        ),
        (
            "text_classification",
            "text",
            {"vocabulary_size": "5"},
            "vocabulary_size: Input should be a valid i",
        ),
        ("text_classification", "text", {"tokenizer": [1]}, "tokenizer: Input should be an object"),
        ("text_classification", "label", {"names": []}, "label.names: invalid number of classes (0)"),
        ("text_classification", "label", {"names": ["a", 1]}, "names.1: Input should be a valid string"),
        (
            "text_classification",
            "label",
            {"kind": "labels"},
            "label: expected a feature of kind 'label' as in text_cla",
        ),
        ("image_classification", "image", {"shape": [5, 7, 2]}, "image.shape: (5, 7, 2)"),
        (
            "image_classification",
            "image",
            {"std": [0.0]},
            "image.mean, image.std: expected a number per channel",
        ),
        ("image_classification", "image", {"std": [float("inf")]}, "std.0: Input should be a finite number"),
        ("image_regression", "label", {"std": 0.0}, "label.mean, label.std: expected finite numbers"),
        ("image_regression", "label", {"mean": float("nan")}, "mean: Input should be a finite number"),
        ("image_regression", "label", {"mean": "0"}, "mean: Input should be a valid number"),
        (
            "translation",
            "target",
            {"ends": False},
            "target: expected a feature of kind 'text' as in translation",
        ),
    ],
    ids=range(21),
)
def test_a_feature_that_cannot_have_been_learned_is_damage(tmp_path, task, name, state, problem):
    def change(values):
        (feature,) = (one for one in values["features"] if one["name"] == name)
        feature.update(state)

    assert damage(write(tmp_path, info_of(task), change)).startswith(problem)


@pytest.mark.parametrize(
    ("size", "state", "problem"),
    [
        (260, {**BYTES, "clean": ["unicode", "html", "unicode"]}, None),
        (5, WORDS, None),
        (261, BYTES, "text.vocabulary_size: 261, expected 260 for bytes"),
        (260, {**BYTES, "tokens": []}, "expected kind, lowercase, and tokens or model"),
        (260, {**BYTES, "clean": ["html"] * 9}, "clean: expected at most 8 of html, whitespace, unicode"),
        (5, {**WORDS, "clean": "html"}, "clean: expected at most 8 of"),
        (5, {**WORDS, "clean": [["html"]]}, "clean: expected at most 8 of"),
        (5, {**WORDS, "clean": ["eval"]}, "clean: expected at most 8 of"),
    ],
)
def test_a_tokenizer_of_an_info_is_one_that_can_be_learned(tmp_path, size, state, problem):
    features = {"text": Text(tokenizer=state, vocabulary_size=size), "label": Label(names=("x", "y"))}
    info = DataInfo("text_classification", features, buckets=({"text": 3},))
    path = tmp_path / "info.json"
    path.write_text(info.to_json(), "utf-8")
    if problem is None:
        assert DataInfo.read(path) == info
        return
    assert problem in damage(path)
