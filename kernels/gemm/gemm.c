/*
 * gemm.c - matrix products.  C is split into tasks by its shape alone.  A task packs the blocks of
 * A and B that need packing, one block of terms at a time, and calls the micro-kernel.  If several
 * tasks multiply by the same columns of B, these are packed once for all tasks, and so are the rows
 * of a transposed A.
 */
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/blas.h"
#include "kernels/gemm/pack.h"

#include <assert.h>
#include <string.h>

/* Terms, columns and rows of a block: a block of B and one of A fit the second-level cache. */
enum { BLOCK_K = EBB_F64 ? 192 : 256, BLOCK_N = 512, BLOCK_M = EBB_F64 ? 224 : 112 };

/* Least multiply-adds per task, and the number of tasks aimed at, where each task packs its columns
 * of B and where B is packed once. */
enum { PIECE_WORK = 1 << 18, PIECES = 16, PIECES_SHARED = 32 };

/* Most bytes of packed operands that all tasks share: if all terms need more, some are packed and
 * multiplied before the next ones.  Least rows (in tiles) and columns of a task's block of C then.
 * Columns of B, and tiles of A, that one task packs: no fewer columns than pack_columns copies at
 * once. */
enum {
	SHARED_BYTES = 4 << 20,
	SHARED_TILES = 4,
	SHARED_COLUMNS = 128,
	PACK_COLUMNS = EBB_PACK_GROUP * 2 * EBB_VLEN,
	PACK_TILES = 16
};

/* A*B^T of at most so many rows is computed by dot products of rows of A and of B, because packing
 * B would cost more. */
enum { DOT_ROWS = 4 };

struct gemm_job {
	struct ebb_operand a, b; /* op(A) [m,k], op(B) [k,n] */
	bool pack_a, pack_b;
	bool share_b, share_a; /* is packed once, at the start of ws; share_a only with share_b */
	int64_t m, n, k, ldc;
	int64_t mc, nc, across; /* rows and columns of a task's block; tasks per row of blocks */
	struct ebb_row_tiles tiles; /* if share_a: of all rows; mc then counts tiles */
	int64_t k0, k1, terms;      /* terms [k0,k1) are multiplied now, at most `terms` */
	const real *bias;
	bool add;
	real *c;
	char *ws;
	size_t ws_bytes;               /* workspace of one worker */
	size_t shared_b, shared_bytes; /* bytes of the packed B; with the packed A */
};

static size_t align_up(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

/* Chooses the block of C per task where each task packs its columns of B. */
static void plan_private(struct gemm_job *j, int64_t wanted)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width,
		tall = ebb_gemm_panels[EBB_PANELS - 1].rows;

	j->mc = i64_min(j->m, BLOCK_M / tall * tall);
	j->nc = i64_min(j->n, BLOCK_N);
	for (;;) {
		int64_t down = ebb_ceil_div(j->m, j->mc);

		j->across = ebb_ceil_div(j->n, j->nc);
		if (down * j->across >= wanted)
			break;
		if (j->nc > wide && (j->nc >= j->mc || j->mc <= tall))
			j->nc = ebb_ceil_div(ebb_ceil_div(j->nc, 2), wide) * wide;
		else if (j->mc > tall)
			j->mc = ebb_ceil_div(ebb_ceil_div(j->mc, 2), tall) * tall;
		else
			break;
	}
}

/* The same where B is packed once: the columns are split only if the rows do not suffice. */
static void plan_shared(struct gemm_job *j, int64_t wanted)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width,
		tall = ebb_gemm_panels[EBB_PANELS - 1].rows;
	int64_t tiles = ebb_ceil_div(j->m, tall), most = BLOCK_M / tall, down;

	j->nc = i64_min(j->n, BLOCK_N);
	for (;;) {
		j->across = ebb_ceil_div(j->n, j->nc);
		down = ebb_ceil_div(wanted, j->across);
		if (tiles / down >= SHARED_TILES || j->nc <= SHARED_COLUMNS)
			break;
		j->nc = ebb_ceil_div(ebb_ceil_div(j->nc, 2), wide) * wide;
	}
	down = i64_max(ebb_ceil_div(tiles, most), i64_min(down, tiles / 2));
	j->mc = i64_min(j->m, ebb_ceil_div(tiles, down) * tall);
}

/* The same where A is packed once, too.  Blocks are nearly square: a task reads the packed rows and
 * columns of its block from a cache behind the second level, and a square needs the fewest. */
static void plan_square(struct gemm_job *j, int64_t wanted)
{
	int64_t tall = ebb_gemm_panel_for(j->n)->rows;

	plan_private(j, wanted);
	j->tiles = ebb_tile_rows(j->m, tall);
	j->mc = ebb_ceil_div(j->mc, tall);
}

/* Chooses the block of C per task, and computes the workspace. */
static void plan(struct gemm_job *j)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width,
		tall = ebb_gemm_panels[EBB_PANELS - 1].rows;
	double work = (double)j->m * (double)j->n * (double)j->k / PIECE_WORK;
	int64_t kc = i64_min(j->k, BLOCK_K), columns = ebb_panel_columns(j->n), rows;
	int64_t fits = SHARED_BYTES / (int64_t)sizeof(real);

	j->share_b = work >= PIECES && j->m > SHARED_TILES * tall && columns <= fits / kc;
	j->share_a = j->share_b && j->a.transposed && j->pack_a && columns + j->m <= fits / kc;
	j->terms = j->k;
	if (j->share_b) {
		int64_t most = fits / (columns + (j->share_a ? j->m : 0)) / BLOCK_K * BLOCK_K;
		int64_t rounds = ebb_ceil_div(j->k, i64_max(most, BLOCK_K));

		j->terms =
			i64_min(j->k, ebb_ceil_div(ebb_ceil_div(j->k, rounds), BLOCK_K) * BLOCK_K);
	}
	if (j->share_a)
		plan_square(j, PIECES);
	else if (j->share_b)
		plan_shared(j, work < PIECES_SHARED ? (int64_t)work : PIECES_SHARED);
	else
		plan_private(j, work < PIECES ? (int64_t)work : PIECES);
	rows = j->share_a ? 0 : j->mc;
	j->shared_b = j->share_b ? align_up((size_t)(columns * j->terms) * sizeof(real)) : 0;
	j->shared_bytes =
		j->shared_b + (j->share_a ? align_up((size_t)(j->m * j->terms) * sizeof(real)) : 0);
	j->ws_bytes = align_up((size_t)(kc * rows) * sizeof(real)) +
	              align_up((size_t)(wide * ebb_ceil_div(j->nc, wide)) * sizeof(real));
	if (!j->share_b)
		j->ws_bytes += align_up((size_t)(kc * ebb_panel_columns(j->nc)) * sizeof(real));
}

/* The largest of the workspaces that a product of that shape may need. */
EBB_DECLARE(gemm_workspace);
size_t EBB_NAME(gemm_workspace)(int64_t m, int64_t n, int64_t k)
{
	size_t most = 0;

	if (m <= 0 || n <= 0 || k <= 0)
		return 0;
	for (int ta = 0; ta < 2; ta++) {
		struct gemm_job j = {.m = m, .n = n, .k = k, .a.transposed = ta, .pack_a = ta};
		size_t bytes;

		plan(&j);
		bytes = j.shared_bytes + ebb_bytes_of(ebb_threads(), j.ws_bytes);
		most = bytes > most ? bytes : most;
	}
	return most;
}

/* Multiplies tiles [from,end), which are packed from a on, by one panel.  c: the first row. */
static void multiply_packed(const struct ebb_gemm_panel *panel, const struct ebb_row_tiles *t,
	int64_t from, int64_t end, struct ebb_product *p, const real *a, const real *b, real *c)
{
	for (int64_t i = from; i < end; i++) {
		int64_t n = ebb_tile_height(t, i);

		assert(n <= panel->rows);
		p->a_stride = n;
		panel->by_term[n](p, a, b, c);
		a += n * p->len;
		c += n * p->ldc;
	}
}

/* The packed terms from k0 on of the columns from n0 on, of a block of kc terms. */
static real *shared_b(const struct gemm_job *j, int64_t k0, int64_t kc, int64_t n0)
{
	return (real *)(void *)j->ws + (k0 - j->k0) * ebb_panel_columns(j->n) + n0 * kc;
}

/* The same of the rows from m0 on. */
static real *shared_a(const struct gemm_job *j, int64_t k0, int64_t kc, int64_t m0)
{
	return (real *)(void *)(j->ws + j->shared_b) + (k0 - j->k0) * j->m + m0 * kc;
}

/* Tasks that pack a block of terms. */
static int64_t shared_pieces(const struct gemm_job *j)
{
	return ebb_ceil_div(j->n, PACK_COLUMNS) +
	       (j->share_a ? ebb_ceil_div(j->tiles.tiles, PACK_TILES) : 0);
}

/* Packs PACK_COLUMNS columns of B, or PACK_TILES tiles of A, of one block of terms. */
static void pack_shared(void *ctx, int64_t piece, int worker)
{
	const struct gemm_job *j = ctx;
	int64_t groups = ebb_ceil_div(j->n, PACK_COLUMNS), all = shared_pieces(j);
	int64_t k0 = j->k0 + piece / all * BLOCK_K, group = piece % all;
	int64_t kc = i64_min(BLOCK_K, j->k1 - k0);

	(void)worker;
	if (group < groups) {
		int64_t n0 = group * PACK_COLUMNS;

		EBB_NAME(pack_panels)
		(&j->b, k0, kc, n0, i64_min(PACK_COLUMNS, j->n - n0), shared_b(j, k0, kc, n0));
	} else {
		int64_t from = (group - groups) * PACK_TILES;

		EBB_NAME(pack_tiles)
		(&j->a, k0, kc, 0, &j->tiles, from, i64_min(from + PACK_TILES, j->tiles.tiles),
			shared_a(j, k0, kc, ebb_tile_start(&j->tiles, from)));
	}
}

/* A task's block of C and the memory of its worker. */
struct gemm_part {
	int64_t m0, mc, n0, nc;
	struct ebb_row_tiles tiles; /* of the rows, or if A is shared, of all rows of A */
	int64_t from, end;          /* the tiles of the block */
	real *packed_a, *packed_b, *bias;
};

static struct gemm_part part_of(const struct gemm_job *j, int64_t piece, int worker)
{
	int64_t row = piece / j->across * j->mc, n0 = piece % j->across * j->nc;
	struct gemm_part t = {.n0 = n0, .nc = i64_min(j->nc, j->n - n0), .tiles = j->tiles};
	size_t bytes_a = 0;

	if (j->share_a) {
		t.from = row;
		t.end = i64_min(row + j->mc, t.tiles.tiles);
		t.m0 = ebb_tile_start(&t.tiles, t.from);
		t.mc = ebb_tile_start(&t.tiles, t.end) - t.m0;
	} else {
		t.m0 = row;
		t.mc = i64_min(j->mc, j->m - row);
		t.tiles = ebb_tile_rows(t.mc, ebb_gemm_panel_for(t.nc)->rows);
		t.end = t.tiles.tiles;
		bytes_a = align_up((size_t)(i64_min(j->k, BLOCK_K) * j->mc) * sizeof(real));
	}
	t.packed_a = (real *)(void *)(j->ws + j->shared_bytes + (size_t)worker * j->ws_bytes);
	t.bias = t.packed_a + bytes_a / sizeof(real);
	t.packed_b =
		t.bias + align_up((size_t)ebb_panel_columns(t.nc) * sizeof(real)) / sizeof(real);
	return t;
}

/* Adds the products of the terms [k0,k0+kc). */
static void multiply_terms(
	const struct gemm_job *j, const struct gemm_part *t, int64_t k0, int64_t kc)
{
	const real *a = j->a.x + (j->a.transposed ? k0 * j->a.ld + t->m0 : t->m0 * j->a.ld + k0);
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.len = kc,
		.a_stride = j->a.ld,
		.ldc = j->ldc,
		.add = j->add || k0 > 0};

	if (j->share_a) {
		a = shared_a(j, k0, kc, t->m0);
	} else if (j->pack_a) {
		EBB_NAME(pack_tiles)(&j->a, k0, kc, t->m0, &t->tiles, 0, t->end, t->packed_a);
		a = t->packed_a;
	}
	if (j->pack_b && !j->share_b)
		EBB_NAME(pack_panels)(&j->b, k0, kc, t->n0, t->nc, t->packed_b);
	for (int64_t at = 0; at < t->nc;) {
		const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(t->nc - at);
		const real *b =
			j->share_b ? shared_b(j, k0, kc, t->n0 + at) : t->packed_b + at * kc;
		real *c = j->c + t->m0 * j->ldc + t->n0 + at;

		p.cols = (int)i64_min(panel->width, t->nc - at);
		p.b_stride = panel->width;
		p.bias = j->bias && k0 == 0 ? t->bias + at : NULL;
		if (!j->pack_b && p.cols == panel->width) {
			b = j->b.x + k0 * j->b.ld + t->n0 + at;
			p.b_stride = j->b.ld;
		} else if (!j->pack_b) {
			EBB_NAME(pack_panels)
			(&j->b, k0, kc, t->n0 + at, p.cols, t->packed_b + at * kc);
		}
		if (j->pack_a)
			multiply_packed(panel, &t->tiles, t->from, t->end, &p, a, b, c);
		else
			ebb_multiply(panel, !j->a.transposed, t->mc, j->a.transposed ? 1 : j->a.ld,
				&p, a, b, c);
		at += panel->width;
	}
}

static void gemm_piece(void *ctx, int64_t piece, int worker)
{
	const struct gemm_job *j = ctx;
	struct gemm_part t = part_of(j, piece, worker);

	for (int64_t i = 0; j->bias && i < ebb_panel_columns(t.nc); i++)
		t.bias[i] = i < t.nc ? j->bias[t.n0 + i] : 0;
	for (int64_t k0 = j->k0; k0 < j->k1; k0 += BLOCK_K)
		multiply_terms(j, &t, k0, i64_min(BLOCK_K, j->k1 - k0));
}

/* ---- A few rows times a transposed matrix ---------------------------------------------------- */

static real sum_lanes(ebb_vec v)
{
	real s = 0;

	for (int i = 0; i < EBB_VLEN; i++)
		s += v[i];
	return s;
}

static void dot_piece(void *ctx, int64_t piece, int worker)
{
	const struct gemm_job *j = ctx;
	int64_t from = piece * j->nc, to = i64_min(j->n, from + j->nc);
	int64_t whole = j->k / EBB_VLEN * EBB_VLEN;

	(void)worker;
	for (int64_t n = from; n < to; n++) {
		const real *b = j->b.x + n * j->b.ld;

		for (int64_t m = 0; m < j->m; m++) {
			const real *a = j->a.x + m * j->a.ld;
			ebb_vec s0 = {0}, s1 = {0};
			int64_t k = 0;
			real s, *c = j->c + m * j->ldc + n;

			for (; k + 2 * EBB_VLEN <= whole; k += 2 * EBB_VLEN) {
				s0 += *(const ebb_vec *)(a + k) * *(const ebb_vec *)(b + k);
				s1 += *(const ebb_vec *)(a + k + EBB_VLEN) *
				      *(const ebb_vec *)(b + k + EBB_VLEN);
			}
			if (k < whole) {
				s0 += *(const ebb_vec *)(a + k) * *(const ebb_vec *)(b + k);
				k += EBB_VLEN;
			}
			s = sum_lanes(s0 + s1);
			for (; k < j->k; k++)
				s += a[k] * b[k];
			*c = (j->bias ? j->bias[n] : j->add ? *c : 0) + s;
		}
	}
}

/* ---- The product ----------------------------------------------------------------------------- */

void EBB_NAME(gemm_bias)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a,
	int64_t lda, const real *b, int64_t ldb, const real *bias, double beta, real *c,
	int64_t ldc, void *ws)
{
	struct gemm_job j = {.a = {ta, a, lda},
		.b = {tb, b, ldb},
		.m = m,
		.n = n,
		.k = k,
		.bias = bias,
		.add = beta != 0,
		.c = c,
		.ldc = ldc,
		.ws = ws};
	int64_t rows;

	assert(!bias || beta == 0);
	if (m <= 0 || n <= 0)
		return;
	if (k <= 0) {
		for (int64_t i = 0; i < m && !j.add; i++) {
			for (int64_t l = 0; l < n; l++)
				c[i * ldc + l] = bias ? bias[l] : 0;
		}
		return;
	}
	if (m <= DOT_ROWS && !ta && tb && k >= EBB_VLEN) {
		j.nc = m * n * k < 2 * PIECE_WORK ? n : i64_max(1, PIECE_WORK / (m * k));
		ebb_run_pieces(ebb_ceil_div(n, j.nc), dot_piece, &j);
		return;
	}
	/* Rows whose distance is a multiple of a page fall into the same set of the cache. */
	j.pack_a = lda * (int64_t)sizeof(real) % 4096 == 0 || (ta && n > 4 * EBB_VLEN);
	j.pack_b = tb || m > 2 * ebb_gemm_panels[EBB_PANELS - 1].rows;
	plan(&j);
	assert(j.pack_b || !j.share_b);
	rows = j.share_a ? j.tiles.tiles : m;
	for (; j.k0 < k; j.k0 = j.k1) {
		j.k1 = i64_min(j.k0 + j.terms, k);
		if (j.share_b)
			ebb_run_pieces(ebb_ceil_div(j.k1 - j.k0, BLOCK_K) * shared_pieces(&j),
				pack_shared, &j);
		ebb_run_pieces(ebb_ceil_div(rows, j.mc) * j.across, gemm_piece, &j);
	}
}

void EBB_NAME(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
	const void *b, int64_t ldb, double beta, void *c, int64_t ldc, void *ws)
{
	if (i64_max(lda, i64_max(ldb, ldc)) <= INT32_MAX &&
		ebb_blas_is_faster(EBB_F64, EBB_STRING(EBB_ISA), m, n, k))
		ebb_blas_gemm(EBB_F64, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
	else
		EBB_NAME(gemm_bias)(ta, tb, m, n, k, a, lda, b, ldb, NULL, beta, c, ldc, ws);
}

void EBB_NAME(linear)(int64_t m, int64_t n, int64_t k, const void *x, const void *w, const void *b,
	void *y, void *ws)
{
	int64_t ld = i64_max(k, 1);
	char *row = y;

	if (ld > INT32_MAX || n > INT32_MAX ||
		!ebb_blas_is_faster(EBB_F64, EBB_STRING(EBB_ISA), m, n, k)) {
		EBB_NAME(gemm_bias)(false, true, m, n, k, x, ld, w, ld, b, 0, y, n, ws);
		return;
	}
	for (int64_t i = 0; b && i < m; i++, row += n * (int64_t)sizeof(real))
		memcpy(row, b, (size_t)n * sizeof(real));
	ebb_blas_gemm(EBB_F64, false, true, m, n, k, x, ld, w, ld, b ? 1.0 : 0.0, y, n);
}
