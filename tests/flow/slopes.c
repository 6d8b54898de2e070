/* slopes.c - flat slopes and dead units are those that the derivatives of each op give. */
#include "tests/flow/measures.h"

/* ---- The derivatives ------------------------------------------------------------------------- */

static double sig(double x)
{
	return 1 / (1 + exp(-x));
}

static double d_relu(double x)
{
	return x > 0;
}

static double d_relu6(double x)
{
	return x > 0 && x < 6;
}

static double d_hardtanh(double x)
{
	return fabs(x) < 1;
}

static double d_clamp(double x)
{
	return x >= -0.5 && x <= 2;
}

static double d_sigmoid(double x)
{
	return sig(x) * sig(-x);
}

static double d_tanh(double x)
{
	return 1 / pow(cosh(x), 2);
}

static double d_erf(double x)
{
	return M_2_SQRTPI * exp(-x * x);
}

static double d_softsign(double x)
{
	return pow(1 + fabs(x), -2);
}

static double d_softplus(double x)
{
	return sig(x);
}

static double d_logsigmoid(double x)
{
	return sig(-x);
}

static double d_selu(double x)
{
	return 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * exp(x));
}

static double d_elu(double x)
{
	return x > 0 ? 1 : exp(x);
}

static double d_elu2(double x)
{
	return x > 0 ? 1 : 2 * exp(x);
}

static double d_elu_small(double x)
{
	return x > 0 ? 1 : 0.2 * exp(x);
}

static double d_hardswish(double x)
{
	return x < -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1;
}

static double d_gelu(double x)
{
	return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
}

static double d_silu(double x)
{
	return sig(x) + x * sig(x) * sig(-x);
}

static double d_mish(double x)
{
	double s = log1p(exp(x));

	return tanh(s) + x * sig(x) / pow(cosh(s), 2);
}

#define OP(name)                                                                                   \
	static ebb_tensor *run_##name(ebb_tape *t, ebb_tensor *x)                                  \
	{                                                                                          \
		return ebb_##name(t, x);                                                           \
	}
OP(relu)
OP(relu6)
OP(hardtanh)
OP(sigmoid)
OP(tanh)
OP(erf)
OP(softsign)
OP(softplus)
OP(logsigmoid)
OP(selu)
OP(hardswish)
OP(silu)
OP(mish)

static ebb_tensor *run_gelu(ebb_tape *t, ebb_tensor *x)
{
	return ebb_gelu(t, x);
}

static ebb_tensor *run_clamp(ebb_tape *t, ebb_tensor *x)
{
	return ebb_clamp(t, x, -0.5, 2);
}

static ebb_tensor *run_elu(ebb_tape *t, ebb_tensor *x)
{
	return ebb_elu(t, x, 1.0);
}

static ebb_tensor *run_elu2(ebb_tape *t, ebb_tensor *x)
{
	return ebb_elu(t, x, 2.0);
}

static ebb_tensor *run_elu_small(ebb_tape *t, ebb_tensor *x)
{
	return ebb_elu(t, x, 0.2);
}

/* largest 0: it is found as the largest value on a grid. */
static const struct nonlinearity {
	const char *op;
	ebb_tensor *(*run)(ebb_tape *t, ebb_tensor *x);
	double (*slope)(double x);
	double largest;
	bool bounded, needs_x;
} nonlinearities[] = {
	{"relu", run_relu, d_relu, 1, false, false},
	{"relu6", run_relu6, d_relu6, 1, false, false},
	{"hardtanh", run_hardtanh, d_hardtanh, 1, true, false},
	{"clamp", run_clamp, d_clamp, 1, false, true},
	{"sigmoid", run_sigmoid, d_sigmoid, 0.25, true, false},
	{"tanh", run_tanh, d_tanh, 1, true, false},
	{"erf", run_erf, d_erf, M_2_SQRTPI, true, false},
	{"softsign", run_softsign, d_softsign, 1, true, false},
	{"softplus", run_softplus, d_softplus, 1, false, false},
	{"logsigmoid", run_logsigmoid, d_logsigmoid, 1, false, false},
	{"selu", run_selu, d_selu, 1.0507009873554805 * 1.6732632423543772, false, false},
	{"elu", run_elu, d_elu, 1, false, true},
	{"elu", run_elu2, d_elu2, 2, false, true},
	{"elu", run_elu_small, d_elu_small, 1, false, true},
	{"hardswish", run_hardswish, d_hardswish, 1.5, false, true},
	{"gelu", run_gelu, d_gelu, 0, false, true},
	{"silu", run_silu, d_silu, 0, false, true},
	{"mish", run_mish, d_mish, 0, false, true},
};
enum { OPS = sizeof nonlinearities / sizeof *nonlinearities, UNITS = 6 };

static double largest_of(const struct nonlinearity *o)
{
	double largest = o->largest;

	for (int i = -40000; i <= 40000 && o->largest == 0; i++)
		largest = fmax(largest, fabs(o->slope(i * 1e-4)));
	return largest;
}

/* Inputs whose slopes are not nearly at the limit, where rounding decides. */
static ebb_tensor *inputs(
	const struct nonlinearity *o, ebb_dtype dtype, ebb_shape shape, double scale, double limit)
{
	ebb_tensor *x = persistent_random(dtype, shape, 7);
	double level = limit * largest_of(o);

	for (int64_t i = 0; i < ebb_count(x); i++) {
		double v = scale * ebb_at(x, i);

		set(x, i, fabs(fabs(o->slope(v)) / level - 1) < 1e-4 ? 0.5 : v);
	}
	return x;
}

struct expected {
	int64_t slopes, flat, seen[UNITS], active[UNITS];
};

static struct expected count_flat(
	const struct nonlinearity *o, const ebb_tensor *x, int axis, double limit)
{
	ebb_shape s = ebb_shape_of(x);
	struct expected e = {0};
	double level = limit * largest_of(o);
	int64_t inner = 1;

	for (int a = axis + 1; a < s.ndim; a++)
		inner *= s.dims[a];
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double v = ebb_at(x, i);
		int64_t unit = i / inner % s.dims[axis];
		bool flat = fabs(o->slope(v)) < level;

		if (isnan(v))
			continue;
		e.slopes++;
		e.flat += flat;
		e.seen[unit]++;
		e.active[unit] += !flat;
	}
	return e;
}

static void check_slopes(ebb_tape *t, const struct nonlinearity *o, ebb_tensor *x, int axis,
	double limit, struct flow_units *u)
{
	struct expected e = count_flat(o, x, axis, limit);
	struct flow_sums s = {.slopes = 10, .flat = 5};
	ebb_tensor *y = o->run(t, x);

	ebb_flow_units_fit(u, 1);
	ck_assert(ebb_flow_slopes(o->op, x, y, axis, -1, limit, &s, u));
	ck_assert_int_eq(s.slopes, 10 + e.slopes);
	ck_assert_msg(
		s.flat == 5 + e.flat, "%s: %d flat, not %d", o->op, (int)s.flat - 5, (int)e.flat);
	ck_assert_int_eq(u->n, ebb_size(y, axis));
	for (int64_t k = 0; k < u->n; k++) {
		ck_assert_int_eq(u->seen[0][k], e.seen[k]);
		ck_assert_int_eq(u->active[0][k], e.active[k]);
	}
	ck_assert(ebb_flow_slopes(o->op, NULL, y, axis, -1, limit, &s, NULL));
	ck_assert_int_eq(s.slopes, 10 + e.slopes * (o->needs_x ? 1 : 2));
	ck_assert_int_eq(s.flat, 5 + e.flat * (o->needs_x ? 1 : 2));
	assert_healthy(t);
}

START_TEST(flat_slopes_are_counted_exactly)
{
	static const double limits[] = {0.05, 0.3, 0.001};
	const struct nonlinearity *o = &nonlinearities[_i];
	struct flow_units u = {0};

	for (int k = 0; k < 12; k++) {
		ebb_dtype dtype = k % 2 ? EBB_F64 : EBB_F32;
		double limit = limits[k / 2 % 3];
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x = inputs(o, dtype, EBB_SHAPE(9, UNITS, 4, 31), k < 6 ? 8 : 3, limit),
			   *cl;
		ebb_tensor *m = inputs(o, dtype, EBB_SHAPE(900, UNITS), k < 6 ? 8 : 3, limit);

		if (dtype == EBB_F64)
			ebb_set_default_dtype(t, EBB_F64);
		set(x, 5, NAN);
		cl = channels_last_copy(x);
		check_slopes(t, o, x, 1, limit, &u);
		check_slopes(t, o, cl, 1, limit, &u);
		check_slopes(t, o, cl, 2, limit, &u);
		check_slopes(t, o, m, 1, limit, &u);
		check_slopes(t, o, ebb_slice(t, m, 0, 1, 800, 3), 1, limit, &u);
		ebb_tape_free(t);
		ebb_tensor_free(x);
		ebb_tensor_free(cl);
		ebb_tensor_free(m);
	}
	ebb_flow_units_free(&u);
}
END_TEST

/* x and y may have different memory orders. */
START_TEST(slopes_of_different_memory_orders_are_the_same)
{
	const struct nonlinearity *o = &nonlinearities[_i];
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = inputs(o, EBB_F32, EBB_SHAPE(3, UNITS, 5, 7), 5, 0.05);
	ebb_tensor *cl = channels_last_copy(x), *y = o->run(t, x);
	struct expected e = count_flat(o, x, 1, 0.05);
	struct flow_sums s = {0};

	ck_assert(ebb_flow_slopes(o->op, cl, y, 1, -1, 0.05, &s, NULL));
	ck_assert(s.slopes == e.slopes && s.flat == e.flat);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(cl);
}
END_TEST

START_TEST(ops_are_classified)
{
	static const char *const nonlinear[] = {"abs", "square", "sqrt", "exp", "sin", "leaky_relu",
		"prelu", "softmax", "log_softmax", "masked_softmax", "pow_scalar", "log1p"};
	static const char *const linear[] = {
		"neg", "sign", "floor", "add", "linear", "conv2d", "mul_scalar", "leaf", "", NULL};
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 5), 1);
	struct flow_sums s = {0};

	for (int i = 0; i < OPS; i++) {
		ck_assert(ebb_flow_is_nonlinear(nonlinearities[i].op));
		ck_assert(ebb_flow_is_bounded(nonlinearities[i].op) == nonlinearities[i].bounded);
	}
	for (size_t i = 0; i < sizeof nonlinear / sizeof *nonlinear; i++) {
		ck_assert_msg(ebb_flow_is_nonlinear(nonlinear[i]), "%s", nonlinear[i]);
		ck_assert(!ebb_flow_is_bounded(nonlinear[i]));
		ck_assert(ebb_flow_slopes(nonlinear[i], x, x, 1, -1, 0.05, &s, NULL));
	}
	for (size_t i = 0; i < sizeof linear / sizeof *linear; i++) {
		ck_assert(!ebb_flow_is_nonlinear(linear[i]) && !ebb_flow_is_bounded(linear[i]));
		ck_assert(ebb_flow_slopes(linear[i], x, x, 1, -1, 0.05, &s, NULL));
	}
	ck_assert(ebb_flow_slopes("relu", x, NULL, 1, -1, 0.05, &s, NULL));
	ck_assert(ebb_flow_slopes("relu", x, x, 2, -1, 0.05, &s, NULL));
	ck_assert(ebb_flow_slopes("relu", x, x, -1, -1, 0.05, &s, NULL));
	ck_assert(s.slopes == 0 && s.flat == 0);
	ebb_tensor_free(x);
}
END_TEST

/* y = 1, but 0 in every 5th unit and in the first half of the samples. */
static void check_sampled(ebb_shape shape, bool channels_last)
{
	ebb_tensor *rows = ebb_tensor_new(EBB_F32, shape, false, NULL), *y = rows;
	int64_t units = shape.dims[1], inner = 1, least, most = DEFAULT_MOST;
	struct flow_sums s = {0};
	struct flow_units u = {0};

	for (int a = 2; a < shape.ndim; a++)
		inner *= shape.dims[a];
	for (int64_t i = 0; i < ebb_count(rows); i++)
		set(rows, i, i / inner % units % 5 && i >= ebb_count(rows) / 2);
	if (channels_last)
		y = channels_last_copy(rows);
	ck_assert(ebb_flow_slopes("relu", NULL, y, 1, most, 0.05, &s, &u));
	least = units > most ? 2 * units : most / 2;
	ck_assert_int_ge(s.slopes, least);
	ck_assert_int_le(s.slopes, units > most ? 2 * units : most + units + 2048);
	ck_assert(near((double)s.flat / (double)s.slopes, 0.6, 0.1));
	ck_assert_int_eq(u.n, units);
	for (int64_t k = 0; k < units; k++) {
		ck_assert_int_eq(u.seen[0][k], s.slopes / units);
		ck_assert((u.active[0][k] > 0) == (k % 5 > 0));
	}
	ebb_flow_units_free(&u);
	if (y != rows)
		ebb_tensor_free(y);
	ebb_tensor_free(rows);
}

START_TEST(slopes_of_large_tensors_are_sampled_by_whole_rows_of_units)
{
	check_sampled(EBB_SHAPE(8192, 100), false);
	check_sampled(EBB_SHAPE(200, 5000), false);
	check_sampled(EBB_SHAPE(4, 100000), false);
	check_sampled(EBB_SHAPE(16, 20, 60, 40), true);
	check_sampled(EBB_SHAPE(16, 20, 60, 40), false);
	check_sampled(EBB_SHAPE(300, 1000, 2), false);
}
END_TEST

/* ---- Units ----------------------------------------------------------------------------------- */

static void see(struct flow_units *u, int64_t unit, int64_t seen, int64_t active)
{
	u->seen[0][unit] += seen;
	u->active[0][unit] += active;
}

START_TEST(dead_units_are_counted_over_the_window)
{
	struct flow_units u = {0};

	ck_assert(isnan(ebb_flow_units_dead(&u, 0.01)));
	ebb_flow_units_step(&u, 10);
	ck_assert(ebb_flow_units_fit(&u, 4));
	for (int k = 0; k < 4; k++)
		see(&u, k, 15, k);
	ck_assert(isnan(ebb_flow_units_dead(&u, 0.01)));
	for (int k = 0; k < 4; k++)
		see(&u, k, 85, 0);
	/* active in 0, 1, 2 and 3 of 100 */
	ck_assert(ebb_flow_units_dead(&u, 0.01) == 0.25);
	ck_assert(ebb_flow_units_dead(&u, 0.015) == 0.5);
	ck_assert(ebb_flow_units_dead(&u, 0.5) == 1);
	/* With a window of 10 steps, these counts leave after 5 to 10 steps. */
	for (int step = 0; step < 10; step++) {
		ck_assert(ebb_flow_units_dead(&u, 0.01) == (step == 0 ? 0.25 : 0));
		for (int k = 0; k < 4; k++)
			see(&u, k, 100, 100);
		ebb_flow_units_step(&u, 10);
	}
	for (int step = 0; step < 10; step++) {
		for (int k = 0; k < 4; k++)
			see(&u, k, 100, k > 0 ? 100 : 0);
		ck_assert(ebb_flow_units_dead(&u, 0.01) == (step < 5 ? 0 : 0.25));
		ebb_flow_units_step(&u, 10);
	}
	/* Another number of units: all counts begin again. */
	ck_assert(ebb_flow_units_fit(&u, 4) && u.seen[1][0] > 0);
	ck_assert(ebb_flow_units_fit(&u, 3) && u.seen[0][0] == 0 && u.seen[1][2] == 0);
	ck_assert(isnan(ebb_flow_units_dead(&u, 0.01)));
	ck_assert(ebb_flow_units_fit(&u, 400) && u.seen[0][0] == 0 && u.active[1][399] == 0);
	ebb_flow_units_free(&u);
	ck_assert(u.n == 0 && isnan(ebb_flow_units_dead(&u, 0.01)));
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

START_TEST(refused_memory_leaks_nothing)
{
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(8, 16), 1);
	struct flow_units u = {0};
	struct flow_sums s = {0};
	counting_allocator a;

	counting_allocator_install(&a);
	a.fail_at = 0;
	ck_assert(!ebb_flow_slopes("relu", x, x, 1, -1, 0.05, &s, &u));
	ck_assert(a.refused == 1 && a.live == 0 && u.n == 0 && s.slopes == 0);
	ck_assert(ebb_flow_slopes("relu", x, x, 1, -1, 0.05, &s, &u) && u.n == 16);
	a.fail_at = a.calls;
	ck_assert(!ebb_flow_units_fit(&u, 17) && u.n == 0 && u.capacity == 0 && a.live == 0);
	ck_assert(ebb_flow_slopes("relu", x, x, 1, -1, 0.05, &s, &u) && u.n == 16);
	a.fail_at = a.calls;
	ck_assert(ebb_flow_units_fit(&u, 9) && u.n == 9);
	ck_assert(ebb_flow_slopes("gelu", x, x, 1, -1, 0.05, &s, NULL));
	ck_assert(a.refused == 2 && a.live == 1);
	ebb_flow_units_free(&u);
	ck_assert(a.live == 0 && a.wrong == 0);
	counting_allocator_remove();
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow slopes");
	TCase *c = tcase_create("slopes");

	tcase_add_loop_test(c, flat_slopes_are_counted_exactly, 0, OPS);
	tcase_add_loop_test(c, slopes_of_different_memory_orders_are_the_same, 0, OPS);
	tcase_add_test(c, ops_are_classified);
	tcase_add_test(c, slopes_of_large_tensors_are_sampled_by_whole_rows_of_units);
	tcase_add_test(c, dead_units_are_counted_over_the_window);
	tcase_add_test(c, refused_memory_leaks_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
