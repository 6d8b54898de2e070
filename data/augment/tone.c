/*
 * tone.c - operations of RandAugment on the values of an image: posterise, solarise, autocontrast,
 * equalise, sharpness.  As in Pillow's ImageOps and ImageEnhance.
 */
#include <string.h>

#include "data/augment/internal.h"

void ebb_posterise(ebb_stage *s, int bits)
{
	ebb_tone tone;

	for (int v = 0; v < 256; v++)
		tone.of[0][v] = tone.of[1][v] = tone.of[2][v] = (uint8_t)(v & ~(255 >> bits));
	ebb_stage_map(s, &tone);
}

void ebb_solarise(ebb_stage *s, int threshold)
{
	ebb_tone tone;

	for (int v = 0; v < 256; v++)
		tone.of[0][v] = tone.of[1][v] = tone.of[2][v] =
			(uint8_t)(v < threshold ? v : 255 - v);
	ebb_stage_map(s, &tone);
}

/* ---- Histograms ----------------------------------------------------------------------------- */

static void count(const ebb_image *x, int64_t times[3][256])
{
	int64_t opaque = ebb_opaque_channels(x);

	memset(times, 0, sizeof(int64_t[3][256]));
	for (int64_t i = 0; i < x->height * x->width; i++)
		for (int64_t c = 0; c < opaque; c++)
			times[c][x->pixels[i * x->channels + c]]++;
}

static void spread(const int64_t times[256], uint8_t table[256])
{
	int low = 0, high = 255;

	while (low < 255 && times[low] == 0)
		low++;
	while (high > 0 && times[high] == 0)
		high--;
	for (int v = 0; v < 256; v++) {
		double scale = high > low ? 255.0 / (high - low) : 1;
		int y = high > low ? (int)(v * scale - low * scale) : v;

		table[v] = (uint8_t)(y < 0 ? 0 : y > 255 ? 255 : y);
	}
}

static void flatten(const int64_t times[256], uint8_t table[256])
{
	int64_t sum = 0, last = 0, step, n;

	for (int v = 0; v < 256; v++) {
		sum += times[v];
		last = times[v] ? times[v] : last;
	}
	step = (sum - last) / 255;
	n = step / 2;
	for (int v = 0; v < 256; v++) {
		int64_t y = step ? n / step : v;

		table[v] = (uint8_t)(y > 255 ? 255 : y);
		n += times[v];
	}
}

static void by_histogram(ebb_stage *s, void (*fn)(const int64_t *, uint8_t *))
{
	int64_t times[3][256];
	ebb_tone tone;

	count(&s->image, times);
	for (int c = 0; c < 3; c++)
		fn(times[c], tone.of[c]);
	ebb_stage_map(s, &tone);
}

void ebb_autocontrast(ebb_stage *s)
{
	by_histogram(s, spread);
}

void ebb_equalise(ebb_stage *s)
{
	by_histogram(s, flatten);
}

/* ---- Sharpness ------------------------------------------------------------------------------ */

/* blend(smooth, x, factor), smooth = the mean under (1 1 1; 1 5 1; 1 1 1)/13; the outermost pixels
 * do not change. */
bool ebb_adjust_sharpness(ebb_stage *s, float factor)
{
	const ebb_image *x = &s->image;
	int64_t channels = x->channels, opaque = ebb_opaque_channels(x),
		pitch = x->width * channels;

	if (!ebb_image_copy(x, &s->spare, s->error))
		return false;
	for (int64_t i = 1; i + 1 < x->height; i++) {
		for (int64_t j = 1; j + 1 < x->width; j++) {
			const uint8_t *in = x->pixels + i * pitch + j * channels;
			uint8_t *out = s->spare.pixels + i * pitch + j * channels;

			for (int64_t c = 0; c < opaque; c++) {
				int sum = 4 * in[c];
				float smooth;

				for (int64_t k = -channels; k <= channels; k += channels)
					sum += in[c + k - pitch] + in[c + k] + in[c + k + pitch];
				smooth = (float)((2 * sum + 13) / 26);
				out[c] = ebb_byte_of(smooth + factor * ((float)in[c] - smooth));
			}
		}
	}
	ebb_stage_swap(s);
	return true;
}
