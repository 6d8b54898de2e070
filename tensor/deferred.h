/*
 * deferred.h - gradients of large fully connected weights, kept as their deferred until somebody
 * reads them: for the folders of the library that can do with the deferred alone.
 *
 * g = gy^T x with gy [rows,out] and x [rows,in] is far larger than both when the batch is small.
 * An optimizer that computes it tile by tile never needs its memory; ebb_grad_of computes it.
 */
#ifndef EBB_TENSOR_DEFERRED_H
#define EBB_TENSOR_DEFERRED_H

#include "tensor/tensor.h"

typedef struct ebb_outer_product {
	int64_t rows;
	const void *gy, *x; /* [rows,out], [rows,in] */
} ebb_outer_product;

/* The gradient that ebb_grad_of would give, which stays as it is: gy is NULL, or its memory is
 * not to be read.  Valid until the next sweep. */
const ebb_tensor *ebb_grad_or_outer_product(const ebb_tensor *x, ebb_outer_product *f);

/* Whether sweeps keep deferred: true, unless a test compares. */
extern bool ebb_defer_products;

#endif
