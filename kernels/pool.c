/*
 * pool.c - maximum and average pooling over windows of NHWC images.
 */
#include "functions.h"

struct pool_job {
	const ebb_pool_shape *s;
	const real *x;
	const void *from;
	real *y;
	void *index;
	int64_t count, chunk;
};

static void run(struct pool_job *j, int64_t count, int64_t size, void (*fn)(void *, int64_t, int))
{
	j->count = count;
	if (count <= 0 || size <= 0)
		return;
	j->chunk = count * size < EBB_PARALLEL_FROM ? count : ebb_max(1, EBB_PIECE / size);
	ebb_run(ebb_ceil_div(count, j->chunk), fn, j);
}

#define EACH(i, job)                                                                               \
	for (int64_t i = piece * (job)->chunk, i##_end = ebb_min((job)->count, i + (job)->chunk);  \
		i < i##_end; i++)

/* A window along one axis: the elements inside the image, and how long it counts. */
struct window {
	int64_t first, end, length;
};

static struct window window(const ebb_pool_shape *s, bool vertical, int64_t i)
{
	int64_t size = vertical ? s->h : s->w, out = vertical ? s->oh : s->ow;
	int64_t pad = vertical ? s->pad_top : s->pad_left, taps = vertical ? s->kh : s->kw;
	struct window r;

	if (s->adaptive) {
		r.first = i * size / out;
		r.end = ebb_ceil_div((i + 1) * size, out);
		r.length = r.end - r.first;
	} else {
		int64_t start = i * (vertical ? s->stride_h : s->stride_w) - pad,
			end = start + taps;

		r.first = ebb_max(0, start);
		r.end = ebb_min(size, end);
		r.length =
			s->count_include_pad ? ebb_min(end, size + pad) - start : r.end - r.first;
	}
	return r;
}

/* ---- Maximum --------------------------------------------------------------------------------- */

/* The indices k in [0,taps) for which start + k*dilation is within [0,size). */
struct span {
	int64_t first, end;
};

/* Where an adaptive window is, as a window that starts at 0 and steps by 1. */
static struct span adaptive(const ebb_pool_shape *s, bool vertical, int64_t i)
{
	struct window w = window(s, vertical, i);

	return (struct span){w.first, w.end};
}

static struct span inside(int64_t start, int64_t taps, int64_t dilation, int64_t size)
{
	struct span r;

	r.first = start >= 0 ? 0 : ebb_ceil_div(-start, dilation);
	r.end = start >= size ? 0 : ebb_min(taps, ebb_ceil_div(size - start, dilation));
	return r;
}

typedef int32_t index_vec
	__attribute__((vector_size(EBB_VLEN * sizeof(int32_t)), aligned(sizeof(int32_t))));
typedef uint16_t narrow_vec
	__attribute__((vector_size(EBB_VLEN * sizeof(uint16_t)), aligned(sizeof(uint16_t))));

EBB_INLINE int64_t position(const struct pool_job *j, int64_t i)
{
	return j->s->narrow ? ((const uint16_t *)j->from)[i] : ((const int32_t *)j->from)[i];
}

/* Stores n of them from number i on. */
EBB_INLINE void store_positions(
	const ebb_pool_shape *s, void *index, int64_t i, ebb_whole_vec where, int64_t n)
{
	index_vec wide = __builtin_convertvector(where, index_vec);
	narrow_vec narrow = __builtin_convertvector(where, narrow_vec);

	if (s->narrow)
		memcpy((uint16_t *)index + i, &narrow, (size_t)n * sizeof(uint16_t));
	else
		memcpy((int32_t *)index + i, &wide, (size_t)n * sizeof(int32_t));
}

/* A vector of channels of one window.  It may load beyond the pixel's channels, within the tensor;
 * what it stores beyond them, within the row, the next pixels overwrite. */
static void window_max(const ebb_pool_shape *s, const real *image, const real *x_end, int64_t top,
	int64_t left, struct span rows, struct span cols, int64_t c, real *y, void *index,
	int64_t at_index, int64_t room)
{
	ebb_vec best = {0};
	ebb_whole_vec where = {0};
	bool first = true;

	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			int64_t at = (top + u * s->dilation_h) * s->w + left + v * s->dilation_w;
			const real *x = image + at * s->c + c;
			ebb_whole_vec take;
			ebb_vec value = {0};

			if (x_end - x >= EBB_VLEN)
				value = *(const ebb_vec *)(const void *)x;
			else
				memcpy(&value, x, (size_t)(x_end - x) * sizeof(real));
			/* larger, or the first NaN */
			take = (value > best) | ((value != value) & (best == best));
			take = first ? ~(ebb_whole_vec){0} : take;
			best = (ebb_vec)((take & (ebb_whole_vec)value) |
					 (~take & (ebb_whole_vec)best));
			where = (take & (ebb_whole)at) | (~take & where);
			first = false;
		}
	}
	if (room >= EBB_VLEN) {
		*(ebb_vec *)(void *)y = best;
		store_positions(s, index, at_index, where, EBB_VLEN);
	} else {
		memcpy(y, &best, (size_t)room * sizeof(real));
		store_positions(s, index, at_index, where, room);
	}
}

static void maxpool_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	ebb_pool_shape s = *j->s;
	const real *x_end = j->x + s.n * s.h * s.w * s.c;

	(void)worker;
	if (s.adaptive) {
		s.stride_h = s.stride_w = s.pad_top = s.pad_left = 0;
		s.dilation_h = s.dilation_w = 1;
	}
	EACH(row, j)
	{
		const real *image = j->x + row / s.oh * s.h * s.w * s.c;
		int64_t top = row % s.oh * s.stride_h - s.pad_top;
		struct span rows = s.adaptive ? adaptive(&s, true, row % s.oh)
		                              : inside(top, s.kh, s.dilation_h, s.h);
		real *y = j->y + row * s.ow * s.c;

		for (int64_t o = 0; o < s.ow; o++) {
			int64_t left = o * s.stride_w - s.pad_left;
			struct span cols = s.adaptive ? adaptive(&s, false, o)
			                              : inside(left, s.kw, s.dilation_w, s.w);

			for (int64_t c = 0; c < s.c; c += EBB_VLEN)
				window_max(&s, image, x_end, top, left, rows, cols, c,
					y + o * s.c + c, j->index, (row * s.ow + o) * s.c + c,
					(s.ow - o) * s.c - c);
		}
	}
}

EBB_DECLARE(maxpool);
void EBB_NAME(maxpool)(const ebb_pool_shape *s, const void *x, void *y, void *index)
{
	struct pool_job j = {.s = s, .x = x, .y = y, .index = index};

	run(&j, s->n * s->oh, s->ow * s->c, maxpool_rows);
}

static void scatter_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	int64_t size = s.h * s.w * s.c, out = s.oh * s.ow;

	(void)worker;
	EACH(n, j)
	{
		real *gx = j->y + n * size;

		for (int64_t k = 0; k < size; k++)
			gx[k] = 0;
		for (int64_t p = n * out; p < (n + 1) * out; p++) {
			const real *gy = j->x + p * s.c;

			for (int64_t k = 0; k < s.c; k++)
				gx[position(j, p * s.c + k) * s.c + k] += gy[k];
		}
	}
}

EBB_DECLARE(maxpool_scatter);
void EBB_NAME(maxpool_scatter)(const ebb_pool_shape *s, const void *gy, const void *index, void *gx)
{
	struct pool_job j = {.s = s, .x = gy, .from = index, .y = gx};

	run(&j, s->n, s->h * s->w * s->c, scatter_images);
}

static void put_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	int64_t size = s.h * s.w * s.c, out = s.oh * s.ow;

	(void)worker;
	EACH(n, j)
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

	run(&j, s->n, s->h * s->w * s->c, put_images);
}

static void gather_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;

	(void)worker;
	EACH(row, j)
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

	run(&j, s->n * s->oh, s->ow * s->c, gather_rows);
}

/* ---- Average --------------------------------------------------------------------------------- */

/* Channels whose sums are kept at a time, in double: windows may be whole images. */
enum { CHANNELS = 64 };

/* y[0..n-1] = by * the sum of channels x[0..n-1] over the window, n <= CHANNELS. */
static void window_mean(const ebb_pool_shape *s, const real *x, struct window rows,
	struct window cols, int64_t n, real *y)
{
	double sum[CHANNELS] = {0}, by = 1.0 / (double)(rows.length * cols.length);

	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			const real *at = x + (u * s->w + v) * s->c;

			for (int64_t k = 0; k < n; k++)
				sum[k] += (double)at[k];
		}
	}
	for (int64_t k = 0; k < n; k++)
		y[k] = (real)(sum[k] * by);
}

static void avgpool_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;

	(void)worker;
	EACH(row, j)
	{
		const real *image = j->x + row / s.oh * s.h * s.w * s.c;
		struct window rows = window(&s, true, row % s.oh);

		for (int64_t o = 0; o < s.ow; o++) {
			struct window cols = window(&s, false, o);
			real *y = j->y + (row * s.ow + o) * s.c;

			for (int64_t k = 0; k < s.c; k += CHANNELS)
				window_mean(&s, image + k, rows, cols, ebb_min(CHANNELS, s.c - k),
					y + k);
		}
	}
}

EBB_DECLARE(avgpool);
void EBB_NAME(avgpool)(const ebb_pool_shape *s, const void *x, void *y)
{
	struct pool_job j = {.s = s, .x = x, .y = y};

	run(&j, s->n * s->oh, s->ow * s->c, avgpool_rows);
}

static void avgpool_grad_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	int64_t size = s.h * s.w * s.c;

	(void)worker;
	EACH(n, j)
	{
		real *image = j->y + n * size;

		for (int64_t k = 0; k < size; k++)
			image[k] = 0;
		for (int64_t i = 0; i < s.oh; i++) {
			struct window rows = window(&s, true, i);

			for (int64_t o = 0; o < s.ow; o++) {
				struct window cols = window(&s, false, o);
				const real *gy = j->x + ((n * s.oh + i) * s.ow + o) * s.c;
				real by = (real)(1.0 / (double)(rows.length * cols.length));

				for (int64_t u = rows.first; u < rows.end; u++) {
					for (int64_t v = cols.first; v < cols.end; v++) {
						real *restrict gx = image + (u * s.w + v) * s.c;

						EBB_IVDEP
						for (int64_t k = 0; k < s.c; k++)
							gx[k] += by * gy[k];
					}
				}
			}
		}
	}
}

EBB_DECLARE(avgpool_grad);
void EBB_NAME(avgpool_grad)(const ebb_pool_shape *s, const void *gy, void *gx)
{
	struct pool_job j = {.s = s, .x = gy, .y = gx};

	run(&j, s->n, s->h * s->w * s->c, avgpool_grad_images);
}
