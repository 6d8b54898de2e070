/* weights.c - parameters are saved and loaded by name; names and shapes that do not fit are
 * reported, and nothing is changed. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ebb_params *made(uint64_t seed, lenet *net)
{
	ebb_params *p = ebb_params_new(seed);

	*net = lenet_new(p);
	ck_assert_ptr_null(ebb_params_error(p));
	return p;
}

static const char *saved(uint64_t seed, const char *name)
{
	lenet net;
	ebb_params *p = made(seed, &net);
	const char *path = temp_path(name);

	ck_assert_msg(ebb_params_save(p, path), "%s", ebb_params_error(p)->message);
	ebb_params_free(p);
	return path;
}

static void expect_words(const ebb_error *e, const char *words)
{
	ck_assert_msg(strstr(e->message, words), "%s (expected: %s)", e->message, words);
}

/* ---- Saving and loading --------------------------------------------------------------------- */

START_TEST(a_saved_store_loads_bit_identical)
{
	ebb_params *a = ebb_params_new(1), *b = ebb_params_new(2);
	const char *path = temp_path("resnet.safetensors");
	ebb_load_report report = {0};
	uint64_t before;

	ebb_cifar_resnet_new(a, 20);
	ebb_cifar_resnet_new(b, 20);
	before = params_hash(b);
	ebb_copy_in(ebb_params_find(a, "bn1.running_mean"), (float[16]){[3] = 2.5f},
		16 * sizeof(float));
	ck_assert(ebb_params_save(a, path));
	ck_assert_msg(
		ebb_params_load(b, path, .report = &report), "%s", ebb_params_error(b)->message);
	ck_assert_uint_eq(params_hash(a), params_hash(b));
	ck_assert_uint_ne(params_hash(b), before);
	ck_assert_int_eq(report.loaded, ebb_params_count(b) + ebb_buffers_count(b));
	ck_assert_int_eq(report.missing_count + report.unexpected_count + report.misfit_count, 0);
	ebb_load_report_free(&report);
	ebb_params_free(a);
	ebb_params_free(b);
}
END_TEST

START_TEST(loaded_values_are_used_by_later_forward_passes)
{
	lenet net, other;
	ebb_params *p = made(1, &net), *q = made(2, &other);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 1, 28, 28), 3);
	ebb_tensor *before = ebb_detach_copy(lenet_forward(t, &net, x)), *after;
	const char *path = saved(2, "other.safetensors");

	ebb_tape_reset(t);
	ck_assert(ebb_params_load(p, path));
	after = ebb_detach_copy(lenet_forward(t, &net, x));
	ebb_tape_reset(t);
	ck_assert(!all_same(before, after));
	ck_assert(all_same(after, lenet_forward(t, &other, x)));
	ebb_tape_free(t);
	ebb_tensor_free(before);
	ebb_tensor_free(after);
	ebb_tensor_free(x);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(smaller_floats_save_space_and_load_rounded)
{
	lenet net;
	ebb_params *p = made(1, &net);
	const char *path = temp_path("half.safetensors");
	ebb_error e = {0};
	ebb_archive *a;
	ebb_tensor *old = ebb_detach_copy(net.fc1.weight);

	ck_assert(ebb_params_save(p, path, .dtype = EBB_FILE_BF16));
	a = ebb_archive_read(path, .error = &e);
	ck_assert_int_eq(ebb_archive_dtype_at(a, 0), EBB_FILE_BF16);
	ebb_archive_free(a);
	ck_assert(ebb_params_load(p, path));
	ck_assert(all_close(net.fc1.weight, old, 1.0 / 256));
	ck_assert(!all_same(net.fc1.weight, old));
	ebb_tensor_free(old);
	ebb_params_free(p);
}
END_TEST

START_TEST(double_stores_save_doubles_and_load_floats)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(2);
	lenet net, other;
	const char *path = temp_path("double.safetensors");

	ebb_params_set_dtype(p, EBB_F64);
	ebb_params_set_dtype(q, EBB_F64);
	net = lenet_new(p);
	other = lenet_new(q);
	ck_assert(ebb_params_save(p, path) && ebb_params_load(q, path));
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	ck_assert(ebb_params_load(q, saved(3, "single.safetensors")));
	ck_assert_double_eq(ebb_at(other.fc1.bias, 5), (float)ebb_at(other.fc1.bias, 5));
	ck_assert(!all_same(net.fc1.weight, other.fc1.weight));
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(a_view_saves_and_loads_below_its_prefix)
{
	ebb_params *p = ebb_params_new(1);
	lenet a = lenet_new(ebb_params_sub(p, "encoder")), b = lenet_new(ebb_params_sub(p, "copy"));
	const char *path = temp_path("view.safetensors");
	ebb_archive *archive;
	ebb_error e = {0};

	ck_assert(!all_same(a.fc1.weight, b.fc1.weight));
	ck_assert(ebb_params_save(ebb_params_sub(p, "encoder"), path));
	archive = ebb_archive_read(path, .error = &e);
	ck_assert_int_ge(ebb_archive_find(archive, "conv1.weight"), 0);
	ebb_archive_free(archive);
	ck_assert(ebb_params_load(ebb_params_sub(p, "copy"), path));
	ck_assert(all_same(a.fc1.weight, b.fc1.weight));
	ebb_params_free(p);
}
END_TEST

START_TEST(shards_and_open_archives_load_the_same_values)
{
	lenet net;
	ebb_params *p = made(1, &net), *q = made(2, &net);
	const char *path = temp_path("sharded.safetensors");
	ebb_error e = {0};
	ebb_archive *a;

	ck_assert_msg(
		ebb_params_save(p, path, .shard_bytes = 100000, .error = &e), "%s", e.message);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_msg(ebb_params_load(q, path, .error = &e), "%s", e.message);
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	ebb_params_free(q);
	q = made(3, &net);
	a = ebb_archive_read(temp_path("sharded.safetensors.index.json"), .error = &e);
	ck_assert_msg(a && ebb_params_load(q, .archive = a, .error = &e), "%s", e.message);
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	ebb_archive_free(a);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

/* ---- What does not fit ---------------------------------------------------------------------- */

/* LeNet's layers with another number of classes, and one layer more. */
static void other_lenet(ebb_params *p, int64_t classes)
{
	ebb_conv_new(p, "conv1", 1, 6, 5, .pad = 2);
	ebb_conv_new(p, "conv2", 6, 16, 5);
	ebb_linear_new(p, "fc1", 16 * 5 * 5, 120);
	ebb_linear_new(p, "fc3", 84, classes);
	ebb_linear_new(p, "extra", 3, 4);
}

START_TEST(names_that_do_not_fit_are_all_reported_and_change_nothing)
{
	const char *path = saved(1, "lenet.safetensors");
	ebb_params *p = ebb_params_new(5);
	ebb_load_report r = {0};
	ebb_error e = {0};
	uint64_t before;

	other_lenet(p, 7);
	before = params_hash(p);
	ck_assert(!ebb_params_load(p, path, .report = &r, .error = &e));
	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_uint_eq(params_hash(p), before);
	ck_assert_int_eq(r.loaded, 0);
	ck_assert_int_eq(r.missing_count, 2);
	ck_assert_str_eq(r.missing[0], "extra.bias");
	ck_assert_int_eq(r.unexpected_count, 2);
	ck_assert_int_eq(r.misfit_count, 2);
	ck_assert(!strcmp(r.misfit[0], "fc3.weight: F32 [10,84] in the file, [7,84] expected") ||
		  !strcmp(r.misfit[1], "fc3.weight: F32 [10,84] in the file, [7,84] expected"));
	expect_words(&e, "2 unexpected (fc2.weight; fc2.bias)");
	expect_words(&e, path);
	ebb_load_report_free(&r);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_partial_load_loads_the_entries_that_fit)
{
	const char *path = saved(1, "lenet.safetensors");
	ebb_params *p = ebb_params_new(5), *q = ebb_params_new(1);
	ebb_load_report r = {0};
	ebb_tensor *kept;
	lenet net = lenet_new(q);

	other_lenet(p, 7);
	kept = ebb_detach_copy(ebb_params_find(p, "fc3.weight"));
	ck_assert(ebb_params_load(p, path, .partial = true, .report = &r));
	ck_assert_int_eq(r.loaded, 6);
	ck_assert(all_same(ebb_params_find(p, "fc1.weight"), net.fc1.weight));
	ck_assert(all_same(ebb_params_find(p, "fc3.weight"), kept));
	ebb_load_report_free(&r);
	ebb_tensor_free(kept);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(a_partial_load_of_nothing_is_an_error)
{
	const char *path = saved(1, "lenet.safetensors");
	ebb_params *p = ebb_params_new(5);

	ebb_linear_new(p, "other", 3, 4);
	ck_assert(!ebb_params_load(p, path, .partial = true));
	expect_words(ebb_params_error(p), "0 of 2 tensors");
	ebb_params_free(p);
}
END_TEST

START_TEST(without_an_error_argument_a_failed_load_fails_the_store_and_its_tapes)
{
	lenet net;
	ebb_params *p = made(1, &net);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 1, 28, 28), 3);

	ck_assert(!ebb_params_load(p, "/nonexistent.safetensors"));
	expect_words(ebb_params_error(p), "/nonexistent.safetensors: cannot be read: No such file");
	/* The message has the call's line. */
	expect_words(ebb_params_error(p), "weights.c:");
	ck_assert_ptr_null(lenet_forward(t, &net, x));
	expect_words(ebb_tape_error(t), "/nonexistent.safetensors");
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_read_error_midway_fails_the_store)
{
	lenet net;
	const char *path = saved(1, "lenet.safetensors");
	ebb_params *p = made(2, &net);
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(path, .error = &e);

	ck_assert_int_eq(truncate(path, 30000), 0);
	ck_assert(!ebb_params_load(p, .archive = a, .error = &e));
	expect_words(&e, "truncated");
	expect_words(ebb_params_error(p), "only some parameters were loaded");
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_arguments_are_errors)
{
	lenet net;
	ebb_params *p = made(2, &net);
	ebb_error e = {0};

	ck_assert(!ebb_params_load(p, .error = &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_params_load(NULL, "x", .error = &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_params_save(p, NULL, .error = &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_params_save(NULL, "x", .error = &e));
	e = (ebb_error){0};
	ck_assert(!ebb_params_load(
		p, "x", .rename = (ebb_rename[]){{"a*", "*b*"}, {0}}, .error = &e));
	expect_words(&e, "rename \"a*\" to \"*b*\"");
	ebb_params_free(p);
}
END_TEST

/* ---- Names ---------------------------------------------------------------------------------- */

/* An archive of one-element tensors; the value of tensor i is i. */
static ebb_archive *named(int n, const char *const *names)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	for (int i = 0; i < n; i++)
		ck_assert_msg(ebb_archive_add_f64(a, names[i], i + 1, &e), "%s", e.message);
	return a;
}

static ebb_params *scalars(int n, const char *const *names)
{
	ebb_params *p = ebb_params_new(1);

	for (int i = 0; i < n; i++)
		ebb_params_add(p, names[i], EBB_SCALAR_SHAPE, EBB_INIT(EBB_INIT_ZEROS));
	ck_assert_ptr_null(ebb_params_error(p));
	return p;
}

START_TEST(a_prefix_selects_entries)
{
	static const char *const file[] = {"model.a", "model.b", "optimizer.a", "epoch"};
	static const char *const store[] = {"a", "b"};
	ebb_archive *a = named(4, file);
	ebb_params *p = scalars(2, store);

	ck_assert(!ebb_params_load(p, .archive = a, .error = &(ebb_error){0}));
	ck_assert(ebb_params_load(p, .archive = a, .prefix = "model."));
	ck_assert_double_eq(ebb_item(ebb_params_find(p, "b")), 2);
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(the_error_message_suggests_a_prefix)
{
	static const char *const file[] = {"epoch", "state.module.a", "state.module.b", "other.a"};
	static const char *const store[] = {"a", "b"};
	ebb_archive *a = named(4, file);
	ebb_params *p = scalars(2, store);

	ck_assert(!ebb_params_load(p, .archive = a));
	expect_words(ebb_params_error(p), ".prefix = \"state.module.\"");
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

static const struct renaming {
	ebb_rename rules[3];
	const char *from, *to;
} renamings[] = {
	{{{"module.*", "*"}}, "module.a", "a"},
	{{{"*.gamma", "*.weight"}, {"*.beta", "*.bias"}}, "norm.beta", "norm.bias"},
	{{{"features.*.norm.*", "layer*.bn.*"}}, "features.3.norm.weight", "layer3.bn.weight"},
	{{{"*", "net.*"}}, "a.b", "net.a.b"},
	{{{"a*b*c", "*-*"}}, "aXbYbZc", "X-YbZ"},
	{{{"a*", "*"}, {"a*", "wrong"}}, "axe", "xe"},
	{{{"exact", "other"}}, "exact", "other"},
	{{{"exact", "other"}}, "exactly", "exactly"},
	{{{"*.0.*", "*.*"}}, "x.0.0.y", "x.0.y"},
	{{{"*b", "*c"}}, "abab", "abac"},
};

START_TEST(rules_rename_entries)
{
	const struct renaming *r = &renamings[_i];
	ebb_archive *a = named(1, &r->from);
	ebb_params *p = scalars(1, &r->to);

	ck_assert_msg(ebb_params_load(p, .archive = a, .rename = r->rules), "%s",
		ebb_params_error(p)->message);
	ck_assert_double_eq(ebb_item(ebb_params_find(p, r->to)), 1);
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_rule_with_to_null_ignores_entries)
{
	static const char *const file[] = {"a", "head.a", "head.b"};
	static const char *const store[] = {"a"};
	ebb_archive *a = named(3, file);
	ebb_params *p = scalars(1, store);
	ebb_rename rules[] = {{"head.*", NULL}, {0}};

	ck_assert(ebb_params_load(p, .archive = a, .rename = rules));
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(two_entries_for_one_name_are_an_error)
{
	static const char *const file[] = {"x.a", "y.a"};
	static const char *const store[] = {"a"};
	ebb_archive *a = named(2, file);
	ebb_params *p = scalars(1, store);
	ebb_rename rules[] = {{"x.*", "*"}, {"y.*", "*"}, {0}};

	ck_assert(!ebb_params_load(p, .archive = a, .rename = rules));
	expect_words(ebb_params_error(p), "a: comes from \"x.a\" and from \"y.a\"");
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(num_batches_tracked_is_ignored)
{
	static const char *const file[] = {
		"bn.weight", "bn.num_batches_tracked", "num_batches_tracked"};
	static const char *const store[] = {"bn.weight"};
	ebb_archive *a = named(3, file);
	ebb_params *p = scalars(1, store);

	ck_assert(ebb_params_load(p, .archive = a));
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_buffer_called_num_batches_tracked_is_loaded)
{
	static const char *const names[] = {"bn.num_batches_tracked", "bn.weight"};
	ebb_archive *a = named(2, names);
	ebb_params *p = scalars(2, names);
	ebb_error e = {0};

	ck_assert_msg(ebb_params_load(p, .archive = a, .error = &e), "%s", e.message);
	ck_assert_double_eq(ebb_item(ebb_params_find(p, names[0])), 1);
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(an_entry_with_a_very_long_name_is_reported)
{
	static char name[3000];
	const char *file[] = {"a", name};
	static const char *const store[] = {"a"};
	ebb_archive *a;
	ebb_params *p = scalars(1, store);
	ebb_load_report r = {0};
	ebb_rename rules[] = {{"b*", "cc*"}, {0}};

	memset(name, 'b', sizeof name - 1);
	a = named(2, file);
	ck_assert(!ebb_params_load(p, .archive = a, .report = &r, .error = &(ebb_error){0}));
	ck_assert_int_eq(r.unexpected_count, 1);
	ebb_load_report_free(&r);
	ck_assert(!ebb_params_load(
		p, .archive = a, .rename = rules, .report = &r, .error = &(ebb_error){0}));
	ck_assert_int_eq(r.unexpected_count, 1);
	ebb_load_report_free(&r);
	ebb_archive_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(every_allocation_failure_of_a_load_is_reported)
{
	const char *path = saved(1, "lenet.safetensors");
	int64_t k = 0;

	for (bool through = false; !through; k++) {
		lenet net;
		ebb_params *p;
		counting_allocator counter;
		ebb_load_report r = {0};
		ebb_error e = {0};
		uint64_t before;
		bool ok;

		counting_allocator_install(&counter);
		p = made(2, &net);
		before = params_hash(p);
		counter.calls = 0;
		counter.fail_at = k;
		ok = ebb_params_load(p, path, .report = &r, .error = &e);
		through = counter.refused == 0;
		ck_assert(ok == through);
		if (!ok) {
			ck_assert_msg(e.status == EBB_NO_MEMORY, "%s", e.message);
			ck_assert_uint_eq(params_hash(p), before);
		}
		ebb_load_report_free(&r);
		ebb_params_free(p);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
	}
	ck_assert_int_gt(k, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-weights");
	TCase *c = tcase_create("weights");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, a_saved_store_loads_bit_identical);
	tcase_add_test(c, loaded_values_are_used_by_later_forward_passes);
	tcase_add_test(c, smaller_floats_save_space_and_load_rounded);
	tcase_add_test(c, double_stores_save_doubles_and_load_floats);
	tcase_add_test(c, a_view_saves_and_loads_below_its_prefix);
	tcase_add_test(c, shards_and_open_archives_load_the_same_values);
	tcase_add_test(c, names_that_do_not_fit_are_all_reported_and_change_nothing);
	tcase_add_test(c, a_partial_load_loads_the_entries_that_fit);
	tcase_add_test(c, a_partial_load_of_nothing_is_an_error);
	tcase_add_test(c, without_an_error_argument_a_failed_load_fails_the_store_and_its_tapes);
	tcase_add_test(c, a_read_error_midway_fails_the_store);
	tcase_add_test(c, bad_arguments_are_errors);
	tcase_add_test(c, a_prefix_selects_entries);
	tcase_add_test(c, the_error_message_suggests_a_prefix);
	tcase_add_loop_test(c, rules_rename_entries, 0, sizeof renamings / sizeof *renamings);
	tcase_add_test(c, a_rule_with_to_null_ignores_entries);
	tcase_add_test(c, two_entries_for_one_name_are_an_error);
	tcase_add_test(c, num_batches_tracked_is_ignored);
	tcase_add_test(c, a_buffer_called_num_batches_tracked_is_loaded);
	tcase_add_test(c, an_entry_with_a_very_long_name_is_reported);
	tcase_add_test(c, every_allocation_failure_of_a_load_is_reported);
	suite_add_tcase(s, c);
	return run_suite(s);
}
