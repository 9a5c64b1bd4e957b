"""Reads an ONNX file without running or unpickling anything in it: sizes are looked at before bytes, weights stay on the disk.

External data are mapped, not loaded: what a pass or the packer never touches costs no memory.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import ModelError

LARGEST_BYTES = 2 << 30  # of the file itself, which is protobuf's own limit, and of its external data together
OPSETS = range(13, 22)
STANDARD_DOMAINS = ("", "ai.onnx")


def read_model(path: Path) -> Any:
    """The `onnx.ModelProto`, its local functions inlined, its external data checked but not read.

    Raises:
        ModelError: no such file, too large, not ONNX, damaged, or of an opset that is not supported.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import inliner

    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    _check_size(path.name, path.stat().st_size)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(f"{path.name} is not a whole ONNX file; export or download it again") from error
    if not model.graph.output:
        raise ModelError(f"{path.name} is not an ONNX model: it has no outputs")
    opset = opset_of(model)
    if opset not in OPSETS:
        raise ModelError(f"{path.name} has opset {opset}; export it with one from {OPSETS[0]} to {OPSETS[-1]}")
    _check_size(path.name, sum(_external_bytes(tensor, path) for tensor in model.graph.initializer))
    return inliner.inline_local_functions(model) if model.functions else model


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators, 0 where none is named."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), 0)


def array_of(tensor: Any, path: Path) -> np.ndarray:
    """A tensor's numbers; floating point of any width becomes float32. External ones stay on the disk.

    Raises:
        ModelError: its bytes are missing or too few, or of a type that is not supported.
    """
    import onnx

    try:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            array = _mapped(tensor, path)
        else:
            array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"tensor '{tensor.name}' of {path.name} is damaged ({error}); export or download it again") from error
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.kind not in "iub":
        raise ModelError(f"tensor '{tensor.name}' of {path.name} has type {array.dtype}; supported are float, int and bool")
    return array


def _mapped(tensor: Any, path: Path) -> np.ndarray:
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    file, offset, _ = _place(tensor, path)
    needed = prod(tensor.dims) * dtype.itemsize
    if offset < 0 or offset + needed > file.stat().st_size:
        raise ValueError(f"{file.name} is shorter than it says")
    if not needed:
        return np.zeros(tuple(tensor.dims), dtype)
    return np.memmap(file, dtype, "r", offset, tuple(tensor.dims))


def _external_bytes(tensor: Any, path: Path) -> int:
    import onnx

    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return 0
    file, offset, length = _place(tensor, path)
    return length or file.stat().st_size - offset


def _place(tensor: Any, path: Path) -> tuple[Path, int, int]:
    """File, offset and length of external data, in bytes; length 0 where it is not said."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    location = facts.get("location", "")
    file = (path.parent / location).resolve()
    if not location or not file.is_relative_to(path.parent.resolve()):
        raise ModelError(f"tensor '{tensor.name}' of {path.name} lies outside the model's folder, at '{location}'")
    if not file.is_file():
        raise ModelError(f"{path.name} keeps its weights in {location}, which is not beside it")
    try:
        return file, int(facts.get("offset", 0)), int(facts.get("length", 0))
    except ValueError as error:
        raise ModelError(f"tensor '{tensor.name}' of {path.name} is damaged ({error})") from error


def _check_size(name: str, size_bytes: int) -> None:
    if size_bytes > LARGEST_BYTES:
        raise ModelError(f"{name} holds {size_bytes / 1e9:.1f} GB; a model may have at most {LARGEST_BYTES / 1e9:.1f} GB")
