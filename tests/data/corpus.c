/* Runs the readers on every file that a fuzzer found, and on its seeds. */
#include "fuzz/readers.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	void (*read)(const uint8_t *bytes, size_t size);
} readers[] = {
	{"data/corpus/idx", read_idx},
	{"data/corpus/png", read_png},
	{"data/corpus/jpeg", read_jpeg},
	{"data/corpus/cifar", read_cifar},
	{"data/corpus/list", read_list},
	{"archive/corpus/safetensors", read_safetensors},
	{"archive/corpus/index", read_index},
	{"archive/corpus/npy", read_npy},
	{"archive/corpus/npz", read_npz},
	{"archive/corpus/torch", read_torch},
	{"archive/corpus/pickle", read_pickle},
};

START_TEST(readers_accept_or_refuse_every_corpus_file)
{
	char path[1000];
	const struct dirent *entry;
	uint8_t *bytes = malloc(1 << 20);
	int files = 0;
	DIR *directory;

	snprintf(path, sizeof path, "%s/%s", TESTS, readers[_i].name);
	directory = opendir(path);
	ck_assert_msg(directory && bytes, "%s", path);
	while ((entry = readdir(directory))) {
		size_t size;
		FILE *f;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s/%s", TESTS, readers[_i].name, entry->d_name);
		f = fopen(path, "rb");
		ck_assert_msg(f != NULL, "%s", path);
		size = fread(bytes, 1, 1 << 20, f);
		fclose(f);
		/* A copy in memory of exactly its size, so that a sanitizer finds reads beyond
		 * it. */
		{
			uint8_t *own = malloc(size + !size);

			memcpy(own, bytes, size);
			readers[_i].read(own, size);
			free(own);
		}
		files++;
	}
	closedir(directory);
	free(bytes);
	ck_assert_int_gt(files, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-corpus");
	TCase *c = tcase_create("corpus");

	tcase_add_loop_test(
		c, readers_accept_or_refuse_every_corpus_file, 0, sizeof readers / sizeof *readers);
	suite_add_tcase(s, c);
	return run_suite(s);
}
