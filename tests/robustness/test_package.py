"""D2, D4, D5, D8 to D11: what the package never does, and what its runs never hold."""

import ast
import importlib.metadata
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from attnzoo.config import RunConfig
from attnzoo.errors import EXIT_USER, ConfigErrors
from tests import commands
from tests.conftest import ROOT
from tests.robustness import malformed
from tests.robustness.malformed import Case, holding, prepare_table
from tests.trees import tree

FORBIDDEN_MODULES = {
    *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "zipfile", "h5py", "ctypes"),
    *("requests", "urllib", "http", "socket", "socketserver", "webbrowser", "ftplib", "xmlrpc"),
}
FORBIDDEN_NAMES = {
    *("eval", "exec", "compile", "__import__", "load_model", "load_weights", "enable_unsafe_deserialization"),
    *("Lambda", "TFSMLayer", "get_file", "unpack_archive", "unsafe_load", "full_load", "load_all"),
    *("model_from_json", "from_config", "deserialize_keras_object", "clone_model", "system", "popen"),
}
FORBIDDEN_OPTIONS = {"allow_pickle", "safe_mode", "shell", "custom_objects"}
SECRETS = {f"PLANTED_{number}": f"s3cr3t-value-{number}-do-not-write" for number in range(5)}


def sources():
    return sorted((ROOT / "attnzoo").rglob("*.py"))


def forbidden(tree):
    """Yields what a module must not name, import or pass."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            # `re.compile` and the like are methods; the builtins are plain names.
            if name in FORBIDDEN_NAMES and not (name == "compile" and isinstance(node.func, ast.Attribute)):
                yield name
            owner = getattr(getattr(node.func, "value", None), "id", None)
            if name == "load" and owner in ("yaml", "np", "numpy", "saved_model"):
                yield f"{owner}.load"
            yield from (option.arg for option in node.keywords if option.arg in FORBIDDEN_OPTIONS)


def test_d2_d5_the_package_names_nothing_that_runs_code_from_files_unpacks_archives_or_opens_connections():
    assert len(sources()) > 50
    # The one place that downloads, if it is asked to; the one that clones, from layers and no config; the one
    # that asks Linux to end a process with its parent; that which tries CUDA; the one that gives a config to
    # a layer of ours.
    allowed = {
        "tfds_builders.py": ["requests"],
        "attention_weights.py": ["clone_model"],
        "supervision.py": ["ctypes"],
        "gpus.py": ["ctypes"],
        "registration.py": ["from_config"],
    }
    for path in sources():
        assert list(forbidden(ast.parse(path.read_text("utf-8")))) == allowed.get(path.name, []), path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from zipfile import ZipFile",
        "eval('1')",
        "yaml.load(text)",
        "np.load(path)",
        "keras.models.load_model(path)",
        "keras.layers.Lambda(f)",
        "f(path, allow_pickle=True)",
    ],
)
def test_d2_the_check_finds_what_it_is_for(code):
    assert list(forbidden(ast.parse(code))) != []


@pytest.mark.slow
def test_d4_a_model_larger_than_the_memory_is_refused_before_it_takes_any(tmp_path):
    case = Case("", "train.csv", "", holding(malformed.TABLE))
    config = prepare_table(tmp_path, case)
    small = commands.run("train", config, "--run", "small", "--set", "train.steps=1", folder=tmp_path)
    assert small.code == 0
    for option in ("model.units=1000000000", "model.dense_units=[1000000,1000000]"):
        ended = commands.run("train", config, "--run", "run", "--set", option, folder=tmp_path)
        assert ended.code == EXIT_USER, ended
        assert "its weights need more than the " in ended.err
        assert ended.seconds <= 5
        assert ended.peak_bytes <= small.peak_bytes
        assert not (tmp_path / "run" / "config.yaml").exists()


def nasty_names():
    """Yields 200 names that are paths, devices, too long, or hold what no name should."""
    parts = [
        "..",
        "/",
        "\\",
        "a",
        ".",
        "~",
        "CON",
        "x" * 300,
        "\0",
        "\n",
        "\x1b[2J",
        "$HOME",
        "é",
        "%2e%2e",
        " ",
        "*",
    ]
    generator = np.random.default_rng(3)
    yield from ("../../x", "/etc/x", "..", ".", "", "NUL", "a/../../b", "x\0y", "~/x", "a\nb")
    for _ in range(190):
        yield "".join(generator.choice(parts, generator.integers(1, 5)))


def test_d8_no_name_of_a_run_leads_out_of_its_folder(tmp_path):
    accepted = 0
    for name in nasty_names():
        text = "data: {name: digits}\nmodel: {name: image_classifier}\n"
        quoted = "".join(f"\\U{ord(letter):08x}" for letter in name)
        try:
            config = RunConfig.from_yaml_text(f'name: "{quoted}"\n{text}')
        except ConfigErrors:
            continue
        accepted += 1
        folder = (tmp_path / "runs" / config.name).resolve()
        assert folder.parent == tmp_path / "runs", name
        assert len(config.name) <= 200
    assert 0 < accepted < 200


@pytest.mark.slow
def test_d8_d9_d11_labels_never_become_paths_and_no_output_holds_secrets_or_is_open_to_all(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    labels = ["../../x", "/etc/passwd", "CON", "a\\b", "x" * 300, "$HOME", "~", "...", "\x1b[2J", "é\u202e"]
    rows = [f'"text {number}","{label}"' for number, label in itertools.product(range(4), labels)]
    table = "text,label\n" + "\n".join(rows) + "\n"
    config = prepare_table(inside, Case("", "train.csv", "", holding(table)))
    (inside / "test.csv").write_text(table)
    before = tree(tmp_path, without=inside / "run")
    for command in (("train", config, "--run", "run"), ("eval", "run"), ("export", "run")):
        ended = commands.run(*command, folder=inside, environment=SECRETS)
        assert ended.code == 0, ended.err
    assert tree(tmp_path, without=inside / "run") == before
    files = [path for path in (inside / "run").rglob("*") if path.is_file()]
    assert len(files) > 10
    private = [*SECRETS.values(), str(Path.home() / "x")[:-1], str(ROOT), sys.prefix, str(tmp_path)]
    for path in files:
        data = path.read_bytes()
        assert [text for text in private if text.encode() in data] == [], path
        assert path.stat().st_mode & 0o002 == 0, path


def test_d10_what_has_known_holes_is_not_installed():
    least = {"tensorboard": "2.21"}
    if sys.version_info >= (3, 11):
        least["keras"] = "3.15.1"
    required = [Requirement(line) for line in importlib.metadata.requires("attnzoo")]
    for name, version in least.items():
        below = version[:-1] + str(int(version[-1]) - 1)
        active = [
            line for line in required if line.name == name and (line.marker is None or line.marker.evaluate())
        ]
        assert len(active) == 1
        assert not active[0].specifier.contains(below)
        assert active[0].specifier.contains(importlib.metadata.version(name))
