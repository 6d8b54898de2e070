/*
 * winograd.c - stride-1 convolutions of 3 x 3 and 5 x 5 filters by products of transformed tiles:
 * forward, and the input's gradient as a convolution of gy with the filter turned round.
 *
 * Weights are transformed once.  Then each piece takes a block of tiles through three stages that
 * stay in its own cache: its inputs' values at the 36 points; at every point a product of matrices,
 * tiles by channels; the outputs.
 */
#include "winograd.h"
#include "microkernel.h"
#include "transpose.h"

#include <string.h>

#if !EBB_F64

/* Tiles whose values at all points fill about half of the second-level cache, by whole rows of the
 * micro-kernel; and pieces enough for all threads. */
enum { CACHE = 1 << 17, ROWS = EBB_VBYTES == 64 ? 14 : 6, MOST_ROWS = 4 * 14 };
/* Fewer channels leave vectors empty. */
enum { LEAST = 16 };
enum { PIECES = 16, CHANNELS = 16 /* of weights, transformed together */ };

struct job {
	struct ebb_tiling t;
	bool turned;
	const real *x, *w, *bias;
	real *y;
	real *to;      /* transformed weights: u[point*u_plane + column*c + ..] by panels */
	const real *u; /* the same, read */
	real *space;   /* of all workers */
	int64_t u_plane, worker_space;
};

struct ebb_tiling ebb_tiling_of(const ebb_conv_shape *s, bool turned)
{
	struct ebb_tiling t = {.n = s->n,
		.h = s->h,
		.w = s->w,
		.c = s->c,
		.oh = s->oh,
		.ow = s->ow,
		.o = s->o,
		.r = s->kh,
		.m = EBB_TILE + 1 - s->kh,
		.pad_top = s->pad_top,
		.pad_left = s->pad_left};
	int64_t fit;

	if (turned) {
		t.h = s->oh;
		t.w = s->ow;
		t.c = s->o;
		t.oh = s->h;
		t.ow = s->w;
		t.o = s->c;
		t.pad_top = s->kh - 1 - s->pad_top;
		t.pad_left = s->kw - 1 - s->pad_left;
	}
	t.across = ebb_ceil_div(t.ow, t.m);
	t.per_image = ebb_ceil_div(t.oh, t.m) * t.across;
	t.tiles = t.n * t.per_image;
	t.cp = ebb_row(t.c);
	t.op = ebb_row(ebb_panel_columns(t.o));
	fit = CACHE / (EBB_POINTS * (t.cp + t.op)) / ROWS * ROWS;
	t.block = ebb_max(2 * ROWS, ebb_min(fit, MOST_ROWS));
	t.block =
		ebb_max(ROWS, ebb_min(t.block, ebb_round_up(ebb_ceil_div(t.tiles, PIECES), ROWS)));
	t.c_plane = ebb_plane(t.block * t.cp);
	t.o_plane = ebb_plane(t.block * t.op);
	return t;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

static struct ebb_part part_of(
	const struct ebb_tiling *t, const real *x, int64_t tile, const real *zeros)
{
	int64_t image = tile / t->per_image, at = tile % t->per_image;
	int64_t top = at / t->across * t->m - t->pad_top;
	int64_t left = at % t->across * t->m - t->pad_left;
	struct ebb_part p;

	p.from = ebb_max(0, ebb_min(EBB_TILE, -left));
	p.to = ebb_max(p.from, ebb_min(EBB_TILE, t->w - left));
	for (int64_t i = 0; i < EBB_TILE; i++) {
		bool inside = top + i >= 0 && top + i < t->h && p.to > p.from;

		p.row[i] = inside ? x + ((image * t->h + top + i) * t->w + left + p.from) * t->c
		                  : zeros;
	}
	return p;
}

/* Where one vector of channels of one tile is read: `lanes` channels from number k on. */
struct column {
	const struct ebb_part *p;
	int64_t c, k, lanes;
};

EBB_INLINE ebb_vec pixel(const struct column *at, const bool inner, const bool whole, int i, int j)
{
	const real *from = at->p->row[i] + (j - at->p->from) * at->c + at->k;

	if (!inner && (j < at->p->from || j >= at->p->to))
		return (ebb_vec){0};
	return whole ? ebb_load(from) : ebb_load_part(from, at->lanes);
}

EBB_INLINE void put_row(const ebb_vec *e, real *v, int64_t plane, int i)
{
	ebb_vec out[EBB_TILE];

	ebb_tile_input(e, out);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		ebb_store(v + (EBB_TILE * i + j) * plane, out[j]);
}

/* B^T along the columns by rows that need the same pixels, so that all stays in registers: reading
 * a pixel again costs less than keeping it.  The formulas are ebb_tile_input's. */
EBB_INLINE void input_channels(
	const struct column *at, const bool inner, const bool whole, real *v, int64_t plane)
{
	ebb_vec e[EBB_TILE], f[EBB_TILE];

	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		e[j] = ebb_tile_first(pixel(at, inner, whole, 0, j), pixel(at, inner, whole, 2, j),
			pixel(at, inner, whole, 4, j));
	put_row(e, v, plane, 0);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		ebb_tile_pair(EBB_POINT_A, EBB_BB, pixel(at, inner, whole, 1, j),
			pixel(at, inner, whole, 2, j), pixel(at, inner, whole, 3, j),
			pixel(at, inner, whole, 4, j), &e[j], &f[j]);
	put_row(e, v, plane, 1);
	put_row(f, v, plane, 2);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		ebb_tile_pair(EBB_POINT_B, EBB_AA, pixel(at, inner, whole, 1, j),
			pixel(at, inner, whole, 2, j), pixel(at, inner, whole, 3, j),
			pixel(at, inner, whole, 4, j), &e[j], &f[j]);
	put_row(e, v, plane, 3);
	put_row(f, v, plane, 4);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		e[j] = ebb_tile_first(pixel(at, inner, whole, 1, j), pixel(at, inner, whole, 3, j),
			pixel(at, inner, whole, 5, j));
	put_row(e, v, plane, 5);
}

void ebb_transform_input(const struct ebb_tiling *t, const real *x, int64_t first, int64_t count,
	const real *zeros, real *v)
{
	int64_t whole = t->c / EBB_VLEN * EBB_VLEN;

	for (int64_t i = 0; i < count; i++) {
		struct ebb_part p = part_of(t, x, first + i, zeros);
		struct column at = {&p, t->c, 0, t->c - whole};
		real *to = v + i * t->cp;

		if (p.from == 0 && p.to == EBB_TILE) {
			for (; at.k < whole; at.k += EBB_VLEN)
				input_channels(&at, true, true, to + at.k, t->c_plane);
		} else {
			for (; at.k < whole; at.k += EBB_VLEN)
				input_channels(&at, false, true, to + at.k, t->c_plane);
		}
		if (whole < t->c)
			input_channels(&at, false, false, to + whole, t->c_plane);
	}
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* Values at the points of one channel's taps, from[tap][lane]. */
EBB_INLINE void weight_values(
	const int r, const bool turned, const real *from, real *to, int64_t plane, int64_t lanes)
{
	ebb_vec g[EBB_MAX_TAPS], e[EBB_TILE * EBB_MAX_TAPS], u[EBB_TILE];

	EBB_UNROLL(5)
	for (int j = 0; j < r; j++) {
		EBB_UNROLL(5)
		for (int i = 0; i < r; i++) {
			int tap = turned ? r * r - 1 - (i * r + j) : i * r + j;

			g[i] = ebb_load(from + tap * EBB_VLEN);
		}
		ebb_evaluate(r, g, 1, e + j, r);
		ebb_divide_by_distances(e + j, r);
	}
	EBB_UNROLL(6)
	for (int i = 0; i < EBB_TILE; i++) {
		ebb_evaluate(r, e + i * r, 1, u, 1);
		ebb_divide_by_distances(u, 1);
		EBB_UNROLL(6)
		for (int j = 0; j < EBB_TILE; j++) {
			real *at = to + (EBB_TILE * i + j) * plane;

			if (lanes == EBB_VLEN)
				ebb_store(at, u[j]);
			else
				ebb_store_part(at, u[j], lanes);
		}
	}
}

/* Source channels [c,c+count) of `lanes` columns from `column` on. */
static void transform_columns(const struct job *j, int64_t column, int64_t lanes, int64_t c,
	int64_t count, real *u, int64_t width)
{
	const struct ebb_tiling *t = &j->t;
	int64_t taps = t->r * t->r, there = ebb_max(0, ebb_min(lanes, t->o - column));
	real turned[CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS * EBB_VLEN];

	if (there < EBB_VLEN)
		memset(turned, 0, (size_t)(count * taps * EBB_VLEN) * sizeof(real));
	if (there > 0 && !j->turned)
		ebb_transpose(there, count * taps, j->w + (column * t->c + c) * taps, t->c * taps,
			turned, EBB_VLEN);
	for (int64_t k = 0; there > 0 && j->turned && k < count; k++)
		ebb_transpose(there, taps, j->w + ((c + k) * t->o + column) * taps, taps,
			turned + k * taps * EBB_VLEN, EBB_VLEN);
	for (int64_t k = 0; k < count; k++) {
		const real *from = turned + k * taps * EBB_VLEN;
		real *to = u + (c + k) * width;

		if (t->r == 3 && j->turned)
			weight_values(3, true, from, to, j->u_plane, lanes);
		else if (t->r == 3)
			weight_values(3, false, from, to, j->u_plane, lanes);
		else
			weight_values(5, j->turned, from, to, j->u_plane, lanes);
	}
}

static void weight_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t c = piece * CHANNELS, count = ebb_min(CHANNELS, j->t.c - c);

	(void)worker;
	for (int64_t at = 0; at < j->t.o;) {
		int64_t width = ebb_panel_for(j->t.o - at)->width;

		for (int64_t i = 0; i < width; i += EBB_VLEN)
			transform_columns(j, at + i, ebb_min(EBB_VLEN, width - i), c, count,
				j->to + at * j->t.c + i, width);
		at += width;
	}
}

/* ---- Outputs --------------------------------------------------------------------------------- */

/* Where one vector of channels of a tile goes: `lanes` channels, rows x cols outputs. */
struct place {
	real *y;
	int64_t row, pixel; /* distances */
	int64_t rows, cols, lanes;
	bool stream;
	ebb_vec bias;
};

EBB_INLINE void put_outputs(
	const int m, const struct place *to, const bool inner, const ebb_vec *e, int i)
{
	ebb_vec out[4];

	if (!inner && i >= to->rows)
		return;
	ebb_combine(m, e, 1, out, 1);
	EBB_UNROLL(4)
	for (int j = 0; j < m; j++) {
		real *y = to->y + i * to->row + j * to->pixel;

		if (!inner && j >= to->cols)
			break;
		if (inner && to->stream)
			ebb_stream(y, out[j] + to->bias);
		else if (inner || to->lanes == EBB_VLEN)
			ebb_store(y, out[j] + to->bias);
		else
			ebb_store_part(y, out[j] + to->bias, to->lanes);
	}
}

/* The columns by even and by odd rows, so that all stays in registers; the formulas are
 * ebb_combine's. */
EBB_INLINE void output_channels(
	const int m, const bool inner, const real *values, int64_t plane, const struct place *to)
{
	ebb_vec e[EBB_TILE], f[EBB_TILE];

	const real *row[EBB_TILE];
	int64_t at = 0;

	EBB_UNROLL(6)
	for (int i = 0; i < EBB_TILE; i++) {
		row[i] = values + EBB_TILE * i * plane;
		EBB_HIDE(row[i]);
	}
#define VALUE(i) ebb_load(row[i] + at)
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++) {
		ebb_vec a = VALUE(1) + VALUE(2), b = VALUE(3) + VALUE(4);

		e[j] = VALUE(0) + a + b;
		f[j] = EBB_AA * a + EBB_BB * b;
		at += plane;
		EBB_HIDE(at);
	}
	put_outputs(m, to, inner, e, 0);
	if (m == 4)
		put_outputs(m, to, inner, f, 2);
	at = 0;
	EBB_HIDE(at);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++) {
		ebb_vec a = EBB_POINT_A * (VALUE(1) - VALUE(2));
		ebb_vec b = EBB_POINT_B * (VALUE(3) - VALUE(4));

		e[j] = a + b + (m == 2 ? VALUE(5) : (ebb_vec){0});
		f[j] = EBB_AA * a + EBB_BB * b + VALUE(5);
		at += plane;
		EBB_HIDE(at);
	}
#undef VALUE
	put_outputs(m, to, inner, e, 1);
	if (m == 4)
		put_outputs(m, to, inner, f, 3);
}

static void transform_output(const struct job *j, int64_t first, int64_t count, const real *values)
{
	const struct ebb_tiling *t = &j->t;
	struct place to = {.row = t->ow * t->o, .pixel = t->o};

	to.stream = ebb_streams(t->n * t->oh * t->ow * t->o) && t->o % EBB_VLEN == 0 &&
	            ebb_is_aligned(j->y);

	for (int64_t i = 0; i < count; i++) {
		int64_t image = (first + i) / t->per_image, at = (first + i) % t->per_image;
		int64_t top = at / t->across * t->m, left = at % t->across * t->m;
		real *y = j->y + ((image * t->oh + top) * t->ow + left) * t->o;

		to.rows = t->oh - top;
		to.cols = t->ow - left;
		for (int64_t k = 0; k < t->o; k += EBB_VLEN) {
			const real *from = values + i * t->op + k;

			to.y = y + k;
			to.lanes = ebb_min(EBB_VLEN, t->o - k);
			to.bias = (ebb_vec){0};
			if (j->bias)
				to.bias = to.lanes == EBB_VLEN
				                  ? ebb_load(j->bias + k)
				                  : ebb_load_part(j->bias + k, to.lanes);
			if (t->m == 2)
				output_channels(2, false, from, t->o_plane, &to);
			else if (to.rows >= 4 && to.cols >= 4 && to.lanes == EBB_VLEN)
				output_channels(4, true, from, t->o_plane, &to);
			else
				output_channels(4, false, from, t->o_plane, &to);
		}
	}
	ebb_stream_end();
}

/* ---- A block of tiles ------------------------------------------------------------------------ */

static void block_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t first = piece * t->block, count = ebb_min(t->block, t->tiles - first);
	real *zeros = j->space + worker * j->worker_space;
	real *v = zeros + ebb_plane(EBB_TILE * t->c), *values = v + EBB_POINTS * t->c_plane;
	struct ebb_product p = {
		.runs1 = 1, .runs2 = 1, .len = t->c, .a_stride = t->cp, .ldc = t->op};

	for (int64_t i = 0; i < EBB_TILE * t->c; i++)
		zeros[i] = 0;
	ebb_transform_input(t, j->x, first, count, zeros, v);
	for (int64_t q = 0; q < EBB_POINTS; q++) {
		for (int64_t at = 0; at < t->o;) {
			const struct ebb_panel *panel = ebb_panel_for(t->o - at);

			p.cols = panel->width;
			p.b_stride = panel->width;
			ebb_multiply(panel, true, count, t->cp, &p, v + q * t->c_plane,
				j->u + q * j->u_plane + at * t->c, values + q * t->o_plane + at);
			at += panel->width;
		}
	}
	transform_output(j, first, count, values);
}

static struct job job_of(const ebb_conv_shape *s, bool turned)
{
	struct job j = {.t = ebb_tiling_of(s, turned), .turned = turned};

	j.u_plane = ebb_plane(j.t.c * ebb_panel_columns(j.t.o));
	j.worker_space = ebb_plane(EBB_TILE * j.t.c) + EBB_POINTS * (j.t.c_plane + j.t.o_plane) +
	                 ebb_plane(EBB_VLEN);
	return j;
}

static void transform_weights(struct job *j, const real *w, real *to)
{
	j->w = w;
	j->u = j->to = to;
	ebb_run(ebb_ceil_div(j->t.c, CHANNELS), weight_piece, j);
}

static void run(struct job *j)
{
	ebb_run(ebb_ceil_div(j->t.tiles, j->t.block), block_piece, j);
}

size_t EBB_NAME(winograd_products_workspace)(const ebb_conv_shape *s, bool turned)
{
	struct job j = job_of(s, turned);

	return (size_t)(EBB_POINTS * j.u_plane + ebb_threads() * j.worker_space) * sizeof(real);
}

void EBB_NAME(winograd_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	struct job j = job_of(s, false);

	j.x = x;
	j.bias = b;
	j.y = y;
	j.space = (real *)ws + EBB_POINTS * j.u_plane;
	transform_weights(&j, w, ws);
	run(&j);
}

void EBB_NAME(winograd_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	struct job j = job_of(s, true);

	j.x = gy;
	j.y = gx;
	j.space = (real *)ws + EBB_POINTS * j.u_plane;
	transform_weights(&j, w, ws);
	run(&j);
}

/* ---- When ------------------------------------------------------------------------------------ */

bool EBB_NAME(winograd_fits)(const ebb_conv_shape *s)
{
	return s->kh == s->kw && (s->kh == 3 || s->kh == 5) && s->groups == 1 && s->stride_h == 1 &&
	       s->stride_w == 1 && s->dilation_h == 1 && s->dilation_w == 1 && s->c >= 1;
}

/* Multiply-adds of the products, and what the transforms cost in the same measure: about 6 for each
 * value of a tile, 24 for each of the weights. */
bool EBB_NAME(winograd_wins)(const ebb_conv_shape *s)
{
	struct ebb_tiling t = ebb_tiling_of(s, false);
	double pairs = (double)t.c * (double)t.o, tiles = (double)t.tiles;
	double direct = (double)(t.n * t.oh * t.ow * t.r * t.r) * pairs;
	double products = EBB_POINTS * (tiles * (pairs + 6 * (double)(t.c + t.o)) + 24 * pairs);

	return t.c >= LEAST && t.o >= LEAST && products < direct;
}

size_t EBB_NAME(winograd_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	if (pass == EBB_CONV_GRAD_WEIGHT)
		return EBB_NAME(winograd_weight_workspace)(s);
	return EBB_NAME(winograd_products_workspace)(s, pass == EBB_CONV_GRAD_INPUT);
}

#endif
