/*
 * catalogue.c - networks by name.
 */
#include "nn/models/internal.h"

#include <string.h>

#include "tensor/host.h"

static const ebb_model_card *const families[] = {
	ebb_lenet1989_cards,
	ebb_lenet_cards,
	ebb_alexnet_cards,
	ebb_zfnet_cards,
	ebb_overfeat_cards,
	ebb_nin_cards,
	ebb_vgg_cards,
	ebb_googlenet_cards,
	ebb_cifar_resnet_cards,
	ebb_resnet_cards,
	ebb_wide_resnet_cards,
	ebb_wrn_cards,
	ebb_inception_v3_cards,
	ebb_squeezenet_cards,
	ebb_resnext_cards,
	ebb_densenet_cards,
	ebb_mobilenet_v2_cards,
	ebb_efficientnet_cards,
	ebb_vit_cards,
	ebb_convnext_cards,
};
enum { FAMILIES = sizeof families / sizeof *families };

/* ---- Cards ---------------------------------------------------------------------------------- */

const ebb_model_card *ebb_model_card_at(int index)
{
	for (int f = 0; index >= 0 && f < FAMILIES; f++)
		for (const ebb_model_card *c = families[f]; c->name; c++)
			if (index-- == 0)
				return c;
	return NULL;
}

int ebb_model_cards(void)
{
	int n = 0;

	while (ebb_model_card_at(n))
		n++;
	return n;
}

const ebb_model_card *ebb_model_card_named(const char *name)
{
	for (int f = 0; name && f < FAMILIES; f++)
		for (const ebb_model_card *c = families[f]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

/* The number of characters to insert, delete or replace in order to change a into b, at most
 * MOST. */
enum { MOST = 40 };
static int edits(const char *a, const char *b)
{
	int row[MOST + 1], n = (int)strlen(b);

	if (strlen(a) > MOST || n > MOST)
		return MOST;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

/* Fails the store because no card has that name, and lists the three most similar names. */
static void no_card(ebb_params *p, const char *name, const char *site)
{
	char text[200] = "";
	int listed = 0;

	for (int distance = 0; name && distance < MOST && listed < 3; distance++)
		for (int i = 0; i < ebb_model_cards() && listed < 3; i++) {
			const char *other = ebb_model_card_at(i)->name;

			if (edits(name, other) == distance)
				ebb_append(text, sizeof text, "%s%s", listed++ ? ", " : "", other);
		}
	ebb_params_fail(p, EBB_INVALID, site,
		"model_new: no model is called \"%.60s\"; similar names: %s",
		name ? name : "(NULL)", listed ? text : "none");
}

/* ---- Networks ------------------------------------------------------------------------------- */

ebb_model(ebb_model_new)(const ebb_model_new_args *a)
{
	const char *site = a->site;
	const ebb_model_card *card = ebb_model_card_named(a->name);
	ebb_model net = {.p = a->p};

	if (!card) {
		no_card(a->p, a->name, site);
		return net;
	}
	net.net = ebb_params_alloc(a->p, card->kind->size);
	if (!net.net)
		return net;
	card->kind->make(net.net, card, a);
	if (ebb_params_error(a->p))
		return net;
	net.card = card;
	net.classes = a->no_head ? 0 : ebb_option_count(a->classes, card->classes);
	net.preprocess = (ebb_preprocess){
		.resize = card->side, .crop = card->side, .channels = (int)card->channels};
	if (card->weights_count)
		net.preprocess = card->weights[0].preprocess;
	return net;
}

ebb_tensor *(ebb_model_forward)(ebb_tape *t, const ebb_model *net, ebb_tensor *x, const char *site)
{
	if (!net || !net->card)
		return no_model(t, "model_forward", site);
	return net->card->kind->forward(t, net->net, x, site);
}

ebb_tensor *(ebb_model_loss)(const ebb_model_loss_args *a)
{
	const char *site = a->site;
	ebb_tensor *logits = NULL, *loss;

	if (a->logits)
		*a->logits = NULL;
	if (!a->net || !a->net->card)
		return no_model(a->t, "model_loss", site);
	if (!a->net->classes)
		return ebb_fail(a->t, EBB_INVALID, site,
			"model_loss: %s was made with .no_head, so it has no logits",
			a->net->card->name);
	if (a->net->card->kind->loss) {
		loss = a->net->card->kind->loss(a, a->net->net, &logits);
	} else {
		logits = a->net->card->kind->forward(a->t, a->net->net, a->x, site);
		loss = ebb_cross_entropy(
			a->t, logits, a->labels, .label_smoothing = a->label_smoothing);
	}
	if (a->logits)
		*a->logits = loss ? logits : NULL;
	return loss;
}

/* ---- The head ------------------------------------------------------------------------------- */

bool ebb_model_in_head(const ebb_model *net, int64_t index)
{
	if (!net || !net->card || index < 0 || index >= ebb_params_count(net->p))
		return false;
	return ebb_globs_match(net->card->head, ebb_params_name_below(net->p, index));
}

int64_t ebb_model_freeze_body(ebb_model *net)
{
	int64_t trained = 0;

	if (!net || !net->card)
		return 0;
	ebb_params_freeze(net->p, "*");
	for (int64_t i = 0; i < ebb_params_count(net->p); i++)
		if (ebb_model_in_head(net, i)) {
			ebb_set_requires_grad(ebb_params_at(net->p, i), true);
			trained++;
		}
	return trained;
}
