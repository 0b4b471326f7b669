"""Settings of all tests."""

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import tests.quick  # noqa: F401 - it changes a setting of TensorFlow
from tests.own_process import pytest_runtest_makereport, pytest_runtest_protocol  # noqa: F401 - hooks

# With the many objects of a long session a full collection takes seconds: together a tenth of all time.
gc.set_threshold(50_000, 10, 10)
# Eight logical CPUs for the tests of replicas: only possible before TensorFlow uses its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8
)

ROOT = Path(__file__).parent.parent


CONSTRAINED = ("eval.min_length=2", "eval.no_repeat_ngram=3")
AVERAGED = ("eval.weights=average_best", "eval.average=2")


class FinishedRuns:
    """A finished run of each task, trained when it is first asked for; tests leave them as they are."""

    CONFIGS = ("text", "image", "translation")

    def __init__(self, make_folder) -> None:
        self._make_folder, self._folders = make_folder, {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._folders:
            from attnzoo.training.run import train
            from tests import recipes

            folder = self._make_folder(name)
            # Compiling takes most of the time; one task stands for all.
            overrides = {"text": (), "image": ("train.xla=false", "eval.calibrate=true")}
            overrides["detection"] = ("train.xla=false",)
            overrides["translation"] = ("train.xla=false", "train.epochs=4", *AVERAGED, *CONSTRAINED)
            config = getattr(recipes, f"{name}_config")(folder, *overrides[name])
            train(config, folder / "run")
            self._folders[name] = folder / "run"
        return self._folders[name]


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> FinishedRuns:
    """Finished runs by task."""
    return FinishedRuns(tmp_path_factory.mktemp)


@pytest.fixture
def root() -> Path:
    """The folder that holds the package, configs/ and tests/."""
    return ROOT


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
