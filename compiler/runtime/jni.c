/* What io.pocketformer.Model (Model.java) calls. Texts and messages pass as bytes of UTF-8, since the interface's own strings are in another
   encoding, and an opened model as a Java long. What fails returns 0, and Model throws what `error` says. */
#include <stdlib.h>

#include "fail.h"
#include "java.h"
#include "packed.h"
#include "pocketformer.h"

typedef struct {
    char *bytes;
    size_t room;
} buffer;

typedef struct {
    pf_model *model;
    pf_tokenizer *tokenizer;
    float *scores;
    buffer texts[2]; /* kept from one text to the next */
} opened_model;

/* The array's bytes and a 0, in a buffer that grows; 0 where there is no memory. */
static const char *take(pf_java_env *env, pf_java_object array, buffer *into) {
    size_t length = (size_t)(*env)->GetArrayLength(env, array);
    if (length >= into->room) {
        char *bytes = realloc(into->bytes, length + 1);
        if (!bytes) {
            pf_fail("not enough memory for a text of %zu bytes", length);
            return 0;
        }
        into->bytes = bytes, into->room = length + 1;
    }
    (*env)->GetByteArrayRegion(env, array, 0, (int32_t)length, (int8_t *)into->bytes);
    into->bytes[length] = 0;
    return into->bytes;
}

static void release(opened_model *opened) {
    if (!opened) return;
    pf_free(opened->model);
    pf_free_tokenizer(opened->tokenizer);
    free(opened->scores);
    free(opened->texts[0].bytes);
    free(opened->texts[1].bytes);
    free(opened);
}

/* As a Java long; 0 where it is not whole. */
static int64_t whole(opened_model *opened) {
    if (opened->model && opened->tokenizer) {
        opened->scores = calloc((size_t)pf_outputs(opened->model), sizeof *opened->scores);
        if (opened->scores) return (int64_t)(intptr_t)opened;
        pf_fail("out of memory");
    }
    release(opened);
    return 0;
}

int64_t Java_io_pocketformer_Model_openPacked(pf_java_env *env, pf_java_object class, int64_t address, int32_t threads) {
    const pf_packed *packed = (const pf_packed *)(intptr_t)address;
    opened_model *opened = calloc(1, sizeof *opened);
    (void)env, (void)class;
    if (!opened) {
        pf_fail("out of memory");
        return 0;
    }
    opened->model = pf_load_memory(packed->weights, (size_t)(packed->weights_end - packed->weights), threads);
    if (opened->model)
        opened->tokenizer = pf_load_tokenizer_memory(packed->tokenizer, (size_t)(packed->tokenizer_end - packed->tokenizer));
    return whole(opened);
}

int64_t Java_io_pocketformer_Model_openFiles(pf_java_env *env, pf_java_object class, pf_java_object weights, pf_java_object tokenizer,
                                             int32_t threads) {
    opened_model *opened = calloc(1, sizeof *opened);
    (void)class;
    if (!opened) {
        pf_fail("out of memory");
        return 0;
    }
    const char *weights_path = take(env, weights, &opened->texts[0]);
    const char *tokenizer_path = take(env, tokenizer, &opened->texts[1]);
    if (weights_path && tokenizer_path) opened->model = pf_load(weights_path, threads);
    if (opened->model) opened->tokenizer = pf_load_tokenizer(tokenizer_path);
    return whole(opened);
}

/* `pair` may be null. */
pf_java_object Java_io_pocketformer_Model_answer(pf_java_env *env, pf_java_object class, int64_t address, pf_java_object text,
                                                 pf_java_object pair) {
    opened_model *opened = (opened_model *)(intptr_t)address;
    int32_t outputs = pf_outputs(opened->model);
    const char *first = take(env, text, &opened->texts[0]);
    const char *second = pair ? take(env, pair, &opened->texts[1]) : 0;
    (void)class;
    if (!first || (pair && !second)) return 0;
    if (pf_run_text(opened->model, opened->tokenizer, first, second, opened->scores)) return 0;
    pf_java_object scores = (*env)->NewFloatArray(env, outputs);
    if (scores) (*env)->SetFloatArrayRegion(env, scores, 0, outputs, opened->scores);
    return scores;
}

pf_java_object Java_io_pocketformer_Model_error(pf_java_env *env, pf_java_object class) {
    const char *message = pf_error();
    int32_t length = 0;
    (void)class;
    while (message[length]) length++;
    pf_java_object bytes = (*env)->NewByteArray(env, length);
    if (bytes) (*env)->SetByteArrayRegion(env, bytes, 0, length, (const int8_t *)message);
    return bytes;
}

void Java_io_pocketformer_Model_release(pf_java_env *env, pf_java_object class, int64_t address) {
    (void)env, (void)class;
    release((opened_model *)(intptr_t)address);
}
