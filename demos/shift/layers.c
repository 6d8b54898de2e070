/* layers.c - layers of a convolutional network, and how far each is from commuting with a shift. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shift.h"

enum { MAPS = 8, OUTPUTS = 16, BLOCK_COUNT = 3, MARGIN = (PICTURE - SIZE) / 2 };

/* All weights are multiples of 1/64, and pixels of 1/256, so that sums in double precision are
 * exact and an error of 0 is exactly 0. */
typedef struct filters {
	ebb_tensor *conv, *blur, *block[BLOCK_COUNT], *linear;
} filters;

/* ---- Weights ---- */

static ebb_tensor *rounded_randn(ebb_tape *t, ebb_shape shape, double std)
{
	ebb_tensor *x = ebb_mul_scalar(t, ebb_randn(t, shape), 64 * std);

	return ebb_mul_scalar(t, ebb_floor(t, ebb_add_scalar(t, x, 0.5)), 1.0 / 64);
}

/* The first filter finds vertical edges (Sobel's operator on all colours); others are random, with
 * the variance of He et al. 2015. */
static ebb_tensor *first_filters(ebb_tape *t)
{
	static const double edge[9] = {1, 0, -1, 2, 0, -2, 1, 0, -1};
	double w[27];
	ebb_tensor *part[2];

	for (int i = 0; i < 27; i++)
		w[i] = edge[i % 9] / 8;
	part[0] = ebb_from_f64(t, EBB_SHAPE(1, 3, 3, 3), w);
	part[1] = rounded_randn(t, EBB_SHAPE(MAPS - 1, 3, 3, 3), sqrt(2.0 / 27));
	return ebb_concat(t, 2, part, 0);
}

/* The binomial filter of 3 x 3 taps, for each map. */
static ebb_tensor *blur_filters(ebb_tape *t)
{
	static const double tap[3] = {0.25, 0.5, 0.25};
	double w[MAPS * 9];

	for (int i = 0; i < MAPS * 9; i++)
		w[i] = tap[i / 3 % 3] * tap[i % 3];
	return ebb_from_f64(t, EBB_SHAPE(MAPS, 1, 3, 3), w);
}

static filters filters_new(ebb_tape *t, uint64_t seed)
{
	filters f;

	ebb_seed(t, seed);
	f.conv = first_filters(t);
	f.blur = blur_filters(t);
	for (int i = 0; i < BLOCK_COUNT; i++)
		f.block[i] = rounded_randn(
			t, EBB_SHAPE(MAPS, i ? MAPS : 3, 3, 3), sqrt(2.0 / (9 * (i ? MAPS : 3))));
	/* A deviation of 1/64 for thousands of inputs keeps weights that are not 0. */
	f.linear = rounded_randn(t, EBB_SHAPE(OUTPUTS, 3 * SIZE * SIZE), 1.0 / 64);
	return f;
}

/* ---- Layers ---- */

static ebb_tensor *plain(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_conv2d(t, x, f->conv);
}

static ebb_tensor *zeros(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_conv2d(t, x, f->conv, .pad = 1);
}

static ebb_tensor *circular(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return plain(t, f, ebb_pad(t, x, EBB_PADS(1, 1, 1, 1), .mode = EBB_PAD_CIRCULAR));
}

static ebb_tensor *stride(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_conv2d(t, x, f->conv, .stride = 2);
}

static ebb_tensor *maximum(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_maxpool2d(t, ebb_relu(t, plain(t, f, x)), 2);
}

static ebb_tensor *mean(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_avgpool2d(t, ebb_relu(t, plain(t, f, x)), 2);
}

/* Max pooling without a stride, then a low-pass filter, then the stride (Zhang 2019, "Making
 * Convolutional Networks Shift-Invariant Again"). */
static ebb_tensor *blur(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	x = ebb_maxpool2d(t, ebb_relu(t, plain(t, f, x)), 2, .stride = 1);
	return ebb_conv2d(t, x, f->blur, .stride = 2, .groups = MAPS);
}

static ebb_tensor *blocks(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	for (int i = 0; i < BLOCK_COUNT; i++)
		x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv2d(t, x, f->block[i], .pad = 1)), 2);
	return x;
}

static ebb_tensor *global(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	return ebb_adaptive_avgpool2d(t, ebb_relu(t, circular(t, f, x)));
}

static ebb_tensor *connected(ebb_tape *t, const filters *f, ebb_tensor *x)
{
	x = ebb_linear(t, ebb_flatten(t, x), f->linear);
	return ebb_reshape(t, x, EBB_SHAPE(1, OUTPUTS, 1, 1));
}

/* Output i reads the rows i*stride - before .. i*stride - before + extent - 1.  .cyclic: what moves
 * out on the right comes in on the left.  stride 0: the output has no position. */
static const struct layer {
	const char *name;
	ebb_tensor *(*forward)(ebb_tape *t, const filters *f, ebb_tensor *x);
	int stride, before, extent;
	bool cyclic;
} layers[LAYERS] = {
	[PLAIN] = {"conv 3x3, no padding", plain, 1, 0, 3, false},
	[ZEROS] = {"conv 3x3, zero padding", zeros, 1, 1, 3, false},
	[CIRCULAR] = {"conv 3x3, circular padding *", circular, 1, 1, 3, true},
	[STRIDE] = {"conv 3x3, stride 2", stride, 2, 0, 3, false},
	[MAXIMUM] = {"conv, ReLU, max 2x2", maximum, 2, 0, 4, false},
	[MEAN] = {"conv, ReLU, mean 2x2", mean, 2, 0, 4, false},
	[BLUR] = {"conv, ReLU, max, blur, stride 2", blur, 2, 0, 6, false},
	[BLOCKS] = {"3 x (conv, ReLU, max 2x2)", blocks, 8, 7, 22, false},
	[GLOBAL] = {"global mean of circular conv *", global, 0, 0, 0, true},
	[CONNECTED] = {"fully connected *", connected, 0, 0, 0, true},
};

/* ---- Errors ---- */

/* The picture's pixels [1,3,SIZE,SIZE] after a shift.  A cyclic shift keeps the pixels
 * of shift 0. */
static ebb_tensor *view(ebb_tape *t, const double *picture, int shift, bool cyclic)
{
	int64_t left = MARGIN - (cyclic ? 0 : shift);
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(1, 3, PICTURE, PICTURE), picture);

	x = ebb_slice(t, x, 2, MARGIN, MARGIN + SIZE, 1);
	x = ebb_slice(t, x, 3, left, left + SIZE, 1);
	if (cyclic && shift) {
		ebb_tensor *part[] = {ebb_slice(t, x, 3, SIZE - shift, SIZE, 1),
			ebb_slice(t, x, 3, 0, SIZE - shift, 1)};

		x = ebb_concat(t, 2, part, 3);
	}
	return x;
}

typedef struct pair {
	int64_t channels, h, w;
	const double *still, *moved; /* outputs [channels,h,w] for shifts 0 and k */
} pair;

/* Whether an output reads the image alone. */
static bool inside_image(const struct layer *l, int64_t row, int64_t column)
{
	int64_t y = row * l->stride - l->before, x = column * l->stride - l->before;

	return l->cyclic || (y >= 0 && x >= 0 && y + l->extent <= SIZE && x + l->extent <= SIZE);
}

/* The still output at column - by, where by = shift/stride.  Between two columns it is interpolated
 * linearly.  in: whether it and the moved output read the image alone.  NAN beyond the output. */
static double moved_after(const struct layer *l, const pair *p, int64_t i, int shift, bool *in)
{
	int64_t row = i / p->w % p->h, column = i % p->w, by = l->stride ? shift / l->stride : 0;
	double part = l->stride ? (double)(shift % l->stride) / l->stride : 0, y = 0;

	*in = inside_image(l, row, column);
	for (int64_t k = 0; k < 1 + (part > 0); k++) {
		int64_t from = column - by - k;

		if (l->cyclic)
			from = (from + p->w) % p->w;
		if (from < 0)
			return NAN;
		*in = *in && inside_image(l, row, from);
		y += (k ? part : 1 - part) * p->still[i - column + from];
	}
	return y;
}

/* difference is NULL, or receives those of the first map. */
static void compare(const struct layer *l, const pair *p, int shift, double *inside, double *border,
	double *difference)
{
	double sum = 0, squares = 0, off[2] = {0};
	int64_t count[2] = {0}, n = p->channels * p->h * p->w;

	for (int64_t i = 0; i < n; i++) {
		bool in;
		double d = p->moved[i] - moved_after(l, p, i, shift, &in);

		sum += p->still[i];
		squares += p->still[i] * p->still[i];
		if (difference && i < p->h * p->w)
			difference[i] = d;
		if (isnan(d))
			continue;
		off[in] += d * d;
		count[in]++;
	}
	sum /= (double)n;
	squares = sqrt(squares / (double)n - sum * sum);
	*inside = sqrt(off[1] / (double)count[1]) / squares;
	*border = count[0] ? sqrt(off[0] / (double)count[0]) / squares : NAN;
}

static const double *row_major(ebb_tape *t, ebb_tensor *x)
{
	x = ebb_dense(t, x, EBB_ROWS);
	return x ? ebb_data(x) : NULL;
}

/* The outputs for shifts 0 and k; false if the tape has failed. */
static bool outputs(ebb_tape *t, const struct layer *l, const filters *f, const double *picture,
	int shift, pair *p)
{
	ebb_tensor *still = l->forward(t, f, view(t, picture, 0, l->cyclic)),
		   *moved = l->forward(t, f, view(t, picture, shift, l->cyclic));

	if (ebb_failed(t))
		return false;
	*p = (pair){ebb_size(still, 1), ebb_size(still, 2), ebb_size(still, 3), row_major(t, still),
		row_major(t, moved)};
	return p->still && p->moved;
}

static ebb_tape *tape_new(void)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, EBB_F64);
	ebb_set_recording(t, false);
	ebb_set_training(t, false);
	return t;
}

static bool passed(ebb_tape *t, ebb_error *e)
{
	bool ok = !ebb_failed(t);

	if (!ok)
		*e = *ebb_tape_error(t);
	ebb_tape_free(t);
	return ok;
}

bool measure(const double *picture, uint64_t seed, errors table[LAYERS], ebb_error *e)
{
	ebb_tape *t = tape_new();

	for (int i = 0; i < LAYERS && !ebb_failed(t); i++) {
		table[i].name = layers[i].name;
		for (int k = 0; k < SHIFTS; k++) {
			filters f = filters_new(t, seed);
			pair p;

			if (outputs(t, &layers[i], &f, picture, k, &p))
				compare(&layers[i], &p, k, &table[i].inside[k], &table[i].border[k],
					NULL);
			ebb_tape_reset(t);
		}
	}
	return passed(t, e);
}

bool measure_maps(
	const double *picture, uint64_t seed, layer_number layer, int shift, maps *m, ebb_error *e)
{
	const struct layer *l = &layers[layer];
	ebb_tape *t = tape_new();
	filters f = filters_new(t, seed);
	pair p;

	m->name = l->name;
	if (outputs(t, l, &f, picture, shift, &p)) {
		size_t n = (size_t)(p.h * p.w), bytes = n * sizeof *m->after;

		m->h = p.h;
		m->w = p.w;
		m->after = malloc(bytes);
		m->before = malloc(bytes);
		m->difference = malloc(bytes);
		if (m->after && m->before && m->difference) {
			compare(l, &p, shift, &m->inside, &m->border, m->difference);
			memcpy(m->before, p.moved, bytes);
			for (size_t i = 0; i < n; i++)
				m->after[i] = p.moved[i] - m->difference[i];
		} else {
			ebb_error_set(e, EBB_NO_MEMORY, NULL, "no memory for the maps of a layer");
		}
	}
	return passed(t, e) && m->difference && e->status == EBB_OK;
}

void maps_free(maps *m)
{
	free(m->after);
	free(m->before);
	free(m->difference);
}
