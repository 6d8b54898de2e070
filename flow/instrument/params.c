/*
 * params.c - the parameters of a flow instrument: their gradients, their updates, and which receive
 * no gradient.
 *
 * When a parameter's gradient is complete, the instrument copies the parameter and the gradient.
 * When the parameter has been overwritten, the difference to the copy is the update.
 */
#include "flow/instrument/recorder.h"
#include "tensor/host.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of a parameter with more than PER_PARAMETER*most elements, about so many are copied. */
enum { PER_PARAMETER = 4 };

static struct flow_blocks blocks_of(const ebb_flow *f, int64_t n)
{
	bool all = f->most < 0 || f->most >= n;

	return ebb_flow_blocks(n, 1, all ? n : PER_PARAMETER * f->most);
}

/* How many of n elements are copied. */
static int64_t copied_of(const ebb_flow *f, int64_t n)
{
	struct flow_blocks b = blocks_of(f, n);
	int64_t count = 0;

	while (ebb_flow_next(&b))
		count += b.n;
	return count;
}

/* Copies evenly spaced elements of x to out, or adds them to it.  False: x has no data. */
static bool copy_part(const ebb_flow *f, const ebb_tensor *x, double *out, bool add)
{
	struct flow_blocks b = blocks_of(f, ebb_count(x));
	bool wide = ebb_dtype_of(x) == EBB_F64;
	struct flow_reader reader[2];
	union flow_piece buffer;

	if (ebb_count(x) == 0)
		return true;
	if (!ebb_flow_readers(x, NULL, reader))
		return false;
	while (ebb_flow_next(&b)) {
		const void *piece = ebb_flow_read(&reader[0], b.from, b.n, &buffer);

		for (int64_t i = 0; i < b.n; i++, out++) {
			double v = wide ? ((const double *)piece)[i]
			                : (double)((const float *)piece)[i];

			*out = add ? *out + v : v;
		}
	}
	return true;
}

static struct flow_param *find(struct flow_recorder *r, const ebb_tensor *persistent)
{
	for (int k = 0; k < r->params; k++) {
		int i = (r->next_param + k) % r->params;

		if (r->param[i].persistent == persistent) {
			r->next_param = i + 1;
			return &r->param[i];
		}
	}
	return NULL;
}

static void forget_copies(struct flow_param *p)
{
	ebb_free(p->weight, (size_t)p->capacity * sizeof *p->weight);
	ebb_free(p->gradient, (size_t)p->capacity * sizeof *p->gradient);
	p->weight = p->gradient = NULL;
	p->capacity = p->sampled = 0;
	p->awaits = false;
}

/* Adds the parameter's sums to its row: now has the values after the update, NULL: there was
 * none. */
static void add_to_row(ebb_flow *f, const struct flow_param *p, const double *now)
{
	struct flow_update *u = &f->row[p->row].update;
	double w2 = 0, g2 = 0, d2 = 0, dot = 0;
	bool equal = p->axes >= 2 && p->sampled > 1;

	for (int64_t i = 0; i < p->sampled; i++) {
		double w = p->weight[i], g = p->gradient[i], d = now ? now[i] - w : 0;

		w2 += w * w;
		g2 += g * g;
		d2 += d * d;
		dot -= d * g;
		equal = equal && w == p->weight[0];
	}
	if (equal) {
		u->equal = true;
		u->equal_to = p->weight[0];
	}
	u->params++;
	u->weight_l2 = hypot(u->weight_l2, sqrt(p->scale * w2));
	u->weight_grad_l2 = hypot(u->weight_grad_l2, sqrt(p->scale * g2));
	if (!now)
		return;
	u->updates++;
	u->update_l2 = hypot(u->update_l2, sqrt(p->scale * d2));
	u->updated_l2 = hypot(u->updated_l2, sqrt(p->scale * w2));
	u->updated_grad_l2 = hypot(u->updated_grad_l2, sqrt(p->scale * g2));
	u->dot += p->scale * dot;
}

/* The entry of a persistent tensor that can be read.  NULL without memory. */
static struct flow_param *entry_for(ebb_flow *f, const ebb_tensor *persistent)
{
	struct flow_recorder *r = f->recorder;
	struct flow_param *p = find(r, persistent);
	uint32_t version = ebb_version(persistent);

	/* Another tensor may have been allocated at the address of a freed one. */
	if (p && !p->here && (version < p->newest || strcmp(p->name, ebb_name(persistent)) != 0)) {
		if (p->awaits)
			add_to_row(f, p, NULL);
		forget_copies(p);
		*p = (struct flow_param){.persistent = persistent, .row = -1};
	}
	if (!p) {
		if (!ebb_grow(&r->param, &r->param_capacity, r->params + 1, sizeof *r->param))
			return NULL;
		p = &r->param[r->params++];
		*p = (struct flow_param){.persistent = persistent, .row = -1};
	}
	if (!p->here)
		snprintf(p->name, sizeof p->name, "%s", ebb_name(persistent));
	p->here = true;
	p->newest = version;
	return p;
}

bool ebb_flow_param_used(ebb_flow *f, const ebb_tensor *persistent, bool trainable, int row)
{
	struct flow_param *p = entry_for(f, persistent);

	if (!p)
		return false;
	if (!p->recorded)
		p->row = row;
	p->recorded = true;
	p->trainable = trainable;
	p->axes = ebb_ndim(persistent);
	return true;
}

bool ebb_flow_see_leaves(ebb_flow *f)
{
	const ebb_node *n;

	for (int64_t i = 0; (n = ebb_node_at(f->t, i)); i++)
		if (ebb_node_persistent(n) && !entry_for(f, ebb_node_persistent(n)))
			return false;
	return true;
}

static bool reserve(struct flow_param *p, int64_t sampled)
{
	size_t bytes = (size_t)sampled * sizeof(double);

	if (p->capacity == sampled)
		return true;
	forget_copies(p);
	if (sampled == 0)
		return true;
	p->weight = ebb_alloc(bytes);
	p->gradient = ebb_alloc(bytes);
	p->capacity = sampled;
	return p->weight && p->gradient;
}

bool ebb_flow_param_gradient(ebb_flow *f, const ebb_node *n, const ebb_tensor *g)
{
	const ebb_tensor *persistent = ebb_node_persistent(n);
	struct flow_param *p = persistent ? find(f->recorder, persistent) : NULL;
	int64_t count = ebb_count(persistent), sampled = copied_of(f, count);

	if (!p || !g || p->row < 0 || !ebb_has_reals(persistent))
		return true;
	p->received = true;
	if (!p->tracked) {
		p->tracked = true;
		p->version = ebb_version(persistent);
	}
	/* Of several updates in a step, the first one is measured. */
	if (p->measured)
		return true;
	bool again = p->awaits && p->sampled == sampled;
	if (!reserve(p, sampled))
		return false;
	p->sampled = sampled;
	p->scale = sampled ? (double)count / (double)sampled : 1;
	/* The weights are those before the step's first gradient. */
	if (!copy_part(f, g, p->gradient, again) ||
		(!again && !copy_part(f, persistent, p->weight, false)))
		return false;
	p->awaits = true;
	return true;
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* Measures the update of a parameter that can be read. */
static void measure_update(ebb_flow *f, struct flow_param *p)
{
	struct flow_recorder *r = f->recorder;

	if (r->copy_capacity < p->sampled) {
		ebb_free(r->copy, (size_t)r->copy_capacity * sizeof *r->copy);
		r->copy = ebb_alloc((size_t)p->sampled * sizeof *r->copy);
		r->copy_capacity = r->copy ? p->sampled : 0;
	}
	if ((p->sampled && !r->copy) || !copy_part(f, p->persistent, r->copy, false)) {
		f->failed = true;
		return;
	}
	add_to_row(f, p, r->copy);
	p->awaits = false;
	p->measured = true;
}

void ebb_flow_compare(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		struct flow_param *p = &r->param[i];

		if (!p->here)
			continue;
		p->newest = ebb_version(p->persistent);
		if (!p->tracked || p->newest == p->version)
			continue;
		r->updated = true;
		p->tracked = false;
		if (p->awaits && copied_of(f, ebb_count(p->persistent)) == p->sampled)
			measure_update(f, p);
	}
}

void ebb_flow_track(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		struct flow_param *p = &r->param[i];

		if (!p->here || p->tracked || !ebb_has_grad(p->persistent))
			continue;
		p->tracked = true;
		p->version = ebb_version(p->persistent);
	}
}

bool ebb_flow_shares_params(const ebb_flow *f)
{
	const struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++)
		if (r->param[i].here && r->param[i].tracked)
			return true;
	return false;
}

bool ebb_flow_accumulates(const ebb_flow *f)
{
	const struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++)
		if (r->param[i].tracked)
			return true;
	return false;
}

bool ebb_flow_is_cleared(const ebb_flow *f)
{
	const struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		const struct flow_param *p = &r->param[i];

		if (p->here && p->tracked && !ebb_has_grad(p->persistent))
			return true;
	}
	return false;
}

void ebb_flow_params_leave(ebb_flow *f, bool joined)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		struct flow_param *p = &r->param[i];

		if (p->here)
			p->has_gradient = ebb_has_grad(p->persistent);
		p->used = p->used || (joined && p->recorded);
		p->recorded = p->here = false;
	}
}

void ebb_flow_params_discard(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++)
		r->param[i].received = r->param[i].tracked = r->param[i].awaits =
			r->param[i].measured = false;
}

/* ---- The end of a step ----------------------------------------------------------------------- */

/* Whether it was used in the open step, which may be read or ended before the period is. */
static bool is_used(const struct flow_recorder *r, const struct flow_param *p)
{
	return p->used || (r->joined && p->recorded);
}

/* Whether it has a gradient at the end of the open step. */
static bool has_gradient(const struct flow_recorder *r, const struct flow_param *p)
{
	return r->joined && p->here ? ebb_has_grad(p->persistent) : p->has_gradient;
}

/* Whether a parameter that was used has received no gradient, and is expected to receive one.  In a
 * program that trains its parameters by turns, some are updated in other steps than the measured
 * ones. */
static bool is_frozen(const struct flow_recorder *r, const struct flow_param *p)
{
	bool updated = p->idle && p->newest != p->idle_version;

	return p->trainable && !p->received && !has_gradient(r, p) && !updated;
}

void ebb_flow_params_sum(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		struct flow_param *p = &r->param[i];

		if (p->awaits)
			add_to_row(f, p, NULL);
		if (r->open_measured && is_used(r, p) && p->row >= 0 && is_frozen(r, p) &&
			!f->row[p->row].frozen)
			f->row[p->row].frozen = p->name;
	}
}

void ebb_flow_params_peek(ebb_flow *f)
{
	for (int i = 0; i < f->rows; i++) {
		f->row[i].peeked = f->row[i].update;
		f->row[i].peeked_frozen = f->row[i].frozen;
	}
	ebb_flow_params_sum(f);
}

void ebb_flow_params_unpeek(ebb_flow *f)
{
	for (int i = 0; i < f->rows; i++) {
		f->row[i].update = f->row[i].peeked;
		f->row[i].frozen = f->row[i].peeked_frozen;
	}
}

void ebb_flow_params_end(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;

	for (int i = 0; i < r->params; i++) {
		struct flow_param *p = &r->param[i];

		if (r->open_measured && is_used(r, p)) {
			p->idle = !p->received;
			p->idle_version = p->newest;
		} else if (r->open_measured) {
			/* It may be one of a model that was freed. */
			forget_copies(p);
		}
		p->used = p->received = p->awaits = p->tracked = p->measured = false;
	}
}

void ebb_flow_params_free(struct flow_recorder *r)
{
	for (int i = 0; i < r->params; i++)
		forget_copies(&r->param[i]);
	ebb_free(r->param, (size_t)r->param_capacity * sizeof *r->param);
	ebb_free(r->copy, (size_t)r->copy_capacity * sizeof *r->copy);
}
