/*
 * pool.h - what maximum and average pooling share: windows, splitting into tasks, and vectors at
 * the end of a tensor.
 */
#ifndef EBB_KERNELS_POOL_H
#define EBB_KERNELS_POOL_H

#include "functions.h"

struct pool_job {
	const ebb_pool_shape *s;
	const real *x;
	const void *from;
	real *y;
	void *index;
	int64_t count, chunk;
};

static inline void ebb_pool_run(
	struct pool_job *j, int64_t count, int64_t size, void (*fn)(void *, int64_t, int))
{
	j->count = count;
	if (count <= 0 || size <= 0)
		return;
	j->chunk = count * size < EBB_PARALLEL_FROM ? count : i64_max(1, EBB_PIECE / size);
	ebb_run_pieces(ebb_ceil_div(count, j->chunk), fn, j);
}

#define EBB_EACH(i, job)                                                                           \
	for (int64_t i = piece * (job)->chunk, i##_end = i64_min((job)->count, i + (job)->chunk);  \
		i < i##_end; i++)

/* A window along one axis: the elements [first,end) inside the image, and the length that counts
 * in the divisor of average pooling. */
struct ebb_window {
	int64_t first, end, length;
};

static inline struct ebb_window ebb_window_of(const ebb_pool_shape *s, bool vertical, int64_t i)
{
	int64_t size = vertical ? s->h : s->w, out = vertical ? s->oh : s->ow;
	int64_t pad = vertical ? s->pad_top : s->pad_left, taps = vertical ? s->kh : s->kw;
	struct ebb_window r;

	if (s->adaptive) {
		r.first = i * size / out;
		r.end = ebb_ceil_div((i + 1) * size, out);
		r.length = r.end - r.first;
	} else {
		int64_t start = i * (vertical ? s->stride_h : s->stride_w) - pad,
			end = start + taps;

		r.first = i64_max(0, start);
		r.end = i64_min(size, end);
		r.length =
			s->count_include_pad ? i64_min(end, size + pad) - start : r.end - r.first;
	}
	return r;
}

/* Loads a vector of channels of one pixel.  The vector may extend into the next pixels, but not
 * beyond `end`, the end of the tensor. */
EBB_INLINE ebb_vec ebb_load_within(const real *x, const real *end)
{
	ebb_vec v = {0};

	if (end - x >= EBB_VLEN)
		v = *(const ebb_vec *)(const void *)x;
	else
		memcpy(&v, x, (size_t)(end - x) * sizeof(real));
	return v;
}

/* Stores a vector of channels of one pixel.  It may extend into the next pixels of the row, which
 * has `remaining` elements left; the next pixels overwrite these lanes. */
EBB_INLINE void ebb_store_within(ebb_vec v, real *y, int64_t remaining)
{
	if (remaining >= EBB_VLEN)
		*(ebb_vec *)(void *)y = v;
	else
		memcpy(y, &v, (size_t)remaining * sizeof(real));
}

/* Whether the windows tile the image: every pixel is in exactly one window. */
static inline bool ebb_pool_tiles(const ebb_pool_shape *s)
{
	if (s->adaptive)
		return s->h % s->oh == 0 && s->w % s->ow == 0;
	return s->pad_top == 0 && s->pad_left == 0 && s->dilation_h * s->dilation_w <= 1 &&
	       s->stride_h == s->kh && s->stride_w == s->kw && s->oh * s->kh == s->h &&
	       s->ow * s->kw == s->w;
}

/* Zeros the rows of an image that windows of row i reach and that no earlier call has zeroed.
 * Rows [0, below) are already initialised; returns the new number of such rows.  i = oh zeros all
 * remaining rows. */
static inline int64_t ebb_zero_rows(const ebb_pool_shape *s, real *image, int64_t below, int64_t i)
{
	int64_t end = s->h;

	if (i < s->oh && s->adaptive)
		end = ebb_window_of(s, true, i).end;
	else if (i < s->oh && s->kh > 0)
		end = i64_min(end,
			i * s->stride_h - s->pad_top + (s->kh - 1) * i64_max(1, s->dilation_h) + 1);
	for (int64_t k = below * s->w * s->c; k < end * s->w * s->c; k++)
		image[k] = 0;
	return i64_max(below, end);
}

#endif
