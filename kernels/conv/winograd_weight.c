/*
 * winograd_weight.c - the gradient of the weights of stride-1 convolutions by Winograd transforms:
 * at every point a matrix product, source channels by output channels, summed over tiles.
 *
 * There are three algorithms:
 * - BY_CHUNKS, for few weights: a task is a chunk of tiles with sums of its own, computed block by
 * block in its cache; then the sums of the chunks are added in order.
 * - BY_POINTS, for many weights: tiles are transformed in rounds, and a task computes the sums at
 * one point, which needs no other point.
 * - BY_CHANNELS, for many weights and few tiles: the sums at all points would take far more memory
 * than the tiles.  A task computes the sums of some channels at all points, and transforms them to
 * weights while they are in its cache.
 */
#include "kernels/conv/winograd.h"
#include "kernels/gemm/microkernel.h"

#if !EBB_F64

enum {
	CHUNKS = 8,         /* most chunks of tiles */
	FEW = 1 << 21,      /* most elements of the sums of all chunks */
	CHUNK_BLOCKS = 6,   /* least blocks per chunk: fewer would mostly move sums */
	TOGETHER = 6 << 20, /* elements of the transformed tiles of a round */
	GROUP = 8           /* tiles that a task transforms */
};

enum algorithm { BY_CHUNKS, BY_POINTS, BY_CHANNELS };

struct job {
	enum algorithm algorithm;
	struct ebb_tiling t; /* block: tiles of a round, or of a block of a chunk */
	const real *x, *gy;
	real *gw;

	real *sums;    /* sums at every point, by panels, of every chunk */
	int64_t plane; /* distance of the planes of two points in sums */
	int64_t blocks, chunks;

	real *v, *values; /* the transformed tiles of x and of gy of a round */
	int64_t first, count;

	real *space; /* scratch memory of all workers */
	int64_t worker_space;
};

/* The sums at one point over p.len tiles. */
static void multiply_point(const struct ebb_tiling *t, struct ebb_product p, const real *v,
	const real *values, real *sums)
{
	for (int64_t at = 0; at < t->o;) {
		const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(t->o - at);

		p.cols = panel->width;
		p.ldc = panel->width;
		ebb_multiply(panel, false, t->c, 1, &p, v, values + at, sums + at * t->c);
		at += panel->width;
	}
}

/* ---- By chunks of tiles ---------------------------------------------------------------------- */

static void chunk_piece(void *ctx, int64_t chunk, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	real *zeros = j->space + worker * j->worker_space;
	real *v = zeros + ebb_plane(EBB_TILE * t->c), *values = v + EBB_POINTS * t->c_plane;
	real *sums = j->sums + chunk * EBB_POINTS * j->plane;
	int64_t from = j->blocks * chunk / j->chunks, to = j->blocks * (chunk + 1) / j->chunks;
	struct ebb_product p = {.runs1 = 1, .runs2 = 1, .a_stride = t->cp, .b_stride = t->op};

	ebb_fill_zeros(t, zeros);
	for (int64_t block = from; block < to; block++) {
		int64_t first = block * t->block;

		p.len = i64_min(t->block, t->tiles - first);
		p.add = block > from;
		ebb_transform_input(t, j->x, first, p.len, zeros, v);
		ebb_transform_gradient(t, j->gy, first, p.len, values);
		for (int64_t q = 0; q < EBB_POINTS; q++)
			multiply_point(t, p, v + q * t->c_plane, values + q * t->o_plane,
				sums + q * j->plane);
	}
}

/* Transforms the sums of all chunks to the weights of some source channels. */
static void weights_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t c = piece * EBB_WEIGHT_CHANNELS, count = i64_min(EBB_WEIGHT_CHANNELS, t->c - c);

	(void)worker;
	for (int64_t at = 0; at < t->o;) {
		int64_t width = ebb_gemm_panel_for(t->o - at)->width;
		struct ebb_sums s = {j->sums + at * t->c + c * width, j->plane, j->chunks, false};

		ebb_put_weights(t, &s, at, c, count, j->gw);
		at += width;
	}
}

/* ---- By rounds of tiles ---------------------------------------------------------------------- */

static void values_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	real *zeros = j->space + worker * j->worker_space;
	int64_t from = piece * GROUP, count = i64_min(GROUP, j->count - from);

	ebb_fill_zeros(t, zeros);
	ebb_transform_input(t, j->x, j->first + from, count, zeros, j->v + from * t->cp);
	ebb_transform_gradient(t, j->gy, j->first + from, count, j->values + from * t->op);
}

static void point_piece(void *ctx, int64_t q, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.len = j->count,
		.a_stride = t->cp,
		.b_stride = t->op,
		.add = j->first > 0};

	(void)worker;
	multiply_point(
		t, p, j->v + q * t->c_plane, j->values + q * t->o_plane, j->sums + q * j->plane);
}

static void channels_piece(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const struct ebb_tiling *t = &j->t;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, across = ebb_ceil_div(t->o, wide);
	int64_t at = piece % across * wide, c = piece / across * EBB_WEIGHT_CHANNELS;
	int64_t count = i64_min(EBB_WEIGHT_CHANNELS, t->c - c);
	const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(t->o - at);
	real *sums = j->space + worker * j->worker_space;
	struct ebb_sums s = {sums, ebb_plane(EBB_WEIGHT_CHANNELS * wide), 1, j->first > 0};
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.len = j->count,
		.a_stride = t->cp,
		.b_stride = t->op,
		.ldc = panel->width,
		.cols = panel->width};

	for (int64_t q = 0; q < EBB_POINTS; q++)
		ebb_multiply(panel, false, count, 1, &p, j->v + q * t->c_plane + c,
			j->values + q * t->o_plane + at, sums + q * s.plane);
	ebb_put_weights(t, &s, at, c, count, j->gw);
}

/* ---- The pass -------------------------------------------------------------------------------- */

static enum algorithm algorithm_of(const struct ebb_tiling *t, int64_t sums)
{
	if (2 * sums <= FEW)
		return BY_CHUNKS;
	/* BY_POINTS reads and writes the sums at all points in each round.  The limit is
	 * measured. */
	return 2 * (double)t->tiles * (double)(t->c + t->o) >= 3 * (double)t->c * (double)t->o
	               ? BY_POINTS
	               : BY_CHANNELS;
}

/* The number of chunks.  It depends on the shape alone, because it determines the order of
 * summation; a power of two is divided evenly among threads. */
static int64_t chunks_of(int64_t blocks, int64_t sums)
{
	int64_t most = i64_min(FEW / sums, i64_max(blocks / CHUNK_BLOCKS, i64_min(blocks, 2)));
	int64_t chunks = 1;

	while (2 * chunks <= i64_min(most, CHUNKS))
		chunks *= 2;
	return chunks;
}

/* Tiles per round.  BY_POINTS takes about as many elements of tiles as of sums, because each round
 * reads and writes all sums. */
static int64_t round_of(const struct ebb_tiling *t, enum algorithm algorithm)
{
	int64_t most = TOGETHER / (EBB_POINTS * (t->cp + t->op));
	int64_t tiles = algorithm == BY_POINTS ? i64_min(most, t->c * t->o / (t->c + t->o)) : most;
	int64_t rounds = ebb_ceil_div(t->tiles, i64_max(GROUP, tiles));

	return i64_min(t->tiles, ebb_round_up(ebb_ceil_div(t->tiles, rounds), GROUP));
}

static struct job job_of(const ebb_conv_shape *s)
{
	struct job j = {.t = ebb_tiling_of(s, false)};
	struct ebb_tiling *t = &j.t;
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, sums;

	j.plane = ebb_plane(t->c * ebb_panel_columns(t->o));
	sums = EBB_POINTS * j.plane;
	j.algorithm = algorithm_of(t, sums);
	j.worker_space = ebb_plane(EBB_TILE * t->c);
	if (j.algorithm == BY_CHUNKS) {
		j.blocks = ebb_ceil_div(t->tiles, t->block);
		j.chunks = chunks_of(j.blocks, sums);
		j.worker_space += EBB_POINTS * (t->c_plane + t->o_plane);
		return j;
	}
	j.chunks = j.algorithm == BY_POINTS;
	t->block = round_of(t, j.algorithm);
	t->c_plane = ebb_plane(t->block * t->cp);
	t->o_plane = ebb_plane(t->block * t->op);
	if (j.algorithm == BY_CHANNELS)
		j.worker_space =
			i64_max(j.worker_space, EBB_POINTS * ebb_plane(EBB_WEIGHT_CHANNELS * wide));
	return j;
}

/* Elements of the sums and, except BY_CHUNKS, of the transformed tiles of a round. */
static int64_t shared_space(const struct job *j)
{
	int64_t sums = j->chunks * j->plane;

	return EBB_POINTS * (j->algorithm == BY_CHUNKS ? sums : sums + j->t.c_plane + j->t.o_plane);
}

size_t EBB_NAME(winograd_weight_workspace)(const ebb_conv_shape *s)
{
	struct job j = job_of(s);

	return ebb_bytes_of(shared_space(&j) + ebb_threads() * j.worker_space, sizeof(real));
}

void EBB_NAME(winograd_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct job j = job_of(s);
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width;
	int64_t down = ebb_ceil_div(j.t.c, EBB_WEIGHT_CHANNELS);

	j.x = x;
	j.gy = gy;
	j.gw = gw;
	j.sums = ws;
	j.v = j.sums + EBB_POINTS * j.chunks * j.plane;
	j.values = j.v + EBB_POINTS * j.t.c_plane;
	j.space = (real *)ws + shared_space(&j);
	if (j.algorithm == BY_CHUNKS)
		ebb_run_pieces(j.chunks, chunk_piece, &j);
	for (; j.algorithm != BY_CHUNKS && j.first < j.t.tiles; j.first += j.t.block) {
		j.count = i64_min(j.t.block, j.t.tiles - j.first);
		ebb_run_pieces(ebb_ceil_div(j.count, GROUP), values_piece, &j);
		if (j.algorithm == BY_POINTS)
			ebb_run_pieces(EBB_POINTS, point_piece, &j);
		else
			ebb_run_pieces(down * ebb_ceil_div(j.t.o, wide), channels_piece, &j);
	}
	if (j.algorithm != BY_CHANNELS)
		ebb_run_pieces(down, weights_piece, &j);
}

#endif
