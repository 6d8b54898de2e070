/* attention.c - multi-head attention and transformer layers: parameters, heads, caches, errors. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 12, HEADS = 4, SIZE = WIDTH / HEADS, BATCH = 2, LENGTH = 9 };

static ebb_params *store(ebb_dtype dtype)
{
	ebb_params *p = ebb_params_new(1);

	ck_assert(ebb_params_set_dtype(p, dtype));
	return p;
}

static ebb_tape *tape(ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, dtype);
	return t;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static void check_names(
	const ebb_params *p, int n, const char *const *names, const ebb_shape *shape)
{
	ck_assert_int_eq(ebb_params_count(p), n);
	for (int i = 0; i < n; i++) {
		const ebb_tensor *x = ebb_params_at(p, i);

		ck_assert_str_eq(ebb_params_name_at(p, i), names[i]);
		ck_assert_int_eq(ebb_ndim(x), shape[i].ndim);
		for (int k = 0; k < shape[i].ndim; k++)
			ck_assert_int_eq(ebb_size(x, k), shape[i].dims[k]);
	}
}

static double largest(const ebb_tensor *x)
{
	double most = 0;

	for (int64_t i = 0; i < ebb_count(x); i++)
		most = fmax(most, fabs(ebb_at(x, i)));
	return most;
}

/* Checks that the values are uniform in (-bound, bound), as far as the largest one tells. */
static void check_bound(const ebb_tensor *x, double bound)
{
	ck_assert_msg(largest(x) <= bound * 1.0000001 && largest(x) > 0.9 * bound,
		"largest %g, bound %g", largest(x), bound);
}

START_TEST(parameters_and_initial_values_are_pytorchs)
{
	static const char *const names[] = {"net.attn.in_proj_weight", "net.attn.in_proj_bias",
		"net.attn.out_proj.weight", "net.attn.out_proj.bias"};
	ebb_shape shapes[] = {EBB_SHAPE(3 * WIDTH, WIDTH), EBB_SHAPE(3 * WIDTH),
		EBB_SHAPE(WIDTH, WIDTH), EBB_SHAPE(WIDTH)};
	ebb_params *p = ebb_params_new(1);
	ebb_multihead l = ebb_multihead_new(ebb_params_sub(p, "net"), "attn", WIDTH, HEADS);

	ck_assert_ptr_null(ebb_params_error(p));
	check_names(p, 4, names, shapes);
	ck_assert_str_eq(l.name, "net.attn");
	check_bound(l.in_proj_weight, sqrt(6.0 / (4 * WIDTH)));
	check_bound(l.out_proj.weight, 1 / sqrt(WIDTH));
	ck_assert(largest(l.in_proj_bias) == 0 && largest(l.out_proj.bias) == 0);
	ebb_params_free(p);
}
END_TEST

START_TEST(options_change_the_parameters)
{
	static const char *const apart[] = {
		"a.q_proj_weight", "a.k_proj_weight", "a.v_proj_weight", "a.out_proj.weight"};
	ebb_shape apart_shapes[] = {EBB_SHAPE(WIDTH, WIDTH), EBB_SHAPE(2 * SIZE, 5),
		EBB_SHAPE(2 * SIZE, WIDTH), EBB_SHAPE(WIDTH, WIDTH)};
	static const char *const grouped[] = {
		"b.in_proj_weight", "b.in_proj_bias", "b.out_proj.weight", "b.out_proj.bias"};
	ebb_shape grouped_shapes[] = {EBB_SHAPE(WIDTH + 2 * SIZE, WIDTH),
		EBB_SHAPE(WIDTH + 2 * SIZE), EBB_SHAPE(WIDTH, WIDTH), EBB_SHAPE(WIDTH)};
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(1), *r = ebb_params_new(1);
	ebb_multihead l;

	ebb_multihead_new(p, "a", WIDTH, HEADS, .kv_heads = 2, .kdim = 5, .no_bias = true);
	check_names(p, 4, apart, apart_shapes);
	l = ebb_multihead_new(q, "b", WIDTH, HEADS, .kv_heads = 1,
		.init = EBB_INIT(EBB_INIT_CONSTANT, .value = 2),
		.out_init = EBB_INIT(EBB_INIT_CONSTANT, .value = 3));
	check_names(q, 4, grouped, grouped_shapes);
	ck_assert(ebb_at(l.in_proj_weight, 5) == 2 && ebb_at(l.out_proj.weight, 5) == 3);
	l = ebb_multihead_new(
		r, "c", WIDTH, HEADS, .init = EBB_INIT(EBB_INIT_CONSTANT, .value = 2));
	ck_assert(ebb_at(l.out_proj.weight, 5) == 2 && ebb_at(l.out_proj.bias, 5) == 0);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(r);
}
END_TEST

START_TEST(a_transformer_layer_has_pytorchs_parameters)
{
	static const char *const names[] = {"l.self_attn.in_proj_weight",
		"l.self_attn.in_proj_bias", "l.self_attn.out_proj.weight",
		"l.self_attn.out_proj.bias", "l.linear1.weight", "l.linear1.bias",
		"l.linear2.weight", "l.linear2.bias", "l.norm1.weight", "l.norm1.bias",
		"l.norm2.weight", "l.norm2.bias"};
	ebb_shape shapes[] = {EBB_SHAPE(3 * WIDTH, WIDTH), EBB_SHAPE(3 * WIDTH),
		EBB_SHAPE(WIDTH, WIDTH), EBB_SHAPE(WIDTH), EBB_SHAPE(2048, WIDTH), EBB_SHAPE(2048),
		EBB_SHAPE(WIDTH, 2048), EBB_SHAPE(WIDTH), EBB_SHAPE(WIDTH), EBB_SHAPE(WIDTH),
		EBB_SHAPE(WIDTH), EBB_SHAPE(WIDTH)};
	ebb_params *p = ebb_params_new(1);
	ebb_transformer_layer l = ebb_transformer_layer_new(p, "l", WIDTH, HEADS);

	check_names(p, 12, names, shapes);
	ck_assert(l.dropout.rate == 0.1 && l.dropout1.rate == 0.1 && l.dropout2.rate == 0.1);
	ck_assert(l.self_attn.dropout == 0.1);
	ebb_params_free(p);
}
END_TEST

/* x[i] */
static ebb_tensor *sequence(ebb_tape *t, ebb_tensor *x, int64_t i)
{
	return ebb_squeeze(t, ebb_slice(t, x, 0, i, i + 1, 1), 0);
}

/* ---- Heads ----------------------------------------------------------------------------------- */

/* Row i of a matrix w [..,n], times x, plus b[i] (b may be NULL). */
static double row(const ebb_tensor *w, const ebb_tensor *b, int64_t i, const double *x)
{
	int64_t n = ebb_size(w, 1);
	double sum = b ? ebb_at(b, i) : 0;

	for (int64_t k = 0; k < n; k++)
		sum += ebb_at(w, i * n + k) * x[k];
	return sum;
}

/* Computes y [LENGTH,WIDTH] of one sequence x by the formulas of attention.h. */
static void naive(const ebb_multihead *l, const double *x, bool causal, double *y)
{
	double in[LENGTH][3 * WIDTH], heads[LENGTH][WIDTH];
	int64_t rows = ebb_size(l->in_proj_weight, 0), kv = l->kv_heads * SIZE;

	for (int i = 0; i < LENGTH; i++)
		for (int64_t r = 0; r < rows; r++)
			in[i][r] = row(l->in_proj_weight, l->in_proj_bias, r, x + i * WIDTH);
	for (int h = 0; h < HEADS; h++) {
		int64_t k = WIDTH + h / (HEADS / l->kv_heads) * SIZE, v = k + kv;

		for (int i = 0; i < LENGTH; i++) {
			double p[LENGTH], sum = 0;
			int keys = causal ? i + 1 : LENGTH;

			for (int j = 0; j < keys; j++) {
				p[j] = 0;
				for (int e = 0; e < SIZE; e++)
					p[j] += in[i][h * SIZE + e] * in[j][k + e];
				p[j] = exp(p[j] / sqrt(SIZE));
				sum += p[j];
			}
			for (int e = 0; e < SIZE; e++) {
				double result = 0;

				for (int j = 0; j < keys; j++)
					result += p[j] / sum * in[j][v + e];
				heads[i][h * SIZE + e] = result;
			}
		}
	}
	for (int i = 0; i < LENGTH; i++)
		for (int r = 0; r < WIDTH; r++)
			y[i * WIDTH + r] = row(l->out_proj.weight, l->out_proj.bias, r, heads[i]);
}

START_TEST(heads_and_groups_match_naive_loops)
{
	int kv_heads = 1 << _i % 3;
	ebb_params *p = store(EBB_F64);
	ebb_tape *t = tape(EBB_F64);
	ebb_multihead l =
		ebb_multihead_new(p, "l", WIDTH, HEADS, .kv_heads = kv_heads, .no_bias = _i >= 3);
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(BATCH, LENGTH, WIDTH), 3), *y, *one;
	double values[BATCH * LENGTH * WIDTH], expected[LENGTH * WIDTH];
	ebb_init normal = EBB_INIT(EBB_INIT_NORMAL);

	for (int64_t i = 0; i < ebb_params_count(p); i++)
		ck_assert(ebb_init_fill(ebb_params_at(p, i), &normal, 5, (uint64_t)i, NULL));
	ck_assert(ebb_copy_out(x, values, sizeof values));
	for (int causal = 0; causal < 2; causal++) {
		y = ebb_multihead_forward(t, &l, x, .causal = causal);
		assert_healthy(t);
		for (int b = 0; b < BATCH; b++) {
			naive(&l, values + b * LENGTH * WIDTH, causal, expected);
			for (int i = 0; i < LENGTH * WIDTH; i++)
				ck_assert_double_eq_tol(
					ebb_at(y, b * LENGTH * WIDTH + i), expected[i], 1e-11);
		}
		/* One sequence, and more leading axes. */
		one = sequence(t, x, 1);
		ck_assert(all_close(ebb_multihead_forward(t, &l, one, .causal = causal),
			sequence(t, y, 1), 1e-13));
		one = ebb_unsqueeze(t, x, 0);
		ck_assert(all_close(ebb_multihead_forward(t, &l, one, .causal = causal),
			ebb_unsqueeze(t, y, 0), 1e-13));
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

static ebb_tensor *forward_of(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_multihead l = *(const ebb_multihead *)ctx;

	l.in_proj_weight = x[1];
	l.in_proj_bias = x[2];
	l.out_proj.weight = x[3];
	return ebb_multihead_forward(t, &l, x[0], .causal = true);
}

START_TEST(gradients_of_both_orders_match_differences)
{
	ebb_params *p = store(EBB_F64);
	ebb_multihead l = ebb_multihead_new(p, "l", 4, 2, .kv_heads = _i + 1);
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(1, 3, 4), 1);
	const ebb_tensor *in[] = {x, l.in_proj_weight, l.in_proj_bias, l.out_proj.weight};
	ebb_error e = {0};

	ck_assert_msg(ebb_gradcheck(.fn = forward_of, .ctx = &l, .n = 4, .x = in, .second = true,
			      .error = &e),
		"%s", e.message);
	ebb_tensor_free(x);
	ebb_params_free(p);
}
END_TEST

START_TEST(dropout_acts_while_the_tape_trains)
{
	ebb_params *p = store(EBB_F32);
	ebb_tape *t = tape(EBB_F32);
	ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS),
		      d = ebb_multihead_new(p, "d", WIDTH, HEADS, .dropout = 0.5);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(BATCH, LENGTH, WIDTH), 3), *y;

	y = ebb_multihead_forward(t, &l, x);
	l.dropout = d.dropout;
	ck_assert(!all_close(ebb_multihead_forward(t, &l, x), y, 1e-3));
	ebb_set_training(t, false);
	ck_assert(all_same(ebb_multihead_forward(t, &l, x), y));
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- The cache ------------------------------------------------------------------------------- */

/* Generates with calls of these lengths, and compares each result with the rows of whole. */
static void check_calls(ebb_tape *t, const ebb_multihead *l, ebb_kv_cache *c, ebb_tensor *x,
	ebb_tensor *whole, int calls, const int *length, double tolerance)
{
	int axis = ebb_ndim(x) - 2;
	int64_t at = 0;

	c->length = 0;
	for (int i = 0; i < calls; i++) {
		ebb_tensor *part = ebb_slice(t, x, axis, at, at + length[i], 1), *y;

		y = ebb_multihead_forward(t, l, part, .causal = true, .cache = c);
		assert_healthy(t);
		part = ebb_slice(t, whole, axis, at, at + length[i], 1);
		ck_assert_msg(all_close(y, part, tolerance), "call %d of %d tokens differs", i,
			length[i]);
		at += length[i];
		ck_assert_int_eq(c->length, at);
	}
}

START_TEST(a_cache_gives_the_results_of_the_whole_sequence)
{
	static const int ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, prompt[] = {5, 1, 1, 1, 1},
			 parts[] = {2, 4, 0, 3}, all[] = {9}, late[] = {1, 8};
	static const struct {
		int calls;
		const int *length;
	} splits[] = {{9, ones}, {5, prompt}, {4, parts}, {1, all}, {2, late}};
	ebb_dtype dtype = _i % 2 ? EBB_F64 : EBB_F32;
	int kv_heads = 1 << _i / 2;
	ebb_params *p = store(dtype);
	ebb_tape *t = tape(dtype);
	ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS, .kv_heads = kv_heads);
	ebb_tensor *x = persistent_random(dtype, EBB_SHAPE(BATCH, LENGTH, WIDTH), 3), *one, *whole;
	ebb_error e = {0};

	ebb_set_recording(t, false);
	one = sequence(t, x, 1);
	for (int batch = 2; batch >= 1; batch--)
		for (int capacity = LENGTH; capacity < LENGTH + 3; capacity += 2) {
			ebb_kv_cache *c = ebb_kv_cache_new(&l, batch, capacity, &e);

			ck_assert_msg(c != NULL, "%s", e.message);
			whole = ebb_multihead_forward(t, &l, batch == 1 ? one : x, .causal = true);
			for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
				check_calls(t, &l, c, batch == 1 ? one : x, whole, splits[i].calls,
					splits[i].length, dtype == EBB_F64 ? 1e-13 : 2e-6);
			ebb_tape_reset(t);
			one = sequence(t, x, 1);
			ebb_kv_cache_free(c);
		}
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(a_shorter_length_forgets_the_last_tokens)
{
	ebb_params *p = store(EBB_F64);
	ebb_tape *t = tape(EBB_F64);
	ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS);
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(1, LENGTH, WIDTH), 3), *whole, *y;
	ebb_kv_cache *c = ebb_kv_cache_new(&l, 1, LENGTH, NULL);

	ebb_set_recording(t, false);
	whole = ebb_multihead_forward(t, &l, x, .causal = true, .cache = c);
	c->length = 6;
	y = ebb_multihead_forward(t, &l, ebb_slice(t, x, 1, 6, 8, 1), .causal = true, .cache = c);
	ck_assert(all_close(y, ebb_slice(t, whole, 1, 6, 8, 1), 1e-13));
	ck_assert_int_eq(c->length, 8);
	/* Without .causal a query attends to every token in the cache. */
	c->length = 0;
	whole = ebb_multihead_forward(t, &l, x);
	ebb_multihead_forward(t, &l, ebb_slice(t, x, 1, 0, 5, 1), .cache = c);
	y = ebb_multihead_forward(t, &l, ebb_slice(t, x, 1, 5, 9, 1), .cache = c);
	ck_assert(all_close(y, ebb_slice(t, whole, 1, 5, 9, 1), 1e-13));
	ebb_tape_free(t);
	ebb_kv_cache_free(c);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(a_cache_refuses_what_it_cannot_hold)
{
	ebb_params *p = store(EBB_F32), *q = store(EBB_F64);
	ebb_tape *t = tape(EBB_F32);
	ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS, .kv_heads = 2),
		      k = ebb_multihead_new(p, "k", WIDTH, HEADS),
		      d = ebb_multihead_new(q, "d", WIDTH, HEADS, .kv_heads = 2);
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(1, 3, WIDTH)),
		   *both = ebb_randn(t, EBB_SHAPE(2, 3, WIDTH));
	ebb_kv_cache *c = ebb_kv_cache_new(&l, 1, 5, NULL), *f64 = ebb_kv_cache_new(&d, 1, 5, NULL);
	ebb_error e = {0};

	assert_refused(t, EBB_BAD_STATE, ebb_multihead_forward(t, &l, x, .cache = c), "\"l\"",
		"records a gradient", "ebb_set_recording");
	ck_assert_int_eq(c->length, 0);
	/* Frozen parameters record none. */
	ebb_params_freeze(p, "*");
	ebb_tape_reset(t);
	x = ebb_randn(t, EBB_SHAPE(1, 3, WIDTH));
	both = ebb_randn(t, EBB_SHAPE(2, 3, WIDTH));
	ck_assert_ptr_nonnull(ebb_multihead_forward(t, &l, x, .cache = c));
	ck_assert_int_eq(c->length, 3);
	ebb_set_recording(t, false);
	assert_refused(t, EBB_BAD_STATE, ebb_multihead_forward(t, &l, x, .cache = c),
		"attention.c:", "\"l\" has 3 of 5 tokens: 3 more do not fit");
	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, &l, x, .memory = x, .cache = c),
		".cache or .memory");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, both, .cache = c),
		"F32 [1,5,2,3]", "F32 [2,3,12]");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_multihead_forward(t, &l, ebb_unsqueeze(t, x, 0), .cache = c), "[1,1,3,12]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &k, x, .cache = c),
		"[batch,capacity,4,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, x, .cache = f64), "F64");
	ck_assert_int_eq(c->length, 3);
	for (int64_t length = -1; length <= 6; length += 7) {
		c->length = length;
		assert_refused(
			t, EBB_BAD_STATE, ebb_multihead_forward(t, &l, x, .cache = c), "of 5");
	}
	ck_assert_ptr_null(ebb_kv_cache_new(&l, 0, 5, &e));
	ck_assert_ptr_nonnull(strstr(e.message, "batch 0, capacity 5"));
	ck_assert_ptr_null(ebb_kv_cache_new(NULL, 1, 5, NULL));
	ck_assert_ptr_null(ebb_kv_cache_new(&(ebb_multihead){0}, 1, 5, NULL));
	ck_assert_ptr_null(ebb_kv_cache_new(&l, INT64_MAX / 2, INT64_MAX / 2, NULL));
	ebb_kv_cache_free(NULL);
	ebb_tape_free(t);
	ebb_kv_cache_free(c);
	ebb_kv_cache_free(f64);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(failed_allocations_leave_the_cache_as_it_was)
{
	counting_allocator a = {0};
	bool done = false;

	counting_allocator_install(&a);
	for (int64_t fail_at = 0; !done; fail_at++) {
		ebb_params *p = ebb_params_new(1);
		ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS);
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x = ebb_randn(t, EBB_SHAPE(1, 3, WIDTH)), *y;
		ebb_kv_cache *c;
		ebb_error e = {0};

		ebb_set_recording(t, false);
		a.fail_at = a.calls + fail_at;
		a.refused = 0;
		c = ebb_kv_cache_new(&l, 1, 5, &e);
		y = c ? ebb_multihead_forward(t, &l, x, .causal = true, .cache = c) : NULL;
		a.fail_at = -1;
		done = a.refused == 0;
		ck_assert(c || e.status == EBB_NO_MEMORY);
		ck_assert(!c || y || ebb_error_status(t) == EBB_NO_MEMORY);
		ck_assert(!c || c->length == (y ? 3 : 0));
		ck_assert(y || !done);
		ebb_tape_free(t);
		ebb_kv_cache_free(c);
		ebb_params_free(p);
		ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d", (int)fail_at);
	}
	counting_allocator_remove();
}
END_TEST

/* ---- Memory and errors ----------------------------------------------------------------------- */

START_TEST(only_the_result_stays_in_memory)
{
	ebb_params *p = store(EBB_F32);
	ebb_tape *t = tape(EBB_F32);
	ebb_transformer_layer l =
		ebb_transformer_layer_new(p, "l", 64, 4, .feedforward = 256, .norm_first = _i > 0);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(8, 16, 64), 1), *y;
	size_t value = 8 * 16 * 64 * sizeof(float);

	ebb_set_recording(t, false);
	ebb_set_training(t, false);
	y = ebb_transformer_layer_forward(t, &l, x);
	assert_healthy(t);
	ck_assert(isfinite(ebb_at(y, 5)));
	ck_assert_uint_le(ebb_memory_of(t).in_use, value + 1024);
	/* x and the two results of linear1 and of the activation, of four values each. */
	ck_assert_msg(ebb_memory_of(t).peak <= 11 * value, "%zu bytes, one value has %zu",
		ebb_memory_of(t).peak, value);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(wrong_inputs_name_the_layer)
{
	ebb_params *p = store(EBB_F32);
	ebb_tape *t = tape(EBB_F32);
	ebb_multihead l = ebb_multihead_new(p, "l", WIDTH, HEADS), empty = {0},
		      k = ebb_multihead_new(p, "k", WIDTH, HEADS, .kdim = 5, .vdim = 7);
	ebb_transformer_layer none = {0};
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(2, 3, WIDTH)), *m = ebb_randn(t, EBB_SHAPE(2, 4, 5));
	ebb_tensor *deep = ebb_randn(t, EBB_SHAPE(1, 1, 1, 1, 1, 1, 3, WIDTH));

	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, NULL, x), "attention.c:", "NULL");
	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, &empty, x), "empty");
	assert_refused(t, EBB_INVALID, ebb_transformer_layer_forward(t, &none, x), "empty");
	assert_refused(t, EBB_INVALID, ebb_transformer_layer_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, &l, NULL), "x of \"l\" is NULL");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, m), "takes x [..,L,12]", "[2,4,5]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, deep), "2 to 7 axes");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_multihead_forward(t, &l, ebb_zeros(t, EBB_SHAPE(WIDTH))), "got F32 [12]");
	assert_refused(
		t, EBB_BAD_DTYPE, ebb_multihead_forward(t, &l, ebb_cast(t, x, EBB_F64)), "F64");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, x, .memory = m), "takes memory");
	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, &l, x, .values = x),
		"memory of \"l\" is NULL");
	assert_refused(t, EBB_INVALID, ebb_multihead_forward(t, &k, x), "memory of \"k\" is NULL");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &k, x, .memory = m), "[..,L,7]",
		".values is left out");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multihead_forward(t, &l, x, .mask = m), "attention:");
	ck_assert_ptr_null(ebb_multihead_forward(NULL, &l, x));
	ck_assert_str_eq(ebb_current_scope(t), "");
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_arguments_are_errors_in_the_store)
{
	ebb_params *p = ebb_params_new(1);

#define STORE_REFUSES(words, call)                                                                 \
	do {                                                                                       \
		ck_assert(!(call).name);                                                           \
		ck_assert_ptr_nonnull(ebb_params_error(p));                                        \
		ck_assert_msg(strstr(ebb_params_error(p)->message, words) != NULL, "%s",           \
			ebb_params_error(p)->message);                                             \
		ebb_params_clear_error(p);                                                         \
	} while (0)
	STORE_REFUSES("width 12, 5 heads", ebb_multihead_new(p, "a", 12, 5));
	STORE_REFUSES("width 0", ebb_multihead_new(p, "b", 0, 1));
	STORE_REFUSES("width 12, 0 heads", ebb_multihead_new(p, "c", 12, 0));
	STORE_REFUSES("kv_heads 3", ebb_multihead_new(p, "d", 12, 4, .kv_heads = 3));
	STORE_REFUSES("kv_heads 8", ebb_multihead_new(p, "d", 12, 4, .kv_heads = 8));
	STORE_REFUSES("kdim -1", ebb_multihead_new(p, "e", 12, 4, .kdim = -1));
	STORE_REFUSES("dropout 1", ebb_multihead_new(p, "f", 12, 4, .dropout = 1));
	STORE_REFUSES("dropout", ebb_multihead_new(p, "g", 12, 4, .dropout = NAN));
	STORE_REFUSES("expected positive", ebb_multihead_new(p, "h", INT64_MAX, 1));
	STORE_REFUSES("activation 7", ebb_transformer_layer_new(p, "i", 12, 4, .activation = 7));
	STORE_REFUSES("5 heads", ebb_transformer_layer_new(p, "j", 12, 5));
	ck_assert(!ebb_multihead_new(NULL, "k", 12, 4).name);
	ck_assert(!ebb_transformer_layer_new(NULL, "l", 12, 4).name);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-attention");
	TCase *c = tcase_create("layers"), *memory = tcase_create("memory");

	tcase_add_test(c, parameters_and_initial_values_are_pytorchs);
	tcase_add_test(c, options_change_the_parameters);
	tcase_add_test(c, a_transformer_layer_has_pytorchs_parameters);
	tcase_add_loop_test(c, heads_and_groups_match_naive_loops, 0, 6);
	tcase_add_loop_test(c, gradients_of_both_orders_match_differences, 0, 2);
	tcase_add_test(c, dropout_acts_while_the_tape_trains);
	tcase_add_loop_test(c, a_cache_gives_the_results_of_the_whole_sequence, 0, 6);
	tcase_add_test(c, a_shorter_length_forgets_the_last_tokens);
	tcase_add_test(c, a_cache_refuses_what_it_cannot_hold);
	tcase_add_test(c, failed_allocations_leave_the_cache_as_it_was);
	tcase_add_test(c, wrong_inputs_name_the_layer);
	tcase_add_test(c, bad_arguments_are_errors_in_the_store);
	suite_add_tcase(s, c);
	tcase_add_unchecked_fixture(memory, debug_off, debug_as_before);
	tcase_add_loop_test(memory, only_the_result_stays_in_memory, 0, 2);
	suite_add_tcase(s, memory);
	return run_suite(s);
}
