/* Gradients of large fully connected weights as deferred outer products.  A deferred gradient that
 * is read is bit-identical to a gradient that was computed at once. */
#include "tensor/deferred.h"
#include "kernels/kernels.h"
#include "tests/engine/deferring.h"

#include <math.h>
#include <string.h>

/* A function that changes the gradients of a new network.  gradients() returns their checksum, with
 * deferred products if keep is true, else with computed ones; same_deferred_or_not() asserts that
 * both checksums are equal. */
typedef void (*pass_fn)(network *n);

static uint64_t gradients(pass_fn pass, ebb_dtype dtype, ebb_shape shape, bool keep)
{
	network n = network_new(dtype, shape);
	uint64_t hash;

	ebb_defer_products = keep;
	pass(&n);
	assert_healthy(tape);
	ck_assert_ptr_nonnull(ebb_grad_of(n.fc1.weight));
	hash = grads_hash(n.p);
	ebb_tape_reset(tape);
	network_free(&n);
	ebb_defer_products = true;
	return hash;
}

static void same_deferred_or_not(pass_fn pass)
{
	ebb_shape shape = EBB_SHAPE(ROWS, WIDTH);

	ck_assert(gradients(pass, EBB_F32, shape, true) == gradients(pass, EBB_F32, shape, false));
	ck_assert(gradients(pass, EBB_F64, shape, true) == gradients(pass, EBB_F64, shape, false));
}

/* ---- One sweep ---------------------------------------------------------------------- */

START_TEST(a_deferred_product_that_is_read_is_bit_identical)
{
	static const ebb_shape shapes[] = {{2, {1, WIDTH}}, {2, {33, WIDTH}}, {3, {2, 5, WIDTH}}};

	same_deferred_or_not(one_sweep);
	for (int i = 0; i < 3; i++)
		ck_assert(gradients(one_sweep, EBB_F32, shapes[i], true) ==
			  gradients(one_sweep, EBB_F32, shapes[i], false));
}
END_TEST

START_TEST(deferred_products_equal_the_gradients_of_ebb_grad)
{
	network n = usual();
	ebb_tensor *w[] = {n.fc1.weight, n.fc2.weight}, *g[2];

	one_sweep(&n);
	ck_assert(ebb_grad(tape, loss_of(&n, n.x), 2, w, g));
	for (int i = 0; i < 2; i++)
		ck_assert(all_same(ebb_grad_of(w[i]), g[i]));
	ck_assert(!both_deferred(&n));
	ebb_tape_reset(tape);
	network_free(&n);
}
END_TEST

/* With many rows or a small weight, the operands are not far smaller than the product. */
START_TEST(products_are_deferred_only_where_operands_are_far_smaller)
{
	network n = network_new(EBB_F32, EBB_SHAPE(EBB_OUTER_TERMS + 1, WIDTH));
	ebb_params *p = ebb_params_new(1);
	ebb_linear small = ebb_linear_new(p, "small", 64, 64);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 64), 1);

	ck_assert(ebb_backward(tape, loss_of(&n, n.x)));
	ck_assert(!is_deferred(n.fc1.weight) && ebb_grad_of(n.fc1.weight));
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_linear_forward(tape, &small, x))));
	ck_assert(!is_deferred(small.weight) && ebb_grad_of(small.weight));
	ebb_tape_reset(tape);
	network_free(&n);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Sums --------------------------------------------------------------------------- */

static void two_sweeps(network *n)
{
	one_sweep(n);
	ck_assert(ebb_backward(tape, loss_of(n, n->other)));
	ck_assert(!is_deferred(n->fc1.weight));
}

static void retained(network *n)
{
	ebb_tensor *y = loss_of(n, n->x);

	ck_assert(ebb_backward(tape, y, .retain = true));
	ck_assert(ebb_backward(tape, y));
}

static void two_uses(network *n)
{
	ebb_tensor *h = ebb_tanh(tape, ebb_linear_forward(tape, &n->fc1, n->x));

	h = ebb_linear_forward(tape, &n->fc1, h);
	ck_assert(ebb_backward(tape, ebb_mean(tape, ebb_square(tape, h))));
}

/* The weight gets a contribution from an outer product and one from an elementwise op, in both
 * orders. */
static void mixed_uses(network *n)
{
	ebb_tensor *w = n->fc1.weight, *y = ebb_sum(tape, ebb_square(tape, w));

	y = ebb_add(tape, y, loss_of(n, n->x));
	ck_assert(ebb_backward(tape, ebb_add(tape, y, ebb_sum(tape, w))));
	ebb_params_zero_grad(n->p);
	ck_assert(ebb_backward(tape, ebb_add(tape, ebb_sum(tape, w), loss_of(n, n->x))));
}

static void zeroed_between(network *n)
{
	one_sweep(n);
	ebb_params_zero_grad(n->p);
	ck_assert(!is_deferred(n->fc1.weight) && !ebb_grad_of(n->fc1.weight));
	ck_assert(ebb_backward(tape, loss_of(n, n->other)));
	ck_assert(both_deferred(n) == ebb_defer_products);
}

START_TEST(sums_of_contributions_are_the_same_without_deferred_products)
{
	same_deferred_or_not(two_sweeps);
	same_deferred_or_not(retained);
	same_deferred_or_not(two_uses);
	same_deferred_or_not(mixed_uses);
	same_deferred_or_not(zeroed_between);
}
END_TEST

START_TEST(frozen_weights_get_no_gradient)
{
	network n = usual();

	ebb_set_requires_grad(n.fc2.weight, false);
	ck_assert(ebb_backward(tape, loss_of(&n, n.x)));
	ck_assert(is_deferred(n.fc1.weight));
	ck_assert(!is_deferred(n.fc2.weight) && !ebb_grad_of(n.fc2.weight));
	ebb_tape_reset(tape);
	network_free(&n);
}
END_TEST

/* ---- Failed, nested, recomputed and observed sweeps --------------------------------- */

typedef struct hooked {
	void (*fn)(ebb_tape *t, ebb_tensor *w);
	ebb_tensor *w;
} hooked;

/* y = x, with a vjp that calls the function. */
static void hooked_vjp(ebb_vjp *v)
{
	const hooked *h = v->attrs;

	h->fn(v->t, h->w);
	ebb_give(v, 0, v->gy);
}
static const ebb_op HOOKED = {.name = "hooked", .vjp = hooked_vjp, .takes = {EBB_ROWS}};

static ebb_tensor *with_hook(ebb_tensor *x, hooked h)
{
	ebb_call c = ebb_begin(tape, &HOOKED, NULL, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		ebb_copy_out(x, ebb_data_mutable(y),
			(size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y)));
	ebb_attach(&c, &h, sizeof h);
	return ebb_record(&c, y);
}

static void fails(ebb_tape *t, ebb_tensor *w)
{
	(void)w;
	ebb_fail(t, EBB_INVALID, NULL, "this gradient fails");
}

START_TEST(a_failed_sweep_leaves_no_deferred_product)
{
	network n = usual();
	uint64_t before;

	ck_assert(!ebb_backward(
		tape, loss_of(&n, with_hook(ebb_variable(tape, n.x), (hooked){fails, NULL}))));
	ebb_clear_error(tape);
	ebb_tape_reset(tape);
	ck_assert(!is_deferred(n.fc1.weight) && !is_deferred(n.fc2.weight));
	ck_assert(!ebb_grad_of(n.fc1.weight) && !ebb_grad_of(n.fc2.weight));
	/* A failed sweep does not change an existing gradient. */
	one_sweep(&n);
	ebb_tape_reset(tape);
	ck_assert(!ebb_backward(
		tape, loss_of(&n, with_hook(ebb_variable(tape, n.other), (hooked){fails, NULL}))));
	ebb_clear_error(tape);
	ebb_tape_reset(tape);
	ck_assert(both_deferred(&n));
	before = grads_hash(n.p);
	network_free(&n);
	ck_assert(before == gradients(one_sweep, EBB_F32, EBB_SHAPE(ROWS, WIDTH), false));
}
END_TEST

static void nested_backward(ebb_tape *t, ebb_tensor *w)
{
	bool was = ebb_set_recording(t, true);

	ck_assert(ebb_backward(t, ebb_sum(t, ebb_mul_scalar(t, w, 3))));
	ebb_set_recording(t, was);
}

static void nested(network *n)
{
	ebb_tensor *h = ebb_tanh(tape, ebb_linear_forward(tape, &n->fc1, n->x));

	h = with_hook(h, (hooked){nested_backward, n->fc2.weight});
	h = ebb_linear_forward(tape, &n->fc2, h);
	ck_assert(ebb_backward(tape, ebb_mean(tape, ebb_square(tape, h))));
}

static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const network *n = ctx;

	return ebb_linear_forward(t, &n->fc2, ebb_tanh(t, ebb_linear_forward(t, &n->fc1, x)));
}

static void checkpointed(network *n)
{
	ebb_tensor *y = ebb_checkpoint(tape, segment, n, n->x);

	ck_assert(ebb_backward(tape, ebb_mean(tape, ebb_square(tape, y))));
	ck_assert(both_deferred(n) == ebb_defer_products);
}

static void penalised(network *n)
{
	ebb_tensor *x = ebb_variable(tape, n->x), *w[] = {x, n->fc1.weight}, *g[2];
	ebb_tensor *y = loss_of(n, x);

	ck_assert(ebb_grad(tape, y, 2, w, g, .create_graph = true));
	y = ebb_add(tape, y,
		ebb_add(tape, ebb_sum(tape, ebb_square(tape, g[0])),
			ebb_sum(tape, ebb_square(tape, g[1]))));
	ck_assert(ebb_backward(tape, y));
}

START_TEST(nested_sweeps_are_the_same_without_deferred_products)
{
	same_deferred_or_not(nested);
	same_deferred_or_not(checkpointed);
	same_deferred_or_not(penalised);
	/* Gradients with and without a checkpoint are equal. */
	ck_assert(gradients(checkpointed, EBB_F32, EBB_SHAPE(ROWS, WIDTH), true) ==
		  gradients(one_sweep, EBB_F32, EBB_SHAPE(ROWS, WIDTH), true));
}
END_TEST

typedef struct seen {
	const ebb_tensor *w;
	double sum;
} seen;

static void sum_up(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	seen *s = ctx;

	if (ebb_node_persistent(node) == s->w)
		for (int64_t i = 0; i < ebb_count(g); i++)
			s->sum += fabs(ebb_at(g, i));
}

static void observed(network *n)
{
	seen s = {n->fc1.weight, 0};
	ebb_observer o = {.ctx = &s, .gradient = sum_up};
	double sum = 0;

	ck_assert(ebb_observe(tape, &o));
	ck_assert(ebb_backward(tape, loss_of(n, n->x)));
	ebb_unobserve(tape, &o);
	/* The gradients are still deferred after the observer was called. */
	ck_assert(both_deferred(n) == ebb_defer_products);
	for (int64_t i = 0; i < WIDTH * WIDTH; i++)
		sum += fabs(ebb_at(ebb_grad_of(n->fc1.weight), i));
	ck_assert(sum > 0 && s.sum == sum);
}

static void looked_over(network *n)
{
	ebb_detect_anomaly(tape, true);
	ck_assert(ebb_backward(tape, loss_of(n, n->x)));
	ebb_detect_anomaly(tape, false);
	ck_assert(!is_deferred(n->fc1.weight));
}

START_TEST(observed_and_checked_sweeps_are_the_same_without_deferred_products)
{
	same_deferred_or_not(observed);
	same_deferred_or_not(looked_over);
}
END_TEST

/* The operands of the deferred product are finite, and the product is infinite. */
START_TEST(anomaly_detection_finds_an_infinity_in_a_deferred_product)
{
	network n = usual();
	ebb_tensor *y;

	((float *)ebb_data_mutable(n.x))[3] = 1e30f;
	ebb_detect_anomaly(tape, true);
	y = ebb_linear_forward(tape, &n.fc1, n.x);
	ck_assert(!ebb_backward(tape, y, .gy = ebb_full(tape, EBB_SHAPE(ROWS, WIDTH), 1e10)));
	ck_assert_int_eq(ebb_error_status(tape), EBB_NOT_FINITE);
	ebb_clear_error(tape);
	ebb_tape_reset(tape);
	network_free(&n);
}
END_TEST

/* ---- Gradients that the user has read ----------------------------------------------- */

START_TEST(a_kept_handle_reads_the_next_gradient)
{
	network n = usual();
	ebb_tape *second = ebb_tape_new();
	ebb_tensor *w = n.fc1.weight, *g, *view, *expected;
	const float *raw;

	one_sweep(&n);
	ck_assert(ebb_grad(tape, loss_of(&n, n.other), 1, &w, &expected));
	expected = ebb_detach_copy(expected);
	ebb_tape_reset(tape);
	g = ebb_grad_of(w);
	raw = ebb_data(g);
	view = ebb_reshape(second, g, EBB_SHAPE(WIDTH * WIDTH));
	ebb_params_zero_grad(n.p);
	ck_assert(ebb_backward(tape, loss_of(&n, n.other)));
	ck_assert(memcmp(raw, ebb_data(expected), sizeof(float) * WIDTH * WIDTH) == 0);
	ck_assert(all_same(g, expected));
	for (int64_t i = 0; i < WIDTH * WIDTH; i += 97)
		ck_assert(ebb_at(view, i) == ebb_at(expected, i));
	ck_assert_ptr_eq(ebb_grad_of(w), g);
	/* The gradient that ebb_grad_of has not returned is still deferred. */
	ck_assert(is_deferred(n.fc2.weight));
	ebb_tape_free(second);
	ebb_tape_reset(tape);
	ebb_tensor_free(expected);
	network_free(&n);
}
END_TEST

START_TEST(a_saved_gradient_that_is_replaced_is_an_error)
{
	network n = usual();
	ebb_tape *second = ebb_tape_new();
	ebb_tensor *v, *y;

	one_sweep(&n);
	ebb_tape_reset(tape);
	v = ebb_variable(second, ebb_zeros(second, EBB_SHAPE(WIDTH, WIDTH)));
	y = ebb_sum(second, ebb_mul(second, v, ebb_grad_of(n.fc1.weight)));
	ebb_params_zero_grad(n.p);
	ck_assert(ebb_backward(tape, loss_of(&n, n.other)));
	assert_refused(second, EBB_BAD_STATE, ebb_backward(second, y), "overwritten");
	ebb_tape_free(second);
	ebb_tape_reset(tape);
	network_free(&n);
}
END_TEST

static void clipped(network *n)
{
	double norm;

	one_sweep(n);
	norm = ebb_clip_grad_norm(n->p, 1e-4);
	ck_assert(norm > 1e-4);
	ck_assert(!is_deferred(n->fc1.weight));
	ck_assert(fabs(ebb_params_grad_norm(n->p) - 1e-4) < 1e-6);
	ck_assert(ebb_clip_grad_value(n->p, 1e-7));
}

START_TEST(clipped_gradients_are_the_same_without_deferred_products)
{
	same_deferred_or_not(clipped);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deferred products");
	TCase *c = tcase_create("deferred products");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_deferred_product_that_is_read_is_bit_identical);
	tcase_add_test(c, deferred_products_equal_the_gradients_of_ebb_grad);
	tcase_add_test(c, products_are_deferred_only_where_operands_are_far_smaller);
	tcase_add_test(c, sums_of_contributions_are_the_same_without_deferred_products);
	tcase_add_test(c, frozen_weights_get_no_gradient);
	tcase_add_test(c, a_failed_sweep_leaves_no_deferred_product);
	tcase_add_test(c, nested_sweeps_are_the_same_without_deferred_products);
	tcase_add_test(c, observed_and_checked_sweeps_are_the_same_without_deferred_products);
	tcase_add_test(c, anomaly_detection_finds_an_infinity_in_a_deferred_product);
	tcase_add_test(c, a_kept_handle_reads_the_next_gradient);
	tcase_add_test(c, a_saved_gradient_that_is_replaced_is_an_error);
	tcase_add_test(c, clipped_gradients_are_the_same_without_deferred_products);
	suite_add_tcase(s, c);
	return run_suite(s);
}
