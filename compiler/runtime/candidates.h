/* What the compiler writes of kernels that are to be timed: one entry for each tile that a block may have. */
#ifndef PF_CANDIDATES_H
#define PF_CANDIDATES_H
#include <stddef.h>
#include "tvm_abi.h"

enum { PF_OPERAND_AXES = 4 };

typedef struct {
    int64_t shape[PF_OPERAND_AXES];
    uint8_t axes, type_code, type_bits;
} pf_operand;

typedef struct {
    const char *name;
    pf_kernel kernel;
    int tasks;
    int weight; /* the operand that is weights, which no cache has; -1: none */
    int count;
    const pf_operand *operands;
} pf_candidate;

typedef struct {
    unsigned cpu_needs;
    size_t scratch_bytes; /* of one task, the most that a candidate takes */
    int count;
    const pf_candidate *candidates;
} pf_candidates;

extern const pf_candidates pf_the_candidates;
#endif
