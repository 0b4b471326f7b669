"""Translation pairs from two text files whose lines belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.sections import FileOptions, TranslationOptions
from attnzoo.data.bad_records import BadRecord, sift
from attnzoo.data.text_files import MAX_TEXT_CHARACTERS, encodable, object_array, read_lines
from attnzoo.errors import UserError
from attnzoo.info import TRANSLATION, DataSplits, Split

TASKS = (TRANSLATION,)

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class Config(TranslationOptions, FileOptions):
    """Pairs of UTF-8 files, plain or `.gz`: line n of the second translates line n of the first."""

    name: Literal["parallel_text"] = Field(description="Translation pairs from two line-aligned text files.")
    train: Pair = Field(description="[source file, target file] to learn from.")
    validation: Pair | None = Field(
        None, description="[source file, target file]. Default: carved from train."
    )
    test: Pair | None = Field(None, description="[source file, target file] to report on.")


def load(config: Config, task: str, seed: int) -> DataSplits:
    r"""Returns sources and targets <object>[examples] in file order, without their line ends (`\n`, `\r\n`).

    With `on_bad_record: skip` pairs are passed over of which a line is empty, too long or not UTF-8.

    Raises:
        UserError: a file cannot be read, line counts differ, or a line is empty; with file and line.
    """
    train = _read_pair(config.train, config)
    validation = _read_pair(config.validation, config) if config.validation else None
    test = _read_pair(config.test, config) if config.test else None
    return DataSplits(train, validation, test)


def _read_pair(paths: list[str], config: Config) -> Split:
    origin = ", ".join(paths)
    pairs = sift(_records(paths, config.on_bad_record == "error"), origin, config)
    columns = {
        name: object_array([pair[side] for pair in pairs]) for side, name in enumerate(("source", "target"))
    }
    return Split(columns, origin)


def _records(paths: list[str], strict: bool) -> Iterator[tuple[str, str] | BadRecord]:
    source_path, target_path = paths
    number = 0
    lines = itertools.zip_longest(read_lines(source_path, strict), read_lines(target_path, strict))
    for number, pair in enumerate(lines, 1):
        if None in pair:
            counts = [number - 1 + (side is not None) for side in pair]
            counts[0 if pair[0] else 1] += sum(1 for _ in lines)
            raise UserError(
                f"{source_path} has {counts[0]} lines and {target_path} has {counts[1]}; line n of one must "
                "be the translation of line n of the other: align the files."
            )
        source, target = (line.removesuffix("\n").removesuffix("\r") for _, line in pair)
        yield _bad_pair(paths, number, (source, target)) or (source, target)
    if number == 0:
        raise UserError(f"{source_path}: empty; at least one line is needed, and as many in {target_path}.")


def _bad_pair(paths: list[str], number: int, texts: tuple[str, str]) -> BadRecord | None:
    for path, text in zip(paths, texts, strict=True):
        place = f"{path}:{number}"
        if len(text) > MAX_TEXT_CHARACTERS:
            what = f"longer than {MAX_TEXT_CHARACTERS:,} characters; one sentence a line is expected."
            return BadRecord(place, "too long", what)
        if "\0" in text:
            return BadRecord(place, "with a NUL character", "NUL character; remove it.")
        if not encodable(text):
            return BadRecord(place, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    empty = [path for path, text in zip(paths, texts, strict=True) if not text.strip()]
    if len(empty) == 2:
        what = f"the line is empty here and in {paths[1]}; remove it from both files."
        return BadRecord(f"{paths[0]}:{number}", "empty on both sides", what)
    if empty:
        other = paths[1] if empty[0] == paths[0] else paths[0]
        return BadRecord(
            f"{empty[0]}:{number}",
            "empty on one side",
            f"the line is empty but line {number} of {other} is not; translate it or remove the line from "
            "both files.",
        )
    return None
