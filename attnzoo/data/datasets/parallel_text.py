"""Translation pairs from text files whose lines belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import BeforeValidator, Field

from attnzoo.config.sections import FileOptions
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import UserError
from attnzoo.features.feature import Feature
from attnzoo.features.text import TextPairOptions
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, encodable, is_blank, object_array, read_lines
from attnzoo.text import alignments

COLUMNS = {
    "source": ("text",),
    "target": ("text",),
    "alignment": ("alignment",),
    "references": ("references",),
}


def _one_target(paths: Any) -> Any:
    if isinstance(paths, list) and len(paths) > 2:
        raise ValueError(
            f"{len(paths)} files, where two are expected: several references of a source are for validation "
            "and test; to learn from all of them, write a pair of lines for each into the two files"
        )
    return paths


Pair = Annotated[list[str], BeforeValidator(_one_target), Field(min_length=2, max_length=2)]
References = Annotated[list[str], Field(min_length=2)]
Texts = tuple[str, ...]


class Config(TextPairOptions, FileOptions):
    """UTF-8 files, plain or `.gz`: line n of the second and any further translates line n of the first."""

    name: Literal["parallel_text"] = Field(description="Translation pairs from line-aligned text files.")
    train: Pair = Field(description="[source file, target file] to train on.")
    validation: References | None = Field(
        None,
        description="[source file, target file, further references ...] for validation. Default: split "
        "off from train.",
    )
    test: References | None = Field(
        None,
        description="[source file, target file, further references ...] for the test: losses are "
        "computed with the target, BLEU, chrF and exact match with all references.",
    )
    train_alignments: str | None = Field(
        None,
        description="Word alignments of train for train.guided_alignment, as fast_align and eflomal write "
        "them: a line a pair such as 0-0 1-2, source word - target word.",
    )


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    r"""Returns sources and targets <object>[examples] in file order, without their line ends (`\n`, `\r\n`).

    Where there are more references than the target, `references` <object>[examples] has tuples of the others.

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
    records = _translations(paths, strict, config.encoding)
    if alignments is not None:
        names.append("alignment")
        records = _aligned(records, alignments, strict)
    rows = list(filter_records(records, origin, config))
    columns = {name: object_array([row[side] for row in rows]) for side, name in enumerate(names)}
    if len(paths) > 2:
        columns["references"] = np.fromiter((row[2:] for row in rows), object, len(rows))
    return Split(columns, origin)


def _translations(paths: list[str], strict: bool, encoding: str) -> Iterator[Texts | BadRecord]:
    """Yields line n of each of the files."""
    number = 0
    lines = itertools.zip_longest(*(read_lines(path, strict, encoding) for path in paths))
    for number, of_files in enumerate(lines, 1):
        if None in of_files:
            _refuse_lengths(paths, [number - 1] * len(paths), itertools.chain([of_files], lines))
        texts = tuple(map(_text, of_files))
        yield _bad_line(paths, number, texts) or texts
    if number == 0:
        others = ", ".join(paths[1:])
        raise UserError(f"{paths[0]}: empty; at least one line is needed, and as many in {others}.")


def _refuse_lengths(paths: list[str], counts: list[int], lines: Iterator[Sequence[Any]]) -> NoReturn:
    """Raises: with the lines of the source and of the first file that has others, counted to their ends."""
    for of_files in lines:
        counts = [count + (line is not None) for count, line in zip(counts, of_files, strict=True)]
    other = next(file for file, count in enumerate(counts) if count != counts[0])
    raise UserError(
        f"{paths[0]} has {counts[0]} lines and {paths[other]} has {counts[other]}; line n of one must "
        "be the translation of line n of the other: align the files."
    )


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


def _bad_line(paths: list[str], number: int, texts: Texts) -> BadRecord | None:
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
    every = "both files" if len(paths) == 2 else "all files"
    if len(empty) == len(paths):
        what = f"the line is empty here and in {', '.join(paths[1:])}; remove it from {every}."
        return BadRecord(f"{paths[0]}:{number}", "empty on both sides", what)
    if empty:
        other = next(path for path, text in zip(paths, texts, strict=True) if not is_blank(text))
        return BadRecord(
            f"{empty[0]}:{number}",
            "empty on one side",
            f"the line is empty but line {number} of {other} is not; translate it or remove the line from "
            f"{every}.",
        )
    return None
