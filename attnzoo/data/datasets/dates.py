"""Dates as written in 29 languages, to be translated to ISO 8601; from Unicode CLDR by Babel."""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.feature import Feature
from attnzoo.features.text import TextPairOptions
from attnzoo.records.text_files import object_array
from attnzoo.text.kinds import Tokenization

if TYPE_CHECKING:
    from babel import Locale

COLUMNS = {"source": ("text",), "target": ("text",)}

FIRST_YEAR = 1900
LAST_YEAR = 2099
VALIDATION_EXAMPLES = 500
LOCALES = (
    *("en_US", "en_GB", "de", "nl", "da", "nb", "sv", "is", "fr", "es", "pt", "it", "ca", "ro"),
    *("fi", "hu", "tr", "lt"),
    *("lv", "cs", "sk", "pl", "ru", "uk", "bg", "el", "ja", "ko", "zh", "vi"),
)
NUMERIC_LOCALE = "en"
"""Locale for patterns without names, which look the same in every locale of the list."""

EXTRA_PATTERNS = ("EEE d MMM y", "d MMMM y", "y-MM-dd", "y/MM/dd", "dd.MM.y")


class Config(TextPairOptions):
    """Generated pairs such as `7 mars 2021` -> `2021-03-07`; no download."""

    min_characters: ClassVar[int] = 160

    name: Literal["dates"] = Field(
        description="Dates in 29 languages and many styles, translated to ISO 8601; no download."
    )
    tokenizer: Tokenization | Literal["auto"] = Field("characters", description="Kind of token.")
    lowercase: bool = Field(False, description="Whether texts are lowercased before tokenization.")
    max_length: Annotated[int, Field(ge=2, le=65_536)] = Field(
        64, description="Longest text, in tokens; longer texts are truncated."
    )
    num_buckets: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="Number of fixed lengths (buckets) that batches are padded to; each costs one "
        "compilation.",
    )
    train_examples: Annotated[int, Field(ge=1, le=500_000)] = Field(
        20_000, description="Number of training pairs."
    )
    test_examples: Annotated[int, Field(ge=1, le=50_000)] = Field(1_000, description="Number of test pairs.")

    @property
    def holds_out_validation(self) -> bool:
        """False: it has a validation split."""
        return False


class Style(NamedTuple):
    """A way to write a date: a CLDR pattern and the locale whose names are used in it."""

    locale: str
    pattern: str

    @property
    def numeric(self) -> bool:
        """Whether the pattern has no names of months or weekdays."""
        return not re.search("MMM|E|c", _fields(self.pattern))

    @property
    def month_first(self) -> bool:
        """Whether the pattern is numeric and in American order: month, day, year."""
        fields = _fields(self.pattern)
        return self.numeric and fields.index("M") < fields.index("d") < fields.index("y")


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns sources and targets <object>[examples], which only depend on their numbers.

    A day (1900-01-01 to 2099-12-31) is assigned to test, validation or train by the SHA-256 of its ISO string
    (10, 10 and 80 %), so no day of test is in train in any style. No source has two targets.
    """
    days: dict[str, list[datetime.date]] = {"train": [], "validation": [], "test": []}
    day = datetime.date(FIRST_YEAR, 1, 1)
    while day.year <= LAST_YEAR:
        days[{0: "test", 1: "validation"}.get(_hash(day) % 10, "train")].append(day)
        day += datetime.timedelta(days=1)
    train = _examples(days["train"], config.train_examples, "dates train")
    validation = _examples(days["validation"], VALIDATION_EXAMPLES, "dates validation")
    test = _examples(days["test"], config.test_examples, "dates test")
    return DataSplits(train, validation, test)


@functools.lru_cache(maxsize=1)
def styles() -> tuple[Style, ...]:
    """Returns the distinct styles: the four formats of each locale and the extra patterns.

    Two-digit years are expanded to four digits, as the century would be unknown otherwise.
    """
    from babel.dates import get_date_format

    distinct: dict[Style, None] = {}
    for locale in LOCALES:
        formats = [
            get_date_format(width, _locale(locale)).pattern for width in ("full", "long", "medium", "short")
        ]
        for pattern in (*formats, *EXTRA_PATTERNS):
            style = Style(locale, re.sub("y+", "y", pattern))
            distinct[style._replace(locale=NUMERIC_LOCALE) if style.numeric else style] = None
    return tuple(distinct)


def format_day(day: datetime.date, style: Style) -> str | None:
    """Returns the day in the given style, or None if month and day could be confused.

    03/04/2021 is the third of April in most of the world but the fourth of March in America. Numeric dates in
    American order are therefore only used if they are unambiguous: after the 12th, or if month and day match.

    Examples:
        >>> print(format_day(datetime.date(2021, 3, 7), Style("fr", "d MMMM y")))
        7 mars 2021
    """
    from babel.dates import format_date

    if style.month_first and day.day <= 12 and day.day != day.month:
        return None
    return format_date(day, style.pattern, _locale(style.locale))


def _examples(days: list[datetime.date], count: int, origin: str) -> Split:
    """Cycles through the days in hash order, with a new style in each round, until there are enough pairs."""
    ordered = sorted(days, key=_hash)
    pairs: dict[str, str] = {}
    for turn in range(len(styles())):
        for day in ordered:
            source = format_day(day, styles()[(_hash(day) // 10 + turn) % len(styles())])
            if source is not None:
                pairs.setdefault(source, day.isoformat())
            if len(pairs) == count:
                return Split(
                    {"source": object_array(list(pairs)), "target": object_array(list(pairs.values()))},
                    origin,
                )
    raise ValueError(
        f"{origin}: {count} examples requested, but only {len(pairs)} distinct ones exist; request fewer."
    )


@functools.lru_cache(maxsize=100_000)
def _hash(day: datetime.date) -> int:
    return int.from_bytes(hashlib.sha256(day.isoformat().encode()).digest()[:8], "big")


@functools.lru_cache(maxsize=len(LOCALES) + 1)
def _locale(name: str) -> Locale:
    from babel import Locale

    return Locale.parse(name)


def _fields(pattern: str) -> str:
    """Returns the pattern without quoted text."""
    return re.sub("'[^']*'", "", pattern)
