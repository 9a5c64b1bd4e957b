"""ONNX Runtime on 8-bit integers, as its documentation advises for transformers: weights a scale per output channel, activations at run time.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from compiler.peers.onnx_runtime import load

__all__ = ["convert", "load"]


def convert(program: Path, samples: Path, out: Path) -> None:
    quantize_dynamic(program, out, per_channel=True, weight_type=QuantType.QInt8)
