"""D6: what is downloaded is checked before it is used, and nothing is downloaded that was not asked for."""

import hashlib
import http.server
import json
import shutil
import socket
import sys
import threading

import pytest
import tensorflow_datasets as public_sets

from attnzoo import tasks
from attnzoo.data import tfds_builders
from attnzoo.data.datasets import tfds
from attnzoo.errors import UserError

GOOD = b"first\nsecond\n"
ALTERED = b"first\nhostile\n"
NAME = "hostile_download"


class HostileDownload(public_sets.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of one file with a registered checksum."""

    VERSION = public_sets.core.Version("1.0.0")
    url = ""
    url_infos = None

    def _info(self):
        features = public_sets.features
        columns = {"text": features.Text(), "label": features.ClassLabel(num_classes=2)}
        return public_sets.core.DatasetInfo(builder=self, features=features.FeaturesDict(columns))

    def _split_generators(self, dl_manager):
        path = dl_manager.download(self.url)
        return {"train": self._generate_examples(path)}

    def _generate_examples(self, path):
        for number, line in enumerate(path.read_text().splitlines()):
            yield number, {"text": line, "label": number}


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers in the way that the path of the address names; counts what it was asked for."""

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.server.asked.append(self.path)
        self.answer(with_body=True)

    def answer(self, with_body):
        kind = self.server.kinds.get(self.path, self.path.strip("/"))
        target = {"redirect": "/altered", "circle": "/circle", "detour": "/good"}.get(kind)
        body = {"good": GOOD, "altered": ALTERED, "html": b"<html>log in</html>", "short": GOOD[:5]}.get(
            kind, b""
        )
        self.send_response(302 if target else 500 if kind == "error" else 404 if kind == "missing" else 200)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(GOOD) if kind == "short" else len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    """A server on the loopback address."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    made.asked, made.kinds = [], {}
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def known(server, monkeypatch):
    """Function: gives the data set the address of a way to answer, with or without a checksum."""
    monkeypatch.setitem(public_sets.core.registered._DATASET_REGISTRY, NAME, HostileDownload)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(tfds_builders, "RETRIES", 1)
    server.asked.clear()
    server.kinds.clear()

    def choose(kind, with_checksum=True):
        url = f"http://127.0.0.1:{server.server_port}/{kind}"
        info = public_sets.core.download.checksums.UrlInfo(
            size=public_sets.core.utils.Size(len(GOOD)),
            checksum=hashlib.sha256(GOOD).hexdigest(),
            filename="lines.txt",
        )
        monkeypatch.setattr(HostileDownload, "url", url)
        monkeypatch.setattr(HostileDownload, "url_infos", {url: info} if with_checksum else {})

    return choose


@pytest.fixture
def calls(monkeypatch):
    """The addresses that this process tried to reach: none of them is reached."""
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def load(folder, **options):
    config = tfds.Config(name="tfds", dataset=NAME, data_dir=str(folder), **options)
    splits = tfds.load(config, tasks.load("text_classification").features, seed=3)
    return sorted(splits.train.column("text"))


def files_with(folder, content):
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


@pytest.mark.parametrize("kind", ["altered", "short", "redirect", "circle", "html", "error", "missing"])
def test_d6_bytes_that_differ_from_their_checksum_are_never_used(tmp_path, known, server, kind):
    known(kind)
    with pytest.raises(UserError, match=r"'hostile_download/1\.0\.0' cannot be prepared: ") as caught:
        load(tmp_path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert f"/{kind}" in server.asked
    assert not (tmp_path / NAME / "1.0.0").exists()
    for content in (ALTERED, GOOD[:5], b"<html>"):
        assert files_with(tmp_path, content) == []
    server.kinds[f"/{kind}"] = "good"
    assert load(tmp_path) == ["first", "second"]


def test_d6_a_redirect_to_the_right_bytes_is_followed(tmp_path, known, server):
    known("detour")
    assert load(tmp_path) == ["first", "second"]
    assert server.asked == ["/detour", "/good"]


def test_d6_a_file_without_a_registered_checksum_is_refused_before_it_is_asked_for(tmp_path, known, server):
    known("good", with_checksum=False)
    with pytest.raises(UserError, match=r"Missing checksums url: .*/good"):
        load(tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("again", ["good", "error"])
def test_d6_a_file_that_was_altered_after_its_download_is_not_used(tmp_path, known, server, again):
    known("good")
    load(tmp_path)
    shutil.rmtree(tmp_path / NAME)
    (downloaded,) = files_with(tmp_path / "downloads", GOOD)
    downloaded.write_bytes(ALTERED)
    server.kinds["/good"] = again
    if again == "good":
        assert load(tmp_path) == ["first", "second"]
    else:
        with pytest.raises(UserError, match="cannot be prepared"):
            load(tmp_path)
    assert files_with(tmp_path, ALTERED) == []
    assert server.asked[:2] == ["/good", "/good"]


@pytest.mark.parametrize("altered", [False, True])
def test_d6_without_a_download_asked_for_there_is_not_one_network_call(tmp_path, known, calls, altered):
    known("good")
    builder = tfds_builders.find_builder(NAME, str(tmp_path))
    with pytest.raises(UserError, match=r"/good is not here\. Set data\.download: true .* lines\.txt \(http"):
        tfds_builders.prepare(builder, None, download=False)
    manual = tmp_path / "manual"
    manual.mkdir()
    (manual / "lines.txt").write_bytes(ALTERED if altered else GOOD)
    if altered:
        with pytest.raises(UserError, match="has wrong checksum"):
            load(tmp_path, manual_dir=str(manual))
    else:
        assert load(tmp_path, manual_dir=str(manual)) == ["first", "second"]
        assert load(tmp_path) == ["first", "second"]
    assert calls == []


def test_d6_the_public_copy_of_prepared_sets_is_never_asked_for():
    assert public_sets.core.utils.gcs_utils._is_gcs_disabled is True
    for name in (f"{NAME}/data_dir=gs://x", f"{NAME}/x=1"):
        with pytest.raises(UserError, match="options in the name are not supported"):
            tfds_builders.find_builder(name, None)
    for folder in ("gs://somewhere/sets", "http://127.0.0.1/sets"):
        with pytest.raises(UserError, match="expected a folder on this machine"):
            tfds_builders.find_builder(NAME, folder)


def test_d6_a_prepared_set_cannot_name_a_module_to_import(tmp_path, known, monkeypatch):
    known("good")
    load(tmp_path)
    canary = tmp_path / "canary"
    (tmp_path / "hostile_module.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    prepared = tmp_path / NAME / "1.0.0"
    features = json.loads((prepared / "features.json").read_text())
    features["featuresDict"]["features"]["text"] = {"pythonClassName": "hostile_module.Text", "text": {}}
    (prepared / "features.json").write_text(json.dumps(features))
    with pytest.raises(UserError, match=r"names 'hostile_module\.Text', which is not part of"):
        tfds_builders.find_builder(f"{NAME}:1.0.0", str(tmp_path))
    assert not canary.exists()
    assert "hostile_module" not in sys.modules
    # What it is kept from: the library by itself imports the module.
    with pytest.raises(ValueError, match="Unrecognized FeatureConnector"):
        public_sets.core.read_only_builder.builder_from_directory(prepared)
    assert canary.exists()
    del sys.modules["hostile_module"]
