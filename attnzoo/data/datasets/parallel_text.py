"""Translation pairs from two text files whose lines belong together."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.sections import TranslationOptions
from attnzoo.data.text_files import MAX_TEXT_CHARACTERS, object_array, read_lines
from attnzoo.errors import UserError
from attnzoo.info import TRANSLATION, DataSplits, Split

TASKS = (TRANSLATION,)

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class Config(TranslationOptions):
    """Pairs of UTF-8 files, plain or `.gz`: line n of the second translates line n of the first."""

    name: Literal["parallel_text"] = Field(description="Translation pairs from two line-aligned text files.")
    train: Pair = Field(description="[source file, target file] to learn from.")
    validation: Pair | None = Field(
        None, description="[source file, target file]. Default: carved from train."
    )
    test: Pair | None = Field(None, description="[source file, target file] to report on.")


def load(config: Config, task: str, seed: int) -> DataSplits:
    r"""Returns sources and targets <object>[examples] in file order, without their line ends (`\n`, `\r\n`).

    Raises:
        UserError: a file cannot be read, line counts differ, or a line is empty; with file and line.
    """
    train = _read_pair(config.train)
    validation = _read_pair(config.validation) if config.validation else None
    test = _read_pair(config.test) if config.test else None
    return DataSplits(train, validation, test)


def _read_pair(paths: list[str]) -> Split:
    source_path, target_path = paths
    columns: tuple[list[str], list[str]] = ([], [])
    lines = itertools.zip_longest(read_lines(source_path), read_lines(target_path))
    for number, pair in enumerate(lines, 1):
        if None in pair:
            counts = [number - 1 + (side is not None) for side in pair]
            counts[0 if pair[0] else 1] += sum(1 for _ in lines)
            raise UserError(
                f"{source_path} has {counts[0]} lines and {target_path} has {counts[1]}; line n of one must "
                "be the translation of line n of the other: align the files."
            )
        for path, column, (_, text) in zip(paths, columns, pair, strict=True):
            column.append(_checked(path, number, text))
        empty = [path for path, column in zip(paths, columns, strict=True) if not column[-1].strip()]
        if len(empty) == 1:
            other = next(path for path in paths if path != empty[0])
            raise UserError(
                f"{empty[0]}:{number}: the line is empty but line {number} of {other} is not; translate it "
                "or remove the line from both files."
            )
        if empty:
            raise UserError(
                f"{source_path}:{number}: the line is empty here and in {target_path}; remove it from both "
                "files."
            )
    sources, targets = columns
    if not sources:
        raise UserError(f"{source_path}: empty; at least one line is needed, and as many in {target_path}.")
    return Split(
        {"source": object_array(sources), "target": object_array(targets)}, f"{source_path}, {target_path}"
    )


def _checked(path: str, number: int, line: str) -> str:
    text = line.removesuffix("\n").removesuffix("\r")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UserError(
            f"{path}:{number}: longer than {MAX_TEXT_CHARACTERS:,} characters; one sentence a line is "
            "expected."
        )
    return text
