"""What a run knows about its data: learned features, lengths and counts. Imports no TensorFlow."""

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
from attnzoo.records.text_files import printable
from attnzoo.text.kinds import MAX_BUCKETS, MAX_LENGTH

FORMAT = 3
"""Format version of run folders, increased when older ones can no longer be read."""

Lengths = Mapping[str, int]
"""Padded length of each feature with lengths, in tokens: `{"source": 24, "target": 16}`."""


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """Everything a model, task or export needs to know about the data. Saved as `info.json`.

    Attributes:
        task: name of the task.
        features: name -> learned feature, in the order of the task.
        buckets: fixed lengths that training batches are padded to, ascending; empty without features with
            lengths. The last one fits all texts of train, or `max_length` tokens.
        num_examples: split -> number of examples.
        truncated_fraction: split -> fraction of tokens that is truncated, 0 to 1.
        fingerprint: SHA-256 of the raw examples of all splits.
        max_length: largest number of tokens read of any text, in evaluation and prediction too; None for the
            length of the last bucket.

    Examples:
        >>> info = DataInfo("translation", buckets=({"source": 24, "target": 16},), max_length=64)
        >>> [length["source"] for length in info.lengths], info.longest("target")
        ([24, 48, 64], 64)
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
        """All lengths that batches are padded to: the buckets, followed by doublings up to `max_length`.

        The lengths after the buckets are for texts that are longer than any in training.
        """
        lengths, maximum = list(self.buckets), self.max_length or 0
        while lengths and any(length < maximum for length in lengths[-1].values()):
            lengths.append(
                {name: max(length, min(2 * length, maximum)) for name, length in lengths[-1].items()}
            )
        return tuple(lengths)

    def longest(self, name: str) -> int | None:
        """Returns the largest number of tokens read of a feature, or None if it has no lengths."""
        return self.lengths[-1].get(name) if self.buckets else None

    def model_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the inputs of a batch as models take them, in the graph that calls the model.

        Batches have what is small on its way to a GPU: images <uint8>, which are standardized here. Every
        call of a model with inputs from `data.pipeline` or `Feature.raw_reader` goes through this method.

        Args:
            inputs: name -> tensor [batch, ...]; those that are no features stay as they are.

        Examples:
            >>> import tensorflow as tf
            >>> from attnzoo.features.image import Image
            >>> image = Image(shape=(1, 2, 1), mean=(0.2,), std=(0.1,))
            >>> batch = {"image": tf.constant([[[[51], [102]]]], tf.uint8)}
            >>> inputs = DataInfo("image_classification", {"image": image}).model_inputs(batch)
            >>> inputs["image"].numpy().round(5).tolist()
            [[[[0.0], [2.0]]]]
        """
        return {
            name: self.features[name].prepare(values) if name in self.features else values
            for name, values in inputs.items()
        }

    def to_json(self) -> str:
        """Returns the content of `info.json`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # A list, because the order of the features matters.
        values["features"] = [
            {"name": name, **feature.model_dump(mode="json")} for name, feature in self.features.items()
        ]
        return json.dumps({"format": FORMAT, **values}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: Path, task: str | None = None) -> DataInfo:
        """Reads `info.json`.

        The content is untrusted: types and sizes are validated before they are used.

        Args:
            path: path of the file.
            task: expected task; None for any.

        Raises:
            UserError: the file is missing (exit code 2) or invalid (exit code 4).
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
            info = cls._from_json(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = printable(".".join(map(str, first["loc"])))
            raise UserError(f"{path}: damaged ({key}: {first['msg']}).", EXIT_DAMAGED) from None
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}).", EXIT_DAMAGED) from None
        problem = next(info._problems(task or info.task), None)
        if problem is not None:
            raise UserError(f"{path}: damaged ({problem}).", EXIT_DAMAGED)
        return info

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> DataInfo:
        saved = _ADAPTER.validate_json(
            json.dumps({key: value for key, value in values.items() if key != "format"})
        )
        named: dict[str, Feature] = {}
        for entry in saved.features:
            options = {key: value for key, value in entry.items() if key != "name"}
            kind = str(entry.get("kind"))
            if kind not in catalog.names("features"):
                raise ValueError(f"features: unknown kind '{printable(kind)}'")
            feature = features.feature_class(kind).model_validate_json(json.dumps(options))
            named[str(entry.get("name"))] = feature
        others = {field.name: getattr(saved, field.name) for field in dataclasses.fields(saved)}
        return cls(**{**others, "features": named})

    def _problems(self, task: str) -> Iterator[str]:
        """Yields problems of values that cannot have been learned from data for `task`."""
        if self.task != task or task not in catalog.names("tasks"):
            yield f"task: expected {task!r}, got {self.task!r}"
            return
        expected = catalog.load_class("tasks", task).features
        if [*self.features] != [name for name in expected if name in self.features] or not all(
            name in self.features or feature.is_optional for name, feature in expected.items()
        ):
            yield f"features: expected those of {', '.join(expected)}"
            return
        for name, feature in self.features.items():
            if not feature.is_like(expected[name]):
                yield f"{name}: expected a feature of kind {expected[name].kind!r} as in {task}"
            else:
                yield from feature.problems(name)
        yield from self._length_problems([name for name, feature in expected.items() if feature.has_lengths])

    def _length_problems(self, names: list[str]) -> Iterator[str]:
        if not (min(1, len(names)) <= len(self.buckets) <= MAX_BUCKETS * len(names)):
            yield f"buckets: invalid number of buckets ({len(self.buckets)})"
        for bucket in self.buckets:
            if set(bucket) != set(names) or not all(0 < size <= MAX_LENGTH for size in bucket.values()):
                yield f"buckets: expected lengths of 1 to {MAX_LENGTH} for {', '.join(names)}"
        if self.max_length is not None and not 0 < self.max_length <= MAX_LENGTH:
            yield f"max_length: expected 1 to {MAX_LENGTH}"


def require_format(path: Path, values: Mapping[str, Any]) -> None:
    """Rejects a run written by an incompatible version of attnzoo.

    Raises:
        UserError: with advice (exit code 2).
    """
    if values.get("format") != FORMAT:
        raise UserError(
            f"{path}: written by another version of attnzoo that is not compatible with this one; use that "
            "version, or train again with `attnzoo train --restart`."
        )


def require_run_format(folder: Path) -> None:
    """Rejects a run folder written by an incompatible version; ignores damaged files, which are found later.

    Raises:
        UserError: with advice (exit code 2).
    """
    try:
        values = parse_object(read_regular(folder / "info.json", MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    require_format(folder, values)


@dataclasses.dataclass(frozen=True)
class _SavedInfo:
    """The content of `info.json`, before the features are created."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    task: str
    features: list[dict[str, Any]]
    buckets: tuple[Lengths, ...]
    num_examples: Mapping[str, int]
    truncated_fraction: Mapping[str, float]
    fingerprint: str
    max_length: int | None = None


_ADAPTER = TypeAdapter(_SavedInfo)
