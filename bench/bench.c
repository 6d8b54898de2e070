/* bench.c - functions that the benchmarks share. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>
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
	FILE *status = fopen("/proc/self/status", "r");
	struct rusage usage;
	char line[200];
	double kilobytes = 0;

	/* ru_maxrss of getrusage may be that of the program that started this one. */
	while (status && fgets(line, sizeof line, status) && kilobytes == 0)
		sscanf(line, "VmHWM: %lf", &kilobytes);
	if (status)
		fclose(status);
	if (kilobytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
		kilobytes = (double)usage.ru_maxrss;
	return kilobytes / 1024;
}

bool bench_number_after(const char *line, const char *key, double *value)
{
	const char *p = strstr(line, key);

	return p && (p = strchr(p, ':')) && (*value = strtod(p + 1, NULL)) > 0;
}
