/* Recurrent cells: PyTorch's numbers, naive loops, gradients through time, errors. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { IN = 3, HIDDEN = 2, BATCH = 2, STEPS = 3 };
typedef enum { RNN, RELU, LSTM, GRU, KINDS } kind_of_cell;
static const int gate_count[KINDS] = {1, 1, 4, 3};
static const char *const who[KINDS] = {
	"rnn_cell_forward", "rnn_cell_forward", "lstm_cell_forward", "gru_cell_forward"};

typedef struct any_cell {
	kind_of_cell kind;
	ebb_rnn_cell rnn;
	ebb_lstm_cell lstm;
	ebb_gru_cell gru;
} any_cell;

static any_cell cell_new(kind_of_cell kind, ebb_params *p, const char *name, bool no_bias)
{
	any_cell l = {.kind = kind};

	if (kind == LSTM)
		l.lstm = ebb_lstm_cell_new(p, name, IN, HIDDEN, .no_bias = no_bias);
	else if (kind == GRU)
		l.gru = ebb_gru_cell_new(p, name, IN, HIDDEN, .no_bias = no_bias);
	else
		l.rnn = ebb_rnn_cell_new(
			p, name, IN, HIDDEN, .no_bias = no_bias, .relu = kind == RELU);
	return l;
}

static ebb_lstm_state step(ebb_tape *t, const any_cell *l, ebb_tensor *x, ebb_lstm_state s)
{
	if (l->kind == LSTM)
		return ebb_lstm_cell_forward(t, &l->lstm, x, s);
	if (l->kind == GRU)
		return (ebb_lstm_state){ebb_gru_cell_forward(t, &l->gru, x, s.h), NULL};
	return (ebb_lstm_state){ebb_rnn_cell_forward(t, &l->rnn, x, s.h), NULL};
}

/* x[i] = sin(start + 0.7 i)/2, the input that the expected numbers were computed from. */
static double wave(double start, int64_t i)
{
	return 0.5 * sin(start + 0.7 * (double)i);
}

static void fill(ebb_tensor *x, double start)
{
	double *v = ebb_data_mutable(x);

	for (int64_t i = 0; i < ebb_count(x); i++)
		v[i] = wave(start, i);
}

static ebb_params *store(void)
{
	ebb_params *p = ebb_params_new(1);

	ck_assert(ebb_params_set_dtype(p, EBB_F64));
	return p;
}

static any_cell filled_cell(kind_of_cell kind, ebb_params *p)
{
	any_cell l = cell_new(kind, p, "cell", false);

	ck_assert_ptr_null(ebb_params_error(p));
	for (int i = 0; i < 4; i++)
		fill(ebb_params_at(p, i), i + 1);
	return l;
}

static ebb_tape *tape(void)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, EBB_F64);
	return t;
}

static ebb_tensor *input(ebb_tape *t, int k)
{
	double v[BATCH * IN];

	for (int i = 0; i < BATCH * IN; i++)
		v[i] = wave(5 + k, i);
	return ebb_from_f64(t, EBB_SHAPE(BATCH, IN), v);
}

static void near(const ebb_tensor *x, const double *expected)
{
	for (int64_t i = 0; i < ebb_count(x); i++)
		ck_assert_msg(fabs(ebb_at(x, i) - expected[i]) < 1e-11, "[%d] is %.13g, not %.13g",
			(int)i, ebb_at(x, i), expected[i]);
}

static double norm_of_grad(const ebb_params *p, const char *name)
{
	const ebb_tensor *g = ebb_grad_of(ebb_params_find(p, name));
	double sum = 0;

	ck_assert_ptr_nonnull(g);
	for (int64_t i = 0; i < ebb_count(g); i++)
		sum += ebb_at(g, i) * ebb_at(g, i);
	return sqrt(sum);
}

/* The loss is sum h^2 (+ sum c^3) after three steps.  The expected numbers were computed with
 * torch.nn.RNNCell, LSTMCell and GRUCell of PyTorch 1.13. */
START_TEST(cells_match_pytorchs_numbers)
{
	static const double h[KINDS][4] = {
		{-0.122036530439, -0.666916241406, -0.538397714026, -0.280164621378},
		{0.219662986657, 0, 0, 0},
		{-0.148444884534, 0.12164337223, 0.054510064445, 0.143110498435},
		{-0.372949831916, 0.178095602272, -0.0209826341316, 0.103101502382}};
	static const double c[4] = {
		-0.189321787037, 0.206042154498, 0.0819998213118, 0.195777604878};
	static const double norms[KINDS][4] = {
		{0.5884068209475191, 0.9968130806989866, 1.8331636770600528, 1.8331636770600528},
		{0.3212226379119995, 0, 0.43932597331450207, 0.43932597331450207},
		{0.07763005640759314, 0.028019330480971934, 0.23442354697276943,
			0.23442354697276943},
		{0.39626036661764696, 0.13641201636712888, 0.8625844621167394,
			0.40820524014359466}};
	static const double gru_bias_hh[6] = {-0.0544473597257, 0.0299239065804, -0.0422362596455,
		0.0199212420401, -0.385646693312, 0.108937749835};
	static const char *const names[] = {
		"cell.weight_ih", "cell.weight_hh", "cell.bias_ih", "cell.bias_hh"};
	ebb_params *p = store();
	ebb_tape *t = tape();
	any_cell l = filled_cell(_i, p);
	ebb_lstm_state s = {0};
	ebb_tensor *loss;

	for (int k = 0; k < STEPS; k++)
		s = step(t, &l, input(t, k), s);
	assert_healthy(t);
	near(s.h, h[_i]);
	loss = ebb_sum(t, ebb_square(t, s.h));
	if (_i == LSTM) {
		near(s.c, c);
		loss = ebb_add(t, loss, ebb_sum(t, ebb_pow_scalar(t, s.c, 3)));
	}
	ck_assert(ebb_backward(t, loss));
	for (int i = 0; i < 4; i++)
		ck_assert_msg(fabs(norm_of_grad(p, names[i]) - norms[_i][i]) < 1e-11, "%s: %.15g",
			names[i], norm_of_grad(p, names[i]));
	if (_i == GRU)
		near(ebb_grad_of(l.gru.bias_hh), gru_bias_hh);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Naive loops ---------------------------------------------------------------------------- */

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* Element j of W v + b; b may be NULL. */
static double row(const ebb_tensor *w, const ebb_tensor *b, int j, const double *v)
{
	int n = (int)ebb_size(w, 1);
	double sum = b ? ebb_at(b, j) : 0;

	for (int i = 0; i < n; i++)
		sum += ebb_at(w, (int64_t)j * n + i) * v[i];
	return sum;
}

/* Computes one step of one sample by the formulas; overwrites h and c [HIDDEN]. */
static void naive_step(
	const ebb_params *p, kind_of_cell kind, const double *x, double *h, double *c)
{
	const ebb_tensor *wi = ebb_params_find(p, "cell.weight_ih");
	const ebb_tensor *wh = ebb_params_find(p, "cell.weight_hh");
	const ebb_tensor *bi = ebb_params_find(p, "cell.bias_ih");
	const ebb_tensor *bh = ebb_params_find(p, "cell.bias_hh");
	double next[HIDDEN], a[4], b[4];

	for (int j = 0; j < HIDDEN; j++) {
		for (int g = 0; g < gate_count[kind]; g++) {
			a[g] = row(wi, bi, g * HIDDEN + j, x);
			b[g] = row(wh, bh, g * HIDDEN + j, h);
		}
		if (kind == RNN) {
			next[j] = tanh(a[0] + b[0]);
		} else if (kind == RELU) {
			next[j] = fmax(a[0] + b[0], 0);
		} else if (kind == GRU) {
			double z = sigmoid(a[1] + b[1]);
			double n = tanh(a[2] + sigmoid(a[0] + b[0]) * b[2]);
			next[j] = (1 - z) * n + z * h[j];
		} else {
			c[j] = sigmoid(a[1] + b[1]) * c[j] +
			       sigmoid(a[0] + b[0]) * tanh(a[2] + b[2]);
			next[j] = sigmoid(a[3] + b[3]) * tanh(c[j]);
		}
	}
	memcpy(h, next, sizeof next);
}

START_TEST(cells_match_naive_loops_for_every_length)
{
	for (int no_bias = 0; no_bias < 2; no_bias++)
		for (int length = 1; length <= 9; length++) {
			ebb_params *p = store();
			ebb_tape *t = tape();
			any_cell l = cell_new(_i, p, "cell", no_bias);
			ebb_lstm_state s = {0};
			double h[BATCH][HIDDEN] = {{0}}, c[BATCH][HIDDEN] = {{0}};

			for (int k = 0; k < length; k++) {
				ebb_tensor *x = input(t, k);

				s = step(t, &l, x, s);
				for (int n = 0; n < BATCH; n++) {
					double v[IN];

					for (int i = 0; i < IN; i++)
						v[i] = ebb_at(x, n * IN + i);
					naive_step(p, _i, v, h[n], c[n]);
				}
			}
			assert_healthy(t);
			near(s.h, h[0]);
			if (_i == LSTM)
				near(s.c, c[0]);
			ebb_tape_free(t);
			ebb_params_free(p);
		}
}
END_TEST

START_TEST(any_leading_sizes_are_accepted)
{
	ebb_params *p = store();
	ebb_tape *t = tape();
	any_cell l = filled_cell(_i, p);
	ebb_tensor *x = input(t, 0), *h = ebb_mul_scalar(t, ebb_ones(t, EBB_SHAPE(2, HIDDEN)), 0.3);
	ebb_lstm_state whole = step(t, &l, x, (ebb_lstm_state){h, h});
	ebb_tensor *x1 = ebb_reshape(t, ebb_slice(t, x, 0, 1, 2, 1), EBB_SHAPE(IN));
	ebb_tensor *h1 = ebb_reshape(t, ebb_slice(t, h, 0, 1, 2, 1), EBB_SHAPE(HIDDEN));
	ebb_lstm_state one = step(t, &l, x1, (ebb_lstm_state){h1, h1});
	ebb_tensor *none = ebb_zeros(t, EBB_SHAPE(0, IN));

	assert_healthy(t);
	ck_assert(all_close(one.h,
		ebb_reshape(t, ebb_slice(t, whole.h, 0, 1, 2, 1), EBB_SHAPE(HIDDEN)), 1e-13));
	ck_assert_int_eq(ebb_count(step(t, &l, none, (ebb_lstm_state){0}).h), 0);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Gradients ------------------------------------------------------------------------------ */

/* Runs two steps; the inputs are x0, x1, h, c and the cell's parameters. */
static ebb_tensor *two_steps(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	any_cell l = {.kind = *(kind_of_cell *)ctx};
	ebb_lstm_state s = {x[2], x[3]};

	l.rnn = (ebb_rnn_cell){"cell", x[4], x[5], x[6], x[7], l.kind == RELU};
	l.gru = (ebb_gru_cell){"cell", x[4], x[5], x[6], x[7]};
	l.lstm = (ebb_lstm_cell){"cell", "cell.gates", "cell.c", x[4], x[5], x[6], x[7]};
	s = step(t, &l, x[1], step(t, &l, x[0], s));
	return s.c ? ebb_concat(t, 2, (ebb_tensor *[]){s.h, s.c}, 1) : s.h;
}

START_TEST(gradients_of_both_orders_match_differences)
{
	kind_of_cell kind = _i;
	int rows = gate_count[_i] * HIDDEN;
	ebb_tensor *x[8] = {persistent_random(EBB_F64, EBB_SHAPE(BATCH, IN), 1),
		persistent_random(EBB_F64, EBB_SHAPE(BATCH, IN), 2),
		persistent_random(EBB_F64, EBB_SHAPE(BATCH, HIDDEN), 3),
		persistent_random(EBB_F64, EBB_SHAPE(BATCH, HIDDEN), 4),
		persistent_random(EBB_F64, EBB_SHAPE(rows, IN), 5),
		persistent_random(EBB_F64, EBB_SHAPE(rows, HIDDEN), 6),
		persistent_random(EBB_F64, EBB_SHAPE(rows), 7),
		persistent_random(EBB_F64, EBB_SHAPE(rows), 8)};
	const ebb_tensor *inputs[8];
	ebb_error e = {0};

	memcpy(inputs, x, sizeof x);
	ck_assert_msg(ebb_gradcheck(.fn = two_steps, .ctx = &kind, .n = 8, .x = inputs,
			      .second = true, .error = &e),
		"%s", e.message);
	for (int i = 0; i < 8; i++)
		ebb_tensor_free(x[i]);
}
END_TEST

/* The gradient of a cell that is used in all steps is the sum of the gradients of separate copies,
 * one per step. */
START_TEST(gradients_of_shared_parameters_add_up)
{
	ebb_params *p = store(), *copies = store();
	ebb_tape *t = tape(), *u = tape();
	any_cell l = filled_cell(_i, p), copy[STEPS];
	ebb_lstm_state s = {0}, r = {0};
	char name[16];

	for (int k = 0; k < STEPS; k++) {
		snprintf(name, sizeof name, "copy%d", k);
		copy[k] = cell_new(_i, copies, name, false);
		for (int i = 0; i < 4; i++)
			fill(ebb_params_at(copies, k * 4 + i), i + 1);
		s = step(t, &l, input(t, k), s);
		r = step(u, &copy[k], input(u, k), r);
	}
	ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, s.h))));
	ck_assert(ebb_backward(u, ebb_sum(u, ebb_square(u, r.h))));
	for (int i = 0; i < 4; i++) {
		ebb_tensor *whole = ebb_grad_of(ebb_params_at(p, i));

		for (int64_t j = 0; j < ebb_count(whole); j++) {
			double sum = 0;

			for (int k = 0; k < STEPS; k++)
				sum += ebb_at(ebb_grad_of(ebb_params_at(copies, k * 4 + i)), j);
			ck_assert(fabs(sum - ebb_at(whole, j)) < 1e-13);
		}
	}
	ebb_tape_free(t);
	ebb_tape_free(u);
	ebb_params_free(p);
	ebb_params_free(copies);
}
END_TEST

/* ---- The store, memory, errors -------------------------------------------------------------- */

START_TEST(names_shapes_and_initial_values_are_pytorchs)
{
	static const char *const names[] = {
		"net.cell.weight_ih", "net.cell.weight_hh", "net.cell.bias_ih", "net.cell.bias_hh"};
	ebb_params *p = ebb_params_new(1), *net = ebb_params_sub(p, "net");
	int rows = gate_count[_i] * HIDDEN;

	cell_new(_i, net, "cell", false);
	ck_assert_int_eq(ebb_params_count(p), 4);
	for (int i = 0; i < 4; i++) {
		ebb_tensor *x = ebb_params_at(p, i);

		ck_assert_str_eq(ebb_params_name_at(p, i), names[i]);
		ck_assert_int_eq(ebb_ndim(x), i < 2 ? 2 : 1);
		ck_assert_int_eq(ebb_size(x, 0), rows);
		if (i < 2)
			ck_assert_int_eq(ebb_size(x, 1), i ? HIDDEN : IN);
		for (int64_t j = 0; j < ebb_count(x); j++)
			ck_assert(ebb_at(x, j) != 0 && fabs(ebb_at(x, j)) <= 0.70711);
	}
	cell_new(_i, net, "plain", true);
	ck_assert_int_eq(ebb_params_count(p), 6);
	ck_assert_ptr_null(ebb_params_error(p));
	ebb_params_free(p);
}
END_TEST

/* h and c outlive the cell's scopes, also without recording; the memory then does not grow with the
 * steps. */
START_TEST(states_outlive_their_scopes_and_memory_is_bounded)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_lstm_cell l = ebb_lstm_cell_new(p, "lstm", 64, 64);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(32, 64), 1);
	ebb_lstm_state s = {0};
	size_t value = 32 * 64 * sizeof(float);

	ebb_set_recording(t, false);
	for (int k = 0; k < 50; k++) {
		ebb_lstm_state before = s;

		s = ebb_lstm_cell_forward(t, &l, x, s);
		ebb_release(t, before.h);
		ebb_release(t, before.c);
	}
	assert_healthy(t);
	ck_assert(isfinite(ebb_at(s.h, 5)) && isfinite(ebb_at(s.c, 5)));
	ck_assert_msg(ebb_memory_of(t).peak <= 24 * value, "%zu bytes, one value has %zu",
		ebb_memory_of(t).peak, value);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(wrong_inputs_name_the_cell)
{
	ebb_params *p = store();
	ebb_tape *t = tape();
	any_cell l = filled_cell(_i, p), empty = {.kind = _i};
	ebb_tensor *x = input(t, 0), *h = ebb_zeros(t, EBB_SHAPE(BATCH, HIDDEN));
	ebb_tensor *wide = ebb_zeros(t, EBB_SHAPE(BATCH, IN + 1));
	ebb_tensor *tall = ebb_zeros(t, EBB_SHAPE(BATCH + 1, HIDDEN));
	ebb_lstm_state none = {0};

	assert_refused(
		t, EBB_INVALID, step(t, &empty, x, none).h, "recurrent.c:", who[_i], "empty");
	assert_refused(t, EBB_INVALID, step(t, &l, NULL, none).h, who[_i], "\"cell\"", "NULL");
	assert_refused(t, EBB_BAD_SHAPE, step(t, &l, wide, none).h, "recurrent.c:", who[_i],
		"\"cell\" takes x [..,3]", "[2,4]");
	assert_refused(t, EBB_BAD_SHAPE, step(t, &l, ebb_scalar(t, 1), none).h, who[_i]);
	assert_refused(t, EBB_BAD_SHAPE, step(t, &l, x, (ebb_lstm_state){tall, h}).h, who[_i],
		"takes h F64 [..,2]", "[3,2]");
	assert_refused(
		t, EBB_BAD_SHAPE, step(t, &l, x, (ebb_lstm_state){x, h}).h, who[_i], "[2,3]");
	assert_refused(t, EBB_BAD_DTYPE, step(t, &l, ebb_cast(t, x, EBB_F32), none).h, who[_i]);
	assert_refused(t, EBB_BAD_DTYPE,
		step(t, &l, x, (ebb_lstm_state){ebb_cast(t, h, EBB_F32), h}).h, who[_i]);
	if (_i == LSTM)
		assert_refused(t, EBB_BAD_SHAPE, step(t, &l, x, (ebb_lstm_state){h, tall}).h,
			who[_i], "takes c F64 [..,2]", "[3,2]");
	ck_assert_str_eq(ebb_current_scope(t), "");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_arguments_are_errors_in_the_store)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(1, 1));

#define STORE_REFUSES(who_, name_, call)                                                           \
	do {                                                                                       \
		ck_assert(!(call).name);                                                           \
		ck_assert_ptr_nonnull(ebb_params_error(p));                                        \
		ck_assert_ptr_nonnull(strstr(ebb_params_error(p)->message, who_));                 \
		ck_assert_ptr_nonnull(strstr(ebb_params_error(p)->message, name_));                \
		ebb_params_clear_error(p);                                                         \
	} while (0)
	STORE_REFUSES("rnn_cell_new", "from 0 to 2", ebb_rnn_cell_new(p, "a", 0, 2));
	STORE_REFUSES("lstm_cell_new", "from 3 to -1", ebb_lstm_cell_new(p, "b", 3, -1));
	STORE_REFUSES("gru_cell_new", "from 3 to 0", ebb_gru_cell_new(p, "c", 3, 0));
	STORE_REFUSES("gru_cell_new", "expected", ebb_gru_cell_new(p, "d", 3, INT64_MAX / 2));
	ck_assert_int_eq(ebb_params_count(p), 0);
	ck_assert(!ebb_lstm_cell_new(NULL, "e", 1, 1).name);
	assert_refused(t, EBB_INVALID, ebb_rnn_cell_forward(t, NULL, x, NULL), "NULL");
	assert_refused(t, EBB_INVALID, ebb_gru_cell_forward(t, NULL, x, NULL), "NULL");
	assert_refused(
		t, EBB_INVALID, ebb_lstm_cell_forward(t, NULL, x, (ebb_lstm_state){0}).c, "NULL");
	ck_assert_ptr_null(ebb_rnn_cell_forward(NULL, NULL, x, NULL));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-recurrent");
	TCase *c = tcase_create("cells");

	tcase_add_loop_test(c, cells_match_pytorchs_numbers, 0, KINDS);
	tcase_add_loop_test(c, cells_match_naive_loops_for_every_length, 0, KINDS);
	tcase_add_loop_test(c, any_leading_sizes_are_accepted, 0, KINDS);
	tcase_add_loop_test(c, gradients_of_both_orders_match_differences, 0, KINDS);
	tcase_add_loop_test(c, gradients_of_shared_parameters_add_up, 0, KINDS);
	tcase_add_loop_test(c, names_shapes_and_initial_values_are_pytorchs, 0, KINDS);
	tcase_add_loop_test(c, wrong_inputs_name_the_cell, 0, KINDS);
	tcase_add_test(c, states_outlive_their_scopes_and_memory_is_bounded);
	tcase_add_test(c, bad_arguments_are_errors_in_the_store);
	suite_add_tcase(s, c);
	return run_suite(s);
}
