"""What `attnzoo config check` says of a config besides what is wrong in it."""

import pytest

from attnzoo import addons, catalog
from attnzoo.config import checkup, resolve
from attnzoo.config.base import EffectIf
from attnzoo.errors import ConfigErrors
from tests.config.drawing import data_sets

TEXTS = "data: {name: csv, train: a.csv, test: b.csv}\nmodel: {name: text_classifier, units: 12}\n"
PAIRS = "data: {name: parallel_text, train: [a.en, a.de]}\nmodel: {name: translation_rnn}\n"
IMAGES = "data: {name: digits}\nmodel: {name: image_classifier}\n"
FOLDERS = "data: {name: image_folder, train: a}\nmodel: {name: image_classifier}\n"
TFDS = "data: {name: tfds, dataset: mnist}\nmodel: {name: image_classifier}\n"
NUMBERS = "data: {name: csv, train: a.csv}\nmodel: {name: text_regressor, units: 12}\n"


@pytest.fixture
def resolved(empty_folder):
    """Function: text of x.yaml and overrides -> resolved config."""

    def run(text, *overrides):
        (empty_folder / "x.yaml").write_text(text)
        return resolve("x.yaml", overrides)

    return run


@pytest.mark.parametrize(
    ("text", "override", "why"),
    [
        (TEXTS, "train.schedule_patience=2", "unless schedule is plateau"),
        (TEXTS, "train.schedule_factor=0.1", "unless schedule is step or plateau"),
        (TEXTS, "train.min_learning_rate=0.1", "unless schedule is plateau"),
        (TEXTS, "train.schedule_every=5", "unless schedule is step"),
        (TEXTS, "train.min_delta=0.1", "unless early_stopping_patience is given or schedule is plateau"),
        (TEXTS, "eval.average=3", "unless weights is average or average_best"),
        (TEXTS, "data.max_bad_fraction=0.5", "unless on_bad_record is skip"),
        (TEXTS, "data.label_separator=;", "as text_classification has no labels"),
        (TEXTS, "data.drop_longer=true", "as there is no pair of texts"),
        (TEXTS, "data.max_length_ratio=3", "as there is no pair of texts"),
        (TEXTS, "data.source=text", "as text_classification has no source"),
        (TEXTS, "model.ngram_buckets=7", "unless ngrams is 2 or more"),
        (TEXTS, "model.naive_bayes_buckets=7", "unless naive_bayes is 1 or more"),
        (NUMBERS, "train.huber_delta=2", None),
        (NUMBERS, "data.validation_fraction=0.2", None),
        (IMAGES, "data.validation_fraction=0.2", "unless the data has no validation split"),
        (IMAGES, "train.batch_tokens=99", "as image_classification has nothing with tokens"),
        (IMAGES, "model.residual=false", "unless attention is given"),
        (IMAGES, "model.drop_path=0.1", "unless stages has residual blocks"),
        (
            PAIRS,
            "model.attention={name: local, window: 7}",
            "as this model only has cross-attention",
        ),
        (TFDS, "data.tokenizer=bytes", "as image_classification has no text"),
        (TFDS, "data.text=title", "as image_classification has no text"),
    ],
)
def test_an_option_without_effect_is_named(resolved, text, override, why):
    assert checkup.notes(resolved(text)) == []
    key = override.split("=")[0].replace("model.attention", "model.attention.window")
    notes = [] if why is None else [f"--set {override}: {key}: has no effect {why}; remove it"]
    assert checkup.notes(resolved(text, override)) == notes


@pytest.mark.parametrize(
    ("option", "other", "key"),
    [
        ("train.optimizer=sgd", "train.beta_2=0.9", "train.beta_2"),
        ("train.batch_tokens=99", "train.batch_size=9", "train.batch_size"),
        ("model.pooling=max", "model.pooling_hidden_units=9", "model.pooling_hidden_units"),
        ("model.num_layers=0", "model.attention={name: additive, hidden_units: 9}", "model.attention"),
        ("data.tokenizer=bytes", "data.vocabulary_size=99", "data.vocabulary_size"),
        ("data.train=a.jsonl", "data.quoting=none", None),
    ],
)
def test_an_option_that_another_one_makes_idle_is_named_with_its_line(resolved, option, other, key):
    assert checkup.notes(resolved(TEXTS, other)) == []
    notes = checkup.notes(resolved(TEXTS, option, other))
    assert [note.split(": ")[-2:] for note in notes] == ([] if key is None else [notes[0].split(": ")[-2:]])
    assert all(note.startswith(f"--set {other}: {key}: has no effect ") for note in notes)


def test_the_visible_fraction_of_a_box_is_for_images_with_boxes(resolved):
    change = "data.augment=[flip, {name: crop, min_visible: 0.5}]"
    (note,) = checkup.notes(resolved(IMAGES, change))
    assert note.endswith("data.augment.1.min_visible: has no effect as the images have no boxes; remove it")
    assert checkup.notes(resolved("data: {name: shapes}\nmodel: {name: detector}\n", change)) == []


def test_steps_leave_epochs_without_effect_in_a_file(resolved):
    notes = checkup.notes(resolved(TEXTS + "train:\n  epochs: 3\n  steps: 5\n"))
    assert notes == ["x.yaml:4: train.epochs: has no effect unless steps is null; remove it"]


def test_a_complete_listing_names_only_what_is_not_a_default(resolved):
    listing = resolved(IMAGES, "train.schedule_patience=7").to_yaml()
    notes = checkup.notes(resolved(listing))
    assert [note.split(": ")[1] for note in notes] == ["train.schedule_patience"]


def test_no_shipped_config_has_an_option_without_effect(root, monkeypatch):
    monkeypatch.chdir(root)
    assert [checkup.notes(resolve(catalog.config_path(name))) for name in catalog.names("configs")] == [
        [] for _ in catalog.names("configs")
    ]


def test_the_words_of_a_condition_name_an_option_of_the_same_group():
    groups = {
        options for name in catalog.names("datasets") for options in [catalog.load("datasets", name).Config]
    }
    groups |= {catalog.load("models", name).Config for name in catalog.names("models")}
    for name in catalog.names("tasks"):
        task = catalog.load_class("tasks", name)
        groups |= {task.TrainOptions, task.EvalOptions}
    found = 0
    for options in groups:
        for key, field in options.model_fields.items():
            for condition in (one for one in field.metadata if isinstance(one, EffectIf)):
                found += 1
                words = set(condition.condition.split())
                assert words & options.model_fields.keys() or words & {"data", "file"}, (options, key)
    assert found > 20
    assert data_sets("text_classifier")


def test_data_that_is_not_there_yet_is_one_line_and_no_error(resolved):
    config = resolved(TEXTS, "train.init_from=runs/first")
    assert [line.partition(" (looked")[0] for line in checkup.check_files(config)] == [
        "--set train.init_from=runs/first: train.init_from: runs/first was not found yet",
        "x.yaml:1: data not found yet: a.csv, b.csv",
    ]


def test_a_file_beside_others_that_is_not_there_is_an_error(resolved, empty_folder):
    (empty_folder / "a.csv").write_text("text,label\na,b\n")
    (empty_folder / "bb.csv").write_text("text,label\na,b\n")
    with pytest.raises(
        ConfigErrors, match=r"^x\.yaml:1: data\.test: b\.csv: not found .*did you mean 'bb\.csv'\?$"
    ):
        checkup.check_files(resolved(TEXTS))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "txt,label\na,b\n", r"data\.train: a\.csv:1: no column 'text' \(did you mean 'txt'\?\)"),
        ("a.csv", "", r"data\.train: a\.csv: empty; the first line must name the columns 'text' and 'label'"),
        (
            "a.tsv",
            "text\tname\na\tb\n",
            r"data\.train: a\.tsv:1: no column 'label'; the header has: text, name",
        ),
        ("a.jsonl", '{"text": "a"}\n', r"data\.train: a\.jsonl:1: no key 'label'; the keys are: text"),
    ],
)
def test_a_table_without_a_column_is_an_error_at_the_line_of_its_key(
    resolved, empty_folder, name, content, message
):
    (empty_folder / name).write_text(content)
    config = resolved(f"data:\n  name: csv\n  train: {name}\nmodel: text_classifier\n")
    with pytest.raises(ConfigErrors, match=r"^x\.yaml:3: " + message):
        checkup.check_files(config)


def test_data_that_is_as_it_should_be_gives_no_line(resolved, empty_folder):
    for name in ("a.csv", "b.csv"):
        (empty_folder / name).write_text("text,label\na,b\n")
    assert checkup.check_files(resolved(TEXTS)) == []
    (empty_folder / "a.csv").write_text("text\na\n")
    assert checkup.check_files(resolved("data: {name: csv, train: a.csv}\nmodel: masked_text_model\n")) == []
    assert checkup.check_files(resolved(IMAGES)) == []


def test_texts_that_belong_together_and_folders_of_classes_are_looked_at(resolved, empty_folder):
    (empty_folder / "a.en").write_text("good\n")
    (empty_folder / "a.de").write_text("")
    with pytest.raises(
        ConfigErrors, match=r"^x\.yaml:1: data\.train\.1: a\.de: empty; at least one line is needed$"
    ):
        checkup.check_files(resolved(PAIRS))
    (empty_folder / "a").mkdir()
    with pytest.raises(ConfigErrors, match=r"^x\.yaml:1: data\.train: a: no subfolders; expected one"):
        checkup.check_files(resolved(FOLDERS))


def test_what_is_not_installed_is_said_where_it_is_asked_for(resolved, monkeypatch):
    config = resolved(IMAGES, "data.augment=[flip, median_blur]")
    monkeypatch.setattr(addons, "is_installed", lambda: False)
    with pytest.raises(ConfigErrors, match=r"\]: data\.augment\.1: TensorFlow Addons is missing \(Python "):
        checkup.require_installed(config)
    checkup.require_installed(resolved(IMAGES, "data.augment=[flip]"))
