/*
 * depthwise.c - depthwise convolutions, with one channel per group: vectors run over the channels.
 */
#include "kernels/conv/conv.h"

/* Most partial sums of the gradient of the weights, one per chunk of the batch. */
enum { CHUNKS = 16 };

struct depthwise_job {
	const ebb_conv_shape *s;
	const real *x, *w, *b;
	real *y;
	int64_t chunks;
};

size_t EBB_NAME(depthwise_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	int64_t taps = s->kh * s->kw * s->c;

	if (pass == EBB_CONV_GRAD_WEIGHT)
		taps *= i64_min(CHUNKS, s->n);
	return ebb_bytes_of(taps, sizeof(real));
}

/* to[tap][channel], so that a vector loads the weights of adjacent channels. */
static void pack(const ebb_conv_shape *s, const real *w, real *to)
{
	int64_t taps = s->kh * s->kw;

	for (int64_t k = 0; k < taps; k++) {
		for (int64_t c = 0; c < s->c; c++)
			to[k * s->c + c] = w[c * taps + k];
	}
}

static void add_product(int64_t n, const real *a, const real *b, real *restrict y)
{
	EBB_IVDEP
	for (int64_t i = 0; i < n; i++)
		y[i] += a[i] * b[i];
}

static void forward_row(void *ctx, int64_t row, int worker)
{
	const struct depthwise_job *j = ctx;
	const ebb_conv_shape s = *j->s;
	const real *image = j->x + row / s.oh * s.h * s.w * s.c;
	int64_t top = row % s.oh * s.stride_h - s.pad_top;

	(void)worker;
	for (int64_t o = 0; o < s.ow; o++) {
		real *y = j->y + (row * s.ow + o) * s.c;
		int64_t left = o * s.stride_w - s.pad_left;

		for (int64_t c = 0; c < s.c; c++)
			y[c] = j->b ? j->b[c] : 0;
		for (int64_t u = 0; u < s.kh; u++) {
			int64_t i = top + u * s.dilation_h;

			if (i < 0 || i >= s.h)
				continue;
			for (int64_t v = 0; v < s.kw; v++) {
				int64_t k = left + v * s.dilation_w;

				if (k >= 0 && k < s.w)
					add_product(s.c, image + (i * s.w + k) * s.c,
						j->w + (u * s.kw + v) * s.c, y);
			}
		}
	}
}

void EBB_NAME(depthwise_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	struct depthwise_job j = {.s = s, .x = x, .w = ws, .b = b, .y = y};

	pack(s, w, ws);
	ebb_run_pieces(s->n * s->oh, forward_row, &j);
}

/* The output to which the input at position `at` contributes through filter tap `tap`, or -1. */
static int64_t meets(
	int64_t at, int64_t pad, int64_t tap, int64_t dilation, int64_t stride, int64_t out)
{
	int64_t i = at + pad - tap * dilation;

	return i < 0 || i % stride || i / stride >= out ? -1 : i / stride;
}

static void grad_input_row(void *ctx, int64_t row, int worker)
{
	const struct depthwise_job *j = ctx;
	const ebb_conv_shape s = *j->s;
	const real *image = j->x + row / s.h * s.oh * s.ow * s.c;

	(void)worker;
	for (int64_t l = 0; l < s.w; l++) {
		real *gx = j->y + (row * s.w + l) * s.c;

		for (int64_t c = 0; c < s.c; c++)
			gx[c] = 0;
		for (int64_t u = 0; u < s.kh; u++) {
			int64_t i = meets(row % s.h, s.pad_top, u, s.dilation_h, s.stride_h, s.oh);

			for (int64_t v = 0; i >= 0 && v < s.kw; v++) {
				int64_t k = meets(l, s.pad_left, v, s.dilation_w, s.stride_w, s.ow);

				if (k >= 0)
					add_product(s.c, image + (i * s.ow + k) * s.c,
						j->w + (u * s.kw + v) * s.c, gx);
			}
		}
	}
}

void EBB_NAME(depthwise_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	struct depthwise_job j = {.s = s, .x = gy, .w = ws, .y = gx};

	pack(s, w, ws);
	ebb_run_pieces(s->n * s->h, grad_input_row, &j);
}

static void grad_weight_chunk(void *ctx, int64_t chunk, int worker)
{
	const struct depthwise_job *j = ctx;
	const ebb_conv_shape s = *j->s;
	int64_t size = s.kh * s.kw * s.c;
	int64_t from = s.n * chunk / j->chunks, to = s.n * (chunk + 1) / j->chunks;
	real *gw = j->y + chunk * size;

	(void)worker;
	for (int64_t k = 0; k < size; k++)
		gw[k] = 0;
	for (int64_t row = from * s.oh; row < to * s.oh; row++) {
		const real *image = j->x + row / s.oh * s.h * s.w * s.c;

		for (int64_t u = 0; u < s.kh; u++) {
			int64_t i = row % s.oh * s.stride_h - s.pad_top + u * s.dilation_h;

			if (i < 0 || i >= s.h)
				continue;
			for (int64_t v = 0; v < s.kw; v++) {
				for (int64_t o = 0; o < s.ow; o++) {
					int64_t k = o * s.stride_w - s.pad_left + v * s.dilation_w;

					if (k >= 0 && k < s.w)
						add_product(s.c, image + (i * s.w + k) * s.c,
							j->w + (row * s.ow + o) * s.c,
							gw + (u * s.kw + v) * s.c);
				}
			}
		}
	}
}

void EBB_NAME(depthwise_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct depthwise_job j = {
		.s = s, .x = x, .w = gy, .y = ws, .chunks = i64_min(CHUNKS, s->n)};
	int64_t taps = s->kh * s->kw;
	const real *part = ws;

	ebb_run_pieces(j.chunks, grad_weight_chunk, &j);
	for (int64_t c = 0; c < s->c; c++) {
		for (int64_t k = 0; k < taps; k++) {
			double sum = 0;

			for (int64_t i = 0; i < j.chunks; i++)
				sum += part[(i * taps + k) * s->c + c];
			((real *)gw)[c * taps + k] = (real)sum;
		}
	}
}
