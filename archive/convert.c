/*
 * convert.c - conversion between the element types of files.
 *
 * A value is converted through a double, an int64_t or a uint64_t.  The intermediate type holds
 * every value of the source exactly; an integer beyond 2^53 is rounded to odd so that the final
 * rounding is the same.  So a value is rounded only once.  Small floats are computed from the bits
 * of a double, independently of the processor's rounding and flushing modes.
 */
#include <math.h>
#include <string.h>

#include "archive/internal.h"

static const struct type {
	const char *name;
	unsigned char size;
} types[] = {
	[EBB_FILE_DEFAULT] = {"DEFAULT", 0},
	[EBB_FILE_BOOL] = {"BOOL", 1},
	[EBB_FILE_U8] = {"U8", 1},
	[EBB_FILE_I8] = {"I8", 1},
	[EBB_FILE_U16] = {"U16", 2},
	[EBB_FILE_I16] = {"I16", 2},
	[EBB_FILE_U32] = {"U32", 4},
	[EBB_FILE_I32] = {"I32", 4},
	[EBB_FILE_U64] = {"U64", 8},
	[EBB_FILE_I64] = {"I64", 8},
	[EBB_FILE_F8_E5M2] = {"F8_E5M2", 1},
	[EBB_FILE_F8_E4M3] = {"F8_E4M3", 1},
	[EBB_FILE_F16] = {"F16", 2},
	[EBB_FILE_BF16] = {"BF16", 2},
	[EBB_FILE_F32] = {"F32", 4},
	[EBB_FILE_F64] = {"F64", 8},
	[EBB_FILE_OTHER] = {"OTHER", 0},
};
_Static_assert(
	sizeof types / sizeof types[0] == EBB_FILE_OTHER + 1, "one entry for each ebb_file_dtype");

const char *ebb_file_dtype_name(ebb_file_dtype dtype)
{
	return dtype >= EBB_FILE_DEFAULT && dtype <= EBB_FILE_OTHER ? types[dtype].name : "?";
}

size_t ebb_file_dtype_size(ebb_file_dtype dtype)
{
	return dtype >= EBB_FILE_DEFAULT && dtype <= EBB_FILE_OTHER ? types[dtype].size : 0;
}

ebb_file_dtype ebb_file_dtype_of(ebb_dtype dtype)
{
	switch (dtype) {
	case EBB_F32:
		return EBB_FILE_F32;
	case EBB_F64:
		return EBB_FILE_F64;
	case EBB_I64:
		return EBB_FILE_I64;
	case EBB_U8:
		return EBB_FILE_U8;
	case EBB_DEFAULT:
		break;
	}
	return EBB_FILE_DEFAULT;
}

bool ebb_file_dtype_is_float(ebb_file_dtype dtype)
{
	return dtype >= EBB_FILE_F8_E5M2 && dtype <= EBB_FILE_F64;
}

/* ---- Small floats --------------------------------------------------------------------------- */

/* A floating-point format: a sign, and these numbers of bits for exponent and mantissa. */
struct small_float {
	int exponent, mantissa;
	/* true: the highest exponent means infinity or NaN.  false: all bits set mean NaN, and
	 * there is no infinity */
	bool infinite;
};
static const struct small_float F16 = {5, 10, true}, BF16 = {8, 7, true}, E5M2 = {5, 2, true},
				E4M3 = {4, 3, false};

static double widen(unsigned bits, struct small_float f)
{
	unsigned magnitude = bits & ((1u << (f.exponent + f.mantissa)) - 1);
	int exponent = (int)(magnitude >> f.mantissa), top = (1 << f.exponent) - 1;
	int bias = top >> 1;
	double fraction = magnitude & ((1u << f.mantissa) - 1), y;

	if (f.infinite && exponent == top)
		y = fraction == 0 ? INFINITY : NAN;
	else if (!f.infinite && magnitude == (1u << (f.exponent + f.mantissa)) - 1)
		y = NAN;
	else if (exponent == 0)
		y = ldexp(fraction, 1 - bias - f.mantissa);
	else
		y = ldexp(fraction + (1 << f.mantissa), exponent - bias - f.mantissa);
	return bits >> (f.exponent + f.mantissa) ? -y : y;
}

/* Rounds to nearest, ties to even.  The rounding is done on the bits as an integer; its carry gives
 * the next larger value. */
static unsigned narrow(double x, struct small_float f)
{
	const int top = (1 << f.exponent) - 1, bias = top >> 1;
	const unsigned infinity =
		f.infinite ? (unsigned)top << f.mantissa : (1u << (f.exponent + f.mantissa)) - 1;
	const unsigned nan = f.infinite ? infinity | 1u << (f.mantissa - 1) : infinity;
	uint64_t bits, mantissa, half;
	unsigned sign, y;
	int exponent, drop;

	memcpy(&bits, &x, sizeof bits);
	sign = (unsigned)(bits >> 63) << (f.exponent + f.mantissa);
	exponent = (int)(bits >> 52 & 0x7ff) - 1023 + bias;
	mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
	if ((bits & ~(UINT64_C(1) << 63)) > UINT64_C(0x7ff) << 52)
		return sign | nan;
	if (exponent >= top + 1)
		return sign | infinity;
	/* A subnormal result has no implicit leading one, and fewer bits. */
	drop = 52 - f.mantissa + (exponent < 1 ? 1 - exponent : 0);
	if (drop > 54)
		return sign;
	half = UINT64_C(1) << (drop - 1);
	y = (unsigned)((mantissa + half - 1 + (mantissa >> drop & 1)) >> drop);
	if (exponent > 1)
		y += (unsigned)(exponent - 1) << f.mantissa;
	return sign | (y > infinity ? infinity : y);
}

/* A fast path for a common case: every F16 value is an F32 value. */
static float f32_of_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff, bits;
	float y;

	if (magnitude >= 0x7c00)
		bits = (magnitude << 13) + (UINT32_C(224) << 23);
	else if (magnitude >= 0x400)
		bits = (magnitude << 13) + (UINT32_C(112) << 23);
	else {
		y = (float)magnitude * 0x1p-24f;
		memcpy(&bits, &y, sizeof bits);
	}
	bits |= sign;
	memcpy(&y, &bits, sizeof y);
	return y;
}

static float f32_of_bf16(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float y;

	memcpy(&y, &bits, sizeof y);
	return y;
}

/* ---- Conversion through a wide type --------------------------------------------------------- */

/* The number of elements that are converted at a time. */
enum { CHUNK = 512 };

typedef union chunk {
	double real[CHUNK];
	int64_t integer[CHUNK];
	uint64_t natural[CHUNK];
} chunk;

#define EACH(i, n) for (int64_t i = 0; i < (n); i++)
#define TAKE(to, type, expression)                                                                 \
	do {                                                                                       \
		const type *s = from;                                                              \
		EACH(i, n)                                                                         \
		{                                                                                  \
			type v = s[i];                                                             \
			to[i] = (expression);                                                      \
		}                                                                                  \
	} while (0)

static void load(ebb_file_dtype dtype, const void *from, chunk *c, int64_t n)
{
	switch (dtype) {
	case EBB_FILE_BOOL:
		TAKE(c->integer, uint8_t, v != 0);
		break;
	case EBB_FILE_U8:
		TAKE(c->integer, uint8_t, v);
		break;
	case EBB_FILE_I8:
		TAKE(c->integer, int8_t, v);
		break;
	case EBB_FILE_U16:
		TAKE(c->integer, uint16_t, v);
		break;
	case EBB_FILE_I16:
		TAKE(c->integer, int16_t, v);
		break;
	case EBB_FILE_U32:
		TAKE(c->integer, uint32_t, v);
		break;
	case EBB_FILE_I32:
		TAKE(c->integer, int32_t, v);
		break;
	case EBB_FILE_U64:
		TAKE(c->natural, uint64_t, v);
		break;
	case EBB_FILE_I64:
		TAKE(c->integer, int64_t, v);
		break;
	case EBB_FILE_F8_E5M2:
		TAKE(c->real, uint8_t, widen(v, E5M2));
		break;
	case EBB_FILE_F8_E4M3:
		TAKE(c->real, uint8_t, widen(v, E4M3));
		break;
	case EBB_FILE_F16:
		TAKE(c->real, uint16_t, f32_of_f16(v));
		break;
	case EBB_FILE_BF16:
		TAKE(c->real, uint16_t, f32_of_bf16(v));
		break;
	case EBB_FILE_F32:
		TAKE(c->real, float, v);
		break;
	case EBB_FILE_F64:
		TAKE(c->real, double, v);
		break;
	case EBB_FILE_DEFAULT:
	case EBB_FILE_OTHER:
		break;
	}
}

/* The smallest and the largest integer of a type. */
static void range_of(ebb_file_dtype dtype, int64_t *low, uint64_t *high)
{
	int bits = 8 * (int)ebb_file_dtype_size(dtype);
	bool with_sign = dtype == EBB_FILE_I8 || dtype == EBB_FILE_I16 || dtype == EBB_FILE_I32 ||
	                 dtype == EBB_FILE_I64;

	*high = dtype == EBB_FILE_BOOL ? 1 : UINT64_MAX >> (64 - bits + with_sign);
	*low = with_sign ? -(int64_t)*high - 1 : 0;
}

/* Converts the floats of a chunk to integers, truncated.  Returns the index of the first that is
 * out of range, or -1. */
static int64_t to_integers(ebb_file_dtype from, ebb_file_dtype to, chunk *c, int64_t n)
{
	int64_t low;
	uint64_t high;

	range_of(to, &low, &high);
	EACH(i, n)
	{
		if (from == EBB_FILE_U64) {
			if (c->natural[i] > high)
				return i;
		} else if (ebb_file_dtype_is_float(from)) {
			double x = trunc(c->real[i]);

			/* 2^63 and 2^64 are doubles; the largest integers below them are not. */
			if (!(x >= (double)low) ||
				!(high > INT64_MAX / 2 ? x < 2 * (double)(high / 2 + 1)
						       : x <= (double)high))
				return i;
			if (x < 0)
				c->integer[i] = (int64_t)x;
			else
				c->natural[i] = (uint64_t)x;
		} else if (c->integer[i] < low ||
			   (c->integer[i] > 0 && (uint64_t)c->integer[i] > high)) {
			return i;
		}
	}
	return -1;
}

#define GIVE(type, value)                                                                          \
	do {                                                                                       \
		type *s = to;                                                                      \
		EACH(i, n)                                                                         \
		s[i] = (type)(value);                                                              \
	} while (0)

static void store_integers(ebb_file_dtype dtype, const chunk *c, void *to, int64_t n)
{
	switch (ebb_file_dtype_size(dtype)) {
	case 1:
		GIVE(uint8_t, c->natural[i]);
		break;
	case 2:
		GIVE(uint16_t, c->natural[i]);
		break;
	case 4:
		GIVE(uint32_t, c->natural[i]);
		break;
	default:
		GIVE(uint64_t, c->natural[i]);
	}
}

/* Converts an integer to a double with rounding to odd: if bits beyond the 53 kept ones are set,
 * the last kept bit is set.  A second rounding, to a smaller float, then gives the same result as
 * rounding the integer directly. */
static double to_odd(uint64_t magnitude, bool negative)
{
	int drop = 0;

	while (magnitude >> drop >> 53)
		drop++;
	if (magnitude & ((UINT64_C(1) << drop) - 1))
		magnitude |= UINT64_C(1) << drop;
	magnitude = magnitude >> drop << drop;
	return negative ? -(double)magnitude : (double)magnitude;
}

/* Converts the integers of a chunk to its floats. */
static void widen_integers(ebb_file_dtype from, ebb_file_dtype to, chunk *c, int64_t n)
{
	EACH(i, n)
	{
		bool negative = from != EBB_FILE_U64 && c->integer[i] < 0;
		uint64_t x = c->natural[i];

		if (to != EBB_FILE_F64)
			c->real[i] = to_odd(negative ? 0 - x : x, negative);
		else
			c->real[i] = from == EBB_FILE_U64 ? (double)x : (double)c->integer[i];
	}
}

static void store_reals(ebb_file_dtype from, ebb_file_dtype dtype, chunk *c, void *to, int64_t n)
{
	/* An F32 is converted from the integer directly, because a double in between would round
	 * twice. */
	if (dtype == EBB_FILE_F32 && from == EBB_FILE_U64) {
		GIVE(float, c->natural[i]);
		return;
	}
	if (dtype == EBB_FILE_F32 && !ebb_file_dtype_is_float(from)) {
		GIVE(float, c->integer[i]);
		return;
	}
	if (!ebb_file_dtype_is_float(from))
		widen_integers(from, dtype, c, n);
	switch (dtype) {
	case EBB_FILE_F8_E5M2:
		GIVE(uint8_t, narrow(c->real[i], E5M2));
		break;
	case EBB_FILE_F8_E4M3:
		GIVE(uint8_t, narrow(c->real[i], E4M3));
		break;
	case EBB_FILE_F16:
		GIVE(uint16_t, narrow(c->real[i], F16));
		break;
	case EBB_FILE_BF16:
		GIVE(uint16_t, narrow(c->real[i], BF16));
		break;
	case EBB_FILE_F32:
		GIVE(float, c->real[i]);
		break;
	default:
		GIVE(double, c->real[i]);
	}
}

/* Fast paths for F16 and BF16 to F32, the most common types of published weights. */
static bool direct(ebb_file_dtype from, const void *x, ebb_file_dtype to, void *y, int64_t n)
{
	const uint16_t *h = x;
	float *f = y;

	if (from == to)
		memcpy(y, x, (size_t)n * ebb_file_dtype_size(to));
	else if (to == EBB_FILE_F32 && from == EBB_FILE_F16)
		EACH(i, n) f[i] = f32_of_f16(h[i]);
	else if (to == EBB_FILE_F32 && from == EBB_FILE_BF16)
		EACH(i, n) f[i] = f32_of_bf16(h[i]);
	else
		return false;
	return true;
}

int64_t ebb_convert(ebb_file_dtype from, const void *x, ebb_file_dtype to, void *y, int64_t n)
{
	size_t in = ebb_file_dtype_size(from), out = ebb_file_dtype_size(to);
	chunk c;

	if (direct(from, x, to, y, n))
		return -1;
	for (int64_t at = 0; at < n; at += CHUNK) {
		int64_t count = n - at < CHUNK ? n - at : CHUNK, wrong;
		char *target = (char *)y + (size_t)at * out;

		load(from, (const char *)x + (size_t)at * in, &c, count);
		if (ebb_file_dtype_is_float(to)) {
			store_reals(from, to, &c, target, count);
			continue;
		}
		wrong = to_integers(from, to, &c, count);
		if (wrong >= 0)
			return at + wrong;
		store_integers(to, &c, target, count);
	}
	return -1;
}

/* ---- Byte order ----------------------------------------------------------------------------- */

bool ebb_is_big_endian(void)
{
	const uint16_t one = 1;

	return *(const unsigned char *)&one == 0;
}

void ebb_reorder(void *x, int64_t n, size_t element, bool big_endian)
{
	unsigned char *b = x;

	if (element < 2 || big_endian == ebb_is_big_endian())
		return;
	for (int64_t i = 0; i < n; i++, b += element)
		for (size_t k = 0; k < element / 2; k++) {
			unsigned char swap = b[k];

			b[k] = b[element - 1 - k];
			b[element - 1 - k] = swap;
		}
}
