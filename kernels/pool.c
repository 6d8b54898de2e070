/*
 * pool.c - maximum pooling over windows of NHWC images, and the kernels that use the positions of
 * the maxima.
 */
#include "pool.h"

#include <assert.h>

/* ---- Maximum --------------------------------------------------------------------------------- */

/* The indices k in [0,taps) for which start + k*dilation is within [0,size). */
struct span {
	int64_t first, end;
};

/* The elements [first,end) of an adaptive window along an axis: the taps of a window that starts
 * at 0 with dilation 1. */
static struct span adaptive(const ebb_pool_shape *s, bool vertical, int64_t i)
{
	struct ebb_window w = ebb_window_of(s, vertical, i);

	return (struct span){w.first, w.end};
}

static struct span inside(int64_t start, int64_t taps, int64_t dilation, int64_t size)
{
	struct span r = {0, taps};

	if (start >= 0 && start + (taps - 1) * dilation < size)
		return r; /* the usual case, without a division */
	r.first = start >= 0 ? 0 : ebb_ceil_div(-start, dilation);
	r.end = start >= size ? 0 : i64_min(taps, ebb_ceil_div(size - start, dilation));
	return r;
}

typedef int32_t index_vec __attribute__((
	vector_size(EBB_VLEN * sizeof(int32_t)), aligned(sizeof(int32_t)), may_alias));
typedef uint16_t narrow_vec __attribute__((
	vector_size(EBB_VLEN * sizeof(uint16_t)), aligned(sizeof(uint16_t)), may_alias));

/* A vector of positions from element i on, 16 or 32 bits each; at most `rest` or `remaining` of
 * them are loaded or written. */
EBB_INLINE index_vec load_index(const struct pool_job *j, int64_t i, int64_t rest)
{
	size_t n = (size_t)i64_min(rest, EBB_VLEN);
	narrow_vec narrow = {0};
	index_vec wide = {0};

	if (j->s->narrow) {
		memcpy(&narrow, (const uint16_t *)j->from + i, n * sizeof(uint16_t));
		return __builtin_convertvector(narrow, index_vec);
	}
	memcpy(&wide, (const int32_t *)j->from + i, n * sizeof(int32_t));
	return wide;
}

EBB_INLINE void store_index(
	bool narrow, ebb_whole_vec where, void *index, int64_t i, int64_t remaining)
{
	size_t n = (size_t)i64_min(remaining, EBB_VLEN);
	narrow_vec two = __builtin_convertvector(where, narrow_vec);
	index_vec four = __builtin_convertvector(where, index_vec);

	if (!index)
		return;
	if (narrow && n == EBB_VLEN)
		*(narrow_vec *)(void *)((uint16_t *)index + i) = two;
	else if (narrow)
		memcpy((uint16_t *)index + i, &two, n * sizeof(uint16_t));
	else if (n == EBB_VLEN)
		*(index_vec *)(void *)((int32_t *)index + i) = four;
	else
		memcpy((int32_t *)index + i, &four, n * sizeof(int32_t));
}

EBB_INLINE int64_t position(const struct pool_job *j, int64_t i)
{
	return j->s->narrow ? ((const uint16_t *)j->from)[i] : ((const int32_t *)j->from)[i];
}

/* The maximum of each lane so far, and its position. */
struct best {
	ebb_vec value;
	ebb_whole_vec where;
};

EBB_INLINE void take_larger(struct best *b, ebb_vec value, int64_t at)
{
	/* A larger value, or the first NaN: a NaN differs from itself.
	 * NOLINTNEXTLINE(misc-redundant-expression) */
	ebb_whole_vec take = ~(value <= b->value) & (b->value == b->value);

	b->value = (ebb_vec)((take & (ebb_whole_vec)value) | (~take & (ebb_whole_vec)b->value));
	b->where = (take & (ebb_whole)at) | (~take & b->where);
}

/* The maximum of a window of any size, over its taps inside the image. */
static struct best window_max(const ebb_pool_shape *s, const real *image, const real *x_end,
	int64_t top, int64_t left, struct span rows, struct span cols)
{
	struct best b = {{0}, {0}};
	bool first = true;

	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			int64_t at = (top + u * s->dilation_h) * s->w + left + v * s->dilation_w;
			ebb_vec value = ebb_load_within(image + at * s->c, x_end);

			if (first)
				b = (struct best){value, (ebb_whole_vec){0} + (ebb_whole)at};
			else
				take_larger(&b, value, at);
			first = false;
		}
	}
	return b;
}

/* The taps of a small square window in row-major order: the distance of each from the first tap,
 * in memory and in positions. */
struct square {
	int count;
	int64_t offset[9], position[9];
};

static struct square square_of(const ebb_pool_shape *s)
{
	struct square q = {.count = 0};

	if (s->adaptive || s->kh != s->kw || s->kh < 2 || s->kh > 3)
		return q;
	for (int64_t u = 0; u < s->kh; u++) {
		for (int64_t v = 0; v < s->kw; v++, q.count++) {
			q.position[q.count] = u * s->dilation_h * s->w + v * s->dilation_w;
			q.offset[q.count] = q.position[q.count] * s->c;
		}
	}
	return q;
}

/* A row of windows. */
struct pool_row {
	const real *image, *x_end;
	int64_t top;
	struct span rows, channels;
	real *y;
	void *index;
	int64_t first; /* index of its first output */
};

/* Windows of a row whose count taps all lie inside the image, and whose vectors lie inside x and
 * inside the row of y. */
EBB_INLINE void whole_windows(int count, const ebb_pool_shape *s, const struct square *q,
	const struct pool_row *r, struct span windows)
{
	int64_t left = windows.first * s->stride_w - s->pad_left, at = r->top * s->w + left;
	const real *x = r->image + at * s->c;
	real *y = r->y + windows.first * s->c;
	int64_t i = r->first + windows.first * s->c;

	for (int64_t o = 0; o < windows.end - windows.first; o++, at += s->stride_w) {
		for (int64_t c = r->channels.first; c < r->channels.end; c += EBB_VLEN) {
			const real *from = x + o * s->stride_w * s->c + c;
			struct best b = {*(const ebb_vec *)(const void *)from, {0}};

			EBB_UNROLL(8)
			for (int k = 1; k < count; k++)
				take_larger(&b,
					*(const ebb_vec *)(const void *)(from + q->offset[k]),
					q->position[k]);
			*(ebb_vec *)(void *)(y + o * s->c + c) = b.value;
			store_index(s->narrow, b.where + (ebb_whole)at, r->index, i + o * s->c + c,
				EBB_VLEN);
		}
	}
}

/* The windows of a row that satisfy the conditions of whole_windows. */
static struct span whole_span(
	const ebb_pool_shape *s, const struct square *q, const struct pool_row *r)
{
	struct span o = {0, 0};
	int64_t last = (s->c - 1) / EBB_VLEN * EBB_VLEN + EBB_VLEN;
	int64_t far = q->count ? q->offset[q->count - 1] + last : 0;

	if (!q->count || r->rows.end - r->rows.first < s->kh)
		return o;
	o.first = i64_min(s->ow, ebb_ceil_div(s->pad_left, s->stride_w));
	for (o.end = s->ow; o.end > o.first; o.end--) {
		int64_t left = (o.end - 1) * s->stride_w - s->pad_left;

		if (left + (s->kw - 1) * s->dilation_w < s->w &&
			(s->ow - o.end + 1) * s->c >= last &&
			r->x_end - r->image >= (r->top * s->w + left) * s->c + far)
			break;
	}
	return o;
}

static void any_window(const ebb_pool_shape *s, const struct pool_row *r, int64_t o)
{
	int64_t left = o * s->stride_w - s->pad_left;
	struct span cols =
		s->adaptive ? adaptive(s, false, o) : inside(left, s->kw, s->dilation_w, s->w);

	for (int64_t c = r->channels.first; c < r->channels.end; c += EBB_VLEN) {
		int64_t remaining = (s->ow - o) * s->c - c;
		struct best b = window_max(s, r->image + c, r->x_end, r->top, left, r->rows, cols);

		ebb_store_within(b.value, r->y + o * s->c + c, remaining);
		store_index(s->narrow, b.where, r->index, r->first + o * s->c + c, remaining);
	}
}

static void maxpool_row(const ebb_pool_shape *s, const struct square *q, const struct pool_row *r)
{
	struct span whole = whole_span(s, q, r);

	for (int64_t o = 0; o < whole.first; o++)
		any_window(s, r, o);
	if (whole.first < whole.end && q->count == 4)
		whole_windows(4, s, q, r, whole);
	else if (whole.first < whole.end)
		whole_windows(9, s, q, r, whole);
	for (int64_t o = i64_max(whole.first, whole.end); o < s->ow; o++)
		any_window(s, r, o);
}

static void maxpool_part(const struct pool_job *j, struct span part, struct span channels)
{
	ebb_pool_shape s = *j->s;
	struct square q = square_of(&s);

	if (s.adaptive) {
		s.stride_h = s.stride_w = s.pad_top = s.pad_left = 0;
		s.dilation_h = s.dilation_w = 1;
	}
	for (int64_t row = part.first; row < part.end; row++) {
		struct pool_row r = {.image = j->x + row / s.oh * s.h * s.w * s.c,
			.x_end = j->x + s.n * s.h * s.w * s.c,
			.top = row % s.oh * s.stride_h - s.pad_top,
			.channels = channels,
			.y = j->y + row * s.ow * s.c,
			.index = j->index,
			.first = row * s.ow * s.c};

		r.rows = s.adaptive ? adaptive(&s, true, row % s.oh)
		                    : inside(r.top, s.kh, s.dilation_h, s.h);
		maxpool_row(&s, &q, &r);
	}
}

static void maxpool_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	int64_t first = piece * j->chunk;

	(void)worker;
	maxpool_part(j, (struct span){first, i64_min(j->count, first + j->chunk)},
		(struct span){0, j->s->c});
}

/* ---- In place -------------------------------------------------------------------------------- */

/* Channels in a cache line. */
enum { LINE = 64 / (int)sizeof(real) };

/* All windows, in row-major order, of some cache lines of channels, which no other task
 * accesses. */
static void maxpool_lines(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	int64_t first = piece * j->chunk;

	(void)worker;
	maxpool_part(j, (struct span){0, j->count},
		(struct span){first, i64_min(j->s->c, first + j->chunk)});
}

/* All windows of an image.  The output begins where the image begins. */
static void maxpool_image(void *ctx, int64_t image, int worker)
{
	struct pool_job j = *(const struct pool_job *)ctx;
	const ebb_pool_shape *s = j.s;

	(void)worker;
	j.y += image * (s->h * s->w - s->oh * s->ow) * s->c;
	maxpool_part(&j, (struct span){image * s->oh, (image + 1) * s->oh}, (struct span){0, s->c});
}

/* With at least as many images as threads, each task takes an image, and the outputs are moved
 * together at the end: that is faster than reading memory in short runs.  With fewer images, each
 * task takes some of the channels. */
static void maxpool_over(struct pool_job *j)
{
	const ebb_pool_shape *s = j->s;
	int64_t in = s->h * s->w * s->c, out = s->oh * s->ow * s->c;

	if (s->n < ebb_threads()) {
		j->count = s->n * s->oh;
		j->chunk = ebb_ceil_div(s->c / LINE, ebb_threads()) * LINE;
		ebb_run_pieces(ebb_ceil_div(s->c, j->chunk), maxpool_lines, j);
		return;
	}
	ebb_run_pieces(s->n, maxpool_image, j);
	for (int64_t i = 1; i < s->n; i++)
		memmove(j->y + i * out, j->y + i * in, (size_t)out * sizeof(real));
}

/* In place, output i along an axis overwrites element i.  That is safe if no later window reads
 * element i, which holds if window i begins at i or later.  An adaptive window does: it begins at
 * i*in/out. */
static bool begins_late(
	const ebb_pool_shape *s, int64_t in, int64_t out, int64_t stride, int64_t pad)
{
	return out <= in && (s->adaptive || out == 1 || pad < stride);
}

EBB_DECLARE(maxpool_goes_over);
bool EBB_NAME(maxpool_goes_over)(const ebb_pool_shape *s)
{
	return s->c % LINE == 0 && begins_late(s, s->h, s->oh, s->stride_h, s->pad_top) &&
	       begins_late(s, s->w, s->ow, s->stride_w, s->pad_left);
}

EBB_DECLARE(maxpool);
void EBB_NAME(maxpool)(const ebb_pool_shape *s, const void *x, void *y, void *index)
{
	struct pool_job j = {.s = s, .x = x, .y = y, .index = index};

	if (x == y && s->n && s->c) {
		assert(EBB_NAME(maxpool_goes_over)(s));
		maxpool_over(&j);
		return;
	}
	ebb_pool_run(&j, s->n * s->oh, s->ow * s->c, maxpool_rows);
}

/* ---- The gradients --------------------------------------------------------------------------- */

/* One of the windows that tile the image: writes gy at the position of its maximum, and zeros
 * elsewhere in the window.  whole: the channels fill whole vectors. */
EBB_INLINE void place_window(const struct pool_job *j, int64_t n, int64_t i, int64_t o,
	struct ebb_window rows, bool whole)
{
	const ebb_pool_shape *s = j->s;
	struct ebb_window cols = ebb_window_of(s, false, o);
	int64_t all = s->n * s->oh * s->ow * s->c, y = ((n * s->oh + i) * s->ow + o) * s->c;

	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			real *gx = j->y + ((n * s->h + u) * s->w + v) * s->c;

			for (int64_t c = 0; c < s->c; c += EBB_VLEN) {
				int64_t rest = whole ? EBB_VLEN : all - y - c;
				ebb_vec gy = ebb_load_within(j->x + y + c, j->x + y + c + rest);
				index_vec from = load_index(j, y + c, rest);
				ebb_whole_vec here = __builtin_convertvector(from, ebb_whole_vec) ==
				                     (ebb_whole)(u * s->w + v);

				ebb_store_within((ebb_vec)(here & (ebb_whole_vec)gy), gx + c,
					whole ? EBB_VLEN : (s->w - v) * s->c - c);
			}
		}
	}
}

static void place_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;

	(void)worker;
	EBB_EACH(n, j)
	{
		for (int64_t i = 0; i < j->s->oh; i++) {
			struct ebb_window rows = ebb_window_of(j->s, true, i);
			bool whole = j->s->c % EBB_VLEN == 0;

			for (int64_t o = 0; whole && o < j->s->ow; o++)
				place_window(j, n, i, o, rows, true);
			for (int64_t o = 0; !whole && o < j->s->ow; o++)
				place_window(j, n, i, o, rows, false);
		}
	}
}

static void scatter_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;

	(void)worker;
	EBB_EACH(n, j)
	{
		real *gx = j->y + n * s.h * s.w * s.c;
		int64_t below = 0;

		for (int64_t i = 0; i <= s.oh; i++) {
			below = ebb_zero_rows(&s, gx, below, i);
			for (int64_t o = 0; i < s.oh && o < s.ow; o++) {
				int64_t p = ((n * s.oh + i) * s.ow + o) * s.c;

				for (int64_t k = 0; k < s.c; k++)
					gx[position(j, p + k) * s.c + k] += j->x[p + k];
			}
		}
	}
}

EBB_DECLARE(maxpool_scatter);
void EBB_NAME(maxpool_scatter)(const ebb_pool_shape *s, const void *gy, const void *index, void *gx)
{
	struct pool_job j = {.s = s, .x = gy, .from = index, .y = gx};

	ebb_pool_run(&j, s->n, s->h * s->w * s->c,
		ebb_pool_tiles(s) && 2 * s->c >= EBB_VLEN ? place_images : scatter_images);
}

static void put_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	int64_t size = s.h * s.w * s.c, out = s.oh * s.ow;

	(void)worker;
	EBB_EACH(n, j)
	{
		real *y = j->y + n * size;

		for (int64_t k = 0; k < size; k++)
			y[k] = 0;
		for (int64_t p = n * out; p < (n + 1) * out; p++) {
			for (int64_t k = 0; k < s.c; k++)
				y[position(j, p * s.c + k) * s.c + k] = j->x[p * s.c + k];
		}
	}
}

EBB_DECLARE(maxpool_put);
void EBB_NAME(maxpool_put)(const ebb_pool_shape *s, const void *x, const void *index, void *y)
{
	struct pool_job j = {.s = s, .x = x, .from = index, .y = y};

	ebb_pool_run(&j, s->n, s->h * s->w * s->c, put_images);
}

static void gather_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;

	(void)worker;
	EBB_EACH(row, j)
	{
		const real *x = j->x + row / s.oh * s.h * s.w * s.c;

		for (int64_t p = row * s.ow; p < (row + 1) * s.ow; p++) {
			for (int64_t k = 0; k < s.c; k++)
				j->y[p * s.c + k] = x[position(j, p * s.c + k) * s.c + k];
		}
	}
}

EBB_DECLARE(maxpool_gather);
void EBB_NAME(maxpool_gather)(const ebb_pool_shape *s, const void *x, const void *index, void *y)
{
	struct pool_job j = {.s = s, .x = x, .from = index, .y = y};

	ebb_pool_run(&j, s->n * s->oh, s->ow * s->c, gather_rows);
}
