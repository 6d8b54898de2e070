/*
 * fused.h - fused ops without a public prototype, for containers that run two steps as one op.
 */
#ifndef EBB_OPS_FUSED_H
#define EBB_OPS_FUSED_H

#include "ops/ops.h"

/* maxpool2d(relu(x)), bit-identical, with no more memory than maxpool2d(x).  a->index must be
 * NULL. */
ebb_tensor *ebb_relu_maxpool2d(const ebb_pool2d_args *a);

#endif
