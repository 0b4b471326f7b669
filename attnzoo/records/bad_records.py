"""Records that cannot be read: the first one ends the command, or all are passed over, counted and told."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TypeVar

from attnzoo.config.sections import FileOptions
from attnzoo.errors import DataWarning, UserError

Record = TypeVar("Record")


class BadRecord(UserError):
    """A record that cannot be used while the ones after it can.

    Args:
        place: file and line, or the file of an image.
        reason: short, the same for all records of this kind: "not UTF-8".
        message: what is wrong, what was expected, what to do.
    """

    def __init__(self, place: str, reason: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.reason = reason


def filter_records(records: Iterable[Record | BadRecord], origin: str, options: FileOptions) -> list[Record]:
    """Returns the records that can be used, in order.

    Args:
        records: what a reader found; a `BadRecord` in the place of each that cannot be used.
        origin: the file or folder, for messages.
        options: `on_bad_record` and `max_bad_fraction`.

    Raises:
        BadRecord: the first one (on_bad_record: error).
        UserError: more than `max_bad_fraction` of the records are bad (on_bad_record: skip).
    """
    kept: list[Record] = []
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for record in records:
        if not isinstance(record, BadRecord):
            kept.append(record)
            continue
        if options.on_bad_record == "error":
            raise record
        counts[record.reason] = counts.get(record.reason, 0) + 1
        first.setdefault(record.reason, record.place)
    bad = sum(counts.values())
    if bad == 0:
        return kept
    total = bad + len(kept)
    found = "; ".join(f"{count:,} {reason} (first: {first[reason]})" for reason, count in counts.items())
    said = f"{origin}: {bad:,} of {total:,} records ({bad / total:.2%}) cannot be read"
    if bad > options.max_bad_fraction * total:
        limit = f"data.max_bad_fraction allows {options.max_bad_fraction:.2%}"
        raise UserError(f"{said}, {limit}: {found}; mend them or allow more.")
    warnings.warn(f"{said} and are passed over: {found}.", DataWarning, stacklevel=2)
    return kept
