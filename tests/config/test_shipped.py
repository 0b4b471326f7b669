"""Every config in configs/ resolves, and no misspelt key of it is passed over."""

import re
from pathlib import Path

import jsonschema
import pytest

from attnzoo import catalog
from attnzoo.config import RunConfig, checking, resolve, schema, source
from attnzoo.config.writing import to_text
from attnzoo.errors import ConfigErrors

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def each_config(test):
    return pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])(test)


def misspelt(key):
    """Returns the key with its first two different neighbors swapped, at the second letter or later."""
    for index in range(1, len(key) - 1):
        if key[index] != key[index + 1]:
            return key[:index] + key[index + 1] + key[index] + key[index + 2 :]
    return key + key[-1]


@each_config
def test_a_shipped_config_resolves_and_is_written_back_the_same(path):
    resolved = resolve(path)
    assert resolved.config.name == path.stem
    assert resolved.config.train.steps  # less data than theirs is gone over more often
    again = RunConfig.from_yaml_text(resolved.to_yaml(with_origins=True))
    assert again == resolved.config
    assert resolved.changed_keys(again) == []


@each_config
def test_a_shipped_config_says_in_its_first_line_what_it_is(path):
    assert dict(catalog.describe("configs"))[path.stem] != ""


@each_config
def test_every_misspelt_key_of_a_shipped_config_is_an_error_with_a_suggestion(path, tmp_path):
    lines = path.read_text(encoding="utf-8").splitlines()
    document = source.parse("\n".join(lines), "x.yaml")
    keys = [place for place in document.origins if place and isinstance(place[-1], str)]
    assert len(keys) > 5
    for place in keys:
        line = document.origins[place].order[1] - 1
        wrong = misspelt(place[-1])
        changed = re.sub(rf"(?<!\w){re.escape(place[-1])}(?=\s*:)", wrong, lines[line], count=1)
        assert changed != lines[line]
        copy = tmp_path / "x.yaml"
        copy.write_text("\n".join([*lines[:line], changed, *lines[line + 1 :]]), encoding="utf-8")
        with pytest.raises(ConfigErrors) as caught:
            resolve(copy)
        where = f"{copy}:{line + 1}: {'.'.join(map(str, [*place[:-1], wrong]))}: unknown key, did you mean '"
        assert [message for message in caught.value.lines if message.startswith(where)], caught.value.lines


def test_every_shipped_config_fits_the_schema():
    document = schema()
    jsonschema.Draft202012Validator.check_schema(document)
    validator = jsonschema.Draft202012Validator(document)
    for path in CONFIGS:
        errors = [error.message for error in validator.iter_errors(source.read(path).values)]
        assert errors == [], path


@pytest.mark.parametrize(
    ("config", "override", "owners"),
    [
        ("image_digits", "eval.beams=4", "translation"),
        ("translate_dates", "train.huber_delta=2", "image_regression, text_regression"),
        ("translate_dates", "eval.calibrate=true", "image_classification, text_classification"),
    ],
)
def test_an_option_of_other_tasks_is_an_error_that_says_whose_it_is(config, override, owners, tmp_path):
    task = {"image_digits": "image_classification", "translate_dates": "translation"}[config]
    key, _, value = override.partition("=")
    what = f"{key}: an option of {owners}, and this model is for {task}; leave it out"
    with pytest.raises(ConfigErrors) as caught:
        resolve(catalog.config_path(config), [override])
    assert caught.value.lines == [f"--set {override}: {what}"]
    section, option = key.split(".")
    values = source.read(catalog.config_path(config)).values
    text = to_text({**values, section: {**values.get(section, {}), option: source.scalar(value)}})
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    line = 1 + [line.startswith(f"  {option}:") for line in text.splitlines()].index(True)
    with pytest.raises(ConfigErrors) as caught:
        resolve(path)
    assert caught.value.lines == [f"{path}:{line}: {what}"]


def test_every_option_of_every_data_set_and_model_has_a_description_or_default():
    definitions = schema()["$defs"]
    for name, definition in definitions.items():
        for key, option in definition.get("properties", {}).items():
            assert key == "name" or "description" in option, f"{name}.{key}"


def test_every_model_and_data_set_keeps_its_contract():
    for name in catalog.names("models"):
        module = catalog.load("models", name)
        assert module.TASK in catalog.names("tasks")
        assert module.Config.model_fields["name"].annotation.__args__ == (name,)
        assert callable(module.build)
    kinds = set(catalog.names("features"))
    for name in catalog.names("datasets"):
        module = catalog.load("datasets", name)
        assert all(of_column is None or set(of_column) <= kinds for of_column in module.COLUMNS.values())
        assert module.Config.model_fields["name"].annotation.__args__ == (name,)
        assert callable(module.load)


def test_every_task_has_a_model_and_a_data_set_and_is_called_what_its_file_is():
    models = {catalog.load("models", name).TASK for name in catalog.names("models")}
    assert models == set(catalog.names("tasks"))
    datasets = [catalog.load("datasets", name) for name in catalog.names("datasets")]
    for name in catalog.names("tasks"):
        task = catalog.load_class("tasks", name)
        assert task.name == name
        assert task.input_name == next(iter(task.features))
        assert any(checking.fits(module, task) for module in datasets), name


def test_every_feature_is_called_what_its_file_is():
    for name in catalog.names("features"):
        assert catalog.load_class("features", name)().kind == name
