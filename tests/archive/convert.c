/* Every value of the small types, and rounding to them, compared with arithmetic definitions. */
#include "archive/internal.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static double to_double(ebb_file_dtype from, const void *x)
{
	double y;

	ck_assert_int_eq(ebb_convert(from, x, EBB_FILE_F64, &y, 1), -1);
	return y;
}

/* (-1)^s 2^(e-bias) (1 + m/2^bits), or m/2^bits 2^(1-bias) for e = 0. */
static double defined(unsigned code, int exponent_bits, int bits, bool infinite)
{
	int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
	int e = (int)(code >> bits) & top;
	unsigned m = code & ((1u << bits) - 1);
	double sign = code >> (exponent_bits + bits) ? -1 : 1, fraction = m / pow(2, bits);

	if (infinite && e == top)
		return m ? NAN : sign * INFINITY;
	if (!infinite && e == top && m == (1u << bits) - 1)
		return NAN;
	return sign * (e ? pow(2, e - bias) * (1 + fraction) : pow(2, 1 - bias) * fraction);
}

static const struct small {
	ebb_file_dtype dtype;
	int exponent, bits;
	bool infinite;
} smalls[] = {
	{EBB_FILE_F16, 5, 10, true},
	{EBB_FILE_BF16, 8, 7, true},
	{EBB_FILE_F8_E5M2, 5, 2, true},
	{EBB_FILE_F8_E4M3, 4, 3, false},
};

static bool same(double a, double b)
{
	return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

static unsigned code_of(const struct small *s, const void *bytes)
{
	uint16_t wide;
	uint8_t narrow;

	if (ebb_file_dtype_size(s->dtype) == 1)
		return memcpy(&narrow, bytes, 1), narrow;
	return memcpy(&wide, bytes, 2), wide;
}

static void put_code(const struct small *s, unsigned code, void *bytes)
{
	uint16_t wide = (uint16_t)code;
	uint8_t narrow = (uint8_t)code;

	if (ebb_file_dtype_size(s->dtype) == 1)
		memcpy(bytes, &narrow, 1);
	else
		memcpy(bytes, &wide, 2);
}

START_TEST(every_code_of_a_small_float_has_the_value_of_its_definition)
{
	const struct small *s = &smalls[_i];
	unsigned codes = 1u << (1 + s->exponent + s->bits);

	for (unsigned code = 0; code < codes; code++) {
		double expected = defined(code, s->exponent, s->bits, s->infinite), back;
		char bytes[2], again[2];
		float f;

		put_code(s, code, bytes);
		back = to_double(s->dtype, bytes);
		ck_assert_msg(same(back, expected), "%s %#x is %g, expected %g",
			ebb_file_dtype_name(s->dtype), code, back, expected);
		ebb_convert(s->dtype, bytes, EBB_FILE_F32, &f, 1);
		ck_assert_msg(
			same(f, expected), "%s %#x as F32", ebb_file_dtype_name(s->dtype), code);
		ebb_convert(EBB_FILE_F64, &expected, s->dtype, again, 1);
		ck_assert_msg(isnan(expected) ? isnan(to_double(s->dtype, again))
					      : code_of(s, again) == code,
			"%s %g becomes %#x, expected %#x", ebb_file_dtype_name(s->dtype), expected,
			code_of(s, again), code);
	}
}
END_TEST

static unsigned rounded(const struct small *s, double x)
{
	char bytes[2];

	ebb_convert(EBB_FILE_F64, &x, s->dtype, bytes, 1);
	return code_of(s, bytes);
}

/* Numbers below the midpoint of two neighbours round down, numbers above round up, and the midpoint
 * rounds to the even neighbour. */
START_TEST(rounding_is_to_nearest_and_ties_to_even)
{
	const struct small *s = &smalls[_i];
	unsigned top = (1u << (s->exponent + s->bits)) - 1;

	for (unsigned code = 0; code < top; code++) {
		double low = defined(code, s->exponent, s->bits, s->infinite);
		double high = defined(code + 1, s->exponent, s->bits, s->infinite), middle;

		if (!isfinite(low))
			break;
		if (!isfinite(high)) /* the next value if the exponent range did not end */
			high = 2 * low - defined(code - 1, s->exponent, s->bits, s->infinite);
		middle = low + (high - low) / 2;
		ck_assert_uint_eq(rounded(s, nextafter(middle, low)), code);
		ck_assert_uint_eq(rounded(s, middle), code + (code & 1));
		ck_assert_uint_eq(rounded(s, nextafter(middle, high)), code + 1);
		ck_assert_uint_eq(rounded(s, -nextafter(middle, low)), code | (top + 1));
	}
	ck_assert_uint_eq(rounded(s, 5e-324), 0);
	ck_assert_uint_eq(rounded(s, -0.0), top + 1);
}
END_TEST

START_TEST(values_that_are_too_large_become_infinite_or_nan)
{
	for (size_t i = 0; i < sizeof smalls / sizeof *smalls; i++) {
		char bytes[2];
		double x = 1e300, y;

		ebb_convert(EBB_FILE_F64, &x, smalls[i].dtype, bytes, 1);
		y = to_double(smalls[i].dtype, bytes);
		ck_assert(smalls[i].infinite ? isinf(y) : isnan(y));
		x = -INFINITY;
		ebb_convert(EBB_FILE_F64, &x, smalls[i].dtype, bytes, 1);
		y = to_double(smalls[i].dtype, bytes);
		ck_assert(smalls[i].infinite ? isinf(y) && y < 0 : isnan(y));
	}
}
END_TEST

static int64_t convert_f64(double x, ebb_file_dtype to)
{
	char y[8];

	return ebb_convert(EBB_FILE_F64, &x, to, y, 1);
}

START_TEST(integers_outside_of_a_types_range_are_refused)
{
	static const struct {
		ebb_file_dtype dtype;
		double low, high;
	} ints[] = {
		{EBB_FILE_U8, 0, 255},
		{EBB_FILE_I8, -128, 127},
		{EBB_FILE_U16, 0, 65535},
		{EBB_FILE_I16, -32768, 32767},
		{EBB_FILE_U32, 0, 4294967295.0},
		{EBB_FILE_I32, -2147483648.0, 2147483647.0},
		{EBB_FILE_U64, 0, 18446744073709549568.0},
		{EBB_FILE_I64, -9223372036854775808.0, 9223372036854774784.0},
	};

	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
		double x[3] = {ints[i].low, ints[i].high, 1.75};
		uint64_t bytes[3];

		ck_assert_int_eq(ebb_convert(EBB_FILE_F64, x, ints[i].dtype, bytes, 3), -1);
		for (int k = 0; k < 3; k++)
			ck_assert_double_eq(
				to_double(ints[i].dtype,
					(char *)bytes +
						(size_t)k * ebb_file_dtype_size(ints[i].dtype)),
				trunc(x[k]));
		ck_assert_int_eq(
			convert_f64(nextafter(trunc(ints[i].high) + 1, INFINITY), ints[i].dtype),
			0);
		ck_assert_int_eq(
			convert_f64(nextafter(ints[i].low - 1, -INFINITY), ints[i].dtype), 0);
		ck_assert_int_eq(convert_f64(NAN, ints[i].dtype), 0);
		ck_assert_int_eq(convert_f64(INFINITY, ints[i].dtype), 0);
	}
	ck_assert_int_eq(convert_f64(0x1p63, EBB_FILE_I64), 0);
	ck_assert_int_eq(convert_f64(0x1p64, EBB_FILE_U64), 0);
	ck_assert_int_eq(convert_f64(0x1p63, EBB_FILE_U64), -1);
}
END_TEST

START_TEST(integers_are_rounded_once_to_a_float)
{
	/* 2^60 + 2^36 + 1: a conversion to double would give the tie 2^60 + 2^36, which rounds
	 * down. */
	int64_t x = (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1;
	uint64_t u = (UINT64_C(1) << 63) + (UINT64_C(1) << 39) + 1;
	uint16_t h;
	float y;

	ebb_convert(EBB_FILE_I64, &x, EBB_FILE_F32, &y, 1);
	ck_assert_float_eq(y, 0x1p60f + 0x1p37f);
	ebb_convert(EBB_FILE_U64, &u, EBB_FILE_F32, &y, 1);
	ck_assert_float_eq(y, 0x1p63f + 0x1p40f);
	/* The same for BF16, which has 8 bits: one more than the tie 2^62 + 2^54. */
	x = -((INT64_C(1) << 62) + (INT64_C(1) << 54) + 1);
	ebb_convert(EBB_FILE_I64, &x, EBB_FILE_BF16, &h, 1);
	ck_assert_double_eq(to_double(EBB_FILE_BF16, &h), -(0x1p62 + 0x1p55));
	x = INT64_MIN;
	ebb_convert(EBB_FILE_I64, &x, EBB_FILE_BF16, &h, 1);
	ck_assert_double_eq(to_double(EBB_FILE_BF16, &h), -0x1p63);
}
END_TEST

START_TEST(the_first_number_that_does_not_fit_is_named)
{
	int64_t x[1000], y[1000];

	for (int i = 0; i < 1000; i++)
		x[i] = i % 256;
	x[700] = 256;
	x[900] = -1;
	ck_assert_int_eq(ebb_convert(EBB_FILE_I64, x, EBB_FILE_U8, y, 1000), 700);
}
END_TEST

START_TEST(bytes_are_reversed_if_the_byte_order_differs)
{
	unsigned char x[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	ebb_reorder(x, 2, 4, ebb_is_big_endian());
	ck_assert_int_eq(x[0], 1);
	ebb_reorder(x, 2, 4, !ebb_is_big_endian());
	ck_assert_mem_eq(x, ((unsigned char[]){4, 3, 2, 1, 8, 7, 6, 5}), 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-convert");
	TCase *c = tcase_create("convert");

	tcase_add_loop_test(c, every_code_of_a_small_float_has_the_value_of_its_definition, 0, 4);
	tcase_add_loop_test(c, rounding_is_to_nearest_and_ties_to_even, 0, 4);
	tcase_add_test(c, values_that_are_too_large_become_infinite_or_nan);
	tcase_add_test(c, integers_outside_of_a_types_range_are_refused);
	tcase_add_test(c, integers_are_rounded_once_to_a_float);
	tcase_add_test(c, the_first_number_that_does_not_fit_is_named);
	tcase_add_test(c, bytes_are_reversed_if_the_byte_order_differs);
	suite_add_tcase(s, c);
	return run_suite(s);
}
