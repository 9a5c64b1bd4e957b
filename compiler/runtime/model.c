/* Runs the plan: one arena for activations, weights mapped from their file, kernels in order. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu.h"
#include "plan.h"
#include "pocketformer.h"
#include "pool.h"

enum { PAGE = 4096, ERROR_BYTES = 512 };
static const char MAGIC[8] = "PFWGT01";

struct pf_model {
    const pf_plan *plan;
    pf_pool *pool;
    char *arena;
    char *weights;
    pf_tensor *tensors;
    pf_argument *arguments; /* call_count x PF_MAX_ARGUMENTS */
};

static _Thread_local char error[ERROR_BYTES];

const char *pf_error(void) { return error; }
int pf_seq_len(const pf_model *model) { return model->plan->seq_len; }
int pf_outputs(const pf_model *model) { return model->plan->outputs; }

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, sizeof error, format, arguments);
    va_end(arguments);
}

static int map_weights(pf_model *model, const char *path) {
    const pf_plan *plan = model->plan;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) {
        fail("cannot open weights file %s", path);
        if (file >= 0) close(file);
        return -1;
    }
    if ((uint64_t)status.st_size != plan->weights_bytes) {
        fail("weights file %s has %lld bytes, this model's has %llu", path, (long long)status.st_size, (unsigned long long)plan->weights_bytes);
        close(file);
        return -1;
    }
    void *mapped = mmap(0, plan->weights_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    close(file);
    if (mapped == MAP_FAILED) {
        fail("cannot map weights file %s", path);
        return -1;
    }
    model->weights = mapped;
    if (memcmp(model->weights, MAGIC, sizeof MAGIC) || memcmp(model->weights + sizeof MAGIC, plan->digest, PF_DIGEST_BYTES)) {
        fail("weights file %s belongs to another model", path);
        return -1;
    }
    return 0;
}

static void bind(pf_model *model) {
    const pf_plan *plan = model->plan;
    for (int index = 0; index < plan->tensor_count; index++) {
        const pf_place *place = &plan->tensors[index];
        pf_tensor *tensor = &model->tensors[index];
        tensor->data = (place->place == PF_IN_ARENA ? model->arena : model->weights) + place->offset;
        tensor->device.type = PF_CPU_DEVICE;
        tensor->ndim = place->axes;
        tensor->dtype.code = place->type_code;
        tensor->dtype.bits = 32;
        tensor->dtype.lanes = 1;
        tensor->shape = (int64_t *)place->shape;
    }
    for (int call = 0; call < plan->call_count; call++)
        for (int index = 0; index < plan->calls[call].count; index++) {
            pf_argument *argument = &model->arguments[call * PF_MAX_ARGUMENTS + index];
            argument->type_index = PF_FFI_TENSOR;
            argument->value.pointer = &model->tensors[plan->calls[call].tensors[index]];
        }
}

pf_model *pf_load(const char *weights_path, int threads) {
    const pf_plan *plan = &pf_the_plan;
    unsigned missing = pf_cpu_missing(plan->cpu_needs);
    if (missing) {
        fail("this model was compiled for a processor with %s, which this one lacks", pf_cpu_name(missing));
        return 0;
    }
    pf_model *model = calloc(1, sizeof *model);
    if (!model) {
        fail("out of memory");
        return 0;
    }
    model->plan = plan;
    if (map_weights(model, weights_path)) {
        pf_free(model);
        return 0;
    }
    model->arena = aligned_alloc(PAGE, (plan->arena_bytes + PAGE - 1) / PAGE * PAGE);
    model->tensors = calloc((size_t)plan->tensor_count, sizeof *model->tensors);
    model->arguments = calloc((size_t)plan->call_count * PF_MAX_ARGUMENTS, sizeof *model->arguments);
    model->pool = pf_pool_start(threads, plan->scratch_bytes);
    if (!model->arena || !model->tensors || !model->arguments || !model->pool) {
        fail("not enough memory or threads: %llu bytes of activations, %d threads", (unsigned long long)plan->arena_bytes, threads);
        pf_free(model);
        return 0;
    }
    memset(model->arena, 0, plan->arena_bytes);
    bind(model);
    return model;
}

void pf_free(pf_model *model) {
    if (!model) return;
    if (model->pool) pf_pool_stop(model->pool);
    if (model->weights) munmap(model->weights, model->plan->weights_bytes);
    free(model->arena);
    free(model->tensors);
    free(model->arguments);
    free(model);
}

/* Rows beyond the sentence, which only round its length up, stay zero: their results are never read. */
static int copy_ids(pf_model *model, int tensor, const int32_t *source, int limit, const char *what) {
    int32_t *target = model->tensors[tensor].data;
    for (int index = 0; index < model->plan->seq_len; index++) {
        if (source[index] < 0 || source[index] >= limit) {
            fail("%s %d at position %d is outside 0 to %d", what, source[index], index, limit - 1);
            return -1;
        }
        target[index] = source[index];
    }
    return 0;
}

int pf_run(pf_model *model, const int32_t *input_ids, const int32_t *token_type_ids, const int32_t *attention_mask, float *out) {
    const pf_plan *plan = model->plan;
    if (copy_ids(model, plan->input_ids, input_ids, plan->words, "token id") ||
        copy_ids(model, plan->token_type_ids, token_type_ids, plan->types, "token type") ||
        copy_ids(model, plan->attention_mask, attention_mask, 2, "attention mask"))
        return -1;
    for (int index = 0; index < plan->call_count; index++) {
        const pf_call *call = &plan->calls[index];
        if (pf_pool_run(model->pool, call->kernel, model->arguments + index * PF_MAX_ARGUMENTS, call->count, call->tasks)) {
            fail("kernel %s: %s", call->name, pf_kernel_error());
            return -1;
        }
    }
    memcpy(out, model->tensors[plan->output].data, (size_t)plan->outputs * sizeof *out);
    return 0;
}
