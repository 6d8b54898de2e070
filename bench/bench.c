/* bench.c - what the benchmarks share. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof *values, ascending);
	return values[n / 2];
}

double bench_peak_rss(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1024;
}

bool bench_number_after(const char *line, const char *key, double *value)
{
	const char *p = strstr(line, key);

	return p && (p = strchr(p, ':')) && (*value = strtod(p + 1, NULL)) > 0;
}
