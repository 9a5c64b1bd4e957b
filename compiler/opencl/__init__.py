"""The fused blocks for a phone's GPU: OpenCL C beside the static plan, over the same tensors and the same weights file.

`blocks` says which kernels a block takes, `tables` writes them down for the runtime (`runtime/gpu.c`), which compiles them for the GPU it finds.
"""
