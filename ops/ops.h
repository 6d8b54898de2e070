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

/* At infinity values and derivatives are their limits, NaN where there is none. */

EBB_API ebb_tensor *ebb_neg(ebb_tape *t, ebb_tensor *x, const char *site); /* -x */
/* |x|; derivative 0 at 0 */
EBB_API ebb_tensor *ebb_abs(ebb_tape *t, ebb_tensor *x, const char *site);
/* -1, 0 or 1; derivative 0 */
EBB_API ebb_tensor *ebb_sign(ebb_tape *t, ebb_tensor *x, const char *site);
/* e^x */
EBB_API ebb_tensor *ebb_exp(ebb_tape *t, ebb_tensor *x, const char *site);
/* natural; NaN below 0, where the derivative is 1/x all the same */
EBB_API ebb_tensor *ebb_log(ebb_tape *t, ebb_tensor *x, const char *site);
/* e^x - 1, exact for small x */
EBB_API ebb_tensor *ebb_expm1(ebb_tape *t, ebb_tensor *x, const char *site);
/* log(1 + x), exact for small x */
EBB_API ebb_tensor *ebb_log1p(ebb_tape *t, ebb_tensor *x, const char *site);
/* x^(1/2); NaN below 0; -0 counts as 0 */
EBB_API ebb_tensor *ebb_sqrt(ebb_tape *t, ebb_tensor *x, const char *site);
/* x^(-1/2), likewise */
EBB_API ebb_tensor *ebb_rsqrt(ebb_tape *t, ebb_tensor *x, const char *site);
/* the largest whole number <= x; derivative 0 */
EBB_API ebb_tensor *ebb_floor(ebb_tape *t, ebb_tensor *x, const char *site);
/* x^2 */
EBB_API ebb_tensor *ebb_square(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_reciprocal(ebb_tape *t, ebb_tensor *x, const char *site); /* 1/x */
/* sin x, in radians */
EBB_API ebb_tensor *ebb_sin(ebb_tape *t, ebb_tensor *x, const char *site);
/* cos x, in radians */
EBB_API ebb_tensor *ebb_cos(ebb_tape *t, ebb_tensor *x, const char *site);
/* (e^x - e^-x)/(e^x + e^-x).  The gradient is made from y alone, as (1 - y)*(1 + y): in F32 it has lost
 * its digits from |x| = 9 on. */
EBB_API ebb_tensor *ebb_tanh(ebb_tape *t, ebb_tensor *x, const char *site);
/* 2/sqrt(pi) * integral of exp(-u^2) from 0 to x */
EBB_API ebb_tensor *ebb_erf(ebb_tape *t, ebb_tensor *x, const char *site);
/* 1/(1+exp(-x)).  The gradient is made from y alone, as y*(1 - y): in F32 it has lost its digits from
 * x = 16 on.  ebb_bce_with_logits, ebb_logsigmoid and ebb_softplus keep them. */
EBB_API ebb_tensor *ebb_sigmoid(ebb_tape *t, ebb_tensor *x, const char *site);
/* log(1+exp(x)) */
EBB_API ebb_tensor *ebb_softplus(ebb_tape *t, ebb_tensor *x, const char *site);
EBB_API ebb_tensor *ebb_silu(ebb_tape *t, ebb_tensor *x, const char *site); /* x*sigmoid(x) */
/* log sigmoid(x) = -softplus(-x) */
EBB_API ebb_tensor *ebb_logsigmoid(ebb_tape *t, ebb_tensor *x, const char *site);
/* x*tanh(softplus(x)); Misra 2019 */
EBB_API ebb_tensor *ebb_mish(ebb_tape *t, ebb_tensor *x, const char *site);
/* x*min(max(x+3,0),6)/6; derivative -1/2 at -3, 1 at 3; Howard et al. 2019 */
EBB_API ebb_tensor *ebb_hardswish(ebb_tape *t, ebb_tensor *x, const char *site);
/* x/(1+|x|) */
EBB_API ebb_tensor *ebb_softsign(ebb_tape *t, ebb_tensor *x, const char *site);
/* max(x,0); derivative 0 at 0 */
EBB_API ebb_tensor *ebb_relu(ebb_tape *t, ebb_tensor *x, const char *site);
/* min(max(x,0),6); derivative 0 at 0 and at 6 */
EBB_API ebb_tensor *ebb_relu6(ebb_tape *t, ebb_tensor *x, const char *site);
/* x > 0 ? x : slope*x */
EBB_API ebb_tensor *ebb_leaky_relu(ebb_tape *t, ebb_tensor *x, double slope, const char *site);
/* x > 0 ? x : alpha*(exp(x)-1); Clevert et al. 2016 */
EBB_API ebb_tensor *ebb_elu(ebb_tape *t, ebb_tensor *x, double alpha, const char *site);
/* s*(x > 0 ? x : a*(exp(x)-1)), s = 1.0507.., a = 1.6732..; Klambauer et al. 2017 */
EBB_API ebb_tensor *ebb_selu(ebb_tape *t, ebb_tensor *x, const char *site);
/* x > 0 ? x : weight*x; weight [C], one per channel (axis 1) of x [N,C,..], or [1]; He et al. 2015 */
EBB_API ebb_tensor *ebb_prelu(ebb_tape *t, ebb_tensor *x, ebb_tensor *weight, const char *site);
/* x*Phi(x), Phi the normal distribution function; .tanh: its tanh approximation (Hendrycks &
 * Gimpel 2016) */
typedef struct ebb_gelu_args {
	ebb_tape *t;
	ebb_tensor *x;
	bool tanh;
	const char *site;
} ebb_gelu_args;
EBB_API ebb_tensor *ebb_gelu(const ebb_gelu_args *a);
/* min(max(x,lo),hi), so hi everywhere if lo > hi; derivative 1 where lo <= x <= hi, else 0 */
EBB_API ebb_tensor *ebb_clamp(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site);
/* x + s */
EBB_API ebb_tensor *ebb_add_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
/* x * s */
EBB_API ebb_tensor *ebb_mul_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
/* x^p; NaN below 0 unless p is whole; the gradient of x^0 is 0 */
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
/* a^b; NaN for a below 0 unless b is whole.  Derivatives b*a^(b-1), 0 where b = 0, and a^b*log(a),
 * 0 where a^b = 0 and for 0^0 */
EBB_API ebb_tensor *ebb_pow(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* equal operands share the gradient */
EBB_API ebb_tensor *ebb_maximum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* min(a,b); NaN of either wins; equal operands share the gradient */
EBB_API ebb_tensor *ebb_minimum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
/* cond != 0 ? a : b; cond is U8 or I64, all three broadcast */
EBB_API ebb_tensor *ebb_where(
	ebb_tape *t, ebb_tensor *cond, ebb_tensor *a, ebb_tensor *b, const char *site);

/* Comparisons (compare.c): 1 where it holds, else 0, as U8, for real operands of one type, which
 * broadcast; with NaN only not_equal holds.  Not differentiable: an operand that requires a
 * gradient is an error (ebb_detach it). */
EBB_API ebb_tensor *ebb_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_not_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_less(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_less_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_greater(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
EBB_API ebb_tensor *ebb_greater_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);

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
/* log(sum exp(x)), shifted by the maximum.  Where it is -infinity its gradient is 0; where it is
 * infinity the elements that are share the gradient. */
EBB_API ebb_tensor *ebb_logsumexp(const ebb_reduce_args *a);

/* of nothing: 1; the gradient is exact where factors are 0 */
EBB_API ebb_tensor *ebb_prod(const ebb_reduce_args *a);

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
/* its square root, which is finite where the variance is beyond the type's range; derivative 0 at 0 */
EBB_API ebb_tensor *ebb_std(const ebb_var_args *a);

/* Where the extreme along an axis is (the first of equals; the first NaN wins), as I64 without
 * that axis.  Not differentiable: an x that requires a gradient is an error (ebb_detach it). */
EBB_API ebb_tensor *ebb_argmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
EBB_API ebb_tensor *ebb_argmin(ebb_tape *t, ebb_tensor *x, int axis, const char *site);

/* y[..,k,..] = x[..,0,..] + .. + x[..,k,..] along axis (scan.c) */
EBB_API ebb_tensor *ebb_cumsum(ebb_tape *t, ebb_tensor *x, int axis, const char *site);

/* (sum |x|^p)^(1/p), p > 0, default 2; the derivative of |x_i| at 0 is 0, and of |x|_2 at 0 to any
 * order.  Neither the norm nor its gradient depends on whether the powers have a place in the type's
 * range.  p may be INFINITY, the largest |x|, whose gradient goes to the first of equal ones, or
 * EBB_ZERO, how many x are not 0. */
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
/* the axes (none given: all) in reverse order of their elements */
EBB_API ebb_tensor *ebb_flip(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site);
/* x [..,R,C] with 0 above (tril) or below (triu) diagonal number d; 0 is the main one, 1 the one
 * above it */
EBB_API ebb_tensor *ebb_tril(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site);
EBB_API ebb_tensor *ebb_triu(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site);
/* [..,C*f*f,H,W] -> [..,C,H*f,W*f]: y[c,h*f+i,w*f+j] = x[(c*f+i)*f+j,h,w]; Shi et al. 2016 */
EBB_API ebb_tensor *ebb_pixel_shuffle(ebb_tape *t, ebb_tensor *x, int64_t f, const char *site);
/* x copied into one dense block of that order, if it is not one already */
EBB_API ebb_tensor *ebb_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);

/* ---- Joining, padding, indexing (join.c, index.c) -------------------------------------------- */

/* along an axis that exists */
EBB_API ebb_tensor *ebb_concat(
	ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
/* along a new axis */
EBB_API ebb_tensor *ebb_stack(ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
/* x cut along an axis into n parts of sizes[k], which add up to its size; sizes NULL: of equal
 * size.  Fills part[0..n-1] (with NULL on failure).  True on success. */
EBB_API bool ebb_split(ebb_tape *t, ebb_tensor *x, int axis, int n, const int64_t *sizes,
	ebb_tensor **part, const char *site);
/* Padding per axis, last axis first, before and after: EBB_PADS(left, right, top, bottom).
 * Negative pads crop.  Reflection pads by less than the size, circular padding by at most the size
 * that is left. */
typedef struct ebb_pads {
	int n;
	int64_t pad[2 * EBB_MAX_DIMS];
} ebb_pads;
#define EBB_PADS(...) ((ebb_pads){EBB_COUNT_ARGS(__VA_ARGS__), {__VA_ARGS__}})
typedef enum ebb_pad_mode {
	EBB_PAD_CONSTANT,
	EBB_PAD_REFLECT,
	EBB_PAD_REPLICATE,
	EBB_PAD_CIRCULAR
} ebb_pad_mode;
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

/* x with src added: y[i,index[i,k,j],j] = x[..] + sum of src[i,k,j] along axis; index has src's
 * shape, its sizes beside the axis at most x's.  Differentiable by x and src. */
EBB_API ebb_tensor *ebb_scatter_add(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, ebb_tensor *src, const char *site);
/* y[..,:] = weight[index[..],:]; index I64 of any shape, weight [V,D].  The row .padding_idx
 * (default: none; EBB_ZERO for row 0) gets no gradient. */
typedef struct ebb_embedding_args {
	ebb_tape *t;
	ebb_tensor *index, *weight;
	double padding_idx;
	const char *site;
} ebb_embedding_args;
EBB_API ebb_tensor *ebb_embedding(const ebb_embedding_args *a);

/* ---- Products (matmul.c, attention.c) --------------------------------------------------------------------- */

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

/* softmax(q k^T*scale + mask) v; q [..,L,E], k [..,S,E], v [..,S,F] -> [..,L,F], leading axes
 * broadcast.  scale defaults to 1/sqrt(E).  .causal: query i sees keys 0..i.  .mask broadcasts to
 * [..,L,S]: U8 or I64, 0 where a query may not look, or of q's type, added.  A query that sees nothing
 * (or only sums of -inf) gets 0, and gives no gradient.  Vaswani et al. 2017 */
typedef struct ebb_attention_args {
	ebb_tape *t;
	ebb_tensor *q, *k, *v;
	ebb_tensor *mask;
	bool causal;
	double scale;
	const char *site;
} ebb_attention_args;
EBB_API ebb_tensor *ebb_attention(const ebb_attention_args *a);

/* ---- Convolution and pooling (conv.c, pool.c, upsample.c) ------------------------------------------------ */

/* .pad = EBB_SAME: output ceil(H/stride), the odd pixel of padding below and to the right. */
#define EBB_SAME (-1)
/* Where windows lie, as members that the arguments of ops and of layers, and the layers, share.  stride,
 * dilation and groups default to 1, pad and output_pad to 0.  The _hw pairs and pad_tblr (top, bottom,
 * left, right) take precedence over the single number where any of them is not 0. */
#define EBB_CONV_GEOMETRY int stride, pad, dilation, groups
#define EBB_CONV_GEOMETRY_HW int stride_hw[2], pad_hw[2], dilation_hw[2], pad_tblr[4]
#define EBB_CONV_TRANSPOSE_GEOMETRY int stride, pad, output_pad, dilation, groups
#define EBB_CONV_TRANSPOSE_GEOMETRY_HW int stride_hw[2], pad_hw[2], output_pad_hw[2], dilation_hw[2]
/* y[n,o,i,j] = b[o] + sum w[o,c,u,v]*x[n,c,i*s+u*d-p,j*s+v*d-p].  x [N,C,H,W], w
 * [O,C/groups,Kh,Kw], b [O] or NULL; s is stride, d dilation, p pad.  In F32 a NaN, an infinity or a
 * value that dwarfs its neighbours may spoil outputs up to five positions beyond its windows
 * (Winograd's tiles); with EBB_CONV=direct in the environment it does not. */
typedef struct ebb_conv2d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_GEOMETRY;
	EBB_CONV_GEOMETRY_HW;
	const char *site;
} ebb_conv2d_args;
EBB_API ebb_tensor *ebb_conv2d(const ebb_conv2d_args *a);

/* y[n,o,i] = b[o] + sum w[o,c,u]*x[n,c,i*s+u*d-p].  x [N,C,L], w [O,C/groups,K], b [O] or NULL.
 * .pad may be EBB_SAME. */
typedef struct ebb_conv1d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_GEOMETRY;
	const char *site;
} ebb_conv1d_args;
EBB_API ebb_tensor *ebb_conv1d(const ebb_conv1d_args *a);
/* The transpose of conv2d, the linear map of its input gradient: x [N,C,H,W], w
 * [C,O/groups,Kh,Kw], b [O] or NULL -> [N,O,Oh,Ow], Oh = (H-1)*stride - 2 pad +
 * dilation*(Kh-1) + output_pad + 1.  output_pad < stride or dilation. */
typedef struct ebb_conv_transpose2d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_TRANSPOSE_GEOMETRY;
	EBB_CONV_TRANSPOSE_GEOMETRY_HW;
	const char *site;
} ebb_conv_transpose2d_args;
EBB_API ebb_tensor *ebb_conv_transpose2d(const ebb_conv_transpose2d_args *a);

/* x [N,C,H,W] -> [N,C,Oh,Ow]; Oh = floor((H + 2 pad - dilation*(kernel-1) - 1)/stride) + 1, or
 * ceil with .ceil_mode (a last window that starts beyond the image and its left padding is left
 * out).  stride defaults to kernel; pad <= kernel/2. maxpool2d: the gradient goes to the first
 * of equal elements. avgpool2d: padding counts as zeros in the divisor unless .exclude_pad; no
 * dilation.  .index (max only) receives where each maximum was found, h*W + w, as I64
 * [N,C,Oh,Ow].  .inplace (max only): x is released, and without recording y may lie where x lay, as for
 * batchnorm. */
typedef struct ebb_pool2d_args {
	ebb_tape *t;
	ebb_tensor *x;
	int kernel, stride, pad, dilation;
	int kernel_hw[2], stride_hw[2], pad_hw[2], dilation_hw[2];
	bool ceil_mode, exclude_pad, inplace;
	ebb_tensor **index;
	const char *site;
} ebb_pool2d_args;
EBB_API ebb_tensor *ebb_maxpool2d(const ebb_pool2d_args *a);
EBB_API ebb_tensor *ebb_avgpool2d(const ebb_pool2d_args *a);
/* The mean or the maximum over windows floor(i*H/Oh) .. ceil((i+1)*H/Oh) - 1; .size (or
 * size_hw) is Oh = Ow, default 1; .index as for maxpool2d */
typedef struct ebb_adaptive_args {
	ebb_tape *t;
	ebb_tensor *x;
	int size;
	int size_hw[2];
	ebb_tensor **index;
	const char *site;
} ebb_adaptive_args;
EBB_API ebb_tensor *ebb_adaptive_avgpool2d(const ebb_adaptive_args *a);
EBB_API ebb_tensor *ebb_adaptive_maxpool2d(const ebb_adaptive_args *a);
/* Max pooling's partial inverse: x [N,C,h,w] -> [N,C,H,W], zeros but for x at index (I64, of x's
 * shape, as maxpool2d gives it, 0 <= index < H*W).  Of several at one place the last in reading
 * order stays; as PyTorch's, the gradient gathers at index, for those that did not stay too. */
EBB_API ebb_tensor *ebb_max_unpool2d(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, int64_t height,
	int64_t width, const char *site);

/* x [N,C,H,W] -> [N,C,Oh,Ow]; .size (or size_hw), or .scale (or scale_hw): Oh = floor(H*scale).
 * Nearest: y[i] = x[floor(i*r)], r = 1/scale where given, else H/Oh.  Bilinear: between the pixels
 * beside (i+1/2)*r - 1/2 (not below 0), or i*(H-1)/(Oh-1) with .align_corners. */
typedef enum ebb_upsample_mode { EBB_NEAREST, EBB_BILINEAR } ebb_upsample_mode;
typedef struct ebb_upsample_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_upsample_mode mode;
	int size;
	int size_hw[2];
	double scale;
	double scale_hw[2];
	bool align_corners;
	const char *site;
} ebb_upsample_args;
EBB_API ebb_tensor *ebb_upsample(const ebb_upsample_args *a);

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
typedef struct ebb_instancenorm_args {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias;
	double eps;
	const char *site;
} ebb_instancenorm_args;
EBB_API ebb_tensor *ebb_instancenorm(const ebb_instancenorm_args *a);
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

/* ---- Softmax, losses (softmax.c, loss.c, cross_entropy.c) ------------------------------------ */

/* exp(x)/sum exp(x); 0, with a gradient of 0, where all of x along the axis is -inf */
EBB_API ebb_tensor *ebb_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
/* x - logsumexp(x); -inf, with y's gradient passed on, where all of x along the axis is -inf */
EBB_API ebb_tensor *ebb_log_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);

/* EBB_BATCH_MEAN: the sum divided by the size of axis 0 (kl_div only) */
typedef enum ebb_reduction { EBB_MEAN, EBB_SUM_ALL, EBB_NONE, EBB_BATCH_MEAN } ebb_reduction;

/* -log softmax(x)[label] of x [N,C], [N,C,..] or [C]; target: I64 labels [N,..] (of x [C] a scalar),
 * or soft targets of x's shape and type. .weight [C] weighs classes (the mean divides by the weights' sum),
 * .label_smoothing e mixes in e/C of every class, .ignore_index (default -100; EBB_ZERO for
 * class 0) leaves labels out.  A class whose target or weight is 0 takes no part in the loss, nor in
 * its derivatives by a target where the logit is -inf. */
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

/* -x[label] of log-probabilities x [N,C], [N,C,..] or [C]; labels, .weight, .ignore_index as for
 * cross_entropy; a weight of 0 makes 0 of any x, and of its gradient */
typedef struct ebb_nll_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_tensor *weight;
	double ignore_index;
	ebb_reduction reduction;
	const char *site;
} ebb_nll_loss_args;
EBB_API ebb_tensor *ebb_nll_loss(const ebb_nll_loss_args *a);

typedef struct ebb_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_reduction reduction;
	const char *site;
} ebb_loss_args;
EBB_API ebb_tensor *ebb_mse_loss(const ebb_loss_args *a); /* (x - target)^2; same shape */
/* softplus(x) - x*target, to the last digit where that is small: -target*log sigmoid(x) - (1 -
 * target)*log sigmoid(-x), without a term whose factor is 0; same shape */
EBB_API ebb_tensor *ebb_bce_with_logits(const ebb_loss_args *a);

/* |x - target|; same shape; derivative 0 where equal */
EBB_API ebb_tensor *ebb_l1_loss(const ebb_loss_args *a);
/* d = |x - target|: d <= delta ? d^2/2 : delta*(d - delta/2); delta > 0 defaults to 1; same
 * shape.  Huber 1964 */
typedef struct ebb_huber_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	double delta;
	ebb_reduction reduction;
	const char *site;
} ebb_huber_loss_args;
EBB_API ebb_tensor *ebb_huber_loss(const ebb_huber_loss_args *a);
/* target*(log target - x), x log-probabilities, 0 where target is 0; with .log_target the target
 * holds logarithms too: exp(target)*(target - x), 0 where exp(target) is 0; there the derivative by the
 * target is given as 0.  Same shape. */
typedef struct ebb_kl_div_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	bool log_target;
	ebb_reduction reduction;
	const char *site;
} ebb_kl_div_args;
EBB_API ebb_tensor *ebb_kl_div(const ebb_kl_div_args *a);

/* Training: 0 with probability p, else x/(1-p); evaluation: x (Srivastava et al. 2014).  0 <= p
 * < 1. */
EBB_API ebb_tensor *ebb_dropout(ebb_tape *t, ebb_tensor *x, double p, const char *site);
/* The same for whole channels of x [N,C,..] (Tompson et al. 2015) and whole samples of x [N,..]
 * (stochastic depth: Huang et al. 2016). */
EBB_API ebb_tensor *ebb_dropout2d(ebb_tape *t, ebb_tensor *x, double p, const char *site);
EBB_API ebb_tensor *ebb_drop_path(ebb_tape *t, ebb_tensor *x, double p, const char *site);

#ifdef __cplusplus
}
#else
#include "sites.h"
#endif

#endif
