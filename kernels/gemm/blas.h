/*
 * blas.h - large matrix products by OpenBLAS, where it is faster, and singular values.
 *
 * ebb_blas_is_faster is the only place that chooses.  Measured: with AVX2 the kernel of gemm.c is a
 * tenth faster than OpenBLAS 0.3.21, and as fast for matrices of more than 2,000 rows.  With AVX-512
 * it is as fast up to a few hundred rows, and on Intel up to a seventh slower beyond; on AMD's Zen 4
 * it is 5 to 25 % faster in F32, and as fast in F64.  OpenBLAS 0.3.21 treats processors that it does
 * not know as ones without AVX, at a fifth of their speed.  So the name of its core is checked first.
 */
#ifndef EBB_KERNELS_GEMM_BLAS_H
#define EBB_KERNELS_GEMM_BLAS_H

#include "kernels/kernels.h"

/* Whether OpenBLAS computes C [m,n] = A [m,k] * B [k,n] faster than the kernels of that
 * instruction set. */
bool ebb_blas_is_faster(bool f64, const char *isa, int64_t m, int64_t n, int64_t k);

/* C = op(A)*op(B) + beta*C as in ebb_kernels.gemm, split into tasks of whole rows by the shape
 * alone, each on one thread. */
void ebb_blas_gemm(bool f64, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,
	int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

/* The singular values of the column-major matrix a [rows, columns], in descending order: s has
 * min(rows, columns) elements, work has EBB_SVD_WORK(rows, columns).  Overwrites a, which has
 * finite elements.  On one thread.  False if there is no LAPACK, which is a part of OpenBLAS, or
 * its iteration did not converge. */
#define EBB_SVD_WORK(rows, columns) (64 * ((size_t)(rows) + (size_t)(columns)))
bool ebb_blas_singular_values(int rows, int columns, double *a, double *s, double *work);

#endif
