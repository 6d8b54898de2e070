/*
 * copy.c - copies between arrays of any strides.
 */
#include "real.h"

#include <string.h>

/* An element is copied as a word of its size, whatever its type. */
typedef uint8_t word1;
typedef uint32_t __attribute__((may_alias)) word4;
typedef uint64_t __attribute__((may_alias)) word8;

struct copy_job {
	size_t elem;
	int ndim;
	int64_t shape[EBB_KERNEL_DIMS], ss[EBB_KERNEL_DIMS], ds[EBB_KERNEL_DIMS];
	const char *src;
	char *dst;
	int64_t rows, chunk; /* rows: product of all axes but the last */
};

static int64_t magnitude(int64_t s)
{
	return s < 0 ? -s : s;
}

/* Sorts the axes by the strides of the destination, drops axes of size 1, merges adjacent axes
 * where strides permit it, and leaves at least two axes.  False if there are no elements to
 * copy. */
static bool normalise(
	struct copy_job *j, int ndim, const int64_t *shape, const int64_t *ss, const int64_t *ds)
{
	int n = 0;

	for (int d = 0; d < ndim; d++) {
		int at = n;

		if (shape[d] == 0)
			return false;
		if (shape[d] == 1)
			continue;
		for (; at > 0 && magnitude(j->ds[at - 1]) < magnitude(ds[d]); at--) {
			j->shape[at] = j->shape[at - 1];
			j->ss[at] = j->ss[at - 1];
			j->ds[at] = j->ds[at - 1];
		}
		j->shape[at] = shape[d];
		j->ss[at] = ss[d];
		j->ds[at] = ds[d];
		n++;
	}
	j->ndim = 0;
	for (int d = 0; d < n; d++) {
		int to = j->ndim - 1;

		if (to >= 0 && j->ss[to] == j->ss[d] * j->shape[d] &&
			j->ds[to] == j->ds[d] * j->shape[d]) {
			j->shape[to] *= j->shape[d];
		} else {
			to = j->ndim++;
			j->shape[to] = j->shape[d];
		}
		j->ss[to] = j->ss[d];
		j->ds[to] = j->ds[d];
	}
	while (j->ndim < 2) {
		for (int d = j->ndim; d > 0; d--) {
			j->shape[d] = j->shape[d - 1];
			j->ss[d] = j->ss[d - 1];
			j->ds[d] = j->ds[d - 1];
		}
		j->shape[0] = 1;
		j->ss[0] = j->ds[0] = j->ndim == 0;
		j->ndim++;
	}
	return true;
}

/* Copies a plane of rows x cols.  A transposed copy goes by squares of 16 x 16, so that both sides
 * use whole cache lines. */
#define PLANE(type)                                                                                \
	static void plane_##type(int64_t rows, int64_t cols, const type *src, int64_t sr,          \
		int64_t sc, type *dst, int64_t dr, int64_t dc)                                     \
	{                                                                                          \
		const int64_t square = sc == 1 ? cols : 16;                                        \
                                                                                                   \
		if (sc == 1 && dc == 1) {                                                          \
			for (int64_t r = 0; r < rows; r++)                                         \
				memcpy(dst + r * dr, src + r * sr, (size_t)cols * sizeof(type));   \
			return;                                                                    \
		}                                                                                  \
		for (int64_t r0 = 0; r0 < rows; r0 += 16) {                                        \
			int64_t r1 = i64_min(rows, r0 + 16);                                       \
                                                                                                   \
			for (int64_t c0 = 0; c0 < cols; c0 += square) {                            \
				int64_t c1 = i64_min(cols, c0 + square);                           \
                                                                                                   \
				for (int64_t r = r0; r < r1; r++) {                                \
					for (int64_t c = c0; c < c1; c++)                          \
						dst[r * dr + c * dc] = src[r * sr + c * sc];       \
				}                                                                  \
			}                                                                          \
		}                                                                                  \
	}
PLANE(word1)
PLANE(word4)
PLANE(word8)

static void copy_rows(void *ctx, int64_t piece, int worker)
{
	const struct copy_job *j = ctx;
	int last = j->ndim - 1;
	int64_t from = piece * j->chunk, to = i64_min(j->rows, from + j->chunk);

	(void)worker;
	while (from < to) {
		int64_t rest = from / j->shape[last - 1], first = from % j->shape[last - 1];
		int64_t rows = i64_min(to - from, j->shape[last - 1] - first);
		int64_t s = first * j->ss[last - 1], d = first * j->ds[last - 1];

		for (int k = last - 2; k >= 0; k--) {
			s += rest % j->shape[k] * j->ss[k];
			d += rest % j->shape[k] * j->ds[k];
			rest /= j->shape[k];
		}
#define CALL(type)                                                                                 \
	plane_##type(rows, j->shape[last], (const type *)(const void *)j->src + s,                 \
		j->ss[last - 1], j->ss[last], (type *)(void *)j->dst + d, j->ds[last - 1],         \
		j->ds[last])
		if (j->elem == 1)
			CALL(word1);
		else if (j->elem == 4)
			CALL(word4);
		else
			CALL(word8);
		from += rows;
	}
}

void ebb_copy_strided(size_t elem, int ndim, const int64_t *shape, const void *src,
	const int64_t *ss, void *dst, const int64_t *ds)
{
	struct copy_job j = {.elem = elem, .src = src, .dst = dst};
	int64_t cols;

	if (!normalise(&j, ndim, shape, ss, ds))
		return;
	cols = j.shape[j.ndim - 1];
	j.rows = 1;
	for (int d = 0; d < j.ndim - 1; d++)
		j.rows *= j.shape[d];
	j.chunk = j.rows * cols < EBB_PARALLEL_FROM ? j.rows : i64_max(1, EBB_PIECE / cols);
	ebb_run_pieces(ebb_ceil_div(j.rows, j.chunk), copy_rows, &j);
}
