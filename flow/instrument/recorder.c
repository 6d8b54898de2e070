/*
 * recorder.c - the observer of a flow instrument: measures each row when its op is recorded and
 * when its gradient is complete.
 */
#include "flow/instrument/recorder.h"

#include <math.h>
#include <string.h>
#include <time.h>

static void fail(ebb_flow *f)
{
	f->failed = true;
	f->recorder->watching = false;
}

/* ---- Forward --------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static int axis_of(const struct flow_node *e, const ebb_tensor *y)
{
	return e->channels && ebb_ndim(y) >= 2 ? 1 : ebb_ndim(y) - 1;
}

/* Adds the norm of the first input that is no parameter. */
static bool measure_input(ebb_flow *f, const ebb_node *n, struct flow_sums *s)
{
	int k = ebb_flow_data_input(n);
	const struct flow_node *from = k < 0 ? NULL : ebb_flow_node_of(f, ebb_node_input(n, k));
	const ebb_tensor *x;
	ebb_kernel_stats stats;
	int64_t infinite;

	if (k < 0)
		return true;
	if (from && from->sees_output) {
		s->x_l2 = hypot(s->x_l2, from->y_l2);
		s->x_elements += from->y_elements;
		return true;
	}
	x = ebb_node_input_value(n, k);
	if (!x || !ebb_has_reals(x))
		return true;
	if (!ebb_flow_stats(x, f->most, &stats, &infinite))
		return false;
	s->x_l2 = hypot(s->x_l2, ebb_flow_l2(x, &stats));
	s->x_elements += (double)ebb_count(x);
	return true;
}

static void measure_optional(
	ebb_flow *f, struct flow_row *row, const struct flow_node *e, const ebb_tensor *y)
{
	double began = now();

	if (f->histograms) {
		ebb_flow_histogram_add(y, f->most, &row->histogram[2]);
		f->seconds_histograms += now() - began;
		began = now();
	}
	if (f->rank && ebb_ndim(y) >= 2) {
		double rank = ebb_flow_rank(y, axis_of(e, y));

		if (isfinite(rank)) {
			row->now.rank += rank;
			row->now.ranks++;
		}
		f->seconds_rank += now() - began;
	}
}

/* Adds the statistics of y, the result of a row's op; last: y is the node's output. */
static bool measure_result(
	ebb_flow *f, struct flow_row *row, struct flow_node *e, const ebb_tensor *y, bool last)
{
	struct flow_sums *s = &row->now;
	ebb_kernel_stats stats;
	int64_t infinite;
	double l2;

	if (!ebb_flow_stats(y, f->most, &stats, &infinite))
		return false;
	l2 = ebb_flow_l2(y, &stats);
	ebb_sums_add(&s->y, &stats);
	s->y_infinite += infinite;
	s->y_l2 = hypot(s->y_l2, l2);
	s->y_elements += (double)ebb_count(y);
	if (last) {
		e->bad = stats.nan + infinite > 0;
		e->sees_output = true;
		e->y_l2 = l2;
		e->y_elements = (double)ebb_count(y);
	}
	return true;
}

/* Measures part `part` of n, counted from the last. */
static bool measure_op(ebb_flow *f, const ebb_node *n, struct flow_node *e, int part)
{
	int parts = ebb_node_parts(n);
	struct flow_row *row = &f->row[e->row[part]];
	const ebb_tensor *y = part == 0 ? ebb_node_output(n) : NULL;

	if (row->now.calls == 0)
		row->order = f->recorder->clock++;
	row->now.calls++;
	row->now.elements += (double)ebb_count(ebb_node_output(n));
	if ((parts == 0 || part == parts - 1) && !measure_input(f, n, &row->now))
		return false;
	/* The values of inner parts are computed for a nonlinearity only. */
	if (part > 0 && row->kind == EBB_FLOW_SLOPE)
		y = ebb_node_part_value(n, parts - 1 - part);
	if (!y)
		return true;
	if (!measure_result(f, row, e, y, part == 0))
		return false;
	if (row->kind == EBB_FLOW_SLOPE && ebb_ndim(y) > 0 &&
		!ebb_flow_slopes(row->op,
			parts ? NULL : ebb_node_input_value(n, ebb_flow_data_input(n)), y,
			axis_of(e, y), f->most, f->limits.slope, &row->now, &row->units))
		return false;
	measure_optional(f, row, e, y);
	return true;
}

static void on_recorded(void *ctx, const ebb_node *n)
{
	ebb_flow *f = ctx;
	struct flow_node *e;

	if (!f->recorder->watching || ebb_node_is_gradient(n) ||
		(!f->evaluation && !ebb_is_training(f->t)))
		return;
	if (!ebb_flow_place(f, n)) {
		fail(f);
		return;
	}
	/* The first run of a checkpoint has computed the same values. */
	if (ebb_is_replaying(f->t))
		return;
	e = &f->recorder->node[ebb_node_index(n)];
	for (int part = FLOW_PARTS - 1; part >= 0; part--)
		if (e->row[part] >= 0 && !measure_op(f, n, e, part)) {
			fail(f);
			return;
		}
}

/* ---- Backward -------------------------------------------------------------------------------- */

/* The gradients of ebb_grad are measured in programs that don't call ebb_backward. */
static bool counts(const struct flow_recorder *r)
{
	return r->watching && (r->in_backward || !r->backwards);
}

/* Adds a gradient of which only the norm is known. */
static void add_l2(struct flow_row *row, double l2, double elements)
{
	row->now.g_l2 = hypot(row->now.g_l2, l2);
	row->now.g_elements += elements;
}

/* The gradients of the parts of a fused op, from g, that of its output.  l2: of g. */
static bool part_gradients(
	ebb_flow *f, const ebb_node *n, struct flow_node *e, const ebb_tensor *g, double l2)
{
	int parts = ebb_node_parts(n);
	double inner = l2, elements = (double)ebb_count(g);

	if (e->row[0] >= 0 && f->row[e->row[0]].kind == EBB_FLOW_SLOPE) {
		/* A last part that is a relu: its result is the node's output. */
		const ebb_tensor *y = ebb_node_output_value(n);
		struct flow_sums *s = &f->row[e->row[0]].now;

		if (!y)
			return true;
		if (!ebb_flow_gated_l2(y, g, f->most, &inner))
			return false;
		s->into_l2 = hypot(s->into_l2, inner);
		s->from_l2 = hypot(s->from_l2, l2);
		s->contributions++;
	} else if (e->row[parts - 1] >= 0) {
		const ebb_tensor *part = ebb_node_part_gradient(n, 0, g);
		ebb_kernel_stats stats;
		int64_t infinite;

		if (!part)
			return true;
		if (!ebb_flow_stats(part, f->most, &stats, &infinite))
			return false;
		inner = ebb_flow_l2(part, &stats);
		elements = (double)ebb_count(part);
	}
	for (int k = 1; k < parts && k < FLOW_PARTS; k++)
		if (e->row[k] >= 0)
			add_l2(&f->row[e->row[k]], inner, elements);
	e->from_l2 = inner;
	return true;
}

static bool node_gradient(ebb_flow *f, const ebb_node *n, struct flow_node *e, const ebb_tensor *g)
{
	ebb_kernel_stats stats;
	int64_t infinite;
	double l2;

	if (!ebb_flow_stats(g, f->most, &stats, &infinite))
		return false;
	l2 = ebb_flow_l2(g, &stats);
	e->from_l2 = l2;
	if (e->row[0] >= 0) {
		struct flow_row *row = &f->row[e->row[0]];

		f->flushed |= ebb_may_be_flushed(f->t, g, &stats);
		ebb_sums_add(&row->now.g, &stats);
		row->now.g_infinite += infinite;
		add_l2(row, l2, (double)ebb_count(g));
		if (f->histograms) {
			double began = now();

			ebb_flow_histogram_add(g, f->most, &row->histogram[3]);
			f->seconds_histograms += now() - began;
		}
	}
	return !ebb_node_parts(n) || part_gradients(f, n, e, g, l2);
}

static void leaf_gradient(ebb_flow *f, const ebb_node *n, const ebb_tensor *g)
{
	if (!f->origin.found && ebb_flow_has_bad(g, f->most))
		ebb_flow_origin_in_gradient(f, n);
	if (!ebb_flow_param_gradient(f, n, g))
		fail(f);
}

static void on_gradient(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;
	int64_t index = ebb_node_index(n);
	bool any = false;

	if (!counts(r) || !g || index >= r->nodes)
		return;
	if (strcmp(ebb_node_op(n), "leaf") == 0) {
		leaf_gradient(f, n, g);
		return;
	}
	for (int k = 0; k < FLOW_PARTS && !ebb_node_is_gradient(n); k++)
		any |= r->node[index].row[k] >= 0;
	if (any && !node_gradient(f, n, &r->node[index], g))
		fail(f);
}

/* The row through which the contributions of n flow: its first op. */
static int first_row(const ebb_node *n, const struct flow_node *e)
{
	int parts = ebb_node_parts(n);

	return parts > FLOW_PARTS ? -1 : e->row[parts ? parts - 1 : 0];
}

static void on_contribution(void *ctx, const ebb_node *n, int k, const ebb_tensor *g)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;
	int64_t index = ebb_node_index(n);
	ebb_kernel_stats stats;
	int64_t infinite;

	if (!counts(r) || index >= r->nodes || ebb_flow_is_parameter(n, k) ||
		ebb_node_is_gradient(n))
		return;
	if (!ebb_flow_stats(g, f->most, &stats, &infinite)) {
		fail(f);
		return;
	}
	if (stats.nan + infinite > 0)
		ebb_flow_origin_in_gradient(f, n);
	int row = first_row(n, &r->node[index]), first = ebb_flow_data_input(n);
	if (row < 0 || f->row[row].kind == EBB_FLOW_SUM ||
		(f->row[row].kind == EBB_FLOW_NORM && k != first))
		return;
	struct flow_sums *s = &f->row[row].now;
	s->into_l2 = hypot(s->into_l2, ebb_flow_l2(g, &stats));
	s->contributions++;
	if (k == first)
		s->from_l2 = hypot(s->from_l2, r->node[index].from_l2);
}

const ebb_observer ebb_flow_observer = {.recorded = on_recorded,
	.gradient = on_gradient,
	.contribution = on_contribution,
	.replays = true};
