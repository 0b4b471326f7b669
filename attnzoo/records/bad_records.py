"""Records that cannot be read: the first one ends the command, or they are skipped and counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from attnzoo.config.sections import FileOptions
from attnzoo.errors import DataWarning, UserError

Record = TypeVar("Record")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class BadRecord(UserError):
    """A record that cannot be used while the ones after it can.

    Args:
        location: file and line, or the path of an image file.
        reason: short text shared by all records with this problem, such as "not UTF-8".
        message: what is wrong, what was expected and how to fix it.
        values: what could be read of a record that lacks something.
    """

    def __init__(
        self, location: str, reason: str, message: str, values: Mapping[str, Any] = _NOTHING
    ) -> None:
        super().__init__(f"{location}: {message}")
        self.location = location
        self.reason = reason
        self.values = values

    def with_advice(self) -> BadRecord:
        """Returns the same error with the option that passes over such records of a data set."""
        message = str(self).removeprefix(f"{self.location}: ").removesuffix(".")
        return BadRecord(
            self.location, self.reason, f"{message}. data.on_bad_record: skip leaves out such records."
        )


def filter_records(records: Iterable[Record | BadRecord], origin: str, options: FileOptions) -> list[Record]:
    """Returns the usable records, in order.

    Args:
        records: the output of a reader, with a `BadRecord` for each record that cannot be used.
        origin: file or folder, for messages.
        options: only `on_bad_record` and `max_bad_fraction` are used.

    Raises:
        BadRecord: the first bad record (on_bad_record: error).
        UserError: more than `max_bad_fraction` of the records are bad (on_bad_record: skip).
    """
    usable: list[Record] = []
    counts: dict[str, int] = {}
    first_locations: dict[str, str] = {}
    for record in records:
        if not isinstance(record, BadRecord):
            usable.append(record)
            continue
        if options.on_bad_record == "error":
            raise record.with_advice()
        counts[record.reason] = counts.get(record.reason, 0) + 1
        first_locations.setdefault(record.reason, record.location)
    num_bad = sum(counts.values())
    if num_bad == 0:
        return usable
    total = num_bad + len(usable)
    reasons = "; ".join(
        f"{count:,} {reason} (first: {first_locations[reason]})" for reason, count in counts.items()
    )
    problem = f"{origin}: {num_bad:,} of {total:,} records ({num_bad / total:.2%}) cannot be read"
    if num_bad > options.max_bad_fraction * total:
        limit = f"data.max_bad_fraction allows {options.max_bad_fraction:.2%}"
        raise UserError(f"{problem}, {limit}: {reasons}; fix them or raise the limit.")
    warnings.warn(f"{problem} and are skipped: {reasons}.", DataWarning, stacklevel=2)
    return usable
