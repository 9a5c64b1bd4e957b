/* Rounds are handed out one at a time by an atomic counter, so that a thread the system holds up delays only its own round.
   Workers spin between kernels, which follow each other within microseconds, and sleep on a futex between runs. */
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS_BEFORE_SLEEP = 20000, SPINS_BEFORE_YIELD = 4000, STACK_BYTES = 256 << 10, LINE = 64, ERROR_BYTES = 256 };

/* A ticket holds the kernel's number, its count of rounds and the next round: read and taken in one atomic step, so that a late
   worker can never take a round of one kernel for a round of another. */
#define TICKET(launch, rounds) ((uint64_t)(launch) << 32 | (uint64_t)(rounds) << 16)
#define LAUNCH(ticket) ((uint32_t)((ticket) >> 32))
#define ROUNDS(ticket) ((uint32_t)((ticket) >> 16 & 0xffff))
#define ROUND(ticket) ((uint32_t)((ticket) & 0xffff))

typedef struct {
    pf_pool *pool;
    char *scratch;
    size_t used;
    _Atomic int thread; /* the kernel's number for it, 0 until it runs: bionic has no pthread_setaffinity_np */
} worker;

struct pf_pool {
    _Alignas(LINE) _Atomic uint64_t ticket;
    _Alignas(LINE) _Atomic int pending; /* rounds not done */
    _Atomic int failed;
    _Alignas(LINE) _Atomic uint32_t epoch; /* the futex: changes when sleepers must look again */
    _Atomic int sleeping;
    _Atomic int stop;
    pf_task task;
    void *closure;
    int tasks;
    uint32_t launch;
    int threads, started, alone;
    size_t scratch_bytes;
    char *scratch;
    worker workers[PF_MAX_THREADS];
    pthread_t handles[PF_MAX_THREADS];
};

static _Thread_local worker *self;
static _Thread_local char error[ERROR_BYTES];

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_rounds(pf_pool *pool) {
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        do {
            if (ROUND(ticket) >= ROUNDS(ticket)) return;
        } while (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire));
        /* Owning an unfinished round keeps this launch alive: its task and closure cannot change under us. */
        pf_group group = {0, (int32_t)ROUNDS(ticket)};
        if (pool->task((int)ROUND(ticket), &group, pool->closure)) atomic_store_explicit(&pool->failed, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&pool->pending, 1, memory_order_release);
    }
}

static void *work(void *argument) {
    self = argument;
    pf_pool *pool = self->pool;
    atomic_store(&self->thread, (int)syscall(SYS_gettid));
    uint32_t seen = 0;
    int spins = 0;
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        if (LAUNCH(ticket) != seen) {
            seen = LAUNCH(ticket);
            take_rounds(pool);
            spins = 0;
        } else if (atomic_load_explicit(&pool->stop, memory_order_acquire)) {
            return 0;
        } else if (++spins < SPINS_BEFORE_SLEEP) {
            relax();
        } else {
            uint32_t epoch = atomic_load(&pool->epoch);
            atomic_fetch_add(&pool->sleeping, 1);
            /* Looked at again after we count as sleeping: whoever launches after this wakes us. */
            if (LAUNCH(atomic_load(&pool->ticket)) == seen && !atomic_load(&pool->stop))
                syscall(SYS_futex, &pool->epoch, FUTEX_WAIT_PRIVATE, epoch, 0, 0, 0);
            atomic_fetch_sub(&pool->sleeping, 1);
            spins = 0;
        }
    }
}

void pf_pool_wake(pf_pool *pool) {
    if (atomic_load(&pool->sleeping)) {
        atomic_fetch_add(&pool->epoch, 1);
        syscall(SYS_futex, &pool->epoch, FUTEX_WAKE_PRIVATE, PF_MAX_THREADS, 0, 0, 0);
    }
}

pf_pool *pf_pool_start(int threads, size_t scratch_bytes) {
    if (threads < 1) threads = 1;
    if (threads > PF_MAX_THREADS) threads = PF_MAX_THREADS;
    pf_pool *pool = aligned_alloc(LINE, (sizeof *pool + LINE - 1) / LINE * LINE);
    if (!pool) return 0;
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    pool->scratch_bytes = (scratch_bytes + LINE - 1) / LINE * LINE + LINE;
    pool->scratch = aligned_alloc(LINE, pool->scratch_bytes * (size_t)threads);
    if (!pool->scratch) {
        free(pool);
        return 0;
    }
    for (int index = 0; index < threads; index++)
        pool->workers[index] = (worker){pool, pool->scratch + pool->scratch_bytes * (size_t)index, 0, 0};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (int index = 1; index < threads; index++, pool->started++)
        if (pthread_create(&pool->handles[index], &attributes, work, &pool->workers[index])) break;
    pthread_attr_destroy(&attributes);
    if (pool->started < threads - 1) {
        pf_pool_stop(pool);
        return 0;
    }
    return pool;
}

void pf_pool_stop(pf_pool *pool) {
    atomic_store_explicit(&pool->stop, 1, memory_order_seq_cst);
    pf_pool_wake(pool);
    for (int index = 1; index <= pool->started; index++) pthread_join(pool->handles[index], 0);
    free(pool->scratch);
    free(pool);
}

int pf_pool_pin(pf_pool *pool, const int *cores) {
    for (int index = 0; index <= pool->started; index++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        if (cores[index] < 0 || cores[index] >= CPU_SETSIZE) return -1;
        CPU_SET(cores[index], &one);
        int thread = 0; /* the caller's */
        while (index && !(thread = atomic_load(&pool->workers[index].thread))) sched_yield();
        if (sched_setaffinity(thread, sizeof one, &one)) return -1;
    }
    return 0;
}

int pf_pool_run(pf_pool *pool, pf_kernel kernel, const pf_argument *arguments, int count, int tasks) {
    pf_argument result = {0};
    self = &pool->workers[0];
    pool->tasks = tasks;
    error[0] = 0;
    return kernel(0, arguments, count, &result);
}

int pf_pool_run_alone(pf_pool *pool, pf_kernel kernel, const pf_argument *arguments, int count, int tasks) {
    pool->alone = 1;
    int status = pf_pool_run(pool, kernel, arguments, count, tasks);
    pool->alone = 0;
    return status;
}

const char *pf_kernel_error(void) { return error[0] ? error : "a kernel failed"; }

/* What TVM's kernels call back. They look these functions up through pointers, which their objects define as weak. */

static int take_all(pf_task task, void *closure, int rounds) {
    pf_group group = {0, rounds};
    int failed = 0;
    for (int round = 0; round < rounds; round++) failed |= task(round, &group, closure);
    return failed ? -1 : 0;
}

static int launch(pf_task task, void *closure, int asked) {
    pf_pool *pool = self->pool;
    int rounds = asked > 0 ? asked : pool->tasks;
    if (pool->alone) return take_all(task, closure, rounds);
    pool->task = task;
    pool->closure = closure;
    atomic_store_explicit(&pool->failed, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->pending, rounds, memory_order_relaxed);
    atomic_store_explicit(&pool->ticket, TICKET(++pool->launch, rounds), memory_order_seq_cst);
    if (pool->started) pf_pool_wake(pool);
    take_rounds(pool);
    for (int spins = 0; atomic_load_explicit(&pool->pending, memory_order_acquire); spins++) {
        if (spins < SPINS_BEFORE_YIELD) relax();
        else sched_yield();
    }
    return atomic_load_explicit(&pool->failed, memory_order_relaxed) ? -1 : 0;
}

/* No task asks for more than the plan's scratch_bytes: the compiler has added up what its schedules take. */
static void *take_scratch(int device_type, int device_id, uint64_t bytes, int type_code, int type_bits) {
    (void)device_type, (void)device_id, (void)type_code, (void)type_bits;
    size_t whole = (bytes + LINE - 1) / LINE * LINE;
    if (self->used + whole > self->pool->scratch_bytes) return 0;
    self->used += whole;
    return self->scratch + self->used - whole;
}

/* Given back in the reverse order in which it was taken: TVM's allocations nest. */
static int give_scratch(int device_type, int device_id, void *pointer) {
    (void)device_type, (void)device_id;
    self->used = (size_t)((char *)pointer - self->scratch);
    return 0;
}

void *__TVMBackendParallelLaunch = (void *)launch;
void *__TVMBackendAllocWorkspace = (void *)take_scratch;
void *__TVMBackendFreeWorkspace = (void *)give_scratch;

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
    int used = snprintf(error, sizeof error, "%s: ", kind);
    for (int index = 0; index < count && used >= 0 && (size_t)used < sizeof error; index++)
        if (parts[index]) used += snprintf(error + used, sizeof error - (size_t)used, "%s", parts[index]);
}
