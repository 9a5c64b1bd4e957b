"""OpenVINO on 8-bit integers: scales of activations from the samples, ahead of time, which is the form that it computes in integers."""

from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from compiler.peers import INPUTS
from compiler.peers.onnx_runtime_int8 import without_shapes
from compiler.peers.open_vino import load

__all__ = ["convert", "load"]


class _Sentences(CalibrationDataReader):
    def __init__(self, samples: Path) -> None:
        with np.load(samples) as arrays:
            rows = zip(*(arrays[name].astype(np.int64) for name in INPUTS), strict=True)
            self._left = iter([dict(zip(INPUTS, (item[None] for item in row), strict=True)) for row in rows])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def convert(program: Path, samples: Path, out: Path) -> None:
    quantize_static(
        without_shapes(program),
        out,
        _Sentences(samples),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
