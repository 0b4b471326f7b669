"""What all pictures share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def plain_texts() -> Iterator[None]:
    """Texts are drawn as they are: `$` begins no formula, and a letter that the font lacks is a box."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context({"text.parse_math": False}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
