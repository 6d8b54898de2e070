/* Checkpoints: bit-identical gradients in less memory. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { BLOCKS = 6, CHANNELS = 4 };

/* ---- A net with dropout, batch norm, shared weights and a captured tensor -------------------- */

typedef struct net {
	ebb_params *p;
	ebb_conv conv[BLOCKS];
	ebb_bn norm[BLOCKS];
	ebb_tensor *shared;
	ebb_tensor *scale; /* a tensor of the tape that every block reads */
	int from, to;
	int runs;
} net;

static void net_new(net *n)
{
	char name[20];

	memset(n, 0, sizeof *n);
	n->p = ebb_params_new(3);
	for (int i = 0; i < BLOCKS; i++) {
		snprintf(name, sizeof name, "conv%d", i);
		n->conv[i] = ebb_conv_new(n->p, name, CHANNELS, CHANNELS, 3, .pad = 1);
		snprintf(name, sizeof name, "norm%d", i);
		n->norm[i] = ebb_bn_new(n->p, name, CHANNELS);
	}
	n->shared = ebb_params_add(n->p, "shared", EBB_SHAPE(CHANNELS, 1, 1),
		EBB_INIT(EBB_INIT_CONSTANT, .value = 1.25));
}

static ebb_tensor *block(ebb_tape *t, net *n, int i, ebb_tensor *x)
{
	ebb_tensor *h = ebb_conv_forward(t, &n->conv[i], x);

	h = ebb_relu(t, ebb_bn_forward(t, &n->norm[i], h));
	h = ebb_mul(t, ebb_dropout(t, h, 0.25), n->shared);
	return ebb_add(t, x, ebb_mul(t, h, n->scale));
}

static ebb_tensor *blocks(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	net *n = ctx;

	n->runs++;
	for (int i = n->from; i < n->to; i++)
		x = block(t, n, i, x);
	return x;
}

typedef struct part {
	net *n;
	int from, to;
	bool nested;
} part;

static ebb_tensor *run_part(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	part *s = ctx;

	if (s->nested && s->to - s->from > 1) {
		/* The contexts outlive the call, because the sweep runs the halves again. */
		static part halves[64];
		static int used;
		part *half = &halves[used = (used + 2) % 64];

		half[0] = (part){s->n, s->from, (s->from + s->to) / 2, true};
		half[1] = (part){s->n, (s->from + s->to) / 2, s->to, true};
		x = ebb_checkpoint(t, run_part, &half[0], x);
		return ebb_checkpoint(t, run_part, &half[1], x);
	}
	s->n->runs++;
	for (int i = s->from; i < s->to; i++)
		x = block(t, s->n, i, x);
	return x;
}

typedef enum how { PLAIN, SEGMENTS, NESTED, WHOLE } how;

typedef struct results {
	double value, g[2000], second[2000];
	int n;
	size_t peak;
} results;

static void collect(net *n, results *r)
{
	for (int64_t i = 0; i < ebb_params_count(n->p); i++) {
		const ebb_tensor *g = ebb_grad_of(ebb_params_at(n->p, i));

		ck_assert_ptr_nonnull(g);
		for (int64_t k = 0; k < ebb_count(g); k++)
			r->g[r->n++] = ebb_at(g, k);
	}
	for (int64_t i = 0; i < ebb_buffers_count(n->p); i++)
		for (int64_t k = 0; k < ebb_count(ebb_buffers_at(n->p, i)); k++)
			r->g[r->n++] = ebb_at(ebb_buffers_at(n->p, i), k);
}

static ebb_tensor *forward(ebb_tape *t, net *n, how h, part *parts, ebb_tensor *x)
{
	n->from = 0;
	n->to = BLOCKS;
	if (h == PLAIN)
		return blocks(t, x, n);
	if (h == WHOLE)
		return ebb_checkpoint(t, blocks, n, x);
	for (int i = 0; i < BLOCKS; i += 2) {
		parts[i / 2] = (part){n, i, i + 2, h == NESTED};
		x = ebb_checkpoint(t, run_part, &parts[i / 2], x);
	}
	return x;
}

/* Two steps, so that the second depends on running statistics and random state after the first. */
static void train(how h, results *r)
{
	ebb_tape *t = ebb_tape_new();
	part parts[BLOCKS];
	net n;

	memset(r, 0, sizeof *r);
	net_new(&n);
	ebb_seed(t, 11);
	for (int step = 0; step < 2; step++) {
		ebb_tensor *x = ebb_variable(t, ebb_randn(t, EBB_SHAPE(2, CHANNELS, 7, 5))), *y;

		n.scale = ebb_variable(t, ebb_full(t, EBB_SHAPE(1), 0.5));
		y = ebb_mean(t, ebb_square(t, forward(t, &n, h, parts, x)));
		ck_assert_msg(!ebb_failed(t), "%s", ebb_error_message(t));
		r->value = ebb_item(y);
		ebb_params_zero_grad(n.p);
		ck_assert_msg(ebb_backward(t, y), "%s", ebb_error_message(t));
		r->g[r->n++] = ebb_item(ebb_grad_of(n.scale));
		for (int k = 0; k < 10; k++)
			r->g[r->n++] = ebb_at(ebb_grad_of(x), k);
		r->peak = ebb_memory_of(t).peak;
		r->g[r->n++] = (double)ebb_random_state(t).stream;
		ebb_tape_reset(t);
	}
	collect(&n, r);
	ebb_tape_free(t);
	ebb_params_free(n.p);
}

START_TEST(training_with_checkpoints_is_bit_identical)
{
	static results plain, other;

	train(PLAIN, &plain);
	for (how h = SEGMENTS; h <= WHOLE; h++) {
		train(h, &other);
		ck_assert_int_eq(plain.n, other.n);
		ck_assert_msg(plain.value == other.value, "%d: value", (int)h);
		for (int i = 0; i < plain.n; i++)
			ck_assert_msg(plain.g[i] == other.g[i], "%d: number %d: %.17g, %.17g",
				(int)h, i, plain.g[i], other.g[i]);
	}
}
END_TEST

/* ---- Second derivatives ---------------------------------------------------------------------- */

static ebb_tensor *cubic(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *w = *(ebb_tensor **)ctx;

	return ebb_mul(t, ebb_tanh(t, ebb_mul(t, x, w)), ebb_square(t, x));
}

static ebb_tensor *checked(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor **w = ctx;

	*w = x[1];
	return ebb_checkpoint(t, cubic, w, ebb_checkpoint(t, cubic, w, x[0]));
}

START_TEST(second_derivatives_pass_through_checkpoints)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(5), false, NULL),
		   *w = ebb_tensor_new(EBB_F64, EBB_SHAPE(5), false, NULL), *captured;
	const ebb_tensor *in[] = {x, w};
	ebb_error e = {0};

	ebb_copy_in(x, (double[]){-1, 0.5, 1.5, -0.7, 2}, 40);
	ebb_copy_in(w, (double[]){0.3, 1.1, -0.8, 0.9, 0.2}, 40);
	ck_assert_msg(ebb_gradcheck(checked, &captured, 2, in, .second = true, .error = &e), "%s",
		e.message);
	ebb_tensor_free(x);
	ebb_tensor_free(w);
}
END_TEST

/* ---- Many inputs, edges, errors -------------------------------------------------------------- */

enum { MANY = 70 };

static ebb_tensor *sum_of_many(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor **w = ctx;

	for (int i = 0; i < MANY; i++)
		x = ebb_mul(t, x, w[i]);
	return x;
}

START_TEST(a_segment_may_have_more_inputs_than_reads_has_bits)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w[MANY], *x, *y;

	ebb_set_default_dtype(t, EBB_F64);
	for (int i = 0; i < MANY; i++)
		w[i] = ebb_variable(t, ebb_scalar(t, 1 + 0.01 * i));
	x = ebb_variable(t, ebb_scalar(t, 2));
	y = ebb_checkpoint(t, sum_of_many, w, x);
	for (int i = 0; i < MANY; i++)
		ebb_release(t, w[i]);
	ck_assert_msg(ebb_backward(t, y), "%s", ebb_error_message(t));
	for (int i = 0; i < MANY; i++)
		ck_assert_double_eq_tol(
			ebb_item(ebb_grad_of(w[i])) * (1 + 0.01 * i) / ebb_item(y), 1, 1e-12);
	ebb_tape_free(t);
}
END_TEST

static ebb_tensor *same(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)t, (void)ctx;
	return x;
}

static ebb_tensor *nothing(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)t, (void)x, (void)ctx;
	return NULL;
}

static ebb_tensor *reshaped(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_reshape(t, x, EBB_SHAPE(-1));
}

static ebb_tensor *fickle(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	int *runs = ctx;

	return ++*runs == 1 ? ebb_exp(t, x) : ebb_sum(t, x);
}

static ebb_tensor *broken(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	int *runs = ctx;

	return ++*runs == 1 ? ebb_exp(t, x) : ebb_matmul(t, x, ebb_ones(t, EBB_SHAPE(7, 7)));
}

static ebb_tensor *greedy(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor **other = ctx;
	ebb_tensor *y = other[1] ? ebb_mul(t, x, other[0]) : ebb_exp(t, x);

	other[1] = x;
	return y;
}

static void expect_error(ebb_tape *t, const char *words)
{
	ck_assert_msg(strstr(ebb_error_message(t), words), "%s", ebb_error_message(t));
	ebb_tape_free(t);
}

START_TEST(inputs_views_and_constants_as_results)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3))), *y;

	ck_assert_ptr_eq(ebb_checkpoint(t, same, NULL, x), x);
	y = ebb_checkpoint(t, reshaped, NULL, x);
	ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, y))));
	ck_assert_double_eq(ebb_at(ebb_grad_of(x), 5), 2);
	/* Without recording, and for constants, the result has no history. */
	ebb_set_recording(t, false);
	ck_assert(!ebb_requires_grad(ebb_checkpoint(t, reshaped, NULL, x)));
	ebb_set_recording(t, true);
	y = ebb_checkpoint(t, reshaped, NULL, ebb_ones(t, EBB_SHAPE(4)));
	ck_assert(!ebb_failed(t) && !ebb_requires_grad(y) && ebb_at(y, 3) == 1);
	ebb_checkpoint(t, nothing, NULL, x);
	expect_error(t, "checkpoint.c:");
}
END_TEST

static ebb_tensor *persistent_weight(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_mul(t, x, ctx);
}

static ebb_tensor *dropped(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *y = ebb_sin(t, x);

	(void)ctx;
	ebb_release(t, y);
	return y;
}

/* A persistent tensor that becomes a leaf after the segment gets no gradient through the segment,
 * as without a checkpoint. */
START_TEST(a_tensor_that_becomes_a_leaf_after_the_segment)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w = ebb_tensor_new(EBB_F32, EBB_SHAPE(3), false, NULL), *x, *y, *z;

	ebb_copy_in(w, (float[]){2, 2, 2}, 12);
	x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3)));
	y = ebb_checkpoint(t, persistent_weight, w, x);
	ebb_set_requires_grad(w, true);
	z = ebb_mul(t, x, w);
	ck_assert_msg(ebb_backward(t, ebb_sum(t, ebb_add(t, y, z))), "%s", ebb_error_message(t));
	ck_assert_double_eq(ebb_at(ebb_grad_of(w), 0), 1);
	ck_assert_double_eq(ebb_at(ebb_grad_of(x), 0), 4);
	ebb_checkpoint(t, dropped, NULL, x);
	expect_error(t, "was released");
	ebb_tensor_free(w);
}
END_TEST

/* The result depends on x in the first run only. */
static ebb_tensor *forgetful(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	int *runs = ctx;

	return (*runs)++ ? ebb_ones(t, EBB_SHAPE(2, 3)) : ebb_exp(t, x);
}

typedef struct two_inputs {
	ebb_tensor *other;
	int runs;
} two_inputs;

/* The second run reads the other tensor only. */
static ebb_tensor *half_forgetful(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	two_inputs *in = ctx;

	return ebb_mul(t, in->runs++ ? ebb_ones(t, EBB_SHAPE(2, 3)) : x, in->other);
}

START_TEST(a_second_run_that_reads_less_is_an_error)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3)));
	two_inputs in = {ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3))), 0};
	int runs = 0;

	assert_refused(t, EBB_BAD_STATE,
		ebb_backward(t, ebb_sum(t, ebb_checkpoint(t, forgetful, &runs, x))),
		"checkpoint.c:", "depends on 0 of the tensors", "the first on 1");
	assert_refused(t, EBB_BAD_STATE,
		ebb_backward(t, ebb_sum(t, ebb_checkpoint(t, half_forgetful, &in, x))),
		"depends on 1 of the tensors", "the first on 2");
	ck_assert_ptr_null(ebb_grad_of(x));
	ebb_tape_free(t);
}
END_TEST

static ebb_tensor *named(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *y = ebb_exp(t, x);

	ebb_set_name(y, ctx);
	return y;
}

START_TEST(the_result_keeps_its_name)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3)));
	char name[] = "inner";

	ck_assert_str_eq(ebb_name(ebb_checkpoint(t, named, name, x)), "inner");
	ebb_tape_free(t);
}
END_TEST

START_TEST(a_second_run_that_differs_is_an_error)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3))), *others[2], *w;
	int runs = 0;

	ck_assert(!ebb_backward(t, ebb_sum(t, ebb_checkpoint(t, fickle, &runs, x))));
	expect_error(t, "the second run gave");

	t = ebb_tape_new();
	runs = 0;
	x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3)));
	ck_assert(!ebb_backward(t, ebb_sum(t, ebb_checkpoint(t, broken, &runs, x))));
	ck_assert_ptr_null(ebb_grad_of(x));
	expect_error(t, "matmul");

	t = ebb_tape_new();
	x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3)));
	others[0] = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3)));
	others[1] = NULL;
	ck_assert(!ebb_backward(t, ebb_sum(t, ebb_checkpoint(t, greedy, others, x))));
	expect_error(t, "the second run reads a tensor that the first did not read");

	t = ebb_tape_new();
	w = ebb_tensor_new(EBB_F32, EBB_SHAPE(3), false, NULL);
	ebb_set_requires_grad(w, true);
	x = ebb_checkpoint(t, persistent_weight, w, ebb_ones(t, EBB_SHAPE(2, 3)));
	((float *)ebb_data_mutable(w))[0] = 1;
	ck_assert(!ebb_backward(t, ebb_sum(t, x)));
	expect_error(t, "overwritten");
	ebb_tensor_free(w);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

static ebb_tensor *layers(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	for (int i = 0; i < *(int *)ctx; i++)
		x = ebb_sin(t, x);
	return x;
}

static size_t peak_of(int depth, int segment)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(10000)));
	size_t peak;

	for (int i = 0; i < depth; i += segment) {
		ebb_tensor *y =
			segment == 1 ? ebb_sin(t, x) : ebb_checkpoint(t, layers, &segment, x);

		ebb_release(t, x);
		x = y;
	}
	ck_assert_msg(ebb_backward(t, ebb_sum(t, x)), "%s", ebb_error_message(t));
	peak = ebb_memory_of(t).peak;
	ebb_tape_free(t);
	return peak / (10000 * sizeof(float));
}

START_TEST(memory_grows_as_the_square_root_of_the_depth)
{
	ck_assert_uint_ge(peak_of(100, 1), 100);
	ck_assert_uint_le(peak_of(100, 10), 28);
	ck_assert_uint_ge(peak_of(400, 1), 400);
	ck_assert_uint_le(peak_of(400, 20), 48);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checkpoint");
	TCase *c = tcase_create("checkpoint");

	tcase_add_test(c, training_with_checkpoints_is_bit_identical);
	tcase_add_test(c, second_derivatives_pass_through_checkpoints);
	tcase_add_test(c, a_segment_may_have_more_inputs_than_reads_has_bits);
	tcase_add_test(c, inputs_views_and_constants_as_results);
	tcase_add_test(c, a_tensor_that_becomes_a_leaf_after_the_segment);
	tcase_add_test(c, a_second_run_that_reads_less_is_an_error);
	tcase_add_test(c, the_result_keeps_its_name);
	tcase_add_test(c, a_second_run_that_differs_is_an_error);
	tcase_add_test(c, memory_grows_as_the_square_root_of_the_depth);
	suite_add_tcase(s, c);
	return run_suite(s);
}
