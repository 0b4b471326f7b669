"""What a run knows of its data: learned features by name, lengths and counts. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from attnzoo import catalog, features
from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.features.feature import Feature
from attnzoo.files import MAX_JSON_BYTES, parse_object, read_regular
from attnzoo.records.text_files import shown
from attnzoo.text.kinds import MAX_BUCKETS, MAX_LENGTH

FORMAT = 3
"""Of run folders; it grows where older ones can no longer be read."""

Lengths = Mapping[str, int]
"""Padded length of each feature with lengths, in tokens: `{"source": 24, "target": 16}`."""


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """All that a model, a task or an export needs to know about the data. Saved as `info.json`.

    Attributes:
        task: name of the task.
        features: name -> feature with what was learned of it, in the order of the task.
        buckets: the fixed lengths that batches of training are padded to, shortest first; empty without
            lengths. The last holds all texts of train, or `max_length` tokens of them.
        max_length: most tokens of a text that are read, in answers and evaluations too; None: no more than
            the last bucket holds.
        num_examples: split -> number of examples.
        truncated_fraction: split -> fraction of tokens that are beyond what is read, 0..1.
        fingerprint: SHA-256 over the raw examples of all splits.
    """

    task: str
    features: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    buckets: tuple[Lengths, ...] = ()
    num_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    truncated_fraction: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    max_length: int | None = None

    @property
    def lengths(self) -> tuple[Lengths, ...]:
        """All lengths that batches are padded to: the buckets, then each twice the one before.

        Those beyond the buckets are for texts that are longer than any in training.
        """
        lengths, most = list(self.buckets), self.max_length or 0
        while lengths and any(length < most for length in lengths[-1].values()):
            lengths.append({name: max(length, min(2 * length, most)) for name, length in lengths[-1].items()})
        return tuple(lengths)

    def longest(self, name: str) -> int | None:
        """Returns the most tokens of a feature that are read; None for one without lengths."""
        return self.lengths[-1].get(name) if self.buckets else None

    def to_json(self) -> str:
        """Returns the text of `info.json`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # A list, as the order is that of the batches' lengths.
        values["features"] = [
            {"name": name, **feature.model_dump(mode="json")} for name, feature in self.features.items()
        ]
        return json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path, task: str | None = None) -> DataInfo:
        """Reads `info.json`.

        Whatever is in it is checked before anything is made of it: types, and sizes that a config could give.

        Args:
            path: the file.
            task: what the model of the run is for; None where any task will do.

        Raises:
            UserError: the file is missing (2) or is not what `to_json` wrote (4).
        """
        try:
            values = parse_object(read_regular(path, MAX_JSON_BYTES))
        except FileNotFoundError:
            raise UserError(f"{path}: not found; is this a run folder?") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path}: damaged ({' '.join(str(error).split())[:200]}).", EXIT_DAMAGED
            ) from None
        require_format(path, values)
        try:
            info = cls._of(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = shown(".".join(map(str, first["loc"])))
            raise UserError(f"{path}: damaged ({place}: {first['msg']}).", EXIT_DAMAGED) from None
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}).", EXIT_DAMAGED) from None
        problem = next(info._problems(task or info.task), None)
        if problem is not None:
            raise UserError(f"{path}: damaged ({problem}).", EXIT_DAMAGED)
        return info

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> DataInfo:
        plain = _ADAPTER.validate_json(
            json.dumps({key: value for key, value in values.items() if key != "format"})
        )
        named: dict[str, Feature] = {}
        for entry in plain.features:
            options = {key: value for key, value in entry.items() if key != "name"}
            kind = str(entry.get("kind"))
            if kind not in catalog.names("features"):
                raise ValueError(f"features: unknown kind '{shown(kind)}'")
            feature = features.feature_class(kind).model_validate_json(json.dumps(options))
            named[str(entry.get("name"))] = feature
        others = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
        return cls(**{**others, "features": named})

    def _problems(self, task: str) -> Iterator[str]:
        """Yields what in these values cannot have been learned from data for `task`."""
        if self.task != task or task not in catalog.names("tasks"):
            yield f"task: {self.task!r} where {task!r} is expected"
            return
        wanted = catalog.load_class("tasks", task).features
        if [*self.features] != [name for name in wanted if name in self.features] or not all(
            name in self.features or feature.is_optional for name, feature in wanted.items()
        ):
            yield f"features: expected those of {', '.join(wanted)}"
            return
        for name, feature in self.features.items():
            if not feature.is_like(wanted[name]):
                yield f"{name}: another feature than {wanted[name].kind!r} as {task} has it"
            else:
                yield from feature.problems(name)
        yield from self._length_problems([name for name, feature in wanted.items() if feature.has_lengths])

    def _length_problems(self, names: list[str]) -> Iterator[str]:
        if not (min(1, len(names)) <= len(self.buckets) <= MAX_BUCKETS * len(names)):
            yield f"buckets: {len(self.buckets)} of them"
        for bucket in self.buckets:
            if set(bucket) != set(names) or not all(0 < size <= MAX_LENGTH for size in bucket.values()):
                yield f"buckets: expected lengths of 1 to {MAX_LENGTH} for {', '.join(names)}"
        if self.max_length is not None and not 0 < self.max_length <= MAX_LENGTH:
            yield f"max_length: expected 1 to {MAX_LENGTH}"


def require_format(path: Path, values: Mapping[str, Any]) -> None:
    """Refuses a run of another version.

    Raises:
        UserError: saying what to do (exit code 2).
    """
    if values.get("format") != FORMAT:
        raise UserError(
            f"{path}: of another version of attnzoo, which this one cannot read; use that version, or train "
            "again with `attnzoo train --restart`."
        )


def require_run_format(folder: Path) -> None:
    """Refuses a run of another version, whose config says other things; damage is found by who reads it.

    Raises:
        UserError: saying what to do (exit code 2).
    """
    try:
        values = parse_object(read_regular(folder / "info.json", MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    require_format(folder, values)


@dataclasses.dataclass(frozen=True)
class _Plain:
    """What JSON holds, before the features are made."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    task: str
    features: list[dict[str, Any]]
    buckets: tuple[Lengths, ...]
    num_examples: Mapping[str, int]
    truncated_fraction: Mapping[str, float]
    fingerprint: str
    max_length: int | None = None


_ADAPTER = TypeAdapter(_Plain)
