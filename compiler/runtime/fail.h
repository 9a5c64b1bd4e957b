/* What pf_error() says next on this thread. */
#ifndef PF_FAIL_H
#define PF_FAIL_H
__attribute__((visibility("hidden"), format(printf, 1, 2))) void pf_fail(const char *format, ...);
#endif
