/*
 * lenet1989.c - the network for zip codes of LeCun et al. 1989.
 */
#include "nn/models/internal.h"

enum { SIDE = 16, MAPS = 12, READS = 8, GROUPS = 3, KERNEL = 5, PAD = 2, HIDDEN = 30 };

static ebb_init uniform_by_fan_in(int64_t fan_in)
{
	double bound = 2.4 / (double)fan_in;

	return EBB_INIT(EBB_INIT_UNIFORM, .low = -bound, .high = bound);
}

/* A layer of maps of side x side units, each of which reads in maps. */
static ebb_lenet1989_maps maps_new(
	ebb_params *p, const char *name, int64_t in, int64_t side, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_lenet1989_maps){
		.name = ebb_params_full_name(p, name),
		.weight = ebb_params_add(own, "weight", EBB_SHAPE(MAPS, in, KERNEL, KERNEL),
			uniform_by_fan_in(in * KERNEL * KERNEL)),
		.bias = ebb_params_add(
			own, "bias", EBB_SHAPE(MAPS, side, side), EBB_INIT(EBB_INIT_ZEROS)),
	};
}

ebb_lenet1989(ebb_lenet1989_new)(const ebb_lenet1989_new_args *a)
{
	const char *site = a->site;
	const int64_t units = MAPS * (SIDE / 4) * (SIDE / 4);
	ebb_lenet1989 net = {
		.h1 = maps_new(a->p, "h1", 1, SIDE / 2, site),
		.h2 = maps_new(a->p, "h2", READS, SIDE / 4, site),
		.h3 = ebb_linear_new(a->p, "h3", units, HIDDEN, .init = uniform_by_fan_in(units)),
		.no_head = a->no_head,
	};

	if (!a->no_head)
		net.output = ebb_linear_new(a->p, "output", HIDDEN,
			ebb_option_count(a->classes, 10), .init = uniform_by_fan_in(HIDDEN));
	return net;
}

/* 1.7159 tanh(2y/3), which is about 1 at 1 and -1 at -1; releases y. */
static ebb_tensor *squash(ebb_tape *t, ebb_tensor *y, const char *site)
{
	y = replace(t, y, ebb_mul_scalar(t, y, 2.0 / 3));
	y = replace(t, y, ebb_tanh(t, y));
	return replace(t, y, ebb_mul_scalar(t, y, 1.7159));
}

/* For three groups of maps, the 8 of 12 channels that each reads: 0..7, 4..11, and 8..11 with 0..3.
 * y [N,24,H,W]; releases x. */
static ebb_tensor *inputs_of_groups(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_tensor *part[] = {
		ebb_slice(t, x, 1, 0, 8, 1),
		ebb_slice(t, x, 1, 4, 12, 1),
		ebb_slice(t, x, 1, 8, 12, 1),
		ebb_slice(t, x, 1, 0, 4, 1),
	};

	return replace(t, x, ebb_concat(t, 4, part, 1));
}

static ebb_tensor *maps_forward(
	ebb_tape *t, const ebb_lenet1989_maps *l, int groups, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, l->name);
	y = ebb_pad(t, x, EBB_PADS(PAD, PAD, PAD, PAD), .value = -1);
	if (groups > 1)
		y = inputs_of_groups(t, y, site);
	y = replace(t, y, ebb_conv2d(t, y, l->weight, NULL, .stride = 2, .groups = groups));
	y = replace(t, y, ebb_add(t, y, l->bias));
	return ebb_scope_end(t, squash(t, y, site));
}

static ebb_tensor *units_forward(ebb_tape *t, const ebb_linear *l, ebb_tensor *x, const char *site)
{
	return squash(t, ebb_linear_forward(t, l, x), site);
}

ebb_tensor *(ebb_lenet1989_forward)(ebb_tape *t, const ebb_lenet1989 *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;
	char text[240];

	if (!net || !net->h1.name || !net->h2.name)
		return no_model(t, "lenet1989_forward", site);
	/* Each unit has its own bias, so the network has one size of images. */
	if (x && (ebb_ndim(x) != 4 || ebb_size(x, 1) != 1 || ebb_size(x, 2) != SIDE ||
			 ebb_size(x, 3) != SIDE))
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"lenet1989_forward: x must be [N,1,%d,%d], got %s", SIDE, SIDE,
			ebb_describe(x, text, sizeof text));
	y = maps_forward(t, &net->h1, 1, x, site);
	y = replace(t, y, maps_forward(t, &net->h2, GROUPS, y, site));
	y = replace(t, y, ebb_flatten(t, y));
	y = replace(t, y, units_forward(t, &net->h3, y, site));
	return net->no_head ? y : replace(t, y, units_forward(t, &net->output, y, site));
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(lenet1989, (void)0)

static const ebb_model_kind kind = {
	.size = sizeof(ebb_lenet1989), .make = make, .forward = forward};

const ebb_model_card ebb_lenet1989_cards[] = {
	{"lenet1989", "LeNet of 1989",
		"LeCun et al.: Backpropagation Applied to Handwritten Zip Code Recognition, "
		"Neural Computation 1989",
		1989, 9760, .classes = 10, .channels = 1, .side = SIDE, .head = "output.*",
		.kind = &kind},
	{0},
};
