// Every macro of explain/ once.  cxx.py compares with the headers.
#include <cstdio>
#include <ebb.h>

static int failures;

// The macro ran, and neither the tape nor the store has an error.
static void ran(ebb_tape *t, ebb_params *p, const char *what, bool ok)
{
	if (ok && ebb_ok(t, p))
		return;
	std::printf("%s: %s\n", what, ebb_ok(t, p) ? "" : ebb_first_error(t, p)->message);
	failures++;
	ebb_clear_error(t);
}
#define OK(call) ran(t, p, #call, (call))
#define RAN(call) ran(t, p, #call, (call) != nullptr)

static ebb_tensor *network(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, static_cast<const ebb_model *>(net), x);
}

static void attributions(ebb_tape *t, ebb_params *p, ebb_model *net, ebb_tensor *x)
{
	ebb_tensor *classes = ebb_arange(t, 1);
	ebb_completeness reached;
	ebb_unit unit;
	bool complete = false;

	RAN(ebb_saliency(t, network, net, x, classes, ebb::rules = ebb_deconvnet_rules()));
	RAN(ebb_guided_backprop(t, network, net, x));
	RAN(ebb_smoothgrad(t, network, net, x, classes, ebb::samples = 2, ebb::sigma = 0.1));
	RAN(ebb_integrated_gradients(t, network, net, x, classes, ebb::tolerance = 0.1,
		ebb::result = &reached, ebb::complete = &complete));
	RAN(ebb_grad_cam(t, network, net, x, classes, ebb::layer = "layer2.0", ebb::resize = true));
	RAN(ebb_layer_output(t, network, net, x, "layer1.0"));
	RAN(ebb_unit_gradient(t, network, net, x, "layer1.0", 3, ebb::units = &unit));
	OK(ebb_rank_correlation(x, x) > 0.99);
	ebb_rules former = ebb_set_rules(t, ebb::make<ebb_rules>(ebb::unfused = true));
	OK(ebb_is_unfused(t) && !former.unfused);
	ebb_set_rules(t, former);
}

static void attacks(ebb_tape *t, ebb_params *p, ebb_model *net, ebb_tensor *x)
{
	ebb_tensor *labels = ebb_arange(t, 1);
	bool fooled = false;
	ebb_attack_result result = ebb::make<ebb_attack_result>(ebb::fooled = &fooled);

	RAN(ebb_model_pixels(t, net, x));
	RAN(ebb_pgd(t, network, net, x, labels, 0.1, ebb::steps = 2, ebb::levels = 255,
		ebb::result = &result));
	RAN(ebb_fgsm(
		t, network, net, x, labels, 0.1, ebb::norm = EBB_NORM_L2, ebb::targeted = true));
}

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "cifar_resnet20");
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(1, 3, 16, 16));

	net.preprocess.resize = net.preprocess.crop = 0;
	attributions(t, p, &net, x);
	attacks(t, p, &net, x);
	ebb_tape_free(t);
	ebb_params_free(p);
	return failures;
}
