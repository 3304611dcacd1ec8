"""An ONNX file as a checked model, and its tensors as arrays.

Weights may lie beside the model ("external data"): only in its own folder or below, and only as
many bytes as the tensor has.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, checker, helper, inliner, numpy_helper

from convforge.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

OLDEST_OPSET, NEWEST_OPSET = 11, 28
LARGEST_FILE = 2**31 - 1  # bytes; what a protobuf message may have


def load_model(source: str | PathLike[str] | onnx.ModelProto) -> tuple[onnx.ModelProto, Path]:
    """A checked model with its own functions inlined, and the folder that it lies in.

    Raises InputError where the file is no ONNX model or breaks ONNX's rules, UnsupportedError where
    its opset is too old or too new.
    """
    if isinstance(source, onnx.ModelProto):
        model, where, folder = source, "the ONNX model", Path()
    else:
        path = Path(source)
        model, where, folder = _parse(path), str(path), path.resolve().parent
    _check_opset(model, where)
    try:
        # A path, so that external data is looked for beside the model.
        checker.check_model(model if isinstance(source, onnx.ModelProto) else str(source))
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # noqa: BLE001  (whatever the checker raises)
        raise InputError(f"{where}: breaks a rule of ONNX: {_first_words(error)}") from None
    return model, folder


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operators, 0 where the model names none."""
    return max((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=0)


def tensor_array(tensor: TensorProto, folder: Path) -> NDArray[Any]:
    """The values of a tensor. Raises InputError where they are not there, or are too few."""
    where = f"tensor {tensor.name!r}"
    if min(tensor.dims, default=0) < 0:
        raise InputError(f"{where}: a negative size, {list(tensor.dims)}; export the model again")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external_array(tensor, folder)
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputError(
            f"{where}: its data does not fit its shape {list(tensor.dims)} "
            f"({_first_words(error)}); export the model again"
        ) from None


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{path}: {size} bytes; an ONNX file has up to {LARGEST_FILE}: keep the weights "
                "beside it as external data"
            )
        model: onnx.ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except DecodeError:
        raise InputError(
            f"{path}: is no ONNX model; expected a file that an exporter wrote"
        ) from None
    if not model.ir_version or not model.HasField("graph"):
        raise InputError(f"{path}: is no ONNX model; expected a file that an exporter wrote")
    for tensor in model.graph.initializer:  # before the checker opens what they name
        if tensor.data_location == TensorProto.EXTERNAL:
            _external_file(tensor, path.resolve().parent)
    return model


def _check_opset(model: onnx.ModelProto, where: str) -> None:
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise UnsupportedError(
            f"{where}: opset {opset}; {OLDEST_OPSET} to {NEWEST_OPSET} are supported: export it "
            "again, or convert it with onnx.version_converter"
        )
    if opset > NEWEST_OPSET:
        raise UnsupportedError(
            f"{where}: opset {opset}; {OLDEST_OPSET} to {NEWEST_OPSET} are supported: export it "
            "again with an older one"
        )


def _external_file(tensor: TensorProto, folder: Path) -> Path:
    location = _entries(tensor).get("location", "")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder):
        raise InputError(
            f"tensor {tensor.name!r}: its data lies in {location!r}, outside the model's folder; "
            "only files in that folder are read"
        )
    if not path.is_file():
        raise InputError(
            f"tensor {tensor.name!r}: its data should lie in {location!r} beside the model, where "
            "no file is; copy it there"
        )
    return path


def _external_array(tensor: TensorProto, folder: Path) -> NDArray[Any]:
    path, entries = _external_file(tensor, folder), _entries(tensor)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type).newbyteorder("<")
    count, size = math.prod(tensor.dims), path.stat().st_size
    needed, start = count * dtype.itemsize, entries.get("offset", "0")
    length = entries.get("length", str(needed))
    if dtype.kind not in "fiu" or not dtype.isnative:
        raise InputError(f"tensor {tensor.name!r}: external data of {dtype}; numbers are read")
    if not start.isdecimal() or int(start) + needed > size or length != str(needed):
        raise InputError(
            f"tensor {tensor.name!r}: expected {needed} bytes at {start} in {path.name!r}, which "
            f"has {size}; the model says {length}; copy the whole file"
        )
    return np.fromfile(path, dtype, count, offset=int(start)).reshape(tuple(tensor.dims))


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _first_words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
