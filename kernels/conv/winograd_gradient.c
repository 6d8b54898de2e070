/*
 * winograd_gradient.c - the transforms for the gradient of the weights: tiles of gy to their
 * values at all points, and sums at all points to weights.
 */
#include "kernels/conv/winograd.h"
#include "kernels/gemm/microkernel.h"
#include "kernels/transpose.h"

#if !EBB_F64

/* ---- Tiles of gy ----------------------------------------------------------------------------- */

/* One vector of channels of one tile of gy: rows x cols of it lie in the image. */
struct patch {
	const real *gy;
	int64_t row, pixel; /* strides */
	int64_t rows, cols, lanes;
};

EBB_INLINE void put_row(const int m, const ebb_vec *e, real *to, int64_t plane, int i)
{
	ebb_vec out[EBB_TILE];

	ebb_evaluate(m, e, 1, out, 1);
	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++)
		ebb_store(to + (EBB_TILE * i + j) * plane, out[j]);
}

/* Evaluates the columns for one pair of points at a time; the formulas are those of
 * ebb_evaluate. */
EBB_INLINE void gradient_channels(
	const int m, const bool inner, const struct patch *p, real *to, int64_t plane)
{
	ebb_vec d[4][4], e[4], f[4];
	const real points[] = {EBB_POINT_A, EBB_POINT_B};

	EBB_UNROLL(4)
	for (int i = 0; i < m; i++) {
		EBB_UNROLL(4)
		for (int j = 0; j < m; j++) {
			const real *at = p->gy + i * p->row + j * p->pixel;

			if (!inner && (i >= p->rows || j >= p->cols))
				d[i][j] = (ebb_vec){0};
			else if (inner || p->lanes == EBB_VLEN)
				d[i][j] = ebb_load(at);
			else
				d[i][j] = ebb_load_part(at, p->lanes);
		}
	}
	put_row(m, d[0], to, plane, 0);
	EBB_UNROLL(2)
	for (int k = 0; k < 2; k++) {
		const real x = points[k], xx = x * x;

		EBB_UNROLL(4)
		for (int j = 0; j < m; j++) {
			ebb_vec even = d[0][j], odd = d[1][j];

			if (m == 4) {
				even += xx * d[2][j];
				odd += xx * d[3][j];
			}
			e[j] = even + x * odd;
			f[j] = even - x * odd;
		}
		put_row(m, e, to, plane, 1 + 2 * k);
		put_row(m, f, to, plane, 2 + 2 * k);
	}
	put_row(m, d[m - 1], to, plane, 5);
}

void ebb_transform_gradient(
	const struct ebb_tiling *t, const real *gy, int64_t first, int64_t count, real *values)
{
	struct patch p = {.row = t->ow * t->o, .pixel = t->o};

	for (int64_t i = 0; i < count; i++) {
		int64_t image = (first + i) / t->per_image, at = (first + i) % t->per_image;
		int64_t top = at / t->across * t->m, left = at % t->across * t->m;
		const real *from = gy + ((image * t->oh + top) * t->ow + left) * t->o;

		p.rows = t->oh - top;
		p.cols = t->ow - left;
		for (int64_t k = 0; k < t->o; k += EBB_VLEN) {
			real *to = values + i * t->op + k;

			p.gy = from + k;
			p.lanes = i64_min(EBB_VLEN, t->o - k);
			if (t->m == 2)
				gradient_channels(2, false, &p, to, t->o_plane);
			else if (p.rows >= 4 && p.cols >= 4 && p.lanes == EBB_VLEN)
				gradient_channels(4, true, &p, to, t->o_plane);
			else
				gradient_channels(4, false, &p, to, t->o_plane);
		}
	}
}

/* ---- From sums to weights -------------------------------------------------------------------- */

/* Transforms the sums of one vector of columns to filter taps. */
EBB_INLINE void taps_of(
	const int r, const real *sums, const struct ebb_sums *s, int64_t lanes, real *to)
{
	const int64_t plane = s->plane, chunk = EBB_POINTS * plane;
	ebb_vec d[EBB_TILE], e[EBB_MAX_TAPS * EBB_TILE], out[EBB_MAX_TAPS];

	EBB_UNROLL(6)
	for (int j = 0; j < EBB_TILE; j++) {
		EBB_UNROLL(6)
		for (int i = 0; i < EBB_TILE; i++) {
			const real *at = sums + (EBB_TILE * i + j) * plane;

			if (lanes < EBB_VLEN) {
				d[i] = ebb_load_part(at, lanes);
				for (int64_t k = 1; k < s->chunks; k++)
					d[i] += ebb_load_part(at + k * chunk, lanes);
			} else {
				d[i] = ebb_load(at);
				for (int64_t k = 1; k < s->chunks; k++)
					d[i] += ebb_load(at + k * chunk);
			}
		}
		ebb_divide_by_distances(d, 1);
		ebb_combine(r, d, 1, e + j, EBB_TILE);
	}
	EBB_UNROLL(5)
	for (int i = 0; i < r; i++) {
		ebb_divide_by_distances(e + EBB_TILE * i, 1);
		ebb_combine(r, e + EBB_TILE * i, 1, out, 1);
		EBB_UNROLL(5)
		for (int j = 0; j < r; j++)
			ebb_store(to + (i * r + j) * EBB_VLEN, out[j]);
	}
}

void ebb_put_weights(const struct ebb_tiling *t, const struct ebb_sums *s, int64_t column,
	int64_t c, int64_t count, real *gw)
{
	int64_t taps = t->r * t->r, width = ebb_gemm_panel_for(t->o - column)->width;
	real transposed[EBB_WEIGHT_CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS * EBB_VLEN];
	real line[EBB_WEIGHT_CHANNELS * EBB_MAX_TAPS * EBB_MAX_TAPS];

	for (int64_t i = 0; i < width && column + i < t->o; i += EBB_VLEN) {
		int64_t lanes = i64_min(EBB_VLEN, width - i),
			there = i64_min(lanes, t->o - column - i);
		real *to = gw + ((column + i) * t->c + c) * taps;

		for (int64_t k = 0; k < count; k++) {
			const real *from = s->at + k * width + i;
			real *lines = transposed + k * taps * EBB_VLEN;

			if (t->r == 3)
				taps_of(3, from, s, lanes, lines);
			else
				taps_of(5, from, s, lanes, lines);
		}
		if (!s->add) {
			ebb_transpose_block(
				count * taps, there, transposed, EBB_VLEN, to, t->c * taps);
			continue;
		}
		for (int64_t k = 0; k < there; k++) {
			ebb_transpose_block(
				count * taps, 1, transposed + k, EBB_VLEN, line, count * taps);
			for (int64_t l = 0; l < count * taps; l++)
				to[k * t->c * taps + l] += line[l];
		}
	}
}

#endif
