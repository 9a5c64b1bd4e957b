/* A model's weights and tokenizer as a library of their own, for apps. */
#ifndef PF_PACKED_H
#define PF_PACKED_H

typedef struct {
    const char *weights, *weights_end, *tokenizer, *tokenizer_end;
} pf_packed;
#endif
