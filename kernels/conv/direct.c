/*
 * direct.c - 2-d convolutions of NHWC images and their gradients, without im2col.
 *
 * The channels under one row of a filter are contiguous in memory.  So an output pixel is a sum
 * over kh runs of kw*c terms, and the micro-kernel reads the image in place.  Where there is
 * padding, a task first copies a few rows of the image and their padding to the scratch memory of
 * its worker.
 *
 * The gradient of the input is a convolution of gy with the rotated filter.  With a stride, it is
 * one convolution for each phase (row and column of the input, modulo the stride), with the taps
 * that reach inputs of that phase.
 */
#include "kernels/conv/direct.h"
#include "kernels/gemm/gemm.h"

#include <string.h>

enum {
	PIECE_WORK = 1 << 18, /* least multiply-adds per task */
	PIECES = 16           /* number of tasks aimed at */
};

/* A number of elements that every allocation refuses.  source_size returns it where wide padding
 * would overflow the product. */
static const int64_t TOO_MANY = INT64_C(1) << 46;

static int64_t source_size(const struct ebb_loop_nest *w, int64_t rows)
{
	double size = (double)rows * (double)w->src_cols * (double)w->k;

	return size < (double)TOO_MANY ? rows * w->src_cols * w->k : TOO_MANY;
}

void ebb_block_nest(struct ebb_loop_nest *w, int64_t block, int64_t most)
{
	int64_t tall = (w->kh - 1) * w->dilation_h + 1;

	while (block > 1 && source_size(w, (block - 1) * w->stride_h + tall) > most)
		block = ebb_ceil_div(block, 2);
	w->block = block;
	w->blocks = ebb_ceil_div(w->rows, block);
	w->src_rows = i64_max(0, (block - 1) * w->stride_h + tall);
	w->scratch = w->in_place ? 0 : ebb_lines(source_size(w, w->src_rows));
}

/* Chooses the rows per task, and computes the scratch memory that a task needs. */
static void plan(struct ebb_loop_nest *w)
{
	int64_t tall = (w->kh - 1) * w->dilation_h + 1, wide = (w->kw - 1) * w->dilation_w + 1;
	double work =
		(double)w->rows * (double)w->cols * (double)(w->kh * w->kw) * (double)(w->k * w->o);
	int64_t wanted = i64_max(1, ebb_ceil_div(PIECES, i64_max(1, w->n * w->groups)));
	double most = work / PIECE_WORK;

	w->src_cols = i64_max(0, (w->cols - 1) * w->stride_w + wide);
	wanted = most < 1 ? 1 : most < (double)wanted ? (int64_t)most : wanted;
	w->in_place = w->groups == 1 && w->pad_top <= 0 && w->pad_left <= 0 &&
	              (w->rows - 1) * w->stride_h + tall - w->pad_top <= w->h &&
	              w->src_cols - w->pad_left <= w->w;
	ebb_block_nest(w, i64_max(1, ebb_ceil_div(w->rows, wanted)), EBB_NEST_SOURCE);
}

const real *ebb_nest_source(const struct ebb_loop_nest *w, int64_t image, int64_t group,
	int64_t from, int64_t rows, real *scratch, int64_t *row_stride)
{
	const real *x = w->x + image * w->h * w->w * w->c + group * w->k;
	int64_t top = from * w->stride_h - w->pad_top, left = -w->pad_left;
	int64_t tall = (rows - 1) * w->stride_h + (w->kh - 1) * w->dilation_h + 1;
	int64_t first, end;

	if (w->in_place) {
		*row_stride = w->w * w->c;
		return x + (top * w->w + left) * w->c;
	}
	*row_stride = w->src_cols * w->k;
	/* Columns [first,end) of the scratch are copied from the image; the others are padding. */
	first = i64_min(w->src_cols, i64_max(0, -left));
	end = i64_max(first, i64_min(w->src_cols, w->w - left));
	for (int64_t r = 0; r < tall; r++) {
		real *to = scratch + r * *row_stride;
		const real *line = x + ((top + r) * w->w + left + first) * w->c;
		int64_t a = first, b = end;

		if (top + r < 0 || top + r >= w->h)
			a = b = w->src_cols;
		for (int64_t i = 0; i < a * w->k; i++)
			to[i] = 0;
		if (b > a && w->k == w->c) {
			memcpy(to + a * w->k, line, (size_t)((b - a) * w->k) * sizeof(real));
		} else {
			for (int64_t p = a; p < b; p++) {
				for (int64_t i = 0; i < w->k; i++)
					to[p * w->k + i] = line[(p - a) * w->c + i];
			}
		}
		for (int64_t i = b * w->k; i < *row_stride; i++)
			to[i] = 0;
	}
	return scratch;
}

static void nest_piece(void *ctx, int64_t piece, int worker)
{
	const struct ebb_loop_nest *w = ctx;
	int64_t block = piece % w->blocks, group = piece / w->blocks % w->groups;
	int64_t image = piece / w->blocks / w->groups;
	int64_t from = block * w->block, rows = i64_min(w->block, w->rows - from);
	int64_t terms = w->kh * w->kw * w->k, row_stride = 0;
	bool merged = w->dilation_w == 1;
	const real *x = w->x;
	const real *weight = w->weight + group * terms * ebb_panel_columns(w->o);
	const real *bias = w->bias ? w->bias + group * ebb_panel_columns(w->o) : NULL;
	real *y = w->y + image * w->y_image + from * w->y_row + group * w->o;
	struct ebb_product p = {.runs1 = w->kh,
		.runs2 = merged ? 1 : w->kw,
		.len = merged ? w->kw * w->k : w->k,
		.a_run2 = w->dilation_w * w->k,
		.a_stride = w->stride_w * w->k,
		.ldc = w->y_col};

	if (terms > 0)
		x = ebb_nest_source(
			w, image, group, from, rows, w->space + worker * w->scratch, &row_stride);
	p.a_run1 = w->dilation_h * row_stride;
	for (int64_t at = 0; at < w->o;) {
		const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(w->o - at);

		p.cols = (int)i64_min(panel->width, w->o - at);
		p.b_stride = panel->width;
		p.bias = bias ? bias + at : NULL;
		for (int64_t r = 0; r < rows; r++)
			ebb_multiply(panel, true, w->cols, p.a_stride, &p,
				x + r * w->stride_h * row_stride, weight + at * terms,
				y + r * w->y_row + at);
		at += panel->width;
	}
}

/* ---- The loop nests of the passes ------------------------------------------------------------ */

struct ebb_loop_nest ebb_forward_nest(const ebb_conv_shape *s)
{
	struct ebb_loop_nest w = {.n = s->n,
		.groups = s->groups,
		.h = s->h,
		.w = s->w,
		.c = s->c,
		.k = s->c / s->groups,
		.kh = s->kh,
		.kw = s->kw,
		.stride_h = s->stride_h,
		.stride_w = s->stride_w,
		.dilation_h = s->dilation_h,
		.dilation_w = s->dilation_w,
		.pad_top = s->pad_top,
		.pad_left = s->pad_left,
		.rows = s->oh,
		.cols = s->ow,
		.o = s->o / s->groups,
		.y_image = s->oh * s->ow * s->o,
		.y_row = s->ow * s->o,
		.y_col = s->o};

	plan(&w);
	return w;
}

/* One axis of the gradient of the input, at the inputs i with i mod stride = phase.  The taps
 * first, first + step, ... (count of them, step < 0) contribute to these inputs.  Tap `first`
 * reads the output at i/stride + start; each further tap reads the output `dilation` positions
 * later. */
struct phase {
	int64_t first, step, count, start, dilation;
};

static struct phase phase_of(
	int64_t phase, int64_t stride, int64_t dilation, int64_t pad, int64_t taps)
{
	struct phase p = {0};
	int64_t last = 0;

	for (int64_t u = taps - 1; u >= 0; u--) {
		int64_t at = phase + pad - u * dilation;

		if (at % stride)
			continue;
		at /= stride;
		if (p.count == 0) {
			p.first = u;
			p.start = at;
		} else if (p.count == 1) {
			p.step = u - p.first;
			p.dilation = at - last;
		}
		last = at;
		p.count++;
	}
	if (p.count < 2)
		p.dilation = 1;
	return p;
}

static struct ebb_loop_nest phase_nest(
	const ebb_conv_shape *s, int64_t row, int64_t col, struct phase *u, struct phase *v)
{
	struct ebb_loop_nest w = {.n = s->n,
		.groups = s->groups,
		.h = s->oh,
		.w = s->ow,
		.c = s->o,
		.k = s->o / s->groups,
		.stride_h = 1,
		.stride_w = 1,
		.o = s->c / s->groups,
		.y_image = s->h * s->w * s->c,
		.y_row = s->stride_h * s->w * s->c,
		.y_col = s->stride_w * s->c};

	*u = phase_of(row, s->stride_h, s->dilation_h, s->pad_top, s->kh);
	*v = phase_of(col, s->stride_w, s->dilation_w, s->pad_left, s->kw);
	if (u->count == 0 || v->count == 0)
		u->count = v->count = 0;
	w.kh = u->count;
	w.kw = v->count;
	w.dilation_h = u->dilation;
	w.dilation_w = v->dilation;
	w.pad_top = -u->start;
	w.pad_left = -v->start;
	w.rows = ebb_ceil_div(s->h - row, s->stride_h);
	w.cols = ebb_ceil_div(s->w - col, s->stride_w);
	plan(&w);
	return w;
}

static int64_t bias_size(const ebb_conv_shape *s)
{
	return ebb_lines(s->groups * ebb_panel_columns(s->o / s->groups));
}

size_t EBB_NAME(direct_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	int64_t threads = ebb_threads(), elements = 0;
	struct phase u, v;
	struct ebb_loop_nest w;

	switch (pass) {
	case EBB_CONV_FORWARD:
		if (ebb_is_product(s))
			return EBB_NAME(gemm_workspace)(s->n * s->h * s->w, s->o, s->c);
		if (EBB_NAME(direct_panels_fit)(s))
			return ebb_bytes_of(bias_size(s), sizeof(real)) +
			       EBB_NAME(direct_panels_workspace)(s);
		elements = bias_size(s) + ebb_packed_filters(s, false) +
		           threads * ebb_forward_nest(s).scratch;
		break;
	case EBB_CONV_GRAD_INPUT:
		if (ebb_is_product(s))
			return EBB_NAME(gemm_workspace)(s->n * s->h * s->w, s->c, s->o);
		if (EBB_NAME(scatter_fits)(s))
			return EBB_NAME(scatter_workspace)(s);
		for (int64_t i = 0; i < i64_min(s->stride_h, s->h); i++) {
			for (int64_t l = 0; l < i64_min(s->stride_w, s->w); l++) {
				w = phase_nest(s, i, l, &u, &v);
				elements = i64_max(elements, w.scratch);
			}
		}
		elements = ebb_packed_filters(s, true) + threads * elements;
		break;
	case EBB_CONV_GRAD_WEIGHT:
		return EBB_NAME(direct_weight_workspace)(s);
	}
	return ebb_bytes_of(elements, sizeof(real));
}

/* ---- Forward --------------------------------------------------------------------------------- */

void EBB_NAME(direct_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	struct ebb_loop_nest k;
	real *bias = ws, *rest = bias + bias_size(s);
	int64_t of_group = s->o / s->groups, columns = ebb_panel_columns(of_group);

	if (ebb_is_product(s)) {
		EBB_NAME(gemm_bias)
		(false, true, s->n * s->h * s->w, s->o, s->c, x, s->c, w, s->c, b, 0, y, s->o, ws);
		return;
	}
	for (int64_t g = 0; b && g < s->groups; g++) {
		for (int64_t i = 0; i < columns; i++)
			bias[g * columns + i] =
				i < of_group ? ((const real *)b)[g * of_group + i] : 0;
	}
	if (EBB_NAME(direct_panels_fit)(s)) {
		EBB_NAME(direct_panels_forward)(s, x, w, b ? bias : NULL, y, rest);
		return;
	}
	k = ebb_forward_nest(s);
	k.x = x;
	k.weight = rest;
	k.bias = b ? bias : NULL;
	k.y = y;
	k.space = rest + ebb_packed_filters(s, false);
	ebb_pack_filters(s, (struct ebb_taps){0, 1, s->kh, 0, 1, s->kw}, false, w, rest);
	ebb_run_pieces(k.n * k.groups * k.blocks, nest_piece, &k);
}

/* ---- Gradient of the input ------------------------------------------------------------------- */

void EBB_NAME(direct_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	if (ebb_is_product(s)) {
		EBB_NAME(gemm)
		(false, false, s->n * s->h * s->w, s->c, s->o, gy, s->o, w, s->c, 0, gx, s->c, ws);
		return;
	}
	if (EBB_NAME(scatter_fits)(s)) {
		EBB_NAME(scatter_grad_input)(s, gy, w, gx, ws);
		return;
	}
	for (int64_t i = 0; i < i64_min(s->stride_h, s->h); i++) {
		for (int64_t l = 0; l < i64_min(s->stride_w, s->w); l++) {
			struct phase u, v;
			struct ebb_loop_nest k = phase_nest(s, i, l, &u, &v);

			ebb_pack_filters(s,
				(struct ebb_taps){
					u.first, u.step, u.count, v.first, v.step, v.count},
				true, w, ws);
			k.x = gy;
			k.y = (real *)gx + (i * s->w + l) * s->c;
			k.weight = ws;
			k.space = (real *)ws + ebb_packed_filters(s, true);
			ebb_run_pieces(k.n * k.groups * k.blocks, nest_piece, &k);
		}
	}
}
