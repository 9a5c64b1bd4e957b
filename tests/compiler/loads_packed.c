/* As an Android app does, but for the Java: opens the two libraries of an .aar by path, answers the texts that follow, prints the numbers. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "packed.h"
#include "pocketformer.h"

int main(int count, char **words) {
    void *code = dlopen(words[1], RTLD_NOW), *weights = code ? dlopen(words[2], RTLD_NOW) : 0;
    if (!weights) return fprintf(stderr, "%s\n", dlerror()), 1;
    int64_t (*packed_of)(void *, void *) = (int64_t (*)(void *, void *))dlsym(weights, "Java_io_pocketformer_Model_packed");
    const pf_packed *packed = (const pf_packed *)packed_of(0, 0);
#define IN_LIBRARY(name) __typeof__(&name) own_##name = (__typeof__(&name))dlsym(code, #name)
    IN_LIBRARY(pf_load_memory);
    IN_LIBRARY(pf_load_tokenizer_memory);
    IN_LIBRARY(pf_run_text);
    IN_LIBRARY(pf_outputs);
    IN_LIBRARY(pf_error);
    pf_model *model = own_pf_load_memory(packed->weights, (size_t)(packed->weights_end - packed->weights), 2);
    pf_tokenizer *tokenizer = own_pf_load_tokenizer_memory(packed->tokenizer, (size_t)(packed->tokenizer_end - packed->tokenizer));
    if (!model || !tokenizer) return fprintf(stderr, "%s\n", own_pf_error()), 1;
    float *out = calloc((size_t)own_pf_outputs(model), sizeof *out);
    for (int text = 3; text < count; text++) {
        if (own_pf_run_text(model, tokenizer, words[text], 0, out)) return fprintf(stderr, "%s\n", own_pf_error()), 1;
        for (int index = 0; index < own_pf_outputs(model); index++) printf("%.9g ", out[index]);
        printf("\n");
    }
    return 0;
}
