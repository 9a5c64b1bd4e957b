#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned available(void) {
    unsigned a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (c >> 20 & 1) found |= PF_CPU_SSE42;
    if (!(c >> 27 & 1)) return found; /* OSXSAVE */
    unsigned fma = c >> 12 & 1, state, high;
    __asm__ volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
    if (fma) found |= PF_CPU_FMA;
    if (b >> 5 & 1) found |= PF_CPU_AVX2;
    unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F, DQ, CD, BW, VL */
    if ((state & 0xe6) == 0xe6 && (b & avx512) == avx512) {
        found |= PF_CPU_AVX512;
        if (c >> 11 & 1) found |= PF_CPU_AVX512_VNNI;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1) found |= PF_CPU_AVX_VNNI;
    return found;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { HAS_FP16 = 1 << 10, HAS_DOTPROD = 1 << 20, HAS_I8MM = 1 << 13 }; /* of AT_HWCAP and, the last, AT_HWCAP2: the kernel's asm/hwcap.h */

static unsigned available(void) {
    unsigned long has = getauxval(AT_HWCAP);
    unsigned found = (has & HAS_DOTPROD ? PF_CPU_DOTPROD : 0) | (has & HAS_FP16 ? PF_CPU_FP16 : 0);
    return found | (getauxval(AT_HWCAP2) & HAS_I8MM ? PF_CPU_I8MM : 0);
}
#else
static unsigned available(void) { return 0; }
#endif

unsigned pf_cpu_missing(unsigned needs) {
    unsigned missing = needs & ~available();
    return missing & -missing;
}

const char *pf_cpu_name(unsigned need) {
    switch (need) {
    case PF_CPU_SSE42: return "SSE4.2";
    case PF_CPU_AVX2: return "AVX2";
    case PF_CPU_FMA: return "FMA";
    case PF_CPU_AVX512: return "AVX-512";
    case PF_CPU_AVX_VNNI: return "AVX-VNNI";
    case PF_CPU_AVX512_VNNI: return "AVX-512 VNNI";
    case PF_CPU_DOTPROD: return "8-bit dot products (dotprod)";
    case PF_CPU_I8MM: return "8-bit matrix products (i8mm)";
    case PF_CPU_FP16: return "arithmetic on 16-bit floats (fp16)";
    default: return "an unknown feature";
    }
}
