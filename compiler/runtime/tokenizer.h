/* WordPiece tokenization (Wu et al. 2016; https://huggingface.co/docs/tokenizers/api/models#tokenizers.models.WordPiece) from the file that
   compiler/tokenizer_table.py writes. */
#ifndef PF_TOKENIZER_H
#define PF_TOKENIZER_H
#include <stddef.h>
#include <stdint.h>

typedef struct pf_tokenizer pf_tokenizer;

/* Maps the file. NULL on failure: *why says why. */
pf_tokenizer *pf_tokenizer_open(const char *path, const char **why);
/* The same over the file's content in memory, which must outlive the tokenizer. */
pf_tokenizer *pf_tokenizer_of(const void *data, size_t bytes, const char **why);
void pf_tokenizer_close(pf_tokenizer *tokenizer);

/* [CLS] text [SEP], or [CLS] text [SEP] pair [SEP], as token ids and token types, cut to at most `limit` tokens: of two texts the longer
   one loses first. `pair` may be NULL. Text is UTF-8. How many tokens there are, or -1 where `limit` does not hold the special tokens or
   there is no memory. */
int pf_tokenizer_encode(pf_tokenizer *tokenizer, const char *text, const char *pair, int32_t *ids, int32_t *types, int limit);
#endif
