"""`attnzoo export`: a SavedModel that takes raw text or image bytes, checked in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from attnzoo import tasks
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.info import Split
from attnzoo.run_dir import TrainedRun, load_splits, load_trained

CHECKED_EXAMPLES = 8
TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 5e-2, "mixed_float16": 5e-2}

# Runs in a fresh process that imports nothing of attnzoo: what a server would do.
CHECK = """
import sys
import tensorflow as tf
if sys.argv[3] == "subwords":
    import tensorflow_text
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
import numpy as np
inputs = tf.io.parse_tensor(tf.io.read_file(sys.argv[2] + "/inputs"), tf.string)
(name,) = signature.structured_input_signature[1]
for key, value in signature(**{name: inputs}).items():
    tf.io.write_file(sys.argv[2] + "/" + key, tf.io.serialize_tensor(value))
"""


def export(folder: Path, out: Path | None = None) -> Path:
    """Exports a run: the folder appears under its name only after a fresh process got the same answers.

    Args:
        folder: a run folder.
        out: where the SavedModel goes; default `RUN/export`.

    Returns:
        The folder of the SavedModel.

    Raises:
        UserError: no such run (2), the target exists and is no export (2), answers differ (4).
    """
    trained = load_trained(folder)
    target = out or trained.run.export
    if target.exists() and not (target / "saved_model.pb").is_file() and any(target.iterdir()):
        raise UserError(f"{target}: exists and is not an export; choose another folder with --out.")
    module = tasks.load(trained.info.task).serving(trained.model, trained.info)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        tf.saved_model.save(module, str(temporary), signatures=module.signatures())
        _describe(temporary, trained, module)
        _check(temporary, trained, module)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def raw_inputs(trained: TrainedRun, count: int) -> list[bytes]:
    """Returns the first raw inputs of the test (else validation) split, as an export takes them."""
    named = load_splits(trained.config).named()
    return raw_bytes(named.get("test") or named["validation"], count)


def raw_bytes(split: Split, count: int) -> list[bytes]:
    """Returns the first texts of a split in UTF-8, or its first images as the bytes of a file."""
    for name in ("text", "source"):
        if name in split.columns:
            return [text.encode("utf-8") for text in split.columns[name][:count]]
    return [_image_bytes(image) for image in split.columns["image"][:count]]


def _image_bytes(image: np.ndarray | bytes | str) -> bytes:
    if isinstance(image, np.ndarray):
        return tf.io.encode_png(image).numpy()
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _describe(folder: Path, trained: TrainedRun, module: tf.Module) -> None:
    description = {
        "run": trained.run.path.name,
        "weights": json.loads((trained.origin / "state.json").read_text(encoding="utf-8")),
        "task": trained.info.task,
        "labels": trained.info.labels,
        "precision": trained.config.train.precision,
        "needs_tensorflow_text": _uses_subwords(trained),
        "signatures": {
            name: {
                "inputs": {spec.name: spec.dtype.name for spec in function.input_signature},
                "outputs": {
                    key: f"{spec.dtype.name}{list(spec.shape)}"
                    for key, spec in function.get_concrete_function().structured_outputs.items()
                },
            }
            for name, function in module.signatures().items()
        },
    }
    (folder / "export.json").write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _uses_subwords(trained: TrainedRun) -> bool:
    return any(state["kind"] == "subwords" for state in trained.info.tokenizers.values())


def _check(folder: Path, trained: TrainedRun, module: tf.Module) -> None:
    inputs = tf.constant(raw_inputs(trained, CHECKED_EXAMPLES))
    work = folder / ".check"
    work.mkdir()
    tf.io.write_file(str(work / "inputs"), tf.io.serialize_tensor(inputs))
    kind = "subwords" if _uses_subwords(trained) else "plain"
    finished = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder), str(work), kind],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if finished.returncode != 0:
        last = finished.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"{folder}: a fresh process cannot use the export: {last[0]}", EXIT_DAMAGED)
    expected = module.signatures()["serving_default"](inputs)
    for key, value in expected.items():
        answer = tf.io.parse_tensor(tf.io.read_file(str(work / key)), value.dtype)
        if not _same(value.numpy(), answer.numpy(), TOLERANCE[trained.config.train.precision]):
            raise UserError(
                f"{folder}: a fresh process gives another '{key}' for the same input.", EXIT_DAMAGED
            )
    shutil.rmtree(work)


def _same(expected: np.ndarray, answer: np.ndarray, tolerance: float) -> bool:
    if expected.dtype == object or expected.dtype.kind in "SUb":
        return bool((expected == answer).all())
    return expected.shape == answer.shape and bool(np.allclose(expected, answer, rtol=0.0, atol=tolerance))
