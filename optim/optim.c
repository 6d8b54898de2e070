/*
 * optim.c - SGD, Adam, AdamW, RMSprop and Adagrad over a parameter store.
 *
 * A step checks all its conditions before it changes the first parameter, so that a failed step
 * has changed nothing.
 */
#include <math.h>

#include "tensor/deferred.h"
#include "tensor/host.h"
#include "tensor/option.h"
#include "kernels/float_state.h"
#include "optim/internal.h"

static const char *const NAMES[] = {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lbfgs"};
_Static_assert(sizeof NAMES / sizeof NAMES[0] == EBB_LBFGS + 1, "one name for each ebb_algorithm");

static const ebb_error NO_OPTIMIZER = {.status = EBB_INVALID,
	.message =
		"the optimizer is NULL: it could not be made, see ebb_params_error of its store"};

/* ---- Errors --------------------------------------------------------------------------------- */

const ebb_error *ebb_optim_error(const ebb_optim *o)
{
	if (!o)
		return &NO_OPTIMIZER;
	return o->error.status == EBB_OK ? NULL : &o->error;
}

void ebb_optim_clear_error(ebb_optim *o)
{
	if (o)
		o->error = (ebb_error){0};
}

const char *ebb_algorithm_name(ebb_algorithm kind)
{
	return NAMES[kind];
}

/* ---- Making --------------------------------------------------------------------------------- */

bool ebb_optim_take_slots(ebb_optim *o)
{
	int64_t wanted = ebb_params_count(o->p);

	if (!ebb_grow(&o->slots, &o->capacity, wanted, sizeof *o->slots) ||
		!ebb_grow(&o->parts, &o->parts_capacity, wanted, sizeof *o->parts))
		return false;
	while (o->count < wanted) {
		ebb_tensor *w = ebb_params_at(o->p, o->count);
		ebb_optim_slot s = {.w = w, .lr_scale = 1, .decay_scale = 1};

		s.bytes = (size_t)ebb_count(w) * ebb_dtype_size(ebb_dtype_of(w));
		for (int i = 0; i < 2; i++) {
			if (!o->keeps[i] || s.bytes == 0)
				continue;
			s.state[i] = ebb_alloc_zeroed(s.bytes);
			if (!s.state[i]) {
				ebb_free(s.state[0], s.state[0] ? s.bytes : 0);
				return false;
			}
		}
		if (s.state[1] && o->initial != 0)
			ebb_optim_kernels(o)->fill(ebb_count(w), o->initial, s.state[1]);
		o->slots[o->count++] = s;
	}
	return true;
}

void ebb_optim_free(ebb_optim *o)
{
	if (!o)
		return;
	for (int64_t i = 0; i < o->count; i++)
		for (int k = 0; k < 2; k++)
			ebb_free(
				o->slots[i].state[k], o->slots[i].state[k] ? o->slots[i].bytes : 0);
	ebb_lbfgs_free(o->lbfgs);
	ebb_free(o->slots, (size_t)o->capacity * sizeof *o->slots);
	ebb_free(o->parts, (size_t)o->parts_capacity * sizeof *o->parts);
	ebb_free(o, sizeof *o);
}

bool ebb_optim_within(ebb_params *p, const char *site, ebb_algorithm kind, const char *what,
	double value, double below)
{
	if (value >= 0 && value < below)
		return true;
	ebb_params_fail(p, EBB_INVALID, site, "%s: %s %g, expected a number >= 0%s", NAMES[kind],
		what, value, below == 1 ? " and < 1" : "");
	return false;
}

ebb_optim *ebb_optim_make(const ebb_optim *checked, const char *site)
{
	ebb_optim *o;

	if (!checked->p || ebb_params_error(checked->p))
		return NULL;
	o = ebb_alloc_zeroed(sizeof *o);
	if (o) {
		*o = *checked;
		if (ebb_optim_take_slots(o))
			return o;
	}
	ebb_params_fail(checked->p, EBB_NO_MEMORY, site, "%s: no memory for its state",
		NAMES[checked->kind]);
	ebb_optim_free(o);
	return NULL;
}

ebb_optim *(ebb_sgd)(const ebb_sgd_args *a)
{
	ebb_optim o = {
		.kind = EBB_SGD,
		.p = a->p,
		.lr = ebb_option(a->lr, 1e-3),
		.momentum = ebb_option(a->momentum, 0),
		.decay = ebb_option(a->weight_decay, 0),
		.nesterov = a->nesterov,
		.check_finite = a->check_finite,
	};

	o.keeps[0] = o.momentum != 0;
	if (!ebb_optim_within(a->p, a->site, EBB_SGD, "lr", o.lr, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_SGD, "momentum", o.momentum, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_SGD, "weight_decay", o.decay, INFINITY))
		return NULL;
	if (o.nesterov && o.momentum == 0) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"sgd: nesterov without momentum, expected momentum > 0");
		return NULL;
	}
	return ebb_optim_make(&o, a->site);
}

static ebb_optim *adam(const ebb_adam_args *a, ebb_algorithm kind, double decay)
{
	ebb_optim o = {
		.kind = kind,
		.p = a->p,
		.lr = ebb_option(a->lr, 1e-3),
		.beta1 = ebb_option(a->betas[0], 0.9),
		.beta2 = ebb_option(a->betas[1], 0.999),
		.eps = ebb_option(a->eps, 1e-8),
		.decay = ebb_option(a->weight_decay, decay),
		.check_finite = a->check_finite,
		.keeps = {true, true},
	};

	if (!ebb_optim_within(a->p, a->site, kind, "lr", o.lr, INFINITY) ||
		!ebb_optim_within(a->p, a->site, kind, "betas[0]", o.beta1, 1) ||
		!ebb_optim_within(a->p, a->site, kind, "betas[1]", o.beta2, 1) ||
		!ebb_optim_within(a->p, a->site, kind, "eps", o.eps, INFINITY) ||
		!ebb_optim_within(a->p, a->site, kind, "weight_decay", o.decay, INFINITY))
		return NULL;
	return ebb_optim_make(&o, a->site);
}

ebb_optim *(ebb_adam)(const ebb_adam_args *a)
{
	return adam(a, EBB_ADAM, 0);
}

ebb_optim *(ebb_adamw)(const ebb_adam_args *a)
{
	return adam(a, EBB_ADAMW, 1e-2);
}

ebb_optim *(ebb_rmsprop)(const ebb_rmsprop_args *a)
{
	ebb_optim o = {
		.kind = EBB_RMSPROP,
		.p = a->p,
		.lr = ebb_option(a->lr, 1e-2),
		.beta2 = ebb_option(a->alpha, 0.99),
		.eps = ebb_option(a->eps, 1e-8),
		.momentum = ebb_option(a->momentum, 0),
		.decay = ebb_option(a->weight_decay, 0),
		.check_finite = a->check_finite,
	};

	o.keeps[0] = o.momentum != 0;
	o.keeps[1] = true;
	if (!ebb_optim_within(a->p, a->site, EBB_RMSPROP, "lr", o.lr, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_RMSPROP, "alpha", o.beta2, 1) ||
		!ebb_optim_within(a->p, a->site, EBB_RMSPROP, "eps", o.eps, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_RMSPROP, "momentum", o.momentum, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_RMSPROP, "weight_decay", o.decay, INFINITY))
		return NULL;
	return ebb_optim_make(&o, a->site);
}

ebb_optim *(ebb_adagrad)(const ebb_adagrad_args *a)
{
	ebb_optim o = {
		.kind = EBB_ADAGRAD,
		.p = a->p,
		.lr = ebb_option(a->lr, 1e-2),
		.lr_decay = ebb_option(a->lr_decay, 0),
		.eps = ebb_option(a->eps, 1e-10),
		.initial = ebb_option(a->initial_accumulator_value, 0),
		.decay = ebb_option(a->weight_decay, 0),
		.check_finite = a->check_finite,
		.keeps = {false, true},
	};

	if (!ebb_optim_within(a->p, a->site, EBB_ADAGRAD, "lr", o.lr, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_ADAGRAD, "lr_decay", o.lr_decay, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_ADAGRAD, "eps", o.eps, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_ADAGRAD, "initial_accumulator_value",
			o.initial, INFINITY) ||
		!ebb_optim_within(a->p, a->site, EBB_ADAGRAD, "weight_decay", o.decay, INFINITY))
		return NULL;
	return ebb_optim_make(&o, a->site);
}

/* ---- Settings ------------------------------------------------------------------------------- */

bool ebb_optim_set_lr(ebb_optim *o, double lr)
{
	if (!o)
		return false;
	if (!(lr >= 0) || !isfinite(lr)) {
		ebb_error_set(&o->error, EBB_INVALID, NULL,
			"optim_set_lr: %g, expected a number >= 0", lr);
		return false;
	}
	o->lr = lr;
	return true;
}

double ebb_optim_lr(const ebb_optim *o)
{
	return o ? o->lr : NAN;
}

int64_t ebb_optim_steps(const ebb_optim *o)
{
	return o ? o->steps : 0;
}

int64_t ebb_optim_scale(ebb_optim *o, const char *glob, double lr_scale, double decay_scale)
{
	int64_t matched = 0;

	if (!o || o->error.status != EBB_OK)
		return -1;
	if (o->lbfgs) {
		ebb_error_set(&o->error, EBB_INVALID, NULL,
			"optim_scale: lbfgs has one learning rate for all parameters");
		return -1;
	}
	if (!glob || !(lr_scale >= 0) || !isfinite(lr_scale) || !(decay_scale >= 0) ||
		!isfinite(decay_scale)) {
		ebb_error_set(&o->error, EBB_INVALID, NULL,
			"optim_scale: \"%s\" with lr_scale %g, decay_scale %g: expected a glob and "
			"two numbers >= 0",
			glob ? glob : "NULL", lr_scale, decay_scale);
		return -1;
	}
	if (!ebb_optim_take_slots(o)) {
		ebb_error_set(&o->error, EBB_NO_MEMORY, NULL,
			"optim_scale: no memory for the state of new parameters");
		return -1;
	}
	for (int64_t i = 0; i < o->count; i++) {
		if (!ebb_params_match(o->p, i, glob))
			continue;
		o->slots[i].lr_scale = lr_scale;
		o->slots[i].decay_scale = decay_scale;
		matched++;
	}
	return matched;
}

/* ---- The step ------------------------------------------------------------------------------- */

/* The gradient that a step uses, or NULL if there is none.  Unless its values are to be checked, a
 * deferred outer product is not computed: *f receives its operands. */
static const ebb_tensor *gradient(const ebb_optim *o, const ebb_optim_slot *s, ebb_outer_product *f)
{
	*f = (ebb_outer_product){0};
	if (!ebb_requires_grad(s->w))
		return NULL;
	return o->check_finite ? ebb_grad_of(s->w) : ebb_grad_or_outer_product(s->w, f);
}

/* Whether a step can be taken: some parameter has a gradient, and no check fails. */
static bool ready(ebb_optim *o)
{
	const char *name = NAMES[o->kind];
	int64_t found = 0;

	if (!ebb_optim_take_slots(o)) {
		ebb_error_set(&o->error, EBB_NO_MEMORY, NULL,
			"%s: no memory for the state of new parameters", name);
		return false;
	}
	for (int64_t i = 0; i < o->count; i++) {
		ebb_outer_product f;
		const ebb_tensor *g = gradient(o, &o->slots[i], &f);
		ebb_kernel_stats stats;

		if (!g)
			continue;
		found++;
		if (!o->check_finite)
			continue;
		ebb_exact_stats(ebb_optim_kernels(o), ebb_count(g), ebb_data(g), -INFINITY,
			INFINITY, &stats);
		if (stats.nan > 0 || !isfinite(stats.max_abs)) {
			ebb_error_set(&o->error, EBB_NOT_FINITE, NULL,
				"%s: the gradient of \"%s\" has %lld NaN of %lld and its largest "
				"magnitude is %g, expected finite "
				"numbers",
				name, ebb_params_name_at(o->p, i), (long long)stats.nan,
				(long long)stats.n, stats.max_abs);
			return false;
		}
	}
	if (found == 0)
		ebb_error_set(&o->error, EBB_BAD_STATE, NULL,
			"%s: none of %lld parameters has a gradient: no ebb_backward succeeded "
			"since the last "
			"ebb_params_zero_grad",
			name, (long long)o->count);
	return found > 0;
}

/* Lists the parameters that have a gradient, for the kernel; returns how many. */
static int64_t list_parts(ebb_optim *o)
{
	int64_t count = 0, before = 0;

	for (int64_t i = 0; i < o->count; i++) {
		ebb_optim_slot *s = &o->slots[i];
		ebb_outer_product f;
		const ebb_tensor *g = gradient(o, s, &f);

		if (!g)
			continue;
		s->steps++;
		if (ebb_count(s->w) == 0)
			continue;
		o->parts[count++] = (ebb_kernel_step){.n = ebb_count(s->w),
			.before = before,
			.w = ebb_data_mutable(s->w),
			.m = s->state[0],
			.v = s->state[1],
			.g = f.gy ? NULL : ebb_data(g),
			.gy = f.gy,
			.x = f.x,
			.terms = f.rows,
			.columns = ebb_size(s->w, -1),
			.lr = o->lr * s->lr_scale,
			.decay = o->decay * s->decay_scale,
			.step = s->steps};
		before += f.gy ? 0 : ebb_count(s->w);
	}
	return count;
}

bool ebb_optim_step(ebb_optim *o)
{
	const ebb_kernels *k;
	ebb_float_state own;
	int64_t n;

	if (!o || o->error.status != EBB_OK)
		return false;
	if (o->lbfgs) {
		ebb_error_set(&o->error, EBB_BAD_STATE, NULL,
			"lbfgs: evaluates the loss several times in a step: call "
			"ebb_optim_step_closure");
		return false;
	}
	if (!ready(o))
		return false;
	k = ebb_optim_kernels(o);
	n = list_parts(o);
	/* Flushes subnormal numbers, into which moments decay while gradients are zero. */
	own = ebb_float_enter(true);
	switch (o->kind) {
	case EBB_SGD:
		k->sgd(n, o->parts, 1, o->momentum, o->nesterov);
		break;
	case EBB_ADAM:
	case EBB_ADAMW:
		k->adam(n, o->parts, 1, o->beta1, o->beta2, o->eps, o->kind == EBB_ADAMW);
		break;
	case EBB_RMSPROP:
		k->rmsprop(n, o->parts, 1, o->beta2, o->eps, o->momentum);
		break;
	case EBB_ADAGRAD:
		k->adagrad(n, o->parts, 1, o->lr_decay, o->eps);
		break;
	case EBB_LBFGS:
		break;
	}
	ebb_float_leave(own);
	o->steps++;
	return true;
}

/* ---- The step with a closure ---------------------------------------------------------------- */

bool ebb_optim_call(ebb_optim *o, ebb_closure closure, void *ctx, int64_t n, double *loss)
{
	const ebb_error *fault;
	bool ok;

	ebb_params_zero_grad(o->p);
	o->busy = true;
	ok = closure(ctx, loss);
	o->busy = false;
	fault = ebb_params_error(o->p);
	if (o->error.status == EBB_OK && fault)
		ebb_error_set(
			&o->error, fault->status, NULL, "%s: %s", NAMES[o->kind], fault->message);
	else if (!ok)
		ebb_error_set(&o->error, EBB_INVALID, NULL,
			"%s: the closure failed in evaluation %lld of the step: see the error of "
			"its tape",
			NAMES[o->kind], (long long)n);
	return o->error.status == EBB_OK;
}

double ebb_optim_step_closure(ebb_optim *o, ebb_closure closure, void *ctx)
{
	double loss = NAN;

	if (!o || o->error.status != EBB_OK)
		return NAN;
	if (!closure || o->busy) {
		ebb_error_set(&o->error, closure ? EBB_BAD_STATE : EBB_INVALID, NULL, "%s: %s",
			NAMES[o->kind],
			closure ? "its closure takes a step of the same optimizer"
				: "the closure is NULL");
		return NAN;
	}
	if (!ebb_optim_take_slots(o)) {
		ebb_error_set(&o->error, EBB_NO_MEMORY, NULL,
			"%s: no memory for the state of new parameters", NAMES[o->kind]);
		return NAN;
	}
	if (o->lbfgs)
		return ebb_lbfgs_step(o, closure, ctx);
	if (!ebb_optim_call(o, closure, ctx, 1, &loss) || !ebb_optim_step(o))
		return NAN;
	return loss;
}
