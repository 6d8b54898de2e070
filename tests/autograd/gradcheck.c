/* ebb_gradcheck accepts right gradients and refuses every kind of wrong one. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

/* ---- An op with a right gradient and many wrong ones ----------------------------------- */

typedef enum mutant {
	RIGHT,
	SIGN_FLIP,
	MISSING_TERM,
	DROPPED_ACCUMULATION,
	WRONG_FACTOR,
	NOT_A_NUMBER,
	INFINITE,
	ALL_ZERO,
	NOTHING_GIVEN,
	WRONG_SECOND,
	CUT_SECOND,
	ONE_ELEMENT
} mutant;

static mutant kind;

/* y = a*b + a^2, elementwise */
static void subject_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *a = v->in[0], *b = v->in[1], *gy = v->gy, *ga;

	if (kind == NOTHING_GIVEN)
		return;
	ga = ebb_mul(t, gy, ebb_add(t, b, ebb_mul_scalar(t, a, 2.0)));
	if (kind == SIGN_FLIP)
		ga = ebb_mul(t, gy, ebb_sub(t, b, ebb_mul_scalar(t, a, 2.0)));
	if (kind == MISSING_TERM)
		ga = ebb_mul(t, gy, b);
	if (kind == WRONG_FACTOR)
		ga = ebb_mul_scalar(t, ga, 1.001);
	if (kind == NOT_A_NUMBER)
		ga = ebb_add_scalar(t, ga, (double)NAN);
	if (kind == INFINITE)
		ga = ebb_add_scalar(t, ga, (double)INFINITY);
	if (kind == ALL_ZERO)
		ga = ebb_zeros_like(t, a);
	if (kind == WRONG_SECOND && v->recording) /* the right value with the wrong history */
		ga = ebb_add(t, ga, ebb_sub(t, ebb_square(t, a), ebb_detach(t, ebb_square(t, a))));
	if (kind == CUT_SECOND)
		ga = ebb_detach(t, ga);
	if (kind == ONE_ELEMENT) {
		ebb_tensor *last =
			ebb_pad(t, ebb_full(t, EBB_SHAPE(1), 1e-3), EBB_PADS(ebb_count(a) - 1, 0));

		ga = ebb_add(t, ga, last);
	}
	ebb_give(v, 0, ga);
	ebb_give(v, 1, kind == ALL_ZERO ? ebb_zeros_like(t, b) : ebb_mul(t, gy, a));
}
static const ebb_op SUBJECT = {.name = "subject",
	.vjp = subject_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0) | EBB_IN(1)}};

static ebb_tensor *subject(ebb_tape *t, ebb_tensor *a, ebb_tensor *b)
{
	ebb_tensor *in[] = {a, b}, *y;
	ebb_call c = ebb_begin(t, &SUBJECT, NULL, 2, in);
	double *p;

	y = ebb_new_like(&c, in[0]);
	p = ebb_data_mutable(y);
	for (int64_t i = 0; p && i < ebb_count(y); i++)
		p[i] = ebb_at(in[0], i) * (ebb_at(in[1], i) + ebb_at(in[0], i));
	return ebb_record(&c, y);
}

static ebb_tensor *call_subject(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	/* One use of x[0] has no gradient, as in a sweep that overwrites in place of
	 * accumulating. */
	if (kind == DROPPED_ACCUMULATION) {
		ebb_tensor *lost = ebb_detach(t, ebb_mul(t, x[0], x[0]));

		return ebb_add(t, ebb_mul(t, x[0], x[1]), lost);
	}
	return subject(t, x[0], x[1]);
}

static bool passes(mutant m, bool second, ebb_error *e)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(5), 1),
		   *b = persistent_random(EBB_F64, EBB_SHAPE(5), 2);
	const ebb_tensor *x[] = {a, b};
	bool ok;

	kind = m;
	*e = (ebb_error){0};
	ok = ebb_gradcheck(call_subject, NULL, 2, x, .second = second, .error = e);
	ck_assert(ok == (e->status == EBB_OK));
	ck_assert(ok ==
		  ebb_gradcheck(call_subject, NULL, 2, x, .second = second)); /* without .error */
	ebb_tensor_free(a);
	ebb_tensor_free(b);
	return ok;
}

START_TEST(the_right_gradient_passes)
{
	ebb_error e;

	ck_assert_msg(passes(RIGHT, false, &e), "%s", e.message);
	ck_assert_msg(passes(RIGHT, true, &e), "%s", e.message);
}
END_TEST

START_TEST(every_wrong_gradient_fails)
{
	static const struct {
		mutant kind;
		const char *words;
	} cases[] = {{SIGN_FLIP, "gradient of input 0, element 0"},
		{MISSING_TERM, "gradient of input 0"},
		{DROPPED_ACCUMULATION, "gradient of input 0"},
		{WRONG_FACTOR, "gradient of input 0"}, {NOT_A_NUMBER, "nan"}, {INFINITE, "inf"},
		{ALL_ZERO, "gradient of input 0"}, {NOTHING_GIVEN, "gradient of input 0"},
		{ONE_ELEMENT, "element 4"}};
	ebb_error e;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_msg(
			!passes(cases[i].kind, false, &e), "mutant %d passes", (int)cases[i].kind);
		ck_assert_msg(strstr(e.message, cases[i].words) != NULL, "%s", e.message);
	}
}
END_TEST

START_TEST(the_second_derivative_is_checked_too)
{
	ebb_error e;

	for (mutant m = WRONG_SECOND; m <= CUT_SECOND; m++) {
		ck_assert_msg(passes(m, false, &e), "%s", e.message);
		ck_assert_msg(!passes(m, true, &e), "mutant %d passes", (int)m);
		ck_assert_msg(strstr(e.message, "second derivative of") != NULL, "%s", e.message);
	}
}
END_TEST

/* ---- Unusual functions --------------------------------------------------------------------- */

static ebb_tensor *constant_steps(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	return ebb_mul_scalar(t, ebb_sign(t, x[0]), 3.0);
}

START_TEST(all_zero_gradients_fail_unless_allowed)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(5), 1);
	const ebb_tensor *x[] = {a};
	ebb_error e = {0};

	ck_assert(!ebb_gradcheck(constant_steps, NULL, 1, x, .error = &e));
	ck_assert_msg(strstr(e.message, "zero") != NULL, "%s", e.message);
	e.status = EBB_OK;
	ck_assert_msg(ebb_gradcheck(constant_steps, NULL, 1, x, .allow_zero = true, .second = true,
			      .error = &e),
		"%s", e.message);
	ebb_tensor_free(a);
}
END_TEST

static ebb_tensor *picks(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	ck_assert_int_eq(ebb_dtype_of(x[1]), EBB_I64);
	ck_assert_int_eq(ebb_dtype_of(x[2]), EBB_U8);
	ck_assert(!ebb_requires_grad(x[1]) && !ebb_requires_grad(x[2]));
	return ebb_where(t, x[2], ebb_index_select(t, ebb_square(t, x[0]), 0, x[1]),
		ebb_zeros_like(t, x[0]));
}

START_TEST(integer_inputs_are_constants)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(3), 1);
	ebb_tensor *index = ebb_tensor_new(EBB_I64, EBB_SHAPE(3), false, NULL);
	ebb_tensor *mask = ebb_tensor_new(EBB_U8, EBB_SHAPE(3), false, NULL);
	const ebb_tensor *x[] = {a, index, mask};
	ebb_error e = {0};

	ck_assert(ebb_copy_in(index, (int64_t[]){2, 2, 0}, 3 * sizeof(int64_t)));
	ck_assert(ebb_copy_in(mask, (uint8_t[]){1, 0, 1}, 3));
	ck_assert_msg(
		ebb_gradcheck(picks, NULL, 3, x, .second = true, .error = &e), "%s", e.message);
	ck_assert(!ebb_gradcheck(picks, NULL, 2, x + 1, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_DTYPE);
	ebb_tensor_free(a);
	ebb_tensor_free(index);
	ebb_tensor_free(mask);
}
END_TEST

static ebb_tensor *fails(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	return ebb_matmul(t, x[0], ebb_zeros(t, EBB_SHAPE(7, 7)));
}

static ebb_tensor *grows(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	int *calls = ctx;

	return ebb_slice(t, x[0], 0, 0, ++*calls < 4 ? 4 : 1, 1);
}

static ebb_tensor *drops(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *y = ebb_square(t, x[0]);

	(void)ctx;
	ebb_release(t, y);
	return y;
}

static ebb_tensor *unrelated(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)x;
	(void)ctx;
	return ebb_scalar(t, 1);
}

static ebb_tensor *nothing(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)t, (void)x, (void)ctx;
	return NULL;
}

START_TEST(errors_of_the_function_are_reported)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(5), 1),
		   *f = persistent_random(EBB_F32, EBB_SHAPE(5), 1);
	const ebb_tensor *x[] = {a};
	const struct {
		ebb_gradcheck_fn fn;
		const char *words;
	} cases[] = {{fails, "matmul"}, {grows, "F64 [1]"}, {drops, "released"},
		{unrelated, "depends on nothing"}, {nothing, "NULL"}};
	ebb_error e;
	int calls = 0;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		e = (ebb_error){0};
		ck_assert(!ebb_gradcheck(cases[i].fn, &calls, 1, x, .error = &e));
		ck_assert_msg(strstr(e.message, cases[i].words) != NULL, "%s", e.message);
	}
	e = (ebb_error){0};
	ck_assert(!ebb_gradcheck(drops, NULL, 0, x, .error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert(!ebb_gradcheck(NULL, NULL, 1, x) && !ebb_gradcheck(drops, NULL, 9, x));
	ck_assert(!ebb_gradcheck(drops, NULL, 1, NULL));
	e = (ebb_error){0};
	ck_assert(!ebb_gradcheck(unrelated, &calls, 1, x, .rtol = NAN, .error = &e));
	ck_assert_msg(strstr(e.message, "rtol nan") != NULL, "%s", e.message);
	ck_assert(!ebb_gradcheck(unrelated, &calls, 1, x, .eps = EBB_ZERO));
	ck_assert(!ebb_gradcheck(unrelated, &calls, 1, x, .atol = -1));
	x[0] = f;
	e = (ebb_error){0};
	ck_assert(!ebb_gradcheck(drops, NULL, 1, x, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_DTYPE);
	x[0] = NULL;
	ck_assert(!ebb_gradcheck(drops, NULL, 1, x));
	ebb_tensor_free(a);
	ebb_tensor_free(f);
}
END_TEST

static ebb_tensor *noisy(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	bool *training = ctx;

	*training = ebb_is_training(t);
	return ebb_dropout(t, ebb_mul(t, x[0], ebb_randn(t, ebb_shape_of(x[0]))), 0.3);
}

START_TEST(every_evaluation_draws_the_same_random_numbers)
{
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(40), 1);
	const ebb_tensor *x[] = {a};
	ebb_error e = {0};
	bool training = false;

	ck_assert_msg(
		ebb_gradcheck(noisy, &training, 1, x, .seed = 5, .error = &e), "%s", e.message);
	ck_assert(training);
	ck_assert_msg(
		ebb_gradcheck(noisy, &training, 1, x, .eval = true, .error = &e), "%s", e.message);
	ck_assert(!training);
	ebb_tensor_free(a);
}
END_TEST

START_TEST(every_failed_allocation_is_an_error)
{
	counting_allocator alloc;
	ebb_tensor *a, *b;
	int64_t calls = 1;

	counting_allocator_install(&alloc);
	a = persistent_random(EBB_F64, EBB_SHAPE(5), 1);
	b = persistent_random(EBB_F64, EBB_SHAPE(5), 2);
	kind = RIGHT;
	for (int64_t at = 0; at < calls; at++) {
		const ebb_tensor *x[] = {a, b};
		ebb_error e = {0};
		int64_t live = alloc.live, before = alloc.calls;

		alloc.fail_at = before + at;
		ck_assert(!ebb_gradcheck(call_subject, NULL, 2, x, .second = true, .error = &e));
		ck_assert_msg(e.status == EBB_NO_MEMORY, "%s", e.message);
		ck_assert_int_eq(alloc.live, live);
		alloc.fail_at = -1;
		before = alloc.calls;
		ck_assert(ebb_gradcheck(call_subject, NULL, 2, x, .second = true));
		calls = alloc.calls - before;
	}
	ck_assert_int_gt(calls, 10);
	ebb_tensor_free(a);
	ebb_tensor_free(b);
	ck_assert_int_eq(alloc.live, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/gradcheck");
	TCase *c = tcase_create("gradcheck");

	tcase_add_test(c, the_right_gradient_passes);
	tcase_add_test(c, every_wrong_gradient_fails);
	tcase_add_test(c, the_second_derivative_is_checked_too);
	tcase_add_test(c, all_zero_gradients_fail_unless_allowed);
	tcase_add_test(c, integer_inputs_are_constants);
	tcase_add_test(c, errors_of_the_function_are_reported);
	tcase_add_test(c, every_evaluation_draws_the_same_random_numbers);
	tcase_add_test(c, every_failed_allocation_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
