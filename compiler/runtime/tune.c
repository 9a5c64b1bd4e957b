/* Times single kernels for the compiler's choice of tiles, on the same thread pool that models run on. */
#include <stdlib.h>
#include <time.h>

#include "pool.h"

enum { LINE = 64 };

static size_t bytes_of(const pf_tensor *tensor) {
    size_t bytes = tensor->dtype.bits / 8;
    for (int axis = 0; axis < tensor->ndim; axis++) bytes *= (size_t)tensor->shape[axis];
    return (bytes + LINE - 1) / LINE * LINE;
}

/* Microseconds of each of `runs` calls, after one that warms up. 0, or -1 on failure.
   Between two inferences a model's weights have left the caches, whatever other operands do. So operand `weight` (none: -1) is
   taken from another part of `pool_of_weights` in each call. */
int pf_time_kernel(pf_kernel kernel, pf_tensor *tensors, int count, int tasks, int threads, size_t scratch_bytes, int weight,
                   char *pool_of_weights, size_t pool_bytes, int runs, double *times_us) {
    pf_argument *arguments = calloc((size_t)count, sizeof *arguments);
    pf_pool *pool = pf_pool_start(threads, scratch_bytes);
    int status = arguments && pool ? 0 : -1;
    size_t offset = 0;
    for (int index = 0; !status && index < count; index++) {
        arguments[index].type_index = PF_FFI_TENSOR;
        arguments[index].value.pointer = &tensors[index];
    }
    for (int run = -1; !status && run < runs; run++) {
        if (weight >= 0) {
            size_t bytes = bytes_of(&tensors[weight]);
            if (offset + bytes > pool_bytes) offset = 0;
            if (bytes <= pool_bytes) tensors[weight].data = pool_of_weights + offset;
            offset += bytes;
        }
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        status = pf_pool_run(pool, kernel, arguments, count, tasks);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (run >= 0) times_us[run] = (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3;
    }
    if (pool) pf_pool_stop(pool);
    free(arguments);
    return status;
}
