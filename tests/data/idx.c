/* IDX files and MNIST's four files: valid, compressed, and every kind of damage. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const char *write_gz(const char *name, const char *mode, const void *bytes, size_t n)
{
	const char *path = temp_path(name);
	gzFile f = gzopen(path, mode);

	ck_assert(f && gzwrite(f, bytes, (unsigned)n) == (int)n && gzclose(f) == Z_OK);
	return path;
}

/* Writes a header with this magic number and these sizes, then data bytes 0, 1, 2, ...; returns the
 * length. */
static size_t idx(unsigned char *to, unsigned magic, int axes, const unsigned *sizes, size_t data)
{
	size_t n = 0;

	for (int i = -1; i < axes; i++) {
		unsigned v = i < 0 ? magic : sizes[i];

		for (int shift = 24; shift >= 0; shift -= 8)
			to[n++] = (unsigned char)(v >> shift);
	}
	for (size_t i = 0; i < data; i++)
		to[n++] = (unsigned char)i;
	return n;
}

/* Checks that reading path fails with both words in the message. */
static void refused(const char *path, const char *word, const char *other)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_idx_read(path, &e), "%s was read", path);
	ck_assert_msg(e.status == EBB_BAD_FILE, "status %d: %s", (int)e.status, e.message);
	ck_assert_msg(
		strstr(e.message, path) && strstr(e.message, word) && strstr(e.message, other),
		"\"%s\" or \"%s\" is not in: %s", word, other, e.message);
	ck_assert_ptr_null(ebb_idx_read(path, NULL));
}

static void check_counting(const char *path)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_idx_read(path, &e);
	char text[80];

	ck_assert_msg(x != NULL, "%s", e.message);
	ck_assert_str_eq(ebb_describe(x, text, sizeof text), "U8 [4,5,3]");
	for (int i = 0; i < 60; i++)
		ck_assert(ebb_at(x, i) == i);
	ebb_tensor_free(x);
}

START_TEST(valid_files_are_read)
{
	unsigned char b[200];
	size_t n = idx(b, 0x803, 3, (unsigned[]){4, 5, 3}, 60);
	ebb_tensor *x;

	check_counting(write_temp("plain", b, n));
	check_counting(write_gz("packed", "wb9", b, n));
	check_counting(write_gz("level0", "wb0", b, n));
	/* A file of two gzip members is read as one. */
	write_gz("twice", "wb", b, 20);
	check_counting(write_gz("twice", "ab", b + 20, n - 20));
	n = idx(b, 0x802, 2, (unsigned[]){0, 7}, 0);
	x = ebb_idx_read(write_temp("none", b, n), NULL);
	ck_assert(ebb_size(x, 0) == 0 && ebb_size(x, 1) == 7);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(files_larger_than_the_buffer_are_read)
{
	size_t data = 700000, n;
	unsigned char *b = malloc(data + 8);
	ebb_tensor *x;

	ck_assert_ptr_nonnull(b);
	n = idx(b, 0x801, 1, (unsigned[]){(unsigned)data}, data);
	for (size_t i = 8; i < n; i++)
		b[i] = (unsigned char)(i * i >> 7);
	x = ebb_idx_read(write_gz("large.gz", "wb1", b, n), NULL);
	ck_assert_int_eq(ebb_count(x), (int64_t)data);
	ck_assert_mem_eq(ebb_data(x), b + 8, data);
	ebb_tensor_free(x);
	free(b);
}
END_TEST

START_TEST(missing_files_are_refused)
{
	ebb_error e = {0};

	refused(temp_path("nowhere"), "cannot be read", "No such file");
	refused(temp_dir, "cannot be read", "");
	ck_assert(!ebb_idx_read(NULL, &e) && e.status == EBB_INVALID);
}
END_TEST

START_TEST(every_truncated_file_is_refused)
{
	unsigned char b[200];
	size_t n = idx(b, 0x803, 3, (unsigned[]){4, 5, 3}, 60);
	char *packed;
	long size;
	FILE *f;

	for (size_t k = 0; k < n; k++)
		refused(write_temp("short", b, k), "truncated", "");
	refused(write_temp("short", b, n - 1), "59 bytes of data", "expected 60");
	f = fopen(write_gz("packed", "wb", b, n), "rb");
	packed = malloc(1000);
	size = (long)fread(packed, 1, 1000, f);
	fclose(f);
	for (long k = 0; k < size; k++) {
		ebb_error e = {0};

		ck_assert_msg(!ebb_idx_read(write_temp("short", packed, (size_t)k), &e),
			"%ld of %ld bytes were enough", k, size);
		ck_assert_int_eq(e.status, EBB_BAD_FILE);
	}
	check_counting(write_temp("short", packed, (size_t)size));
	free(packed);
}
END_TEST

START_TEST(damaged_files_are_refused)
{
	unsigned char b[200];
	const char *path;
	size_t n;
	FILE *f;

	n = idx(b, 0x803, 3, (unsigned[]){4, 5, 3}, 61);
	refused(write_temp("long", b, n), "after the end", "60 bytes");
	refused(write_gz("long", "wb", b, n), "after the end", "60 bytes");
	n = idx(b, 0xd03, 3, (unsigned[]){4, 5, 3}, 60);
	refused(write_temp("floats", b, n), "0x00000d03: floats", "unsigned bytes");
	n = idx(b, 0x703, 3, (unsigned[]){4, 5, 3}, 60);
	refused(write_temp("seven", b, n), "an unknown type", "0x00000703");
	refused(write_temp("text", "P5 4 5 255", 10), "0x50352034", "expected 0x000008NN");
	n = idx(b, 0x800, 0, NULL, 4);
	refused(write_temp("scalar", b, n), "0 axes", "1 to 8");
	n = idx(b, 0x809, 9, (unsigned[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 1);
	refused(write_temp("deep", b, n), "9 axes", "1 to 8");
	n = idx(b, 0x803, 3, (unsigned[]){~0u, ~0u, 5}, 60);
	refused(write_temp("overflow", b, n), "overflows at axis 1", "");
	n = idx(b, 0x803, 3, (unsigned[]){0x40000000, 28, 28}, 60);
	refused(write_temp("huge", b, n), "declares 841813590016 bytes", "at most 76");
	refused(write_gz("huge", "wb", b, n), "declares 841813590016 bytes", "at most");
	/* A flipped bit in the compressed data, and extra bytes after it. */
	n = idx(b, 0x803, 3, (unsigned[]){4, 5, 3}, 60);
	path = write_gz("flipped", "wb", b, n);
	f = fopen(path, "r+b");
	fseek(f, 30, SEEK_SET);
	fputc(0xa5, f);
	fclose(f);
	refused(path, "damaged gzip", "");
	path = write_gz("junk", "wb", b, n);
	f = fopen(path, "ab");
	fputs("junk", f);
	fclose(f);
	refused(path, "damaged gzip", "");
}
END_TEST

/* ---- MNIST's directory ---------------------------------------------------------------------- */

/* Writes count images of 2 x 3 and as many labels 0, 1, 2, ... under these names. */
static void write_pair(const char *images, const char *labels, bool packed, unsigned count)
{
	unsigned char b[400];
	size_t n = idx(b, 0x803, 3, (unsigned[]){count, 2, 3}, 6 * count);

	if (packed)
		write_gz(images, "wb", b, n);
	else
		write_temp(images, b, n);
	n = idx(b, 0x801, 1, (unsigned[]){count}, count);
	if (packed)
		write_gz(labels, "wb", b, n);
	else
		write_temp(labels, b, n);
}

static void mnist_refused(ebb_data_split split, const char *word, const char *other)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_mnist(temp_dir, split, &e), "accepted; expected \"%s\"", word);
	ck_assert_int_eq(e.status, EBB_BAD_FILE);
	ck_assert_msg(
		strstr(e.message, temp_dir) && strstr(e.message, word) && strstr(e.message, other),
		"\"%s\" or \"%s\" is not in: %s", word, other, e.message);
}

START_TEST(every_spelling_of_a_file_name_is_found)
{
	const char *const names[][2] = {
		{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
		{"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
		{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"},
		{"train-images.idx3-ubyte.gz", "train-labels-idx1-ubyte"},
		{"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ebb_error e = {0};
		ebb_dataset *d;

		write_pair(names[i][0], names[i][1], i == 2 || i == 4, 10);
		d = ebb_mnist(temp_dir, names[i][0][1] == '1' ? EBB_TEST : EBB_TRAIN, &e);
		ck_assert_msg(d != NULL, "%s: %s", names[i][0], e.message);
		ck_assert(d->count == 10 && d->classes == 10);
		ck_assert(ebb_ndim(d->images) == 4 && ebb_size(d->images, 1) == 1 &&
			  ebb_size(d->images, 3) == 3);
		ck_assert(ebb_at(d->images, 59) == 59 && ebb_at(d->labels, 9) == 9);
		ck_assert_int_eq(ebb_dtype_of(d->labels), EBB_I64);
		ebb_dataset_free(d);
		unlink(temp_path(names[i][0]));
		unlink(temp_path(names[i][1]));
	}
}
END_TEST

START_TEST(invalid_directories_are_refused)
{
	unsigned char b[400];
	ebb_error e = {0};
	size_t n;
	char *deep;

	mnist_refused(EBB_TRAIN, "train-images-idx3-ubyte", "there");
	write_pair("train-images-idx3-ubyte", "train-labels-idx1-ubyte", false, 10);
	mnist_refused(EBB_TEST, "t10k-images-idx3-ubyte", "there");
	n = idx(b, 0x801, 1, (unsigned[]){9}, 9);
	write_temp("train-labels-idx1-ubyte", b, n);
	mnist_refused(EBB_TRAIN, "9 labels", "expected 10");
	n = idx(b, 0x801, 1, (unsigned[]){10}, 10);
	b[8 + 3] = 10;
	write_temp("train-labels-idx1-ubyte", b, n);
	mnist_refused(EBB_TRAIN, "label 3 is 10", "expected 0 to 9");
	n = idx(b, 0x802, 2, (unsigned[]){5, 2}, 10);
	write_temp("train-labels-idx1-ubyte", b, n);
	mnist_refused(EBB_TRAIN, "U8 [5,2]", "expected 1 axes");
	unlink(temp_path("train-labels-idx1-ubyte"));
	mnist_refused(EBB_TRAIN, "train-labels", "there");
	n = idx(b, 0x801, 1, (unsigned[]){10}, 10);
	write_temp("train-images-idx3-ubyte", b, n);
	mnist_refused(EBB_TRAIN, "U8 [10]", "expected 3 axes");
	write_pair("train-images-idx3-ubyte", "train-labels-idx1-ubyte", false, 0);
	mnist_refused(EBB_TRAIN, "at least one image", "[0,2,3]");
	ck_assert(!ebb_mnist(NULL, EBB_TRAIN, &e) && e.status == EBB_INVALID);
	deep = malloc(6001);
	memset(deep, 'a', 6000);
	deep[6000] = '\0';
	e = (ebb_error){0};
	ck_assert(!ebb_mnist(deep, EBB_TRAIN, &e) && e.status == EBB_INVALID);
	free(deep);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator a;
	bool done = false;

	write_pair("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", true, 10);
	for (int fail_at = 0; !done; fail_at++) {
		ebb_error e = {0};
		ebb_dataset *d;

		counting_allocator_install(&a);
		a.fail_at = fail_at;
		d = ebb_mnist(temp_dir, EBB_TRAIN, &e);
		done = a.refused == 0;
		ck_assert_msg(done == (d != NULL), "allocation %d: %s", fail_at, e.message);
		ck_assert_msg(e.status == (done ? EBB_OK : EBB_NO_MEMORY), "allocation %d: %s",
			fail_at, e.message);
		ebb_dataset_free(d);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d: %lld blocks left",
			fail_at, (long long)a.live);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-idx");
	TCase *c = tcase_create("idx");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, valid_files_are_read);
	tcase_add_test(c, files_larger_than_the_buffer_are_read);
	tcase_add_test(c, missing_files_are_refused);
	tcase_add_test(c, every_truncated_file_is_refused);
	tcase_add_test(c, damaged_files_are_refused);
	suite_add_tcase(s, c);
	c = tcase_create("mnist");
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, every_spelling_of_a_file_name_is_found);
	tcase_add_test(c, invalid_directories_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
