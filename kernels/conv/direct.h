/*
 * direct.h - what the files of the direct convolution share: the loop nest over an image, and
 * packed filters.
 */
#ifndef EBB_KERNELS_CONV_DIRECT_H
#define EBB_KERNELS_CONV_DIRECT_H

#include "kernels/conv/conv.h"
#include "kernels/gemm/microkernel.h"

/* ---- Loop nest over the outputs of an image (direct.c) --------------------------------------- */

/* A convolution as one pass computes it.  The source is x, or gy for the gradient of the input. */
struct ebb_loop_nest {
	int64_t n, groups;
	int64_t h, w, c; /* source images, c channels in all */
	int64_t k;       /* source channels per group */
	int64_t kh, kw, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
	int64_t rows, cols, o; /* outputs, o channels per group */
	const real *x, *weight, *bias;
	real *y;
	int64_t y_image, y_row, y_col; /* strides of the output */

	bool in_place;              /* the source needs no padding and is read without a copy */
	int64_t block, blocks;      /* output rows per task; tasks per image and group */
	int64_t src_rows, src_cols; /* size of the padded source of one task */
	int64_t scratch;            /* elements of the copy of that source; 0 if in_place */
	real *space;                /* scratch memory of all workers */
};

#define ebb_forward_nest EBB_NAME(forward_nest)
#define ebb_block_nest EBB_NAME(block_nest)
#define ebb_nest_source EBB_NAME(nest_source)

/* The loop nest of the forward pass. */
struct ebb_loop_nest ebb_forward_nest(const ebb_conv_shape *s);
/* Splits the outputs into tasks of `block` rows, or of fewer rows if their source would exceed
 * `most` elements.  Sets block, blocks, src_rows and scratch. */
void ebb_block_nest(struct ebb_loop_nest *w, int64_t block, int64_t most);
/* Copies the source of output rows [from, from+rows) and its padding to scratch, unless in_place.
 * Returns the address of its first element and sets row_stride, the distance of its rows.  Pixels
 * are k elements apart. */
const real *ebb_nest_source(const struct ebb_loop_nest *w, int64_t image, int64_t group,
	int64_t from, int64_t rows, real *scratch, int64_t *row_stride);

enum { EBB_NEST_SOURCE = 1 << 16 }; /* source elements per task: about the second-level cache */

/* Elements rounded up to whole cache lines: 16 floats. */
static inline int64_t ebb_lines(int64_t elements)
{
	return (elements + 15) / 16 * 16;
}

/* ---- Forward, few positions and many filters (direct_panels.c) ------------------------------- */

bool EBB_NAME(direct_panels_fit)(const ebb_conv_shape *s);
size_t EBB_NAME(direct_panels_workspace)(const ebb_conv_shape *s);
/* bias: ebb_panel_columns(O/groups) elements per group, or NULL */
void EBB_NAME(direct_panels_forward)(
	const ebb_conv_shape *s, const real *x, const real *w, const real *bias, real *y, real *ws);

/* ---- Packing filters into panels (filters.c) ------------------------------------------------- */

/* The filter taps that a pass uses: on each axis, count taps first, first+step, ... */
struct ebb_taps {
	int64_t first_u, step_u, count_u, first_v, step_v, count_v;
};

#define ebb_pack_filters EBB_NAME(pack_filters)
#define ebb_packed_filters EBB_NAME(packed_filters)

/* Packs the filters of each group into panels.  Row (u, v, channel) of a panel holds that term of
 * all its columns.  Columns are output channels and terms run over input channels; in the
 * transposed form, columns are input channels and terms run over output channels. */
void ebb_pack_filters(
	const ebb_conv_shape *s, struct ebb_taps t, bool transposed, const real *w, real *to);
/* Elements of the packed filters if all taps are used. */
int64_t ebb_packed_filters(const ebb_conv_shape *s, bool transposed);

/* ---- Gradient of the weights (direct_weight.c) ----------------------------------------------- */

size_t EBB_NAME(direct_weight_workspace)(const ebb_conv_shape *s);

#endif
