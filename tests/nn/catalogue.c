/*
 * catalogue.c - the catalogue of networks: cards, names and shapes as torchvision's, heads, options,
 * and loading of weights.
 */
#include "tests/nn/networks.h"
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "tests/nn/expected_models.h"

enum {
	MODELS = sizeof EXPECTED_MODELS / sizeof *EXPECTED_MODELS,
	SMALL = SANITIZED ? 6000000 : 30000000
};

/* ---- Names and shapes ------------------------------------------------------------------------ */

static void check_expected(const expected_model *m)
{
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, m->name);

	ck_assert_msg(net.card && !ebb_params_error(p), "%s", m->name);
	ck_assert_int_eq(net.card->parameters, m->elements);
	check_names(m, p);
	ebb_params_free(p);
}

START_TEST(small_networks_have_torchvisions_names_and_shapes)
{
	for (int i = 0; i < MODELS; i++)
		if (EXPECTED_MODELS[i].elements < SMALL)
			check_expected(&EXPECTED_MODELS[i]);
}
END_TEST

START_TEST(large_networks_have_torchvisions_names_and_shapes)
{
	for (int i = 0; i < MODELS; i++)
		if (EXPECTED_MODELS[i].elements >= SMALL)
			check_expected(&EXPECTED_MODELS[i]);
}
END_TEST

/* ---- Cards ----------------------------------------------------------------------------------- */

START_TEST(cards_are_complete_and_in_order_of_years)
{
	int n = ebb_model_cards(), year = 0;

	ck_assert_int_gt(n, 40);
	ck_assert_ptr_null(ebb_model_card_at(n));
	ck_assert_ptr_null(ebb_model_card_at(-1));
	ck_assert_ptr_null(ebb_model_card_named("no such network"));
	ck_assert_ptr_null(ebb_model_card_named(NULL));
	for (int i = 0; i < n; i++) {
		const ebb_model_card *c = ebb_model_card_at(i);

		ck_assert_ptr_eq(ebb_model_card_named(c->name), c);
		ck_assert_msg(c->year >= year, "%s of %d follows %d", c->name, c->year, year);
		year = c->year;
		ck_assert(c->title && c->paper && c->parameters > 0 && c->classes > 0);
		ck_assert(c->head && (c->channels == 1 || c->channels == 3) && c->side > 0);
		for (int k = 0; k < c->weights_count; k++) {
			const ebb_model_weights *w = &c->weights[k];

			ck_assert_msg(strstr(w->file, w->sha256) || w->source, "%s: %s", c->name,
				w->file);
			ck_assert_int_eq(strlen(w->sha256), 8);
			ck_assert_int_eq(strspn(w->sha256, "0123456789abcdef"), 8);
			ck_assert(w->preprocess.crop <= w->preprocess.resize);
		}
	}
}
END_TEST

START_TEST(wrong_names_and_options_are_errors)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, "resnet19");
	ebb_tensor *logits = ebb_ones(t, EBB_SHAPE(1));

	ck_assert_ptr_null(net.card);
	ck_assert_str_eq(strstr(ebb_params_error(p)->message, "model_new"),
		"model_new: no model is called \"resnet19\"; similar names: resnet18, resnet34, "
		"resnet50");
	assert_refused(t, EBB_INVALID, ebb_model_forward(t, &net, ebb_ones(t, EBB_SHAPE(1))),
		"catalogue.c:", "the model is NULL");
	assert_refused(t, EBB_INVALID, ebb_model_forward(t, NULL, ebb_ones(t, EBB_SHAPE(1))),
		"the model is NULL");
	ebb_params_clear_error(p);
	net = ebb_model_new(p, NULL);
	ck_assert_ptr_null(net.card);
	ebb_params_clear_error(p);
	net = ebb_model_new(p, "cifar_resnet20", .classes = -1);
	ck_assert_ptr_null(net.card);
	ck_assert_ptr_nonnull(ebb_params_error(p));
	ck_assert_ptr_null(ebb_model_new(NULL, "cifar_resnet20").card);
	ebb_params_free(p);

	p = ebb_params_new(1);
	net = ebb_model_new(p, "cifar_resnet20", .no_head = true);
	ck_assert_int_eq(net.classes, 0);
	assert_refused(t, EBB_INVALID,
		ebb_model_loss(t, &net, ebb_ones(t, EBB_SHAPE(1, 3, 8, 8)),
			ebb_from_i64(t, EBB_SHAPE(1), (int64_t[]){1}), .logits = &logits),
		"made with .no_head");
	ck_assert_ptr_null(logits);
	/* Without published weights the input has the size of the card. */
	net = ebb_model_new(ebb_params_sub(p, "lenet"), "lenet5");
	ck_assert_int_eq(net.preprocess.channels, 1);
	ck_assert_int_eq(net.preprocess.crop, 28);
	net = ebb_model_new(ebb_params_sub(p, "bare"), "cifar_resnet20", .no_head = true);
	ck_assert_int_eq(
		ebb_size(ebb_model_forward(t, &net, ebb_ones(t, EBB_SHAPE(2, 3, 8, 8))), 1), 64);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Heads ----------------------------------------------------------------------------------- */

/* The network with 7 classes and without a head; 7-class weights load into 7 classes only, and with
 * .new_head into any number. */
static void check_head(const ebb_model_card *card, const char *path)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(2), *r = ebb_params_new(3);
	ebb_model seven = ebb_model_new(p, card->name, .classes = 7);
	ebb_model three = ebb_model_new(q, card->name, .classes = 3);
	ebb_model bare = ebb_model_new(r, card->name, .no_head = true);
	int64_t heads, trained = 0;
	ebb_tensor *kept;
	ebb_error e = {0};
	double before;

	ck_assert_msg(seven.card && three.card && bare.card, "%s", card->name);
	ck_assert_int_eq(seven.classes, 7);
	heads = ebb_model_freeze_body(&three);
	ck_assert_msg(heads > 0, "%s: no parameter matches %s", card->name, card->head);
	for (int64_t i = 0; i < ebb_params_count(q); i++) {
		bool in_head = ebb_model_in_head(&three, i);

		ck_assert_int_eq(in_head, ebb_requires_grad(ebb_params_at(q, i)));
		trained += in_head;
		/* Only the head depends on the number of classes. */
		ck_assert_msg(in_head != (ebb_count(ebb_params_at(q, i)) ==
						 ebb_count(ebb_params_at(p, i))),
			"%s: %s", card->name, ebb_params_name_at(q, i));
		/* Without a head there are no intermediate classifiers either. */
		if (in_head || !card->aux)
			ck_assert_msg(in_head == !ebb_params_find(r, ebb_params_name_at(q, i)),
				"%s: %s", card->name, ebb_params_name_at(q, i));
	}
	ck_assert_int_eq(trained, heads);

	ck_assert_msg(ebb_model_save(&seven, path), "%s", ebb_params_error(p)->message);
	ck_assert(!ebb_model_load(&three, path, .error = &e));
	ck_assert_msg(strstr(e.message, ".new_head = true"), "%s", e.message);
	kept = ebb_params_at(q, ebb_params_count(q) - 1);
	before = ebb_at(kept, 0);
	e = (ebb_error){0};
	ck_assert_msg(ebb_model_load(&three, path, .new_head = true, .error = &e), "%s", e.message);
	ck_assert_double_eq(ebb_at(kept, 0), before);
	ck_assert_double_eq(ebb_at(ebb_params_at(q, 0), 0), ebb_at(ebb_params_at(p, 0), 0));
	ck_assert_msg(ebb_model_load(&bare, path, .error = &e), "%s: %s", card->name, e.message);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(r);
}

static void check_heads(bool large)
{
	const char *path = temp_path("weights.safetensors");

	for (int i = 0; i < ebb_model_cards(); i++) {
		const ebb_model_card *c = ebb_model_card_at(i);

		/* One network of a family is enough for the large ones. */
		if (large ? c->parameters >= SMALL && c->parameters < 3 * SMALL
			  : c->parameters < SMALL)
			check_head(c, path);
	}
}

START_TEST(heads_of_small_networks_are_replaced)
{
	check_heads(false);
}
END_TEST

START_TEST(heads_of_large_networks_are_replaced)
{
	check_heads(true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalogue");
	TCase *small = tcase_create("small"), *large = tcase_create("large");

	tcase_set_timeout(small, 120);
	tcase_set_timeout(large, 300);
	tcase_add_checked_fixture(small, make_temp_dir, remove_temp_dir);
	tcase_add_checked_fixture(large, make_temp_dir, remove_temp_dir);
	tcase_add_test(small, small_networks_have_torchvisions_names_and_shapes);
	tcase_add_test(small, cards_are_complete_and_in_order_of_years);
	tcase_add_test(small, wrong_names_and_options_are_errors);
	tcase_add_test(small, heads_of_small_networks_are_replaced);
	tcase_add_test(large, large_networks_have_torchvisions_names_and_shapes);
	tcase_add_test(large, heads_of_large_networks_are_replaced);
	suite_add_tcase(s, small);
	suite_add_tcase(s, large);
	return run_suite(s);
}
