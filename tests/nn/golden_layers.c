/*
 * golden_layers.c - attention layers have PyTorch's results and gradients, and load its parameters.
 * golden_layers.py makes the files and describes them.
 */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

static const char *const files[] = {"self", "causal", "no-bias", "one-sequence", "memory",
	"memory-and-values", "kdim-vdim", "vdim", "mask", "padding", "layer", "layer-norm-first",
	"layer-gelu", "layer-one-sequence", "gpt"};
enum { FILES = sizeof files / sizeof *files };

/* A file and the tensors that were read from it. */
typedef struct golden {
	ebb_archive *archive;
	ebb_tensor *x, *memory, *values, *mask, *y, *gy;
} golden;

static ebb_tensor *entry(const ebb_archive *a, const char *name)
{
	ebb_error e = {0};
	ebb_tensor *x = NULL;

	if (ebb_archive_find(a, name) >= 0) {
		x = ebb_archive_tensor(a, name, EBB_DEFAULT, &e);
		ck_assert_msg(x != NULL, "%s", e.message);
	}
	return x;
}

static golden golden_read(const char *name)
{
	ebb_error e = {0};
	golden g = {0};
	char path[600];

	snprintf(path, sizeof path, "%s/%s.safetensors", VECTORS, name);
	g.archive = ebb_archive_read(path, .error = &e);
	ck_assert_msg(g.archive != NULL, "%s", e.message);
	g.x = entry(g.archive, "x");
	g.memory = entry(g.archive, "memory");
	g.values = entry(g.archive, "values");
	g.mask = entry(g.archive, "mask");
	g.y = entry(g.archive, "y");
	g.gy = entry(g.archive, "gy");
	return g;
}

static void golden_close(golden *g)
{
	ebb_tensor *all[] = {g->x, g->memory, g->values, g->mask, g->y, g->gy};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		ebb_tensor_free(all[i]);
	ebb_archive_free(g->archive);
}

static int number(const golden *g, const char *key)
{
	const char *text = ebb_archive_metadata(g->archive, key);

	ck_assert_msg(text != NULL, "no %s", key);
	return (int)strtol(text, NULL, 10);
}

/* Compares x with the tensor of that name, which must be in the file. */
static void compare(const golden *g, const char *name, const ebb_tensor *x)
{
	ebb_tensor *expected = entry(g->archive, name);

	ck_assert_msg(expected != NULL, "no %s", name);
	ck_assert_msg(x && all_close(x, expected, 1e-12), "%s differs", name);
	ebb_tensor_free(expected);
}

static ebb_tensor *multihead(ebb_tape *t, ebb_params *p, const golden *g, ebb_tensor **in)
{
	ebb_multihead l =
		ebb_multihead_new(p, "net", 6, number(g, "heads"), .kdim = number(g, "kdim"),
			.vdim = number(g, "vdim"), .no_bias = number(g, "no_bias"));

	ck_assert(ebb_params_load(ebb_params_sub(p, "net"), .archive = g->archive, .prefix = "p."));
	return ebb_multihead_forward(t, &l, in[0], .memory = in[1], .values = in[2],
		.mask = g->mask, .causal = number(g, "causal"));
}

static ebb_tensor *transformer(ebb_tape *t, ebb_params *p, const golden *g, ebb_tensor *x)
{
	ebb_transformer_layer l = ebb_transformer_layer_new(p, "net", 6, number(g, "heads"),
		.feedforward = number(g, "hidden"), .dropout = EBB_ZERO,
		.activation = number(g, "gelu") ? EBB_ACTIVATION_GELU : EBB_ACTIVATION_RELU,
		.norm_first = number(g, "norm_first"));

	ck_assert(ebb_params_load(ebb_params_sub(p, "net"), .archive = g->archive, .prefix = "p."));
	return ebb_transformer_layer_forward(t, &l, x, .causal = number(g, "causal"));
}

static ebb_tensor *gpt(ebb_tape *t, ebb_params *p, const golden *g)
{
	ebb_gpt net = ebb_gpt_new(ebb_params_sub(p, "net"), number(g, "vocabulary"),
		number(g, "context"), number(g, "layers"), number(g, "heads"), 6);
	int64_t tokens[100], n = ebb_count(g->mask);

	ck_assert(n <= 100);
	for (int64_t i = 0; i < n; i++)
		tokens[i] = (int64_t)ebb_at(g->mask, i);
	ck_assert(ebb_params_load(ebb_params_sub(p, "net"), .archive = g->archive, .prefix = "p."));
	return ebb_gpt_forward(t, &net, ebb_from_i64(t, ebb_shape_of(g->mask), tokens));
}

START_TEST(results_and_gradients_are_pytorchs)
{
	static const char *const inputs[] = {"grad.x", "grad.memory", "grad.values"};
	golden g = golden_read(files[_i]);
	const char *layer = ebb_archive_metadata(g.archive, "layer");
	ebb_tensor *given[] = {g.x, g.memory, g.values}, *in[3] = {0}, *y;
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	char name[100];

	ck_assert(ebb_params_set_dtype(p, EBB_F64));
	ebb_set_default_dtype(t, EBB_F64);
	for (int i = 0; i < 3; i++)
		in[i] = given[i] ? ebb_variable(t, given[i]) : NULL;
	y = strcmp(layer, "gpt") == 0         ? gpt(t, p, &g)
	    : strcmp(layer, "multihead") == 0 ? multihead(t, p, &g, in)
	                                      : transformer(t, p, &g, in[0]);
	ck_assert_msg(ebb_ok(t, p), "%s", ebb_first_error(t, p)->message);
	compare(&g, "y", y);
	ck_assert(ebb_backward(t, y, g.gy));
	for (int i = 0; i < 3; i++)
		if (in[i])
			compare(&g, inputs[i], ebb_grad_of(in[i]));
	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		snprintf(name, sizeof name, "grad.p.%s", ebb_params_name_at(p, i) + strlen("net."));
		compare(&g, name, ebb_grad_of(ebb_params_at(p, i)));
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	golden_close(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-golden-layers");
	TCase *c = tcase_create("files");

	tcase_add_loop_test(c, results_and_gradients_are_pytorchs, 0, FILES);
	suite_add_tcase(s, c);
	return run_suite(s);
}
