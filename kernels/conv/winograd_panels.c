/*
 * winograd_panels.c - the Winograd convolution for few tiles and many filters.
 *
 * A transformed 3 x 3 filter has four times as many values as the filter, and all of them would be
 * written to memory and read back before they are used.  So all tiles are transformed first.  Then
 * a task is a panel of output channels: it transforms its filters for some source channels into a
 * buffer that stays in the cache, and multiplies them with all tiles.
 */
#include "kernels/conv/prefetch.h"
#include "kernels/conv/winograd.h"
#include "kernels/gemm/microkernel.h"

#if !EBB_F64

enum {
	MOST_VALUES = 1 << 21, /* most elements of all transformed tiles, which every task reads */
	PANELS = 4,            /* least panels, so that there are enough tasks */
	TILES = 4,             /* transformed by one task */
	CHANNELS = 32          /* source channels in a buffer of filters */
};

struct job {
	struct ebb_tiling t; /* c_plane: all tiles; o_plane: one panel of all tiles */
	struct ebb_filters f;
	const real *x, *bias;
	real *y, *v, *space;
	int64_t worker_space;
};

bool EBB_NAME(winograd_panels_fit)(const struct ebb_tiling *t)
{
	return t->o >= PANELS * ebb_gemm_panels[EBB_PANELS - 1].width && 2 * t->tiles <= t->o &&
	       EBB_POINTS * (double)t->tiles * (double)t->cp <= MOST_VALUES;
}

static struct job job_of(const struct ebb_tiling *t, bool transposed)
{
	struct job j = {.t = *t};

	j.t.op = ebb_gemm_panels[EBB_PANELS - 1].width;
	j.t.c_plane = ebb_plane(t->tiles * t->cp);
	j.t.o_plane = ebb_plane(t->tiles * j.t.op);
	j.f.transposed = transposed;
	j.f.plane = ebb_plane(CHANNELS * j.t.op);
	/* First zeros, while inputs are transformed; then filters and products. */
	j.worker_space =
		i64_max(ebb_plane(EBB_TILE * t->c), EBB_POINTS * (j.f.plane + j.t.o_plane));
	return j;
}

size_t EBB_NAME(winograd_panels_workspace)(const struct ebb_tiling *t)
{
	struct job j = job_of(t, false);

	return ebb_bytes_of(
		EBB_POINTS * j.t.c_plane + ebb_threads() * j.worker_space, sizeof(real));
}

static void input_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t first = piece * TILES, count = i64_min(TILES, j->t.tiles - first);
	real *zeros = j->space + worker * j->worker_space;

	ebb_fill_zeros(&j->t, zeros);
	ebb_transform_input(&j->t, j->x, first, count, zeros, j->v + first * j->t.cp);
}

/* The filters to prefetch: from source channels c on to the panel of output channels at `at`. */
static struct ebb_prefetch filters_prefetch(
	const struct job *j, int64_t at, int64_t width, int64_t c)
{
	const struct ebb_tiling *t = &j->t;
	int64_t taps = t->r * t->r, cols = i64_min(width, t->o - at);
	int64_t channels = i64_min(CHANNELS, t->c - c);

	if (channels <= 0)
		return (struct ebb_prefetch){.rows = 0};
	if (j->f.transposed)
		return ebb_prefetch_of(
			j->f.w + (c * t->o + at) * taps, t->o * taps, channels, cols * taps);
	return ebb_prefetch_of(j->f.w + (at * t->c + c) * taps, t->c * taps, cols, channels * taps);
}

static void panel_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t at = piece * t->op;
	const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(t->o - at);
	real *filters = j->space + worker * j->worker_space;
	real *values = filters + EBB_POINTS * j->f.plane;
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.a_stride = t->cp,
		.b_stride = panel->width,
		.ldc = t->op,
		.cols = panel->width};
	struct ebb_prefetch prefetch;

	for (int64_t c = 0; c < t->c; c += CHANNELS) {
		p.len = i64_min(CHANNELS, t->c - c);
		p.add = c > 0;
		ebb_transform_filters(&j->f, at, panel->width, c, p.len, filters);
		prefetch = filters_prefetch(j, at, panel->width, c + CHANNELS);
		for (int64_t q = 0; q < EBB_POINTS; q++) {
			ebb_prefetch_share(&prefetch, EBB_POINTS);
			ebb_multiply(panel, true, t->tiles, t->cp, &p, j->v + q * t->c_plane + c,
				filters + q * j->f.plane, values + q * t->o_plane);
		}
	}
	ebb_transform_output(
		t, j->bias, 0, t->tiles, at, i64_min(panel->width, t->o - at), values, j->y);
}

void EBB_NAME(winograd_panels)(const struct ebb_tiling *t, bool transposed, const real *x,
	const real *w, const real *bias, real *y, real *ws)
{
	struct job j = job_of(t, transposed);

	j.f.t = &j.t;
	j.f.w = w;
	j.x = x;
	j.bias = bias;
	j.y = y;
	j.v = ws;
	j.space = ws + EBB_POINTS * j.t.c_plane;
	ebb_run_pieces(ebb_ceil_div(t->tiles, TILES), input_piece, &j);
	ebb_run_pieces(ebb_ceil_div(t->o, j.t.op), panel_piece, &j);
}

#endif
