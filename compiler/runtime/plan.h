/* What the compiler writes for one model: tables that say where tensors lie and which kernels run, in order, for each of the sequence
   lengths that it was compiled for. All lengths read one weights file and share one arena. */
#ifndef PF_PLAN_H
#define PF_PLAN_H
#include "tvm_abi.h"

enum { PF_MAX_AXES = 3, PF_MAX_ARGUMENTS = 24, PF_DIGEST_BYTES = 32, PF_WEIGHTS_HEADER_BYTES = 64 };
enum { PF_IN_ARENA, PF_IN_WEIGHTS };

typedef struct {
    uint64_t offset; /* bytes */
    int64_t shape[PF_MAX_AXES];
    uint8_t place, axes, type_code, type_bits;
} pf_place;

typedef struct {
    pf_kernel kernel;
    const char *name;
    uint16_t tasks;  /* rounds of its parallel loop */
    uint16_t shared; /* among threads; 0: too little work to be worth another's */
    uint16_t count;
    uint16_t tensors[PF_MAX_ARGUMENTS];
} pf_call;

/* For sentences of up to seq_len tokens. */
typedef struct {
    int seq_len, rows;
    int tensor_count, call_count;
    const pf_place *tensors;
    const pf_call *calls;
    uint16_t input_ids, token_type_ids, attention_mask, output; /* tensors */
} pf_program;

/* The programs in the instructions of one kind of processor. */
typedef struct {
    const char *name;
    unsigned cpu_needs;
    const pf_program *programs; /* the shortest first */
} pf_level;

typedef struct {
    int outputs;
    int words, types; /* ids must be below */
    uint64_t arena_bytes, weights_bytes, scratch_bytes; /* scratch: of one task */
    int level_count;
    const pf_level *levels; /* the best first, the one that asks the least last */
    int program_count;      /* of each level */
    const int *seq_lens;    /* theirs */
    uint8_t digest[PF_DIGEST_BYTES]; /* of weights.bin, also in its header: a file of another model is refused */
} pf_plan;

extern const pf_plan pf_the_plan;
#endif
