/*
 * norms.h - normalisation and dropout.
 */
#ifndef EBB_OPS_NORMS_H
#define EBB_OPS_NORMS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Normalisation (batchnorm.c, layernorm.c, groupnorm.c, lrn.c, reduce.c) ------------------ */

/* y = (x - m)/sqrt(v + eps)*weight + bias per channel (axis 1) of x [N,C] or [N,C,..]; weight,
 * bias [C] or NULL; eps defaults to 1e-5, momentum to 0.1.  Ioffe & Szegedy 2015.
 * While the tape trains, or if no running statistics are given, m and v are the batch's mean and
 * biased variance.  Otherwise they are the running statistics.  While the tape trains, the running
 * tensors (persistent, [C]) are updated in place: running = (1 - momentum)*running + momentum*(m or
 * the unbiased v).
 * x - m is computed before it is scaled, so for constant x, however large, y is bias; x - m must be
 * finite.  If v overflows the type, the running variance becomes and stays infinite, and evaluation
 * gives y = bias.  In F32 |x - m| must be below 1e37, so that weight/sqrt(v) is not flushed to 0.
 * The sums of gy*(x - m) over 32 rows must neither overflow nor underflow the type.
 * .inplace releases x (ebb_release), and y overwrites x's memory if nothing else needs x's value,
 * for example while the tape does not record. */
typedef struct ebb_batchnorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias, *running_mean, *running_var;
	double momentum, eps;
	bool inplace;
	const char *site;
} ebb_batchnorm_args;
EBB_API ebb_tensor *ebb_batchnorm(const ebb_batchnorm_args *a);
#define ebb_batchnorm(...) EBB_CALL_ARGS(ebb_batchnorm, ebb_batchnorm_args, __VA_ARGS__)
/* y = max(batchnorm(x) + residual, 0), computed in one pass over x after the statistics, and with a
 * fused gradient, for residual networks (He et al. 2016).  residual has x's shape, or is NULL.  The
 * other arguments are those of ebb_batchnorm; derivative 0 where y is 0. */
typedef struct ebb_batchnorm_relu_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias, *running_mean, *running_var;
	ebb_tensor *residual;
	double momentum, eps;
	bool inplace;
	const char *site;
} ebb_batchnorm_relu_args;
EBB_API ebb_tensor *ebb_batchnorm_relu(const ebb_batchnorm_relu_args *a);
#define ebb_batchnorm_relu(...)                                                                    \
	EBB_CALL_ARGS(ebb_batchnorm_relu, ebb_batchnorm_relu_args, __VA_ARGS__)

/* y = (x - m)/sqrt(v + eps)*weight + bias with m and v (biased) over the last .axes axes; weight
 * and bias have the shape of these axes, or are NULL.  .axes defaults to weight's number of
 * axes, or 1 without weight; eps defaults to 1e-5.  Ba et al. 2016 */
typedef struct ebb_layernorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias;
	int axes;
	double eps;
	const char *site;
} ebb_layernorm_args;
EBB_API ebb_tensor *ebb_layernorm(const ebb_layernorm_args *a);
#define ebb_layernorm(...) EBB_CALL_ARGS(ebb_layernorm, ebb_layernorm_args, __VA_ARGS__)
/* y = x/sqrt(mean x^2 + eps)*weight with the mean over the last .axes axes; weight and .axes are
 * those of ebb_layernorm; eps defaults to the type's machine epsilon.  Zhang & Sennrich 2019 */
typedef struct ebb_rmsnorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight;
	int axes;
	double eps;
	const char *site;
} ebb_rmsnorm_args;
EBB_API ebb_tensor *ebb_rmsnorm(const ebb_rmsnorm_args *a);
#define ebb_rmsnorm(...) EBB_CALL_ARGS(ebb_rmsnorm, ebb_rmsnorm_args, __VA_ARGS__)
/* y = (x - m)/sqrt(v + eps)*weight + bias for x [N,C,..], with m and v (biased) of each sample over
 * C/groups channels and all positions; weight, bias [C] or NULL; eps defaults to 1e-5.  Wu & He
 * 2018.  ebb_instancenorm is ebb_groupnorm with groups = C (Ulyanov et al. 2016). */
typedef struct ebb_groupnorm_args {
	ebb_tape *t;
	ebb_tensor *x;
	int64_t groups;
	ebb_tensor *weight, *bias;
	double eps;
	const char *site;
} ebb_groupnorm_args;
EBB_API ebb_tensor *ebb_groupnorm(const ebb_groupnorm_args *a);
#define ebb_groupnorm(...) EBB_CALL_ARGS(ebb_groupnorm, ebb_groupnorm_args, __VA_ARGS__)
typedef struct ebb_instancenorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias;
	double eps;
	const char *site;
} ebb_instancenorm_args;
EBB_API ebb_tensor *ebb_instancenorm(const ebb_instancenorm_args *a);
#define ebb_instancenorm(...) EBB_CALL_ARGS(ebb_instancenorm, ebb_instancenorm_args, __VA_ARGS__)
/* y[n,c] = x[n,c]/(k + alpha/size*sum of x[n,j]^2)^beta, summed over the channels j = c - size/2
 * .. c + (size-1)/2 that exist; x [N,C,..] of 2 to 5 axes; NaN where the base is negative and
 * beta is not an integer.  size is required; alpha defaults to 1e-4, beta to 0.75, k to 1.
 * Krizhevsky et al. 2012 */
typedef struct ebb_local_response_norm_args {
	ebb_tape *t;
	ebb_tensor *x;
	int size;
	double alpha, beta, k;
	const char *site;
} ebb_local_response_norm_args;
EBB_API ebb_tensor *ebb_local_response_norm(const ebb_local_response_norm_args *a);
#define ebb_local_response_norm(...)                                                               \
	EBB_CALL_ARGS(ebb_local_response_norm, ebb_local_response_norm_args, __VA_ARGS__)
/* y = x/max(|x|_p, eps) with the p-norm along an axis.  p defaults to 2, .axis to 1 (EBB_AXES(0)
 * names another), eps to 1e-12.  An eps > 0 below the smallest normal number of x's type is
 * replaced by this number.  With .eps = EBB_ZERO, x = 0 gives NaN. */
typedef struct ebb_normalize_args {
	ebb_tape *t;
	ebb_tensor *x;
	double p;
	ebb_axes axis;
	double eps;
	const char *site;
} ebb_normalize_args;
EBB_API ebb_tensor *ebb_normalize(const ebb_normalize_args *a);
#define ebb_normalize(...) EBB_CALL_ARGS(ebb_normalize, ebb_normalize_args, __VA_ARGS__)

/* ---- Dropout (dropout.c) --------------------------------------------------------------------- */

/* While the tape trains, each element is 0 with probability p, else x/(1-p); in evaluation y = x.
 * 0 <= p < 1.  Srivastava et al. 2014 */
EBB_API ebb_tensor *ebb_dropout(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_dropout(...) EBB_CALL(ebb_dropout, __VA_ARGS__)
/* Dropout of whole channels of x [N,C,..] (Tompson et al. 2015).  ebb_drop_path drops whole samples
 * of x [N,..] (stochastic depth, Huang et al. 2016). */
EBB_API ebb_tensor *ebb_dropout2d(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_dropout2d(...) EBB_CALL(ebb_dropout2d, __VA_ARGS__)
EBB_API ebb_tensor *ebb_drop_path(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_drop_path(...) EBB_CALL(ebb_drop_path, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
