/*
 * fused.h - ops that stand for several, for containers that run their steps as one.
 */
#ifndef EBB_OPS_FUSED_H
#define EBB_OPS_FUSED_H

#include "ops/ops.h"

/* maxpool2d(relu(x)), to the bit, in no more memory than maxpool2d(x).  index must be NULL. */
ebb_tensor *ebb_relu_maxpool2d(const ebb_pool2d_args *a);

#endif
