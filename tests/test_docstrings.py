"""The examples in docstrings run and show what they print, and every public layer and loss has one."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

import attnzoo
from attnzoo import attention
from attnzoo.registration import layer_names

ROOT = Path(attnzoo.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples():
    """Returns the names of the modules with examples, by the name of their room."""
    rooms = {}
    for path in sorted(ROOT.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(ROOT.parent).with_suffix("").parts
            rooms.setdefault(parts[1], []).append(".".join(parts).removesuffix(".__init__"))
    return rooms


ROOMS = modules_with_examples()
LAYERS = [
    (path, name)
    for room in ("attention", "layers")
    for path in sorted((ROOT / room).glob("*.py"))
    for name in layer_names(path)
]
LOSSES = sorted((ROOT / "losses").glob("[!_]*.py"))


def has_example(docstring):
    return bool(doctest.DocTestParser().get_examples(docstring or ""))


def docstring_of(path, name):
    """Returns the docstring of a class or function, read without importing its module."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    (node,) = (
        node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
    )
    return ast.get_docstring(node)


@pytest.mark.parametrize("room", ROOMS)
def test_examples_print_what_they_show(room):
    for name in ROOMS[room]:
        results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
        assert results.failed == 0, f"{name}: see the failed example above"
        assert results.attempted > 0, f"{name}: the examples are not in a docstring that doctest finds"


@pytest.mark.parametrize(("path", "name"), LAYERS, ids=[name for _, name in LAYERS])
def test_every_public_layer_has_an_example(path, name):
    assert has_example(docstring_of(path, name))


@pytest.mark.parametrize("name", attention.__all__)
def test_every_export_of_attention_has_an_example(name):
    assert has_example(getattr(attention, name).__doc__)


@pytest.mark.parametrize("path", LOSSES, ids=[path.stem for path in LOSSES])
def test_every_loss_has_an_example(path):
    functions = [
        node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    public = [node for node in functions if not node.name.startswith("_")]
    assert public
    assert all(has_example(ast.get_docstring(node)) for node in public)
