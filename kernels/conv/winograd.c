/*
 * winograd.c - stride-1 convolutions of 3 x 3 and 5 x 5 filters by Winograd transforms: forward,
 * and the gradient of the input as a convolution of gy with the rotated filter.
 *
 * Filters are transformed once.  Then each task takes a block of tiles through three steps, whose
 * data stay in the cache of its core: the input transform; at each of the 36 points a matrix
 * product, tiles by channels; the output transform.  The products at a point overwrite the
 * transformed inputs of the point before, which are no longer needed.
 */
#include "kernels/conv/winograd.h"
#include "kernels/gemm/microkernel.h"

#if !EBB_F64

enum { LEAST = 16 };          /* least channels: fewer leave vector lanes unused */
enum { PIECE_CHANNELS = 16 }; /* whose filters a task transforms */

struct job {
	struct ebb_tiling t;
	struct ebb_filters f;
	const real *x, *bias;
	real *y;
	real *u;     /* transformed filters by panels: u[point*plane + column*c + ..] */
	real *space; /* scratch memory of all workers */
	int64_t worker_space;
};

static void filters_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t c = piece * PIECE_CHANNELS, count = i64_min(PIECE_CHANNELS, j->t.c - c);

	(void)worker;
	for (int64_t at = 0; at < j->t.o;) {
		int64_t width = ebb_gemm_panel_for(j->t.o - at)->width;

		ebb_transform_filters(&j->f, at, width, c, count, j->u + at * j->t.c + c * width);
		at += width;
	}
}

/* ---- A block of tiles ------------------------------------------------------------------------ */

static void block_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t first = piece * t->block, count = i64_min(t->block, t->tiles - first);
	real *zeros = j->space + worker * j->worker_space;
	real *values = zeros + ebb_plane(EBB_TILE * t->c), *v = values + t->o_plane;
	struct ebb_product p = {
		.runs1 = 1, .runs2 = 1, .len = t->c, .a_stride = t->cp, .ldc = t->op};

	ebb_fill_zeros(t, zeros);
	ebb_transform_input(t, j->x, first, count, zeros, v);
	for (int64_t q = 0; q < EBB_POINTS; q++) {
		for (int64_t at = 0; at < t->o;) {
			const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(t->o - at);

			p.cols = panel->width;
			p.b_stride = panel->width;
			ebb_multiply(panel, true, count, t->cp, &p, v + q * t->c_plane,
				j->u + q * j->f.plane + at * t->c, values + q * t->o_plane + at);
			at += panel->width;
		}
	}
	ebb_transform_output(t, j->bias, first, count, 0, t->o, values, j->y);
}

static struct job job_of(const ebb_conv_shape *s, bool transposed)
{
	struct job j = {.t = ebb_tiling_of(s, transposed)};

	j.f.transposed = transposed;
	j.f.plane = ebb_plane(j.t.c * ebb_panel_columns(j.t.o));
	j.t.c_plane = j.t.o_plane = i64_max(j.t.c_plane, j.t.o_plane);
	j.worker_space =
		ebb_plane(EBB_TILE * j.t.c) + (EBB_POINTS + 1) * j.t.c_plane + ebb_plane(EBB_VLEN);
	return j;
}

static size_t products_workspace(const ebb_conv_shape *s, bool transposed)
{
	struct job j = job_of(s, transposed);

	if (EBB_NAME(winograd_panels_fit)(&j.t))
		return EBB_NAME(winograd_panels_workspace)(&j.t);
	return ebb_bytes_of(EBB_POINTS * j.f.plane + ebb_threads() * j.worker_space, sizeof(real));
}

static void products(const ebb_conv_shape *s, bool transposed, const real *x, const real *w,
	const real *bias, real *y, real *ws)
{
	struct job j = job_of(s, transposed);

	if (EBB_NAME(winograd_panels_fit)(&j.t)) {
		EBB_NAME(winograd_panels)(&j.t, transposed, x, w, bias, y, ws);
		return;
	}
	j.x = x;
	j.f.t = &j.t;
	j.f.w = w;
	j.bias = bias;
	j.y = y;
	j.u = ws;
	j.space = j.u + EBB_POINTS * j.f.plane;
	ebb_run_pieces(ebb_ceil_div(j.t.c, PIECE_CHANNELS), filters_piece, &j);
	ebb_run_pieces(ebb_ceil_div(j.t.tiles, j.t.block), block_piece, &j);
}

void EBB_NAME(winograd_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	products(s, false, x, w, b, y, ws);
}

void EBB_NAME(winograd_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	products(s, true, gy, w, NULL, gx, ws);
}

/* ---- When ------------------------------------------------------------------------------------ */

bool EBB_NAME(winograd_fits)(const ebb_conv_shape *s)
{
	return s->kh == s->kw && (s->kh == 3 || s->kh == 5) && s->groups == 1 && s->stride_h == 1 &&
	       s->stride_w == 1 && s->dilation_h == 1 && s->dilation_w == 1 && s->c >= 1;
}

/* Compares the multiply-adds of the direct algorithm with those of the products and the
 * transforms.  A transform costs about as much as 6 multiply-adds per value of a tile and 24 per
 * value of a filter; with winograd_panels, 8 more per value of a filter than the packing of the
 * direct algorithm. */
bool EBB_NAME(winograd_wins)(const ebb_conv_shape *s)
{
	struct ebb_tiling t = ebb_tiling_of(s, false);
	double pairs = (double)t.c * (double)t.o, tiles = (double)t.tiles;
	double direct = (double)(t.n * t.oh * t.ow * t.r * t.r) * pairs;
	double filters = EBB_NAME(winograd_panels_fit)(&t) ? 8 : 24;
	double products =
		EBB_POINTS * (tiles * (pairs + 6 * (double)(t.c + t.o)) + filters * pairs);

	return t.c >= LEAST && t.o >= LEAST && products < direct;
}

size_t EBB_NAME(winograd_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	if (pass == EBB_CONV_GRAD_WEIGHT)
		return EBB_NAME(winograd_weight_workspace)(s);
	return products_workspace(s, pass == EBB_CONV_GRAD_INPUT);
}

#endif
