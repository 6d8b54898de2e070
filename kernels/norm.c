/*
 * norm.c - batch normalisation over the rows of [rows,c]: its sums and its elementwise passes.
 *
 * Several narrow rows are processed as one wide row, so that vectors are full whatever c is.  Sums
 * accumulate in registers: in real over short runs of rows, in double from run to run.  A mean is
 * centre + rest.  centre is a real, so that x - centre is exact where x is near the mean; rest is
 * the remainder, which is too small for a real.
 */
#include <float.h>

#include "functions.h"
#include "lanes.h"

/* Columns per pass, and most tasks over its rows; both are limited by the stack. */
enum { COLUMNS = 256, PIECES = 16 };
/* WIDE: reals in a wide row of a sum.  RUN: wide rows in a run.  VECTORS: vectors at a time, in
 * registers. */
enum { WIDE = 64, RUN = 32, VECTORS = 4 };

/* The number of rows in one wide row. */
static int64_t copies(int64_t rows, int64_t cols, int64_t stride, int64_t width)
{
	return stride == cols ? i64_max(1, i64_min(rows, width / cols)) : 1;
}

/* Columns per pass over c columns, about the same for all passes. */
static int64_t columns_of(int64_t c)
{
	return ebb_ceil_div(c, i64_max(1, ebb_ceil_div(c, COLUMNS)));
}

EBB_INLINE ebb_vec load(const real *x)
{
	return *(const ebb_vec *)(const void *)x;
}

/* ---- Sums over rows: with d = x - shift, sum g and sum g*d ----------------------------------- */

enum terms {
	DEVIATIONS, /* g = d */
	GRADIENTS,  /* g = gy */
	MASKED      /* g = gy where y > 0, else 0 */
};

/* A run of wide rows, and the sums of some of its columns. */
struct run {
	const real *x, *gy, *y, *shift;
	int64_t rows, step, width, at;
	real *sum, *dot;
};

/* Sums count vectors of columns.  The last vector ends where the row does, so it may overlap the
 * vector before and compute some sums twice. */
EBB_INLINE void sum_vectors(const struct run *j, enum terms terms, int count)
{
	ebb_vec sum[VECTORS] = {{0}}, dot[VECTORS] = {{0}}, shift[VECTORS] = {{0}};
	int64_t at[VECTORS] = {0};

	EBB_UNROLL(4)
	for (int k = 0; k < count; k++) {
		at[k] = i64_min(j->at + k * EBB_VLEN, j->width - EBB_VLEN);
		shift[k] = load(j->shift + at[k]);
	}
	for (int64_t r = 0; r < j->rows; r++) {
		EBB_UNROLL(4)
		for (int k = 0; k < count; k++) {
			int64_t i = r * j->step + at[k];
			ebb_vec d = load(j->x + i) - shift[k], g = d;

			if (terms != DEVIATIONS)
				g = load(j->gy + i);
			if (terms == MASKED)
				g = (ebb_vec)((load(j->y + i) > 0) & (ebb_whole_vec)g);
			sum[k] += g;
			dot[k] += g * d;
		}
	}
	EBB_UNROLL(4)
	for (int k = 0; k < count; k++) {
		*(ebb_vec *)(void *)(j->sum + at[k]) = sum[k];
		*(ebb_vec *)(void *)(j->dot + at[k]) = dot[k];
	}
}

#define COUNT(terms, count)                                                                        \
	case (terms)*VECTORS + (count):                                                            \
		sum_vectors(j, terms, count);                                                      \
		break;
#define COUNTS(terms) COUNT(terms, 1) COUNT(terms, 2) COUNT(terms, 3) COUNT(terms, 4)

static void sum_run(const struct run *j, enum terms terms, int64_t count)
{
	switch (terms * VECTORS + count) {
		COUNTS(DEVIATIONS)
		COUNTS(GRADIENTS)
		COUNTS(MASKED)
	}
}

/* Rows of cols columns, and the destination of their sums.  shift has one value per column. */
struct block {
	enum terms terms;
	int64_t rows, cols, stride;
	const real *x, *gy, *y;
	const double *shift;
	double *sum, *dot;
};

static void sum_single_rows(const struct block *b, int64_t from)
{
	for (int64_t r = from; r < b->rows; r++) {
		for (int64_t k = 0; k < b->cols; k++) {
			int64_t i = r * b->stride + k;
			double d = (double)b->x[i] - (double)(real)b->shift[k], g = d;

			if (b->terms != DEVIATIONS)
				g = b->gy[i];
			if (b->terms == MASKED && !(b->y[i] > 0))
				g = 0;
			b->sum[k] += g;
			b->dot[k] += g * d;
		}
	}
}

static void sum_block(const struct block *b)
{
	int64_t many = copies(b->rows, b->cols, b->stride, WIDE), width = many * b->cols;
	int64_t wide_rows = width < EBB_VLEN ? 0 : b->rows / many, step = many * b->stride;
	real shift[COLUMNS], sum[COLUMNS], dot[COLUMNS];
	double sums[COLUMNS] = {0}, dots[COLUMNS] = {0};

	for (int64_t k = 0; k < b->cols; k++)
		b->sum[k] = b->dot[k] = 0;
	for (int64_t k = 0; k < width; k++)
		shift[k] = k < b->cols ? (real)b->shift[k] : shift[k - b->cols];
	for (int64_t r = 0; r < wide_rows; r += RUN) {
		struct run j = {b->x + r * step, b->gy ? b->gy + r * step : NULL,
			b->y ? b->y + r * step : NULL, shift, i64_min(RUN, wide_rows - r), step,
			width, 0, sum, dot};

		for (; j.at < width; j.at += VECTORS * EBB_VLEN)
			sum_run(&j, b->terms,
				i64_min(VECTORS, ebb_ceil_div(width - j.at, EBB_VLEN)));
		for (int64_t k = 0; k < width; k++) {
			sums[k] += (double)sum[k];
			dots[k] += (double)dot[k];
		}
	}
	for (int64_t at = 0; at < width; at += b->cols) {
		for (int64_t k = 0; k < b->cols; k++) {
			b->sum[k] += sums[at + k];
			b->dot[k] += dots[at + k];
		}
	}
	sum_single_rows(b, wide_rows * many);
}

struct sum_job {
	struct block all; /* all rows; each task sets rows and sums of its copy */
	int64_t chunk;
	const double *centre; /* one value per column */
	struct moments {
		double n, rest[COLUMNS], m2[COLUMNS];
	} * part; /* the mean is centre + rest */
	double (*sum)[COLUMNS], (*dot)[COLUMNS];
};

static struct block rows_of(const struct sum_job *j, int64_t from, int64_t rows)
{
	struct block b = j->all;

	b.rows = rows;
	b.x += from * b.stride;
	b.gy = b.gy ? b.gy + from * b.stride : NULL;
	b.y = b.y ? b.y + from * b.stride : NULL;
	return b;
}

static int64_t split(struct sum_job *j)
{
	j->chunk = i64_max(ebb_ceil_div(EBB_PIECE, j->all.cols), ebb_ceil_div(j->all.rows, PIECES));
	return ebb_ceil_div(j->all.rows, j->chunk);
}

/* ---- Statistics ------------------------------------------------------------------------------ */

/* Merges the moments of n more rows into *to (Chan, Golub & LeVeque 1979). */
static void merge(struct moments *to, int64_t cols, double n, const double *rest, const double *m2)
{
	double all = to->n + n;

	for (int64_t k = 0; k < cols; k++) {
		double d = rest[k] - to->rest[k];

		to->rest[k] += d * (n / all);
		to->m2[k] += m2[k] + d * d * (to->n * n / all);
	}
	to->n = all;
}

/* Each step sums as many rows as came before, as deviations from the mean of those; the first step
 * uses the mean of its own rows.  So squares of deviations stay of the size of the variance. */
static void stats_piece(void *ctx, int64_t piece, int worker)
{
	const struct sum_job *j = ctx;
	int64_t from = piece * j->chunk, rows = i64_min(j->chunk, j->all.rows - from), n;
	int64_t cols = j->all.cols;
	int64_t first = i64_min(rows, i64_max(16, copies(rows, cols, j->all.stride, WIDE)));
	struct moments *part = &j->part[piece];
	double shift[COLUMNS], sum[COLUMNS], dot[COLUMNS];

	(void)worker;
	part->n = 0;
	for (int64_t k = 0; k < cols; k++)
		part->rest[k] = part->m2[k] = 0;
	for (int64_t r = 0; r < first; r++) {
		const real *x = j->all.x + (from + r) * j->all.stride;

		for (int64_t k = 0; k < cols; k++)
			part->rest[k] += ((double)x[k] - j->centre[k]) / (double)first;
	}
	for (int64_t r = 0; r < rows; r += n) {
		struct block b;

		n = i64_min(r ? r : first, rows - r);
		for (int64_t k = 0; k < cols; k++)
			shift[k] = (double)(real)(j->centre[k] + part->rest[k]);
		b = rows_of(j, from + r, n);
		b.shift = shift;
		b.sum = sum;
		b.dot = dot;
		sum_block(&b);
		for (int64_t k = 0; k < cols; k++) {
			double m2 = dot[k] - sum[k] * sum[k] / (double)n;

			sum[k] = (shift[k] - j->centre[k]) + sum[k] / (double)n;
			dot[k] = m2 < 0 ? 0 : m2;
		}
		merge(part, cols, (double)n, sum, dot);
	}
}

/* A column x[i*stride], i < rows, and the destination of its statistics. */
struct column {
	int64_t rows, stride;
	const real *x;
	double *centre, *rest, *std;
};

/* The statistics of a column in double, of x/2^e, whose elements are at most 1.  A column with an
 * infinity or NaN is left as it is. */
static void scaled_stats(const struct column *c)
{
	double most = 0, first, sum = 0, squares = 0, rest;
	int e;

	for (int64_t i = 0; i < c->rows * c->stride; i += c->stride) {
		double absolute = fabs((double)c->x[i]);

		if (!(absolute <= DBL_MAX))
			return;
		most = absolute > most ? absolute : most;
	}
	frexp(most, &e);
	first = ldexp((double)c->x[0], -e);
	for (int64_t i = 0; i < c->rows * c->stride; i += c->stride)
		sum += ldexp((double)c->x[i], -e) - first;
	rest = sum / (double)c->rows;
	for (int64_t i = 0; i < c->rows * c->stride; i += c->stride) {
		double d = ldexp((double)c->x[i], -e) - first - rest;

		squares += d * d;
	}
	*c->centre = (double)(real)ldexp(first + rest, e);
	*c->rest = ldexp(first - ldexp(*c->centre, -e) + rest, e);
	*c->std = ldexp(sqrt(squares / (double)c->rows), e);
}

/* Whether squares may have left the range of real.  After an overflow, the variance is not finite.
 * After an underflow, it is too small, which matters if eps is as small. */
static bool is_out_of_range(double var, double eps)
{
	return !isfinite(var) || var + eps < (EBB_F64 ? 0x1p-960 : 0x1p-100);
}

/* Splits a mean into the nearest real and the remainder. */
static void split_mean(double *centre, double *rest)
{
	double nearest = (double)(real)(*centre + *rest);

	*rest += *centre - nearest;
	*centre = nearest;
}

EBB_DECLARE(batchnorm_stats);
void EBB_NAME(batchnorm_stats)(int64_t rows, int64_t c, const void *x, double eps, double *centre,
	double *rest, double *std)
{
	struct moments part[PIECES];
	struct sum_job j = {.all = {.terms = DEVIATIONS, .rows = rows, .stride = c}, .part = part};
	int64_t cols = columns_of(c);

	if (rows == 0) {
		for (int64_t k = 0; k < c; k++)
			centre[k] = rest[k] = std[k] = 0;
		return;
	}
	for (int64_t k = 0; k < c; k++)
		centre[k] = (double)((const real *)x)[k];
	for (int64_t at = 0; at < c; at += cols) {
		int64_t pieces;

		j.all.cols = i64_min(cols, c - at);
		j.all.x = (const real *)x + at;
		j.centre = centre + at;
		pieces = split(&j);
		ebb_run_pieces(pieces, stats_piece, &j);
		for (int64_t p = 1; p < pieces; p++)
			merge(&part[0], j.all.cols, part[p].n, part[p].rest, part[p].m2);
		for (int64_t k = 0; k < j.all.cols; k++) {
			double var = part[0].m2[k] / (double)rows;
			struct column column = {
				rows, c, j.all.x + k, &centre[at + k], &rest[at + k], &std[at + k]};

			rest[at + k] = part[0].rest[k];
			split_mean(&centre[at + k], &rest[at + k]);
			std[at + k] = sqrt(var);
			if (is_out_of_range(var, eps))
				scaled_stats(&column);
		}
	}
}

/* ---- Sums of the gradient -------------------------------------------------------------------- */

static void sums_piece(void *ctx, int64_t piece, int worker)
{
	const struct sum_job *j = ctx;
	int64_t from = piece * j->chunk;
	struct block b = rows_of(j, from, i64_min(j->chunk, j->all.rows - from));

	(void)worker;
	b.sum = j->sum[piece];
	b.dot = j->dot[piece];
	sum_block(&b);
}

EBB_DECLARE(batchnorm_sums);
void EBB_NAME(batchnorm_sums)(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
	const double *centre, const double *rest, const double *inv, double *sum_gy,
	double *sum_gyx)
{
	double sums[PIECES][COLUMNS], dots[PIECES][COLUMNS];
	struct sum_job j = {
		.all = {.terms = y ? MASKED : GRADIENTS, .rows = rows, .stride = c},
		.sum = sums,
		.dot = dots,
	};
	int64_t cols = columns_of(c);

	for (int64_t at = 0; at < c; at += cols) {
		int64_t pieces;

		j.all.cols = i64_min(cols, c - at);
		j.all.x = (const real *)x + (rows ? at : 0);
		j.all.gy = (const real *)gy + (rows ? at : 0);
		j.all.y = y ? (const real *)y + at : NULL;
		j.all.shift = centre + at;
		pieces = split(&j);
		ebb_run_pieces(pieces, sums_piece, &j);
		for (int64_t k = 0; k < j.all.cols; k++) {
			double s = 0, d = 0;

			for (int64_t p = 0; p < pieces; p++) {
				s += sums[p][k];
				d += dots[p][k];
			}
			sum_gy[at + k] = s;
			sum_gyx[at + k] = (d - s * rest[at + k]) * inv[at + k];
		}
	}
}

/* ---- Elementwise passes, with d = x - m: y = b*d + c, gx = s*(a*g + b*d + c) ----------------- */

struct affine_job {
	int64_t rows, cols, chunk;
	const real *x, *gy, *y, *residual; /* each may be NULL */
	const double *m, *a, *b, *c, *s;   /* a is read with gy; s with gy and x */
	real *out, *masked;                /* masked may be NULL */
	bool relu, stream;
};

/* Coefficients of a wide row. */
struct coefficients {
	real m[COLUMNS], a[COLUMNS], b[COLUMNS], c[COLUMNS], s[COLUMNS];
};

EBB_INLINE void shift_row(int64_t n, const real *x, const real *residual,
	const struct coefficients *q, bool relu, bool stream, real *out)
{
	const real *m = q->m, *b = q->b, *c = q->c;
	int64_t k = 0;

	for (; stream && k + EBB_VLEN <= n; k += EBB_VLEN) {
		ebb_vec v = ebb_load(b + k) * (ebb_load(x + k) - ebb_load(m + k)) + ebb_load(c + k);

		if (residual)
			v += ebb_load(residual + k);
		/* NaN stays. */
		if (relu)
			v = (ebb_vec)(~(v < 0) & (ebb_whole_vec)v);
		ebb_stream(out + k, v);
	}
	EBB_IVDEP
	for (; k < n; k++) {
		real v = b[k] * (x[k] - m[k]) + c[k];

		if (residual)
			v += residual[k];
		out[k] = relu && v < 0 ? 0 : v;
	}
}

EBB_INLINE void grad_row(int64_t n, const real *x, const real *gy, const real *y,
	const struct coefficients *q, bool stream, real *out, real *masked)
{
	const real *m = q->m, *a = q->a, *b = q->b, *c = q->c, *s = q->s;
	int64_t k = 0;

	for (; stream && k + EBB_VLEN <= n; k += EBB_VLEN) {
		ebb_vec g = ebb_load(gy + k), v;

		if (y)
			g = (ebb_vec)((ebb_load(y + k) > 0) & (ebb_whole_vec)g);
		if (masked)
			ebb_store(masked + k, g);
		v = ebb_load(a + k) * g;
		if (x) {
			v += ebb_load(b + k) * (ebb_load(x + k) - ebb_load(m + k)) +
			     ebb_load(c + k);
			v *= ebb_load(s + k);
		}
		ebb_stream(out + k, v);
	}
	EBB_IVDEP
	for (; k < n; k++) {
		real g = gy[k];

		if (y)
			g = y[k] > 0 ? g : 0;
		if (masked)
			masked[k] = g;
		out[k] = x ? (a[k] * g + (b[k] * (x[k] - m[k]) + c[k])) * s[k] : a[k] * g;
	}
}

/* Processes n elements from element i on. */
static void affine_row(
	const struct affine_job *j, int64_t n, int64_t i, const struct coefficients *q)
{
	const real *x = j->x ? j->x + i : NULL, *gy = j->gy ? j->gy + i : NULL;
	real *out = j->out + i;

	if (gy && x && j->masked)
		grad_row(n, x, gy, j->y + i, q, j->stream, out, j->masked + i);
	else if (gy && x && j->y)
		grad_row(n, x, gy, j->y + i, q, j->stream, out, NULL);
	else if (gy && x)
		grad_row(n, x, gy, NULL, q, j->stream, out, NULL);
	else if (gy && j->masked)
		grad_row(n, NULL, gy, j->y + i, q, j->stream, out, j->masked + i);
	else if (gy && j->y)
		grad_row(n, NULL, gy, j->y + i, q, j->stream, out, NULL);
	else if (gy)
		grad_row(n, NULL, gy, NULL, q, j->stream, out, NULL);
	else if (j->residual)
		shift_row(n, x, j->residual + i, q, true, j->stream, out);
	else if (j->relu)
		shift_row(n, x, NULL, q, true, j->stream, out);
	else
		shift_row(n, x, NULL, q, false, j->stream, out);
}

/* Repeats cols values until there are `width` of them. */
static void fill(real *to, const double *from, int64_t cols, int64_t width)
{
	for (int64_t k = 0; k < cols; k++)
		to[k] = (real)from[k];
	for (int64_t k = cols; k < width; k *= 2)
		memcpy(to + k, to, (size_t)i64_min(k, width - k) * sizeof *to);
}

static void affine_piece(void *ctx, int64_t piece, int worker)
{
	const struct affine_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->rows, from + j->chunk);
	struct coefficients q;

	(void)worker;
	for (int64_t at = 0; at < j->cols; at += COLUMNS) {
		int64_t cols = i64_min(COLUMNS, j->cols - at);
		int64_t many = copies(to - from, cols, j->cols, COLUMNS), width = many * cols;

		if (j->x) {
			fill(q.m, j->m + at, cols, width);
			fill(q.b, j->b + at, cols, width);
			fill(q.c, j->c + at, cols, width);
		}
		if (j->gy)
			fill(q.a, j->a + at, cols, width);
		if (j->gy && j->x)
			fill(q.s, j->s + at, cols, width);
		for (int64_t r = from; r < to; r += many)
			affine_row(
				j, r + many <= to ? width : (to - r) * cols, r * j->cols + at, &q);
	}
	ebb_stream_end();
}

static void affine(struct affine_job j)
{
	if (j.rows == 0 || j.cols == 0)
		return;
	j.chunk = j.rows * j.cols < EBB_PARALLEL_FROM ? j.rows : i64_max(1, EBB_PIECE / j.cols);
	/* Streaming stores need alignment: every row must be whole vectors. */
	j.stream = ebb_streams(j.rows * j.cols) && j.cols % EBB_VLEN == 0 &&
	           ebb_is_aligned(j.out) && j.out != j.gy && j.out != j.x;
	ebb_run_pieces(ebb_ceil_div(j.rows, j.chunk), affine_piece, &j);
}

EBB_DECLARE(scale_shift);
void EBB_NAME(scale_shift)(int64_t rows, int64_t c, const void *x, const double *centre,
	const double *scale, const double *shift, void *y)
{
	affine((struct affine_job){rows, c, .x = x, .m = centre, .b = scale, .c = shift, .out = y});
}

EBB_DECLARE(scale_shift_relu);
void EBB_NAME(scale_shift_relu)(int64_t rows, int64_t c, const void *x, const void *residual,
	const double *centre, const double *scale, const double *shift, void *y)
{
	affine((struct affine_job){rows, c, .x = x, .residual = residual, .m = centre, .b = scale,
		.c = shift, .out = y, .relu = true});
}

EBB_DECLARE(batchnorm_gx);
void EBB_NAME(batchnorm_gx)(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
	const ebb_norm_grad *k, void *gx, void *masked)
{
	affine((struct affine_job){rows, c, .x = x, .gy = gy, .y = y, .m = k->centre, .a = k->by_g,
		.b = k->by_x, .c = k->plus, .s = k->scale, .out = gx, .masked = masked});
}
