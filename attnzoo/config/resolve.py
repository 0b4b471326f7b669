"""Resolves a config file and `--set` into the typed, complete config of one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from attnzoo import catalog
from attnzoo.config import locations
from attnzoo.config.checking import check
from attnzoo.config.overrides import apply_overrides
from attnzoo.config.problems import Problems
from attnzoo.config.sections import DataOptions, EvalOptions, TrainOptions
from attnzoo.config.source import Document, KeyPath, Origin, parse, read
from attnzoo.config.writing import Comment, to_text
from attnzoo.errors import UserError


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All options of one run.

    Attributes:
        name: name of the run; by default the name of the config file without its extension.
        seed: seed of all random numbers, 0 to 2^32 - 1.
        data: options of the data set.
        model: options of the model, the `Config` of its module.
        train: how the model is trained.
        eval: how the model is evaluated.
    """

    name: str
    seed: int
    data: DataOptions
    model: Any
    train: TrainOptions
    eval: EvalOptions

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Reads the `config.yaml` of a run folder, or any config file.

        Raises:
            UserError: the file is missing.
            ConfigErrors: all errors in it.
        """
        if not path.is_file():
            raise UserError(f"{path}: not found; is this a run folder?")
        return _resolve(read(path), (), _stem(path)).config

    @classmethod
    def from_yaml_text(cls, text: str, file: str = "config.yaml") -> RunConfig:
        """Parses a config.

        Args:
            text: YAML.
            file: file name for error messages.

        Raises:
            ConfigErrors: all errors in it.

        Examples:
            >>> config = RunConfig.from_yaml_text("data: digits\\nmodel: image_classifier")
            >>> config.train.batch_size, config.model.name
            (64, 'image_classifier')
        """
        return _resolve(parse(text, file), (), _stem(Path(file))).config

    def values(self) -> dict[str, Any]:
        """Returns all options as plain values, by section."""
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            plain[field.name] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return plain

    def flat(self) -> dict[str, Any]:
        """Returns all options by path: `{"train.learning_rate": 0.001, ...}`; lists are values."""
        return {".".join(path): value for path, value in _leaves(self.values()).items()}

    def changed_keys(self, other: RunConfig) -> list[str]:
        """Returns the sorted keys whose values differ, without `name`, which is only a label.

        Paths of files are compared as they are from the current folder.
        """
        mine, theirs = locations.absolute(self).flat(), locations.absolute(other).flat()
        absent = object()
        keys = sorted((mine.keys() | theirs.keys()) - {"name"})
        return [key for key in keys if _differ(mine.get(key, absent), theirs.get(key, absent))]

    def to_yaml(self) -> str:
        """Returns the complete config as YAML, which `from_yaml_text` parses to an equal config."""
        return to_text(self.values())


@dataclasses.dataclass(frozen=True)
class ResolvedConfig:
    """A config with the origin of each value.

    Attributes:
        config: the options.
        origins: path of a leaf or section -> its origin; paths that are missing have default values.
    """

    config: RunConfig
    origins: dict[tuple[str | int, ...], Origin]

    def origin(self, path: str) -> str:
        """Returns the origin of the value at `path`: "configs/x.yaml:12", "--set" or "default"."""
        origin = self.origins.get(tuple(path.split(".")))
        return origin.short if origin else "default"

    def flat(self) -> dict[str, Any]:
        """Returns all options by path: `{"train.learning_rate": 0.001, ...}`; lists are values."""
        return self.config.flat()

    def changed_keys(self, other: ResolvedConfig | RunConfig) -> list[str]:
        """Returns the sorted paths whose values differ, without `name`, which is only a label."""
        return self.config.changed_keys(other.config if isinstance(other, ResolvedConfig) else other)

    def shown(self, file: Path) -> ResolvedConfig:
        """Returns the config with paths that hold for a copy of its file in any folder.

        Those of a recipe of attnzoo stay as they are, as they stand for the user's own data.
        """
        if catalog.is_shipped(file):
            return self
        return dataclasses.replace(self, config=locations.absolute(self.config))

    def to_yaml(self, with_origins: bool = False) -> str:
        """Returns the complete config as YAML that can be run again.

        Args:
            with_origins: whether to add the origin of each value as a comment.
        """
        comment: Comment | None = (lambda path: self.origin(".".join(path))) if with_origins else None
        return to_text(self.config.values(), comment)


def resolve(path: str | Path, overrides: Sequence[str] = ()) -> ResolvedConfig:
    """Reads a config file, applies overrides, validates it and fills in defaults.

    Args:
        path: YAML file, or the name of a recipe; see `catalog.find_config`. Paths in it are relative to its
            folder, those of a recipe of attnzoo and of overrides to the current folder; see
            `config.locations`.
        overrides: `section.key=value` each; see `apply_overrides`. `model.attention.name=X` changes the
            mechanism and keeps those options of the file that X has too; `model.attention=X` drops them all.

    Raises:
        UserError: there is no such file.
        ConfigErrors: all errors, one line `FILE:LINE: path: what, expected, received` each.
    """
    path = catalog.find_config(path)
    return _resolve(read(path), overrides, _stem(path), locations.folder_of(path))


def _resolve(
    document: Document, overrides: Sequence[str], name: str, folder: Path = Path()
) -> ResolvedConfig:
    problems = Problems()
    old_names = apply_overrides(document, overrides, problems)
    options = check(document, name, old_names, problems)
    config = RunConfig(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(RunConfig)}
    )

    def is_override(key: KeyPath) -> bool:
        return document.origin_near(key).is_override

    for key, what in locations.misplaced(config, folder, is_override):
        problems.add(document.origin_near(key), key, what)
    problems.raise_if_any()
    return ResolvedConfig(locations.in_folder(config, folder, is_override), document.origins)


def _stem(path: Path) -> str:
    return path.stem.lstrip(".") or "run"


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or bool(one != other)


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Returns the leaves of nested mappings by path; lists and empty mappings are leaves."""
    leaves: dict[tuple[str, ...], Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            leaves.update(_leaves(value, (*path, key)))
        else:
            here = (*path, key)
            leaves[here] = value
    return leaves
