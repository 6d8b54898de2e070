/*
 * compare.c - compares Ebb's values, gradients and second derivatives of one golden case with
 * PyTorch's.
 *
 * Every case runs in double and in single precision, and each gradient is computed three times: by
 * ebb_grad with fused kernels, by ebb_grad with create_graph, and by ebb_backward.
 */
#include "golden.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The permitted errors, relative to the largest element of the expected tensor. */
typedef struct golden_precision {
	const char *name;
	ebb_dtype dtype;
	double first, second; /* of values and gradients; of second derivatives */
} golden_precision;

static const golden_precision PRECISIONS[] = {
	{"double", EBB_F64, 1e-10, 1e-8},
	{"single", EBB_F32, 1e-4, 1e-4},
};

/* If the largest element of a tensor is below CANCELLED times the largest element of gout and of
 * the tensors v.K, the tensor consists of rounding errors.  Its error is then relative to that
 * product. */
static const double CANCELLED = 1e-3;

typedef struct run {
	const char *path;
	const golden_precision *precision;
	golden_case *c;
	const golden_op *op;
	unsigned unreadable; /* EBB_IN(k): hvp.k is uninitialised memory in the file */
	ebb_tape *t;
	double floor; /* CANCELLED times the largest element of gout and v.K */
	int n;
	ebb_tensor *in[GOLDEN_MAX_INPUTS];
	int nx; /* the inputs to differentiate: in[of[i]] is x[i]; x[nx] is the cotangent */
	int of[GOLDEN_MAX_INPUTS];
	ebb_tensor *x[GOLDEN_MAX_INPUTS + 1];
	bool failed;
} run;

static void complain(run *r, const char *format, ...) EBB_PRINTF(2, 3);
static void complain(run *r, const char *format, ...)
{
	va_list args;

	r->failed = true;
	printf("FAILED %s in %s precision: ", r->path, r->precision->name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* The largest finite entry: relative to an infinite one, every error would be small. */
static double largest(const golden_tensor *x)
{
	double m = 0;

	for (int64_t i = 0; x && x->dtype == EBB_F64 && i < x->count; i++) {
		double size = fabs(((const double *)x->values)[i]);

		if (isfinite(size) && size > m)
			m = size;
	}
	return m;
}

static double floor_of(const golden_case *c)
{
	double m = 0;

	for (int i = 0; i < c->n; i++) {
		if (!strcmp(c->tensors[i].name, "gout") || !strncmp(c->tensors[i].name, "v.", 2))
			m = fmax(m, largest(&c->tensors[i]));
	}
	return CANCELLED * m;
}

static bool same_shape(ebb_shape a, ebb_shape b)
{
	return a.ndim == b.ndim && !memcmp(a.dims, b.dims, sizeof a.dims[0] * (size_t)a.ndim);
}

static void compare(run *r, const char *what, const ebb_tensor *x, const golden_tensor *expected,
	double tolerance)
{
	const double *e = expected->values;
	double scale = fmax(largest(expected), r->floor), worst = 0;
	int64_t at = -1;
	char description[100];

	if (!x || ebb_dtype_of(x) != r->precision->dtype ||
		!same_shape(ebb_shape_of(x), expected->shape)) {
		complain(r, "%s: %s is not of the shape of %s", what,
			x ? ebb_describe(x, description, sizeof description) : "nothing",
			expected->name);
		return;
	}
	for (int64_t i = 0; i < expected->count; i++) {
		double y = ebb_at(x, i), error = fabs(y - e[i]);

		if (y == e[i] || (isnan(y) && isnan(e[i])))
			continue;
		if (!(error <= tolerance * scale) && !(error <= worst)) {
			worst = error;
			at = i;
		}
	}
	if (at >= 0)
		complain(r,
			"%s: %s[%lld] is %.17g, expected %.17g: off by %.2g of the largest entry, "
			"allowed %.0e",
			what, expected->name, (long long)at, ebb_at(x, at), e[at], worst / scale,
			tolerance);
}

static ebb_tensor *load(run *r, const golden_tensor *x)
{
	if (x->dtype == EBB_I64)
		return ebb_from_i64(r->t, x->shape, x->values);
	return ebb_from_f64(r->t, x->shape, x->values);
}

static ebb_tensor *load_buffer(run *r, const golden_tensor *x)
{
	ebb_tensor *buffer = ebb_tensor_new(r->precision->dtype, x->shape, false, NULL);
	double *to = ebb_data_mutable(buffer);

	for (int64_t i = 0; to && i < x->count; i++) {
		if (r->precision->dtype == EBB_F64)
			to[i] = ((const double *)x->values)[i];
		else
			((float *)(void *)to)[i] = (float)((const double *)x->values)[i];
	}
	return buffer;
}

static void load_inputs(run *r)
{
	const golden_tensor *x;

	while (r->n < GOLDEN_MAX_INPUTS && (x = golden_find_numbered(r->c, "in", r->n))) {
		int k = r->n++;

		if (r->op->buffers[k]) {
			r->in[k] = load_buffer(r, x);
			continue;
		}
		r->in[k] = load(r, x);
		if (golden_find_numbered(r->c, "grad", k) && !(r->op->constants & EBB_IN(k))) {
			r->in[k] = ebb_variable(r->t, r->in[k]);
			r->of[r->nx] = k;
			r->x[r->nx++] = r->in[k];
		}
	}
	if (r->n < r->op->min_inputs || r->n > r->op->max_inputs)
		complain(r, "%d inputs, but the op takes %d to %d", r->n, r->op->min_inputs,
			r->op->max_inputs);
}

static void compare_all(
	run *r, const char *what, const char *prefix, ebb_tensor **g, double tolerance)
{
	for (int i = 0; i < r->nx; i++) {
		const golden_tensor *expected = golden_find_numbered(r->c, prefix, r->of[i]);

		if (expected)
			compare(r, what, g[i], expected, tolerance);
	}
}

static void compare_with_zero(run *r, const ebb_tensor *x, int k)
{
	for (int64_t i = 0; i < ebb_count(x); i++) {
		if (ebb_at(x, i) != 0) {
			complain(r, "second derivative: hvp.%d[%lld] is %g, expected 0", k,
				(long long)i, ebb_at(x, i));
			return;
		}
	}
}

static void compare_all_second(run *r, ebb_tensor **h)
{
	for (int i = 0; i < r->nx; i++) {
		const golden_tensor *expected = golden_find_numbered(r->c, "hvp", r->of[i]);

		if (!expected)
			continue;
		if (r->unreadable & EBB_IN(r->of[i]))
			compare_with_zero(r, h[i], r->of[i]);
		else
			compare(r, "second derivative", h[i], expected, r->precision->second);
	}
}

/* PyTorch 1.13 returns some second derivatives that are 0 as tensors without memory, and a file
 * that script/golden did not make may hold arbitrary bytes for them. */
static unsigned unreadable_second(const golden_case *c)
{
	double p = 2;

	if (!strcmp(c->op, "abs"))
		return EBB_IN(0);
	if (!strcmp(c->op, "l1_loss"))
		return EBB_IN(0) | EBB_IN(1);
	if (strcmp(c->op, "norm"))
		return 0;
	for (int i = 0; i < c->options.n; i++) {
		if (!strcmp(c->options.option[i].key, "p"))
			p = strtod(c->options.option[i].value, NULL);
	}
	return p == 1 || isinf(p) ? EBB_IN(0) : 0;
}

/* d/dx of sum_K sum grad.K * v.K, with the recorded gradients g. */
static void compare_second(run *r, ebb_tensor **g)
{
	ebb_tensor *s = NULL, *h[GOLDEN_MAX_INPUTS + 1];
	const golden_tensor *expected = golden_find(r->c, "hvp", "gout");

	for (int i = 0; i < r->nx; i++) {
		const golden_tensor *v = golden_find_numbered(r->c, "v", r->of[i]);
		ebb_tensor *term = v ? ebb_sum(r->t, ebb_mul(r->t, g[i], load(r, v))) : NULL;

		if (v)
			s = s ? ebb_add(r->t, s, term) : term;
	}
	/* The derivative of a gradient that depends on no variable is 0. */
	for (int i = 0; s && !ebb_requires_grad(s) && i <= r->nx; i++)
		h[i] = ebb_zeros_like(r->t, r->x[i]);
	if (!s || (ebb_requires_grad(s) && !ebb_grad(r->t, s, r->nx + 1, r->x, h)) ||
		ebb_failed(r->t)) {
		if (s || ebb_failed(r->t))
			complain(r, "second derivative: %s", ebb_error_message(r->t));
		return;
	}
	compare_all_second(r, h);
	if (expected)
		compare(r, "second derivative", h[r->nx], expected, r->precision->second);
}

static void compare_gradients(run *r, ebb_tensor *y)
{
	ebb_tensor *g[GOLDEN_MAX_INPUTS], *gout = r->x[r->nx];
	bool ok = ebb_grad(r->t, y, r->nx, r->x, g, .gy = gout);

	if (ok) {
		compare_all(r, "gradient", "grad", g, r->precision->first);
		ok = ebb_grad(r->t, y, r->nx, r->x, g, .gy = gout, .create_graph = true);
	}
	if (ok) {
		compare_all(r, "recorded gradient", "grad", g, r->precision->first);
		compare_second(r, g);
		ok = ebb_backward(r->t, y, .gy = gout);
	}
	if (!ok) {
		complain(r, "gradient: %s", ebb_error_message(r->t));
		return;
	}
	for (int i = 0; i < r->nx; i++)
		g[i] = ebb_grad_of(r->x[i]);
	compare_all(r, "accumulated gradient", "grad", g, r->precision->first);
}

static void compare_buffers(run *r)
{
	for (int i = 0; i < r->c->n; i++) {
		const golden_tensor *after = &r->c->tensors[i];
		int k = 0;

		if (strncmp(after->name, "after.", 6))
			continue;
		while (k < r->n &&
			!(r->op->buffers[k] && !strcmp(r->op->buffers[k], after->name + 6)))
			k++;
		if (k < r->n)
			compare(r, "buffer", r->in[k], after, r->precision->first);
		else
			complain(r, "%s is a buffer that is not known", after->name);
	}
}

/* A file by script/golden has a second derivative for each input that it differentiates. */
static void require_second(run *r)
{
	bool complete = r->nx && golden_find(r->c, "hvp", "gout");

	for (int i = 0; i < r->nx; i++)
		complete = complete && golden_find_numbered(r->c, "v", r->of[i]) &&
		           golden_find_numbered(r->c, "hvp", r->of[i]);
	if (!complete)
		complain(r, "the file lacks a gradient or a second derivative");
}

static golden_outcome run_case(const char *path, const golden_precision *precision, golden_case *c,
	const golden_op *op, bool strict)
{
	run r = {.path = path,
		.precision = precision,
		.c = c,
		.op = op,
		.unreadable = strict ? 0 : unreadable_second(c),
		.t = ebb_tape_new()};
	const golden_tensor *out = NULL, *gout = NULL;
	ebb_tensor *y = NULL;

	for (int i = 0; i < c->n; i++) {
		out = strcmp(c->tensors[i].name, "out") ? out : &c->tensors[i];
		gout = strcmp(c->tensors[i].name, "gout") ? gout : &c->tensors[i];
	}
	r.floor = floor_of(c);
	ebb_set_default_dtype(r.t, precision->dtype);
	load_inputs(&r);
	if (!out || !gout || out->dtype != EBB_F64)
		complain(&r, "the file has no out or no gout");
	if (strict && !r.failed)
		require_second(&r);
	if (!r.failed)
		y = op->call(r.t, &c->options, r.n, r.in);
	if (!r.failed && !golden_options_ok(&c->options) && !c->options.missing_op)
		complain(&r, "%s", c->options.problem);
	if (!r.failed && !c->options.missing_op) {
		if (y) {
			compare(&r, "value", y, out, precision->first);
			compare_buffers(&r);
			r.x[r.nx] = ebb_variable(r.t, load(&r, gout));
			if (r.nx)
				compare_gradients(&r, y);
		} else {
			complain(&r, "%s", ebb_error_message(r.t));
		}
	}
	ebb_tape_free(r.t);
	for (int k = 0; k < r.n; k++) {
		if (op->buffers[k])
			ebb_tensor_free(r.in[k]);
	}
	return c->options.missing_op ? GOLDEN_MISSING : r.failed ? GOLDEN_FAILED : GOLDEN_PASSED;
}

/* Returns why the file cannot be used, or NULL if it can. */
static const char *unusable(const golden_case *c)
{
	for (int i = 0; i < c->n; i++)
		if (c->tensors[i].dtype == EBB_F32)
			return "has F32 tensors, expected F64 and I64";
	return c->op ? NULL : "the metadata names no op";
}

golden_outcome golden_run_file(const char *path, bool strict, int passed[2])
{
	golden_case c;
	ebb_error error = {0};
	golden_outcome all = GOLDEN_PASSED;

	if (!golden_load(path, &c, &error)) {
		printf("FAILED %s\n", error.message);
		return GOLDEN_FAILED;
	}
	if (unusable(&c)) {
		printf("FAILED %s: %s\n", path, unusable(&c));
		golden_unload(&c);
		return GOLDEN_FAILED;
	}
	if (!golden_op_named(c.op)) {
		all = strict ? GOLDEN_FAILED : GOLDEN_MISSING;
		if (strict)
			printf("FAILED %s: tests/golden has no call of %s\n", path, c.op);
	}
	for (int i = 0; i < 2 && golden_op_named(c.op); i++) {
		golden_outcome one =
			run_case(path, &PRECISIONS[i], &c, golden_op_named(c.op), strict);

		passed[i] += one == GOLDEN_PASSED;
		all = one == GOLDEN_PASSED ? all : one;
	}
	golden_unload(&c);
	return all;
}
