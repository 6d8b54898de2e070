/* picture.c - photograph + amplified change = result, drawn with Cairo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../page.h"
#include "adversarial.h"

/* In points. */
enum { PANEL = 300, SIGN = 56, MARGIN = 32, CAPTION = 54 };

static void centred(cairo_t *page, double x, double y, double size, double room, bool bold,
	unsigned hex, const char *text)
{
	page_text(page, x, y, size, room, PAGE_CENTRE, bold, hex, text);
}

/* 128 + factor*(x - from) */
static bool amplify(
	const ebb_image *x, const ebb_image *from, int factor, ebb_image *y, ebb_error *e)
{
	int64_t n = x->height * x->width * x->channels;

	if (!ebb_image_shape(y, x->height, x->width, x->channels, e))
		return false;
	for (int64_t i = 0; i < n; i++) {
		int v = 128 + factor * (x->pixels[i] - from->pixels[i]);

		y->pixels[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
	return true;
}

static void caption(
	cairo_t *page, const attack *a, const opinion *o, unsigned hex, double middle, double top)
{
	char name[100], text[60];

	centred(page, middle, top + 30, 19, PANEL, true, hex,
		short_name(a->names, o->first, name, sizeof name));
	snprintf(text, sizeof text, "%.1f %% confidence", 100 * o->probability);
	centred(page, middle, top + 51, 13, PANEL, false, PAGE_MUTED, text);
}

int write_picture(const attack *a, const char *path, ebb_error *e)
{
	double tall = (double)PANEL * (double)a->original.height / (double)a->original.width,
	       left[3], middle[3];
	int factor = a->largest > 0 ? 127 / a->largest : 1;
	ebb_image change = {0};
	cairo_t *page;
	char text[80];

	for (int i = 0; i < 3; i++) {
		left[i] = MARGIN + i * (PANEL + SIGN);
		middle[i] = left[i] + PANEL / 2.0;
	}
	factor = factor > 0 ? factor : 1;
	if (!amplify(&a->changed, &a->original, factor, &change, e))
		return 0;
	page = page_new(2 * MARGIN + 3 * PANEL + 2 * SIGN, 2 * MARGIN + tall + CAPTION);
	page_image(page, &a->original, left[0], MARGIN, PANEL, false);
	page_image(page, &change, left[1], MARGIN, PANEL, false);
	page_image(page, &a->changed, left[2], MARGIN, PANEL, false);
	ebb_image_free(&change);
	centred(page, left[1] - SIGN / 2.0, MARGIN + tall / 2 + 12, 36, SIGN, false, PAGE_INK, "+");
	centred(page, left[2] - SIGN / 2.0, MARGIN + tall / 2 + 12, 36, SIGN, false, PAGE_INK, "=");
	caption(page, a, &a->before, PAGE_BLUE, middle[0], MARGIN + tall);
	snprintf(text, sizeof text, "at most %d of 255 levels", a->largest);
	centred(page, middle[1], MARGIN + tall + 30, 19, PANEL, true, PAGE_INK, text);
	snprintf(text, sizeof text, "shown %d times as large", factor);
	centred(page, middle[1], MARGIN + tall + 51, 13, PANEL, false, PAGE_MUTED, text);
	caption(page, a, &a->after, a->after.first == a->before.first ? PAGE_BLUE : PAGE_ORANGE,
		middle[2], MARGIN + tall);
	return page_end(page, true, path, e) ? factor : 0;
}
