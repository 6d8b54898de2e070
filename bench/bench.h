/* bench.h - functions that the benchmarks share, beside the command-line functions of
 * demos/cli.h. */
#ifndef EBB_BENCH_H
#define EBB_BENCH_H

#include <stdbool.h>

/* Sorts the values and returns the median; of an even number, the upper one of the middle pair. */
double bench_median(double *values, int n);
/* The peak resident memory of this process so far, in MB (2^20 bytes). */
double bench_peak_rss(void);

/* Reads the number after "key": in a line of JSON; false if there is none above 0. */
bool bench_number_after(const char *line, const char *key, double *value);

/*
 * The limits of the machine (limits.c), with as many threads as the kernels use, each the best of
 * a few short runs.
 *
 * Operations per second of single-precision multiply-adds in registers alone, two operations each,
 * with the vectors of the instruction set of that name (ebb_kernels.isa).
 */
double bench_fma_peak(const char *isa);
/* Bytes per second of a[i] = b[i] + s*c[i] over arrays too large for the caches, counting 12 bytes
 * per element (McCalpin 1995). */
double bench_triad(void);

#endif
