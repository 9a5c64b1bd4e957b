/* Times the model it is linked with on a sentence of --tokens tokens, the longest that it takes unless said; one JSON object on stdout.
   Without --runs, as many runs as two seconds take, and at least 100: others' use of the machine comes in bursts of under a second.
   --profile adds the median microseconds of each kernel call, in order.
   --gpu times it on the GPU, in fp32 or the precision that follows; where there is none, on the CPU, and says so.
   With --inputs it answers sentences instead: int32 all, their number n and length t, then n x t token ids, token types and attention
   masks; n x pf_outputs() floats go to --outputs. With --text it answers that. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pocketformer.h"
#include "words.h"

enum { LEAST_RUNS = 100, MOST_RUNS = 100000, MOST_PROFILED = 1000 };
static const double LEAST_MS = 2000;

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

/* The most memory that was resident; 0 where the kernel does not tell. What getrusage has would be the starting process's, if that was more. */
static double peak_memory_mb(void) {
    char line[128];
    unsigned long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %lu", &kilobytes) != 1) {}
    if (file) fclose(file);
    return kilobytes / 1024.0;
}

static int wrong_use(void) {
    fputs("usage: bench --weights FILE [--tokens N] [--threads N] [--cores N,N,...] [--runs N] [--warmup N] [--profile] [--gpu [fp16]]\n"
          "       bench --weights FILE --inputs FILE --outputs FILE [--threads N] [--cores N,N,...] [--gpu [fp16]]\n"
          "       bench --weights FILE --tokenizer FILE --text TEXT [--pair TEXT] [--threads N] [--cores N,N,...] [--gpu [fp16]]\n",
          stderr);
    return 2;
}

/* 1, with a message, unless all sentences were answered and the answers written. */
static int answer(pf_model *model, const char *inputs, const char *outputs) {
    int32_t sizes[2], *ids = 0; /* sentences, tokens each */
    float *answers = 0;
    size_t numbers = 0, results = 0;
    FILE *file = fopen(inputs, "rb");
    int ready = file && fread(sizes, sizeof *sizes, 2, file) == 2 && sizes[0] > 0 && sizes[1] > 0;
    if (ready) {
        numbers = (size_t)sizes[0] * (size_t)sizes[1], results = (size_t)sizes[0] * (size_t)pf_outputs(model);
        ids = calloc(numbers * 3, sizeof *ids), answers = calloc(results, sizeof *answers);
        ready = ids && answers && fread(ids, sizeof *ids, numbers * 3, file) == numbers * 3;
    }
    if (file) fclose(file);
    if (!ready) fprintf(stderr, "%s holds no sentences\n", inputs);
    for (int32_t row = 0; ready && row < sizes[0]; row++) {
        const int32_t *sentence = ids + (size_t)row * (size_t)sizes[1];
        ready = !pf_run(model, sentence, sentence + numbers, sentence + 2 * numbers, sizes[1], answers + (size_t)row * (size_t)pf_outputs(model));
        if (!ready) fprintf(stderr, "%s\n", pf_error());
    }
    if (ready) {
        file = fopen(outputs, "wb");
        ready = file && fwrite(answers, sizeof *answers, results, file) == results;
        if (file && fclose(file)) ready = 0;
        if (!ready) fprintf(stderr, "cannot write %s\n", outputs);
    }
    free(ids), free(answers);
    return !ready;
}

/* 1, with a message, unless the text was answered; one JSON object on stdout. */
static int answer_text(pf_model *model, const char *path, const char *text, const char *pair) {
    pf_tokenizer *tokenizer = pf_load_tokenizer(path);
    float *out = calloc((size_t)pf_outputs(model), sizeof *out);
    double start = pf_now_ms();
    int failed = !tokenizer || !out || pf_run_text(model, tokenizer, text, pair, out);
    double taken = pf_now_ms() - start;
    if (failed) fprintf(stderr, "%s\n", pf_error());
    else printf("{\"scores\": [");
    for (int index = 0; !failed && index < pf_outputs(model); index++) printf("%s%.9g", index ? ", " : "", out[index]);
    if (!failed) printf("], \"latency_ms\": %.3f}\n", taken);
    pf_free_tokenizer(tokenizer);
    free(out);
    return failed;
}

/* A static program cannot open the GPU's library: the other one, which lies beside it, goes on. 0 where this is it, -1 where it does not
   start. */
static int become_gpu_bench(char **words) {
    static const char name[] = "bench-gpu";
    const char *slash = strrchr(words[0], '/'), *own = slash ? slash + 1 : words[0];
    char path[4096];
    if (!strcmp(own, name)) return 0;
    snprintf(path, sizeof path, "%.*s%s", (int)(own - words[0]), words[0], name);
    words[0] = path;
    execv(path, words);
    fprintf(stderr, "the CPU runs it: %s does not start here; compile --gpu makes it\n", path);
    return -1;
}

int main(int count, char **words) {
    const char *weights = 0, *inputs = 0, *outputs = 0, *tokenizer = 0, *text = 0, *pair = 0, *gpu = 0;
    int threads = 0, asked = 0, warmup = 3, tokens = 0, core_count = 0, profile = 0, cores[PF_MOST_CORES];
    for (int index = 1; index < count; index += 2) {
        const char *name = words[index], *value = index + 1 < count ? words[index + 1] : 0;
        int wrong = 0;
        if (!strcmp(name, "--profile")) {
            profile = 1, index--;
            continue;
        }
        if (!strcmp(name, "--gpu")) {
            int given = value && strncmp(value, "--", 2);
            gpu = given ? value : "fp32";
            index -= !given;
            continue;
        }
        if (!value) return wrong_use();
        if (!strcmp(name, "--weights")) weights = value;
        else if (!strcmp(name, "--inputs")) inputs = value;
        else if (!strcmp(name, "--outputs")) outputs = value;
        else if (!strcmp(name, "--tokenizer")) tokenizer = value;
        else if (!strcmp(name, "--text")) text = value;
        else if (!strcmp(name, "--pair")) pair = value;
        else if (!strcmp(name, "--tokens")) wrong = pf_number(value, 1, &tokens);
        else if (!strcmp(name, "--threads")) wrong = pf_number(value, 1, &threads);
        else if (!strcmp(name, "--cores")) wrong = !(core_count = pf_list(value, cores));
        else if (!strcmp(name, "--runs")) wrong = pf_number(value, 1, &asked);
        else if (!strcmp(name, "--warmup")) wrong = pf_number(value, 0, &warmup);
        else wrong = 1;
        if (wrong) return wrong_use();
    }
    if (!threads) threads = core_count ? core_count : 1;
    if (!weights || !inputs != !outputs || !text != !tokenizer || (pair && !text) || (core_count && threads > core_count)) return wrong_use();
    if (gpu && become_gpu_bench(words)) gpu = 0;
    double load_start = pf_now_ms();
    pf_model *model = core_count ? pf_load_on(weights, threads, cores) : pf_load(weights, threads);
    if (!model) {
        fprintf(stderr, "%s\n", pf_error());
        return 1;
    }
    if (gpu && pf_use_gpu(model, gpu)) {
        fprintf(stderr, "the CPU runs it: %s\n", pf_error());
        gpu = 0;
    }
    double load_ms = pf_now_ms() - load_start;
    if (inputs || text) {
        int status = text ? answer_text(model, tokenizer, text, pair) : answer(model, inputs, outputs);
        pf_free(model);
        return status;
    }
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
    int calls = profile && !gpu ? pf_calls(model, tokens) : 0;
    double *now_us = calloc((size_t)calls + 1, sizeof *now_us), *profiled_us = calloc((size_t)calls * MOST_PROFILED + 1, sizeof *profiled_us);
    if (!sentence || !out || !times_ms || !now_us || !profiled_us) {
        fputs("out of memory\n", stderr);
        return 1;
    }
    for (int index = 0; index < tokens; index++) sentence[2 * tokens + index] = 1;
    if (calls) pf_profile(model, now_us);
    double sum = 0, squares = 0, begin = 0, waited_before = 0;
    int runs = 0;
    for (int run = -warmup;; run++) {
        double start = pf_now_ms();
        if (run == 0) begin = start, waited_before = waited_ms();
        if (run >= 0 && (asked ? run == asked : (run >= LEAST_RUNS && start - begin > LEAST_MS) || run == MOST_RUNS)) {
            runs = run;
            break;
        }
        if (pf_run(model, sentence, sentence + tokens, sentence + 2 * tokens, tokens, out)) {
            fprintf(stderr, "%s\n", pf_error());
            return 1;
        }
        if (run >= 0) times_ms[run] = pf_now_ms() - start;
        for (int call = 0; run >= 0 && run < MOST_PROFILED && call < calls; call++) profiled_us[call * MOST_PROFILED + run] = now_us[call];
    }
    double waited = waited_before < 0 ? 0 : (waited_ms() - waited_before) / (pf_now_ms() - begin) / threads;
    for (int run = 0; run < runs; run++) sum += times_ms[run];
    double mean = sum / runs;
    for (int run = 0; run < runs; run++) squares += (times_ms[run] - mean) * (times_ms[run] - mean);
    qsort(times_ms, (size_t)runs, sizeof *times_ms, pf_ascending);
    printf("{\"median_ms\": %.6f, \"p10_ms\": %.6f, \"p90_ms\": %.6f, \"min_ms\": %.6f, \"mean_ms\": %.6f, \"cv\": %.6f, "
           "\"waited\": %.4f, \"load_ms\": %.3f, \"peak_memory_mb\": %.1f, \"runs\": %d, \"warmup\": %d, \"threads\": %d, \"tokens\": %d, \"seq_len\": %d, \"instructions\": \"%s\"",
           pf_quantile(times_ms, runs, 0.5), pf_quantile(times_ms, runs, 0.1), pf_quantile(times_ms, runs, 0.9), times_ms[0], mean,
           sqrt(squares / runs) / mean, waited, load_ms, peak_memory_mb(), runs, warmup, threads, tokens, seq_lens[taken],
           pf_instructions(model));
    for (int call = 0, kept = runs < MOST_PROFILED ? runs : MOST_PROFILED; call < calls; call++) {
        double *own = profiled_us + call * MOST_PROFILED;
        qsort(own, (size_t)kept, sizeof *own, pf_ascending);
        printf("%s%.3f", call ? ", " : ", \"calls_us\": [", pf_quantile(own, kept, 0.5));
    }
    puts(calls ? "]}" : "}");
    pf_free(model);
    free(sentence), free(out), free(times_ms), free(now_us), free(profiled_us);
    return 0;
}
