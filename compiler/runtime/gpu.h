/* A model on the GPU: the plan's tensors in buffers there, and OpenCL kernels in place of the CPU's. */
#ifndef PF_GPU_H
#define PF_GPU_H
#include "plan.h"

enum { PF_GPU_AXES = 2, PF_GPU_NUMBERS = 12 };

typedef struct {
    const char *kernel;
    uint32_t items[PF_GPU_AXES], group[PF_GPU_AXES]; /* work-items, and those of a work-group */
    uint16_t tensor_count;
    uint16_t tensors[PF_MAX_ARGUMENTS]; /* of the program */
    uint16_t number_count;
    uint32_t numbers[PF_GPU_NUMBERS];
} pf_gpu_call;

typedef struct {
    int call_count;
    const pf_gpu_call *calls;
} pf_gpu_program;

/* What the compiler writes where a model is compiled for GPUs too. */
typedef struct {
    const char *source; /* OpenCL C */
    const pf_gpu_program *programs; /* as the CPU's */
} pf_gpu_plan;

extern const pf_gpu_plan pf_the_gpu_plan;

typedef struct pf_gpu pf_gpu;

/* Takes the weights there, in the precision, and runs each program once, so that what a driver cannot do is found out. NULL on failure, with
   pf_fail. */
pf_gpu *pf_gpu_start(const pf_plan *plan, const pf_program *programs, const char *weights, const char *precision);
void pf_gpu_stop(pf_gpu *gpu);

/* One sentence: token ids, token types and mask of the program's rows each. 0, or -1 with pf_fail. */
int pf_gpu_run(pf_gpu *gpu, int program, const int32_t *ids, const int32_t *types, const int32_t *mask, float *out);

/* "Adreno (TM) 650, fp16" */
const char *pf_gpu_name(const pf_gpu *gpu);
#endif
