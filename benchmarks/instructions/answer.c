/* answer LIBRARY WEIGHTS TOKENS: two inferences of a compiled model, with marks for the counting plugin around the second. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pocketformer.h"

enum { MARK = -77 };

int main(int count, char **words) {
    void *library = count == 4 ? dlopen(words[1], RTLD_NOW) : 0;
    if (!library) {
        fprintf(stderr, "%s\n", count == 4 ? dlerror() : "usage: answer LIBRARY WEIGHTS TOKENS");
        return 2;
    }
    __typeof__(pf_load) *load = dlsym(library, "pf_load");
    __typeof__(pf_run) *run = dlsym(library, "pf_run");
    __typeof__(pf_outputs) *outputs = dlsym(library, "pf_outputs");
    __typeof__(pf_error) *error = dlsym(library, "pf_error");
    int tokens = atoi(words[3]), failed;
    pf_model *model = load(words[2], 1);
    int32_t *sentence = calloc((size_t)tokens * 3, sizeof *sentence);
    float *out = model && sentence ? calloc((size_t)outputs(model), sizeof *out) : 0;
    if (!out) {
        fprintf(stderr, "%s\n", error());
        return 1;
    }
    for (int index = 0; index < tokens; index++) sentence[2 * tokens + index] = 1;
    for (int round = 0; round < 2; round++) {
        if (round) lseek(MARK, 0, SEEK_SET);
        failed = run(model, sentence, sentence + tokens, sentence + 2 * tokens, tokens, out);
    }
    lseek(MARK, 0, SEEK_SET);
    if (failed) fprintf(stderr, "%s\n", error());
    return failed != 0;
}
