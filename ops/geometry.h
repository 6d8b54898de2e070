/*
 * geometry.h - where the windows of a convolution or a pooling lie: what its options say becomes
 * the shape that the kernels take.
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
/* The same checks for one axis, with errors that speak of one. */
bool ebb_conv1d_fits(ebb_call *c, const ebb_conv1d_args *a);

#endif
