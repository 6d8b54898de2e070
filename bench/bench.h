/* bench.h - what the benchmarks share, beside the command lines of demos/cli.h. */
#ifndef EBB_BENCH_H
#define EBB_BENCH_H

#include <stdbool.h>

/* Sorts the values; the upper one of an even number's middle pair. */
double bench_median(double *values, int n);
/* The largest share of main memory that this process has held, in MB (2^20 bytes). */
double bench_peak_rss(void);

/* The number behind "key": in a line of JSON; false if there is none above 0. */
bool bench_number_after(const char *line, const char *key, double *value);

/* What the processor can do (limits.c), on as many threads as the kernels use, with the best of a
 * few short runs.
 *
 * Single-precision multiply-adds in registers alone, two operations each, by vectors of the
 * instruction set of that name (ebb_kernels.isa): operations per second. */
double bench_fma_peak(const char *isa);
/* Bytes per second of a[i] = b[i] + s*c[i] over arrays too large for the caches, 12 bytes
 * counted per element (McCalpin 1995). */
double bench_triad(void);

#endif
