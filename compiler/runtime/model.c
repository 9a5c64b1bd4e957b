/* Runs the plan: one arena for activations, weights mapped from their file, kernels in order. Everything is allocated when a model is
   loaded, nothing while it runs. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu.h"
#include "fail.h"
#include "gpu.h"
#include "plan.h"
#include "pocketformer.h"
#include "pool.h"
#include "words.h"

enum { PAGE = 4096, WEIGHTS_ALIGNMENT = 64, ERROR_BYTES = 512 };
static const char MAGIC[8] = "PFWGT01";

/* A program with its tensors in memory. */
typedef struct {
    const pf_program *program;
    pf_tensor *tensors;
    pf_argument *arguments; /* call_count x PF_MAX_ARGUMENTS */
} bound_program;

struct pf_model {
    const pf_plan *plan;
    const pf_level *level;
    pf_pool *pool;
    char *arena;
    const char *weights;
    uint64_t mapped_bytes; /* 0 where the weights are somebody else's */
    bound_program *programs;
    pf_gpu *gpu;      /* 0: the CPU runs it */
    double *times_us; /* of pf_profile() */
};

static _Thread_local _Alignas(64) char error[ERROR_BYTES]; /* aligned as Android asks of programs (not of libraries) */

const char *pf_error(void) { return error; }
int pf_seq_len(const pf_model *model) { return model->plan->seq_lens[model->plan->program_count - 1]; }

const int *pf_seq_lens(const pf_model *model, int *count) {
    *count = model->plan->program_count;
    return model->plan->seq_lens;
}

const char *pf_instructions(const pf_model *model) { return model->gpu ? pf_gpu_name(model->gpu) : model->level->name; }

int pf_outputs(const pf_model *model) { return model->plan->outputs; }

void pf_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, sizeof error, format, arguments);
    va_end(arguments);
}

static int check_owner(const pf_model *model, const char *what, const char *where) {
    if (!memcmp(model->weights, MAGIC, sizeof MAGIC) && !memcmp(model->weights + sizeof MAGIC, model->plan->digest, PF_DIGEST_BYTES))
        return 0;
    pf_fail("%s %s belongs to another model", what, where);
    return -1;
}

static int map_weights(pf_model *model, const char *path) {
    const pf_plan *plan = model->plan;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) {
        pf_fail("cannot open weights file %s", path);
        if (file >= 0) close(file);
        return -1;
    }
    if ((uint64_t)status.st_size != plan->weights_bytes) {
        pf_fail("weights file %s has %lld bytes, this model's has %llu", path, (long long)status.st_size, (unsigned long long)plan->weights_bytes);
        close(file);
        return -1;
    }
    void *mapped = mmap(0, plan->weights_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    close(file);
    if (mapped == MAP_FAILED) {
        pf_fail("cannot map weights file %s", path);
        return -1;
    }
    model->weights = mapped;
    model->mapped_bytes = plan->weights_bytes;
    return check_owner(model, "weights file", path);
}

static int take_weights(pf_model *model, const void *weights, size_t bytes) {
    uint64_t expected = model->plan->weights_bytes;
    if (bytes != expected || (uintptr_t)weights % WEIGHTS_ALIGNMENT) {
        pf_fail("weights of %zu bytes at address %p; this model's have %llu, at a multiple of %d", bytes, weights,
                (unsigned long long)expected, WEIGHTS_ALIGNMENT);
        return -1;
    }
    model->weights = weights;
    /* Read from storage now, as MAP_POPULATE does for a file, so that no sentence waits for them. */
    for (uint64_t at = 0; at < bytes; at += PAGE) (void)*(const volatile char *)(model->weights + at);
    return check_owner(model, "weights", "in memory");
}

/* 0, or -1 where there is no memory. */
static int bind(pf_model *model, bound_program *bound) {
    const pf_program *program = bound->program;
    bound->tensors = calloc((size_t)program->tensor_count, sizeof *bound->tensors);
    bound->arguments = calloc((size_t)program->call_count * PF_MAX_ARGUMENTS, sizeof *bound->arguments);
    if (!bound->tensors || !bound->arguments) return -1;
    for (int index = 0; index < program->tensor_count; index++) {
        const pf_place *place = &program->tensors[index];
        pf_tensor *tensor = &bound->tensors[index];
        tensor->data = (place->place == PF_IN_ARENA ? model->arena : (char *)model->weights) + place->offset;
        tensor->device.type = PF_CPU_DEVICE;
        tensor->ndim = place->axes;
        tensor->dtype.code = place->type_code;
        tensor->dtype.bits = place->type_bits;
        tensor->dtype.lanes = 1;
        tensor->shape = (int64_t *)place->shape;
    }
    for (int call = 0; call < program->call_count; call++)
        for (int index = 0; index < program->calls[call].count; index++) {
            pf_argument *argument = &bound->arguments[call * PF_MAX_ARGUMENTS + index];
            argument->type_index = PF_FFI_TENSOR;
            argument->value.pointer = &bound->tensors[program->calls[call].tensors[index]];
        }
    return 0;
}

static int bind_all(pf_model *model) {
    const pf_plan *plan = model->plan;
    model->programs = calloc((size_t)plan->program_count, sizeof *model->programs);
    if (!model->programs) return -1;
    for (int index = 0; index < plan->program_count; index++) {
        model->programs[index].program = &model->level->programs[index];
        if (bind(model, &model->programs[index])) return -1;
    }
    return 0;
}

/* Weights of a file, or, where `path` is null, in memory. */
static pf_model *load(const char *path, const void *weights, size_t bytes, int threads, const int *cores) {
    const pf_plan *plan = &pf_the_plan;
    const pf_level *level = plan->levels, *least = plan->levels + plan->level_count - 1;
    while (level < least && pf_cpu_missing(level->cpu_needs)) level++;
    unsigned missing = pf_cpu_missing(level->cpu_needs);
    if (missing) {
        pf_fail("this model was compiled for a processor with %s, which this one lacks", pf_cpu_name(missing));
        return 0;
    }
    pf_model *model = calloc(1, sizeof *model);
    if (!model) {
        pf_fail("out of memory");
        return 0;
    }
    model->plan = plan;
    model->level = level;
    if (path ? map_weights(model, path) : take_weights(model, weights, bytes)) {
        pf_free(model);
        return 0;
    }
    model->arena = aligned_alloc(PAGE, (plan->arena_bytes + PAGE - 1) / PAGE * PAGE);
    model->pool = pf_pool_start(threads, plan->scratch_bytes);
    if (!model->arena || !model->pool || bind_all(model)) {
        pf_fail("not enough memory or threads: %llu bytes of activations, %d threads", (unsigned long long)plan->arena_bytes, threads);
        pf_free(model);
        return 0;
    }
    if (cores && pf_pool_pin(model->pool, cores)) {
        pf_fail("one of the %d cores given is not among those that this process may use", threads);
        pf_free(model);
        return 0;
    }
    memset(model->arena, 0, plan->arena_bytes);
    return model;
}

pf_model *pf_load(const char *weights_path, int threads) { return pf_load_on(weights_path, threads, 0); }

pf_model *pf_load_on(const char *weights_path, int threads, const int *cores) { return load(weights_path, 0, 0, threads, cores); }

pf_model *pf_load_memory(const void *weights, size_t bytes, int threads) { return load(0, weights, bytes, threads, 0); }

void pf_free(pf_model *model) {
    if (!model) return;
    pf_gpu_stop(model->gpu);
    if (model->pool) pf_pool_stop(model->pool);
    if (model->mapped_bytes) munmap((void *)model->weights, model->mapped_bytes);
    for (int index = 0; model->programs && index < model->plan->program_count; index++) {
        free(model->programs[index].tensors);
        free(model->programs[index].arguments);
    }
    free(model->programs);
    free(model->arena);
    free(model);
}

int pf_use_gpu(pf_model *model, const char *precision) {
    pf_gpu_stop(model->gpu);
    model->gpu = precision ? pf_gpu_start(model->plan, model->level->programs, model->weights, precision) : 0;
    return precision && !model->gpu ? -1 : 0;
}

/* Rows beyond the sentence are masked padding. They are written anew for each sentence: the arena may hold another length's numbers. */
static int copy_ids(const bound_program *bound, int tensor, const int32_t *source, int length, int limit, const char *what) {
    int32_t *target = bound->tensors[tensor].data;
    for (int index = 0; index < length; index++) {
        if (source[index] < 0 || source[index] >= limit) {
            pf_fail("%s %d at position %d is outside 0 to %d", what, source[index], index, limit - 1);
            return -1;
        }
        target[index] = source[index];
    }
    memset(target + length, 0, (size_t)(bound->program->rows - length) * sizeof *target);
    return 0;
}

static const bound_program *program_for(const pf_model *model, int length) {
    const bound_program *bound = model->programs;
    while (bound->program->seq_len < length) bound++;
    return bound;
}

void pf_profile(pf_model *model, double *times_us) { model->times_us = times_us; }

int pf_calls(const pf_model *model, int tokens) { return program_for(model, tokens)->program->call_count; }

int pf_run(pf_model *model, const int32_t *input_ids, const int32_t *token_type_ids, const int32_t *attention_mask, int length,
           float *out) {
    const pf_plan *plan = model->plan;
    if (length < 1 || length > pf_seq_len(model)) {
        pf_fail("a sentence of %d tokens; this model takes 1 to %d", length, pf_seq_len(model));
        return -1;
    }
    const bound_program *bound = program_for(model, length);
    const pf_program *program = bound->program;
    if (copy_ids(bound, program->input_ids, input_ids, length, plan->words, "token id") ||
        copy_ids(bound, program->token_type_ids, token_type_ids, length, plan->types, "token type") ||
        copy_ids(bound, program->attention_mask, attention_mask, length, 2, "attention mask"))
        return -1;
    if (model->gpu)
        return pf_gpu_run(model->gpu, (int)(bound - model->programs), bound->tensors[program->input_ids].data,
                          bound->tensors[program->token_type_ids].data, bound->tensors[program->attention_mask].data, out);
    for (int index = 0; index < program->call_count; index++) {
        const pf_call *call = &program->calls[index];
        const pf_argument *arguments = bound->arguments + index * PF_MAX_ARGUMENTS;
        int (*run)(pf_pool *, pf_kernel, const pf_argument *, int, int) = call->shared ? pf_pool_run : pf_pool_run_alone;
        double start = model->times_us ? pf_now_ms() : 0;
        if (run(model->pool, call->kernel, arguments, call->count, call->tasks)) {
            pf_fail("kernel %s: %s", call->name, pf_kernel_error());
            return -1;
        }
        if (model->times_us) model->times_us[index] = (pf_now_ms() - start) * 1e3;
    }
    memcpy(out, bound->tensors[program->output].data, (size_t)plan->outputs * sizeof *out);
    return 0;
}
