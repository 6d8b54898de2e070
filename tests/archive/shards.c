/* Sharded sets: entries are read from the shards that the index names; a wrong index is refused. */
#include "archive/internal.h"
#include "tests/support/support.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[200], index_path[200];

static void in_temp_dir(void)
{
	make_temp_dir();
	snprintf(path, sizeof path, "%s", temp_path("m.safetensors"));
	snprintf(index_path, sizeof index_path, "%s", temp_path("m.safetensors.index.json"));
}

/* Writes n entries "tk" of k + 1 floats. */
static void write_set(int n, int64_t shard_bytes)
{
	static const float x[100] = {1, 2, 3};
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	char name[20];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "t%d", i);
		ck_assert(ebb_archive_add_values(a, name, EBB_FILE_F32, EBB_SHAPE(i + 1), x, &e));
	}
	ck_assert_msg(ebb_archive_write(a, path, .shard_bytes = shard_bytes, .error = &e), "%s",
		e.message);
	ebb_archive_free(a);
}

static bool exists(const char *name)
{
	return access(temp_path(name), F_OK) == 0;
}

static void expect_refused(const char *words)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_archive_read(index_path, .error = &e), "accepted, expected: %s", words);
	ck_assert_msg(e.status == EBB_BAD_FILE && strstr(e.message, words), "%s (expected: %s)",
		e.message, words);
}

static void write_index(const char *text)
{
	write_temp("m.safetensors.index.json", text, strlen(text));
}

START_TEST(only_single_entries_exceed_shard_bytes)
{
	ebb_error e = {0};
	ebb_archive *a;
	struct stat st;

	write_set(8, 24); /* 4, 8, .. 32 bytes: (0 1 2) (3) (4) .. (7) */
	ck_assert(exists("m-00001-of-00006.safetensors") && exists("m-00006-of-00006.safetensors"));
	ck_assert_int_eq(stat(temp_path("m-00001-of-00006.safetensors"), &st), 0);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) == 8, "%s", e.message);
	for (int i = 0; i < 8; i++) {
		char name[20];
		ebb_tensor *x;

		snprintf(name, sizeof name, "t%d", i);
		x = ebb_archive_tensor(a, name, EBB_DEFAULT, &e);
		ck_assert_msg(x && ebb_count(x) == i + 1 && ebb_at(x, 0) == 1, "%s", e.message);
		ebb_tensor_free(x);
	}
	ebb_archive_free(a);
}
END_TEST

START_TEST(an_archive_without_entries_is_written_as_a_set)
{
	ebb_error e = {0};
	ebb_archive *a;

	write_set(0, 100);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a || strstr(e.message, "weight_map"), "%s", e.message);
	ck_assert_msg(a && ebb_archive_count(a) == 0, "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(a_new_set_replaces_the_old_one_and_leaves_other_files)
{
	ebb_error e = {0};
	ebb_archive *a;

	write_temp("m-notes.safetensors", "x", 1);
	write_temp("m2-00001-of-00007.safetensors", "x", 1);
	write_set(8, 24);
	write_set(8, 24);
	ck_assert(!exists("m-00001-of-00006.safetensors") &&
		  exists("m-00001-of-00006-2.safetensors"));
	write_set(4, 24);
	ck_assert(exists("m-00001-of-00002.safetensors") &&
		  !exists("m-00001-of-00006-2.safetensors"));
	ck_assert(exists("m-notes.safetensors") && exists("m2-00001-of-00007.safetensors"));
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) == 4, "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

static const struct refusal {
	const char *index, *words;
} refusals[] = {
	{"{\"weight_map\":{\"t0\":\"../m-00001-of-00001.safetensors\"}}", "in its own directory"},
	{"{\"weight_map\":{\"t0\":\"/etc/passwd\"}}", "in its own directory"},
	{"{\"weight_map\":{\"t0\":\"..\"}}", "in its own directory"},
	{"{\"weight_map\":{\"t0\":\"\"}}", "in its own directory"},
	{"{\"weight_map\":{\"t0\":3}}", "expected a file name"},
	{"{\"weight_map\":[\"t0\"]}", "nests"},
	{"{\"metadata\":{}}", "not the index of a sharded set"},
	{"{\"weight_map\":{\"t0\":\"none.safetensors\"}}", "No such file"},
	{"{\"weight_map\":{\"t0\":\"m.safetensors.index.json\"}}", "m.safetensors.index.json: "},
	{"{\"weight_map\":{\"t0\":\"m-00001-of-00001.safetensors\"}}",
		"\"t1\" is in m-00001-of-00001.safetensors, but the index says no file"},
	{"{\"weight_map\":{\"t0\":\"m-00001-of-00001.safetensors\",\"t1\":\"m-00001-of-00001."
	 "safetensors\","
	 "\"t9\":\"m-00001-of-00001.safetensors\"}}",
		"\"t9\" is not in m-00001-of-00001.safetensors"},
	{"{\"weight_map\":{\"t0\":\"m-00001-of-00001.safetensors\",\"t0\":\"m-00001-of-00001."
	 "safetensors\"}}",
		"duplicate"},
	{"{\"weight_map\":{\"t0\":\"m-00001-of-00001.safetensors\",\"t1\":\"copy.safetensors\"}}",
		"\"t1\" is in m-00001-of-00001.safetensors, but the index says "
		"copy.safetensors"},
};

START_TEST(an_index_that_misplaces_entries_is_refused)
{
	write_set(2, 1000);
	write_index(refusals[_i].index);
	expect_refused(refusals[_i].words);
}
END_TEST

START_TEST(a_set_replaces_a_single_file)
{
	ebb_error e = {0};
	ebb_archive *a;

	write_set(1, 0);
	ck_assert(exists("m.safetensors"));
	write_set(8, 24);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) == 8, "%lld entries %s",
		(long long)ebb_archive_count(a), e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(a_set_is_read_by_the_path_that_it_was_written_to)
{
	ebb_error e = {0};
	ebb_archive *a;

	snprintf(path, sizeof path, "%s", temp_path("model"));
	write_set(8, 24);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) == 8, "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(metadata_repeated_in_shards_are_read_once)
{
	static const float x[100] = {1};
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	ck_assert(ebb_archive_add_values(a, "x", EBB_FILE_F32, EBB_SHAPE(100), x, &e) &&
		  ebb_archive_add_values(a, "y", EBB_FILE_F32, EBB_SHAPE(100), x, &e) &&
		  ebb_archive_set_metadata(a, "format", "pt", &e) &&
		  ebb_archive_set_metadata(a, "by", "me", &e) &&
		  ebb_archive_write(a, path, .shard_bytes = 400, .error = &e));
	ebb_archive_free(a);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a, "%s", e.message);
	ck_assert_int_eq(ebb_archive_metadata_count(a), 2);
	ck_assert_str_eq(ebb_archive_metadata(a, "by"), "me");
	ebb_archive_free(a);
}
END_TEST

/* Several processes write sets of several sizes: one complete set remains. */
START_TEST(writers_in_one_directory_leave_one_whole_set)
{
	enum { WRITERS = 4, TIMES = 8 };
	pid_t child[WRITERS];
	ebb_error e = {0};
	ebb_archive *a;
	int shards = 0;

	for (int k = 0; k < WRITERS; k++) {
		child[k] = fork();
		ck_assert_int_ge(child[k], 0);
		if (child[k] == 0) {
			for (int i = 0; i < TIMES; i++)
				write_set(5 + k % 2, 4 * (k + 1));
			_exit(0);
		}
	}
	for (int k = 0; k < WRITERS; k++) {
		int status;

		ck_assert_int_eq(waitpid(child[k], &status, 0), child[k]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a writer failed");
	}
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) >= 5, "%s", e.message);
	ebb_archive_free(a);
	for (int g = 0; g < 400; g++)
		for (int n = 1; n < 8; n++) {
			char name[80];

			if (g > 1)
				snprintf(name, sizeof name, "m-00001-of-%05d-%d.safetensors", n, g);
			else
				snprintf(name, sizeof name, "m-00001-of-%05d.safetensors", n);
			shards += g && exists(name);
		}
	ck_assert_int_eq(shards, 1);
}
END_TEST

START_TEST(limits_hold_for_a_set_as_a_whole)
{
	ebb_error e = {0};

	write_set(8, 24);
	ck_assert(!ebb_archive_read(path, .most_bytes = 100, .error = &e));
	ck_assert_msg(strstr(e.message, "100 bytes that are allowed"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_read(path, .most_header = 600, .error = &e));
	ck_assert_msg(strstr(e.message, "at most 600 bytes together"), "%s", e.message);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-shards");
	TCase *c = tcase_create("shards");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, in_temp_dir, remove_temp_dir);
	tcase_add_test(c, only_single_entries_exceed_shard_bytes);
	tcase_add_test(c, an_archive_without_entries_is_written_as_a_set);
	tcase_add_test(c, a_new_set_replaces_the_old_one_and_leaves_other_files);
	tcase_add_loop_test(c, an_index_that_misplaces_entries_is_refused, 0,
		sizeof refusals / sizeof *refusals);
	tcase_add_test(c, a_set_replaces_a_single_file);
	tcase_add_test(c, a_set_is_read_by_the_path_that_it_was_written_to);
	tcase_add_test(c, metadata_repeated_in_shards_are_read_once);
	tcase_add_test(c, writers_in_one_directory_leave_one_whole_set);
	tcase_add_test(c, limits_hold_for_a_set_as_a_whole);
	suite_add_tcase(s, c);
	return run_suite(s);
}
