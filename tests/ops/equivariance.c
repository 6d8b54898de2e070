/*
 * equivariance.c - layers commute with shifts of their input.
 *
 * Two crops of one random image, of which the second lies (dy,dx) up and to the left, show the same
 * pixels at positions that differ by (dy,dx).  For multiples of the product S of the strides, a
 * layer's outputs of both are equal at positions that differ by (dy,dx)/S, where neither window
 * reads padding.
 *
 * Values that are multiples of 1/8 make every sum exact, in any order, so that the equality must be
 * bit for bit.  With other values it holds to rounding: a product of matrices adds in another order
 * where a block of pixels ends (kernels/gemm/microkernel.c).  Winograd's algorithm rounds in its
 * transforms, with any values, and an output's place in its tile changes with the shift; there the
 * equality holds to rounding.
 */
#include "tests/ops/shifts.h"
#include "tests/support/sanitized.h"

enum { ROUNDS = 16 };

/* ---- Convolution -------------------------------------------------------------------- */

static const net convolutions[] = {
	NET("3x3", 2, 3, 17, 14, {.kind = CONV, .kernel = {3, 3}, .out = 5}),
	NET("1x1", 1, 7, 5, 9, {.kind = CONV, .out = 4}),
	NET("5x3", 1, 4, 13, 19, {.kind = CONV, .kernel = {5, 3}, .out = 6}),
	NET("stride 2", 2, 3, 21, 16, {.kind = CONV, .kernel = {3, 3}, .stride = {2, 2}, .out = 5}),
	NET("stride 3", 1, 5, 23, 29, {.kind = CONV, .kernel = {4, 4}, .stride = {3, 3}, .out = 3}),
	NET("strides 2 and 3", 1, 5, 17, 31,
		{.kind = CONV, .kernel = {3, 5}, .stride = {2, 3}, .out = 3}),
	NET("dilation 2", 1, 3, 18, 15,
		{.kind = CONV, .kernel = {3, 3}, .dilation = {2, 2}, .out = 4}),
	NET("dilations 3 and 1, stride 2", 1, 3, 25, 21,
		{.kind = CONV, .kernel = {3, 3}, .stride = {2, 2}, .dilation = {3, 1}, .out = 4}),
	NET("groups", 2, 6, 12, 11, {.kind = CONV, .kernel = {3, 3}, .groups = 3, .out = 9}),
	NET("depthwise", 2, 19, 12, 17, {.kind = CONV, .kernel = {3, 3}, .groups = 19, .out = 19}),
	NET("depthwise, stride 2", 1, 8, 19, 17,
		{.kind = CONV, .kernel = {5, 5}, .stride = {2, 2}, .groups = 8, .out = 8}),
	NET("two filters per channel", 1, 5, 12, 17,
		{.kind = CONV, .kernel = {3, 3}, .groups = 5, .out = 10}),
	NET("many channels", 1, 70, 13, 18, {.kind = CONV, .kernel = {3, 3}, .out = 67}),
	NET("many channels, 5x5", 1, 48, 16, 21, {.kind = CONV, .kernel = {5, 5}, .out = 33}),
	NET("many channels, 1x1", 2, 130, 9, 7, {.kind = CONV, .out = 97}),
	NET("many channels, 7x7", 1, 33, 15, 18,
		{.kind = CONV, .kernel = {7, 7}, .stride = {2, 2}, .out = 40}),
};

START_TEST(convolutions_shift_with_their_input)
{
	for (int i = 0; i < 4; i++) {
		net m = convolutions[_i];

		m.any_values = i / 2;
		draw_weights(&m, 5);
		ck_assert_double_eq(
			check_shifts(&m, shift_types[i % 2]), 0); /* nothing is outside */
	}
}
END_TEST

/* Outputs that read padding differ, because the padding does not shift with the image. */
START_TEST(padding_breaks_the_equality_at_the_border_alone)
{
	static const ebb_pad_mode modes[] = {EBB_PAD_CONSTANT, EBB_PAD_REFLECT, EBB_PAD_REPLICATE};

	for (int i = 0; i < 6; i++) {
		net m = convolutions[_i];

		for (int a = 0; a < 2; a++)
			m.steps[0].pad[a] = (int)step_extent(&m.steps[0], a) / 2;
		m.steps[0].mode = modes[i / 2];
		draw_weights(&m, 6);
		ck_assert_msg((check_shifts(&m, shift_types[i % 2]) > 0.01) ==
				      (m.steps[0].pad[0] + m.steps[0].pad[1] > 0),
			"%s: no difference at the border", m.name);
	}
}
END_TEST

/* ---- Circular padding --------------------------------------------------------------- */

static void expect_close(const net *m, const char *what, array got, array want, ebb_dtype dtype)
{
	double most = 0;

	ck_assert_int_eq(got.count, want.count);
	for (int64_t i = 0; i < want.count; i++)
		most = fmax(most, fabs(want.v[i]));
	for (int64_t i = 0; i < want.count; i++)
		ck_assert_msg(fabs(got.v[i] - want.v[i]) <= rounding_of(m, dtype, most),
			"%s, %s: %s %d is %.12g instead of %.12g", m->name, ebb_dtype_name(dtype),
			what, (int)i, got.v[i], want.v[i]);
}

/* y, and the gradients of sum u*y by x and by the first weight. */
typedef struct derived {
	array y, gx, gw;
} derived;

static derived derive(const net *m, const array *x, const array *u, ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *in[2], *g[2], *y;
	derived r;
	net own = *m;

	ebb_set_default_dtype(t, dtype);
	in[0] = ebb_variable(t, tensor(t, x));
	in[1] = ebb_variable(t, tensor(t, &m->steps[0].w));
	own.steps[0].variable = in[1];
	y = forward(t, &own, in[0]);
	assert_healthy(t);
	ck_assert_msg(ebb_grad(t, y, 2, in, g, tensor(t, u)), "%s", ebb_error_message(t));
	r = (derived){array_of(y), array_of(g[0]), array_of(g[1])};
	ebb_tape_free(t);
	return r;
}

/* Without a border the equality holds everywhere.  The gradient of the input shifts too, and that
 * of the weights does not change. */
START_TEST(circular_padding_has_no_border)
{
	for (int i = 0; i < 4; i++) {
		net m = convolutions[_i];
		ebb_dtype dtype = shift_types[i % 2];
		int64_t s[2] = {window_of(&m, 0).stride, window_of(&m, 1).stride};
		array x, u;
		derived still;

		m.any_values = i / 2;
		m.h -= m.h % s[0];
		m.w -= m.w % s[1];
		m.steps[0].mode = EBB_PAD_CIRCULAR;
		for (int a = 0; a < 2; a++)
			m.steps[0].pad[a] = (int)step_extent(&m.steps[0], a) / 2;
		draw_weights(&m, 8);
		x = values_of(&m, EBB_SHAPE(m.n, m.c, m.h, m.w), 7);
		u = values_of(&m, EBB_SHAPE(m.n, m.steps[0].out, m.h / s[0], m.w / s[1]), 8);
		still = derive(&m, &x, &u, dtype);
		for (int k = 1; k < 4; k++) {
			array x_moved = rolled(&x, k * s[0], -k * s[1]),
			      u_moved = rolled(&u, k, -k);
			derived moved = derive(&m, &x_moved, &u_moved, dtype);

			expect_close(&m, "output", moved.y, rolled(&still.y, k, -k), dtype);
			expect_close(&m, "gradient of the input", moved.gx,
				rolled(&still.gx, k * s[0], -k * s[1]), dtype);
			expect_close(&m, "gradient of the weight", moved.gw, still.gw, dtype);
		}
	}
}
END_TEST

/* Of a batch that is rolled, the statistics are the same. */
START_TEST(batchnorm_trains_on_the_same_statistics)
{
	net m = NET("batchnorm", 3, 5, 9, 14, {.kind = BATCHNORM});

	m.any_values = true;
	for (int d = 0; d < 2; d++) {
		array x = array_random(EBB_SHAPE(m.n, m.c, m.h, m.w), 3), y[2], mean[2], var[2];

		for (int k = 0; k < 2; k++) {
			ebb_tape *t = ebb_tape_new();
			array moved = k ? rolled(&x, 4, -3) : x;
			ebb_tensor *running[] = {
				persistent_random(shift_types[d], EBB_SHAPE(m.c), 1),
				persistent_random(shift_types[d], EBB_SHAPE(m.c), 2)};

			ebb_set_default_dtype(t, shift_types[d]);
			y[k] = array_of(ebb_batchnorm(t, tensor(t, &moved),
				.running_mean = running[0], .running_var = running[1]));
			assert_healthy(t);
			mean[k] = array_of(running[0]);
			var[k] = array_of(running[1]);
			ebb_tape_free(t);
			ebb_tensor_free(running[0]);
			ebb_tensor_free(running[1]);
		}
		expect_close(&m, "output", y[1], rolled(&y[0], 4, -3), shift_types[d]);
		expect_close(&m, "running mean", mean[1], mean[0], shift_types[d]);
		expect_close(&m, "running variance", var[1], var[0], shift_types[d]);
	}
}
END_TEST

/* ---- Random convolutions ------------------------------------------------------------ */

static int64_t pick(uint64_t *state, int64_t low, int64_t high)
{
	return low + (int64_t)(test_random(state) % (uint64_t)(high - low + 1));
}

static net random_convolution(uint64_t *state)
{
	static const int channels[] = {1, 3, 8, 17, 40};
	net m = NET("random", pick(state, 1, 3), 0, 0, 0, {.kind = CONV});
	step *s = m.steps;
	int64_t each = channels[pick(state, 0, 4)];

	s->groups = pick(state, 0, 3) ? 1 : (int)pick(state, 2, 4);
	m.c = each * s->groups;
	s->out = s->groups * channels[pick(state, 0, 4)];
	for (int a = 0; a < 2; a++) {
		s->kernel[a] = (int)pick(state, 1, 5);
		s->stride[a] = (int)pick(state, 1, 3);
		s->dilation[a] = pick(state, 0, 2) ? 1 : (int)pick(state, 2, 3);
		s->pad[a] = pick(state, 0, 1) ? 0 : (int)pick(state, 1, s->kernel[a]);
	}
	if (pick(state, 0, 1)) {
		s->kernel[0] = s->kernel[1] = pick(state, 0, 1) ? 3 : 5;
		s->stride[0] = s->stride[1] = 1;
	}
	/* A shift by two strides leaves outputs to compare. */
	m.h = step_extent(s, 0) + 3 * s->stride[0] + pick(state, 0, 12);
	m.w = step_extent(s, 1) + 3 * s->stride[1] + pick(state, 0, 12);
	return m;
}

START_TEST(random_convolutions_shift_with_their_input)
{
	uint64_t state = (uint64_t)_i + 1;

	for (int i = 0; i < 4; i++) {
		net m = random_convolution(&state);
		char name[200];

		snprintf(name, sizeof name,
			"[%d,%d,%d,%d], %d filters %dx%d, stride %d,%d, dilation %d,%d, "
			"padding %d,%d, groups %d",
			(int)m.n, (int)m.c, (int)m.h, (int)m.w, (int)m.steps[0].out,
			m.steps[0].kernel[0], m.steps[0].kernel[1], m.steps[0].stride[0],
			m.steps[0].stride[1], m.steps[0].dilation[0], m.steps[0].dilation[1],
			m.steps[0].pad[0], m.steps[0].pad[1], m.steps[0].groups);
		m.name = name;
		m.any_values = i % 2;
		draw_weights(&m, state);
		check_shifts(&m, EBB_F64);
		check_shifts(&m, EBB_F32);
	}
}
END_TEST

/* ---- Other layers ------------------------------------------------------------------- */

static const net others[] = {
	NET("ReLU", 2, 3, 7, 9, {.kind = RELU}),
	NET("batch norm, evaluation", 2, 5, 7, 9, {.kind = BATCHNORM}),
	NET("max 3x3, stride 1", 1, 4, 8, 11, {.kind = MAX_POOL, .kernel = {3, 3}}),
	NET("mean 3x3, stride 1", 1, 4, 8, 11, {.kind = MEAN_POOL, .kernel = {3, 3}}),
	/* From here on the strides are longer than 1. */
	NET("max 2x2", 2, 3, 11, 14, {.kind = MAX_POOL, .kernel = {2, 2}, .stride = {2, 2}}),
	NET("max 3x3, stride 2", 2, 17, 15, 18,
		{.kind = MAX_POOL, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}}),
	NET("max 4x3, strides 3 and 2", 1, 5, 19, 15,
		{.kind = MAX_POOL, .kernel = {4, 3}, .stride = {3, 2}}),
	NET("mean 2x2", 2, 3, 11, 14, {.kind = MEAN_POOL, .kernel = {2, 2}, .stride = {2, 2}}),
	NET("mean 3x3, stride 2", 1, 6, 15, 18,
		{.kind = MEAN_POOL, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}}),
	NET("conv, ReLU, max, conv", 2, 3, 26, 23,
		{.kind = CONV, .kernel = {3, 3}, .pad = {1, 1}, .out = 6}, {.kind = RELU},
		{.kind = MAX_POOL, .kernel = {2, 2}, .stride = {2, 2}},
		{.kind = CONV, .kernel = {3, 3}, .out = 4}),
	NET("conv, norm, ReLU, conv, mean", 1, 2, 31, 42,
		{.kind = CONV, .kernel = {5, 5}, .stride = {2, 2}, .pad = {2, 2}, .out = 7},
		{.kind = BATCHNORM}, {.kind = RELU},
		{.kind = CONV, .kernel = {3, 3}, .dilation = {2, 2}, .out = 3},
		{.kind = MEAN_POOL, .kernel = {2, 2}, .stride = {2, 2}}),
	NET("depthwise, 1x1, max", 1, 24, 22, 29,
		{.kind = CONV, .kernel = {3, 3}, .groups = 24, .out = 24},
		{.kind = CONV, .out = 20}, {.kind = MAX_POOL, .kernel = {3, 3}, .stride = {2, 2}}),
	NET("strides 2, 2 and 2", 1, 3, 45, 41,
		{.kind = CONV, .kernel = {3, 3}, .stride = {2, 2}, .out = 8},
		{.kind = MAX_POOL, .kernel = {2, 2}, .stride = {2, 2}},
		{.kind = CONV, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}, .out = 8}),
};
enum { STRIDE_ONE = 4 };

START_TEST(other_layers_and_networks_shift_with_their_input)
{
	for (int i = 0; i < 4; i++) {
		net m = others[_i];

		m.any_values = i / 2;
		draw_weights(&m, 9);
		check_shifts(&m, shift_types[i % 2]);
	}
}
END_TEST

/* An image that shifts by a part of the stride gives other outputs: no shift of the output is equal
 * to them. */
START_TEST(shifts_by_a_part_of_the_stride_are_not_seen)
{
	net m = _i < 5 ? convolutions[_i + 3] : others[STRIDE_ONE + _i - 5];
	window v, h;

	draw_weights(&m, 9);
	v = window_of(&m, 0);
	h = window_of(&m, 1);
	if (v.stride == 1 && h.stride == 1)
		return;
	for (int dy = 0; dy < 2; dy++) {
		array image = values_of(&m, EBB_SHAPE(m.n, m.c, m.h + 1, m.w + 1), 99);
		array a = crop(&image, 1, 1, m.h, m.w),
		      b = crop(&image, 1 - (dy && v.stride > 1), 1 - (!dy && h.stride > 1), m.h,
			      m.w);
		array x = output_of(&m, &a, EBB_F64), y = output_of(&m, &b, EBB_F64);

		if (dy ? v.stride == 1 : h.stride == 1)
			continue;
		for (int k = -1; k <= 1; k++) {
			comparison r = compare_outputs(&m, &x, &y, dy ? k : 0, dy ? 0 : k);

			ck_assert_msg(
				r.inside > 0 && r.differs[1] > 0.1, "%s: %g", m.name, r.differs[1]);
		}
	}
}
END_TEST

/* ---- conv_transpose2d, whose output shifts by more than its input ------------------- */

typedef struct transpose {
	int64_t c, h, w;
	int out, kernel, stride, pad, output_pad, dilation, groups;
} transpose;

/* Whether all inputs that output i has a product of lie in a row of this size. */
static bool reads_inputs(const transpose *p, int64_t i, int64_t size)
{
	int64_t last = i + p->pad, first = last - p->dilation * (p->kernel - 1);

	return first >= 0 && last / p->stride < size;
}

static array transpose_output(const transpose *p, const array *x, const array *w, ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();
	array y;

	ebb_set_default_dtype(t, dtype);
	y = array_of(ebb_conv_transpose2d(t, tensor(t, x), tensor(t, w), .stride = p->stride,
		.pad = p->pad, .output_pad = p->output_pad, .dilation = p->dilation,
		.groups = p->groups));
	assert_healthy(t);
	ebb_tape_free(t);
	return y;
}

static void check_transpose(
	const transpose *p, int64_t dy, int64_t dx, ebb_dtype dtype, bool any_values)
{
	net m = NET("conv_transpose2d", 2, p->c, p->h, p->w,
		{.kind = CONV, .kernel = {p->kernel, p->kernel}});
	array image, w, a, b, x, y;
	int64_t rows, columns, compared = 0;
	double most = 0, differs = 0;

	m.any_values = any_values;
	image = values_of(&m, EBB_SHAPE(2, p->c, p->h + 4, p->w + 4), 1);
	w = values_of(&m, EBB_SHAPE(p->c, p->out / p->groups, p->kernel, p->kernel), 2);
	a = crop(&image, 2, 2, p->h, p->w);
	b = crop(&image, 2 - dy, 2 - dx, p->h, p->w);
	x = transpose_output(p, &a, &w, dtype);
	y = transpose_output(p, &b, &w, dtype);
	rows = y.shape.dims[2];
	columns = y.shape.dims[3];
	for (int64_t i = 0; i < y.count; i++) {
		int64_t row = i / columns % rows, column = i % columns;
		int64_t k = row - dy * p->stride, l = column - dx * p->stride;

		if (k < 0 || k >= rows || l < 0 || l >= columns || !reads_inputs(p, row, p->h) ||
			!reads_inputs(p, k, p->h) || !reads_inputs(p, column, p->w) ||
			!reads_inputs(p, l, p->w))
			continue;
		compared++;
		most = fmax(most, fabs(y.v[i]));
		differs = fmax(differs, fabs(y.v[i] - x.v[i + (k - row) * columns + l - column]));
	}
	ck_assert_int_gt(compared, 0);
	ck_assert_msg(differs <= rounding_of(&m, dtype, most),
		"kernel %d, stride %d, %s: outputs up to %g differ by %g", p->kernel, p->stride,
		ebb_dtype_name(dtype), most, differs);
}

START_TEST(conv_transpose2d_shifts_by_its_stride)
{
	static const transpose cases[] = {{3, 7, 9, 4, 3, 1, 0, 0, 1, 1},
		{5, 6, 8, 3, 4, 2, 1, 0, 1, 1}, {4, 7, 6, 6, 3, 2, 1, 1, 1, 2},
		{2, 8, 9, 5, 3, 3, 0, 0, 2, 1}, {33, 9, 8, 34, 3, 1, 1, 0, 1, 1},
		{6, 7, 7, 6, 2, 2, 0, 0, 1, 6}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (int k = 0; k < 4; k++) {
			check_transpose(&cases[i], 1, 0, shift_types[k % 2], k / 2);
			check_transpose(&cases[i], -1, 2, shift_types[k % 2], k / 2);
		}
	}
}
END_TEST

/* ---- Layers without positions ------------------------------------------------------- */

START_TEST(global_pooling_is_invariant_and_a_linear_layer_is_neither)
{
	for (int i = 0; i < 4; i++) {
		net m = NET("pooling", 2, 5, 7, 12, {.kind = MEAN_POOL});
		array x, w, y[3][2];

		m.any_values = i / 2;
		x = values_of(&m, EBB_SHAPE(m.n, m.c, m.h, m.w), 4);
		w = values_of(&m, EBB_SHAPE(6, m.c * m.h * m.w), 5);

		for (int k = 0; k < 2; k++) {
			ebb_tape *t = ebb_tape_new();
			array moved = k ? rolled(&x, 1, 0) : x;
			ebb_tensor *in;

			ebb_set_default_dtype(t, shift_types[i % 2]);
			in = tensor(t, &moved);
			y[0][k] = array_of(ebb_adaptive_avgpool2d(t, in));
			y[1][k] = array_of(ebb_adaptive_maxpool2d(t, in));
			y[2][k] = array_of(ebb_linear(t, ebb_flatten(t, in), tensor(t, &w)));
			assert_healthy(t);
			ebb_tape_free(t);
		}
		expect_close(&m, "mean", y[0][1], y[0][0], shift_types[i % 2]);
		ck_assert_mem_eq(y[1][1].v, y[1][0].v, (size_t)y[1][0].count * sizeof(double));
		for (int64_t k = 0; k < y[2][0].count; k++)
			ck_assert_double_gt(fabs(y[2][1].v[k] - y[2][0].v[k]), 0.1);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("equivariance");
	TCase *c = tcase_create("shifts");
	int n = sizeof convolutions / sizeof convolutions[0];

	tcase_add_checked_fixture(c, NULL, arrays_free);
	tcase_add_loop_test(c, convolutions_shift_with_their_input, 0, n);
	tcase_add_loop_test(c, padding_breaks_the_equality_at_the_border_alone, 0, n);
	tcase_add_loop_test(c, circular_padding_has_no_border, 0, n);
	tcase_add_loop_test(c, random_convolutions_shift_with_their_input, 0, CASES(ROUNDS));
	tcase_add_test(c, batchnorm_trains_on_the_same_statistics);
	tcase_add_loop_test(c, other_layers_and_networks_shift_with_their_input, 0,
		sizeof others / sizeof others[0]);
	tcase_add_loop_test(c, shifts_by_a_part_of_the_stride_are_not_seen, 0,
		5 + (int)(sizeof others / sizeof others[0]) - STRIDE_ONE);
	tcase_add_test(c, conv_transpose2d_shifts_by_its_stride);
	tcase_add_test(c, global_pooling_is_invariant_and_a_linear_layer_is_neither);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return run_suite(s);
}
