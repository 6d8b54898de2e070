/*
 * direct.h - what the direct algorithm to a convolution is made of: walks over images, and
 * packed filters.
 */
#ifndef EBB_KERNELS_CONV_DIRECT_H
#define EBB_KERNELS_CONV_DIRECT_H

#include "kernels/conv/conv.h"
#include "kernels/gemm/microkernel.h"

/* ---- Walks over the outputs of an image (direct.c) ------------------------------------------- */

/* A dense convolution, of what the pass makes of the shape. */
struct ebb_loop_nest {
	int64_t n, groups;
	int64_t h, w, c; /* source images, c channels in all */
	int64_t k;       /* source channels per group */
	int64_t kh, kw, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
	int64_t rows, cols, o; /* outputs, o channels per group */
	const real *x, *weight, *bias;
	real *y;
	int64_t y_image, y_row, y_col; /* strides of the output */

	bool in_place;              /* the source needs no copy */
	int64_t block, blocks;      /* output rows of one piece, pieces of one image */
	int64_t src_rows, src_cols; /* the padded source of one piece */
	int64_t scratch;            /* its elements */
	real *space;                /* of all workers */
};

#define ebb_forward_nest EBB_NAME(forward_nest)
#define ebb_block_nest EBB_NAME(block_nest)
#define ebb_nest_source EBB_NAME(nest_source)

/* That of the forward pass. */
struct ebb_loop_nest ebb_forward_nest(const ebb_conv_shape *s);
/* Cuts the outputs into blocks of so many rows, or fewer if their source has more than so many
 * elements, and says what scratch one takes. */
void ebb_block_nest(struct ebb_loop_nest *w, int64_t block, int64_t most);
/* The source of output rows from..from+rows-1, padded, at its first channel: the address, and the
 * distance of rows.  Within it pixels are k apart. */
const real *ebb_nest_source(const struct ebb_loop_nest *w, int64_t image, int64_t group,
	int64_t from, int64_t rows, real *scratch, int64_t *row_stride);

enum { EBB_NEST_SOURCE = 1 << 16 }; /* elements of source at a time: about the second-level cache */

/* Elements in whole cache lines. */
static inline int64_t ebb_lines(int64_t elements)
{
	return (elements + 15) / 16 * 16;
}

/* ---- Few positions and many filters, forward (direct_panels.c) ------------------------------- */

bool EBB_NAME(direct_panels_fit)(const ebb_conv_shape *s);
size_t EBB_NAME(direct_panels_workspace)(const ebb_conv_shape *s);
/* bias: a panel's whole width for each group, or NULL */
void EBB_NAME(direct_panels_forward)(
	const ebb_conv_shape *s, const real *x, const real *w, const real *bias, real *y, real *ws);

/* ---- Filters in panels (filters.c) ----------------------------------------------------------- */

/* How a pass takes the filters: terms over taps first, first+step, ... of each axis. */
struct ebb_taps {
	int64_t first_u, step_u, count_u, first_v, step_v, count_v;
};

#define ebb_pack_filters EBB_NAME(pack_filters)
#define ebb_packed_filters EBB_NAME(packed_filters)

/* Term (u, v, channel) of a group's panel of columns, for columns that are output channels;
 * transposed: columns are input channels, terms output channels. */
void ebb_pack_filters(
	const ebb_conv_shape *s, struct ebb_taps t, bool transposed, const real *w, real *to);
/* Elements that all taps take. */
int64_t ebb_packed_filters(const ebb_conv_shape *s, bool transposed);

/* ---- The weights' gradient (direct_weight.c) ------------------------------------------------- */

size_t EBB_NAME(direct_weight_workspace)(const ebb_conv_shape *s);

#endif
