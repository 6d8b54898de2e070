/*
 * direct_weight.c - the direct convolution's gradient of the weights.
 *
 * The micro-kernel sums over pixels instead of channels, and reads the image by term
 * (microkernel.h).  It computes partial sums over fixed chunks of the batch, which are then added
 * in order.
 */
#include "kernels/conv/direct.h"

enum {
	PIECES = 16,      /* number of tasks aimed at */
	PARTIAL = 1 << 22 /* most elements of all partial sums */
};

struct job {
	struct ebb_loop_nest w;
	const real *gy;
	int64_t chunks, panels, units, gy_scratch;
	real *partial, *gw;
};

static struct job job_of(const ebb_conv_shape *s)
{
	struct job j = {.w = ebb_forward_nest(s)};
	struct ebb_loop_nest *w = &j.w;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, size = ebb_packed_filters(s, false);

	/* A unit is the whole image if the cache holds it, so that partial sums are updated less
	 * often. */
	ebb_block_nest(w, w->rows, EBB_NEST_SOURCE);
	j.gy_scratch = ebb_lines(w->block * w->cols * i64_min(wide, ebb_panel_columns(w->o)));
	j.panels = ebb_ceil_div(w->o, wide);
	j.units = w->n * w->blocks;
	j.chunks = ebb_ceil_div(PIECES, w->groups * j.panels);
	j.chunks = i64_max(1, i64_min(i64_min(j.chunks, PARTIAL / i64_max(1, size)), j.units));
	return j;
}

size_t EBB_NAME(direct_weight_workspace)(const ebb_conv_shape *s)
{
	struct job j = job_of(s);
	int64_t scratch = j.w.scratch + j.gy_scratch;

	return ebb_bytes_of(
		j.chunks * ebb_packed_filters(s, false) + ebb_threads() * scratch, sizeof(real));
}

/* Adds the terms of the output rows of one unit to one panel of the partial sum of a chunk. */
static void weight_unit(const struct job *j, int64_t unit, int64_t group, int64_t at,
	const struct ebb_gemm_panel *panel, real *scratch, bool add, real *to)
{
	const struct ebb_loop_nest *w = &j->w;
	int64_t image = unit / w->blocks, from = unit % w->blocks * w->block;
	int64_t rows = i64_min(w->block, w->rows - from), row_stride;
	int64_t cols = i64_min(panel->width, w->o - at), all = w->o * w->groups;
	const real *gy = j->gy + (image * w->rows + from) * w->cols * all + group * w->o + at;
	const real *x = ebb_nest_source(w, image, group, from, rows, scratch, &row_stride);
	bool merged = w->dilation_w == 1;
	int64_t taps = merged ? 1 : w->kw, len = merged ? w->kw * w->k : w->k;
	struct ebb_product p = {.runs1 = rows,
		.runs2 = 1,
		.len = w->cols,
		.a_run1 = w->stride_h * row_stride,
		.a_stride = w->stride_w * w->k,
		.b_stride = all,
		.ldc = panel->width,
		.cols = panel->width,
		.add = add};

	if (cols < panel->width) {
		/* The micro-kernel reads whole panels of gy.  The last panel of a pixel extends
		 * into the next pixels; these columns of the result are never read.  The panels of
		 * the last pixels would extend beyond gy, so their rows are copied. */
		int64_t pixels = (image * w->rows + from + rows) * w->cols;
		int64_t end = (pixels - 1) * all + group * w->o + at + panel->width;
		bool last = end > w->n * w->rows * w->cols * all;
		real *dense = scratch + w->scratch;

		for (int64_t i = 0; last && i < rows * w->cols; i++) {
			for (int64_t k = 0; k < panel->width; k++)
				dense[i * panel->width + k] = k < cols ? gy[i * all + k] : 0;
		}
		gy = last ? dense : gy;
		p.b_stride = last ? panel->width : all;
	}
	for (int64_t u = 0; u < w->kh; u++) {
		for (int64_t v = 0; v < taps; v++)
			ebb_multiply(panel, false, len, 1, &p,
				x + u * w->dilation_h * row_stride + v * w->dilation_w * w->k, gy,
				to + (u * w->kw + v) * w->k * panel->width);
	}
}

static void weight_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_loop_nest *w = &j->w;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, terms = w->kh * w->kw * w->k;
	int64_t at = piece % j->panels * wide, group = piece / j->panels % w->groups;
	int64_t chunk = piece / j->panels / w->groups;
	int64_t from = j->units * chunk / j->chunks, to = j->units * (chunk + 1) / j->chunks;
	const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(w->o - at);
	real *sum =
		j->partial + ((chunk * w->groups + group) * ebb_panel_columns(w->o) + at) * terms;

	for (int64_t unit = from; unit < to; unit++)
		weight_unit(j, unit, group, at, panel,
			w->space + worker * (w->scratch + j->gy_scratch), unit > from, sum);
}

/* Adds the partial sums of all chunks for one panel, in the order of the chunks, and writes the
 * weights. */
static void sum_panel(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_loop_nest *w = &j->w;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, taps = w->kh * w->kw,
		terms = taps * w->k;
	int64_t at = piece % j->panels * wide, group = piece / j->panels;
	int64_t width = ebb_gemm_panel_for(w->o - at)->width, cols = i64_min(width, w->o - at);
	int64_t size = ebb_panel_columns(w->o) * terms;

	(void)worker;
	for (int64_t i = 0; i < terms; i++) {
		const real *from = j->partial + group * size + at * terms + i * width;
		real *to = j->gw + (group * w->o + at) * terms + i % w->k * taps + i / w->k;

		for (int64_t o = 0; o < cols; o++) {
			double sum = 0;

			for (int64_t chunk = 0; chunk < j->chunks; chunk++)
				sum += from[chunk * w->groups * size + o];
			to[o * terms] = (real)sum;
		}
	}
}

void EBB_NAME(direct_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct job j = job_of(s);
	int64_t size = s->o * (s->c / s->groups) * s->kh * s->kw, panels = j.w.groups * j.panels;

	j.w.x = x;
	j.gy = gy;
	j.gw = gw;
	j.partial = ws;
	j.w.space = j.partial + j.chunks * ebb_packed_filters(s, false);
	ebb_run_pieces(j.chunks * panels, weight_piece, &j);
	if (size < EBB_PARALLEL_FROM) {
		for (int64_t i = 0; i < panels; i++)
			sum_panel(&j, i, 0);
	} else {
		ebb_run_pieces(panels, sum_panel, &j);
	}
}
