/* Runs the plan on a GPU: its program is compiled, its kernels get their arguments and the weights are copied there when it starts; a
   sentence is three writes, the kernels in order, and a read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "gpu.h"
#include "opencl_api.h"

enum { MOST_PLATFORMS = 8, NAME_BYTES = 128, EXTENSIONS_BYTES = 16384, LOG_BYTES = 16384, STAGED = 1 << 20 /* floats */ };

struct pf_gpu {
    const pf_opencl *cl;
    const pf_plan *plan;
    const pf_program *programs;
    int half, rows; /* of the longest program */
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_mem weights, arena, ids, answer;
    cl_kernel **kernels; /* of each program: its calls', and the one that hands the answer over */
    char name[NAME_BYTES];
};

static int failed(int32_t status, const char *what) {
    if (status) pf_fail("%s on the GPU failed with OpenCL error %d", what, (int)status);
    return status != CL_SUCCESS;
}

static int find_device(pf_gpu *gpu) {
    const char *asked = getenv("POCKETFORMER_OPENCL_DEVICE");
    uint64_t type = asked && !strcmp(asked, "any") ? CL_DEVICE_TYPE_ALL : CL_DEVICE_TYPE_GPU;
    cl_platform_id platforms[MOST_PLATFORMS];
    uint32_t count = 0, found = 0;
    gpu->cl->clGetPlatformIDs(MOST_PLATFORMS, platforms, &count);
    for (uint32_t index = 0; index < count && index < MOST_PLATFORMS && !found; index++)
        if (gpu->cl->clGetDeviceIDs(platforms[index], type, 1, &gpu->device, &found)) found = 0;
    if (!found) pf_fail("OpenCL finds no GPU here");
    return !found;
}

/* Whether the device computes in half, or only stores it. */
static int has_half(const pf_gpu *gpu) {
    char *extensions = calloc(1, EXTENSIONS_BYTES);
    int has = extensions && !gpu->cl->clGetDeviceInfo(gpu->device, CL_DEVICE_EXTENSIONS, EXTENSIONS_BYTES - 1, extensions, 0) &&
              strstr(extensions, "cl_khr_fp16");
    free(extensions);
    return has;
}

static int build(pf_gpu *gpu) {
    const char *source = pf_the_gpu_plan.source;
    int32_t status;
    char options[96], name[NAME_BYTES / 2] = "";
    snprintf(options, sizeof options, "-cl-std=CL1.2 -cl-mad-enable%s%s", gpu->half ? " -DHALF_STORAGE" : "",
             gpu->half && has_half(gpu) ? " -DHALF_ARITHMETIC" : "");
    gpu->cl->clGetDeviceInfo(gpu->device, CL_DEVICE_NAME, sizeof name - 1, name, 0);
    snprintf(gpu->name, sizeof gpu->name, "%s, %s", name, gpu->half ? "fp16" : "fp32");
    gpu->program = gpu->cl->clCreateProgramWithSource(gpu->context, 1, &source, 0, &status);
    if (failed(status, "taking the kernels' source")) return -1;
    status = gpu->cl->clBuildProgram(gpu->program, 1, &gpu->device, options, 0, 0);
    if (status) {
        char *log = calloc(1, LOG_BYTES);
        if (log) gpu->cl->clGetProgramBuildInfo(gpu->program, gpu->device, CL_PROGRAM_BUILD_LOG, LOG_BYTES - 1, log, 0);
        const char *error = log && strstr(log, "error") ? strstr(log, "error") : "no message";
        pf_fail("the GPU's compiler refused the kernels (OpenCL error %d): %.*s", (int)status, (int)strcspn(error, "\n"), error);
        free(log);
    }
    return status;
}

static cl_mem buffer(const pf_gpu *gpu, uint64_t flags, uint64_t bytes, int32_t *status) {
    int32_t refused;
    cl_mem made = gpu->cl->clCreateBuffer(gpu->context, flags, bytes, 0, &refused);
    if (refused && !*status) *status = refused;
    return made;
}

static int make_buffers(pf_gpu *gpu) {
    const pf_plan *plan = gpu->plan;
    uint64_t part = gpu->half ? 2 : 1; /* of a float's bytes that a number takes there */
    int32_t status = 0;
    gpu->weights = buffer(gpu, gpu->half ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY, plan->weights_bytes / part, &status);
    gpu->arena = buffer(gpu, CL_MEM_READ_WRITE, plan->arena_bytes / part, &status);
    gpu->ids = buffer(gpu, CL_MEM_READ_ONLY, 3 * (uint64_t)gpu->rows * sizeof(int32_t), &status);
    gpu->answer = buffer(gpu, CL_MEM_READ_WRITE, (uint64_t)plan->outputs * sizeof(float), &status);
    return failed(status, "allocating memory");
}

static int set(const pf_gpu *gpu, cl_kernel kernel, uint32_t *index, size_t bytes, const void *value) {
    return gpu->cl->clSetKernelArg(kernel, (*index)++, bytes, value);
}

/* The weights file's floats as halves, through a buffer that holds some of them. */
static int narrow(pf_gpu *gpu, const float *weights) {
    const pf_opencl *cl = gpu->cl;
    int32_t status = 0, refused = 0;
    cl_mem staging = buffer(gpu, CL_MEM_READ_ONLY, STAGED * sizeof(float), &status);
    cl_kernel kernel = cl->clCreateKernel(gpu->program, "pf_narrow", &refused);
    uint64_t numbers = gpu->plan->weights_bytes / sizeof(float);
    if (!status) status = refused;
    for (uint64_t first = 0; !status && first < numbers; first += STAGED) {
        uint32_t index = 0, at = (uint32_t)first, count = (uint32_t)(numbers - first < STAGED ? numbers - first : STAGED);
        size_t items = count;
        status = cl->clEnqueueWriteBuffer(gpu->queue, staging, CL_TRUE, 0, items * sizeof(float), weights + first, 0, 0, 0);
        if (!status) status = set(gpu, kernel, &index, sizeof staging, &staging);
        if (!status) status = set(gpu, kernel, &index, sizeof gpu->weights, &gpu->weights);
        if (!status) status = set(gpu, kernel, &index, sizeof at, &at);
        if (!status) status = set(gpu, kernel, &index, sizeof count, &count);
        if (!status) status = cl->clEnqueueNDRangeKernel(gpu->queue, kernel, 1, 0, &items, 0, 0, 0, 0);
        if (!status) status = cl->clFinish(gpu->queue);
    }
    if (kernel) cl->clReleaseKernel(kernel);
    if (staging) cl->clReleaseMemObject(staging);
    return status;
}

static int copy_weights(pf_gpu *gpu, const char *weights) {
    if (gpu->half) return failed(narrow(gpu, (const float *)weights), "copying the weights");
    return failed(gpu->cl->clEnqueueWriteBuffer(gpu->queue, gpu->weights, CL_TRUE, 0, gpu->plan->weights_bytes, weights, 0, 0, 0),
                  "copying the weights");
}

/* A tensor: its buffer, and the numbers before it. */
static int set_tensor(const pf_gpu *gpu, const pf_program *program, cl_kernel kernel, uint32_t *index, uint16_t tensor) {
    const pf_place *place = &program->tensors[tensor];
    cl_mem memory = place->place == PF_IN_WEIGHTS ? gpu->weights : gpu->arena;
    uint32_t before = (uint32_t)(place->offset / sizeof(float));
    if (place->type_code == PF_TYPE_INT) {
        memory = gpu->ids;
        before = (uint32_t)gpu->rows * (tensor == program->input_ids ? 0 : tensor == program->token_type_ids ? 1 : 2);
    }
    int32_t status = set(gpu, kernel, index, sizeof memory, &memory);
    return status ? status : set(gpu, kernel, index, sizeof before, &before);
}

static int32_t make_kernels(pf_gpu *gpu, int number) {
    const pf_gpu_program *calls = &pf_the_gpu_plan.programs[number];
    const pf_program *program = &gpu->programs[number];
    cl_kernel *kernels = gpu->kernels[number] = calloc((size_t)calls->call_count + 1, sizeof *kernels);
    int32_t status = kernels ? 0 : -1;
    for (int each = 0; !status && each < calls->call_count; each++) {
        const pf_gpu_call *call = &calls->calls[each];
        uint32_t index = 0;
        kernels[each] = gpu->cl->clCreateKernel(gpu->program, call->kernel, &status);
        for (int at = 0; !status && at < call->tensor_count; at++)
            status = set_tensor(gpu, program, kernels[each], &index, call->tensors[at]);
        for (int at = 0; !status && at < call->number_count; at++)
            status = set(gpu, kernels[each], &index, sizeof call->numbers[at], &call->numbers[at]);
    }
    if (status) return status;
    uint32_t index = 0, outputs = (uint32_t)gpu->plan->outputs;
    cl_kernel last = kernels[calls->call_count] = gpu->cl->clCreateKernel(gpu->program, "pf_widen", &status);
    if (!status) status = set_tensor(gpu, program, last, &index, program->output);
    if (!status) status = set(gpu, last, &index, sizeof gpu->answer, &gpu->answer);
    return status ? status : set(gpu, last, &index, sizeof outputs, &outputs);
}

/* Every program on a sentence of padding. */
static int try_out(pf_gpu *gpu) {
    int32_t *ids = calloc((size_t)gpu->rows, sizeof *ids);
    float *out = calloc((size_t)gpu->plan->outputs, sizeof *out);
    int status = !ids || !out;
    if (status) pf_fail("out of memory");
    for (int program = 0; !status && program < gpu->plan->program_count; program++)
        status = pf_gpu_run(gpu, program, ids, ids, ids, out);
    free(ids), free(out);
    return status;
}

static int start(pf_gpu *gpu, const char *weights) {
    int32_t status;
    if (find_device(gpu)) return -1;
    gpu->context = gpu->cl->clCreateContext(0, 1, &gpu->device, 0, 0, &status);
    if (failed(status, "starting")) return -1;
    gpu->queue = gpu->cl->clCreateCommandQueue(gpu->context, gpu->device, 0, &status);
    if (failed(status, "starting") || build(gpu) || make_buffers(gpu) || copy_weights(gpu, weights)) return -1;
    gpu->kernels = calloc((size_t)gpu->plan->program_count, sizeof *gpu->kernels);
    for (int program = 0; gpu->kernels && program < gpu->plan->program_count; program++)
        if (failed(make_kernels(gpu, program), "making the kernels")) return -1;
    return gpu->kernels ? try_out(gpu) : -1;
}

pf_gpu *pf_gpu_start(const pf_plan *plan, const pf_program *programs, const char *weights, const char *precision) {
    int half = !strcmp(precision, "fp16");
    if (!half && strcmp(precision, "fp32")) {
        pf_fail("unknown precision '%s' for the GPU; take fp32 or fp16", precision);
        return 0;
    }
    const pf_opencl *cl = pf_opencl_open();
    if (!cl) {
        pf_fail("this device has no OpenCL library that may be opened");
        return 0;
    }
    pf_gpu *gpu = calloc(1, sizeof *gpu);
    if (!gpu) {
        pf_fail("out of memory");
        return 0;
    }
    gpu->cl = cl, gpu->plan = plan, gpu->programs = programs, gpu->half = half;
    gpu->rows = programs[plan->program_count - 1].rows;
    if (!start(gpu, weights)) return gpu;
    pf_gpu_stop(gpu);
    return 0;
}

void pf_gpu_stop(pf_gpu *gpu) {
    if (!gpu) return;
    const pf_opencl *cl = gpu->cl;
    cl_mem buffers[] = {gpu->weights, gpu->arena, gpu->ids, gpu->answer};
    for (int program = 0; gpu->kernels && program < gpu->plan->program_count; program++) {
        cl_kernel *kernels = gpu->kernels[program];
        for (int each = 0; kernels && each <= pf_the_gpu_plan.programs[program].call_count; each++)
            if (kernels[each]) cl->clReleaseKernel(kernels[each]);
        free(kernels);
    }
    free(gpu->kernels);
    for (size_t each = 0; each < sizeof buffers / sizeof *buffers; each++)
        if (buffers[each]) cl->clReleaseMemObject(buffers[each]);
    if (gpu->program) cl->clReleaseProgram(gpu->program);
    if (gpu->queue) cl->clReleaseCommandQueue(gpu->queue);
    if (gpu->context) cl->clReleaseContext(gpu->context);
    free(gpu);
}

int pf_gpu_run(pf_gpu *gpu, int program, const int32_t *ids, const int32_t *types, const int32_t *mask, float *out) {
    const pf_opencl *cl = gpu->cl;
    const pf_gpu_program *calls = &pf_the_gpu_plan.programs[program];
    const int32_t *sources[] = {ids, types, mask};
    size_t bytes = (size_t)gpu->programs[program].rows * sizeof *ids, outputs = (size_t)gpu->plan->outputs;
    cl_kernel *kernels = gpu->kernels[program];
    int32_t status = 0;
    for (size_t each = 0; !status && each < 3; each++)
        status = cl->clEnqueueWriteBuffer(gpu->queue, gpu->ids, CL_FALSE, each * (size_t)gpu->rows * sizeof *ids, bytes, sources[each], 0, 0, 0);
    for (int each = 0; !status && each < calls->call_count; each++) {
        const pf_gpu_call *call = &calls->calls[each];
        size_t items[] = {call->items[0], call->items[1]}, group[] = {call->group[0], call->group[1]};
        status = cl->clEnqueueNDRangeKernel(gpu->queue, kernels[each], PF_GPU_AXES, 0, items, group, 0, 0, 0);
        if (failed(status, call->kernel)) return -1;
    }
    if (!status) status = cl->clEnqueueNDRangeKernel(gpu->queue, kernels[calls->call_count], 1, 0, &outputs, 0, 0, 0, 0);
    /* The queue is in order: once the answer is here, all is done, and the sentence has been read. */
    if (!status) status = cl->clEnqueueReadBuffer(gpu->queue, gpu->answer, CL_TRUE, 0, outputs * sizeof *out, out, 0, 0, 0);
    return failed(status, "running the model") ? -1 : 0;
}

const char *pf_gpu_name(const pf_gpu *gpu) { return gpu->name; }
