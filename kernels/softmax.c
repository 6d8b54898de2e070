/*
 * softmax.c - logsumexp, softmax, log-softmax along one axis, their gradients, and cross-entropy.
 *
 * One line of x is the elements along the axis; a line that is not dense is taken through a block
 * of elements at a time, so that both kinds share one text and one order of summation.
 */
#include "functions.h"

struct lines {
	int64_t outer, len, inner, chunk;
	const real *a, *b;
	real *y;
};

/* The blocks of a line.  Each loads up to EBB_BLOCK elements, stride apart, into a dense array. */
#define EACH_BLOCK(at, m, len)                                                                     \
	for (int64_t at = 0, m; at < (len) && (m = ebb_min(EBB_BLOCK, (len)-at), true);            \
		at += EBB_BLOCK)

EBB_INLINE void load(int64_t m, const real *x, int64_t stride, real pad, real *block)
{
	if (m == EBB_BLOCK && stride == 1) {
		memcpy(block, x, EBB_BLOCK * sizeof(real));
		return;
	}
	for (int64_t i = 0; i < m; i++)
		block[i] = x[i * stride];
	for (int64_t i = m; i < EBB_BLOCK; i++)
		block[i] = pad;
}

EBB_INLINE void store(int64_t m, real *y, int64_t stride, const real *block)
{
	if (m == EBB_BLOCK && stride == 1) {
		memcpy(y, block, EBB_BLOCK * sizeof(real));
		return;
	}
	for (int64_t i = 0; i < m; i++)
		y[i * stride] = block[i];
}

EBB_INLINE double sum_block(const real *block)
{
	double s[4] = {0};

	for (int i = 0; i < EBB_BLOCK; i += 4) {
		for (int k = 0; k < 4; k++)
			s[k] += block[i + k];
	}
	return (s[0] + s[1]) + (s[2] + s[3]);
}

/* The largest element; a NaN does not count. */
static real line_max(int64_t len, const real *x, int64_t stride)
{
	real most[EBB_BLOCK], block[EBB_BLOCK];

	for (int k = 0; k < EBB_BLOCK; k++)
		most[k] = -INFINITY;
	EACH_BLOCK(i, m, len)
	{
		load(m, x + i * stride, stride, -INFINITY, block);
		for (int k = 0; k < EBB_BLOCK; k++)
			most[k] = block[k] > most[k] ? block[k] : most[k];
	}
	for (int k = 1; k < EBB_BLOCK; k++)
		most[0] = most[k] > most[0] ? most[k] : most[0];
	return most[0];
}

/* The sum of exp(x - shift); the terms go to y where it is not NULL. */
static double line_exp(int64_t len, const real *x, int64_t stride, real shift, real *y)
{
	double s = 0;
	real block[EBB_BLOCK];

	EACH_BLOCK(i, m, len)
	{
		load(m, x + i * stride, stride, -INFINITY, block);
		for (int k = 0; k < EBB_BLOCK; k++)
			block[k] = ebb_exp(block[k] - shift);
		if (m < EBB_BLOCK) {
			for (int64_t k = m; k < EBB_BLOCK; k++)
				block[k] = 0; /* an infinite shift would make it NaN */
		}
		s += sum_block(block);
		if (y)
			store(m, y + i * stride, stride, block);
	}
	return s;
}

static void scale_line(int64_t len, real *y, int64_t stride, real by)
{
	for (int64_t i = 0; i < len; i++)
		y[i * stride] *= by;
}

static void logsumexp_line(const struct lines *j, int64_t line, int64_t from)
{
	real m = line_max(j->len, j->a + from, j->inner);

	m = m - m == 0 ? m : 0;
	j->y[line] = (real)(m + log(line_exp(j->len, j->a + from, j->inner, m, NULL)));
}

static void softmax_line(const struct lines *j, int64_t line, int64_t from)
{
	real m = line_max(j->len, j->a + from, j->inner);
	double s = line_exp(j->len, j->a + from, j->inner, m, j->y + from);

	(void)line;
	scale_line(j->len, j->y + from, j->inner, (real)(1 / s));
}

static void log_softmax_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *x = j->a + from;
	real m = line_max(j->len, x, j->inner), *y = j->y + from;
	real s = (real)log(line_exp(j->len, x, j->inner, m, NULL));

	(void)line;
	for (int64_t i = 0; i < j->len; i++)
		y[i * j->inner] = x[i * j->inner] - m - s;
}

static void softmax_grad_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *gy = j->a + from, *y = j->b + from;
	real *gx = j->y + from, u[EBB_BLOCK], v[EBB_BLOCK], dot;
	double s = 0;

	(void)line;
	EACH_BLOCK(i, m, j->len)
	{
		load(m, gy + i * j->inner, j->inner, 0, u);
		load(m, y + i * j->inner, j->inner, 0, v);
		for (int k = 0; k < EBB_BLOCK; k++)
			s += (double)u[k] * (double)v[k];
	}
	dot = (real)s;
	for (int64_t i = 0; i < j->len; i++)
		gx[i * j->inner] = y[i * j->inner] * (gy[i * j->inner] - dot);
}

static void log_softmax_grad_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *gy = j->a + from, *y = j->b + from;
	real *gx = j->y + from, u[EBB_BLOCK], v[EBB_BLOCK], sum;
	double s = 0;

	(void)line;
	EACH_BLOCK(i, m, j->len)
	{
		load(m, gy + i * j->inner, j->inner, 0, u);
		s += sum_block(u);
	}
	sum = (real)s;
	EACH_BLOCK(i, m, j->len)
	{
		load(m, gy + i * j->inner, j->inner, 0, u);
		load(m, y + i * j->inner, j->inner, 0, v);
		for (int k = 0; k < EBB_BLOCK; k++)
			u[k] -= ebb_exp(v[k]) * sum;
		store(m, gx + i * j->inner, j->inner, u);
	}
}

#define LINES(name)                                                                                \
	static void name##_piece(void *ctx, int64_t piece, int worker)                             \
	{                                                                                          \
		const struct lines *j = ctx;                                                       \
		int64_t to = ebb_min(j->outer * j->inner, (piece + 1) * j->chunk);                 \
                                                                                                   \
		(void)worker;                                                                      \
		for (int64_t i = piece * j->chunk; i < to; i++)                                    \
			name##_line(j, i, i / j->inner * j->len * j->inner + i % j->inner);        \
	}                                                                                          \
	static void run_##name(                                                                    \
		int64_t outer, int64_t len, int64_t inner, const void *a, const void *b, void *y)  \
	{                                                                                          \
		struct lines j = {outer, len, inner, 0, a, b, y};                                  \
		int64_t count = outer * inner;                                                     \
                                                                                                   \
		if (count == 0)                                                                    \
			return;                                                                    \
		j.chunk = count * len < EBB_PARALLEL_FROM ? count : ebb_max(1, EBB_PIECE / len);   \
		ebb_run(ebb_ceil_div(count, j.chunk), name##_piece, &j);                           \
	}

#define LINES_1(name)                                                                              \
	LINES(name)                                                                                \
	EBB_DECLARE(name);                                                                         \
	void EBB_NAME(name)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y)     \
	{                                                                                          \
		run_##name(outer, len, inner, x, NULL, y);                                         \
	}

#define LINES_2(name)                                                                              \
	LINES(name)                                                                                \
	EBB_DECLARE(name);                                                                         \
	void EBB_NAME(name)(int64_t outer, int64_t len, int64_t inner, const void *gy,             \
		const void *y, void *gx)                                                           \
	{                                                                                          \
		run_##name(outer, len, inner, gy, y, gx);                                          \
	}

LINES_1(logsumexp)
LINES_1(softmax)
LINES_1(log_softmax)
LINES_2(softmax_grad)
LINES_2(log_softmax_grad)

/* ---- Cross-entropy --------------------------------------------------------------------------- */

struct entropy_job {
	int64_t n, classes, chunk, ignore, gs;
	const real *x, *g;
	const int64_t *label;
	double scale;
	real *loss, *p;
};

static void entropy_piece(void *ctx, int64_t piece, int worker)
{
	const struct entropy_job *j = ctx;
	int64_t to = ebb_min(j->n, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t i = piece * j->chunk; i < to; i++) {
		const real *x = j->x + i * j->classes;
		real m = line_max(j->classes, x, 1), *p = j->p + i * j->classes;
		double s = line_exp(j->classes, x, 1, m, p);

		scale_line(j->classes, p, 1, (real)(1 / s));
		j->loss[i] = 0;
		if (j->label[i] != j->ignore)
			j->loss[i] = (real)((double)m - (double)x[j->label[i]] + log(s));
	}
}

EBB_DECLARE(cross_entropy);
void EBB_NAME(cross_entropy)(int64_t n, int64_t classes, const void *x, const int64_t *label,
	int64_t ignore, void *loss, void *p)
{
	struct entropy_job j = {.n = n,
		.classes = classes,
		.ignore = ignore,
		.x = x,
		.label = label,
		.loss = loss,
		.p = p};

	if (n == 0)
		return;
	j.chunk = n * classes < EBB_PARALLEL_FROM ? n : ebb_max(1, EBB_PIECE / classes);
	ebb_run(ebb_ceil_div(n, j.chunk), entropy_piece, &j);
}

static void entropy_grad_piece(void *ctx, int64_t piece, int worker)
{
	const struct entropy_job *j = ctx;
	int64_t to = ebb_min(j->n, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t i = piece * j->chunk; i < to; i++) {
		const real *p = j->x + i * j->classes;
		real *gx = j->p + i * j->classes;
		bool ignored = j->label[i] == j->ignore;
		real by = ignored ? 0 : (real)((double)j->g[i * j->gs] * j->scale);

		for (int64_t k = 0; k < j->classes; k++)
			gx[k] = ignored ? 0 : by * p[k];
		if (!ignored)
			gx[j->label[i]] = by * (p[j->label[i]] - 1);
	}
}

EBB_DECLARE(cross_entropy_grad);
void EBB_NAME(cross_entropy_grad)(int64_t n, int64_t classes, const void *p, const int64_t *label,
	int64_t ignore, const void *g, int64_t gs, double scale, void *gx)
{
	struct entropy_job j = {.n = n,
		.classes = classes,
		.ignore = ignore,
		.gs = gs,
		.x = p,
		.g = g,
		.label = label,
		.scale = scale,
		.p = gx};

	if (n == 0)
		return;
	j.chunk = n * classes < EBB_PARALLEL_FROM ? n : ebb_max(1, EBB_PIECE / classes);
	ebb_run(ebb_ceil_div(n, j.chunk), entropy_grad_piece, &j);
}
