import collections
import datetime
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from attnzoo import tasks
from attnzoo.data.datasets import dates, digits, languages

IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION, TRANSLATION = (
    tasks.load(name).features for name in ("image_classification", "text_classification", "translation")
)


@pytest.fixture(scope="module")
def digit_splits():
    return digits.load(digits.Config(name="digits"), IMAGE_CLASSIFICATION, 3)


@pytest.fixture(scope="module")
def language_splits():
    return languages.load(languages.Config(name="languages"), TEXT_CLASSIFICATION, 3)


@pytest.fixture(scope="module")
def date_splits():
    config = dates.Config(name="dates", train_examples=3001, test_examples=701)
    return dates.load(config, TRANSLATION, 3)


def test_digits_are_gray_bytes_split_70_10_20_in_every_class(digit_splits):
    counts = {name: len(split) for name, split in digit_splits.named().items()}
    assert counts == {"train": 1259, "validation": 179, "test": 359}
    images = digit_splits.train.column("image")
    assert images.shape == (1259, 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    for split, fraction in (("test", 0.2), ("validation", 0.1)):
        per_class = np.bincount(digit_splits.named()[split].column("label"), minlength=10)
        assert np.all(np.abs(per_class - fraction * 179.7) < 2)
    assert digit_splits.features["label"].names == tuple("0123456789")


def test_digits_are_the_same_for_every_seed(digit_splits):
    again = digits.load(digits.Config(name="digits"), IMAGE_CLASSIFICATION, 5)
    for name, split in digit_splits.named().items():
        assert np.array_equal(split.column("image"), again.named()[name].column("image"))
        assert np.array_equal(split.column("label"), again.named()[name].column("label"))


def test_every_language_has_lists_of_five_names_in_every_split(language_splits):
    assert len(language_splits.features["label"].names) == 24
    for split in language_splits.named().values():
        per_class = np.bincount(split.column("label"), minlength=24)
        assert per_class.min() >= 15
        assert len(set(split.column("text"))) == len(split)
    assert len(language_splits.train) > 10_000
    assert len(language_splits.test) > 1_000


def test_no_name_of_another_split_or_language_occurs_in_train():
    by_language = languages._names_by_language()
    owners = collections.Counter(name.casefold() for names in by_language for name in names)
    assert max(owners.values()) == 1
    config = languages.Config(name="languages")
    splits = languages.load(config, TEXT_CLASSIFICATION, 3)

    def used(split):
        return {name for text in split.column("text") for name in text.split(", ")}

    assert used(splits.train) < {name for names in by_language for name in names}
    assert len(used(splits.train)) > 10_000
    assert not used(splits.train) & used(splits.test)
    assert not used(splits.train) & used(splits.validation)
    assert not used(splits.validation) & used(splits.test)


def test_languages_differ_in_their_letters(language_splits):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    train, test = language_splits.train, language_splits.test
    classifier = LinearSVC().fit(vectorizer.fit_transform(train.column("text")), train.column("label"))
    assert classifier.score(vectorizer.transform(test.column("text")), test.column("label")) > 0.97


def test_dates_come_in_the_numbers_asked_for_and_days_of_test_are_in_no_other_split(date_splits):
    assert {name: len(split) for name, split in date_splits.named().items()} == {
        "train": 3001,
        "validation": 500,
        "test": 701,
    }
    days = {name: set(split.column("target")) for name, split in date_splits.named().items()}
    assert not days["test"] & days["train"]
    assert not days["test"] & days["validation"]
    assert not days["validation"] & days["train"]
    sources = [source for split in date_splits.named().values() for source in split.column("source")]
    assert len(set(sources)) == len(sources)


def test_targets_are_iso_dates_of_1900_to_2099_and_no_source_hides_the_century(date_splits):
    for split in date_splits.named().values():
        for source, target in zip(split.column("source"), split.column("target"), strict=True):
            day = datetime.date.fromisoformat(target)
            assert 1900 <= day.year <= 2099
            assert str(day.year) in source
            assert len(source) <= 60


def test_no_date_in_any_style_can_be_read_as_another_day():
    readings = collections.defaultdict(set)
    for year in (2023, 2024):
        day = datetime.date(year, 1, 1)
        while day.year == year:
            for style in dates.styles():
                source = dates.format_day(day, style)
                if source is not None:
                    readings[source].add(day)
            day += datetime.timedelta(days=1)
    assert len(readings) > 80_000
    assert [source for source, days in readings.items() if len(days) > 1] == []


def test_styles_cover_the_locales_and_numbers_are_written_once():
    styles = dates.styles()
    assert {style.locale for style in styles} == {*dates.LOCALES, dates.NUMERIC_LOCALE}
    assert len(set(styles)) == len(styles) > 120
    numeric = [style.pattern for style in styles if style.numeric]
    assert len(set(numeric)) == len(numeric)
    orders = {"".join(sorted("dMy", key=dates._fields(pattern).index)) for pattern in numeric}
    assert orders == {"dMy", "Mdy", "yMd"}


def test_american_numbers_are_used_only_where_they_are_clear():
    american = dates.Style("en", "M/d/y")
    assert american.month_first
    assert not dates.Style("en", "d/M/y").month_first
    assert not dates.Style("en_US", "MMMM d, y").month_first
    assert dates.format_day(datetime.date(2021, 3, 4), american) is None
    assert dates.format_day(datetime.date(2021, 3, 3), american) == "3/3/2021"
    assert dates.format_day(datetime.date(2021, 3, 13), american) == "3/13/2021"


def test_more_dates_than_exist_are_refused():
    with pytest.raises(
        ValueError, match=r"one day: 997 examples requested, but only [0-9]+ distinct ones exist"
    ):
        dates._examples([datetime.date(2021, 3, 17)], 997, "one day")


def test_twenty_thousand_dates_take_less_than_five_seconds():
    start = time.process_time()
    assert len(dates.load(dates.Config(name="dates"), TRANSLATION, 3).train) == 20_000
    assert time.process_time() - start < 5


def test_embedded_data_do_not_depend_on_the_hash_seed_and_need_no_tensorflow():
    code = """
import hashlib, sys
from attnzoo import tasks
from attnzoo.data.datasets import (
    csv, dates, digits, image_folder, image_table, languages, parallel_text, tfds
)
digest = hashlib.sha256()
for module, task in (
    (dates, "translation"), (languages, "text_classification"), (digits, "image_classification")
):
    config = module.Config(name=module.__name__.rsplit(".", 1)[1])
    splits = module.load(config, tasks.load(task).features, 0)
    for split in splits.named().values():
        for name in split.names:
            digest.update(repr(split.column(name).tolist()).encode())
assert "tensorflow" not in sys.modules
print(digest.hexdigest())
"""
    digests = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
