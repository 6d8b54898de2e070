/* Custom ops: attributes, saved tensors, many inputs, what a vjp may read and give. */
#include "fixture.h"

#include <math.h>
#include <string.h>

#define assert_value(x, i, expected)                                                               \
	ck_assert_msg(fabs(ebb_at(x, i) - (expected)) <= 1e-12 * (1 + fabs((double)(expected))),   \
		"element %d is %.17g, expected %.17g", (int)(i), ebb_at(x, i), (double)(expected))

/* An op whose result is a copy of its first input: the tests below look at its gradient. */
static ebb_tensor *copy_op(ebb_tape *t, const ebb_op *op, int n, ebb_tensor **x)
{
	ebb_tensor *in[40], *y;
	ebb_call c;

	memcpy(in, x, (size_t)n * sizeof *in);
	c = ebb_begin(t, op, "custom.c:1", n, in);
	y = ebb_new_like(&c, in[0]);
	if (y)
		ck_assert(ebb_copy_out(in[0], ebb_data_mutable(y),
			(size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y))));
	return ebb_record(&c, y);
}

/* ---- Attributes, saved tensors, integer inputs --------------------------------------- */

typedef struct scale_attrs {
	double scale;
	int64_t shift;
} scale_attrs;

/* y[i] = scale * a[i] * b[index[i]]; saves the one-hot matrix of the index. */
static void pick_mul_vjp(ebb_vjp *v)
{
	const scale_attrs *k = v->attrs;
	ebb_tensor *gy = ebb_mul_scalar(v->t, v->gy, k->scale);

	ck_assert_int_eq(v->nin, 4);
	ck_assert_int_eq(v->nsaved, 1);
	ck_assert_int_eq(k->shift, 77);
	ck_assert_ptr_null(v->in[3]);
	ck_assert(!ebb_wants(v, 2) && !ebb_wants(v, 3) && !ebb_wants(v, -1) && !ebb_wants(v, 4));
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_mul(v->t, gy, ebb_index_select(v->t, v->in[1], 0, v->in[2])));
	if (ebb_wants(v, 1)) {
		/* By rows of a one-hot matrix: [n] x [n,m]. */
		ebb_give(v, 1, ebb_matmul(v->t, ebb_mul(v->t, gy, v->in[0]), v->saved[0]));
	}
	ebb_give(v, 2, gy); /* not needed: input 2 is an integer tensor */
}
static const ebb_op PICK_MUL = {.name = "pick_mul",
	.vjp = pick_mul_vjp,
	.reads = {EBB_IN(1) | EBB_IN(2), EBB_IN(0)},
	.optional = EBB_IN(3),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};

static ebb_tensor *pick_mul(
	ebb_tape *t, ebb_tensor *a, ebb_tensor *b, ebb_tensor *index, double scale)
{
	ebb_tensor *in[] = {a, b, index, NULL}, *y, *onehot;
	ebb_call c = ebb_begin(t, &PICK_MUL, EBB_SITE, 4, in);
	scale_attrs k = {scale, 77};
	double *p, *h;

	y = ebb_new_like(&c, in[0]);
	onehot = ebb_new(&c, EBB_F64, EBB_SHAPE(ebb_count(a), ebb_count(b)), EBB_ROWS);
	if (!y || !onehot)
		return ebb_record(&c, NULL);
	p = ebb_data_mutable(y);
	h = ebb_data_mutable(onehot);
	memset(h, 0, (size_t)ebb_count(onehot) * sizeof *h);
	for (int64_t i = 0; i < ebb_count(y); i++) {
		int64_t at = (int64_t)ebb_at(in[2], i);

		p[i] = scale * ebb_at(in[0], i) * ebb_at(in[1], at);
		h[i * ebb_count(b) + at] = 1;
	}
	ebb_attach(&c, &k, sizeof k);
	ebb_save(&c, onehot);
	return ebb_record(&c, y);
}

static ebb_tensor *check_pick_mul(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	return pick_mul(t, x[0], x[1], x[2], 1.5);
}

START_TEST(a_vjp_reads_attributes_saved_tensors_and_integers)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(4), 1),
		   *b = persistent_random(EBB_F64, EBB_SHAPE(3), 2);
	ebb_tensor *index = ebb_tensor_new(EBB_I64, EBB_SHAPE(4), false, NULL);
	const ebb_tensor *x[] = {a, b, index};
	ebb_error e = {0};

	ck_assert(ebb_copy_in(index, (int64_t[]){2, 0, 2, 1}, 4 * sizeof(int64_t)));
	ck_assert_msg(ebb_gradcheck(check_pick_mul, NULL, 3, x, .second = true, .error = &e), "%s",
		e.message);
	ebb_tensor_free(a);
	ebb_tensor_free(b);
	ebb_tensor_free(index);
}
END_TEST

/* ---- Many inputs ---------------------------------------------------------------------- */

enum { MANY = 31 };

/* The product of all inputs; the gradient of each reads the output and itself. */
static void product_vjp(ebb_vjp *v)
{
	for (int k = 0; k < v->nin; k++)
		if (ebb_wants(v, k))
			ebb_give(v, k, ebb_div(v->t, ebb_mul(v->t, v->gy, v->out), v->in[k]));
}
static const ebb_op PRODUCT = {
	.name = "product", .vjp = product_vjp, .reads = {[7] = EBB_OUT | 0x7fffffff}};

START_TEST(inputs_from_the_eighth_on_share_their_reads)
{
	ebb_tensor *in[MANY], *x[MANY], *y, *g[MANY];
	double product = 1, *p;
	ebb_call c;

	for (int k = 0; k < MANY; k++) {
		x[k] = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(2), 1 + 0.1 * k));
		in[k] = ebb_mul_scalar(tape, x[k], 1.0);
		product *= 1 + 0.1 * k;
	}
	ebb_scope_begin(tape, "product");
	c = ebb_begin(tape, &PRODUCT, NULL, MANY, in);
	y = ebb_new_like(&c, in[0]);
	p = ebb_data_mutable(y);
	p[0] = p[1] = product;
	y = ebb_record(&c, y);
	ebb_scope_end(tape, NULL); /* drops the result */
	for (int k = 0; k < MANY; k += 2)
		ebb_release(tape, in[k]);
	/* All inputs but the first seven are declared by reads[7]. */
	ck_assert_msg(ebb_grad(tape, y, MANY, x, g, .gy = ebb_ones_like(tape, x[0]),
			      .create_graph = true),
		"%s", ebb_error_message(tape));
	for (int k = 0; k < MANY; k++)
		assert_value(g[k], 1, product / (1 + 0.1 * k));
	ck_assert(ebb_backward(tape, y, .gy = ebb_ones_like(tape, x[0])));
	assert_value(ebb_grad_of(x[9]), 0, product / 1.9);
}
END_TEST

/* The number of an input that the vjp reads without declaring it. */
static int undeclared;
static void nosy_vjp(ebb_vjp *v)
{
	ck_assert_int_eq(ebb_count(v->in[undeclared]), 4);
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->in[undeclared]));
}
static const ebb_op NOSY = {.name = "nosy", .vjp = nosy_vjp, .reads = {EBB_IN(1)}};

static void nosy_out_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->out));
}
static const ebb_op NOSY_OUT = {.name = "nosy_out", .vjp = nosy_out_vjp};

static void nosy_data_vjp(ebb_vjp *v)
{
	ck_assert_ptr_null(ebb_data(v->in[0]));
	ck_assert(isnan(ebb_at(v->in[0], 0)));
}
static const ebb_op NOSY_DATA = {.name = "nosy_data", .vjp = nosy_data_vjp};

START_TEST(undeclared_reads_are_refused)
{
	ebb_tensor *x[9], *y;
	const ebb_op *ops[] = {&NOSY, &NOSY, &NOSY_OUT, &NOSY_DATA};

	for (int i = 0; i < 4; i++) {
		ebb_tape_reset(tape);
		for (int k = 0; k < 9; k++)
			x[k] = k == 0 ? ebb_variable(tape, vector()) : vector();
		undeclared = 2;
		y = ebb_sum(tape, copy_op(tape, ops[i], i ? 9 : 3, x));
		assert_healthy(tape);
		assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "declar", ops[i]->name);
		ck_assert_ptr_null(ebb_grad_of(x[0]));
	}
}
END_TEST

/* ---- Contributions --------------------------------------------------------------------- */

static int give_case;
static ebb_tensor *saved_for;

static void giver_vjp(ebb_vjp *v)
{
	switch (give_case) {
	case 0: /* tensors of the node, which are freed after the node */
		ebb_give(v, 0, v->in[1]);
		ebb_give(v, 1, v->out);
		ebb_give(v, 2, v->saved[0]);
		break;
	case 1: /* broadcast: summed to the input's shape */
		ebb_give(v, 0, ebb_expand(v->t, v->gy, EBB_SHAPE(3, 2, 4)));
		break;
	case 2:
		ebb_give(v, 0, ebb_full(v->t, EBB_SHAPE(3), 1));
		break;
	case 3:
		ebb_give(v, 0, ebb_cast(v->t, v->gy, EBB_F32));
		break;
	case 4: /* nothing: zero */
		ebb_give(v, 0, NULL);
		break;
	default: /* views, three times */
		for (int k = 0; k < 3; k++) {
			ebb_give(v, 0,
				ebb_slice(v->t,
					ebb_concat(v->t, 2, (ebb_tensor *[]){v->gy, v->gy}, 0), 0,
					2, 6, 1));
			ebb_give(v, 0, ebb_expand(v->t, ebb_scalar(v->t, 1), EBB_SHAPE(4)));
		}
	}
}
static const ebb_op GIVER = {.name = "giver", .vjp = giver_vjp, .reads = {EBB_IN(1), EBB_OUT}};

static ebb_tensor *giver(ebb_tensor *a, ebb_tensor *b, ebb_tensor *c)
{
	ebb_tensor *in[] = {a, b, c}, *y;
	ebb_call call = ebb_begin(tape, &GIVER, NULL, 3, in);

	y = ebb_new_like(&call, a);
	for (int i = 0; i < 4; i++)
		((double *)ebb_data_mutable(y))[i] = 10.0 + i;
	saved_for = ebb_new_like(&call, a);
	for (int i = 0; i < 4; i++)
		((double *)ebb_data_mutable(saved_for))[i] = 20.0 + i;
	ebb_save(&call, saved_for);
	return ebb_record(&call, y);
}

START_TEST(a_contribution_may_be_a_tensor_of_the_node)
{
	give_case = 0;
	for (int retain = 0; retain < 2; retain++) {
		ebb_tensor *x[3], *h[3], *y;

		ebb_tape_reset(tape);
		for (int k = 0; k < 3; k++) {
			x[k] = ebb_variable(tape, vector());
			h[k] = k == 2 ? x[k] : ebb_neg(tape, ebb_neg(tape, x[k]));
		}
		y = giver(h[0], h[1], h[2]);
		ebb_release(tape, h[0]);
		ebb_release(tape, h[1]);
		ebb_release(tape, y);
		/* Later tensors of the sweep would reuse the memory that the node has freed. */
		ck_assert_msg(ebb_backward(tape, y, .gy = vector(), .retain = retain), "%s",
			ebb_error_message(tape));
		for (int i = 0; i < 4; i++) {
			assert_value(ebb_grad_of(x[0]), i, values[i]);
			assert_value(ebb_grad_of(x[1]), i, 10.0 + i);
			assert_value(ebb_grad_of(x[2]), i, 20.0 + i);
		}
		ebb_tape_reset(tape);
		ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
	}
}
END_TEST

START_TEST(contributions_that_do_not_fit_the_input_are_refused)
{
	static const struct {
		int which;
		ebb_status status;
		double expected;
	} cases[] = {{1, EBB_OK, 6}, {2, EBB_BAD_SHAPE, 0}, {3, EBB_BAD_SHAPE, 0}, {4, EBB_OK, 0},
		{5, EBB_OK, 6}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_tensor *x, *y, *g = NULL;

		ebb_tape_reset(tape);
		give_case = cases[i].which;
		x = ebb_variable(tape, vector());
		y = giver(x, vector(), vector());
		ebb_grad(tape, y, 1, &x, &g, .gy = ebb_ones_like(tape, x));
		if (cases[i].status == EBB_OK) {
			assert_healthy(tape);
			assert_value(g, 3, cases[i].expected);
			ck_assert(ebb_backward(tape, y, .gy = ebb_ones_like(tape, x)));
			if (cases[i].which != 4)
				assert_value(ebb_grad_of(x), 3, cases[i].expected);
			else
				ck_assert_ptr_null(ebb_grad_of(x));
			continue;
		}
		ck_assert_ptr_null(g);
		check_error(tape, cases[i].status, "give",
			(const char *[]){"gradient of giver", "F64 [4]", NULL});
		ebb_clear_error(tape);
		ck_assert(!ebb_backward(tape, y, .gy = ebb_ones_like(tape, x)));
		ck_assert_ptr_null(ebb_grad_of(x));
		ebb_clear_error(tape);
	}
}
END_TEST

/* ---- Parts, and gradients in place ---------------------------------------------------------- */

static ebb_selection selection;

static void part_vjp(ebb_vjp *v)
{
	ebb_give_part(v, 0, ebb_slice(v->t, v->gy, 0, 0, 2, 1), selection);
}
static const ebb_op PART = {.name = "part", .vjp = part_vjp};

START_TEST(parts_beyond_the_end_are_refused)
{
	static const ebb_selection beyond[] = {{0, 3, 1, NULL}, {0, -1, 1, NULL}, {0, 0, 4, NULL},
		{0, 2, INT64_MAX, NULL}, {0, INT64_MAX, 1, NULL}, {0, 0, -1, NULL},
		{1, 0, 1, NULL}};

	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
		ebb_tensor *x, *y;

		ebb_tape_reset(tape);
		x = ebb_variable(tape, vector());
		y = ebb_sum(tape, copy_op(tape, &PART, 1, &x));
		selection = beyond[i];
		assert_refused(tape, EBB_BAD_SHAPE, ebb_backward(tape, y), "part", "axis");
		ck_assert_ptr_null(ebb_grad_of(x));
	}
	selection = (ebb_selection){-1, 1, 2, NULL};
	ebb_tape_reset(tape);
	{
		ebb_tensor *x = ebb_variable(tape, vector());

		ck_assert(ebb_backward(tape, ebb_sum(tape, copy_op(tape, &PART, 1, &x))));
		for (int i = 0; i < 4; i++)
			assert_value(ebb_grad_of(x), i, i % 2);
	}
}
END_TEST

/* The vjp computes in the memory of the first input's gradient.  It gives the result to the second
 * input as well; with turns, it gives the transpose to the first. */
static bool turns;

static void in_place_vjp(ebb_vjp *v)
{
	static const ebb_op COPY = {.name = "copy_of_gy", .takes = {EBB_ROWS}};
	ebb_tensor *gy = v->gy, *g;
	ebb_call c = ebb_begin(v->t, &COPY, NULL, 1, &gy);

	g = ebb_new_gradient(&c, v, 0);
	if (g)
		ebb_copy_out(gy, ebb_data_mutable(g), (size_t)ebb_count(g) * sizeof(double));
	g = ebb_record(&c, g);
	ebb_give(v, 0, turns ? ebb_transpose(v->t, g, 0, 1) : g);
	ebb_give(v, 1, g);
}
static const ebb_op IN_PLACE = {
	.name = "in_place", .vjp = in_place_vjp, .takes = {EBB_ROWS, EBB_ROWS}};

START_TEST(a_new_gradient_may_be_given_to_two_inputs)
{
	for (int transposed = 0; transposed < 2; transposed++) {
		ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(2, 2), 1), *x, *h, *later, *y;

		ebb_tape_reset(tape);
		turns = transposed;
		ebb_set_requires_grad(w, true);
		x = ebb_variable(tape, ebb_reshape(tape, vector(), EBB_SHAPE(2, 2)));
		h = ebb_neg(tape, x);
		/* The vjp of later adds to w's gradient before the vjp of h reads the shared
		 * result. */
		later = ebb_mul_scalar(tape, w, 100);
		y = copy_op(tape, &IN_PLACE, 2, (ebb_tensor *[]){w, h});
		y = ebb_mul(tape, y, ebb_reshape(tape, vector(), EBB_SHAPE(2, 2)));
		ck_assert_msg(ebb_backward(tape, ebb_sum(tape, ebb_add(tape, y, later))), "%s",
			ebb_error_message(tape));
		for (int i = 0; i < 4; i++) {
			int at = transposed ? i % 2 * 2 + i / 2 : i;

			assert_value(ebb_grad_of(w), i, 100 + values[at]);
			assert_value(ebb_grad_of(x), i, -values[i]);
		}
		ebb_tape_reset(tape);
		ebb_tensor_free(w);
	}
}
END_TEST

/* ---- Ops without a derivative, and failed calls ------------------------------------------ */

static const ebb_op ROUND = {.name = "round"};

START_TEST(an_op_without_a_derivative_refuses_variables)
{
	ebb_tensor *x = vector(), *v = ebb_variable(tape, x), *in[] = {v};
	bool was;

	ck_assert_ptr_nonnull(copy_op(tape, &ROUND, 1, &x));
	assert_refused(tape, EBB_INVALID, copy_op(tape, &ROUND, 1, in), "round", "no derivative",
		"input 0");
	was = ebb_set_recording(tape, false);
	ck_assert_ptr_nonnull(copy_op(tape, &ROUND, 1, in));
	ebb_set_recording(tape, was);
	in[0] = ebb_detach(tape, v);
	ck_assert_ptr_nonnull(copy_op(tape, &ROUND, 1, in));
	assert_healthy(tape);
}
END_TEST

static const ebb_op PLAIN = {.name = "plain", .vjp = nosy_data_vjp, .takes = {EBB_ROWS}};

START_TEST(failed_calls_free_their_memory)
{
	ebb_tensor *x = vector(), *in[] = {x}, *m;
	ebb_call c = ebb_begin(tape, &PLAIN, "here:1", 1, in);
	size_t in_use;

	ck_assert(!c.tracked);
	ck_assert_ptr_null(ebb_scratch(&c, 0));
	assert_healthy(tape);
	in_use = ebb_memory_of(tape).in_use;
	for (int k = 0; k < EBB_MAX_SAVED; k++)
		ck_assert_ptr_nonnull(ebb_scratch(&c, 100));
	ck_assert_uint_gt(ebb_memory_of(tape).in_use, in_use);
	ck_assert_ptr_null(ebb_scratch(&c, 100));
	ck_assert_ptr_null(ebb_new_like(&c, x));
	ck_assert_ptr_null(ebb_record(&c, NULL));
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);
	ck_assert(ebb_failed(tape));
	ebb_clear_error(tape);

	c = ebb_begin(tape, &PLAIN, "here:1", 1, in);
	assert_refused(tape, EBB_BAD_SHAPE, ebb_new(&c, EBB_F64, EBB_SHAPE(-1, 4), EBB_ROWS),
		"here:1", "plain");
	ck_assert_ptr_null(ebb_record(&c, x));
	c = ebb_begin(tape, &PLAIN, "here:1", 1, in);
	assert_refused(tape, EBB_INVALID, ebb_call_fail(&c, EBB_INVALID, "x is %d", 3),
		"here:1: plain: x is 3");
	ck_assert_ptr_null(ebb_call_fail(&c, EBB_INVALID, "again"));
	assert_healthy(tape);

	/* A failed call returns its scratch memory without ebb_record. */
	c = ebb_begin(tape, &PLAIN, "here:1", 1, in);
	ck_assert_ptr_nonnull(ebb_scratch(&c, 100));
	assert_refused(tape, EBB_INVALID, ebb_call_fail(&c, EBB_INVALID, "no"), "plain: no");
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);
	ck_assert_ptr_null(ebb_record(&c, NULL));
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);

	/* An input in another memory order than the op takes is copied by a recorded op. */
	m = ebb_variable(tape, ebb_reshape(tape, vector(), EBB_SHAPE(2, 2)));
	in[0] = ebb_transpose(tape, m, 0, 1);
	c = ebb_begin(tape, &PLAIN, NULL, 1, in);
	ck_assert(c.tracked);
	ck_assert_int_eq(ebb_stride(in[0], 0), 2);
	ck_assert_str_eq(ebb_node_op(ebb_node_of(in[0])), "dense");
	ebb_record(&c, NULL);
}
END_TEST

START_TEST(a_constant_input_saves_nothing_for_its_gradient)
{
	/* The gradient of each operand of mul reads the other one; that of a constant is not
	 * needed. */
	ebb_tensor *x = ebb_variable(tape, ebb_zeros(tape, EBB_SHAPE(1000))), *c, *h;
	size_t before;

	h = ebb_neg(tape, x);
	c = ebb_full(tape, EBB_SHAPE(1000), 2);
	before = ebb_memory_of(tape).in_use;
	ebb_mul(tape, h, c);
	ebb_release(tape, h);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before);
	ebb_release(tape, c);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/custom");
	TCase *c = tcase_create("custom");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_vjp_reads_attributes_saved_tensors_and_integers);
	tcase_add_test(c, inputs_from_the_eighth_on_share_their_reads);
	tcase_add_test(c, undeclared_reads_are_refused);
	tcase_add_test(c, a_contribution_may_be_a_tensor_of_the_node);
	tcase_add_test(c, contributions_that_do_not_fit_the_input_are_refused);
	tcase_add_test(c, parts_beyond_the_end_are_refused);
	tcase_add_test(c, a_new_gradient_may_be_given_to_two_inputs);
	tcase_add_test(c, an_op_without_a_derivative_refuses_variables);
	tcase_add_test(c, failed_calls_free_their_memory);
	tcase_add_test(c, a_constant_input_saves_nothing_for_its_gradient);
	suite_add_tcase(s, c);
	return run_suite(s);
}
