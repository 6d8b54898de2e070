/*
 * forward.c - attention in tiles.  A task computes a block of queries of one head.  The softmax of
 * a row is updated tile by tile (Milakov & Gimelshein 2018): y always is the attention to the keys
 * so far.
 */
#include "kernels/attention/tile.h"
#include "kernels/functions.h"
#include "kernels/gemm/pack.h"
#include "kernels/transpose.h"

#include <math.h>

/* The most queries of a task.  With at most FEW_QUERIES, as in generation with a cache, each key is
 * read so few times that packing would cost more than the products. */
enum { MOST_QUERIES = 1024, FEW_QUERIES = 3 };

struct forward_job {
	const ebb_attention_shape *s;
	const ebb_attention_arrays *a;
	int64_t blocks, block_rows; /* tasks of a head, queries of a task */
	char *ws;
	size_t ws_bytes; /* of one worker */
};

/* The memory of one task. */
struct forward_memory {
	real *keys, *values;        /* a packed block of keys and values */
	real *queries;              /* a tile's rows of q, scaled */
	real *scores, *keep, *most; /* keep: factors of dropout; most: per query */
	double *sum;                /* of exp(score - most), per query */
};

/* ---- Sizes ----------------------------------------------------------------------------------- */

static void plan(struct forward_job *j, const ebb_attention_shape *s)
{
	int64_t heads = ebb_attention_heads(s), rows = s->queries;

	if (heads < ATTENTION_TASKS)
		rows = ebb_ceil_div(rows, ebb_ceil_div(ATTENTION_TASKS, i64_max(heads, 1)));
	rows = ebb_attention_round_up(rows, ATTENTION_ROWS);
	j->block_rows = i64_max(1, i64_min(i64_min(rows, MOST_QUERIES), s->queries));
	j->blocks = ebb_ceil_div(s->queries, j->block_rows);
	j->s = s;
}

/* Lays out the memory of a task from ws on; returns its size in reals. */
static int64_t lay_out(const struct forward_job *j, struct forward_memory *m, real *ws)
{
	const ebb_attention_shape *s = j->s;
	int64_t block = i64_min(ATTENTION_BLOCK, ebb_attention_round_up(s->keys, ATTENTION_KEYS));
	int64_t tile = ATTENTION_ROWS * ATTENTION_KEYS, at = 0;
	real **const parts[] = {&m->keys, &m->values, &m->queries, &m->scores, &m->keep, &m->most};
	const int64_t sizes[] = {block * s->width, block * ebb_panel_columns(s->values),
		ATTENTION_ROWS * s->width, tile, s->dropout > 0 ? tile : 0, j->block_rows};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		*parts[i] = ws ? ws + at : NULL;
		at += ebb_attention_round_up(sizes[i], 64 / (int64_t)sizeof(real));
	}
	m->sum = ws ? (double *)(void *)(ws + at) : NULL;
	return at +
	       ebb_attention_round_up(j->block_rows, 8) * (int64_t)(sizeof(double) / sizeof(real));
}

size_t EBB_NAME(attention_forward_workspace)(const ebb_attention_shape *s)
{
	struct forward_job j = {0};
	struct forward_memory m;

	plan(&j, s);
	return ebb_bytes_of(ebb_threads(), ebb_bytes_of(lay_out(&j, &m, NULL), sizeof(real)));
}

EBB_DECLARE(attention_workspace);
size_t EBB_NAME(attention_workspace)(const ebb_attention_shape *s, bool grad)
{
	if (ebb_attention_heads(s) <= 0 || s->queries < 0)
		return 0;
	return grad ? EBB_NAME(attention_grad_workspace)(s)
	            : EBB_NAME(attention_forward_workspace)(s);
}

/* ---- The softmax of a row -------------------------------------------------------------------- */

/* The larger lane; that of b if a's is NaN. */
EBB_INLINE ebb_vec larger(ebb_vec a, ebb_vec b)
{
#if defined __AVX512F__ && EBB_F64
	return (ebb_vec)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined __AVX512F__
	return (ebb_vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX2__ && EBB_F64
	return (ebb_vec)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined __AVX2__
	return (ebb_vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
	for (int k = 0; k < EBB_VLEN; k++)
		b[k] = a[k] > b[k] ? a[k] : b[k];
	return b;
#endif
}

/* The largest of n elements, n a multiple of EBB_BLOCK, and of least; NaN is ignored. */
EBB_INLINE real largest(int64_t n, const real *x, real least)
{
	ebb_vec most = (ebb_vec){0} + least;
	real lanes[EBB_VLEN];

	for (int64_t c = 0; c < n; c += EBB_VLEN)
		most = larger(ebb_load(x + c), most);
	ebb_store(lanes, most);
	EBB_UNROLL(4)
	for (int half = EBB_VLEN / 2; half > 0; half /= 2) {
		for (int k = 0; k < half; k++)
			lanes[k] = lanes[k + half] > lanes[k] ? lanes[k + half] : lanes[k];
	}
	return lanes[0];
}

/* x = exp(x - shift); returns the sum.  n is a multiple of EBB_BLOCK. */
EBB_INLINE double exponentials(int64_t n, real shift, real *x)
{
	ebb_vec sum = {0};
	double lanes[EBB_VLEN];

	for (int64_t c = 0; c < n; c += EBB_BLOCK) {
		for (int k = 0; k < EBB_BLOCK; k++)
			x[c + k] = real_exp_down(x[c + k] - shift);
		for (int k = 0; k < EBB_BLOCK; k += EBB_VLEN)
			sum += ebb_load(x + c + k);
	}
	for (int k = 0; k < EBB_VLEN; k++)
		lanes[k] = sum[k];
	EBB_UNROLL(4)
	for (int half = EBB_VLEN / 2; half > 0; half /= 2) {
		for (int k = 0; k < half; k++)
			lanes[k] += lanes[k + half];
	}
	return lanes[0];
}

/* Replaces the n scores x of a row by its weights among all keys so far.  Returns the factor for
 * the earlier weights. */
EBB_INLINE real weigh(int64_t n, real *x, real *most, double *sum)
{
	int64_t padded = ebb_attention_round_up(n, EBB_BLOCK);
	real before = *most, now, shift, inverse;
	double earlier = *sum;

	for (int64_t c = n; c < padded; c++)
		x[c] = -(real)INFINITY;
	now = largest(padded, x, before);
	shift = now == -(real)INFINITY ? 0 : now;
	if (earlier != 0 && now != before)
		earlier *= exp((double)before - (double)shift);
	*sum = earlier + exponentials(padded, shift, x);
	*most = now;
	inverse = *sum == 0 ? 0 : (real)(1 / *sum);
	for (int64_t c = 0; c < padded; c += EBB_VLEN)
		ebb_store(x + c, ebb_load(x + c) * inverse);
	return *sum == 0 ? 1 : (real)(earlier / *sum);
}

/* ---- Few queries ----------------------------------------------------------------------------- */

/* Scores of one query q for the n keys in k, whose rows are ld apart: dot products of as many rows
 * as a vector has lanes, which are summed across by a transpose. */
static void dot_keys(int64_t n, int64_t width, const real *q, const real *k, int64_t ld, real *x)
{
	int64_t whole = width / EBB_VLEN * EBB_VLEN;

	for (int64_t j = 0; j < n; j += EBB_VLEN) {
		real sums[EBB_VLEN * EBB_VLEN];
		ebb_vec across[EBB_VLEN], total = {0};

		for (int i = 0; i < EBB_VLEN; i++) {
			const real *row = k + i64_min(j + i, n - 1) * ld;
			ebb_vec sum = {0};

			for (int64_t c = 0; c < whole; c += EBB_VLEN)
				sum += ebb_load(q + c) * ebb_load(row + c);
			if (whole < width)
				sum += ebb_load_part(q + whole, width - whole) *
				       ebb_load_part(row + whole, width - whole);
			ebb_store(sums + i * EBB_VLEN, sum);
		}
		ebb_transpose_vectors(sums, EBB_VLEN, across);
		for (int i = 0; i < EBB_VLEN; i++)
			total += across[i];
		ebb_store(x + j, total);
	}
}

/* y = weights*v, or y += weights*v if add, with v in place; only columns that do not fill a panel
 * are packed. */
static void add_values(int64_t rows, int64_t keys, int64_t values, const real *weights,
	const real *v, int64_t ld, real *packed, bool add, real *y, int64_t ldy)
{
	struct ebb_product p = {.runs1 = 1,
		.runs2 = 1,
		.len = keys,
		.a_stride = ATTENTION_KEYS,
		.ldc = ldy,
		.add = add};

	for (int64_t at = 0; at < values;) {
		const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(values - at);
		bool whole = values - at >= panel->width;

		if (!whole)
			EBB_NAME(pack_columns)(keys, values - at, v + at, ld, packed);
		p.cols = (int)i64_min(panel->width, values - at);
		p.b_stride = whole ? ld : panel->width;
		ebb_multiply(panel, true, rows, ATTENTION_KEYS, &p, weights,
			whole ? v + at : packed, y + at);
		at += panel->width;
	}
}

/* ---- A tile ---------------------------------------------------------------------------------- */

/* The keys and values of a tile: packed, or in place for few queries. */
struct forward_tile {
	struct attention_tile at;
	const real *keys, *values;
	int64_t packed; /* keys, of which no query of the tile may see the last */
	bool few;
};

static void multiply_keys(
	const struct forward_job *j, const struct forward_memory *m, const struct forward_tile *t)
{
	int64_t rows = t->at.rows, width = j->s->width;

	for (int64_t r = 0; r < rows && t->few; r++)
		dot_keys(t->at.keys, width, m->queries + r * width, t->keys, j->a->k.row,
			m->scores + r * ATTENTION_KEYS);
	if (!t->few)
		ebb_attention_multiply(true, rows, ebb_panel_columns(t->at.keys), width, m->queries,
			width, t->keys, width, false, m->scores, ATTENTION_KEYS);
}

static void multiply_values(const struct forward_job *j, const struct forward_memory *m,
	const struct forward_tile *t, real *y)
{
	int64_t rows = t->at.rows, keys = t->at.keys, values = j->s->values, ld = j->a->y.row;
	bool add = t->at.j > 0;

	if (t->few)
		add_values(rows, keys, values, m->scores, t->values, j->a->v.row, m->values, add, y,
			ld);
	else
		ebb_attention_multiply(true, rows, values, keys, m->scores, ATTENTION_KEYS,
			t->values, t->packed, add, y, ld);
}

static void scale_row(int64_t n, real by, real *y)
{
	for (int64_t c = 0; c < n; c++)
		y[c] *= by;
}

/* y of the tile's queries, the attention to earlier keys, becomes that to the tile's keys, too.
 * first: the first query of the task. */
static void attend(const struct forward_job *j, const struct forward_memory *m, int64_t head,
	const struct forward_tile *t, int64_t first, real *y)
{
	const ebb_attention_shape *s = j->s;
	const struct attention_tile *tile = &t->at;
	const void *mask = ebb_attention_mask_at(s, &j->a->mask, head);
	int64_t ld = j->a->y.row;

	multiply_keys(j, m, t);
	if (mask)
		ebb_attention_masked(s, mask, j->a->mask.row, tile, m->scores);
	if (s->dropout > 0)
		ebb_attention_factors(s, head, tile, m->keep);
	for (int64_t r = 0; r < tile->rows; r++) {
		int64_t n = ebb_attention_seen(s, tile->i + r, tile->j, tile->keys);
		real *x = m->scores + r * ATTENTION_KEYS, by;

		by = weigh(n, x, &m->most[tile->i + r - first], &m->sum[tile->i + r - first]);
		for (int64_t c = n; c < tile->keys; c++)
			x[c] = 0;
		for (int64_t c = 0; c < n && s->dropout > 0; c++)
			x[c] *= m->keep[r * ATTENTION_KEYS + c];
		if (tile->j > 0 && by != 1)
			scale_row(s->values, by, y + (tile->i + r) * ld);
	}
	multiply_values(j, m, t, y + tile->i * ld);
}

/* ---- A task ---------------------------------------------------------------------------------- */

/* Zeros for queries without keys; most and inverse for the gradient. */
static void finish(const struct forward_job *j, const struct forward_memory *m, int64_t head,
	int64_t first, int64_t rows, real *y)
{
	const ebb_attention_shape *s = j->s;
	real *most = j->a->most, *inverse = j->a->inverse;

	for (int64_t r = 0; r < rows; r++) {
		int64_t at = head * s->queries + first + r;

		if (m->sum[r] == 0)
			ebb_attention_fill(1, s->values, 0, y + (first + r) * j->a->y.row, 0);
		if (most)
			most[at] = m->most[r];
		if (inverse)
			inverse[at] = m->sum[r] == 0 ? 0 : (real)(1 / m->sum[r]);
	}
}

/* Packs the keys and values [block,end). */
static void pack_block(const struct forward_job *j, const struct forward_memory *m, const real *k,
	const real *v, int64_t block, int64_t end)
{
	const ebb_attention_shape *s = j->s;
	int64_t kr = j->a->k.row, vr = j->a->v.row, columns = ebb_panel_columns(s->values);

	for (int64_t at = block; at < end; at += ATTENTION_KEYS) {
		int64_t n = i64_min(ATTENTION_KEYS, end - at), to = at - block;

		ebb_attention_pack(n, s->width, k + at * kr, kr, m->keys + to * s->width);
		EBB_NAME(pack_columns)(n, s->values, v + at * vr, vr, m->values + to * columns);
	}
}

static void forward_piece(void *ctx, int64_t piece, int worker)
{
	const struct forward_job *j = ctx;
	const ebb_attention_shape *s = j->s;
	const ebb_attention_arrays *a = j->a;
	int64_t head = piece / j->blocks, first = piece % j->blocks * j->block_rows;
	int64_t rows = i64_min(j->block_rows, s->queries - first);
	int64_t height = ebb_attention_tile_rows(rows), columns = ebb_panel_columns(s->values);
	const real *q = ebb_attention_at(s, &a->q, head), *k = ebb_attention_at(s, &a->k, head);
	const real *v = ebb_attention_at(s, &a->v, head);
	real *y = ebb_attention_at(s, &a->y, head);
	struct forward_memory m;
	struct forward_tile t = {.few = rows <= FEW_QUERIES};

	lay_out(j, &m, (real *)(void *)(j->ws + (size_t)worker * j->ws_bytes));
	for (int64_t r = 0; r < rows; r++) {
		m.most[r] = -(real)INFINITY;
		m.sum[r] = 0;
	}
	for (int64_t block = 0; block < s->keys; block += ATTENTION_BLOCK) {
		int64_t end = i64_min(s->keys, block + ATTENTION_BLOCK);

		if (ebb_attention_is_future(s, first, rows, block))
			break;
		if (!t.few)
			pack_block(j, &m, k, v, block, end);
		for (int64_t i = first; i < first + rows; i += height) {
			t.at.i = i;
			t.at.rows = i64_min(height, first + rows - i);
			if (ebb_attention_is_future(s, i, t.at.rows, block))
				continue;
			ebb_attention_copy(t.at.rows, s->width, q + i * a->q.row, a->q.row,
				(real)s->scale, m.queries);
			for (t.at.j = block; t.at.j < end; t.at.j += ATTENTION_KEYS) {
				int64_t from = t.at.j - block;

				if (ebb_attention_is_future(s, i, t.at.rows, t.at.j))
					break;
				t.packed = i64_min(ATTENTION_KEYS, end - t.at.j);
				t.at.keys =
					ebb_attention_tile_keys(s, i, t.at.rows, t.at.j, t.packed);
				t.keys = t.few ? k + t.at.j * a->k.row : m.keys + from * s->width;
				t.values =
					t.few ? v + t.at.j * a->v.row : m.values + from * columns;
				attend(j, &m, head, &t, first, y);
			}
		}
	}
	finish(j, &m, head, first, rows, y);
}

EBB_DECLARE(attention_forward);
void EBB_NAME(attention_forward)(
	const ebb_attention_shape *s, const ebb_attention_arrays *a, void *ws)
{
	struct forward_job j = {.a = a, .ws = ws};
	struct forward_memory m;
	int64_t heads = ebb_attention_heads(s);

	if (heads <= 0 || s->queries <= 0)
		return;
	plan(&j, s);
	j.ws_bytes = (size_t)lay_out(&j, &m, NULL) * sizeof(real);
	ebb_run_pieces(heads * j.blocks, forward_piece, &j);
}
