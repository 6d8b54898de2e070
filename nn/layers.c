/*
 * layers.c - the layers: convolutions, linear, norms, PReLU, embedding, dropout.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

/* Fails the tape for a layer that is NULL or zeroed. */
static ebb_tensor *not_made(ebb_tape *t, const char *what, const void *layer, const char *site)
{
	return ebb_fail(t, EBB_INVALID, site,
		"%s: the layer is %s: it was not created, or its parameter store failed", what,
		layer ? "empty" : "NULL");
}

/* Adds weight and bias [outputs] with PyTorch's initial values; false if the store has failed. */
static bool add_affine(ebb_params *p, ebb_shape shape, int64_t outputs, bool no_bias, ebb_init init,
	ebb_init bias_init, ebb_tensor **weight, ebb_tensor **bias, const char *site)
{
	*weight = (ebb_params_add)(p, "weight", shape, init, site);
	if (!*weight || no_bias)
		return *weight != NULL;
	if (bias_init.kind == EBB_INIT_DEFAULT) {
		int64_t fan_in = 1;

		for (int i = 1; i < shape.ndim; i++)
			fan_in *= shape.dims[i];
		bias_init = EBB_INIT(EBB_INIT_ZEROS);
		if (init.kind == EBB_INIT_DEFAULT)
			bias_init = EBB_INIT(EBB_INIT_UNIFORM, .low = -1 / sqrt((double)fan_in),
				.high = 1 / sqrt((double)fan_in));
	}
	*bias = (ebb_params_add)(p, "bias", EBB_SHAPE(outputs), bias_init, site);
	return *bias != NULL;
}

/* ---- Convolutions --------------------------------------------------------------------------- */

/* Initialisers that copy the members EBB_CONV_GEOMETRY and the like (ops.h) from the struct a: from
 * a layer's arguments to the layer, and from the layer to its op's arguments. */
#define PAIR(a, name) .name = {(a)->name[0], (a)->name[1]}
#define NUMBERS(a)                                                                                 \
	.stride = (a)->stride, .pad = (a)->pad, .dilation = (a)->dilation, .groups = (a)->groups
#define PAIRS(a) PAIR(a, stride_hw), PAIR(a, pad_hw), PAIR(a, dilation_hw)
#define CONV_GEOMETRY(a)                                                                           \
	NUMBERS(a), PAIRS(a),                                                                      \
		.pad_tblr = {                                                                      \
			(a)->pad_tblr[0], (a)->pad_tblr[1], (a)->pad_tblr[2], (a)->pad_tblr[3]}
#define CONV_TRANSPOSE_GEOMETRY(a)                                                                 \
	NUMBERS(a), PAIRS(a), .output_pad = (a)->output_pad, PAIR(a, output_pad_hw)

/* The sizes of a convolution's weight; in and out are the channels of the op that uses the
 * weight. */
typedef struct filters {
	int64_t in, out, kh, kw, groups;
} filters;

/* Returns the layer's full name, or NULL with an error in the store; who ("conv_new") begins its
 * message. */
static const char *check_filters(
	ebb_params *p, const char *who, const char *name, const filters *f, const char *site)
{
	const char *full = ebb_params_name_of(p, who, name, site);

	if (!full || (f->in >= 1 && f->out >= 1 && f->kh >= 1 && f->kw >= 1 && f->groups >= 1 &&
			     f->in % f->groups == 0 && f->out % f->groups == 0))
		return full;
	ebb_params_fail(p, EBB_INVALID, site,
		"%s: \"%s\" from %lld to %lld channels, kernel %lld x %lld, %lld groups: "
		"expected positive numbers, groups "
		"dividing both channels",
		who, full, (long long)f->in, (long long)f->out, (long long)f->kh, (long long)f->kw,
		(long long)f->groups);
	return NULL;
}

/* The filters that the arguments of a 2-d layer ask for. */
#define FILTERS(a)                                                                                 \
	{                                                                                          \
		(a)->in, (a)->out, ebb_option_hw((a)->kernel, (a)->kernel_hw, 0, 0),               \
			ebb_option_hw((a)->kernel, (a)->kernel_hw, 1, 0),                          \
			ebb_option_count((a)->groups, 1)                                           \
	}

ebb_conv(ebb_conv_new)(const ebb_conv_new_args *a)
{
	ebb_conv l = {CONV_GEOMETRY(a)};
	filters f = FILTERS(a);

	l.name = check_filters(a->p, "conv_new", a->name, &f, a->site);
	if (!l.name || !add_affine(ebb_params_sub(a->p, a->name),
			       EBB_SHAPE(f.out, f.in / f.groups, f.kh, f.kw), f.out, a->no_bias,
			       a->init, a->bias_init, &l.weight, &l.bias, a->site))
		return (ebb_conv){0};
	return l;
}

ebb_tensor *(ebb_conv_forward)(ebb_tape *t, const ebb_conv *l, ebb_tensor *x, const char *site)
{
	if (!l || !l->weight || !l->name)
		return not_made(t, "conv_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_conv2d)(&(ebb_conv2d_args){.t = t,
					.x = x,
					.w = l->weight,
					.b = l->bias,
					CONV_GEOMETRY(l),
					.site = site}));
}

ebb_conv1d_layer(ebb_conv1d_new)(const ebb_conv1d_new_args *a)
{
	ebb_conv1d_layer l = {NUMBERS(a)};
	filters f = {a->in, a->out, 1, a->kernel, ebb_option_count(a->groups, 1)};

	l.name = check_filters(a->p, "conv1d_new", a->name, &f, a->site);
	if (!l.name ||
		!add_affine(ebb_params_sub(a->p, a->name), EBB_SHAPE(f.out, f.in / f.groups, f.kw),
			f.out, a->no_bias, a->init, a->bias_init, &l.weight, &l.bias, a->site))
		return (ebb_conv1d_layer){0};
	return l;
}

ebb_tensor *(
	ebb_conv1d_forward)(ebb_tape *t, const ebb_conv1d_layer *l, ebb_tensor *x, const char *site)
{
	if (!l || !l->weight || !l->name)
		return not_made(t, "conv1d_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t,
		(ebb_conv1d)(&(ebb_conv1d_args){
			.t = t, .x = x, .w = l->weight, .b = l->bias, NUMBERS(l), .site = site}));
}

ebb_conv_transpose2d_layer(ebb_conv_transpose2d_new)(const ebb_conv_transpose2d_new_args *a)
{
	ebb_conv_transpose2d_layer l = {CONV_TRANSPOSE_GEOMETRY(a)};
	filters f = FILTERS(a);

	l.name = check_filters(a->p, "conv_transpose2d_new", a->name, &f, a->site);
	if (!l.name || !add_affine(ebb_params_sub(a->p, a->name),
			       EBB_SHAPE(f.in, f.out / f.groups, f.kh, f.kw), f.out, a->no_bias,
			       a->init, a->bias_init, &l.weight, &l.bias, a->site))
		return (ebb_conv_transpose2d_layer){0};
	return l;
}

ebb_tensor *(ebb_conv_transpose2d_forward)(ebb_tape *t, const ebb_conv_transpose2d_layer *l,
	ebb_tensor *x, const char *site)
{
	if (!l || !l->weight || !l->name)
		return not_made(t, "conv_transpose2d_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_conv_transpose2d)(&(ebb_conv_transpose2d_args){.t = t,
					.x = x,
					.w = l->weight,
					.b = l->bias,
					CONV_TRANSPOSE_GEOMETRY(l),
					.site = site}));
}

/* ---- Linear --------------------------------------------------------------------------------- */

/* #undef instead of a name in parentheses: ebb_linear(ebb_linear_new) would expand the op's macro
 * ebb_linear. */
#undef ebb_linear_new
ebb_linear ebb_linear_new(const ebb_linear_new_args *a)
{
	ebb_linear l = {0};
	ebb_params *p;

	l.name = ebb_params_name_of(a->p, "linear_new", a->name, a->site);
	if (!l.name)
		return (ebb_linear){0};
	if (a->in < 1 || a->out < 1) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"linear_new: \"%s\" from %lld to %lld: expected positive numbers", l.name,
			(long long)a->in, (long long)a->out);
		return (ebb_linear){0};
	}
	p = ebb_params_sub(a->p, a->name);
	if (!add_affine(p, EBB_SHAPE(a->out, a->in), a->out, a->no_bias, a->init, a->bias_init,
		    &l.weight, &l.bias, a->site))
		return (ebb_linear){0};
	return l;
}

ebb_tensor *(ebb_linear_forward)(ebb_tape *t, const ebb_linear *l, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!l || !l->weight || !l->name)
		return not_made(t, "linear_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	y = ebb_linear_op(
		&(ebb_linear_args){.t = t, .x = x, .w = l->weight, .b = l->bias, .site = site});
	return ebb_scope_end(t, y);
}

/* ---- Batch normalisation -------------------------------------------------------------------- */

ebb_bn(ebb_bn_new)(const ebb_bn_new_args *a)
{
	ebb_bn l = {.momentum = a->momentum, .eps = a->eps, .inplace = a->inplace};
	ebb_init init = a->init.kind == EBB_INIT_DEFAULT ? EBB_INIT(EBB_INIT_CONSTANT, .value = 1)
	                                                 : a->init;
	ebb_params *p;

	l.name = ebb_params_name_of(a->p, "bn_new", a->name, a->site);
	if (!l.name)
		return (ebb_bn){0};
	if (a->channels < 1) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"bn_new: \"%s\" over %lld channels: expected a positive number", l.name,
			(long long)a->channels);
		return (ebb_bn){0};
	}
	p = ebb_params_sub(a->p, a->name);
	if (!a->no_affine) {
		l.weight = (ebb_params_add)(p, "weight", EBB_SHAPE(a->channels), init, a->site);
		l.bias = (ebb_params_add)(p, "bias", EBB_SHAPE(a->channels),
			EBB_INIT(EBB_INIT_ZEROS), a->site);
	}
	if (!a->no_stats) {
		l.running_mean =
			(ebb_buffers_add)(p, "running_mean", EBB_SHAPE(a->channels), 0, a->site);
		l.running_var =
			(ebb_buffers_add)(p, "running_var", EBB_SHAPE(a->channels), 1, a->site);
	}
	return ebb_params_error(a->p) ? (ebb_bn){0} : l;
}

ebb_tensor *(ebb_bn_forward)(ebb_tape *t, const ebb_bn *l, ebb_tensor *x, const char *site)
{
	if (!l || !l->name)
		return not_made(t, "bn_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_batchnorm)(&(ebb_batchnorm_args){.t = t,
					.x = x,
					.weight = l->weight,
					.bias = l->bias,
					.running_mean = l->running_mean,
					.running_var = l->running_var,
					.momentum = l->momentum,
					.eps = l->eps,
					.inplace = l->inplace,
					.site = site}));
}

ebb_tensor *(ebb_bn_relu_forward)(ebb_tape *t, const ebb_bn *l, ebb_tensor *x, ebb_tensor *residual,
	const char *site)
{
	if (!l || !l->name)
		return not_made(t, "bn_relu_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_batchnorm_relu)(&(ebb_batchnorm_relu_args){.t = t,
					.x = x,
					.weight = l->weight,
					.bias = l->bias,
					.running_mean = l->running_mean,
					.running_var = l->running_var,
					.residual = residual,
					.momentum = l->momentum,
					.eps = l->eps,
					.inplace = l->inplace,
					.site = site}));
}

/* ---- Normalisation by sample ---------------------------------------------------------------- */

/* Adds a weight of ones and a bias of zeros; false if the store has failed. */
static bool add_scale(ebb_params *p, int64_t size, bool no_affine, ebb_tensor **weight,
	ebb_tensor **bias, const char *site)
{
	if (no_affine)
		return true;
	*weight = (ebb_params_add)(p, "weight", EBB_SHAPE(size),
		EBB_INIT(EBB_INIT_CONSTANT, .value = 1), site);
	*bias = (ebb_params_add)(p, "bias", EBB_SHAPE(size), EBB_INIT(EBB_INIT_ZEROS), site);
	return *weight && *bias;
}

ebb_layernorm_layer(ebb_layernorm_new)(const ebb_layernorm_new_args *a)
{
	ebb_layernorm_layer l = {.eps = a->eps};

	l.name = ebb_params_name_of(a->p, "layernorm_new", a->name, a->site);
	if (!l.name)
		return (ebb_layernorm_layer){0};
	if (a->size < 1) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"layernorm_new: \"%s\" over %lld numbers: expected a positive number",
			l.name, (long long)a->size);
		return (ebb_layernorm_layer){0};
	}
	if (!add_scale(ebb_params_sub(a->p, a->name), a->size, a->no_affine, &l.weight, &l.bias,
		    a->site))
		return (ebb_layernorm_layer){0};
	return l;
}

ebb_tensor *(ebb_layernorm_forward)(ebb_tape *t, const ebb_layernorm_layer *l, ebb_tensor *x,
	const char *site)
{
	if (!l || !l->name)
		return not_made(t, "layernorm_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_layernorm)(&(ebb_layernorm_args){.t = t,
					.x = x,
					.weight = l->weight,
					.bias = l->bias,
					.eps = l->eps,
					.site = site}));
}

ebb_groupnorm_layer(ebb_groupnorm_new)(const ebb_groupnorm_new_args *a)
{
	ebb_groupnorm_layer l = {.groups = a->groups, .eps = a->eps};

	l.name = ebb_params_name_of(a->p, "groupnorm_new", a->name, a->site);
	if (!l.name)
		return (ebb_groupnorm_layer){0};
	if (a->groups < 1 || a->channels < 1 || a->channels % a->groups != 0) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"groupnorm_new: \"%s\" with %lld groups of %lld channels: expected "
			"positive "
			"numbers, groups dividing channels",
			l.name, (long long)a->groups, (long long)a->channels);
		return (ebb_groupnorm_layer){0};
	}
	if (!add_scale(ebb_params_sub(a->p, a->name), a->channels, a->no_affine, &l.weight, &l.bias,
		    a->site))
		return (ebb_groupnorm_layer){0};
	return l;
}

ebb_tensor *(ebb_groupnorm_forward)(ebb_tape *t, const ebb_groupnorm_layer *l, ebb_tensor *x,
	const char *site)
{
	if (!l || !l->name)
		return not_made(t, "groupnorm_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_groupnorm)(&(ebb_groupnorm_args){.t = t,
					.x = x,
					.groups = l->groups,
					.weight = l->weight,
					.bias = l->bias,
					.eps = l->eps,
					.site = site}));
}

/* ---- PReLU, embedding ----------------------------------------------------------------------- */

ebb_prelu_layer(ebb_prelu_new)(ebb_params *p, const char *name, int64_t channels, const char *site)
{
	ebb_prelu_layer l = {.name = ebb_params_name_of(p, "prelu_new", name, site)};

	if (!l.name)
		return (ebb_prelu_layer){0};
	if (channels < 1) {
		ebb_params_fail(p, EBB_INVALID, site,
			"prelu_new: \"%s\" over %lld channels: expected a positive number", l.name,
			(long long)channels);
		return (ebb_prelu_layer){0};
	}
	l.weight = (ebb_params_add)(ebb_params_sub(p, name), "weight", EBB_SHAPE(channels),
		EBB_INIT(EBB_INIT_CONSTANT, .value = 0.25), site);
	return l.weight ? l : (ebb_prelu_layer){0};
}

ebb_tensor *(
	ebb_prelu_forward)(ebb_tape *t, const ebb_prelu_layer *l, ebb_tensor *x, const char *site)
{
	if (!l || !l->weight || !l->name)
		return not_made(t, "prelu_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_prelu)(t, x, l->weight, site));
}

ebb_embedding_layer(ebb_embedding_new)(const ebb_embedding_new_args *a)
{
	ebb_embedding_layer l = {.padding_idx = a->padding_idx};
	double padding = ebb_option(a->padding_idx, NAN);

	l.name = ebb_params_name_of(a->p, "embedding_new", a->name, a->site);
	if (!l.name)
		return (ebb_embedding_layer){0};
	if (a->count < 1 || a->size < 1) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"embedding_new: \"%s\" of %lld rows of %lld: expected positive numbers",
			l.name, (long long)a->count, (long long)a->size);
		return (ebb_embedding_layer){0};
	}
	if (a->padding_idx != 0 && !(padding >= -(double)a->count && padding < (double)a->count &&
					   padding == floor(padding))) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"embedding_new: \"%s\" with padding_idx %g: there are %lld rows", l.name,
			padding, (long long)a->count);
		return (ebb_embedding_layer){0};
	}
	l.weight = (ebb_params_add)(ebb_params_sub(a->p, a->name), "weight",
		EBB_SHAPE(a->count, a->size),
		a->init.kind == EBB_INIT_DEFAULT ? EBB_INIT(EBB_INIT_NORMAL) : a->init, a->site);
	if (!l.weight)
		return (ebb_embedding_layer){0};
	if (a->padding_idx != 0) {
		int64_t row = (int64_t)padding + (padding < 0 ? a->count : 0);
		size_t bytes = (size_t)a->size * ebb_dtype_size(ebb_dtype_of(l.weight));

		memset((char *)ebb_data_mutable(l.weight) + (size_t)row * bytes, 0, bytes);
	}
	return l;
}

ebb_tensor *(ebb_embedding_forward)(ebb_tape *t, const ebb_embedding_layer *l, ebb_tensor *index,
	const char *site)
{
	if (!l || !l->weight || !l->name)
		return not_made(t, "embedding_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_embedding)(&(ebb_embedding_args){.t = t,
					.index = index,
					.weight = l->weight,
					.padding_idx = l->padding_idx,
					.site = site}));
}

/* ---- Dropout -------------------------------------------------------------------------------- */

ebb_drop(ebb_drop_new)(ebb_params *p, const char *name, double rate, const char *site)
{
	const char *full = ebb_params_name_of(p, "drop_new", name, site);

	if (!full)
		return (ebb_drop){0};
	if (!(rate >= 0 && rate < 1)) {
		ebb_params_fail(p, EBB_INVALID, site,
			"drop_new: \"%s\" with rate %g: expected 0 <= rate < 1", full, rate);
		return (ebb_drop){0};
	}
	return (ebb_drop){full, rate};
}

ebb_tensor *(ebb_drop_forward)(ebb_tape *t, const ebb_drop *l, ebb_tensor *x, const char *site)
{
	if (!l || !l->name)
		return not_made(t, "drop_forward", l, site);
	(ebb_scope_begin)(t, l->name, site);
	return ebb_scope_end(t, (ebb_dropout)(t, x, l->rate, site));
}
