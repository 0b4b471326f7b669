"""One file and one class a kind of column: what is learned of it, and how values become tensors."""

from __future__ import annotations

from typing import Any

from attnzoo import catalog


def feature_class(kind: str) -> Any:
    """Returns the class of a kind of feature.

    Raises:
        UserError: there is no such kind.
    """
    return catalog.load_class("features", kind)
