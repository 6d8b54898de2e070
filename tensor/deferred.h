/*
 * deferred.h - deferred outer products: gradients of large fully connected weights that are kept as
 * their operands.  For tensor/, autograd/ and optim/ only.
 *
 * With a small batch, the gradient g = gy^T x of a weight [out,in] is far larger than its operands
 * gy [rows,out] and x [rows,in].  The sweep keeps the operands.  An optimizer computes the product
 * tile by tile and applies each tile at once, so that g is never written to memory.  ebb_grad_of
 * computes g.
 */
#ifndef EBB_TENSOR_DEFERRED_H
#define EBB_TENSOR_DEFERRED_H

#include "tensor/tensor.h"

/* The operands of a deferred outer product. */
typedef struct ebb_outer_product {
	int64_t rows;
	const void *gy, *x; /* [rows,out], [rows,in] */
} ebb_outer_product;

/* ebb_grad_of without computing a deferred product.  If f->gy is not NULL, the gradient is the
 * product of f's operands and the result's elements must not be read.  Both are valid until the
 * next sweep. */
const ebb_tensor *ebb_grad_or_outer_product(const ebb_tensor *x, ebb_outer_product *f);

/* Whether sweeps defer outer products: true, except where a test compares the two. */
extern bool ebb_defer_products;

#endif
