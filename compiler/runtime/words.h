/* What our programs read of their command line, and make of times. */
#ifndef PF_WORDS_H
#define PF_WORDS_H
#include <stdlib.h>
#include <time.h>

enum { PF_MOST_CORES = 64 };

/* 0, or -1 where the text is not a number of at least `least`. */
static inline int pf_number(const char *text, int least, int *result) {
    char *end;
    *result = (int)strtol(text, &end, 10);
    return *end || end == text || *result < least ? -1 : 0;
}

/* How many numbers there are between commas, 0 where something else is. */
static inline int pf_list(const char *text, int *numbers) {
    for (int count = 0; count < PF_MOST_CORES;) {
        char *end;
        numbers[count++] = (int)strtol(text, &end, 10);
        if (end == text || (*end && *end != ',')) return 0;
        if (!*end) return count;
        text = end + 1;
    }
    return 0;
}

static inline double pf_now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static inline int pf_ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Of sorted numbers, between two of them where none is at `part`. */
static inline double pf_quantile(const double *sorted, int count, double part) {
    double at = part * (count - 1);
    int below = (int)at, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}
#endif
