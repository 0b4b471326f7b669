"""One module and class per kind of column: what is learned from it, and how values become tensors."""

from __future__ import annotations

from typing import Any

from attnzoo import catalog


def feature_class(kind: str) -> Any:
    """Returns the class for a kind of feature.

    Raises:
        UserError: the kind is unknown.
    """
    return catalog.load_class("features", kind)
