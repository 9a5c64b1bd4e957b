"""What models compute with."""

FP32 = "fp32"
FP16 = "fp16"  # weights, the products of matmuls, softmax and GELU in float16, everything else in float32
INT8 = "int8"  # dense layers on 8-bit integers (`compiler.quantization`), everything else in float32
PRECISIONS = (FP32, FP16, INT8)
LARGEST = 127  # of the 8-bit integers: -128 is left out, so that x and -x are equally far from zero
