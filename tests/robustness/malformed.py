"""Files as users have them by mistake or by malice, each made by a few lines of code.

A case is one damaged file in a folder that is otherwise in order, and what the error line must say of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

CONFIG = "run.yaml"
BAD_CONFIG = "bad.yaml"

Build = Callable[[Path], None]
"""Writes the damaged file at this path."""

GREETINGS = [("good morning", "en"), ("guten morgen", "de"), ("hello friend", "en"), ("hallo freund", "de")]
ROWS = [(f"{text} {number}", label) for number in range(3) for text, label in GREETINGS]
TABLE = b"text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS).encode()

TRAINING = "train: {epochs: 1, batch_size: 8, xla: false}\n"
SMALL_TEXT = (
    "model: {name: text_classifier, units: 8, attention: {name: multi_head, num_heads: 2}}\n" + TRAINING
)
SMALL_IMAGE = "model: {name: image_classifier, stages: [[3]]}\n" + TRAINING
SMALL_TRANSLATION = (
    "model: {name: translation, units: 8, num_encoder_layers: 1, num_decoder_layers: 1,"
    " feed_forward_units: 8, attention: {name: multi_head, num_heads: 2}}\n" + TRAINING
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        name: says in words what is wrong.
        file: the damaged file, relative to the folder, as the error line names it.
        message: what the error line says after the name of the file.
        build: writes the file.
        options: more options of the data, as YAML.
    """

    name: str
    file: str
    message: str
    build: Build
    options: str = ""


def holding(content: bytes | str | Callable[[], bytes]) -> Build:
    """Returns a builder of a file with this content."""

    def build(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content() if callable(content) else content
        path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)

    return build


def nothing(path: Path) -> None:
    """Builds no file."""


def prepare_table(folder: Path, case: Case) -> str:
    """Writes train and test as CSV, then the damaged file in the place of the one that it is named after."""
    files = {"train": "train.csv", "test": "test.csv"}
    for name in files.values():
        (folder / name).write_bytes(TABLE)
    files[case.file.partition(".")[0]] = case.file
    named = ", ".join(f"{split}: {file}" for split, file in files.items())
    _replace(folder, case)
    return _write_config(
        folder, f"data: {{name: csv, {named}, vocabulary_size: 64{case.options}}}\n" + SMALL_TEXT
    )


def prepare_pair(folder: Path, case: Case) -> str:
    """Writes `train.a` and `train.b`, then the damaged one."""
    for name in ("train.a", "train.b"):
        (folder / name).write_bytes(b"one\ntwo\nthree\nfour\n")
    _replace(folder, case)
    data = f"data: {{name: parallel_text, train: [train.a, train.b], tokenizer: characters{case.options}}}\n"
    return _write_config(folder, data + SMALL_TRANSLATION)


def prepare_images(folder: Path, case: Case) -> str:
    """Writes class folders with small PNG files in `train`, then the damaged file."""
    from tests.robustness.malformed_images import picture

    for label, level in (("bright", 200), ("dark", 20)):
        (folder / "train" / label).mkdir(parents=True)
        for number in range(3):
            (folder / "train" / label / f"{number}.png").write_bytes(picture("PNG", level=level + number))
    _replace(folder, case)
    test = ", test: test" if case.file.startswith("test") else ""
    return _write_config(
        folder, f"data: {{name: image_folder, train: train{test}{case.options}}}\n" + SMALL_IMAGE
    )


def prepare_config(folder: Path, case: Case) -> str:
    """Writes a table, and the damaged config."""
    (folder / "train.csv").write_bytes(TABLE)
    _replace(folder, case)
    return case.file


def _replace(folder: Path, case: Case) -> None:
    path = folder / case.file
    if path.is_file():
        path.unlink()
    case.build(path)


def _write_config(folder: Path, text: str) -> str:
    (folder / CONFIG).write_text(text, "utf-8")
    return CONFIG
