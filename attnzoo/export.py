"""`attnzoo export`: a SavedModel that takes raw text or image bytes, verified in a fresh process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from attnzoo.errors import EXIT_DAMAGED, UserError
from attnzoo.files import exclusive_lock, replaced_folder
from attnzoo.gpus import NO_DEVICES, VISIBLE_DEVICES
from attnzoo.runs import kept_examples
from attnzoo.runs.folder import write_errors
from attnzoo.runs.trained import TrainedRun, load_split, load_trained
from attnzoo.tasks.serving import ServingModule

VERIFIED_EXAMPLES = 8
TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 5e-2, "mixed_float16": 5e-2}
"""Maximum difference of outputs in a fresh process, in units of `Task.answer_scale`."""
TENSOR_FLOAT_32_TOLERANCE = 1e-2
"""The same for float32 where this process computes products on a GPU with the 10 bits of TensorFloat-32."""
RELATIVE_TOLERANCE = 1e-6
"""Maximum relative difference: float32 has a precision of 6e-8, and several roundings add up."""

_ALLOWED_OPERATIONS = """
    Abs Acos AddN AddV2 All Any ArgMax AsString Asin Assert AssignVariableOp Atan Atan2 AvgPool
    BatchMatMulV2 BatchToSpaceND BiasAdd BitwiseAnd BroadcastArgs BroadcastTo Case Cast Ceil ClipByValue
    CombinedNonMaxSuppression
    ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Cos Cosh CropAndResize Cross Cumprod Cumsum
    DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw DecodeWebP DenseBincount DepthToSpace
    DepthwiseConv2dNative
    Diag DiagPart DisableCopyOnRead Div DivNoNan Einsum Elu EmptyTensorList EnsureShape Equal Erf Erfc
    Exp ExpandDims Expm1 ExtractJpegShape Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd GatherV2
    Greater GreaterEqual HashTableV2 Identity IdentityN If ImageProjectiveTransformV3 InvertPermutation
    IsFinite IsNan L2Loss LRN LeakyRelu LeftShift Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2
    MatMul MatrixBandPart MatrixDiagV3 Max MaxPool Maximum Mean MergeV2Checkpoints Min Minimum MirrorPad
    Mod Mul Neg NextAfter NoOp NormalizeUTF8 NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat
    PartitionedCall Placeholder Pow Prod RGBToHSV RaggedCross RaggedGather RaggedRange
    RaggedTensorFromVariant RaggedTensorToTensor RaggedTensorToVariant Range Rank ReadVariableOp RealDiv
    Reciprocal ReduceJoin RegexFullMatch RegexReplace Relu Relu6 Reshape ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor RestoreV2 ReverseV2 RightShift Roll Round Rsqrt SaveV2 ScaleAndTranslate
    ScatterNd SegmentSum Select SelectV2 Selu SentencepieceDetokenizeOp SentencepieceIdToStringOp
    SentencepieceOp SentencepieceStringToIdOp SentencepieceTokenizeOp SentencepieceVocabSizeOp Shape
    ShapeN ShardedFilename Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToBatchND
    SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase
    StatelessIf StatelessWhile StaticRegexFullMatch StaticRegexReplace StopGradient StridedSlice StringFormat
    StringJoin StringLength StringLower StringNGrams StringSplitV2 StringStrip StringToNumber StringUpper
    Sub Substr Sum Tan Tanh TensorListConcatV2 TensorListFromTensor TensorListGetItem TensorListLength
    TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem TensorListStack
    TensorScatterAdd TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv TruncateMod UnicodeDecode
    UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode Unique UniqueV2 Unpack
    UnsortedSegmentJoin UnsortedSegmentMax UnsortedSegmentSum VarHandleOp VarIsInitializedOp Where While
    XlaDynamicUpdateSlice Xlog1py Xlogy ZerosLike
"""
ALLOWED_OPERATIONS = frozenset(_ALLOWED_OPERATIONS.split())
"""Operations that the graph of an export may contain: arithmetic, tables, texts and images in memory, and
those that load the weights of a SavedModel. No others access files or the network, or run Python."""

# Exports are not trained further, and tracing gradients would take longer than everything else.
SAVE_OPTIONS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)

# Runs in a fresh process that does not import attnzoo, as on a server.
VERIFICATION = """
import sys
import tensorflow as tf
if sys.argv[3] == "tensorflow_text":
    import tensorflow_text
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
import numpy as np
inputs = tf.io.parse_tensor(tf.io.read_file(sys.argv[2] + "/inputs"), tf.string)
(name,) = signature.structured_input_signature[1]
for key, value in signature(**{name: inputs}).items():
    tf.io.write_file(sys.argv[2] + "/" + key, tf.io.serialize_tensor(value))
"""


def export(folder: Path, out: Path | None = None) -> Path:
    """Exports a run; the folder gets its final name only after a fresh process gave the same outputs.

    Args:
        folder: a run folder.
        out: folder for the SavedModel; default `RUN/export`.

    Returns:
        The folder of the SavedModel.

    Raises:
        UserError: no such run (2); the target exists and is not an export (2); outputs differ, the disk is
            full or read-only, or the graph contains an operation that is not allowed (4).
    """
    trained = load_trained(folder)
    module = trained.task.serving_module(trained.prediction_model, trained.info, trained.config.eval)
    if module is None:
        raise UserError(
            f"{folder}: a run of {trained.info.task}, which makes no predictions of its own; start another "
            f"model from it with train.init_from: {folder}."
        )
    target = out or trained.run.export
    _require_replaceable(target)
    inputs = tf.constant(raw_inputs(trained, VERIFIED_EXAMPLES))
    signatures = traced_signatures(module)
    expected = signatures["serving_default"](inputs)
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)

    def message(holder: str) -> str:
        return f"{target}: another `attnzoo export` (process {holder}) is writing to it; wait for it."

    lock = target.with_name(f".{target.name}.lock")
    with (
        exclusive_lock(lock, message, keep_file=False),
        write_errors(target),
        replaced_folder(target) as temporary,
    ):
        tf.saved_model.save(module, str(temporary), signatures, SAVE_OPTIONS)
        _describe(temporary, trained, module)
        require_allowed_operations(temporary)
        _verify(temporary, trained, inputs, expected)
    return target


def traced_signatures(module: ServingModule) -> dict[str, Any]:
    """Returns signature name -> function, traced as for a CPU also where there is a GPU.

    They hold no operation that only a GPU has, and are not tied to a device.
    """
    signatures = module.signatures()
    with tf.device("/CPU:0"):
        for function in signatures.values():
            function.get_concrete_function()
    return signatures


def _require_replaceable(target: Path) -> None:
    if target.name in ("", ".."):
        raise UserError(
            f"{target}: not the name of a folder, so nothing can be written next to it; choose another one "
            "with --out."
        )
    if target.is_symlink():
        raise UserError(f"{target}: is a link; remove it or choose another folder with --out.")
    if not target.exists():
        return
    if not target.is_dir() or (not (target / "saved_model.pb").is_file() and any(target.iterdir())):
        raise UserError(f"{target}: exists and is not an export; choose another folder with --out.")


def require_allowed_operations(folder: Path) -> None:
    """Checks all operations of a SavedModel, without loading it.

    Raises:
        UserError: one of them is not in `ALLOWED_OPERATIONS` (exit code 4).
    """
    operations = set(_operations(SavedModel.FromString((folder / "saved_model.pb").read_bytes())))
    refused = sorted(operations - ALLOWED_OPERATIONS)
    if refused:
        raise UserError(
            f"{folder}: operations that are not allowed in an export: {', '.join(refused[:5])}.", EXIT_DAMAGED
        )


def _operations(saved: SavedModel) -> Iterator[str]:
    for graph in saved.meta_graphs:
        yield from (node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            yield from (node.op for node in function.node_def)


def raw_inputs(trained: TrainedRun, count: int) -> list[bytes]:
    """Returns the first raw inputs that the run keeps, as an export takes them; without, those of its data.

    Raises:
        UserError: the run keeps none, and its data cannot be read (2); those that it keeps are damaged (4).
    """
    kept = kept_examples.read(trained.run, trained.info)
    split = (load_split(trained, "validation")[1] if kept is None else kept).first(count)
    name = trained.task.input_name
    return trained.info.features[name].raw(split.column(name))


def _describe(folder: Path, trained: TrainedRun, module: ServingModule) -> None:
    description = {
        "run": trained.run.path.name,
        "weights": json.loads((trained.origin / "state.json").read_text(encoding="utf-8")),
        "task": trained.info.task,
        **trained.task.export_notes(trained.info, trained.config.eval),
        "precision": trained.config.train.precision,
        "needs_tensorflow_text": _needs_tensorflow_text(trained),
        "signatures": {
            name: {
                "inputs": {spec.name: spec.dtype.name for spec in function.input_signature},
                "outputs": {
                    key: f"{spec.dtype.name}{list(spec.shape)}"
                    for key, spec in function.get_concrete_function().structured_outputs.items()
                },
            }
            for name, function in module.signatures().items()
        },
    }
    (folder / "export.json").write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _needs_tensorflow_text(trained: TrainedRun) -> bool:
    return any(feature.needs_tensorflow_text for feature in trained.info.features.values())


def _verify(folder: Path, trained: TrainedRun, inputs: tf.Tensor, expected: Mapping[str, tf.Tensor]) -> None:
    """Compares the outputs of the export in a fresh process with the expected ones."""
    work = folder / ".check"
    work.mkdir()
    tf.io.write_file(str(work / "inputs"), tf.io.serialize_tensor(inputs))
    needed = "tensorflow_text" if _needs_tensorflow_text(trained) else "nothing else"
    finished = subprocess.run(
        [sys.executable, "-c", VERIFICATION, str(folder.absolute()), str(work.absolute()), needed],
        capture_output=True,
        text=True,
        check=False,
        # Python imports from its working directory first, so it must have no modules.
        cwd=work,
        # On the CPU, as on a server without a GPU; the GPU may be full.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", VISIBLE_DEVICES: NO_DEVICES},
    )
    if finished.returncode != 0:
        last = finished.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"{folder}: a fresh process cannot use the export: {last[0]}", EXIT_DAMAGED)
    tolerance = _tolerance(trained.config.train.precision) * trained.task.answer_scale(trained.info)
    for key, value in expected.items():
        output = tf.io.parse_tensor(tf.io.read_file(str(work / key)), value.dtype)
        if not _close(value.numpy(), output.numpy(), tolerance):
            raise UserError(f"{folder}: '{key}' differs in a fresh process for the same input.", EXIT_DAMAGED)
    shutil.rmtree(work)


def _tolerance(precision: str) -> float:
    """Returns how far the CPU of the fresh process may be from the device of this one."""
    tensor_float_32 = tf.config.experimental.tensor_float_32_execution_enabled()
    if tf.config.list_physical_devices("GPU") and tensor_float_32:
        return max(TOLERANCE[precision], TENSOR_FLOAT_32_TOLERANCE)
    return TOLERANCE[precision]


def _close(expected: np.ndarray, output: np.ndarray, tolerance: float) -> bool:
    if expected.dtype == object or expected.dtype.kind in "SUb":
        return bool((expected == output).all())
    close = np.allclose(expected, output, rtol=RELATIVE_TOLERANCE, atol=tolerance)
    return expected.shape == output.shape and bool(close)
