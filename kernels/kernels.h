/*
 * kernels.h - loops over plain pointers.  No tensor, no tape, no allocation, no error path.
 *
 * Every kernel exists for float and double from one source text; both fill the same struct of
 * function pointers, whose data arguments are void * and point to the table's real type ("real"
 * below).  The table is picked once, at run time, from what the processor has;
 * EBB_ISA=baseline, avx2 or avx512 in the environment forces a lower one (the highest that there is,
 * if that one is not).
 *
 * Memory: "dense" is one block without gaps.  "NHWC" is channels-last: element (n,c,h,w) of a
 * [N,C,H,W] tensor lies at ((n*H + h)*W + w)*C + c.  Strides count elements.  Unless a name
 * ends in _acc a kernel overwrites its output, all of it, and reads none of it.  Outputs do not
 * overlap inputs, except that the flat elementwise kernels may write over an input of the same
 * extent.
 *
 * Threads: kernels split their work by fixed pieces whose number depends on the shape alone, so
 * that results do not depend on the number of threads.
 */
#ifndef EBB_KERNELS_H
#define EBB_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sizes.h"

enum { EBB_KERNEL_DIMS = 8 };

/* ---- Threads (threads.c) --------------------------------------------------------------------- */

/*
 * Runs fn(ctx, piece, worker) for every piece in [0, pieces), on the calling thread and the pool's;
 * returns when all are done.  worker is in [0, ebb_threads()): no two pieces run at once with the
 * same worker, so it may index scratch memory.  A second caller at the same time, or a piece that
 * calls ebb_parallel itself, runs its pieces alone, as worker 0 of its own scratch.  All threads run
 * under the caller's floating-point control word (float_state.h).
 */
void ebb_parallel(int64_t pieces, void (*fn)(void *ctx, int64_t piece, int worker), void *ctx);

/* The number of threads that kernels use: EBB_THREADS in the environment, else the processors that
 * this process may run on.  At least 1, at most 256. */
int ebb_threads(void);
enum { EBB_MOST_THREADS = 256 };

/* Sets it; n < 1 means the default.  Not while kernels run on another thread. */
void ebb_set_threads(int n);

/* ---- The environment (environment.c) --------------------------------------------------------- */

/* Whether EBB_THREADS, EBB_ISA, EBB_CONV or EBB_DEBUG (autograd.h) in the environment has a value that makes
 * no sense; text then says which and what is expected.  The library then
 * ignores the value. */
bool ebb_environment_complaint(char *text, size_t size);

/* ---- Elementwise functions ------------------------------------------------------------------- */

typedef enum ebb_unary_fn {
	EBB_NEG,  /* -x */
	EBB_ABS,  /* |x| */
	EBB_SIGN, /* -1, 0, 1; NaN stays */
	EBB_EXP,
	EBB_LOG,
	EBB_EXPM1,      /* exp(x) - 1 */
	EBB_LOG1P,      /* log(1 + x) */
	EBB_SQRT,       /* 0 at -0 */
	EBB_RECIPROCAL, /* 1/x */
	EBB_RSQRT,      /* 1/sqrt(x); infinity at -0 */
	EBB_SQUARE,
	EBB_FLOOR,
	EBB_SIN,
	EBB_COS,
	EBB_TANH,
	EBB_ERF,
	EBB_SIGMOID,    /* 1/(1+exp(-x)), without overflow */
	EBB_SOFTPLUS,   /* log(1+exp(x)) = max(x,0) + log1p(exp(-|x|)) */
	EBB_SILU,       /* x*sigmoid(x) */
	EBB_SILU_SLOPE, /* its derivative */
	EBB_LOGSIGMOID, /* -softplus(-x) */
	EBB_MISH,       /* x*tanh(softplus(x)) */
	EBB_MISH_SLOPE, /* its derivative */
	EBB_HARDSWISH,  /* x*min(max(x+3,0),6)/6 */
	EBB_SOFTSIGN,   /* x/(1+|x|) */
	EBB_HUBER,      /* |x| <= a ? x^2/2 : a*(|x| - a/2) */
	EBB_GELU,       /* x/2*(1+erf(x/sqrt 2)) */
	EBB_GELU_SLOPE, /* its derivative */
	EBB_GELU_TANH,  /* x/2*(1+tanh(sqrt(2/pi)*(x+0.044715 x^3))) */
	EBB_GELU_TANH_SLOPE,
	EBB_GAUSS,      /* b*exp(-a*x^2); a is 1 or 1/2 */
	EBB_RELU,       /* max(x,0); NaN stays */
	EBB_LEAKY_RELU, /* x > 0 ? x : a*x, 0 at -inf where a is 0 */
	EBB_ELU,        /* x > 0 ? x : a*expm1(x) */
	EBB_SELU,       /* b*(x > 0 ? x : a*expm1(x)) */
	EBB_CLAMP,      /* min(max(x,a),b); NaN stays */
	EBB_ADD_SCALAR, /* x + a */
	EBB_MUL_SCALAR, /* x * a */
	/* x^a, NaN below 0 unless a is whole; a in {2, 3, -1, 0.5, ...} may take a shorter way with the
	 * same result */
	EBB_POW_SCALAR,
	EBB_RSUB_SCALAR, /* a - x */
	EBB_STEP,        /* x > a ? 1 : 0 (0 for NaN) */
	EBB_INSIDE,      /* a <= x && x <= b ? 1 : 0 */
	EBB_IS_EQUAL,    /* x == a ? 1 : 0 */
	EBB_UNARY_COUNT
} ebb_unary_fn;

typedef enum ebb_binary_fn {
	EBB_ADD,
	EBB_SUB,
	EBB_MUL,
	EBB_MUL_OR_ZERO, /* a*b, and 0 where a or b is 0 */
	EBB_DIV,
	EBB_POW,     /* NaN for a below 0 unless b is whole */
	EBB_MAXIMUM, /* NaN of either wins */
	EBB_MINIMUM,
	EBB_GREATER,         /* a > b ? 1 : 0, as a real */
	EBB_EQUAL,           /* a == b ? 1 : 0 */
	EBB_RELU_GRAD,       /* b > 0 ? a : 0          a = gy, b = y */
	EBB_LEAKY_RELU_GRAD, /* b > 0 ? a : p*a, 0 where p is 0        b = x */
	EBB_SIGMOID_GRAD,    /* a*b*(1-b)              b = y */
	EBB_TANH_GRAD,       /* a*(1-b)*(1+b)          b = y */
	EBB_RELU6_GRAD,      /* b <= 0 || b >= 6 ? 0 : a                      b = y */
	EBB_HARDSWISH_GRAD,  /* a*(b < -3 ? 0 : b < 3 ? b/3 + 1/2 : 1)       b = x */
	EBB_PRELU,           /* a > 0 ? a : b*a        a = x, b = slope */
	EBB_PRELU_SLOPE,     /* a > 0 ? 1 : b */
	EBB_COUNTED,         /* a == 0 and b not finite ? 0 : b   what a*b counts of b */
	EBB_BCE,       /* log(1 + exp(a)) - a*b          a = logit, b = target; no cancellation */
	EBB_BCE_SLOPE, /* sigmoid(a) - b                 likewise */
	EBB_BINARY_COUNT
} ebb_binary_fn;

typedef enum ebb_compare_fn {
	EBB_COMPARE_EQUAL,
	EBB_COMPARE_NOT_EQUAL,
	EBB_COMPARE_LESS, /* a < b */
	EBB_COMPARE_LESS_EQUAL,
	EBB_COMPARE_COUNT
} ebb_compare_fn;

typedef enum ebb_reduce_fn {
	EBB_REDUCE_SUM,     /* scale*sum x */
	EBB_REDUCE_SUM_ABS, /* scale*sum |x| */
	EBB_REDUCE_SUM_SQ   /* scale*sum x^2 */
} ebb_reduce_fn;

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A 2-d convolution.  y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[n, g*C/G + c,
 * i*stride_h + u*dilation_h - pad_top, j*stride_w + v*dilation_w - pad_left], g the group of o;
 * x outside the image is 0.  Bottom and right padding follow from oh and ow. */
typedef struct ebb_conv_shape {
	int64_t n, c, h, w; /* x [N,C,H,W], NHWC */
	int64_t o, kh, kw;  /* weight [O,C/groups,Kh,Kw], plain row-major */
	int64_t oh, ow;     /* y [N,O,Oh,Ow], NHWC */
	int64_t stride_h, stride_w;
	int64_t dilation_h, dilation_w;
	int64_t pad_top, pad_left;
	int64_t groups;
} ebb_conv_shape;

typedef enum ebb_conv_pass {
	EBB_CONV_FORWARD,
	EBB_CONV_GRAD_INPUT,
	EBB_CONV_GRAD_WEIGHT
} ebb_conv_pass;

/* How convolutions go: by shape (conv/conv.c says how), or one way wherever it fits. */
typedef enum ebb_conv_choice {
	EBB_CONV_BY_SHAPE,
	EBB_CONV_DIRECT,
	EBB_CONV_WINOGRAD,
	EBB_CONV_IM2COL
} ebb_conv_choice;

/* What EBB_CONV in the environment names ("direct", "winograd", "im2col"), else by shape. */
ebb_conv_choice ebb_conv_chosen(void);
/* Sets it, for tests and experiments; not while kernels run. */
void ebb_choose_conv(ebb_conv_choice choice);

/* A pooling over windows: window (i,j) starts at row i*stride_h - pad_top, column j*stride_w -
 * pad_left. Rows and columns outside the image are ignored (max) or count as zeros (average,
 * see divisor). */
typedef struct ebb_pool_shape {
	int64_t n, c, h, w; /* x, NHWC */
	int64_t oh, ow;     /* y, NHWC */
	int64_t kh, kw, stride_h, stride_w, pad_top, pad_left;
	int64_t dilation_h, dilation_w; /* max pooling only */
	/* Average pooling divides by the window's extent inside the image padded by
	 * pad_top/pad_left on all sides (PyTorch's count_include_pad), or inside the image
	 * alone. */
	bool count_include_pad;
	/* Adaptive: window i covers rows floor(i*h/oh) to ceil((i+1)*h/oh) - 1, columns alike;
	 * kernel, stride, pad and dilation are not read, and the divisor is the window's area. */
	bool adaptive;
	/* Positions of maxima are uint16_t, for images of at most 2^16 pixels; else int32_t. */
	bool narrow;
} ebb_pool_shape;

/* Upsampling: row i of y reads row floor(i*step_h) of x (nearest), or lies between two rows, at
 * (i + 1/2)*step_h - 1/2, not below 0, or at i*step_h with align_corners (bilinear); columns
 * alike. */
typedef struct ebb_upsample_shape {
	int64_t n, c, h, w; /* x, NHWC */
	int64_t oh, ow;     /* y, NHWC */
	double step_h, step_w;
	bool bilinear, align_corners;
} ebb_upsample_shape;

/* Coefficients of the gradient of batch norm, one per column: see batchnorm_gx. */
typedef struct ebb_norm_grad {
	const double *centre, *by_g, *by_x, *plus, *scale;
} ebb_norm_grad;

enum { EBB_OUTER_TERMS = 128 };

/* One parameter's part in an optimizer's step.  Its gradient is g, or where gy is not NULL the
 * outer_sum of gy and x: the step then computes it tile by tile. */
typedef struct ebb_kernel_step {
	int64_t n, before; /* elements, and those before it in the list whose gradient is g */
	void *w, *m, *v;
	const void *g;
	const void *gy, *x; /* [terms,n/columns], [terms,columns] */
	int64_t terms, columns;
	double lr, decay;
	int64_t step; /* its number, from 1 */
} ebb_kernel_step;

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct ebb_kernel_stats ebb_kernel_stats;

typedef struct ebb_kernels {
	const char *isa;  /* "baseline", "avx2", "avx512" */
	size_t real_size; /* sizeof(float) or sizeof(double) */

	/* Elementwise, dense.  a, b, p: the function's constants. */
	void (*unary)(ebb_unary_fn f, int64_t n, const void *x, void *y, double a, double b);
	void (*binary)(ebb_binary_fn f, int64_t n, const void *a, const void *b, void *y, double p);
	/* The same over shape[ndim] with a stride per axis and operand; stride 0 broadcasts.
	 * ndim may be 0. */
	void (*binary_strided)(ebb_binary_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, void *y, const int64_t *ys,
		double p);
	/* y = c ? a : b, c of U8 (c_size 1) or I64 (c_size 8), any nonzero is true. */
	void (*where_strided)(int ndim, const int64_t *shape, const void *c, int c_size,
		const int64_t *cs, const void *a, const int64_t *as, const void *b,
		const int64_t *bs, void *y, const int64_t *ys);
	/* y = 1 where a and b compare so, else 0; NaN is only unequal. */
	void (*compare_strided)(ebb_compare_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, uint8_t *y, const int64_t *ys);
	void (*fill)(int64_t n, double value, void *y);
	void (*axpy)(int64_t n, double a, const void *x, void *y); /* y += a*x */
	/* y = scale*x + shift */
	void (*from_u8)(int64_t n, const uint8_t *x, void *y, double scale, double shift);
	void (*from_f32)(int64_t n, const float *x, void *y);
	void (*from_f64)(int64_t n, const double *x, void *y);

	/* Reductions: sums accumulate in double (or pairwise, if as good). reduce: y[k] = scale
	 * * sum over the reduced axes; ys is 0 on those.  y is overwritten. ndim may be 0. */
	void (*reduce)(ebb_reduce_fn f, int ndim, const int64_t *shape, const void *x,
		const int64_t *xs, void *y, const int64_t *ys, double scale);
	/* y[k] = scale*(sum |x|^p)^(1/p), p > 0 and finite, axes as for reduce.  The root is taken
	 * before the rounding to real.  Where the sum of powers leaves the range of a double, the
	 * elements are divided by the largest of them first, in a second pass. */
	void (*norm)(double p, int ndim, const int64_t *shape, const void *x, const int64_t *xs,
		void *y, const int64_t *ys, double scale);
	/* x [outer,len,inner] row-major: the extreme along len and where (the first of equals;
	 * the first NaN wins).  len >= 1.  index may be NULL. sign +1: maximum, -1: minimum. */
	void (*extreme)(int sign, int64_t outer, int64_t len, int64_t inner, const void *x, void *y,
		int64_t *index);
	/* y[o,k,i] = sum of x[o,j,i] over j <= k (reverse: j >= k), carried in double */
	void (*cumsum)(
		bool reverse, int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* y = max + log(sum exp(x - max)) along len; all -inf gives -inf.  Of nothing but -inf,
	 * softmax is 0 and log_softmax -inf. */
	void (*logsumexp)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* Its derivative p = exp(x - max)/sum exp(x - max).  Where max is infinity the elements that
	 * are share equally; where it is -infinity p is 0. */
	void (*logsumexp_slope)(int64_t outer, int64_t len, int64_t inner, const void *x, void *p);
	/* y may be x */
	void (*softmax)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	void (*log_softmax)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* gx = y*(gy - sum gy*y);   gx = gy - exp(y)*sum gy */
	void (*softmax_grad)(
		int64_t outer, int64_t len, int64_t inner, const void *gy, const void *y, void *gx);
	void (*log_softmax_grad)(
		int64_t outer, int64_t len, int64_t inner, const void *gy, const void *y, void *gx);
	/* Softmax cross-entropy of rows x [n,classes]: loss[i] = logsumexp(x[i]) -
	 * x[i,label[i]], and its gradient d[i,k] = softmax(x[i])[k] - [k == label[i]], in one
	 * pass.  A label equal to ignore gives loss 0 (labels are otherwise in range: the caller
	 * checked). */
	void (*cross_entropy)(int64_t n, int64_t classes, const void *x, const int64_t *label,
		int64_t ignore, void *loss, void *d);
	/* gx[i,k] = g[i*gs]*scale*d[i,k], 0 where ignored; gs is 0 or 1. */
	void (*cross_entropy_grad)(int64_t n, int64_t classes, const void *d, const int64_t *label,
		int64_t ignore, const void *g, int64_t gs, double scale, void *gx);

	/* Indexing along the middle axis; indices are in range.  x [outer,len,inner],
	 * row-major. index_select: y[o,k,i] = x[o,index[k],i], k < count.  gather: y[o,k,i] =
	 * x[o,index[o,k,i],i]. */
	void (*index_select)(int64_t outer, int64_t len, int64_t inner, int64_t count,
		const void *x, const int64_t *index, void *y);
	/* gx[o,index[k],i] += gy[o,k,i] */
	void (*index_select_acc)(int64_t outer, int64_t len, int64_t inner, int64_t count,
		const void *gy, const int64_t *index, void *gx);
	void (*gather)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *x,
		const int64_t *index, void *y);
	/* gx[o,index[o,k,i],i] += gy[o,k,i] */
	void (*gather_acc)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *gy,
		const int64_t *index, void *gx);

	/* Matrix product: C = op(A)*op(B) + beta*C, row-major, op(A) [m,k], op(B) [k,n]; ta/tb:
	 * A is stored [k,m], B is stored [n,k].  beta is 0 (C is not read) or 1.  ws:
	 * gemm_workspace bytes, 64-byte aligned. k = 0 gives beta*C.  Threads inside. */
	size_t (*gemm_workspace)(int64_t m, int64_t n, int64_t k);
	void (*gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
		const void *b, int64_t ldb, double beta, void *c, int64_t ldc, void *ws);

	/* c[i,j] = sum over t < terms of a[t,i]*b[t,j], a [terms,m], b [terms,n], c [m,n]: a matrix
	 * product of few terms, at least 1 and at most EBB_OUTER_TERMS. */
	void (*outer_sum)(
		int64_t terms, int64_t m, int64_t n, const void *a, const void *b, void *c);

	/* Convolution; ws: conv_workspace bytes, 64-byte aligned, contents undefined. b may be
	 * NULL. */
	size_t (*conv_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);
	void (*conv_forward)(const ebb_conv_shape *s, const void *x, const void *w, const void *b,
		void *y, void *ws);
	void (*conv_grad_input)(
		const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);
	void (*conv_grad_weight)(
		const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws);

	/* Pooling.  index[n,i,j,c] is the position h*W + w of the maximum in its image (the
	 * first of equals; the first NaN wins), NHWC like y.  A window with no element in the
	 * image cannot occur.  index may be NULL.  y may be x where maxpool_goes_over. */
	void (*maxpool)(const ebb_pool_shape *s, const void *x, void *y, void *index);
	bool (*maxpool_goes_over)(const ebb_pool_shape *s);
	/* gx = 0, += ; a kernel of 0 x 0 is an index that may point anywhere in the image */
	void (*maxpool_scatter)(
		const ebb_pool_shape *s, const void *gy, const void *index, void *gx);
	void (*maxpool_gather)(const ebb_pool_shape *s, const void *x, const void *index, void *y);
	/* y = 0, then y at index = x, in reading order */
	void (*maxpool_put)(const ebb_pool_shape *s, const void *x, const void *index, void *y);
	void (*avgpool)(const ebb_pool_shape *s, const void *x, void *y);
	void (*avgpool_grad)(const ebb_pool_shape *s, const void *gy, void *gx);

	/* Upsampling and its transpose, NHWC. */
	void (*upsample)(const ebb_upsample_shape *s, const void *x, void *y);
	void (*upsample_grad)(const ebb_upsample_shape *s, const void *gy, void *gx);

	/* y[r,k] = sum of x[r,j], k - before <= j <= k + after, over rows of x [rows,c] */
	void (*window_sums)(
		int64_t rows, int64_t c, int64_t before, int64_t after, const void *x, void *y);
	/* y[r,k] = sqrt(plus + scale*sum of x[r,j]^2) over the same window, in double */
	void (*window_norms)(int64_t rows, int64_t c, int64_t before, int64_t after, double scale,
		double plus, const void *x, void *y);

	/* Batch normalisation over rows of x [rows,c].  The passes take whatever statistics and
	 * coefficients the caller has, computed here or where x was made.  A mean is centre[k] +
	 * rest[k], centre a real, so that x - centre cancels exactly; x - centre must be finite.
	 * stats: that mean, and std[k], the root of the biased variance.  Float rows are summed in
	 * float over short runs, as deviations from a mean of the rows before, and in double from
	 * run to run; where their squares leave the real type's range and eps, which the caller
	 * adds to the variance, does not hide it, the column is summed again in double, scaled. */
	void (*batchnorm_stats)(int64_t rows, int64_t c, const void *x, double eps, double *centre,
		double *rest, double *std);
	/* y = (x - centre[k])*scale[k] + shift[k] */
	void (*scale_shift)(int64_t rows, int64_t c, const void *x, const double *centre,
		const double *scale, const double *shift, void *y);
	/* y = max((x - centre[k])*scale[k] + shift[k] + residual, 0); NaN stays.  residual may be
	 * NULL. */
	void (*scale_shift_relu)(int64_t rows, int64_t c, const void *x, const void *residual,
		const double *centre, const double *scale, const double *shift, void *y);
	/* sum_gy[k] = sum g;  sum_gyx[k] = sum g*(x - centre[k] - rest[k])*inv[k]; g is gy where y >
	 * 0, else 0, and gy itself if y is NULL; summed as stats does, so that g*(x - centre) and
	 * its sums over 32 rows must be reals */
	void (*batchnorm_sums)(int64_t rows, int64_t c, const void *x, const void *gy,
		const void *y, const double *centre, const double *rest, const double *inv,
		double *sum_gy, double *sum_gyx);
	/* gx = scale[k]*(by_g[k]*g + by_x[k]*(x - centre[k]) + plus[k]), with the same g: the
	 * gradient of batch norm.  x NULL: gx = by_g[k]*g, and the others are not read.  masked
	 * receives g, if it is not NULL (then neither is y).  gx or it may be gy. */
	void (*batchnorm_gx)(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
		const ebb_norm_grad *k, void *gx, void *masked);

	/* Normalisation of each row of x [rows,len].  centred: the mean as mean[r] + rest[r], the
	 * nearest double and what that leaves (0 for floats), and inv[r] = 1/sqrt(biased variance +
	 * eps); else mean[r] = rest[r] = 0 and inv[r] = 1/sqrt(mean x^2 + eps); rows whose squares
	 * no double holds are scaled first.  With xh = (x - mean - rest)*inv: y = xh*w + b, w and b
	 * [len] or NULL; without columns nothing is written. */
	void (*rownorm)(bool centred, int64_t rows, int64_t len, const void *x, const void *w,
		const void *b, double eps, void *y, double *mean, double *rest, double *inv);
	/* gx = inv*(g - mean g - xh*mean(g*xh)), g = gy*w; not centred: without mean g */
	void (*rownorm_grad)(bool centred, int64_t rows, int64_t len, const void *x, const void *gy,
		const void *w, const double *mean, const double *rest, const double *inv, void *gx);
	/* gw[k] = sum over rows of gy*xh;  gb[k] = sum gy */
	void (*rownorm_sums)(int64_t rows, int64_t len, const void *x, const void *gy,
		const double *mean, const double *rest, const double *inv, double *gw, double *gb);

	/* Random numbers: Philox4x32-10 (Salmon et al. 2011), key = seed, counter = {i,
	 * stream}: element i of a stream is the same whatever the thread, the type's precision
	 * apart. uniform in [lo,hi); normal by Box-Muller; dropout: y = u < p ? 0 : x/(1-p). */
	void (*uniform)(int64_t n, uint64_t seed, uint64_t stream, double lo, double hi, void *y);
	void (*normal)(int64_t n, uint64_t seed, uint64_t stream, double mean, double std, void *y);
	void (*dropout)(
		int64_t n, uint64_t seed, uint64_t stream, double p, const void *x, void *y);

	/* Resizing of images, in fixed point with 22 bits behind the point; byte(s) is s / 2^22,
	 * rounded and clamped.  Across rows: y[b] = byte(sum over k of weight[k]*x[k*stride + b]). */
	void (*blend_rows)(int64_t n, int64_t taps, const int32_t *weight, const uint8_t *x,
		int64_t stride, uint8_t *y);
	/* Along a row of length pixels of 1 to 4 bytes: y[i,c] = byte(sum over k < count[i] of
	 * weight[i*taps + k]*x[first[i] + k,c]), i < n. */
	void (*blend_pixels)(int channels, int64_t n, int64_t taps, const int64_t *first,
		const int64_t *count, const int32_t *weight, const uint8_t *x, int64_t length,
		uint8_t *y);

	/* Optimizer steps, in place, over count parameters in one job.  g is scaled by gscale first
	 * (clipping).
	 * sgd: g += decay*w; m = momentum*m + g (m = g in step 1); w -= lr*(nesterov ? g +
	 * momentum*m : m); m may be NULL when momentum is 0. */
	void (*sgd)(int64_t count, const ebb_kernel_step *p, double gscale, double momentum,
		bool nesterov);
	/* Adam (Kingma & Ba 2015), AdamW where decoupled (Loshchilov & Hutter 2019) */
	void (*adam)(int64_t count, const ebb_kernel_step *p, double gscale, double beta1,
		double beta2, double eps, bool decoupled);
	/* v = alpha*v + (1-alpha)*g^2; m = momentum*m + g/(sqrt(v)+eps); w -= lr*m.  m NULL: no
	 * momentum. */
	void (*rmsprop)(int64_t count, const ebb_kernel_step *p, double gscale, double alpha,
		double eps, double momentum);

	/* Statistics in one pass over dense x: see ebb_kernel_stats. */
	void (*stats)(int64_t n, const void *x, double saturated_below, double saturated_above,
		ebb_kernel_stats *s);
} ebb_kernels;

/* Sums over n values; NaN values are counted in nan and left out of the rest.  deviation is the root
 * of sum (x - mean)^2, l2 that of sum x^2; the squares may leave the range of a double. */
struct ebb_kernel_stats {
	int64_t n, nan, zeros, saturated; /* saturated: x < below or x > above */
	double sum, sum_abs, deviation, l2, max_abs, min, max;
};

/* The tables for this processor (or for EBB_ISA). */
const ebb_kernels *ebb_kernels_f32(void);
const ebb_kernels *ebb_kernels_f64(void);
/* The table of one instruction set by name, or NULL if the build or the processor lacks it: for
 * tests. */
const ebb_kernels *ebb_kernels_named(const char *isa, bool f64);

/* ---- Independent of the real type (copy.c) --------------------------------------------------- */

/* dst[..] = src[..] over shape[ndim], elements of 1, 4 or 8 bytes, a stride per axis (src's may
 * be 0 or negative). */
void ebb_copy_strided(size_t elem, int ndim, const int64_t *shape, const void *src,
	const int64_t *ss, void *dst, const int64_t *ds);

#endif
