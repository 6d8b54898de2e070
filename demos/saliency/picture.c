/* picture.c - the maps of a trained network, and below those of one with random weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../page.h"
#include "saliency.h"

/* In points. */
enum { MARGIN = 32, HEAD = 78, SIDE = 168, GAP = 12, CAPTION = 46 };

/* The colours of the maps, from low to high: equal steps look equal, and grey they still rise (the
 * colour map "inferno" of Smith & van der Walt, at 9 points). */
static const uint8_t ramp[9][3] = {{0, 0, 4}, {27, 12, 65}, {75, 12, 107}, {120, 28, 109},
	{165, 44, 96}, {207, 68, 70}, {237, 105, 37}, {251, 155, 6}, {247, 209, 61}};

static int ascending(const void *a, const void *b)
{
	double p = *(const double *)a, q = *(const double *)b;

	return (p > q) - (p < q);
}

/* The value that 99.5 % of the map's pixels do not exceed: single pixels would leave the rest
 * dark. */
static double white_of(const ebb_tensor *map)
{
	int64_t n = ebb_count(map);
	double *v = malloc((size_t)n * sizeof *v), white = 0;

	for (int64_t i = 0; v && i < n; i++)
		v[i] = ebb_at(map, i);
	if (v) {
		qsort(v, (size_t)n, sizeof *v, ascending);
		white = v[(int64_t)(0.995 * (double)(n - 1))];
	}
	free(v);
	return white;
}

/* The map in colours; over the image, if there is one, as a layer of colour. */
static bool colour_map(const ebb_tensor *map, const ebb_image *under, ebb_image *y, ebb_error *e)
{
	int64_t height = ebb_size(map, 2), width = ebb_size(map, 3);
	double white = white_of(map);

	if (!ebb_image_shape(y, height, width, 3, e))
		return false;
	for (int64_t i = 0; i < height * width; i++) {
		double share = white > 0 ? fmin(fmax(ebb_at(map, i) / white, 0), 1) : 0;
		int low = share >= 1 ? 7 : (int)(8 * share);
		double part = 8 * share - low, grey = 0;

		if (under) {
			const uint8_t *p = under->pixels + i * under->channels;

			grey = under->channels >= 3 ? 0.3 * p[0] + 0.59 * p[1] + 0.11 * p[2] : p[0];
		}
		for (int c = 0; c < 3; c++) {
			double v = ramp[low][c] + part * (ramp[low + 1][c] - ramp[low][c]);

			v = under ? 0.45 * grey + 0.75 * v : v;
			y->pixels[3 * i + c] = (uint8_t)(fmin(v, 255) + 0.5);
		}
	}
	return true;
}

static bool draw_row(cairo_t *page, const results *r, const maps *m, double top, ebb_error *e)
{
	ebb_image image = {0};
	bool ok = true;

	for (int i = 0; ok && i < METHODS; i++) {
		double left = MARGIN + (i + 1) * (SIDE + GAP);

		ok = colour_map(m->map[i], i == CAM ? r->seen : NULL, &image, e);
		if (ok)
			page_image(page, &image, left, top, SIDE, true);
	}
	ebb_image_free(&image);
	return ok;
}

bool hardly_changes(double correlation)
{
	return fabs(correlation) >= 0.5;
}

static void draw_captions(cairo_t *page, const results *r, double top)
{
	char text[60];

	for (int i = 0; i < METHODS; i++) {
		double middle = MARGIN + (i + 1) * (SIDE + GAP) + SIDE / 2.0, c = r->correlation[i];
		bool changes = !hardly_changes(c);

		if (isnan(c))
			snprintf(text, sizeof text, "no map");
		else
			snprintf(text, sizeof text, "rank correlation %.2f", c);
		page_text(page, middle, top + 19, 12, SIDE, PAGE_CENTRE, true,
			changes ? PAGE_BLUE : PAGE_ORANGE, text);
		page_text(page, middle, top + 35, 10.5, SIDE, PAGE_CENTRE, false, PAGE_MUTED,
			changes ? "changes with the weights" : "hardly changes with the weights");
	}
}

bool write_picture(const results *r, const char *path, ebb_error *e)
{
	double tall = SIDE * (double)r->seen->height / (double)r->seen->width, top = MARGIN + HEAD,
	       second = top + tall + GAP;
	cairo_t *page = page_new(
		2 * MARGIN + (METHODS + 1) * (SIDE + GAP) - GAP, second + tall + CAPTION + MARGIN);
	double middle = MARGIN + SIDE / 2.0;
	char text[160];
	bool ok;

	page_text(page, MARGIN, MARGIN + 16, 21, 900, PAGE_LEFT, true, PAGE_INK,
		"What the network reads");
	snprintf(text, sizeof text, "%s, %.1f %%", r->class, 100 * r->probability);
	page_text(page, MARGIN, MARGIN + 36, 12.5, 900, PAGE_LEFT, false, PAGE_MUTED, text);
	for (int i = 0; i < METHODS; i++)
		page_text(page, MARGIN + (i + 1) * (SIDE + GAP) + SIDE / 2.0, top - 10, 12.5, SIDE,
			PAGE_CENTRE, true, PAGE_INK, method_names[i]);
	page_image(page, r->seen, MARGIN, top, SIDE, true);
	page_text(page, middle, second + tall / 2 - 6, 13, SIDE, PAGE_CENTRE, true, PAGE_INK,
		"The same with");
	page_text(page, middle, second + tall / 2 + 12, 13, SIDE, PAGE_CENTRE, true, PAGE_INK,
		"random weights");
	ok = draw_row(page, r, &r->trained, top, e) && draw_row(page, r, &r->random, second, e);
	draw_captions(page, r, second + tall);
	return page_end(page, ok, path, e);
}
