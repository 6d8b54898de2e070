/* rank.c - Spearman's rank correlation. */
#include "explain/attribution.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct ranked {
	double value, rank;
	int64_t at;
} ranked;

static int by_value(const void *a, const void *b)
{
	const ranked *p = a, *q = b;

	return (p->value > q->value) - (p->value < q->value);
}

static int by_place(const void *a, const void *b)
{
	const ranked *p = a, *q = b;

	return (p->at > q->at) - (p->at < q->at);
}

/* Fills r with the ranks 1, 2, .. of x's elements, equal elements with the mean of theirs, in x's
 * order.  False if there is a NaN. */
static bool rank(const ebb_tensor *x, int64_t n, ranked *r)
{
	for (int64_t i = 0; i < n; i++) {
		r[i] = (ranked){ebb_at(x, i), 0, i};
		if (isnan(r[i].value))
			return false;
	}
	qsort(r, (size_t)n, sizeof *r, by_value);
	for (int64_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && r[end].value == r[i].value; end++)
			;
		for (int64_t k = i; k < end; k++)
			r[k].rank = (double)(i + 1 + end) / 2;
	}
	qsort(r, (size_t)n, sizeof *r, by_place);
	return true;
}

double ebb_rank_correlation(const ebb_tensor *a, const ebb_tensor *b)
{
	int64_t n = ebb_count(a);
	size_t bytes = 2 * (size_t)n * sizeof(ranked);
	double mean = ((double)n + 1) / 2, ab = 0, aa = 0, bb = 0, result = NAN;
	ranked *p, *q;

	if (n < 2 || (size_t)n > SIZE_MAX / (2 * sizeof(ranked)) || ebb_count(b) != n ||
		!(p = ebb_alloc(bytes)))
		return NAN;
	q = p + n;
	if (rank(a, n, p) && rank(b, n, q)) {
		for (int64_t i = 0; i < n; i++) {
			ab += (p[i].rank - mean) * (q[i].rank - mean);
			aa += (p[i].rank - mean) * (p[i].rank - mean);
			bb += (q[i].rank - mean) * (q[i].rank - mean);
		}
		result = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
	}
	ebb_free(p, bytes);
	return result;
}
