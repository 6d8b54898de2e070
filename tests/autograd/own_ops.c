/*
 * Custom ops with the public headers only: a vjp that overwrites gy in place (owns_gy), one that
 * computes in the memory of a parameter's gradient (ebb_new_gradient), and parts that share memory
 * with other gradients.
 */
#include "own.h"

/* ---- Overwriting gy in place ----------------------------------------------------------------- */

static int overwrote, composed;
static const void *gave; /* the memory of the gradient that the last vjp has given */

/* y = 3x, whose vjp overwrites a gy that it owns. */
static void triple_vjp(ebb_vjp *v)
{
	if (v->owns_gy) {
		double *p = ebb_data_mutable(v->gy);

		for (int64_t i = 0; i < ebb_count(v->gy); i++)
			p[i] *= 3;
		overwrote++;
		gave = p;
		ebb_give(v, 0, v->gy);
	} else {
		composed++;
		ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, 3.0));
	}
}
static const ebb_op TRIPLE = {.name = "triple", .vjp = triple_vjp, .takes = {EBB_ROWS}};

/* y = 6x, whose vjp does the same and gives the result twice. */
static void sextuple_vjp(ebb_vjp *v)
{
	double *p = v->owns_gy ? ebb_data_mutable(v->gy) : NULL;
	ebb_tensor *g = p ? v->gy : ebb_mul_scalar(v->t, v->gy, 3.0);

	for (int64_t i = 0; p && i < ebb_count(g); i++)
		p[i] *= 3;
	*(p ? &overwrote : &composed) += 1;
	ebb_give(v, 0, g);
	ebb_give(v, 0, g);
}
static const ebb_op SEXTUPLE = {.name = "sextuple", .vjp = sextuple_vjp, .takes = {EBB_ROWS}};

static ebb_tensor *times(ebb_tape *t, const ebb_op *op, double factor, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, op, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);
	double *p = ebb_data_mutable(y);

	for (int64_t i = 0; p && i < ebb_count(y); i++)
		p[i] = factor * ebb_at(x, i);
	return ebb_record(&c, y);
}

static ebb_tensor *triple(ebb_tape *t, ebb_tensor *x)
{
	return times(t, &TRIPLE, 3, x);
}

/* The sum of c*x with another c for each element: its gradient, c, is a new tensor of the sweep. */
static ebb_tensor *weighted(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *c = ebb_zeros_like(t, x);
	double *p = ebb_data_mutable(c);

	for (int64_t i = 0; p && i < ebb_count(c); i++)
		p[i] = value_of(77, i);
	return ebb_sum(t, ebb_mul(t, x, c));
}

static void assert_weighted(const ebb_tensor *g, double factor)
{
	ck_assert_ptr_nonnull(g);
	for (int64_t i = 0; i < ebb_count(g); i++)
		ck_assert_msg(fabs(ebb_at(g, i) - factor * value_of(77, i)) < 1e-12,
			"element %d is %g, expected %g", (int)i, ebb_at(g, i),
			factor * value_of(77, i));
}

static void reset_counts(void)
{
	overwrote = composed = 0;
	gave = NULL;
}

START_TEST(a_vjp_may_overwrite_a_gradient_that_it_owns)
{
	ebb_tensor *x = variable(EBB_SHAPE(4, 5), 1);

	reset_counts();
	ck_assert(ebb_backward(tape, weighted(tape, triple(tape, triple(tape, triple(tape, x))))));
	ck_assert_int_eq(overwrote, 3);
	ck_assert_int_eq(composed, 0);
	assert_weighted(ebb_grad_of(x), 27);
	/* The last vjp's result became the variable's gradient without a copy. */
	ck_assert_ptr_eq(ebb_data(ebb_grad_of(x)), gave);
}
END_TEST

START_TEST(recorded_gradients_are_not_owned)
{
	ebb_tensor *x = variable(EBB_SHAPE(6), 2), *g, *h;

	reset_counts();
	ck_assert(ebb_grad(tape, weighted(tape, ebb_square(tape, triple(tape, x))), 1, &x, &g,
		.create_graph = true));
	ck_assert_int_eq(overwrote, 0);
	ck_assert_int_eq(composed, 1);
	ck_assert(ebb_grad(tape, ebb_sum(tape, g), 1, &x, &h));
	assert_weighted(h, 18);
}
END_TEST

START_TEST(gradients_of_targets_are_not_owned)
{
	ebb_tensor *x = variable(EBB_SHAPE(6), 3), *h = triple(tape, x), *y = triple(tape, h);
	ebb_tensor *targets[] = {h, x, y}, *g[3];

	reset_counts();
	/* The gradients of both y and h are targets: neither may be overwritten. */
	ck_assert(ebb_grad(tape, weighted(tape, y), 3, targets, g));
	ck_assert_int_eq(overwrote, 0);
	assert_weighted(g[0], 3);
	assert_weighted(g[1], 9);
	assert_weighted(g[2], 1);
	reset_counts();
	/* y is no target now: its gradient may be overwritten. */
	ck_assert(ebb_grad(tape, weighted(tape, y), 2, targets, g));
	ck_assert_int_eq(overwrote, 1);
	ck_assert_int_eq(composed, 1);
	assert_weighted(g[0], 3);
	assert_weighted(g[1], 9);
}
END_TEST

typedef struct seen {
	int n;
	double first[8]; /* the first element of the gradient of each "triple" */
} seen;

static void see(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	seen *s = ctx;

	if (!strcmp(ebb_node_op(node), "triple"))
		s->first[s->n++] = ebb_at(g, 0);
}

START_TEST(an_observer_sees_a_gradient_before_it_is_overwritten)
{
	seen s = {0};
	ebb_observer o = {.ctx = &s, .gradient = see};
	ebb_tensor *x = variable(EBB_SHAPE(3), 4);

	reset_counts();
	ck_assert(ebb_observe(tape, &o));
	ck_assert(ebb_backward(tape, weighted(tape, triple(tape, triple(tape, x)))));
	ebb_unobserve(tape, &o);
	ck_assert_int_eq(overwrote, 2);
	ck_assert_int_eq(s.n, 2);
	ck_assert_double_eq(s.first[0], value_of(77, 0));
	ck_assert_double_eq(s.first[1], 3 * value_of(77, 0));
	assert_weighted(ebb_grad_of(x), 9);
}
END_TEST

START_TEST(the_last_reader_owns_a_shared_gradient)
{
	ebb_tensor *x = variable(EBB_SHAPE(7), 5);
	ebb_tensor *a = triple(tape, x), *b = triple(tape, x);

	/* a and b get the sum's gradient as one tensor; the second vjp is its only reader. */
	reset_counts();
	ck_assert(ebb_backward(tape, weighted(tape, ebb_add(tape, a, b))));
	ck_assert_int_eq(composed, 1);
	ck_assert_int_eq(overwrote, 1);
	assert_weighted(ebb_grad_of(x), 6);
}
END_TEST

START_TEST(a_gradient_given_twice_to_one_input_adds_up)
{
	ebb_tensor *x = variable(EBB_SHAPE(7), 6), *h = triple(tape, x);

	reset_counts();
	ck_assert(ebb_backward(tape, weighted(tape, ebb_add(tape, h, h))));
	ck_assert_int_eq(overwrote, 1);
	assert_weighted(ebb_grad_of(x), 6);
	reset_counts();
	ebb_zero_grad(x);
	h = times(tape, &SEXTUPLE, 6, x);
	ck_assert(ebb_backward(tape, weighted(tape, triple(tape, h))));
	ck_assert_int_eq(overwrote, 2);
	assert_weighted(ebb_grad_of(x), 18);
}
END_TEST

START_TEST(a_users_gy_is_not_owned)
{
	ebb_tensor *persistent = ebb_tensor_new(EBB_F64, EBB_SHAPE(5), false, NULL), *x, *own;
	double before[5];

	fill(persistent, 8);
	ck_assert(ebb_copy_out(persistent, before, sizeof before));
	x = variable(EBB_SHAPE(5), 7);
	own = ebb_mul_scalar(tape, persistent, 2.0);
	reset_counts();
	ck_assert(ebb_backward(tape, triple(tape, x), .gy = own));
	ck_assert(ebb_backward(tape, triple(tape, x), .gy = persistent));
	ck_assert_int_eq(overwrote, 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_double_eq(ebb_at(persistent, i), before[i]);
		ck_assert_double_eq(ebb_at(own, i), 2 * before[i]);
		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(x), i), 9 * before[i], 1e-12);
	}
	ebb_tape_reset(tape);
	ebb_tensor_free(persistent);
}
END_TEST

static ebb_tensor *tripled_twice(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return triple(t, triple(t, x));
}

START_TEST(ownership_under_checkpoints_and_anomaly_detection)
{
	ebb_tensor *x = variable(EBB_SHAPE(5), 9);

	reset_counts();
	ck_assert(ebb_backward(
		tape, weighted(tape, triple(tape, ebb_checkpoint(tape, tripled_twice, NULL, x)))));
	ck_assert_int_eq(overwrote + composed, 3);
	assert_weighted(ebb_grad_of(x), 27);
	ebb_tape_reset(tape);
	/* With anomaly detection no gy is owned, because a message would name its range. */
	reset_counts();
	ebb_detect_anomaly(tape, true);
	x = variable(EBB_SHAPE(5), 9);
	ck_assert(ebb_backward(tape, weighted(tape, triple(tape, x))));
	ck_assert_int_eq(overwrote, 0);
	assert_weighted(ebb_grad_of(x), 3);
}
END_TEST

/* ---- ebb_new_gradient ------------------------------------------------------------------------ */

/* What the vjp does with the result of ebb_new_gradient. */
typedef enum variant {
	PLAIN,
	BOTH,       /* one for each of the inputs 0 and 1, the same parameter */
	CROSSWISE,  /* the same, each given to the other input */
	NEVER,      /* another tensor is given in its place */
	NOTHING,    /* nothing is given */
	LATE,       /* another tensor is given first */
	AFTER,      /* the same, before ebb_new_gradient is called */
	TWICE,      /* two for input 0, both given */
	REPEATED,   /* given twice */
	TRANSPOSED, /* given, and its transpose given, too */
	LEANING,    /* only its transpose is given */
	ELSEWHERE   /* given, and its transpose given to input 1, which is another tensor */
} variant;
static variant chosen;
enum { SIDE = 4 };

/* gy*c, with c as in assert_weighted, in the memory of ebb_new_gradient for input k. */
static ebb_tensor *made(ebb_vjp *v, int k);
static const ebb_op MADE = {.name = "made", .takes = {EBB_ROWS}};

static ebb_tensor *made(ebb_vjp *v, int k)
{
	ebb_tensor *gy = v->gy, *g;
	ebb_call c = ebb_begin(v->t, &MADE, NULL, 1, &gy);
	double *p;

	g = ebb_new_gradient(&c, v, k);
	p = ebb_data_mutable(g);
	for (int64_t i = 0; p && i < ebb_count(g); i++)
		p[i] = ebb_item(gy) * value_of(77, i);
	return ebb_record(&c, g);
}

static ebb_tensor *apart(ebb_vjp *v)
{
	ebb_tensor *g = ebb_mul_scalar(v->t, ebb_ones(v->t, ebb_shape_of(v->in[0])), 1.0);
	double *p = ebb_data_mutable(g);

	for (int64_t i = 0; i < ebb_count(g); i++)
		p[i] = ebb_item(v->gy) * value_of(77, i);
	return g;
}

static void pair_vjp(ebb_vjp *v)
{
	ebb_tensor *a, *b;

	a = chosen == AFTER ? NULL : made(v, 0);
	switch (chosen) {
	case PLAIN:
	case REPEATED:
		ebb_give(v, 0, a);
		if (chosen == REPEATED)
			ebb_give(v, 0, a);
		break;
	case BOTH:
	case CROSSWISE:
		b = made(v, 1);
		ck_assert_ptr_ne(ebb_data(a), ebb_data(b));
		ebb_give(v, 0, chosen == BOTH ? a : b);
		ebb_give(v, 1, chosen == BOTH ? b : a);
		break;
	case NEVER:
		ebb_give(v, 0, apart(v));
		break;
	case NOTHING:
		break;
	case LATE:
	case AFTER:
		ebb_give(v, 0, apart(v));
		ebb_give(v, 0, a ? a : made(v, 0));
		break;
	case TWICE:
		b = made(v, 0);
		ck_assert_ptr_ne(ebb_data(a), ebb_data(b));
		ebb_give(v, 0, b);
		ebb_give(v, 0, a);
		break;
	case TRANSPOSED:
		ebb_give(v, 0, a);
		ebb_give(v, 0, ebb_transpose(v->t, a, 0, 1));
		break;
	case LEANING:
		ebb_give(v, 0, ebb_transpose(v->t, a, 0, 1));
		break;
	case ELSEWHERE:
		ebb_give(v, 0, a);
		ebb_give(v, 1, ebb_transpose(v->t, a, 0, 1));
		break;
	}
}
static const ebb_op PAIR = {.name = "pair", .vjp = pair_vjp, .takes = {EBB_ROWS, EBB_ROWS}};

/* An op whose result does not matter: the tests look at its gradient only. */
static ebb_tensor *pair(ebb_tensor *a, ebb_tensor *b)
{
	ebb_tensor *in[] = {a, b}, *y;
	ebb_call c = ebb_begin(tape, &PAIR, EBB_SITE, 2, in);

	y = ebb_new(&c, EBB_F64, EBB_SCALAR_SHAPE, EBB_ROWS);
	if (y)
		*(double *)ebb_data_mutable(y) = 0;
	return ebb_record(&c, y);
}

/* Asserts that g is plain times c plus transposed times c's transpose. */
static void assert_gradient(const ebb_tensor *g, double plain, double transposed)
{
	ck_assert_ptr_nonnull(g);
	for (int64_t i = 0; i < SIDE * SIDE; i++) {
		double expected = plain * value_of(77, i) +
		                  transposed * value_of(77, i % SIDE * SIDE + i / SIDE);

		ck_assert_msg(fabs(ebb_at(g, i) - expected) < 1e-12,
			"case %d: element %d is %g, expected %g", chosen, (int)i, ebb_at(g, i),
			expected);
	}
}

START_TEST(new_gradient_is_a_view_of_the_parameters_gradient)
{
	static const struct {
		variant variant;
		double plain, transposed;
	} cases[] = {{PLAIN, 1, 0}, {BOTH, 2, 0}, {CROSSWISE, 2, 0}, {NEVER, 1, 0}, {LATE, 2, 0},
		{AFTER, 2, 0}, {TWICE, 2, 0}, {REPEATED, 2, 0}, {TRANSPOSED, 1, 1},
		{LEANING, 0, 1}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_tensor *w = parameter(EBB_F64, EBB_SHAPE(SIDE, SIDE), false, 5);

		chosen = cases[i].variant;
		/* A first sweep, a second one that adds, and a third one after ebb_zero_grad. */
		for (int sweep = 1; sweep <= 3; sweep++) {
			double times_given = sweep == 2 ? 2 : 1;

			if (sweep == 3)
				ebb_zero_grad(w);
			ck_assert_msg(
				ebb_backward(tape, pair(w, w)), "%s", ebb_error_message(tape));
			assert_gradient(ebb_grad_of(w), times_given * cases[i].plain,
				times_given * cases[i].transposed);
		}
		ebb_tape_reset(tape);
		ebb_tensor_free(w);
	}
}
END_TEST

START_TEST(a_new_gradient_that_is_not_given_has_no_effect)
{
	ebb_tensor *w = parameter(EBB_F64, EBB_SHAPE(SIDE, SIDE), false, 5);

	chosen = NOTHING;
	ck_assert(ebb_backward(tape, pair(w, w)));
	ck_assert_ptr_null(ebb_grad_of(w));
	chosen = PLAIN;
	ck_assert(ebb_backward(tape, pair(w, w)));
	assert_gradient(ebb_grad_of(w), 1, 0);
	/* An existing gradient is unchanged. */
	chosen = NOTHING;
	ck_assert(ebb_backward(tape, pair(w, w)));
	assert_gradient(ebb_grad_of(w), 1, 0);
	ebb_tape_reset(tape);
	ebb_tensor_free(w);
}
END_TEST

START_TEST(a_view_of_a_new_gradient_given_to_another_input_keeps_its_value)
{
	ebb_tensor *w = parameter(EBB_F64, EBB_SHAPE(SIDE, SIDE), false, 5), *leaning, *more;

	/* The sweep adds to w's gradient after the vjp of pair and before that of the transpose. */
	chosen = ELSEWHERE;
	leaning = ebb_transpose(tape, w, 0, 1);
	more = weighted(tape, w);
	ck_assert(ebb_backward(tape, ebb_add(tape, more, pair(w, leaning))));
	assert_gradient(ebb_grad_of(w), 3, 0);
	ebb_tape_reset(tape);
	ebb_tensor_free(w);
}
END_TEST

/* ---- Parts in shared memory ------------------------------------------------------------------ */

/* The vjp gives a whole gradient, and then a part of the same memory, for other elements. */
static int moved;

static void moved_vjp(ebb_vjp *v)
{
	ebb_call c;
	ebb_tensor *gy = v->gy, *g;
	double *p;

	c = ebb_begin(v->t, &MADE, NULL, 1, &gy);
	g = moved ? ebb_new_gradient(&c, v, 0) : ebb_new_like(&c, v->in[0]);
	p = ebb_data_mutable(g);
	for (int i = 0; p && i < 6; i++)
		p[i] = i + 1;
	g = ebb_record(&c, g);
	ebb_give(v, 0, g);
	ck_assert(ebb_give_part(
		v, 0, ebb_slice(v->t, g, 0, 0, 5, 1), (ebb_selection){.axis = 0, .start = 1}));
}
static const ebb_op MOVED = {.name = "moved", .vjp = moved_vjp, .takes = {EBB_ROWS}};

START_TEST(a_part_may_share_memory_with_the_whole)
{
	for (moved = 0; moved < 2; moved++) {
		ebb_tensor *w = parameter(EBB_F64, EBB_SHAPE(6), false, 3), *x = w, *y;
		ebb_call c = ebb_begin(tape, &MOVED, EBB_SITE, 1, &x);

		y = ebb_new(&c, EBB_F64, EBB_SCALAR_SHAPE, EBB_ROWS);
		*(double *)ebb_data_mutable(y) = 0;
		ck_assert(ebb_backward(tape, ebb_record(&c, y)));
		for (int i = 0; i < 6; i++)
			ck_assert_double_eq(ebb_at(ebb_grad_of(w), i), i + 1 + i);
		ebb_tape_reset(tape);
		ebb_tensor_free(w);
	}
}
END_TEST

/* The vjp gives gy to both inputs, and then a part to the first. */
static void shared_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
	ebb_give(v, 1, v->gy);
	ck_assert(ebb_give_part(
		v, 0, ebb_ones(v->t, EBB_SHAPE(2)), (ebb_selection){.axis = 0, .start = 1}));
}
static const ebb_op SHARED = {.name = "shared", .vjp = shared_vjp, .takes = {EBB_ROWS, EBB_ROWS}};

START_TEST(a_part_changes_one_input_of_a_shared_gradient)
{
	ebb_tensor *x[] = {variable(EBB_SHAPE(4), 1), variable(EBB_SHAPE(4), 2)}, *y;
	ebb_tensor *in[] = {ebb_neg(tape, x[0]), ebb_neg(tape, x[1])};
	ebb_call c = ebb_begin(tape, &SHARED, EBB_SITE, 2, in);

	y = ebb_new_like(&c, in[0]);
	memset(ebb_data_mutable(y), 0, 4 * sizeof(double));
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_mul_scalar(tape, ebb_record(&c, y), 3.0))));
	for (int i = 0; i < 4; i++) {
		ck_assert_double_eq(ebb_at(ebb_grad_of(x[0]), i), i == 1 || i == 2 ? -4 : -3);
		ck_assert_double_eq(ebb_at(ebb_grad_of(x[1]), i), -3);
	}
}
END_TEST

static void lost_vjp(ebb_vjp *v)
{
	made(v, 3);
}
static const ebb_op LOST = {.name = "lost", .vjp = lost_vjp};

START_TEST(new_gradient_refuses_a_missing_input)
{
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SCALAR_SHAPE));
	ebb_call c = ebb_begin(tape, &LOST, NULL, 1, &x);

	ck_assert(!ebb_backward(tape, ebb_record(&c, ebb_new_like(&c, x))));
	ck_assert_msg(strstr(ebb_error_message(tape), "there is no input 3"), "%s",
		ebb_error_message(tape));
	ebb_clear_error(tape);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd-own-ops");
	TCase *c = tcase_create("over the incoming gradient");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_vjp_may_overwrite_a_gradient_that_it_owns);
	tcase_add_test(c, recorded_gradients_are_not_owned);
	tcase_add_test(c, gradients_of_targets_are_not_owned);
	tcase_add_test(c, an_observer_sees_a_gradient_before_it_is_overwritten);
	tcase_add_test(c, the_last_reader_owns_a_shared_gradient);
	tcase_add_test(c, a_gradient_given_twice_to_one_input_adds_up);
	tcase_add_test(c, a_users_gy_is_not_owned);
	tcase_add_test(c, ownership_under_checkpoints_and_anomaly_detection);
	suite_add_tcase(s, c);
	c = tcase_create("a gradient where it stays");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, new_gradient_is_a_view_of_the_parameters_gradient);
	tcase_add_test(c, a_new_gradient_that_is_not_given_has_no_effect);
	tcase_add_test(c, a_view_of_a_new_gradient_given_to_another_input_keeps_its_value);
	tcase_add_test(c, a_part_may_share_memory_with_the_whole);
	tcase_add_test(c, a_part_changes_one_input_of_a_shared_gradient);
	tcase_add_test(c, new_gradient_refuses_a_missing_input);
	suite_add_tcase(s, c);
	return run_suite(s);
}
