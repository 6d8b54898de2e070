/*
 * direct_panels.c - the direct convolution forward, for few output positions and many filters.
 *
 * Most of what such a convolution reads are the filters.  Packing all of them beforehand would
 * move them through memory three times: read, write, read again.  So a task is a panel of output
 * channels: it packs its filters for some input channels into a buffer that stays in the cache,
 * multiplies them with all positions, and goes on to the next input channels.
 */
#include "kernels/conv/prefetch.h"
#include "kernels/conv/direct.h"
#include "kernels/transpose.h"

enum {
	FEW_POSITIONS = 512,   /* most output positions */
	PANELS = 8,            /* least panels per group, so that there are enough tasks */
	MOST_SOURCE = 1 << 17, /* most source elements: every task reads all of them */
	BUFFER = 1 << 13,      /* elements of packed filters, unless 16 channels need more */
	MOST_TAPS = 49
};

struct job {
	struct ebb_loop_nest w; /* block: all output rows of an image */
	const real *filters;
	int64_t panels, channels; /* panels per group; input channels per buffer */
	int64_t buffer;
	real *padded, *buffers;
};

static struct job job_of(const ebb_conv_shape *s)
{
	struct job j = {.w = ebb_forward_nest(s)};
	struct ebb_loop_nest *w = &j.w;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, taps = w->kh * w->kw, times;

	ebb_block_nest(w, w->rows, MOST_SOURCE);
	j.panels = ebb_ceil_div(w->o, wide);
	/* Buffers of equal size, rounded to cache lines. */
	times = ebb_ceil_div(w->k * taps * wide, BUFFER);
	j.channels = i64_min(ebb_lines(ebb_ceil_div(w->k, times)), w->k);
	j.buffer = ebb_lines(j.channels * taps * wide);
	return j;
}

bool EBB_NAME(direct_panels_fit)(const ebb_conv_shape *s)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width;
	double tall = (double)(s->oh - 1) * (double)s->stride_h +
	              (double)(s->kh - 1) * (double)s->dilation_h + 1;
	double broad = (double)(s->ow - 1) * (double)s->stride_w +
	               (double)(s->kw - 1) * (double)s->dilation_w + 1;

	return (double)s->n * (double)s->oh * (double)s->ow <= FEW_POSITIONS &&
	       s->o / s->groups >= PANELS * wide && s->kh <= MOST_TAPS && s->kw <= MOST_TAPS &&
	       s->kh * s->kw <= MOST_TAPS && (double)(s->n * s->c) * tall * broad <= MOST_SOURCE;
}

size_t EBB_NAME(direct_panels_workspace)(const ebb_conv_shape *s)
{
	struct job j = job_of(s);

	return ebb_bytes_of(
		s->n * s->groups * j.w.scratch + ebb_threads() * j.buffer, sizeof(real));
}

static void pad_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_loop_nest *w = &j->w;
	int64_t row_stride;

	(void)worker;
	ebb_nest_source(w, piece / w->groups, piece % w->groups, 0, w->rows,
		j->padded + piece * w->scratch, &row_stride);
}

/* Packs a panel: row (tap, channel) of `to` holds that term of all columns.  from points to the
 * first column's weights of the first channel; the weights of a channel's taps are contiguous. */
static void pack(const struct job *j, const real *from, int64_t channels, int64_t cols,
	int64_t width, real *to)
{
	int64_t taps = j->w.kh * j->w.kw, ld = j->w.k * taps, count = channels * taps;
	int64_t whole = cols / EBB_VLEN * EBB_VLEN, at = 0, tap = 0, k = 0;

	for (; at < count; at += EBB_VLEN) {
		int64_t lines = i64_min(EBB_VLEN, count - at);
		real *line[EBB_VLEN];

		for (int64_t i = 0; i < lines; i++) {
			line[i] = to + (tap * channels + k) * width;
			if (++tap == taps) {
				tap = 0;
				k++;
			}
		}
		for (int64_t c = 0; c < whole && lines == EBB_VLEN; c += EBB_VLEN) {
			ebb_vec v[EBB_VLEN];

			ebb_transpose_vectors(from + c * ld + at, ld, v);
			EBB_UNROLL(16)
			for (int i = 0; i < EBB_VLEN; i++)
				*(ebb_vec *)(void *)(line[i] + c) = v[i];
		}
		for (int64_t c = lines == EBB_VLEN ? whole : 0; c < width; c++) {
			for (int64_t i = 0; i < lines; i++)
				line[i][c] = c < cols ? from[c * ld + at + i] : 0;
		}
	}
}

/* Adds the terms of channels [from, from+channels) to one panel of all outputs. */
static void multiply(const struct job *j, int64_t group, int64_t at,
	const struct ebb_gemm_panel *panel, int64_t from, int64_t channels, const real *packed,
	struct ebb_prefetch *prefetch)
{
	const struct ebb_loop_nest *w = &j->w;
	struct ebb_product p = {.runs1 = w->kh,
		.runs2 = w->kw,
		.len = channels,
		.a_run2 = w->dilation_w * w->k,
		.a_stride = w->stride_w * w->k,
		.b_stride = panel->width,
		.ldc = w->y_col,
		.bias = w->bias && from == 0 ? w->bias + group * ebb_panel_columns(w->o) + at
	                                     : NULL,
		.cols = (int)i64_min(panel->width, w->o - at),
		.add = from > 0};

	for (int64_t image = 0; image < w->n; image++) {
		int64_t row_stride = w->src_cols * w->k;
		const real *x = j->padded + (image * w->groups + group) * w->scratch;
		real *y = w->y + image * w->y_image + group * w->o + at;

		if (w->in_place)
			x = ebb_nest_source(w, image, group, 0, w->rows, NULL, &row_stride);
		p.a_run1 = w->dilation_h * row_stride;
		for (int64_t r = 0; r < w->rows; r++) {
			ebb_prefetch_share(prefetch, w->n * w->rows);
			ebb_multiply(panel, true, w->cols, p.a_stride, &p,
				x + r * w->stride_h * row_stride + from, packed, y + r * w->y_row);
		}
	}
}

static void panel_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_loop_nest *w = &j->w;
	int64_t group = piece / j->panels, terms = w->kh * w->kw * w->k;
	int64_t at = piece % j->panels * ebb_gemm_panels[EBB_PANELS - 1].width;
	const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(w->o - at);
	const real *filters = j->filters + (group * w->o + at) * terms;
	int64_t taps = w->kh * w->kw, cols = i64_min(panel->width, w->o - at);
	real *buffer = j->buffers + worker * j->buffer;

	for (int64_t k = 0; k < w->k; k += j->channels) {
		int64_t channels = i64_min(j->channels, w->k - k), next = k + channels;
		struct ebb_prefetch prefetch = {.rows = 0};

		if (next < w->k)
			prefetch = ebb_prefetch_of(filters + next * taps, terms, cols,
				i64_min(j->channels, w->k - next) * taps);

		pack(j, filters + k * taps, channels, cols, panel->width, buffer);
		multiply(j, group, at, panel, k, channels, buffer, &prefetch);
	}
}

void EBB_NAME(direct_panels_forward)(
	const ebb_conv_shape *s, const real *x, const real *w, const real *bias, real *y, real *ws)
{
	struct job j = job_of(s);

	j.filters = w;
	j.w.x = x;
	j.w.bias = bias;
	j.w.y = y;
	j.padded = ws;
	j.buffers = ws + s->n * s->groups * j.w.scratch;
	if (!j.w.in_place)
		ebb_run_pieces(s->n * s->groups, pad_piece, &j);
	ebb_run_pieces(s->groups * j.panels, panel_piece, &j);
}
