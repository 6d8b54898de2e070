/*
 * blas.h - large matrix products through OpenBLAS, where it is the faster.
 *
 * This is the one place that chooses.  Measured: the own kernel is level with or ahead of
 * OpenBLAS 0.3.21 up to a few hundred rows, and up to a seventh behind beyond.  But the same
 * OpenBLAS takes processors that it does not know for ones without AVX, at a fifth of their
 * speed: so it is asked for its core's name first.
 */
#ifndef EBB_KERNELS_GEMM_BLAS_H
#define EBB_KERNELS_GEMM_BLAS_H

#include "kernels/kernels.h"

/* Whether C [m,n] = A [m,k] * B [k,n] should go to OpenBLAS, beside the own kernels of that
 * instruction set. */
bool ebb_blas_is_faster(bool f64, const char *isa, int64_t m, int64_t n, int64_t k);

/* C = op(A)*op(B) + beta*C as in ebb_kernels.gemm, by fixed pieces of rows, each on one thread. */
void ebb_blas_gemm(bool f64, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,
	int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

#endif
