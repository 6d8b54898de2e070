/*
 * vgg.c - the networks of 11, 13, 16 and 19 layers of Simonyan & Zisserman 2015.
 */
#include "nn/models/chain.h"

enum { STAGES = 5, POSITIONS = 7, LAST_CHANNELS = 512 };

/* The convolutions of each stage, which ends with a pooling. */
typedef struct vgg_depth {
	int depth, convolutions[STAGES];
} vgg_depth;

static const vgg_depth *find_depth(int depth)
{
	static const vgg_depth known[] = {
		{11, {1, 1, 2, 2, 2}},
		{13, {2, 2, 2, 2, 2}},
		{16, {2, 2, 3, 3, 3}},
		{19, {2, 2, 4, 4, 4}},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].depth == depth)
			return &known[i];
	return NULL;
}

static ebb_sequential *features_new(
	ebb_params *p, const vgg_depth *d, bool batch_norm, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");
	int in = 3;

	for (int stage = 0; stage < STAGES; stage++) {
		int out = stage < 3 ? 64 << stage : LAST_CHANNELS;

		for (int i = 0; i < d->convolutions[stage]; i++) {
			ebb_sequential_conv(s, in, out, 3, .pad = 1, .init = KAIMING_FAN_OUT);
			if (batch_norm)
				ebb_sequential_bn(s, out, .inplace = true);
			ebb_sequential_fn(s, ebb_relu);
			in = out;
		}
		ebb_sequential_maxpool2d(s, .kernel = 2);
	}
	return s;
}

ebb_vgg(ebb_vgg_new)(const ebb_vgg_new_args *a)
{
	const vgg_depth *d = find_depth(a->depth);
	ebb_vgg net = {NULL, NULL};

	if (!d) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"vgg_new: depth %d, expected 11, 13, 16 or 19", a->depth);
		return net;
	}
	net.features = features_new(a->p, d, a->batch_norm, a->site);
	net.classifier = linear_classifier(&(classifier_args){.p = a->p,
		.in = LAST_CHANNELS * POSITIONS * POSITIONS,
		.classes = a->classes,
		.dropout = a->dropout,
		.no_head = a->no_head,
		.site = a->site});
	return net;
}

ebb_tensor *(ebb_vgg_forward)(ebb_tape *t, const ebb_vgg *net, ebb_tensor *x, const char *site)
{
	if (!net)
		return no_model(t, "vgg_forward", site);
	return chain_forward(t, net->features, POSITIONS, net->classifier, x, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(vgg, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_vgg), .make = make, .forward = forward};

#define PAPER                                                                                      \
	"Simonyan & Zisserman: Very Deep Convolutional Networks for Large-Scale Image "            \
	"Recognition, ICLR 2015"
/* The card and the weights of a depth, without and with (_bn) batch norm. */
#define CARD(number, elements, hash, first, five)                                                  \
	{                                                                                          \
		"vgg" #number, "VGG-" #number, PAPER, 2015, elements,                              \
			.kind = &kind, .variant = &(const ebb_vgg_new_args){.depth = (number)},    \
			.head = "classifier.6.*", IMAGENET,                                        \
			WEIGHTS({TORCHVISION("V1", "vgg" #number, hash, 256, 224, first, five)})   \
	}
#define CARD_BN(number, elements, hash, first, five)                                               \
	{                                                                                          \
		"vgg" #number "_bn", "VGG-" #number " with batch norm", PAPER, 2015, elements,     \
			.kind = &kind,                                                             \
			.variant =                                                                 \
				&(const ebb_vgg_new_args){.depth = (number), .batch_norm = true},  \
			.head = "classifier.6.*", IMAGENET,                                        \
			WEIGHTS({TORCHVISION(                                                      \
				"V1", "vgg" #number "_bn", hash, 256, 224, first, five)})          \
	}
const ebb_model_card ebb_vgg_cards[] = {
	CARD(11, 132863336, "8a719046", 69.02, 88.628),
	CARD_BN(11, 132868840, "6002323d", 70.37, 89.81),
	CARD(13, 133047848, "19584684", 69.928, 89.246),
	CARD_BN(13, 133053736, "abd245e5", 71.586, 90.374),
	CARD(16, 138357544, "397923af", 71.592, 90.382),
	CARD_BN(16, 138365992, "6c64b313", 73.36, 91.516),
	CARD(19, 143667240, "dcbb9e9d", 72.376, 90.876),
	CARD_BN(19, 143678248, "c79401a0", 74.218, 91.842),
	{0},
};
