/*
 * digits.c - generated images of handwritten digits.
 *
 * The strokes of a handwriting are distorted, slanted, rotated, scaled and moved as curves, and
 * then drawn: the coverage of a pixel depends on its distance to the nearest stroke.  All random
 * numbers of an image come from one bank, drawn from the image's own rng stream.  So images can be
 * drawn in any order and by any number of threads.
 */
#include <math.h>
#include <string.h>

#include "data/internal.h"
#include "kernels/kernels.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE, BANK = 128 + PIXELS, WAVES = 3, IMAGES_PER_PIECE = 32 };

/* The streams of the label order must differ from those of the images. */
static const uint64_t LABEL_STREAMS = (uint64_t)1 << 63;

typedef struct rng {
	float bank[BANK]; /* uniform in [0,1) */
	int next;
} rng;

static float uniform(rng *d, float low, float high)
{
	return low + (high - low) * d->bank[d->next++];
}

static int below(rng *d, int n)
{
	return (int)uniform(d, 0, (float)n);
}

/* ---- Distorting the strokes ----------------------------------------------------------------- */

/* Elastic distortion (Simard et al. 2003): a smooth random displacement, as a sum of waves instead
 * of a filtered field. */
static void bend(rng *d, ebb_ink *ink)
{
	float strength = uniform(d, 0.01f, 0.045f);

	for (int w = 0; w < WAVES; w++) {
		float angle = uniform(d, 0, 6.2832f), length = uniform(d, 3, 9),
		      phase = uniform(d, 0, 6.2832f);
		float kx = length * cosf(angle), ky = length * sinf(angle);
		float dx = strength * uniform(d, -1, 1), dy = strength * uniform(d, -1, 1);

		for (int i = 0; i < ink->count; i++) {
			float s = sinf(kx * ink->at[i].x + ky * ink->at[i].y + phase);

			ink->at[i].x += dx * s;
			ink->at[i].y += dy * s;
		}
	}
}

/* Slants, rotates, scales and moves the strokes from the unit square to pixels. */
static void place(rng *d, ebb_ink *ink)
{
	float size = uniform(d, 16.5f, 22.5f), wide = uniform(d, 0.78f, 1.15f),
	      slant = uniform(d, -0.25f, 0.4f);
	float turn = uniform(d, -0.22f, 0.22f), c = cosf(turn), s = sinf(turn);
	float mx = SIDE / 2.0f + uniform(d, -2.3f, 2.3f),
	      my = SIDE / 2.0f + uniform(d, -2.3f, 2.3f);

	for (int i = 0; i < ink->count; i++) {
		float y = (ink->at[i].y - 0.5f) * size;
		float x = (ink->at[i].x - 0.5f) * size * wide - slant * y;

		ink->at[i].x = c * x - s * y + mx;
		ink->at[i].y = s * x + c * y + my;
	}
}

/* ---- Drawing -------------------------------------------------------------------------------- */

/* f = min(f, distance to the segment - radius), for the pixels where this can matter. */
static void draw_segment(float f[SIDE][SIDE], float ax, float ay, float bx, float by, float radius)
{
	float reach = radius + 1.5f, vx = bx - ax, vy = by - ay, vv = vx * vx + vy * vy;
	float scale = vv > 0 ? 1 / vv : 0;
	int x0 = (int)fmaxf(0, fminf(ax, bx) - reach),
	    x1 = (int)fminf(SIDE - 1, fmaxf(ax, bx) + reach);
	int y0 = (int)fmaxf(0, fminf(ay, by) - reach),
	    y1 = (int)fminf(SIDE - 1, fmaxf(ay, by) + reach);

	for (int y = y0; y <= y1; y++) {
		for (int x = x0; x <= x1; x++) {
			float px = (float)x + 0.5f - ax, py = (float)y + 0.5f - ay;
			float t = (px * vx + py * vy) * scale;
			float dx, dy, distance;

			t = t < 0 ? 0 : t > 1 ? 1 : t;
			dx = px - t * vx;
			dy = py - t * vy;
			distance = sqrtf(dx * dx + dy * dy) - radius;
			f[y][x] = distance < f[y][x] ? distance : f[y][x];
		}
	}
}

/* The thickness varies along the strokes. */
static void draw_strokes(rng *d, const ebb_ink *ink, float f[SIDE][SIDE])
{
	float radius = uniform(d, 0.6f, 1.75f), uneven = radius * uniform(d, 0, 0.3f),
	      phase = uniform(d, 0, 6.2832f);
	float pace = uniform(d, 0.03f, 0.15f);

	for (int i = 1; i < ink->count; i++) {
		float r = radius + uneven * sinf(phase + pace * (float)i);

		if (!ink->at[i].start)
			draw_segment(f, ink->at[i - 1].x, ink->at[i - 1].y, ink->at[i].x,
				ink->at[i].y, r);
	}
}

/* Erases the ink near a random point of the strokes. */
static void draw_gap(rng *d, const ebb_ink *ink, float f[SIDE][SIDE])
{
	int i = below(d, ink->count);
	float cx = ink->at[i].x, cy = ink->at[i].y, radius = uniform(d, 0.8f, 2.0f);

	for (int y = 0; y < SIDE; y++) {
		for (int x = 0; x < SIDE; x++) {
			float dx = (float)x + 0.5f - cx, dy = (float)y + 0.5f - cy;

			f[y][x] = fmaxf(f[y][x], radius - sqrtf(dx * dx + dy * dy));
		}
	}
}

/* Adds a short random line that is not part of the digit. */
static void draw_clutter(rng *d, float f[SIDE][SIDE])
{
	float x = uniform(d, 0, SIDE), y = uniform(d, 0, SIDE), angle = uniform(d, 0, 6.2832f),
	      length = uniform(d, 2, 7);

	draw_segment(f, x, y, x + length * cosf(angle), y + length * sinf(angle),
		uniform(d, 0.3f, 0.9f));
}

/* ---- The image ------------------------------------------------------------------------------ */

static void draw_digit(uint64_t seed, int64_t index, int digit, uint8_t *image)
{
	float f[SIDE][SIDE];
	rng d;
	ebb_ink ink;
	float soft, ink_level, paper, shade_x, shade_y, noise;

	ebb_kernels_f32()->uniform(BANK, seed, (uint64_t)index, 0, 1, d.bank);
	d.next = 0;
	for (int i = 0; i < PIXELS; i++)
		f[i / SIDE][i % SIDE] = SIDE;
	ebb_digit_trace(digit, below(&d, ebb_digit_hands(digit)), &ink);
	bend(&d, &ink);
	place(&d, &ink);
	draw_strokes(&d, &ink, f);
	if (uniform(&d, 0, 1) < 0.3f)
		draw_gap(&d, &ink, f);
	if (uniform(&d, 0, 1) < 0.3f)
		draw_clutter(&d, f);
	soft = uniform(&d, 0.8f, 1.8f);
	ink_level = uniform(&d, 0.55f, 1);
	paper = uniform(&d, 0, 0.15f);
	shade_x = uniform(&d, -0.08f, 0.08f) / SIDE;
	shade_y = uniform(&d, -0.08f, 0.08f) / SIDE;
	noise = uniform(&d, 0, 0.14f);
	for (int y = 0; y < SIDE; y++) {
		for (int x = 0; x < SIDE; x++) {
			float cover = 0.5f - f[y][x] / soft;
			float ground = paper + shade_x * (float)x + shade_y * (float)y, v;

			cover = cover < 0 ? 0 : cover > 1 ? 1 : cover;
			v = ground + (ink_level - ground) * cover;
			v += noise * (d.bank[BANK - PIXELS + y * SIDE + x] - 0.5f) * 2;
			v = v < 0 ? 0 : v > 1 ? 1 : v;
			image[y * SIDE + x] = (uint8_t)(v * 255 + 0.5f);
		}
	}
}

/* Every ten consecutive images show the ten digits, in a random order. */
static void label_ten(uint64_t seed, int64_t block, int digits[10])
{
	float u[10];

	ebb_kernels_f32()->uniform(10, seed, LABEL_STREAMS | (uint64_t)block, 0, 1, u);
	for (int i = 0; i < 10; i++)
		digits[i] = i;
	for (int i = 9; i > 0; i--) {
		int j = (int)(u[i] * (float)(i + 1)), digit = digits[i];

		digits[i] = digits[j];
		digits[j] = digit;
	}
}

struct job {
	int64_t count;
	uint64_t seed;
	uint8_t *images;
	int64_t *labels;
};

static void draw_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t to = (piece + 1) * IMAGES_PER_PIECE < j->count ? (piece + 1) * IMAGES_PER_PIECE
	                                                       : j->count;
	int digits[10];

	(void)worker;
	for (int64_t i = piece * IMAGES_PER_PIECE; i < to; i++) {
		label_ten(j->seed, i / 10, digits);
		j->labels[i] = digits[i % 10];
		draw_digit(j->seed, i, digits[i % 10], j->images + i * PIXELS);
	}
}

ebb_dataset *ebb_digits(int64_t count, uint64_t seed, ebb_error *e)
{
	ebb_dataset *d = ebb_dataset_new(count, 1, SIDE, SIDE, 10, e);
	struct job j = {.count = count, .seed = seed};

	if (!d)
		return NULL;
	j.images = ebb_data_mutable(d->images);
	j.labels = ebb_data_mutable(d->labels);
	ebb_parallel((count + IMAGES_PER_PIECE - 1) / IMAGES_PER_PIECE, draw_piece, &j);
	return d;
}
