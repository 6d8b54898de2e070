/*
 * index.c - selecting and accumulating elements by index along the middle axis of
 * [outer,len,inner].
 */
#include "real.h"

#include <string.h>

struct index_job {
	int64_t outer, len, inner, count, chunk;
	const real *x;
	const int64_t *index;
	real *y;
};

/* A task takes whole outer indices, because additions within one outer index may go to the same
 * element. */
static void run(struct index_job *j, void (*fn)(void *, int64_t, int))
{
	int64_t row = i64_max(1, j->count * j->inner);

	if (j->outer == 0)
		return;
	j->chunk = j->outer * row < EBB_PARALLEL_FROM ? j->outer : i64_max(1, EBB_PIECE / row);
	ebb_run_pieces(ebb_ceil_div(j->outer, j->chunk), fn, j);
}

#define EACH_OUTER(j, o)                                                                           \
	for (int64_t o = piece * (j)->chunk, o##_end = i64_min((j)->outer, o + (j)->chunk);        \
		o < o##_end; o++)

static void select_piece(void *ctx, int64_t piece, int worker)
{
	const struct index_job *j = ctx;

	(void)worker;
	EACH_OUTER(j, o)
	{
		const real *x = j->x + o * j->len * j->inner;
		real *y = j->y + o * j->count * j->inner;

		if (j->inner == 1) {
			for (int64_t k = 0; k < j->count; k++)
				y[k] = x[j->index[k]];
			continue;
		}
		for (int64_t k = 0; k < j->count; k++, y += j->inner)
			memcpy(y, x + j->index[k] * j->inner, (size_t)j->inner * sizeof(real));
	}
}

EBB_DECLARE(index_select);
void EBB_NAME(index_select)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *x,
	const int64_t *index, void *y)
{
	struct index_job j = {outer, len, inner, count, 0, x, index, y};

	if (count > 0 && inner > 0)
		run(&j, select_piece);
}

static void select_acc_piece(void *ctx, int64_t piece, int worker)
{
	const struct index_job *j = ctx;

	(void)worker;
	EACH_OUTER(j, o)
	{
		const real *gy = j->x + o * j->count * j->inner;
		real *gx = j->y + o * j->len * j->inner;

		for (int64_t k = 0; k < j->count; k++, gy += j->inner) {
			real *to = gx + j->index[k] * j->inner;

			EBB_IVDEP
			for (int64_t i = 0; i < j->inner; i++)
				to[i] += gy[i];
		}
	}
}

EBB_DECLARE(index_select_acc);
void EBB_NAME(index_select_acc)(int64_t outer, int64_t len, int64_t inner, int64_t count,
	const void *gy, const int64_t *index, void *gx)
{
	struct index_job j = {outer, len, inner, count, 0, gy, index, gx};

	if (count > 0 && len > 0 && inner > 0)
		run(&j, select_acc_piece);
}

static void gather_piece(void *ctx, int64_t piece, int worker)
{
	const struct index_job *j = ctx;

	(void)worker;
	EACH_OUTER(j, o)
	{
		const real *x = j->x + o * j->len * j->inner;
		const int64_t *index = j->index + o * j->count * j->inner;
		real *y = j->y + o * j->count * j->inner;

		for (int64_t k = 0; k < j->count; k++, y += j->inner, index += j->inner) {
			for (int64_t i = 0; i < j->inner; i++)
				y[i] = x[index[i] * j->inner + i];
		}
	}
}

EBB_DECLARE(gather);
void EBB_NAME(gather)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *x,
	const int64_t *index, void *y)
{
	struct index_job j = {outer, len, inner, count, 0, x, index, y};

	if (count > 0 && inner > 0)
		run(&j, gather_piece);
}

static void gather_acc_piece(void *ctx, int64_t piece, int worker)
{
	const struct index_job *j = ctx;

	(void)worker;
	EACH_OUTER(j, o)
	{
		const real *gy = j->x + o * j->count * j->inner;
		const int64_t *index = j->index + o * j->count * j->inner;
		real *gx = j->y + o * j->len * j->inner;

		for (int64_t k = 0; k < j->count; k++, gy += j->inner, index += j->inner) {
			for (int64_t i = 0; i < j->inner; i++)
				gx[index[i] * j->inner + i] += gy[i];
		}
	}
}

EBB_DECLARE(gather_acc);
void EBB_NAME(gather_acc)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *gy,
	const int64_t *index, void *gx)
{
	struct index_job j = {outer, len, inner, count, 0, gy, index, gx};

	if (count > 0 && len > 0 && inner > 0)
		run(&j, gather_acc_piece);
}
