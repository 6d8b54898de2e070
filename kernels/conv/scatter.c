/*
 * scatter.c - the gradient of the input of a convolution whose input has few channels, such as an
 * image.
 *
 * A convolution of gy, as in direct.c, would leave most lanes of a vector unused.  So each pixel
 * of gy is multiplied by all weights.  Its products for one row of the filter are a contiguous run
 * in a row of gx; runs are added where they overlap.
 */
#include "kernels/conv/conv.h"
#include "kernels/gemm/microkernel.h"
#include "kernels/lanes.h"

enum { PIECES = 16, MOST_CHANNELS = 8, LEAST_OUTPUTS = 8 };

struct job {
	const ebb_conv_shape *s;
	const real *gy, *weight; /* weight: o terms of kh*kw*c columns, by panels */
	real *gx, *space;
	int64_t columns, padded;
	int64_t block, blocks; /* rows of gx per task, tasks per image */
};

bool EBB_NAME(scatter_fits)(const ebb_conv_shape *s)
{
	return s->groups == 1 && s->dilation_w == 1 && s->kh * s->kw > 1 && s->c <= MOST_CHANNELS &&
	       s->o >= LEAST_OUTPUTS;
}

static int64_t line(int64_t elements)
{
	return (elements + 15) / 16 * 16;
}

static struct job job_of(const ebb_conv_shape *s)
{
	struct job j = {.s = s, .columns = s->kh * s->kw * s->c};
	int64_t wanted = ebb_ceil_div(PIECES, s->n);

	j.padded = ebb_panel_columns(j.columns);
	/* An output row that contributes to the rows of two tasks is computed by both. */
	j.block = i64_max(ebb_ceil_div(s->h, wanted), i64_min(s->h, 4 * s->kh * s->dilation_h));
	j.blocks = ebb_ceil_div(s->h, j.block);
	return j;
}

static int64_t weight_size(const struct job *j)
{
	return line(j->s->o * j->padded);
}

size_t EBB_NAME(scatter_workspace)(const ebb_conv_shape *s)
{
	struct job j = job_of(s);
	double products = (double)s->ow * (double)j.padded;

	if (products > 0x1p46)
		return EBB_MOST_BYTES + 1;
	return ebb_bytes_of(weight_size(&j) + ebb_threads() * line(s->ow * j.padded), sizeof(real));
}

/* Packs the weights into panels.  Columns have the order of gx: filter row, filter column,
 * channel. */
static void pack(const struct job *j, const real *w, real *to)
{
	const ebb_conv_shape s = *j->s;
	int64_t taps = s.kh * s.kw;

	for (int64_t at = 0; at < j->columns;) {
		int64_t width = ebb_gemm_panel_for(j->columns - at)->width;

		for (int64_t o = 0; o < s.o; o++) {
			real *row = to + at * s.o + o * width;

			for (int64_t i = 0; i < width; i++) {
				int64_t k = at + i, tap = k / s.c, c = k % s.c;

				row[i] = k < j->columns ? w[(o * s.c + c) * taps + tap] : 0;
			}
		}
		at += width;
	}
}

/* y += x, for `runs` runs of n elements. */
EBB_INLINE void add_runs(
	int64_t runs, int64_t n, const real *x, int64_t x_step, real *y, int64_t y_step)
{
	int64_t whole = n / EBB_VLEN * EBB_VLEN, rest = n - whole;

	for (; runs > 0; runs--, x += x_step, y += y_step) {
		for (int64_t i = 0; i < whole; i += EBB_VLEN)
			ebb_store(y + i, ebb_load(y + i) + ebb_load(x + i));
		if (rest)
			ebb_store_part(y + whole,
				ebb_load_part(y + whole, rest) + ebb_load_part(x + whole, rest),
				rest);
	}
}

/* Adds the products of output row i to rows [from,to) of an image.  Pixels are taken in phases,
 * `apart` pixels from one to the next, so that consecutive runs do not overlap: store-to-load
 * forwarding fails for a load that overlaps a recent store at another alignment, and the load
 * stalls until the store has reached the cache. */
static void add_row(
	const struct job *j, int64_t i, const real *products, int64_t from, int64_t to, real *gx)
{
	const ebb_conv_shape s = *j->s;
	int64_t apart = ebb_ceil_div(s.kw, s.stride_w), top = i * s.stride_h - s.pad_top;
	int64_t u = ebb_ceil_div(i64_max(0, from - top), s.dilation_h);
	int64_t rows = i64_min(s.kh, ebb_ceil_div(i64_max(0, to - top), s.dilation_h)) - u;

	for (int64_t phase = 0; phase < apart; phase++) {
		for (int64_t k = phase; k < s.ow; k += apart) {
			int64_t left = k * s.stride_w - s.pad_left;
			int64_t v = i64_max(0, -left), end = i64_min(s.kw, s.w - left);

			if (v < end)
				add_runs(rows, (end - v) * s.c,
					products + k * j->padded + (u * s.kw + v) * s.c, s.kw * s.c,
					gx + ((top + u * s.dilation_h) * s.w + left + v) * s.c,
					s.dilation_h * s.w * s.c);
		}
	}
}

static void piece_of_rows(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	const ebb_conv_shape s = *j->s;
	int64_t image = piece / j->blocks, from = piece % j->blocks * j->block;
	int64_t to = i64_min(s.h, from + j->block), reach = (s.kh - 1) * s.dilation_h;
	real *products = j->space + worker * line(s.ow * j->padded);
	real *gx = (real *)j->gx + image * s.h * s.w * s.c;
	int64_t first = i64_max(0, ebb_ceil_div(i64_max(0, from + s.pad_top - reach), s.stride_h));
	struct ebb_product p = {
		.runs1 = 1, .runs2 = 1, .len = s.o, .a_stride = s.o, .ldc = j->padded};

	for (int64_t k = from * s.w * s.c; k < to * s.w * s.c; k++)
		gx[k] = 0;
	for (int64_t i = first; i < s.oh && i * s.stride_h - s.pad_top < to; i++) {
		const real *gy = j->gy + (image * s.oh + i) * s.ow * s.o;

		for (int64_t at = 0; at < j->columns;) {
			const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(j->columns - at);

			p.cols = panel->width;
			p.b_stride = panel->width;
			ebb_multiply(panel, true, s.ow, s.o, &p, gy, j->weight + at * s.o,
				products + at);
			at += panel->width;
		}
		add_row(j, i, products, from, to, gx);
	}
}

void EBB_NAME(scatter_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	struct job j = job_of(s);

	pack(&j, w, ws);
	j.weight = ws;
	j.space = (real *)ws + weight_size(&j);
	j.gy = gy;
	j.gx = gx;
	ebb_run_pieces(s->n * j.blocks, piece_of_rows, &j);
}
