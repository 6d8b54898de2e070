/*
 * metrics.c - accuracy, top-k accuracy, confusion matrices and averages of classifiers.
 */
#include <math.h>
#include <string.h>

#include "data/data.h"
#include "kernels/sizes.h"

/* The number of other logits in the row that rank before the label's: larger ones, NaN, and equal
 * ones at a lower index. */
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

/* Whether logits is [N,classes], labels [N], and both are readable and of the right types. */
static bool fitting(const ebb_tensor *logits, const ebb_tensor *labels)
{
	ebb_dtype dtype = ebb_dtype_of(logits);

	return ebb_data(logits) && ebb_data(labels) && ebb_ndim(logits) == 2 &&
	       ebb_ndim(labels) == 1 && ebb_size(logits, 0) >= 1 &&
	       ebb_size(labels, 0) == ebb_size(logits, 0) && ebb_dtype_of(labels) == EBB_I64 &&
	       (dtype == EBB_F32 || dtype == EBB_F64);
}

static int64_t label_at(const ebb_tensor *labels, int64_t i)
{
	return ((const int64_t *)ebb_data(labels))[i * ebb_stride(labels, 0)];
}

/* The number of logits of row i that rank before that of class k. */
static int64_t rank_of(const ebb_tensor *logits, int64_t i, int64_t k)
{
	int64_t at = i * ebb_stride(logits, 0), stride = ebb_stride(logits, 1),
		classes = ebb_size(logits, 1);

	if (ebb_dtype_of(logits) == EBB_F32)
		return rank_float((const float *)ebb_data(logits) + at, stride, classes, k);
	return rank_double((const double *)ebb_data(logits) + at, stride, classes, k);
}

double ebb_topk_accuracy(const ebb_tensor *logits, const ebb_tensor *labels, int k)
{
	int64_t n = ebb_size(logits, 0), right = 0;

	if (!fitting(logits, labels) || k < 1)
		return NAN;
	for (int64_t i = 0; i < n; i++) {
		int64_t own = label_at(labels, i);

		if (own >= 0 && own < ebb_size(logits, 1))
			right += rank_of(logits, i, own) < k;
	}
	return (double)right / (double)n;
}

double ebb_topk_error(const ebb_tensor *logits, const ebb_tensor *labels, int k)
{
	return 1 - ebb_topk_accuracy(logits, labels, k);
}

double ebb_accuracy(const ebb_tensor *logits, const ebb_tensor *labels)
{
	return ebb_topk_accuracy(logits, labels, 1);
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

/* ---- Confusion matrices --------------------------------------------------------------------- */

static size_t cells(int classes)
{
	return ebb_bytes_of((int64_t)classes * classes, sizeof(int64_t));
}

ebb_confusion *ebb_confusion_new(int classes, ebb_error *e)
{
	ebb_confusion *c;

	if (classes < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"confusion_new: %d classes, expected at least one", classes);
		return NULL;
	}
	c = ebb_alloc_zeroed(sizeof *c);
	if (c) {
		c->classes = classes;
		c->times = ebb_alloc_zeroed(cells(classes));
	}
	if (!c || !c->times) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "confusion_new: no memory for %d x %d counts",
			classes, classes);
		ebb_free(c, sizeof *c);
		return NULL;
	}
	return c;
}

void ebb_confusion_free(ebb_confusion *c)
{
	if (!c)
		return;
	ebb_free(c->times, cells(c->classes));
	ebb_free(c, sizeof *c);
}

void ebb_confusion_clear(ebb_confusion *c)
{
	if (c)
		memset(c->times, 0, cells(c->classes));
}

/* The index of the largest logit of a row, the first of equal ones; -1 if there is a NaN. */
#define LARGEST(type)                                                                              \
	static int64_t largest_##type(const type *row, int64_t stride, int64_t classes)            \
	{                                                                                          \
		int64_t best = 0;                                                                  \
                                                                                                   \
		for (int64_t k = 0; k < classes; k++) {                                            \
			if (isnan(row[k * stride]))                                                \
				return -1;                                                         \
			if (row[k * stride] > row[best * stride])                                  \
				best = k;                                                          \
		}                                                                                  \
		return best;                                                                       \
	}
LARGEST(float)
LARGEST(double)

static int64_t taken_for(const ebb_tensor *logits, int64_t i)
{
	int64_t at = i * ebb_stride(logits, 0), stride = ebb_stride(logits, 1),
		classes = ebb_size(logits, 1);

	if (ebb_dtype_of(logits) == EBB_F32)
		return largest_float((const float *)ebb_data(logits) + at, stride, classes);
	return largest_double((const double *)ebb_data(logits) + at, stride, classes);
}

bool ebb_confusion_add(ebb_confusion *c, const ebb_tensor *logits, const ebb_tensor *labels)
{
	int64_t n = ebb_size(logits, 0);

	if (!c || !fitting(logits, labels) || ebb_size(logits, 1) != c->classes)
		return false;
	for (int64_t i = 0; i < n; i++) {
		if (label_at(labels, i) < 0 || label_at(labels, i) >= c->classes ||
			taken_for(logits, i) < 0)
			return false;
	}
	for (int64_t i = 0; i < n; i++)
		c->times[label_at(labels, i) * c->classes + taken_for(logits, i)]++;
	return true;
}

double ebb_confusion_accuracy(const ebb_confusion *c)
{
	int64_t right = 0, all = 0;

	for (int64_t i = 0; c && i < c->classes; i++) {
		right += c->times[i * c->classes + i];
		for (int64_t k = 0; k < c->classes; k++)
			all += c->times[i * c->classes + k];
	}
	return all > 0 ? (double)right / (double)all : NAN;
}

double ebb_confusion_class_accuracy(const ebb_confusion *c, int k)
{
	int64_t all = 0;

	if (!c || k < 0 || k >= c->classes)
		return NAN;
	for (int64_t j = 0; j < c->classes; j++)
		all += c->times[(int64_t)k * c->classes + j];
	return all > 0 ? (double)c->times[(int64_t)k * c->classes + k] / (double)all : NAN;
}
