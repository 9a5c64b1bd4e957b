/* As an app does: opens the library by path, runs the sentences of a file, prints the answers, a number a line. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void *load_function(const char *, int);
typedef int count_function(void *), run_function(void *, const int32_t *, const int32_t *, const int32_t *, int, float *);
typedef const char *error_function(void);

int main(int count, char **words) {
    void *library = count == 4 ? dlopen(words[1], RTLD_NOW) : 0;
    if (!library) return fprintf(stderr, "%s\n", count == 4 ? dlerror() : "wrong use"), 1;
    load_function *load = (load_function *)dlsym(library, "pf_load");
    count_function *outputs = (count_function *)dlsym(library, "pf_outputs");
    run_function *run = (run_function *)dlsym(library, "pf_run");
    error_function *error = (error_function *)dlsym(library, "pf_error");
    void *model = load(words[2], 2);
    if (!model) return fprintf(stderr, "%s\n", error()), 1;
    int32_t sizes[2];
    FILE *file = fopen(words[3], "rb");
    if (!file || fread(sizes, 4, 2, file) != 2) return 1;
    size_t numbers = (size_t)(sizes[0] * sizes[1]);
    int32_t *ids = calloc(numbers * 3, 4);
    float *out = calloc((size_t)outputs(model), sizeof *out);
    if (fread(ids, 4, numbers * 3, file) != numbers * 3) return 1;
    for (int row = 0; row < sizes[0]; row++) {
        int32_t *sentence = ids + row * sizes[1];
        if (run(model, sentence, sentence + numbers, sentence + 2 * numbers, sizes[1], out)) return fprintf(stderr, "%s\n", error()), 1;
        for (int index = 0; index < outputs(model); index++) printf("%.9g\n", out[index]);
    }
    return 0;
}
