/* attention.c - attention as one op equals its composition of simple ops, with the same dropout; the
 * memory order of results; memory. */
#include <string.h>

#include "tests/ops/ops_test.h"

static ebb_tape *t;

static void set_up(void)
{
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
	ebb_set_training(t, true);
}

static void tear_down(void)
{
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- Against the composition ----------------------------------------------------------------- */

typedef struct attention_case {
	ebb_shape q, k, v, mask;
	bool causal, grouped;
	int64_t past;
	double dropout;
} attention_case;

static const attention_case cases[] = {
	{.q = {3, {2, 70, 5}}, .k = {3, {2, 140, 5}}, .v = {3, {2, 140, 3}}},
	{.q = {3, {2, 70, 5}}, .k = {3, {2, 140, 5}}, .v = {3, {2, 140, 3}}, .dropout = 0.3},
	{.q = {4, {2, 4, 50, 3}},
		.k = {4, {2, 2, 60, 3}},
		.v = {4, {2, 2, 60, 4}},
		.causal = true,
		.grouped = true,
		.past = 10,
		.dropout = 0.2},
	{.q = {4, {20, 4, 7, 3}},
		.k = {4, {20, 2, 9, 3}},
		.v = {4, {20, 2, 9, 4}},
		.mask = {3, {4, 1, 9}},
		.grouped = true},
	{.q = {4, {17, 3, 6, 2}}, .k = {4, {17, 1, 5, 2}}, .v = {3, {1, 5, 3}}, .causal = true},
	{.q = {4, {3, 17, 6, 2}}, .k = {4, {1, 17, 5, 2}}, .v = {3, {17, 5, 3}}, .causal = true},
	{.q = {3, {1, 6, 2}},
		.k = {3, {2, 5, 2}},
		.v = {4, {3, 2, 5, 3}},
		.mask = {2, {6, 5}},
		.dropout = 0.5},
	{.q = {2, {1, 64}}, .k = {2, {300, 64}}, .v = {2, {300, 64}}, .causal = true, .past = 299},
};
enum { CASES = sizeof cases / sizeof *cases };

/* k [..,G,S,E] as [..,H,S,E], each head repeated. */
static ebb_tensor *repeated(ebb_tensor *x, int64_t heads)
{
	int64_t index[64], each = heads / ebb_size(x, -3);

	for (int64_t h = 0; h < heads; h++)
		index[h] = h / each;
	return ebb_index_select(t, x, -3, ebb_from_i64(t, EBB_SHAPE(heads), index));
}

static ebb_tensor *composed(const attention_case *c, ebb_tensor *const *x, ebb_tensor *mask)
{
	ebb_tensor *q = ebb_mul_scalar(t, x[0], 1 / sqrt((double)ebb_size(x[0], -1)));
	ebb_tensor *k = x[1], *v = x[2], *y;
	int64_t queries = ebb_size(q, -2), keys = ebb_size(k, -2);

	if (c->grouped) {
		k = repeated(k, ebb_size(q, -3));
		v = repeated(v, ebb_size(q, -3));
	}
	y = ebb_matmul(t, q, ebb_transpose(t, k, -2, -1));
	if (mask)
		y = ebb_add(t, y, mask);
	if (c->causal) {
		ebb_tensor *future = ebb_zeros(t, EBB_SHAPE(queries, keys));
		double *at = ebb_data_mutable(future);

		for (int64_t i = 0; i < queries; i++)
			for (int64_t j = i + c->past + 1; j < keys; j++)
				at[i * keys + j] = -1e30;
		y = ebb_add(t, y, future);
	}
	return ebb_matmul(t, ebb_dropout(t, ebb_softmax(t, y, -1), c->dropout), v);
}

static void expect_equal(ebb_tensor *a, ebb_tensor *b, const char *what, int which)
{
	array x = array_of(a), y = array_of(b);
	char why[300];

	ck_assert_msg(
		close_to(&x, &y, 1e-11, why, sizeof why), "case %d, %s: %s", which, what, why);
}

START_TEST(attention_equals_its_composition)
{
	const attention_case *c = &cases[_i];
	const ebb_shape *shapes[] = {&c->q, &c->k, &c->v};
	ebb_tensor *x[3], *mask = NULL, *y[2], *g[3][3], *h[2][3], *gy;

	ebb_seed(t, 4);
	for (int k = 0; k < 3; k++)
		x[k] = ebb_variable(t, ebb_randn(t, *shapes[k]));
	if (c->mask.ndim)
		mask = ebb_randn(t, c->mask);
	for (int k = 0; k < 2; k++) {
		ebb_seed(t, 5);
		y[k] = k ? composed(c, x, mask)
		         : ebb_attention(t, x[0], x[1], x[2], mask, .causal = c->causal,
				   .grouped = c->grouped, .past = c->past, .dropout = c->dropout);
	}
	assert_healthy(t);
	expect_equal(y[0], y[1], "value", _i);
	gy = ebb_randn(t, ebb_shape_of(y[0]));
	for (int k = 0; k < 3; k++)
		ck_assert(ebb_grad(t, y[k == 1], 3, x, g[k], gy, .create_graph = k > 0));
	for (int k = 0; k < 3; k++) {
		expect_equal(g[0][k], g[1][k], "gradient", _i);
		expect_equal(g[2][k], g[1][k], "recorded gradient", _i);
	}
	for (int k = 0; k < 2; k++) {
		ebb_tensor *sum = ebb_add(t, ebb_sum(t, ebb_square(t, g[k + 1][0])),
			ebb_sum(t, ebb_square(t, g[k + 1][1])));

		sum = ebb_add(t, sum, ebb_sum(t, ebb_square(t, g[k + 1][2])));
		ck_assert(ebb_grad(t, sum, 3, x, h[k]));
	}
	for (int k = 0; k < 3; k++)
		expect_equal(h[1][k], h[0][k], "second derivative", _i);
	arrays_free();
}
END_TEST

/* Dropout applies only while the tape trains. */
START_TEST(dropout_needs_training)
{
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(4, 3)), *y[2];

	y[0] = ebb_attention(t, x, x, x, .dropout = 0.5);
	ebb_set_training(t, false);
	y[1] = ebb_attention(t, x, x, x);
	ck_assert(!all_same(y[0], y[1]));
	ck_assert(all_same(ebb_attention(t, x, x, x, .dropout = 0.5), y[1]));
}
END_TEST

/* ---- Memory orders --------------------------------------------------------------------------- */

/* q, k and v are views of one buffer [B,L,3,H,E]; the result is reshaped to [B,L,H*F] without a
 * copy, and so is the incoming gradient. */
START_TEST(heads_of_one_buffer_need_no_copy)
{
	enum { B = 2, L = 3, H = 4, E = 5 };
	ebb_tensor *all = ebb_variable(t, ebb_randn(t, EBB_SHAPE(B, L, 3, H, E))), *x[3], *y,
		   *joined;
	ebb_tensor *g[3], *rows[3], *want;

	for (int k = 0; k < 3; k++) {
		x[k] = ebb_squeeze(t, ebb_slice(t, all, 2, k, k + 1, 1), 2);
		x[k] = ebb_transpose(t, x[k], 1, 2);
		rows[k] = ebb_variable(t, ebb_dense(t, x[k], EBB_ROWS));
	}
	y = ebb_attention(t, x[0], x[1], x[2], .causal = true);
	want = ebb_attention(t, rows[0], rows[1], rows[2], .causal = true);
	ck_assert_int_eq(ebb_stride(y, 1), E);
	ck_assert_int_eq(ebb_stride(y, 2), H * E);
	joined = ebb_reshape(t, ebb_transpose(t, y, 1, 2), EBB_SHAPE(B, L, H * E));
	ck_assert_ptr_eq(ebb_data(joined), ebb_data(y));
	ck_assert(all_same(y, want));
	ck_assert(ebb_grad(t, y, 3, x, g, ebb_ones_like(t, y)));
	for (int k = 0; k < 3; k++)
		ck_assert_int_eq(ebb_stride(g[k], 2), H * E);
	ck_assert(ebb_grad(t, want, 3, rows, x, ebb_ones_like(t, want)));
	for (int k = 0; k < 3; k++)
		ck_assert(all_same(g[k], x[k]));
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

static size_t peak(int64_t queries, int64_t keys, double dropout)
{
	ebb_tape *own = ebb_tape_new();
	ebb_tensor *x[3], *y;
	size_t bytes;

	ebb_set_training(own, true);
	for (int k = 0; k < 3; k++)
		x[k] = ebb_variable(own, ebb_ones(own, EBB_SHAPE(2, k ? keys : queries, 8)));
	y = ebb_attention(own, x[0], x[1], x[2], .causal = true, .past = 3, .dropout = dropout);
	ck_assert(ebb_backward(own, ebb_sum(own, y)));
	bytes = ebb_memory_of(own).peak;
	ebb_tape_free(own);
	return bytes;
}

/* The memory of a training step is linear in the lengths. */
START_TEST(memory_is_linear_in_the_lengths)
{
	for (int drops = 0; drops < 2; drops++) {
		size_t less = peak(1000, 1000, 0.1 * drops), more = peak(4000, 4000, 0.1 * drops);

		ck_assert_uint_lt(more, 7 * less);
		/* one matrix [2,L,S] of F32 */
		ck_assert_uint_lt(more, (size_t)4000 * 4000 * 2 * sizeof(float));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops/attention");
	TCase *c = tcase_create("attention");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, attention_equals_its_composition, 0, CASES);
	tcase_add_test(c, dropout_needs_training);
	tcase_add_test(c, heads_of_one_buffer_need_no_copy);
	tcase_add_test(c, memory_is_linear_in_the_lengths);
	suite_add_tcase(s, c);
	return run_suite(s);
}
