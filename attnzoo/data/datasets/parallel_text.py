"""Translation pairs from two text files whose lines belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from attnzoo.config.sections import FileOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.text import TextPairOptions
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, encodable, is_blank, object_array, read_lines
from attnzoo.text import alignments

COLUMNS = {"source": ("text",), "target": ("text",), "alignment": ("alignment",)}

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
Texts = tuple[str, ...]


class Config(TextPairOptions, FileOptions):
    """Pairs of UTF-8 files, plain or `.gz`: line n of the second translates line n of the first."""

    name: Literal["parallel_text"] = Field(description="Translation pairs from two line-aligned text files.")
    train: Pair = Field(description="[source file, target file] to learn from.")
    validation: Pair | None = Field(
        None, description="[source file, target file]. Default: carved from train."
    )
    test: Pair | None = Field(None, description="[source file, target file] to report on.")
    train_alignments: str | None = Field(
        None,
        description="Word alignments of train for train.guided_alignment, as fast_align and eflomal write "
        "them: a line a pair such as 0-0 1-2, source word - target word.",
    )


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    r"""Returns sources and targets <object>[examples] in file order, without their line ends (`\n`, `\r\n`).

    With `on_bad_record: skip` pairs are passed over of which a line is empty, too long or not UTF-8, or whose
    alignment does not fit.

    Raises:
        UserError: a file cannot be read, line counts differ, a line is empty, or an alignment does not fit;
            with file and line.
    """
    train = _read_split(config.train, config, config.train_alignments)
    validation = _read_split(config.validation, config) if config.validation else None
    test = _read_split(config.test, config) if config.test else None
    return DataSplits(train, validation, test)


def _read_split(paths: list[str], config: Config, alignments: str | None = None) -> Split:
    origin, strict = ", ".join(paths), config.on_bad_record == "error"
    names = ["source", "target"]
    records = _pairs(paths, strict, config.encoding)
    if alignments is not None:
        names.append("alignment")
        records = _aligned(records, alignments, strict)
    rows = filter_records(records, origin, config)
    return Split({name: object_array([row[side] for row in rows]) for side, name in enumerate(names)}, origin)


def _pairs(paths: list[str], strict: bool, encoding: str) -> Iterator[Texts | BadRecord]:
    source_path, target_path = paths
    number = 0
    lines = itertools.zip_longest(*(read_lines(path, strict, encoding) for path in paths))
    for number, pair in enumerate(lines, 1):
        if None in pair:
            counts = [number - 1 + (side is not None) for side in pair]
            counts[0 if pair[0] else 1] += sum(1 for _ in lines)
            raise UserError(
                f"{source_path} has {counts[0]} lines and {target_path} has {counts[1]}; line n of one must "
                "be the translation of line n of the other: align the files."
            )
        source, target = (_text(line) for line in pair)
        yield _bad_pair(paths, number, (source, target)) or (source, target)
    if number == 0:
        raise UserError(f"{source_path}: empty; at least one line is needed, and as many in {target_path}.")


def _aligned(pairs: Iterator[Texts | BadRecord], path: str, strict: bool) -> Iterator[Texts | BadRecord]:
    """Yields each pair with its line of the alignments."""
    lines = read_lines(path, strict)
    number = 0
    for number, pair in enumerate(pairs, 1):
        line = next(lines, None)
        if line is None:
            raise UserError(
                f"{path}: {number - 1} lines, fewer than pairs; write one a pair, empty for no link."
            )
        what = None if isinstance(pair, BadRecord) else alignments.problem(_text(line), *pair)
        if what is not None:
            yield BadRecord(
                f"{path}:{number}", "with an alignment that does not fit", f"{what}; align again."
            )
        else:
            yield pair if isinstance(pair, BadRecord) else (*pair, _text(line))
    if next(lines, None) is not None:
        raise UserError(f"{path}: more lines than the {number} pairs; write one a pair.")


def _text(line: tuple[int, str]) -> str:
    return line[1].removesuffix("\n").removesuffix("\r")


def _bad_pair(paths: list[str], number: int, texts: Texts) -> BadRecord | None:
    for path, text in zip(paths, texts, strict=True):
        place = f"{path}:{number}"
        if len(text) > MAX_TEXT_CHARACTERS:
            what = f"longer than {MAX_TEXT_CHARACTERS:,} characters; one sentence a line is expected."
            return BadRecord(place, "too long", what)
        if "\0" in text:
            return BadRecord(place, "with a NUL character", "NUL character; remove it.")
        if not encodable(text):
            return BadRecord(place, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    empty = [path for path, text in zip(paths, texts, strict=True) if is_blank(text)]
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
