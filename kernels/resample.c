/*
 * resample.c - weighted sums of bytes in fixed point: the two passes of resizing an image.
 */
#include <string.h>

#include "real.h"

#if defined __SSE4_1__
#include <smmintrin.h>
#endif

/* Fractional bits of a weight, and the half that rounds to nearest. */
enum { FRACTION = 22, HALF = 1 << (FRACTION - 1) };

static inline uint8_t to_byte(int32_t sum)
{
	sum >>= FRACTION;
	return (uint8_t)(sum < 0 ? 0 : sum > UINT8_MAX ? UINT8_MAX : sum);
}

/* ---- Across rows ---------------------------------------------------------------------------- */

/* Bytes whose sums stay in registers. */
enum { BLOCK = EBB_VBYTES };

EBB_INLINE void sum_rows(const int64_t n, int64_t taps, const int32_t *weight, const uint8_t *x,
	int64_t stride, uint8_t *y)
{
	int32_t sum[BLOCK];

	for (int64_t b = 0; b < n; b++)
		sum[b] = HALF;
	for (int64_t k = 0; k < taps; k++, x += stride)
		for (int64_t b = 0; b < n; b++)
			sum[b] += x[b] * weight[k];
	for (int64_t b = 0; b < n; b++)
		y[b] = to_byte(sum[b]);
}

EBB_DECLARE(blend_rows);
void EBB_NAME(blend_rows)(int64_t n, int64_t taps, const int32_t *weight, const uint8_t *x,
	int64_t stride, uint8_t *y)
{
	int64_t b = 0;

	for (; b + BLOCK <= n; b += BLOCK)
		sum_rows(BLOCK, taps, weight, x + b, stride, y + b);
	if (b < n)
		sum_rows(n - b, taps, weight, x + b, stride, y + b);
}

/* ---- Along a row ---------------------------------------------------------------------------- */

/* One pixel, byte by byte. */
EBB_INLINE void sum_bytes(
	const int channels, int64_t taps, const int32_t *weight, const uint8_t *x, uint8_t *y)
{
	int32_t sum[4] = {HALF, HALF, HALF, HALF};

	for (int64_t k = 0; k < taps; k++, x += channels)
		for (int c = 0; c < channels; c++)
			sum[c] += x[c] * weight[k];
	for (int c = 0; c < channels; c++)
		y[c] = to_byte(sum[c]);
}

#if defined __SSE4_1__
/* sum_bytes with four bytes at a time.  With fewer than four channels, the last bytes belong to
 * the next pixel and are dropped. */
EBB_INLINE void sum_pixel(
	const int channels, int64_t taps, const int32_t *weight, const uint8_t *x, uint8_t *y)
{
	__m128i sum = _mm_set1_epi32(HALF);
	int32_t four;

	for (int64_t k = 0; k < taps; k++, x += channels) {
		memcpy(&four, x, sizeof four);
		sum = _mm_add_epi32(sum, _mm_mullo_epi32(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)),
						 _mm_set1_epi32(weight[k])));
	}
	/* Both pack instructions saturate. */
	sum = _mm_srai_epi32(sum, FRACTION);
	sum = _mm_packus_epi32(sum, sum);
	four = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
	memcpy(y, &four, (size_t)channels);
}
#else
#define sum_pixel sum_bytes
#endif

/* sum_pixel reads four bytes, which for 2 or 3 channels extend into the next pixel.  The last
 * pixel of the row has no next one, so windows that end there use sum_bytes. */
EBB_INLINE void along(const int channels, int64_t n, int64_t taps, const int64_t *first,
	const int64_t *count, const int32_t *weight, const uint8_t *x, int64_t length, uint8_t *y)
{
	for (int64_t i = 0; i < n; i++, y += channels, weight += taps) {
		const uint8_t *from = x + first[i] * channels;

		/* NOLINTNEXTLINE(bugprone-branch-clone): one macro stands for both without SSE */
		if (channels == 4 || (channels > 1 && first[i] + count[i] < length))
			sum_pixel(channels, count[i], weight, from, y);
		else
			sum_bytes(channels, count[i], weight, from, y);
	}
}

EBB_DECLARE(blend_pixels);
void EBB_NAME(blend_pixels)(int channels, int64_t n, int64_t taps, const int64_t *first,
	const int64_t *count, const int32_t *weight, const uint8_t *x, int64_t length, uint8_t *y)
{
	switch (channels) {
	case 1:
		along(1, n, taps, first, count, weight, x, length, y);
		break;
	case 2:
		along(2, n, taps, first, count, weight, x, length, y);
		break;
	case 3:
		along(3, n, taps, first, count, weight, x, length, y);
		break;
	default:
		along(4, n, taps, first, count, weight, x, length, y);
	}
}
