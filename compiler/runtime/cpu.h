/* Whether this CPU has what the kernels were compiled for: without it they would end the process with SIGILL. */
#ifndef PF_CPU_H
#define PF_CPU_H

enum {
    PF_CPU_AVX2 = 1,
    PF_CPU_FMA = 2,
    PF_CPU_AVX512 = 4,
    PF_CPU_AVX_VNNI = 8,
    PF_CPU_AVX512_VNNI = 16,
    PF_CPU_SSE42 = 32,
    PF_CPU_DOTPROD = 64,
    PF_CPU_FP16 = 128,
    PF_CPU_I8MM = 256,
};

/* The first missing one of `needs`, or 0. */
unsigned pf_cpu_missing(unsigned needs);
const char *pf_cpu_name(unsigned need);
#endif
