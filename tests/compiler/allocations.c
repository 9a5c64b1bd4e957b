/* Counts allocations while a model runs: allocations WEIGHTS THREADS TOKENS...; one line of JSON. Linked with the model's library. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "pocketformer.h"

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

static _Atomic int allocations;

void *malloc(size_t size) { return allocations++, __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return allocations++, __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return allocations++, __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { return allocations++, __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return allocations++, __libc_memalign(alignment, size); }
int posix_memalign(void **place, size_t alignment, size_t size) {
    allocations++;
    return (*place = __libc_memalign(alignment, size)) ? 0 : 12; /* ENOMEM */
}

int main(int count, char **words) {
    enum { LONGEST = 512, RUNS = 20 };
    static int32_t ids[LONGEST], types[LONGEST], mask[LONGEST];
    static float out[LONGEST];
    for (int index = 0; index < LONGEST; index++) mask[index] = 1;
    pf_model *model = pf_load(words[1], atoi(words[2]));
    if (!model) return fprintf(stderr, "%s\n", pf_error()), 1;
    int loading = allocations, failed = 0;
    for (int run = 0; run < RUNS; run++)
        for (int index = 3; index < count; index++) failed += pf_run(model, ids, types, mask, atoi(words[index]), out) != 0;
    int running = allocations - loading;
    char refused[2][256];
    for (int index = 0; index < 2; index++) {
        if (!pf_run(model, ids, types, mask, index ? pf_seq_len(model) + 1 : 0, out)) return 1;
        snprintf(refused[index], sizeof refused[index], "%s", pf_error());
    }
    pf_free(model);
    printf("{\"loading\": %d, \"running\": %d, \"failed\": %d, \"empty\": \"%s\", \"too_long\": \"%s\"}\n", loading, running, failed,
           refused[0], refused[1]);
    return 0;
}
