/*
 * winograd_weight.c - the weights' gradient of stride-1 convolutions by products of transformed
 * tiles: at every point, channels by channels, summed over tiles.
 *
 * Few weights: each chunk of tiles keeps sums of its own, block by block in its cache, and the
 * chunks are added in order.  Many weights: all tiles are transformed first, and each piece makes
 * the sums of some of the channels, which then never leave its cache.
 */
#include "microkernel.h"
#include "transpose.h"
#include "winograd.h"

#include <string.h>

#if !EBB_F64

enum {
	CHANNELS = 28,     /* source channels of a piece, by whole rows of the micro-kernel */
	CHUNKS = 8,        /* of tiles, each with sums of its own ... */
	FEW = 1 << 21,     /* ... of at most so many elements in all */
	TOGETHER = 6 << 20 /* elements of values of tiles that are transformed at a time */
};

struct job {
	struct ebb_tiling t;
	const real *x, *gy;
	real *gw;
	int64_t columns; /* of whole panels */

	int64_t blocks, chunks, plane; /* few weights: sums[chunk][point*plane + ..] by panels */
	real *sums;

	bool many;
	int64_t first, count; /* many weights: the tiles whose values are there */
	real *v, *values;

	real *space; /* of all workers */
	int64_t worker_space;
};

/* ---- Values of gy ---------------------------------------------------------------------------- */

/* One vector of channels of one tile of gy: rows x cols of it lie in the image. */
struct patch {
	const real *gy;
	int64_t row, pixel; /* distances */
	int64_t rows, cols, lanes;
};

EBB_INLINE void put_row(const int m, const ebb_vec *e, real *to, int64_t plane, int i)
{
	ebb_vec out[EBB_TILE];

	ebb_evaluate(m, e, 1, out, 1);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		ebb_store(to + (EBB_TILE * i + j) * plane, out[j]);
}

/* The columns by pairs of points; the formulas are ebb_evaluate's. */
EBB_INLINE void gradient_channels(
	const int m, const bool inner, const struct patch *p, real *to, int64_t plane)
{
	ebb_vec d[4][4], e[4], f[4];
	const real points[] = {EBB_POINT_A, EBB_POINT_B};

	EBB_UNROLL(4)
	for (int i = 0; i < m; i++) {
		EBB_UNROLL(4)
		for (int j = 0; j < m; j++) {
			const real *at = p->gy + i * p->row + j * p->pixel;

			if (!inner && (i >= p->rows || j >= p->cols))
				d[i][j] = (ebb_vec){0};
			else if (inner || p->lanes == EBB_VLEN)
				d[i][j] = ebb_load(at);
			else
				d[i][j] = ebb_load_part(at, p->lanes);
		}
	}
	put_row(m, d[0], to, plane, 0);
	EBB_UNROLL(2)
	for (int k = 0; k < 2; k++) {
		const real x = points[k], xx = x * x;

		EBB_UNROLL(4)
		for (int j = 0; j < m; j++) {
			ebb_vec even = d[0][j], odd = d[1][j];

			if (m == 4) {
				even += xx * d[2][j];
				odd += xx * d[3][j];
			}
			e[j] = even + x * odd;
			f[j] = even - x * odd;
		}
		put_row(m, e, to, plane, 1 + 2 * k);
		put_row(m, f, to, plane, 2 + 2 * k);
	}
	put_row(m, d[m - 1], to, plane, 5);
}

static void transform_gradient(
	const struct ebb_tiling *t, const real *gy, int64_t first, int64_t count, real *values)
{
	struct patch p = {.row = t->ow * t->o, .pixel = t->o};

	for (int64_t i = 0; i < count; i++) {
		int64_t image = (first + i) / t->per_image, at = (first + i) % t->per_image;
		int64_t top = at / t->across * t->m, left = at % t->across * t->m;
		const real *from = gy + ((image * t->oh + top) * t->ow + left) * t->o;

		p.rows = t->oh - top;
		p.cols = t->ow - left;
		for (int64_t k = 0; k < t->o; k += EBB_VLEN) {
			real *to = values + i * t->op + k;

			p.gy = from + k;
			p.lanes = ebb_min(EBB_VLEN, t->o - k);
			if (t->m == 2)
				gradient_channels(2, false, &p, to, t->o_plane);
			else if (p.rows >= 4 && p.cols >= 4 && p.lanes == EBB_VLEN)
				gradient_channels(4, true, &p, to, t->o_plane);
			else
				gradient_channels(4, false, &p, to, t->o_plane);
		}
	}
}

/* ---- From sums to weights -------------------------------------------------------------------- */

/* The taps of one vector of columns, from sums at the points that lie plane apart. */
EBB_INLINE void taps_of(const int r, const real *sums, int64_t plane, int64_t chunks, int64_t chunk,
	int64_t lanes, real *to)
{
	ebb_vec d[EBB_TILE], e[EBB_MAX_TAPS * EBB_TILE], out[EBB_MAX_TAPS];

	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++) {
		EBB_UNROLL(6)
		for (int i = 0; i < EBB_TILE; i++) {
			const real *at = sums + (EBB_TILE * i + j) * plane;

			if (lanes < EBB_VLEN) {
				d[i] = ebb_load_part(at, lanes);
				for (int64_t k = 1; k < chunks; k++)
					d[i] += ebb_load_part(at + k * chunk, lanes);
			} else {
				d[i] = ebb_load(at);
				for (int64_t k = 1; k < chunks; k++)
					d[i] += ebb_load(at + k * chunk);
			}
		}
		ebb_divide_by_distances(d, 1);
		ebb_combine(r, d, 1, e + j, EBB_TILE);
	}
	EBB_UNROLL(5)
	for (int i = 0; i < r; i++) {
		ebb_divide_by_distances(e + EBB_TILE * i, 1);
		ebb_combine(r, e + EBB_TILE * i, 1, out, 1);
		EBB_UNROLL(5)
		for (int j = 0; j < r; j++)
			ebb_store(to + (i * r + j) * EBB_VLEN, out[j]);
	}
}

/* Source channels [c,c+count) of one panel from column at on: sums[point*plane + channel*width]. */
static void put_weights(const struct job *j, int64_t at, int64_t c, int64_t count, const real *sums,
	int64_t plane, int64_t chunks, bool add)
{
	int64_t taps = j->t.r * j->t.r, width = ebb_panel_for(j->t.o - at)->width;
	real turned[CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS * EBB_VLEN];
	real line[CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS];

	for (int64_t i = 0; i < width && at + i < j->t.o; i += EBB_VLEN) {
		int64_t lanes = ebb_min(EBB_VLEN, width - i),
			there = ebb_min(lanes, j->t.o - at - i);
		real *gw = j->gw + ((at + i) * j->t.c + c) * taps;

		for (int64_t k = 0; k < count; k++) {
			const real *from = sums + k * width + i;
			real *to = turned + k * taps * EBB_VLEN;

			if (j->t.r == 3)
				taps_of(3, from, plane, chunks, EBB_POINTS * plane, lanes, to);
			else
				taps_of(5, from, plane, chunks, EBB_POINTS * plane, lanes, to);
		}
		if (!add) {
			ebb_transpose(count * taps, there, turned, EBB_VLEN, gw, j->t.c * taps);
			continue;
		}
		for (int64_t k = 0; k < there; k++) {
			ebb_transpose(count * taps, 1, turned + k, EBB_VLEN, line, count * taps);
			for (int64_t l = 0; l < count * taps; l++)
				gw[k * j->t.c * taps + l] += line[l];
		}
	}
}

/* ---- Few weights ----------------------------------------------------------------------------- */

static void chunk_piece(void *ctx, int64_t chunk, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	real *zeros = j->space + worker * j->worker_space;
	real *v = zeros + ebb_plane(EBB_TILE * t->c), *values = v + EBB_POINTS * t->c_plane;
	real *sums = j->sums + chunk * EBB_POINTS * j->plane;
	int64_t from = j->blocks * chunk / j->chunks, to = j->blocks * (chunk + 1) / j->chunks;
	struct ebb_product p = {.runs1 = 1, .runs2 = 1, .a_stride = t->cp, .b_stride = t->op};

	for (int64_t i = 0; i < EBB_TILE * t->c; i++)
		zeros[i] = 0;
	for (int64_t block = from; block < to; block++) {
		int64_t first = block * t->block;

		p.len = ebb_min(t->block, t->tiles - first);
		p.add = block > from;
		ebb_transform_input(t, j->x, first, p.len, zeros, v);
		transform_gradient(t, j->gy, first, p.len, values);
		for (int64_t q = 0; q < EBB_POINTS; q++) {
			for (int64_t at = 0; at < t->o;) {
				const struct ebb_panel *panel = ebb_panel_for(t->o - at);

				p.cols = panel->width;
				p.ldc = panel->width;
				ebb_multiply(panel, false, t->c, 1, &p, v + q * t->c_plane,
					values + q * t->o_plane + at,
					sums + q * j->plane + at * t->c);
				at += panel->width;
			}
		}
	}
}

static void sum_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t c = piece * CHANNELS, count = ebb_min(CHANNELS, j->t.c - c);

	(void)worker;
	for (int64_t at = 0; at < j->t.o;) {
		int64_t width = ebb_panel_for(j->t.o - at)->width;

		put_weights(j, at, c, count, j->sums + at * j->t.c + c * width, j->plane, j->chunks,
			false);
		at += width;
	}
}

/* ---- Many weights ---------------------------------------------------------------------------- */

enum { GROUP = 8 /* tiles of a piece of the transform */ };

static void values_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	real *zeros = j->space + worker * j->worker_space;
	int64_t from = piece * GROUP, count = ebb_min(GROUP, j->count - from);

	for (int64_t i = 0; i < EBB_TILE * t->c; i++)
		zeros[i] = 0;
	ebb_transform_input(t, j->x, j->first + from, count, zeros, j->v + from * t->cp);
	transform_gradient(t, j->gy, j->first + from, count, j->values + from * t->op);
}

static void channels_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, across = ebb_ceil_div(t->o, wide);
	int64_t at = piece % across * wide, c = piece / across * CHANNELS;
	int64_t count = ebb_min(CHANNELS, t->c - c);
	const struct ebb_panel *panel = ebb_panel_for(t->o - at);
	real *sums = j->space + worker * j->worker_space;
	int64_t plane = ebb_plane(CHANNELS * wide);
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.len = j->count,
		.a_stride = t->cp,
		.b_stride = t->op,
		.ldc = panel->width,
		.cols = panel->width};

	for (int64_t q = 0; q < EBB_POINTS; q++)
		ebb_multiply(panel, false, count, 1, &p, j->v + q * t->c_plane + c,
			j->values + q * t->o_plane + at, sums + q * plane);
	put_weights(j, at, c, count, sums, plane, 1, j->first > 0);
}

/* ---- The pass -------------------------------------------------------------------------------- */

static struct job job_of(const ebb_conv_shape *s)
{
	struct job j = {.t = ebb_tiling_of(s, false)};
	struct ebb_tiling *t = &j.t;
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, size;

	j.columns = ebb_panel_columns(t->o);
	j.plane = ebb_plane(t->c * j.columns);
	size = EBB_POINTS * j.plane;
	j.blocks = ebb_ceil_div(t->tiles, t->block);
	j.chunks = ebb_max(1, ebb_min(ebb_min(CHUNKS, j.blocks), FEW / size));
	j.many = 2 * size > FEW;
	j.worker_space = ebb_plane(EBB_TILE * t->c);
	if (j.many) {
		t->block = ebb_min(t->tiles,
			ebb_max(GROUP, TOGETHER / (EBB_POINTS * (t->cp + t->op)) / GROUP * GROUP));
		t->c_plane = ebb_plane(t->block * t->cp);
		t->o_plane = ebb_plane(t->block * t->op);
		j.worker_space = ebb_max(j.worker_space, EBB_POINTS * ebb_plane(CHANNELS * wide));
	} else {
		j.worker_space += EBB_POINTS * (t->c_plane + t->o_plane);
	}
	return j;
}

static int64_t shared_space(const struct job *j)
{
	return EBB_POINTS * (j->many ? j->t.c_plane + j->t.o_plane : j->chunks * j->plane);
}

size_t EBB_NAME(winograd_weight_workspace)(const ebb_conv_shape *s)
{
	struct job j = job_of(s);

	return (size_t)(shared_space(&j) + ebb_threads() * j.worker_space) * sizeof(real);
}

void EBB_NAME(winograd_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct job j = job_of(s);
	int64_t wide = ebb_panels[EBB_PANELS - 1].width, down = ebb_ceil_div(j.t.c, CHANNELS);

	j.x = x;
	j.gy = gy;
	j.gw = gw;
	j.space = (real *)ws + shared_space(&j);
	if (!j.many) {
		j.sums = ws;
		ebb_run(j.chunks, chunk_piece, &j);
		ebb_run(down, sum_piece, &j);
		return;
	}
	j.v = ws;
	j.values = j.v + EBB_POINTS * j.t.c_plane;
	for (; j.first < j.t.tiles; j.first += j.t.block) {
		j.count = ebb_min(j.t.block, j.t.tiles - j.first);
		ebb_run(ebb_ceil_div(j.count, GROUP), values_piece, &j);
		ebb_run(down * ebb_ceil_div(j.t.o, wide), channels_piece, &j);
	}
}

#endif
