/*
 * hue.c - rotation of the hue on the HSV colour wheel (Smith 1978).
 *
 * The maximum and the minimum of the three channels do not depend on the hue, so the saturation is
 * not computed.  Channels are separated into strips and the loops have no branches, so that
 * compilers vectorise them.
 */
#include "data/augment/internal.h"

enum { STRIP = 256 };

typedef struct strip {
	float r[STRIP], g[STRIP], b[STRIP];
} strip;

static float max2(float a, float b)
{
	return a > b ? a : b;
}

static float min2(float a, float b)
{
	return a < b ? a : b;
}

/* The position of a channel between minimum and maximum (0 to 1) at hue h in [0,12), in sixths of
 * the wheel: 1 within a sixth of the channel's own colour, 0 beyond a third. */
static float share(float h, float own)
{
	float away = h - own;

	away = away < 0 ? -away : away; /* [0,12) */
	away = away > 6 ? away - 6 : away;
	away = away > 3 ? 6 - away : away;
	return min2(max2(2 - away, 0), 1);
}

/* turn in [0,6) */
static void turn_strip(strip *x, float turn)
{
	for (int k = 0; k < STRIP; k++) {
		float r = x->r[k], g = x->g[k], b = x->b[k];
		float high = max2(r, max2(g, b)), low = min2(r, min2(g, b)), span = high - low;
		float by = 1 / (span > 0 ? span : 1), h;

		h = (r - g) * by + 4;
		h = g == high ? (b - r) * by + 2 : h;
		h = r == high ? (g - b) * by : h;
		h += turn;
		h = h < 0 ? h + 6 : h;
		x->r[k] = low + span * share(h, 0) + 0.5f;
		x->g[k] = low + span * share(h, 2) + 0.5f;
		x->b[k] = low + span * share(h, 4) + 0.5f;
	}
}

void ebb_adjust_hue(ebb_stage *s, float turn)
{
	int64_t n = s->image.height * s->image.width, channels = s->image.channels;
	strip x = {{0}, {0}, {0}};

	if (channels < 3)
		return;
	turn = 6 * (turn < 0 ? turn + 1 : turn);
	for (int64_t i = 0; i < n; i += STRIP) {
		int64_t m = n - i < STRIP ? n - i : STRIP;
		uint8_t *pixel = s->image.pixels + i * channels;

		for (int64_t k = 0; k < m; k++) {
			x.r[k] = pixel[k * channels];
			x.g[k] = pixel[k * channels + 1];
			x.b[k] = pixel[k * channels + 2];
		}
		turn_strip(&x, turn);
		for (int64_t k = 0; k < m; k++) {
			pixel[k * channels] = (uint8_t)(int)x.r[k];
			pixel[k * channels + 1] = (uint8_t)(int)x.g[k];
			pixel[k * channels + 2] = (uint8_t)(int)x.b[k];
		}
	}
}
