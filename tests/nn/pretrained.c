/* pretrained.c - ResNet-20 with published weights has PyTorch's logits and gradients.  The
 * environment variable PRETRAINED names their directory. */
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define WEIGHTS PRETRAINED "/resnet20-cifar10.safetensors"
#define PROBE PRETRAINED "/resnet20-probe.safetensors"

static ebb_tensor *named(const ebb_archive *probe, const char *name)
{
	ebb_error error = {0};
	ebb_tensor *x = ebb_archive_tensor(probe, name, EBB_DEFAULT, &error);

	ck_assert_msg(x, "%s", error.message);
	return x;
}

/* Checks that x differs from the probe's tensor by at most tolerance; relative: times the largest
 * magnitude. */
static void compare(const char *what, const ebb_tensor *x, const ebb_archive *probe,
	const char *name, double tolerance, bool relative)
{
	ebb_tensor *expected = named(probe, name);
	double worst = 0, largest = 0;

	ck_assert_int_eq(ebb_count(x), ebb_count(expected));
	for (int64_t i = 0; i < ebb_count(expected); i++) {
		worst = fmax(worst, fabs(ebb_at(x, i) - ebb_at(expected, i)));
		largest = fmax(largest, fabs(ebb_at(expected, i)));
	}
	if (relative)
		tolerance *= largest;
	printf("%s: within %.1e of at most %.1e\n", what, worst, largest);
	ck_assert_msg(worst <= tolerance, "%s: off by %g, allowed %g", what, worst, tolerance);
	ebb_tensor_free(expected);
}

START_TEST(resnet20_matches_pytorchs_logits_and_gradients)
{
	ebb_error error = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, 20);
	ebb_archive *probe = ebb_archive_read(PROBE, .error = &error);
	ebb_tensor *input, *labels, *x, *y, *loss;

	ck_assert_msg(probe && ebb_params_load(p, WEIGHTS, .error = &error), "%s", error.message);
	input = named(probe, "input");
	labels = named(probe, "labels");
	x = ebb_variable(t, input);

	ebb_set_training(t, false);
	y = ebb_cifar_resnet_forward(t, &net, x);
	loss = ebb_cross_entropy(t, y, labels);
	/* The loss is a mean of a few losses, whose errors are those of their logits. */
	ck_assert_double_eq_tol(ebb_item(loss), 0.28621155, 2e-5);
	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	/* A few times the difference between PyTorch's own float and double results. */
	compare("logits", y, probe, "logits", 1e-4, false);
	compare("grad.input", ebb_grad_of(x), probe, "grad.input", 1e-5, true);
	compare("grad.conv1.weight", ebb_grad_of(net.conv1.weight), probe, "grad.conv1.weight",
		1e-5, true);

	ebb_tape_free(t);
	ebb_tensor_free(input);
	ebb_tensor_free(labels);
	ebb_archive_free(probe);
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
	tcase_add_test(c, resnet20_matches_pytorchs_logits_and_gradients);
	suite_add_tcase(s, c);
	return run_suite(s);
}
