/*
 * flow.c - the course of a flow instrument: attaching it, and where periods and steps begin and
 * end.
 *
 * A period is what runs on the tape between two resets.  A step takes the periods whose gradients
 * are accumulated.  A step is known to have ended when its parameters were updated, or when the
 * next ebb_backward finds their gradients cleared.
 */
#include "flow/instrument/recorder.h"
#include "tensor/host.h"

#include <math.h>
#include <string.h>

/* ---- Steps ----------------------------------------------------------------------------------- */

int64_t ebb_flow_step_now(const ebb_flow *f)
{
	return f->recorder->open ? f->step : f->step + 1;
}

static void clear_sums(ebb_flow *f)
{
	for (int i = 0; i < f->rows; i++) {
		struct flow_row *row = &f->row[i];

		row->step = (struct flow_sums){0};
		row->update = (struct flow_update){0};
		row->frozen = NULL;
	}
}

/* Ends the open step; a measured one becomes a sample. */
static void end_step(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	if (!r->open)
		return;
	ebb_flow_params_sum(f);
	if (r->open_measured && !f->failed) {
		for (int i = 0; i < f->rows; i++)
			if (f->row[i].step.calls > 0)
				ebb_flow_units_step(&f->row[i].units, f->window);
		ebb_flow_take_sample(f);
		ebb_flow_sort(f);
	}
	ebb_flow_params_end(f);
	clear_sums(f);
	r->open = r->open_measured = r->updated = false;
	r->loss_sum = 0;
	r->losses = 0;
}

/* The current period belongs to the open step, or begins one. */
static void join(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	if (!r->open) {
		r->open = true;
		f->step++;
		r->open_measured = f->step % f->every == 0;
	}
	/* A step of which a period was not measured is no sample. */
	r->open_measured = r->open_measured && r->watching;
	r->joined = true;
}

/* Moves the counts of the period to those of the last measured step. */
static void merge_histograms(struct flow_row *row, bool joined)
{
	const size_t counts = 2 * sizeof *row->histogram / sizeof(int64_t);
	int64_t *step = (int64_t *)row->histogram, *now = (int64_t *)&row->histogram[2];

	if (joined && row->now.calls > 0 && row->step.calls == 0)
		memset(step, 0, 2 * sizeof *row->histogram);
	for (size_t k = 0; joined && k < counts; k++)
		step[k] += now[k];
	memset(now, 0, 2 * sizeof *row->histogram);
}

/* Moves the period's sums to the open step; those of a period that belongs to no step are
 * discarded. */
static void merge(ebb_flow *f)
{
	bool joined = f->recorder->joined;

	for (int i = 0; i < f->rows; i++) {
		struct flow_row *row = &f->row[i];

		if (row->histogram)
			merge_histograms(row, joined && f->recorder->open_measured);
		if (joined)
			ebb_flow_sums_add(&row->step, &row->now);
		row->now = (struct flow_sums){0};
	}
}

/* ---- Observer -------------------------------------------------------------------------------- */

/* Whether the period that begins may belong to a measured step.  Before its first ebb_backward it
 * is not known whether the period begins a step. */
static bool may_be_measured(const ebb_flow *f)
{
	const struct flow_recorder *r = f->recorder;
	bool begins = (f->step + 1) % f->every == 0, goes_on = r->open && r->open_measured;

	if (f->stepped && r->open)
		return goes_on;
	if (!r->open || r->periods == FLOW_ONE)
		return begins;
	return goes_on || (begins && !r->closes);
}

static bool on_asked(void *ctx)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;

	if (!r->decided) {
		r->decided = true;
		r->watching = !f->failed && !r->partial && may_be_measured(f);
	}
	r->sweeps = r->sweeps || ebb_is_differentiating(f->t);
	return r->watching;
}

/* What was measured of ebb_grad before the first ebb_backward does not count. */
static void discard_gradients(ebb_flow *f)
{
	for (int i = 0; i < f->rows; i++) {
		struct flow_sums *s = &f->row[i].now;

		s->g = (ebb_kernel_stats){0};
		s->g_infinite = s->contributions = 0;
		s->g_l2 = s->g_elements = s->into_l2 = s->from_l2 = 0;
		if (f->row[i].histogram)
			f->row[i].histogram[3] = (ebb_flow_histogram){.zeros = 0};
	}
	ebb_flow_params_discard(f);
}

/* Ends the open step if the ebb_backward that begins does not accumulate into its gradients. */
static void tell_steps_apart(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;
	bool shares = ebb_flow_shares_params(f), ends;

	ebb_flow_compare(f);
	if (f->stepped || !r->open || r->joined)
		return;
	ends = !shares || r->updated || ebb_flow_is_cleared(f);
	if (ends)
		r->closes = false;
	if (!ends)
		r->periods = FLOW_SEVERAL;
	else if (r->periods == FLOW_UNKNOWN)
		r->periods = FLOW_ONE;
	if (ends)
		end_step(f);
}

static void on_backward(void *ctx, const ebb_tensor *y)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;

	if (!r->backwards && r->sweeps)
		discard_gradients(f);
	r->in_backward = r->backwards = true;
	if (r->partial)
		return;
	if (!f->failed && !ebb_flow_see_leaves(f))
		f->failed = true;
	tell_steps_apart(f);
	r->scalar = ebb_count(y) == 1;
	r->loss = r->scalar ? ebb_item(y) : 0;
	if (!isfinite(r->loss) && !f->origin.found) {
		ebb_flow_find_origin(f);
		r->judging = true;
		ebb_flow_judge(f, ebb_flow_step_now(f), r->loss, 0, NULL);
		r->judging = false;
	}
}

static void on_backward_end(void *ctx, bool ok)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;

	r->in_backward = false;
	if (r->partial || !ok)
		return;
	ebb_flow_track(f);
	join(f);
	if (!r->scalar)
		return;
	r->loss_sum += r->loss;
	r->losses++;
	f->last_loss = r->loss;
	if (isnan(f->first_loss))
		f->first_loss = r->loss;
}

/* The end of a period. */
static void on_reset(void *ctx)
{
	ebb_flow *f = ctx;
	struct flow_recorder *r = f->recorder;
	bool grad_only = !r->backwards && r->sweeps && !r->partial;

	/* A program that calls ebb_grad and updates its parameters itself. */
	if (grad_only)
		join(f);
	merge(f);
	ebb_flow_compare(f);
	ebb_flow_params_leave(f, r->joined);
	if (!f->stepped && r->joined && (r->updated || grad_only || !ebb_flow_accumulates(f))) {
		end_step(f);
		r->closes = true;
	}
	r->nodes = 0;
	r->next_row = r->next_param = 0;
	r->clock = 0;
	r->decided = r->watching = r->partial = false;
	r->in_backward = r->sweeps = r->joined = false;
}

/* ---- Creating and freeing -------------------------------------------------------------------- */

static const char *refusal(const ebb_flow_args *a)
{
	return !a->t                                       ? "the tape is NULL"
	       : a->every < 0                              ? ".every is negative"
	       : a->max_samples < 0 || a->max_samples == 1 ? ".max_samples is below 2"
	       : a->window < 0                             ? ".window is negative"
	                                                   : NULL;
}

static void release(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	ebb_flow_samples_free(f);
	for (int i = 0; i < f->rows; i++) {
		ebb_flow_units_free(&f->row[i].units);
		ebb_free(f->row[i].histogram, FLOW_HISTOGRAMS * sizeof *f->row[i].histogram);
	}
	for (int i = 0; i < f->layers; i++)
		ebb_free(f->layer[i].path, f->layer[i].size);
	ebb_free(f->row, (size_t)f->row_capacity * sizeof *f->row);
	ebb_free(f->layer, (size_t)f->layer_capacity * sizeof *f->layer);
	ebb_free(f->finding, (size_t)f->finding_capacity * sizeof *f->finding);
	ebb_text_free(&f->text);
	if (r) {
		ebb_flow_params_free(r);
		for (int i = 0; i < r->paths; i++)
			ebb_free(r->path[i].text, r->path[i].size);
		ebb_free(r->path, (size_t)r->path_capacity * sizeof *r->path);
		ebb_free(r->node, (size_t)r->node_capacity * sizeof *r->node);
		ebb_free(r, sizeof *r);
	}
	ebb_free(f->globs, f->globs_size);
	ebb_free(f, sizeof *f);
}

static void set_options(ebb_flow *f, const ebb_flow_args *a)
{
	enum { EVERY = 1, SAMPLES = 200, ELEMENTS = 32768, WINDOW = 10 };

	f->t = a->t;
	f->every = a->every ? a->every : EVERY;
	f->max_samples = a->max_samples ? a->max_samples : SAMPLES;
	f->most = a->elements ? a->elements : ELEMENTS;
	f->window = a->window ? a->window : WINDOW;
	f->histograms = a->histograms;
	f->rank = a->rank;
	f->evaluation = a->evaluation;
	f->limits = ebb_verdict_limits_of(a->limits);
	f->alarm = a->alarm;
	f->ctx = a->ctx;
	f->step = -1;
	f->first_loss = f->last_loss = NAN;
	f->observer = ebb_flow_observer;
	f->observer.ctx = f;
	f->observer.looks = on_asked;
	f->observer.backward = on_backward;
	f->observer.backward_end = on_backward_end;
	f->observer.reset = on_reset;
}

ebb_flow *(ebb_flow_new)(const ebb_flow_args *a)
{
	const char *why = a ? refusal(a) : NULL;
	ebb_flow *f;

	if (!a)
		return NULL;
	if (why) {
		ebb_error_set(a->error, EBB_INVALID, a->site, "flow_new: %s", why);
		return NULL;
	}
	f = ebb_alloc_zeroed(sizeof *f);
	if (f) {
		set_options(f, a);
		f->recorder = ebb_alloc_zeroed(sizeof *f->recorder);
		f->globs_size = a->layers ? strlen(a->layers) + 1 : 0;
		f->globs = a->layers ? ebb_alloc(f->globs_size) : NULL;
	}
	if (!f || !f->recorder || (a->layers && !f->globs)) {
		if (f)
			release(f);
		ebb_error_set(
			a->error, EBB_NO_MEMORY, a->site, "flow_new: no memory for an instrument");
		return NULL;
	}
	if (a->layers)
		memcpy(f->globs, a->layers, f->globs_size);
	/* Nodes that were recorded before are unknown: measuring begins after the next reset. */
	f->recorder->partial = ebb_memory_of(a->t).nodes > 0;
	if (!ebb_observe(a->t, &f->observer)) {
		ebb_error_set(a->error, EBB_BAD_STATE, a->site,
			"flow_new: the tape has its largest number of observers");
		release(f);
		return NULL;
	}
	return f;
}

void ebb_flow_free(ebb_flow *f)
{
	if (!f)
		return;
	ebb_unobserve(f->t, &f->observer);
	release(f);
}

/* Brings the sums of the open step up to date. */
static void catch_up(ebb_flow *f)
{
	if (f->recorder->joined)
		merge(f);
	ebb_flow_compare(f);
}

void ebb_flow_settle(ebb_flow *f)
{
	const struct flow_recorder *r = f->recorder;

	if (r && r->open && r->open_measured && !r->judging && !f->failed) {
		catch_up(f);
		ebb_flow_params_peek(f);
		ebb_flow_take_sample(f);
		ebb_flow_params_unpeek(f);
	}
	ebb_flow_sort(f);
}

void ebb_flow_step(ebb_flow *f)
{
	if (!f || f->recorder->judging)
		return;
	if (f->recorder->open) {
		catch_up(f);
		end_step(f);
		f->recorder->joined = false;
	}
	ebb_flow_sort(f);
}

void ebb_flow_next_step(ebb_flow *f, int64_t step)
{
	ebb_flow_step(f);
	f->step = step - 1;
	f->recorder->decided = false;
}

int64_t ebb_flow_steps(const ebb_flow *f)
{
	return f ? f->step + 1 : 0;
}

bool ebb_flow_failed(const ebb_flow *f)
{
	return !f || f->failed;
}
