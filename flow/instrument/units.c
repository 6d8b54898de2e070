/* units.c - how often each unit of a layer was active in the last steps. */
#include "flow/instrument/measure.h"

#include <math.h>
#include <string.h>

/* One block holds the four arrays of counts: seen and active of the current half of the window,
 * then of the one before. */
enum { ARRAYS = 4, LEAST_VALUES = 16 };

static size_t bytes_of(int64_t units)
{
	return (size_t)units * ARRAYS * sizeof(int64_t);
}

void ebb_flow_units_free(struct flow_units *u)
{
	ebb_free(u->seen[0], bytes_of(u->capacity));
	*u = (struct flow_units){0};
}

bool ebb_flow_units_fit(struct flow_units *u, int64_t n)
{
	int64_t *counts = u->seen[0];

	if (u->n == n)
		return true;
	if (n > u->capacity) {
		ebb_flow_units_free(u);
		counts = ebb_alloc(bytes_of(n));
		if (!counts)
			return false;
		u->capacity = n;
	}
	for (int half = 0; half < 2 && counts; half++) {
		u->seen[half] = counts + 2 * half * n;
		u->active[half] = u->seen[half] + n;
	}
	if (counts)
		memset(counts, 0, bytes_of(n));
	u->n = n;
	u->steps = 0;
	return true;
}

void ebb_flow_units_step(struct flow_units *u, int window)
{
	size_t half = (size_t)u->n * 2 * sizeof(int64_t);

	if (u->n == 0 || ++u->steps < window / 2 + window % 2)
		return;
	memcpy(u->seen[1], u->seen[0], half);
	memset(u->seen[0], 0, half);
	u->steps = 0;
}

double ebb_flow_units_dead(const struct flow_units *u, double active)
{
	double seen = 0;
	int64_t dead = 0;

	for (int64_t k = 0; k < u->n; k++) {
		double values = (double)(u->seen[0][k] + u->seen[1][k]);

		dead += (double)(u->active[0][k] + u->active[1][k]) < active * values;
		seen += values;
	}
	return u->n > 0 && seen >= LEAST_VALUES * (double)u->n ? (double)dead / (double)u->n : NAN;
}
