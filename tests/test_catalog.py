import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from attnzoo import catalog, suggest
from attnzoo.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on disk with two models, of which one does not import, two tasks and attention mechanisms."""
    files = {
        "models/__init__.py": "",
        "models/good_model.py": '"""Says what it is.\n\nAnd more."""\nTASK = "x"\nclass Config: pass\n',
        "models/broken_model.py": '"""Cannot be imported."""\nimport nothing_like_it\nclass Config: pass\n',
        "models/shared.py": '"""Not a model: it has no Config."""\n',
        "models/_hidden.py": "class Config: pass\n",
        "tasks/__init__.py": "",
        "tasks/task.py": '"""The base of all."""\nclass Task: pass\n',
        "tasks/two_words.py": '"""Says what it is for."""\nclass TwoWords: pass\n',
        "tasks/word.py": '"""One word."""\nimport nothing_like_it\nclass Word: pass\n',
        "tasks/words.py": '"""Not a task: no class has its name."""\nclass Other: pass\n',
        "features/__init__.py": "",
        "features/feature.py": "class Feature: pass\n",
        "features/number.py": '"""A number."""\nclass Number: pass\n',
        "attention/__init__.py": "",
        "attention/additive.py": '"""Additive attention."""\nimport nothing_like_it\nclass Config: pass\n',
        "attention/multi_head.py": "class Config: pass\n",
        "attention/masks.py": '"""No mechanism."""\n',
    }
    for name, text in files.items():
        path = tmp_path / "zoo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "zoo/__init__.py").write_text("")
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "zoo")
    packages = {kind: f"zoo.{kind}" for kind in ("models", "tasks", "features", "attention")}
    monkeypatch.setattr(catalog, "_PACKAGES", packages)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def test_models_are_files_with_a_config(package):
    assert catalog.names("models") == ["broken_model", "good_model"]


def test_lists_do_not_import(package):
    assert catalog.describe("models") == [
        ("broken_model", "Cannot be imported."),
        ("good_model", "Says what it is."),
    ]


def test_attention_mechanisms_are_files_with_a_config(package):
    assert catalog.describe("attention") == [("additive", "Additive attention."), ("multi_head", "")]


def test_load_imports_one_module(package):
    assert catalog.load("models", "good_model").TASK == "x"
    assert "zoo.models.broken_model" not in sys.modules


def test_tasks_and_features_are_files_with_a_class_of_their_name(package):
    assert catalog.describe("tasks") == [("two_words", "Says what it is for."), ("word", "One word.")]
    assert catalog.describe("features") == [("number", "A number.")]


def test_a_class_is_loaded_by_the_name_of_its_file(package):
    result = catalog.load_class("tasks", "two_words")
    assert (result.__module__, result.__name__) == ("zoo.tasks.two_words", "TwoWords")
    assert "zoo.tasks.word" not in sys.modules
    assert catalog.class_name("two_words") == "TwoWords"
    with pytest.raises(UserError, match=r"^unknown task 'two_word'; did you mean 'two_words'\?$"):
        catalog.load_class("tasks", "two_word")
    with pytest.raises(UserError, match=r"^unknown feature 'feature'; expected one of number$"):
        catalog.load_class("features", "feature")


def test_a_package_that_is_extended_by_another_folder_lists_what_is_there(package, monkeypatch):
    more = package / "more"
    more.mkdir()
    (more / "third_model.py").write_text('"""From elsewhere."""\nclass Config: pass\n', encoding="utf-8")
    models = importlib.import_module("zoo.models")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(more)])
    assert catalog.names("models") == ["broken_model", "good_model", "third_model"]
    assert catalog.load("models", "third_model").__doc__ == "From elsewhere."


@pytest.mark.parametrize("name", ["shared", "_hidden", "os", "..errors", "zoo.models.good_model", ""])
def test_only_names_of_the_list_are_imported(package, name):
    with pytest.raises(UserError, match=r"^unknown model '"):
        catalog.load("models", name)


def test_an_unknown_name_is_answered_with_the_nearest_one(package):
    with pytest.raises(UserError) as caught:
        catalog.load("models", "god_model")
    assert str(caught.value) == "unknown model 'god_model'; did you mean 'good_model'?"
    with pytest.raises(UserError) as caught:
        catalog.load("models", "xyz")
    assert str(caught.value) == "unknown model 'xyz'; expected one of broken_model, good_model"
    assert suggest.hint("x", []) == "there is none"


def test_an_unknown_kind_is_a_mistake_in_the_code(package):
    message = "Unknown kind 'model', expected one of models, datasets, attention, tasks, features, configs."
    with pytest.raises(ValueError, match=f"^{message}$"):
        catalog.names("model")


@pytest.fixture(params=["zoo/configs", "configs"], ids=["wheel", "source_tree"])
def shipped(request, package, monkeypatch):
    """The recipes that come along, in the package (wheel) or beside it; the current folder is another."""
    folder = package / request.param
    folder.mkdir()
    (folder / "one.yaml").write_text("# What it does.\n# More.\ndata: x\n")
    (folder / "two.yaml").write_text("data: x\n")
    (package / "work").mkdir()
    monkeypatch.chdir(package / "work")
    return folder


def test_recipes_come_along_and_are_called_by_their_names(shipped):
    assert catalog.describe("configs") == [("one", "What it does."), ("two", "")]
    assert catalog.config_path("one") == catalog.find_config("one") == shipped / "one.yaml"
    with pytest.raises(UserError, match=r"^unknown config 'onne'; did you mean 'one'\?$"):
        catalog.config_path("onne")


def test_configs_of_the_current_folder_come_first_and_hide_no_recipe(shipped):
    Path("configs").mkdir()
    Path("configs/one.yaml").write_text("# Mine.\n")
    Path("configs/three.yaml").write_bytes(b"# \xff\n")
    assert catalog.describe_configs() == [
        ("one", "Mine.", "configs"),
        ("one", "What it does.", str(shipped)),
        ("three", "\ufffd", "configs"),
        ("two", "", str(shipped)),
    ]
    assert catalog.config_path("one") == catalog.find_config("one") == Path("configs/one.yaml")
    assert catalog.shipped_config("one") == shipped / "one.yaml"
    with pytest.raises(UserError, match=r"^unknown config 'three'; expected one of one, two$"):
        catalog.shipped_config("three")


def test_recipes_of_the_folder_in_which_one_is_are_listed_once(shipped, monkeypatch):
    monkeypatch.chdir(shipped.parent)
    expected = [("one", "What it does.", "configs"), ("two", "", "configs")]
    assert catalog.describe_configs() == expected


def test_a_file_has_precedence_over_a_name_and_a_folder_has_not(shipped):
    Path("one").mkdir()
    assert catalog.find_config("one") == shipped / "one.yaml"
    Path("one.yaml").write_text("# Changed.\n")
    assert catalog.find_config("one") == Path("one.yaml")
    Path("two").write_text("# A file without a suffix.\n")
    assert catalog.find_config("two") == Path("two")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("oen", "oen: no such config file or recipe, did you mean 'one'?"),
        ("configs/one.yaml", "configs/one.yaml: no such config file, did you mean 'one'?"),
        ("twoo.yaml", "twoo.yaml: no such config file, did you mean 'two'?"),
        ("xyz", "xyz: no such config file or recipe, see `attnzoo list configs`"),
        (".", ".: a folder, expected a config file, see `attnzoo list configs`"),
    ],
)
def test_a_config_that_is_not_there_is_answered_with_the_nearest_recipe(shipped, given, message):
    with pytest.raises(UserError) as caught:
        catalog.find_config(given)
    assert str(caught.value) == message


def test_everything_in_the_real_lists_has_a_description():
    for kind in ("models", "datasets", "attention", "tasks", "features"):
        entries = catalog.describe(kind)
        assert entries
        assert [name for name, line in entries if not line.endswith((".", ":", ","))] == []


def test_loading_all_models_data_sets_tasks_and_features_does_not_import_tensorflow():
    code = (
        "import sys; from attnzoo import catalog; import attnzoo.attention.mechanisms\n"
        "kinds = ('models', 'datasets', 'tasks', 'features')\n"
        "[catalog.load(kind, name) for kind in kinds for name in catalog.names(kind)]\n"
        "print([name for name in ('tensorflow', 'keras', 'tensorflow_datasets', 'babel', 'sklearn')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
