"""What a wheel holds."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from attnzoo import __version__
from tests.conftest import ROOT

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel made of a copy of the source tree."""
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel")
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("attnzoo", "configs", "scripts", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, "dist"], cwd=folder, check=True, capture_output=True)
    (path,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_a_wheel_holds_the_package_and_the_recipes_and_nothing_else(wheel):
    package = [path.relative_to(ROOT).as_posix() for path in (ROOT / "attnzoo").rglob("*.py")]
    recipes = [f"attnzoo/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")]
    result = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(result) == sorted([*package, *recipes, "attnzoo/py.typed"])
    assert len(recipes) > 10


def test_a_wheel_has_the_version_that_the_command_shows(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {__version__}\n" in wheel.read(name).decode("utf-8")


def test_recipes_are_found_in_an_unpacked_wheel(wheel, empty_folder):
    wheel.extractall("installed")
    code = "from attnzoo import catalog as c; print(c.__file__, *c.find_config('image_digits').parts[-4:])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(empty_folder / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    file, *parts = done.stdout.split()
    assert file == str(empty_folder / "installed/attnzoo/catalog.py")
    assert parts == ["installed", "attnzoo", "configs", "image_digits.yaml"]
