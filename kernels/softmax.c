/*
 * softmax.c - logsumexp, softmax, log-softmax along one axis, their gradients, and cross-entropy.
 *
 * A line is the elements of x along the axis.  Lines are processed in blocks of EBB_BLOCK
 * elements; a block that is not contiguous is copied to a dense array.  So contiguous and strided
 * lines share one text and one order of summation.
 *
 * If one element has nearly all of the probability p of a line, 1 - p has only rounding errors.
 * Its logarithm and its gradients are then computed from the sum of the other elements.
 */
#include "functions.h"
#include "lanes.h"

struct lines {
	int64_t outer, len, inner, chunk;
	const real *a, *b;
	real *y;
};

/* Loops over the blocks of a line: m elements from element `at` on. */
#define EACH_BLOCK(at, m, len)                                                                     \
	for (int64_t at = 0, m; at < (len) && (m = i64_min(EBB_BLOCK, (len)-at), true);            \
		at += EBB_BLOCK)

/* The vectors of a block. */
enum { PARTS = EBB_BLOCK / EBB_VLEN };

static const ebb_whole NUMBERS[EBB_BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

EBB_INLINE ebb_vec choose(ebb_whole_vec which, ebb_vec a, ebb_vec b)
{
	return (ebb_vec)((which & (ebb_whole_vec)a) | (~which & (ebb_whole_vec)b));
}

EBB_INLINE void load(int64_t m, const real *x, int64_t stride, real pad, real *block)
{
	if (m == EBB_BLOCK && stride == 1) {
		memcpy(block, x, EBB_BLOCK * sizeof(real));
		return;
	}
	if (stride == 1) {
		for (int p = 0; p < PARTS; p++) {
			int64_t at = i64_min(m, p * EBB_VLEN), n = i64_min(m - at, EBB_VLEN);
			ebb_whole_vec which;

			memcpy(&which, NUMBERS + p * EBB_VLEN, sizeof which);
			ebb_store(block + p * EBB_VLEN,
				choose(which < (ebb_whole)m, ebb_load_part(x + at, n),
					(ebb_vec){0} + pad));
		}
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

/* A block in place if it is whole and contiguous, else copied to `block`. */
EBB_INLINE const real *block_of(int64_t m, const real *x, int64_t stride, real pad, real *block)
{
	if (m == EBB_BLOCK && stride == 1)
		return x;
	load(m, x, stride, pad, block);
	return block;
}

/* The largest element of each lane over several blocks; NaN is ignored. */
struct most {
	ebb_vec part[PARTS];
};

EBB_INLINE void see(struct most *most, const real *block)
{
	for (int p = 0; p < PARTS; p++) {
		ebb_vec v = ebb_load(block + p * EBB_VLEN);

		most->part[p] = choose(v > most->part[p], v, most->part[p]);
	}
}

EBB_INLINE struct most least(void)
{
	struct most most;

	for (int p = 0; p < PARTS; p++)
		most.part[p] = (ebb_vec){0} - (real)INFINITY;
	return most;
}

EBB_INLINE real largest_of(const struct most *most)
{
	ebb_vec all = most->part[0];
	real lanes[EBB_VLEN];

	for (int p = 1; p < PARTS; p++)
		all = choose(most->part[p] > all, most->part[p], all);
	ebb_store(lanes, all);
	for (int k = 1; k < EBB_VLEN; k++)
		lanes[0] = lanes[k] > lanes[0] ? lanes[k] : lanes[0];
	return lanes[0];
}

static real line_max(int64_t len, const real *x, int64_t stride)
{
	struct most most = least();
	real block[EBB_BLOCK];

	EACH_BLOCK(i, m, len)
	{
		see(&most, block_of(m, x + i * stride, stride, -INFINITY, block));
	}
	return largest_of(&most);
}

/* The value to subtract from a line: its maximum, or 0 if all elements are -inf. */
EBB_INLINE real line_shift(int64_t len, const real *x, int64_t stride)
{
	real m = line_max(len, x, stride);

	return m == -INFINITY ? 0 : m;
}

EBB_INLINE double exp_of_line(
	int64_t len, const real *x, int64_t stride, real shift, real *y, bool less_one)
{
	double s = 0;
	ebb_whole_vec ones = {0};
	real block[EBB_BLOCK];

	EACH_BLOCK(i, m, len)
	{
		load(m, x + i * stride, stride, -INFINITY, block);
		for (int k = 0; k < EBB_BLOCK; k++)
			block[k] = real_exp(block[k] - shift);
		if (y)
			store(m, y + i * stride, stride, block);
		for (int p = 0; p < PARTS && less_one; p++) {
			ebb_vec v = ebb_load(block + p * EBB_VLEN);
			ebb_whole_vec one = v == 1;

			ones -= one;
			ebb_store(block + p * EBB_VLEN, (ebb_vec)(~one & (ebb_whole_vec)v));
		}
		s += sum_block(block);
	}
	if (less_one) {
		int64_t count = 0;

		for (int k = 0; k < EBB_VLEN; k++)
			count += ones[k];
		s += (double)(count - 1);
	}
	return s;
}

/* The sum of exp(x - shift); the terms go to y where it is not NULL. */
EBB_INLINE double line_exp(int64_t len, const real *x, int64_t stride, real shift, real *y)
{
	return exp_of_line(len, x, stride, shift, y, false);
}

/* line_exp less 1, for log1p.  The terms that are 1, such as that of the maximum, are counted
 * separately from the smaller terms. */
EBB_INLINE double line_exp_less_one(int64_t len, const real *x, int64_t stride, real shift, real *y)
{
	return exp_of_line(len, x, stride, shift, y, true);
}

/* The first position of a value in a line that contains it. */
static int64_t line_find(int64_t len, const real *x, int64_t stride, real value)
{
	real block[EBB_BLOCK];

	EACH_BLOCK(i, m, len)
	{
		const real *from = block_of(m, x + i * stride, stride, NAN, block);
		ebb_whole_vec found = {0};
		ebb_whole any = 0;

		for (int p = 0; p < PARTS; p++)
			found |= ebb_load(from + p * EBB_VLEN) == value;
		for (int k = 0; k < EBB_VLEN; k++)
			any |= found[k];
		for (int64_t k = 0; any && k < m; k++)
			if (from[k] == value)
				return i + k;
	}
	return 0;
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
	j->y[line] = (real)(m + log1p(line_exp_less_one(j->len, j->a + from, j->inner, m, NULL)));
}

/* Softmax, unless the maximum is infinite.  If it is +inf, the elements that are +inf get equal
 * shares of 1.  If it is -inf, all results are 0. */
static void logsumexp_slope_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *x = j->a + from;
	real m = line_max(j->len, x, j->inner), *p = j->y + from;
	int64_t infinite = 0;

	(void)line;
	if (real_abs(m) < INFINITY) {
		double s = line_exp(j->len, x, j->inner, m, p);

		scale_line(j->len, p, j->inner, (real)(1 / s));
		return;
	}
	for (int64_t i = 0; i < j->len; i++)
		infinite += x[i * j->inner] == INFINITY;
	for (int64_t i = 0; i < j->len; i++) {
		real v = x[i * j->inner];

		p[i * j->inner] = v == INFINITY ? 1 / (real)infinite : v != v ? v : 0;
	}
}

static void softmax_line(const struct lines *j, int64_t line, int64_t from)
{
	real m = line_shift(j->len, j->a + from, j->inner);
	double s = line_exp(j->len, j->a + from, j->inner, m, j->y + from);

	(void)line;
	scale_line(j->len, j->y + from, j->inner, (real)(s == 0 ? 0 : 1 / s));
}

static void log_softmax_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *x = j->a + from;
	real m = line_shift(j->len, x, j->inner), *y = j->y + from;
	double rest = line_exp_less_one(j->len, x, j->inner, m, NULL);
	real s = (real)(rest == -1 ? 0 : log1p(rest)); /* -1: all is -inf, and so is y */

	(void)line;
	for (int64_t i = 0; i < j->len; i++)
		y[i * j->inner] = x[i * j->inner] - m - s;
}

/* An element y > 1/2 has the gradient y * sum over k of y[k]*(gy - gy[k]), in which its own term
 * is 0. */
static void softmax_grad_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *gy = j->a + from, *y = j->b + from;
	real *gx = j->y + from, u[EBB_BLOCK], v[EBB_BLOCK], dot, largest;
	struct most most = least();
	double s = 0;

	(void)line;
	EACH_BLOCK(i, m, j->len)
	{
		load(m, gy + i * j->inner, j->inner, 0, u);
		load(m, y + i * j->inner, j->inner, 0, v);
		for (int k = 0; k < EBB_BLOCK; k++)
			s += (double)u[k] * (double)v[k];
		see(&most, v);
	}
	dot = (real)s;
	for (int64_t i = 0; i < j->len; i++)
		gx[i * j->inner] = y[i * j->inner] * (gy[i * j->inner] - dot);
	largest = largest_of(&most);
	if (largest > (real)0.5) {
		int64_t at = line_find(j->len, y, j->inner, largest) * j->inner;
		double own = (double)gy[at];

		s = 0;
		EACH_BLOCK(i, m, j->len)
		{
			load(m, gy + i * j->inner, j->inner, 0, u);
			load(m, y + i * j->inner, j->inner, 0, v);
			for (int k = 0; k < EBB_BLOCK; k++)
				s += (double)v[k] * (own - (double)u[k]);
		}
		gx[at] = (real)((double)largest * s);
	}
}

/* An element with exp(y) > 1/2 has the gradient gy*(1 - exp(y)) - exp(y)*(sum of the other
 * elements' gy). */
static void log_softmax_grad_line(const struct lines *j, int64_t line, int64_t from)
{
	const real *gy = j->a + from, *y = j->b + from;
	real *gx = j->y + from, u[EBB_BLOCK], v[EBB_BLOCK], sum, largest;
	struct most most = least();
	double s = 0;

	(void)line;
	EACH_BLOCK(i, m, j->len)
	{
		s += sum_block(block_of(m, gy + i * j->inner, j->inner, 0, u));
		see(&most, block_of(m, y + i * j->inner, j->inner, -INFINITY, v));
	}
	sum = (real)s;
	EACH_BLOCK(i, m, j->len)
	{
		load(m, gy + i * j->inner, j->inner, 0, u);
		load(m, y + i * j->inner, j->inner, 0, v);
		for (int k = 0; k < EBB_BLOCK; k++)
			u[k] -= real_exp(v[k]) * sum;
		store(m, gx + i * j->inner, j->inner, u);
	}
	largest = largest_of(&most);
	if (largest > (real)-0.693) {
		int64_t at = line_find(j->len, y, j->inner, largest);
		double own = (double)gy[at * j->inner], log_p = (double)largest;

		s = 0;
		EACH_BLOCK(i, m, j->len)
		{
			load(m, gy + i * j->inner, j->inner, 0, u);
			if (i <= at && at < i + m)
				u[at - i] = 0;
			s += sum_block(u);
		}
		gx[at * j->inner] = (real)(-own * expm1(log_p) - exp(log_p) * s);
	}
}

#define LINES(name)                                                                                \
	static void name##_piece(void *ctx, int64_t piece, int worker)                             \
	{                                                                                          \
		const struct lines *j = ctx;                                                       \
		int64_t to = i64_min(j->outer * j->inner, (piece + 1) * j->chunk);                 \
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
		j.chunk = count * len < EBB_PARALLEL_FROM ? count : i64_max(1, EBB_PIECE / len);   \
		ebb_run_pieces(ebb_ceil_div(count, j.chunk), name##_piece, &j);                    \
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
LINES_1(logsumexp_slope)
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
	real *loss, *d;
};

/* The probability of the label less 1 is -(sum of the other terms)/(sum of all terms), which is
 * accurate even if the term of the label is nearly the whole sum. */
static void entropy_piece(void *ctx, int64_t piece, int worker)
{
	const struct entropy_job *j = ctx;
	int64_t to = i64_min(j->n, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t i = piece * j->chunk; i < to; i++) {
		const real *x = j->x + i * j->classes;
		int64_t label = j->label[i];
		real m = line_shift(j->classes, x, 1), *d = j->d + i * j->classes;
		double rest = line_exp_less_one(j->classes, x, 1, m, d), s = 1 + rest;
		bool none = s == 0; /* all elements are -inf: every probability is 0 */
		double own = label == j->ignore ? 0 : (double)d[label];

		scale_line(j->classes, d, 1, (real)(none ? 0 : 1 / s));
		j->loss[i] = 0;
		if (label == j->ignore)
			continue;
		j->loss[i] = (real)((double)m - (double)x[label] + (none ? 0 : log1p(rest)));
		d[label] = (real)(none ? -1 : -(rest + (1 - own)) / s);
	}
}

EBB_DECLARE(cross_entropy);
void EBB_NAME(cross_entropy)(int64_t n, int64_t classes, const void *x, const int64_t *label,
	int64_t ignore, void *loss, void *d)
{
	struct entropy_job j = {.n = n,
		.classes = classes,
		.ignore = ignore,
		.x = x,
		.label = label,
		.loss = loss,
		.d = d};

	if (n == 0)
		return;
	j.chunk = n * classes < EBB_PARALLEL_FROM ? n : i64_max(1, EBB_PIECE / classes);
	ebb_run_pieces(ebb_ceil_div(n, j.chunk), entropy_piece, &j);
}

static void entropy_grad_piece(void *ctx, int64_t piece, int worker)
{
	const struct entropy_job *j = ctx;
	int64_t to = i64_min(j->n, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t i = piece * j->chunk; i < to; i++) {
		const real *d = j->x + i * j->classes;
		real *gx = j->d + i * j->classes;
		bool ignored = j->label[i] == j->ignore;
		real by = ignored ? 0 : (real)((double)j->g[i * j->gs] * j->scale);

		for (int64_t k = 0; k < j->classes; k++)
			gx[k] = ignored ? 0 : by * d[k];
	}
}

EBB_DECLARE(cross_entropy_grad);
void EBB_NAME(cross_entropy_grad)(int64_t n, int64_t classes, const void *d, const int64_t *label,
	int64_t ignore, const void *g, int64_t gs, double scale, void *gx)
{
	struct entropy_job j = {.n = n,
		.classes = classes,
		.ignore = ignore,
		.gs = gs,
		.x = d,
		.g = g,
		.label = label,
		.scale = scale,
		.d = gx};

	if (n == 0)
		return;
	j.chunk = n * classes < EBB_PARALLEL_FROM ? n : i64_max(1, EBB_PIECE / classes);
	ebb_run_pieces(ebb_ceil_div(n, j.chunk), entropy_grad_piece, &j);
}
