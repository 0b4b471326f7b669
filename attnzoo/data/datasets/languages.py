"""Lists of country, language and currency names in 24 languages, from Unicode CLDR by Babel."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from attnzoo.data.splits import DataSplits, Split
from attnzoo.features.feature import Feature
from attnzoo.features.label import Label
from attnzoo.features.text import TextOptions
from attnzoo.records.text_files import object_array
from attnzoo.text.kinds import Tokenization

COLUMNS = {"text": ("text",), "label": ("label",)}

LANGUAGES = (
    *("bg", "ca", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hu", "it"),
    *("ja", "ko", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sv", "tr", "uk"),
)
NAMES_PER_LIST = 5
LISTS_PER_NAME = 4


class Config(TextOptions):
    """Texts such as `Zwitserland, Kreools, ...`, labeled with the code of their language; no download."""

    min_characters: ClassVar[int] = 750

    name: Literal["languages"] = Field(
        description="Lists of names in 24 languages, labeled by language; no download."
    )
    tokenizer: Tokenization | Literal["auto"] = Field("characters", description="Kind of token.")
    max_length: Annotated[int, Field(ge=2, le=65_536)] = Field(
        128, description="Longest text, in tokens; longer texts are truncated."
    )
    num_buckets: Annotated[int, Field(ge=1, le=16)] = Field(
        2,
        description="Number of fixed lengths (buckets) that batches are padded to; each costs one "
        "compilation.",
    )

    @property
    def holds_out_validation(self) -> bool:
        """False: it has a validation split."""
        return False

    def known_labels(self) -> tuple[str, ...]:
        """Returns the codes of the languages."""
        return LANGUAGES


def load(config: Config, features: Mapping[str, Feature], seed: int) -> DataSplits:
    """Returns texts <object>[examples] and labels <int32>[examples], which only depend on the CLDR release.

    Names with a comma or shared by several languages are dropped. The others are assigned to test, validation
    or train by SHA-256 (10, 10 and 80 %), so no name of test occurs in train. In each split every name is
    used in 4 lists of 5 names of its language, except for up to 4 left over in each round of lists.
    """
    columns: dict[str, tuple[list[str], list[int]]] = {
        name: ([], []) for name in ("train", "validation", "test")
    }
    for label, names in enumerate(_names_by_language()):
        pools: dict[str, list[str]] = {split: [] for split in columns}
        for name in names:
            pools[{0: "test", 1: "validation"}.get(_hash(name) % 10, "train")].append(name)
        for split, pool in pools.items():
            lists = _join_lists(pool)
            columns[split][0].extend(lists)
            columns[split][1].extend([label] * len(lists))
    train, validation, test = (_shuffled(*column, f"languages {split}") for split, column in columns.items())
    return DataSplits(train, validation, test, {"label": Label(names=LANGUAGES)})


def _names_by_language() -> list[list[str]]:
    """Returns the sorted names unique to each language, comparing names without case."""
    from babel import Locale

    names_by_language = []  # dictionaries: casefolded name -> name
    for language in LANGUAGES:
        locale = Locale.parse(language)
        kinds = (locale.territories, locale.languages, locale.currencies)
        names = sorted({name for kind in kinds for name in kind.values() if "," not in name})
        names_by_language.append({name.casefold(): name for name in names})
    owners = collections.Counter(key for names in names_by_language for key in names)
    return [sorted(name for key, name in names.items() if owners[key] == 1) for names in names_by_language]


def _join_lists(pool: list[str]) -> list[str]:
    lists = []
    for number in range(LISTS_PER_NAME):
        order = sorted(pool, key=lambda name: _hash(f"{number} {name}"))
        for start in range(0, len(order) - NAMES_PER_LIST + 1, NAMES_PER_LIST):
            lists.append(", ".join(order[start : start + NAMES_PER_LIST]))
    return lists


def _shuffled(texts: list[str], labels: list[int], origin: str) -> Split:
    order = sorted(range(len(texts)), key=lambda index: _hash(texts[index]))
    return Split(
        {
            "text": object_array([texts[index] for index in order]),
            "label": np.array([labels[index] for index in order], np.int32),
        },
        origin,
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")
