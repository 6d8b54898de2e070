/* attention_random.c - attention of random shapes, memory orders, masks and options: the value equals
 * plain loops, and the fused gradient equals the gradient composed of ops. */
#include "tests/ops/ops_test.h"
#include "tests/support/sanitized.h"

typedef struct problem {
	ebb_tensor *x[4]; /* q, k, v, mask or NULL */
	bool causal, grouped;
	int64_t past;
	double scale;
} problem;

static ebb_tape *t;
static uint64_t state;

static int64_t below(int64_t n)
{
	return (int64_t)(test_random(&state) % (uint64_t)n);
}

static int64_t one_of(const int64_t *choices, int n)
{
	return choices[below(n)];
}
#define ONE_OF(...)                                                                                \
	one_of((const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static bool is_real(const ebb_tensor *x)
{
	return ebb_dtype_of(x) == EBB_F64;
}

/* The leading axes, each with its size, 1, or left out at the front, then two more. */
static ebb_shape shape_of(const ebb_shape *lead, int64_t heads, int64_t rows, int64_t width)
{
	ebb_shape s = {0, {0}};
	int first = heads > 0 ? 0 : (int)below(lead->ndim + 1);

	for (int d = first; d < lead->ndim; d++)
		s.dims[s.ndim++] = below(3) ? lead->dims[d] : 1;
	if (heads > 0)
		s.dims[s.ndim - 1] = heads;
	s.dims[s.ndim++] = rows;
	s.dims[s.ndim++] = width;
	return s;
}

/* A random tensor: row-major, with the heads of a position adjacent, as a part of a wider buffer, or
 * with its rows' elements apart. */
static ebb_tensor *random_tensor(ebb_shape s)
{
	ebb_shape other = s;
	int n = s.ndim, order = (int)below(4);

	if (order == 1 && n > 2) {
		other.dims[n - 2] = s.dims[n - 3];
		other.dims[n - 3] = s.dims[n - 2];
		return ebb_transpose(t, ebb_randn(t, other), -3, -2);
	}
	if (order == 2) {
		other.dims[n - 1] = 3 * s.dims[n - 1];
		return ebb_slice(t, ebb_randn(t, other), -1, s.dims[n - 1], 2 * s.dims[n - 1], 1);
	}
	if (order == 3) {
		other.dims[n - 1] = s.dims[n - 2];
		other.dims[n - 2] = s.dims[n - 1];
		return ebb_transpose(t, ebb_randn(t, other), -2, -1);
	}
	return ebb_randn(t, s);
}

/* A mask of whole rows and single keys, of numbers or of zeros and ones. */
static ebb_tensor *random_mask(const ebb_shape *lead, int64_t queries, int64_t keys)
{
	ebb_shape s = shape_of(lead, 0, below(3) ? queries : 1, below(4) ? keys : 1);
	ebb_tensor *real = ebb_randn(t, s), *rows = ebb_randn(t, s), *x;
	int kind = (int)below(3);

	rows = ebb_expand(t, ebb_slice(t, rows, -1, 0, 1, 1), s);
	x = ebb_less(t, ebb_maximum(t, real, rows), ebb_scalar(t, 0.9));
	if (kind == 0)
		return ebb_where(t, x, real, ebb_scalar(t, -INFINITY));
	return kind == 1 ? x : ebb_cast(t, x, EBB_I64);
}

static problem random_problem(void)
{
	ebb_shape lead = {0, {0}};
	int64_t queries = ONE_OF(1, 2, 7, 33, 70), keys = ONE_OF(1, 3, 40, 65, 130);
	int64_t width = ONE_OF(1, 2, 7, 8, 17), values = ONE_OF(1, 3, 8, 16, 19), groups;
	problem p = {.causal = below(2), .scale = ONE_OF(0, 1) ? 0.25 : 0};

	lead.ndim = (int)below(4);
	for (int d = 0; d < lead.ndim; d++)
		lead.dims[d] = ONE_OF(1, 2, 3, 6);
	p.grouped = lead.ndim > 0 && below(2);
	groups = p.grouped ? lead.dims[lead.ndim - 1] : 0;
	if (groups)
		groups /= ONE_OF(1, groups % 2 ? 1 : 2, groups % 3 ? 1 : 3);
	p.past = ONE_OF(0, 0, 2, 60, keys + 5, INT64_MAX);
	p.x[0] = random_tensor(
		shape_of(&lead, p.grouped ? lead.dims[lead.ndim - 1] : 0, queries, width));
	p.x[1] = random_tensor(shape_of(&lead, groups, keys, width));
	p.x[2] = random_tensor(shape_of(&lead, groups, keys, values));
	if (below(2)) {
		/* The mask has no leading axis that q and k lack. */
		ebb_shape q = ebb_shape_of(p.x[0]);

		q.ndim -= 2;
		p.x[3] = random_mask(&q, queries, keys);
	}
	return p;
}

static ebb_tensor *attend(const problem *p, ebb_tensor *const *x)
{
	return ebb_attention(t, x[0], x[1], x[2], .mask = x[3], .causal = p->causal,
		.grouped = p->grouped, .past = p->past, .scale = p->scale);
}

/* ---- The value by loops ---------------------------------------------------------------------- */

/* The element [at..,row,column] of x, whose leading axes broadcast to those of y; a head of y reads a
 * head of k and v with grouped heads. */
static double element(
	const array *x, const array *y, const int64_t *at, int64_t row, int64_t column)
{
	int64_t own[EBB_MAX_DIMS];
	int n = x->shape.ndim;

	for (int d = 0; d < n; d++) {
		int whole = d + y->shape.ndim - n;
		int64_t size = x->shape.dims[d];

		own[d] = d == n - 1 ? column : d == n - 2 ? row : at[whole];
		if (size == 1)
			own[d] = 0;
		else if (d == n - 3 && size != y->shape.dims[whole])
			own[d] /= y->shape.dims[whole] / size;
	}
	return x->v[flat_index(&x->shape, own)];
}

static double score(
	const problem *p, const array *x, const array *y, const int64_t *at, int64_t key)
{
	int n = y->shape.ndim;
	int64_t row = at[n - 2], width = x[0].shape.dims[x[0].shape.ndim - 1];
	double sum = 0, scale = p->scale != 0 ? p->scale : 1 / sqrt((double)width);

	if (p->causal && key - row > p->past)
		return -INFINITY;
	for (int64_t e = 0; e < width; e++)
		sum += element(&x[0], y, at, row, e) * element(&x[1], y, at, key, e);
	if (!p->x[3])
		return sum * scale;
	if (!is_real(p->x[3]))
		return element(&x[3], y, at, row, key) != 0 ? sum * scale : -INFINITY;
	return sum * scale + element(&x[3], y, at, row, key);
}

/* The exponentials of the scores of one query; their sum, 0 if it attends to no key. */
static double weights(const problem *p, const array *x, const array *y, const int64_t *at,
	double *weight, int64_t keys)
{
	double most = -INFINITY, sum = 0;

	for (int64_t s = 0; s < keys; s++)
		most = fmax(most, weight[s] = score(p, x, y, at, s));
	for (int64_t s = 0; s < keys && most > -INFINITY; s++)
		sum += weight[s] = exp(weight[s] - most);
	return sum;
}

static void check_value(const problem *p, const ebb_tensor *result)
{
	array x[4], y = array_of(result);
	int64_t at[EBB_MAX_DIMS] = {0}, keys = ebb_size(p->x[1], -2);
	double *weight = scratch(keys), sum = 0;

	for (int k = 0; k < 4; k++)
		if (p->x[k])
			x[k] = array_of(p->x[k]);
	do {
		int64_t column = at[y.shape.ndim - 1];
		double want = 0;

		if (column == 0)
			sum = weights(p, x, &y, at, weight, keys);
		for (int64_t s = 0; s < keys && sum > 0; s++)
			want += weight[s] / sum * element(&x[2], &y, at, s, column);
		ck_assert_double_eq_tol(y.v[flat_index(&y.shape, at)], want, 1e-11);
	} while (next_position(&y.shape, at));
}

START_TEST(attention_of_random_problems)
{
	problem p;
	ebb_tensor *y, *gy, *x[4], *wanted[4], *g[2][4];
	int n = 0;

	state = (uint64_t)_i;
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
	ebb_seed(t, (uint64_t)_i);
	p = random_problem();
	assert_healthy(t);
	for (int k = 0; k < 4; k++) {
		x[k] = p.x[k];
		if (x[k] && is_real(x[k]) && below(3))
			wanted[n++] = x[k] = ebb_variable(t, x[k]);
	}
	y = attend(&p, x);
	assert_healthy(t);
	check_value(&p, y);
	gy = random_tensor(ebb_shape_of(y));
	if (n) {
		ck_assert(ebb_grad(t, y, n, wanted, g[0], gy));
		ck_assert(ebb_grad(t, y, n, wanted, g[1], gy, .create_graph = true));
	}
	assert_healthy(t);
	for (int k = 0; k < n; k++) {
		array a = array_of(g[0][k]), b = array_of(g[1][k]);
		char why[300];

		ck_assert_msg(close_to(&a, &b, 1e-10, why, sizeof why), "gradient %d: %s", k, why);
	}
	ebb_tape_free(t);
	arrays_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops/attention_random");
	TCase *c = tcase_create("attention");

	tcase_add_loop_test(c, attention_of_random_problems, 0, CASES(400));
	suite_add_tcase(s, c);
	return run_suite(s);
}
