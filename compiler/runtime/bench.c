/* Times the model it is linked with: bench --weights FILE [--threads N] [--runs N] [--warmup N]; one JSON object on stdout.
   Without --runs, as many runs as two seconds take, and at least 100: others' use of the machine comes in bursts of under a second. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pocketformer.h"

enum { LEAST_RUNS = 100, MOST_RUNS = 100000 };
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
    fputs("usage: bench --weights FILE [--threads N] [--runs N] [--warmup N]\n", stderr);
    return 2;
}

int main(int count, char **words) {
    const char *weights = 0;
    int threads = 1, asked = 0, warmup = 3;
    for (int index = 1; index < count; index += 2) {
        char *end = "";
        const char *value = index + 1 < count ? words[index + 1] : 0;
        if (!value) return wrong_use();
        if (!strcmp(words[index], "--weights")) weights = value;
        else if (!strcmp(words[index], "--threads")) threads = (int)strtol(value, &end, 10);
        else if (!strcmp(words[index], "--runs")) asked = (int)strtol(value, &end, 10);
        else if (!strcmp(words[index], "--warmup")) warmup = (int)strtol(value, &end, 10);
        else return wrong_use();
        if (*end || (!strcmp(words[index], "--runs") && asked < 1)) return wrong_use();
    }
    if (!weights || threads < 1 || warmup < 0) return wrong_use();
    double load_start = now_ms();
    pf_model *model = pf_load(weights, threads);
    if (!model) {
        fprintf(stderr, "%s\n", pf_error());
        return 1;
    }
    double load_ms = now_ms() - load_start;
    int seq_len = pf_seq_len(model);
    int32_t *tokens = calloc((size_t)seq_len * 3, sizeof *tokens);
    float *out = calloc((size_t)pf_outputs(model), sizeof *out);
    double *times_ms = calloc((size_t)(asked ? asked : MOST_RUNS), sizeof *times_ms);
    if (!tokens || !out || !times_ms) {
        fputs("out of memory\n", stderr);
        return 1;
    }
    for (int index = 0; index < seq_len; index++) tokens[2 * seq_len + index] = 1;
    double sum = 0, squares = 0, begin = 0, waited_before = 0;
    int runs = 0;
    for (int run = -warmup;; run++) {
        double start = now_ms();
        if (run == 0) begin = start, waited_before = waited_ms();
        if (run >= 0 && (asked ? run == asked : (run >= LEAST_RUNS && start - begin > LEAST_MS) || run == MOST_RUNS)) {
            runs = run;
            break;
        }
        if (pf_run(model, tokens, tokens + seq_len, tokens + 2 * seq_len, out)) {
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
           "\"waited\": %.4f, \"load_ms\": %.3f, \"runs\": %d, \"warmup\": %d, \"threads\": %d, \"seq_len\": %d}\n",
           quantile(times_ms, runs, 0.5), quantile(times_ms, runs, 0.1), quantile(times_ms, runs, 0.9), times_ms[0], mean,
           sqrt(squares / runs) / mean, waited, load_ms, runs, warmup, threads, seq_len);
    pf_free(model);
    free(tokens), free(out), free(times_ms);
    return 0;
}
