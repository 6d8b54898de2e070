/* pictures.h - for the image tests: a pattern, a checksum, and files. */
#ifndef EBB_TESTS_PICTURES_H
#define EBB_TESTS_PICTURES_H

#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

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

/* FNV-1a of the samples; 16-bit samples with the lower byte first. */
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

#ifdef CORPUS
/* Reads a file of tests/data/corpus; the caller frees it. */
static inline uint8_t *load(const char *name, size_t *size)
{
	char path[1000];
	uint8_t *bytes = malloc(100000);
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", CORPUS, name);
	f = fopen(path, "rb");
	ck_assert_msg(f && bytes, "%s", path);
	*size = fread(bytes, 1, 100000, f);
	fclose(f);
	return bytes;
}

/* Checks that decoding fails before pixels are allocated. */
static inline void refused(const void *bytes, size_t size, const ebb_image_options *o,
	ebb_status status, const char *words)
{
	ebb_image x = {0};
	ebb_error e = {0};

	ck_assert_msg(!ebb_image_decode(bytes, size, "a/file", o, &x, &e), "expected: %s", words);
	ck_assert_msg(e.status == status && strstr(e.message, words), "status %d: %s",
		(int)e.status, e.message);
	ck_assert(status != EBB_BAD_FILE || strstr(e.message, "a/file: "));
	ck_assert_ptr_null(x.pixels);
}
#endif

#endif
