/*
 * factors.h - gradients of large fully connected weights, kept as their factors until somebody
 * reads them: for the folders of the library that can do with the factors alone.
 *
 * g = gy^T x with gy [rows,out] and x [rows,in] is far larger than both when the batch is small.
 * An optimizer that computes it tile by tile never needs its memory; ebb_grad_of computes it.
 */
#ifndef EBB_TENSOR_FACTORS_H
#define EBB_TENSOR_FACTORS_H

#include "tensor/tensor.h"

typedef struct ebb_factors {
	int64_t rows;
	const void *gy, *x; /* [rows,out], [rows,in] */
} ebb_factors;

/* The gradient that ebb_grad_of would give, which stays as it is: gy is NULL, or its memory is not to
 * be read.  Valid until the next sweep. */
const ebb_tensor *ebb_grad_or_factors(const ebb_tensor *x, ebb_factors *f);

/* Whether sweeps keep factors: true, unless a test compares. */
extern bool ebb_keep_factors;

#endif
