/* network.c - how sure a network of the catalogue is of a class while its crop of an image moves. */
#include <stdio.h>
#include <string.h>

#include "../network.h"
#include "shift.h"

static bool fail(ebb_error *e, const ebb_error *from)
{
	if (from)
		*e = *from;
	return false;
}

/* The classes' probabilities [1,classes] of the crop that begins at (top,left). */
static ebb_tensor *forward(
	ebb_tape *t, const ebb_model *net, ebb_tensor *x, int64_t top, int64_t left, int64_t side)
{
	x = ebb_slice(t, x, 2, top, top + side, 1);
	x = ebb_slice(t, x, 3, left, left + side, 1);
	return ebb_softmax(t, ebb_model_forward(t, net, x), 1);
}

/* The crop begins at column `most` and moves to the left. */
static void follow(ebb_tape *t, const ebb_model *net, ebb_tensor *x, const char *const *names,
	probabilities *y)
{
	int64_t side = net->preprocess.crop, most = ebb_size(x, 3) - side,
		top = (ebb_size(x, 2) - side) / 2, class = 0;
	ebb_tensor *index;

	ebb_topk(t, forward(t, net, x, top, most / 2, side), 1, .index = &index);
	if (!ebb_failed(t))
		class = (int64_t)ebb_at(index, 0);
	ebb_tape_reset(t);
	short_name(names, class, y->class_name, sizeof y->class_name);
	for (int k = 0; k <= most && k < MOST_OFFSETS && !ebb_failed(t); k++) {
		ebb_tensor *share = forward(t, net, x, top, most - k, side);

		y->x[k] = k;
		y->percent[k] = share ? 100 * ebb_at(share, class) : 0;
		y->offsets = k + 1;
		ebb_tape_reset(t);
	}
}

bool follow_class(const char *weights, const char *model, const ebb_image *image, probabilities *y,
	ebb_error *e)
{
	ebb_params *p = ebb_params_new(0);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = {0};
	ebb_tensor *x = NULL;
	const network_files files = {.model = model, .weights = weights};
	const char *const *names;
	bool ok = load_network(&net, p, &files) && find_names(&files, &net, &names);

	if (ok && !net.preprocess.crop) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"%s: %s does not crop its images, so no crop can move", weights,
			net.card->title);
		ok = false;
	}
	if (ok) {
		ebb_preprocess whole = net.preprocess;

		whole.crop = 0;
		x = ebb_preprocess_images(&whole, 1, image, EBB_DEFAULT, e);
		ok = x != NULL;
	}
	if (ok) {
		snprintf(y->network, sizeof y->network, "%s", net.card->title);
		ebb_set_training(t, false);
		ebb_set_recording(t, false);
		follow(t, &net, x, names, y);
		ok = !ebb_failed(t) || fail(e, ebb_tape_error(t));
	}
	ebb_tensor_free(x);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}
