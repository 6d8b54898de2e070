/*
 * products.h - matrix products, attention, convolution, pooling, upsampling.
 */
#ifndef EBB_OPS_PRODUCTS_H
#define EBB_OPS_PRODUCTS_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Products (matmul.c, attention.c) --------------------------------------------------------------------- */

/* a [..,M,K] x b [..,K,N] -> [..,M,N], leading axes broadcast; a or b may be a vector [K],
 * whose axis then vanishes */
EBB_API ebb_tensor *ebb_matmul(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_matmul(...) EBB_CALL(ebb_matmul, __VA_ARGS__)
/* x [..,I] -> x w^T + b [..,O]; w [O,I], b [O] or NULL */
typedef struct ebb_linear_args {
	ebb_tape *t;
	ebb_tensor *x, *w, *b;
	const char *site;
} ebb_linear_args;
/* C calls this op ebb_linear(t, x, w, b).  ebb_linear without parentheses is the type of a layer
 * (nn.h), so the function has a name of its own, and C++ sees no macro. */
EBB_API ebb_tensor *ebb_linear_op(const ebb_linear_args *a);
#ifndef __cplusplus
#define ebb_linear(...) EBB_CALL_ARGS(ebb_linear_op, ebb_linear_args, __VA_ARGS__)
#endif

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
#define ebb_attention(...) EBB_CALL_ARGS(ebb_attention, ebb_attention_args, __VA_ARGS__)

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
#define ebb_conv_transpose2d(...)                                                                  \
	EBB_CALL_ARGS(ebb_conv_transpose2d, ebb_conv_transpose2d_args, __VA_ARGS__)

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
#define ebb_maxpool2d(...) EBB_CALL_ARGS(ebb_maxpool2d, ebb_pool2d_args, __VA_ARGS__)
EBB_API ebb_tensor *ebb_avgpool2d(const ebb_pool2d_args *a);
#define ebb_avgpool2d(...) EBB_CALL_ARGS(ebb_avgpool2d, ebb_pool2d_args, __VA_ARGS__)
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
#define ebb_adaptive_avgpool2d(...)                                                                \
	EBB_CALL_ARGS(ebb_adaptive_avgpool2d, ebb_adaptive_args, __VA_ARGS__)
EBB_API ebb_tensor *ebb_adaptive_maxpool2d(const ebb_adaptive_args *a);
#define ebb_adaptive_maxpool2d(...)                                                                \
	EBB_CALL_ARGS(ebb_adaptive_maxpool2d, ebb_adaptive_args, __VA_ARGS__)
/* Max pooling's partial inverse: x [N,C,h,w] -> [N,C,H,W], zeros but for x at index (I64, of x's
 * shape, as maxpool2d gives it, 0 <= index < H*W).  Of several at one place the last in reading
 * order stays; as PyTorch's, the gradient gathers at index, for those that did not stay too. */
EBB_API ebb_tensor *ebb_max_unpool2d(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, int64_t height,
	int64_t width, const char *site);
#define ebb_max_unpool2d(...) EBB_CALL(ebb_max_unpool2d, __VA_ARGS__)

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
#define ebb_upsample(...) EBB_CALL_ARGS(ebb_upsample, ebb_upsample_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
