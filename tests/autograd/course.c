/* course.c - observers of the course of a run: the contributions of a vjp, the beginning and the end
 * of ebb_backward, resets, the second run of a checkpoint; and reading nodes in callbacks. */
#include "fixture.h"

#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What happened, in order, as a text such as "B.c.g.E". */
typedef struct record {
	char events[400];
	int contributions, gradients, recorded;
	double sum;    /* of all contributions */
	double target; /* the value of the last ebb_backward's target */
	int64_t nodes; /* at the last reset */
	bool ok;       /* of the last ebb_backward */
	bool differentiating;
} record;

static void add(record *r, const char *event)
{
	if (strlen(r->events) + strlen(event) < sizeof r->events)
		strcat(r->events, event);
}

static void on_recorded(void *ctx, const ebb_node *n)
{
	record *r = ctx;

	r->recorded++;
	add(r, ebb_is_replaying(tape) ? "R" : "r");
	ck_assert_ptr_eq(ebb_node_at(tape, ebb_node_index(n)), n);
}

static void on_gradient(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	record *r = ctx;

	ck_assert(n && g);
	r->gradients++;
	add(r, "g");
}

static void on_contribution(void *ctx, const ebb_node *n, int k, const ebb_tensor *g)
{
	record *r = ctx;

	r->contributions++;
	add(r, "c");
	ck_assert(k >= 0 && k < ebb_node_inputs(n));
	for (int64_t i = 0; i < ebb_count(g); i++)
		r->sum += ebb_at(g, i);
}

static void on_backward(void *ctx, const ebb_tensor *y)
{
	record *r = ctx;

	add(r, "B");
	r->target = ebb_at(y, 0);
}

static void on_backward_end(void *ctx, bool ok)
{
	record *r = ctx;

	add(r, "E");
	r->ok = ok;
}

static void on_reset(void *ctx)
{
	record *r = ctx;

	add(r, "X");
	r->nodes = ebb_memory_of(tape).nodes;
}

static bool on_asked(void *ctx)
{
	record *r = ctx;

	r->differentiating = r->differentiating || ebb_is_differentiating(tape);
	return true;
}

static record seen;
static ebb_observer all = {.ctx = &seen,
	.recorded = on_recorded,
	.gradient = on_gradient,
	.looks = on_asked,
	.contribution = on_contribution,
	.backward = on_backward,
	.backward_end = on_backward_end,
	.reset = on_reset};

static void watch(void)
{
	set_up();
	seen = (record){.events = ""};
	all.replays = false;
	ck_assert(ebb_observe(tape, &all));
}

START_TEST(the_course_of_a_step)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_tensor *y = ebb_sum(tape, ebb_mul(tape, x, ebb_exp(tape, x)));
	double expected = 0;

	ck_assert(!ebb_is_differentiating(tape));
	ck_assert(ebb_backward(tape, y));
	ck_assert(!ebb_is_differentiating(tape));
	ck_assert(seen.differentiating);
	/* exp, mul, sum; sum contributes once, mul twice, exp once; mul's gradient of x is read
	 * after that of exp. */
	ck_assert_str_eq(seen.events, "rrrBgcgccgcgE");
	ck_assert(seen.ok && seen.target == ebb_item(y));
	for (int i = 0; i < 4; i++) {
		double v = values[i], e = exp(v);

		expected += 1 + e + v + v * e;
	}
	ck_assert(fabs(seen.sum - expected) < 1e-12);
	ebb_tape_reset(tape);
	ck_assert_str_eq(seen.events + strlen(seen.events) - 2, "EX");
	ck_assert_int_eq(seen.nodes, 4);
	/* An empty tape is reset, too. */
	ebb_tape_reset(tape);
	ck_assert_str_eq(seen.events + strlen(seen.events) - 2, "XX");
	ck_assert_int_eq(seen.nodes, 0);
}
END_TEST

/* An observer may be freed before the tape. */
START_TEST(freeing_a_tape_calls_no_observer)
{
	record other = {.events = ""};
	ebb_observer o = {.ctx = &other, .reset = on_reset};
	ebb_tape *t = ebb_tape_new();

	ck_assert(ebb_observe(t, &o));
	ebb_tape_free(t);
	ck_assert_str_eq(other.events, "");
}
END_TEST

/* Runs ebb_backward inside its vjp. */
static void nested_vjp(ebb_vjp *v)
{
	ebb_tensor *x = ebb_variable(v->t, ebb_detach(v->t, v->in[0])), *y;
	bool was = ebb_set_recording(v->t, true);

	y = ebb_sum(v->t, ebb_square(v->t, x));
	ck_assert(ebb_backward(v->t, y));
	ebb_set_recording(v->t, was);
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_grad_of(x)));
}
static const ebb_op NESTED = {.name = "nested", .vjp = nested_vjp, .reads = {EBB_IN(0)}};

static ebb_tensor *nested(ebb_tensor *x)
{
	ebb_call c = ebb_begin(tape, &NESTED, "here", 1, (ebb_tensor *[]){x});
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		memcpy(ebb_data_mutable(y), ebb_data(x), 4 * sizeof(double));
	return ebb_record(&c, y);
}

START_TEST(only_the_outermost_backward_is_told)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *g;
	ebb_tensor *y = ebb_sum(tape, nested(x));
	const char *e;

	ck_assert_msg(ebb_backward(tape, y, .retain = true), "%s", ebb_error_message(tape));
	e = strchr(seen.events, 'B');
	ck_assert(e && !strchr(e + 1, 'B'));
	e = strchr(seen.events, 'E');
	ck_assert(e && !e[1]);
	/* ebb_grad is none. */
	ck_assert(ebb_grad(tape, y, 1, &x, &g));
	ck_assert(!strchr(e + 1, 'B') && !strchr(e + 1, 'E') && strchr(e + 1, 'c'));
}
END_TEST

START_TEST(a_backward_that_fails_has_an_end)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_tensor *y = ebb_sum(tape, ebb_exp(tape, x));

	ck_assert(ebb_backward(tape, y));
	ck_assert(!ebb_backward(tape, y)); /* consumed */
	ck_assert(!seen.ok);
	ck_assert_str_eq(seen.events + strlen(seen.events) - 1, "E");
	ebb_clear_error(tape);
	/* Refused before it begins. */
	seen.events[0] = '\0';
	ck_assert(!ebb_backward(tape, ebb_detach(tape, y)));
	ck_assert_str_eq(seen.events, "");
	ebb_clear_error(tape);
}
END_TEST

START_TEST(a_rewind_to_the_beginning_is_a_reset)
{
	ebb_mark m = ebb_tape_mark(tape), inner;
	ebb_tensor *x = ebb_variable(tape, vector());

	inner = ebb_tape_mark(tape);
	ebb_exp(tape, x);
	ebb_rewind(tape, inner);
	ck_assert_str_eq(seen.events, "r");
	ebb_exp(tape, x);
	ebb_rewind(tape, m);
	ck_assert_str_eq(seen.events, "rrX");
	ck_assert_int_eq(seen.nodes, 2);
	/* Nothing to discard. */
	ebb_rewind(tape, m);
	ck_assert_str_eq(seen.events, "rrX");
	ebb_tape_reset(tape);
	ck_assert_str_eq(seen.events, "rrXX");
	/* The mark is invalid: nothing is discarded. */
	x = ebb_exp(tape, ebb_variable(tape, vector()));
	ebb_rewind(tape, m);
	ck_assert_int_eq(ebb_error_status(tape), EBB_BAD_STATE);
	ck_assert_str_eq(seen.events, "rrXXr");
	ebb_clear_error(tape);
}
END_TEST

static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_exp(t, ebb_sin(t, x));
}

START_TEST(the_second_run_of_a_checkpoint_is_told_on_request)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_tensor *y = ebb_sum(tape, ebb_checkpoint(tape, segment, NULL, x));
	int recorded = seen.recorded;

	ck_assert(ebb_backward(tape, y));
	ck_assert_int_eq(seen.recorded, recorded);
	ck_assert(!strchr(seen.events, 'R'));
	int gradients = seen.gradients, contributions = seen.contributions;

	ebb_tape_reset(tape);
	all.replays = true;
	seen = (record){.events = ""};
	x = ebb_variable(tape, vector());
	y = ebb_sum(tape, ebb_checkpoint(tape, segment, NULL, x));
	ck_assert_int_eq(seen.recorded, recorded);
	ck_assert(ebb_backward(tape, y));
	ck_assert(strstr(seen.events, "RR"));
	ck_assert_int_eq(seen.recorded, recorded + 2);
	ck_assert_int_eq(seen.gradients, gradients + 2);
	ck_assert_int_ge(seen.contributions, contributions + 2);
}
END_TEST

START_TEST(an_observer_that_does_not_look_sees_no_contribution)
{
	ebb_observer o = all;
	record other = {.events = ""};

	o.ctx = &other;
	o.looks = NULL;
	o.recorded = NULL;
	o.gradient = NULL;
	ck_assert(ebb_observe(tape, &o));
	ck_assert(ebb_is_watched(tape));
	ebb_backward(tape, ebb_sum(tape, ebb_exp(tape, ebb_variable(tape, vector()))));
	ck_assert_str_eq(other.events, "BccE");
	ebb_unobserve(tape, &o);
	ebb_tape_reset(tape);
	ck_assert_str_eq(other.events, "BccE");
}
END_TEST

/* ---- Reading nodes ---- */

static int checked;

static void check_values(void *ctx, const ebb_node *n)
{
	const ebb_tensor *x = ebb_node_input_value(n, 0), *y = ebb_node_output_value(n);

	(void)ctx;
	if (strcmp(ebb_node_op(n), "exp") != 0)
		return;
	checked++;
	ck_assert(x && y);
	for (int i = 0; i < 4; i++)
		ck_assert(fabs(ebb_at(y, i) - exp(ebb_at(x, i))) < 1e-12);
	ck_assert(!ebb_node_input_value(n, 1) && !ebb_node_input_value(n, -1));
	ck_assert(!ebb_node_input_value(NULL, 0) && !ebb_node_output_value(NULL));
	ck_assert(!ebb_node_is_gradient(n) && !ebb_node_is_gradient(NULL));
}

static void check_dropped(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	(void)ctx;
	(void)g;
	/* exp's result is saved for its gradient; its handle was dropped by the scope. */
	if (strcmp(ebb_node_op(n), "exp") == 0) {
		checked++;
		ck_assert(ebb_node_output_value(n));
		/* mul_scalar's result is saved for nobody. */
		ck_assert(!ebb_node_input_value(n, 0));
	}
}

START_TEST(values_of_nodes_are_readable_in_callbacks)
{
	ebb_observer o = {.recorded = check_values, .gradient = check_dropped};
	ebb_tensor *x, *y;

	checked = 0;
	ck_assert(ebb_observe(tape, &o));
	x = ebb_variable(tape, vector());
	ebb_scope_begin(tape, "s");
	y = ebb_scope_end(tape, ebb_sum(tape, ebb_exp(tape, ebb_mul_scalar(tape, x, 0.5))));
	ck_assert_int_eq(checked, 1);
	ck_assert(!ebb_node_output_value(ebb_node_of(y))); /* outside of a callback */
	ck_assert(ebb_backward(tape, y));
	ck_assert_int_eq(checked, 2);
	ck_assert(!ebb_node_at(tape, -1) && !ebb_node_at(tape, ebb_memory_of(tape).nodes));
	ck_assert(!ebb_node_at(NULL, 0));
	ebb_unobserve(tape, &o);
}
END_TEST

static int gradients_of_gradients;

static void count_gradient_nodes(void *ctx, const ebb_node *n)
{
	(void)ctx;
	gradients_of_gradients += ebb_node_is_gradient(n);
}

START_TEST(nodes_of_gradients_are_told_from_others)
{
	ebb_observer o = {.recorded = count_gradient_nodes};
	ebb_tensor *x, *y, *g;
	int before;

	gradients_of_gradients = 0;
	ck_assert(ebb_observe(tape, &o));
	x = ebb_variable(tape, vector());
	y = ebb_sum(tape, ebb_exp(tape, x));
	ck_assert_int_eq(gradients_of_gradients, 0);
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
	before = gradients_of_gradients;
	ck_assert_int_gt(before, 0);
	y = ebb_sum(tape, ebb_square(tape, g));
	ck_assert_int_eq(gradients_of_gradients, before);
	ck_assert(ebb_backward(tape, y));
	ebb_unobserve(tape, &o);
}
END_TEST

static void keep_persistent(void *ctx, const ebb_node *n)
{
	if (strcmp(ebb_node_op(n), "linear") == 0)
		*(const ebb_tensor **)ctx = ebb_persistent_of(ebb_node_input(n, 1));
}

START_TEST(persistent_tensors_are_found_by_their_handles)
{
	const ebb_tensor *found = NULL;
	ebb_observer o = {.ctx = &found, .recorded = keep_persistent};
	ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(3, 4), 1), *x, *y;

	ebb_set_requires_grad(w, true);
	ck_assert(ebb_observe(tape, &o));
	x = ebb_reshape(tape, vector(), EBB_SHAPE(1, 4));
	y = ebb_sum(tape, ebb_linear(tape, x, w, NULL));
	ck_assert_ptr_eq(found, w);
	found = NULL;
	ebb_linear(tape, ebb_variable(tape, x), ebb_detach(tape, w), NULL);
	ck_assert_ptr_eq(found, w);
	/* A part of it, or its reshaped elements, are not the tensor. */
	ebb_linear(tape, ebb_variable(tape, x), ebb_slice(tape, ebb_detach(tape, w), 0, 0, 2, 1),
		NULL);
	ck_assert(!found);
	ck_assert(!ebb_persistent_of(ebb_variable(tape, w)));
	ck_assert(!ebb_persistent_of(x) && !ebb_persistent_of(w) && !ebb_persistent_of(NULL));
	ck_assert(!ebb_has_grad(w) && !ebb_has_grad(NULL));
	ck_assert(ebb_backward(tape, y));
	ck_assert(ebb_has_grad(w));
	ebb_zero_grad(w);
	ck_assert(!ebb_has_grad(w));
	uint32_t version = ebb_version(w);
	ebb_data_mutable(w);
	ck_assert_uint_eq(ebb_version(w), version + 1);
	ck_assert_uint_eq(ebb_version(NULL), 0);
	ebb_unobserve(tape, &o);
	ebb_tape_reset(tape);
	ebb_tensor_free(w);
}
END_TEST

/* ---- Steps of a container ---- */

static struct {
	char path[2][64];
	int line[2], nodes;
} parts;

static void keep_parts(void *ctx, const ebb_node *n)
{
	(void)ctx;
	if (ebb_node_parts(n) != 2)
		return;
	parts.nodes++;
	for (int k = 0; k < 2; k++) {
		const ebb_scope *s = ebb_node_part_scope(n, k);
		const char *added = ebb_scope_added(s), *colon = added ? strrchr(added, ':') : "";

		snprintf(parts.path[k], sizeof parts.path[k], "%s", ebb_scope_path(s));
		parts.line[k] = *colon ? (int)strtol(colon + 1, NULL, 10) : 0;
	}
	ck_assert(!ebb_node_part_scope(n, 2) && !ebb_node_part_scope(n, -1));
}

START_TEST(parts_have_the_scopes_of_their_steps)
{
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *s = ebb_sequential_new(p, "net");
	ebb_observer o = {.recorded = keep_parts};
	ebb_bn bn = ebb_bn_new(p, "bn", 4);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(3, 4), 2);

	memset(&parts, 0, sizeof parts);
	int at = __LINE__ + 1;
	ebb_sequential_bn(s, 4);
	ebb_sequential_fn(s, ebb_relu);
	ck_assert(ebb_observe(tape, &o));
	ebb_scope_begin(tape, "model");
	ebb_scope_end(tape, ebb_sequential_forward(tape, s, x));
	ck_assert_int_eq(parts.nodes, 1);
	ck_assert_str_eq(parts.path[0], "model.net.0");
	ck_assert_str_eq(parts.path[1], "model.net.1");
	ck_assert_int_eq(parts.line[0], at);
	ck_assert_int_eq(parts.line[1], at + 1);
	/* Outside of a container, both are the node's. */
	ebb_bn_relu_forward(tape, &bn, x, NULL);
	ck_assert_int_eq(parts.nodes, 2);
	ck_assert_str_eq(parts.path[0], "bn");
	ck_assert_str_eq(parts.path[1], "bn");
	ck_assert_int_eq(parts.line[0], 0);
	ck_assert(!ebb_scope_added(NULL));
	assert_healthy(tape);
	ebb_unobserve(tape, &o);
	ebb_tape_reset(tape);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("course");
	TCase *c = tcase_create("course");

	tcase_add_checked_fixture(c, watch, tear_down);
	tcase_add_test(c, the_course_of_a_step);
	tcase_add_test(c, freeing_a_tape_calls_no_observer);
	tcase_add_test(c, only_the_outermost_backward_is_told);
	tcase_add_test(c, a_backward_that_fails_has_an_end);
	tcase_add_test(c, a_rewind_to_the_beginning_is_a_reset);
	tcase_add_test(c, the_second_run_of_a_checkpoint_is_told_on_request);
	tcase_add_test(c, an_observer_that_does_not_look_sees_no_contribution);
	suite_add_tcase(s, c);
	c = tcase_create("nodes");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, values_of_nodes_are_readable_in_callbacks);
	tcase_add_test(c, nodes_of_gradients_are_told_from_others);
	tcase_add_test(c, persistent_tensors_are_found_by_their_handles);
	tcase_add_test(c, parts_have_the_scopes_of_their_steps);
	suite_add_tcase(s, c);
	return run_suite(s);
}
