/* A custom op that gives its weight's gradient as a deferred outer product, with the public headers
 * only. */
#include "own.h"

enum { ROWS = 4, OUT = 1024, IN = 1100 };
static bool may_defer;
static int deferred, computed;

/* y = x w^T: gx = gy w, gw = gy^T x. */
static void dense_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;

	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_matmul(t, v->gy, v->in[1]));
	if (ebb_wants(v, 1) && may_defer && ebb_give_outer(v, 1, v->gy, v->in[0])) {
		deferred++;
	} else if (ebb_wants(v, 1)) {
		computed++;
		ebb_give(v, 1, ebb_matmul(t, ebb_transpose(t, v->gy, 0, 1), v->in[0]));
	}
}
static const ebb_op DENSE = {.name = "dense_rows",
	.vjp = dense_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_ROWS, EBB_ROWS}};

static ebb_tensor *dense_rows(ebb_tape *t, ebb_tensor *x, ebb_tensor *w)
{
	ebb_tensor *in[] = {x, w}, *y;
	ebb_call c = ebb_begin(t, &DENSE, EBB_SITE, 2, in);
	bool recording = ebb_set_recording(t, false);
	ebb_tensor *product = c.t ? ebb_matmul(t, in[0], ebb_transpose(t, in[1], 0, 1)) : NULL;

	ebb_set_recording(t, recording);
	y = c.t ? ebb_new_like(&c, product) : NULL;
	if (y)
		ck_assert(ebb_copy_out(product, ebb_data_mutable(y),
			(size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y))));
	return ebb_record(&c, y);
}

/* Multiples of 1/8, whose products have exact sums in any order. */
static ebb_tensor *rows_of(int64_t rows, int64_t size, int step)
{
	ebb_tensor *x = ebb_cast(tape, ebb_zeros(tape, EBB_SHAPE(rows, size)), EBB_F32);
	float *p = ebb_data_mutable(x);

	for (int64_t i = 0; i < ebb_count(x); i++)
		p[i] = (float)(floor(8 * value_of((uint64_t)step + 100, i)) / 8);
	return x;
}

static ebb_tensor *loss_of(ebb_tensor *w, int step)
{
	ebb_tensor *y = dense_rows(tape, rows_of(ROWS, IN, step), w);

	return ebb_sum(tape, ebb_mul(tape, y, rows_of(ROWS, OUT, step + 50)));
}

/* The weight after a few optimizer steps, from deferred or computed gradients. */
static ebb_tensor *trained(bool defer, int optimizer)
{
	ebb_params *p = ebb_params_new(3);
	ebb_tensor *w = ebb_params_add(p, "w", EBB_SHAPE(OUT, IN), EBB_INIT(EBB_INIT_NORMAL)),
		   *copy;
	ebb_optim *opt = optimizer == 0 ? ebb_sgd(p, .lr = 0.01)
	                 : optimizer == 1
	                         ? ebb_sgd(p, .lr = 0.01, .momentum = 0.9, .weight_decay = 1e-3)
	                         : ebb_adam(p, .lr = 0.01, .weight_decay = 1e-3);

	ck_assert_ptr_nonnull(w);
	may_defer = defer;
	deferred = computed = 0;
	for (int step = 0; step < 3; step++) {
		ebb_params_zero_grad(p);
		ck_assert(ebb_backward(tape, loss_of(w, step)));
		ck_assert(ebb_optim_step(opt));
		ebb_tape_reset(tape);
	}
	ck_assert_int_eq(deferred, defer ? 3 : 0);
	ck_assert_int_eq(computed, defer ? 0 : 3);
	copy = ebb_detach_copy(w);
	ebb_optim_free(opt);
	ebb_params_free(p);
	return copy;
}

START_TEST(optimizer_steps_from_deferred_products_are_bit_identical)
{
	ebb_tensor *a = trained(true, _i), *b = trained(false, _i);

	ck_assert(same_bits(a, b));
	ebb_tensor_free(a);
	ebb_tensor_free(b);
}
END_TEST

/* The gradient of w after one sweep from a loss with one product or two. */
static ebb_tensor *gradient(ebb_tensor *w, bool defer, int products)
{
	ebb_tensor *loss = loss_of(w, 1), *g;

	if (products == 2)
		loss = ebb_add(tape, loss, loss_of(w, 2));
	may_defer = defer;
	deferred = computed = 0;
	ck_assert(ebb_backward(tape, loss));
	g = ebb_detach_copy(ebb_grad_of(w));
	ebb_tape_reset(tape);
	return g;
}

START_TEST(a_second_product_for_one_weight_is_computed)
{
	for (int products = 1; products <= 2; products++) {
		ebb_tensor *w = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5);
		ebb_tensor *u = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5), *g, *h;

		g = gradient(w, true, products);
		ck_assert_int_eq(deferred, 1);
		ck_assert_int_eq(computed, products - 1);
		h = gradient(u, false, products);
		ck_assert_int_eq(deferred, 0);
		ck_assert(same_bits(g, h));
		ebb_tensor_free(g);
		ebb_tensor_free(h);
		ebb_tensor_free(u);
		ebb_tensor_free(w);
	}
}
END_TEST

START_TEST(no_product_is_deferred_in_an_existing_or_returned_gradient)
{
	ebb_tensor *w = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5), *once, *g;

	may_defer = true;
	deferred = computed = 0;
	ck_assert(ebb_backward(tape, loss_of(w, 1)));
	ck_assert(ebb_backward(tape, loss_of(w, 1)));
	ck_assert_int_eq(deferred, 1); /* the second sweep adds to the gradient of the first */
	ck_assert_int_eq(computed, 1);
	g = ebb_grad_of(w);
	ebb_zero_grad(w);
	ck_assert(ebb_backward(tape, loss_of(w, 1)));
	ck_assert_int_eq(deferred, 1); /* the user may read g at any time */
	ck_assert_int_eq(computed, 2);
	ebb_tape_reset(tape);
	once = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5);
	may_defer = false;
	ck_assert(ebb_backward(tape, loss_of(once, 1)));
	ck_assert(same_bits(g, ebb_grad_of(once)));
	ebb_tape_reset(tape);
	ebb_tensor_free(once);
	ebb_tensor_free(w);
}
END_TEST

START_TEST(a_product_that_does_not_pay_is_not_deferred)
{
	ebb_tensor *w = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5), *g, *h;
	ebb_tensor *small = parameter(EBB_F32, EBB_SHAPE(16, 20), false, 6), *v;

	may_defer = true;
	deferred = computed = 0;
	ck_assert(ebb_backward(tape,
		ebb_mean(tape, ebb_square(tape, dense_rows(tape, rows_of(ROWS, 20, 1), small)))));
	ck_assert_int_eq(computed, 1);
	/* ebb_grad never defers. */
	ck_assert(ebb_grad(tape, loss_of(w, 1), 1, &w, &g, .create_graph = true));
	ck_assert(ebb_grad(tape, loss_of(w, 1), 1, &w, &h));
	ck_assert(same_bits(g, h));
	v = ebb_variable(tape, w);
	ck_assert(ebb_backward(tape, loss_of(v, 1)));
	ck_assert(same_bits(ebb_grad_of(v), h));
	/* With 300 rows the operands are not much smaller than the product. */
	ck_assert(ebb_backward(
		tape, ebb_mean(tape, ebb_square(tape, dense_rows(tape, rows_of(300, IN, 1), w)))));
	ck_assert_int_eq(computed, 5);
	ck_assert_int_eq(deferred, 0);
	ebb_tape_reset(tape);
	/* Anomaly detection must check the product. */
	ebb_zero_grad(w);
	ebb_detect_anomaly(tape, true);
	ck_assert(ebb_backward(tape, loss_of(w, 1)));
	ck_assert_int_eq(computed, 6);
	ck_assert_int_eq(deferred, 0);
	ebb_tape_reset(tape);
	ebb_tensor_free(small);
	ebb_tensor_free(w);
}
END_TEST

/* Operands that do not fit the weight. */
static ebb_tensor *strange;
static bool accepted;

static void strange_vjp(ebb_vjp *v)
{
	ebb_tensor *x = v->in[0];

	accepted = ebb_give_outer(v, 1, v->gy, NULL) || ebb_give_outer(v, 1, NULL, x) ||
	           ebb_give_outer(v, 2, v->gy, x) || ebb_give_outer(v, -1, v->gy, x) ||
	           ebb_give_outer(v, 1, x, v->gy) ||        /* [IN,OUT] */
	           ebb_give_outer(v, 0, v->gy, x) ||        /* not needed */
	           ebb_give_outer(v, 1, v->gy, v->in[1]) || /* other rows */
	           ebb_give_outer(v, 1, v->gy, strange) ||
	           ebb_give_outer(v, 1, v->gy, ebb_cast(v->t, x, EBB_F64));
}
static const ebb_op STRANGE = {.name = "strange",
	.vjp = strange_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_ROWS, EBB_ROWS}};

START_TEST(operands_that_do_not_fit_are_refused)
{
	ebb_tensor *w = parameter(EBB_F32, EBB_SHAPE(OUT, IN), false, 5);
	ebb_tape *other = ebb_tape_new();
	ebb_tensor *persistent = ebb_tensor_new(EBB_F32, EBB_SHAPE(ROWS, IN), false, NULL);

	for (int i = 0; i < 2; i++) {
		ebb_tensor *in[] = {rows_of(ROWS, IN, 1), w}, *y;
		ebb_call c = ebb_begin(tape, &STRANGE, EBB_SITE, 2, in);

		strange = i ? persistent : ebb_zeros(other, EBB_SHAPE(ROWS, IN));
		y = ebb_new(&c, EBB_F32, EBB_SHAPE(ROWS, OUT), EBB_ROWS);
		memset(ebb_data_mutable(y), 0, sizeof(float) * ROWS * OUT);
		accepted = true;
		ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_record(&c, y))));
		ck_assert(!accepted);
		ck_assert_ptr_null(ebb_grad_of(w));
		ebb_tape_reset(tape);
	}
	ebb_tape_free(other);
	ebb_tensor_free(persistent);
	ebb_tensor_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd-own-outer");
	TCase *c = tcase_create("outer products");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, optimizer_steps_from_deferred_products_are_bit_identical, 0, 3);
	tcase_add_test(c, a_second_product_for_one_weight_is_computed);
	tcase_add_test(c, no_product_is_deferred_in_an_existing_or_returned_gradient);
	tcase_add_test(c, a_product_that_does_not_pay_is_not_deferred);
	tcase_add_test(c, operands_that_do_not_fit_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
