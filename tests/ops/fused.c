/* fused.c - batchnorm_relu (batch norm, residual addition and ReLU as one op) equals the three
 * ops. */
#include <string.h>

#include "tests/ops/ops_test.h"

enum { INPUTS = 4, X = 0, WEIGHT, BIAS, RESIDUAL };

typedef struct fused_case {
	ebb_dtype dtype;
	ebb_shape shape;
	ebb_tensor *in[INPUTS], *gy, *mean, *var;
	unsigned wanted; /* bit k: input k requires a gradient */
	bool evaluation, batch_alone, same, of_y;
} fused_case;

/* The fused op, or the ops that it stands for. */
static ebb_tensor *joined(
	ebb_tape *t, ebb_tensor *const *x, bool fused, ebb_tensor *mean, ebb_tensor *var)
{
	ebb_tensor *y;

	if (fused)
		return ebb_batchnorm_relu(t, x[X], x[WEIGHT], x[BIAS], mean, var, x[RESIDUAL],
			.momentum = 0.3, .eps = 1e-3);
	y = ebb_batchnorm(t, x[X], x[WEIGHT], x[BIAS], mean, var, .momentum = 0.3, .eps = 1e-3);
	return ebb_relu(t, x[RESIDUAL] ? ebb_add(t, y, x[RESIDUAL]) : y);
}

static bool same_numbers(const ebb_tensor *a, const ebb_tensor *b, double tolerance)
{
	array x = array_of(a), y = array_of(b);
	char why[300];

	return close_to(&x, &y, tolerance, why, sizeof why);
}

/* The gradients of sum y^2*gy with respect to the wanted inputs, and to y if wanted; false if none
 * is wanted. */
static bool gradients(ebb_tape *t, const fused_case *c, ebb_tensor *y, ebb_tensor *const *x,
	bool recorded, ebb_tensor **g)
{
	ebb_tensor *targets[INPUTS + 1], *got[INPUTS + 1];
	int n = 0, k = 0;

	for (int i = 0; i < INPUTS; i++)
		if (x[i] && c->wanted >> i & 1)
			targets[n++] = x[i];
	if (n == 0)
		return false;
	targets[n] = y;
	ck_assert_msg(ebb_grad(t, ebb_mul(t, ebb_square(t, y), c->gy), n + c->of_y, targets, got,
			      ebb_ones_like(t, y), .create_graph = recorded),
		"%s", ebb_error_message(t));
	for (int i = 0; i < INPUTS; i++)
		g[i] = x[i] && c->wanted >> i & 1 ? got[k++] : NULL;
	g[INPUTS] = c->of_y ? got[k] : NULL;
	return true;
}

static void compare(const fused_case *c)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[INPUTS], *y[2], *g[3][INPUTS + 1], *mean[2], *var[2];
	double tolerance = c->dtype == EBB_F64 ? 1e-11 : 3e-5;

	ebb_set_training(t, !c->evaluation);
	for (int i = 0; i < INPUTS; i++)
		x[i] = c->in[i] && c->wanted >> i & 1 ? ebb_variable(t, c->in[i]) : c->in[i];
	if (c->same)
		x[RESIDUAL] = x[X];
	for (int fused = 0; fused < 2; fused++) {
		mean[fused] = c->batch_alone ? NULL : ebb_detach_copy(c->mean);
		var[fused] = c->batch_alone ? NULL : ebb_detach_copy(c->var);
		y[fused] = joined(t, x, fused, mean[fused], var[fused]);
		assert_healthy(t);
	}
	ck_assert(all_same(y[0], y[1]));
	ck_assert(c->batch_alone || (all_same(mean[0], mean[1]) && all_same(var[0], var[1])));
	ck_assert(c->batch_alone || c->evaluation == all_same(mean[1], c->mean));
	if (gradients(t, c, y[0], x, false, g[0])) {
		gradients(t, c, y[1], x, false, g[1]);
		gradients(t, c, y[1], x, true, g[2]);
		for (int i = 0; i <= INPUTS; i++) {
			if (!g[0][i])
				continue;
			ck_assert_msg(same_numbers(g[1][i], g[0][i], tolerance), "gradient %d", i);
			ck_assert_msg(same_numbers(g[2][i], g[0][i], tolerance),
				"recorded gradient %d", i);
		}
	}
	assert_healthy(t);
	ebb_tape_free(t);
	for (int k = 0; k < 2; k++) {
		ebb_tensor_free(mean[k]);
		ebb_tensor_free(var[k]);
	}
	arrays_free();
}

static void put(ebb_tensor *x, int64_t i, double value)
{
	void *data = ebb_data_mutable(x);

	if (ebb_dtype_of(x) == EBB_F64)
		((double *)data)[i] = value;
	else
		((float *)data)[i] = (float)value;
}

static void random_case(uint64_t *state)
{
	static const int64_t channels[] = {1, 2, 3, 5, 16, 17, 24, 33, 64, 70, 300};
	int64_t c = channels[test_random(state) % 11], n = 2 + (int64_t)(test_random(state) % 40);
	uint64_t bits = test_random(state);
	fused_case f = {.dtype = bits & 1 ? EBB_F32 : EBB_F64,
		.shape = bits & 2 ? EBB_SHAPE(n, c) : EBB_SHAPE(n % 3 + 1, c, n, 3),
		.wanted = (unsigned)(bits >> 8) & 15,
		.evaluation = bits & 4,
		.batch_alone = bits & 8,
		.same = (bits & 48) == 48,
		.of_y = bits >> 21 & 1};

	if (f.same)
		f.wanted = (f.wanted & 7) | (f.wanted & 1) << RESIDUAL;
	f.in[X] = persistent_random(f.dtype, f.shape, bits);
	f.in[WEIGHT] = bits & 64 ? NULL : persistent_random(f.dtype, EBB_SHAPE(c), bits + 1);
	f.in[BIAS] = bits & 128 ? NULL : persistent_random(f.dtype, EBB_SHAPE(c), bits + 2);
	f.in[RESIDUAL] =
		bits & 16 && !f.same ? persistent_random(f.dtype, f.shape, bits + 3) : NULL;
	f.gy = persistent_random(f.dtype, f.shape, bits + 4);
	f.mean = persistent_random(f.dtype, EBB_SHAPE(c), bits + 5);
	f.var = persistent_random(f.dtype, EBB_SHAPE(c), bits + 6);
	for (int64_t i = 0; i < c; i++)
		put(f.var, i, 2 + ebb_at(f.var, i));
	if (bits >> 20 & 1) /* the NaN or infinity is in one channel */
		put(f.in[X], (int64_t)(bits >> 32) % ebb_count(f.in[X]), NAN);
	compare(&f);
	for (int i = 0; i < INPUTS; i++)
		ebb_tensor_free(f.in[i]);
	ebb_tensor_free(f.gy);
	ebb_tensor_free(f.mean);
	ebb_tensor_free(f.var);
}

START_TEST(batchnorm_relu_equals_its_composition)
{
	uint64_t state = 7;

	for (int i = 0; i < 2000; i++)
		random_case(&state);
}
END_TEST

/* A NaN passes through ReLU, and makes only the gradients of its own channel NaN. */
START_TEST(nan_passes_and_stays_in_its_channel)
{
	for (int training = 0; training < 2; training++) {
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(8, 3), 1), *mean, *var, *y, *g,
			   *v;

		put(x, 4, NAN); /* row 1, channel 1 */
		ebb_set_training(t, training);
		mean = ebb_zeros(t, EBB_SHAPE(3));
		var = ebb_ones(t, EBB_SHAPE(3));
		v = ebb_variable(t, x);
		y = ebb_batchnorm_relu(t, v, .running_mean = training ? NULL : mean,
			.running_var = training ? NULL : var);
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, y)), 1, &v, &g));
		for (int i = 0; i < 24; i++) {
			bool spoilt = training ? i % 3 == 1 : i == 4;

			ck_assert_int_eq(isnan(ebb_at(y, i)), spoilt);
			ck_assert(spoilt || isfinite(ebb_at(g, i)));
		}
		assert_healthy(t);
		ebb_tape_free(t);
		ebb_tensor_free(x);
	}
}
END_TEST

typedef struct segment {
	ebb_tensor *weight, *bias, *mean, *var;
} segment;

static ebb_tensor *two_norms(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const segment *s = ctx;
	ebb_tensor *h = ebb_batchnorm_relu(t, x, s->weight, s->bias, s->mean, s->var);

	return ebb_batchnorm_relu(t, ebb_mul(t, h, h), s->weight, s->bias, s->mean, s->var, x);
}

/* A checkpoint recomputes its segment: the running statistics are updated once, the gradients are
 * the same. */
START_TEST(recomputation_does_not_update_running_statistics)
{
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 5, 3, 3), 1), *g[2][3], *kept[2];
	ebb_tape *t = ebb_tape_new();

	for (int k = 0; k < 2; k++) {
		segment s = {persistent_random(EBB_F32, EBB_SHAPE(5), 2),
			persistent_random(EBB_F32, EBB_SHAPE(5), 3),
			persistent_random(EBB_F32, EBB_SHAPE(5), 4),
			persistent_random(EBB_F32, EBB_SHAPE(5), 5)};
		ebb_tensor *in[3], *y;

		ebb_set_requires_grad(s.weight, true);
		ebb_set_requires_grad(s.bias, true);
		in[0] = ebb_variable(t, x);
		in[1] = s.weight;
		in[2] = s.bias;
		y = k ? ebb_checkpoint(t, two_norms, &s, in[0]) : two_norms(t, in[0], &s);
		kept[k] = ebb_detach_copy(s.mean);
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, y)), 3, in, g[k]));
		ck_assert(all_same(s.mean, kept[k]));
		for (int i = 0; i < 3; i++)
			g[k][i] = ebb_detach_copy(g[k][i]);
		assert_healthy(t);
		ebb_tape_reset(t);
		ebb_tensor_free(s.weight);
		ebb_tensor_free(s.bias);
		ebb_tensor_free(s.mean);
		ebb_tensor_free(s.var);
	}
	ck_assert(all_same(kept[0], kept[1]));
	for (int i = 0; i < 3; i++) {
		ck_assert(all_same(g[0][i], g[1][i]));
		ebb_tensor_free(g[0][i]);
		ebb_tensor_free(g[1][i]);
	}
	ebb_tensor_free(kept[0]);
	ebb_tensor_free(kept[1]);
	ebb_tensor_free(x);
	ebb_tape_free(t);
}
END_TEST

/* Only the residual requires a gradient; the inputs that recompute the result must still be
 * kept. */
START_TEST(inputs_of_recomputation_are_kept_for_the_residuals_gradient)
{
	enum { CHANNELS = 16, SIDE = 12 };
	ebb_shape shape = EBB_SHAPE(2, CHANNELS, SIDE, SIDE);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *r = ebb_variable(t, ebb_zeros(t, shape)), *y;
	int64_t positive = 0;

	ebb_scope_begin(t, "frozen");
	y = ebb_batchnorm_relu(t, ebb_randn(t, shape), .residual = r);
	for (int64_t i = 0; i < ebb_count(y); i++)
		positive += ebb_at(y, i) > 0;
	ck_assert_int_gt(positive, 0);
	y = ebb_scope_end(t, ebb_sum(t, y));
	for (int i = 0; i < 8; i++) /* overwrites all memory that was released */
		ebb_full(t, shape, -1.0);
	ck_assert_msg(ebb_backward(t, y), "%s", ebb_error_message(t));
	ck_assert_double_eq(ebb_item(ebb_sum(t, ebb_grad_of(r))), (double)positive);
	ebb_tape_free(t);
}
END_TEST

START_TEST(an_overwritten_input_of_recomputation_is_an_error)
{
	ebb_shape shape = EBB_SHAPE(2, 4, 3, 3);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_tensor_new(EBB_F32, shape, true, NULL), *r, *y;
	float *values = ebb_data_mutable(x);

	for (int i = 0; i < 72; i++)
		values[i] = (float)(i % 7);
	r = ebb_variable(t, ebb_ones(t, shape));
	y = ebb_batchnorm_relu(t, x, .residual = r);
	ebb_release(t, y);
	ebb_data_mutable(x);
	ck_assert(!ebb_backward(t, y, ebb_ones(t, shape)));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_STATE);
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), "overwritten"));
	ebb_tape_free(t);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Parts ----------------------------------------------------------------------------------- */

typedef struct parts {
	const ebb_node *node;
	ebb_tensor *value[4], *later[4], *gradient[4], *slope[4];
	bool none; /* no value without a gradient */
} parts;

static ebb_tensor *copy_of(const ebb_tensor *x)
{
	return x ? ebb_detach_copy(x) : NULL;
}

static void keep_values(void *ctx, const ebb_node *n)
{
	parts *p = ctx;

	if (!ebb_node_parts(n)) {
		p->none &= !ebb_node_part_value(n, 0) && !ebb_node_part_op(n, 0)[0];
		return;
	}
	p->node = n;
	for (int k = 0; k < ebb_node_parts(n); k++)
		p->value[k] = copy_of(ebb_node_part_value(n, k));
	p->none &= !ebb_node_part_value(n, -1) && !ebb_node_part_value(n, ebb_node_parts(n));
}

static void keep_gradients(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	parts *p = ctx;

	if (n != p->node)
		return;
	for (int k = 0; k < ebb_node_parts(n); k++) {
		p->gradient[k] = copy_of(ebb_node_part_gradient(n, k, g));
		p->slope[k] = copy_of(ebb_node_part_gradient(n, k, NULL));
		p->later[k] = copy_of(ebb_node_part_value(n, k));
	}
	p->none &= !ebb_node_part_gradient(n, 7, g) && !ebb_node_part_gradient(NULL, 0, g);
}

static void free_parts(parts *p)
{
	for (int k = 0; k < 4; k++) {
		ebb_tensor_free(p->value[k]);
		ebb_tensor_free(p->later[k]);
		ebb_tensor_free(p->gradient[k]);
		ebb_tensor_free(p->slope[k]);
	}
}

/* The values and gradients of the fused op's parts equal those of the three ops. */
START_TEST(parts_equal_the_separate_ops)
{
	static const char *const names[] = {"batchnorm", "add", "relu"};
	bool sums = _i & 1, forgets = _i & 4;
	ebb_dtype dtype = _i & 2 ? EBB_F64 : EBB_F32;
	ebb_shape shape = EBB_SHAPE(5, 17, 4, 3);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(dtype, shape, 1), *r = persistent_random(dtype, shape, 2);
	ebb_tensor *gy = persistent_random(dtype, shape, 3), *v, *h, *y, *stage[3], *g[3],
		   *residual = NULL;
	parts p = {.none = true};
	ebb_observer o = {.ctx = &p, .recorded = keep_values, .gradient = keep_gradients};
	int n = 0;

	v = ebb_variable(t, x);
	if (sums) /* a residual that can be recomputed is not kept by the op that reads it */
		residual = forgets ? ebb_batchnorm(t, ebb_variable(t, r)) : ebb_variable(t, r);
	stage[n++] = h = ebb_batchnorm(t, v);
	if (sums)
		stage[n++] = h = ebb_add(t, h, residual);
	stage[n++] = h = ebb_relu(t, h);
	ck_assert(ebb_grad(t, h, n, stage, g, .gy = gy));
	ck_assert(ebb_observe(t, &o));
	y = ebb_batchnorm_relu(t, v, .residual = residual);
	ck_assert_int_eq(ebb_node_parts(ebb_node_of(y)), n);
	ck_assert(!ebb_node_part_value(ebb_node_of(y), 0)); /* no value outside of a callback */
	ck_assert(ebb_backward(t, ebb_neg(t, y), ebb_neg(t, gy)));
	assert_healthy(t);
	ck_assert(p.none);
	for (int k = 0; k < n; k++) {
		ck_assert_str_eq(ebb_node_part_op(p.node, k), names[k == n - 1 ? 2 : k]);
		ck_assert_msg(all_same(p.value[k], stage[k]), "value %d", k);
		ck_assert_msg(all_same(p.gradient[k], g[k]), "gradient %d", k);
		for (int64_t i = 0; i < ebb_count(y); i++)
			ck_assert(ebb_at(p.slope[k], i) == (k == n - 1 || ebb_at(h, i) > 0));
		/* A residual that the op does not keep is gone in the backward pass. */
		if (k == 1 && sums && forgets)
			ck_assert(!p.later[k]);
		else
			ck_assert(all_same(p.later[k], stage[k]));
	}
	free_parts(&p);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(r);
	ebb_tensor_free(gy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fused");
	TCase *c = tcase_create("fused");

	tcase_add_test(c, batchnorm_relu_equals_its_composition);
	tcase_add_test(c, nan_passes_and_stays_in_its_channel);
	tcase_add_test(c, inputs_of_recomputation_are_kept_for_the_residuals_gradient);
	tcase_add_test(c, an_overwritten_input_of_recomputation_is_an_error);
	tcase_add_test(c, recomputation_does_not_update_running_statistics);
	tcase_add_loop_test(c, parts_equal_the_separate_ops, 0, 8);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return run_suite(s);
}
