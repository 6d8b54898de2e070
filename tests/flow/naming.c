/* naming.c - the layers and lines of rows: plain structs, variables, containers, scopes, globs. */
#include "tests/flow/scenes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static ebb_tape *t;
static ebb_params *p;
static ebb_tensor *x;

static void set_up(void)
{
	t = ebb_tape_new();
	p = ebb_params_new(1);
	x = persistent_random(EBB_F32, EBB_SHAPE(4, 6), 1);
}

static void tear_down(void)
{
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}

/* The rows are these: "layer op line added"; added 0: none. */
struct expected {
	const char *layer, *op;
	int line, added;
};

static void check(const ebb_flow *f, int n, const struct expected *rows)
{
	ebb_flow_op r;

	for (int i = 0; i < n && i < ebb_flow_ops(f); i++) {
		ck_assert(ebb_flow_op_at(f, i, &r));
		ck_assert_str_eq(r.op, rows[i].op);
		ck_assert_msg(strcmp(ebb_flow_layer(f, r.layer), rows[i].layer) == 0,
			"%s is in layer %s, expected %s", r.op, ebb_flow_layer(f, r.layer),
			rows[i].layer);
		if (rows[i].line)
			ck_assert_msg(line_of(r.site) == rows[i].line, "%s: %s, expected line %d",
				r.op, r.site, rows[i].line);
		ck_assert_msg((r.added ? line_of(r.added) : 0) == rows[i].added,
			"%s was added at %s, expected line %d", r.op, r.added ? r.added : "-",
			rows[i].added);
	}
	ck_assert_int_eq(ebb_flow_ops(f), n);
}

static void end(ebb_flow *f, ebb_tensor *y)
{
	ebb_params_zero_grad(p);
	ck_assert_msg(ebb_backward(t, ebb_sum(t, y)), "%s", ebb_error_message(t));
	ebb_tape_reset(t);
	(void)ebb_flow_findings(f);
	ck_assert(!ebb_flow_failed(f));
}

START_TEST(plain_structs_name_their_layers)
{
	ebb_linear a = ebb_linear_new(p, "enc.fc1", 6, 6), b = ebb_linear_new(p, "enc.fc2", 6, 6);
	ebb_tensor *scale =
		ebb_params_add(p, "scale", EBB_SHAPE(6), EBB_INIT(EBB_INIT_CONSTANT, .value = 1));
	ebb_flow *f = ebb_flow_new(t);
	ebb_tensor *y, *z;
	int at = __LINE__ + 1;
	y = ebb_linear_forward(t, &a, x);
	y = ebb_relu(t, y);
	z = ebb_linear(t, y, b.weight, b.bias);
	z = ebb_tanh(t, z);
	y = ebb_add(t, y, z);
	y = ebb_mul(t, y, scale);
	y = ebb_sigmoid(t, y);
	end(f, y);
	check(f, 7,
		(struct expected[]){{"enc.fc1", "linear", at, 0}, {"enc.fc1", "relu", at + 1, 0},
			{"enc.fc2", "linear", at + 2, 0}, {"enc.fc2", "tanh", at + 3, 0},
			{"enc.fc2", "add", at + 4, 0}, {"scale", "mul", at + 5, 0},
			{"scale", "sigmoid", at + 6, 0}});
	ebb_flow_free(f);
}
END_TEST

START_TEST(a_loop_is_one_row_per_layer)
{
	ebb_linear l[3];
	ebb_flow *f = ebb_flow_new(t);
	ebb_tensor *y = x;
	int at = 0;

	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof name, "layers.%d", i);
		l[i] = ebb_linear_new(p, name, 6, 6);
	}
	for (int repeat = 0; repeat < 2; repeat++)
		for (int i = 0; i < 3; i++) {
			at = __LINE__ + 1;
			y = ebb_tanh(t, ebb_linear_forward(t, &l[i], y));
		}
	end(f, y);
	check(f, 6,
		(struct expected[]){{"layers.0", "linear", at, 0}, {"layers.0", "tanh", at, 0},
			{"layers.1", "linear", at, 0}, {"layers.1", "tanh", at, 0},
			{"layers.2", "linear", at, 0}, {"layers.2", "tanh", at, 0}});
	ck_assert(measured(f, 0, "layers.1", "tanh").calls == 2);
	ebb_flow_free(f);
}
END_TEST

START_TEST(steps_of_a_container_have_the_line_that_added_them)
{
	ebb_sequential *s = ebb_sequential_new(p, "net");
	ebb_tensor *image = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 8, 8), 1);
	ebb_flow *f = ebb_flow_new(t, .every = 1);
	int at = __LINE__ + 1, run;
	ebb_sequential_conv(s, 3, 4, 3, .pad = 1);
	ebb_sequential_bn(s, 4);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 4, 4, 3, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	ebb_sequential_fn(s, ebb_flatten);
	ebb_sequential_linear(s, 64, 5);
	ebb_sequential_fn(s, ebb_sigmoid);
	for (int k = 0; k < 2; k++) {
		run = __LINE__ + 1;
		end(f, ebb_sequential_forward(t, s, image));
	}
	check(f, 7,
		(struct expected[]){{"net.0", "conv2d", run, at},
			{"net.1", "batchnorm", run, at + 1}, {"net.2", "relu", run, at + 2},
			{"net.3", "conv2d", run, at + 3}, {"net.4", "relu", run, at + 4},
			{"net.7", "linear", run, at + 7}, {"net.8", "sigmoid", run, at + 8}});
	ebb_flow_free(f);
	ebb_tensor_free(image);
}
END_TEST

START_TEST(scopes_regroup)
{
	ebb_linear a = ebb_linear_new(p, "fc1", 6, 6), b = ebb_linear_new(p, "block.fc2", 6, 6);
	ebb_flow *f = ebb_flow_new(t);
	ebb_tensor *y;

	ebb_scope_begin(t, "model");
	ebb_scope_begin(t, "act1");
	y = ebb_sigmoid(t, ebb_linear_forward(t, &a, x));
	y = ebb_scope_end(t, y);
	ebb_scope_begin(t, "block");
	y = ebb_linear_forward(t, &b, y);
	y = ebb_scope_end(t, ebb_tanh(t, y));
	ebb_scope_begin(t, "tail");
	y = ebb_scope_end(t, ebb_relu(t, y));
	y = ebb_scope_end(t, y);
	end(f, ebb_sigmoid(t, y));
	check(f, 6,
		(struct expected[]){{"model.act1.fc1", "linear", 0, 0},
			{"model.act1.fc1", "sigmoid", 0, 0}, {"model.block.fc2", "linear", 0, 0},
			{"model.block.fc2", "tanh", 0, 0}, {"model.tail", "relu", 0, 0},
			{"model.tail", "sigmoid", 0, 0}});
	ebb_flow_free(f);
}
END_TEST

START_TEST(globs_choose_layers)
{
	static const struct {
		const char *globs;
		int layers;
		const char *first;
	} cases[] = {{"resnet.layer1.*", 2, "resnet.layer1.conv0"}, {"resnet.*", 0, NULL},
		{"resnet.**", 4, "resnet.layer1.conv0"}, {"**", 5, "resnet.layer1.conv0"},
		{"**.conv1", 2, "resnet.layer1.conv1"},
		{"resnet.layer?.conv1", 2, "resnet.layer1.conv1"},
		{"resnet.layer2.conv0 head", 2, "resnet.layer2.conv0"}, {"  head  ", 1, "head"},
		{"*", 1, "head"}, {"hea", 0, NULL}, {"head*", 1, "head"}, {"", 0, NULL},
		{"**.layer1.** h*d", 3, "resnet.layer1.conv0"}};
	static const char *const names[] = {"resnet.layer1.conv0", "resnet.layer1.conv1",
		"resnet.layer2.conv0", "resnet.layer2.conv1", "head"};
	ebb_flow *f = ebb_flow_new(t, .layers = cases[_i].globs);
	ebb_tensor *y = x;

	for (int i = 0; i < 5; i++) {
		ebb_linear l = ebb_linear_new(p, names[i], 6, 6);

		y = ebb_tanh(t, ebb_linear_forward(t, &l, y));
	}
	end(f, y);
	ck_assert_int_eq(ebb_flow_layers(f), cases[_i].layers);
	ck_assert_int_eq(ebb_flow_ops(f), 2 * cases[_i].layers);
	if (cases[_i].first)
		ck_assert_str_eq(ebb_flow_layer(f, 0), cases[_i].first);
	ck_assert_int_eq(ebb_flow_steps(f), 1);
	ebb_flow_free(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-naming");
	TCase *c = tcase_create("naming");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, plain_structs_name_their_layers);
	tcase_add_test(c, a_loop_is_one_row_per_layer);
	tcase_add_test(c, steps_of_a_container_have_the_line_that_added_them);
	tcase_add_test(c, scopes_regroup);
	tcase_add_loop_test(c, globs_choose_layers, 0, 13);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
