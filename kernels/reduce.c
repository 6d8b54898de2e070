/*
 * reduce.c - sums and norms over any set of axes, accumulated in double, and the maximum or
 * minimum along one axis.
 */
#include "functions.h"

#include <float.h>

/* Most tasks of a total sum, most tasks of sums of columns, and columns per pass.  They bound the
 * partial sums, which lie on the stack. */
enum { SUM_PIECES = 64, COLUMN_PIECES = 16, COLUMNS = 512 };

typedef double dvec __attribute__((vector_size(8 * sizeof(double))));
typedef real rvec __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* reduce_job.f is an ebb_reduce_fn, or SUM_POWERS for |x|^p. */
enum { SUM_POWERS = EBB_REDUCE_SUM_SQ + 1 };

static double power(double x, double p)
{
	double u = fabs(x);

	return p == 2 ? u * u : p == 3 ? u * u * u : p == 0.5 ? sqrt(u) : pow(u, p);
}

static inline double term(int f, double x)
{
	return f == EBB_REDUCE_SUM_SQ ? x * x : f == EBB_REDUCE_SUM_ABS ? fabs(x) : x;
}

/* The sum of n contiguous elements, with two accumulators of eight lanes. */
#define ROW_SUM(name, one, many)                                                                   \
	static double name(int64_t n, const real *x)                                               \
	{                                                                                          \
		dvec s0 = {0}, s1 = {0};                                                           \
		double s = 0;                                                                      \
		int64_t i = 0;                                                                     \
                                                                                                   \
		for (; i + 16 <= n; i += 16) {                                                     \
			dvec u = __builtin_convertvector(*(const rvec *)(x + i), dvec);            \
			dvec v = __builtin_convertvector(*(const rvec *)(x + i + 8), dvec);        \
			s0 += many(u);                                                             \
			s1 += many(v);                                                             \
		}                                                                                  \
		for (; i < n; i++) {                                                               \
			double u = x[i];                                                           \
			s += one(u);                                                               \
		}                                                                                  \
		s0 += s1;                                                                          \
		for (int k = 0; k < 8; k++)                                                        \
			s += s0[k];                                                                \
		return s;                                                                          \
	}

typedef int64_t ivec __attribute__((vector_size(8 * sizeof(double))));
#define SAME(u) (u)
#define SQUARE(u) ((u) * (u))
#define ABS_MANY(u) ((dvec)((ivec)(u)&INT64_MAX))
ROW_SUM(row_sum, SAME, SAME)
ROW_SUM(row_sum_abs, fabs, ABS_MANY)
ROW_SUM(row_sum_sq, SQUARE, SQUARE)

/* ---- Axes ------------------------------------------------------------------------------------ */

struct axes {
	int ndim;
	int64_t shape[EBB_KERNEL_DIMS], xs[EBB_KERNEL_DIMS], ys[EBB_KERNEL_DIMS];
};

static int64_t magnitude(int64_t s)
{
	return s < 0 ? -s : s;
}

/* Sorts the axes by the strides of x, and merges adjacent axes if both are kept or both are
 * reduced. */
static void normalise(
	struct axes *a, int ndim, const int64_t *shape, const int64_t *xs, const int64_t *ys)
{
	int n = 0;

	for (int d = 0; d < ndim; d++) {
		int at = n;

		if (shape[d] == 1)
			continue;
		for (; at > 0 && magnitude(a->xs[at - 1]) < magnitude(xs[d]); at--) {
			a->shape[at] = a->shape[at - 1];
			a->xs[at] = a->xs[at - 1];
			a->ys[at] = a->ys[at - 1];
		}
		a->shape[at] = shape[d];
		a->xs[at] = xs[d];
		a->ys[at] = ys[d];
		n++;
	}
	a->ndim = 0;
	for (int d = 0; d < n; d++) {
		int to = a->ndim - 1;

		if (to >= 0 && a->xs[to] == a->xs[d] * a->shape[d] &&
			a->ys[to] == a->ys[d] * a->shape[d] &&
			(a->ys[to] == 0) == (a->ys[d] == 0)) {
			a->shape[to] *= a->shape[d];
		} else {
			to = a->ndim++;
			a->shape[to] = a->shape[d];
		}
		a->xs[to] = a->xs[d];
		a->ys[to] = a->ys[d];
	}
}

struct reduce_job {
	int f;
	double p; /* norm: the exponent, whose root is taken; 0: no root */
	const real *x;
	real *y;
	double scale;
	struct axes kept, gone;         /* axes of y, and reduced axes */
	int64_t count, chunk;           /* elements of y, or elements of a total sum */
	int64_t rows, cols, row_stride; /* for sums of columns */
	double (*partial)[COLUMNS];
	double *sums;
};

static double sum_row(const struct reduce_job *j, int64_t n, const real *x, int64_t stride)
{
	double s = 0;
	int f = j->f;

	if (f == SUM_POWERS) {
		for (int64_t i = 0; i < n; i++)
			s += power(x[i * stride], j->p);
		return s;
	}
	if (stride == 1) {
		return f == EBB_REDUCE_SUM       ? row_sum(n, x)
		       : f == EBB_REDUCE_SUM_ABS ? row_sum_abs(n, x)
		                                 : row_sum_sq(n, x);
	}
	for (int64_t i = 0; i < n; i++)
		s += term(f, x[i * stride]);
	return s;
}

/* Advances the index `at` over the first n axes in row-major order, and the offsets x and y; false
 * after the last index. */
static bool step(const struct axes *a, int n, int64_t *at, int64_t *x, int64_t *y)
{
	for (int d = n - 1; d >= 0; d--) {
		*x += a->xs[d];
		*y += a->ys[d];
		if (++at[d] < a->shape[d])
			return true;
		*x -= a->xs[d] * a->shape[d];
		*y -= a->ys[d] * a->shape[d];
		at[d] = 0;
	}
	return false;
}

/* ---- Roots ----------------------------------------------------------------------------------- */

static double root(double s, double p)
{
	return p == 2 ? sqrt(s) : pow(s, 1 / p);
}

/* Whether the sum s of powers may have lost digits to underflow (below 2^-900) or has overflowed.
 * The powers of floats up to p = 2 never leave the range of a double. */
static bool out_of_range(const struct reduce_job *j, double s)
{
	bool never = sizeof(real) == sizeof(float) && j->p <= 2;

	return !never && (s < 0x1p-900 || s > DBL_MAX);
}

/* Over the elements that are reduced to one result, from x on: the largest |x| if unit is 0, else
 * the sum of (|x|/unit)^p. */
static double norm_pass(const struct reduce_job *j, const real *x, double unit)
{
	const struct axes *a = &j->gone;
	int last = a->ndim - 1;
	int64_t n = last < 0 ? 1 : a->shape[last], stride = last < 0 ? 1 : a->xs[last];
	int64_t at[EBB_KERNEL_DIMS] = {0}, offset = 0, none = 0;
	double most = 0, s = 0;

	do {
		for (int64_t i = 0; i < n; i++) {
			double u = fabs((double)x[offset + i * stride]);

			if (unit > 0)
				s += power(u / unit, j->p);
			else
				most = u > most ? u : most;
		}
	} while (step(a, last, at, &offset, &none));
	return unit > 0 ? s : most;
}

/* scale times the p-th root of s, the sum over the elements that are reduced, from x on. */
static double root_of(const struct reduce_job *j, double s, const real *x)
{
	double most;

	if (!out_of_range(j, s))
		return j->scale * root(s, j->p);
	most = norm_pass(j, x, 0);
	if (most == 0 || most == INFINITY)
		return j->scale * most;
	return j->scale * root(norm_pass(j, x, most), j->p) * most;
}

/* The result for s, the sum over the elements that are reduced, from x on. */
EBB_INLINE real finished(const struct reduce_job *j, double s, const real *x)
{
	return (real)(j->p == 0 ? j->scale * s : root_of(j, s, x));
}

/* ---- All elements to one result -------------------------------------------------------------- */

static void total_piece(void *ctx, int64_t piece, int worker)
{
	const struct reduce_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	j->sums[piece] = sum_row(j, i64_min(j->chunk, j->count - from), j->x + from, 1);
}

static void total(struct reduce_job job, int64_t n)
{
	struct reduce_job *j = &job;
	double sums[SUM_PIECES], s = 0;
	int64_t pieces;

	j->count = n;
	j->chunk = i64_max(EBB_PIECE, ebb_ceil_div(n, SUM_PIECES));
	j->sums = sums;
	pieces = ebb_ceil_div(n, j->chunk);
	ebb_run_pieces(pieces, total_piece, j);
	for (int64_t i = 0; i < pieces; i++)
		s += sums[i];
	*j->y = finished(j, s, j->x);
}

/* ---- Sums of columns ------------------------------------------------------------------------- */

/* acc[k] += the sum of column k over the rows.  Several narrow rows are added as one wide row, so
 * that vectors are full. */
EBB_INLINE void sum_columns(
	int f, int64_t rows, int64_t cols, const real *x, int64_t stride, double *acc)
{
	int64_t copies = stride == cols ? i64_min(i64_max(1, 64 / cols), rows) : 1;
	int64_t width = copies * cols, r = 0;
	double wide[COLUMNS] = {0};

	for (; r + copies <= rows; r += copies, x += copies * stride) {
		EBB_IVDEP
		for (int64_t k = 0; k < width; k++)
			wide[k] += term(f, x[k]);
	}
	for (; r < rows; r++, x += stride) {
		for (int64_t k = 0; k < cols; k++)
			wide[k] += term(f, x[k]);
	}
	for (int64_t k = 0; k < width; k++)
		acc[k % cols] += wide[k];
}

static void columns_piece(void *ctx, int64_t piece, int worker)
{
	const struct reduce_job *j = ctx;
	int64_t from = piece * j->chunk, rows = i64_min(j->chunk, j->rows - from);
	const real *x = j->x + from * j->row_stride;
	double *acc = j->partial[piece];

	(void)worker;
	for (int64_t k = 0; k < j->cols; k++)
		acc[k] = 0;
	switch (j->f) {
	case EBB_REDUCE_SUM:
		sum_columns(EBB_REDUCE_SUM, rows, j->cols, x, j->row_stride, acc);
		break;
	case EBB_REDUCE_SUM_ABS:
		sum_columns(EBB_REDUCE_SUM_ABS, rows, j->cols, x, j->row_stride, acc);
		break;
	case EBB_REDUCE_SUM_SQ:
		sum_columns(EBB_REDUCE_SUM_SQ, rows, j->cols, x, j->row_stride, acc);
		break;
	case SUM_POWERS:
		for (int64_t r = 0; r < rows; r++, x += j->row_stride)
			for (int64_t k = 0; k < j->cols; k++)
				acc[k] += power(x[k], j->p);
		break;
	}
}

/* y[k*ys] = the result for column k; the columns are contiguous. */
static void columns(struct reduce_job job, const real *x, int64_t rows, int64_t row_stride,
	int64_t cols, real *y, int64_t ys)
{
	struct reduce_job *j = &job;
	double partial[COLUMN_PIECES][COLUMNS];

	j->rows = rows;
	j->row_stride = row_stride;
	j->partial = partial;
	for (int64_t at = 0; at < cols; at += COLUMNS) {
		int64_t pieces;

		j->cols = i64_min(COLUMNS, cols - at);
		j->x = x + at;
		j->chunk = i64_max(
			ebb_ceil_div(EBB_PIECE, j->cols), ebb_ceil_div(rows, COLUMN_PIECES));
		pieces = ebb_ceil_div(rows, j->chunk);
		ebb_run_pieces(pieces, columns_piece, j);
		for (int64_t k = 0; k < j->cols; k++) {
			double s = 0;

			for (int64_t p = 0; p < pieces; p++)
				s += partial[p][k];
			y[(at + k) * ys] = finished(j, s, x + at + k);
		}
	}
}

/* ---- Any other axes -------------------------------------------------------------------------- */

static double sum_gone(const struct reduce_job *j, const real *x)
{
	const struct axes *a = &j->gone;
	int last = a->ndim - 1;
	int64_t at[EBB_KERNEL_DIMS] = {0}, offset = 0, none = 0;
	double s = 0;

	if (last < 0)
		return sum_row(j, 1, x, 1);
	do
		s += sum_row(j, a->shape[last], x + offset, a->xs[last]);
	while (step(a, last, at, &offset, &none));
	return s;
}

static void kept_piece(void *ctx, int64_t piece, int worker)
{
	const struct reduce_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->count, from + j->chunk);
	int64_t at[EBB_KERNEL_DIMS] = {0}, x = 0, y = 0, rest = from;

	(void)worker;
	for (int d = j->kept.ndim - 1; d >= 0; d--) {
		at[d] = rest % j->kept.shape[d];
		rest /= j->kept.shape[d];
		x += at[d] * j->kept.xs[d];
		y += at[d] * j->kept.ys[d];
	}
	for (int64_t i = from; i < to; i++) {
		j->y[y] = finished(j, sum_gone(j, j->x + x), j->x + x);
		step(&j->kept, j->kept.ndim, at, &x, &y);
	}
}

static int64_t product(const struct axes *a)
{
	int64_t n = 1;

	for (int d = 0; d < a->ndim; d++)
		n *= a->shape[d];
	return n;
}

static void reduce_axes(
	struct reduce_job j, int ndim, const int64_t *shape, const int64_t *xs, const int64_t *ys)
{
	const real *x = j.x;
	real *y = j.y;
	struct axes all;
	int last;
	int64_t gone;

	normalise(&all, ndim, shape, xs, ys);
	for (int d = 0; d < all.ndim; d++) {
		struct axes *to = all.ys[d] ? &j.kept : &j.gone;

		to->shape[to->ndim] = all.shape[d];
		to->xs[to->ndim] = all.xs[d];
		to->ys[to->ndim++] = all.ys[d];
	}
	j.count = product(&j.kept);
	gone = product(&j.gone);
	last = all.ndim - 1;
	if (j.count == 0)
		return;
	if (gone == 0) {
		static const real zero;
		int64_t none[EBB_KERNEL_DIMS] = {0};

		/* A sum over no elements is computed as the sum over one element, which is 0. */
		memcpy(j.kept.xs, none, sizeof none);
		j.x = &zero;
		j.gone.ndim = 0;
		gone = 1;
	} else if (all.ndim == 0) {
		*j.y = finished(&j, sum_row(&j, 1, j.x, 1), j.x);
		return;
	} else if (j.kept.ndim == 0 && all.ndim == 1 && all.xs[0] == 1) {
		total(j, all.shape[0]);
		return;
	} else if (all.ys[last] && all.xs[last] == 1 && j.gone.ndim == 1 && !all.ys[last - 1]) {
		/* The last axis is kept and the axis before it is reduced: sums of columns, once
		 * per index of the other axes. */
		struct axes outer = j.kept;
		int64_t at[EBB_KERNEL_DIMS] = {0}, xo = 0, yo = 0;

		outer.ndim--;
		do
			columns(j, x + xo, j.gone.shape[0], j.gone.xs[0], all.shape[last], y + yo,
				all.ys[last]);
		while (step(&outer, outer.ndim, at, &xo, &yo));
		return;
	}
	j.chunk = j.count * gone < EBB_PARALLEL_FROM ? j.count : i64_max(1, EBB_PIECE / gone);
	ebb_run_pieces(ebb_ceil_div(j.count, j.chunk), kept_piece, &j);
}

EBB_DECLARE(reduce);
void EBB_NAME(reduce)(ebb_reduce_fn f, int ndim, const int64_t *shape, const void *x,
	const int64_t *xs, void *y, const int64_t *ys, double scale)
{
	reduce_axes((struct reduce_job){.f = (int)f, .x = x, .y = y, .scale = scale}, ndim, shape,
		xs, ys);
}

EBB_DECLARE(norm);
void EBB_NAME(norm)(double p, int ndim, const int64_t *shape, const void *x, const int64_t *xs,
	void *y, const int64_t *ys, double scale)
{
	struct reduce_job j = {.f = SUM_POWERS, .p = p, .x = x, .y = y, .scale = scale};

	if (p == 1) {
		j.f = EBB_REDUCE_SUM_ABS;
		j.p = 0;
	} else if (p == 2) {
		j.f = EBB_REDUCE_SUM_SQ;
	}
	reduce_axes(j, ndim, shape, xs, ys);
}

/* ---- Maximum and minimum --------------------------------------------------------------------- */

struct extreme_job {
	bool max;
	int64_t outer, len, inner, chunk;
	const real *x;
	real *y;
	int64_t *index;
};

static void extreme_piece(void *ctx, int64_t piece, int worker)
{
	const struct extreme_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->outer, from + j->chunk);

	(void)worker;
	for (int64_t o = from; o < to; o++) {
		for (int64_t i = 0; i < j->inner; i++) {
			const real *x = j->x + o * j->len * j->inner + i;
			real best = x[0];
			int64_t at = 0;

			for (int64_t k = 1; k < j->len && best == best; k++) {
				real v = x[k * j->inner];

				if ((j->max ? v > best : v < best) || v != v) {
					best = v;
					at = k;
				}
			}
			j->y[o * j->inner + i] = best;
			if (j->index)
				j->index[o * j->inner + i] = at;
		}
	}
}

EBB_DECLARE(extreme);
void EBB_NAME(extreme)(
	int sign, int64_t outer, int64_t len, int64_t inner, const void *x, void *y, int64_t *index)
{
	struct extreme_job j = {sign > 0, outer, len, inner, 0, x, y, index};
	int64_t row = len * inner;

	if (outer <= 0 || row <= 0)
		return;
	j.chunk = outer * row < EBB_PARALLEL_FROM ? outer : i64_max(1, EBB_PIECE / row);
	ebb_run_pieces(ebb_ceil_div(outer, j.chunk), extreme_piece, &j);
}
