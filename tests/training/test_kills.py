"""Commands that are killed from outside, at moments that nobody chose."""

import os
import signal
import time

import numpy as np
import pytest

from attnzoo.errors import EXIT_STOPPED
from attnzoo.runs.folder import RunDir
from tests import commands, recipes
from tests.training.interrupted import outcome, without_xla
from tests.trees import tree

SECONDS = 120


class Killer:
    """Starts one command again and again, and kills it.

    Args:
        folder: of the config and the runs.
        config: file of the config.
    """

    def __init__(self, folder, config):
        self.folder, self.config, self.log = folder, config, folder / "log"

    def start(self, run):
        return commands.start("train", self.config, "--run", run, folder=self.folder, out=self.log)

    def finish(self, run):
        process = self.start(run)
        process.join(SECONDS)
        assert process.exitcode == 0, self.log.read_text()

    def kill(self, run, after, number=signal.SIGKILL):
        """Kills it after these seconds; says whether it was finished before."""
        process = self.start(run)
        process.join(after)
        if process.exitcode is None:
            os.kill(process.pid, number)
            process.join(30)
        # A command that has not begun to handle signals dies of any.
        allowed = (0, -number) if number == signal.SIGKILL else (0, -number, EXIT_STOPPED)
        assert process.exitcode in allowed, self.log.read_text()
        return process.exitcode == 0


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    """A killer with one run that nobody has disturbed, and how long that took."""
    folder = tmp_path_factory.mktemp("killed")
    config = folder / "killed.yaml"
    config.write_text(without_xla(folder, "train.epochs=3").to_yaml(), "utf-8")
    made = Killer(folder, config)
    commands.run("--version", folder=folder)  # TensorFlow is imported
    begin = time.monotonic()
    made.finish("whole")
    made.lasts = time.monotonic() - begin
    made.whole = outcome(folder / "whole")
    return made


@pytest.mark.parametrize(
    ("part", "kills"),
    [(0, 3), *(pytest.param(part, 25, marks=pytest.mark.slow) for part in range(1, 10))],
)
def test_a1_a12_runs_that_are_killed_at_random_end_bit_identical(killer, part, kills):
    """Two of three times by SIGKILL, else by SIGTERM or SIGINT, which exit with 75."""
    generator = np.random.default_rng(part)
    runs = 0
    for kill in range(kills):
        run = f"random{part}-{runs}"
        number = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[kill % 5]
        finished = killer.kill(run, generator.uniform(0.0, killer.lasts), number)
        if not finished and kill == kills - 1:
            killer.finish(run)
            finished = True
        if finished:
            assert outcome(killer.folder / run) == killer.whole
            runs += 1
    assert "Traceback" not in killer.log.read_text()


@pytest.mark.slow
def test_a3_a_run_that_is_killed_before_its_first_checkpoint_begins_again(killer):
    run = RunDir(killer.folder / "early")
    for moment in (run.path / ".lock", run.config):
        process = killer.start("early")
        while not moment.exists():
            assert process.exitcode is None, killer.log.read_text()
            time.sleep(0.01)
        process.kill()
        process.join()
        assert run.steps() == []
    killer.finish("early")
    assert outcome(run.path) == killer.whole


def test_a3_a_finished_run_trains_no_step_more(killer):
    before = tree(killer.folder / "whole")
    ended = commands.run("train", killer.config, "--run", "whole", folder=killer.folder)
    assert ended.code == 0, ended.err
    assert "whole: already finished" in ended.out
    after = tree(killer.folder / "whole")
    assert {name for name in before if before[name] != after[name]} <= {".lock"}


@pytest.mark.slow
def test_a3_an_export_that_is_killed_is_complete_or_absent_and_leaves_nothing_behind(killer):
    export = killer.folder / "whole" / "export"
    begin = time.monotonic()
    assert commands.run("export", "whole", folder=killer.folder).code == 0
    lasts = time.monotonic() - begin
    whole = set(tree(export))
    for share in np.linspace(0.1, 0.98, 20):
        process = commands.start("export", "whole", folder=killer.folder, out=killer.log)
        process.join(share * lasts)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        assert not export.exists() or set(tree(export)) == whole
    ended = commands.run("export", "whole", folder=killer.folder)
    assert ended.code == 0, ended.err
    assert [path.name for path in export.parent.glob(".export*")] == []


@pytest.mark.slow
def test_a4_double_kills_end_bit_identical(killer):
    generator = np.random.default_rng(5)
    for number in range(10):
        run = f"double{number}"
        killer.kill(run, generator.uniform(0.5, 1.0) * killer.lasts)
        killer.kill(run, generator.uniform(0.0, 0.6) * killer.lasts)  # mostly while it resumes
        killer.finish(run)
        assert outcome(killer.folder / run) == killer.whole


@pytest.mark.slow
@pytest.mark.parametrize("make", [recipes.text_config, recipes.image_config, recipes.translation_config])
def test_a15_a_seed_decides_every_weight(tmp_path, make):
    path = tmp_path / "seeded.yaml"
    path.write_text(make(tmp_path, "train.epochs=1", "train.xla=false").to_yaml(), "utf-8")
    hashes = []
    for number, seed in enumerate([3, 3, 4]):
        ended = commands.run("train", path, "--run", str(number), "--set", f"seed={seed}", folder=tmp_path)
        assert ended.code == 0, ended.err
        hashes.append(outcome(tmp_path / str(number))[0])
    assert hashes[0] == hashes[1] != hashes[2]
