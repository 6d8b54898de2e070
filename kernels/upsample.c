/*
 * upsample.c - nearest and bilinear upsampling of NHWC images, and the gradients, which are the
 * transposed operations.
 */
#include "functions.h"

/* Channels whose sums the gradient computes at a time, in double, because many outputs may read
 * one pixel. */
enum { CHANNELS = 64 };

struct upsample_job {
	const ebb_upsample_shape *s;
	const real *x;
	real *y;
	int64_t count, chunk;
};

static void run(
	struct upsample_job *j, int64_t rows, int64_t size, void (*fn)(void *, int64_t, int))
{
	j->count = rows;
	if (rows <= 0 || size <= 0)
		return;
	j->chunk = rows * size < EBB_PARALLEL_FROM ? rows : i64_max(1, EBB_PIECE / size);
	ebb_run_pieces(ebb_ceil_div(rows, j->chunk), fn, j);
}

/* What position i of an output axis reads: (1 - part)*x[at] + part*x[next]. */
struct tap {
	int64_t at, next;
	double part;
};

static struct tap tap_of(const ebb_upsample_shape *s, bool vertical, int64_t i)
{
	int64_t size = vertical ? s->h : s->w, out = vertical ? s->oh : s->ow;
	double step = vertical ? s->step_h : s->step_w, place;
	struct tap t = {i, i, 0};

	if (!s->bilinear) {
		/* Rounded to float as in PyTorch, so that i*step just below a whole number counts
		 * as that number. */
		t.at = i64_min((int64_t)floorf((float)((double)i * step)), size - 1);
		t.next = t.at;
	} else if (size != out) {
		place = s->align_corners ? step * (double)i : step * ((double)i + 0.5) - 0.5;
		place = place < 0 ? 0 : place;
		t.at = i64_min((int64_t)place, size - 1);
		t.next = i64_min(t.at + 1, size - 1);
		t.part = place - (double)t.at;
		t.part = t.part > 1 ? 1 : t.part;
	}
	return t;
}

/* ---- Forward --------------------------------------------------------------------------------- */

static void blend(const real *top, const real *bottom, struct tap row, struct tap col, int64_t c,
	real *restrict y)
{
	const real *a = top + col.at * c, *b = top + col.next * c;
	const real *d = bottom + col.at * c, *e = bottom + col.next * c;
	real wa = (real)((1 - row.part) * (1 - col.part)), wb = (real)((1 - row.part) * col.part);
	real wd = (real)(row.part * (1 - col.part)), we = (real)(row.part * col.part);

	for (int64_t k = 0; k < c; k++)
		y[k] = wa * a[k] + wb * b[k] + wd * d[k] + we * e[k];
}

static void upsample_rows(void *ctx, int64_t piece, int worker)
{
	const struct upsample_job *j = ctx;
	const ebb_upsample_shape s = *j->s;
	int64_t end = i64_min(j->count, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t r = piece * j->chunk; r < end; r++) {
		struct tap row = tap_of(&s, true, r % s.oh);
		const real *image = j->x + r / s.oh * s.h * s.w * s.c;
		const real *top = image + row.at * s.w * s.c;
		const real *bottom = image + row.next * s.w * s.c;

		for (int64_t o = 0; o < s.ow; o++) {
			struct tap col = tap_of(&s, false, o);
			real *y = j->y + (r * s.ow + o) * s.c;

			if (s.bilinear)
				blend(top, bottom, row, col, s.c, y);
			else
				memcpy(y, top + col.at * s.c, (size_t)s.c * sizeof(real));
		}
	}
}

EBB_DECLARE(upsample);
void EBB_NAME(upsample)(const ebb_upsample_shape *s, const void *x, void *y)
{
	struct upsample_job j = {.s = s, .x = x, .y = y};

	run(&j, s->n * s->oh, s->ow * s->c, upsample_rows);
}

/* ---- Gradient: each pixel of gx sums over the outputs that read it --------------------------- */

/* The first output position that reads position p or one beyond it. */
static int64_t first_reader(const ebb_upsample_shape *s, bool vertical, int64_t p)
{
	int64_t low = 0, high = vertical ? s->oh : s->ow;

	while (low < high) {
		int64_t mid = low + (high - low) / 2;

		if (tap_of(s, vertical, mid).next < p)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The weight of position p in output position i; -1 if neither i nor any later output reads p. */
static double share(const ebb_upsample_shape *s, bool vertical, int64_t i, int64_t p)
{
	struct tap t;

	if (i >= (vertical ? s->oh : s->ow))
		return -1;
	t = tap_of(s, vertical, i);
	if (t.at > p)
		return -1;
	return (t.at == p ? 1 - t.part : 0) + (t.next == p ? t.part : 0);
}

/* Computes channels c .. c + n - 1 of pixel (p,q) of gx. */
static void collect(const ebb_upsample_shape *s, const real *gy, int64_t p, int64_t top, int64_t q,
	int64_t left, int64_t c, int64_t n, real *gx)
{
	double sum[CHANNELS] = {0}, wide, tall;

	for (int64_t i = top; (tall = share(s, true, i, p)) >= 0; i++) {
		for (int64_t o = left; (wide = share(s, false, o, q)) >= 0; o++) {
			const real *g = gy + (i * s->ow + o) * s->c + c;
			double w = tall * wide;

			for (int64_t k = 0; k < n; k++)
				sum[k] += w * (double)g[k];
		}
	}
	for (int64_t k = 0; k < n; k++)
		gx[k] = (real)sum[k];
}

static void upsample_grad_rows(void *ctx, int64_t piece, int worker)
{
	const struct upsample_job *j = ctx;
	const ebb_upsample_shape s = *j->s;
	int64_t end = i64_min(j->count, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t r = piece * j->chunk; r < end; r++) {
		const real *gy = j->x + r / s.h * s.oh * s.ow * s.c;
		int64_t top = first_reader(&s, true, r % s.h);

		for (int64_t q = 0; q < s.w; q++) {
			int64_t left = first_reader(&s, false, q);
			real *gx = j->y + (r * s.w + q) * s.c;

			for (int64_t c = 0; c < s.c; c += CHANNELS)
				collect(&s, gy, r % s.h, top, q, left, c,
					i64_min(CHANNELS, s.c - c), gx + c);
		}
	}
}

EBB_DECLARE(upsample_grad);
void EBB_NAME(upsample_grad)(const ebb_upsample_shape *s, const void *gy, void *gx)
{
	struct upsample_job j = {.s = s, .x = gy, .y = gx};

	run(&j, s->n * s->h, s->w * s->c, upsample_grad_rows);
}
