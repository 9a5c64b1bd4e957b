"""ONNX Runtime on 8-bit integers, as its documentation advises for transformers: weights a scale per output channel, activations at run time.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from pathlib import Path
from typing import TYPE_CHECKING

from compiler.peers.onnx_runtime import load

if TYPE_CHECKING:
    import onnx

__all__ = ["convert", "load"]


def convert(program: Path, samples: Path, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(without_shapes(program), out, per_channel=True, weight_type=QuantType.QInt8)


def without_shapes(program: Path) -> "onnx.ModelProto":
    """The shapes that torch's exporter notes between layers are in the way of the quantiser's own: it transposes weights."""
    import onnx

    model = onnx.load(program)
    del model.graph.value_info[:]
    return model
