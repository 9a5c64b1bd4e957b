/* A model's library as they were before models had several lengths: `pf_run` takes sentences padded to `pf_seq_len`, and there is no
   `pf_seq_lens`. It calls today's library, which lies beside it as several.so. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

typedef int (*run)(void *, const int32_t *, const int32_t *, const int32_t *, int, float *);

static void *today(const char *name) {
    static void *library;
    Dl_info here;
    char path[4096];
    if (!library && dladdr((void *)today, &here)) {
        strcpy(path, here.dli_fname);
        strcpy(strrchr(path, '/') + 1, "several.so");
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return dlsym(library, name);
}

int pf_seq_len(const void *model) { return ((int (*)(const void *))today("pf_seq_len"))(model); }
int pf_outputs(const void *model) { return ((int (*)(const void *))today("pf_outputs"))(model); }
const char *pf_error(void) { return ((const char *(*)(void))today("pf_error"))(); }
void *pf_load(const char *weights, int threads) { return ((void *(*)(const char *, int))today("pf_load"))(weights, threads); }
void pf_free(void *model) { ((void (*)(void *))today("pf_free"))(model); }
int pf_run(void *model, const int32_t *input_ids, const int32_t *token_type_ids, const int32_t *attention_mask, float *out) {
    return ((run)today("pf_run"))(model, input_ids, token_type_ids, attention_mask, pf_seq_len(model), out);
}
