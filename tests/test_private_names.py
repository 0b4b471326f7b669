"""Names of other libraries that the package uses although they are private or in no documentation.

They may move with any version of their library. Each is declared here; `pyproject.toml` has an upper bound
for its library, and where it has moved a test says which it is and what uses it.
"""

import ast
import importlib.metadata
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement

from attnzoo import addons
from tests.conftest import ROOT

OF_PYTHON = {"_replace", "_asdict", "_exit"}
"""Private by their look alone: the documentation of named tuples and of `os` has them."""
UNDOCUMENTED = (
    "tensorflow_datasets.core",
    "keras.src",
    "tensorflow.python",
    "tensorflow.core",
    "tensorflow.compiler",
)
"""Packages whose modules are in no documentation."""


class PrivateName(NamedTuple):
    """A name that its library may move.

    Attributes:
        library: as `pyproject.toml` has it.
        name: as the package writes it.
        used_in: file of the package.
        use: uses it as the package does; fails where it has moved.
    """

    library: str
    name: str
    used_in: str
    use: Callable[[], Any]


def attribute(module: str, owner: str, name: str, *parameters: str) -> Callable[[], None]:
    """Returns a test that a class or module has a name, and that what it calls so takes these parameters."""

    def use() -> None:
        found = importlib.import_module(module)
        for part in [*owner.split("."), name] if owner else [name]:
            found = getattr(found, part)
        if parameters:
            assert set(parameters) <= set(inspect.signature(found).parameters)

    return use


def flatten_layers() -> None:
    import keras

    model = keras.Sequential([keras.Input([2]), keras.Sequential([keras.layers.Dense(3, name="inner")])])
    assert "inner" in [layer.name for layer in model._flatten_layers(include_self=False)]


def interval_of_bleu() -> None:
    from sacrebleu.metrics import BLEU

    texts, references = ["a b c d e f", "g h i j k"], [["a b c d e f", "g h i j l"]]
    assert BLEU().corpus_score(texts, references, n_bootstrap=20)._ci > 0


def device_scope() -> None:
    import tensorflow as tf

    graph = tf.__internal__.FuncGraph("scopes")
    with graph.as_default(), tf.device("GPU:0"):
        (scope,) = graph._device_function_stack.peek_objs()
    assert "GPU" in str(scope._device_name_or_function)


def called_function() -> None:
    import tensorflow as tf

    inner = tf.function(lambda x: x + 1)
    graph = tf.function(lambda x: inner(x)).get_concrete_function(tf.TensorSpec([])).graph
    (call,) = [one for one in graph.get_operations() if one.type.endswith("PartitionedCall")]
    called = call.graph._get_function(call.node_def.attr["f"].func.name).graph
    assert "AddV2" in [one.type for one in called.get_operations()]


def xla_context() -> None:
    import tensorflow as tf

    def is_found(jit_compile: bool) -> bool:
        contexts = []

        def traced():
            contexts.append(tf.__internal__.get_enclosing_xla_context())
            return tf.constant(0)

        tf.function(traced, jit_compile=jit_compile, autograph=False).get_concrete_function()
        return contexts[0] is not None

    assert (is_found(False), is_found(True)) == (False, True)


def url_infos() -> None:
    from tensorflow_datasets.core.download.download_manager import DownloadManager

    assert "self._url_infos.get(resource.url)" in inspect.getsource(DownloadManager._get_checksum_dl_result)


def downloader() -> None:
    from tensorflow_datasets.core.download.downloader import MAX_RETRIES, DownloadResult

    assert MAX_RETRIES > 0
    assert {"path", "url_info"} <= set(inspect.signature(DownloadResult).parameters)


def addons_beside_keras() -> None:
    if addons.is_installed():
        addons.load("image.filters")


TFDS, DOWNLOAD = "tensorflow-datasets", "tensorflow_datasets.core.download"
BUILDERS = "data/tfds_builders.py"
_MANAGER = (f"{DOWNLOAD}.download_manager", "DownloadManager")
_FOUND = (*_MANAGER, "_get_checksum_dl_result"), (*_MANAGER, "_get_url_dl_result")
PRIVATE = [
    PrivateName("keras", "_flatten_layers", "training/learning_rate_multipliers.py", flatten_layers),
    PrivateName("keras", "_flatten_layers", "layers/batch_normalization.py", flatten_layers),
    PrivateName(
        "keras",
        "_all_reduce_sum_gradients",
        "training/step.py",
        attribute("keras.optimizers", "Optimizer", "_all_reduce_sum_gradients", "grads_and_vars"),
    ),
    PrivateName("sacrebleu", "_ci", "tasks/translation_metrics.py", interval_of_bleu),
    PrivateName("tensorflow", "__internal__", "attention/compilation.py", xla_context),
    PrivateName("tensorflow", "_get_function", "training/memory.py", called_function),
    PrivateName("tensorflow", "__internal__", "attention/devices.py", device_scope),
    PrivateName("tensorflow", "_device_function_stack", "attention/devices.py", device_scope),
    PrivateName("tensorflow", "_device_name_or_function", "attention/devices.py", device_scope),
    PrivateName(
        "tensorflow",
        "tensorflow.python.eager.context",
        "attention/devices.py",
        attribute("tensorflow.python.eager.context", "", "context"),
    ),
    PrivateName(
        "tensorflow",
        "tensorflow.compiler.tf2xla.ops.gen_xla_ops",
        "attention/cudnn_call.py",
        attribute(
            "tensorflow.compiler.tf2xla.ops.gen_xla_ops",
            "",
            "xla_custom_call_v2",
            *("operands", "call_target_name", "backend_config", "has_side_effect"),
            *("result_dtypes", "result_shapes"),
        ),
    ),
    PrivateName(
        "tensorflow",
        "tensorflow.core.protobuf.saved_model_pb2",
        "export.py",
        attribute("tensorflow.core.protobuf.saved_model_pb2", "", "SavedModel"),
    ),
    PrivateName("tensorflow-addons", "keras.src.engine", "addons.py", addons_beside_keras),
    PrivateName(
        TFDS,
        "_make_download_manager",
        BUILDERS,
        attribute(
            "tensorflow_datasets.core",
            "DatasetBuilder",
            "_make_download_manager",
            "download_dir",
            "download_config",
        ),
    ),
    *(
        PrivateName(TFDS, finder[-1], BUILDERS, attribute(*finder, "resource", "legacy_mode"))
        for finder in _FOUND
    ),
    PrivateName(TFDS, "_download", BUILDERS, attribute(*_MANAGER, "_download", "resource")),
    PrivateName(TFDS, "_url_infos", BUILDERS, url_infos),
    PrivateName(
        TFDS,
        f"{DOWNLOAD}.checksums",
        BUILDERS,
        attribute(f"{DOWNLOAD}.checksums", "", "compute_url_info", "path"),
    ),
    PrivateName(TFDS, f"{DOWNLOAD}.downloader", BUILDERS, downloader),
    PrivateName(
        TFDS,
        "tensorflow_datasets.core.features.feature",
        BUILDERS,
        attribute("tensorflow_datasets.core.features.feature", "FeatureConnector", "cls_from_name"),
    ),
]


def used_names(tree: ast.Module) -> set[str]:
    """Returns the private attributes and the undocumented modules of others that a file names."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = {name for name in found if re.fullmatch("_[a-z].*|__internal__", name)} - OF_PYTHON
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(UNDOCUMENTED):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {module if module.rpartition(".")[2].islower() else node.module for module in modules}
        elif isinstance(node, ast.Constant) and str(node.value) == "keras.src.engine":
            found.add(node.value)
    return found


def own_names(trees: Iterable[ast.Module]) -> set[str]:
    """Returns what the package itself defines or assigns."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_own = isinstance(node.ctx, ast.Store) and node.value.id in ("self", "cls", "cast")
                found |= {node.attr} if is_own else set()
            elif isinstance(node, (ast.AnnAssign, ast.Assign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("private", PRIVATE, ids=[f"{one.library} {one.name}" for one in PRIVATE])
def test_a_private_name_is_where_it_was(private):
    try:
        private.use()
    except Exception as error:
        pytest.fail(
            f"{private.library} {importlib.metadata.version(private.library)} has moved or changed "
            f"{private.name}, which attnzoo/{private.used_in} uses: {type(error).__name__}: {error}"
        )


def test_every_private_name_that_the_package_uses_is_declared_here():
    folder = ROOT / "attnzoo"
    trees = {
        path.relative_to(folder).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in folder.rglob("*.py")
    }
    own = own_names(trees.values())
    used = {(file, name) for file, tree in trees.items() for name in used_names(tree) - own}
    declared = {(one.used_in, one.name) for one in PRIVATE}
    composed = {(BUILDERS, finder[-1]) for finder in _FOUND}  # of which the code makes the name
    assert used == declared - composed


@pytest.mark.parametrize("library", sorted({one.library for one in PRIVATE}))
def test_a_library_whose_private_names_are_used_has_an_upper_bound(library):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = re.findall(rf'"({library}(?:\[[^\]]*\])?[<>=!][^"]*)"', text)
    assert lines
    for line in lines:
        assert [one for one in Requirement(line).specifier if one.operator in ("<", "<=", "==")], line
