/*
 * products.h - matrix products, attention, convolution, pooling, upsampling.
 */
#ifndef EBB_OPS_PRODUCTS_H
#define EBB_OPS_PRODUCTS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Matrix products (matmul.c, einsum.c, attention.c) --------------------------------------- */

/* y = a b; a [..,M,K], b [..,K,N], y [..,M,N], and the leading axes broadcast.  a or b may be a
 * vector [K]; y then lacks the axis M or N.  The ops of this header compute in F32 and F64. */
EBB_API ebb_tensor *ebb_matmul(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_matmul(...) EBB_CALL(ebb_matmul, __VA_ARGS__)
/* y = x w^T + b; x [..,I], w [O,I], b [O] or NULL, y [..,O] */
typedef struct ebb_linear_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	const char *site;
} ebb_linear_args;
/* A call is ebb_linear(t, x, w, b).  ebb_linear without parentheses after it is the type of a layer
 * (nn.h), so the function is called ebb_linear_op.  In C++ an empty layer is therefore ebb_linear{},
 * and a type such as std::function<ebb_linear(int)> needs another name for ebb_linear. */
EBB_API ebb_tensor *ebb_linear_op(const ebb_linear_args *a);
#define ebb_linear(...) EBB_CALL_ARGS(ebb_linear_op, ebb_linear_args, __VA_ARGS__)

/* y = softmax(q k^T*scale + mask) v; q [..,L,E], k [..,S,E], v [..,S,F], y [..,L,F], and the
 * leading axes broadcast.  .scale defaults to 1/sqrt(E).  With .causal, query i attends to keys
 * 0..i+.past: .past is the number of keys before the key of query 0, as in a cache.  .mask
 * broadcasts to [..,L,S]: of U8 or I64, a query does not attend to the keys where it is 0; of q's
 * type, it is added.  With .grouped, q has H heads [..,H,L,E], k and v have G [..,G,S,..], G divides
 * H, and query head h reads head h/(H/G) of k and v (Ainslie et al. 2023).  While the tape trains,
 * each weight is set to 0 with probability .dropout, and the others are divided by 1 - .dropout.
 * Where a query attends to no key, or all its scores q k^T*scale + mask are -infinity, y and the
 * gradients are 0.  Vaswani et al. 2017; no matrix [L,S] is held (Dao et al. 2022), except for
 * derivatives of gradients. */
typedef struct ebb_attention_args {
	ebb_tape *t;
	ebb_tensor *q, *k, *v;
	ebb_tensor *mask;
	bool causal, grouped;
	int64_t past;
	double scale, dropout;
	const char *site;
} ebb_attention_args;
EBB_API ebb_tensor *ebb_attention(const ebb_attention_args *a);
#define ebb_attention(...) EBB_CALL_ARGS(ebb_attention, ebb_attention_args, __VA_ARGS__)

/* A sum of products by Einstein's convention, as in NumPy and PyTorch: "ij,jk->ik" is the product of
 * two matrices, "bhld,bhsd->bhls" the scores of attention.  Each letter A to Z, a to z is the index of
 * an axis of a or b, and each letter after -> of an axis of y; the sum is over the indices that y
 * lacks.  An ellipsis ... stands for any axes, which broadcast.  The sizes of an index are equal, or 1.
 * An index that is repeated in one operand is the diagonal of its axes.  Spaces are ignored.
 * Without ->, y has the axes of the ellipsis and then, in alphabetical order, the indices that occur
 * once.  With one operand ("ij->ji"), b is left out.  a and b are of one type. */
typedef struct ebb_einsum_args {
	ebb_tape *t;
	const char *equation;
	ebb_tensor *a, *b;
	const char *site;
} ebb_einsum_args;
EBB_API ebb_tensor *ebb_einsum(const ebb_einsum_args *a);
#define ebb_einsum(...) EBB_CALL_ARGS(ebb_einsum, ebb_einsum_args, __VA_ARGS__)

/* ---- Convolution and pooling (conv.c, conv1d.c, pool.c, unpool.c, upsample.c) ---------------- */

/* .pad = EBB_SAME: the output has ceil(H/stride) rows; if the total padding of an axis is odd, the
 * bottom (the right) gets one row (column) more. */
#define EBB_SAME (-1)
/* The members that determine the positions of the windows.  The arguments of ops, the arguments of
 * layers and the layers all contain these members.  stride, dilation and groups default to 1, pad
 * and output_pad to 0.  Where an element of a _hw pair {height, width} or of pad_tblr {top, bottom,
 * left, right} is not 0, that member takes precedence over the single number. */
#define EBB_CONV_GEOMETRY int stride, pad, dilation, groups
#define EBB_CONV_GEOMETRY_HW int stride_hw[2], pad_hw[2], dilation_hw[2], pad_tblr[4]
#define EBB_CONV_TRANSPOSE_GEOMETRY int stride, pad, output_pad, dilation, groups
#define EBB_CONV_TRANSPOSE_GEOMETRY_HW int stride_hw[2], pad_hw[2], output_pad_hw[2], dilation_hw[2]
/* y[n,o,i,j] = b[o] + sum w[o,c,u,v]*x[n,c,i*s+u*d-p,j*s+v*d-p].  x [N,C,H,W], w
 * [O,C/groups,Kh,Kw], b [O] or NULL; s is stride, d dilation, p pad.
 * In F32 the Winograd algorithm computes y in tiles: a NaN, an infinity or a value much larger
 * than its neighbours may affect outputs up to five positions away from its windows.
 * EBB_CONV=direct in the environment selects an algorithm without this effect. */
typedef struct ebb_conv2d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_GEOMETRY;
	EBB_CONV_GEOMETRY_HW;
	const char *site;
} ebb_conv2d_args;
EBB_API ebb_tensor *ebb_conv2d(const ebb_conv2d_args *a);
#define ebb_conv2d(...) EBB_CALL_ARGS(ebb_conv2d, ebb_conv2d_args, __VA_ARGS__)

/* y[n,o,i] = b[o] + sum w[o,c,u]*x[n,c,i*s+u*d-p].  x [N,C,L], w [O,C/groups,K], b [O] or NULL.
 * .pad may be EBB_SAME. */
typedef struct ebb_conv1d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_GEOMETRY;
	const char *site;
} ebb_conv1d_args;
EBB_API ebb_tensor *ebb_conv1d(const ebb_conv1d_args *a);
#define ebb_conv1d(...) EBB_CALL_ARGS(ebb_conv1d, ebb_conv1d_args, __VA_ARGS__)
/* The transpose of conv2d as a linear map: without b, y is the input gradient of a conv2d whose
 * incoming gradient is x.  x [N,C,H,W], w [C,O/groups,Kh,Kw], b [O] or NULL, y [N,O,Oh,Ow]; Oh =
 * (H-1)*stride - 2 pad + dilation*(Kh-1) + output_pad + 1.  output_pad is less than stride or less
 * than dilation. */
typedef struct ebb_conv_transpose2d_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	EBB_CONV_TRANSPOSE_GEOMETRY;
	EBB_CONV_TRANSPOSE_GEOMETRY_HW;
	const char *site;
} ebb_conv_transpose2d_args;
EBB_API ebb_tensor *ebb_conv_transpose2d(const ebb_conv_transpose2d_args *a);
#define ebb_conv_transpose2d(...)                                                                  \
	EBB_CALL_ARGS(ebb_conv_transpose2d, ebb_conv_transpose2d_args, __VA_ARGS__)

/* The maximum (mean) over windows: x [N,C,H,W] -> [N,C,Oh,Ow] with Oh = floor((H + 2 pad -
 * dilation*(kernel-1) - 1)/stride) + 1, or ceil with .ceil_mode; a last window that would start in
 * the bottom or right padding is then left out.  stride defaults to kernel; pad is at most
 * kernel/2.
 * maxpool2d: the gradient goes to the first of equal elements.  *.index receives the position
 * h*W + w of each maximum, as I64 [N,C,Oh,Ow].  .inplace releases x (ebb_release), and y may
 * overwrite x's memory while the tape does not record.
 * avgpool2d: the divisor counts padding, unless .exclude_pad.  dilation, index and inplace are
 * errors. */
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
#define ebb_maxpool2d(...) EBB_CALL_ARGS(ebb_maxpool2d, ebb_pool2d_args, __VA_ARGS__)
EBB_API ebb_tensor *ebb_avgpool2d(const ebb_pool2d_args *a);
#define ebb_avgpool2d(...) EBB_CALL_ARGS(ebb_avgpool2d, ebb_pool2d_args, __VA_ARGS__)
/* The mean (maximum) over rows floor(i*H/Oh) .. ceil((i+1)*H/Oh) - 1, columns alike.  .size is Oh =
 * Ow, by default 1, or .size_hw is {Oh, Ow}.  .index is for the maximum only, as in
 * ebb_maxpool2d. */
typedef struct ebb_adaptive_args {
	ebb_tape *t;
	ebb_tensor *x;
	int size;
	int size_hw[2];
	ebb_tensor **index;
	const char *site;
} ebb_adaptive_args;
EBB_API ebb_tensor *ebb_adaptive_avgpool2d(const ebb_adaptive_args *a);
#define ebb_adaptive_avgpool2d(...)                                                                \
	EBB_CALL_ARGS(ebb_adaptive_avgpool2d, ebb_adaptive_args, __VA_ARGS__)
EBB_API ebb_tensor *ebb_adaptive_maxpool2d(const ebb_adaptive_args *a);
#define ebb_adaptive_maxpool2d(...)                                                                \
	EBB_CALL_ARGS(ebb_adaptive_maxpool2d, ebb_adaptive_args, __VA_ARGS__)
/* A partial inverse of max pooling: x [N,C,h,w] -> [N,C,H,W], which is x at the positions index
 * and 0 elsewhere.  index is I64 of x's shape, as ebb_maxpool2d gives it, 0 <= index < H*W.  Of
 * several elements at one position the last in row-major order is kept; the gradient of each,
 * also of those not kept, is y's gradient at its position, as in PyTorch. */
EBB_API ebb_tensor *ebb_max_unpool2d(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, int64_t height,
	int64_t width, const char *site);
#define ebb_max_unpool2d(...) EBB_CALL(ebb_max_unpool2d, __VA_ARGS__)

/* x [N,C,H,W] -> [N,C,Oh,Ow].  .size (or .size_hw) gives Oh and Ow, or .scale (or .scale_hw)
 * gives Oh = floor(H*scale).  EBB_NEAREST: y[i] = x[floor(i*r)], r = 1/scale if scale is given,
 * else H/Oh.  EBB_BILINEAR interpolates between the pixels beside (i+1/2)*r - 1/2 (at least 0),
 * or beside i*(H-1)/(Oh-1) with .align_corners. */
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
#define ebb_upsample(...) EBB_CALL_ARGS(ebb_upsample, ebb_upsample_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
