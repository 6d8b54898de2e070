/*
 * kernels.h - the table of kernels: loops over plain pointers.  A kernel knows no tensor and no
 * tape; it allocates nothing and cannot fail.
 *
 * struct ebb_kernels is the table of function pointers.  Every kernel is compiled from one source
 * text for float and for double, and each type has its table.  "real" below is the type of the
 * table; its void * arguments point to arrays of real.  The table is chosen once, at run time, by
 * what the processor has.  The environment variable EBB_ISA (baseline, avx2 or avx512) chooses a
 * lower instruction set; if the processor or the build lacks this set, the highest available set is
 * used.
 *
 * Memory: "dense" is one block without gaps.  "NHWC" is channels-last: element (n,c,h,w) of a
 * [N,C,H,W] tensor lies at ((n*H + h)*W + w)*C + c.  Strides count elements.  A kernel overwrites
 * all elements of its output and reads none of them, unless its name ends in _acc (accumulate).
 * Outputs do not alias inputs, except that the flat elementwise kernels may work in place: the
 * output may be the same array as an input.
 *
 * Threads: kernels split their work into tasks whose number depends on the shape alone, so that
 * results do not depend on the number of threads.
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
 * Calls fn(ctx, piece, worker) for every task number piece in [0, pieces), on the calling thread
 * and on the threads of the pool, and returns when all calls have returned.  worker is in [0,
 * ebb_threads()), and tasks that run at the same time have different workers, so that worker may
 * index scratch memory.  If the pool is in use, because of another caller or because a task itself
 * calls ebb_parallel, the calling thread runs all tasks of this call alone, as worker 0.  So worker
 * 0 may be running in several calls at once, and every call needs scratch memory of its own.  All
 * threads run under the caller's floating-point control word (float_state.h).
 */
void ebb_parallel(int64_t pieces, void (*fn)(void *ctx, int64_t piece, int worker), void *ctx);

/* ebb_threads and ebb_set_threads are public; tensor.h has the same declarations. */
#if defined(_WIN32)
#define EBB_KERNELS_API
#else
#define EBB_KERNELS_API __attribute__((visibility("default")))
#endif
EBB_KERNELS_API int ebb_threads(void);
EBB_KERNELS_API void ebb_set_threads(int n);
enum { EBB_MOST_THREADS = 256 };

/* ---- The environment (environment.c) --------------------------------------------------------- */

/* Whether EBB_THREADS, EBB_ISA, EBB_CONV or EBB_DEBUG (autograd.h) in the environment has an
 * invalid value, which the library ignores.  text then receives a message with the variable, its
 * value and the values that are expected. */
bool ebb_environment_complaint(char *text, size_t size);

/* ---- Elementwise functions ------------------------------------------------------------------- */

/* unary.def and binary.def list these functions with their formulas. */
typedef enum ebb_unary_fn {
#define UNARY(name, ...) EBB_UNARY_##name,
#define UNARY_KERNEL(name, ...) EBB_UNARY_##name,
#include "unary.def"
	EBB_UNARY_COUNT
} ebb_unary_fn;

typedef enum ebb_binary_fn {
#define BINARY(name, ...) EBB_BINARY_##name,
#define BINARY_KERNEL(name, ...) EBB_BINARY_##name,
#include "binary.def"
	EBB_BINARY_COUNT
} ebb_binary_fn;

typedef enum ebb_compare_fn {
#define COMPARISON(name, relation) EBB_COMPARE_##name,
#include "binary.def"
	EBB_COMPARE_COUNT
} ebb_compare_fn;

/* The constants of selu (Klambauer et al. 2017). */
#define EBB_SELU_SCALE 1.0507009873554804934
#define EBB_SELU_ALPHA 1.6732632423543772848

typedef enum ebb_reduce_fn {
	EBB_REDUCE_SUM,     /* scale*sum x */
	EBB_REDUCE_SUM_ABS, /* scale*sum |x| */
	EBB_REDUCE_SUM_SQ   /* scale*sum x^2 */
} ebb_reduce_fn;

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A 2-d convolution.  y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * x[n, g*C/G + c,
 * i*stride_h + u*dilation_h - pad_top, j*stride_w + v*dilation_w - pad_left], where g is the group
 * of o and x is 0 outside the image.  oh and ow determine the padding at the bottom and at the
 * right. */
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

/* The algorithm of convolutions: chosen by shape (see conv/conv.c), or one algorithm for every
 * shape that it supports. */
typedef enum ebb_conv_choice {
	EBB_CONV_BY_SHAPE,
	EBB_CONV_DIRECT,
	EBB_CONV_WINOGRAD,
	EBB_CONV_IM2COL
} ebb_conv_choice;

/* The algorithm that EBB_CONV in the environment names ("direct", "winograd", "im2col"), else
 * EBB_CONV_BY_SHAPE; or what ebb_choose_conv has set. */
ebb_conv_choice ebb_conv_chosen(void);
/* Sets the algorithm, for tests and experiments.  Not while kernels run. */
void ebb_choose_conv(ebb_conv_choice choice);

/* A pooling over windows.  Window (i,j) starts at row i*stride_h - pad_top and column j*stride_w -
 * pad_left.  Elements outside the image are ignored by maximum pooling and count as zeros in
 * average pooling, whose divisor count_include_pad determines. */
typedef struct ebb_pool_shape {
	int64_t n, c, h, w; /* x, NHWC */
	int64_t oh, ow;     /* y, NHWC */
	int64_t kh, kw, stride_h, stride_w, pad_top, pad_left;
	int64_t dilation_h, dilation_w; /* max pooling only */
	/* Average pooling divides by the area of the window inside the padded image if true
	 * (pad_top rows above and below, pad_left columns at both sides; PyTorch's
	 * count_include_pad), else by the area inside the image. */
	bool count_include_pad;
	/* Adaptive: window i covers rows floor(i*h/oh) to ceil((i+1)*h/oh) - 1, columns likewise.
	 * Kernel, stride, pad and dilation are not read, and the divisor is the area of the
	 * window. */
	bool adaptive;
	/* Indices of maxima are uint16_t, for images of at most 2^16 pixels; else int32_t. */
	bool narrow;
} ebb_pool_shape;

/* Upsampling.  Nearest: row i of y is row floor(i*step_h) of x.  Bilinear: row i of y interpolates
 * between the two rows of x around position max(0, (i + 1/2)*step_h - 1/2), with align_corners
 * around i*step_h.  Columns likewise. */
typedef struct ebb_upsample_shape {
	int64_t n, c, h, w; /* x, NHWC */
	int64_t oh, ow;     /* y, NHWC */
	double step_h, step_w;
	bool bilinear, align_corners;
} ebb_upsample_shape;

/* A matrix for every position along the leading axes of an attention.  row is the stride between
 * rows and lead[d] the stride along leading axis d, both in elements; a row is contiguous.  A
 * stride of 0 broadcasts. */
typedef struct ebb_attention_matrix {
	void *data;
	int64_t lead[EBB_KERNEL_DIMS], row;
} ebb_attention_matrix;

typedef enum ebb_attention_mask {
	EBB_MASK_NONE,
	EBB_MASK_U8,  /* a key whose element is 0 is not seen */
	EBB_MASK_I64, /* likewise */
	EBB_MASK_REAL /* added to the score */
} ebb_attention_mask;

/* Scaled dot-product attention.  A head is a position along the leading axes, in row-major order;
 * y = softmax(scale*q k^T + mask) v in each head.  If causal, query i sees the keys 0..i+past, past
 * >= 0.  dropout is the probability that a weight of the softmax is 0; the weight of query i and
 * key j is element (h*queries + i)*keys + j of the random stream, h = sum over d of the position
 * along leading axis d times counter[d]. */
typedef struct ebb_attention_shape {
	int ndim; /* leading axes */
	int64_t lead[EBB_KERNEL_DIMS];
	/* attention_grad: heads that differ in the last `shared` leading axes share one k and one
	 * v.  gk and gv are summed over these axes. */
	int shared;
	int64_t queries, keys, width, values; /* rows of q and of k, columns of k and of v */
	double scale;
	bool causal;
	int64_t past;
	double dropout;
	uint64_t seed, stream;
	int64_t counter[EBB_KERNEL_DIMS];
	ebb_attention_mask mask;
	int64_t mask_column; /* the stride between columns of the mask */
} ebb_attention_shape;

/* most and inverse [heads,queries]: for every query, the largest score and 1/sum of exp(score -
 * largest); most is -inf and inverse 0 for a query whose scores are all -inf or that sees no
 * key. */
typedef struct ebb_attention_arrays {
	ebb_attention_matrix q, k, v, y, mask;
	void *most, *inverse;                /* the forward pass leaves out what is NULL */
	ebb_attention_matrix gy, gq, gk, gv; /* gq and gk have no data, or gv, if not wanted */
} ebb_attention_arrays;

/* Coefficients of the gradient of batch norm, one per column: see batchnorm_gx. */
typedef struct ebb_norm_grad {
	const double *centre, *by_g, *by_x, *plus, *scale;
} ebb_norm_grad;

enum { EBB_OUTER_TERMS = 128 };

/* One parameter in an optimizer's step.  The gradient is g if gy is NULL.  Else the gradient is a
 * deferred outer product, outer_sum of gy and x, which the step computes tile by tile and never
 * holds as a whole. */
typedef struct ebb_kernel_step {
	int64_t n, before; /* elements of w; sum of n over the earlier parameters with gy NULL */
	void *w, *m, *v;
	const void *g;
	const void *gy, *x; /* [terms,n/columns], [terms,columns] */
	int64_t terms, columns;
	double lr, decay;
	int64_t step; /* how many steps the parameter has taken, this one included */
} ebb_kernel_step;

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct ebb_kernel_stats ebb_kernel_stats;

typedef struct ebb_kernels {
	const char *isa;  /* "baseline", "avx2", "avx512" */
	size_t real_size; /* sizeof(float) or sizeof(double) */

	/* Elementwise, dense.  a, b and p are the constants of the function (unary.def,
	 * binary.def). */
	void (*unary)(ebb_unary_fn f, int64_t n, const void *x, void *y, double a, double b);
	void (*binary)(ebb_binary_fn f, int64_t n, const void *a, const void *b, void *y, double p);
	/* binary over shape[ndim], with a stride per axis and operand; a stride of 0 broadcasts.
	 * ndim may be 0. */
	void (*binary_strided)(ebb_binary_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, void *y, const int64_t *ys,
		double p);
	/* y = c ? a : b.  c has elements of U8 (c_size 1) or I64 (c_size 8); any nonzero value is
	 * true. */
	void (*where_strided)(int ndim, const int64_t *shape, const void *c, int c_size,
		const int64_t *cs, const void *a, const int64_t *as, const void *b,
		const int64_t *bs, void *y, const int64_t *ys);
	/* y = 1 where the comparison f of a and b holds, else 0.  NaN is unequal to everything. */
	void (*compare_strided)(ebb_compare_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, uint8_t *y, const int64_t *ys);
	void (*fill)(int64_t n, double value, void *y);
	void (*axpy)(int64_t n, double a, const void *x, void *y); /* y += a*x */
	/* y = scale*x + shift */
	void (*from_u8)(int64_t n, const uint8_t *x, void *y, double scale, double shift);
	void (*from_f32)(int64_t n, const float *x, void *y);
	void (*from_f64)(int64_t n, const double *x, void *y);

	/* Reductions accumulate in double (or pairwise, where that is as accurate).  reduce: y[k] =
	 * scale * sum over the reduced axes.  An axis is reduced if its stride in ys is 0.  ndim
	 * may be 0. */
	void (*reduce)(ebb_reduce_fn f, int ndim, const int64_t *shape, const void *x,
		const int64_t *xs, void *y, const int64_t *ys, double scale);
	/* y[k] = scale*(sum |x|^p)^(1/p), p > 0 and finite, axes as for reduce.  The root is taken
	 * before the result is rounded to real.  If the sum of powers overflows or underflows a
	 * double, a second pass divides the elements by the largest one first. */
	void (*norm)(double p, int ndim, const int64_t *shape, const void *x, const int64_t *xs,
		void *y, const int64_t *ys, double scale);
	/* y: the maximum (sign +1) or minimum (sign -1) of x [outer,len,inner] along len, len >=
	 * 1.  index: its position, the first of equal elements; may be NULL.  If x has a NaN along
	 * len, the result is the first NaN. */
	void (*extreme)(int sign, int64_t outer, int64_t len, int64_t inner, const void *x, void *y,
		int64_t *index);
	/* y[o,k,i] = sum of x[o,j,i] over j <= k (reverse: j >= k), accumulated in double */
	void (*cumsum)(
		bool reverse, int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* y = max + log(sum exp(x - max)) along len.  If all elements of a line are -inf,
	 * logsumexp is -inf, softmax is 0 and log_softmax is -inf. */
	void (*logsumexp)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* The derivative of logsumexp, p = exp(x - max)/sum exp(x - max).  If max is +inf, the
	 * elements that are +inf get equal shares of 1 and the others 0; if max is -inf, p is 0. */
	void (*logsumexp_slope)(int64_t outer, int64_t len, int64_t inner, const void *x, void *p);
	/* y may be x */
	void (*softmax)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	void (*log_softmax)(int64_t outer, int64_t len, int64_t inner, const void *x, void *y);
	/* gx = y*(gy - sum gy*y);   gx = gy - exp(y)*sum gy */
	void (*softmax_grad)(
		int64_t outer, int64_t len, int64_t inner, const void *gy, const void *y, void *gx);
	void (*log_softmax_grad)(
		int64_t outer, int64_t len, int64_t inner, const void *gy, const void *y, void *gx);
	/* Softmax cross-entropy of the rows of x [n,classes], in one pass: loss[i] =
	 * logsumexp(x[i]) - x[i,label[i]], and its gradient d[i,k] = softmax(x[i])[k] - [k ==
	 * label[i]].  A label equal to ignore yields loss 0; the caller has checked that all other
	 * labels are in range. */
	void (*cross_entropy)(int64_t n, int64_t classes, const void *x, const int64_t *label,
		int64_t ignore, void *loss, void *d);
	/* gx[i,k] = g[i*gs]*scale*d[i,k], and 0 in ignored rows; gs is 0 or 1. */
	void (*cross_entropy_grad)(int64_t n, int64_t classes, const void *d, const int64_t *label,
		int64_t ignore, const void *g, int64_t gs, double scale, void *gx);

	/* Indexing along the middle axis of x [outer,len,inner], row-major; all indices are in
	 * range.  index_select: y[o,k,i] = x[o,index[k],i], k < count.  gather: y[o,k,i] =
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

	/* Matrix product: C = op(A)*op(B) + beta*C, row-major, op(A) [m,k], op(B) [k,n].  With ta,
	 * A is transposed in memory: [k,m]; with tb, B is: [n,k].  beta is 0 (C is not read) or 1.
	 * k = 0 yields beta*C.  ws: gemm_workspace bytes, 64-byte aligned.  Runs on the thread
	 * pool. */
	size_t (*gemm_workspace)(int64_t m, int64_t n, int64_t k);
	void (*gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
		const void *b, int64_t ldb, double beta, void *c, int64_t ldc, void *ws);

	/* y = x*w^T + b: x [m,k], w [n,k], b [n] or NULL, y [m,n], dense.  ws: gemm_workspace bytes
	 * for (m,n,k), 64-byte aligned. */
	void (*linear)(int64_t m, int64_t n, int64_t k, const void *x, const void *w, const void *b,
		void *y, void *ws);

	/* c[i,j] = sum over t < terms of a[t,i]*b[t,j], a [terms,m], b [terms,n], c [m,n]: a sum
	 * of outer products, 1 <= terms <= EBB_OUTER_TERMS. */
	void (*outer_sum)(
		int64_t terms, int64_t m, int64_t n, const void *a, const void *b, void *c);

	/* Convolution.  ws: conv_workspace bytes, 64-byte aligned, contents undefined.  b may be
	 * NULL. */
	size_t (*conv_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);
	void (*conv_forward)(const ebb_conv_shape *s, const void *x, const void *w, const void *b,
		void *y, void *ws);
	void (*conv_grad_input)(
		const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);
	void (*conv_grad_weight)(
		const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws);

	/* Attention, without a matrix [queries,keys] in memory (Dao et al. 2022): scores are computed
	 * in tiles, the softmax over tiles follows Milakov & Gimelshein (2018), and the gradient
	 * computes each tile again from q, k, most and inverse.  Every member of gq, gk and gv is
	 * written once; their strides along axes with more than one position are not 0, except
	 * those of gk and gv along the shared axes.  ws: attention_workspace bytes, 64-byte
	 * aligned. */
	size_t (*attention_workspace)(const ebb_attention_shape *s, bool grad);
	void (*attention_forward)(
		const ebb_attention_shape *s, const ebb_attention_arrays *a, void *ws);
	void (*attention_grad)(
		const ebb_attention_shape *s, const ebb_attention_arrays *a, void *ws);

	/* Pooling.  index[n,i,j,c] is the position h*W + w of the maximum in its image (the first
	 * of equal elements; the first NaN is the maximum), NHWC like y.  index may be NULL.
	 * Every window has an element inside the image.  maxpool may work in place, with y equal
	 * to x, if maxpool_goes_over returns true. */
	void (*maxpool)(const ebb_pool_shape *s, const void *x, void *y, void *index);
	bool (*maxpool_goes_over)(const ebb_pool_shape *s);
	/* gx = 0, then gx at index[i] += gy[i].  kh = kw = 0: an index may be any position of the
	 * image, not only one in its window. */
	void (*maxpool_scatter)(
		const ebb_pool_shape *s, const void *gy, const void *index, void *gx);
	/* y[i] = x at index[i] */
	void (*maxpool_gather)(const ebb_pool_shape *s, const void *x, const void *index, void *y);
	/* y = 0, then y at index[i] = x[i], in the order of i: the last of equal indices
	 * remains. */
	void (*maxpool_put)(const ebb_pool_shape *s, const void *x, const void *index, void *y);
	void (*avgpool)(const ebb_pool_shape *s, const void *x, void *y);
	void (*avgpool_grad)(const ebb_pool_shape *s, const void *gy, void *gx);

	/* Upsampling and its gradient (the transposed operation), NHWC. */
	void (*upsample)(const ebb_upsample_shape *s, const void *x, void *y);
	void (*upsample_grad)(const ebb_upsample_shape *s, const void *gy, void *gx);

	/* y[r,k] = sum of x[r,j], k - before <= j <= k + after, over rows of x [rows,c] */
	void (*window_sums)(
		int64_t rows, int64_t c, int64_t before, int64_t after, const void *x, void *y);
	/* y[r,k] = sqrt(plus + scale*sum of x[r,j]^2) over the same window, summed in double */
	void (*window_norms)(int64_t rows, int64_t c, int64_t before, int64_t after, double scale,
		double plus, const void *x, void *y);

	/*
	 * Batch normalisation over the rows of x [rows,c].  The statistics and coefficients may
	 * come from batchnorm_stats or from elsewhere.  The mean of column k is centre[k] +
	 * rest[k]: centre[k] is the nearest real, rest[k] the remainder.  So x - centre[k] has no
	 * rounding error if x is near the mean.  x - centre[k] must be finite.
	 *
	 * batchnorm_stats computes centre, rest and std[k], the root of the biased variance.  The
	 * float kernel sums deviations from the mean of the preceding rows: over a short run of
	 * rows in float, and the sums of the runs in double.  If the squares of a column overflow
	 * or underflow the real type, the column is summed again in double, scaled; an underflow is
	 * ignored if the variance is negligible beside eps, which the caller adds to the variance.
	 */
	void (*batchnorm_stats)(int64_t rows, int64_t c, const void *x, double eps, double *centre,
		double *rest, double *std);
	/* y = (x - centre[k])*scale[k] + shift[k] */
	void (*scale_shift)(int64_t rows, int64_t c, const void *x, const double *centre,
		const double *scale, const double *shift, void *y);
	/* y = max((x - centre[k])*scale[k] + shift[k] + residual, 0); NaN stays.  residual may be
	 * NULL. */
	void (*scale_shift_relu)(int64_t rows, int64_t c, const void *x, const void *residual,
		const double *centre, const double *scale, const double *shift, void *y);
	/* sum_gy[k] = sum g;  sum_gyx[k] = sum g*(x - centre[k] - rest[k])*inv[k].  g is gy where
	 * y > 0, else 0; if y is NULL, g is gy.  Rows are summed as by batchnorm_stats: g*(x -
	 * centre[k]) and its sums over 32 rows must not overflow a real. */
	void (*batchnorm_sums)(int64_t rows, int64_t c, const void *x, const void *gy,
		const void *y, const double *centre, const double *rest, const double *inv,
		double *sum_gy, double *sum_gyx);
	/* The gradient of batch norm: gx = scale[k]*(by_g[k]*g + by_x[k]*(x - centre[k]) +
	 * plus[k]), with the g of batchnorm_sums.  If x is NULL, gx = by_g[k]*g, and the other
	 * coefficients are not read.  If masked is not NULL, it receives g; y must then not be NULL
	 * either.  gx or masked may be gy. */
	void (*batchnorm_gx)(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
		const ebb_norm_grad *k, void *gx, void *masked);

	/* Normalisation of each row of x [rows,len].  centred (layer norm): the mean is mean[r] +
	 * rest[r], the nearest double and the remainder (0 for float), and inv[r] = 1/sqrt(biased
	 * variance + eps).  Not centred (RMS norm): mean[r] = rest[r] = 0 and inv[r] = 1/sqrt(mean
	 * x^2 + eps).  Rows whose squares overflow or underflow a double are scaled first.  With
	 * xh = (x - mean - rest)*inv: y = xh*w + b, w and b [len] or NULL.  If len is 0, nothing
	 * is written. */
	void (*rownorm)(bool centred, int64_t rows, int64_t len, const void *x, const void *w,
		const void *b, double eps, void *y, double *mean, double *rest, double *inv);
	/* gx = inv*(g - mean g - xh*mean(g*xh)), g = gy*w; if not centred, the term mean g is left
	 * out */
	void (*rownorm_grad)(bool centred, int64_t rows, int64_t len, const void *x, const void *gy,
		const void *w, const double *mean, const double *rest, const double *inv, void *gx);
	/* gw[k] = sum over rows of gy*xh;  gb[k] = sum gy */
	void (*rownorm_sums)(int64_t rows, int64_t len, const void *x, const void *gy,
		const double *mean, const double *rest, const double *inv, double *gw, double *gb);

	/* GELU of z = x[r,k] + b[k], rows of len elements, and its gradient gx = gy*gelu'(z), gb[k] =
	 * sum over rows of gx.  tanh selects the approximation.  b [len]; in gelu_grad b may be
	 * NULL for 0, gb may be NULL, and gx may be gy.  ws: gelu_workspace bytes if gb is not
	 * NULL. */
	void (*gelu_bias)(
		bool tanh, int64_t rows, int64_t len, const void *x, const void *b, void *y);
	size_t (*gelu_workspace)(int64_t rows, int64_t len);
	void (*gelu_grad)(bool tanh, int64_t rows, int64_t len, const void *x, const void *b,
		const void *gy, void *gx, void *gb, void *ws);

	/* Random numbers: Philox4x32-10 (Salmon et al. 2011), key = seed, counter = {i, stream}.
	 * Element i depends on seed, stream and i alone, never on the thread; float and double
	 * tables differ by rounding only.  uniform in [lo,hi); normal by Box-Muller; dropout: y =
	 * u < p ? 0 : x/(1-p), u uniform in [0,1). */
	void (*uniform)(int64_t n, uint64_t seed, uint64_t stream, double lo, double hi, void *y);
	void (*normal)(int64_t n, uint64_t seed, uint64_t stream, double mean, double std, void *y);
	void (*dropout)(
		int64_t n, uint64_t seed, uint64_t stream, double p, const void *x, void *y);

	/* Resizing of images, in fixed point with 22 fractional bits; byte(s) is s / 2^22, rounded
	 * and clamped.  Across rows: y[b] = byte(sum over k of weight[k]*x[k*stride + b]). */
	void (*blend_rows)(int64_t n, int64_t taps, const int32_t *weight, const uint8_t *x,
		int64_t stride, uint8_t *y);
	/* Along a row x of `length` pixels, each of 1 to 4 bytes: y[i,c] = byte(sum over k <
	 * count[i] of weight[i*taps + k]*x[first[i] + k,c]), i < n. */
	void (*blend_pixels)(int channels, int64_t n, int64_t taps, const int64_t *first,
		const int64_t *count, const int32_t *weight, const uint8_t *x, int64_t length,
		uint8_t *y);

	/* Optimizer steps, in place, over count parameters in one call.  g is multiplied by gscale
	 * first (clipping).
	 * sgd: g += decay*w; m = momentum*m + g (m = g in step 1); w -= lr*(nesterov ? g +
	 * momentum*m : m); m may be NULL when momentum is 0. */
	void (*sgd)(int64_t count, const ebb_kernel_step *p, double gscale, double momentum,
		bool nesterov);
	/* Adam (Kingma & Ba 2015), AdamW if decoupled (Loshchilov & Hutter 2019) */
	void (*adam)(int64_t count, const ebb_kernel_step *p, double gscale, double beta1,
		double beta2, double eps, bool decoupled);
	/* v = alpha*v + (1-alpha)*g^2; m = momentum*m + g/(sqrt(v)+eps); w -= lr*m.  m is NULL
	 * without momentum. */
	void (*rmsprop)(int64_t count, const ebb_kernel_step *p, double gscale, double alpha,
		double eps, double momentum);
	/* g += decay*w; v += g^2; w -= lr/(1 + (step-1)*lr_decay) * g/(sqrt(v)+eps) (Duchi et al.
	 * 2011).  m is not used. */
	void (*adagrad)(int64_t count, const ebb_kernel_step *p, double gscale, double lr_decay,
		double eps);

	/* Statistics in one pass over dense x: see ebb_kernel_stats. */
	void (*stats)(int64_t n, const void *x, double saturated_below, double saturated_above,
		ebb_kernel_stats *s);
	/* Returns sum a*b, accumulated in double. */
	double (*dot)(int64_t n, const void *a, const void *b);
} ebb_kernels;

/* Statistics of n values.  nan counts the NaNs; the other members except n leave them out.
 * deviation is sqrt(sum (x - mean)^2) and l2 is sqrt(sum x^2), without overflow or underflow of the
 * squares. */
struct ebb_kernel_stats {
	int64_t n, nan, zeros, saturated; /* saturated: x < below or x > above */
	double sum, sum_abs, deviation, l2, max_abs, min, max;
};

/* The tables for this processor (or for EBB_ISA). */
const ebb_kernels *ebb_kernels_f32(void);
const ebb_kernels *ebb_kernels_f64(void);
/* The table of one instruction set by name, or NULL if the build or the processor lacks it; for
 * tests. */
const ebb_kernels *ebb_kernels_named(const char *isa, bool f64);

/* ---- Independent of the real type (copy.c) --------------------------------------------------- */

/* dst[..] = src[..] over shape[ndim], elements of 1, 4 or 8 bytes, with a stride per axis (a
 * stride of src may be 0 or negative). */
void ebb_copy_strided(size_t elem, int ndim, const int64_t *shape, const void *src,
	const int64_t *ss, void *dst, const int64_t *ds);

#endif
