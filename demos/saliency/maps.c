/* maps.c - the maps of all methods for one image. */
#include <math.h>

#include "saliency.h"

const char *const method_names[METHODS] = {"Gradient", "SmoothGrad", "Integrated gradients",
	"Guided backpropagation", "Grad-CAM", "Guided Grad-CAM"};

static ebb_tensor *forward(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, net, x);
}

/* The largest magnitude over the channels of g [1,C,H,W], as [1,1,H,W]. */
static ebb_tensor *magnitude(ebb_tape *t, ebb_tensor *g)
{
	return ebb_max(t, ebb_abs(t, g), .axes = EBB_AXES(1), .keepdim = true);
}

bool compute_maps(ebb_tape *t, const request *r, maps *m)
{
	void *net = (void *)r->net;
	ebb_tensor *x = (ebb_tensor *)r->x, *class = ebb_from_i64(t, EBB_SHAPE(1), &r->class);
	ebb_tensor *y[METHODS];

	ebb_seed(t, r->seed);
	y[GRADIENT] = magnitude(t, ebb_saliency(t, forward, net, x, class));
	y[SMOOTH] = magnitude(t, ebb_smoothgrad(t, forward, net, x, class, .samples = r->samples));
	y[INTEGRATED] = ebb_integrated_gradients(
		t, forward, net, x, class, .result = &m->sum, .complete = &m->complete);
	y[INTEGRATED] = magnitude(t, y[INTEGRATED]);
	y[GUIDED] = magnitude(t, ebb_guided_backprop(t, forward, net, x, class));
	y[CAM] = ebb_grad_cam(t, forward, net, x, class, .layer = r->layer, .resize = true);
	y[GUIDED_CAM] = ebb_mul(t, y[GUIDED], y[CAM]);
	for (int i = 0; i < METHODS; i++)
		m->map[i] = ebb_detach_copy(y[i]);
	return ebb_ok(t);
}

void free_maps(maps *m)
{
	for (int i = 0; i < METHODS; i++)
		ebb_tensor_free(m->map[i]);
}
