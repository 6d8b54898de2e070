/*
 * arrays.h - ops that make, reduce, reshape, join and index tensors.
 */
#ifndef EBB_OPS_ARRAYS_H
#define EBB_OPS_ARRAYS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Making tensors (create.c): constants, which require no gradient ------------------------- */

/* A tensor without axes that holds value, of the default dtype. */
EBB_API ebb_tensor *ebb_scalar(ebb_tape *t, double value, const char *site);
#define ebb_scalar(...) EBB_CALL(ebb_scalar, __VA_ARGS__)
/* Every element is value; the dtype is the default. */
EBB_API ebb_tensor *ebb_full(ebb_tape *t, ebb_shape shape, double value, const char *site);
#define ebb_full(...) EBB_CALL(ebb_full, __VA_ARGS__)
/* Every element is 0; the dtype is the default. */
EBB_API ebb_tensor *ebb_zeros(ebb_tape *t, ebb_shape shape, const char *site);
#define ebb_zeros(...) EBB_CALL(ebb_zeros, __VA_ARGS__)
/* Every element is 1; the dtype is the default. */
EBB_API ebb_tensor *ebb_ones(ebb_tape *t, ebb_shape shape, const char *site);
#define ebb_ones(...) EBB_CALL(ebb_ones, __VA_ARGS__)
/* Every element is value; shape, type (also I64 and U8) and memory order are x's.  For a type of
 * integers, value must be an integer that it holds. */
EBB_API ebb_tensor *ebb_full_like(ebb_tape *t, ebb_tensor *x, double value, const char *site);
#define ebb_full_like(...) EBB_CALL(ebb_full_like, __VA_ARGS__)
/* Every element is 0 (1); shape, type (also I64 and U8) and memory order are x's. */
EBB_API ebb_tensor *ebb_zeros_like(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_zeros_like(...) EBB_CALL(ebb_zeros_like, __VA_ARGS__)
EBB_API ebb_tensor *ebb_ones_like(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_ones_like(...) EBB_CALL(ebb_ones_like, __VA_ARGS__)
/* A copy of a C array in row-major order.  double and float are converted to the default dtype;
 * int64_t gives I64, uint8_t U8. */
EBB_API ebb_tensor *ebb_from_f64(
	ebb_tape *t, ebb_shape shape, const double *values, const char *site);
#define ebb_from_f64(...) EBB_CALL(ebb_from_f64, __VA_ARGS__)
EBB_API ebb_tensor *ebb_from_f32(
	ebb_tape *t, ebb_shape shape, const float *values, const char *site);
#define ebb_from_f32(...) EBB_CALL(ebb_from_f32, __VA_ARGS__)
EBB_API ebb_tensor *ebb_from_i64(
	ebb_tape *t, ebb_shape shape, const int64_t *values, const char *site);
#define ebb_from_i64(...) EBB_CALL(ebb_from_i64, __VA_ARGS__)
EBB_API ebb_tensor *ebb_from_u8(
	ebb_tape *t, ebb_shape shape, const uint8_t *values, const char *site);
#define ebb_from_u8(...) EBB_CALL(ebb_from_u8, __VA_ARGS__)
/* n numbers from start to stop at equal distances, of the default dtype: y[i] = start +
 * i*(stop - start)/(n-1), y[n-1] = stop.  n = 1 gives start. */
EBB_API ebb_tensor *ebb_linspace(
	ebb_tape *t, double start, double stop, int64_t n, const char *site);
#define ebb_linspace(...) EBB_CALL(ebb_linspace, __VA_ARGS__)
/* [n,columns] (columns: by default n) with 1 on the main diagonal and 0 elsewhere, of the default
 * dtype */
typedef struct ebb_eye_args {
	ebb_tape *t;
	int64_t n, columns;
	const char *site;
} ebb_eye_args;
EBB_API ebb_tensor *ebb_eye(const ebb_eye_args *a);
#define ebb_eye(...) EBB_CALL_ARGS(ebb_eye, ebb_eye_args, __VA_ARGS__)
/* y = 0, 1, .., n-1, as I64 */
EBB_API ebb_tensor *ebb_arange(ebb_tape *t, int64_t n, const char *site);
#define ebb_arange(...) EBB_CALL(ebb_arange, __VA_ARGS__)
/* Uniform random numbers in [0,1), of the default dtype. */
EBB_API ebb_tensor *ebb_rand(ebb_tape *t, ebb_shape shape, const char *site);
#define ebb_rand(...) EBB_CALL(ebb_rand, __VA_ARGS__)
/* Random numbers of the normal distribution with mean 0 and standard deviation 1. */
EBB_API ebb_tensor *ebb_randn(ebb_tape *t, ebb_shape shape, const char *site);
#define ebb_randn(...) EBB_CALL(ebb_randn, __VA_ARGS__)
/* Uniform random integers in [low,high), as I64, without bias; low >= high is an error. */
EBB_API ebb_tensor *ebb_randint(
	ebb_tape *t, ebb_shape shape, int64_t low, int64_t high, const char *site);
#define ebb_randint(...) EBB_CALL(ebb_randint, __VA_ARGS__)
/* A random permutation of 0, 1, .., n-1, as I64; Durstenfeld 1964 */
EBB_API ebb_tensor *ebb_randperm(ebb_tape *t, int64_t n, const char *site);
#define ebb_randperm(...) EBB_CALL(ebb_randperm, __VA_ARGS__)
/* count draws from each row of weights [..,K] as I64 [..,count]: k with probability w[k]/(sum w).
 * Without .replacement a row never draws an index twice, and draws are in the order of Efraimidis &
 * Spirakis 2006.  An index of weight 0 is never drawn.  A weight that is negative or not finite is
 * an error, and so is a row with fewer weights above 0 than count (with .replacement: with none).
 * count is at least 1.
 * Not differentiable: weights that require a gradient are an error. */
typedef struct ebb_multinomial_args {
	ebb_tape *t;
	ebb_tensor *weights;
	int64_t count;
	bool replacement;
	const char *site;
} ebb_multinomial_args;
EBB_API ebb_tensor *ebb_multinomial(const ebb_multinomial_args *a);
#define ebb_multinomial(...) EBB_CALL_ARGS(ebb_multinomial, ebb_multinomial_args, __VA_ARGS__)
/* y[..,k] = 1 where k = index[..], else 0, of the default dtype; index I64 of any shape, 0 <= index
 * < classes.  classes -1: one more than the largest index. */
EBB_API ebb_tensor *ebb_one_hot(ebb_tape *t, ebb_tensor *index, int64_t classes, const char *site);
#define ebb_one_hot(...) EBB_CALL(ebb_one_hot, __VA_ARGS__)
/* x, of any dtype, converted to F32, F64, I64 or U8, in x's memory order; another dtype is an
 * error. Differentiable between F32 and F64.  To I64 and U8, reals are truncated toward zero, and a
 * number that the type cannot hold (NaN, infinity, -1 as U8) is an error that names the first; an x
 * that requires a gradient is an error, too (ebb_detach removes it from the graph). */
EBB_API ebb_tensor *ebb_cast(ebb_tape *t, ebb_tensor *x, ebb_dtype dtype, const char *site);
#define ebb_cast(...) EBB_CALL(ebb_cast, __VA_ARGS__)

/* ---- Reductions (reduce.c, scan.c) ----------------------------------------------------------- */

/* Reductions are over .axes, by default all.  The result lacks these axes; with .keepdim they have
 * size 1.  sum, prod and cumsum of I64 and of U8 are I64, modulo 2^64; max, min, argmax and argmin
 * take I64 and U8, too.  For the other reductions integers are an error. */

typedef struct ebb_reduce_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool keepdim;
	const char *site;
} ebb_reduce_args;
/* y = sum x; 0 where nothing is summed */
EBB_API ebb_tensor *ebb_sum(const ebb_reduce_args *a);
#define ebb_sum(...) EBB_CALL_ARGS(ebb_sum, ebb_reduce_args, __VA_ARGS__)
/* y = (sum x)/n over n elements; NaN where n = 0 */
EBB_API ebb_tensor *ebb_mean(const ebb_reduce_args *a);
#define ebb_mean(...) EBB_CALL_ARGS(ebb_mean, ebb_reduce_args, __VA_ARGS__)
/* y = log(sum exp(x)), computed as max + log(sum exp(x - max)).  Where y is -infinity the
 * gradient is 0; where y is infinity the infinite elements share the gradient equally. */
EBB_API ebb_tensor *ebb_logsumexp(const ebb_reduce_args *a);
#define ebb_logsumexp(...) EBB_CALL_ARGS(ebb_logsumexp, ebb_reduce_args, __VA_ARGS__)

/* y = product of x, 1 over no elements; the gradient is exact where elements are 0 */
EBB_API ebb_tensor *ebb_prod(const ebb_reduce_args *a);
#define ebb_prod(...) EBB_CALL_ARGS(ebb_prod, ebb_reduce_args, __VA_ARGS__)

/* y = max x (min x); the gradient goes to the first of equal elements.  *.index receives the
 * position along the axis as I64; with .index there must be one axis.  A reduction over no
 * elements is an error. */
typedef struct ebb_extreme_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool keepdim;
	ebb_tensor **index;
	const char *site;
} ebb_extreme_args;
EBB_API ebb_tensor *ebb_max(const ebb_extreme_args *a);
#define ebb_max(...) EBB_CALL_ARGS(ebb_max, ebb_extreme_args, __VA_ARGS__)
EBB_API ebb_tensor *ebb_min(const ebb_extreme_args *a);
#define ebb_min(...) EBB_CALL_ARGS(ebb_min, ebb_extreme_args, __VA_ARGS__)

/* y = sum (x - mean)^2/(n - correction) over n elements; correction defaults to 1 (EBB_ZERO for
 * 0, the variance of a population) */
typedef struct ebb_var_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	double correction;
	bool keepdim;
	const char *site;
} ebb_var_args;
EBB_API ebb_tensor *ebb_var(const ebb_var_args *a);
#define ebb_var(...) EBB_CALL_ARGS(ebb_var, ebb_var_args, __VA_ARGS__)
/* y = sqrt(var x), which is finite also where the variance overflows the type; derivative 0 at 0 */
EBB_API ebb_tensor *ebb_std(const ebb_var_args *a);
#define ebb_std(...) EBB_CALL_ARGS(ebb_std, ebb_var_args, __VA_ARGS__)

/* The position of the maximum (minimum) along an axis, as I64; the result lacks this axis.  Of
 * equal elements the first one is taken; if there is a NaN, the first NaN is taken.  Not
 * differentiable: an x that requires a gradient is an error (ebb_detach removes it from the
 * graph). */
EBB_API ebb_tensor *ebb_argmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_argmax(...) EBB_CALL(ebb_argmax, __VA_ARGS__)
EBB_API ebb_tensor *ebb_argmin(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_argmin(...) EBB_CALL(ebb_argmin, __VA_ARGS__)

/* y[..,k,..] = x[..,0,..] + .. + x[..,k,..] along axis */
EBB_API ebb_tensor *ebb_cumsum(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_cumsum(...) EBB_CALL(ebb_cumsum, __VA_ARGS__)

/* y = (sum |x|^p)^(1/p), p > 0, by default 2.  The powers may overflow or underflow the type
 * without effect on y or its gradient.  The derivative of |x_i| at 0 is 0.  At x = 0 the
 * derivatives of the 2-norm, of every order, are 0.  p = INFINITY gives the largest |x|, whose
 * gradient goes to the first of equal elements.  p = EBB_ZERO gives the number of nonzero x. */
typedef struct ebb_norm_args {
	ebb_tape *t;
	ebb_tensor *x;
	double p;
	ebb_axes axes;
	bool keepdim;
	const char *site;
} ebb_norm_args;
EBB_API ebb_tensor *ebb_norm(const ebb_norm_args *a);
#define ebb_norm(...) EBB_CALL_ARGS(ebb_norm, ebb_norm_args, __VA_ARGS__)

/* x summed to a shape that broadcasts to x's shape: the gradient of broadcasting */
EBB_API ebb_tensor *ebb_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
#define ebb_sum_to(...) EBB_CALL(ebb_sum_to, __VA_ARGS__)

/* ---- Shapes (shape.c, rearrange.c) ----------------------------------------------------------- */

/* The result is a view of x where strides can express it, else a copy.  x may be of any type. */

/* x in row-major order with another shape; one size may be -1, and is computed from the others */
EBB_API ebb_tensor *ebb_reshape(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
#define ebb_reshape(...) EBB_CALL(ebb_reshape, __VA_ARGS__)
/* [N,..] to [N,rest], in row-major order */
EBB_API ebb_tensor *ebb_flatten(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_flatten(...) EBB_CALL(ebb_flatten, __VA_ARGS__)
/* Axis i of y is axis axes[i] of x. */
EBB_API ebb_tensor *ebb_permute(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site);
#define ebb_permute(...) EBB_CALL(ebb_permute, __VA_ARGS__)
/* x with axis_a and axis_b exchanged. */
EBB_API ebb_tensor *ebb_transpose(
	ebb_tape *t, ebb_tensor *x, int axis_a, int axis_b, const char *site);
#define ebb_transpose(...) EBB_CALL(ebb_transpose, __VA_ARGS__)
/* x broadcast to a shape; a size of -1 is x's size on this axis */
EBB_API ebb_tensor *ebb_expand(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
#define ebb_expand(...) EBB_CALL(ebb_expand, __VA_ARGS__)
/* x with a new axis of size 1; axis is the position of the new axis in the result */
EBB_API ebb_tensor *ebb_unsqueeze(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_unsqueeze(...) EBB_CALL(ebb_unsqueeze, __VA_ARGS__)
/* x without the given axis, whose size must be 1 */
EBB_API ebb_tensor *ebb_squeeze(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_squeeze(...) EBB_CALL(ebb_squeeze, __VA_ARGS__)
#define EBB_END INT64_MAX
/* x[start:stop:step] along an axis, as in Python: negative positions count from the end, and
 * positions outside x are clipped (EBB_END is the end); step >= 1. */
EBB_API ebb_tensor *ebb_slice(ebb_tape *t, ebb_tensor *x, int axis, int64_t start, int64_t stop,
	int64_t step, const char *site);
#define ebb_slice(...) EBB_CALL(ebb_slice, __VA_ARGS__)
/* The elements along the axes (all, if none is given) in reverse order. */
EBB_API ebb_tensor *ebb_flip(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site);
#define ebb_flip(...) EBB_CALL(ebb_flip, __VA_ARGS__)
/* x [..,R,C] with 0 above (tril) or below (triu) diagonal d; d = 0 is the main diagonal, d = 1
 * the one above it. */
EBB_API ebb_tensor *ebb_tril(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site);
#define ebb_tril(...) EBB_CALL(ebb_tril, __VA_ARGS__)
EBB_API ebb_tensor *ebb_triu(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site);
#define ebb_triu(...) EBB_CALL(ebb_triu, __VA_ARGS__)
/* [..,C*f*f,H,W] -> [..,C,H*f,W*f]: y[c,h*f+i,w*f+j] = x[(c*f+i)*f+j,h,w]; Shi et al. 2016 */
EBB_API ebb_tensor *ebb_pixel_shuffle(ebb_tape *t, ebb_tensor *x, int64_t f, const char *site);
#define ebb_pixel_shuffle(...) EBB_CALL(ebb_pixel_shuffle, __VA_ARGS__)
/* x itself if its elements are contiguous in memory in the given order, else a copy in this
 * order */
EBB_API ebb_tensor *ebb_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);
#define ebb_dense(...) EBB_CALL(ebb_dense, __VA_ARGS__)

/* ---- Joining, padding, indexing (join.c, index.c) -------------------------------------------- */

/* Tensors of integers are joined, padded (with an integer) and indexed like others; sums of
 * scatter_add are modulo 2^64 (I64) or 2^8 (U8).  The weight of an embedding is F32 or F64. */

/* The n tensors one after another along an axis; their other sizes are equal. */
EBB_API ebb_tensor *ebb_concat(
	ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
#define ebb_concat(...) EBB_CALL(ebb_concat, __VA_ARGS__)
/* The n tensors, of one shape, along a new axis. */
EBB_API ebb_tensor *ebb_stack(ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site);
#define ebb_stack(...) EBB_CALL(ebb_stack, __VA_ARGS__)
/* x split along an axis into n views of sizes[k], whose sum is the size of the axis; equal sizes if
 * sizes is NULL.  part[0..n-1] receives the views, or NULL on failure.  True on success. */
EBB_API bool ebb_split(ebb_tape *t, ebb_tensor *x, int axis, int n, const int64_t *sizes,
	ebb_tensor **part, const char *site);
#define ebb_split(...) EBB_CALL(ebb_split, __VA_ARGS__)
/* The padding before and after each axis, the last axis first: EBB_PADS(left, right, top,
 * bottom).  A negative pad crops. */
typedef struct ebb_pads {
	int n;
	int64_t pad[2 * EBB_MAX_DIMS];
} ebb_pads;
#define EBB_PADS(...) EBB_LIST(ebb_pads, int64_t, __VA_ARGS__)
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
/* x with elements added around it: .value, or elements of x by .mode.  With EBB_PAD_REFLECT each
 * pad must be less than the size of the axis; with EBB_PAD_CIRCULAR it must be at most the size
 * that is left after cropping. */
EBB_API ebb_tensor *ebb_pad(const ebb_pad_args *a);
#define ebb_pad(...) EBB_CALL_ARGS(ebb_pad, ebb_pad_args, __VA_ARGS__)
/* y[..,k,..] = x[..,index[k],..] along axis; index [K], I64, 0 <= index < size */
EBB_API ebb_tensor *ebb_index_select(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site);
#define ebb_index_select(...) EBB_CALL(ebb_index_select, __VA_ARGS__)
/* y[i,k,j] = x[i,index[i,k,j],j] along axis; index is I64 with x's number of axes; its sizes on the
 * other axes are at most x's */
EBB_API ebb_tensor *ebb_gather(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site);
#define ebb_gather(...) EBB_CALL(ebb_gather, __VA_ARGS__)

/* y = x, then y[i,index[i,k,j],j] += src[i,k,j] along axis; index is I64 of src's shape, and its
 * sizes of the other axes are at most x's.  Differentiable by x and src. */
EBB_API ebb_tensor *ebb_scatter_add(
	ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, ebb_tensor *src, const char *site);
#define ebb_scatter_add(...) EBB_CALL(ebb_scatter_add, __VA_ARGS__)

/* ---- Sorting (sort.c) ------------------------------------------------------------------------ */

/* x of any type in ascending order along the one axis in .axes, by default the last; with
 * .descending in descending order.  Equal elements keep their order; -0 equals 0; NaNs are larger than all numbers and keep their order.
 * *.index receives the positions in x as I64.  The gradient of reals goes to these positions. */
typedef struct ebb_sort_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool descending;
	ebb_tensor **index;
	const char *site;
} ebb_sort_args;
EBB_API ebb_tensor *ebb_sort(const ebb_sort_args *a);
#define ebb_sort(...) EBB_CALL_ARGS(ebb_sort, ebb_sort_args, __VA_ARGS__)
/* The positions that ebb_sort sorts by.  Not differentiable: an x that requires a gradient is an
 * error (ebb_detach removes it from the graph). */
typedef struct ebb_argsort_args {
	ebb_tape *t;
	ebb_tensor *x;
	ebb_axes axes;
	bool descending;
	const char *site;
} ebb_argsort_args;
EBB_API ebb_tensor *ebb_argsort(const ebb_argsort_args *a);
#define ebb_argsort(...) EBB_CALL_ARGS(ebb_argsort, ebb_argsort_args, __VA_ARGS__)
/* The k largest elements of x along the one axis in .axes, by default the last, in descending order;
 * with .smallest the k smallest ones in ascending order: the first k of ebb_sort.  k is from 1 to
 * the size of the axis. */
typedef struct ebb_topk_args {
	ebb_tape *t;
	ebb_tensor *x;
	int64_t k;
	ebb_axes axes;
	bool smallest;
	ebb_tensor **index;
	const char *site;
} ebb_topk_args;
EBB_API ebb_tensor *ebb_topk(const ebb_topk_args *a);
#define ebb_topk(...) EBB_CALL_ARGS(ebb_topk, ebb_topk_args, __VA_ARGS__)

/* ---- Tables (index.c) ------------------------------------------------------------------------ */

/* y[..,:] = weight[index[..],:]; index I64 of any shape, weight [V,D].  The gradient of row
 * .padding_idx of weight is 0.  By default there is no such row; EBB_ZERO is row 0, and negative
 * numbers count from the last row. */
typedef struct ebb_embedding_args {
	ebb_tape *t;
	ebb_tensor *index, *weight;
	double padding_idx;
	const char *site;
} ebb_embedding_args;
EBB_API ebb_tensor *ebb_embedding(const ebb_embedding_args *a);
#define ebb_embedding(...) EBB_CALL_ARGS(ebb_embedding, ebb_embedding_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
