/*
 * norms.h - normalisation and dropout.
 */
#ifndef EBB_OPS_NORMS_H
#define EBB_OPS_NORMS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Normalisation (batchnorm.c, layernorm.c, groupnorm.c, norm.c) --------------------------- */

/* y = (x - m)/sqrt(v + eps)*weight + bias per channel (axis 1) of x [N,C] or [N,C,..]; weight,
 * bias [C] or NULL (Ioffe & Szegedy 2015). Training, or without running statistics: m and v
 * (biased) of the batch; running = (1 - momentum)*running + momentum*(m, unbiased v) is updated
 * in place if the running tensors (stored, [C]) are given and the tape trains.  Evaluation: the
 * running statistics.  eps defaults to 1e-5, momentum to 0.1.  x - m is taken before it is scaled,
 * so that a constant of any size becomes the bias; it must be finite.  v may be beyond the type's
 * range: the running variance is then infinite for good, and evaluation gives the bias.  weight/sqrt(v)
 * must not be flushed (x - m below 1e37 in F32), and the fused gradient needs sums of gy*(x - m) over 32
 * rows in the type's range, and not below it.
 * inplace: x is released (ebb_release), and y lies where x lay if nobody else needs its value, as
 * without recording. */
typedef struct ebb_batchnorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias, *running_mean, *running_var;
	double momentum, eps;
	bool inplace;
	const char *site;
} ebb_batchnorm_args;
EBB_API ebb_tensor *ebb_batchnorm(const ebb_batchnorm_args *a);
#define ebb_batchnorm(...) EBB_CALL_ARGS(ebb_batchnorm, ebb_batchnorm_args, __VA_ARGS__)
/* y = max(batchnorm(x) + residual, 0), in one pass after the statistics, with one gradient: where
 * residual networks join (He et al. 2016).  residual has x's shape, or is NULL.  The rest is as for
 * batchnorm; derivative 0 where y is 0. */
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

/* y = (x - m)/sqrt(v + eps)*weight + bias, m and v (biased) over the last .axes axes; weight, bias
 * of those axes' shape or NULL.  .axes defaults to weight's number of axes, else 1; eps to 1e-5.
 * Ba et al. 2016 */
typedef struct ebb_layernorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias;
	int axes;
	double eps;
	const char *site;
} ebb_layernorm_args;
EBB_API ebb_tensor *ebb_layernorm(const ebb_layernorm_args *a);
#define ebb_layernorm(...) EBB_CALL_ARGS(ebb_layernorm, ebb_layernorm_args, __VA_ARGS__)
/* y = x/sqrt(mean x^2 + eps)*weight over the last .axes axes, as for layernorm; eps defaults to
 * the type's machine epsilon.  Zhang & Sennrich 2019 */
typedef struct ebb_rmsnorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight;
	int axes;
	double eps;
	const char *site;
} ebb_rmsnorm_args;
EBB_API ebb_tensor *ebb_rmsnorm(const ebb_rmsnorm_args *a);
#define ebb_rmsnorm(...) EBB_CALL_ARGS(ebb_rmsnorm, ebb_rmsnorm_args, __VA_ARGS__)
/* As layernorm, with m and v of one sample over C/groups channels and all positions of x
 * [N,C,..]; weight, bias [C] or NULL; eps defaults to 1e-5.  Wu & He 2018.  groups = C, one
 * channel each: instance normalisation (Ulyanov et al. 2016). */
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
/* y[n,c] = x[n,c]/(k + alpha/size*sum of x[n,j]^2)^beta over size channels, j = c - size/2 .. c +
 * (size-1)/2, those that exist; x [N,C,..] of 2 to 5 axes; NaN where a negative number is
 * raised to a beta that is not whole.  size must be given; alpha defaults to 1e-4, beta to 0.75, k
 * to 1.  Krizhevsky et al. 2012 */
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
/* x/max(|x|_p, eps) along an axis; p defaults to 2, the axis to 1 (.axis = EBB_AXES(0) for
 * another), eps to 1e-12.  An eps below the type's smallest normal number counts as that number;
 * EBB_ZERO stays 0, with which zeros give NaN. */
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

/* ---- Dropout (dropout.c) ----------------------------------------------------------------------- */

/* Training: 0 with probability p, else x/(1-p); evaluation: x (Srivastava et al. 2014).  0 <= p
 * < 1. */
EBB_API ebb_tensor *ebb_dropout(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_dropout(...) EBB_CALL(ebb_dropout, __VA_ARGS__)
/* The same for whole channels of x [N,C,..] (Tompson et al. 2015) and whole samples of x [N,..]
 * (stochastic depth: Huang et al. 2016). */
EBB_API ebb_tensor *ebb_dropout2d(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_dropout2d(...) EBB_CALL(ebb_dropout2d, __VA_ARGS__)
EBB_API ebb_tensor *ebb_drop_path(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_drop_path(...) EBB_CALL(ebb_drop_path, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
