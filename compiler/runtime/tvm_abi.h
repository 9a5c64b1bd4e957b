/* The part of TVM 0.27's C ABI (dlpack.h, tvm/ffi/c_api.h, tvm/runtime/c_backend_api.h) that its kernels are called through. */
#ifndef PF_TVM_ABI_H
#define PF_TVM_ABI_H
#include <stdint.h>

enum { PF_CPU_DEVICE = 1, PF_TYPE_INT = 0, PF_TYPE_FLOAT = 2, PF_FFI_TENSOR = 7 };

typedef struct {
    void *data;
    struct { int32_t type, id; } device;
    int32_t ndim;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
} pf_tensor;

typedef struct {
    int32_t type_index;
    uint32_t padding;
    union { int64_t integer; void *pointer; } value;
} pf_argument;

typedef int (*pf_kernel)(void *self, const pf_argument *arguments, int32_t count, pf_argument *result);

typedef struct { void *sync; int32_t num_task; } pf_group;
typedef int (*pf_task)(int task, pf_group *group, void *closure);
#endif
