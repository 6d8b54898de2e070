/* unchanged.c - weights are bit-identical with and without an instrument, and training goes on where
 * the instrument gets no memory. */
#include "tests/flow/scenes.h"
#include "tests/support/sanitized.h"

#include "nn/recurrent.h"
#include "tensor/deferred.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Networks ---- */

enum { IMAGES = 4, SIDE = 8, CHANNELS = 3, TIMES = 5, FEATURES = 16, WIDE = 1024, ROWS = 8 };

typedef struct nets {
	ebb_params *p;
	ebb_sequential *conv;
	ebb_conv stem;
	ebb_bn bn;
	ebb_gru_cell cell;
	ebb_linear query, key, value, wide, last;
	ebb_tensor *images, *sequence, *rows;
	ebb_optim *opt;
	ebb_tape *t;
} nets;

static void nets_new(nets *n)
{
	*n = (nets){.p = ebb_params_new(9), .t = ebb_tape_new()};
	n->conv = ebb_sequential_new(n->p, "features");
	ebb_sequential_conv(n->conv, CHANNELS, 6, 3, .pad = 1);
	ebb_sequential_bn(n->conv, 6);
	ebb_sequential_fn(n->conv, ebb_relu);
	ebb_sequential_dropout(n->conv, 0.3);
	ebb_sequential_conv(n->conv, 6, 8, 3, .pad = 1);
	ebb_sequential_fn(n->conv, ebb_relu);
	ebb_sequential_maxpool2d(n->conv, .kernel = 2);
	ebb_sequential_fn(n->conv, ebb_flatten);
	ebb_sequential_linear(n->conv, 8 * SIDE * SIDE / 4, 10);
	n->stem = ebb_conv_new(n->p, "stem", CHANNELS, CHANNELS, 3, .pad = 1);
	n->bn = ebb_bn_new(n->p, "bn", CHANNELS);
	n->cell = ebb_gru_cell_new(n->p, "gru", FEATURES, FEATURES);
	n->query = ebb_linear_new(n->p, "query", FEATURES, FEATURES);
	n->key = ebb_linear_new(n->p, "key", FEATURES, FEATURES);
	n->value = ebb_linear_new(n->p, "value", FEATURES, FEATURES);
	n->wide = ebb_linear_new(n->p, "wide", WIDE, WIDE);
	n->last = ebb_linear_new(n->p, "last", FEATURES, 10);
	n->images = persistent_random(EBB_F32, EBB_SHAPE(IMAGES, CHANNELS, SIDE, SIDE), 1);
	n->sequence = persistent_random(EBB_F32, EBB_SHAPE(TIMES, IMAGES, FEATURES), 2);
	n->rows = persistent_random(EBB_F32, EBB_SHAPE(ROWS, WIDE), 3);
	n->opt = ebb_adam(n->p, .lr = 1e-3);
	ck_assert(n->opt && !ebb_params_error(n->p));
}

static void nets_free(nets *n)
{
	ebb_tape_free(n->t);
	ebb_optim_free(n->opt);
	ebb_params_free(n->p);
	ebb_tensor_free(n->images);
	ebb_tensor_free(n->sequence);
	ebb_tensor_free(n->rows);
}

static ebb_tensor *convolutional(nets *n)
{
	ebb_tape *t = n->t;
	ebb_tensor *x = ebb_conv_forward(t, &n->stem, n->images);

	x = ebb_bn_relu_forward(t, &n->bn, x, n->images);
	x = ebb_sequential_forward(t, n->conv, x);
	return ebb_mean(t, ebb_square(t, x));
}

static ebb_tensor *recurrent(nets *n)
{
	ebb_tape *t = n->t;
	ebb_tensor *h = NULL, *q, *k, *v, *x = n->sequence;

	for (int i = 0; i < TIMES; i++)
		h = ebb_gru_cell_forward(t, &n->cell,
			ebb_squeeze(t, ebb_slice(t, n->sequence, 0, i, i + 1, 1), 0), h);
	q = ebb_linear_forward(t, &n->query, ebb_add(t, x, h));
	k = ebb_linear_forward(t, &n->key, x);
	v = ebb_linear_forward(t, &n->value, x);
	x = ebb_attention(t, q, k, v, .causal = true);
	x = ebb_dropout(t, ebb_gelu(t, ebb_linear_forward(t, &n->last, x)), 0.2);
	return ebb_mean(t, ebb_square(t, x));
}

static ebb_tensor *wide(nets *n)
{
	ebb_tensor *x = ebb_softmax(n->t, ebb_linear_forward(n->t, &n->wide, n->rows), -1);

	return ebb_mean(n->t, ebb_square(n->t, x));
}

static void nets_step(nets *n, bool large)
{
	ebb_tape *t = n->t;
	ebb_tensor *loss;
	ebb_outer_product f;

	ebb_params_zero_grad(n->p);
	loss = ebb_add(t, convolutional(n), recurrent(n));
	if (large)
		loss = ebb_add(t, loss, ebb_mul_scalar(t, wide(n), 100));
	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	ck_assert(!large || (ebb_grad_or_outer_product(n->wide.weight, &f) && f.gy));
	ck_assert(ebb_optim_step(n->opt));
	(ebb_tape_reset)(t);
}

/* ---- Bits ---- */

enum { STEPS = 5 };

static uint64_t run(const ebb_flow_args *options, uint64_t *gradients)
{
	nets n;
	ebb_flow *f = NULL;
	uint64_t hash;

	nets_new(&n);
	if (options) {
		ebb_flow_args a = *options;

		a.t = n.t;
		f = (ebb_flow_new)(&a);
		ck_assert(f);
	}
	for (int k = 0; k < STEPS; k++)
		nets_step(&n, true);
	if (f) {
		ck_assert(ebb_flow_text(f));
		ck_assert(!ebb_flow_failed(f));
		ck_assert_int_eq(ebb_flow_steps(f), STEPS);
		ck_assert_int_ge(ebb_flow_ops(f), options->layers ? 5 : 15);
	}
	ebb_flow_free(f);
	*gradients = grads_hash(n.p);
	hash = params_hash(n.p);
	nets_free(&n);
	return hash;
}

START_TEST(weights_are_bit_identical)
{
	static const ebb_flow_args options[] = {{.every = 1}, {.every = 2},
		{.histograms = true, .rank = true}, {.elements = -1}, {.elements = 16},
		{.layers = "features.**"}, {.every = 3, .evaluation = true, .histograms = true}};
	uint64_t plain, g, watched, h;

	ebb_defer_products = true;
	plain = run(NULL, &g);
	watched = run(&options[_i], &h);
	ck_assert(watched == plain && g == h);
}
END_TEST

/* ---- Memory ---- */

/* Trains three steps with an instrument, so that the tape has all its memory, then three with
 * another one, whose allocation number fail_at is refused, and with after all later ones. */
static uint64_t starve(
	counting_allocator *a, int64_t fail_at, bool after, bool rank, int64_t *refused)
{
	nets n;
	ebb_flow *f;
	ebb_error e = {0};
	uint64_t hash;
	int64_t live;

	nets_new(&n);
	f = ebb_flow_new(n.t, .histograms = true, .rank = true);
	for (int k = 0; k < 3; k++)
		nets_step(&n, false);
	ebb_flow_free(f);
	live = a->live;
	a->calls = a->refused = 0;
	a->fail_at = fail_at;
	a->fail_after = after;
	f = ebb_flow_new(n.t, .histograms = true, .rank = rank, .layers = "**", .error = &e);
	for (int k = 0; k < 3; k++)
		nets_step(&n, false);
	*refused = a->refused;
	a->fail_at = -1;
	if (!f)
		ck_assert(a->refused && e.status == EBB_NO_MEMORY);
	if (f && *refused == 0)
		ck_assert(!ebb_flow_failed(f) && ebb_flow_samples(f) == 3);
	/* A rank without memory is NaN. */
	if (f && *refused && !rank)
		ck_assert_msg(
			ebb_flow_failed(f), "allocation %d was refused unnoticed", (int)fail_at);
	/* A failed instrument can be read. */
	if (f)
		(void)ebb_flow_text(f);
	ck_assert(!ebb_failed(n.t));
	ebb_flow_free(f);
	ck_assert_int_ge(live, 0);
	hash = params_hash(n.p);
	nets_free(&n);
	ck_assert_int_eq(a->live, 0);
	ck_assert_int_eq(a->wrong, 0);
	return hash;
}

START_TEST(training_goes_on_without_memory)
{
	counting_allocator a;
	uint64_t plain;
	int64_t refused = 0;
	int step = SANITIZED ? 11 : _i & 2 ? 3 : 1;

	counting_allocator_install(&a);
	plain = starve(&a, -1, false, false, &refused);
	ck_assert_int_eq(refused, 0);
	for (int64_t n = 0;; n += step) {
		ck_assert_msg(
			starve(&a, n, _i & 1, _i & 2, &refused) == plain, "allocation %d", (int)n);
		if (!refused) {
			ck_assert_int_ge(n, 60);
			break;
		}
	}
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-unchanged");
	TCase *c = tcase_create("bits");

	tcase_add_loop_test(c, weights_are_bit_identical, 0, 7);
	tcase_set_timeout(c, 60);
	suite_add_tcase(suite, c);
	c = tcase_create("memory");
	tcase_add_checked_fixture(c, debug_off, debug_as_before);
	tcase_add_loop_test(c, training_goes_on_without_memory, 0, 4);
	tcase_set_timeout(c, 100);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
