/*
 * test_attention.c - attention and its gradient against a loop in double, over random shapes, strides
 * and options.
 */
#include "kernel_test.h"

enum { Q, K_, V, Y, GY, GQ, GK, GV, MATRICES };

typedef struct trial {
	ebb_attention_shape s;
	ebb_attention_arrays a;
	ebb_attention_matrix *m[MATRICES];
	int64_t heads, rows[MATRICES], columns[MATRICES], size[MATRICES];
	double *keep;            /* factors of dropout [heads,queries,keys] */
	double *want[MATRICES];  /* y, gq, gk, gv by the loop, in the matrices' memory */
	double *largest, *total; /* of the scores; of exp(score - largest) */
	double *weights;         /* of a row, and their gradients */
	uint8_t *u8;
	int64_t *i64;
	void *real;
} trial;

static int64_t offset(const ebb_attention_shape *s, const int64_t *lead, int64_t head)
{
	int64_t at = 0;

	for (int d = s->ndim - 1; d >= 0; d--) {
		at += head % s->lead[d] * lead[d];
		head /= s->lead[d];
	}
	return at;
}

static int64_t at(const trial *t, int m, int64_t head, int64_t row, int64_t column)
{
	return offset(&t->s, t->m[m]->lead, head) + row * t->m[m]->row + column;
}

/* Lays out a matrix with gaps, its axes in row-major order or with the last leading axis inside the
 * rows; it broadcasts along the axes in `broadcast`, a set. */
static void lay_out(trial *t, int m, unsigned broadcast)
{
	ebb_attention_matrix *x = t->m[m];
	int last = t->s.ndim - 1;
	bool inside = last >= 0 && any(0, 1);
	int64_t stride = t->columns[m] + any(0, 3);

	if (inside) {
		x->lead[last] = broadcast >> last & 1 ? 0 : stride;
		stride *= broadcast >> last & 1 ? 1 : t->s.lead[last];
	}
	x->row = stride + any(0, 2);
	stride = x->row * t->rows[m];
	for (int d = last - inside; d >= 0; d--) {
		x->lead[d] = broadcast >> d & 1 ? 0 : stride;
		stride *= broadcast >> d & 1 ? 1 : t->s.lead[d];
	}
	t->size[m] = t->rows[m] && t->columns[m] && t->heads
	                     ? at(t, m, t->heads - 1, t->rows[m] - 1, t->columns[m] - 1) + 1
	                     : 0;
	/* the last head in row-major order has the largest offset */
	x->data = m == Y || m >= GQ ? reals(t->size[m]) : random_reals(t->size[m]);
	t->want[m] = bytes((size_t)(t->size[m] + 1) * sizeof(double));
}

static void make_mask(trial *t)
{
	bool rows = any(0, 1), heads = any(0, 1);
	int64_t columns = any(0, 3) ? t->s.keys : 1, count = columns;

	t->s.mask = (ebb_attention_mask)any(0, 3);
	t->s.mask_column = columns == 1 ? 0 : 1;
	t->a.mask.row = rows ? columns : 0;
	count *= rows ? t->s.queries : 1;
	for (int d = 0; d < t->s.ndim; d++)
		t->a.mask.lead[d] = 0;
	if (heads && t->s.ndim) {
		t->a.mask.lead[t->s.ndim - 1] = count;
		count *= t->s.lead[t->s.ndim - 1];
	}
	t->u8 = bytes((size_t)count);
	t->i64 = bytes((size_t)count * sizeof(int64_t));
	t->real = random_reals(count);
	for (int64_t i = 0; i < count; i++) {
		t->u8[i] = any(0, 3) ? (uint8_t)any(1, 255) : 0;
		t->i64[i] = t->u8[i];
		if (!t->u8[i])
			set(t->real, i, -INFINITY);
	}
	t->a.mask.data = t->s.mask == EBB_MASK_U8    ? (void *)t->u8
	                 : t->s.mask == EBB_MASK_I64 ? (void *)t->i64
	                                             : t->real;
}

static double score(const trial *t, int64_t h, int64_t i, int64_t j)
{
	double s = 0;
	int64_t m = offset(&t->s, t->a.mask.lead, h) + i * t->a.mask.row + j * t->s.mask_column;

	if (t->s.causal && j > i + t->s.past)
		return -INFINITY;
	for (int64_t e = 0; e < t->s.width; e++)
		s += get(t->a.q.data, at(t, Q, h, i, e)) * get(t->a.k.data, at(t, K_, h, j, e));
	s *= t->s.scale;
	if (t->s.mask == EBB_MASK_REAL)
		return s + get(t->real, m);
	return t->s.mask != EBB_MASK_NONE && !t->u8[m] ? -INFINITY : s;
}

/* The elements of all dropout masks, as ebb_kernels.dropout draws them. */
static void draw(trial *t)
{
	int64_t n = t->heads * t->s.queries * t->s.keys;
	void *ones = reals(n);

	t->keep = bytes((size_t)(n + 1) * sizeof(double));
	for (int64_t i = 0; i < n; i++)
		set(ones, i, 1);
	K->dropout(n, t->s.seed, t->s.stream, t->s.dropout, ones, ones);
	for (int64_t i = 0; i < n; i++)
		t->keep[i] = get(ones, i);
}

static void plain_row(trial *t, int64_t h, int64_t i)
{
	int64_t S = t->s.keys, F = t->s.values, E = t->s.width, row = h * t->s.queries + i;
	int64_t drawn = (offset(&t->s, t->s.counter, h) * t->s.queries + i) * S;
	double *p = t->weights, *g = t->weights + S, most = -INFINITY, sum = 0, dot = 0;

	memset(p, 0, 2 * (size_t)S * sizeof *p);
	for (int64_t j = 0; j < S; j++)
		most = fmax(most, p[j] = score(t, h, i, j));
	for (int64_t j = 0; j < S; j++)
		sum += p[j] = most == -INFINITY ? 0 : exp(p[j] - most);
	t->largest[row] = most;
	t->total[row] = sum;
	for (int64_t j = 0; j < S; j++) {
		p[j] = sum == 0 ? 0 : p[j] / sum;
		for (int64_t f = 0; f < F; f++) {
			double gy = get(t->a.gy.data, at(t, GY, h, i, f)) * t->keep[drawn + j];
			double v = get(t->a.v.data, at(t, V, h, j, f));

			t->want[Y][at(t, Y, h, i, f)] += p[j] * t->keep[drawn + j] * v;
			t->want[GV][at(t, GV, h, j, f)] += p[j] * gy;
			g[j] += gy * v;
		}
		dot += p[j] * g[j];
	}
	for (int64_t j = 0; j < S; j++) {
		double gs = p[j] * (g[j] - dot) * t->s.scale;

		for (int64_t e = 0; e < E; e++) {
			t->want[GQ][at(t, GQ, h, i, e)] +=
				gs * get(t->a.k.data, at(t, K_, h, j, e));
			t->want[GK][at(t, GK, h, j, e)] += gs * get(t->a.q.data, at(t, Q, h, i, e));
		}
	}
}

static trial make(ebb_attention_shape s)
{
	trial t = {.s = s, .heads = 1};
	const int64_t rows[] = {
		s.queries, s.keys, s.keys, s.queries, s.queries, s.queries, s.keys, s.keys};
	const int64_t columns[] = {
		s.width, s.width, s.values, s.values, s.values, s.width, s.width, s.values};

	for (int d = 0; d < s.ndim; d++)
		t.heads *= s.lead[d];
	for (int m = 0; m < MATRICES; m++) {
		t.rows[m] = rows[m];
		t.columns[m] = columns[m];
	}
	return t;
}

static void fill(trial *t)
{
	unsigned kv = 0;
	int64_t stride = 1;

	for (int d = t->s.ndim - t->s.shared; d < t->s.ndim; d++)
		kv |= 1u << d;
	t->m[Q] = &t->a.q;
	t->m[K_] = &t->a.k;
	t->m[V] = &t->a.v;
	t->m[Y] = &t->a.y;
	t->m[GY] = &t->a.gy;
	t->m[GQ] = &t->a.gq;
	t->m[GK] = &t->a.gk;
	t->m[GV] = &t->a.gv;
	for (int m = 0; m < MATRICES; m++) {
		bool of_keys = m == K_ || m == V || m == GK || m == GV;

		lay_out(t, m, of_keys ? kv : m == Q && !any(0, 3) ? 1u : 0u);
	}
	for (int d = t->s.ndim - 1; d >= 0; d--) {
		t->s.counter[d] = stride;
		stride *= t->s.lead[d];
	}
	make_mask(t);
	draw(t);
	t->largest = bytes((size_t)(t->heads * t->s.queries + 1) * sizeof(double));
	t->total = bytes((size_t)(t->heads * t->s.queries + 1) * sizeof(double));
	t->weights = bytes((size_t)(2 * t->s.keys + 1) * sizeof(double));
	t->a.most = reals(t->heads * t->s.queries);
	t->a.inverse = reals(t->heads * t->s.queries);
}

/* The elements of a matrix that belong to it are near the loop's; those in its gaps are as before,
 * NaN. */
static void compare(const trial *t, int m, double tolerance, const char *what)
{
	uint8_t *inside = bytes((size_t)t->size[m] + 1);

	for (int64_t h = 0; h < t->heads; h++)
		for (int64_t r = 0; r < t->rows[m]; r++)
			for (int64_t c = 0; c < t->columns[m]; c++)
				inside[at(t, m, h, r, c)] = 1;
	for (int64_t i = 0; i < t->size[m]; i++) {
		if (!inside[i])
			expect(isnan(get(t->m[m]->data, i)));
		else
			expect_near(get(t->m[m]->data, i), t->want[m][i], tolerance,
				"%s at %lld: lead %d, shared %d, L %lld S %lld E %lld F %lld, "
				"causal "
				"%d past %lld, mask %d, dropout %g",
				what, (long long)i, t->s.ndim, t->s.shared, (long long)t->s.queries,
				(long long)t->s.keys, (long long)t->s.width, (long long)t->s.values,
				t->s.causal, (long long)t->s.past, (int)t->s.mask, t->s.dropout);
	}
}

static void check(ebb_attention_shape s)
{
	trial t = make(s);
	double tolerance = 16 + 2 * sqrt((double)((s.keys + s.queries) * (1 + s.width + s.values)));

	fill(&t);
	for (int64_t h = 0; h < t.heads; h++)
		for (int64_t i = 0; i < s.queries; i++)
			plain_row(&t, h, i);
	K->attention_forward(&t.s, &t.a, workspace(K->attention_workspace(&t.s, false)));
	compare(&t, Y, tolerance, "y");
	for (int64_t r = 0; r < t.heads * s.queries; r++) {
		expect_near(get(t.a.most, r), t.largest[r], tolerance, "most");
		expect_near(get(t.a.inverse, r), t.total[r] == 0 ? 0 : 1 / t.total[r], tolerance,
			"inverse");
	}
	K->attention_grad(&t.s, &t.a, workspace(K->attention_workspace(&t.s, true)));
	compare(&t, GQ, tolerance, "gq");
	compare(&t, GK, tolerance, "gk");
	compare(&t, GV, tolerance, "gv");
	release_all();
}

static int64_t one_of(int n, const int64_t *sizes)
{
	return sizes[any(0, n - 1)];
}

static void random_trials(void)
{
	static const int64_t lengths[] = {
		0, 1, 2, 15, 16, 17, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129, 200, 257};
	static const int64_t widths[] = {0, 1, 3, 4, 8, 15, 16, 31, 32, 33, 64, 100};

	for (int i = 0; i < 70; i++) {
		ebb_attention_shape s = {.ndim = (int)any(0, 3),
			.queries = one_of(18, lengths),
			.keys = one_of(18, lengths),
			.width = one_of(12, widths),
			.values = one_of(12, widths),
			.scale = any(0, 4) ? 0.5 : 0,
			.causal = any(0, 1),
			.dropout = any(0, 3) ? 0 : 0.3,
			.seed = 7,
			.stream = 1};

		for (int d = 0; d < s.ndim; d++)
			s.lead[d] = any(0, 30) ? any(1, 3) : 0;
		s.shared = s.ndim ? (int)any(0, s.ndim) : 0;
		s.past = s.causal && any(0, 1) ? any(0, 140) : 0;
		check(s);
	}
}

START_TEST(attention_and_gradient_equal_a_loop)
{
	each_table(random_trials);
}
END_TEST

static void large_trials(void)
{
	/* many heads, a wide row, long rows */
	check((ebb_attention_shape){.ndim = 2,
		.lead = {6, 4},
		.queries = 40,
		.keys = 40,
		.width = 32,
		.values = 32,
		.scale = 0.2,
		.causal = true});
	check((ebb_attention_shape){.ndim = 2,
		.lead = {17, 3},
		.shared = 1,
		.queries = 20,
		.keys = 30,
		.width = 8,
		.values = 8,
		.scale = 0.2});
	check((ebb_attention_shape){
		.queries = 5, .keys = 7, .width = 700, .values = 300, .scale = 0.05});
	check((ebb_attention_shape){
		.queries = 3000, .keys = 9, .width = 2, .values = 2, .scale = 1});
	check((ebb_attention_shape){
		.queries = 3, .keys = 3000, .width = 2, .values = 2, .scale = 1});
}

START_TEST(large_sizes_equal_a_loop)
{
	each_table(large_trials);
}
END_TEST

static void forward_result(void *result, void *x)
{
	trial *t = x;

	K->attention_forward(&t->s, &t->a, workspace(K->attention_workspace(&t->s, false)));
	memcpy(result, t->a.y.data, (size_t)t->size[Y] * K->real_size);
}

static void grad_result(void *result, void *x)
{
	trial *t = x;
	char *to = result;

	K->attention_grad(&t->s, &t->a, workspace(K->attention_workspace(&t->s, true)));
	for (int m = GQ; m <= GV; m++) {
		memcpy(to, t->m[m]->data, (size_t)t->size[m] * K->real_size);
		to += (size_t)t->size[m] * K->real_size;
	}
}

static void threads(void)
{
	for (int heads = 1; heads <= 20; heads += 19) {
		trial t = make((ebb_attention_shape){.ndim = 1,
			.lead = {heads},
			.queries = 300,
			.keys = 500,
			.width = 9,
			.values = 7,
			.scale = 0.3,
			.causal = true,
			.past = 90,
			.dropout = 0.1,
			.seed = 3});
		int64_t n;

		fill(&t);
		same_for_all_threads((size_t)t.size[Y] * K->real_size, forward_result, &t);
		n = t.size[GQ] + t.size[GK] + t.size[GV];
		same_for_all_threads((size_t)n * K->real_size, grad_result, &t);
		release_all();
	}
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_attention(void)
{
	TCase *c = tcase_create("attention");

	tcase_add_test(c, attention_and_gradient_equal_a_loop);
	tcase_add_test(c, large_sizes_equal_a_loop);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
