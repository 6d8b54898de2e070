/* attribution.c - attributions equal PyTorch's, act on ops, and leave the tape as it was.  VECTORS is
 * the directory of the reference values (golden_attribution.py). */
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <math.h>

/* ---- The network of the vectors -------------------------------------------------------------- */

static ebb_archive *file;
static ebb_tensor *kept[40];
static int nkept;

/* The tensor of that name, in the file's precision; freed at the end of the test. */
static ebb_tensor *vector(const char *name)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_archive_tensor(file, name, EBB_DEFAULT, &e);

	ck_assert_msg(x && nkept < 40, "%s", e.message);
	return kept[nkept++] = x;
}

typedef struct net {
	ebb_tensor *w[3], *b[3], *bn[4], *fc[2];
	int calls; /* of the network */
	bool fused;
} net;

static net net_of_file(void)
{
	net n = {.w = {vector("conv1.weight"), vector("conv2.weight"), vector("conv3.weight")},
		.b = {vector("conv1.bias"), vector("conv2.bias"), vector("conv3.bias")},
		.bn = {vector("bn.weight"), vector("bn.bias"), vector("bn.mean"), vector("bn.var")},
		.fc = {vector("fc.weight"), vector("fc.bias")}};

	return n;
}

static ebb_tensor *layer(ebb_tape *t, net *n, int k, int pad, ebb_tensor *x)
{
	static const char *const names[] = {"conv1", "conv2", "conv3"};

	ebb_scope_begin(t, names[k]);
	return ebb_scope_end(t, ebb_conv2d(t, x, n->w[k], n->b[k], .pad = pad));
}

/* One ReLU, called through one pointer; fused: also as a part of other ops. */
static ebb_tensor *forward(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *(*const act)(ebb_tape *, ebb_tensor *, const char *) = ebb_relu;
	net *n = ctx;
	ebb_tensor *h;

	n->calls++;
	ebb_scope_begin(t, "net");
	h = act(t, layer(t, n, 0, 1, x), NULL);
	h = act(t, layer(t, n, 1, 0, h), NULL);
	h = ebb_maxpool2d(t, h, .kernel = 3, .stride = 2, .pad = 1);
	if (n->fused) {
		h = ebb_batchnorm_relu(t, h, n->bn[0], n->bn[1], n->bn[2], n->bn[3]);
	} else {
		h = ebb_batchnorm(t, h, n->bn[0], n->bn[1], n->bn[2], n->bn[3]);
		h = act(t, h, NULL);
	}
	h = layer(t, n, 2, 1, h);
	/* A longer path that also ends with conv3. */
	ebb_scope_begin(t, "block.conv3");
	h = ebb_scope_end(t, ebb_mul_scalar(t, h, 1));
	h = ebb_mean(t, h, .axes = EBB_AXES(2, 3));
	h = ebb_add(t, ebb_matmul(t, h, ebb_transpose(t, n->fc[0], 0, 1)), n->fc[1]);
	return ebb_scope_end(t, h);
}

static void open_file(void)
{
	ebb_error e = {0};

	nkept = 0;
	file = ebb_archive_read(VECTORS "/attribution.safetensors", .error = &e);
	ck_assert_msg(file != NULL, "%s", e.message);
}

static void close_file(void)
{
	while (nkept > 0)
		ebb_tensor_free(kept[--nkept]);
	ebb_archive_free(file);
}

#define assert_close(y, name)                                                                      \
	do {                                                                                       \
		ebb_tensor *y_ = (y);                                                              \
		assert_healthy(t);                                                                 \
		ck_assert_msg(all_close(y_, vector(name), 1e-12), "%s differs", name);             \
	} while (0)

/* ---- PyTorch's values ------------------------------------------------------------------------ */

START_TEST(gradients_by_all_rules_are_pytorchs)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes");

	n.fused = _i;
	assert_close(ebb_saliency(t, forward, &n, x, classes), "gradient");
	assert_close(ebb_guided_backprop(t, forward, &n, x, classes), "guided");
	assert_close(
		ebb_saliency(t, forward, &n, x, classes, .rules = ebb_guided_rules()), "guided");
	assert_close(ebb_saliency(t, forward, &n, x, classes, .rules = ebb_deconvnet_rules()),
		"deconvnet");
	ck_assert_int_eq(ebb_memory_of(t).nodes, 0);
	ebb_tape_free(t);
}
END_TEST

START_TEST(layers_and_their_maps_are_pytorchs)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes"), *value = vector("unit.value");
	ebb_unit unit[2];

	n.fused = _i;
	assert_close(ebb_grad_cam(t, forward, &n, x, classes, .layer = "conv2"), "cam");
	assert_close(ebb_grad_cam(t, forward, &n, x, classes, .layer = "net.conv2"), "cam");
	assert_close(ebb_grad_cam(t, forward, &n, x, classes, .layer = "conv2", .resize = true),
		"cam.resized");
	assert_close(ebb_layer_output(t, forward, &n, x, "conv3"), "conv3");
	assert_close(ebb_unit_gradient(t, forward, &n, x, "conv3", 2,
			     .rules = ebb_deconvnet_rules(), .units = unit),
		"unit");
	for (int i = 0; i < 2; i++) {
		ebb_tensor *out = ebb_layer_output(t, forward, &n, x, "conv3");
		int64_t at = ((i * ebb_size(out, 1) + 2) * ebb_size(out, 2) + unit[i].y) *
		                     ebb_size(out, 3) +
		             unit[i].x;

		ck_assert_double_eq_tol(unit[i].value, ebb_at(value, i), 1e-12);
		ck_assert_double_eq(unit[i].value, ebb_at(out, at));
	}
	ebb_tape_free(t);
}
END_TEST

START_TEST(the_last_layer_with_pixels_is_the_default)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x");

	ck_assert(all_same(ebb_grad_cam(t, forward, &n, x),
		ebb_grad_cam(t, forward, &n, x, .layer = "block.conv3")));
	ebb_tape_free(t);
}
END_TEST

START_TEST(the_name_of_blocks_is_the_last_of_them)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x");

	ck_assert(all_same(ebb_layer_output(t, forward, &n, x, "block"),
		ebb_layer_output(t, forward, &n, x, "block.conv3")));
	/* "net" is a scope around all, whose result is no layer. */
	ck_assert(all_same(ebb_layer_output(t, forward, &n, x, "net"),
		ebb_layer_output(t, forward, &n, x, "net.conv3")));
	assert_refused(t, EBB_INVALID, ebb_layer_output(t, forward, &n, x, "bloc"), "\"bloc\"");
	ebb_tape_free(t);
}
END_TEST

START_TEST(integrated_gradients_are_pytorchs_and_complete)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes"), *base = vector("baseline"), *y;
	ebb_completeness reached[2];
	bool complete = true;

	/* The same 64 intervals as in the vectors. */
	y = ebb_integrated_gradients(t, forward, &n, x, classes, .baseline = base, .min_steps = 64,
		.max_steps = 64, .batch = 7, .tolerance = EBB_ZERO, .complete = &complete);
	assert_close(y, "integrated");
	ck_assert_msg(!complete, "a sum over 64 points is exact");
	y = ebb_integrated_gradients(t, forward, &n, x, classes, .baseline = base,
		.result = reached, .complete = &complete, .tolerance = 1e-4);
	ck_assert(complete);
	for (int i = 0; i < 2; i++) {
		double change = reached[i].score - reached[i].baseline_score, sum = 0;

		for (int64_t k = 0; k < 297; k++)
			sum += ebb_at(y, 297 * i + k);
		ck_assert_double_eq_tol(sum, reached[i].sum, 1e-12);
		ck_assert_double_le(fabs(sum - change), 1e-4 * fabs(change));
		ck_assert_int_ge(reached[i].steps, 17);
		printf("image %d: sum %.6f of %.6f after %d steps\n", i, sum, change,
			reached[i].steps);
	}
	/* An image that is its own baseline has no attribution, and is complete. */
	y = ebb_integrated_gradients(
		t, forward, &n, x, classes, .baseline = x, .complete = &complete);
	ck_assert(complete && ebb_item(ebb_norm(t, y)) == 0);
	ebb_tape_free(t);
}
END_TEST

/* ---- Rules ----------------------------------------------------------------------------------- */

/* Scores of three ReLUs in a row, which are calls of one function or of the op. */
typedef struct thrice {
	ebb_tensor *mix; /* [40,5] */
	bool inline_calls;
} thrice;

static ebb_tensor *rectify(ebb_tape *t, ebb_tensor *x)
{
	return ebb_relu(t, x);
}

static ebb_tensor *three_relus(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const thrice *s = ctx;
	ebb_tensor *h = x;

	if (s->inline_calls)
		h = ebb_relu(t, ebb_neg(t, ebb_relu(t, ebb_sub(t, ebb_relu(t, h), ebb_sin(t, x)))));
	for (int i = 0; i < 3 && !s->inline_calls; i++) {
		h = i == 1 ? ebb_sub(t, h, ebb_sin(t, x)) : i == 2 ? ebb_neg(t, h) : h;
		h = rectify(t, h);
	}
	return ebb_matmul(t, ebb_add(t, h, ebb_relu(t, x)), s->mix);
}

START_TEST(one_relu_used_three_times_equals_three)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(3, 40), 5);
	ebb_tensor *mix = persistent_random(EBB_F64, EBB_SHAPE(40, 5), 6), *former = NULL;
	const ebb_rules rules[] = {{0}, ebb_guided_rules(), ebb_deconvnet_rules()};

	for (int r = 0; r < 3; r++) {
		thrice one = {mix, false}, three = {mix, true};
		ebb_tensor *a = ebb_saliency(t, three_relus, &one, x, .rules = rules[r]);
		ebb_tensor *b = ebb_saliency(t, three_relus, &three, x, .rules = rules[r]);

		ck_assert(a && all_same(a, b));
		ck_assert_msg(!former || !all_same(a, former), "rule %d changes nothing", r);
		former = a;
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(mix);
}
END_TEST

/* A chain whose batch norm, ReLU and pooling run as fused ops without rules. */
typedef struct chain {
	ebb_sequential *s;
	ebb_tensor *mix; /* [64,5] */
} chain;

static ebb_tensor *chain_forward(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const chain *c = ctx;

	return ebb_matmul(t, ebb_flatten(t, ebb_sequential_forward(t, c->s, x)), c->mix);
}

START_TEST(fused_steps_of_a_chain_follow_the_rules)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(3);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 12, 12), 5);
	chain c = {ebb_sequential_new(p, "net"), persistent_random(EBB_F32, EBB_SHAPE(64, 5), 6)};
	ebb_tensor *a, *b, *leaf, *h, *y, *pooled, *g, *zero;

	ebb_sequential_conv(c.s, 3, 4, 3);
	ebb_sequential_bn(c.s, 4);
	ebb_sequential_fn(c.s, ebb_relu);
	ebb_sequential_fn(c.s, ebb_relu);
	ebb_sequential_maxpool2d(c.s, .kernel = 3, .stride = 2);
	ck_assert_ptr_null(ebb_params_error(p));
	ebb_set_training(t, false);
	a = ebb_saliency(t, chain_forward, &c, x, ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){1, 4}),
		.rules = ebb_guided_rules());
	b = ebb_saliency(t, chain_forward, &c, x, ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){1, 4}));
	ck_assert_msg(a && b && !all_same(a, b), "%s", ebb_error_message(t));
	/* The same by hand. */
	leaf = ebb_variable(t, x);
	h = ebb_conv2d(
		t, leaf, ebb_params_find(p, "net.0.weight"), ebb_params_find(p, "net.0.bias"));
	h = ebb_batchnorm(t, h, ebb_params_find(p, "net.1.weight"),
		ebb_params_find(p, "net.1.bias"), ebb_buffers_at(p, 0), ebb_buffers_at(p, 1));
	y = ebb_relu(t, h);
	pooled = ebb_flatten(t, ebb_maxpool2d(t, y, .kernel = 3, .stride = 2));
	g = ebb_transpose(t,
		ebb_index_select(t, c.mix, 1, ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){1, 4})), 0,
		1);
	ck_assert(ebb_grad(t, pooled, 1, &y, &g, .gy = g));
	zero = ebb_zeros_like(t, y);
	g = ebb_where(t, ebb_greater(t, ebb_detach(t, y), zero), ebb_relu(t, g), zero);
	ck_assert_msg(ebb_grad(t, h, 1, &leaf, &g, .gy = g), "%s", ebb_error_message(t));
	ck_assert(all_close(a, g, 1e-6));
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(c.mix);
}
END_TEST

/* The straight-through estimator: floor has the gradient of the identity. */
static void straight_through(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}

static ebb_tensor *floored(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_square(t, ebb_floor(t, x));
}

START_TEST(a_rule_holds_for_ops_that_are_recorded_while_it_is_set)
{
	static const ebb_rule rule[] = {{.op = "floor", .vjp = straight_through}};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_full(t, EBB_SHAPE(3), 2.5)), *y, *z, *g;
	ebb_rules former = ebb_set_rules(t, (ebb_rules){.n = 1, .rule = rule});

	ck_assert(former.n == 0 && ebb_is_unfused(t));
	y = ebb_sum(t, ebb_square(t, ebb_floor(t, x)));
	z = ebb_sum(t, ebb_checkpoint(t, floored, NULL, x));
	former = ebb_set_rules(t, (ebb_rules){0});
	ck_assert(former.n == 1 && former.rule == rule && !ebb_is_unfused(t));
	ck_assert(ebb_grad(t, y, 1, &x, &g) && ebb_at(g, 1) == 4);
	ck_assert_msg(ebb_grad(t, z, 1, &x, &g) && ebb_at(g, 1) == 4,
		"the second run of a checkpoint has other rules");
	ck_assert(ebb_set_rules(t, (ebb_rules){0}).n == 0);
	y = ebb_sum(t, ebb_square(t, ebb_floor(t, x)));
	ck_assert(ebb_grad(t, y, 1, &x, &g) && ebb_at(g, 1) == 0);
	ebb_set_rules(t, (ebb_rules){.n = 1, .rule = (const ebb_rule[]){{.op = "floor"}}});
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), "rule 0 of 1 has no op or no vjp"));
	ebb_clear_error(t);
	ebb_set_rules(t, (ebb_rules){.n = -1});
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), "n is -1"));
	ck_assert(!ebb_is_unfused(t));
	ebb_tape_free(t);
	ck_assert(ebb_set_rules(NULL, (ebb_rules){0}).n == 0 && !ebb_is_unfused(NULL));
}
END_TEST

/* d/dx of sum (guided gradient)^2, with w > 0: 2*w^2*3x^2*6x where x > 0. */
START_TEST(guided_gradients_have_gradients)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y, *g, *gg;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), (double[]){-1, 0.5, 2}));
	ebb_set_rules(t, ebb_guided_rules());
	y = ebb_sum(t, ebb_pow_scalar(t, ebb_relu(t, x), 3));
	ck_assert(ebb_grad(t, y, 1, &x, &g, .create_graph = true));
	ck_assert_msg(
		ebb_grad(t, ebb_sum(t, ebb_square(t, g)), 1, &x, &gg), "%s", ebb_error_message(t));
	ck_assert_double_eq(ebb_at(gg, 0), 0);
	ck_assert_double_eq_tol(ebb_at(gg, 1), 36 * 0.125, 1e-12);
	ck_assert_double_eq_tol(ebb_at(gg, 2), 36 * 8, 1e-12);
	ebb_tape_free(t);
}
END_TEST

/* ---- The tape -------------------------------------------------------------------------------- */

static const char *const functions[] = {"saliency", "guided_backprop", "smoothgrad",
	"integrated_gradients", "grad_cam", "layer_output", "unit_gradient"};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static ebb_tensor *call(
	int k, ebb_tape *t, ebb_network_fn fn, net *n, ebb_tensor *x, ebb_tensor *classes)
{
	switch (k) {
	case 0:
		return ebb_saliency(t, fn, n, x, classes);
	case 1:
		return ebb_guided_backprop(t, fn, n, x, classes);
	case 2:
		return ebb_smoothgrad(t, fn, n, x, classes, .samples = 3);
	case 3:
		return ebb_integrated_gradients(t, fn, n, x, classes, .max_steps = 16);
	case 4:
		return ebb_grad_cam(t, fn, n, x, classes, .layer = "conv2");
	case 5:
		return ebb_layer_output(t, fn, n, x, "conv2");
	default:
		return ebb_unit_gradient(t, fn, n, x, "conv3", 1);
	}
}

START_TEST(the_tape_is_as_before)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes");
	ebb_tensor *v = ebb_variable(t, ebb_full(t, EBB_SHAPE(2), 3)), *g;
	ebb_tensor *loss = ebb_sum(t, ebb_square(t, v)), *y;
	int64_t nodes = ebb_memory_of(t).nodes;

	ck_assert(ebb_set_requires_grad(n.w[1], true));
	ebb_set_training(t, _i % 2);
	ebb_set_recording(t, _i / 2 % 2);
	y = call(_i / 4, t, forward, &n, x, classes);
	ck_assert_msg(y != NULL, "%s: %s", functions[_i / 4], ebb_error_message(t));
	ck_assert(ebb_is_training(t) == (_i % 2) && ebb_is_recording(t) == (_i / 2 % 2));
	ck_assert(ebb_default_dtype(t) == EBB_F32 && ebb_dtype_of(y) == EBB_F64);
	ck_assert(!ebb_is_unfused(t) && !ebb_requires_grad(y));
	ck_assert_int_eq(ebb_memory_of(t).nodes, nodes);
	ck_assert_ptr_null(ebb_grad_of(n.w[1]));
	ck_assert(ebb_grad(t, loss, 1, &v, &g) && ebb_at(g, 0) == 6);
	ebb_tape_free(t);
}
END_TEST

static ebb_tensor *wrong_scores(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_sum(t, x);
}

static ebb_tensor *no_scores(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)t, (void)x, (void)ctx;
	return NULL;
}

START_TEST(bad_calls_are_errors)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes");
	const char *name = functions[_i];
	ebb_tensor *bytes = ebb_from_u8(t, EBB_SHAPE(1, 2), (uint8_t[]){1, 2});
	ebb_tensor *nine = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){0, 9});

	assert_refused(t, EBB_INVALID, call(_i, t, NULL, &n, x, classes), name, "network is NULL",
		"attribution.c:");
	assert_refused(t, EBB_INVALID, call(_i, t, forward, &n, NULL, classes), name, "x is NULL");
	assert_refused(t, EBB_BAD_DTYPE, call(_i, t, forward, &n, bytes, classes), name,
		"x must be F32 or F64", "U8 [1,2]");
	assert_refused(t, EBB_BAD_SHAPE,
		call(_i, t, forward, &n, ebb_ones(t, EBB_SHAPE(3)), classes), name, "[N,...]");
	assert_refused(t, EBB_INVALID, call(_i, t, no_scores, &n, x, classes), name,
		"the network returned NULL");
	if (_i < 5) {
		assert_refused(t, EBB_BAD_SHAPE, call(_i, t, wrong_scores, &n, x, classes), name,
			"the network returned F64 []", "expected scores [2,classes]");
		assert_refused(t, EBB_INVALID, call(_i, t, forward, &n, x, nine), name,
			"class 9 of image 1 is not in [0,4)");
		assert_refused(t, EBB_BAD_DTYPE, call(_i, t, forward, &n, x, x), name,
			"classes must be I64 [2]");
	}
	ck_assert_ptr_null(call(_i, NULL, forward, &n, x, classes));
	ebb_tape_free(t);
}
END_TEST

START_TEST(bad_options_are_errors)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes");

	assert_refused(
		t, EBB_INVALID, ebb_smoothgrad(t, forward, &n, x, .samples = -1), "samples is -1");
	assert_refused(
		t, EBB_INVALID, ebb_smoothgrad(t, forward, &n, x, .sigma = NAN), "sigma nan");
	assert_refused(t, EBB_INVALID, ebb_integrated_gradients(t, forward, &n, x, .tolerance = -1),
		"tolerance is -1");
	assert_refused(t, EBB_INVALID, ebb_integrated_gradients(t, forward, &n, x, .batch = 65),
		"batch 65");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_integrated_gradients(t, forward, &n, x, .baseline = classes), "baseline",
		"I64 [2]");
	assert_refused(t, EBB_INVALID, ebb_grad_cam(t, forward, &n, x, .layer = "conv4"),
		"no scope \"conv4\"", "it has net.conv1, net.conv2, net.conv3, net.block.conv3");
	assert_refused(t, EBB_INVALID, ebb_grad_cam(t, forward, &n, x, .layer = "onv3"), "onv3");
	assert_refused(t, EBB_INVALID, ebb_unit_gradient(t, forward, &n, x, "conv3", 7),
		"channel 7 is not in [0,7)");
	ebb_tape_free(t);
}
END_TEST

/* With the same seed, the same noise; the mean over many samples of no noise is the gradient. */
START_TEST(smoothgrad_is_a_mean_of_gradients)
{
	ebb_tape *t = ebb_tape_new();
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes"), *a, *b;

	a = ebb_smoothgrad(t, forward, &n, x, classes, .samples = 3, .sigma = EBB_ZERO);
	assert_close(a, "gradient");
	ebb_seed(t, 4);
	n.calls = 0;
	a = ebb_smoothgrad(t, forward, &n, x, classes);
	ck_assert_int_eq(n.calls, 50);
	ebb_seed(t, 4);
	b = ebb_smoothgrad(t, forward, &n, x, classes);
	ck_assert(all_same(a, b));
	ck_assert(!all_close(a, vector("gradient"), 1e-3));
	ebb_tape_free(t);
}
END_TEST

START_TEST(without_memory_each_call_fails_and_leaks_nothing)
{
	counting_allocator count;
	net n = net_of_file();
	ebb_tensor *x = vector("x"), *classes = vector("classes");
	bool done = false;

	for (int64_t at = 0; !done; at++) {
		ebb_tape *t;
		ebb_tensor *y;

		counting_allocator_install(&count);
		count.fail_at = at;
		t = ebb_tape_new();
		y = call(_i, t, forward, &n, x, classes);
		done = count.refused == 0;
		if (t && !y)
			ck_assert_int_eq(ebb_tape_error(t)->status, EBB_NO_MEMORY);
		ck_assert(!done || y);
		ebb_tape_free(t);
		ck_assert_int_eq(count.live, 0);
		ck_assert_int_eq(count.wrong, 0);
		counting_allocator_remove();
	}
}
END_TEST

/* ---- Ranks ----------------------------------------------------------------------------------- */

START_TEST(rank_correlation_is_spearmans)
{
	static const double p[] = {1, 2, 3, 4, 5}, q[] = {5, 6, 7, 8, 7}, r[] = {10, 4, 4, -1, 0};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *a = ebb_from_f64(t, EBB_SHAPE(5), p), *b = ebb_from_f64(t, EBB_SHAPE(5), q);
	ebb_tensor *c = ebb_from_f64(t, EBB_SHAPE(5, 1), r);

	ck_assert_double_eq_tol(ebb_rank_correlation(a, a), 1, 1e-15);
	ck_assert_double_eq_tol(ebb_rank_correlation(a, ebb_neg(t, a)), -1, 1e-15);
	/* scipy.stats.spearmanr gives these. */
	ck_assert_double_eq_tol(ebb_rank_correlation(a, b), 0.8207826816681233, 1e-14);
	ck_assert_double_eq_tol(ebb_rank_correlation(b, c), -8.75 / 9.5, 1e-14);
	ck_assert_double_nan(ebb_rank_correlation(a, ebb_ones(t, EBB_SHAPE(5))));
	ck_assert_double_nan(ebb_rank_correlation(a, ebb_ones(t, EBB_SHAPE(4))));
	ck_assert_double_nan(ebb_rank_correlation(a, ebb_full(t, EBB_SHAPE(5), NAN)));
	ck_assert_double_nan(ebb_rank_correlation(NULL, a));
	ck_assert_double_nan(ebb_rank_correlation(a, NULL));
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("attribution");
	TCase *c = tcase_create("attribution");

	tcase_add_checked_fixture(c, open_file, close_file);
	tcase_set_timeout(c, SANITIZED ? 120 : 30);
	tcase_add_loop_test(c, gradients_by_all_rules_are_pytorchs, 0, 2);
	tcase_add_loop_test(c, layers_and_their_maps_are_pytorchs, 0, 2);
	tcase_add_test(c, the_last_layer_with_pixels_is_the_default);
	tcase_add_test(c, the_name_of_blocks_is_the_last_of_them);
	tcase_add_test(c, integrated_gradients_are_pytorchs_and_complete);
	tcase_add_test(c, one_relu_used_three_times_equals_three);
	tcase_add_test(c, fused_steps_of_a_chain_follow_the_rules);
	tcase_add_test(c, guided_gradients_have_gradients);
	tcase_add_test(c, a_rule_holds_for_ops_that_are_recorded_while_it_is_set);
	tcase_add_loop_test(c, the_tape_is_as_before, 0, 4 * FUNCTIONS);
	tcase_add_loop_test(c, bad_calls_are_errors, 0, FUNCTIONS);
	tcase_add_test(c, bad_options_are_errors);
	tcase_add_test(c, smoothgrad_is_a_mean_of_gradients);
	tcase_add_loop_test(c, without_memory_each_call_fails_and_leaks_nothing, 0, FUNCTIONS);
	tcase_add_test(c, rank_correlation_is_spearmans);
	suite_add_tcase(s, c);
	return run_suite(s);
}
