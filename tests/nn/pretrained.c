/* ResNet-20 with published weights: PyTorch's logits and gradients (PRETRAINED: the directory). */
#include "tests/golden/golden.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WEIGHTS PRETRAINED "/resnet20-cifar10.safetensors"
#define PROBE PRETRAINED "/resnet20-probe.safetensors"

static const golden_tensor *named(const golden_case *c, const char *name)
{
	for (int i = 0; i < c->n; i++)
		if (!strcmp(c->tensors[i].name, name))
			return &c->tensors[i];
	ck_abort_msg("there is no %s", name);
	return NULL;
}

static void load(const golden_case *file, const char *name, ebb_tensor *to)
{
	const golden_tensor *from = named(file, name);

	ck_assert_msg(from->dtype == ebb_dtype_of(to) && from->count == ebb_count(to), "%s", name);
	ck_assert(ebb_copy_in(to, from->values, (size_t)from->count * sizeof(float)));
}

/* Within tolerance of the expected, whose largest magnitude is about the scale that it is for. */
static void compare(
	const char *what, const ebb_tensor *x, const golden_tensor *expected, double tolerance)
{
	const float *e = expected->values;
	double worst = 0;

	ck_assert_int_eq(ebb_count(x), expected->count);
	for (int64_t i = 0; i < expected->count; i++)
		worst = fmax(worst, fabs(ebb_at(x, i) - e[i]));
	printf("%s: within %.1e\n", what, worst);
	ck_assert_msg(worst <= tolerance, "%s: off by %g, allowed %g", what, worst, tolerance);
}

START_TEST(resnet20_gives_pytorchs_numbers)
{
	golden_case weights, probe;
	ebb_error error = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, 20);
	const golden_tensor *input, *labels;
	ebb_tensor *x, *y, *loss;

	ck_assert_msg(golden_load(WEIGHTS, &weights, &error) && golden_load(PROBE, &probe, &error),
		"%s", error.message);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		load(&weights, ebb_params_name_at(p, i), ebb_params_at(p, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		load(&weights, ebb_buffers_name_at(p, i), ebb_buffers_at(p, i));
	input = named(&probe, "input");
	labels = named(&probe, "labels");
	x = ebb_variable(t, ebb_from_f32(t, input->shape, input->values));

	ebb_set_training(t, false);
	y = ebb_cifar_resnet_forward(t, &net, x);
	loss = ebb_cross_entropy(t, y, ebb_from_i64(t, labels->shape, labels->values));
	/* The mean of a few losses, each off by what its logits are. */
	ck_assert_double_eq_tol(ebb_item(loss), 0.28621155, 2e-5);
	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	/* A few times what PyTorch's own float results are off from its double ones. */
	compare("logits", y, named(&probe, "logits"), 1e-4);
	compare("grad.input", ebb_grad_of(x), named(&probe, "grad.input"), 5e-6);
	compare("grad.conv1.weight", ebb_grad_of(net.conv1.weight),
		named(&probe, "grad.conv1.weight"), 1e-5);

	golden_unload(&weights);
	golden_unload(&probe);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-pretrained");
	TCase *c = tcase_create("pretrained");

	if (access(WEIGHTS, R_OK) || access(PROBE, R_OK)) {
		printf("skipped: there is no %s\n", WEIGHTS);
		return 77;
	}
	tcase_add_test(c, resnet20_gives_pytorchs_numbers);
	suite_add_tcase(s, c);
	return run_suite(s);
}
