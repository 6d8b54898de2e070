/*
 * im2col.c - convolution by im2col: every window is unfolded to a row of a matrix, and a matrix
 * product follows.  It supports any shape, and is the reference that the other algorithms are
 * compared with.
 *
 * Each image and each group is unfolded by itself, to columns[pixel][c,u,v].  This is the order of
 * the weights, so the weights need no packing.
 */
#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm.h"

#include <string.h>

struct unfold {
	const ebb_conv_shape *s;
	int64_t image, group;
	const real *x;
	real *gx, *columns;
};

static int64_t columns_of(const ebb_conv_shape *s)
{
	return s->c / s->groups * s->kh * s->kw;
}

static size_t column_bytes(const ebb_conv_shape *s)
{
	if ((double)(s->oh * s->ow) * (double)columns_of(s) > 0x1p46)
		return EBB_MOST_BYTES + 1;
	return (ebb_bytes_of(s->oh * s->ow * columns_of(s), sizeof(real)) + 63) / 64 * 64;
}

/* Workspace of the matrix product of one image and one group, in each pass. */
static size_t product_workspace(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	int64_t pixels = s->oh * s->ow, o = s->o / s->groups, columns = columns_of(s);

	switch (pass) {
	case EBB_CONV_FORWARD:
		return EBB_NAME(gemm_workspace)(pixels, o, columns);
	case EBB_CONV_GRAD_INPUT:
		return EBB_NAME(gemm_workspace)(pixels, columns, o);
	default:
		return EBB_NAME(gemm_workspace)(o, columns, pixels);
	}
}

size_t EBB_NAME(im2col_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	return column_bytes(s) + product_workspace(s, pass);
}

/* Writes the rows of the matrix that belong to output row i. */
static void unfold_row(void *ctx, int64_t i, int worker)
{
	const struct unfold *u = ctx;
	const ebb_conv_shape s = *u->s;
	int64_t c = s.c / s.groups, taps = s.kh * s.kw;

	(void)worker;
	for (int64_t j = 0; j < s.ow; j++) {
		real *to = u->columns + (i * s.ow + j) * c * taps;

		for (int64_t tap = 0; tap < taps; tap++) {
			int64_t r = i * s.stride_h - s.pad_top + tap / s.kw * s.dilation_h;
			int64_t q = j * s.stride_w - s.pad_left + tap % s.kw * s.dilation_w;
			bool inside = r >= 0 && r < s.h && q >= 0 && q < s.w;
			const real *from = inside ? u->x + ((u->image * s.h + r) * s.w + q) * s.c +
			                                    u->group * c
			                          : NULL;

			for (int64_t k = 0; k < c; k++)
				to[k * taps + tap] = inside ? from[k] : 0;
		}
	}
}

/* Adds the matrix to one image (col2im): the transpose of unfolding. */
static void fold(const struct unfold *u)
{
	const ebb_conv_shape s = *u->s;
	int64_t c = s.c / s.groups, taps = s.kh * s.kw;

	for (int64_t pixel = 0; pixel < s.oh * s.ow; pixel++) {
		const real *from = u->columns + pixel * c * taps;

		for (int64_t tap = 0; tap < taps; tap++) {
			int64_t r =
				pixel / s.ow * s.stride_h - s.pad_top + tap / s.kw * s.dilation_h;
			int64_t q =
				pixel % s.ow * s.stride_w - s.pad_left + tap % s.kw * s.dilation_w;
			real *to = u->gx + ((u->image * s.h + r) * s.w + q) * s.c + u->group * c;

			if (r < 0 || r >= s.h || q < 0 || q >= s.w)
				continue;
			for (int64_t k = 0; k < c; k++)
				to[k] += from[k * taps + tap];
		}
	}
}

void EBB_NAME(im2col_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	struct unfold u = {.s = s, .x = x, .columns = ws};
	int64_t pixels = s->oh * s->ow, o = s->o / s->groups, columns = columns_of(s);

	for (u.image = 0; u.image < s->n; u.image++) {
		for (u.group = 0; u.group < s->groups; u.group++) {
			ebb_run_pieces(s->oh, unfold_row, &u);
			EBB_NAME(gemm_bias)
			(false, true, pixels, o, columns, u.columns, columns,
				(const real *)w + u.group * o * columns, columns,
				b ? (const real *)b + u.group * o : NULL, 0,
				(real *)y + u.image * pixels * s->o + u.group * o, s->o,
				(char *)ws + column_bytes(s));
		}
	}
}

void EBB_NAME(im2col_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	struct unfold u = {.s = s, .gx = gx, .columns = ws};
	int64_t pixels = s->oh * s->ow, o = s->o / s->groups, columns = columns_of(s);

	memset(gx, 0, (size_t)(s->n * s->h * s->w * s->c) * sizeof(real));
	for (u.image = 0; u.image < s->n; u.image++) {
		for (u.group = 0; u.group < s->groups; u.group++) {
			EBB_NAME(gemm_bias)
			(false, false, pixels, columns, o,
				(const real *)gy + u.image * pixels * s->o + u.group * o, s->o,
				(const real *)w + u.group * o * columns, columns, NULL, 0,
				u.columns, columns, (char *)ws + column_bytes(s));
			fold(&u);
		}
	}
}

void EBB_NAME(im2col_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	struct unfold u = {.s = s, .x = x, .columns = ws};
	int64_t pixels = s->oh * s->ow, o = s->o / s->groups, columns = columns_of(s);

	for (u.image = 0; u.image < s->n; u.image++) {
		for (u.group = 0; u.group < s->groups; u.group++) {
			ebb_run_pieces(s->oh, unfold_row, &u);
			EBB_NAME(gemm_bias)
			(true, false, o, columns, pixels,
				(const real *)gy + u.image * pixels * s->o + u.group * o, s->o,
				u.columns, columns, NULL, u.image > 0,
				(real *)gw + u.group * o * columns, columns,
				(char *)ws + column_bytes(s));
		}
	}
}
