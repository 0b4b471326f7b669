"""Config files: YAML and `--set` -> typed options, with one-line errors that name file and line."""

from attnzoo.config.resolve import ResolvedConfig, RunConfig, resolve
from attnzoo.config.schema import schema
from attnzoo.config.sections import (
    DataOptions,
    EvalOptions,
    FileOptions,
    Section,
    TrainOptions,
)

__all__ = [
    "DataOptions",
    "EvalOptions",
    "FileOptions",
    "ResolvedConfig",
    "RunConfig",
    "Section",
    "TrainOptions",
    "resolve",
    "schema",
]
