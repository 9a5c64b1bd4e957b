/* Times the kernels it is linked with, for the compiler's choice of tiles, on the thread pool that models run on: on stdout a line for
   each, its name and the microseconds of a call, the median of a few rounds' medians, taken in turns. Not the best one: on a core whose
   other thread or caches others use now and then, the tile that suffers least from it is the better one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "candidates.h"
#include "cpu.h"
#include "pool.h"
#include "words.h"

enum { ROUNDS = 8 /* short and many: others' use of the machine comes in bursts */, LEAST_RUNS = 3, MOST_RUNS = 25, LINE = 64, NUMBERS = 1 << 14 };
static const double ROUND_US = 2000;
static const size_t COLD_BYTES = (size_t)96 << 20; /* more than a last-level cache has for one program */

static size_t bytes_of(const pf_operand *operand) {
    size_t bytes = operand->type_bits / 8;
    for (int axis = 0; axis < operand->axes; axis++) bytes *= (size_t)operand->shape[axis];
    return (bytes + LINE - 1) / LINE * LINE;
}

/* The same few thousand numbers over and over. A half of each word is a number of 16 bits, of either sign and from 1/4 to 2; the word as
   one of 32 bits is neither tiny nor large, whatever the other half. */
static void fill(char *memory, size_t bytes) {
    static uint16_t halves[2 * NUMBERS];
    if (!halves[0]) {
        uint32_t state = 1;
        for (int index = 0; index < 2 * NUMBERS; index++) {
            state = state * 1664525u + 1013904223u;
            halves[index] = (uint16_t)((state >> 31) << 15 | (13 + (state >> 16) % 3) << 10 | (state >> 18 & 0x3ff));
        }
    }
    for (size_t at = 0; at < bytes; at += sizeof halves) memcpy(memory + at, halves, bytes - at < sizeof halves ? bytes - at : sizeof halves);
}

static char *cache_lines(size_t bytes) {
    void *memory = 0;
    return posix_memalign(&memory, LINE, bytes ? bytes : LINE) ? 0 : memset(memory, 0, bytes);
}

/* A candidate's operands, in memory of their own; 0 where there is none left. */
static pf_tensor *operands_of(const pf_candidate *candidate) {
    pf_tensor *tensors = calloc((size_t)candidate->count, sizeof *tensors);
    for (int index = 0; tensors && index < candidate->count; index++) {
        const pf_operand *operand = &candidate->operands[index];
        pf_tensor *tensor = &tensors[index];
        tensor->device.type = PF_CPU_DEVICE;
        tensor->ndim = operand->axes;
        tensor->dtype.code = operand->type_code, tensor->dtype.bits = operand->type_bits, tensor->dtype.lanes = 1;
        tensor->shape = (int64_t *)operand->shape;
        size_t bytes = bytes_of(operand);
        if (index == candidate->weight && bytes <= COLD_BYTES) continue;
        if (!(tensor->data = cache_lines(bytes))) return 0;
        if (operand->type_code == PF_TYPE_FLOAT) fill(tensor->data, bytes);
    }
    return tensors;
}

/* Microseconds of a call, the median of `runs` after one that warms up; negative on failure. Between two inferences a model's weights have
   left the caches, whatever other operands do: each call finds them in another part of `cold`. */
static double time_us(pf_pool *pool, const pf_candidate *candidate, pf_tensor *tensors, char *cold, int runs) {
    pf_argument arguments[candidate->count];
    double times[MOST_RUNS];
    size_t offset = 0;
    for (int index = 0; index < candidate->count; index++) {
        arguments[index] = (pf_argument){.type_index = PF_FFI_TENSOR, .value.pointer = &tensors[index]};
    }
    for (int run = -1; run < runs; run++) {
        if (candidate->weight >= 0) {
            size_t bytes = bytes_of(&candidate->operands[candidate->weight]);
            if (offset + bytes > COLD_BYTES) offset = 0;
            if (bytes <= COLD_BYTES) tensors[candidate->weight].data = cold + offset;
            offset += bytes;
        }
        double start = pf_now_ms();
        if (pf_pool_run(pool, candidate->kernel, arguments, candidate->count, candidate->tasks)) return -1;
        if (run >= 0) times[run] = (pf_now_ms() - start) * 1e3;
    }
    qsort(times, (size_t)runs, sizeof *times, pf_ascending);
    return pf_quantile(times, runs, 0.5);
}

static int fail(const char *message) {
    fprintf(stderr, "%s\n", message);
    return 1;
}

int main(int count, char **words) {
    const pf_candidates *all = &pf_the_candidates;
    int threads = 1, core_count = 0, cores[PF_MOST_CORES];
    for (int index = 1; index < count; index += 2) {
        const char *name = words[index], *value = index + 1 < count ? words[index + 1] : "";
        int wrong = 1;
        if (!strcmp(name, "--threads")) wrong = pf_number(value, 1, &threads);
        if (!strcmp(name, "--cores")) wrong = !(core_count = pf_list(value, cores));
        if (wrong) return fail("usage: tune [--threads N] [--cores N,N,...]"), 2;
    }
    unsigned missing = pf_cpu_missing(all->cpu_needs);
    if (missing) return fprintf(stderr, "this CPU lacks %s\n", pf_cpu_name(missing)), 1;
    pf_pool *pool = pf_pool_start(threads, all->scratch_bytes);
    char *cold = cache_lines(COLD_BYTES);
    pf_tensor **operands = calloc((size_t)all->count, sizeof *operands);
    double(*rounds)[ROUNDS] = calloc((size_t)all->count, sizeof *rounds);
    if (!pool || !cold || !operands || !rounds) return fail("out of memory");
    if (core_count && (core_count < threads || pf_pool_pin(pool, cores))) return fail("a core may not be used");
    fill(cold, COLD_BYTES);
    for (int index = 0; index < all->count; index++) {
        if (!(operands[index] = operands_of(&all->candidates[index]))) return fail("out of memory");
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int index = 0; index < all->count; index++) {
            double fastest = round ? rounds[index][0] : ROUND_US;
            for (int before = 1; before < round; before++) fastest = rounds[index][before] < fastest ? rounds[index][before] : fastest;
            int runs = fastest * MOST_RUNS < ROUND_US ? MOST_RUNS : (int)(ROUND_US / fastest);
            double taken = time_us(pool, &all->candidates[index], operands[index], cold, round && runs > LEAST_RUNS ? runs : LEAST_RUNS);
            if (taken < 0) return fprintf(stderr, "%s failed: %s\n", all->candidates[index].name, pf_kernel_error()), 1;
            rounds[index][round] = taken;
        }
    }
    for (int index = 0; index < all->count; index++) {
        qsort(rounds[index], ROUNDS, sizeof **rounds, pf_ascending);
        printf("%s %.4f\n", all->candidates[index].name, pf_quantile(rounds[index], ROUNDS, 0.5));
    }
    pf_pool_stop(pool);
    return 0;
}
