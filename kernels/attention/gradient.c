/*
 * gradient.c - the gradient of attention in tiles (Dao et al. 2022).  A task computes gk and gv for
 * a range of keys of the heads that share them, and gq for these heads; tasks of several ranges add
 * to gq in arrays of their own.  With weights p and gp = gy v^T:
 *
 *   gv = p^T gy     gs = p*(gp - d), d = sum over values of gy*y     gq = scale*gs k     gk = gs^T q*scale
 */
#include "kernels/attention/tile.h"
#include "kernels/functions.h"
#include "kernels/gemm/pack.h"

#include <math.h>

struct grad_job {
	const ebb_attention_shape *s;
	const ebb_attention_arrays *a;
	int64_t units, members;     /* groups of heads that share k and v, heads of a group */
	int64_t ranges, range_keys; /* of a unit; keys of a range, a multiple of ATTENTION_KEYS */
	int64_t height;             /* rows of a tile */
	real *partial;              /* gq of every range [ranges,heads,queries,width] */
	char *ws;
	size_t ws_bytes; /* of one worker */
};

/* The memory of one task.  keys_t and values_t are transposed. */
struct grad_memory {
	real *keys_t, *values_t, *keys; /* a packed block */
	real *q, *q_packed, *gy, *gy_packed;
	real *weights, *slopes, *keep;
	double *dot;
};

/* The operands of one head. */
struct grad_head {
	int64_t head;
	bool adds; /* gk and gv have the sums of earlier members */
	const real *q, *gy, *y;
	const void *mask;
	real *gq, *gk, *gv;
	int64_t gq_row;
};

/* ---- Sizes ----------------------------------------------------------------------------------- */

static void plan(struct grad_job *j, const ebb_attention_shape *s)
{
	int64_t heads = ebb_attention_heads(s);
	int64_t tiles = i64_max(1, ebb_ceil_div(s->keys, ATTENTION_KEYS)), of_range;

	j->s = s;
	j->members = 1;
	for (int d = s->ndim - s->shared; d < s->ndim; d++)
		j->members *= s->lead[d];
	j->units = j->members > 0 ? heads / j->members : 0;
	j->ranges = j->units > 0 && j->units < ATTENTION_TASKS
	                    ? i64_min(tiles, ebb_ceil_div(ATTENTION_TASKS, j->units))
	                    : 1;
	of_range = ebb_ceil_div(tiles, j->ranges);
	j->ranges = ebb_ceil_div(tiles, of_range);
	j->range_keys = of_range * ATTENTION_KEYS;
	j->height = ebb_attention_tile_rows(i64_max(1, s->queries));
}

static int64_t lay_out(const struct grad_job *j, struct grad_memory *m, real *ws)
{
	const ebb_attention_shape *s = j->s;
	int64_t block = i64_min(ATTENTION_BLOCK, ebb_attention_round_up(s->keys, ATTENTION_KEYS));
	int64_t tile = ATTENTION_ROWS * ATTENTION_KEYS, rows = ATTENTION_ROWS, at = 0;
	int64_t width = ebb_panel_columns(s->width), values = ebb_panel_columns(s->values);
	real **const parts[] = {&m->keys_t, &m->values_t, &m->keys, &m->q, &m->q_packed, &m->gy,
		&m->gy_packed, &m->weights, &m->slopes, &m->keep};
	const int64_t sizes[] = {block * s->width, block * s->values, block * width,
		rows * s->width, rows * width, rows * s->values, rows * values, tile, tile,
		s->dropout > 0 ? tile : 0};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		*parts[i] = ws ? ws + at : NULL;
		at += ebb_attention_round_up(sizes[i], 64 / (int64_t)sizeof(real));
	}
	m->dot = ws ? (double *)(void *)(ws + at) : NULL;
	return at + rows * (int64_t)(sizeof(double) / sizeof(real));
}

/* The elements of all private arrays for gq. */
static int64_t partial_count(const struct grad_job *j)
{
	return j->ranges > 1 ? j->ranges * j->units * j->members * j->s->queries * j->s->width : 0;
}

size_t EBB_NAME(attention_grad_workspace)(const ebb_attention_shape *s)
{
	struct grad_job j = {0};
	struct grad_memory m;

	plan(&j, s);
	return ebb_bytes_of(ebb_threads(), ebb_bytes_of(lay_out(&j, &m, NULL), sizeof(real))) +
	       ebb_bytes_of(partial_count(&j), sizeof(real));
}

/* ---- The rows of a tile ---------------------------------------------------------------------- */

static double dot(int64_t n, const real *a, const real *b)
{
	double lanes[8] = {0}, sum = 0;
	int64_t c = 0;

	for (; c + 8 <= n; c += 8) {
		for (int k = 0; k < 8; k++)
			lanes[k] += (double)a[c + k] * (double)b[c + k];
	}
	for (; c < n; c++)
		sum += (double)a[c] * (double)b[c];
	for (int k = 0; k < 8; k++)
		sum += lanes[k];
	return sum;
}

/* Replaces the n scores x of a row by its weights, and the gradients g of the weights by those of
 * the scores. */
EBB_INLINE void row_slopes(int64_t n, real most, real inverse, double by_y, real *x, real *g)
{
	int64_t padded = ebb_attention_round_up(n, EBB_BLOCK);
	real shift = most == -(real)INFINITY ? 0 : most, d = (real)by_y;

	for (int64_t c = n; c < padded; c++)
		x[c] = -(real)INFINITY;
	for (int64_t c = 0; c < padded; c += EBB_BLOCK) {
		for (int k = 0; k < EBB_BLOCK; k++)
			x[c + k] = real_exp_down(x[c + k] - shift) * inverse;
	}
	for (int64_t c = 0; c < n; c++)
		g[c] = x[c] * (g[c] - d);
}

static void drop(int64_t n, const real *keep, real *x)
{
	for (int64_t c = 0; c < n; c++)
		x[c] = keep[c] != 0 ? x[c] * keep[c] : 0;
}

/* The weights and slopes of a tile. */
static void slopes(const struct grad_job *j, const struct grad_memory *m, const struct grad_head *h,
	const struct attention_tile *tile, const real *keys_t, const real *values_t)
{
	const ebb_attention_shape *s = j->s;
	const real *most = j->a->most, *inverse = j->a->inverse;
	int64_t columns = ebb_panel_columns(tile->keys), from = h->head * s->queries + tile->i;

	ebb_attention_multiply(true, tile->rows, columns, s->width, m->q, s->width, keys_t,
		s->width, false, m->weights, ATTENTION_KEYS);
	ebb_attention_multiply(true, tile->rows, columns, s->values, m->gy, s->values, values_t,
		s->values, false, m->slopes, ATTENTION_KEYS);
	if (h->mask)
		ebb_attention_masked(s, h->mask, j->a->mask.row, tile, m->weights);
	if (s->dropout > 0)
		ebb_attention_factors(s, h->head, tile, m->keep);
	for (int64_t r = 0; r < tile->rows; r++) {
		int64_t n = ebb_attention_seen(s, tile->i + r, tile->j, tile->keys);
		real *x = m->weights + r * ATTENTION_KEYS, *g = m->slopes + r * ATTENTION_KEYS;

		if (s->dropout > 0)
			drop(n, m->keep + r * ATTENTION_KEYS, g);
		row_slopes(n, most[from + r], inverse[from + r], m->dot[r], x, g);
		if (s->dropout > 0)
			drop(n, m->keep + r * ATTENTION_KEYS, x);
		for (int64_t c = n; c < tile->keys; c++)
			x[c] = g[c] = 0;
	}
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Adds the products of one tile to gq, gk and gv.  start: the first key of the task's range; keys: a
 * tile of `packed` keys. */
static void add_tile(const struct grad_job *j, const struct grad_memory *m,
	const struct grad_head *h, const struct attention_tile *tile, int64_t start,
	const real *keys, int64_t packed)
{
	const ebb_attention_shape *s = j->s;

	if (h->gv)
		ebb_attention_multiply(false, tile->keys, s->values, tile->rows, m->weights,
			ATTENTION_KEYS, m->gy_packed, tile->rows, true,
			h->gv + tile->j * j->a->gv.row, j->a->gv.row);
	if (h->gk)
		ebb_attention_multiply(false, tile->keys, s->width, tile->rows, m->slopes,
			ATTENTION_KEYS, m->q_packed, tile->rows, true,
			h->gk + tile->j * j->a->gk.row, j->a->gk.row);
	if (h->gq)
		ebb_attention_multiply(true, tile->rows, s->width, tile->keys, m->slopes,
			ATTENTION_KEYS, keys, packed, tile->j > start, h->gq + tile->i * h->gq_row,
			h->gq_row);
}

/* Copies and packs the rows of q, gy and y of a tile. */
static void take_queries(const struct grad_job *j, const struct grad_memory *m,
	const struct grad_head *h, int64_t i, int64_t rows)
{
	const ebb_attention_shape *s = j->s;
	const ebb_attention_arrays *a = j->a;

	ebb_attention_copy(rows, s->width, h->q + i * a->q.row, a->q.row, (real)s->scale, m->q);
	ebb_attention_copy(rows, s->values, h->gy + i * a->gy.row, a->gy.row, 1, m->gy);
	EBB_NAME(pack_columns)(rows, s->width, m->q, s->width, m->q_packed);
	EBB_NAME(pack_columns)(rows, s->values, m->gy, s->values, m->gy_packed);
	for (int64_t r = 0; r < rows; r++)
		m->dot[r] = dot(s->values, m->gy + r * s->values, h->y + (i + r) * a->y.row);
}

/* All tiles of one head and one packed block of keys [block,end). */
static void grad_block(const struct grad_job *j, const struct grad_memory *m,
	const struct grad_head *h, int64_t start, int64_t block, int64_t end)
{
	const ebb_attention_shape *s = j->s;
	int64_t columns = ebb_panel_columns(s->width), packed;

	for (int64_t i = 0; i < s->queries; i += j->height) {
		struct attention_tile tile = {i, i64_min(j->height, s->queries - i), 0, 0};

		if (ebb_attention_is_future(s, i, tile.rows, block))
			continue;
		take_queries(j, m, h, i, tile.rows);
		for (tile.j = block; tile.j < end; tile.j += ATTENTION_KEYS) {
			int64_t at = tile.j - block;

			if (ebb_attention_is_future(s, i, tile.rows, tile.j))
				break;
			packed = i64_min(ATTENTION_KEYS, end - tile.j);
			tile.keys = ebb_attention_tile_keys(s, i, tile.rows, tile.j, packed);
			slopes(j, m, h, &tile, m->keys_t + at * s->width,
				m->values_t + at * s->values);
			add_tile(j, m, h, &tile, start, m->keys + at * columns, packed);
		}
	}
}

/* ---- A task ---------------------------------------------------------------------------------- */

static void pack_block(const struct grad_job *j, const struct grad_memory *m, const real *k,
	const real *v, int64_t block, int64_t end)
{
	const ebb_attention_shape *s = j->s;
	int64_t kr = j->a->k.row, vr = j->a->v.row, columns = ebb_panel_columns(s->width);

	for (int64_t at = block; at < end; at += ATTENTION_KEYS) {
		int64_t n = i64_min(ATTENTION_KEYS, end - at), to = at - block;

		ebb_attention_pack(n, s->width, k + at * kr, kr, m->keys_t + to * s->width);
		ebb_attention_pack(n, s->values, v + at * vr, vr, m->values_t + to * s->values);
		EBB_NAME(pack_columns)(n, s->width, k + at * kr, kr, m->keys + to * columns);
	}
}

static void clear_keys(
	const struct grad_job *j, const struct grad_head *h, int64_t from, int64_t to)
{
	const ebb_attention_arrays *a = j->a;

	if (h->gk)
		ebb_attention_fill(to - from, j->s->width, 0, h->gk + from * a->gk.row, a->gk.row);
	if (h->gv)
		ebb_attention_fill(to - from, j->s->values, 0, h->gv + from * a->gv.row, a->gv.row);
}

/* Zeros in the gradients that no tile writes: of keys that no query sees, and of queries that see
 * no key of the range. */
static void clear_unseen(
	const struct grad_job *j, const struct grad_head *h, int64_t start, int64_t end)
{
	const ebb_attention_shape *s = j->s;
	int64_t key = start, i = 0;

	while (key < end && s->queries > 0 && !ebb_attention_is_future(s, 0, s->queries, key))
		key += ATTENTION_KEYS;
	if (key < end && !h->adds)
		clear_keys(j, h, key, end);
	for (; h->gq && i < s->queries; i += j->height) {
		int64_t rows = i64_min(j->height, s->queries - i);

		if (start < end && !ebb_attention_is_future(s, i, rows, start))
			break;
		ebb_attention_fill(rows, s->width, 0, h->gq + i * h->gq_row, h->gq_row);
	}
}

static struct grad_head member_of(
	const struct grad_job *j, int64_t unit, int64_t member, int64_t range)
{
	const ebb_attention_shape *s = j->s;
	const ebb_attention_arrays *a = j->a;
	int64_t head = unit * j->members + member, heads = j->units * j->members;
	struct grad_head h = {.head = head,
		.adds = member > 0,
		.q = ebb_attention_at(s, &a->q, head),
		.gy = ebb_attention_at(s, &a->gy, head),
		.y = ebb_attention_at(s, &a->y, head),
		.mask = ebb_attention_mask_at(s, &a->mask, head),
		.gq = ebb_attention_at(s, &a->gq, head),
		.gk = ebb_attention_at(s, &a->gk, head),
		.gv = ebb_attention_at(s, &a->gv, head),
		.gq_row = a->gq.row};

	if (h.gq && j->ranges > 1) {
		h.gq = j->partial + (range * heads + head) * s->queries * s->width;
		h.gq_row = s->width;
	}
	return h;
}

static void grad_piece(void *ctx, int64_t piece, int worker)
{
	const struct grad_job *j = ctx;
	const ebb_attention_shape *s = j->s;
	int64_t unit = piece / j->ranges, range = piece % j->ranges;
	int64_t start = range * j->range_keys, end = i64_min(s->keys, start + j->range_keys);
	const real *k = ebb_attention_at(s, &j->a->k, unit * j->members);
	const real *v = ebb_attention_at(s, &j->a->v, unit * j->members);
	struct grad_memory m;

	lay_out(j, &m, (real *)(void *)(j->ws + (size_t)worker * j->ws_bytes));
	for (int64_t block = start; block < end; block += ATTENTION_BLOCK) {
		int64_t to = i64_min(end, block + ATTENTION_BLOCK);

		if (ebb_attention_is_future(s, 0, s->queries, block))
			break;
		pack_block(j, &m, k, v, block, to);
		for (int64_t member = 0; member < j->members; member++) {
			struct grad_head h = member_of(j, unit, member, range);

			if (!h.adds)
				clear_keys(j, &h, block, to);
			grad_block(j, &m, &h, start, block, to);
		}
	}
	for (int64_t member = 0; member < j->members; member++) {
		struct grad_head h = member_of(j, unit, member, range);

		clear_unseen(j, &h, start, end);
		for (int64_t i = 0; h.gq && j->ranges == 1 && i < s->queries; i++)
			ebb_attention_copy(1, s->width, h.gq + i * h.gq_row, h.gq_row,
				(real)s->scale, h.gq + i * h.gq_row);
	}
}

/* ---- The sum over ranges --------------------------------------------------------------------- */

/* gq of some rows of one head: scale times the sum over the ranges, in order. */
static void sum_piece(void *ctx, int64_t piece, int worker)
{
	const struct grad_job *j = ctx;
	const ebb_attention_shape *s = j->s;
	int64_t parts = ebb_ceil_div(s->queries, ATTENTION_ROWS), head = piece / parts;
	int64_t from = piece % parts * ATTENTION_ROWS;
	int64_t to = i64_min(s->queries, from + ATTENTION_ROWS);
	int64_t stride = j->units * j->members * s->queries * s->width;
	real *gq = ebb_attention_at(s, &j->a->gq, head);

	(void)worker;
	for (int64_t i = from; i < to; i++) {
		const real *x = j->partial + (head * s->queries + i) * s->width;
		real *y = gq + i * j->a->gq.row;

		for (int64_t c = 0; c < s->width; c++)
			y[c] = x[c];
		for (int64_t r = 1; r < j->ranges; r++) {
			for (int64_t c = 0; c < s->width; c++)
				y[c] += x[r * stride + c];
		}
		for (int64_t c = 0; c < s->width; c++)
			y[c] *= (real)s->scale;
	}
}

EBB_DECLARE(attention_grad);
void EBB_NAME(attention_grad)(const ebb_attention_shape *s, const ebb_attention_arrays *a, void *ws)
{
	struct grad_job j = {.a = a, .ws = ws};
	struct grad_memory m;

	plan(&j, s);
	if (j.units <= 0)
		return;
	j.ws_bytes = (size_t)lay_out(&j, &m, NULL) * sizeof(real);
	j.partial = (real *)(void *)(j.ws + (size_t)ebb_threads() * j.ws_bytes);
	ebb_run_pieces(j.units * j.ranges, grad_piece, &j);
	if (a->gq.data && j.ranges > 1 && s->width > 0)
		ebb_run_pieces(j.units * j.members * ebb_ceil_div(s->queries, ATTENTION_ROWS),
			sum_piece, &j);
}
