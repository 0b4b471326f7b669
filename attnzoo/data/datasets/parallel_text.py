"""Translation pairs from line-aligned text files."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import BeforeValidator, Field

from attnzoo.config.paths import FilePaths, align, listed, matching, origin_of
from attnzoo.config.sections import FileOptions
from attnzoo.config.source import KeyPath
from attnzoo.data.splits import DataSplits, Split
from attnzoo.errors import DataWarning, UserError
from attnzoo.features.feature import Feature
from attnzoo.features.text import TextPairOptions
from attnzoo.records.bad_records import BadRecord, filter_records
from attnzoo.records.text_files import MAX_TEXT_CHARACTERS, is_blank, is_encodable, object_array, read_lines
from attnzoo.text import alignments

COLUMNS = {
    "source": ("text",),
    "target": ("text",),
    "alignment": ("alignment",),
    "references": ("references",),
}


def _reject_references(paths: Any) -> Any:
    if isinstance(paths, list) and len(paths) > 2:
        raise ValueError(
            f"{len(paths)} files, expected two: only validation and test can have several references per "
            "source; to train on several files, list those of each side: [[a.en, b.en], [a.de, b.de]]"
        )
    return paths


Pair = Annotated[list[FilePaths], BeforeValidator(_reject_references), Field(min_length=2, max_length=2)]
References = Annotated[list[FilePaths], Field(min_length=2)]
Texts = tuple[str, ...]


class Config(TextPairOptions, FileOptions):
    """UTF-8 files, plain or `.gz`: line n of each further file is a translation of line n of the first."""

    name: Literal["parallel_text"] = Field(description="Translation pairs from line-aligned text files.")
    train: Pair = Field(
        description="Training files: [source, target]. Each side is a file, a pattern such as part*.en, or a "
        "list of these: the first of one side goes with the first of the other. Patterns must match the same "
        "parts."
    )
    validation: References | None = Field(
        None,
        description="Validation files, for selecting a checkpoint: [source, target, more references ...]. "
        "Default: held out from train.",
    )
    test: References | None = Field(
        None,
        description="Test files, for the final evaluation: [source, target, more references ...]. The loss "
        "is computed on the target; BLEU, chrF and exact match use all references.",
    )
    train_alignments: str | None = Field(
        None,
        description="File with word alignments of train for train.guided_alignment, in the format of "
        "fast_align and eflomal: one line per pair such as 0-0 1-2, with source word - "
        "target word counted from 0. It is of all files of train in their order.",
    )

    def sides(self) -> dict[str, list[FilePaths]]:
        """Returns split -> its sides, source first, for the splits that exist."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: sides for name, sides in splits.items() if sides}

    def files(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields each file of each split, and the alignments."""
        for name, sides in self.sides().items():
            for number, side in enumerate(sides):
                yield from (((name, number), file) for path in listed(side) for file in matching(path))
        if self.train_alignments is not None:
            yield ("train_alignments",), self.train_alignments

    def is_path(self, key: str, text: str) -> bool:
        """Returns whether the option has files of texts or of alignments."""
        return key == "train_alignments" or super().is_path(key, text)

    def with_files(self, paths: Sequence[str]) -> Config:
        """Returns the options with other files as train, or as test if there are further references."""
        if len(paths) < 2:
            raise ValueError("expected two files or more, line-aligned: the sources, then their translations")
        further = list(paths) if len(paths) > 2 else None
        return self.replaced(train=list(paths[:2]), validation=None, test=further, train_alignments=None)

    def check_file(self, file: str, features: Mapping[str, Any]) -> None:
        """Looks at the first line of a file, and for the files that belong to it."""
        for sides in self.sides().values():
            if file == matching(listed(sides[0])[0])[0]:
                aligned_files(sides)
        if next(read_lines(file, self.on_bad_record == "error", self.encoding), None) is None:
            raise UserError(f"{file}: empty; at least one line is needed.")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    r"""Returns sources and targets <object>[examples] in file order, without line endings (`\n`, `\r\n`).

    Several files are read in the order of their list, those of a pattern sorted by what the wildcards match.

    Additional references are in `references` <object>[examples], as tuples.

    With `on_bad_record: skip`, pairs are skipped if a line is empty, too long or not UTF-8, or if the
    alignment does not match the texts.

    Raises:
        UserError: a file cannot be read, line counts differ, a line is empty, or an alignment does not match;
            names file and line.
    """
    alignments = {"train": config.train_alignments}
    splits = {
        name: _read_split(sides, config, alignments.get(name)) for name, sides in config.sides().items()
    }
    return DataSplits(splits["train"], splits.get("validation"), splits.get("test"))


def aligned_files(sides: Sequence[FilePaths]) -> list[tuple[str, ...]]:
    """Returns the files that belong together, one of each side.

    Raises:
        UserError: the sides differ in their numbers of files, or patterns match different parts.
    """
    counts = [len(listed(side)) for side in sides]
    if len(set(counts)) > 1:
        raise UserError(
            f"{listed(sides[0])[0]}: one of {counts[0]} files or patterns, but the other side has "
            f"{next(count for count in counts if count != counts[0])}; list the files of both sides in the "
            "same order."
        )
    return [files for patterns in zip(*map(listed, sides), strict=True) for files in align(patterns)]


def _read_split(sides: Sequence[FilePaths], config: Config, alignments: str | None = None) -> Split:
    files, strict = aligned_files(sides), config.on_bad_record == "error"
    origin = origin_of([file for paths in files for file in paths])
    _warn_of_pairs(files)
    names = ["source", "target"]
    records: Iterator[Texts | BadRecord] = itertools.chain.from_iterable(
        _translations(paths, strict, config.encoding) for paths in files
    )
    if alignments is not None:
        names.append("alignment")
        records = _aligned(records, alignments, strict)
    rows = list(filter_records(records, origin, config))
    columns = {name: object_array([row[side] for row in rows]) for side, name in enumerate(names)}
    if len(sides) > 2:
        columns["references"] = np.fromiter((row[2:] for row in rows), object, len(rows))
    return Split(columns, origin)


def _warn_of_pairs(files: Sequence[tuple[str, ...]]) -> None:
    """Issues a `DataWarning` if the suffixes say that two pairs were given in place of two sides."""
    suffixes = [[Path(file.removesuffix(".gz")).suffix for file in paths] for paths in files]
    if len(files) == 2 and len(files[0]) == 2 and suffixes[0][0] != suffixes[1][0]:
        (source, target), (other_source, other_target) = files
        if all(pair[0] == pair[1] for pair in suffixes):
            warnings.warn(
                f"{source} and {target} are read as translations of each other; if those are "
                f"{source} and {other_source}, list the files of each side: "
                f"[[{source}, {target}], [{other_source}, {other_target}]].",
                DataWarning,
                stacklevel=2,
            )


def _translations(paths: Sequence[str], strict: bool, encoding: str) -> Iterator[Texts | BadRecord]:
    """Yields a tuple with line n of each file, for all n."""
    number = 0
    lines = itertools.zip_longest(*(read_lines(path, strict, encoding) for path in paths))
    for number, numbered_lines in enumerate(lines, 1):
        if None in numbered_lines:
            _reject_lengths(paths, [number - 1] * len(paths), itertools.chain([numbered_lines], lines))
        texts = tuple(map(_text, numbered_lines))
        yield _bad_line(paths, number, texts) or texts
    if number == 0:
        others = ", ".join(paths[1:])
        raise UserError(
            f"{paths[0]}: empty; at least one line is needed, and the same number of lines in {others}."
        )


def _reject_lengths(paths: Sequence[str], counts: list[int], lines: Iterator[Sequence[Any]]) -> NoReturn:
    """Raises an error with the number of lines of the source and of the first file that differs from it."""
    for numbered_lines in lines:
        counts = [count + (line is not None) for count, line in zip(counts, numbered_lines, strict=True)]
    other = next(file for file, count in enumerate(counts) if count != counts[0])
    raise UserError(
        f"{paths[0]} has {counts[0]} lines and {paths[other]} has {counts[other]}; line n of one must "
        "be the translation of line n of the other; align the files."
    )


def _aligned(pairs: Iterator[Texts | BadRecord], path: str, strict: bool) -> Iterator[Texts | BadRecord]:
    """Appends the line of the alignment file to each pair."""
    lines = read_lines(path, strict)
    number = 0
    for number, pair in enumerate(pairs, 1):
        line = next(lines, None)
        if line is None:
            raise UserError(
                f"{path}: {number - 1} lines, fewer than pairs; write one per pair, empty for no links."
            )
        problem = None if isinstance(pair, BadRecord) else alignments.find_problem(_text(line), *pair)
        if problem is not None:
            yield BadRecord(f"{path}:{number}", "with an invalid alignment", f"{problem}; align again.")
        else:
            yield pair if isinstance(pair, BadRecord) else (*pair, _text(line))
    if next(lines, None) is not None:
        raise UserError(f"{path}: more lines than the {number} pairs; write one per pair.")


def _text(line: tuple[int, str]) -> str:
    return line[1].removesuffix("\n").removesuffix("\r")


def _bad_line(paths: Sequence[str], number: int, texts: Texts) -> BadRecord | None:
    for path, text in zip(paths, texts, strict=True):
        location = f"{path}:{number}"
        if len(text) > MAX_TEXT_CHARACTERS:
            message = f"longer than {MAX_TEXT_CHARACTERS:,} characters; expected one sentence per line."
            return BadRecord(location, "too long", message)
        if "\0" in text:
            return BadRecord(location, "with a NUL character", "NUL character; remove it.")
        if not is_encodable(text):
            return BadRecord(location, "not UTF-8", "not UTF-8; save the file as UTF-8.")
    empty = [path for path, text in zip(paths, texts, strict=True) if is_blank(text)]
    all_files = "both files" if len(paths) == 2 else "all files"
    if len(empty) == len(paths):
        message = f"the line is empty here and in {', '.join(paths[1:])}; remove it from {all_files}."
        return BadRecord(f"{paths[0]}:{number}", "empty on both sides", message)
    if empty:
        other = next(path for path, text in zip(paths, texts, strict=True) if not is_blank(text))
        return BadRecord(
            f"{empty[0]}:{number}",
            "empty on one side",
            f"the line is empty but line {number} of {other} is not; translate it or remove the line from "
            f"{all_files}.",
        )
    return None
