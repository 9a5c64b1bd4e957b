"""What models compute with."""

FP32 = "fp32"
FP16 = "fp16"  # weights and the products of matmuls in float16, everything else in float32
INT8 = "int8"  # dense layers on 8-bit integers (`compiler.quantization`), everything else in float32
PRECISIONS = (FP32, FP16, INT8)
