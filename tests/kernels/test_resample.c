/* test_resample.c - weighted sums of bytes, across rows and along a row, against plain loops in 64
 * bits. */
#include "kernel_test.h"

static uint8_t *random_bytes(int64_t n)
{
	uint8_t *x = bytes((size_t)n);

	for (int64_t i = 0; i < n; i++)
		x[i] = (uint8_t)any(0, 255);
	return x;
}

/* n times taps random weights; some sums exceed a byte. */
static int32_t *random_weights(int64_t n, int64_t taps)
{
	int32_t *w = bytes((size_t)(n * taps) * sizeof *w);

	for (int64_t i = 0; i < n * taps; i++)
		w[i] = (int32_t)any(-(1 << 22) / (4 * taps), (5 << 20) / taps);
	return w;
}

static int expected(int64_t sum)
{
	sum = (sum + (1 << 21)) >> 22;
	return sum < 0 ? 0 : sum > 255 ? 255 : (int)sum;
}

static void rows(void)
{
	for (int round = 0; round < 60; round++) {
		int64_t n = any(1, 300), taps = any(1, 9), stride = n + any(0, 5);
		uint8_t *x = random_bytes((taps - 1) * stride + n), *y = bytes((size_t)n);
		int32_t *w = random_weights(1, taps);

		K->blend_rows(n, taps, w, x, stride, y);
		for (int64_t b = 0; b < n; b++) {
			int64_t sum = 0;

			for (int64_t k = 0; k < taps; k++)
				sum += (int64_t)w[k] * x[k * stride + b];
			expect(y[b] == expected(sum));
		}
		release_all();
	}
}

static void pixels(void)
{
	for (int round = 0; round < 100; round++) {
		int channels = 1 + round % 4;
		int64_t n = any(1, 40), taps = any(1, 9), length = any(taps, 50);
		uint8_t *x = random_bytes(length * channels), *y = bytes((size_t)(n * channels));
		int64_t *first = bytes((size_t)n * sizeof *first),
			*count = bytes((size_t)n * sizeof *count);
		int32_t *w = random_weights(n, taps);

		for (int64_t i = 0; i < n; i++) {
			count[i] = any(1, taps);
			first[i] = any(0, length - count[i]);
		}
		/* The last window ends at the last pixel, beyond which a read would be out of
		 * bounds. */
		first[n - 1] = length - count[n - 1];
		K->blend_pixels(channels, n, taps, first, count, w, x, length, y);
		for (int64_t i = 0; i < n * channels; i++) {
			int64_t at = i / channels, c = i % channels, sum = 0;

			for (int64_t k = 0; k < count[at]; k++)
				sum += (int64_t)w[at * taps + k] *
				       x[(first[at] + k) * channels + c];
			expect(y[i] == expected(sum));
		}
		release_all();
	}
}

START_TEST(blend_rows_equals_sums_in_64_bits)
{
	each_table(rows);
}
END_TEST

START_TEST(blend_pixels_equals_sums_in_64_bits)
{
	each_table(pixels);
}
END_TEST

TCase *tests_resample(void)
{
	TCase *c = tcase_create("resample");

	tcase_add_test(c, blend_rows_equals_sums_in_64_bits);
	tcase_add_test(c, blend_pixels_equals_sums_in_64_bits);
	return c;
}
