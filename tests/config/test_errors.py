import pytest

from .conftest import VALID


def test_all_errors_come_at_once_in_the_order_of_their_lines(errors_of):
    text = VALID.replace("name: reviews", "name: reviws").replace("num_heads: 8", "num_head: 0")
    lines = errors_of(text + "  leraning_rate: 1\nmodle: 3\n", "eval.samples=65", "seed=-1")
    assert lines == [
        "x.yaml:3: data.name: unknown data set 'reviws', did you mean 'reviews'?",
        "x.yaml:10: model.attention.num_head: unknown key, did you mean 'num_heads'?",
        "x.yaml:13: train.leraning_rate: unknown key, did you mean 'learning_rate'?",
        "x.yaml:14: modle: unknown key, did you mean 'model'?",
        "--set eval.samples=65: eval.samples: expected a whole number of at least 0 "
        "and at most 64, received 65",
        "--set seed=-1: seed: expected a whole number of at least 0 and at most 4294967295, received -1",
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("epochs: 3.0", "train.epochs: expected a whole number of at least 1, received 3.0"),
        ("epochs: true", "train.epochs: expected a whole number of at least 1, received true"),
        ("epochs: '3'", "train.epochs: expected a whole number of at least 1, received '3'"),
        ("epochs: 1_000", "train.epochs: expected a whole number of at least 1, received '1_000'"),
        ("epochs:", "train.epochs: expected a whole number of at least 1, received nothing"),
        ("ema: 0.9", "train.ema: was renamed to 'ema_decay'"),
        ("steps: 0", "train.steps: expected a whole number of at least 1 or null, received 0"),
        ("learning_rate: 0", "train.learning_rate: expected a number above 0, received 0"),
        ("learning_rate: .inf", "train.learning_rate: expected a finite number above 0, received .inf"),
        ("learning_rate: 1e999", "train.learning_rate: expected a finite number above 0, received 1e999"),
        ("learning_rate: 1e-3x", "train.learning_rate: expected a number above 0, received '1e-3x'"),
        ("weight_decay: .nan", "train.weight_decay: expected a finite number of at least 0, received .nan"),
        ("beta_1: 1", "train.beta_1: expected a number of at least 0 and below 1, received 1"),
        ("beta_1: {a: 1}", "train.beta_1: expected a number of at least 0 and below 1, received a mapping"),
        ("xla: yes", "train.xla: expected 'auto' or true or false, received 'yes'"),
        (
            "optimizer: adam",
            "train.optimizer: expected one of 'adamw', 'sgd', 'lamb', 'lion', 'adafactor', received 'adam'; "
            "did you mean 'adamw'?",
        ),
        (
            "optimizer: [" + ", ".join(["adamw"] * 11) + "]",
            "train.optimizer: expected one of 'adamw', 'sgd', 'lamb', 'lion', 'adafactor', received "
            "['adamw', 'adamw', 'adamw', 'adamw', 'adamw', 'adamw', 'a...",
        ),
    ],
)
def test_values_are_compared_with_what_was_expected(errors_of, option, message):
    text = VALID.replace("epochs: 3", option)
    assert errors_of(text) == [f"x.yaml:12: {message}"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("second: {name: local}", "model.second.window: missing key, expected a whole number of at least 1"),
        (
            "second: {window: 1}",
            "model.second.name: missing key, expected one of additive, multi_head, local",
        ),
        ("second: {nmae: local}", "model.second.nmae: unknown key, did you mean 'name'?"),
        ("second: locl", "model.second.name: unknown name 'locl', did you mean 'local'?"),
        (
            "second: {name: 3}",
            "model.second.name: unknown name 3, expected one of additive, local, multi_head",
        ),
        (
            "second: 3",
            "model.second: expected one of additive, multi_head, local, or a mapping with such a name "
            "or null, received 3",
        ),
        ("stages: [additive, locl]", "model.stages.1.name: unknown name 'locl', did you mean 'local'?"),
        (
            "stages: [{name: local, window: 0}]",
            "model.stages.0.window: expected a whole number of at least 1, received 0",
        ),
        ("sizes: [1]", "model.sizes: expected a list of 2 items, received [1]"),
        ("sizes: [1, a]", "model.sizes.1: expected a whole number, received 'a'"),
        ("learning_rate: 1", "model.learning_rate: unknown key, did you mean 'train.learning_rate'?"),
        (
            "<<: {units: 1}",
            "model.<<: unknown key, expected one of attention, name, rate, second, sizes, stages, units",
        ),
    ],
)
def test_components_lists_and_foreign_keys_are_explained(errors_of, option, message):
    text = VALID.replace("units: 32", f"units: 32\n  {option}")
    assert errors_of(text) == [f"x.yaml:8: {message}"]


def test_text_is_expected_as_text(errors_of):
    text = VALID.replace("label: score", "label: [score]\n  train:\n  weights: {good: bad}")
    assert errors_of(text) == [
        "x.yaml:4: data.label: expected text or null, received ['score']",
        "x.yaml:5: data.train: expected text, received nothing",
        "x.yaml:6: data.weights.good: expected a number, received 'bad'",
    ]


def test_a_missing_key_is_reported_at_its_section(errors_of):
    assert errors_of(VALID.replace("  units: 32\n", "")) == [
        "x.yaml:5: model.units: missing key, expected a whole number of at least 1 and at most 4096"
    ]


def test_missing_and_wrong_sections_are_explained(errors_of):
    assert errors_of("train:\n  epochs: 3\n") == [
        "x.yaml:1: data: missing section, expected a mapping with a name, one of pairs, reviews",
        "x.yaml:1: model: missing section, expected a mapping with a name, "
        "one of classifier, pooled, translator",
    ]
    assert errors_of("data: {names: 3}\nmodel: translator\n") == [
        "x.yaml:1: data.names: unknown key, did you mean 'name'?"
    ]
    assert errors_of("data: {units: 3}\nmodel:\n  - 3\ntrain: 5\n") == [
        "x.yaml:1: data.name: missing key, expected one of pairs, reviews",
        "x.yaml:2: model: expected a mapping with a name, received [3]",
        "x.yaml:4: train: expected a mapping, received 5",
    ]


def test_rules_of_a_model_keep_their_own_words(errors_of):
    assert errors_of(VALID, "model.units=33") == ["x.yaml:5: model: units 33 is no multiple of num_heads 8"]


def test_data_must_offer_the_task_of_the_model_and_what_fits_is_named(errors_of):
    text = "data: reviews\nmodel: translator\ntrain: {epochs: 0}\n"
    assert errors_of(text) == [
        "x.yaml:2: model.name: 'translator' is for translation and data 'reviews' for text_classification; "
        "models that fit: classifier, pooled; data sets that fit: pairs",
        "x.yaml:3: train.epochs: expected a whole number of at least 1, received 0",
    ]


def test_a_key_of_other_tasks_is_an_error_that_says_whose_it_is(errors_of):
    lines = errors_of(VALID + "  guided: 0.5\neval:\n  beams: 0\n", "train.guided=3")
    assert lines == [
        "x.yaml:15: eval.beams: an option of translation, and this model is for text_classification; "
        "leave it out",
        "--set train.guided=3: train.guided: an option of translation, and this model is for "
        "text_classification; leave it out",
    ]


def test_where_the_model_is_unknown_keys_of_any_task_are_no_mistakes(errors_of):
    text = VALID.replace("name: classifier", "name: clasifier")
    assert errors_of(text + "  guided: 0.5\neval: {beams: 5, beans: 3}\n") == [
        "x.yaml:6: model.name: unknown model 'clasifier', did you mean 'classifier'?",
        "x.yaml:14: eval.beans: unknown key, expected one of average, batch_size, decode, every, monitor, "
        "samples, weights",
    ]


def test_options_that_the_task_says_do_not_go_together_are_found_where_they_were_written(errors_of):
    text = "data: pairs\nmodel: translator\ntrain:\n  guided: 1\neval:\n  beams: 5\n"
    assert errors_of(text) == ["x.yaml:4: train.guided: does not go with eval.beams"]
    assert errors_of(text, "train.guided=2") == [
        "--set train.guided=2: train.guided: does not go with eval.beams"
    ]
    assert errors_of(text.replace("pairs", "pears")) == [
        "x.yaml:1: data.name: unknown data set 'pears', did you mean 'pairs'?"
    ]


@pytest.mark.parametrize("name", ["a/b", "'..'", "''", "a\\b", '"a\\nb"', "x" * 201])
def test_a_name_that_cannot_name_a_folder_is_refused(errors_of, name):
    [line] = errors_of(f"name: {name}\n" + VALID)
    assert line.startswith(
        "x.yaml:1: name: expected a name that can name a folder, 1 to 200 characters, received "
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.leraning_rate=1", "train.leraning_rate: unknown key, did you mean 'learning_rate'?"),
        ("tarin.epochs=1", "tarin: unknown key, did you mean 'train'?"),
        (
            "model.attention.name=additve",
            "model.attention.name: unknown name 'additve', did you mean 'additive'?",
        ),
        ("model.attention=additve", "model.attention.name: unknown name 'additve', did you mean 'additive'?"),
        ("data.name=review", "data.name: unknown data set 'review', did you mean 'reviews'?"),
        ("train.epochs", "no '=', expected section.key=value such as train.epochs=3"),
        ("=3", "a key is empty, expected section.key=value such as train.epochs=3"),
        ("train..epochs=3", "a key is empty, expected section.key=value such as train.epochs=3"),
        ("train.epochs=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("train.epochs=*x", "alias *x, expected the value itself written out"),
        ("train.epochs.x=3", "train.epochs: expected a whole number of at least 1, received a mapping"),
        ("train=5", "train: expected a mapping, received 5"),
    ],
)
def test_errors_of_set_begin_with_what_was_typed(errors_of, override, message):
    assert errors_of(VALID, override) == [f"--set {override}: {message}"]


def test_one_item_of_a_list_cannot_be_set(errors_of):
    text = VALID.replace("label: score", "labels: [a, b]")
    assert errors_of(text, "data.labels.0=c") == [
        "--set data.labels.0=c: data.labels is a list, expected data.labels=[...] with all its items"
    ]


def test_a_file_of_another_kind_gives_a_hundred_lines_at_most(errors_of):
    lines = errors_of(VALID + "".join(f"  other_{number}: 1\n" for number in range(2003)))
    assert lines[0] == "x.yaml:1: 2003 errors; the first 100 follow"
    assert len(lines) == 101
