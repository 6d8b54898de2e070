/*
 * metrics.c - how often a classifier is right.
 */
#include <math.h>

#include "data/data.h"

/* How many of the other logits in the row come before the label's: larger ones, NaN, and equal
 * ones that stand first. */
#define RANK(type)                                                                                 \
	static int64_t rank_##type(                                                                \
		const type *row, int64_t stride, int64_t classes, int64_t label)                   \
	{                                                                                          \
		type own = row[label * stride];                                                    \
		int64_t before = 0;                                                                \
                                                                                                   \
		for (int64_t k = 0; k < classes; k++) {                                            \
			type x = row[k * stride];                                                  \
                                                                                                   \
			before += x > own || x != x || (x == own && k < label);                    \
		}                                                                                  \
		return own != own ? INT64_MAX : before;                                            \
	}
RANK(float)
RANK(double)

double ebb_topk(const ebb_tensor *logits, const ebb_tensor *labels, int k)
{
	const char *x = ebb_data(logits);
	const int64_t *label = ebb_data(labels);
	int64_t n = ebb_size(logits, 0), classes = ebb_size(logits, 1), right = 0;
	ebb_dtype dtype = ebb_dtype_of(logits);

	if (!x || !label || k < 1 || n < 1 || ebb_ndim(logits) != 2 || ebb_ndim(labels) != 1 ||
		ebb_size(labels, 0) != n || ebb_dtype_of(labels) != EBB_I64 ||
		(dtype != EBB_F32 && dtype != EBB_F64))
		return NAN;
	for (int64_t i = 0; i < n; i++) {
		int64_t own = label[i * ebb_stride(labels, 0)], at = i * ebb_stride(logits, 0);

		if (own < 0 || own >= classes)
			continue;
		if (dtype == EBB_F32)
			right += rank_float((const float *)x + at, ebb_stride(logits, 1), classes,
					 own) < k;
		else
			right += rank_double((const double *)x + at, ebb_stride(logits, 1), classes,
					 own) < k;
	}
	return (double)right / (double)n;
}

double ebb_accuracy(const ebb_tensor *logits, const ebb_tensor *labels)
{
	return ebb_topk(logits, labels, 1);
}

void ebb_average_add(ebb_average *a, double value, double weight)
{
	if (!a)
		return;
	a->sum += value * weight;
	a->weight += weight;
}

double ebb_average_value(const ebb_average *a)
{
	return !a || a->weight == 0 ? NAN : a->sum / a->weight;
}
