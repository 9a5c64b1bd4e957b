/* Measures this machine's fp32 fused multiply-add peak: independent accumulators in registers, nothing in memory.
   peak THREADS SECONDS prints GFLOP/s of all threads together. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16, CHAINS = 24 };
#elif defined(__AVX__)
enum { LANES = 8, CHAINS = 12 };
#else
enum { LANES = 4, CHAINS = 24 };
#endif
enum { STEPS = 100000 };
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

static double seconds_wanted;
static volatile float sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler knows none of the numbers, or it would find two chains equal and compute one of them only. */
static volatile float unknown[CHAINS + 1];

#if defined(__AVX512F__)
__attribute__((min_vector_width(512))) /* clang takes halves of what processors have whose clock these once slowed down */
#endif
static float chunk(float factor) {
  vec acc[CHAINS], x, y;
  for (int lane = 0; lane < LANES; ++lane) { x[lane] = factor; y[lane] = unknown[CHAINS]; }
  for (int i = 0; i < CHAINS; ++i)
    for (int lane = 0; lane < LANES; ++lane) acc[i][lane] = unknown[i];
  for (int step = 0; step < STEPS; ++step)
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; ++i) acc[i] = acc[i] * x + y;
  float sum = 0;
  for (int i = 0; i < CHAINS; ++i)
    for (int lane = 0; lane < LANES; ++lane) sum += acc[i][lane];
  return sum;
}

/* Best of many short chunks: what the core can do when nobody else has it. */
static void *work(void *result) {
  double best = 0, end = now() + seconds_wanted;
  while (now() < end) {
    double start = now();
    sink = chunk(0.5f);
    double rate = 2.0 * STEPS * CHAINS * LANES / (now() - start) / 1e9;
    if (rate > best) best = rate;
  }
  *(double *)result = best;
  return 0;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  seconds_wanted = argc > 2 ? atof(argv[2]) : 0.5;
  if (threads < 1 || threads > 256) return 2;
  pthread_t id[256];
  double rate[256] = {0}, total = 0;
  for (int i = 0; i <= CHAINS; ++i) unknown[i] = 1e-3f * (float)(i + 1);
  for (int i = 1; i < threads; ++i) pthread_create(&id[i], 0, work, &rate[i]);
  work(&rate[0]);
  for (int i = 1; i < threads; ++i) pthread_join(id[i], 0);
  for (int i = 0; i < threads; ++i) total += rate[i];
  printf("%.1f\n", total);
  return 0;
}
