/* From text to scores. */
#include <stdlib.h>

#include "fail.h"
#include "pocketformer.h"
#include "tokenizer.h"

pf_tokenizer *pf_load_tokenizer(const char *path) {
    const char *why;
    pf_tokenizer *tokenizer = pf_tokenizer_open(path, &why);
    if (!tokenizer) pf_fail("tokenizer %s: %s", path, why);
    return tokenizer;
}

pf_tokenizer *pf_load_tokenizer_memory(const void *data, size_t bytes) {
    const char *why;
    pf_tokenizer *tokenizer = pf_tokenizer_of(data, bytes, &why);
    if (!tokenizer) pf_fail("tokenizer: %s", why);
    return tokenizer;
}

void pf_free_tokenizer(pf_tokenizer *tokenizer) { pf_tokenizer_close(tokenizer); }

int pf_run_text(pf_model *model, pf_tokenizer *tokenizer, const char *text, const char *pair, float *out) {
    int limit = pf_seq_len(model), status = -1;
    int32_t *numbers = calloc((size_t)limit * 3, sizeof *numbers);
    int32_t *types = numbers + limit, *mask = types + limit;
    int count = numbers ? pf_tokenizer_encode(tokenizer, text, pair, numbers, types, limit) : -1;
    if (count < 0) {
        pf_fail("not enough memory for a text, or a model of %d tokens at most has no room for it", limit);
    } else {
        for (int index = 0; index < count; index++) mask[index] = 1;
        status = pf_run(model, numbers, types, mask, count, out);
    }
    free(numbers);
    return status;
}
