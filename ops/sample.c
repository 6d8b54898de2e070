/* sample.c - random integers: uniform, permutations, and draws by weight. */
#include "ops/internal.h"

static const ebb_op RANDINT = {.name = "randint", .vjp = ebb_zero_vjp};
static const ebb_op RANDPERM = {.name = "randperm", .vjp = ebb_zero_vjp};

ebb_tensor *(ebb_randint)(ebb_tape *t, ebb_shape shape, int64_t low, int64_t high, const char *site)
{
	ebb_call c = ebb_begin(t, &RANDINT, site, 0, NULL);
	ebb_tensor *y;
	ebb_random r;

	if (!c.t)
		return NULL;
	if (low >= high)
		return ebb_call_fail(&c, EBB_INVALID, "low is %lld, high %lld; low must be less",
			(long long)low, (long long)high);
	y = ebb_new(&c, EBB_I64, shape, EBB_ROWS);
	if (!y)
		return NULL;
	r = ebb_random_next(t);
	ebb_random_integers(y->count, r.seed, r.stream, low, (uint64_t)high - (uint64_t)low,
		(int64_t *)(void *)y->data);
	return y;
}

/* Fisher and Yates, as in Durstenfeld 1964: number i takes a random one of the first i + 1 places,
 * whose number moves to place i. */
ebb_tensor *(ebb_randperm)(ebb_tape *t, int64_t n, const char *site)
{
	ebb_call c = ebb_begin(t, &RANDPERM, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_I64, EBB_SHAPE(n), EBB_ROWS);
	ebb_random r;
	int64_t *p;

	if (!y)
		return NULL;
	r = ebb_random_next(t);
	p = (int64_t *)(void *)y->data;
	for (int64_t i = 0; i < n; i++) {
		uint64_t k = ebb_random_below(r.seed, r.stream, (uint64_t)i, (uint64_t)i + 1);

		p[i] = i;
		p[i] = p[k];
		p[k] = i;
	}
	return y;
}

/* ---- multinomial ----------------------------------------------------------------------------- */

/* Without a vjp: weights that require a gradient are an error. */
static const ebb_op MULTINOMIAL = {.name = "multinomial", .takes = {EBB_ROWS}};

/* Checks row r of weights, which has at least need weights above 0. */
static bool row_fits(ebb_call *c, const double *w, int64_t r, int64_t classes, int64_t need)
{
	int64_t positive = 0;

	for (int64_t k = 0; k < classes; k++) {
		if (!(w[k] >= 0) || isinf(w[k])) {
			ebb_call_fail(c, EBB_INVALID,
				"weight %lld of row %lld is %g; expected a finite number of at "
				"least 0",
				(long long)k, (long long)r, w[k]);
			return false;
		}
		positive += w[k] > 0;
	}
	if (positive >= need)
		return true;
	ebb_call_fail(c, EBB_INVALID,
		"row %lld of weights has %lld weights above 0; the draws need %lld", (long long)r,
		(long long)positive, (long long)need);
	return false;
}

/* With replacement: the first class whose cumulative weight exceeds u times the sum.  A class of
 * weight 0 does not change the cumulative weight, so it is never the first.  The weights are
 * divided by the largest one, so that the sum does not overflow. */
static void draw_again(double *w, int64_t classes, const double *u, int64_t count, int64_t *y)
{
	double most = 0, sum = 0;

	for (int64_t k = 0; k < classes; k++)
		most = fmax(most, w[k]);
	for (int64_t k = 0; k < classes; k++)
		w[k] = sum += w[k] / most;
	for (int64_t i = 0; i < count; i++) {
		int64_t first = 0, last = classes - 1;

		while (first < last) {
			int64_t middle = first + (last - first) / 2;

			if (w[middle] > u[i] * sum)
				last = middle;
			else
				first = middle + 1;
		}
		y[i] = first;
	}
}

/* Without replacement, draws are in the order of decreasing log w + g, where g = -log(-log(1-u))
 * has the Gumbel distribution (Efraimidis & Spirakis 2006; Kool et al. 2019). */
static void add_gumbel(double *w, int64_t n, const double *u)
{
	for (int64_t k = 0; k < n; k++)
		w[k] = w[k] > 0 ? log(w[k]) - log(-log1p(-u[k])) : -INFINITY;
}

/* Scratch memory for doubles [rows,columns]; NULL if there are none. */
static double *doubles(ebb_call *c, int64_t rows, int64_t columns)
{
	int64_t n = ebb_checked_count(EBB_SHAPE(rows, columns), EBB_F64);

	if (n < 0)
		ebb_call_fail(c, EBB_BAD_SHAPE, "%lld draws from each of %lld rows are too many",
			(long long)columns, (long long)rows);
	return n > 0 ? ebb_scratch(c, (size_t)n * sizeof(double)) : NULL;
}

/* y [rows,count] from w [rows,classes], which are checked and not empty. */
static void draw(ebb_call *c, double *w, int64_t rows, int64_t classes, int64_t count,
	bool replacement, int64_t *y)
{
	int64_t each = replacement ? count : classes;
	double *u = doubles(c, rows, each);
	size_t bytes = ebb_sort_workspace(rows, count);
	void *ws = u && !replacement && bytes ? ebb_scratch(c, bytes) : NULL;
	ebb_random r;

	if (!u || (!replacement && !ws)) {
		if (c->t)
			ebb_call_fail(
				c, EBB_NO_MEMORY, "no memory for %lld draws", (long long)count);
		return;
	}
	r = ebb_random_next(c->t);
	ebb_kernels_of(EBB_F64)->uniform(rows * each, r.seed, r.stream, 0.0, 1.0, u);
	if (replacement) {
		for (int64_t i = 0; i < rows; i++)
			draw_again(w + i * classes, classes, u + i * count, count, y + i * count);
	} else {
		add_gumbel(w, rows * classes, u);
		ebb_sort_index(EBB_ELEMENT_F64, true, rows, classes, 1, count, w, y, ws);
	}
}

ebb_tensor *(ebb_multinomial)(const ebb_multinomial_args *a)
{
	ebb_tensor *x = a->weights, *y;
	ebb_call c = ebb_begin(a->t, &MULTINOMIAL, a->site, 1, &x);
	int64_t classes, rows, need = a->replacement && a->count > 0 ? 1 : a->count;
	ebb_shape shape;
	double *w;
	char text[240];

	if (!ebb_check_real(&c, 0, "weights"))
		return NULL;
	if (x->ndim < 1)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "weights must be [..,K], got %s",
			ebb_describe(x, text, sizeof text));
	if (a->count < 1)
		return ebb_call_fail(
			&c, EBB_INVALID, "count is %lld; expected at least 1", (long long)a->count);
	shape = ebb_shape_of(x);
	classes = shape.dims[x->ndim - 1];
	rows = classes ? x->count / classes : 0;
	shape.dims[x->ndim - 1] = a->count;
	y = ebb_new(&c, EBB_I64, shape, EBB_ROWS);
	if (!y || !y->count)
		return ebb_record(&c, y);
	if (!classes)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "there are no weights to draw from: %s",
			ebb_describe(x, text, sizeof text));
	w = doubles(&c, rows, classes);
	if (!w)
		return NULL;
	if (x->dtype == EBB_F64)
		memcpy(w, x->data, (size_t)x->count * sizeof *w);
	else
		ebb_kernels_of(EBB_F64)->from_f32(
			x->count, (const float *)(const void *)x->data, w);
	for (int64_t r = 0; r < rows; r++)
		if (!row_fits(&c, w + r * classes, r, classes, need))
			return NULL;
	draw(&c, w, rows, classes, a->count, a->replacement, (int64_t *)(void *)y->data);
	return c.t ? ebb_record(&c, y) : NULL;
}
