/*
 * geometry.h - turns the options of convolutions and poolings (stride, padding, dilation, groups)
 * into the ebb_conv_shape or ebb_pool_shape that the kernels take.
 */
#ifndef EBB_OPS_GEOMETRY_H
#define EBB_OPS_GEOMETRY_H

#include "ops/internal.h"

/* Each checks the shapes of the inputs and the options, and fills s; false if the call has
 * failed. */
bool ebb_conv_geometry(ebb_call *c, const ebb_conv2d_args *a, ebb_conv_shape *s);
bool ebb_conv_transpose_geometry(
	ebb_call *c, const ebb_conv_transpose2d_args *a, ebb_conv_shape *s);
bool ebb_pool_geometry(ebb_call *c, const ebb_pool2d_args *a, ebb_pool_shape *s);
/* The checks of ebb_conv_geometry for a 1-d convolution, with error messages that name one axis. */
bool ebb_conv1d_fits(ebb_call *c, const ebb_conv1d_args *a);

#endif
