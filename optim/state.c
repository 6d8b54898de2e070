/*
 * state.c - saves the state of an optimizer in archives, and loads it.
 *
 * The state of a parameter has the name of the parameter and PyTorch's suffix.  The options that
 * the optimizer was made with are saved too, for comparison.
 */
#include <math.h>
#include <string.h>

#include "archive/state.h"
#include "nn/internal.h"
#include "optim/internal.h"

/* The suffix of state i of an algorithm. */
static const char *state_name(ebb_algorithm kind, int i)
{
	if (kind == EBB_ADAM || kind == EBB_ADAMW)
		return i == 0 ? ".exp_avg" : ".exp_avg_sq";
	if (kind == EBB_ADAGRAD)
		return ".sum";
	return i == 0 ? ".momentum_buffer" : ".square_avg";
}

/* An option that determines the steps. */
typedef struct setting {
	const char *name; /* NULL ends the list */
	double value;
} setting;

enum { MOST_SETTINGS = 6 };

static void settings_of(const ebb_optim *o, setting s[MOST_SETTINGS])
{
	int n = 0;

	memset(s, 0, MOST_SETTINGS * sizeof *s);
	if (o->lbfgs) {
		const ebb_lbfgs_state *l = o->lbfgs;

		s[n++] = (setting){"max_iter", (double)l->max_iter};
		s[n++] = (setting){"max_eval", (double)l->max_eval};
		s[n++] = (setting){"tolerance_grad", l->tolerance_grad};
		s[n++] = (setting){"tolerance_change", l->tolerance_change};
		s[n++] = (setting){"history", (double)l->history};
		s[n++] = (setting){"line_search", l->line_search};
		return;
	}
	s[n++] = (setting){"weight_decay", o->decay};
	if (o->kind == EBB_ADAM || o->kind == EBB_ADAMW) {
		s[n++] = (setting){"beta1", o->beta1};
		s[n++] = (setting){"beta2", o->beta2};
	} else if (o->kind == EBB_ADAGRAD) {
		s[n++] = (setting){"lr_decay", o->lr_decay};
		s[n++] = (setting){"initial_accumulator_value", o->initial};
	} else {
		s[n++] = (setting){"momentum", o->momentum};
	}
	if (o->kind == EBB_SGD)
		s[n++] = (setting){"nesterov", o->nesterov};
	else
		s[n++] = (setting){"eps", o->eps};
	if (o->kind == EBB_RMSPROP)
		s[n++] = (setting){"alpha", o->beta2};
}

/* ---- To an archive --------------------------------------------------------------------------- */

/* The archive that entries are added to, and a buffer for names. */
typedef struct sink {
	ebb_archive *a;
	const char *prefix;
	ebb_key name;
	ebb_error *e;
} sink;

static const char *key(sink *s, const char *name, const char *suffix)
{
	return ebb_key_or_fail(&s->name, "optim_put", s->prefix, name, suffix, s->e);
}

static bool put_f64(sink *s, const char *name, const char *suffix, double value)
{
	const char *k = key(s, name, suffix);

	return k && ebb_archive_add_f64(s->a, k, value, s->e);
}

static bool put_i64(sink *s, const char *name, const char *suffix, int64_t value)
{
	const char *k = key(s, name, suffix);

	return k && ebb_archive_add_i64(s->a, k, value, s->e);
}

static bool put_slot(sink *s, const ebb_optim *o, int64_t i)
{
	const ebb_optim_slot *slot = &o->slots[i];
	const char *name = ebb_params_name_below(o->p, i);

	for (int k = 0; k < 2; k++) {
		const char *full;

		if (!o->keeps[k])
			continue;
		full = key(s, name, state_name(o->kind, k));
		if (!full || !ebb_state_add_like(s->a, full, slot->w, slot->state[k], s->e))
			return false;
	}
	return put_i64(s, name, ".step", slot->steps) &&
	       (slot->lr_scale == 1 || put_f64(s, name, ".lr_scale", slot->lr_scale)) &&
	       (slot->decay_scale == 1 || put_f64(s, name, ".decay_scale", slot->decay_scale));
}

static bool put_all(sink *s, const ebb_optim *o)
{
	setting set[MOST_SETTINGS];
	const char *k = key(s, "optimizer", "");

	if (!k || !ebb_archive_set_metadata(s->a, k, ebb_algorithm_name(o->kind), s->e))
		return false;
	settings_of(o, set);
	for (int i = 0; i < MOST_SETTINGS && set[i].name; i++)
		if (!put_f64(s, set[i].name, "", set[i].value))
			return false;
	if (!put_f64(s, "lr", "", o->lr) || !put_i64(s, "steps", "", o->steps))
		return false;
	for (int64_t i = 0; i < o->count; i++)
		if (!put_slot(s, o, i))
			return false;
	return !o->lbfgs || ebb_lbfgs_put(o, s->a, s->prefix, s->e);
}

bool ebb_optim_put(ebb_optim *o, ebb_archive *a, const char *prefix, ebb_error *e)
{
	sink s = {.a = a, .prefix = prefix, .e = e};
	bool ok;

	if (!o || !a || !prefix || o->error.status != EBB_OK) {
		ebb_error_set(e, EBB_INVALID, NULL, "optim_put: %s",
			o && a && prefix ? o->error.message : "no optimizer, archive or prefix");
		return false;
	}
	if (!ebb_optim_take_slots(o)) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"optim_put: no memory for the state of new parameters");
		return false;
	}
	ok = put_all(&s, o);
	ebb_key_free(&s.name);
	return ok;
}

/* ---- From an archive ------------------------------------------------------------------------- */

/* The numbers of one parameter in an archive. */
typedef struct numbers {
	double lr, decay;
	int64_t steps;
} numbers;

/* The archive that is read; known counts its entries that belong to the optimizer. */
typedef struct source {
	const ebb_archive *a;
	const char *prefix;
	ebb_key name;
	ebb_complaints all;
	int64_t known;
	bool no_memory;
} source;

static const char *source_key(source *s, const char *name, const char *suffix)
{
	const char *k = ebb_key_of(&s->name, s->prefix, name, suffix);

	if (!k && !s->no_memory)
		ebb_complain(&s->all, EBB_NO_MEMORY, "no memory for a name");
	s->no_memory = s->no_memory || !k;
	return k;
}

/* Reads a learning rate or a scale.  If it is missing, the result is `otherwise`; a missing one is
 * an error if that is NaN. */
static double get_factor(source *s, const char *name, const char *suffix, double otherwise)
{
	const char *k = source_key(s, name, suffix);
	double x = otherwise;

	if (!k || (!isnan(otherwise) && ebb_archive_find(s->a, k) < 0) ||
		!ebb_state_f64(s->a, k, &x, &s->all))
		return otherwise;
	s->known++;
	if (!(x >= 0) || !isfinite(x))
		ebb_complain(
			&s->all, EBB_INVALID, "\"%.100s\" is %g, expected a number >= 0", k, x);
	return x;
}

/* The largest number of steps that is accepted: counting on from a larger number might overflow. */
static const int64_t MOST_STEPS = INT64_C(1) << 62;

static int64_t get_steps(source *s, const char *name, const char *suffix)
{
	const char *k = source_key(s, name, suffix);
	int64_t x = 0;

	if (!k || !ebb_state_i64(s->a, k, &x, &s->all))
		return 0;
	s->known++;
	if (x < 0 || x > MOST_STEPS)
		ebb_complain(&s->all, EBB_INVALID,
			"\"%.100s\" is %lld, expected a number >= 0 that steps can be added to", k,
			(long long)x);
	return x;
}

static numbers numbers_of(source *s, const ebb_optim *o, int64_t i)
{
	const char *name = ebb_params_name_below(o->p, i);

	return (numbers){.lr = get_factor(s, name, ".lr_scale", 1),
		.decay = get_factor(s, name, ".decay_scale", 1),
		.steps = get_steps(s, name, ".step")};
}

static void check_settings(source *s, const ebb_optim *o)
{
	setting set[MOST_SETTINGS];

	settings_of(o, set);
	for (int i = 0; i < MOST_SETTINGS && set[i].name; i++) {
		const char *k = source_key(s, set[i].name, "");
		double x = 0;

		if (!k || !ebb_state_f64(s->a, k, &x, &s->all))
			continue;
		s->known++;
		if (x != set[i].value)
			ebb_complain(&s->all, EBB_INVALID, "%.60s is %.9g, expected %.9g", k, x,
				set[i].value);
	}
}

static void check_slot(source *s, const ebb_optim *o, int64_t i)
{
	const ebb_optim_slot *slot = &o->slots[i];
	const char *name = ebb_params_name_below(o->p, i);

	for (int k = 0; k < 2; k++) {
		const char *full = o->keeps[k] ? source_key(s, name, state_name(o->kind, k)) : NULL;

		if (full)
			s->known += ebb_state_has_like(s->a, full, slot->w, &s->all);
	}
	numbers_of(s, o, i);
}

static bool is_one_of(const char *text, size_t n, const char *const *list)
{
	for (; *list; list++)
		if (strlen(*list) == n && memcmp(text, *list, n) == 0)
			return true;
	return false;
}

/* Whether the optimizer has an entry of that name, which is without the prefix. */
static bool knows(const ebb_optim *o, const char *name)
{
	const char *const own[] = {"lr", "steps", "weight_decay", "beta1", "beta2", "momentum",
		"nesterov", "eps", "alpha", "lr_decay", "initial_accumulator_value", "max_iter",
		"max_eval", "tolerance_grad", "tolerance_change", "history", "line_search", NULL};
	const char *const kept[] = {".step", ".lr_scale", ".decay_scale",
		o->keeps[0] ? state_name(o->kind, 0) : ".step",
		o->keeps[1] ? state_name(o->kind, 1) : ".step", NULL};
	const char *dot = strrchr(name, '.');

	if (o->lbfgs && ebb_lbfgs_knows(name))
		return true;
	if (!dot)
		return is_one_of(name, strlen(name), own);
	if (!is_one_of(dot, strlen(dot), kept))
		return false;
	for (int64_t i = 0; i < o->count; i++) {
		const char *param = ebb_params_name_below(o->p, i);

		if (strlen(param) == (size_t)(dot - name) &&
			memcmp(param, name, (size_t)(dot - name)) == 0)
			return true;
	}
	return false;
}

/* Reports the entries with the prefix that do not belong to the optimizer. */
static void check_rest(source *s, const ebb_optim *o)
{
	size_t n = strlen(s->prefix);
	int64_t below = 0;

	for (int64_t i = 0; i < ebb_archive_count(s->a); i++)
		below += strncmp(ebb_archive_name_at(s->a, i), s->prefix, n) == 0;
	if (below == s->known)
		return;
	for (int64_t i = 0; i < ebb_archive_count(s->a); i++) {
		const char *name = ebb_archive_name_at(s->a, i);

		if (strncmp(name, s->prefix, n) == 0 && !knows(o, name + n))
			ebb_complain_of(&s->all, name, "belongs to no parameter");
	}
}

static bool usable(const ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	if (o && a && prefix)
		return true;
	ebb_error_set(e, EBB_INVALID, NULL, "optim_take: no optimizer, archive or prefix");
	return false;
}

bool ebb_optim_fits(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	source s = {.a = a, .prefix = prefix};
	const char *k;

	if (!usable(o, a, prefix, e))
		return false;
	if (!ebb_optim_take_slots(o)) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"optim_fits: no memory for the state of new parameters");
		return false;
	}
	k = source_key(&s, "optimizer", "");
	/* With another algorithm, every single entry would be reported. */
	if (k && ebb_state_is(a, k, ebb_algorithm_name(o->kind), &s.all)) {
		check_settings(&s, o);
		get_factor(&s, "lr", "", NAN);
		get_steps(&s, "steps", "");
		for (int64_t i = 0; i < o->count; i++)
			check_slot(&s, o, i);
		if (o->lbfgs)
			s.known += ebb_lbfgs_check(o, a, prefix, &s.all);
		check_rest(&s, o);
	}
	ebb_key_free(&s.name);
	return ebb_complaints_end(&s.all, a, e);
}

static bool take_states(source *s, ebb_optim *o, ebb_error *e)
{
	for (int64_t i = 0; i < o->count; i++) {
		for (int k = 0; k < 2; k++) {
			const char *full;

			if (!o->slots[i].state[k])
				continue;
			full = source_key(
				s, ebb_params_name_below(o->p, i), state_name(o->kind, k));
			if (!full)
				return ebb_complaints_end(&s->all, s->a, e);
			if (!ebb_state_read(s->a, full, o->slots[i].state[k], e))
				return false;
		}
	}
	return true;
}

bool ebb_optim_take(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	source s = {.a = a, .prefix = prefix};
	ebb_error own = {0};
	bool ok;

	if (!ebb_optim_fits(o, a, prefix, e))
		return false;
	/* L-BFGS has no other state, and its own changes only if all of it can be read. */
	if (o->lbfgs && !ebb_lbfgs_take(o, a, prefix, e))
		return false;
	ok = take_states(&s, o, &own);
	for (int64_t i = 0; ok && i < o->count; i++) {
		numbers n = numbers_of(&s, o, i);

		o->slots[i].lr_scale = n.lr;
		o->slots[i].decay_scale = n.decay;
		o->slots[i].steps = n.steps;
	}
	if (ok) {
		o->lr = get_factor(&s, "lr", "", NAN);
		o->steps = get_steps(&s, "steps", "");
		ok = ebb_complaints_end(&s.all, a, &own);
	}
	ebb_key_free(&s.name);
	/* Some values have been overwritten, so no step may be taken with them. */
	if (!ok) {
		ebb_error_set(&o->error, own.status, NULL, "%s", own.message);
		ebb_error_set(e, own.status, NULL, "%s", own.message);
	}
	return ok;
}
