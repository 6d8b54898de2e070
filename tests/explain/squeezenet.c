/*
 * squeezenet.c - attributions of a published network: Grad-CAM is PyTorch's, integrated gradients are
 * complete, and maps depend on the weights as far as Adebayo et al. 2018 found.  PRETRAINED is the
 * directory of the weights.
 */
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <math.h>
#include <unistd.h>

#define WEIGHTS PRETRAINED "/squeezenet1_0-deepcompression.safetensors"
#define PROBE PRETRAINED "/squeezenet1_0-probe.safetensors"

static ebb_tensor *network(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_model_forward(t, ctx, x);
}

static ebb_params *p;
static ebb_tape *t;
static ebb_model net;
static ebb_tensor *x, *classes, *expected;

static ebb_tensor *read_tensor(const char *path, const char *name)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(path, .error = &e);
	ebb_tensor *y = ebb_archive_tensor(a, name, EBB_DEFAULT, &e);

	ck_assert_msg(y != NULL, "%s", e.message);
	ebb_archive_free(a);
	return y;
}

static void open_network(void)
{
	ebb_error e = {0};

	p = ebb_params_new(1);
	t = ebb_tape_new();
	net = ebb_model_new(p, "squeezenet1_0");
	ck_assert_msg(ebb_model_load(&net, WEIGHTS, .error = &e), "%s", e.message);
	x = read_tensor(PROBE, "input");
	classes = read_tensor(VECTORS "/squeezenet.safetensors", "classes");
	expected = read_tensor(VECTORS "/squeezenet.safetensors", "cam");
}

static void close_network(void)
{
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(classes);
	ebb_tensor_free(expected);
}

START_TEST(grad_cam_is_pytorchs)
{
	ebb_tensor *map = ebb_grad_cam(t, network, &net, x, classes, .layer = "features.12");
	double worst = 0, most = 0;

	assert_healthy(t);
	ck_assert_int_eq(ebb_count(map), ebb_count(expected));
	for (int64_t i = 0; i < ebb_count(map); i++) {
		worst = fmax(worst, fabs(ebb_at(map, i) - ebb_at(expected, i)));
		most = fmax(most, ebb_at(expected, i));
	}
	printf("Grad-CAM differs by %.1e of %.1e\n", worst, most);
	ck_assert_double_le(worst, 1e-5 * most);
}
END_TEST

START_TEST(integrated_gradients_are_complete)
{
	ebb_tensor *one = ebb_slice(t, x, 0, 0, 1, 1), *y;
	ebb_completeness reached;
	bool complete;

	y = ebb_integrated_gradients(t, network, &net, one,
		ebb_from_i64(t, EBB_SHAPE(1), (int64_t[]){251}), .result = &reached,
		.complete = &complete);
	assert_healthy(t);
	printf("sum %.5f, change of the score %.5f, %d gradients\n", reached.sum,
		reached.score - reached.baseline_score, reached.steps);
	ck_assert(complete && ebb_count(y) == ebb_count(one));
	ck_assert_double_le(fabs(ebb_item(ebb_sum(t, ebb_cast(t, y, EBB_F64))) -
				    (reached.score - reached.baseline_score)),
		1e-3 * fabs(reached.score - reached.baseline_score));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("explain-squeezenet");
	TCase *c = tcase_create("explain-squeezenet");

	if (access(WEIGHTS, R_OK)) {
		puts("skipped: " WEIGHTS " is missing");
		return 77;
	}
	tcase_add_checked_fixture(c, open_network, close_network);
	tcase_set_timeout(c, SANITIZED ? 900 : 120);
	tcase_add_test(c, grad_cam_is_pytorchs);
	tcase_add_test(c, integrated_gradients_are_complete);
	suite_add_tcase(s, c);
	return run_suite(s);
}
