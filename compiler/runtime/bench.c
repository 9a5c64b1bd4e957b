/* Times the model it is linked with on a sentence of --tokens tokens, the longest that it takes unless said; one JSON object on stdout.
   Without --runs, as many runs as two seconds take, and at least 100: others' use of the machine comes in bursts of under a second. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pocketformer.h"

enum { LEAST_RUNS = 100, MOST_RUNS = 100000, MOST_CORES = 64 };
static const double LEAST_MS = 2000;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* Milliseconds that this process's threads were ready to run while others had their cores; -1 where the kernel does not tell. */
static double waited_ms(void) {
    DIR *folder = opendir("/proc/self/task");
    if (!folder) return -1;
    double total = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[64];
        unsigned long long ran, waited;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/schedstat", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? 0 : fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%llu %llu", &ran, &waited) == 2) total += waited / 1e6;
        else total = -1;
        fclose(file);
        if (total < 0) break;
    }
    closedir(folder);
    return total;
}

static int ascending(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static double quantile(const double *sorted, int count, double part) {
    double at = part * (count - 1);
    int below = (int)at, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

static int wrong_use(void) {
    fputs("usage: bench --weights FILE [--tokens N] [--threads N] [--cores N,N,...] [--runs N] [--warmup N]\n", stderr);
    return 2;
}

/* 0, or -1 where the text is not a number of at least `least`. */
static int number(const char *text, int least, int *result) {
    char *end;
    *result = (int)strtol(text, &end, 10);
    return *end || end == text || *result < least ? -1 : 0;
}

/* How many numbers there are between commas, 0 where something else is. */
static int list(const char *text, int *numbers) {
    for (int count = 0; count < MOST_CORES;) {
        char *end;
        numbers[count++] = (int)strtol(text, &end, 10);
        if (end == text || (*end && *end != ',')) return 0;
        if (!*end) return count;
        text = end + 1;
    }
    return 0;
}

int main(int count, char **words) {
    const char *weights = 0;
    int threads = 0, asked = 0, warmup = 3, tokens = 0, core_count = 0, cores[MOST_CORES];
    for (int index = 1; index < count; index += 2) {
        const char *name = words[index], *value = index + 1 < count ? words[index + 1] : 0;
        int wrong = 0;
        if (!value) return wrong_use();
        if (!strcmp(name, "--weights")) weights = value;
        else if (!strcmp(name, "--tokens")) wrong = number(value, 1, &tokens);
        else if (!strcmp(name, "--threads")) wrong = number(value, 1, &threads);
        else if (!strcmp(name, "--cores")) wrong = !(core_count = list(value, cores));
        else if (!strcmp(name, "--runs")) wrong = number(value, 1, &asked);
        else if (!strcmp(name, "--warmup")) wrong = number(value, 0, &warmup);
        else wrong = 1;
        if (wrong) return wrong_use();
    }
    if (!threads) threads = core_count ? core_count : 1;
    if (!weights || (core_count && threads > core_count)) return wrong_use();
    double load_start = now_ms();
    pf_model *model = core_count ? pf_load_on(weights, threads, cores) : pf_load(weights, threads);
    if (!model) {
        fprintf(stderr, "%s\n", pf_error());
        return 1;
    }
    double load_ms = now_ms() - load_start;
    int lengths = 0, taken = 0;
    const int *seq_lens = pf_seq_lens(model, &lengths);
    if (!tokens) tokens = pf_seq_len(model);
    if (tokens > pf_seq_len(model)) {
        fprintf(stderr, "--tokens %d: this model takes at most %d\n", tokens, pf_seq_len(model));
        return 1;
    }
    while (seq_lens[taken] < tokens) taken++;
    int32_t *sentence = calloc((size_t)tokens * 3, sizeof *sentence);
    float *out = calloc((size_t)pf_outputs(model), sizeof *out);
    double *times_ms = calloc((size_t)(asked ? asked : MOST_RUNS), sizeof *times_ms);
    if (!sentence || !out || !times_ms) {
        fputs("out of memory\n", stderr);
        return 1;
    }
    for (int index = 0; index < tokens; index++) sentence[2 * tokens + index] = 1;
    double sum = 0, squares = 0, begin = 0, waited_before = 0;
    int runs = 0;
    for (int run = -warmup;; run++) {
        double start = now_ms();
        if (run == 0) begin = start, waited_before = waited_ms();
        if (run >= 0 && (asked ? run == asked : (run >= LEAST_RUNS && start - begin > LEAST_MS) || run == MOST_RUNS)) {
            runs = run;
            break;
        }
        if (pf_run(model, sentence, sentence + tokens, sentence + 2 * tokens, tokens, out)) {
            fprintf(stderr, "%s\n", pf_error());
            return 1;
        }
        if (run >= 0) times_ms[run] = now_ms() - start;
    }
    double waited = waited_before < 0 ? 0 : (waited_ms() - waited_before) / (now_ms() - begin) / threads;
    for (int run = 0; run < runs; run++) sum += times_ms[run];
    double mean = sum / runs;
    for (int run = 0; run < runs; run++) squares += (times_ms[run] - mean) * (times_ms[run] - mean);
    qsort(times_ms, (size_t)runs, sizeof *times_ms, ascending);
    printf("{\"median_ms\": %.6f, \"p10_ms\": %.6f, \"p90_ms\": %.6f, \"min_ms\": %.6f, \"mean_ms\": %.6f, \"cv\": %.6f, "
           "\"waited\": %.4f, \"load_ms\": %.3f, \"runs\": %d, \"warmup\": %d, \"threads\": %d, \"tokens\": %d, \"seq_len\": %d}\n",
           quantile(times_ms, runs, 0.5), quantile(times_ms, runs, 0.1), quantile(times_ms, runs, 0.9), times_ms[0], mean,
           sqrt(squares / runs) / mean, waited, load_ms, runs, warmup, threads, tokens, seq_lens[taken]);
    pf_free(model);
    free(sentence), free(out), free(times_ms);
    return 0;
}
