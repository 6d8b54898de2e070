/* attack.c - changes a photograph at its own size, until the network's pipeline takes the saved file
 * for another class. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversarial.h"

bool ask(attack *a, const ebb_image *x, opinion *o, int64_t class, double *probability)
{
	ebb_error e = {0};
	ebb_tensor *input = ebb_preprocess_images(&a->net.preprocess, 1, x, EBB_DEFAULT, &e), *y;

	if (!input)
		return said(&e);
	y = ebb_softmax(a->t, ebb_model_forward(a->t, &a->net, input), 1);
	*o = (opinion){0};
	for (int64_t c = 0; y && c < ebb_count(y); c++) {
		o->first = ebb_at(y, c) > ebb_at(y, o->first) ? c : o->first;
		o->least = ebb_at(y, c) < ebb_at(y, o->least) ? c : o->least;
	}
	o->probability = ebb_at(y, o->first);
	if (class >= 0)
		*probability = ebb_at(y, class);
	if (!ebb_ok(a->t))
		said(ebb_tape_error(a->t));
	ebb_tape_reset(a->t);
	ebb_tensor_free(input);
	return ebb_ok(a->t);
}

/* The scores of a photograph with values in [0,1]: resizing and cropping are a part of the function
 * that the attack differentiates. */
static ebb_tensor *scores(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, net, ebb_model_pixels(t, net, x));
}

/* x as [1,C,H,W] on the tape; NULL on failure. */
static ebb_tensor *pixels_of(ebb_tape *t, const ebb_image *x, ebb_tensor **memory, ebb_error *e)
{
	*memory = ebb_image_to_tensor(x, EBB_F32, e);
	return *memory ? ebb_unsqueeze(t, *memory, 0) : NULL;
}

/* Attacks the photograph, starting at the image a->changed if that has pixels, and replaces it. */
static bool attack_once(attack *a, double confidence, int steps)
{
	const settings *s = a->s;
	int64_t elements = a->original.height * a->original.width * a->original.channels;
	double eps = s->eps / 255 * (s->l2 ? sqrt((double)elements) : 1);
	ebb_attack_result result = {0};
	ebb_tensor *memory[2] = {NULL, NULL}, *x, *start = NULL, *y;
	ebb_error e = {0};
	bool ok;

	x = pixels_of(a->t, &a->original, &memory[0], &e);
	if (x && a->changed.pixels)
		start = pixels_of(a->t, &a->changed, &memory[1], &e);
	y = e.status ? NULL
	             : ebb_pgd(a->t, scores, &a->net, x,
			       ebb_from_i64(a->t, EBB_SHAPE(1), &a->target), .eps = eps,
			       .step = eps / 16, .steps = steps, .levels = 255,
			       .norm = s->l2 ? EBB_NORM_L2 : EBB_NORM_LINF,
			       .targeted = !s->untargeted, .start = start, .confidence = confidence,
			       .result = &result);
	a->steps += result.steps;
	ok = y && ebb_image_from_tensor(y, 0, &a->changed, &e);
	if (!ok)
		said(e.status ? &e : ebb_tape_error(a->t));
	ebb_tape_reset(a->t);
	ebb_tensor_free(memory[0]);
	ebb_tensor_free(memory[1]);
	return ok;
}

static void measure(attack *a)
{
	int64_t n = a->original.height * a->original.width * a->original.channels;
	double squares = 0;

	a->largest = 0;
	for (int64_t i = 0; i < n; i++) {
		int change = abs(a->changed.pixels[i] - a->original.pixels[i]);

		a->largest = change > a->largest ? change : a->largest;
		squares += change * change;
	}
	a->rms = sqrt(squares / (double)n);
	a->norm = sqrt(squares) / 255;
}

bool change_photograph(attack *a, const char *path, bool *reached)
{
	enum { ROUNDS = 6 };
	const settings *s = a->s;
	double confidence = s->confidence;
	int left = s->steps;
	ebb_error e = {0};

	*reached = false;
	/* The pipeline rounds to whole levels after resizing, which the attack leaves out.  Where that
	 * costs the confidence, the attack goes on towards a higher one. */
	for (int i = 0; i < ROUNDS && !*reached && left > 0; i++) {
		int before = a->steps;

		if (!attack_once(a, confidence, left))
			return false;
		left -= a->steps - before;
		if (!ebb_image_write_png(path, &a->changed, &e) ||
			!ebb_image_read(path, NULL, &a->changed, &e))
			return said(&e);
		if (!ask(a, &a->changed, &a->after, a->target, &a->probability))
			return false;
		*reached =
			s->untargeted
				? a->after.first != a->target && a->probability <= 1 - s->confidence
				: a->after.first == a->target && a->probability >= s->confidence;
		confidence = 1 - (1 - confidence) / 2;
	}
	measure(a);
	return true;
}
