/* query.c - what all functions of explain/ do around a run of the network. */
#include <string.h>

#include "explain/internal.h"

#undef EBB_SITE
#define EBB_SITE q->site

ebb_query ebb_query_begin(ebb_tape *t, const char *what, ebb_network_fn network, void *ctx,
	ebb_tensor *x, ebb_rules rules, const char *site)
{
	ebb_query query = {t, network, ctx, what, site, .n = ebb_size(x, 0)}, *q = &query;
	char text[240];

	if (ebb_failed(t))
		return query;
	query.shape = ebb_shape_of(x);
	if (!network)
		ebb_fail(t, EBB_INVALID, site, "%s: the network is NULL", what);
	else if (!x)
		ebb_fail(t, EBB_INVALID, site, "%s: x is NULL", what);
	else if (ebb_dtype_of(x) != EBB_F32 && ebb_dtype_of(x) != EBB_F64)
		ebb_fail(t, EBB_BAD_DTYPE, site, "%s: x must be F32 or F64, got %s", what,
			ebb_describe(x, text, sizeof text));
	else if (ebb_ndim(x) < 2 || ebb_count(x) == 0)
		ebb_fail(t, EBB_BAD_SHAPE, site, "%s: x must be [N,...] with elements, got %s",
			what, ebb_describe(x, text, sizeof text));
	else if (!(q->mark = ebb_tape_mark(t)).tape)
		ebb_fail(t, EBB_BAD_STATE, site,
			"%s: cannot be called inside a vjp, where rules do not hold and the tape "
			"cannot be rewound",
			what);
	q->ok = !ebb_failed(t);
	if (!q->ok)
		return query;
	q->training = ebb_set_training(t, false);
	q->recording = ebb_set_recording(t, true);
	q->dtype = ebb_set_default_dtype(t, ebb_dtype_of(x));
	q->former = ebb_set_rules(t, rules);
	q->ok = !ebb_failed(t);
	return query;
}

void ebb_query_end(ebb_query *q)
{
	if (!q->mark.tape)
		return;
	ebb_set_rules(q->t, q->former);
	ebb_set_default_dtype(q->t, q->dtype);
	ebb_set_recording(q->t, q->recording);
	ebb_set_training(q->t, q->training);
	if (!ebb_failed(q->t))
		ebb_rewind(q->t, q->mark);
}

ebb_tensor *ebb_query_scores(ebb_query *q, ebb_tensor *x)
{
	ebb_tensor *y = x ? q->network(q->t, x, q->ctx) : NULL;
	char a[240], b[240];

	if (ebb_failed(q->t))
		return NULL;
	if (!y || ebb_ndim(y) != 2 || ebb_size(y, 0) != ebb_size(x, 0) || ebb_size(y, 1) < 1 ||
		ebb_dtype_of(y) != ebb_dtype_of(x))
		return ebb_fail(q->t, y ? EBB_BAD_SHAPE : EBB_INVALID, q->site,
			"%s: the network returned %s for x %s, expected scores [%lld,classes] of "
			"x's type",
			q->what, y ? ebb_describe(y, a, sizeof a) : "NULL",
			ebb_describe(x, b, sizeof b), (long long)ebb_size(x, 0));
	return y;
}

ebb_tensor *ebb_query_score(ebb_query *q, ebb_tensor *score, const int64_t *classes)
{
	int64_t rows = ebb_size(score, 0);

	for (int64_t i = 0; i < rows; i++)
		if (classes[i] < 0 || classes[i] >= ebb_size(score, 1))
			return ebb_fail(q->t, EBB_INVALID, q->site,
				"%s: class %lld of image %lld is not in [0,%lld)", q->what,
				(long long)classes[i], (long long)(q->only ? q->only - 1 : i),
				(long long)ebb_size(score, 1));
	return ebb_sum(
		q->t, ebb_gather(q->t, score, 1, ebb_from_i64(q->t, EBB_SHAPE(rows, 1), classes)));
}

bool ebb_query_classes(ebb_query *q, ebb_tensor *x, ebb_tensor *classes, int64_t *into)
{
	bool recording;
	char text[240];

	if (!classes) {
		recording = ebb_set_recording(q->t, false);
		/* The network may release its input, or overwrite it if no other handle reads it. */
		classes = ebb_argmax(q->t, ebb_query_scores(q, ebb_detach(q->t, x)), 1);
		ebb_set_recording(q->t, recording);
	} else if (ebb_dtype_of(classes) != EBB_I64 || ebb_ndim(classes) != 1 ||
		   ebb_size(classes, 0) != q->n) {
		ebb_fail(q->t, ebb_dtype_of(classes) != EBB_I64 ? EBB_BAD_DTYPE : EBB_BAD_SHAPE,
			q->site, "%s: classes must be I64 [%lld], got %s", q->what, (long long)q->n,
			ebb_describe(classes, text, sizeof text));
	}
	if (ebb_failed(q->t))
		return false;
	return ebb_copy_out(classes, into, (size_t)q->n * sizeof *into);
}

void *ebb_query_memory(ebb_query *q, int64_t count, size_t size)
{
	void *p = q->ok ? ebb_alloc_zeroed((size_t)count * size) : NULL;

	if (q->ok && !p) {
		ebb_fail(q->t, EBB_NO_MEMORY, q->site, "%s: no memory for %lld numbers", q->what,
			(long long)count);
		q->ok = false;
	}
	return p;
}

bool ebb_query_add(ebb_query *q, ebb_tensor *g, double factor, double *sum)
{
	const double *v;
	int64_t n = ebb_count(g);
	ebb_tensor *dense = ebb_dense(q->t, ebb_cast(q->t, g, EBB_F64), EBB_ROWS);

	if (ebb_failed(q->t))
		return false;
	v = ebb_data(dense);
	for (int64_t i = 0; i < n; i++)
		sum[i] += factor * v[i];
	return true;
}

ebb_tensor *ebb_query_result(ebb_query *q, ebb_shape shape, ebb_dtype dtype, const double *values)
{
	ebb_dtype was;
	ebb_tensor *y;

	if (ebb_failed(q->t) || !values)
		return NULL;
	was = ebb_set_default_dtype(q->t, dtype);
	y = ebb_from_f64(q->t, shape, values);
	ebb_set_default_dtype(q->t, was);
	return y;
}
