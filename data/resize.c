/*
 * resize.c - resizing by separable filters with fixed-point weights, as in Pillow.
 */
#include <math.h>
#include <string.h>

#include "data/internal.h"
#include "kernels/kernels.h"

/* Of 32 bits, 8 are for the pixel, one for the sign and one for the overshoot of bicubic; these
 * remain. */
enum { FRACTION = 22 };

/* ---- Weights -------------------------------------------------------------------------------- */

static double triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

static double keys(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static double box(double x)
{
	return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static const struct {
	double (*weight)(double x);
	double radius;
} filters[] = {
	[EBB_RESIZE_BILINEAR] = {triangle, 1},
	[EBB_RESIZE_BICUBIC] = {keys, 2},
	[EBB_RESIZE_AREA] = {box, 0.5},
};
_Static_assert(sizeof filters / sizeof filters[0] == EBB_RESIZE_AREA + 1,
	"one entry for each ebb_resize_filter");

/* One axis: output i is the sum of weight[i * taps + k] * input[first[i] + k], k < count[i]. */
typedef struct axis {
	int64_t in, out, taps;
	int64_t *first, *count;
	int32_t *weight;
} axis;

/* The largest number of inputs of an output. */
static int64_t taps_of(int64_t in, int64_t out, double radius)
{
	double shrink = (double)in / (double)out;

	return (int64_t)ceil(radius * (shrink > 1 ? shrink : 1)) * 2 + 1;
}

static void weigh(axis *a, ebb_resize_filter filter, double *real)
{
	double scale = (double)a->in / (double)a->out, shrink = scale > 1 ? scale : 1,
	       radius = filters[filter].radius * shrink;

	for (int64_t i = 0; i < a->out; i++) {
		double centre = ((double)i + 0.5) * scale, sum = 0;
		int64_t first = (int64_t)(centre - radius + 0.5),
			end = (int64_t)(centre + radius + 0.5);
		int32_t *weight = a->weight + i * a->taps;

		first = centre - radius + 0.5 < 0 ? 0 : first;
		end = end > a->in ? a->in : end;
		a->first[i] = first;
		a->count[i] = end - first;
		for (int64_t k = 0; k < end - first; k++) {
			real[k] = filters[filter].weight(
				((double)(first + k) - centre + 0.5) * (1 / shrink));
			sum += real[k];
		}
		for (int64_t k = 0; k < end - first; k++) {
			double w = (sum != 0 ? real[k] / sum : real[k]) * (1 << FRACTION);

			weight[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
		}
	}
}

/* ---- Alpha ---------------------------------------------------------------------------------- */

/* a * b / 255, rounded */
static inline uint8_t times(unsigned a, unsigned b)
{
	unsigned t = a * b + 128;

	return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Colours are multiplied by alpha before the two passes, and divided by it afterwards. */
static void premultiply(uint8_t *x, int64_t pixels, int64_t channels)
{
	for (int64_t i = 0; i < pixels; i++, x += channels) {
		for (int64_t c = 0; c < channels - 1; c++)
			x[c] = times(x[c], x[channels - 1]);
	}
}

static void divide(uint8_t *x, int64_t pixels, int64_t channels)
{
	for (int64_t i = 0; i < pixels; i++, x += channels) {
		unsigned alpha = x[channels - 1];

		for (int64_t c = 0; c < channels - 1 && alpha > 0 && alpha < UINT8_MAX; c++) {
			unsigned v = 255u * x[c] / alpha;

			x[c] = (uint8_t)(v > UINT8_MAX ? UINT8_MAX : v);
		}
	}
}

/* ---- The function --------------------------------------------------------------------------- */

/* The source pixels: a part of an image. */
typedef struct part {
	const uint8_t *pixels;
	size_t stride;
	int64_t height, width, channels;
} part;

/* The memory of both passes, in one block. */
typedef struct work {
	void *block;
	size_t size;
	axis rows, columns;
	double *real;
	uint8_t *between;
} work;

static size_t claim(size_t *size, int64_t n, size_t element)
{
	size_t at = *size;

	*size += (ebb_bytes_of(n, element) + 15) & ~(size_t)15;
	if (*size > EBB_MOST_BYTES)
		*size = EBB_MOST_BYTES + 1;
	return at;
}

static bool work_new(work *w, const part *p, const ebb_image *y, ebb_resize_filter filter)
{
	axis *axes[] = {&w->columns, &w->rows};
	size_t at[2][3], real, between;
	int64_t taps;

	w->columns = (axis){.in = p->width, .out = y->width};
	w->rows = (axis){.in = p->height, .out = y->height};
	w->size = 0;
	for (int i = 0; i < 2; i++) {
		axis *a = axes[i];

		a->taps = taps_of(a->in, a->out, filters[filter].radius);
		at[i][0] = claim(&w->size, a->out, sizeof *a->first);
		at[i][1] = claim(&w->size, a->out, sizeof *a->count);
		at[i][2] = claim(&w->size, a->out * a->taps, sizeof *a->weight);
	}
	taps = w->rows.taps > w->columns.taps ? w->rows.taps : w->columns.taps;
	real = claim(&w->size, taps, sizeof *w->real);
	between = claim(&w->size, p->height * y->width * p->channels, 1);
	w->block = ebb_alloc(w->size);
	if (!w->block)
		return false;
	for (int i = 0; i < 2; i++) {
		axes[i]->first = (void *)((char *)w->block + at[i][0]);
		axes[i]->count = (void *)((char *)w->block + at[i][1]);
		axes[i]->weight = (void *)((char *)w->block + at[i][2]);
	}
	w->real = (void *)((char *)w->block + real);
	w->between = (uint8_t *)w->block + between;
	return true;
}

static bool filtered(
	const part *p, ebb_image *y, ebb_resize_filter filter, const ebb_image_resize_args *a)
{
	const ebb_kernels *kernels = ebb_kernels_f32();
	const uint8_t *x = p->pixels;
	size_t stride = p->stride;
	work w;

	if (!work_new(&w, p, y, filter)) {
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
			"image_resize: no memory for %lld x %lld pixels", (long long)y->height,
			(long long)y->width);
		return false;
	}
	/* A pass is skipped if it changes no size, because it would change no pixel. */
	if (p->width != y->width) {
		const axis *c = &w.columns;
		uint8_t *to = p->height == y->height ? y->pixels : w.between;

		weigh(&w.columns, filter, w.real);
		for (int64_t i = 0; i < p->height; i++)
			kernels->blend_pixels((int)p->channels, c->out, c->taps, c->first, c->count,
				c->weight, x + (size_t)i * stride, c->in,
				to + (size_t)i * ebb_row_bytes(y));
		x = w.between;
		stride = ebb_row_bytes(y);
	}
	if (p->height != y->height) {
		const axis *r = &w.rows;

		weigh(&w.rows, filter, w.real);
		for (int64_t i = 0; i < r->out; i++)
			kernels->blend_rows((int64_t)ebb_row_bytes(y), r->count[i],
				r->weight + i * r->taps, x + (size_t)r->first[i] * stride,
				(int64_t)stride, y->pixels + (size_t)i * ebb_row_bytes(y));
	}
	ebb_free(w.block, w.size);
	return true;
}

/* Writes 1 at the input of each output.  Positions are accumulated by addition, as in Pillow, because
 * rounding decides between two neighbours. */
static void nearest_matrix(int64_t in, int64_t out, int64_t first, int64_t count, double *matrix)
{
	double step = (double)in / (double)out, at = step * 0.5;

	for (int64_t i = 0; i < first + count; i++, at += step)
		if (i >= first)
			matrix[(i - first) * in + ((int64_t)at < in ? (int64_t)at : in - 1)] = 1;
}

bool ebb_resize_matrix(int64_t in, int64_t out, ebb_resize_filter filter, int64_t first,
	int64_t count, double *matrix)
{
	axis a = {.in = in, .out = out};
	size_t size = 0, starts, counts, weights, real;
	char *block;

	memset(matrix, 0, (size_t)(count * in) * sizeof *matrix);
	if (in == out || filter == EBB_RESIZE_NEAREST) {
		nearest_matrix(in, out, first, count, matrix);
		return true;
	}
	a.taps = taps_of(in, out, filters[filter].radius);
	starts = claim(&size, out, sizeof *a.first);
	counts = claim(&size, out, sizeof *a.count);
	weights = claim(&size, out * a.taps, sizeof *a.weight);
	real = claim(&size, a.taps, sizeof(double));
	block = ebb_alloc(size);
	if (!block)
		return false;
	a.first = (void *)(block + starts);
	a.count = (void *)(block + counts);
	a.weight = (void *)(block + weights);
	weigh(&a, filter, (void *)(block + real));
	for (int64_t i = 0; i < count; i++)
		for (int64_t k = 0; k < a.count[first + i]; k++)
			matrix[i * in + a.first[first + i] + k] =
				(double)a.weight[(first + i) * a.taps + k] / (1 << FRACTION);
	ebb_free(block, size);
	return true;
}

/* Positions are accumulated as in nearest_matrix. */
static void nearest(const part *p, ebb_image *y)
{
	double down = (double)p->height / (double)y->height, i = down * 0.5;
	double right = (double)p->width / (double)y->width;
	uint8_t *to = y->pixels;

	for (int64_t r = 0; r < y->height; r++, i += down) {
		int64_t at = (int64_t)i < p->height ? (int64_t)i : p->height - 1;
		const uint8_t *row = p->pixels + (size_t)at * p->stride;
		double k = right * 0.5;

		for (int64_t q = 0; q < y->width; q++, k += right, to += p->channels) {
			int64_t column = (int64_t)k < p->width ? (int64_t)k : p->width - 1;
			const uint8_t *from = row + column * p->channels;

			for (int64_t c = 0; c < p->channels; c++)
				to[c] = from[c];
		}
	}
}

static bool check(const ebb_image_resize_args *a, ebb_rect *r)
{
	const ebb_image *x = a->x;

	if (!ebb_image_check(x, "image_resize", a->error))
		return false;
	*r = a->crop;
	if (r->top == 0 && r->left == 0 && r->height == 0 && r->width == 0)
		*r = (ebb_rect){0, 0, x->height, x->width};
	if (x->wide || !a->y || a->y == x || (unsigned)a->filter > EBB_RESIZE_NEAREST ||
		a->height < 1 || a->width < 1 || a->height > INT32_MAX || a->width > INT32_MAX ||
		x->height > INT32_MAX || x->width > INT32_MAX) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"image_resize: to %lld x %lld by filter %d%s: expected positive sizes "
			"below "
			"2^31, a filter of ebb_resize_filter, 8 bits, and a second image for the "
			"result",
			(long long)a->height, (long long)a->width, (int)a->filter,
			x->wide ? ", of 16 bits" : "");
		return false;
	}
	if (r->top < 0 || r->left < 0 || r->height < 1 || r->width < 1 ||
		r->height > x->height - r->top || r->width > x->width - r->left) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"image_resize: the part of %lld x %lld pixels from row %lld, column %lld "
			"on "
			"is not inside the %lld x %lld",
			(long long)r->height, (long long)r->width, (long long)r->top,
			(long long)r->left, (long long)x->height, (long long)x->width);
		return false;
	}
	return true;
}

bool(ebb_image_resize)(const ebb_image_resize_args *a)
{
	const ebb_image *x = a->x;
	ebb_image premultiplied = {0};
	ebb_rect r;
	part p;
	bool ok = true;

	if (!check(a, &r))
		return false;
	if (r.height == a->height && r.width == a->width)
		return ebb_image_crop(x, r, a->y, a->error);
	if (!ebb_image_room(a->y, a->height, a->width, x->channels, false, a->error))
		return false;
	p = (part){x->pixels + ((size_t)r.top * (size_t)x->width + (size_t)r.left) *
				       (size_t)x->channels,
		ebb_row_bytes(x), r.height, r.width, x->channels};
	if (a->filter == EBB_RESIZE_NEAREST) {
		nearest(&p, a->y);
		return true;
	}
	if (x->channels % 2 == 0) {
		if (!ebb_image_crop(x, r, &premultiplied, a->error))
			return false;
		premultiply(premultiplied.pixels, r.height * r.width, x->channels);
		p.pixels = premultiplied.pixels;
		p.stride = ebb_row_bytes(&premultiplied);
	}
	ok = filtered(&p, a->y, a->filter, a);
	if (ok && x->channels % 2 == 0)
		divide(a->y->pixels, a->height * a->width, x->channels);
	ebb_image_free(&premultiplied);
	return ok;
}
