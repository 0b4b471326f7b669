import hashlib
import json
import re
import socket

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as public_sets

from attnzoo import tasks
from attnzoo.data import tfds_builders
from attnzoo.data.datasets import tfds
from attnzoo.errors import UserError

features = public_sets.features

IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION, TRANSLATION = (
    "image_classification",
    "text_classification",
    "translation",
)


class TinySet(public_sets.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the sets below: a train split of 7 and a test split of 3 examples."""

    VERSION = public_sets.core.Version("1.0.0")
    SUPERVISED = None
    FEATURES: dict

    def _info(self):
        return public_sets.core.DatasetInfo(
            builder=self, features=features.FeaturesDict(self.FEATURES), supervised_keys=self.SUPERVISED
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(7)), "test": self._generate_examples(range(7, 10))}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, self.example(number)


class TinyReviews(TinySet):
    FEATURES = {  # noqa: RUF012
        "title": features.Text(),
        "body": features.Text(),
        "stars": features.ClassLabel(names=["bad", "good"]),
        "votes": features.Scalar(np.int64),
    }
    SUPERVISED = ("body", "stars")

    def example(self, number):
        return {"title": f"title {number}", "body": f"größe {number}", "stars": number % 2, "votes": number}


class TinyTweets(TinySet):
    FEATURES = {  # noqa: RUF012
        "data": features.FeaturesDict({"tweet": np.object_, "id": np.int32}),
        "mood": features.ClassLabel(num_classes=3),
    }

    def example(self, number):
        return {"data": {"tweet": f"tweet {number}", "id": number}, "mood": -1 if number == 9 else number % 3}


class TinyPictures(TinySet):
    FEATURES = {"image": features.Image(shape=(5, 3, 1)), "label": features.ClassLabel(num_classes=7)}  # noqa: RUF012

    def example(self, number):
        return {"image": np.full((5, 3, 1), number, np.uint8), "label": number % 7}


class TinyPhotos(TinySet):
    FEATURES = {  # noqa: RUF012
        "inner": features.FeaturesDict({"photo": features.Image(encoding_format="png")}),
        "label": features.ClassLabel(num_classes=7),
    }

    def example(self, number):
        return {"inner": {"photo": np.full((5 + number, 3, 3), number, np.uint8)}, "label": number % 7}


class TinyDepth(TinySet):
    FEATURES = {  # noqa: RUF012
        "image": features.Image(shape=(5, 3, 1), dtype=np.uint16),
        "label": features.ClassLabel(num_classes=7),
    }

    def example(self, number):
        return {"image": np.full((5, 3, 1), number, np.uint16), "label": 0}


class TinyPairs(public_sets.core.GeneratorBasedBuilder, skip_registration=True):
    """A set whose features are a Translation."""

    VERSION = public_sets.core.Version("1.0.0")

    def _info(self):
        return public_sets.core.DatasetInfo(
            builder=self, features=features.Translation(languages=["de", "en"]), supervised_keys=("en", "de")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(3):
            yield number, {"en": f"house {number}", "de": f"Haus {number}"}


class TinyParallel(TinySet):
    FEATURES = {"first": features.Text(), "second": features.Text()}  # noqa: RUF012

    def example(self, number):
        return {"first": f"one {number}", "second": f"eins {number}"}


class TinyDownload(TinySet):
    """A set that asks the download manager for one file with a registered checksum."""

    FEATURES = {"text": features.Text(), "label": features.ClassLabel(num_classes=2)}  # noqa: RUF012
    CONTENT = b"first\nsecond\n"
    URL = "https://example.invalid/files/lines.txt"
    url_infos = {  # noqa: RUF012
        URL: public_sets.core.download.checksums.UrlInfo(
            size=public_sets.core.utils.Size(len(CONTENT)),
            checksum=hashlib.sha256(CONTENT).hexdigest(),
            filename="lines.txt",
        )
    }

    def _split_generators(self, dl_manager):
        path = dl_manager.download(self.URL)
        return {"train": self.lines(path)}

    def lines(self, path):
        for number, line in enumerate(path.read_text().splitlines()):
            yield number, {"text": line, "label": number}


class TinyBroken(TinySet):
    FEATURES = {"text": features.Text(), "label": features.ClassLabel(num_classes=2)}  # noqa: RUF012

    def example(self, number):
        raise RuntimeError("no\nexamples today")


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Makes the sets above known by name, as installed ones are, for this file only."""
    registry = public_sets.core.registered._DATASET_REGISTRY
    sets = (
        TinyReviews,
        TinyTweets,
        TinyPictures,
        TinyPhotos,
        TinyDepth,
        TinyPairs,
        TinyParallel,
        TinyDownload,
        TinyBroken,
    )
    registry.update({made.name: made for made in sets})
    yield
    for made in sets:
        del registry[made.name]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("prepared"))


def load(task, data_dir, dataset, **options):
    config = tfds.Config(name="tfds", dataset=dataset, data_dir=str(data_dir), **options)
    return tfds.load(config, tasks.load(task).features, seed=3)


def by_text(split):
    return sorted(zip(split.column("text").tolist(), split.column("label").tolist(), strict=True))


def test_texts_and_labels_are_taken_from_the_supervised_keys(data_dir, capsys):
    splits = load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews", test="test", validation="train[:3]+test[:1]")
    assert by_text(splits.train) == [(f"größe {number}", number % 2) for number in range(7)]
    assert by_text(splits.test) == [(f"größe {number}", number % 2) for number in range(7, 10)]
    assert splits.train.column("label").dtype == np.int32
    assert splits.features["label"].names == ("bad", "good")
    assert len(splits.validation) == 4
    assert splits.test.origin == "tiny_reviews/1.0.0 test"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "%|" not in captured.err


def test_a_named_feature_wins_and_nested_ones_are_found_by_type_or_by_path(data_dir):
    splits = load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews", text="title")
    assert by_text(splits.train)[0] == ("title 0", 0)
    for options in ({}, {"text": "tweet"}, {"text": "data/tweet", "label": "mood"}):
        splits = load(TEXT_CLASSIFICATION, data_dir, "tiny_tweets", **options)
        assert by_text(splits.train)[1] == ("tweet 1", 1)
        assert splits.features["label"].names == ("0", "1", "2")


def test_examples_come_in_the_same_order_every_time(data_dir):
    orders = [
        load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews").train.column("text").tolist() for _ in range(2)
    ]
    assert orders[0] == orders[1]


def test_images_of_one_size_are_pixels_and_others_encoded_bytes(data_dir, monkeypatch):
    pictures = load(IMAGE_CLASSIFICATION, data_dir, "tiny_pictures").train
    images = pictures.column("image")
    assert images.shape == (7, 5, 3, 1)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == pictures.column("label").tolist()
    photos = load(IMAGE_CLASSIFICATION, data_dir, "tiny_photos").train
    decoded = [tf.io.decode_png(image).numpy() for image in photos.column("image")]
    assert [image[0, 0, 0] for image in decoded] == photos.column("label").tolist()
    assert sorted(image.shape for image in decoded) == [(5 + number, 3, 3) for number in range(7)]
    monkeypatch.setattr(tfds, "MAX_DECODED_BYTES", 7 * 15 - 1)
    encoded = load(IMAGE_CLASSIFICATION, data_dir, "tiny_pictures").train.column("image")
    assert tf.io.decode_png(encoded[0]).shape == (5, 3, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("house 0", "Haus 0")),
        ({"source": "de"}, ("Haus 0", "house 0")),
        ({"target": "en"}, ("Haus 0", "house 0")),
        ({"source": "en", "target": "de"}, ("house 0", "Haus 0")),
    ],
)
def test_language_pairs_go_in_the_direction_asked_for(data_dir, options, expected):
    splits = load(TRANSLATION, data_dir, "tiny_pairs", **options)
    pairs = zip(splits.train.column("source"), splits.train.column("target"), strict=True)
    assert expected in list(pairs)
    assert splits.features == {}


@pytest.mark.parametrize("options", [{}, {"label": "votes"}])
def test_a_number_is_found_by_type_or_name(data_dir, options):
    splits = load("text_regression", data_dir, "tiny_reviews", test="test", text="body", **options)
    assert by_text(splits.train) == [(f"größe {number}", float(number)) for number in range(7)]
    assert splits.train.column("label").dtype == np.float64
    assert splits.features == {}


def test_two_text_features_are_a_language_pair(data_dir):
    train = load(TRANSLATION, data_dir, "tiny_parallel").train
    assert train.column("source")[0].replace("one", "eins") == train.column("target")[0]


@pytest.mark.parametrize(
    ("task", "dataset", "options", "message"),
    [
        (TEXT_CLASSIFICATION, "tiny_reveiws", {}, "no data set 'tiny_reveiws' in tensorflow-datasets"),
        (TEXT_CLASSIFICATION, "tiny_reveiws", {}, "(did you mean 'tiny_reviews'?)"),
        (TEXT_CLASSIFICATION, "huggingface:x", {}, "'huggingface:x': community data sets are not supported"),
        (TEXT_CLASSIFICATION, "tiny_reviews/x", {}, "'tiny_reviews/x' cannot be set up:"),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"train": "trian[:3]"},
            "no split 'trian[:3]' in tiny_reviews/1.0.0 (did",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"test": "test[:3"},
            "no split 'test[:3' in tiny_reviews/1.0.0",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"test": "test[:0]"},
            "tiny_reviews/1.0.0 test[:0]: no examples",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"text": "boddy"},
            "data.text: no feature 'boddy' (did you mean 'body'?)",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"text": "votes"},
            "data.text: feature 'votes' cannot be used: expected a T",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_reviews",
            {"label": "votes"},
            "expected a ClassLabel not used for another column, got",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_pictures",
            {},
            "data.text: no feature is left that is a Text; the data set has: image",
        ),
        (IMAGE_CLASSIFICATION, "tiny_reviews", {}, "data.image: no feature is left that is an Image"),
        (
            IMAGE_CLASSIFICATION,
            "tiny_depth",
            {},
            "data.image: pixels of type uint16; only uint8 is supported",
        ),
        (
            TRANSLATION,
            "tiny_pairs",
            {"source": "fr"},
            "data.source: no feature 'fr'; the data set has: de, en.",
        ),
        (
            TRANSLATION,
            "tiny_pairs",
            {"source": "en", "target": "en"},
            "data.target: feature 'en' cannot be used",
        ),
        (TRANSLATION, "tiny_tweets", {}, "data.source: no feature is left that is a Text"),
        (
            "text_regression",
            "tiny_reviews",
            {"label": "stars"},
            "data.label: feature 'stars' cannot be used: expected a number",
        ),
        (
            "text_regression",
            "tiny_parallel",
            {"text": "first"},
            "data.label: no feature is left that is a number",
        ),
        (
            TEXT_CLASSIFICATION,
            "tiny_parallel",
            {},
            "data.text: several features fit; set it to one of: first, sec",
        ),
        (TEXT_CLASSIFICATION, "tiny_tweets", {"test": "test"}, "has label -1; expected 0 to 2"),
        (TEXT_CLASSIFICATION, "tiny_broken", {}, "'tiny_broken/1.0.0' cannot be prepared: "),
    ],
)
def test_what_does_not_fit_is_reported_in_one_line(data_dir, task, dataset, options, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load(task, data_dir, dataset, **options)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_named(data_dir, monkeypatch):
    monkeypatch.setattr(
        TinyTweets, "example", lambda self, number: {"data": {"tweet": b"a\xff", "id": 1}, "mood": 0}
    )
    with pytest.raises(
        UserError, match=r"tiny_tweets/1\.0\.0 train: example 0: not UTF-8 at byte 1 of its text"
    ):
        load(TEXT_CLASSIFICATION, data_dir + "/bytes", "tiny_tweets")


def test_a_split_that_does_not_fit_in_memory_is_refused_and_a_part_of_it_is_not(data_dir, monkeypatch):
    load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews")
    size = public_sets.builder("tiny_reviews", data_dir=data_dir).info.dataset_size
    monkeypatch.setattr(tfds, "MAX_BYTES", size // 2)
    with pytest.raises(
        UserError, match=r"split 'train' of tiny_reviews/1.0.0 has about 0\.0 GiB, more than the 0 GiB"
    ):
        load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews")
    assert len(load(TEXT_CLASSIFICATION, data_dir, "tiny_reviews", train="train[:3]").train) == 3


def no_connections(*_args, **_options):
    raise AssertionError("a connection was tried")


def test_files_in_the_manual_folder_are_used_without_any_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", no_connections)
    monkeypatch.setattr(socket, "getaddrinfo", no_connections)
    manual = tmp_path / "manual"
    manual.mkdir()
    with pytest.raises(
        UserError, match=r"lines\.txt is not in data\.manual_dir\. Files to put into data\.manual_dir: lines"
    ):
        load(TEXT_CLASSIFICATION, tmp_path, "tiny_download", manual_dir=str(manual))
    (manual / "lines.txt").write_bytes(b"altered")
    with pytest.raises(UserError, match="has wrong checksum"):
        load(TEXT_CLASSIFICATION, tmp_path, "tiny_download", manual_dir=str(manual))
    (manual / "lines.txt").write_bytes(TinyDownload.CONTENT)
    splits = load(TEXT_CLASSIFICATION, tmp_path, "tiny_download", manual_dir=str(manual))
    assert sorted(splits.train.column("text")) == ["first", "second"]
    assert len(load(TEXT_CLASSIFICATION, tmp_path, "tiny_download").train) == 2


def test_a_missing_network_or_manual_folder_is_reported_with_the_files_to_get(tmp_path, monkeypatch):
    # A proxy at a closed port of this machine: whatever is tried goes no further.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    wanted = f"Files to put into data.manual_dir: lines.txt ({TinyDownload.URL})."
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/none: folder not found. {wanted}")):
        load(TEXT_CLASSIFICATION, tmp_path, "tiny_download", manual_dir=str(tmp_path / "none"))
    message = (
        "'tiny_download/1.0.0' has to be downloaded but example.invalid cannot be reached (ProxyError). "
    )
    with pytest.raises(UserError, match=re.escape(message + wanted)):
        load(TEXT_CLASSIFICATION, tmp_path, "tiny_download")


def test_a_file_that_was_downloaded_before_needs_no_network(tmp_path):
    builder = tfds_builders.find_builder("tiny_download", str(tmp_path))
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "lines.txt.INFO").write_text(json.dumps({"urls": [TinyDownload.URL]}))
    tfds_builders._check_connection(builder, {"lines.txt": TinyDownload.URL})


def test_many_wanted_files_are_counted():
    urls = {f"{letter}.txt": f"https://example.invalid/{letter}" for letter in "abcdefg"}
    text = tfds_builders._missing_files(urls, None)
    assert text.endswith("d.txt (https://example.invalid/d) and 3 more.")
