/* units.c - which images excite a unit most, and what in them does. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters.h"

static ebb_tensor *forward(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, net, x);
}

/* The network's input for an image file, and what the network sees.  NULL with a message. */
static ebb_tensor *input_of(const ebb_model *net, const char *path, ebb_image *seen)
{
	ebb_image image = {0};
	ebb_error e = {0};
	ebb_tensor *x = NULL;

	if (ebb_image_read(path, &(ebb_image_options){.upright = true}, &image, &e) &&
		(!seen || ebb_preprocess_pixels(&net->preprocess, &image, seen, &e)))
		x = ebb_preprocess_images(&net->preprocess, 1, &image, EBB_DEFAULT, &e);
	if (!x)
		said(&e);
	ebb_image_free(&image);
	return x;
}

/* ---- Layers ---------------------------------------------------------------------------------- */

typedef struct names {
	int n;
	char name[200][100];
} names;

static void note_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	names *a = ctx;
	const char *path = ebb_scope_path(scope), *last = strrchr(path, '.');

	last = last ? last + 1 : path;
	if (ebb_ndim(y) != 4 || ebb_size(y, 2) < 2 || !isdigit((unsigned char)*last) || a->n == 200)
		return;
	snprintf(a->name[a->n++], sizeof a->name[0], "%s", path);
}

int choose_layers(ebb_tape *t, const ebb_model *net, const char *image, layer *layers)
{
	static names all;
	const ebb_observer watch = {.ctx = &all, .scope_ended = note_scope};
	ebb_tensor *x = input_of(net, image, NULL);
	int wanted = 4, n = 0;

	if (!x)
		return 0;
	ebb_set_training(t, false);
	ebb_observe(t, &watch);
	ebb_model_forward(t, net, x);
	ebb_unobserve(t, &watch);
	if (!ebb_ok(t))
		said(ebb_tape_error(t));
	else if (all.n == 0)
		fprintf(stderr, "name layers by --layer: the network has no numbered ones\n");
	for (int i = 1; ebb_ok(t) && i <= wanted && all.n > 0; i++) {
		const char *name = all.name[(all.n * i + wanted - 1) / wanted - 1];

		if (n == 0 || strcmp(layers[n - 1].name, name))
			snprintf(layers[n++].name, sizeof layers[0].name, "%s", name);
	}
	ebb_tape_reset(t);
	ebb_tensor_free(x);
	return n;
}

/* ---- The images that excite units most ------------------------------------------------------- */

/* Inserts an image into the unit's list, which is in descending order. */
static void insert(unit *u, double value, int image)
{
	int at = u->count < BEST ? u->count++ : BEST;

	for (; at > 0 && u->best[at - 1].value < value; at--)
		if (at < BEST)
			u->best[at] = u->best[at - 1];
	if (at < BEST)
		u->best[at] = (excitation){.value = value, .image = image};
}

/* How much more the unit's best images excite it than images do on average; 0 for a unit that fewer
 * than BEST images excite. */
static double preference(const unit *u, double sum, int images)
{
	double best = 0;

	for (int i = 0; i < u->count; i++)
		best += u->best[i].value / BEST;
	return u->count == BEST && u->best[BEST - 1].value > 0 && sum > 0 ? best * images / sum : 0;
}

/* Moves the UNITS units with the highest preference to l. */
static void choose_units(layer *l, unit *units, const double *sum, int64_t channels, int images)
{
	for (l->units = 0; l->units < UNITS; l->units++) {
		int64_t best = -1;
		double most = 0;

		for (int64_t c = 0; c < channels; c++) {
			double p = preference(&units[c], sum[c], images);

			if (p > most) {
				most = p;
				best = c;
			}
		}
		if (best < 0)
			break;
		l->unit[l->units] = units[best];
		units[best].count = 0;
	}
}

/* Adds the largest value of each channel in one image. */
static bool add_image(ebb_tape *t, const ebb_model *net, const char *path, int image,
	const layer *l, unit **units, double **sum, int64_t *channels)
{
	ebb_tensor *x = input_of(net, path, NULL), *y;

	if (!x)
		return false;
	y = ebb_layer_output(t, forward, (void *)net, x, l->name);
	y = ebb_max(t, y, .axes = EBB_AXES(2, 3));
	if (y && !*units) {
		*channels = ebb_count(y);
		*units = calloc((size_t)*channels, sizeof **units);
		*sum = calloc((size_t)*channels, sizeof **sum);
	}
	for (int64_t c = 0; y && *units && *sum && c < *channels; c++) {
		(*units)[c].channel = c;
		(*sum)[c] += fmax(ebb_at(y, c), 0);
		insert(&(*units)[c], ebb_at(y, c), image);
	}
	ebb_tape_reset(t);
	ebb_tensor_free(x);
	return ebb_ok(t) ? true : said(ebb_tape_error(t));
}

/* ---- Patches --------------------------------------------------------------------------------- */

/* The smallest rectangle of the pixels of g [1,C,H,W] that are above a thousandth of the largest. */
static ebb_rect support_of(const ebb_tensor *g)
{
	int64_t channels = ebb_size(g, 1), height = ebb_size(g, 2), width = ebb_size(g, 3);
	int64_t top = height, left = width, bottom = 0, right = 0;
	double most = 0;

	for (int64_t i = 0; i < ebb_count(g); i++)
		most = fmax(most, fabs(ebb_at(g, i)));
	for (int64_t i = 0; i < channels * height * width; i++) {
		int64_t y = i / width % height, x = i % width;

		if (fabs(ebb_at(g, i)) <= 1e-3 * most)
			continue;
		top = y < top ? y : top;
		left = x < left ? x : left;
		bottom = y + 1 > bottom ? y + 1 : bottom;
		right = x + 1 > right ? x + 1 : right;
	}
	return bottom > top ? (ebb_rect){top, left, bottom - top, right - left}
	                    : (ebb_rect){0, 0, height, width};
}

/* A square around the rectangle, inside an image of that size. */
static ebb_rect square_around(ebb_rect r, int64_t side, int64_t height, int64_t width)
{
	int64_t top = r.top + r.height / 2 - side / 2, left = r.left + r.width / 2 - side / 2;

	top = top + side > height ? height - side : top;
	left = left + side > width ? width - side : left;
	return (ebb_rect){top > 0 ? top : 0, left > 0 ? left : 0, side, side};
}

/* The element of g [1,C,H,W] at a sample of the part r, whose images are red first. */
static double element(const ebb_tensor *g, bool bgr, ebb_rect r, int64_t sample)
{
	int64_t channels = ebb_size(g, 1), height = ebb_size(g, 2), width = ebb_size(g, 3);
	int64_t c = sample % channels, pixel = sample / channels;
	int64_t y = r.top + pixel / r.width, x = r.left + pixel % r.width;

	return ebb_at(g, ((bgr ? channels - 1 - c : c) * height + y) * width + x);
}

/* The part of g as an image: grey is 0, and three standard deviations are full. */
static bool picture_of(const ebb_tensor *g, bool bgr, ebb_rect r, ebb_image *picture, ebb_error *e)
{
	int64_t channels = ebb_size(g, 1), n = r.height * r.width * channels;
	double squares = 0, full;

	if (!ebb_image_shape(picture, r.height, r.width, channels, e))
		return false;
	for (int64_t i = 0; i < n; i++)
		squares += pow(element(g, bgr, r, i), 2);
	full = 3 * sqrt(squares / (double)n);
	for (int64_t i = 0; i < n; i++) {
		double v = full > 0 ? element(g, bgr, r, i) / full : 0;

		picture->pixels[i] = (uint8_t)(128 + 127 * fmin(fmax(v, -1), 1));
	}
	return true;
}

/* Reconstructs what excites the unit in its images: the gradients, kept for the patches. */
static bool reconstruct(ebb_tape *t, const ebb_model *net, char **images, const layer *l, unit *u,
	ebb_tensor **gradients, ebb_image *seen)
{
	for (int i = 0; i < u->count; i++) {
		ebb_tensor *x = input_of(net, images[u->best[i].image], &seen[i]), *g;

		if (!x)
			return false;
		g = ebb_unit_gradient(t, forward, (void *)net, x, l->name, u->channel,
			.rules = ebb_deconvnet_rules());
		gradients[i] = ebb_detach_copy(g);
		ebb_tape_reset(t);
		ebb_tensor_free(x);
		if (!gradients[i])
			return said(ebb_tape_error(t));
	}
	return true;
}

static bool cut_patches(const ebb_model *net, layer *l, unit *u, ebb_tensor *const *gradients,
	const ebb_image *seen)
{
	int64_t side = 0;
	ebb_rect support[BEST];
	ebb_error e = {0};
	bool ok = true;

	for (int i = 0; i < u->count; i++) {
		support[i] = support_of(gradients[i]);
		side = support[i].height > side ? support[i].height : side;
		side = support[i].width > side ? support[i].width : side;
	}
	side = side > seen[0].height ? seen[0].height : side;
	side = side > seen[0].width ? seen[0].width : side;
	l->side = side > l->side ? side : l->side;
	for (int i = 0; ok && i < u->count; i++) {
		ebb_rect r = square_around(support[i], side, seen[i].height, seen[i].width);

		ok = ebb_image_crop(&seen[i], r, &u->best[i].patch, &e) &&
		     picture_of(
			     gradients[i], net->preprocess.bgr, r, &u->best[i].reconstruction, &e);
	}
	return ok || said(&e);
}

bool find_units(ebb_tape *t, const ebb_model *net, int n, char **images, layer *l)
{
	unit *units = NULL;
	double *sum = NULL;
	int64_t channels = 0;
	bool ok = true;

	for (int i = 0; ok && i < n; i++)
		ok = add_image(t, net, images[i], i, l, &units, &sum, &channels);
	if (ok && (!units || !sum)) {
		fprintf(stderr, "out of memory\n");
		ok = false;
	}
	if (ok)
		choose_units(l, units, sum, channels, n);
	free(units);
	free(sum);
	for (int k = 0; ok && k < l->units; k++) {
		ebb_tensor *gradients[BEST] = {0};
		ebb_image seen[BEST] = {0};

		ok = reconstruct(t, net, images, l, &l->unit[k], gradients, seen) &&
		     cut_patches(net, l, &l->unit[k], gradients, seen);
		for (int i = 0; i < BEST; i++) {
			ebb_tensor_free(gradients[i]);
			ebb_image_free(&seen[i]);
		}
	}
	return ok;
}

void free_layer(layer *l)
{
	for (int k = 0; k < l->units; k++)
		for (int i = 0; i < BEST; i++) {
			ebb_image_free(&l->unit[k].best[i].patch);
			ebb_image_free(&l->unit[k].best[i].reconstruction);
		}
}
