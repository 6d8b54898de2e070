/*
 * avgpool.c - average pooling over windows of NHWC images.
 */
#include "pool.h"

/* RUN: taps that are summed in real before that sum is added to a double accumulator, because a
 * window may be a whole image.  VECTORS: vectors of channels at a time. */
enum { RUN = 32, VECTORS = 4 };

typedef double double_vec __attribute__((vector_size(EBB_VLEN * sizeof(double))));

/* The sums over a window of count vectors of channels of x. */
EBB_INLINE void window_sums(int count, const ebb_pool_shape *s, const real *x, const real *x_end,
	struct ebb_window rows, struct ebb_window cols, ebb_vec *sum)
{
	double_vec all[VECTORS] = {{0}};
	int64_t taps = 0;

	for (int k = 0; k < count; k++)
		sum[k] = (ebb_vec){0};
	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			const real *at = x + (u * s->w + v) * s->c;

			EBB_UNROLL(4)
			for (int k = 0; k < count; k++)
				sum[k] += ebb_load_within(at + k * EBB_VLEN, x_end);
			if (++taps % RUN != 0)
				continue;
			EBB_UNROLL(4)
			for (int k = 0; k < count; k++) {
				all[k] += __builtin_convertvector(sum[k], double_vec);
				sum[k] = (ebb_vec){0};
			}
		}
	}
	for (int k = 0; taps >= RUN && k < count; k++)
		sum[k] = __builtin_convertvector(
			all[k] + __builtin_convertvector(sum[k], double_vec), ebb_vec);
}

static void avgpool_rows(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	const real *x_end = j->x + s.n * s.h * s.w * s.c;

	(void)worker;
	EBB_EACH(row, j)
	{
		const real *image = j->x + row / s.oh * s.h * s.w * s.c;
		struct ebb_window rows = ebb_window_of(&s, true, row % s.oh);

		for (int64_t o = 0; o < s.ow; o++) {
			struct ebb_window cols = ebb_window_of(&s, false, o);
			real *y = j->y + (row * s.ow + o) * s.c;
			real area = (real)(rows.length * cols.length);
			ebb_vec sum[VECTORS];
			int count;

			for (int64_t c = 0; c < s.c; c += count * EBB_VLEN) {
				count = s.c - c >= VECTORS * EBB_VLEN ? VECTORS : 1;
				if (count > 1)
					window_sums(VECTORS, &s, image + c, x_end, rows, cols, sum);
				else
					window_sums(1, &s, image + c, x_end, rows, cols, sum);
				for (int k = 0; k < count; k++)
					ebb_store_within(sum[k] / area, y + c + k * EBB_VLEN,
						(s.ow - o) * s.c - c - k * EBB_VLEN);
			}
		}
	}
}

EBB_DECLARE(avgpool);
void EBB_NAME(avgpool)(const ebb_pool_shape *s, const void *x, void *y)
{
	struct pool_job j = {.s = s, .x = x, .y = y};

	ebb_pool_run(&j, s->n * s->oh, s->ow * s->c, avgpool_rows);
}

/* One pixel: gx = by*gy, or gx += by*gy where windows do not tile the image. */
EBB_INLINE void spread(const ebb_pool_shape *s, real by, const real *gy, bool tiled, real *gx)
{
	EBB_IVDEP
	for (int64_t k = 0; k < s->c; k++)
		gx[k] = tiled ? by * gy[k] : gx[k] + by * gy[k];
}

static void spread_window(const struct pool_job *j, int64_t n, int64_t i, int64_t o,
	struct ebb_window rows, bool tiled)
{
	const ebb_pool_shape *s = j->s;
	struct ebb_window cols = ebb_window_of(s, false, o);
	const real *gy = j->x + ((n * s->oh + i) * s->ow + o) * s->c;
	real by = (real)(1.0 / (double)(rows.length * cols.length));

	for (int64_t u = rows.first; u < rows.end; u++) {
		for (int64_t v = cols.first; v < cols.end; v++) {
			real *gx = j->y + ((n * s->h + u) * s->w + v) * s->c;

			if (tiled)
				spread(s, by, gy, true, gx);
			else
				spread(s, by, gy, false, gx);
		}
	}
}

static void avgpool_grad_images(void *ctx, int64_t piece, int worker)
{
	const struct pool_job *j = ctx;
	const ebb_pool_shape s = *j->s;
	bool tiled = ebb_pool_tiles(&s);

	(void)worker;
	EBB_EACH(n, j)
	{
		int64_t below = 0;

		for (int64_t i = 0; i <= s.oh; i++) {
			struct ebb_window rows = ebb_window_of(&s, true, i);

			if (!tiled)
				below = ebb_zero_rows(&s, j->y + n * s.h * s.w * s.c, below, i);
			for (int64_t o = 0; i < s.oh && o < s.ow; o++)
				spread_window(j, n, i, o, rows, tiled);
		}
	}
}

EBB_DECLARE(avgpool_grad);
void EBB_NAME(avgpool_grad)(const ebb_pool_shape *s, const void *gy, void *gx)
{
	struct pool_job j = {.s = s, .x = gy, .y = gx};

	ebb_pool_run(&j, s->n, s->h * s->w * s->c, avgpool_grad_images);
}
