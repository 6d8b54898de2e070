/* observed.c - observers of training see the result of each step of a container, also of fused
 * steps, and the run stays bit-identical. */
#include "tensor/deferred.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

/* ---- Training, with and without observers --------------------------------------------- */

enum { STEPS = 4, ROWS = 6, WIDE = 1024, NETS = 2, OPTIMIZERS = 5 };

typedef enum observation {
	ABSENT,
	ATTACHED,
	NOT_LOOKING,
	NOW_AND_THEN,
	DETACHED,
	OBSERVATIONS
} observation;

/* An observer that counts its calls and reads what it is given. */
typedef struct watcher {
	ebb_tape *t;
	bool looks;
	int asked, calls;
	double seen; /* a sum over the values, so that they are read */
} watcher;

static bool answer(void *ctx)
{
	watcher *w = ctx;

	w->asked++;
	return w->looks;
}

static void see(watcher *w, const ebb_tensor *x)
{
	w->calls++;
	if (x && ebb_count(x))
		w->seen += ebb_at(x, ebb_count(x) - 1);
}

static void on_recorded(void *ctx, const ebb_node *node)
{
	watcher *w = ctx;

	see(w, ebb_node_output(node));
	for (int k = 0; k < ebb_node_parts(node); k++)
		see(w, ebb_node_part_value(node, k));
}

static void on_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	(void)scope;
	see(ctx, y);
}

static void on_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	watcher *w = ctx;

	see(w, g);
	for (int k = 0; k < ebb_node_parts(node); k++)
		see(w, ebb_node_part_gradient(node, k, g));
}

/* A hash over every call of an op, in order. */
typedef struct calls {
	uint64_t hash;
	int n;
} calls;

static void mix(calls *c, const char *s)
{
	for (; s && *s; s++)
		c->hash = (c->hash ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	c->hash = (c->hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static void on_ran(void *ctx, const ebb_run *r)
{
	calls *c = ctx;

	mix(c, r->op);
	mix(c, ebb_scope_path(r->scope));
	mix(c, r->gradient_of);
	c->n++;
}

typedef struct model {
	ebb_params *p;
	ebb_sequential *chain;
	ebb_conv conv[2];
	ebb_bn bn[2];
	ebb_linear wide, last;
} model;

static void model_new(model *m, bool residual)
{
	ebb_params *p = m->p = ebb_params_new(5);
	ebb_sequential *s;

	if (residual) {
		for (int i = 0; i < 2; i++) {
			m->conv[i] = ebb_conv_new(p, i ? "conv2" : "conv1", 16, 16, 3, .pad = 1);
			m->bn[i] = ebb_bn_new(p, i ? "bn2" : "bn1", 16, .inplace = true);
		}
		m->wide = ebb_linear_new(p, "wide", WIDE, WIDE);
		m->last = ebb_linear_new(p, "last", WIDE, 5);
		return;
	}
	s = m->chain = ebb_sequential_new(p, "net");
	ebb_sequential_conv(s, 16, 32, 3, .pad = 1);
	ebb_sequential_bn(s, 32);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 2, .stride = 1);
	ebb_sequential_conv(s, 32, 64, 2, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2, .pad = 1);
	ebb_sequential_fn(s, ebb_flatten);
	ebb_sequential_dropout(s, 0.3);
	ebb_sequential_linear(s, WIDE, WIDE);
	ebb_sequential_bn(s, WIDE, .inplace = true);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_linear(s, WIDE, 5);
	ck_assert_ptr_null(ebb_params_error(p));
}

static ebb_tensor *forward(ebb_tape *t, const model *m, ebb_tensor *x)
{
	ebb_tensor *h;

	if (m->chain)
		return ebb_sequential_forward(t, m->chain, x);
	h = ebb_bn_relu_forward(t, &m->bn[0], ebb_conv_forward(t, &m->conv[0], x), NULL);
	h = ebb_bn_relu_forward(t, &m->bn[1], ebb_conv_forward(t, &m->conv[1], h), x);
	h = ebb_flatten(t, ebb_transpose(t, h, 2, 3));
	return ebb_linear_forward(t, &m->last, ebb_tanh(t, ebb_linear_forward(t, &m->wide, h)));
}

static ebb_optim *optimizer(int which, ebb_params *p)
{
	switch (which) {
	case 0:
		return ebb_sgd(p, .lr = 0.05);
	case 1:
		return ebb_sgd(
			p, .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true);
	case 2:
		return ebb_adam(p, .lr = 1e-3);
	case 3:
		return ebb_adamw(p, .lr = 1e-3);
	default:
		return ebb_rmsprop(p, .lr = 1e-3);
	}
}

static bool deferred(const ebb_params *p)
{
	bool any = false;
	ebb_outer_product f;

	for (int64_t i = 0; i < ebb_params_count(p); i++)
		any |= ebb_grad_or_outer_product(ebb_params_at(p, i), &f) && f.gy;
	return any;
}

typedef struct outcome {
	uint64_t params, gradients;
	double loss[STEPS];
	size_t peak[STEPS];
	ebb_random random;
	calls ran;
} outcome;

/* One training run.  Only with ATTACHED does an observer look at the last step. */
static void train(bool residual, int which, observation w, outcome *o)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(ROWS, 16, 8, 8), 3);
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(ROWS), false, NULL);
	model m = {.chain = NULL};
	watcher seen = {.t = t};
	ebb_observer looker = {.ctx = &seen,
		.recorded = on_recorded,
		.scope_ended = on_scope,
		.gradient = on_gradient,
		.looks = w == ATTACHED || w == DETACHED ? NULL : answer};
	ebb_observer timer = {.ctx = &o->ran, .ran = on_ran};
	ebb_optim *opt;

	memset(o, 0, sizeof *o);
	model_new(&m, residual);
	opt = optimizer(which, m.p);
	ebb_seed(t, 11);
	ebb_observe(t, &timer);
	if (w != ABSENT)
		ebb_observe(t, &looker);
	for (int i = 0; i < STEPS; i++) {
		int before = seen.calls;
		ebb_tensor *loss;

		seen.looks = w == NOW_AND_THEN && i % 2 == 0;
		ebb_memory_reset_peak(t);
		loss = ebb_cross_entropy(t, forward(t, &m, x), labels);
		ebb_params_zero_grad(m.p);
		ck_assert(ebb_backward(t, loss));
		ck_assert(deferred(m.p));
		o->loss[i] = ebb_item(loss);
		o->peak[i] = ebb_memory_of(t).peak;
		ck_assert(ebb_optim_step(opt));
		assert_healthy(t);
		ebb_tape_reset(t);
		if (w == DETACHED && i == 1)
			ebb_unobserve(t, &looker);
		ck_assert_int_eq(seen.calls > before,
			w == ATTACHED || (w == DETACHED && i < 2) || seen.looks);
	}
	ck_assert((seen.asked > 0) == (w == NOT_LOOKING || w == NOW_AND_THEN));
	o->params = params_hash(m.p);
	o->gradients = grads_hash(m.p);
	o->random = ebb_random_state(t);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(m.p);
	ebb_tensor_free(x);
	ebb_tensor_free(labels);
}

START_TEST(observers_do_not_change_training)
{
	bool residual = _i / OPTIMIZERS;
	outcome alone, o;

	train(residual, _i % OPTIMIZERS, ABSENT, &alone);
	ck_assert_int_gt(alone.ran.n, 20);
	for (observation w = ATTACHED; w < OBSERVATIONS; w++) {
		train(residual, _i % OPTIMIZERS, w, &o);
		ck_assert_msg(o.params == alone.params, "parameters, mode %d", (int)w);
		ck_assert_msg(o.gradients == alone.gradients, "gradients, mode %d", (int)w);
		ck_assert_mem_eq(o.loss, alone.loss, sizeof o.loss);
		ck_assert(o.random.seed == alone.random.seed &&
			  o.random.stream == alone.random.stream);
		/* The same ops ran, in the same scopes and for the same gradients. */
		ck_assert_msg(o.ran.n == alone.ran.n && o.ran.hash == alone.ran.hash,
			"%d calls, without observers %d, mode %d", o.ran.n, alone.ran.n, (int)w);
		if (w == NOT_LOOKING)
			ck_assert_mem_eq(o.peak, alone.peak, sizeof o.peak);
		ck_assert(w == ATTACHED || o.peak[STEPS - 1] == alone.peak[STEPS - 1]);
	}
}
END_TEST

/* ---- What observers see of a container ------------------------------------------------ */

enum { EVENTS = 40 };

typedef struct event {
	char path[40], op[24];
	ebb_tensor *value, *gradient;
	int64_t node;
	int part;
} event;

typedef struct events {
	event at[EVENTS];
	int n;
} events;

static void keep_value(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	events *e = ctx;
	event *v = &e->at[e->n++];
	const ebb_node *node = ebb_node_of(y);

	ck_assert_int_le(e->n, EVENTS);
	*v = (event){.value = ebb_detach_copy(y),
		.node = node ? ebb_node_index(node) : -1,
		.part = ebb_part_of(y)};
	snprintf(v->path, sizeof v->path, "%s", ebb_scope_path(scope));
	if (node)
		snprintf(v->op, sizeof v->op, "%s",
			v->part >= 0 ? ebb_node_part_op(node, v->part)
			: ebb_node_parts(node) > 0
				? ebb_node_part_op(node, ebb_node_parts(node) - 1)
				: ebb_node_op(node));
}

static void keep_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	events *e = ctx;

	for (int i = 0; i < e->n; i++) {
		event *v = &e->at[i];

		if (v->node == ebb_node_index(node))
			v->gradient = ebb_detach_copy(
				v->part < 0 ? g : ebb_node_part_gradient(node, v->part, g));
	}
}

static void free_events(events *e)
{
	for (int i = 0; i < e->n; i++) {
		ebb_tensor_free(e->at[i].value);
		ebb_tensor_free(e->at[i].gradient);
	}
	e->n = 0;
}

/* A relu that no fusion rule matches, so that the steps before and after it run separately. */
static ebb_tensor *other_relu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_relu)(t, x, site);
}

static void chain_of(ebb_sequential *s, ebb_unary_op relu)
{
	ebb_sequential_fn(s, relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 1, .pad = 1);
	ebb_sequential_conv(s, 2, 19, 3, .pad = 1);
	ebb_sequential_bn(s, 19);
	ebb_sequential_fn(s, relu);
	ebb_sequential_maxpool2d(s, .kernel = 2, .stride = 1);
	ebb_sequential_fn(s, relu);
	ebb_sequential_maxpool2d(s, .kernel_hw = {3, 2}, .stride = 2, .pad = 1, .dilation = 2);
	ebb_sequential_bn(s, 19, .inplace = true);
	ebb_sequential_fn(s, relu);
	ebb_sequential_fn(s, ebb_tanh);
	ebb_sequential_conv(s, 19, 16, 1);
	ebb_sequential_fn(s, relu);
	ebb_sequential_maxpool2d(s, .kernel = 2, .ceil_mode = true, .inplace = true);
}

/* Multiples of 1/4, so that some windows have equal maxima, and some have no positive value. */
static ebb_tensor *coarse(ebb_dtype dtype, ebb_shape shape)
{
	ebb_tensor *x = persistent_random(dtype, shape, 1);
	void *data = ebb_data_mutable(x);

	for (int64_t i = 0; i < ebb_count(x); i++) {
		double value = (double)(int)(ebb_at(x, i) * 6) / 4 - 0.75;

		if (dtype == EBB_F64)
			((double *)data)[i] = value;
		else
			((float *)data)[i] = (float)value;
	}
	return x;
}

static ebb_tensor *run_chain(ebb_unary_op relu, ebb_dtype dtype, bool recording, events *e,
	ebb_params **params, int *nodes)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = *params = ebb_params_new(1);
	ebb_tensor *x = coarse(dtype, EBB_SHAPE(3, 2, 11, 13)), *v, *y, *result;
	ebb_observer o = {.ctx = e, .scope_ended = keep_value, .gradient = keep_gradient};
	ebb_sequential *s;

	ebb_params_set_dtype(p, dtype);
	s = ebb_sequential_new(p, "s");
	chain_of(s, relu);
	ck_assert_ptr_null(ebb_params_error(p));
	ebb_set_recording(t, recording);
	v = recording ? ebb_variable(t, x) : ebb_neg(t, ebb_neg(t, x));
	if (e)
		ck_assert(ebb_observe(t, &o));
	y = ebb_sequential_forward(t, s, v);
	assert_healthy(t);
	*nodes = (int)ebb_memory_of(t).nodes;
	result = ebb_detach_copy(y);
	if (recording) {
		ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, y)), .retain = true));
		ebb_tensor_free(result);
		result = ebb_detach_copy(ebb_grad_of(v));
	}
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	return result;
}

/* A container with fused steps has the same results as one with separate steps, and observers see
 * the same scopes, values and gradients. */
START_TEST(observers_see_the_steps_of_fused_ops)
{
	ebb_dtype dtype = _i & 1 ? EBB_F32 : EBB_F64;
	bool recording = _i & 2;
	events fused = {.n = 0}, alone = {.n = 0};
	ebb_params *p[3];
	int nodes[3];
	ebb_tensor *y[3] = {run_chain(ebb_relu, dtype, recording, &fused, &p[0], &nodes[0]),
		run_chain(other_relu, dtype, recording, &alone, &p[1], &nodes[1]),
		run_chain(ebb_relu, dtype, recording, NULL, &p[2], &nodes[2])};

	ck_assert_int_eq(fused.n, alone.n);
	ck_assert_int_eq(alone.n, 15);
	for (int i = 0; i < fused.n; i++) {
		event *a = &fused.at[i], *b = &alone.at[i];

		ck_assert_str_eq(a->path, b->path);
		ck_assert_str_eq(a->op, b->op);
		ck_assert_msg(all_same(a->value, b->value), "the value of %s", a->path);
		ck_assert(!a->gradient == !b->gradient && (a->gradient || !recording));
		if (a->gradient)
			ck_assert_msg(
				all_same(a->gradient, b->gradient), "the gradient of %s", a->path);
	}
	for (int k = 1; k < 3; k++) {
		ck_assert(all_same(y[0], y[k]));
		ck_assert(params_hash(p[0]) == params_hash(p[k]));
		ck_assert(grads_hash(p[0]) == grads_hash(p[k]));
	}
	/* relu and pooling are fused three times, norm and relu twice, with and without
	 * observers. */
	ck_assert_int_eq(nodes[0], nodes[2]);
	ck_assert_int_eq(nodes[1] - nodes[0], recording ? 5 : 0);
	free_events(&fused);
	free_events(&alone);
	for (int k = 0; k < 3; k++) {
		ebb_params_free(p[k]);
		ebb_tensor_free(y[k]);
	}
}
END_TEST

/* The part names that a container sets for a fused op must not be used for a later op: after a
 * failure, and inside a checkpoint. */
static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_sequential_forward(t, ctx, x);
}

START_TEST(part_names_do_not_leak_to_later_ops)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *s = ebb_sequential_new(p, "s");
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 4, 4), 1), *y;
	events e = {.n = 0};
	ebb_observer o = {.ctx = &e, .scope_ended = keep_value};

	ebb_sequential_bn(s, 3);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	ck_assert(ebb_observe(t, &o));
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_sequential_forward(t, s, ebb_ones(t, EBB_SHAPE(2, 5, 4, 4))),
		"observed.c:", "batchnorm_relu", "s.0");
	assert_refused(t, EBB_BAD_SHAPE, ebb_sequential_forward(t, s, ebb_ones(t, EBB_SHAPE(4, 3))),
		"observed.c:", "maxpool2d", "s.3");
	ebb_tape_reset(t);
	free_events(&e);
	y = ebb_checkpoint(t, segment, s, x);
	ck_assert_int_eq(e.n, 5);
	ck_assert(ebb_backward(t, ebb_sum(t, y)));
	ck_assert_int_eq(e.n, 5);
	ck_assert_str_eq(e.at[2].path, "s.2");
	ck_assert_int_eq(e.at[2].part, 0);
	ck_assert_int_eq(e.at[3].part, -1);
	assert_healthy(t);
	free_events(&e);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* Each allocation of an observed step fails once: the step fails, or an observer is given no value.
 * The next step is complete again, and nothing leaks. */
START_TEST(allocation_failures_while_observing_leak_nothing)
{
	ebb_tensor *x = coarse(EBB_F32, EBB_SHAPE(3, 2, 11, 13));
	counting_allocator a;
	bool refused = true;

	for (int64_t at = 0; refused; at++) {
		watcher w = {.calls = 0};
		ebb_observer o = {.ctx = &w,
			.recorded = on_recorded,
			.scope_ended = on_scope,
			.gradient = on_gradient};
		ebb_params *p;
		ebb_sequential *s;
		ebb_tape *t;
		int64_t before;

		counting_allocator_install(&a);
		p = ebb_params_new(1);
		s = ebb_sequential_new(p, "s");
		chain_of(s, ebb_relu);
		t = ebb_tape_new();
		ebb_observe(t, &o);
		before = a.calls;
		a.fail_at = before + at;
		ebb_backward(t, ebb_sum(t, ebb_sequential_forward(t, s, x)));
		refused = a.refused > 0;
		ck_assert(refused || !ebb_failed(t));
		a.fail_at = -1;
		ebb_clear_error(t);
		ebb_tape_reset(t);
		ebb_params_zero_grad(p);
		w.calls = 0;
		ck_assert(ebb_backward(t, ebb_sum(t, ebb_sequential_forward(t, s, x))));
		ck_assert_int_gt(w.calls, 40);
		ebb_tape_free(t);
		ebb_params_free(p);
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
		counting_allocator_remove();
		ck_assert_int_lt(at, 2000);
	}
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-observed");
	TCase *c = tcase_create("observed");

	tcase_add_loop_test(c, observers_do_not_change_training, 0, NETS * OPTIMIZERS);
	tcase_add_loop_test(c, observers_see_the_steps_of_fused_ops, 0, 4);
	tcase_add_test(c, part_names_do_not_leak_to_later_ops);
	tcase_add_test(c, allocation_failures_while_observing_leak_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
