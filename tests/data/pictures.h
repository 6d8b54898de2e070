/* pictures.h - the pattern that the image tests draw, and a checksum. */
#ifndef EBB_TESTS_PICTURES_H
#define EBB_TESTS_PICTURES_H

#include "tests/support/support.h"

/* Sample c of pixel (i, k) is (37 i + 91 k + 53 c + 7 i k) mod 256. */
static inline void draw_pattern(ebb_image *x, int height, int width, int channels)
{
	uint8_t *p;

	ck_assert(ebb_image_shape(x, height, width, channels, NULL));
	p = x->pixels;
	for (int i = 0; i < height; i++)
		for (int k = 0; k < width; k++)
			for (int c = 0; c < channels; c++)
				*p++ = (uint8_t)(i * 37 + k * 91 + c * 53 + i * k * 7);
}

/* FNV-1a of the samples; of 16 bits, the lower byte first. */
static inline uint64_t hash_image(const ebb_image *x)
{
	int64_t n = x->height * x->width * x->channels;
	uint64_t h = 0xcbf29ce484222325;

	for (int64_t i = 0; i < n; i++) {
		unsigned v =
			x->wide ? ((const uint16_t *)(const void *)x->pixels)[i] : x->pixels[i];

		h = (h ^ (v & 0xff)) * 0x100000001b3;
		if (x->wide)
			h = (h ^ (v >> 8)) * 0x100000001b3;
	}
	return h;
}

#endif
