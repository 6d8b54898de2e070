/* runs.c - runs one op on one sample: both types, every memory order, and with constant inputs. */
#include "tests/ops/ops_test.h"

typedef struct setting {
	layout of[MAX_IN + 1]; /* of[n]: the incoming gradient's */
	unsigned constants;    /* bit k: input k is a constant; bit n: the incoming gradient is */
	ebb_dtype dtype;
} setting;

/* ---- One run ------------------------------------------------------------------------ */

static char where[400];

static bool is_constant(const setting *set, int k)
{
	return set->constants >> k & 1;
}

static void note(const entry *e, const sample *s, const setting *set)
{
	int used = snprintf(
		where, sizeof where, "%s (%s), %s", e->name, s->text, ebb_dtype_name(set->dtype));

	for (int k = 0; k <= s->n && used < (int)sizeof where; k++) {
		if (set->of[k] != ROWS)
			used += snprintf(where + used, sizeof where - (size_t)used, ", %s %d %s",
				k < s->n ? "input" : "gradient of output", k,
				layout_names[set->of[k]]);
	}
	for (int k = 0; k <= s->n && used < (int)sizeof where; k++) {
		if (is_constant(set, k))
			used += snprintf(where + used, sizeof where - (size_t)used,
				", %s %d constant", k < s->n ? "input" : "gradient of output", k);
	}
}

static void expect_close(const char *what, const array *a, const array *b, double tolerance)
{
	char why[300];

	ck_assert_msg(close_to(a, b, tolerance, why, sizeof why), "%s: %s: %s", where, what, why);
}

static void expect_healthy(const ebb_tape *t)
{
	ck_assert_msg(!ebb_failed(t), "%s: %s", where, ebb_error_message(t));
}

/* The tensors to differentiate by, and the number of the input that each is (n: the incoming
 * gradient). */
typedef struct targets {
	ebb_tensor *x[MAX_IN + 1];
	int which[MAX_IN + 1], n;
} targets;

static targets variables(const sample *s, const setting *set, ebb_tensor *const *x)
{
	targets w = {.n = 0};

	for (int k = 0; k < s->n; k++) {
		if (s->in[k].dtype == EBB_F64 && !is_constant(set, k)) {
			w.which[w.n] = k;
			w.x[w.n++] = x[k];
		}
	}
	return w;
}

/* Computes the derivatives of sum v*g; zeros where a gradient is constant and so does not require a
 * gradient. */
static void second_order(ebb_tape *t, const targets *inputs, const targets *all,
	ebb_tensor *const *g, const array *v, outcome *o)
{
	ebb_tensor *h[MAX_IN + 1];

	for (int j = 0; j < all->n; j++)
		o->h[all->which[j]] = array_new(ebb_shape_of(all->x[j]));
	for (int k = 0; k < inputs->n; k++) {
		const array *direction = &v[inputs->which[k]];

		if (!ebb_requires_grad(g[k]))
			continue;
		ck_assert_msg(ebb_grad(t, g[k], all->n, all->x, h,
				      ebb_from_f64(t, direction->shape, direction->v)),
			"%s: second order: %s", where, ebb_error_message(t));
		for (int j = 0; j < all->n; j++) {
			array *sum = &o->h[all->which[j]], term = array_of(h[j]);

			for (int64_t i = 0; i < term.count; i++)
				sum->v[i] += term.v[i];
		}
	}
}

static void differentiate(ebb_tape *t, const sample *s, const setting *set, ebb_tensor *const *x,
	ebb_tensor *y, const array *u, const array *v, outcome *o, ebb_tensor **persistent)
{
	targets inputs = variables(s, set, x), all = inputs;
	ebb_tensor *g[MAX_IN], *recorded[MAX_IN], *gy = place(t, u, set->of[s->n], persistent);

	if (is_constant(set, s->n)) {
		gy = ebb_detach(t, gy);
	} else {
		all.which[all.n] = s->n;
		all.x[all.n++] = gy;
	}
	ck_assert_msg(ebb_grad(t, y, inputs.n, inputs.x, g, gy), "%s: gradient: %s", where,
		ebb_error_message(t));
	ck_assert_msg(ebb_grad(t, y, inputs.n, inputs.x, recorded, gy, .create_graph = true),
		"%s: recorded gradient: %s", where, ebb_error_message(t));
	for (int k = 0; k < inputs.n; k++) {
		array *a = &o->g[inputs.which[k]], b = array_of(recorded[k]);

		*a = array_of(g[k]);
		expect_close("recorded gradient", &b, a, set->dtype == EBB_F64 ? 1e-11 : 2e-5);
	}
	second_order(t, &inputs, &all, recorded, v, o);
	expect_healthy(t);
}

static void run(const entry *e, const sample *s, const array *u, const array *v, const setting *set,
	outcome *o)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[MAX_IN], *y, *persistent[MAX_IN + 1] = {NULL};
	array again;

	*o = (outcome){0};
	note(e, s, set);
	ebb_set_default_dtype(t, set->dtype);
	ebb_set_training(t, !s->eval);
	ebb_seed(t, 1);
	for (int k = 0; k < s->n; k++) {
		x[k] = place(t, &s->in[k], set->of[k], &persistent[k]);
		if (x[k] && (is_constant(set, k) || e->result != EBB_DEFAULT))
			x[k] = ebb_detach(t, x[k]);
	}
	expect_healthy(t);
	y = e->call(t, x, s->n, s->variant);
	expect_healthy(t);
	ck_assert_msg(ebb_dtype_of(y) == (e->result != EBB_DEFAULT ? e->result : set->dtype),
		"%s: the result is %s", where, ebb_dtype_name(ebb_dtype_of(y)));
	o->y = array_of(y);
	if (!e->waived[GRADIENT])
		differentiate(t, s, set, x, y, u, v, o, &persistent[s->n]);
	ebb_set_recording(t, false);
	ebb_seed(t, 1);
	y = e->call(t, x, s->n, s->variant);
	expect_healthy(t);
	/* An op that changes nothing may return its input. */
	ck_assert_msg(!ebb_requires_grad(y) || ebb_data(y) == ebb_data(x[0]),
		"%s: requires a gradient on a tape that does not record", where);
	again = array_of(y);
	expect_close("without recording", &again, &o->y, 0);
	ebb_tape_free(t);
	for (int k = 0; k <= s->n; k++)
		ebb_tensor_free(persistent[k]);
}

/* ---- All settings of a sample ------------------------------------------------------- */

static void compare(
	const sample *s, const setting *set, const outcome *o, const array *y, const outcome *plain)
{
	bool single = set->dtype == EBB_F32;
	char what[40];

	if (y)
		expect_close("value", &o->y, y, single ? 1e-5 : 1e-11);
	for (int k = 0; k < s->n; k++) {
		snprintf(what, sizeof what, "gradient of input %d", k);
		if (o->g[k].v)
			expect_close(what, &o->g[k], &plain->g[k], single ? 1e-4 : 1e-10);
	}
	for (int k = 0; k <= s->n; k++) {
		snprintf(what, sizeof what, "second derivative %d", k);
		if (o->h[k].v)
			expect_close(what, &o->h[k], &plain->h[k], single ? 5e-4 : 1e-10);
	}
}

void prepare(trial *r)
{
	const setting rows = {.dtype = EBB_F64};

	if (r->s.random) {
		/* y has the input's shape. */
		r->y = array_new(r->s.in[0].shape);
	} else {
		entry_reference(r->e, &r->s, &r->y);
	}
	r->u = array_random(r->y.shape, 7);
	for (int k = 0; k < r->s.n; k++)
		r->v[k] = array_random(r->s.in[k].shape, 8 + (uint64_t)k);
	run(r->e, &r->s, &r->u, r->v, &rows, &r->plain);
	compare(&r->s, &rows, &r->plain, r->s.random ? NULL : &r->y, &r->plain);
}

static void try_setting(const trial *r, const setting *set)
{
	trial own = *r;
	bool repeated = false;
	outcome o;

	for (int k = 0; k < r->s.n; k++) {
		if (set->of[k] == EXPANDED) {
			repeat_values(&own.s.in[k]);
			repeated = true;
		}
	}
	if (set->of[r->s.n] == EXPANDED) {
		repeat_values(&own.u);
		repeated = true;
	}
	if (repeated) {
		const setting rows = {.dtype = EBB_F64};

		if (!r->s.random)
			entry_reference(own.e, &own.s, &own.y);
		run(own.e, &own.s, &own.u, own.v, &rows, &own.plain);
	}
	run(own.e, &own.s, &own.u, own.v, set, &o);
	compare(&own.s, set, &o, own.s.random ? NULL : &own.y, &own.plain);
}

void try_settings(const trial *r, ebb_dtype dtype)
{
	int n = r->s.n;

	try_setting(r, &(setting){.dtype = dtype});
	/* Random ops draw in memory order, so another order gives other values. */
	if (r->s.random)
		return;
	for (int l = ROWS + 1; l < LAYOUT_COUNT; l++) {
		setting all = {.dtype = dtype};
		int applied = 0;

		for (int k = 0; k <= n; k++) {
			const array *a = k < n ? &r->s.in[k] : &r->u;
			setting one = {.dtype = dtype};

			if (!layout_applies((layout)l, a) || (l == PERSISTENT && k == n))
				continue;
			one.of[k] = all.of[k] = (layout)l;
			applied++;
			try_setting(r, &one);
		}
		if (applied > 1)
			try_setting(r, &all);
	}
}

/*
 * Tests with only some inputs as variables, and with a constant incoming gradient (as from a sum):
 * the gradients of the variables must be the same.  The second order then has no terms from
 * gradients of constants.
 */
void try_constants(const trial *r)
{
	int n = r->s.n;

	for (int only = -1; only < n; only++) {
		for (unsigned u = 0; u < 2; u++) {
			setting set = {.dtype = EBB_F64, .constants = u << n};
			trial own = *r;
			outcome o;

			if (only >= 0 && r->s.in[only].dtype != EBB_F64)
				continue;
			for (int k = 0; k < n && only >= 0; k++) {
				if (k != only && r->s.in[k].dtype == EBB_F64) {
					set.constants |= 1u << k;
					own.v[k] = array_new(r->s.in[k].shape);
				}
			}
			if (!set.constants)
				continue;
			run(r->e, &r->s, &r->u, own.v, &(setting){.dtype = EBB_F64}, &own.plain);
			run(r->e, &r->s, &r->u, own.v, &set, &o);
			compare(&r->s, &set, &o, NULL, &own.plain);
		}
	}
}

void try_variables(const trial *r)
{
	const sample *s = &r->s;

	for (int only = 0; only < s->n; only++) {
		ebb_tensor *x[MAX_IN], *persistent[MAX_IN];
		ebb_tape *t;
		char expected[100];

		if (s->in[only].dtype != EBB_F64)
			continue;
		t = ebb_tape_new();
		ebb_set_default_dtype(t, EBB_F64);
		for (int k = 0; k < s->n; k++) {
			x[k] = place(t, &s->in[k], ROWS, &persistent[k]);
			if (x[k] && k != only)
				x[k] = ebb_detach(t, x[k]);
		}
		snprintf(expected, sizeof expected,
			"%s: has no derivative, but input %d requires a gradient", r->e->name,
			only);
		ck_assert_msg(!r->e->call(t, x, s->n, s->variant), "%s (%s) accepted a variable",
			r->e->name, s->text);
		ck_assert_msg(ebb_error_status(t) == EBB_INVALID &&
				      strstr(ebb_error_message(t), expected),
			"%s (%s): %s", r->e->name, s->text, ebb_error_message(t));
		ebb_tape_free(t);
	}
}
