/*
 * lenet.c - LeNet-5 (LeCun et al. 1998), with ReLU and max pooling.
 */
#include "nn/models/internal.h"

ebb_lenet(ebb_lenet_new)(const ebb_lenet_new_args *a)
{
	const char *site = a->site;
	ebb_lenet net = {
		.conv1 = ebb_conv_new(a->p, "conv1", 1, 6, 5, .pad = 2),
		.conv2 = ebb_conv_new(a->p, "conv2", 6, 16, 5),
		.fc1 = ebb_linear_new(a->p, "fc1", 16 * 5 * 5, 120),
		.fc2 = ebb_linear_new(a->p, "fc2", 120, 84),
		.no_head = a->no_head,
	};

	if (!a->no_head)
		net.fc3 = ebb_linear_new(a->p, "fc3", 84, ebb_option_count(a->classes, 10));
	return net;
}

/* Pooling before ReLU: relu(max(y)) = max(relu(y)), but ReLU then computes a quarter of the values.
 * LeCun et al. have the same order. */
static ebb_tensor *conv_pool_relu(
	ebb_tape *t, const ebb_conv *conv, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_conv_forward(t, conv, x);

	y = ebb_maxpool2d(t, y, .kernel = 2, .inplace = true);
	return replace(t, y, ebb_relu(t, y));
}

static ebb_tensor *linear_relu(
	ebb_tape *t, const ebb_linear *linear, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_linear_forward(t, linear, x);

	return replace(t, y, ebb_relu(t, y));
}

ebb_tensor *(ebb_lenet_forward)(ebb_tape *t, const ebb_lenet *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "lenet_forward", site);
	y = conv_pool_relu(t, &net->conv1, x, site);
	y = replace(t, y, conv_pool_relu(t, &net->conv2, y, site));
	y = replace(t, y, ebb_flatten(t, y));
	y = replace(t, y, linear_relu(t, &net->fc1, y, site));
	y = replace(t, y, linear_relu(t, &net->fc2, y, site));
	return head_forward(t, &net->fc3, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(lenet, (void)0)

static const ebb_model_kind kind = {.size = sizeof(ebb_lenet), .make = make, .forward = forward};

const ebb_model_card ebb_lenet_cards[] = {
	{"lenet5", "LeNet-5",
		"LeCun, Bottou, Bengio & Haffner: Gradient-Based Learning Applied to Document "
		"Recognition, Proceedings of the IEEE 1998",
		1998, 61706, .classes = 10, .channels = 1, .side = 28, .head = "fc3.*",
		.kind = &kind},
	{0},
};
