/*
 * winograd_tiles.c - how an image is split into tiles, and the transforms of tiles and filters.
 */
#include "kernels/conv/winograd.h"
#include "kernels/gemm/microkernel.h"
#include "kernels/transpose.h"

#include <string.h>

#if !EBB_F64

/* A task transforms as many tiles as fill about half of the second-level cache: a multiple of the
 * rows of a micro-kernel tile, and few enough that there are tasks for all threads. */
enum { CACHE = 1 << 17, ROWS = EBB_VBYTES == 64 ? 14 : 6, MOST_ROWS = 4 * 14, PIECES = 16 };
enum { CHANNELS = 16 }; /* channels whose filters are transformed together */

struct ebb_tiling ebb_tiling_of(const ebb_conv_shape *s, bool transposed)
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

	if (transposed) {
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
	t.block = i64_max(2 * ROWS, i64_min(fit, MOST_ROWS));
	t.block =
		i64_max(ROWS, i64_min(t.block, ebb_round_up(ebb_ceil_div(t.tiles, PIECES), ROWS)));
	t.c_plane = ebb_plane(t.block * t.cp);
	t.o_plane = ebb_plane(t.block * t.op);
	return t;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

static struct ebb_tile_part part_of(
	const struct ebb_tiling *t, const real *x, int64_t tile, const real *zeros)
{
	int64_t image = tile / t->per_image, at = tile % t->per_image;
	int64_t top = at / t->across * t->m - t->pad_top;
	int64_t left = at % t->across * t->m - t->pad_left;
	struct ebb_tile_part p;

	p.from = i64_max(0, i64_min(EBB_TILE, -left));
	p.to = i64_max(p.from, i64_min(EBB_TILE, t->w - left));
	for (int64_t i = 0; i < EBB_TILE; i++) {
		bool inside = top + i >= 0 && top + i < t->h && p.to > p.from;

		p.row[i] = inside ? x + ((image * t->h + top + i) * t->w + left + p.from) * t->c
		                  : zeros;
	}
	return p;
}

/* A vector of channels of one source tile: `lanes` channels from channel k on, of c. */
struct column {
	const struct ebb_tile_part *p;
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

/* Applies B^T along the columns, grouping output rows that need the same pixels, so that all
 * values stay in registers: loading a pixel again costs less than spilling it.  The formulas are
 * those of ebb_tile_input. */
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
		struct ebb_tile_part p = part_of(t, x, first + i, zeros);
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

/* ---- Filters --------------------------------------------------------------------------------- */

/* Transforms the taps of one channel, from[tap][lane]. */
EBB_INLINE void weight_values(const int r, const bool transposed, const real *from, real *to,
	int64_t plane, int64_t lanes)
{
	ebb_vec g[EBB_MAX_TAPS], e[EBB_TILE * EBB_MAX_TAPS], u[EBB_TILE];

	EBB_UNROLL(5)
	for (int j = 0; j < r; j++) {
		EBB_UNROLL(5)
		for (int i = 0; i < r; i++) {
			int tap = transposed ? r * r - 1 - (i * r + j) : i * r + j;

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

/* Transforms the filters of `lanes` columns from `column` on, for source channels [c,c+count). */
static void transform_columns(const struct ebb_filters *f, int64_t column, int64_t lanes, int64_t c,
	int64_t count, int64_t width, real *to)
{
	const struct ebb_tiling *t = f->t;
	int64_t taps = t->r * t->r, there = i64_max(0, i64_min(lanes, t->o - column));
	real transposed[CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS * EBB_VLEN];

	if (there < EBB_VLEN)
		memset(transposed, 0, (size_t)(count * taps * EBB_VLEN) * sizeof(real));
	if (there > 0 && !f->transposed)
		ebb_transpose_block(there, count * taps, f->w + (column * t->c + c) * taps,
			t->c * taps, transposed, EBB_VLEN);
	for (int64_t k = 0; there > 0 && f->transposed && k < count; k++)
		ebb_transpose_block(there, taps, f->w + ((c + k) * t->o + column) * taps, taps,
			transposed + k * taps * EBB_VLEN, EBB_VLEN);
	for (int64_t k = 0; k < count; k++) {
		const real *from = transposed + k * taps * EBB_VLEN;
		real *at = to + k * width;

		if (t->r == 3 && f->transposed)
			weight_values(3, true, from, at, f->plane, lanes);
		else if (t->r == 3)
			weight_values(3, false, from, at, f->plane, lanes);
		else
			weight_values(5, f->transposed, from, at, f->plane, lanes);
	}
}

void ebb_transform_filters(const struct ebb_filters *f, int64_t column, int64_t width, int64_t c,
	int64_t count, real *to)
{
	for (int64_t k = 0; k < count; k += CHANNELS) {
		for (int64_t i = 0; i < width; i += EBB_VLEN)
			transform_columns(f, column + i, i64_min(EBB_VLEN, width - i), c + k,
				i64_min(CHANNELS, count - k), width, to + k * width + i);
	}
}

/* ---- Outputs --------------------------------------------------------------------------------- */

/* The destination of a vector of channels of one tile: `lanes` channels of rows x cols outputs. */
struct place {
	real *y;
	int64_t row, pixel; /* strides */
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

/* Combines the columns for even output rows first, then for odd ones, so that all values stay in
 * registers.  The formulas are those of ebb_combine. */
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

void ebb_transform_output(const struct ebb_tiling *t, const real *bias, int64_t first,
	int64_t count, int64_t channel, int64_t channels, const real *values, real *result)
{
	struct place to = {.row = t->ow * t->o, .pixel = t->o};

	to.stream = ebb_streams(t->n * t->oh * t->ow * t->o) && t->o % EBB_VLEN == 0 &&
	            ebb_is_aligned(result);
	for (int64_t i = 0; i < count; i++) {
		int64_t image = (first + i) / t->per_image, at = (first + i) % t->per_image;
		int64_t top = at / t->across * t->m, left = at % t->across * t->m;
		real *y = result + ((image * t->oh + top) * t->ow + left) * t->o + channel;

		to.rows = t->oh - top;
		to.cols = t->ow - left;
		for (int64_t k = 0; k < channels; k += EBB_VLEN) {
			const real *from = values + i * t->op + k;

			to.y = y + k;
			to.lanes = i64_min(EBB_VLEN, channels - k);
			to.bias = (ebb_vec){0};
			if (bias)
				to.bias = to.lanes == EBB_VLEN
				                  ? ebb_load(bias + channel + k)
				                  : ebb_load_part(bias + channel + k, to.lanes);
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

#endif
