"""Config files: YAML and `--set` -> typed options, with every error in one line that says where."""

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
