/* Threads that share the rounds of one kernel's parallel loop. */
#ifndef PF_POOL_H
#define PF_POOL_H
#include <stddef.h>
#include "tvm_abi.h"

enum { PF_MAX_THREADS = 64 };

typedef struct pf_pool pf_pool;

/* threads - 1 workers whose tasks may take scratch_bytes each. NULL when memory or threads are refused. */
pf_pool *pf_pool_start(int threads, size_t scratch_bytes);
void pf_pool_stop(pf_pool *pool);

/* Keeps the calling thread to cores[0] and each worker to the next one's. 0, or -1 where this process may not use one of them. */
int pf_pool_pin(pf_pool *pool, const int *cores);

/* Runs one kernel on the calling thread, its parallel loop shared as `tasks` rounds. The kernel's return value. */
int pf_pool_run(pf_pool *pool, pf_kernel kernel, const pf_argument *arguments, int count, int tasks);

/* The same with every round on the calling thread: for a kernel of so little work that others would cost more than they do. */
int pf_pool_run_alone(pf_pool *pool, pf_kernel kernel, const pf_argument *arguments, int count, int tasks);

/* Lets the next kernels find every worker awake. */
void pf_pool_wake(pf_pool *pool);

/* What the last failed kernel of this thread said. */
const char *pf_kernel_error(void);
#endif
