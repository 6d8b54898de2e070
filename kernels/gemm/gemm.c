/*
 * gemm.c - matrix products.  C is split into tasks by its shape alone.  A task packs the blocks of
 * A and B that need packing, one block of terms at a time, and calls the micro-kernel.  If several
 * tasks multiply by the same columns of B, and B is small enough, B is packed once for all tasks.
 */
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/blas.h"
#include "kernels/gemm/microkernel.h"
#include "kernels/lanes.h"
#include "kernels/transpose.h"

#include <assert.h>
#include <string.h>

/* Terms, columns and rows of a block: a block of B and one of A fit the second-level cache. */
enum { BLOCK_K = EBB_F64 ? 192 : 256, BLOCK_N = 512, BLOCK_M = EBB_F64 ? 224 : 112 };

/* Least multiply-adds per task, and the number of tasks aimed at, where each task packs its columns
 * of B and where B is packed once. */
enum { PIECE_WORK = 1 << 18, PIECES = 16, PIECES_SHARED = 32 };

/* Most bytes of a B that is packed once.  Least rows (in tiles) and columns of a task's block of C
 * then. */
enum { SHARED_BYTES = 4 << 20, SHARED_TILES = 4, SHARED_COLUMNS = 128, PACK_COLUMNS = 64 };

/* A*B^T of at most so many rows is computed by dot products of rows of A and of B, because packing
 * B would cost more. */
enum { DOT_ROWS = 4 };

struct gemm_job {
	bool ta, tb, pack_a, pack_b;
	bool shared; /* B is packed once, at the start of ws */
	int64_t m, n, k, lda, ldb, ldc, mc, nc, across;
	const real *a, *b, *bias;
	bool add;
	real *c;
	char *ws;
	size_t ws_bytes;     /* workspace of one worker */
	size_t shared_bytes; /* of the packed B; 0 if it is not shared */
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

/* Chooses the block of C per task, and computes the workspace of a worker. */
static void plan(struct gemm_job *j)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width,
		tall = ebb_gemm_panels[EBB_PANELS - 1].rows;
	double work = (double)j->m * (double)j->n * (double)j->k / PIECE_WORK;
	int64_t kc = i64_min(j->k, BLOCK_K), columns = ebb_panel_columns(j->n);

	j->shared = work >= PIECES && j->m > SHARED_TILES * tall &&
	            columns <= SHARED_BYTES / (int64_t)sizeof(real) / j->k;
	if (j->shared)
		plan_shared(j, work < PIECES_SHARED ? (int64_t)work : PIECES_SHARED);
	else
		plan_private(j, work < PIECES ? (int64_t)work : PIECES);
	j->shared_bytes = j->shared ? align_up((size_t)(columns * j->k) * sizeof(real)) : 0;
	j->ws_bytes = align_up((size_t)(kc * j->mc) * sizeof(real)) +
	              align_up((size_t)(wide * ebb_ceil_div(j->nc, wide)) * sizeof(real));
	if (!j->shared)
		j->ws_bytes += align_up((size_t)(kc * ebb_panel_columns(j->nc)) * sizeof(real));
}

EBB_DECLARE(gemm_workspace);
size_t EBB_NAME(gemm_workspace)(int64_t m, int64_t n, int64_t k)
{
	struct gemm_job j = {.m = m, .n = n, .k = k};

	if (m <= 0 || n <= 0 || k <= 0)
		return 0;
	plan(&j);
	return j.shared_bytes + ebb_bytes_of(ebb_threads(), j.ws_bytes);
}

/* Copies kc rows, ldb apart, of a panel whose width is vecs vectors.  vecs is a constant, so that
 * a row is copied by loads and stores instead of a call of memcpy. */
EBB_INLINE void pack_panel(const int vecs, int64_t kc, const real *b, int64_t ldb, real *to)
{
	for (int64_t k = 0; k < kc; k++, b += ldb, to += vecs * EBB_VLEN)
		for (int v = 0; v < vecs; v++)
			ebb_store(to + v * EBB_VLEN, ebb_load(b + v * EBB_VLEN));
}

void EBB_NAME(pack_columns)(int64_t kc, int64_t nc, const real *b, int64_t ldb, real *to)
{
	for (int64_t at = 0; at < nc;) {
		int64_t width = ebb_gemm_panel_for(nc - at)->width, cols = i64_min(width, nc - at);
		real *panel = to + at * kc;

		if (cols == 2 * EBB_VLEN)
			pack_panel(2, kc, b + at, ldb, panel);
		else if (cols == EBB_VLEN && width == cols)
			pack_panel(1, kc, b + at, ldb, panel);
		else if (cols == width)
			for (int64_t k = 0; k < kc; k++)
				memcpy(panel + k * width, b + k * ldb + at,
					(size_t)width * sizeof(real));
		for (int64_t k = 0; k < kc && cols < width; k++) {
			for (int64_t i = 0; i < width; i++)
				panel[k * width + i] = i < cols ? b[k * ldb + at + i] : 0;
		}
		at += width;
	}
}

/* Packs terms [k0,k0+kc) of columns [n0,n0+nc) of op(B) into panels, padded with zeros. */
static void pack_b(
	const struct gemm_job *j, int64_t k0, int64_t kc, int64_t n0, int64_t nc, real *to)
{
	const real *b = j->b + (j->tb ? n0 * j->ldb + k0 : k0 * j->ldb + n0);

	if (!j->tb) {
		EBB_NAME(pack_columns)(kc, nc, b, j->ldb, to);
		return;
	}
	for (int64_t at = 0; at < nc;) {
		int64_t width = ebb_gemm_panel_for(nc - at)->width, cols = i64_min(width, nc - at);
		real *panel = to + at * kc;

		ebb_transpose_block(cols, kc, b + at * j->ldb, j->ldb, panel, width);
		for (int64_t k = 0; k < kc && cols < width; k++) {
			for (int64_t i = cols; i < width; i++)
				panel[k * width + i] = 0;
		}
		at += width;
	}
}

/* to[k*n + i] = a[k*lda + i] for n rows i, by whole vectors.  If n < EBB_VLEN, the excess lanes of a
 * vector are overwritten by the next terms; the last terms, whose vector would end behind the
 * block, are copied by element. */
static void pack_terms(int64_t n, int64_t kc, const real *a, int64_t lda, real *to)
{
	int64_t k = 0, whole = n < EBB_VLEN ? kc - ebb_ceil_div(EBB_VLEN, n) : kc;

	if (n < EBB_VLEN) {
		for (; k < whole; k++)
			ebb_store(to + k * n, ebb_load(a + k * lda));
	} else {
		for (; k < whole; k++) {
			const real *from = a + k * lda;
			real *term = to + k * n;

			for (int64_t i = 0; i + EBB_VLEN < n; i += EBB_VLEN)
				ebb_store(term + i, ebb_load(from + i));
			ebb_store(term + n - EBB_VLEN, ebb_load(from + n - EBB_VLEN));
		}
	}
	for (; k < kc; k++)
		for (int64_t i = 0; i < n; i++)
			to[k * n + i] = a[k * lda + i];
}

/* to[k*n + i] = a[i*lda + k] for n rows i, n <= EBB_VLEN.  As in pack_terms, the excess lanes of a
 * term are overwritten by the next one. */
static void pack_few_rows(int64_t n, int64_t kc, const real *a, int64_t lda, real *to)
{
	int64_t k = 0;

	for (; k + 2 * EBB_VLEN <= kc; k += EBB_VLEN) {
		ebb_vec v[EBB_VLEN];

		ebb_transpose_rows(n, a + k, lda, v);
		for (int i = 0; i < EBB_VLEN; i++)
			ebb_store(to + (k + i) * n, v[i]);
	}
	for (; k < kc; k++)
		for (int64_t i = 0; i < n; i++)
			to[k * n + i] = a[i * lda + k];
}

/* Packs terms [k0,k0+kc) of the rows [m0,m0+n) of op(A), which are one tile: to[term][row]. */
static void pack_a(
	const struct gemm_job *j, int64_t k0, int64_t kc, int64_t m0, int64_t n, real *to)
{
	if (j->ta) {
		pack_terms(n, kc, j->a + k0 * j->lda + m0, j->lda, to);
	} else if (n <= EBB_VLEN) {
		pack_few_rows(n, kc, j->a + m0 * j->lda + k0, j->lda, to);
	} else {
		ebb_transpose_block(n, kc, j->a + m0 * j->lda + k0, j->lda, to, n);
	}
}

/* Multiplies all tiles by one panel.  A is packed tile by tile, split as by ebb_multiply. */
static void multiply_packed(const struct ebb_gemm_panel *panel, int64_t tall, int64_t rows,
	int64_t kc, struct ebb_product *p, const real *a, const real *b, real *c)
{
	int64_t tiles = ebb_ceil_div(rows, tall);

	for (int64_t i = 0, done = 0; i < tiles; i++) {
		int64_t n = (rows - done) / (tiles - i);

		p->a_stride = n;
		ebb_multiply(panel, false, n, 1, p, a + done * kc, b, c + done * p->ldc);
		done += n;
	}
}

/* Packs PACK_COLUMNS columns of one block of terms of the shared B.  The block that starts at term
 * k0 begins at element k0*columns. */
static void pack_shared(void *ctx, int64_t piece, int worker)
{
	const struct gemm_job *j = ctx;
	int64_t groups = ebb_ceil_div(j->n, PACK_COLUMNS), columns = ebb_panel_columns(j->n);
	int64_t k0 = piece / groups * BLOCK_K, n0 = piece % groups * PACK_COLUMNS;
	int64_t kc = i64_min(BLOCK_K, j->k - k0);

	(void)worker;
	pack_b(j, k0, kc, n0, i64_min(PACK_COLUMNS, j->n - n0),
		(real *)(void *)j->ws + k0 * columns + n0 * kc);
}

static void gemm_piece(void *ctx, int64_t piece, int worker)
{
	const struct gemm_job *j = ctx;
	int64_t m0 = piece / j->across * j->mc, n0 = piece % j->across * j->nc;
	int64_t mc = i64_min(j->mc, j->m - m0), nc = i64_min(j->nc, j->n - n0);
	int64_t kmax = i64_min(j->k, BLOCK_K), columns = ebb_panel_columns(nc);
	int64_t tall = ebb_gemm_panel_for(nc)->rows;
	const real *shared = (const real *)(const void *)j->ws;
	real *packed_a = (real *)(void *)(j->ws + j->shared_bytes + (size_t)worker * j->ws_bytes);
	real *bias = packed_a + align_up((size_t)(kmax * j->mc) * sizeof(real)) / sizeof(real);
	real *packed_b = bias + align_up((size_t)columns * sizeof(real)) / sizeof(real);

	if (j->bias) {
		for (int64_t i = 0; i < columns; i++)
			bias[i] = i < nc ? j->bias[n0 + i] : 0;
	}
	for (int64_t k0 = 0; k0 < j->k; k0 += BLOCK_K) {
		int64_t kc = i64_min(BLOCK_K, j->k - k0);
		const real *a = j->ta ? j->a + k0 * j->lda + m0 : j->a + m0 * j->lda + k0;
		struct ebb_product p = {.runs1 = 1,
			.runs2 = 1,
			.len = kc,
			.a_stride = j->lda,
			.ldc = j->ldc,
			.add = j->add || k0 > 0};

		if (j->pack_a) {
			int64_t tiles = ebb_ceil_div(mc, tall);

			for (int64_t i = 0, done = 0; i < tiles; i++) {
				int64_t n = (mc - done) / (tiles - i);

				pack_a(j, k0, kc, m0 + done, n, packed_a + done * kc);
				done += n;
			}
		}
		if (j->pack_b && !j->shared)
			pack_b(j, k0, kc, n0, nc, packed_b);
		for (int64_t at = 0; at < nc;) {
			const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(nc - at);
			const real *b =
				j->shared ? shared + k0 * ebb_panel_columns(j->n) + (n0 + at) * kc
					  : packed_b + at * kc;
			real *c = j->c + m0 * j->ldc + n0 + at;

			p.cols = (int)i64_min(panel->width, nc - at);
			p.b_stride = panel->width;
			p.bias = j->bias && k0 == 0 ? bias + at : NULL;
			if (!j->pack_b && p.cols == panel->width) {
				b = j->b + k0 * j->ldb + n0 + at;
				p.b_stride = j->ldb;
			} else if (!j->pack_b) {
				pack_b(j, k0, kc, n0 + at, p.cols, packed_b + at * kc);
			}
			if (j->pack_a)
				multiply_packed(panel, tall, mc, kc, &p, packed_a, b, c);
			else
				ebb_multiply(panel, !j->ta, mc, j->ta ? 1 : j->lda, &p, a, b, c);
			at += panel->width;
		}
	}
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
		const real *b = j->b + n * j->ldb;

		for (int64_t m = 0; m < j->m; m++) {
			const real *a = j->a + m * j->lda;
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
	struct gemm_job j = {.ta = ta,
		.tb = tb,
		.m = m,
		.n = n,
		.k = k,
		.a = a,
		.lda = lda,
		.b = b,
		.ldb = ldb,
		.bias = bias,
		.add = beta != 0,
		.c = c,
		.ldc = ldc,
		.ws = ws};

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
	plan(&j);
	/* Rows whose distance is a multiple of a page fall into the same set of the cache. */
	j.pack_a = lda * (int64_t)sizeof(real) % 4096 == 0 || (ta && n > 4 * EBB_VLEN);
	j.pack_b = tb || m > 2 * ebb_gemm_panels[EBB_PANELS - 1].rows;
	if (j.shared)
		ebb_run_pieces(
			ebb_ceil_div(k, BLOCK_K) * ebb_ceil_div(n, PACK_COLUMNS), pack_shared, &j);
	ebb_run_pieces(ebb_ceil_div(m, j.mc) * j.across, gemm_piece, &j);
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
