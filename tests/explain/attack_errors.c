/* attack_errors.c - what attacks refuse, and attacks without memory. */
#include "tanh.h"

#include <math.h>

#ifdef REFUSALS
#include "tests/support/refusals.h"
#endif

/* ---- Errors ---------------------------------------------------------------------------------- */

static ebb_tensor *returns_null(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)t, (void)x, (void)ctx;
	return NULL;
}

static ebb_tensor *fails(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_reshape(t, x, EBB_SHAPE(7, 7));
}

static ebb_tensor *unsuitable(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_flatten(t, ebb_sum(t, x, EBB_AXES(1, 2), .keepdim = true));
}

static ebb_tensor *not_finite(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_log(t, ebb_mul_scalar(t, ebb_square(t, scores(t, x, ctx)), 0));
}

static ebb_tensor *steep(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	/* The derivative of sqrt at 0 is infinite. */
	return ebb_sqrt(t, ebb_mul_scalar(t, ebb_square(t, scores(t, x, ctx)), 0));
}

static ebb_tensor *constant(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_zeros(t, EBB_SHAPE(ebb_size(x, 0), 4));
}

#define REFUSED(status, text, function, ...)                                                       \
	do {                                                                                       \
		assert_refused(tape, status, ebb_pgd(tape, function, &net, __VA_ARGS__),           \
			"attack_errors.c", "pgd", text);                                           \
		ck_assert(ebb_is_recording(tape) && ebb_is_training(tape));                        \
		ck_assert_int_eq(ebb_default_dtype(tape), EBB_F64);                                \
	} while (0)

START_TEST(invalid_numbers_are_refused)
{
	tanh_network net = network_open();

#define NUMBERS(text, ...) REFUSED(EBB_INVALID, text, scores, net.x, net.labels, __VA_ARGS__)
	NUMBERS("eps is missing", .steps = 3);
	NUMBERS("eps is -1", .eps = -1);
	NUMBERS("eps is inf", .eps = INFINITY);
	NUMBERS("eps is nan", .eps = NAN);
	NUMBERS("step is -2", .eps = 1, .step = -2);
	NUMBERS("step is inf", .eps = 1, .step = INFINITY);
	NUMBERS("steps must not", .eps = 1, .steps = -1);
	NUMBERS("levels must not", .eps = 1, .levels = -1);
	NUMBERS("low is 1 and high is 1", .eps = 1, .low = 1);
	NUMBERS("low is nan", .eps = 1, .low = NAN);
	NUMBERS("finite", .eps = 1, .low = -INFINITY, .levels = 3);
	NUMBERS("norm must be", .eps = 1, .norm = (ebb_attack_norm)2);
	NUMBERS("confidence is 1.5", .eps = 1, .confidence = 1.5);
	NUMBERS("confidence is nan", .eps = 1, .confidence = NAN);
	NUMBERS("exclude each other", .eps = 1, .random_start = true, .start = net.x);
	/* 1/7 is far from 0 and 1/2. */
	REFUSED(EBB_INVALID, "no image of 3 levels lies within eps = 0.01 of image 0", scores,
		ebb_full_like(tape, net.x, 1 / 7.0), net.labels, .eps = 0.01, .levels = 2);
#undef NUMBERS
	network_close(&net);
}
END_TEST

START_TEST(invalid_tensors_are_refused)
{
	tanh_network net = network_open();
	ebb_tensor *x = net.x, *labels = net.labels, *shape = ebb_zeros(tape, EBB_SHAPE(5, 8));

	REFUSED(EBB_INVALID, "input 0", scores, NULL, labels, .eps = 1);
	REFUSED(EBB_INVALID, "input 1", scores, x, NULL, .eps = 1);
	REFUSED(EBB_INVALID, "the network is NULL", NULL, x, labels, .eps = 1);
	REFUSED(EBB_BAD_DTYPE, "x must be F32 or F64, got I64 [5]", scores, labels, labels,
		.eps = 1);
	REFUSED(EBB_BAD_SHAPE, "x must be [N,...]", scores, ebb_zeros(tape, EBB_SHAPE(5)), labels,
		.eps = 1);
	REFUSED(EBB_BAD_SHAPE, "x must be [N,...]", scores, ebb_zeros(tape, EBB_SHAPE(0, 2)),
		labels, .eps = 1);
	REFUSED(EBB_BAD_DTYPE, "labels must be I64 [5]", scores, x, x, .eps = 1);
	REFUSED(EBB_BAD_SHAPE, "labels must be I64 [5]", scores, x,
		ebb_from_i64(tape, EBB_SHAPE(2), (int64_t[]){0, 1}), .eps = 1);
	REFUSED(EBB_BAD_SHAPE, "start must have", scores, x, labels, .eps = 1, .start = shape);
	REFUSED(EBB_BAD_DTYPE, "start must have", scores, x, labels, .eps = 1,
		.start = ebb_cast(tape, x, EBB_F32));
	REFUSED(EBB_NOT_FINITE, "of start is nan", scores, x, labels, .eps = 1,
		.start = ebb_full_like(tape, x, NAN));
	REFUSED(EBB_NOT_FINITE, "element 0 of image 0 of x is inf", scores,
		ebb_full_like(tape, x, INFINITY), labels, .eps = 1);
	REFUSED(EBB_INVALID, "of x is 2, expected finite numbers in [low,high]", scores,
		ebb_full_like(tape, x, 2), labels, .eps = 1);
	REFUSED(EBB_INVALID, "label 4 of image 1 is out of range for 4 classes", scores, x,
		ebb_from_i64(tape, EBB_SHAPE(5), (int64_t[]){0, 4, 0, 0, 0}), .eps = 1);
	REFUSED(EBB_INVALID, "label -100 of image 0", scores, x,
		ebb_from_i64(tape, EBB_SHAPE(5), (int64_t[]){-100, 0, 0, 0, 0}), .eps = 1);
	network_close(&net);
}
END_TEST

START_TEST(networks_that_fail_are_reported)
{
	tanh_network net = network_open();

	REFUSED(EBB_INVALID, "the network returned NULL", returns_null, net.x, net.labels,
		.eps = 1);
	REFUSED(EBB_BAD_SHAPE, "scores must be F64 [5,classes]", unsuitable, net.x, net.labels,
		.eps = 1);
	REFUSED(EBB_NOT_FINITE, "score [0,0] is -inf", not_finite, net.x, net.labels, .eps = 1);
	REFUSED(EBB_NOT_FINITE, "the gradient of element 0 of image 0", steep, net.x, net.labels,
		.eps = 1);
	assert_refused(tape, EBB_BAD_SHAPE,
		ebb_fgsm(tape, fails, NULL, net.x, net.labels, .eps = 1), "reshape");
	assert_refused(tape, EBB_INVALID,
		ebb_fgsm(tape, constant, NULL, net.x, net.labels, .eps = 1), "attack_errors.c",
		"requires a gradient");
	assert_refused(tape, EBB_INVALID, ebb_fgsm(tape, scores, &net, net.x, net.labels), "fgsm");
	ck_assert(ebb_is_recording(tape) && ebb_is_training(tape));
	ck_assert_ptr_null(ebb_pgd(NULL, scores, &net, net.x, net.labels, .eps = 1));
	network_close(&net);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

static bool attack_all(ebb_tape *t, void *ctx)
{
	tanh_network *net = ctx;
	double probability[5];
	ebb_attack_result r = {.probability = probability};

	return ebb_pgd(t, scores, net, net->x, net->labels, .eps = 0.3, .steps = 2, .margin = true,
		       .norm = EBB_NORM_L2, .levels = 255, .random_start = true, .result = &r) &&
	       ebb_fgsm(t, scores, net, net->x, net->targets, .eps = 0.3, .targeted = true,
		       .start = net->start);
}

#ifdef REFUSALS
START_TEST(failed_requests_are_errors)
{
	tanh_network net = network_open();

	ck_assert_int_eq(refuse_each(&(attempt){"attacks", attack_all, NULL, NULL, &net}), 0);
	network_close(&net);
}
END_TEST
#endif

START_TEST(failed_allocations_are_errors)
{
	tanh_network net = network_open();
	counting_allocator alloc;

	counting_allocator_install(&alloc);
	for (int64_t n = 0;; n++) {
		ebb_tape *t = ebb_tape_new();
		bool ok;

		ebb_set_default_dtype(t, EBB_F64);
		alloc.calls = alloc.refused = 0;
		alloc.fail_at = n;
		ok = attack_all(t, &net);
		alloc.fail_at = -1;
		ck_assert_int_eq(ok, !ebb_failed(t));
		ck_assert(ok || ebb_error_status(t) == EBB_NO_MEMORY);
		ck_assert(ebb_is_recording(t) && ebb_is_training(t));
		ebb_tape_free(t);
		ck_assert(alloc.live == 0 && alloc.wrong == 0);
		if (!alloc.refused)
			break;
	}
	counting_allocator_remove();
	network_close(&net);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("explain-attack-errors");
	TCase *c = tcase_create("errors"), *memory = tcase_create("memory");

	tcase_add_checked_fixture(c, begin, finish);
	tcase_add_test(c, invalid_numbers_are_refused);
	tcase_add_test(c, invalid_tensors_are_refused);
	tcase_add_test(c, networks_that_fail_are_reported);
	suite_add_tcase(s, c);
	tcase_set_timeout(memory, 200);
	tcase_add_checked_fixture(memory, debug_off, debug_as_before);
#ifdef REFUSALS
	tcase_add_test(memory, failed_requests_are_errors);
#endif
	tcase_add_test(memory, failed_allocations_are_errors);
	suite_add_tcase(s, memory);
	return run_suite(s);
}
