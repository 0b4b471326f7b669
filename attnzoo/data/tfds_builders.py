"""Finds builders of TensorFlow Datasets by name and prepares their data, with or without the network.

TensorFlow Datasets, which imports TensorFlow, is imported only when a function is called.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from attnzoo.config.base import Problem
from attnzoo.errors import UserError
from attnzoo.suggest import did_you_mean

RETRIES = 5
"""Retries of a download, which wait 6 seconds in all; the library's default of 10 waits 200 seconds."""


def name_problems(dataset: str, data_dir: str | None) -> Iterator[Problem]:
    """Yields what `find_builder` refuses by name alone."""
    if "=" in dataset:
        yield ("dataset",), f"{dataset!r}: options in the name are not supported; give a plain name"
    elif ":" in dataset and not dataset.split(":")[1][:1].isdigit():
        yield ("dataset",), f"{dataset!r}: community data sets are not supported; give a plain name"
    if data_dir and "://" in data_dir:
        yield ("data_dir",), f"{data_dir}: expected a folder on this machine"


def find_builder(dataset: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set.

    Args:
        dataset: name as in `tfds.load`, such as `ag_news_subset`, `glue/sst2` or `mnist:3.0.1`.
        data_dir: folder of prepared data sets; None for the default of TensorFlow Datasets.

    Raises:
        UserError: there is no such data set, configuration or version, or the name is ambiguous.
    """
    import tensorflow_datasets as tfds

    for key, what in name_problems(dataset, data_dir):
        raise UserError(f"data.{key[0]}: {what}.")
    options = {"data_dir": data_dir} if data_dir else {}
    try:
        with _only_library_features():
            return tfds.builder(dataset, try_gcs=False, **options)
    except tfds.core.registered.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise UserError(
            f"data.dataset: no data set {dataset!r} in tensorflow-datasets "
            f"{tfds.__version__}{did_you_mean(dataset.split('/')[0], known)}; the names are at "
            "https://www.tensorflow.org/datasets."
        ) from None
    except Exception as error:
        # Builders run arbitrary code: a wrong config or version name, or a missing package, ends up here.
        raise UserError(f"data.dataset: {dataset!r} cannot be set up: {one_line(error)}.") from None


@contextlib.contextmanager
def _only_library_features() -> Iterator[None]:
    """Rejects prepared data sets that name a foreign Python module, which the library would import."""
    from tensorflow_datasets.core.features.feature import FeatureConnector

    library, from_name = FeatureConnector.__dict__["cls_from_name"], FeatureConnector.cls_from_name

    def checked(name: str) -> Any:
        if not name.startswith("tensorflow_datasets."):
            raise ValueError(
                f"its features.json names {name[:80]!r}, which is not part of tensorflow-datasets"
            )
        return from_name(name)

    FeatureConnector.cls_from_name = staticmethod(checked)
    try:
        yield
    finally:
        FeatureConnector.cls_from_name = library


def prepare(builder: Any, manual_dir: str | None, download: bool = True) -> None:
    """Prepares the data set unless its folder exists. Public cloud copies of prepared data sets are not used.

    Every file is verified against a registered checksum before use: a file without one is rejected, one that
    does not match is removed.

    Args:
        builder: builder from `find_builder`.
        manual_dir: folder with the files that would otherwise be downloaded, under their original names; if
            given, nothing is downloaded.
        download: whether the network may be used if there is no `manual_dir`.

    Raises:
        UserError: the data set cannot be prepared; lists the required files if downloading failed.
    """
    import tensorflow_datasets as tfds

    if Path(builder.data_dir).exists():
        return
    urls = {info.filename: url for url, info in (builder.url_infos or {}).items() if info.filename}
    if manual_dir is not None and not Path(manual_dir).is_dir():
        raise UserError(f"data.manual_dir: {manual_dir}: folder not found.{_missing_files(urls, None)}")
    offline = manual_dir is not None or not download
    if not offline:
        _check_connection(builder, urls)
    _verify_files(builder, "is not in data.manual_dir" if manual_dir else "is not here", offline)
    download_config = tfds.download.DownloadConfig(
        manual_dir=manual_dir, try_download_gcs=False, force_checksums_validation=True
    )
    existing = _partial_downloads(builder)
    try:
        # The library prints regardless of its log level.
        with contextlib.redirect_stdout(io.StringIO()), _fewer_retries():
            builder.download_and_prepare(download_config=download_config)
    except Exception as error:
        # Errors of the network, disk, checksums and builder code have no common type.
        for folder in _partial_downloads(builder) - existing:
            shutil.rmtree(folder, ignore_errors=True)
        advice = "" if manual_dir or download else " Set data.download: true to download it."
        raise UserError(
            f"data.dataset: {builder.info.full_name!r} cannot be prepared: "
            f"{one_line(error)}.{advice}{_missing_files(urls, manual_dir)}"
        ) from None


def _verify_files(builder: Any, missing: str, offline: bool) -> None:
    """Makes the builder's download manager verify existing files, and fail instead of downloading if offline.

    Args:
        builder: builder that is about to be prepared.
        missing: end of the message about a file that would have to be downloaded.
        offline: whether downloads fail.
    """
    make_manager = builder._make_download_manager

    def reject(resource: Any) -> NoReturn:
        raise FileNotFoundError(f"{resource.url} {missing}")

    def make_verifying_manager(**options: Any) -> Any:
        manager = make_manager(**options)
        for kind in ("checksum", "url"):
            find = getattr(manager, f"_get_{kind}_dl_result")
            setattr(manager, f"_get_{kind}_dl_result", _verifying_finder(manager, find))
        if offline:
            manager._download = reject
        return manager

    builder._make_download_manager = make_verifying_manager


def _verifying_finder(manager: Any, find: Any) -> Any:
    """Wraps the lookup of downloads with a checksum test, as the library trusts file names and notes."""
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.core.download.downloader import DownloadResult

    def verified(resource: Any, legacy_mode: bool = False) -> Any:
        result = find(resource, legacy_mode=legacy_mode)
        if result is None:
            return None
        actual = checksums.compute_url_info(result.path)
        if actual != manager._url_infos.get(resource.url):
            for path in (result.path, result.path.with_name(f"{result.path.name}.INFO")):
                path.unlink(missing_ok=True)
            return None
        return DownloadResult(path=result.path, url_info=actual)

    return verified


@contextlib.contextmanager
def _fewer_retries() -> Iterator[None]:
    from tensorflow_datasets.core.download import downloader

    retries = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries


def _partial_downloads(builder: Any) -> set[Path]:
    """Returns the folders of unfinished downloads, whose files are not verified."""
    return {path for path in Path(builder.data_dir_root, "downloads").rglob("*.tmp.*") if path.is_dir()}


def _check_connection(builder: Any, urls: dict[str, str]) -> None:
    """Fails within seconds if there is no network, as downloads would be retried for minutes."""
    import requests

    downloads = Path(builder.data_dir_root, "downloads")
    cached = "".join(path.read_text(encoding="utf-8") for path in downloads.rglob("*.INFO"))
    url = next((url for _, url in sorted(urls.items()) if url.startswith("http") and url not in cached), None)
    if url is None:
        return
    try:
        requests.head(url, timeout=15)
    except requests.RequestException as error:
        raise UserError(
            f"data.dataset: {builder.info.full_name!r} has to be downloaded but {url.split('/')[2]} cannot "
            f"be reached ({type(error).__name__}).{_missing_files(urls, None)}"
        ) from None


def _missing_files(urls: dict[str, str], manual_dir: str | None) -> str:
    missing = {
        name: url for name, url in urls.items() if manual_dir is None or not Path(manual_dir, name).exists()
    }
    if not missing:
        return ""
    files = ", ".join(f"{name} ({url})" for name, url in sorted(missing.items())[:4])
    more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
    return f" Files to put into data.manual_dir: {files}{more}."


def one_line(error: Exception) -> str:
    """Returns the first 300 characters of an error's message without line breaks."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".")
