/*
 * winograd.h - tile transforms of the Winograd convolution (Winograd 1980; Lavin & Gray 2016).
 *
 * A tile of m x m outputs of an r x r filter, m + r = 7, is computed from 6 x 6 inputs.  Along one
 * axis, inputs d, taps g and outputs y are the coefficients of polynomials, which are multiplied
 * by their values at six points: 0, +-a, +-b and infinity.  The 6 x n matrix E_n evaluates a
 * polynomial of n coefficients at the points; its last row selects the leading coefficient.  N is
 * the diagonal matrix of the products of the distances from a point to the others.  B^T has the
 * coefficients of the polynomials that vanish at all points but one:
 *
 *   y  = E_m^T ((N^-1 E_r g) . (B^T d))            two axes: the same from both sides
 *   gg = E_r^T N^-1 ((E_m gy) . (B^T d))           the gradient of the weights
 *
 * A tile costs 36 products per pair of channels instead of (m r)^2, which is 144 for 3 x 3 filters
 * and 100 for 5 x 5.  The rounding error depends on the points: among all pairs of multiples of
 * 1/16, 11/16 and 23/16 are among the best, with a fifth of the error of the usual 1 and 2.
 */
#ifndef EBB_KERNELS_CONV_WINOGRAD_H
#define EBB_KERNELS_CONV_WINOGRAD_H

#include "kernels/conv/conv.h"
#include "kernels/lanes.h"

enum { EBB_TILE = 6, EBB_POINTS = EBB_TILE * EBB_TILE, EBB_MAX_TAPS = 5 };

#define EBB_POINT_A ((real)0.6875)
#define EBB_POINT_B ((real)1.4375)
#define EBB_AA (EBB_POINT_A * EBB_POINT_A)
#define EBB_BB (EBB_POINT_B * EBB_POINT_B)
/* The diagonal of N: at 0, at +-a, at +-b. */
#define EBB_N_0 (EBB_AA * EBB_BB)
#define EBB_N_A (2 * EBB_AA * (EBB_AA - EBB_BB))
#define EBB_N_B (2 * EBB_BB * (EBB_BB - EBB_AA))

/* A stride-1 convolution, split into tiles of outputs that are computed from tiles of a source. */
struct ebb_tiling {
	int64_t n, h, w, c; /* source */
	int64_t oh, ow, o;  /* outputs */
	int64_t r, m;       /* taps of a filter and outputs of a tile along one axis */
	int64_t pad_top, pad_left;
	int64_t across, per_image, tiles;
	int64_t block; /* tiles per task */
	/* Padded channels of a transformed tile: of the source to whole vectors, of the outputs to
	 * whole panels. */
	int64_t cp, op;
	int64_t c_plane, o_plane; /* distances of the planes of two points */
};

/* The part of a tile that lies inside its image. */
struct ebb_tile_part {
	const real *row[EBB_TILE]; /* at the first column inside; zeros for a row outside */
	int64_t from, to;          /* columns inside the image */
};

static inline int64_t ebb_round_up(int64_t n, int64_t to)
{
	return ebb_ceil_div(n, to) * to;
}

/* Elements of a plane or a row, rounded up to whole cache lines.  The distance of two planes is an
 * odd number of lines, and the distance of two rows is not a multiple of 16 lines, so that they do
 * not all fall into a few sets of the cache. */
static inline int64_t ebb_plane(int64_t n)
{
	return (ebb_round_up(n, 16) / 16 | 1) * 16;
}

static inline int64_t ebb_row(int64_t n)
{
	n = ebb_round_up(n, 16);
	return n % 256 ? n : n + 16;
}

/* ---- One axis -------------------------------------------------------------------------------- */

/* out = B^T d.  ebb_tile_first yields the value at 0, or at infinity if it starts one element
 * later.  ebb_tile_pair yields the values at +-p; qq is the square of the other two points. */
EBB_INLINE ebb_vec ebb_tile_first(ebb_vec d0, ebb_vec d2, ebb_vec d4)
{
	return EBB_N_0 * d0 + (d4 - (EBB_AA + EBB_BB) * d2);
}

EBB_INLINE void ebb_tile_pair(const real p, const real qq, ebb_vec d1, ebb_vec d2, ebb_vec d3,
	ebb_vec d4, ebb_vec *plus, ebb_vec *minus)
{
	ebb_vec even = d4 - qq * d2, odd = p * (d3 - qq * d1);

	*plus = even + odd;
	*minus = even - odd;
}

EBB_INLINE void ebb_tile_input(const ebb_vec *d, ebb_vec *out)
{
	out[0] = ebb_tile_first(d[0], d[2], d[4]);
	ebb_tile_pair(EBB_POINT_A, EBB_BB, d[1], d[2], d[3], d[4], &out[1], &out[2]);
	ebb_tile_pair(EBB_POINT_B, EBB_AA, d[1], d[2], d[3], d[4], &out[3], &out[4]);
	out[5] = ebb_tile_first(d[1], d[3], d[5]);
}

/* out = E_n d, 2 <= n <= 5. */
EBB_INLINE void ebb_evaluate(
	const int n, const ebb_vec *d, const int ds, ebb_vec *out, const int os)
{
	ebb_vec even_a = d[0], even_b = d[0], odd_a = d[ds], odd_b = d[ds];

	if (n > 4) {
		even_a += EBB_AA * (d[2 * ds] + EBB_AA * d[4 * ds]);
		even_b += EBB_BB * (d[2 * ds] + EBB_BB * d[4 * ds]);
	} else if (n > 2) {
		even_a += EBB_AA * d[2 * ds];
		even_b += EBB_BB * d[2 * ds];
	}
	if (n > 3) {
		odd_a += EBB_AA * d[3 * ds];
		odd_b += EBB_BB * d[3 * ds];
	}
	out[0] = d[0];
	out[os] = even_a + EBB_POINT_A * odd_a;
	out[2 * os] = even_a - EBB_POINT_A * odd_a;
	out[3 * os] = even_b + EBB_POINT_B * odd_b;
	out[4 * os] = even_b - EBB_POINT_B * odd_b;
	out[5 * os] = d[(n - 1) * ds];
}

/* out = E_n^T e, 2 <= n <= 5. */
EBB_INLINE void ebb_combine(const int n, const ebb_vec *e, const int es, ebb_vec *out, const int os)
{
	ebb_vec even_a = e[es] + e[2 * es], odd_a = EBB_POINT_A * (e[es] - e[2 * es]);
	ebb_vec even_b = e[3 * es] + e[4 * es], odd_b = EBB_POINT_B * (e[3 * es] - e[4 * es]);

	out[0] = e[0] + even_a + even_b;
	out[os] = odd_a + odd_b;
	if (n > 2)
		out[2 * os] = EBB_AA * even_a + EBB_BB * even_b;
	if (n > 3)
		out[3 * os] = EBB_AA * odd_a + EBB_BB * odd_b;
	if (n > 4)
		out[4 * os] = EBB_AA * EBB_AA * even_a + EBB_BB * EBB_BB * even_b;
	out[(n - 1) * os] += e[5 * es];
}

/* e = N^-1 e */
EBB_INLINE void ebb_divide_by_distances(ebb_vec *e, const int es)
{
	e[0] *= 1 / EBB_N_0;
	e[es] *= 1 / EBB_N_A;
	e[2 * es] *= 1 / EBB_N_A;
	e[3 * es] *= 1 / EBB_N_B;
	e[4 * es] *= 1 / EBB_N_B;
}

/* ---- Whole tiles and filters (winograd_tiles.c) ---------------------------------------------- */

#define ebb_tiling_of EBB_NAME(tiling_of)
#define ebb_transform_input EBB_NAME(transform_input)
#define ebb_transform_filters EBB_NAME(transform_filters)
#define ebb_transform_output EBB_NAME(transform_output)

/* The tiling of the forward convolution, or in the transposed form of the gradient of the input,
 * which is a convolution of gy. */
struct ebb_tiling ebb_tiling_of(const ebb_conv_shape *s, bool transposed);
/* Transforms count source tiles from number first on: v[point*c_plane + i*cp + channel] for tile
 * first + i.  zeros: EBB_TILE*c zeros, which are read for rows outside the image. */
void ebb_transform_input(const struct ebb_tiling *t, const real *x, int64_t first, int64_t count,
	const real *zeros, real *v);

static inline void ebb_fill_zeros(const struct ebb_tiling *t, real *zeros)
{
	for (int64_t i = 0; i < EBB_TILE * t->c; i++)
		zeros[i] = 0;
}

struct ebb_filters {
	const struct ebb_tiling *t;
	bool transposed;
	const real *w;
	int64_t plane; /* distance of the planes of two points */
};

/* Transforms the filters from source channels [c,c+count) to the panel of output channels from
 * `column` on: to[point*plane + k*width + i]. */
void ebb_transform_filters(const struct ebb_filters *f, int64_t column, int64_t width, int64_t c,
	int64_t count, real *to);
/* Computes output channels [channel,channel+channels) of count tiles from number first on, from
 * values[point*o_plane + i*op + k].  bias may be NULL. */
void ebb_transform_output(const struct ebb_tiling *t, const real *bias, int64_t first,
	int64_t count, int64_t channel, int64_t channels, const real *values, real *result);

/* ---- Few tiles and many filters (winograd_panels.c) ------------------------------------------ */

bool EBB_NAME(winograd_panels_fit)(const struct ebb_tiling *t);
size_t EBB_NAME(winograd_panels_workspace)(const struct ebb_tiling *t);
void EBB_NAME(winograd_panels)(const struct ebb_tiling *t, bool transposed, const real *x,
	const real *w, const real *bias, real *y, real *ws);

/* ---- Gradient of the weights (winograd_gradient.c, winograd_weight.c) ------------------------ */

#define ebb_transform_gradient EBB_NAME(transform_gradient)
#define ebb_put_weights EBB_NAME(put_weights)

/* Transforms count tiles of gy from number first on: values[point*o_plane + i*op + channel]. */
void ebb_transform_gradient(
	const struct ebb_tiling *t, const real *gy, int64_t first, int64_t count, real *values);

/* The products summed over tiles, of one panel: at[point*plane + channel*width + column].  There
 * is one such array per chunk of tiles, EBB_POINTS*plane elements apart. */
struct ebb_sums {
	const real *at;
	int64_t plane, chunks;
	bool add; /* to gw, instead of overwriting it */
};
enum { EBB_WEIGHT_CHANNELS = 28 }; /* source channels per task: whole tiles of the micro-kernel */

/* Transforms the sums s to the weights from source channels [c,c+count) to the panel of output
 * channels that begins at `column`.  s->at points to the sums of channel c. */
void ebb_put_weights(const struct ebb_tiling *t, const struct ebb_sums *s, int64_t column,
	int64_t c, int64_t count, real *gw);

size_t EBB_NAME(winograd_weight_workspace)(const ebb_conv_shape *s);

#endif
