/* The linear ops that gradients themselves need: their gradients are composed of these ops only. */
#include "tests/autograd/fixture.h"

#include <math.h>

/* ---- The vjp of each op ---------------------------------------------------------------------- */

typedef ebb_tensor *(*linear_fn)(ebb_tensor *x);

static ebb_tensor *add_row(ebb_tensor *x)
{
	return ebb_add(tape, x, ebb_zeros(tape, EBB_SHAPE(2, 3, 2, 4)));
}

static ebb_tensor *add_to_more(ebb_tensor *x)
{
	return ebb_add(tape, ebb_zeros(tape, EBB_SHAPE(5, 2, 3, 2, 4)), x);
}

static ebb_tensor *sum_to_some(ebb_tensor *x)
{
	return ebb_sum_to(tape, x, EBB_SHAPE(2, 1, 2, 1));
}

static ebb_tensor *sum_to_fewer(ebb_tensor *x)
{
	return ebb_sum_to(tape, x, EBB_SHAPE(1, 4));
}

static ebb_tensor *sum_to_one(ebb_tensor *x)
{
	return ebb_sum_to(tape, x, EBB_SCALAR_SHAPE);
}

static ebb_tensor *expand_more(ebb_tensor *x)
{
	return ebb_expand(tape, x, EBB_SHAPE(3, 2, 3, 2, 4));
}

static ebb_tensor *channels_last(ebb_tensor *x)
{
	return ebb_dense(tape, x, EBB_CHANNELS_LAST);
}

static ebb_tensor *all_of_them(ebb_tensor *x)
{
	ebb_tensor *sum = ebb_sum_to(tape, x, EBB_SHAPE(3, 1, 4));

	return ebb_add(tape, ebb_expand(tape, sum, EBB_SHAPE(2, 3, 2, 4)),
		ebb_dense(tape, ebb_add(tape, x, x), EBB_CHANNELS_LAST));
}

static const linear_fn FUNCTIONS[] = {add_row, add_to_more, sum_to_some, sum_to_fewer, sum_to_one,
	expand_more, channels_last, all_of_them};
enum { FUNCTION_COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS };

static ebb_tensor *random_variable(ebb_shape shape, uint64_t seed)
{
	ebb_seed(tape, seed);
	return ebb_variable(tape, ebb_randn(tape, shape));
}

static double dot(const ebb_tensor *a, const ebb_tensor *b)
{
	double sum = 0;

	for (int64_t i = 0; i < ebb_count(a); i++)
		sum += ebb_at(a, i) * ebb_at(b, i);
	return sum;
}

/* The number of nodes that x depends on.  Asserts that each is one of the engine's ops. */
static int closed_behind(const ebb_tensor *x)
{
	static const char *const own[] = {"leaf", "add", "sum_to", "expand", "dense", "copy"};
	const ebb_node *n = ebb_node_of(x);
	int count = 1, k = 0;

	if (!n)
		return 0;
	while (k < 6 && strcmp(ebb_node_op(n), own[k]))
		k++;
	ck_assert_msg(k < 6, "%s is not one of the engine's ops", ebb_node_op(n));
	for (int i = 0; i < ebb_node_inputs(n); i++)
		count += closed_behind(ebb_node_input(n, i));
	return count;
}

/* For y = Lx with the cotangent u, the gradient by x is L'u.  The gradient of L'u by u, with the
 * cotangent w, is Lw.  The gradient of Lw by w, with the cotangent u, is L'u again (up to the
 * rounding of sums in another memory order). */
START_TEST(gradients_of_any_order_use_linear_ops_only)
{
	linear_fn f = FUNCTIONS[_i];
	ebb_shape shape = EBB_SHAPE(2, 3, 2, 4);
	ebb_tensor *x = random_variable(shape, 1), *w = random_variable(shape, 2), *y = f(x),
		   *u = random_variable(ebb_shape_of(y), 3), *g, *gu, *gw;

	ck_assert_msg(ebb_grad(tape, y, 1, &x, &g, .gy = u, .create_graph = true), "%s",
		ebb_error_message(tape));
	ck_assert_msg(ebb_grad(tape, g, 1, &u, &gu, .gy = w, .create_graph = true), "%s",
		ebb_error_message(tape));
	ck_assert_msg(ebb_grad(tape, gu, 1, &w, &gw, .gy = u, .create_graph = true), "%s",
		ebb_error_message(tape));
	ck_assert(closed_behind(g) > 1 && closed_behind(gu) > 1 && closed_behind(gw) > 1);
	ck_assert(all_close(gu, f(w), 1e-14));
	ck_assert(all_close(gw, g, 1e-14));
	ck_assert(fabs(dot(g, w) - dot(u, gu)) < 1e-12);
	ck_assert(fabs(dot(g, w)) > 1e-3);
}
END_TEST

/* ---- copy ------------------------------------------------------------------------------------ */

/* A copy of the user's gy becomes the gradient, with subnormal numbers as the tape treats them. */
START_TEST(a_copy_flushes_subnormal_numbers_as_a_sum_does)
{
	static const float given[2] = {1e-40F, 3};

	for (int flush = 0; flush < 2; flush++)
		for (int create = 0; create < 2; create++) {
			ebb_tensor *x, *u, *y, *g;

			ebb_tape_reset(tape);
			ebb_set_default_dtype(tape, EBB_F32);
			ebb_set_flush_subnormal(tape, flush ? EBB_FLUSH_F32 : EBB_FLUSH_NEVER);
			x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(2)));
			u = ebb_from_f32(tape, EBB_SHAPE(2), given);
			y = ebb_add(tape, x, ebb_ones(tape, EBB_SHAPE(2)));
			ck_assert(ebb_grad(tape, y, 1, &x, &g, .gy = u, .create_graph = create));
			ck_assert_ptr_ne(ebb_data(g), ebb_data(u));
			ck_assert(all_same(g, ebb_add(tape, u, ebb_zeros_like(tape, u))));
			ck_assert(ebb_at(u, 0) == (double)given[0]);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/linear");
	TCase *c = tcase_create("linear");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, gradients_of_any_order_use_linear_ops_only, 0, FUNCTION_COUNT);
	tcase_add_test(c, a_copy_flushes_subnormal_numbers_as_a_sum_does);
	suite_add_tcase(s, c);
	return run_suite(s);
}
