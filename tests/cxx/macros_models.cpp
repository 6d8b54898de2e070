// Every macro of nn/models/ without gpt.h, of preprocess.h and summary.h, once.  cxx.py compares with
// the headers.
#include <cstdio>
#include <cstring>
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
	ebb_params_clear_error(p);
}
#define OK(call) ran(t, p, #call, (call))
#define RAN(call) ran(t, p, #call, (call) != nullptr)

// The call failed, with an error at its line of this file.
static void refused(ebb_tape *t, ebb_tensor *y, int line)
{
	char site[40];

	std::snprintf(site, sizeof site, "macros_models.cpp:%d: ", line);
	if (y || std::strncmp(ebb_error_message(t), site, std::strlen(site)) != 0) {
		std::printf("not at %s: %s\n", site, ebb_error_message(t));
		failures++;
	}
	ebb_clear_error(t);
}
#define REFUSED(call) refused(t, call, __LINE__)

// Without a store the models are empty, and their functions say where they are called.
static void empty_models(ebb_tape *t)
{
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(1, 3, 16, 16));
	ebb_lenet1989 lenet1989 = ebb_lenet1989_new(nullptr);
	ebb_lenet lenet = ebb_lenet_new(nullptr);
	ebb_alexnet alexnet = ebb_alexnet_new(nullptr, ebb::original = true);
	ebb_zfnet zfnet = ebb_zfnet_new(nullptr);
	ebb_overfeat overfeat = ebb_overfeat_new(nullptr, ebb::accurate = true);
	ebb_nin nin = ebb_nin_new(nullptr, ebb::cifar = true);
	ebb_vgg vgg = ebb_vgg_new(nullptr, 11, ebb::batch_norm = true);
	ebb_squeezenet squeezenet = ebb_squeezenet_new(nullptr, 11, ebb::dropout = 0.1);
	ebb_densenet densenet = ebb_densenet_new(nullptr, 121, ebb::classes = 10);
	ebb_resnet resnet = ebb_resnet_new(nullptr, 50, ebb::groups = 32, ebb::width_per_group = 4);
	ebb_wrn wrn = ebb_wrn_new(nullptr, 16, 4, ebb::dropout = 0.3);
	ebb_vit vit = ebb_vit_new(nullptr, ebb::image = 32, ebb::patch = 16);
	ebb_mobilenet_v2 mobilenet = ebb_mobilenet_v2_new(nullptr, ebb::width = 0.5);
	ebb_efficientnet efficientnet = ebb_efficientnet_b0_new(nullptr, ebb::drop_path = 0.1);
	ebb_convnext convnext = ebb_convnext_tiny_new(nullptr, ebb::no_head = true);
	ebb_googlenet googlenet = ebb_googlenet_new(nullptr, ebb::no_aux = true);
	ebb_inception_v3 inception = ebb_inception_v3_new(nullptr, ebb::no_aux = true);

	REFUSED(ebb_lenet1989_forward(t, &lenet1989, x));
	REFUSED(ebb_lenet_forward(t, &lenet, x));
	REFUSED(ebb_alexnet_forward(t, &alexnet, x));
	REFUSED(ebb_zfnet_forward(t, &zfnet, x));
	REFUSED(ebb_overfeat_forward(t, &overfeat, x));
	REFUSED(ebb_nin_forward(t, &nin, x));
	REFUSED(ebb_vgg_forward(t, &vgg, x));
	REFUSED(ebb_squeezenet_forward(t, &squeezenet, x));
	REFUSED(ebb_densenet_forward(t, &densenet, x));
	REFUSED(ebb_resnet_forward(t, &resnet, x));
	REFUSED(ebb_wrn_forward(t, &wrn, x));
	REFUSED(ebb_vit_forward(t, &vit, x));
	REFUSED(ebb_mobilenet_v2_forward(t, &mobilenet, x));
	REFUSED(ebb_efficientnet_forward(t, &efficientnet, x));
	REFUSED(ebb_convnext_forward(t, &convnext, x));
	REFUSED(ebb_googlenet_forward(t, &googlenet, x).logits);
	REFUSED(ebb_inception_v3_forward(t, &inception, x).logits);
}

static void small_models(ebb_tape *t, ebb_params *p)
{
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(1, 3, 16, 16)), *y = nullptr;
	ebb_cifar_resnet small =
		ebb_cifar_resnet_new(ebb_params_sub(p, "small"), 8, ebb::preact = true);
	ebb_googlenet_logits three{ebb_rand(t, EBB_SHAPE(2, 3)), nullptr, nullptr};
	ebb_inception_v3_logits two{ebb_rand(t, EBB_SHAPE(2, 3)), nullptr};
	ebb_summary *summary = ebb_summary_new(t, ebb::params = p, ebb::depth = 2);

	RAN(ebb_cifar_resnet_forward(t, &small, x));
	RAN(ebb_googlenet_loss(t, three, ebb_arange(t, 2)));
	RAN(ebb_inception_v3_loss(t, two, ebb_arange(t, 2)));
	RAN(ebb_summary_text(summary));
	ebb_summary_free(summary);

	ebb_model net = ebb_model_new(ebb_params_sub(p, "net"), "cifar_resnet20", ebb::classes = 3,
		ebb::dropout = EBB_ZERO);
	ebb_error e{};
	RAN(ebb_model_forward(t, &net, x));
	RAN(ebb_model_loss(t, &net, x, ebb_arange(t, 1), &y, ebb::label_smoothing = 0.1));
	OK(y && ebb_size(y, 1) == 3);
	OK(ebb_model_save(&net, "model.safetensors", ebb::error = &e));
	OK(ebb_model_load(&net, "model.safetensors", ebb::new_head = true, ebb::error = &e));
	OK(std::remove("model.safetensors") == 0);
}

static void preprocessing(ebb_tape *t, ebb_params *p)
{
	ebb_augment *a = ebb_augment_new(nullptr);
	ebb_preprocess prep = ebb::make<ebb_preprocess>(ebb::resize = 32, ebb::bgr = true);
	double mean[3], std[3];

	OK(ebb_augment_bgr(a));
	OK(ebb_preprocess_augment(&prep, a, mean, std, ebb::no_geometry = true));
	OK(std[0] == 1);
	ebb_augment_free(a);
}

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);

	empty_models(t);
	small_models(t, p);
	preprocessing(t, p);
	ebb_tape_free(t);
	ebb_params_free(p);
	return failures;
}
