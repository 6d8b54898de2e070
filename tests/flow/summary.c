/*
 * summary.c - summaries: rows, shared weights, totals equal to those of a profile, for every network
 * of the catalogue and for users' models.
 */
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 2000, SMALL = SANITIZED ? 6000000 : 30000000 };

static ebb_summary_row rows[MOST];

/* A tape with a summary and a profile of the same run. */
typedef struct watched {
	ebb_tape *t;
	ebb_params *p;
	ebb_summary *s;
	ebb_profile *profile;
} watched;

static watched watch(bool with_store)
{
	watched w = {.t = ebb_tape_new(), .p = ebb_params_new(1)};

	w.s = ebb_summary_new(w.t, .params = with_store ? w.p : NULL);
	w.profile = ebb_profile_new(w.t);
	ck_assert(w.s && w.profile);
	return w;
}

static void unwatch(watched *w)
{
	ebb_summary_free(w->s);
	ebb_profile_free(w->profile);
	ebb_tape_free(w->t);
	ebb_params_free(w->p);
}

/* The totals are the sums of the profile's forward costs, of the rows that are no containers, and
 * the store's elements. */
static ebb_summary_totals check_totals(watched *w, const char *what)
{
	ebb_profile_row *by_op = calloc(MOST, sizeof *by_op);
	ebb_summary_totals total = ebb_summary_total(w->s);
	int64_t n = ebb_profile_rows(w->profile, EBB_BY_OP, MOST, by_op), calls = 0, elements = 0;
	double sums[4] = {0}, of_rows[4] = {0};

	assert_healthy(w->t);
	ck_assert_int_le(n, MOST);
	for (int64_t i = 0; i < n; i++) {
		const ebb_profile_cost *c = &by_op[i].forward;

		calls += c->calls;
		sums[0] += c->flops;
		sums[1] += c->multiply_adds;
		sums[2] += c->bytes;
		sums[3] += c->result_bytes;
	}
	free(by_op);
	ck_assert_msg(total.calls == calls && calls > 0, "%s: %lld calls", what, (long long)calls);
	ck_assert_msg(total.flops == sums[0] && total.multiply_adds == sums[1] &&
			      total.bytes == sums[2] && total.result_bytes == sums[3],
		"%s: other costs than the profile's", what);
	n = ebb_summary_rows(w->s, MOST, rows);
	ck_assert_int_le(n, MOST);
	for (int64_t i = 0; i < n; i++) {
		if (rows[i].container)
			continue;
		elements += rows[i].parameters;
		of_rows[0] += rows[i].flops;
		of_rows[1] += rows[i].multiply_adds;
		of_rows[2] += rows[i].bytes;
		of_rows[3] += rows[i].result_bytes;
	}
	for (int k = 0; k < 4; k++)
		ck_assert_msg(of_rows[k] == sums[k], "%s: rows and totals differ", what);
	ck_assert_msg(elements == total.parameters, "%s: %lld parameters in rows, %lld in all",
		what, (long long)elements, (long long)total.parameters);
	ck_assert_int_eq(total.trainable + total.frozen, total.parameters);
	ck_assert_ptr_nonnull(ebb_summary_text(w->s));
	return total;
}

static const ebb_summary_row *row_named(ebb_summary *s, const char *name)
{
	int64_t n = ebb_summary_rows(s, MOST, rows);

	for (int64_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	ck_abort_msg("no row is called %s", name);
	return NULL;
}

/* ---- The catalogue --------------------------------------------------------------------------- */

static int64_t side_of(const ebb_model_card *c)
{
	static const char *const fixed[] = {"vit_b_16", "alexnet", "alexnet_original", "zfnet",
		"nin", "overfeat_fast", "overfeat_accurate"};

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (strcmp(fixed[i], c->name) == 0)
			return c->side;
	return strcmp(c->name, "inception_v3") == 0 ? 75 : c->side < 64 ? c->side : 64;
}

/* Inference, and a training pass with its gradient, of which only the forward pass counts. */
static void check_card(const ebb_model_card *c)
{
	for (int training = 0; training < 2; training++) {
		watched w = watch(true);
		ebb_model net = ebb_model_new(w.p, c->name);
		int64_t side = side_of(c);
		ebb_summary_totals total;
		ebb_tensor *x, *y;

		if (training && (c->parameters > SMALL || strcmp(c->name, "inception_v3") == 0)) {
			unwatch(&w);
			continue;
		}
		ebb_set_training(w.t, training);
		ebb_set_recording(w.t, training);
		x = ebb_ones(w.t, EBB_SHAPE(2, c->channels, side, side));
		y = training ? ebb_model_loss(w.t, &net, x,
				       ebb_from_i64(w.t, EBB_SHAPE(2), (int64_t[]){0, 1}))
		             : ebb_model_forward(w.t, &net, x);
		ck_assert_msg(y != NULL, "%s: %s", c->name, ebb_error_message(w.t));
		if (training)
			ebb_backward(w.t, y);
		total = check_totals(&w, c->name);
		ck_assert_int_eq(total.parameters, ebb_params_elements(w.p));
		ck_assert_int_eq(total.parameters, c->parameters);
		/* In evaluation mode intermediate classifiers do not run. */
		ck_assert_msg((total.unused > 0) == (!training && c->aux),
			"%s: %lld parameters are not used", c->name, (long long)total.unused);
		ck_assert_int_eq(total.parameter_bytes, 4 * total.parameters);
		unwatch(&w);
	}
}

START_TEST(totals_of_small_networks_are_the_profiles)
{
	for (int i = 0; i < ebb_model_cards(); i++)
		if (ebb_model_card_at(i)->parameters < SMALL)
			check_card(ebb_model_card_at(i));
}
END_TEST

START_TEST(totals_of_large_networks_are_the_profiles)
{
	for (int i = 0; i < ebb_model_cards(); i++)
		if (ebb_model_card_at(i)->parameters >= SMALL)
			check_card(ebb_model_card_at(i));
}
END_TEST

/* ---- Users' models --------------------------------------------------------------------------- */

START_TEST(lenet_has_a_row_for_each_layer_and_op)
{
	static const struct {
		const char *name;
		int64_t parameters;
		double multiply_adds;
	} expected[] = {{"conv1", 156, 6.0 * 25 * 28 * 28}, {"relu", 0, 0}, {"maxpool2d", 0, 0},
		{"conv2", 2416, 16.0 * 6 * 25 * 10 * 10}, {"maxpool2d", 0, 0}, {"relu", 0, 0},
		{"dense", 0, 0}, {"reshape", 0, 0}, {"fc1", 48120, 400 * 120}, {"relu", 0, 0},
		{"fc2", 10164, 120 * 84}, {"relu", 0, 0}, {"fc3", 850, 84 * 10}};
	enum { LAYERS = sizeof expected / sizeof *expected };
	watched w = watch(true);
	ebb_lenet net = ebb_lenet_new(w.p);
	int64_t n, k = 0;

	ebb_lenet_forward(w.t, &net, ebb_ones(w.t, EBB_SHAPE(1, 1, 28, 28)));
	ck_assert_int_eq(check_totals(&w, "lenet").multiply_adds, 416520);
	n = ebb_summary_rows(w.s, MOST, rows);
	/* The layers in their order; which ops run between them is not fixed. */
	for (int64_t i = 0; i < n; i++) {
		while (k < LAYERS && !expected[k].parameters)
			k++;
		if (!rows[i].parameters)
			continue;
		ck_assert_int_lt(k, LAYERS);
		ck_assert_str_eq(rows[i].name, expected[k].name);
		ck_assert_int_eq(rows[i].parameters, expected[k].parameters);
		ck_assert_double_eq(rows[i].multiply_adds, expected[k].multiply_adds);
		ck_assert_int_eq(rows[i].runs, 1);
		ck_assert_int_eq(rows[i].depth, 0);
		k++;
	}
	ck_assert_int_eq(k, LAYERS);
	/* A second run, after a reset, adds to the same rows. */
	ebb_tape_reset(w.t);
	ebb_lenet_forward(w.t, &net, ebb_ones(w.t, EBB_SHAPE(1, 1, 28, 28)));
	ck_assert_int_eq(check_totals(&w, "lenet, twice").multiply_adds, 2 * 416520);
	ck_assert_int_eq(ebb_summary_rows(w.s, MOST, rows), n);
	ck_assert_int_eq(row_named(w.s, "conv1")->runs, 2);
	ebb_summary_reset(w.s);
	ck_assert_int_eq(ebb_summary_rows(w.s, MOST, rows), 1);
	ck_assert_str_eq(rows[0].name, "not used");
	ck_assert_int_eq(rows[0].parameters, 61706);
	unwatch(&w);
}
END_TEST

START_TEST(resnet18_has_the_multiply_adds_of_its_paper)
{
	watched w = watch(true);
	ebb_resnet net = ebb_resnet_new(w.p, 18);
	const ebb_summary_row *block;

	ebb_set_training(w.t, false);
	ebb_set_recording(w.t, false);
	ebb_resnet_forward(w.t, &net, ebb_ones(w.t, EBB_SHAPE(1, 3, 224, 224)));
	ck_assert_double_eq(check_totals(&w, "resnet18").multiply_adds, 1814073344);
	block = row_named(w.s, "layer2.0");
	ck_assert(block->container);
	ck_assert_int_eq(block->parameters, 230144);
	ck_assert_str_eq(block->op, "");
	ck_assert_int_eq(row_named(w.s, "layer2.0.downsample.0")->depth, 1);
	ck_assert_str_eq(row_named(w.s, "layer2.0.conv2")->op, "conv2d");
	ck_assert(strstr(ebb_summary_text(w.s), "11,689,512 (46.8 MB)\n"));
	ck_assert(strstr(ebb_summary_text(w.s), "\n  downsample.0 "));
	unwatch(&w);
}
END_TEST

START_TEST(shared_weights_are_counted_once)
{
	watched w = watch(true);
	ebb_embedding_layer tok = ebb_embedding_new(w.p, "tok", 50, 8);
	ebb_linear twice = ebb_linear_new(w.p, "twice", 8, 8);
	ebb_linear unused = ebb_linear_new(w.p, "unused", 3, 4);
	ebb_tensor *x = ebb_embedding_forward(
		w.t, &tok, ebb_from_i64(w.t, EBB_SHAPE(1, 4), (int64_t[]){1, 2, 3, 4}));
	ebb_summary_totals total;

	for (int i = 0; i < 2; i++)
		x = ebb_tanh(w.t, ebb_linear_forward(w.t, &twice, x));
	/* The head has the weight of the embedding. */
	ebb_scope_begin(w.t, "head");
	x = ebb_scope_end(w.t, ebb_linear(w.t, x, tok.weight, NULL));
	ebb_params_freeze(w.p, "tok.*");
	total = check_totals(&w, "shared");
	ck_assert_int_eq(total.parameters, 50 * 8 + 8 * 8 + 8 + 3 * 4 + 4);
	ck_assert_int_eq(total.frozen, 50 * 8);
	ck_assert_int_eq(total.unused, ebb_count(unused.weight) + ebb_count(unused.bias));
	ck_assert_double_eq(total.multiply_adds, 2 * 4 * 8 * 8 + 4 * 8 * 50);
	ck_assert_int_eq(row_named(w.s, "twice")->runs, 2);
	ck_assert_int_eq(row_named(w.s, "twice")->parameters, 72);
	ck_assert_int_eq(row_named(w.s, "twice")->shared, 0);
	ck_assert_int_eq(row_named(w.s, "tok")->parameters, 400);
	ck_assert_int_eq(row_named(w.s, "head")->parameters, 0);
	ck_assert_int_eq(row_named(w.s, "head")->shared, 400);
	ck_assert_int_eq(row_named(w.s, "not used")->parameters, 16);
	ck_assert(strstr(ebb_summary_text(w.s), "shared"));
	ck_assert(strstr(ebb_summary_text(w.s), "of which 400 frozen, 16 not used"));
	ck_assert(strstr(ebb_summary_text(w.s), "linear x2"));
	unwatch(&w);
}
END_TEST

START_TEST(recurrent_and_fused_steps_are_counted)
{
	watched w = watch(true);
	ebb_gru_cell gru = ebb_gru_cell_new(w.p, "gru", 3, 4);
	ebb_sequential *net = ebb_sequential_new(w.p, "net");
	ebb_tensor *h = NULL;

	for (int i = 0; i < 5; i++)
		h = ebb_gru_cell_forward(w.t, &gru, ebb_ones(w.t, EBB_SHAPE(2, 3)), h);
	ebb_sequential_conv(net, 2, 4, 3, .pad = 1);
	ebb_sequential_bn(net, 4);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_conv(net, 4, 4, 3, .pad = 1);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_maxpool2d(net, .kernel = 2);
	ebb_sequential_forward(w.t, net, ebb_ones(w.t, EBB_SHAPE(2, 2, 8, 8)));
	check_totals(&w, "gru and container");
	ck_assert_int_eq(ebb_summary_total(w.s).unused, 0);
	ck_assert_int_eq(row_named(w.s, "gru")->parameters, 3 * 4 * (3 + 4) + 2 * 3 * 4);
	ck_assert_int_eq(row_named(w.s, "net.1")->parameters, 8);
	ck_assert_double_eq(row_named(w.s, "net.3")->multiply_adds, 2.0 * 64 * 4 * 4 * 9);
	unwatch(&w);
}
END_TEST

START_TEST(without_a_store_parameters_are_what_requires_a_gradient)
{
	watched w = watch(false);
	ebb_linear fc = ebb_linear_new(w.p, "fc", 6, 2);
	ebb_tensor *image = persistent_random(EBB_F32, EBB_SHAPE(3, 6), 1);

	ebb_linear_forward(w.t, &fc, image);
	ck_assert_int_eq(check_totals(&w, "no store").parameters, 14);
	ck_assert_int_eq(ebb_summary_total(w.s).unused, 0);
	unwatch(&w);
	ebb_tensor_free(image);
}
END_TEST

START_TEST(a_row_has_the_result_of_its_last_call)
{
	watched w = watch(true);
	ebb_linear wide = ebb_linear_new(w.p, "wide", 8, 64),
		   narrow = ebb_linear_new(w.p, "narrow", 64, 3);
	ebb_tensor *x = ebb_ones(w.t, EBB_SHAPE(2, 8));

	ebb_scope_begin(w.t, "layer");
	x = ebb_relu(w.t, ebb_linear(w.t, x, wide.weight, wide.bias));
	ebb_scope_end(w.t, ebb_linear(w.t, x, narrow.weight, narrow.bias));
	check_totals(&w, "layer");
	ck_assert_int_eq(row_named(w.s, "layer")->shape.dims[1], 3);
	unwatch(&w);
}
END_TEST

START_TEST(depth_folds_the_text_and_not_the_rows)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, 20);
	ebb_summary *s = ebb_summary_new(t, .params = p, .depth = 1);

	ebb_cifar_resnet_forward(t, &net, ebb_ones(t, EBB_SHAPE(2, 3, 8, 8)));
	ck_assert(strstr(ebb_summary_text(s), "\nlayer1.0 "));
	ck_assert(!strstr(ebb_summary_text(s), "\n  conv1"));
	ck_assert_str_eq(row_named(s, "layer1.0.conv1")->op, "conv2d");
	for (const char *line = ebb_summary_text(s); *line; line++) {
		size_t n = strcspn(line, "\n");

		ck_assert_uint_le(n, 100);
		ck_assert(n == 0 || line[n - 1] != ' ');
		line += n;
	}
	ebb_summary_free(s);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

START_TEST(errors_are_reported)
{
	ebb_tape *t = ebb_tape_new();
	ebb_summary *s[9];
	ebb_error e = {0};

	for (int i = 0; i < 8; i++)
		ck_assert_ptr_nonnull(s[i] = ebb_summary_new(t));
	ck_assert_ptr_null(ebb_summary_new(t, .error = &e));
	ck_assert(strstr(e.message, "largest number of observers"));
	for (int i = 0; i < 8; i++)
		ebb_summary_free(s[i]);
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_summary_new(NULL, .error = &e));
	ck_assert(strstr(e.message, "the tape is NULL"));
	ebb_summary_free(NULL);
	ebb_summary_reset(NULL);
	ck_assert_int_eq(ebb_summary_rows(NULL, MOST, rows), 0);
	ck_assert_int_eq(ebb_summary_total(NULL).calls, 0);
	ck_assert_ptr_null(ebb_summary_text(NULL));
	ebb_tape_free(t);
}
END_TEST

START_TEST(a_summary_without_memory_has_no_rows)
{
	counting_allocator a;

	counting_allocator_install(&a);
	for (int64_t k = 0, done = 0; !done; k++) {
		ebb_params *p = ebb_params_new(1);
		ebb_linear fc = ebb_linear_new(p, "fc", 3, 2);
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x = ebb_ones(t, EBB_SHAPE(1, 3));
		ebb_summary *s;
		const char *text;

		ebb_linear_forward(t, &fc, x);
		a.fail_at = a.calls + k;
		s = ebb_summary_new(t, .params = p);
		ebb_linear_forward(t, &fc, x);
		text = ebb_summary_text(s);
		done = a.calls < a.fail_at;
		a.fail_at = -1;
		if (text)
			ck_assert_int_eq(ebb_summary_total(s).parameters, 8);
		ebb_summary_free(s);
		ebb_tape_free(t);
		ebb_params_free(p);
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
	}
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("summary");
	TCase *c = tcase_create("small"), *large = tcase_create("large");

	tcase_set_timeout(c, 120);
	tcase_set_timeout(large, 300);
	tcase_add_test(c, totals_of_small_networks_are_the_profiles);
	tcase_add_test(c, lenet_has_a_row_for_each_layer_and_op);
	tcase_add_test(c, resnet18_has_the_multiply_adds_of_its_paper);
	tcase_add_test(c, shared_weights_are_counted_once);
	tcase_add_test(c, recurrent_and_fused_steps_are_counted);
	tcase_add_test(c, without_a_store_parameters_are_what_requires_a_gradient);
	tcase_add_test(c, a_row_has_the_result_of_its_last_call);
	tcase_add_test(c, depth_folds_the_text_and_not_the_rows);
	tcase_add_test(c, errors_are_reported);
	tcase_add_test(c, a_summary_without_memory_has_no_rows);
	tcase_add_test(large, totals_of_large_networks_are_the_profiles);
	suite_add_tcase(s, c);
	suite_add_tcase(s, large);
	return run_suite(s);
}
