/* In place of gpu.c in models that are compiled for the CPU alone. */
#include "fail.h"
#include "gpu.h"

pf_gpu *pf_gpu_start(const pf_plan *plan, const pf_program *programs, const char *weights, const char *precision) {
    pf_fail("this model has no code for GPUs: compile it with --gpu");
    return 0;
}

void pf_gpu_stop(pf_gpu *gpu) {}
int pf_gpu_run(pf_gpu *gpu, int program, const int32_t *ids, const int32_t *types, const int32_t *mask, float *out) { return -1; }
const char *pf_gpu_name(const pf_gpu *gpu) { return ""; }
