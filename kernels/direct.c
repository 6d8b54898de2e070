/*
 * direct.c - 2-d convolutions of NHWC images and their two gradients, without unfolding the image.
 *
 * The channels under one row of a filter lie next to each other in memory, so an output pixel is
 * a sum over kh runs of kw*c terms, and the micro-kernel reads the image as it lies.  What
 * padding there is is copied in, a few rows at a time, into a worker's scratch memory.
 *
 * The input gradient is the same convolution of gy with the filter turned round; with a stride,
 * one convolution for each phase of the input's rows and columns modulo the stride, by the taps
 * that meet that phase.  The weight gradient sums over pixels instead of channels: the same
 * micro-kernel, with the image read term by term, partial sums over fixed chunks of the batch,
 * added in order.
 */
#include "conv.h"
#include "gemm.h"
#include "microkernel.h"
#include "transpose.h"

#include <string.h>

enum {
	SCRATCH = 1 << 16,    /* elements of padded image at a time: about the second-level cache */
	PIECE_WORK = 1 << 18, /* multiply-adds that are worth a piece */
	PIECES = 16,
	PARTIAL = 1 << 22 /* elements of partial weight gradients in all */
};

/* Elements that no allocation gives: padding may be so wide that its size would overflow. */
static const int64_t TOO_MANY = INT64_C(1) << 46;

/* A dense convolution, of what the pass makes of the shape. */
struct walk {
	int64_t n, groups;
	int64_t h, w, c; /* source images, c channels in all */
	int64_t k;       /* source channels per group */
	int64_t kh, kw, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
	int64_t rows, cols, o; /* outputs, o channels per group */
	const real *x, *weight, *bias;
	real *y;
	int64_t y_image, y_row, y_col; /* strides of the output */

	bool in_place;              /* the source needs no copy */
	int64_t block, blocks;      /* output rows of one piece, pieces of one image */
	int64_t src_rows, src_cols; /* the padded source of one piece */
	int64_t scratch;            /* its elements */
	real *space;                /* of all workers */

	const real *gy; /* weight gradient */
	int64_t chunks, panels, units, gy_scratch;
	real *partial;
};

static int64_t aligned(int64_t elements)
{
	return (elements + 15) / 16 * 16;
}

static int64_t source_size(const struct walk *w, int64_t rows)
{
	double size = (double)rows * (double)w->src_cols * (double)w->k;

	return size < (double)TOO_MANY ? rows * w->src_cols * w->k : TOO_MANY;
}

/* Cuts the outputs into blocks of so many rows, or as few as their source needs for the cache, and
 * says what scratch one takes. */
static void cut(struct walk *w, int64_t block)
{
	int64_t tall = (w->kh - 1) * w->dilation_h + 1;

	while (block > 1 && source_size(w, (block - 1) * w->stride_h + tall) > SCRATCH)
		block = ebb_ceil_div(block, 2);
	w->block = block;
	w->blocks = ebb_ceil_div(w->rows, block);
	w->src_rows = ebb_max(0, (block - 1) * w->stride_h + tall);
	w->scratch = w->in_place ? 0 : aligned(source_size(w, w->src_rows));
}

/* Chooses the rows of a piece, and says what scratch it needs. */
static void plan(struct walk *w)
{
	int64_t tall = (w->kh - 1) * w->dilation_h + 1, wide = (w->kw - 1) * w->dilation_w + 1;
	double work =
		(double)w->rows * (double)w->cols * (double)(w->kh * w->kw) * (double)(w->k * w->o);
	int64_t wanted = ebb_max(1, ebb_ceil_div(PIECES, ebb_max(1, w->n * w->groups)));
	double most = work / PIECE_WORK;

	w->src_cols = ebb_max(0, (w->cols - 1) * w->stride_w + wide);
	wanted = most < 1 ? 1 : most < (double)wanted ? (int64_t)most : wanted;
	w->in_place = w->groups == 1 && w->pad_top <= 0 && w->pad_left <= 0 &&
	              (w->rows - 1) * w->stride_h + tall - w->pad_top <= w->h &&
	              w->src_cols - w->pad_left <= w->w;
	cut(w, ebb_max(1, ebb_ceil_div(w->rows, wanted)));
}

/* The source of output rows from..from+rows-1, padded, at its first channel: the address, and the
 * distance of rows.  Within it pixels are k apart. */
static const real *source(const struct walk *w, int64_t image, int64_t group, int64_t from,
	int64_t rows, real *scratch, int64_t *row_stride)
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
	/* Columns [first,end) of the scratch come from the image. */
	first = ebb_min(w->src_cols, ebb_max(0, -left));
	end = ebb_max(first, ebb_min(w->src_cols, w->w - left));
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

static void walk_piece(void *ctx, int64_t piece, int worker)
{
	const struct walk *w = ctx;
	int64_t block = piece % w->blocks, group = piece / w->blocks % w->groups;
	int64_t image = piece / w->blocks / w->groups;
	int64_t from = block * w->block, rows = ebb_min(w->block, w->rows - from);
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
		x = source(
			w, image, group, from, rows, w->space + worker * w->scratch, &row_stride);
	p.a_run1 = w->dilation_h * row_stride;
	for (int64_t at = 0; at < w->o;) {
		const struct ebb_panel *panel = ebb_panel_for(w->o - at);

		p.cols = (int)ebb_min(panel->width, w->o - at);
		p.b_stride = panel->width;
		p.bias = bias ? bias + at : NULL;
		for (int64_t r = 0; r < rows; r++)
			ebb_multiply(panel, true, w->cols, p.a_stride, &p,
				x + r * w->stride_h * row_stride, weight + at * terms,
				y + r * w->y_row + at);
		at += panel->width;
	}
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* How a pass takes the weights: terms over taps first, first+step, ... of each axis. */
struct taps {
	int64_t first_u, step_u, count_u, first_v, step_v, count_v;
};

struct pack_job {
	const ebb_conv_shape *s;
	struct taps t;
	bool turned; /* columns are input channels, terms output channels */
	const real *w;
	real *to;
	int64_t panels;
};

/* Which of the pass's taps tap number u along an axis is, or -1. */
static int64_t place_of(int64_t u, int64_t first, int64_t step, int64_t count)
{
	if (count < 2 || step == 0)
		return count > 0 && u == first ? 0 : -1;
	return (u - first) % step == 0 && (u - first) / step >= 0 && (u - first) / step < count
	               ? (u - first) / step
	               : -1;
}

/* Puts count lines of a panel, turned from rows of weights, where terms of (k, tap) and on lie. */
static void put_lines(const struct pack_job *j, int64_t count, const real *lines, int64_t width,
	int64_t k, int64_t tap, int64_t terms, real *to)
{
	int64_t kw = j->s->kw, khw = j->s->kh * kw;

	for (int64_t i = 0; i < count; i++, tap++) {
		int64_t u, v;

		if (tap == khw) {
			tap = 0;
			k++;
		}
		u = place_of(tap / kw, j->t.first_u, j->t.step_u, j->t.count_u);
		v = place_of(tap % kw, j->t.first_v, j->t.step_v, j->t.count_v);
		if (u >= 0 && v >= 0)
			memcpy(to + ((u * j->t.count_v + v) * terms + k) * width, lines + i * width,
				(size_t)width * sizeof(real));
	}
}

static void pack_panel(void *ctx, int64_t piece, int worker)
{
	enum { LINES = 64, WIDE = 2 * EBB_VLEN };
	const struct pack_job *j = ctx;
	int64_t group = piece / j->panels, wide = ebb_panels[EBB_PANELS - 1].width;
	int64_t at = piece % j->panels * wide, khw = j->s->kh * j->s->kw;
	int64_t og = j->s->o / j->s->groups, cg = j->s->c / j->s->groups;
	int64_t columns = j->turned ? cg : og, terms = j->turned ? og : cg;
	int64_t col_stride = j->turned ? khw : cg * khw;
	int64_t width = ebb_panel_for(columns - at)->width, cols = ebb_min(width, columns - at);
	int64_t taps = j->t.count_u * j->t.count_v;
	const real *w = j->w + group * og * cg * khw + at * col_stride;
	real *to = j->to + taps * terms * (group * ebb_panel_columns(columns) + at);
	/* A column's weights lie together: all of them, or those of one term. */
	int64_t length = j->turned ? khw : terms * khw, rows = j->turned ? terms : 1;
	real lines[LINES * WIDE] = {0};

	(void)worker;
	for (int64_t k = 0; k < rows; k++) {
		for (int64_t from = 0; from < length; from += LINES) {
			int64_t count = ebb_min(LINES, length - from);

			ebb_transpose(
				cols, count, w + k * cg * khw + from, col_stride, lines, width);
			put_lines(j, count, lines, width, k + from / khw, from % khw, terms, to);
		}
	}
}

static void pack_weights(
	const ebb_conv_shape *s, struct taps t, bool turned, const real *w, real *to)
{
	struct pack_job j = {s, t, turned, w, to, 0};
	int64_t columns = (turned ? s->c : s->o) / s->groups;

	j.panels = ebb_ceil_div(columns, ebb_panels[EBB_PANELS - 1].width);
	/* A few weights are packed sooner than a thread is woken. */
	if (s->o * (s->c / s->groups) * s->kh * s->kw < EBB_PARALLEL_FROM) {
		for (int64_t i = 0; i < s->groups * j.panels; i++)
			pack_panel(&j, i, 0);
	} else {
		ebb_run(s->groups * j.panels, pack_panel, &j);
	}
}

static int64_t packed_size(const ebb_conv_shape *s, bool turned)
{
	int64_t columns = (turned ? s->c : s->o) / s->groups;
	int64_t terms = (turned ? s->o : s->c) / s->groups;

	return aligned(s->groups * terms * s->kh * s->kw * ebb_panel_columns(columns));
}

/* ---- The passes as walks --------------------------------------------------------------------- */

static struct walk forward_walk(const ebb_conv_shape *s)
{
	struct walk w = {.n = s->n,
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

/* The taps of an axis that meet inputs i = phase (mod stride), from the one that reads the earliest
 * output; that output, relative to i/stride; and the distance of outputs from tap to tap. */
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

static struct walk phase_walk(
	const ebb_conv_shape *s, int64_t row, int64_t col, struct phase *u, struct phase *v)
{
	struct walk w = {.n = s->n,
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

static struct walk weight_walk(const ebb_conv_shape *s)
{
	struct walk w = forward_walk(s);
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, size = packed_size(s, false);

	/* The whole image, if the cache takes it: fewer additions to the partial sums. */
	cut(&w, w.rows);
	w.gy_scratch = aligned(w.block * w.cols * ebb_min(wide, ebb_panel_columns(w.o)));
	w.panels = ebb_ceil_div(w.o, wide);
	w.units = w.n * w.blocks;
	w.chunks = ebb_ceil_div(PIECES, w.groups * w.panels);
	w.chunks = ebb_max(1, ebb_min(ebb_min(w.chunks, PARTIAL / ebb_max(1, size)), w.units));
	return w;
}

size_t EBB_NAME(direct_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	int64_t threads = ebb_threads(), elements = 0;
	struct phase u, v;
	struct walk w;

	switch (pass) {
	case EBB_CONV_FORWARD:
		if (ebb_is_product(s))
			return EBB_NAME(gemm_workspace)(s->n * s->h * s->w, s->o, s->c);
		w = forward_walk(s);
		elements = (s->prepared ? 0 : packed_size(s, false)) +
		           aligned(s->groups * ebb_panel_columns(w.o)) + threads * w.scratch;
		break;
	case EBB_CONV_GRAD_INPUT:
		if (ebb_is_product(s))
			return EBB_NAME(gemm_workspace)(s->n * s->h * s->w, s->c, s->o);
		if (EBB_NAME(scatter_fits)(s))
			return EBB_NAME(scatter_workspace)(s);
		for (int64_t i = 0; i < ebb_min(s->stride_h, s->h); i++) {
			for (int64_t l = 0; l < ebb_min(s->stride_w, s->w); l++) {
				w = phase_walk(s, i, l, &u, &v);
				elements = ebb_max(elements, w.scratch);
			}
		}
		elements = packed_size(s, true) + threads * elements;
		break;
	case EBB_CONV_GRAD_WEIGHT:
		w = weight_walk(s);
		elements = w.chunks * packed_size(s, false) + threads * (w.scratch + w.gy_scratch);
		break;
	}
	return (size_t)elements * sizeof(real);
}

size_t EBB_NAME(direct_prepared)(const ebb_conv_shape *s)
{
	return ebb_is_product(s) ? 0 : (size_t)packed_size(s, false) * sizeof(real);
}

void EBB_NAME(direct_prepare)(const ebb_conv_shape *s, const void *w, void *prepared)
{
	pack_weights(s, (struct taps){0, 1, s->kh, 0, 1, s->kw}, false, w, prepared);
}

/* ---- Forward --------------------------------------------------------------------------------- */

void EBB_NAME(direct_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	struct walk k;
	real *bias = ws;
	int64_t columns;

	if (ebb_is_product(s)) {
		EBB_NAME(gemm_bias)
		(false, true, s->n * s->h * s->w, s->o, s->c, x, s->c, w, s->c, b, 0, y, s->o, ws);
		return;
	}
	k = forward_walk(s);
	columns = ebb_panel_columns(k.o);
	k.space = bias + aligned(k.groups * columns);
	k.weight = w;
	if (!s->prepared) {
		k.weight = k.space + ebb_threads() * k.scratch;
		EBB_NAME(direct_prepare)(s, w, (real *)k.weight);
	}
	for (int64_t g = 0; b && g < k.groups; g++) {
		for (int64_t i = 0; i < columns; i++)
			bias[g * columns + i] = i < k.o ? ((const real *)b)[g * k.o + i] : 0;
	}
	k.x = x;
	k.y = y;
	k.bias = b ? bias : NULL;
	ebb_run(k.n * k.groups * k.blocks, walk_piece, &k);
}

/* ---- The input's gradient -------------------------------------------------------------------- */

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
	for (int64_t i = 0; i < ebb_min(s->stride_h, s->h); i++) {
		for (int64_t l = 0; l < ebb_min(s->stride_w, s->w); l++) {
			struct phase u, v;
			struct walk k = phase_walk(s, i, l, &u, &v);

			pack_weights(s,
				(struct taps){u.first, u.step, u.count, v.first, v.step, v.count},
				true, w, ws);
			k.x = gy;
			k.y = (real *)gx + (i * s->w + l) * s->c;
			k.weight = ws;
			k.space = (real *)ws + packed_size(s, true);
			ebb_run(k.n * k.groups * k.blocks, walk_piece, &k);
		}
	}
}

/* ---- The weights' gradient ------------------------------------------------------------------- */

/* Adds to one panel of one chunk's sum what the output rows of one unit give. */
static void weight_unit(const struct walk *w, int64_t unit, int64_t group, int64_t at,
	const struct ebb_panel *panel, real *scratch, bool add, real *to)
{
	int64_t image = unit / w->blocks, from = unit % w->blocks * w->block;
	int64_t rows = ebb_min(w->block, w->rows - from), row_stride;
	int64_t cols = ebb_min(panel->width, w->o - at), all = w->o * w->groups;
	const real *gy = w->gy + (image * w->rows + from) * w->cols * all + group * w->o + at;
	const real *x = source(w, image, group, from, rows, scratch, &row_stride);
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
		/* A row read whole ends in the next ones, in columns that nobody reads; after the last
		 * of them there may be nothing. */
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
	const struct walk *w = ctx;
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, terms = w->kh * w->kw * w->k;
	int64_t at = piece % w->panels * wide, group = piece / w->panels % w->groups;
	int64_t chunk = piece / w->panels / w->groups;
	int64_t from = w->units * chunk / w->chunks, to = w->units * (chunk + 1) / w->chunks;
	const struct ebb_panel *panel = ebb_panel_for(w->o - at);
	real *sum =
		w->partial + ((chunk * w->groups + group) * ebb_panel_columns(w->o) + at) * terms;

	for (int64_t unit = from; unit < to; unit++)
		weight_unit(w, unit, group, at, panel,
			w->space + worker * (w->scratch + w->gy_scratch), unit > from, sum);
}

struct sum_job {
	const struct walk *w;
	real *gw;
};

/* Adds the chunks' sums of one panel, in order, and puts them where weights lie. */
static void sum_panel(void *ctx, int64_t piece, int worker)
{
	const struct sum_job *j = ctx;
	const struct walk *w = j->w;
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, taps = w->kh * w->kw, terms = taps * w->k;
	int64_t at = piece % w->panels * wide, group = piece / w->panels;
	int64_t width = ebb_panel_for(w->o - at)->width, cols = ebb_min(width, w->o - at);
	int64_t size = ebb_panel_columns(w->o) * terms;

	(void)worker;
	for (int64_t i = 0; i < terms; i++) {
		const real *from = w->partial + group * size + at * terms + i * width;
		real *to = j->gw + (group * w->o + at) * terms + i % w->k * taps + i / w->k;

		for (int64_t o = 0; o < cols; o++) {
			double sum = 0;

			for (int64_t chunk = 0; chunk < w->chunks; chunk++)
				sum += from[chunk * w->groups * size + o];
			to[o * terms] = (real)sum;
		}
	}
}

void EBB_NAME(direct_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct walk w;
	struct sum_job j = {&w, gw};
	int64_t size = s->o * (s->c / s->groups) * s->kh * s->kw;

	w = weight_walk(s);
	w.x = x;
	w.gy = gy;
	w.partial = ws;
	w.space = w.partial + w.chunks * packed_size(s, false);
	ebb_run(w.chunks * w.groups * w.panels, weight_piece, &w);
	if (size < EBB_PARALLEL_FROM) {
		for (int64_t i = 0; i < w.groups * w.panels; i++)
			sum_panel(&j, i, 0);
	} else {
		ebb_run(w.groups * w.panels, sum_panel, &j);
	}
}
