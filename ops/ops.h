/*
 * ops.h - the differentiable operations.
 *
 * Shapes are NCHW in reading order.  Every op returns a new tensor on the tape, or NULL with
 * the error on the tape: a NULL or foreign tensor, types that differ, shapes that do not fit,
 * axes out of range.  Every op is differentiable to any order unless said otherwise;
 * piecewise-constant derivatives are zero.  Broadcasting is NumPy's: axes are aligned from the
 * last, and size 1 (or a missing axis) stretches.  Semantics and defaults are PyTorch's.
 */
#ifndef EBB_OPS_H
#define EBB_OPS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Making tensors (create.c): constants, without a gradient -------------------------------- */

/* [] of the default dtype */
EBB_API ebb_tensor *ebb_scalar(ebb_tape *t, double value, const char *site);
/* value in every element, of the default dtype */
EBB_API ebb_tensor *ebb_full(ebb_tape *t, ebb_shape shape, double value, const char *site);
/* 0 in every element */
EBB_API ebb_tensor *ebb_zeros(ebb_tape *t, ebb_shape shape, const char *site);
/* 1 in every element */
EBB_API ebb_tensor *ebb_ones(ebb_tape *t, ebb_shape shape, const char *site);
/* x's type and order */
EBB_API ebb_tensor *ebb_zeros_like(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_ones_like(ebb_tape *t, ebb_tensor *x, const char *site);
/* Copies of C arrays in reading order: doubles and floats become the default dtype, int64_t
 * I64, uint8_t U8. */
EBB_API ebb_tensor *ebb_from_f64(
	ebb_tape *t, ebb_shape shape, const double *values, const char *site);
EBB_API ebb_tensor *ebb_from_f32(
	ebb_tape *t, ebb_shape shape, const float *values, const char *site);
EBB_API ebb_tensor *ebb_from_i64(
	ebb_tape *t, ebb_shape shape, const int64_t *values, const char *site);
EBB_API ebb_tensor *ebb_from_u8(
	ebb_tape *t, ebb_shape shape, const uint8_t *values, const char *site);
EBB_API ebb_tensor *ebb_arange(ebb_tape *t, int64_t n, const char *site); /* 0, 1, ..., n-1, I64 */
/* uniform in [0,1) */
EBB_API ebb_tensor *ebb_rand(ebb_tape *t, ebb_shape shape, const char *site);
/* normal, mean 0, deviation 1 */
EBB_API ebb_tensor *ebb_randn(ebb_tape *t, ebb_shape shape, const char *site);
/* Any dtype to F32 or F64, in x's memory order.  Differentiable between F32 and F64. */
EBB_API ebb_tensor *ebb_cast(ebb_tape *t, ebb_tensor *x, ebb_dtype dtype, const char *site);

/* ---- Elementwise functions (unary.c) --------------------------------------------------------- */

EBB_API ebb_tensor *ebb_neg(ebb_tape *t, ebb_tensor *x, const char *site); /* -x */
/* |x|; derivative 0 at 0 */
EBB_API ebb_tensor *ebb_abs(ebb_tape *t, ebb_tensor *x, const char *site);
/* -1, 0 or 1; derivative 0 */
EBB_API ebb_tensor *ebb_sign(ebb_tape *t, ebb_tensor *x, const char *site);
/* e^x */
EBB_API ebb_tensor *ebb_exp(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_log(ebb_tape *t, ebb_tensor *x, const char *site); /* natural */
/* x^(1/2); NaN below 0 */
EBB_API ebb_tensor *ebb_sqrt(ebb_tape *t, ebb_tensor *x, const char *site);
/* x^2 */
EBB_API ebb_tensor *ebb_square(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_reciprocal(ebb_tape *t, ebb_tensor *x, const char *site); /* 1/x */
/* sin x, in radians */
EBB_API ebb_tensor *ebb_sin(ebb_tape *t, ebb_tensor *x, const char *site);
/* cos x, in radians */
EBB_API ebb_tensor *ebb_cos(ebb_tape *t, ebb_tensor *x, const char *site);
/* (e^x - e^-x)/(e^x + e^-x) */
EBB_API ebb_tensor *ebb_tanh(ebb_tape *t, ebb_tensor *x, const char *site);
/* 2/sqrt(pi) * integral of exp(-u^2) from 0 to x */
EBB_API ebb_tensor *ebb_erf(ebb_tape *t, ebb_tensor *x, const char *site);
/* 1/(1+exp(-x)) */
EBB_API ebb_tensor *ebb_sigmoid(ebb_tape *t, ebb_tensor *x, const char *site);
/* log(1+exp(x)) */
EBB_API ebb_tensor *ebb_softplus(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_silu(ebb_tape *t, ebb_tensor *x, const char *site); /* x*sigmoid(x) */
/* max(x,0); derivative 0 at 0 */
EBB_API ebb_tensor *ebb_relu(ebb_tape *t, ebb_tensor *x, const char *site);
/* x > 0 ? x : slope*x */
EBB_API ebb_tensor *ebb_leaky_relu(ebb_tape *t, ebb_tensor *x, double slope, const char *site);
/* x > 0 ? x : alpha*(exp(x)-1); Clevert et al. 2016 */
EBB_API ebb_tensor *ebb_elu(ebb_tape *t, ebb_tensor *x, double alpha, const char *site);
/* x*Phi(x), Phi the normal distribution function; .tanh: its tanh approximation (Hendrycks &
 * Gimpel 2016) */
typedef struct ebb_gelu_args {
	ebb_tape *t;
	ebb_tensor *x;
	bool tanh;
	const char *site;
} ebb_gelu_args;
EBB_API ebb_tensor *ebb_gelu(const ebb_gelu_args *a);
/* min(max(x,lo),hi), lo <= hi; derivative 1 where lo <= x <= hi, else 0 */
EBB_API ebb_tensor *ebb_clamp(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site);
/* x + s */
EBB_API ebb_tensor *ebb_add_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
/* x * s */
EBB_API ebb_tensor *ebb_mul_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
/* x^p; the gradient of x^0 is 0 */
EBB_API ebb_tensor *ebb_pow_scalar(ebb_tape *t, ebb_tensor *x, double p, const char *site);

/* ---- Two operands, with broadcasting (binary.c) ---------------------------------------------- */

/* a + b */
EBB_API ebb_tensor *ebb_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* a - b */
EBB_API ebb_tensor *ebb_sub(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* a*b */
EBB_API ebb_tensor *ebb_mul(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* a/b */
EBB_API ebb_tensor *ebb_div(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_pow(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site); /* a^b */
/* equal operands share the gradient */
EBB_API ebb_tensor *ebb_maximum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* min(a,b); NaN of either wins; equal operands share the gradient */
EBB_API ebb_tensor *ebb_minimum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* cond != 0 ? a : b; cond is U8 or I64, all three broadcast */
EBB_API ebb_tensor *ebb_where(
	ebb_tape *t, ebb_tensor *cond, ebb_tensor *a, ebb_tensor *b, const char *site);

/* ---- Reductions (reduce.c): over .axes (default all), kept as size 1 with .keepdim ----------- */

typedef struct ebb_reduce_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool keepdim;
	const char *site;
} ebb_reduce_args;
EBB_API ebb_tensor *ebb_sum(const ebb_reduce_args *a);  /* of nothing: 0 */
EBB_API ebb_tensor *ebb_mean(const ebb_reduce_args *a); /* of nothing: NaN */
/* log(sum exp(x)), shifted by the maximum */
EBB_API ebb_tensor *ebb_logsumexp(const ebb_reduce_args *a);

/* The extreme; the gradient goes to the first of equal elements.  .index (one axis only)
 * receives where, as I64. Of nothing: an error. */
typedef struct ebb_extreme_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool keepdim;
	ebb_tensor **index;
	const char *site;
} ebb_extreme_args;
EBB_API ebb_tensor *ebb_max(const ebb_extreme_args *a);
EBB_API ebb_tensor *ebb_min(const ebb_extreme_args *a);

/* sum (x - mean)^2 / (n - correction); correction defaults to 1 (EBB_ZERO: the population's) */
typedef struct ebb_var_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	double correction;
	bool keepdim;
	const char *site;
} ebb_var_args;
EBB_API ebb_tensor *ebb_var(const ebb_var_args *a);

/* (sum |x|^p)^(1/p), p > 0, default 2; the derivative at x = 0 is 0 */
typedef struct ebb_norm_args {
	ebb_tape *t;
	ebb_tensor *x;
	double p;
	ebb_axes axes;
	bool keepdim;
	const char *site;
} ebb_norm_args;
EBB_API ebb_tensor *ebb_norm(const ebb_norm_args *a);

/* x summed down to a shape that broadcasts to x's: what the gradient of broadcasting does */
EBB_API ebb_tensor *ebb_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);

/* ---- Shapes (shape.c): views where memory allows --------------------------------------------- */

/* one size may be -1 */
EBB_API ebb_tensor *ebb_reshape(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
/* [N,...] to [N, rest], reading order */
EBB_API ebb_tensor *ebb_flatten(ebb_tape *t, ebb_tensor *x, const char *site);
/* y's axis i is x's axis axes[i] */
EBB_API ebb_tensor *ebb_permute(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site);
EBB_API ebb_tensor *ebb_transpose(
	ebb_tape *t, ebb_tensor *x, int axis_a, int axis_b, const char *site);
/* by broadcasting; -1 keeps a size */
EBB_API ebb_tensor *ebb_expand(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
/* a new axis of size 1 */
EBB_API ebb_tensor *ebb_unsqueeze(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
/* drops an axis of size 1 */
EBB_API ebb_tensor *ebb_squeeze(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define EBB_END INT64_MAX
/* x[start:stop:step] along an axis, as Python's: negative positions count from the end, ends
 * are clipped; step >= 1 */
EBB_API ebb_tensor *ebb_slice(ebb_tape *t, ebb_tensor *x, int axis, int64_t start, int64_t stop,
	int64_t step, const char *site);
/* x copied into one dense block of that order, if it is not one already */
EBB_API ebb_tensor *ebb_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);

/* ---- Joining, padding, indexing (join.c, index.c) -------------------------------------------- */

/* along an axis that exists */
EBB_API ebb_tensor *ebb_concat(
	ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
/* along a new axis */
EBB_API ebb_tensor *ebb_stack(ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
/* Padding per axis, last axis first, before and after: EBB_PADS(left, right, top, bottom).
 * Negative constant pads crop. */
typedef struct ebb_pads {
	int n;
	int64_t pad[2 * EBB_MAX_DIMS];
} ebb_pads;
#define EBB_PADS(...) ((ebb_pads){EBB_COUNT_ARGS(__VA_ARGS__), {__VA_ARGS__}})
typedef enum ebb_pad_mode { EBB_PAD_CONSTANT, EBB_PAD_REFLECT, EBB_PAD_REPLICATE } ebb_pad_mode;
typedef struct ebb_pad_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_pads pads;
	ebb_pad_mode mode;
	double value;
	const char *site;
} ebb_pad_args;
EBB_API ebb_tensor *ebb_pad(const ebb_pad_args *a);
/* y[..,k,..] = x[..,index[k],..] along axis; index [K], I64, 0 <= index < size */
EBB_API ebb_tensor *ebb_index_select(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site);
/* y[i,k,j] = x[i,index[i,k,j],j] along axis; index has x's axes, its other sizes at most x's */
EBB_API ebb_tensor *ebb_gather(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site);

/* ---- Products (matmul.c) --------------------------------------------------------------------- */

/* a [..,M,K] x b [..,K,N] -> [..,M,N], leading axes broadcast; a or b may be a vector [K],
 * whose axis then vanishes */
EBB_API ebb_tensor *ebb_matmul(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* x [..,I] -> x w^T + b [..,O]; w [O,I], b [O] or NULL */
typedef struct ebb_linear_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	const char *site;
} ebb_linear_args;
/* Called ebb_linear(t, x, w, b) in C; ebb_linear alone is the layer's type (nn.h). */
EBB_API ebb_tensor *ebb_linear_op(const ebb_linear_args *a);

/* ---- Convolution and pooling (conv.c, pool.c) ------------------------------------------------ */

/* .pad = EBB_SAME: output ceil(H/stride), the odd pixel of padding below and to the right. */
#define EBB_SAME (-1)
/* y[n,o,i,j] = b[o] + sum w[o,c,u,v]*x[n,c,i*s+u*d-p,j*s+v*d-p].  x [N,C,H,W], w
 * [O,C/groups,Kh,Kw], b [O] or NULL. stride and dilation default to 1, groups to 1, pad to 0.
 * The _hw pairs and pad_tblr (top, bottom, left, right) take precedence over the single number
 * where any of them is not 0. */
typedef struct ebb_conv2d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	int stride, pad, dilation, groups;
	int stride_hw[2], pad_hw[2], dilation_hw[2];
	int pad_tblr[4];
	const char *site;
} ebb_conv2d_args;
EBB_API ebb_tensor *ebb_conv2d(const ebb_conv2d_args *a);

/* x [N,C,H,W] -> [N,C,Oh,Ow]; Oh = floor((H + 2 pad - dilation*(kernel-1) - 1)/stride) + 1, or
 * ceil with .ceil_mode (a last window that starts beyond the image and its left padding is left
 * out).  stride defaults to kernel; pad <= kernel/2. maxpool2d: the gradient goes to the first
 * of equal elements. avgpool2d: padding counts as zeros in the divisor unless .exclude_pad; no
 * dilation. */
typedef struct ebb_pool2d_args {
	ebb_tape *t;
	ebb_tensor *x;
	int kernel, stride, pad, dilation;
	int kernel_hw[2], stride_hw[2], pad_hw[2], dilation_hw[2];
	bool ceil_mode, exclude_pad;
	const char *site;
} ebb_pool2d_args;
EBB_API ebb_tensor *ebb_maxpool2d(const ebb_pool2d_args *a);
EBB_API ebb_tensor *ebb_avgpool2d(const ebb_pool2d_args *a);
/* The mean over windows floor(i*H/Oh) .. ceil((i+1)*H/Oh) - 1; .size (or size_hw) is Oh = Ow,
 * default 1 */
typedef struct ebb_adaptive_args {
	ebb_tape *t;
	ebb_tensor *x;
	int size;
	int size_hw[2];
	const char *site;
} ebb_adaptive_args;
EBB_API ebb_tensor *ebb_adaptive_avgpool2d(const ebb_adaptive_args *a);

/* ---- Normalisation, softmax, losses (norm.c, softmax.c, loss.c) ------------------------------ */

/* y = (x - m)/sqrt(v + eps)*weight + bias per channel (axis 1) of x [N,C] or [N,C,..]; weight,
 * bias [C] or NULL (Ioffe & Szegedy 2015). Training, or without running statistics: m and v
 * (biased) of the batch; running = (1 - momentum)*running + momentum*(m, unbiased v) is updated
 * in place if the running tensors (stored, [C]) are given and the tape trains.  Evaluation: the
 * running statistics.  eps defaults to 1e-5, momentum to 0.1. */
typedef struct ebb_batchnorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias, *running_mean, *running_var;
	double momentum, eps;
	const char *site;
} ebb_batchnorm_args;
EBB_API ebb_tensor *ebb_batchnorm(const ebb_batchnorm_args *a);

/* exp(x)/sum exp(x) */
EBB_API ebb_tensor *ebb_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
/* x - logsumexp(x) */
EBB_API ebb_tensor *ebb_log_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);

typedef enum ebb_reduction { EBB_MEAN, EBB_SUM_ALL, EBB_NONE } ebb_reduction;

/* -log softmax(x)[label] of x [N,C] or [N,C,..]; target: I64 labels [N,..], or soft targets of
 * x's shape and type. .weight [C] weighs classes (the mean divides by the weights' sum),
 * .label_smoothing e mixes in e/C of every class, .ignore_index (default -100; EBB_ZERO for
 * class 0) leaves labels out. */
typedef struct ebb_cross_entropy_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_tensor *weight;
	double label_smoothing;
	double ignore_index;
	ebb_reduction reduction;
	const char *site;
} ebb_cross_entropy_args;
EBB_API ebb_tensor *ebb_cross_entropy(const ebb_cross_entropy_args *a);

typedef struct ebb_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_reduction reduction;
	const char *site;
} ebb_loss_args;
EBB_API ebb_tensor *ebb_mse_loss(const ebb_loss_args *a); /* (x - target)^2; same shape */
/* softplus(x) - x*target; same shape */
EBB_API ebb_tensor *ebb_bce_with_logits(const ebb_loss_args *a);

/* Training: 0 with probability p, else x/(1-p); evaluation: x (Srivastava et al. 2014).  0 <= p
 * < 1. */
EBB_API ebb_tensor *ebb_dropout(ebb_tape *t, ebb_tensor *x, double p, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------- */

#ifndef __cplusplus
#define ebb_scalar(...) ebb_scalar(__VA_ARGS__, EBB_SITE)
#define ebb_full(...) ebb_full(__VA_ARGS__, EBB_SITE)
#define ebb_zeros(...) ebb_zeros(__VA_ARGS__, EBB_SITE)
#define ebb_ones(...) ebb_ones(__VA_ARGS__, EBB_SITE)
#define ebb_zeros_like(...) ebb_zeros_like(__VA_ARGS__, EBB_SITE)
#define ebb_ones_like(...) ebb_ones_like(__VA_ARGS__, EBB_SITE)
#define ebb_from_f64(...) ebb_from_f64(__VA_ARGS__, EBB_SITE)
#define ebb_from_f32(...) ebb_from_f32(__VA_ARGS__, EBB_SITE)
#define ebb_from_i64(...) ebb_from_i64(__VA_ARGS__, EBB_SITE)
#define ebb_from_u8(...) ebb_from_u8(__VA_ARGS__, EBB_SITE)
#define ebb_arange(...) ebb_arange(__VA_ARGS__, EBB_SITE)
#define ebb_rand(...) ebb_rand(__VA_ARGS__, EBB_SITE)
#define ebb_randn(...) ebb_randn(__VA_ARGS__, EBB_SITE)
#define ebb_cast(...) ebb_cast(__VA_ARGS__, EBB_SITE)
#define ebb_neg(...) ebb_neg(__VA_ARGS__, EBB_SITE)
#define ebb_abs(...) ebb_abs(__VA_ARGS__, EBB_SITE)
#define ebb_sign(...) ebb_sign(__VA_ARGS__, EBB_SITE)
#define ebb_exp(...) ebb_exp(__VA_ARGS__, EBB_SITE)
#define ebb_log(...) ebb_log(__VA_ARGS__, EBB_SITE)
#define ebb_sqrt(...) ebb_sqrt(__VA_ARGS__, EBB_SITE)
#define ebb_square(...) ebb_square(__VA_ARGS__, EBB_SITE)
#define ebb_reciprocal(...) ebb_reciprocal(__VA_ARGS__, EBB_SITE)
#define ebb_sin(...) ebb_sin(__VA_ARGS__, EBB_SITE)
#define ebb_cos(...) ebb_cos(__VA_ARGS__, EBB_SITE)
#define ebb_tanh(...) ebb_tanh(__VA_ARGS__, EBB_SITE)
#define ebb_erf(...) ebb_erf(__VA_ARGS__, EBB_SITE)
#define ebb_sigmoid(...) ebb_sigmoid(__VA_ARGS__, EBB_SITE)
#define ebb_softplus(...) ebb_softplus(__VA_ARGS__, EBB_SITE)
#define ebb_silu(...) ebb_silu(__VA_ARGS__, EBB_SITE)
#define ebb_relu(...) ebb_relu(__VA_ARGS__, EBB_SITE)
#define ebb_leaky_relu(...) ebb_leaky_relu(__VA_ARGS__, EBB_SITE)
#define ebb_elu(...) ebb_elu(__VA_ARGS__, EBB_SITE)
#define ebb_clamp(...) ebb_clamp(__VA_ARGS__, EBB_SITE)
#define ebb_add_scalar(...) ebb_add_scalar(__VA_ARGS__, EBB_SITE)
#define ebb_mul_scalar(...) ebb_mul_scalar(__VA_ARGS__, EBB_SITE)
#define ebb_pow_scalar(...) ebb_pow_scalar(__VA_ARGS__, EBB_SITE)
#define ebb_add(...) ebb_add(__VA_ARGS__, EBB_SITE)
#define ebb_sub(...) ebb_sub(__VA_ARGS__, EBB_SITE)
#define ebb_mul(...) ebb_mul(__VA_ARGS__, EBB_SITE)
#define ebb_div(...) ebb_div(__VA_ARGS__, EBB_SITE)
#define ebb_pow(...) ebb_pow(__VA_ARGS__, EBB_SITE)
#define ebb_maximum(...) ebb_maximum(__VA_ARGS__, EBB_SITE)
#define ebb_minimum(...) ebb_minimum(__VA_ARGS__, EBB_SITE)
#define ebb_where(...) ebb_where(__VA_ARGS__, EBB_SITE)
#define ebb_sum_to(...) ebb_sum_to(__VA_ARGS__, EBB_SITE)
#define ebb_reshape(...) ebb_reshape(__VA_ARGS__, EBB_SITE)
#define ebb_flatten(...) ebb_flatten(__VA_ARGS__, EBB_SITE)
#define ebb_permute(...) ebb_permute(__VA_ARGS__, EBB_SITE)
#define ebb_transpose(...) ebb_transpose(__VA_ARGS__, EBB_SITE)
#define ebb_expand(...) ebb_expand(__VA_ARGS__, EBB_SITE)
#define ebb_unsqueeze(...) ebb_unsqueeze(__VA_ARGS__, EBB_SITE)
#define ebb_squeeze(...) ebb_squeeze(__VA_ARGS__, EBB_SITE)
#define ebb_slice(...) ebb_slice(__VA_ARGS__, EBB_SITE)
#define ebb_dense(...) ebb_dense(__VA_ARGS__, EBB_SITE)
#define ebb_concat(...) ebb_concat(__VA_ARGS__, EBB_SITE)
#define ebb_stack(...) ebb_stack(__VA_ARGS__, EBB_SITE)
#define ebb_index_select(...) ebb_index_select(__VA_ARGS__, EBB_SITE)
#define ebb_gather(...) ebb_gather(__VA_ARGS__, EBB_SITE)
#define ebb_matmul(...) ebb_matmul(__VA_ARGS__, EBB_SITE)
#define ebb_softmax(...) ebb_softmax(__VA_ARGS__, EBB_SITE)
#define ebb_log_softmax(...) ebb_log_softmax(__VA_ARGS__, EBB_SITE)
#define ebb_dropout(...) ebb_dropout(__VA_ARGS__, EBB_SITE)
#define ebb_gelu(...) ebb_gelu(&(ebb_gelu_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_sum(...) ebb_sum(&(ebb_reduce_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_mean(...) ebb_mean(&(ebb_reduce_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_logsumexp(...) ebb_logsumexp(&(ebb_reduce_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_max(...) ebb_max(&(ebb_extreme_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_min(...) ebb_min(&(ebb_extreme_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_var(...) ebb_var(&(ebb_var_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_norm(...) ebb_norm(&(ebb_norm_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_pad(...) ebb_pad(&(ebb_pad_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_linear(...) ebb_linear_op(&(ebb_linear_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_conv2d(...) ebb_conv2d(&(ebb_conv2d_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_maxpool2d(...) ebb_maxpool2d(&(ebb_pool2d_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_avgpool2d(...) ebb_avgpool2d(&(ebb_pool2d_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_adaptive_avgpool2d(...)                                                                \
	ebb_adaptive_avgpool2d(&(ebb_adaptive_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_batchnorm(...) ebb_batchnorm(&(ebb_batchnorm_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_cross_entropy(...)                                                                     \
	ebb_cross_entropy(&(ebb_cross_entropy_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_mse_loss(...) ebb_mse_loss(&(ebb_loss_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_bce_with_logits(...)                                                                   \
	ebb_bce_with_logits(&(ebb_loss_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
