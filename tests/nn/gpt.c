/* gpt.c - the language model: parameters, causality, generation with a cache, errors.  Results and
 * gradients are compared with PyTorch's in golden_layers.c. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { VOCABULARY = 13, CONTEXT = 10, LAYERS = 3, HEADS = 4, WIDTH = 16, BATCH = 2 };

static ebb_gpt model(ebb_params *p, int64_t kv_heads)
{
	return ebb_gpt_new(p, VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH, .kv_heads = kv_heads);
}

/* Tokens [BATCH,CONTEXT] that look random; a row is also a sequence of its own. */
static void fill_tokens(int64_t *token, int n)
{
	for (int i = 0; i < n; i++)
		token[i] = (i * i * 7 + i / 3) % VOCABULARY;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static double deviation(const ebb_tensor *x)
{
	double sum = 0;

	for (int64_t i = 0; i < ebb_count(x); i++)
		sum += ebb_at(x, i) * ebb_at(x, i);
	return sqrt(sum / (double)ebb_count(x));
}

START_TEST(parameters_are_in_order_and_small)
{
	ebb_params *p = ebb_params_new(1);
	ebb_gpt net = ebb_gpt_new(p, 96, 128, 2, 4, 128);

	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_str_eq(ebb_params_name_at(p, 0), "tok.weight");
	ck_assert_str_eq(ebb_params_name_at(p, 1), "pos.weight");
	ck_assert_str_eq(ebb_params_name_at(p, 2), "layers.0.self_attn.in_proj_weight");
	ck_assert_str_eq(ebb_params_name_at(p, 25), "layers.1.norm2.bias");
	ck_assert_str_eq(ebb_params_name_at(p, 29), "head.bias");
	ck_assert_int_eq(ebb_params_count(p), 30);
	ck_assert_int_eq(ebb_params_elements(p), 437856);
	ck_assert_double_eq_tol(deviation(net.tok.weight), 0.02, 0.001);
	ck_assert_double_eq_tol(deviation(net.layers[1].linear1.weight), 0.02, 0.001);
	ck_assert_double_eq_tol(deviation(net.layers[0].linear2.weight), 0.01, 0.0005);
	ck_assert_double_eq_tol(deviation(net.layers[0].self_attn.out_proj.weight), 0.01, 0.0005);
	ck_assert(deviation(net.layers[0].linear1.bias) == 0 && deviation(net.head.bias) == 0);
	ebb_params_free(p);
}
END_TEST

/* ---- Results --------------------------------------------------------------------------------- */

START_TEST(logits_depend_on_earlier_tokens_only)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_gpt net = model(p, 0);
	int64_t token[CONTEXT];
	ebb_tensor *before, *after, *x;

	fill_tokens(token, CONTEXT);
	before = ebb_gpt_forward(t, &net, ebb_from_i64(t, EBB_SHAPE(CONTEXT), token));
	for (int k = 0; k < CONTEXT; k++) {
		token[k] = (token[k] + 1) % VOCABULARY;
		x = ebb_from_i64(t, EBB_SHAPE(CONTEXT), token);
		after = ebb_gpt_forward(t, &net, x);
		assert_healthy(t);
		ck_assert(all_close(
			ebb_slice(t, after, 0, 0, k, 1), ebb_slice(t, before, 0, 0, k, 1), 1e-6));
		for (int i = k; i < CONTEXT; i++)
			ck_assert(!all_close(ebb_slice(t, after, 0, i, i + 1, 1),
				ebb_slice(t, before, 0, i, i + 1, 1), 1e-6));
		token[k] = (token[k] + VOCABULARY - 1) % VOCABULARY;
	}
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* The first call takes a prompt of _i + 1 tokens, and the others one token each. */
START_TEST(generation_with_a_cache_has_the_logits_of_the_whole_sequence)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_gpt net = model(p, 1 << _i % 3);
	int64_t token[BATCH * CONTEXT];
	ebb_error e = {0};

	fill_tokens(token, BATCH * CONTEXT);
	ebb_set_recording(t, false);
	for (int batch = 1; batch <= BATCH; batch++) {
		ebb_shape shape = batch == 1 ? EBB_SHAPE(CONTEXT) : EBB_SHAPE(BATCH, CONTEXT);
		ebb_tensor *tokens = ebb_from_i64(t, shape, token), *part;
		ebb_tensor *whole = ebb_gpt_forward(t, &net, tokens), *y;
		ebb_gpt_cache *c = ebb_gpt_cache_new(&net, batch, &e);

		ck_assert_msg(c != NULL, "%s", e.message);
		for (int round = 0; round < 2; round++) {
			for (int at = 0, next = _i + 1; at < CONTEXT; at = next++) {
				part = ebb_slice(t, tokens, -1, at, next, 1);
				y = ebb_gpt_forward(t, &net, part, .cache = c);
				assert_healthy(t);
				part = ebb_slice(t, whole, -2, at, next, 1);
				ck_assert_msg(all_close(y, part, 1e-6), "at %d", at);
				ck_assert_int_eq(ebb_gpt_cache_length(c), next);
			}
			part = ebb_slice(t, tokens, -1, 0, 1, 1);
			assert_refused(t, EBB_BAD_STATE, ebb_gpt_forward(t, &net, part, .cache = c),
				"1 tokens after 10", "context is 10");
			ebb_gpt_cache_truncate(c, 0);
		}
		ebb_tape_reset(t);
		ebb_gpt_cache_free(c);
	}
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(training_lowers_the_loss_and_dropout_changes_it)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_gpt net = ebb_gpt_new(
		p, VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH, .kv_heads = 2, .dropout = 0.1);
	ebb_optim *opt = ebb_adamw(p, .lr = 1e-2);
	int64_t token[CONTEXT + 1];
	double first = NAN, last = NAN;

	fill_tokens(token, CONTEXT + 1);
	for (int step = 0; step < 60; step++) {
		ebb_tensor *x = ebb_from_i64(t, EBB_SHAPE(CONTEXT), token);
		ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(CONTEXT), token + 1);
		ebb_tensor *loss = ebb_cross_entropy(t, ebb_gpt_forward(t, &net, x), labels);

		last = ebb_item(loss);
		first = step ? first : last;
		if (!step)
			ck_assert(ebb_item(ebb_cross_entropy(
					  t, ebb_gpt_forward(t, &net, x), labels)) != first);
		ebb_params_zero_grad(p);
		ck_assert(ebb_backward(t, loss));
		ck_assert(ebb_optim_step(opt));
		ebb_tape_reset(t);
	}
	ck_assert_double_eq_tol(first, log(VOCABULARY), 0.2);
	ck_assert_msg(last < 0.5, "%g", last);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Memory and errors ----------------------------------------------------------------------- */

/* The peak in bytes of one evaluation with that many layers. */
static size_t peak_of(int layers)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_gpt net = ebb_gpt_new(p, VOCABULARY, CONTEXT, layers, HEADS, WIDTH);
	int64_t token[CONTEXT];
	size_t peak;

	fill_tokens(token, CONTEXT);
	ebb_set_recording(t, false);
	ck_assert_ptr_nonnull(ebb_gpt_forward(t, &net, ebb_from_i64(t, EBB_SHAPE(CONTEXT), token)));
	peak = ebb_memory_of(t).peak;
	ebb_tape_free(t);
	ebb_params_free(p);
	return peak;
}

START_TEST(peak_memory_without_recording_does_not_grow_with_depth)
{
	ck_assert_uint_eq(peak_of(2), peak_of(9));
}
END_TEST

START_TEST(failed_allocations_are_reported)
{
	counting_allocator a = {0};
	bool done = false;
	int64_t token[3] = {1, 2, 3};

	counting_allocator_install(&a);
	for (int64_t fail_at = 0; !done; fail_at++) {
		ebb_params *p = ebb_params_new(1);
		ebb_gpt net = ebb_gpt_new(p, 5, 4, 2, 1, 2);
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x = ebb_from_i64(t, EBB_SHAPE(3), token), *y;
		ebb_gpt_cache *c;
		ebb_error e = {0};

		ebb_set_recording(t, false);
		a.fail_at = a.calls + fail_at;
		a.refused = 0;
		c = ebb_gpt_cache_new(&net, 1, &e);
		y = c ? ebb_gpt_forward(t, &net, x, .cache = c) : NULL;
		a.fail_at = -1;
		done = a.refused == 0;
		ck_assert(c || e.status == EBB_NO_MEMORY);
		ck_assert(!c || y || ebb_error_status(t) == EBB_NO_MEMORY);
		ck_assert_int_eq(ebb_gpt_cache_length(c), y ? 3 : 0);
		for (int i = 0; c && i < 2; i++)
			ck_assert_int_eq(c->layers[i]->length, y ? 3 : 0);
		ebb_tape_free(t);
		ebb_gpt_cache_free(c);
		ebb_params_free(p);
		ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d", (int)fail_at);
	}
	counting_allocator_remove();
}
END_TEST

START_TEST(bad_arguments_are_errors)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_gpt net = model(p, 0), deep = ebb_gpt_new(q, 5, 5, 1, 1, 2), none = {0};
	int64_t token[CONTEXT + 1] = {0}, bad[1] = {VOCABULARY};
	ebb_tensor *x = ebb_from_i64(t, EBB_SHAPE(1, 3), token);
	ebb_gpt_cache *c = ebb_gpt_cache_new(&deep, 1, NULL);
	ebb_error e = {0};

	assert_refused(t, EBB_INVALID, ebb_gpt_forward(t, NULL, x), "gpt.c:", "the model is NULL");
	assert_refused(t, EBB_INVALID, ebb_gpt_forward(t, &none, x), "empty");
	assert_refused(t, EBB_INVALID, ebb_gpt_forward(t, &net, NULL), "tokens [..,L], got NULL");
	assert_refused(
		t, EBB_BAD_DTYPE, ebb_gpt_forward(t, &net, ebb_zeros(t, EBB_SHAPE(1, 3))), "F32");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_gpt_forward(t, &net, ebb_from_i64(t, EBB_SHAPE(CONTEXT + 1), token)),
		"11 tokens after 0", "context is 10");
	ck_assert(!ebb_gpt_forward(t, &net, ebb_from_i64(t, EBB_SHAPE(1), bad)) && ebb_failed(t));
	ebb_clear_error(t);
	assert_refused(t, EBB_INVALID, ebb_gpt_forward(t, &net, x, .cache = c), "1 layers", "3");
	ck_assert_ptr_null(ebb_gpt_cache_new(&net, 0, &e));
	ck_assert_ptr_nonnull(strstr(e.message, "batch 0"));
	ck_assert_ptr_null(ebb_gpt_cache_new(NULL, 1, NULL));
	ck_assert_ptr_null(ebb_gpt_cache_new(&none, 1, NULL));
	ebb_gpt_cache_free(NULL);
	ebb_gpt_cache_truncate(NULL, 0);
	for (int i = 0; i < 5; i++) {
		ebb_params *r = ebb_params_new(1);

		ebb_gpt_new(r, i ? 5 : -5, i == 1 ? -1 : 5, i == 2 ? -1 : 1, i == 3 ? -2 : 1,
			i == 4 ? -1 : 4);
		ck_assert_ptr_nonnull(ebb_params_error(r));
		ck_assert_ptr_nonnull(strstr(ebb_params_error(r)->message, "gpt_new: vocabulary"));
		ebb_params_free(r);
	}
	ebb_gpt_new(q, 5, 5, 1, 3, 4);
	ck_assert_ptr_nonnull(ebb_params_error(q));
	ebb_tape_free(t);
	ebb_gpt_cache_free(c);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-gpt");
	TCase *c = tcase_create("model"), *memory = tcase_create("memory");

	tcase_add_test(c, parameters_are_in_order_and_small);
	tcase_add_test(c, logits_depend_on_earlier_tokens_only);
	tcase_add_loop_test(
		c, generation_with_a_cache_has_the_logits_of_the_whole_sequence, 0, CONTEXT);
	tcase_add_test(c, training_lowers_the_loss_and_dropout_changes_it);
	tcase_add_test(c, failed_allocations_are_reported);
	tcase_add_test(c, bad_arguments_are_errors);
	suite_add_tcase(s, c);
	tcase_add_unchecked_fixture(memory, debug_off, debug_as_before);
	tcase_add_test(memory, peak_memory_without_recording_does_not_grow_with_depth);
	suite_add_tcase(s, memory);
	return run_suite(s);
}
