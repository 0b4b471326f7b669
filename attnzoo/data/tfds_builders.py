"""Builders of TensorFlow Datasets: found by name, prepared with or without the network.

Imports TensorFlow Datasets, and with it TensorFlow, only when called.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any, NoReturn

from attnzoo.data.text_files import nearest
from attnzoo.errors import UserError


def find_builder(dataset: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set.

    Args:
        dataset: name as in `tfds.load`: `ag_news_subset`, `glue/sst2`, `mnist:3.0.1`.
        data_dir: folder of prepared data sets; None for the default of TensorFlow Datasets.

    Raises:
        UserError: no such data set, configuration or version.
    """
    import tensorflow_datasets as tfds

    if ":" in dataset and not dataset.split(":")[1][:1].isdigit():
        raise UserError(
            f"data.dataset: {dataset!r}: community data sets are not supported; give a plain name."
        )
    options = {"data_dir": data_dir} if data_dir else {}
    try:
        return tfds.builder(dataset, try_gcs=False, **options)
    except tfds.core.registered.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise UserError(
            f"data.dataset: no data set {dataset!r} in tensorflow-datasets "
            f"{tfds.__version__}{nearest(dataset.split('/')[0], known)}; the names are at "
            "https://www.tensorflow.org/datasets."
        ) from None
    except Exception as error:
        # A builder is code of any kind: a wrong config or version name, or a missing package, ends up here.
        raise UserError(f"data.dataset: {dataset!r} cannot be set up: {one_line(error)}.") from None


def prepare(builder: Any, manual_dir: str | None) -> None:
    """Prepares the data set unless its folder exists. The public cloud copy of prepared sets is never used.

    Args:
        builder: what `find_builder` returned.
        manual_dir: folder with the files that would be downloaded, found by file name: nothing is downloaded
            then. None to download. Checksums are enforced either way, where the data set registers them.

    Raises:
        UserError: it cannot be prepared; with the files to get where downloading is what failed.
    """
    import tensorflow_datasets as tfds

    if Path(builder.data_dir).exists():
        return
    urls = {info.filename: url for url, info in (builder.url_infos or {}).items() if info.filename}
    if manual_dir is not None:
        if not Path(manual_dir).is_dir():
            raise UserError(f"data.manual_dir: {manual_dir}: no such folder.{_wanted(urls, None)}")
        _refuse_downloads(builder)
    else:
        _check_connection(builder, urls)
    download_config = tfds.download.DownloadConfig(
        manual_dir=manual_dir,
        try_download_gcs=False,
        force_checksums_validation=bool(builder.url_infos),
    )
    try:
        # It prints to the screen whatever its log level is.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=download_config)
    except Exception as error:
        # Network, disk, checksum and the code of the builder: no common type.
        raise UserError(
            f"data.dataset: {builder.info.full_name!r} cannot be prepared: "
            f"{one_line(error)}.{_wanted(urls, manual_dir)}"
        ) from None


def _refuse_downloads(builder: Any) -> None:
    """Makes the builder fail at once where it would download: a folder with the files was given instead."""
    make_manager = builder._make_download_manager

    def refuse(resource: Any) -> NoReturn:
        raise FileNotFoundError(f"{resource.url} is not in data.manual_dir")

    def make_offline_manager(**options: Any) -> Any:
        manager = make_manager(**options)
        manager._download = refuse
        return manager

    builder._make_download_manager = make_offline_manager


def _check_connection(builder: Any, urls: dict[str, str]) -> None:
    """Fails within seconds where there is no network: the download itself tries again for minutes."""
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
            f"data.dataset: {builder.info.full_name!r} has to be downloaded and {url.split('/')[2]} cannot "
            f"be reached ({type(error).__name__}).{_wanted(urls, None)}"
        ) from None


def _wanted(urls: dict[str, str], manual_dir: str | None) -> str:
    missing = {
        name: url for name, url in urls.items() if manual_dir is None or not Path(manual_dir, name).exists()
    }
    if not missing:
        return ""
    shown = ", ".join(f"{name} ({url})" for name, url in sorted(missing.items())[:4])
    more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
    return f" Files to put into data.manual_dir: {shown}{more}."


def one_line(error: Exception) -> str:
    """Returns the first 300 characters of an error's message without line breaks."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".")
