/* print.c - a tensor's values as text: ebb_format and ebb_print.  The expected texts of matrices are
 * PyTorch's. */
#include <math.h>
#include <string.h>

#include "tests/flow/comma.h"

static ebb_tape *t;

static void set_up(void)
{
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(t);
}

/* Asserts the text of x, with these options. */
#define assert_text(x, want, ...)                                                                  \
	do {                                                                                       \
		char buffer_[20000];                                                               \
		size_t n_ = ebb_format(x, buffer_, sizeof buffer_, __VA_ARGS__);                   \
                                                                                                   \
		ck_assert_str_eq(buffer_, want);                                                   \
		ck_assert_uint_eq(n_, strlen(buffer_));                                            \
	} while (0)
#define assert_plain(x, want) assert_text(x, want, .precision = 4)
#define VALUES(...)                                                                                \
	EBB_SHAPE(EBB_COUNT_ARGS(__VA_ARGS__)), (const double[])                                   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

START_TEST(numbers_have_one_format)
{
	static const double nothing[] = {0};

	assert_plain(ebb_from_f64(t, VALUES(0.5, -1.25, 100)),
		"[  0.5000,  -1.2500, 100.0000]\nF64 [3]");
	assert_plain(ebb_from_f64(t, VALUES(1, -2, 30)), "[ 1., -2., 30.]\nF64 [3]");
	assert_plain(ebb_from_f64(t, VALUES(1e-5, 1.5)), "[1.0000e-05, 1.5000e+00]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(0, 2e-5)), "[0.0000e+00, 2.0000e-05]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(1, 1000)), "[   1., 1000.]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(1, 1001)), "[1.0000e+00, 1.0010e+03]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(1e8, 2e8)), "[1.0000e+08, 2.0000e+08]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(5e-324, 1.7976931348623157e308)),
		"[4.9407e-324, 1.7977e+308]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(NAN, INFINITY, -INFINITY, 0.5)),
		"[   nan,    inf,   -inf, 0.5000]\nF64 [4]");
	assert_plain(ebb_from_f64(t, VALUES(-NAN, INFINITY, -3)), "[nan, inf, -3.]\nF64 [3]");
	assert_plain(ebb_from_f64(t, VALUES(NAN, -INFINITY)), "[ nan, -inf]\nF64 [2]");
	assert_plain(ebb_from_f64(t, VALUES(0.0, -0.0)), "[ 0., -0.]\nF64 [2]");
	assert_plain(ebb_from_f64(t, EBB_SHAPE(1), nothing), "[0.]\nF64 [1]");
	ebb_set_default_dtype(t, EBB_F32);
	assert_plain(ebb_from_f64(t, VALUES(0.1, 2)), "[0.1000, 2.0000]\nF32 [2]");
	assert_plain(ebb_from_i64(t, EBB_SHAPE(3), (int64_t[]){INT64_MIN, 7, INT64_MAX}),
		"[-9223372036854775808,                    7,  9223372036854775807]\nI64 [3]");
	assert_plain(
		ebb_from_u8(t, EBB_SHAPE(3), (uint8_t[]){0, 7, 255}), "[  0,   7, 255]\nU8 [3]");
	assert_healthy(t);
}
END_TEST

START_TEST(the_precision_can_be_chosen)
{
	ebb_tensor *x = ebb_from_f64(t, VALUES(2.0 / 3, 20));

	assert_text(x, "[ 0.67, 20.00]\nF64 [2]", .precision = 2);
	assert_text(x, "[ 1, 20]\nF64 [2]", .precision = -1);
	assert_text(x, "[ 0.666666667, 20.000000000]\nF64 [2]", .precision = 9);
	assert_text(ebb_from_f64(t, VALUES(1e9)), "[1.00e+09]\nF64 [1]", .precision = 2);
	ck_assert_uint_eq(ebb_format(x, NULL, 0, .precision = 1000000, .width = 200),
		strlen("[, ]\nF64 [2]") + 2 * strlen("20.") + 2 * 50);
	assert_healthy(t);
}
END_TEST

START_TEST(brackets_follow_the_shape)
{
	double v[24];

	for (int i = 0; i < 24; i++)
		v[i] = i / 2.0;
	assert_plain(ebb_scalar(t, 3.14159), "3.1416\nF64 []");
	assert_plain(ebb_from_f64(t, EBB_SHAPE(2, 3), v), "[[0.0000, 0.5000, 1.0000],\n"
							  " [1.5000, 2.0000, 2.5000]]\n"
							  "F64 [2,3]");
	assert_plain(ebb_from_f64(t, EBB_SHAPE(2, 2, 1, 2), v), "[[[[0.0000, 0.5000]],\n"
								"\n"
								"  [[1.0000, 1.5000]]],\n"
								"\n"
								"\n"
								" [[[2.0000, 2.5000]],\n"
								"\n"
								"  [[3.0000, 3.5000]]]]\n"
								"F64 [2,2,1,2]");
	assert_plain(ebb_zeros(t, EBB_SHAPE(0)), "[]\nF64 [0]");
	assert_plain(ebb_zeros(t, EBB_SHAPE(2, 0, 3)), "[]\nF64 [2,0,3]");
	assert_plain(ebb_zeros(t, EBB_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)),
		"[[[[[[[[0.]]]]]]]]\nF64 [1,1,1,1,1,1,1,1]");
	assert_healthy(t);
}
END_TEST

START_TEST(elements_are_in_reading_order_for_all_strides)
{
	ebb_tensor *x =
		ebb_reshape(t, ebb_cast(t, ebb_arange(t, 12), EBB_F64), EBB_SHAPE(1, 2, 2, 3));
	const char *want = "[[[[ 0.,  1.,  2.],\n"
			   "   [ 3.,  4.,  5.]],\n"
			   "\n"
			   "  [[ 6.,  7.,  8.],\n"
			   "   [ 9., 10., 11.]]]]\n"
			   "F64 [1,2,2,3]";

	assert_plain(x, want);
	assert_plain(ebb_dense(t, x, EBB_CHANNELS_LAST), want);
	x = ebb_reshape(t, x, EBB_SHAPE(3, 4));
	assert_plain(ebb_transpose(t, x, 0, 1), "[[ 0.,  4.,  8.],\n"
						" [ 1.,  5.,  9.],\n"
						" [ 2.,  6., 10.],\n"
						" [ 3.,  7., 11.]]\n"
						"F64 [4,3]");
	assert_plain(
		ebb_slice(t, x, 1, 1, 4, 2), "[[ 1.,  3.],\n [ 5.,  7.],\n [ 9., 11.]]\nF64 [3,2]");
	assert_plain(ebb_expand(t, ebb_scalar(t, 2.5), EBB_SHAPE(2)), "[2.5000, 2.5000]\nF64 [2]");
	assert_healthy(t);
}
END_TEST

START_TEST(large_tensors_are_shortened)
{
	ebb_tensor *x = ebb_reshape(t, ebb_arange(t, 1001), EBB_SHAPE(7, 143));

	assert_text(x,
		"[[   0,    1,  ...,  141,  142],\n"
		" [ 143,  144,  ...,  284,  285],\n"
		" ...,\n"
		" [ 715,  716,  ...,  856,  857],\n"
		" [ 858,  859,  ...,  999, 1000]]\n"
		"I64 [7,143]",
		.edge = 2);
	assert_text(ebb_slice(t, x, 0, 0, 1, 1), "[[  0,  ..., 142]]\nI64 [1,143]",
		.threshold = 142, .edge = 1);
	assert_plain(ebb_arange(t, 1001), "[   0,    1,    2,  ...,  998,  999, 1000]\nI64 [1001]");
	ck_assert_uint_gt(ebb_format(ebb_arange(t, 1000), NULL, 0), 5000);
	ck_assert_uint_gt(ebb_format(ebb_arange(t, 1001), NULL, 0, .threshold = 1001), 5000);
	assert_text(ebb_reshape(t, ebb_arange(t, 24), EBB_SHAPE(4, 3, 2)),
		"[[[ 0,  1],\n"
		"  ...,\n"
		"  [ 4,  5]],\n"
		"\n"
		" ...,\n"
		"\n"
		" [[18, 19],\n"
		"  ...,\n"
		"  [22, 23]]]\n"
		"I64 [4,3,2]",
		.threshold = 1, .edge = 1);
	/* Only the elements that are shown determine the format. */
	assert_text(ebb_from_f64(t, VALUES(1.5, 2.5, 1e300, 3.5)),
		"[1.5000,  ..., 3.5000]\nF64 [4]", .threshold = 3, .edge = 1);
	assert_text(
		ebb_arange(t, 3), "[0, 1, 2]\nI64 [3]", .threshold = -5, .edge = -1, .width = -1);
	assert_text(ebb_arange(t, 3), "[0, 1, 2]\nI64 [3]", .threshold = 1, .edge = INT32_MAX);
	assert_healthy(t);
}
END_TEST

START_TEST(long_rows_are_broken_into_lines)
{
	char text[20000];

	assert_text(ebb_reshape(t, ebb_arange(t, 14), EBB_SHAPE(2, 7)),
		"[[ 0,  1,  2,\n"
		"   3,  4,  5,\n"
		"   6],\n"
		" [ 7,  8,  9,\n"
		"  10, 11, 12,\n"
		"  13]]\n"
		"I64 [2,7]",
		.width = 14);
	assert_text(ebb_arange(t, 2), "[0,\n 1]\nI64 [2]", .width = 1);
	for (int width = 20; width <= 100; width++) {
		ebb_tensor *x = ebb_reshape(t, ebb_arange(t, 600), EBB_SHAPE(2, 3, 100));
		size_t longest = 0;

		ebb_format(x, text, sizeof text, .width = width);
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			longest = strlen(line) > longest ? strlen(line) : longest;
		ck_assert_msg(longest <= (size_t)width && longest + 8 > (size_t)width,
			"a line of %zu characters for .width = %d", longest, width);
	}
	assert_healthy(t);
}
END_TEST

START_TEST(the_last_line_has_the_name)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *w = ebb_params_add(p, "fc.weight", EBB_SHAPE(1, 2), EBB_INIT(EBB_INIT_ZEROS));
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, VALUES(1, 2)));

	assert_plain(w, "[[0., 0.]]\nF32 [1,2] \"fc.weight\"");
	ebb_backward(t, ebb_sum(t, ebb_square(t, x)));
	assert_plain(ebb_grad_of(x), "[2., 4.]\nF64 [2]");
	assert_healthy(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_missing_value_is_said)
{
	ebb_tensor *x = ebb_from_f64(t, VALUES(1, 2)), *y;
	char text[300];

	ebb_format(NULL, text, sizeof text);
	ck_assert_ptr_eq(strstr(text, __FILE__ ":"), text);
	ck_assert_ptr_nonnull(strstr(text, ": NULL: no tensor"));
	y = ebb_exp(t, x);
	ebb_release(t, y);
	ebb_format(y, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, ": F64 [2]: the value was released"));
	ebb_scope_begin(t, "inner");
	y = ebb_exp(t, x);
	ebb_scope_end(t, ebb_exp(t, y));
	ebb_format(y, text, sizeof text);
	ck_assert_ptr_nonnull(
		strstr(text, ": F64 [2]: the value was dropped at the end of scope inner"));
	assert_healthy(t);
	/* Values are printed although the tape has failed. */
	ebb_fail(t, EBB_INVALID, NULL, "an error");
	assert_plain(x, "[1., 2.]\nF64 [2]");
	ck_assert_str_eq(ebb_error_message(t), "an error");
	ebb_clear_error(t);
}
END_TEST

START_TEST(a_handle_from_before_a_reset_is_said)
{
	char text[300];
	ebb_tape *debugged;
	ebb_tensor *x;

	debug_on();
	debugged = ebb_tape_new();
	x = ebb_from_f64(debugged, VALUES(1, 2));
	ebb_set_name(x, "old");
	ebb_tape_reset(debugged);
	ebb_format(x, text, sizeof text);
	ck_assert_ptr_nonnull(
		strstr(text, ": F32 [2]: the value is gone since the tape was reset or rewound"));
	assert_healthy(debugged);
	ebb_tape_free(debugged);
	debug_as_before();
}
END_TEST

static void print_undeclared(ebb_vjp *v)
{
	char text[300];

	ebb_format(v->in[0], text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, ": the value is not declared in the op's .reads"));
	ebb_give(v, 0, v->gy);
}

START_TEST(an_undeclared_input_is_said)
{
	static const ebb_op op = {.name = "undeclared", .vjp = print_undeclared};
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, VALUES(1, 2)));
	ebb_call c = ebb_begin(t, &op, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	ebb_copy_out(x, ebb_data_mutable(y), 2 * sizeof(double));
	ebb_backward(t, ebb_sum(t, ebb_record(&c, y)));
	assert_plain(ebb_grad_of(x), "[1., 1.]\nF64 [2]");
	assert_healthy(t);
}
END_TEST

START_TEST(a_short_buffer_gets_the_beginning)
{
	ebb_tensor *x = ebb_from_f64(t, VALUES(1, 2));
	const char *want = "[1., 2.]\nF64 [2]";

	for (size_t size = 0; size <= strlen(want) + 2; size++) {
		char text[40];

		memset(text, '#', sizeof text);
		ck_assert_uint_eq(ebb_format(x, text, size), strlen(want));
		if (size) {
			ck_assert_uint_eq(
				strlen(text), size - 1 < strlen(want) ? size - 1 : strlen(want));
			ck_assert(strncmp(text, want, size - 1) == 0);
		}
		ck_assert_int_eq(text[size], '#');
	}
	ck_assert_uint_eq(ebb_format(x, NULL, 100), strlen(want));
}
END_TEST

START_TEST(printing_writes_to_a_file)
{
	ebb_tensor *x = ebb_from_f64(t, VALUES(0.125, 2));
	char text[100] = "";
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	ck_assert(ebb_print(x, .file = f, .precision = 3));
	ck_assert(ebb_print(NULL, .file = f));
	rewind(f);
	ck_assert_uint_gt(fread(text, 1, sizeof text - 1, f), 30);
	fclose(f);
	ck_assert_ptr_eq(strstr(text, "[0.125, 2.000]\nF64 [2]\n"), text);
	ck_assert_ptr_nonnull(strstr(text, "print.c:"));
	f = fopen("/dev/null", "r");
	ck_assert(!ebb_print(x, .file = f));
	fclose(f);
}
END_TEST

START_TEST(the_text_is_the_same_in_any_locale)
{
	if (set_comma()) {
		assert_plain(ebb_from_f64(t, VALUES(0.5, 1.25)), "[0.5000, 1.2500]\nF64 [2]");
		assert_plain(ebb_from_f64(t, VALUES(2, 3)), "[2., 3.]\nF64 [2]");
		assert_plain(ebb_from_f64(t, VALUES(2e9)), "[2.0000e+09]\nF64 [1]");
		setlocale(LC_ALL, "C");
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tensor/print");
	TCase *c = tcase_create("print");

	tcase_add_unchecked_fixture(c, make_locale, remove_temp_dir);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, numbers_have_one_format);
	tcase_add_test(c, the_precision_can_be_chosen);
	tcase_add_test(c, brackets_follow_the_shape);
	tcase_add_test(c, elements_are_in_reading_order_for_all_strides);
	tcase_add_test(c, large_tensors_are_shortened);
	tcase_add_test(c, long_rows_are_broken_into_lines);
	tcase_add_test(c, the_last_line_has_the_name);
	tcase_add_test(c, a_missing_value_is_said);
	tcase_add_test(c, a_handle_from_before_a_reset_is_said);
	tcase_add_test(c, an_undeclared_input_is_said);
	tcase_add_test(c, a_short_buffer_gets_the_beginning);
	tcase_add_test(c, printing_writes_to_a_file);
	tcase_add_test(c, the_text_is_the_same_in_any_locale);
	suite_add_tcase(s, c);
	return run_suite(s);
}
