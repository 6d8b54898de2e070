/*
 * convolution.c - conv2d with random shapes and options agrees with naive loops.
 *
 * Convolution is linear in x and in w, so the second order needs no differences either.  For
 * L = sum vx*gx + sum vw*gw + sum vb*gb, where the gradients are those of sum u*y:
 *   dL/du = conv(vx, w) + conv(x, vw) + vb,
 *   dL/dx = grad_input(u, vw),  dL/dw = grad_weight(u, vx).
 */
#include "tests/ops/ops_test.h"

enum { ROUNDS = 40, CASES = 10 };

typedef struct problem {
	ebb_conv2d_args options;
	conv_case meant;
	ebb_shape x, w;
	bool bias;
	char text[300];
} problem;

static int64_t pick(uint64_t *state, int64_t low, int64_t high)
{
	return low + (int64_t)(test_random(state) % (uint64_t)(high - low + 1));
}

/* ---- Random problems ---------------------------------------------------------------- */

static void pick_channels(uint64_t *state, problem *p)
{
	static const int64_t counts[] = {1, 3, 5, 16, 17};
	int64_t kind = pick(state, 0, 3), c = counts[pick(state, 0, 4)],
		o = counts[pick(state, 0, 4)];
	int64_t groups = 1;

	if (kind == 0) {
		groups = c; /* depthwise, with one or two filters per channel */
		o = c * pick(state, 1, 2);
	} else if (kind == 1) {
		groups = pick(state, 2, 4);
		c = groups * pick(state, 1, 4);
		o = groups * pick(state, 1, 5);
	}
	p->options.groups = groups == 1 && pick(state, 0, 1) ? 0 : (int)groups;
	p->meant.groups = groups;
	p->x.dims[1] = c;
	p->w.dims[0] = o;
	p->w.dims[1] = c / groups;
}

static void pick_window(uint64_t *state, problem *p)
{
	int64_t kind = pick(state, 0, 5);

	for (int a = 0; a < 2; a++) {
		int64_t size = pick(state, 1, 11);

		p->x.dims[2 + a] = size;
		p->w.dims[2 + a] = kind == 0 ? 1 : kind == 1 ? size : pick(state, 1, 5);
		p->meant.stride[a] = pick(state, 0, 1) ? 1 : pick(state, 1, 3);
		p->meant.dilation[a] = kind == 1 || pick(state, 0, 2) ? 1 : pick(state, 1, 3);
	}
	if (pick(state, 0, 1)) {
		p->meant.stride[1] = p->meant.stride[0];
		p->options.stride = p->meant.stride[0] == 1 ? 0 : (int)p->meant.stride[0];
	} else {
		p->options.stride = 7; /* the pair takes precedence */
		for (int a = 0; a < 2; a++)
			p->options.stride_hw[a] = (int)p->meant.stride[a];
	}
	for (int a = 0; a < 2; a++)
		p->options.dilation_hw[a] = (int)p->meant.dilation[a];
}

static void pick_padding(uint64_t *state, problem *p)
{
	ebb_conv2d_args *o = &p->options;
	conv_case *m = &p->meant;

	switch (pick(state, 0, 4)) {
	case 0:
		break;
	case 1:
		o->pad = (int)pick(state, 1, 3);
		m->before[0] = m->before[1] = m->after[0] = m->after[1] = o->pad;
		break;
	case 2:
		for (int a = 0; a < 2; a++)
			m->before[a] = m->after[a] = o->pad_hw[a] = (int)pick(state, 0, 3);
		o->pad = o->pad_hw[0] || o->pad_hw[1] ? 9 : 0;
		break;
	case 3:
		for (int i = 0; i < 4; i++)
			o->pad_tblr[i] = (int)pick(state, 0, 3);
		for (int a = 0; a < 2; a++) {
			m->before[a] = o->pad_tblr[2 * a];
			m->after[a] = o->pad_tblr[2 * a + 1];
		}
		break;
	default:
		o->pad = EBB_SAME;
		for (int a = 0; a < 2; a++) {
			int64_t size = p->x.dims[2 + a], s = m->stride[a];
			int64_t extent = m->dilation[a] * (p->w.dims[2 + a] - 1) + 1;
			int64_t total = ((size + s - 1) / s - 1) * s + extent - size;

			total = total > 0 ? total : 0;
			m->before[a] = total / 2;
			m->after[a] = total - total / 2;
		}
	}
}

static problem pick_problem(uint64_t *state)
{
	problem p;
	bool fits;

	do {
		p = (problem){
			.x = {4, {pick(state, 1, 3)}}, .w = {4, {0}}, .bias = pick(state, 0, 1)};
		pick_channels(state, &p);
		pick_window(state, &p);
		pick_padding(state, &p);
		fits = true;
		for (int a = 0; a < 2; a++)
			fits &= p.x.dims[2 + a] + p.meant.before[a] + p.meant.after[a] >
			        p.meant.dilation[a] * (p.w.dims[2 + a] - 1);
	} while (!fits);
	snprintf(p.text, sizeof p.text,
		"x [%d,%d,%d,%d], w [%d,%d,%d,%d], stride %d,%d, dilation %d,%d, groups %d, "
		"padding "
		"%d,%d %d,%d%s",
		(int)p.x.dims[0], (int)p.x.dims[1], (int)p.x.dims[2], (int)p.x.dims[3],
		(int)p.w.dims[0], (int)p.w.dims[1], (int)p.w.dims[2], (int)p.w.dims[3],
		(int)p.meant.stride[0], (int)p.meant.stride[1], (int)p.meant.dilation[0],
		(int)p.meant.dilation[1], (int)p.meant.groups, (int)p.meant.before[0],
		(int)p.meant.after[0], (int)p.meant.before[1], (int)p.meant.after[1],
		p.options.pad == EBB_SAME ? " (same)" : "");
	return p;
}

/* ---- Answers ------------------------------------------------------------------------ */

typedef struct answers {
	array y, g[3], h[4]; /* g, h: by x, w, b; h[3]: by u */
} answers;

typedef struct values {
	array x, w, b, u, v[3];
} values;

static array channel_sums(const array *u)
{
	array b = array_new(EBB_SHAPE(u->shape.dims[1]));
	int64_t inner = u->shape.dims[2] * u->shape.dims[3];

	for (int64_t i = 0; i < u->count; i++)
		b.v[i / inner % b.count] += u->v[i];
	return b;
}

static void expected(const problem *p, values *q, uint64_t seed, answers *a)
{
	const conv_case *m = &p->meant;
	array twice;

	q->x = array_random(p->x, seed);
	q->w = array_random(p->w, seed + 1);
	q->b = array_random(EBB_SHAPE(p->w.dims[0]), seed + 2);
	a->y = plain_conv(&q->x, &q->w, p->bias ? &q->b : NULL, m);
	q->u = array_random(a->y.shape, seed + 3);
	q->v[0] = array_random(p->x, seed + 4);
	q->v[1] = array_random(p->w, seed + 5);
	q->v[2] = array_random(q->b.shape, seed + 6);
	a->g[0] = plain_conv_gx(&q->u, &q->w, p->x, m);
	a->g[1] = plain_conv_gw(&q->u, &q->x, p->w, m);
	a->g[2] = channel_sums(&q->u);
	a->h[0] = plain_conv_gx(&q->u, &q->v[1], p->x, m);
	a->h[1] = plain_conv_gw(&q->u, &q->v[0], p->w, m);
	a->h[2] = array_new(q->b.shape);
	a->h[3] = plain_conv(&q->v[0], &q->w, p->bias ? &q->v[2] : NULL, m);
	twice = plain_conv(&q->x, &q->v[1], NULL, m);
	for (int64_t i = 0; i < twice.count; i++)
		a->h[3].v[i] += twice.v[i];
}

static void compare(
	const problem *p, const char *what, const ebb_tensor *x, const array *y, double tolerance)
{
	char why[300];
	array a = array_of(x);

	ck_assert_msg(close_to(&a, y, tolerance, why, sizeof why), "%s: %s (%s): %s", what,
		ebb_dtype_name(ebb_dtype_of(x)), p->text, why);
}

static ebb_tensor *constant(ebb_tape *t, const array *a)
{
	return ebb_from_f64(t, a->shape, a->v);
}

static void check_problem(
	const problem *p, const values *q, const answers *a, const layout *of, ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *persistent[4] = {NULL}, *in[4], *g[3], *recorded[3], *h[4], *l, *y;
	ebb_conv2d_args call = p->options;
	/* Sums of up to a few hundred products of numbers below 1. */
	double tolerance = dtype == EBB_F64 ? 1e-12 : 2e-5;
	int n = p->bias ? 3 : 2;

	ebb_set_default_dtype(t, dtype);
	call.t = t;
	call.x = in[0] = place(t, &q->x, of[0], &persistent[0]);
	call.w = in[1] = place(t, &q->w, of[1], &persistent[1]);
	call.b = p->bias ? in[2] = place(t, &q->b, ROWS, &persistent[2]) : NULL;
	in[n] = place(t, &q->u, of[2], &persistent[3]);
	call.site = EBB_SITE;
	y = (ebb_conv2d)(&call);
	ck_assert_msg(y, "%s: %s", p->text, ebb_error_message(t));
	compare(p, "value", y, &a->y, tolerance);
	ck_assert(ebb_grad(t, y, n, in, g, in[n]));
	ck_assert(ebb_grad(t, y, n, in, recorded, in[n], .create_graph = true));
	for (int k = 0; k < n; k++) {
		compare(p, "gradient", g[k], &a->g[k], tolerance * 10);
		compare(p, "recorded gradient", recorded[k], &a->g[k], tolerance * 10);
	}
	l = ebb_add(t, ebb_sum(t, ebb_mul(t, recorded[0], constant(t, &q->v[0]))),
		ebb_sum(t, ebb_mul(t, recorded[1], constant(t, &q->v[1]))));
	if (p->bias)
		l = ebb_add(t, l, ebb_sum(t, ebb_mul(t, recorded[2], constant(t, &q->v[2]))));
	ck_assert_msg(ebb_grad(t, l, n + 1, in, h), "%s: %s", p->text, ebb_error_message(t));
	for (int k = 0; k < n; k++)
		compare(p, "second derivative", h[k], &a->h[k], tolerance * 10);
	compare(p, "second derivative by u", h[n], &a->h[3], tolerance * 10);
	ebb_tape_free(t);
	for (int k = 0; k < 4; k++)
		ebb_tensor_free(persistent[k]);
}

START_TEST(random_shapes_agree_with_naive_loops)
{
	static const layout orders[] = {
		ROWS, CHANNELS_LAST, TRANSPOSED, SLICED, REVERSED, PERSISTENT};
	uint64_t state = (uint64_t)_i + 1;

	for (int i = 0; i < CASES; i++) {
		problem p = pick_problem(&state);
		layout of[3];
		values q;
		answers a;

		for (int k = 0; k < 3; k++)
			of[k] = orders[pick(&state, 0, 5)];
		expected(&p, &q, state, &a);
		check_problem(&p, &q, &a, of, EBB_F64);
		check_problem(&p, &q, &a, of, EBB_F32);
		arrays_free();
	}
}
END_TEST

/* A gradient that is computed alone equals the one that is computed with all others. */
START_TEST(single_gradients_equal_joint_ones)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(2, 3, 6, 5)),
		   *w = ebb_randn(t, EBB_SHAPE(4, 3, 3, 3)), *b = ebb_randn(t, EBB_SHAPE(4)),
		   *in[3], *g[3], *alone;

	in[0] = ebb_variable(t, x);
	in[1] = ebb_variable(t, w);
	in[2] = ebb_variable(t, b);
	ck_assert(ebb_grad(
		t, ebb_sum(t, ebb_square(t, ebb_conv2d(t, in[0], in[1], in[2]))), 3, in, g));
	for (int k = 0; k < 3; k++) {
		ebb_tensor *only = k == 0 ? in[0] : k == 1 ? in[1] : in[2];
		ebb_tensor *y =
			ebb_conv2d(t, k == 0 ? only : x, k == 1 ? only : w, k == 2 ? only : b);

		ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, y)), 1, &only, &alone));
		ck_assert(all_close(alone, g[k], 1e-6));
	}
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* Outputs whose windows contain only padding are the bias, and give the weight no gradient. */
static void check_blind(ebb_shape shape, int64_t filters, int stride)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_randn(t, shape)),
		   *w = ebb_variable(t, ebb_randn(t, EBB_SHAPE(filters, shape.dims[1], 3, 3))),
		   *b = ebb_variable(t, ebb_randn(t, EBB_SHAPE(filters))), *in[] = {x, w, b}, *g[3];
	ebb_tensor *y = ebb_conv2d(t, x, w, b, .pad = 2, .stride = stride);
	int64_t plane = ebb_size(y, 2) * ebb_size(y, 3);

	ck_assert_int_gt(ebb_count(y), 0);
	for (int64_t i = 0; i < ebb_count(y); i++)
		ck_assert_double_eq(ebb_at(y, i), ebb_at(b, i / plane % filters));
	ck_assert_msg(ebb_grad(t, ebb_sum(t, y), 3, in, g), "%s", ebb_error_message(t));
	ck_assert_int_eq(ebb_count(g[0]), 0);
	for (int64_t i = 0; i < ebb_count(w); i++)
		ck_assert_double_eq(ebb_at(g[1], i), 0);
	for (int64_t i = 0; i < filters; i++)
		ck_assert_double_eq(ebb_at(g[2], i), (double)(shape.dims[0] * plane));
	assert_healthy(t);
	ebb_tape_free(t);
}

START_TEST(outputs_of_padding_alone_are_the_bias)
{
	for (int stride = 1; stride <= 2; stride++) {
		check_blind(EBB_SHAPE(2, 3, 0, 5), 4, stride);
		check_blind(EBB_SHAPE(2, 3, 5, 0), 4, stride);
		check_blind(EBB_SHAPE(1, 32, 0, 0), 32, stride);
		check_blind(EBB_SHAPE(1, 32, 0, 4), 300, stride);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("convolution");
	TCase *c = tcase_create("conv2d");

	tcase_add_loop_test(c, random_shapes_agree_with_naive_loops, 0, ROUNDS);
	tcase_add_test(c, single_gradients_equal_joint_ones);
	tcase_add_test(c, outputs_of_padding_alone_are_the_bias);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return run_suite(s);
}
