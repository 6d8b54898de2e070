/*
 * gemm.h - the matrix product as other kernels use it.
 */
#ifndef EBB_KERNELS_GEMM_GEMM_H
#define EBB_KERNELS_GEMM_GEMM_H

#include "kernels/real.h"

EBB_DECLARE(gemm_workspace);
EBB_DECLARE(gemm);
EBB_DECLARE(linear);

/* ebb_kernels.gemm with a bias [n] or NULL, which is added to every row; with a bias, beta is 0. */
void EBB_NAME(gemm_bias)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a,
	int64_t lda, const real *b, int64_t ldb, const real *bias, double beta, real *c,
	int64_t ldc, void *ws);

#endif
