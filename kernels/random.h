/*
 * random.h - the mask of dropout as other kernels use it.
 */
#ifndef EBB_KERNELS_RANDOM_H
#define EBB_KERNELS_RANDOM_H

#include "real.h"

/* keep[i] = u < p ? 0 : 1/(1-p), where u is the uniform number of element first + i of the stream:
 * the factors of ebb_kernels.dropout.  Runs on the calling thread. */
void EBB_NAME(dropout_factors)(
	uint64_t first, int64_t n, uint64_t seed, uint64_t stream, double p, real *keep);

#endif
