/* As an app does: opens a bundle's library by path, answers the texts of a file, a line each, prints the numbers of each in a line. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocketformer.h"

enum { MOST_BYTES = 1 << 16 };

int main(int count, char **words) {
    void *library = count == 5 ? dlopen(words[1], RTLD_NOW) : 0;
    if (!library) return fprintf(stderr, "%s\n", count == 5 ? dlerror() : "usage: answer LIBRARY WEIGHTS TOKENIZER TEXTS"), 2;
#define IN_LIBRARY(name) __typeof__(&name) own_##name = (__typeof__(&name))dlsym(library, #name)
    IN_LIBRARY(pf_load);
    IN_LIBRARY(pf_load_tokenizer);
    IN_LIBRARY(pf_run_text);
    IN_LIBRARY(pf_outputs);
    IN_LIBRARY(pf_error);
    pf_model *model = own_pf_load(words[2], 1);
    pf_tokenizer *tokenizer = own_pf_load_tokenizer(words[3]);
    FILE *file = fopen(words[4], "rb");
    if (!model || !tokenizer || !file) return fprintf(stderr, "%s\n", file ? own_pf_error() : words[4]), 1;
    float *out = calloc((size_t)own_pf_outputs(model), sizeof *out);
    static char text[MOST_BYTES];
    while (fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = 0;
        if (own_pf_run_text(model, tokenizer, text, 0, out)) return fprintf(stderr, "%s\n", own_pf_error()), 1;
        for (int index = 0; index < own_pf_outputs(model); index++) printf("%.9g ", out[index]);
        printf("\n");
    }
    return 0;
}
