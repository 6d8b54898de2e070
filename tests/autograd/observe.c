/* Observers see every event in order and cannot run ops; the graph as DOT. */
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

/* ---- A log of events -------------------------------------------------------------------- */

enum { EVENTS = 64 };

typedef struct event {
	char kind; /* r: recorded, s: scope ended, g: gradient */
	char name[48];
	int64_t index;
	double value; /* of the first element */
	ebb_tensor *copy;
} event;

typedef struct events {
	event list[EVENTS];
	int n;
} events;

static void add_event(events *e, char kind, const char *name, int64_t index, const ebb_tensor *x)
{
	event *v = &e->list[e->n++];

	ck_assert_int_le(e->n, EVENTS);
	*v = (event){
		.kind = kind, .index = index, .value = ebb_at(x, 0), .copy = ebb_detach_copy(x)};
	snprintf(v->name, sizeof v->name, "%s", name);
}

static void on_recorded(void *ctx, const ebb_node *node)
{
	add_event(ctx, 'r', ebb_node_op(node), ebb_node_index(node), ebb_node_output(node));
}

static void on_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	add_event(ctx, 's', ebb_scope_path(scope), -1, y);
}

static void on_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	add_event(ctx, 'g', ebb_node_op(node), ebb_node_index(node), g);
}

static void free_events(events *e)
{
	for (int i = 0; i < e->n; i++)
		ebb_tensor_free(e->list[i].copy);
	e->n = 0;
}

START_TEST(observers_see_every_event_in_order)
{
	static const char *const expected[] = {"r mul", "r sin", "s outer.inner", "r add",
		"s outer", "r sum", "g sum", "g add", "g sin", "g mul", "g leaf", "g leaf"};
	events e = {.n = 0};
	ebb_observer o = {.ctx = &e,
		.recorded = on_recorded,
		.scope_ended = on_scope,
		.gradient = on_gradient};
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(3))),
		   *p = persistent_random(EBB_F64, EBB_SHAPE(3), 1);
	ebb_tensor *h, *y, *targets[6], *g[6];
	double sums[6];

	ebb_set_requires_grad(p, true);
	ck_assert(ebb_observe(tape, &o));
	ebb_scope_begin(tape, "outer");
	ebb_scope_begin(tape, "inner");
	targets[0] = h = ebb_mul(tape, x, p);
	targets[1] = ebb_sin(tape, h);
	h = ebb_scope_end(tape, targets[1]);
	ebb_exp(tape, ebb_ones(tape, EBB_SHAPE(3))); /* of a constant: not recorded */
	targets[2] = ebb_scope_end(tape, ebb_add(tape, h, x));
	y = ebb_sum(tape, targets[2]);
	ck_assert(ebb_backward(tape, y, .retain = true));
	ck_assert_int_eq(e.n, 12);
	for (int i = 0; i < 12; i++) {
		ck_assert_msg(e.list[i].kind == expected[i][0] &&
				      strcmp(e.list[i].name, expected[i] + 2) == 0,
			"event %d is %c %s, expected %s", i, e.list[i].kind, e.list[i].name,
			expected[i]);
		ck_assert_msg(!isnan(e.list[i].value), "event %d has no value", i);
	}
	/* Observers have seen the same gradients that ebb_grad computes. */
	ebb_unobserve(tape, &o);
	targets[3] = x;
	targets[4] = p;
	targets[5] = y;
	ck_assert(ebb_grad(tape, y, 6, targets, g));
	for (int k = 0; k < 6; k++) {
		const ebb_node *n = ebb_node_of(targets[k]);
		int64_t index = n ? ebb_node_index(n) : -1;
		bool found = false;

		for (int i = 6; i < 12; i++) {
			bool same = n ? e.list[i].index == index : ebb_node_persistent(n) == p;

			if (same && all_close(e.list[i].copy, g[k], 0))
				found = true;
		}
		sums[k] = ebb_at(g[k], 0);
		ck_assert_msg(found || !n, "target %d (%g) was not seen", k, sums[k]);
	}
	ck_assert(all_close(e.list[e.list[10].index > e.list[11].index ? 10 : 11].copy, g[4], 0));
	free_events(&e);
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(gradients_are_complete_and_in_the_results_order)
{
	events e = {.n = 0};
	ebb_observer o = {.ctx = &e, .gradient = on_gradient};
	ebb_tensor *x = ebb_variable(tape, ebb_randn(tape, EBB_SHAPE(2, 3))), *h = ebb_neg(tape, x),
		   *sum;

	ck_assert(ebb_observe(tape, &o));
	sum = ebb_sum(tape, h);
	for (int k = 0; k < 5; k++)
		sum = ebb_add(
			tape, sum, ebb_sum(tape, ebb_transpose(tape, h, 0, 1), EBB_AXES(0, 1)));
	ck_assert(ebb_backward(tape, sum));
	for (int i = 0; i < e.n; i++)
		if (strcmp(e.list[i].name, "neg") == 0) {
			ck_assert_int_eq(ebb_size(e.list[i].copy, 1), 3);
			ck_assert(e.list[i].value == 6);
		}
	ck_assert_str_eq(e.list[e.n - 1].name, "leaf");
	ck_assert(e.list[e.n - 1].value == -6);
	free_events(&e);
}
END_TEST

START_TEST(accessors_of_nodes)
{
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(3))),
		   *c = ebb_ones(tape, EBB_SHAPE(3)), *y;
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(3), 1);
	const ebb_node *n;

	ebb_set_requires_grad(p, true);
	ebb_scope_begin(tape, "block");
	y = ebb_scope_end(tape, ebb_mul(tape, x, c));
	n = ebb_node_of(y);
	ck_assert_str_eq(ebb_node_op(n), "mul");
	ck_assert_ptr_nonnull(strstr(ebb_node_site(n), "observe.c:"));
	ck_assert_str_eq(ebb_scope_path(ebb_node_scope(n)), "block");
	ck_assert_ptr_eq(ebb_node_output(n), y);
	ck_assert_int_eq(ebb_node_inputs(n), 2);
	ck_assert_ptr_eq(ebb_node_input(n, 0), x);
	ck_assert_ptr_eq(ebb_node_input(n, 1), c);
	ck_assert(!ebb_node_input(n, 2) && !ebb_node_input(n, -1));
	ck_assert_ptr_null(ebb_node_of(c));
	ck_assert_str_eq(ebb_node_op(ebb_node_of(x)), "leaf");
	ck_assert_ptr_null(ebb_node_persistent(ebb_node_of(x)));
	n = ebb_node_of(ebb_mul(tape, p, c));
	ck_assert_ptr_eq(ebb_node_persistent(ebb_node_of(ebb_node_input(n, 0))), p);
	ck_assert(ebb_node_index(NULL) == -1 && ebb_node_inputs(NULL) == 0 && !ebb_node_of(NULL));
	ck_assert(!ebb_node_op(NULL)[0] && !ebb_node_site(NULL)[0] && !ebb_node_output(NULL) &&
		  !ebb_node_input(NULL, 0));
	ck_assert(!ebb_node_scope(NULL) && !ebb_node_persistent(NULL) && !ebb_scope_path(NULL)[0]);
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

/* ---- Callbacks that call the tape ----------------------------------------------------------- */

typedef struct meddler {
	int which, calls;
	ebb_tensor *x;
} meddler;

static void meddle(meddler *m)
{
	ebb_tensor *g;

	m->calls++;
	switch (m->which) {
	case 0:
		ebb_exp(tape, m->x);
		break;
	case 1:
		ebb_backward(tape, m->x);
		break;
	case 2:
		ebb_grad(tape, m->x, 1, &m->x, &g);
		break;
	case 3:
		ebb_variable(tape, m->x);
		break;
	case 4:
		ebb_zeros(tape, EBB_SHAPE(2));
		break;
	default:
		ebb_detach(tape, m->x);
	}
}

static void meddle_recorded(void *ctx, const ebb_node *node)
{
	(void)node;
	meddle(ctx);
}

static void meddle_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	(void)scope, (void)y;
	meddle(ctx);
}

static void meddle_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	(void)node, (void)g;
	meddle(ctx);
}

START_TEST(ops_inside_callbacks_are_refused)
{
	for (int callback = 0; callback < 3; callback++)
		for (int which = 0; which < 6; which++) {
			meddler m = {which, 0, NULL};
			ebb_observer o = {.ctx = &m};
			ebb_tensor *y;

			if (callback == 0)
				o.recorded = meddle_recorded;
			else if (callback == 1)
				o.scope_ended = meddle_scope;
			else
				o.gradient = meddle_gradient;
			m.x = ebb_variable(tape, ebb_scalar(tape, 1));
			ck_assert(ebb_observe(tape, &o));
			ebb_scope_begin(tape, "s");
			y = ebb_scope_end(tape, ebb_square(tape, m.x));
			if (callback == 2)
				ck_assert(!ebb_backward(tape, y));
			ck_assert_int_ge(m.calls, 1);
			check_error(tape, EBB_BAD_STATE, "meddling",
				(const char *[]){"observer", NULL});
			ebb_unobserve(tape, &o);
			ck_assert_ptr_null(ebb_grad_of(m.x));
			ebb_clear_error(tape);
			ebb_tape_reset(tape);
			ck_assert_ptr_nonnull(ebb_exp(tape, ebb_scalar(tape, 1)));
		}
}
END_TEST

static const ebb_observer *leaver;

static void leave(void *ctx, const ebb_node *node)
{
	(void)node;
	++*(int *)ctx;
	ebb_unobserve(tape, leaver);
}

static void ignore_run(void *ctx, const ebb_run *run)
{
	(void)ctx;
	(void)run;
}

static void ignore_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	(void)ctx;
	(void)scope;
	(void)y;
}

/* An observer with a ran callback only measures calls, for which no values are computed. */
START_TEST(is_watched_ignores_observers_of_calls_only)
{
	const ebb_observer timer = {.ran = ignore_run}, o = {.scope_ended = ignore_scope};

	ck_assert(!ebb_is_watched(NULL) && !ebb_is_watched(tape));
	ck_assert(ebb_observe(tape, &timer));
	ck_assert(!ebb_is_watched(tape));
	ck_assert(ebb_observe(tape, &o));
	ck_assert(ebb_is_watched(tape));
	ebb_unobserve(tape, &o);
	ck_assert(!ebb_is_watched(tape));
	ebb_unobserve(tape, &timer);
	ebb_detect_anomaly(tape, true);
	ck_assert(ebb_is_watched(tape));
	ebb_detect_anomaly(tape, false);
	ck_assert(!ebb_is_watched(tape));
}
END_TEST

START_TEST(at_most_eight_observers_and_removal_inside_a_callback)
{
	int calls = 0;
	ebb_observer o[9];
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 1));

	for (int i = 0; i < 9; i++) {
		o[i] = (ebb_observer){.ctx = &calls, .recorded = i ? NULL : leave};
		ck_assert(ebb_observe(tape, &o[i]) == (i < 8));
	}
	leaver = &o[0];
	ck_assert(!ebb_observe(tape, NULL) && !ebb_observe(NULL, &o[0]));
	ebb_unobserve(NULL, &o[0]);
	ebb_exp(tape, x);
	ebb_exp(tape, x);
	ck_assert_int_eq(calls, 1);
	ck_assert(ebb_observe(tape, &o[8]));
	ebb_unobserve(tape, NULL);
	assert_healthy(tape);
}
END_TEST

/* ---- DOT ------------------------------------------------------------------------------------- */

static char *dump(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	ck_assert(ebb_dump_dot(tape, out));
	fclose(out);
	return text;
}

/* Asserts that braces and brackets outside strings match, and that all strings are closed. */
static void check_structure(const char *dot)
{
	int depth = 0;
	bool string = false;

	for (const char *p = dot; *p; p++) {
		if (string && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			string = !string;
		else if (!string)
			depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		ck_assert_int_ge(depth, 0);
	}
	ck_assert(!string && depth == 0);
}

START_TEST(the_graph_is_written_as_valid_dot)
{
	static const char *const expected[] = {"digraph", "mul", "F64 [3]", "net.block \\\"a\\\"",
		"observe.c:", "the \\\"x\\\" \\\\ axis", "-> n", "}\n"};
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(3))),
		   *c = ebb_ones(tape, EBB_SHAPE(3)), *y;
	char *dot, command[] = "dot -Tsvg -o /dev/null";
	FILE *graphviz;

	ebb_set_name(x, "the \"x\" \\ axis");
	ebb_scope_begin(tape, "net");
	ebb_scope_begin(tape, "block \"a\"");
	y = ebb_scope_end(tape, ebb_mul(tape, x, c));
	y = ebb_sum(tape, ebb_scope_end(tape, ebb_concat(tape, 2, (ebb_tensor *[]){y, c}, 0)));
	ck_assert(ebb_backward(tape, y, .retain = true));
	dot = dump();
	check_structure(dot);
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		ck_assert_msg(
			strstr(dot, expected[i]) != NULL, "%s is not in:\n%s", expected[i], dot);
	if (system("command -v dot >/dev/null 2>&1") == 0) {
		graphviz = popen(command, "w");
		ck_assert_ptr_nonnull(graphviz);
		fputs(dot, graphviz);
		ck_assert_int_eq(pclose(graphviz), 0);
	}
	free(dot);
	ebb_tape_reset(tape);
	dot = dump();
	check_structure(dot);
	free(dot);
	ck_assert(!ebb_dump_dot(NULL, stdout) && !ebb_dump_dot(tape, NULL));
}
END_TEST

START_TEST(a_failed_write_of_dot_is_reported)
{
	FILE *full = fopen("/dev/full", "w");
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 1));

	for (int i = 0; i < 1000; i++)
		x = ebb_exp(tape, x);
	if (!full)
		return;
	ck_assert(!ebb_dump_dot(tape, full));
	fclose(full);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/observe");
	TCase *c = tcase_create("observe");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, observers_see_every_event_in_order);
	tcase_add_test(c, gradients_are_complete_and_in_the_results_order);
	tcase_add_test(c, accessors_of_nodes);
	tcase_add_test(c, ops_inside_callbacks_are_refused);
	tcase_add_test(c, is_watched_ignores_observers_of_calls_only);
	tcase_add_test(c, at_most_eight_observers_and_removal_inside_a_callback);
	tcase_add_test(c, the_graph_is_written_as_valid_dot);
	tcase_add_test(c, a_failed_write_of_dot_is_reported);
	suite_add_tcase(s, c);
	return run_suite(s);
}
