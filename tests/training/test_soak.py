"""A20: a run of two thousand steps takes no more of anything at its end than at its beginning."""

import json
from pathlib import Path

import numpy as np
import pytest

from attnzoo.runs.folder import RunDir
from attnzoo.training.checkpoint import MAX_CHECKPOINTS
from tests import commands
from tests.training.interrupted import without_xla

STEPS = 2000
PAGE = 4096


@pytest.mark.slow
def test_a20_memory_files_and_disk_stay_what_they_were(tmp_path):
    # Evaluates every 10 steps, and so saves.
    resolved = without_xla(
        tmp_path,
        f"train.steps={STEPS}",
        "train.checkpoint_seconds=1000",
        "eval.every=10",
        "train.log_every=10",
    )
    (tmp_path / "soak.yaml").write_text(resolved.to_yaml(), "utf-8")
    process = commands.start("train", "soak.yaml", "--run", "run", folder=tmp_path, out=tmp_path / "log")
    run = RunDir(tmp_path / "run")
    seen = []  # (step, resident bytes, open files, bytes of checkpoints, checkpoints)
    while process.exitcode is None:
        process.join(0.5)
        try:
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            step = json.loads(run.metrics.read_text().splitlines()[-1])["step"]
        except (OSError, IndexError, ValueError):
            continue
        seen.append((step, resident, files, len(run.steps()), len(run.evaluated_steps())))
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    early = np.array([row for row in seen if STEPS // 5 <= row[0] <= 2 * STEPS // 5])
    late = np.array([row for row in seen if row[0] >= 4 * STEPS // 5])
    assert len(early) >= 3
    assert len(late) >= 3
    assert late[:, 1].mean() <= 1.05 * early[:, 1].mean()
    assert abs(np.median(late[:, 2]) - np.median(early[:, 2])) <= 2
    assert late[:, 3].max() <= MAX_CHECKPOINTS + 1
    assert late[:, 4].max() <= 3
    left = [path.name for path in run.checkpoints.iterdir()]
    assert not [name for name in left if name.startswith(".")]
    assert len(left) <= MAX_CHECKPOINTS + 3
