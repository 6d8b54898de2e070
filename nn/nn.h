/*
 * nn.h - parameters and the layers that use them.
 *
 * A model is a struct of layers and a function.  Its parameters live in a store, under dotted names
 * and with shapes as in torchvision ("layer1.0.conv1.weight"), so that published weights load
 * unchanged.  A layer is a small struct of pointers into the store.
 *
 * Errors of a store are sticky, as a tape's are: the store keeps its first error, and later calls
 * on the store return NULL.  A layer made on a failed store is a zeroed struct, which the layer's
 * forward function reports on the tape.  An op that uses a parameter of a failed store fails the
 * tape with the store's error, so that one check of the tape, or of everything by ebb_ok (ebb.h),
 * is enough.
 */
#ifndef EBB_NN_H
#define EBB_NN_H

#include "../autograd/autograd.h"
#include "../ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The parameter store (params.c) --------------------------------------------------------- */

typedef struct ebb_params ebb_params;

/* An empty store.  The initial value of a parameter depends on seed and on the parameter's name
 * alone: two models with the same names and seed start with the same values.  NULL if there is no
 * memory; every function accepts a NULL store. */
EBB_API ebb_params *ebb_params_new(uint64_t seed);
/* Frees the store with its tensors, views and containers (ebb_sequential).  Does nothing for a
 * view.  Reset or free the tapes that used the tensors first. */
EBB_API void ebb_params_free(ebb_params *p);
/* A view of p that puts prefix and a dot before every name: below the prefix "layer1.0", the
 * parameter "conv1.weight" is "layer1.0.conv1.weight" in the store.  Counts, indices,
 * ebb_params_find, globs, gradients and optimizers of a view cover only the parameters below its
 * prefix.  The store owns the view; the same prefix returns the same view.  NULL (an error in the
 * store) if the prefix is NULL, empty, or has an empty part, or if there is no memory. */
EBB_API ebb_params *ebb_params_sub(ebb_params *p, const char *prefix);
/* The type of all parameters and buffers: EBB_F32 (the default) or EBB_F64.  An error in the store
 * for another type, and for a change after the first parameter or buffer was added. */
EBB_API bool ebb_params_set_dtype(ebb_params *p, ebb_dtype dtype);
EBB_API ebb_dtype ebb_params_dtype(const ebb_params *p);

/* The store's first error, or NULL if there was none.  For a NULL store: an error that says so. */
EBB_API const ebb_error *ebb_params_error(const ebb_params *p);
EBB_API void ebb_params_clear_error(ebb_params *p);
/* Fails the store with the message "site: text", unless it has failed before.  For layers that you
 * write yourself.  Returns NULL. */
EBB_API ebb_tensor *ebb_params_fail(ebb_params *p, ebb_status status, const char *site,
	const char *format, ...) EBB_PRINTF(4, 5);

/* Parameters (not buffers), in the order in which they were added. */
EBB_API int64_t ebb_params_count(const ebb_params *p);    /* tensors */
EBB_API int64_t ebb_params_elements(const ebb_params *p); /* elements of all of them */
/* Elements of the parameters that are not frozen. */
EBB_API int64_t ebb_params_trainable(const ebb_params *p);
/* The parameter number index (from 0) and its full dotted name; NULL if index is out of range. */
EBB_API ebb_tensor *ebb_params_at(const ebb_params *p, int64_t index);
EBB_API const char *ebb_params_name_at(const ebb_params *p, int64_t index);
/* The same for buffers: tensors that are saved to files and not trained, such as running
 * statistics. */
EBB_API int64_t ebb_buffers_count(const ebb_params *p);
EBB_API ebb_tensor *ebb_buffers_at(const ebb_params *p, int64_t index);
EBB_API const char *ebb_buffers_name_at(const ebb_params *p, int64_t index);
/* The parameter or buffer of that name (below p's prefix), or NULL. */
EBB_API ebb_tensor *ebb_params_find(const ebb_params *p, const char *name);

/* Sets whether parameters train (ebb_set_requires_grad).  glob is matched with the names below p's
 * prefix: "layer1.*", "*.bias", "*".  It is a pattern of fnmatch(3) without flags, so * also
 * matches dots.  Returns how many parameters matched.  ebb_params_freeze also clears their
 * gradients (ebb_zero_grad). */
EBB_API int64_t ebb_params_freeze(ebb_params *p, const char *glob);
EBB_API int64_t ebb_params_unfreeze(ebb_params *p, const char *glob);
/* Whether glob matches the name, below p's prefix, of parameter number index. */
EBB_API bool ebb_params_match(const ebb_params *p, int64_t index, const char *glob);
/* Clears every gradient (ebb_zero_grad); their memory is kept for the next backward pass. */
EBB_API void ebb_params_zero_grad(ebb_params *p);
/* The 2-norm of all gradients together; 0 if there are none. */
EBB_API double ebb_params_grad_norm(const ebb_params *p);

/* ---- Copying between stores (copy.c) -------------------------------------------------------- */

/* Copies the values of all parameters and buffers of src to those of dst with the same names, which
 * are relative to the prefix if dst or src is a view.  Values are converted if one store is F32 and
 * the other F64.  For snapshots, and for target networks (Mnih et al. 2015).
 *
 * .glob: only names that match (as for ebb_params_freeze, but also of buffers).  Without .partial
 * it is an error if a name of one store is missing in the other, or has another shape.  With
 * .partial the tensors that fit are copied; it is an error if none fits.
 *
 * Gradients and frozen parameters stay as they are.  The version of each tensor that is written is
 * incremented (ebb_data_mutable).  On failure nothing is changed: false with an error in .error, or
 * in dst if .error is NULL. */
typedef struct ebb_params_copy_args {
	ebb_params *dst;
	const ebb_params *src;
	const char *glob;
	bool partial;
	ebb_error *error;
	const char *site;
} ebb_params_copy_args;
EBB_API bool ebb_params_copy(const ebb_params_copy_args *a);
/* dst += weight*(src - dst), for the same tensors and with the same errors; the weight is from 0 to
 * 1.  ebb_params_lerp(target, p, 0.005) lets a target network follow a model (Lillicrap et al.
 * 2016). */
typedef struct ebb_params_lerp_args {
	ebb_params *dst;
	const ebb_params *src;
	double weight;
	const char *glob;
	bool partial;
	ebb_error *error;
	const char *site;
} ebb_params_lerp_args;
EBB_API bool ebb_params_lerp(const ebb_params_lerp_args *a);

/* ---- Initial values (init.c) ---------------------------------------------------------------- */

typedef enum ebb_init_kind {
	EBB_INIT_DEFAULT, /* the default of the layer, which is PyTorch's */
	EBB_INIT_ZEROS,
	EBB_INIT_CONSTANT, /* .value */
	EBB_INIT_UNIFORM,  /* U(.low, .high), by default U(0, 1) */
	EBB_INIT_NORMAL,   /* N(.mean, .std^2), by default N(0, 1) */
	/* The same, restricted to .mean - 2 .std .. .mean + 2 .std; its standard deviation is 0.880
	 * .std */
	EBB_INIT_TRUNCATED_NORMAL,
	/* U(-b, b), b = gain*sqrt(3/fan), and N(0, gain^2/fan); He et al. 2015 */
	EBB_INIT_KAIMING_UNIFORM,
	EBB_INIT_KAIMING_NORMAL,
	/* The same with fan = (fan_in + fan_out)/2; Glorot & Bengio 2010 */
	EBB_INIT_XAVIER_UNIFORM,
	EBB_INIT_XAVIER_NORMAL,
	EBB_INIT_LECUN_NORMAL, /* N(0, 1/fan_in); LeCun et al. 1998 */
	/* gain*Q for w [O,rest]: the rows of Q are orthonormal, or its columns if O > rest; Saxe et
	 * al. 2014 */
	EBB_INIT_ORTHOGONAL
} ebb_init_kind;

/* The nonlinearity after the layer.  Each nonlinearity has a gain for the initial weights, which
 * keeps the variance of the activations about constant from layer to layer (PyTorch's
 * calculate_gain). */
typedef enum ebb_nonlinearity {
	EBB_GAIN_DEFAULT,   /* Kaiming: ReLU's; else 1 */
	EBB_GAIN_LINEAR,    /* 1 */
	EBB_GAIN_SIGMOID,   /* 1 */
	EBB_GAIN_TANH,      /* 5/3 */
	EBB_GAIN_RELU,      /* sqrt 2 */
	EBB_GAIN_LEAKY_RELU /* sqrt(2/(1 + slope^2)) */
} ebb_nonlinearity;

/* How to fill a tensor: .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL, .fan_out = true).  fan_in = I*K,
 * fan_out = O*K for w [O,I,kernel...], where K is the number of positions of the kernel and, in a
 * grouped convolution, I is the number of input channels of one group. */
typedef struct ebb_init {
	ebb_init_kind kind;
	double value;           /* constant */
	double low, high;       /* uniform; both left out: 0 and 1 */
	double mean, std;       /* normal; std defaults to 1 */
	bool fan_out;           /* Kaiming: fan is fan_out instead of fan_in */
	ebb_nonlinearity after; /* sets the gain of Kaiming, Xavier and orthogonal */
	double slope;           /* of leaky ReLU, for its gain; default 0.01 */
	double gain;            /* the gain as a number; replaces the gain of .after */
} ebb_init;
#ifdef __cplusplus
#define EBB_INIT(...) (ebb::make<ebb_init>(__VA_ARGS__))
#else
#define EBB_INIT(...) ((ebb_init){.kind = __VA_ARGS__})
#endif

/* "kaiming_normal", "xavier_uniform", "lecun_normal", "orthogonal", "normal", "zeros", "default",
 * ...; an unknown name is an error in e, and returns EBB_INIT_DEFAULT. */
EBB_API ebb_init ebb_init_named(const char *name, ebb_error *e);
/* The gain for a nonlinearity; only that of leaky ReLU depends on slope. */
EBB_API double ebb_gain(ebb_nonlinearity after, double slope);
/* Fills a persistent F32 or F64 tensor.  The values depend on init, seed and stream, never on the
 * number of threads.  Kaiming, Xavier, LeCun and orthogonal values need at least two axes.
 * EBB_INIT_DEFAULT is U(-1/sqrt(fan_in), 1/sqrt(fan_in)).  False with an error in e for a bad
 * tensor or bad numbers. */
EBB_API bool ebb_init_fill(
	ebb_tensor *x, const ebb_init *init, uint64_t seed, uint64_t stream, ebb_error *e);

/* ---- Parameters of your own layers ---------------------------------------------------------- */

/* Adds a parameter called name (dotted, without empty parts) below p's prefix: a persistent,
 * row-major tensor of the store's dtype that requires a gradient.  EBB_INIT_DEFAULT is as in
 * ebb_init_fill, but zeros for fewer than two axes.  NULL with an error in the store for a name
 * that is taken or malformed, a bad shape, or no memory. */
EBB_API ebb_tensor *ebb_params_add(
	ebb_params *p, const char *name, ebb_shape shape, ebb_init init, const char *site);
/* Adds a buffer: as ebb_params_add, but without a gradient and filled with value. */
EBB_API ebb_tensor *ebb_buffers_add(
	ebb_params *p, const char *name, ebb_shape shape, double value, const char *site);
/* The full name "prefix.name", valid as long as the store: for ebb_scope_begin in layers that you
 * write yourself.  NULL with an error in the store for a malformed name or no memory. */
EBB_API const char *ebb_params_full_name(ebb_params *p, const char *name);
/* size zeroed bytes that are freed with the store: for a model's array of layers.  NULL with an
 * error in the store if there is no memory, or the store has failed. */
EBB_API void *ebb_params_alloc(ebb_params *p, size_t size, const char *site);

/* ---- Layers (layers.c) -------------------------------------------------------------------------
 *
 * NAME_new adds the parameters "name.weight" and so on below p, and returns the layer by value.  On
 * failure the layer is zeroed and the error is in the store.  NAME_forward runs the layer's op in a
 * scope with the layer's name.  A NULL or zeroed layer is an error on the tape. */

/* y = conv2d(x, weight, bias): x [N,in,H,W] -> [N,out,Oh,Ow].  weight [out, in/groups, Kh, Kw] and
 * bias [out] start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as PyTorch's; with another .init the
 * bias starts at 0, unless .bias_init says otherwise.  The geometry is ebb_conv2d's; .kernel_hw
 * takes precedence over kernel. */
typedef struct ebb_conv {
	const char *name;
	ebb_tensor *weight, *bias;
	EBB_CONV_GEOMETRY;
	EBB_CONV_GEOMETRY_HW;
} ebb_conv;
typedef struct ebb_conv_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, out;
	int kernel;
	EBB_CONV_GEOMETRY;
	int kernel_hw[2];
	EBB_CONV_GEOMETRY_HW;
	bool no_bias;
	ebb_init init, bias_init;
	const char *site;
} ebb_conv_new_args;
EBB_API ebb_conv ebb_conv_new(const ebb_conv_new_args *a);
EBB_API ebb_tensor *ebb_conv_forward(
	ebb_tape *t, const ebb_conv *l, ebb_tensor *x, const char *site);

/* y = x weight^T + bias: x [..,in] -> [..,out].  weight [out,in], bias [out]; initial values as
 * for ebb_conv.  (The op of the same name is ebb_linear(t, x, w, b), ops.h.) */
typedef struct ebb_linear {
	const char *name;
	ebb_tensor *weight, *bias;
} ebb_linear;
typedef struct ebb_linear_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, out;
	bool no_bias;
	ebb_init init, bias_init;
	const char *site;
} ebb_linear_new_args;
EBB_API ebb_linear ebb_linear_new(const ebb_linear_new_args *a);
EBB_API ebb_tensor *ebb_linear_forward(
	ebb_tape *t, const ebb_linear *l, ebb_tensor *x, const char *site);

/* Batch normalisation per channel (ebb_batchnorm): x [N,channels] or [N,channels,..].  Parameters
 * weight (ones, or .init) and bias (zeros) [channels], unless .no_affine; buffers running_mean
 * (zeros) and running_var (ones), unless .no_stats.  eps defaults to 1e-5, momentum to 0.1.
 * .inplace: ebb_bn_forward releases x (ebb_release), and writes y into x's memory if nothing else
 * needs x. */
typedef struct ebb_bn {
	const char *name;
	ebb_tensor *weight, *bias, *running_mean, *running_var;
	double momentum, eps;
	bool inplace;
} ebb_bn;
typedef struct ebb_bn_new_args {
	ebb_params *p;
	const char *name;
	int64_t channels;
	double momentum, eps;
	bool no_affine, no_stats, inplace;
	ebb_init init;
	const char *site;
} ebb_bn_new_args;
EBB_API ebb_bn ebb_bn_new(const ebb_bn_new_args *a);
EBB_API ebb_tensor *ebb_bn_forward(ebb_tape *t, const ebb_bn *l, ebb_tensor *x, const char *site);
/* relu(bn(x) + residual) as one op (ebb_batchnorm_relu), in the layer's scope.  residual may be
 * NULL. */
EBB_API ebb_tensor *ebb_bn_relu_forward(
	ebb_tape *t, const ebb_bn *l, ebb_tensor *x, ebb_tensor *residual, const char *site);

/* The types of the following layers end in _layer, because the name without _layer is an op
 * (ebb_conv1d), and functions and types have one namespace in C.
 *
 * y = conv1d(x, weight, bias): x [N,in,L] -> [N,out,Ol].  weight [out, in/groups, kernel], bias
 * [out]; initial values as for ebb_conv, geometry as for ebb_conv1d. */
typedef struct ebb_conv1d_layer {
	const char *name;
	ebb_tensor *weight, *bias;
	EBB_CONV_GEOMETRY;
} ebb_conv1d_layer;
typedef struct ebb_conv1d_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, out;
	int kernel;
	EBB_CONV_GEOMETRY;
	bool no_bias;
	ebb_init init, bias_init;
	const char *site;
} ebb_conv1d_new_args;
EBB_API ebb_conv1d_layer ebb_conv1d_new(const ebb_conv1d_new_args *a);
EBB_API ebb_tensor *ebb_conv1d_forward(
	ebb_tape *t, const ebb_conv1d_layer *l, ebb_tensor *x, const char *site);

/* y = conv_transpose2d(x, weight, bias): x [N,in,H,W] -> [N,out,Oh,Ow].  weight
 * [in, out/groups, Kh, Kw], bias [out]; they start as U(-1/sqrt(f), 1/sqrt(f)), f =
 * out/groups*Kh*Kw, as PyTorch's.  Geometry as for ebb_conv_transpose2d; .kernel_hw takes
 * precedence over kernel. */
typedef struct ebb_conv_transpose2d_layer {
	const char *name;
	ebb_tensor *weight, *bias;
	EBB_CONV_TRANSPOSE_GEOMETRY;
	EBB_CONV_TRANSPOSE_GEOMETRY_HW;
} ebb_conv_transpose2d_layer;
typedef struct ebb_conv_transpose2d_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, out;
	int kernel;
	EBB_CONV_TRANSPOSE_GEOMETRY;
	int kernel_hw[2];
	EBB_CONV_TRANSPOSE_GEOMETRY_HW;
	bool no_bias;
	ebb_init init, bias_init;
	const char *site;
} ebb_conv_transpose2d_new_args;
EBB_API ebb_conv_transpose2d_layer ebb_conv_transpose2d_new(const ebb_conv_transpose2d_new_args *a);
EBB_API ebb_tensor *ebb_conv_transpose2d_forward(
	ebb_tape *t, const ebb_conv_transpose2d_layer *l, ebb_tensor *x, const char *site);

/* Layer normalisation (ebb_layernorm) over the last axis, of that size: weight (ones) and bias
 * (zeros) [size], unless .no_affine.  eps defaults to 1e-5. */
typedef struct ebb_layernorm_layer {
	const char *name;
	ebb_tensor *weight, *bias;
	double eps;
} ebb_layernorm_layer;
typedef struct ebb_layernorm_new_args {
	ebb_params *p;
	const char *name;
	int64_t size;
	double eps;
	bool no_affine;
	const char *site;
} ebb_layernorm_new_args;
EBB_API ebb_layernorm_layer ebb_layernorm_new(const ebb_layernorm_new_args *a);
EBB_API ebb_tensor *ebb_layernorm_forward(
	ebb_tape *t, const ebb_layernorm_layer *l, ebb_tensor *x, const char *site);

/* Group normalisation (ebb_groupnorm) of x [N,channels,..]: weight (ones) and bias (zeros)
 * [channels], unless .no_affine.  groups divides channels; eps defaults to 1e-5. */
typedef struct ebb_groupnorm_layer {
	const char *name;
	ebb_tensor *weight, *bias;
	int64_t groups;
	double eps;
} ebb_groupnorm_layer;
typedef struct ebb_groupnorm_new_args {
	ebb_params *p;
	const char *name;
	int64_t groups, channels;
	double eps;
	bool no_affine;
	const char *site;
} ebb_groupnorm_new_args;
EBB_API ebb_groupnorm_layer ebb_groupnorm_new(const ebb_groupnorm_new_args *a);
EBB_API ebb_tensor *ebb_groupnorm_forward(
	ebb_tape *t, const ebb_groupnorm_layer *l, ebb_tensor *x, const char *site);

/* ReLU with a learnt slope for negative x (ebb_prelu): weight [channels] starts at 0.25; channels
 * is 1 or the size of x's axis 1. */
typedef struct ebb_prelu_layer {
	const char *name;
	ebb_tensor *weight;
} ebb_prelu_layer;
EBB_API ebb_prelu_layer ebb_prelu_new(
	ebb_params *p, const char *name, int64_t channels, const char *site);
EBB_API ebb_tensor *ebb_prelu_forward(
	ebb_tape *t, const ebb_prelu_layer *l, ebb_tensor *x, const char *site);

/* y[..,:] = weight[index[..],:] (ebb_embedding): weight [count,size] starts as N(0, 1), or as
 * .init says; index I64.  The row .padding_idx (EBB_ZERO: row 0; negative: counted from the end;
 * default: none) starts as zeros with any .init and gets no gradient. */
typedef struct ebb_embedding_layer {
	const char *name;
	ebb_tensor *weight;
	double padding_idx;
} ebb_embedding_layer;
typedef struct ebb_embedding_new_args {
	ebb_params *p;
	const char *name;
	int64_t count, size;
	double padding_idx;
	ebb_init init;
	const char *site;
} ebb_embedding_new_args;
EBB_API ebb_embedding_layer ebb_embedding_new(const ebb_embedding_new_args *a);
EBB_API ebb_tensor *ebb_embedding_forward(
	ebb_tape *t, const ebb_embedding_layer *l, ebb_tensor *index, const char *site);

/* Dropout as a named layer without parameters (ebb_dropout): while the tape trains, it sets each
 * element to 0 with probability rate, 0 <= rate < 1. */
typedef struct ebb_drop {
	const char *name;
	double rate;
} ebb_drop;
EBB_API ebb_drop ebb_drop_new(ebb_params *p, const char *name, double rate, const char *site);
EBB_API ebb_tensor *ebb_drop_forward(
	ebb_tape *t, const ebb_drop *l, ebb_tensor *x, const char *site);

/* ---- A container of layers (sequential.c) ------------------------------------------------------
 *
 *	ebb_sequential *net = ebb_sequential_new(p, "features");
 *	ebb_sequential_conv(net, 1, 6, 5, .pad = 2);        features.0.weight, features.0.bias
 *	ebb_sequential_fn(net, ebb_relu);                   features.1
 *	ebb_sequential_maxpool2d(net, .kernel = 2);         features.2
 *	y = ebb_sequential_forward(t, net, x);
 *
 * The store owns the container.  The step number i, counted from 0, is called "name.i" and runs in
 * a scope of that name.  Two adjacent steps run as one fused op, with bit-identical results
 * (fuse.c), if they are a batch norm and an ebb_relu (in the batch norm's scope), or an ebb_relu
 * and a max pooling (in the pooling's scope).  Observers still see the scopes of both steps;
 * ebb_part_of returns the part of the fused op that is the result of a scope.
 *
 * The functions that add a step return false if they fail.  The error is then in the store, except
 * for a NULL container.  ebb_sequential_forward then fails the tape instead of running without the
 * missing step. */
typedef struct ebb_sequential ebb_sequential;
typedef ebb_tensor *(*ebb_unary_op)(ebb_tape *t, ebb_tensor *x, const char *site);
typedef ebb_tensor *(*ebb_layer_fn)(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site);

EBB_API ebb_sequential *ebb_sequential_new(ebb_params *p, const char *name, const char *site);
EBB_API bool ebb_sequential_conv(ebb_sequential *s, const ebb_conv_new_args *a);
EBB_API bool ebb_sequential_linear(ebb_sequential *s, const ebb_linear_new_args *a);
EBB_API bool ebb_sequential_bn(ebb_sequential *s, const ebb_bn_new_args *a);
EBB_API bool ebb_sequential_dropout(ebb_sequential *s, double rate, const char *site);
EBB_API bool ebb_sequential_maxpool2d(ebb_sequential *s, const ebb_pool2d_args *a);
EBB_API bool ebb_sequential_avgpool2d(ebb_sequential *s, const ebb_pool2d_args *a);
EBB_API bool ebb_sequential_adaptive_avgpool2d(ebb_sequential *s, const ebb_adaptive_args *a);
/* Adds an op of one tensor: ebb_relu, ebb_sigmoid, ebb_flatten, ... */
EBB_API bool ebb_sequential_fn(ebb_sequential *s, ebb_unary_op fn, const char *site);
/* Adds any function; ctx is passed to it and must live as long as the container. */
EBB_API bool ebb_sequential_layer(ebb_sequential *s, ebb_layer_fn fn, void *ctx, const char *site);
/* The view "name.i" of the store, for the parameters of step i, which is added next. */
EBB_API ebb_params *ebb_sequential_params(ebb_sequential *s);
EBB_API int ebb_sequential_count(const ebb_sequential *s);
/* Runs all steps in order; an empty container returns x. */
EBB_API ebb_tensor *ebb_sequential_forward(
	ebb_tape *t, const ebb_sequential *s, ebb_tensor *x, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_params_add(...) EBB_CALL(ebb_params_add, __VA_ARGS__)
#define ebb_buffers_add(...) EBB_CALL(ebb_buffers_add, __VA_ARGS__)
#define ebb_params_copy(...) EBB_CALL_ARGS(ebb_params_copy, ebb_params_copy_args, __VA_ARGS__)
#define ebb_params_lerp(...) EBB_CALL_ARGS(ebb_params_lerp, ebb_params_lerp_args, __VA_ARGS__)
#define ebb_params_alloc(...) EBB_CALL(ebb_params_alloc, __VA_ARGS__)
#define ebb_conv_new(...) EBB_CALL_ARGS(ebb_conv_new, ebb_conv_new_args, __VA_ARGS__)
#define ebb_conv_forward(...) EBB_CALL(ebb_conv_forward, __VA_ARGS__)
#define ebb_conv1d_new(...) EBB_CALL_ARGS(ebb_conv1d_new, ebb_conv1d_new_args, __VA_ARGS__)
#define ebb_conv1d_forward(...) EBB_CALL(ebb_conv1d_forward, __VA_ARGS__)
#define ebb_conv_transpose2d_new(...)                                                              \
	EBB_CALL_ARGS(ebb_conv_transpose2d_new, ebb_conv_transpose2d_new_args, __VA_ARGS__)
#define ebb_conv_transpose2d_forward(...) EBB_CALL(ebb_conv_transpose2d_forward, __VA_ARGS__)
#define ebb_linear_new(...) EBB_CALL_ARGS(ebb_linear_new, ebb_linear_new_args, __VA_ARGS__)
#define ebb_linear_forward(...) EBB_CALL(ebb_linear_forward, __VA_ARGS__)
#define ebb_bn_new(...) EBB_CALL_ARGS(ebb_bn_new, ebb_bn_new_args, __VA_ARGS__)
#define ebb_bn_forward(...) EBB_CALL(ebb_bn_forward, __VA_ARGS__)
#define ebb_bn_relu_forward(...) EBB_CALL(ebb_bn_relu_forward, __VA_ARGS__)
#define ebb_layernorm_new(...) EBB_CALL_ARGS(ebb_layernorm_new, ebb_layernorm_new_args, __VA_ARGS__)
#define ebb_layernorm_forward(...) EBB_CALL(ebb_layernorm_forward, __VA_ARGS__)
#define ebb_groupnorm_new(...) EBB_CALL_ARGS(ebb_groupnorm_new, ebb_groupnorm_new_args, __VA_ARGS__)
#define ebb_groupnorm_forward(...) EBB_CALL(ebb_groupnorm_forward, __VA_ARGS__)
#define ebb_prelu_new(...) EBB_CALL(ebb_prelu_new, __VA_ARGS__)
#define ebb_prelu_forward(...) EBB_CALL(ebb_prelu_forward, __VA_ARGS__)
#define ebb_embedding_new(...) EBB_CALL_ARGS(ebb_embedding_new, ebb_embedding_new_args, __VA_ARGS__)
#define ebb_embedding_forward(...) EBB_CALL(ebb_embedding_forward, __VA_ARGS__)
#define ebb_drop_new(...) EBB_CALL(ebb_drop_new, __VA_ARGS__)
#define ebb_drop_forward(...) EBB_CALL(ebb_drop_forward, __VA_ARGS__)
#define ebb_sequential_new(...) EBB_CALL(ebb_sequential_new, __VA_ARGS__)
#define ebb_sequential_conv(s, ...)                                                                \
	EBB_CALL_STEP(ebb_sequential_conv, ebb_conv_new_args, s, __VA_ARGS__)
#define ebb_sequential_linear(s, ...)                                                              \
	EBB_CALL_STEP(ebb_sequential_linear, ebb_linear_new_args, s, __VA_ARGS__)
#define ebb_sequential_bn(s, ...) EBB_CALL_STEP(ebb_sequential_bn, ebb_bn_new_args, s, __VA_ARGS__)
#define ebb_sequential_dropout(...) EBB_CALL(ebb_sequential_dropout, __VA_ARGS__)
#define ebb_sequential_maxpool2d(s, ...)                                                           \
	EBB_CALL_STEP(ebb_sequential_maxpool2d, ebb_pool2d_args, s, __VA_ARGS__)
#define ebb_sequential_avgpool2d(s, ...)                                                           \
	EBB_CALL_STEP(ebb_sequential_avgpool2d, ebb_pool2d_args, s, __VA_ARGS__)
#define ebb_sequential_adaptive_avgpool2d(s, ...)                                                  \
	EBB_CALL_STEP(ebb_sequential_adaptive_avgpool2d, ebb_adaptive_args, s, __VA_ARGS__)
#define ebb_sequential_fn(...) EBB_CALL(ebb_sequential_fn, __VA_ARGS__)
#define ebb_sequential_layer(...) EBB_CALL(ebb_sequential_layer, __VA_ARGS__)
#define ebb_sequential_forward(...) EBB_CALL(ebb_sequential_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#include "attention.h"
#include "recurrent.h"

#endif
