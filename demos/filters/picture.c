/* picture.c - pages of filters, patches and reconstructions. */
#include <math.h>
#include <stdio.h>

#include "../page.h"
#include "filters.h"

/* ---- Filters --------------------------------------------------------------------------------- */

/* The first parameter [O,C,h,w] for images of C = 1 or 3 channels, or NULL. */
static const ebb_tensor *first_filters(const ebb_model *net)
{
	for (int64_t i = 0; i < ebb_params_count(net->p); i++) {
		const ebb_tensor *w = ebb_params_at(net->p, i);

		if (ebb_ndim(w) == 4 && ebb_size(w, 1) == net->card->channels)
			return w;
	}
	return NULL;
}

/* Filter o as an image: grey is 0, its largest magnitude is full. */
static bool filter_image(const ebb_tensor *w, int64_t o, bool bgr, ebb_image *y, ebb_error *e)
{
	int64_t channels = ebb_size(w, 1), height = ebb_size(w, 2), width = ebb_size(w, 3);
	double most = 0;

	for (int64_t i = 0; i < channels * height * width; i++)
		most = fmax(most, fabs(ebb_at(w, o * channels * height * width + i)));
	if (!ebb_image_shape(y, height, width, channels, e))
		return false;
	for (int64_t i = 0; i < channels * height * width; i++) {
		int64_t c = bgr ? channels - 1 - i % channels : i % channels;
		double v = ebb_at(w, (o * channels + c) * height * width + i / channels);

		y->pixels[i] = (uint8_t)(most > 0 ? 128 + 127 * v / most : 128);
	}
	return true;
}

bool write_filters(const ebb_model *net, const char *path, ebb_error *e)
{
	enum { MARGIN = 32, HEAD = 56, SIDE = 44, GAP = 6, ACROSS = 16 };
	const ebb_tensor *w = first_filters(net);
	int64_t n = ebb_size(w, 0), rows = (n + ACROSS - 1) / ACROSS;
	cairo_t *page = page_new(2 * MARGIN + ACROSS * (SIDE + GAP) - GAP,
		2 * MARGIN + HEAD + (double)rows * (SIDE + GAP) - GAP);
	ebb_image image = {0};
	char text[160];
	bool ok = true;

	page_text(page, MARGIN, MARGIN + 16, 21, 700, PAGE_LEFT, true, PAGE_INK,
		"Filters of the first layer");
	snprintf(text, sizeof text, "%s: %lld filters of %lld x %lld pixels, grey is 0",
		net->card->title, (long long)n, (long long)ebb_size(w, 2),
		(long long)ebb_size(w, 3));
	page_text(page, MARGIN, MARGIN + 36, 12.5, 700, PAGE_LEFT, false, PAGE_MUTED, text);
	for (int64_t o = 0; ok && o < n; o++) {
		ok = filter_image(w, o, net->preprocess.bgr, &image, e);
		if (ok)
			page_image(page, &image, MARGIN + (double)(o % ACROSS) * (SIDE + GAP),
				MARGIN + HEAD + (double)(o / ACROSS) * (SIDE + GAP), SIDE, false);
	}
	ebb_image_free(&image);
	return page_end(page, ok, path, e);
}

/* ---- Patches and reconstructions ------------------------------------------------------------- */

enum {
	MARGIN = 32,
	HEAD = 62,
	CELL = 42,
	BLOCK = 3 * CELL + 4, /* nine images */
	GAP = 14,
	LABEL = 128,
	CAPTION = 22
};

/* Nine images of a unit. */
static void draw_block(cairo_t *page, const unit *u, bool reconstructions, double left, double top)
{
	for (int i = 0; i < u->count; i++) {
		const excitation *x = &u->best[i];

		page_image(page, reconstructions ? &x->reconstruction : &x->patch,
			left + i % 3 * (CELL + 2), top + i / 3 * (CELL + 2), CELL, true);
	}
}

bool write_layers(const ebb_model *net, int n, const layer *layers, const char *path, ebb_error *e)
{
	double row = 2 * BLOCK + 6 + CAPTION + GAP, top = MARGIN + HEAD;
	cairo_t *page = page_new(
		2 * MARGIN + LABEL + UNITS * (BLOCK + GAP) - GAP, top + n * row + MARGIN - GAP);
	char text[160];

	page_text(page, MARGIN, MARGIN + 16, 21, 900, PAGE_LEFT, true, PAGE_INK,
		"What excites the units of deeper layers");
	snprintf(text, sizeof text,
		"%s: for each unit the nine images that excite it most, and what in them does, by "
		"a deconvnet (Zeiler & Fergus 2014)",
		net->card->title);
	page_text(page, MARGIN, MARGIN + 36, 12.5, 950, PAGE_LEFT, false, PAGE_MUTED, text);
	for (int k = 0; k < n; k++, top += row) {
		page_text(page, MARGIN, top + 18, 15, LABEL - 12, PAGE_LEFT, true, PAGE_INK,
			layers[k].name);
		snprintf(text, sizeof text, "%lld x %lld pixels", (long long)layers[k].side,
			(long long)layers[k].side);
		page_text(page, MARGIN, top + 36, 11, LABEL - 12, PAGE_LEFT, false, PAGE_MUTED,
			layers[k].units ? text : "no unit is excited");
		for (int u = 0; u < layers[k].units; u++) {
			double left = MARGIN + LABEL + u * (BLOCK + GAP);

			draw_block(page, &layers[k].unit[u], false, left, top);
			draw_block(page, &layers[k].unit[u], true, left, top + BLOCK + 6);
			snprintf(text, sizeof text, "unit %lld",
				(long long)layers[k].unit[u].channel);
			page_text(page, left + BLOCK / 2.0, top + 2 * BLOCK + 20, 10.5, BLOCK,
				PAGE_CENTRE, false, PAGE_MUTED, text);
		}
	}
	return page_end(page, true, path, e);
}
