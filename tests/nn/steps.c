/*
 * steps.c - every network of the catalogue takes 20 steps on random images with a falling loss.
 *
 *	nn-steps [NAME...]     default: all networks with less than 30 million parameters, or with
 *	                       EBB_MODELS=all in the environment all networks
 * Last line: "N passed, N failed".
 */
#include <ebb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 20, LAST = 5, BATCH = 6, CLASSES = 10, SMALL = 30000000 };

/* Learning rates of Adam and sides of images where the defaults, 1e-3 and 64, do not serve: networks
 * without batch norm diverge at the default rate, and some need larger images.  The biases of 1 in
 * the original AlexNet make the loss noisy under dropout. */
static const struct setting {
	const char *name;
	double lr;
	int64_t side;
	bool no_dropout;
} SETTINGS[] = {
	{"lenet1989", 1e-2, 0, false},
	{"alexnet", 1e-4, 95, true},
	{"alexnet_original", 1e-5, 95, true},
	{"zfnet", 5e-5, 95, true},
	{"overfeat_fast", 5e-5, 0, true},
	{"overfeat_accurate", 5e-5, 0, true},
	{"nin", 1e-3, 99, true},
	{"nin_cifar", 3e-3, 0, true},
	{"vgg11", 5e-5, 0, true},
	{"vgg13", 5e-5, 0, true},
	{"vgg16", 5e-5, 0, true},
	{"vgg19", 5e-5, 0, true},
	{"vgg11_bn", 5e-5, 0, true},
	{"vgg13_bn", 5e-5, 0, true},
	{"vgg16_bn", 5e-5, 0, true},
	{"vgg19_bn", 5e-5, 0, true},
	{"inception_v3", 0, 96, false},
	{"squeezenet1_0", 3e-4, 95, true},
	{"squeezenet1_1", 3e-4, 95, true},
	{"vit_b_16", 1e-4, 224, false},
};
enum { COUNT = sizeof SETTINGS / sizeof *SETTINGS };

static struct setting setting_of(const ebb_model_card *card)
{
	struct setting s = {card->name, 0, 0, false};

	for (int i = 0; i < COUNT; i++)
		if (strcmp(SETTINGS[i].name, card->name) == 0)
			s = SETTINGS[i];
	if (s.lr == 0)
		s.lr = 1e-3;
	if (s.side == 0)
		s.side = card->side < 64 || strncmp(card->name, "overfeat", 8) == 0 ? card->side
		                                                                    : 64;
	return s;
}

/* The most that may be left of the loss after the last step.  A plain network of 110 layers hardly
 * trains, NIN starts with small weights, and large networks have low rates. */
static double most_left(const ebb_model_card *card)
{
	return card->parameters >= SMALL || strcmp(card->name, "nin_cifar") == 0 ||
	                       strcmp(card->name, "cifar_plain110") == 0
	               ? 0.95
	               : 0.8;
}

/* Whether the mean loss of the last steps is small compared with the first. */
static bool falls(const ebb_model_card *card)
{
	struct setting s = setting_of(card);
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new(), *inputs = ebb_tape_new();
	/* Inception v3 accepts smaller images than 299 pixels without its intermediate classifier. */
	bool no_aux = strcmp(card->name, "inception_v3") == 0;
	ebb_model net = ebb_model_new(p, card->name, .classes = CLASSES, .no_aux = no_aux,
		.dropout = s.no_dropout ? EBB_ZERO : 0);
	ebb_optim *opt = ebb_adam(p, .lr = s.lr);
	int64_t labels[BATCH];
	double first = 0, last = 0;
	const ebb_error *e;
	bool ok;

	for (int i = 0; i < BATCH; i++)
		labels[i] = (7 * i + 3) % CLASSES;
	ebb_tensor *x = ebb_detach_copy(
		ebb_randn(inputs, EBB_SHAPE(BATCH, card->channels, s.side, s.side)));
	for (int i = 0; i < STEPS; i++) {
		ebb_tensor *loss =
			ebb_model_loss(t, &net, x, ebb_from_i64(t, EBB_SHAPE(BATCH), labels));

		if (i == 0)
			first = ebb_item(loss);
		if (i >= STEPS - LAST)
			last += ebb_item(loss) / LAST;
		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	e = ebb_first_error(t, inputs, p, opt);
	ok = !e && last < most_left(card) * first;
	printf("%-18s loss %.3f, after %d steps %.3f%s%s\n", card->name, first, STEPS, last,
		ok ? "" : "  FAILED ", e ? e->message : "");
	fflush(stdout);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_tape_free(inputs);
	ebb_tensor_free(x);
	ebb_params_free(p);
	return ok;
}

int main(int argc, char **argv)
{
	const char *which = getenv("EBB_MODELS");
	bool all = which && strcmp(which, "all") == 0;
	int passed = 0, failed = 0;

	for (int i = 0; i < ebb_model_cards(); i++) {
		const ebb_model_card *card = ebb_model_card_at(i);
		bool named = argc == 1 && (all || card->parameters < SMALL);

		for (int k = 1; k < argc; k++)
			named = named || strcmp(argv[k], card->name) == 0;
		if (!named)
			continue;
		if (falls(card))
			passed++;
		else
			failed++;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
