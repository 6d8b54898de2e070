/*
 * exif.c - the EXIF orientation (Exif 2.3, section 4.6.4, tag 0x112), and its application to an
 * image.
 */
#include <string.h>

#include "data/internal.h"

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, ENTRY = 12 };

/* A TIFF structure, whose first two bytes define its byte order. */
typedef struct tiff {
	const uint8_t *bytes;
	size_t size;
	bool little;
} tiff;

static unsigned number(const tiff *t, size_t at, int n)
{
	unsigned v = 0;

	for (int k = 0; k < n; k++)
		v |= (unsigned)t->bytes[at + (size_t)k] << 8 * (t->little ? k : n - 1 - k);
	return v;
}

int ebb_exif_orientation(const uint8_t *bytes, size_t size)
{
	tiff t = {bytes + 6, size - 6, false};
	size_t at, entries;

	if (size < 14 || memcmp(bytes, "Exif\0\0", 6) != 0)
		return 1;
	if (memcmp(t.bytes, "II*\0", 4) != 0 && memcmp(t.bytes, "MM\0*", 4) != 0)
		return 1;
	t.little = t.bytes[0] == 'I';
	at = number(&t, 4, 4);
	if (at > t.size - 2)
		return 1;
	entries = number(&t, at, 2);
	at += 2;
	for (; entries > 0 && t.size - at >= ENTRY; entries--, at += ENTRY) {
		unsigned value;

		if (number(&t, at, 2) != TAG_ORIENTATION)
			continue;
		value = number(&t, at + 8, 2);
		return number(&t, at + 2, 2) == TYPE_SHORT && value >= 1 && value <= 8 ? (int)value
		                                                                       : 1;
	}
	return 1;
}

/* How rows and columns of the upright image map to the image in the file. */
static const struct turn {
	bool transposed, from_bottom, from_right; /* of the image in the file */
} turns[9] = {
	[2] = {false, false, true},
	[3] = {false, true, true},
	[4] = {false, true, false},
	[5] = {true, false, false},
	[6] = {true, true, false},
	[7] = {true, true, true},
	[8] = {true, false, true},
};

bool ebb_image_turn(const ebb_image *x, int orientation, ebb_image *y, ebb_error *e)
{
	const struct turn *turn = &turns[orientation];
	size_t pixel = (size_t)x->channels * ebb_sample_size(x);
	ptrdiff_t down = (ptrdiff_t)ebb_row_bytes(x), along = (ptrdiff_t)pixel;
	const uint8_t *start = x->pixels;
	uint8_t *to;

	if (!ebb_image_room(y, turn->transposed ? x->width : x->height,
		    turn->transposed ? x->height : x->width, x->channels, x->wide, e))
		return false;
	if (turn->from_bottom) {
		start += (x->height - 1) * down;
		down = -down;
	}
	if (turn->from_right) {
		start += (x->width - 1) * along;
		along = -along;
	}
	if (turn->transposed) {
		ptrdiff_t swap = down;

		down = along;
		along = swap;
	}
	to = y->pixels;
	for (int64_t i = 0; i < y->height; i++, start += down) {
		const uint8_t *from = start;

		for (int64_t k = 0; k < y->width; k++, from += along, to += pixel)
			memcpy(to, from, pixel);
	}
	return true;
}
