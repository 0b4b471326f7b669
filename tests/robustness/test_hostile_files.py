"""D1, D3, D7: a run folder from a stranger can be refused or used; it cannot do anything."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from attnzoo.data import examples
from attnzoo.errors import UserError
from attnzoo.export import ALLOWED_OPERATIONS, SAVE_OPTIONS, require_allowed_operations
from attnzoo.runs.building import build_model
from attnzoo.runs.data import load_splits, load_task
from tests import commands, hostile_watch, mechanisms, recipes
from tests.conftest import ROOT
from tests.robustness import hostile_files
from tests.robustness.hostile_files import EXPLOITS, Place
from tests.trees import tree

OVERRIDES = ("train.xla=false", "train.epochs=1", "train.ema_decay=0.5")
SECONDS = 20
MEMORY = 100 << 20
"""Most bytes that a refused command may take beyond one that works; the bombs are of 256 MiB and more."""

FORBIDDEN = """
ReadFile WriteFile MatchingFiles PyFunc PyFuncStateless EagerPyFunc PrintV2 Print Save Restore SaveSlices
ReaderReadV2 WholeFileReaderV2 TextLineReaderV2 FixedLengthRecordReaderV2 TFRecordReaderV2
InitializeTableFromTextFileV2 TextLineDataset TFRecordDatasetV2 FixedLengthRecordDatasetV2
GeneratorDataset DecodeProtoV2 EncodeProto LoadDataset SnapshotDatasetV2 SaveDatasetV2
FileSystemSetConfiguration ImmutableConst LoadAndRemapMatrix GenerateVocabRemapping XlaHostCompute
RemoteCall RpcCall RpcServer Send Recv WriteSummary CreateSummaryFileWriter WriteScalarSummary
DebugIdentityV2 Copy CustomCall
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Function: runs a command, and gives with its end what it did that no command has to do."""
    report = tmp_path_factory.mktemp("watch") / "report"

    def run(*arguments, folder):
        report.write_text("")
        environment = {hostile_watch.REPORT: str(report)}
        ended = commands.run(*arguments, folder=folder, limit_seconds=90, environment=environment)
        return ended, report.read_text().splitlines()

    return run


@pytest.fixture(scope="module")
def template(tmp_path_factory, watched):
    """A folder with a config, its data, and a run of it that lacks its very last file."""
    folder = tmp_path_factory.mktemp("template")
    recipes.text_config(folder)
    ended, noticed = watched(*train_command(folder, folder), folder=folder)
    assert (ended.code, noticed) == (0, []), ended.err
    (folder / "run" / "result.json").unlink()
    return folder


@pytest.fixture
def place(tmp_path, template):
    """A copy of that run, with other things beside it."""
    made = Place(tmp_path)
    shutil.copytree(template / "run", made.run)
    made.lay_out()
    return made


def train_command(template, folder):
    overrides = [part for override in OVERRIDES for part in ("--set", override)]
    return ["train", template / "greetings.yaml", "--run", folder / "run", *overrides]


def command(name, template, place):
    return train_command(template, place.root) if name == "train" else [name, place.run]


def error_lines(text):
    return [line for line in text.splitlines() if line.startswith("attnzoo: error: ")]


CASES = [
    pytest.param(
        exploit,
        name,
        id=f"{exploit.name}-{name}",
        # The commands share the way in which they load; the default suite takes every second exploit, in one.
        marks=[pytest.mark.slow]
        if exploit.thorough or number % 2 or name != exploit.commands[number // 2 % len(exploit.commands)]
        else [],
    )
    for number, exploit in enumerate(EXPLOITS)
    for name in exploit.commands
]


def test_d1_there_is_an_exploit_for_every_known_class():
    assert len(EXPLOITS) >= 25
    assert len({exploit.name for exploit in EXPLOITS}) == len(EXPLOITS)


@pytest.mark.parametrize(
    "name",
    # In the default suite, D3 trains an intact run and D7 exports one.
    ["eval", *(pytest.param(name, marks=pytest.mark.slow) for name in ("export", "train"))],
)
def test_d1_an_intact_run_works_and_nothing_is_noticed(watched, template, place, name):
    outside = tree(place.root, without=place.run)
    ended, noticed = watched(*command(name, template, place), folder=place.root)
    assert ended.code == 0, ended.err
    # The check of an export is a process of its own.
    assert [line for line in noticed if not ("subprocess.Popen" in line and "saved_model.load" in line)] == []
    assert len(noticed) == (name == "export")
    assert tree(place.root, without=place.run) == outside


@pytest.mark.parametrize(("exploit", "name"), CASES)
def test_d1_no_exploit_does_anything(watched, template, place, exploit, name):
    exploit.write(place)
    outside, inside = tree(place.root, without=place.run), tree(place.run)
    ended, noticed = watched(*command(name, template, place), folder=place.root)
    assert ended.code == exploit.code, ended.err
    assert len(error_lines(ended.err)) == 1
    assert str(place.run) in ended.err
    assert "Traceback" not in ended.err
    assert noticed == []
    assert not place.canary.exists()
    assert tree(place.root, without=place.run) == outside
    if name != "train":
        assert tree(place.run) == inside
    assert ended.seconds < SECONDS


@pytest.fixture
def noticing(tmp_path):
    """Function: runs Python under the watch and returns the first word of each line that it notes."""
    report = tmp_path / "report"

    def run(code):
        report.write_text("")
        preamble = "from tests import hostile_watch as watch\n"
        environment = {**os.environ, hostile_watch.REPORT: str(report)}
        done = subprocess.run([sys.executable, "-c", preamble + code], cwd=ROOT, env=environment, check=False)
        assert done.returncode == 0
        return [line.split(" ")[0] for line in report.read_text().splitlines()]

    return run


def test_d1_the_watch_notices_what_it_is_for(noticing, place):
    (place.root / "payload").write_bytes(hostile_files.pickled(place))
    (place.root / "payload.tar").write_bytes(hostile_files.hostile_tar(place))
    (place.root / f"{hostile_watch.MARK}_module.py").write_text("")
    noticed = noticing(
        f"""
import contextlib, io, marshal, os, pickle, socket, subprocess, sys, tarfile, zipfile
import numpy
root = {str(place.root)!r}
watch.install()
pickle.loads(open(root + "/payload", "rb").read())
code = compile("x = 1  # " + watch.MARK, watch.MARK, "exec")
exec(marshal.loads(marshal.dumps(compile("x = '%s'" % watch.MARK, "payload", "exec"))))
os.system("true")
subprocess.run(["true"])
sys.path.insert(0, root)
__import__(watch.MARK + "_module")
with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", 9), 1)
socket.socket().bind(("127.0.0.1", 0))
tarfile.open(root + "/payload.tar")
zipfile.ZipFile(io.BytesIO(), "w")
with contextlib.suppress(ValueError):
    numpy.load(io.BytesIO(bytes(100)))
"""
    )
    expected = {
        "pickle.find_class",
        "open",
        "compile",
        "marshal.loads",
        "exec",
        "os.system",
        "subprocess.Popen",
    }
    expected |= {"import", "socket.getaddrinfo", "socket.connect", "socket.bind", "tarfile.TarFile"}
    assert expected | {"zipfile.ZipFile", "numpy.load"} <= set(noticed)


@pytest.mark.slow
def test_d1_the_watch_notices_keras_and_tensorflow_loading(noticing, place):
    (place.root / "model.keras").write_bytes(
        hostile_files.keras_archive(hostile_files.marked_layer("Dense", units=1))
    )
    hostile_files.save_hostile_model(place, place.root / "saved")
    noticed = noticing(
        f"""
import contextlib
import h5py, keras, tensorflow as tf
watch.install()
with contextlib.suppress(ValueError):
    keras.models.load_model({str(place.root / "model.keras")!r})
with contextlib.suppress(Exception):
    tf.saved_model.load({str(place.root / "saved")!r})
"""
    )
    modules = (
        "keras.src.saving.saving_api",
        "keras.src.saving.saving_lib",
        "tensorflow.python.saved_model.load",
    )
    assert {f"{modules[0]}.load_model", f"{modules[1]}.load_model", f"{modules[2]}.load"} <= set(noticed)
    assert "keras.src.saving.serialization_lib.deserialize_keras_object" in noticed


def load_pickle(place):
    pickle.loads(hostile_files.pickled(place))


def load_lambda(place, suffix):
    path = place.root / f"model.{suffix}"
    path.write_bytes(hostile_files.lambda_archive(place, suffix))
    place.canary.unlink(missing_ok=True)
    keras.models.load_model(path, safe_mode=False)(np.zeros((1, 3)))


def load_objects(place):
    hostile_files.npz_with_objects(place)
    path = place.run / "weights.npz"
    np.load(path, allow_pickle=True)["weights"]


def extract_tar(place):
    path = place.root / "x.tar.gz"
    path.write_bytes(hostile_files.hostile_tar(place))
    with tarfile.open(path) as archive:
        archive.extraction_filter = lambda member, _: member  # Python before 3.11.4 has none
        archive.extract(archive.next(), place.run)


def load_yaml(place):
    hostile_files.config_with_a_python_object(place)
    yaml.unsafe_load((place.run / "config.yaml").read_text())


def load_saved_model(place):
    hostile_files.save_hostile_model(place, place.root / "saved")
    tf.saved_model.load(str(place.root / "saved"))


@pytest.mark.parametrize(
    "load",
    [
        load_pickle,
        lambda place: load_lambda(place, "keras"),
        lambda place: load_lambda(place, "h5"),
        load_objects,
        extract_tar,
        load_yaml,
        load_saved_model,
    ],
    ids=["pickle", "keras", "h5", "npz", "tar", "yaml", "saved_model"],
)
def test_d1_the_exploits_are_live_where_a_loader_trusts_them(place, load):
    load(place)
    assert place.canary.exists()


@pytest.mark.slow
def test_d3_a_hostile_keras_config_beside_good_tensors_has_no_effect(watched, template, place):
    expected, _ = watched("eval", place.run, "--json", folder=place.root)
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": hostile_watch.MARK}}
    for folder in (place.run, *place.checkpoints()):
        for name in ("config.json", "metadata.json", "model.json", "keras_metadata.pb"):
            (folder / name).write_text(json.dumps(layer))
        (folder / "model.keras").write_bytes(hostile_files.keras_archive(layer))
    ended, noticed = watched("eval", place.run, "--json", folder=place.root)
    assert ended.code == 0, ended.err
    assert noticed == []
    assert json.loads(ended.out)["metrics"] == json.loads(expected.out)["metrics"]
    ended, noticed = watched(*train_command(template, place.root), folder=place.root)
    assert (ended.code, noticed) == (0, []), ended.err


@pytest.mark.slow
def test_d7_a_saved_model_in_the_place_of_the_export_is_replaced_and_never_loaded(watched, template, place):
    hostile_files.save_hostile_model(place, place.run / "export")
    before = tree(place.root, without=place.run)
    ended, noticed = watched("eval", place.run, folder=place.root)
    assert (ended.code, noticed) == (0, []), ended.err
    # Python's own way to import from the working directory: not for the process that checks the export.
    for name in ("tensorflow.py", "numpy.py", "json.py"):
        (place.root / name).write_text(f"open({str(place.canary)!r}, 'w').close()\n")
        before[name] = tree(place.root)[name]
    ended, noticed = watched("export", place.run, folder=place.root)
    assert ended.code == 0, ended.err
    assert [line.split(" ")[0] for line in noticed] == ["subprocess.Popen"]
    assert not place.canary.exists()
    assert tree(place.root, without=place.run) == before
    require_allowed_operations(place.run / "export")
    assert [path.name for path in place.run.glob(".export*")] == []


def test_d7_a_saved_model_that_touches_files_does_not_pass_the_scan(place):
    hostile_files.save_hostile_model(place, place.root / "saved")
    with pytest.raises(
        UserError, match=r"operations that are not allowed in an export: ReadFile, WriteFile\."
    ) as caught:
        require_allowed_operations(place.root / "saved")
    assert caught.value.exit_code == 4
    assert not place.canary.exists()


def test_d7_the_list_of_operations_holds_none_that_leaves_the_graph():
    assert ALLOWED_OPERATIONS.isdisjoint(FORBIDDEN.split())
    for name in ALLOWED_OPERATIONS:
        if name == "ShardedFilename":  # joins texts
            continue
        assert not any(
            word in name for word in ("Dataset", "Reader", "PyFunc", "File", "Rpc", "Summary", "Proto")
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (make, name)
        for make in (recipes.text_config, recipes.image_config, recipes.translation_config)
        # A decoder needs a mechanism that can be causal.
        for name in (mechanisms.CROSS if make is recipes.translation_config else mechanisms.NAMES)
    ],
)
def test_d7_an_export_with_any_mechanism_passes_the_scan(tmp_path, make, name):
    stages = ["model.stages=[[8]]"] if make is recipes.image_config else []
    config = make(tmp_path, f"model.attention={name}", *stages).config
    task = load_task(config)
    info, _ = examples.learn(load_splits(config), config.data, task.name, task.features)
    module = task.serving_module(build_model(config, info), info, config.eval)
    tf.saved_model.save(module, str(tmp_path / "saved"), module.signatures(), SAVE_OPTIONS)
    require_allowed_operations(tmp_path / "saved")
