/* A compiled Pocketformer model: load it once, run it as often as you like. One model may be run by one thread at a time. */
#ifndef POCKETFORMER_H
#define POCKETFORMER_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_model pf_model;

/* Maps the weights file and starts threads - 1 workers. NULL on failure: pf_error() says why. */
pf_model *pf_load(const char *weights_path, int threads);

/* One sentence of `length` tokens, 1 to pf_seq_len(), which need no padding; attention_mask is 1 for real tokens. The model has kernels
   for a few lengths over one copy of the weights, and takes the shortest that fits: fewer tokens take less time. Writes pf_outputs()
   numbers. 0, or -1 on failure: pf_error() says why. Allocates nothing. */
int pf_run(pf_model *model, const int32_t *input_ids, const int32_t *token_type_ids, const int32_t *attention_mask, int length,
           float *out);

/* As pf_load, with each thread kept to a core of its own: cores[0] is the calling thread's, which is to be the one that runs the model,
   the other threads - 1 are the workers'. For chips whose cores differ: give equal ones. */
pf_model *pf_load_on(const char *weights_path, int threads, const int *cores);

/* As pf_load, for a weights file's content in memory, at a multiple of 64 bytes. It is not copied and must outlive the model. */
pf_model *pf_load_memory(const void *weights, size_t bytes, int threads);
/* Lets this device's GPU run the model from now on, through its OpenCL library, in "fp32" or "fp16" (weights are halved when they are
   copied); NULL goes back to the CPU. Takes a second or more: the GPU's driver compiles the kernels. 0; or -1 where there is no OpenCL, no
   GPU, or the model was compiled without code for one: pf_error() says which, and the CPU goes on. In an Android app the manifest needs
   <uses-native-library android:name="libOpenCL.so" android:required="false"/>, and the same for libOpenCL-pixel.so. */
int pf_use_gpu(pf_model *model, const char *precision);

/* From now on pf_run on the CPU also writes how many microseconds each kernel call took, in order; NULL ends that. Room for
   pf_calls(model, tokens) of the longest sentence that is run. */
void pf_profile(pf_model *model, double *times_us);
/* Kernel calls for a sentence of that many tokens, 1 to pf_seq_len(). */
int pf_calls(const pf_model *model, int tokens);

void pf_free(pf_model *model);

/* Text instead of token ids: a bundle's tokenizer/tokenizer.bin. NULL on failure: pf_error() says why. */
typedef struct pf_tokenizer pf_tokenizer;
pf_tokenizer *pf_load_tokenizer(const char *path);
/* The same for the file's content in memory, at a multiple of 4 bytes. It is not copied and must outlive the tokenizer. */
pf_tokenizer *pf_load_tokenizer_memory(const void *data, size_t bytes);
void pf_free_tokenizer(pf_tokenizer *tokenizer);

/* As pf_run, for UTF-8 text; `pair` is the second text of tasks on two, else NULL. What is longer than pf_seq_len() tokens is cut. */
int pf_run_text(pf_model *model, pf_tokenizer *tokenizer, const char *text, const char *pair, float *out);

/* The most tokens that a sentence may have. */
int pf_seq_len(const pf_model *model);
/* The lengths that there are kernels for, ascending, the last of them pf_seq_len(); *count says how many. They live with the model. */
const int *pf_seq_lens(const pf_model *model, int *count);
int pf_outputs(const pf_model *model);
/* The instruction set that was chosen for this processor, or the GPU that runs the model. It lives with the model. */
const char *pf_instructions(const pf_model *model);

/* The calling thread's last error, one line. */
const char *pf_error(void);

#ifdef __cplusplus
}
#endif
#endif
