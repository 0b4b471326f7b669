"""What the docstring of a loss shows is what it gives."""

import doctest
import importlib
from pathlib import Path

import pytest

import attnzoo.losses

FILES = sorted(Path(attnzoo.losses.__file__).parent.glob("[!_]*.py"))
WITHOUT = {"vocabulary_cross_entropy"}
"""Losses whose arguments are too many for an example."""


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_the_examples_of_a_loss_are_true(name):
    module = importlib.import_module(f"attnzoo.losses.{name}")
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST)
    assert found.failed == 0
    assert (found.attempted > 0) is (name not in WITHOUT)
