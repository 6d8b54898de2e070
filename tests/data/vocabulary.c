/* Characters of texts as tokens. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define REFUSES(status_, call, ...)                                                                \
	do {                                                                                       \
		const char *words_[] = {__VA_ARGS__};                                              \
		e = (ebb_error){0};                                                                \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		ck_assert_msg(e.status == (status_), "%s", e.message);                             \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(e.message, words_[k_]), "\"%s\" is not in: %s",       \
				words_[k_], e.message);                                            \
	} while (0)

/* Whether v has exactly these codes. */
static bool has_codes(const ebb_vocabulary *v, const int64_t *codes, int64_t n)
{
	return v && v->size == n && ebb_size(v->codes, 0) == n &&
	       memcmp(ebb_data(v->codes), codes, (size_t)n * sizeof *codes) == 0;
}
#define HAS_CODES(v, ...)                                                                          \
	has_codes(v, (const int64_t[]){__VA_ARGS__},                                               \
		sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* Whether a text has these codes, in a vocabulary of its own, and decodes to its bytes. */
static bool is_lossless(const void *text, int64_t n, int64_t *tokens)
{
	ebb_vocabulary *v = ebb_vocabulary_new(text, n, NULL);
	ebb_tensor *x = ebb_vocabulary_encode(v, text, n, NULL);
	char *back = malloc((size_t)n + 1);
	bool same = ebb_vocabulary_decode(v, x, back, (size_t)n + 1) == n &&
	            memcmp(back, text, (size_t)n) == 0 && back[n] == '\0';

	*tokens = ebb_count(x);
	free(back);
	ebb_tensor_free(x);
	ebb_vocabulary_free(v);
	return same;
}

START_TEST(a_vocabulary_has_the_characters_that_occur)
{
	static const char text[] = "n\xC3\xA4 \xE2\x82\xAC\xF0\x9F\x98\x80nn\xC3\xA4";
	ebb_vocabulary *v = ebb_vocabulary_new(text, sizeof text - 1, NULL);
	ebb_tensor *x = ebb_vocabulary_encode(v, text, sizeof text - 1, NULL);
	static const int expected[] = {1, 2, 0, 3, 4, 1, 1, 2};
	char c[5];

	ck_assert(HAS_CODES(v, ' ', 'n', 0xE4, 0x20AC, 0x1F600));
	ck_assert(ebb_dtype_of(x) == EBB_I64 && ebb_count(x) == 8 && ebb_ndim(x) == 1);
	for (int k = 0; k < 8; k++)
		ck_assert(ebb_at(x, k) == expected[k]);
	ck_assert_str_eq(ebb_vocabulary_text(v, 1, c), "n");
	ck_assert_str_eq(ebb_vocabulary_text(v, 3, c), "\xE2\x82\xAC");
	ck_assert_str_eq(ebb_vocabulary_text(v, 4, c), "\xF0\x9F\x98\x80");
	ck_assert_str_eq(ebb_vocabulary_text(v, 5, c), "");
	ck_assert_str_eq(ebb_vocabulary_text(v, -1, c), "");
	ck_assert_str_eq(ebb_vocabulary_text(NULL, 0, c), "");
	ebb_tensor_free(x);
	ebb_vocabulary_free(v);
	ebb_vocabulary_free(NULL);
}
END_TEST

/* RFC 3629, section 4: the shortest and longest of each length, and what is not UTF-8. */
START_TEST(bytes_outside_of_utf8_are_tokens)
{
	static const struct {
		const char *text;
		int64_t bytes, tokens;
	} all[] = {{"\x7F", 1, 1}, {"\xC2\x80", 2, 1}, {"\xDF\xBF", 2, 1}, {"\xE0\xA0\x80", 3, 1},
		{"\xED\x9F\xBF", 3, 1}, {"\xEE\x80\x80", 3, 1}, {"\xEF\xBF\xBF", 3, 1},
		{"\xF0\x90\x80\x80", 4, 1}, {"\xF4\x8F\xBF\xBF", 4, 1}, {"\0a\0", 3, 3},
		/* Longer than necessary, surrogates, beyond 0x10FFFF. */
		{"\xC0\x80", 2, 2}, {"\xC1\xBF", 2, 2}, {"\xE0\x9F\xBF", 3, 3},
		{"\xED\xA0\x80", 3, 3}, {"\xED\xBF\xBF", 3, 3}, {"\xF0\x8F\xBF\xBF", 4, 4},
		{"\xF4\x90\x80\x80", 4, 4}, {"\xF5\x80\x80\x80", 4, 4}, {"\xFF\xFE", 2, 2},
		/* Truncated, at the end and before a character; a lone continuation. */
		{"\xE2\x82", 2, 2}, {"\xE2\x82z", 3, 3}, {"\xF0\x9F\x98", 3, 3}, {"\xC3", 1, 1},
		{"\x80", 1, 1}, {"a\xBF", 2, 2}, {"\xE2\x82\xC3\xA4", 4, 3}};

	for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
		int64_t tokens;

		ck_assert_msg(is_lossless(all[k].text, all[k].bytes, &tokens), "text %zu", k);
		ck_assert_msg(tokens == all[k].tokens, "text %zu: %d tokens", k, (int)tokens);
	}
}
END_TEST

/* Bytes around the limits of UTF-8, in random order. */
START_TEST(any_bytes_are_encoded_without_loss)
{
	static const uint8_t some[] = {0, 'a', 0x7F, 0x80, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xEF,
		0xF0, 0xF4, 0xF5, 0xFF, 0x8F, 0x90, 0x9F, 0xA0};
	ebb_vocabulary *whole = ebb_vocabulary_bytes(NULL);
	uint64_t state = 1;

	for (int run = 0; run < 1000; run++) {
		uint8_t text[24];
		char back[25];
		int64_t n = 1 + run % 24, tokens;
		ebb_tensor *x;

		for (int64_t k = 0; k < n; k++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			text[k] = run % 2 ? (uint8_t)(state >> 40)
			                  : some[(state >> 33) % sizeof some];
		}
		ck_assert_msg(is_lossless(text, n, &tokens), "run %d", run);
		x = ebb_vocabulary_encode(whole, text, n, NULL);
		ck_assert(ebb_count(x) == n);
		ck_assert(ebb_vocabulary_decode(whole, x, back, sizeof back) == n);
		ck_assert_mem_eq(back, text, (size_t)n);
		ebb_tensor_free(x);
	}
	ebb_vocabulary_free(whole);
}
END_TEST

START_TEST(a_text_is_decoded_as_snprintf_would)
{
	ebb_vocabulary *v = ebb_vocabulary_new("abc", 3, NULL);
	ebb_tensor *x = ebb_vocabulary_encode(v, "cabcab", 6, NULL),
		   *small = ebb_tensor_new(EBB_U8, EBB_SHAPE(2, 2), false, NULL),
		   *floats = ebb_tensor_new(EBB_F32, EBB_SHAPE(2), false, NULL);
	char text[8];

	for (size_t size = 0; size <= sizeof text; size++) {
		memset(text, '#', sizeof text);
		ck_assert_int_eq(ebb_vocabulary_decode(v, x, text, size), 6);
		if (size > 0)
			ck_assert_int_eq(strlen(text), size < 7 ? size - 1 : 6);
		ck_assert(strncmp(text, "cabcab", size > 0 ? strlen(text) : 0) == 0);
		ck_assert(size == sizeof text || text[size] == '#');
	}
	ck_assert_int_eq(ebb_vocabulary_decode(v, x, NULL, 0), 6);
	((uint8_t *)ebb_data_mutable(small))[3] = 2;
	ck_assert_int_eq(ebb_vocabulary_decode(v, small, text, sizeof text), 4);
	ck_assert_str_eq(text, "aaac");
	((uint8_t *)ebb_data_mutable(small))[1] = 3;
	ck_assert_int_eq(ebb_vocabulary_decode(v, small, text, sizeof text), -1);
	((int64_t *)ebb_data_mutable(x))[1] = -1;
	ck_assert_int_eq(ebb_vocabulary_decode(v, x, text, sizeof text), -1);
	ck_assert_int_eq(ebb_vocabulary_decode(v, floats, text, sizeof text), -1);
	ck_assert_int_eq(ebb_vocabulary_decode(NULL, x, text, sizeof text), -1);
	ck_assert_int_eq(ebb_vocabulary_decode(v, NULL, text, sizeof text), -1);
	ck_assert_str_eq(text, "");
	ebb_tensor_free(x);
	ebb_tensor_free(small);
	ebb_tensor_free(floats);
	ebb_vocabulary_free(v);
}
END_TEST

START_TEST(texts_and_codes_that_do_not_fit_are_refused)
{
	ebb_vocabulary *v = ebb_vocabulary_new("ab\xC3\xBF", 4, NULL);
	ebb_tensor *codes = ebb_tensor_new(EBB_I64, EBB_SHAPE(2), false, NULL);
	int64_t *code = ebb_data_mutable(codes);
	static const int64_t wrong[][2] = {{5, 5}, {9, 3}, {-1, 3}, {0, 0xD800}, {0, 0xDFFF},
		{1, EBB_BYTE_CODE}, {1, EBB_BYTE_CODE + 127}, {1, EBB_BYTE_CODE + 256},
		{1, INT64_MAX}};
	ebb_error e;

	REFUSES(EBB_INVALID, ebb_vocabulary_new("", 0, &e), "0 bytes from a text");
	REFUSES(EBB_INVALID, ebb_vocabulary_new(NULL, 3, &e), "from NULL");
	REFUSES(EBB_INVALID, ebb_vocabulary_encode(v, "", 0, &e), "0 bytes");
	REFUSES(EBB_INVALID, ebb_vocabulary_encode(NULL, "a", 1, &e), "no vocabulary");
	REFUSES(EBB_INVALID, ebb_vocabulary_encode(v, "a\xC3\xBFz", 4, &e),
		"character U+007A at byte 3", "3 tokens");
	REFUSES(EBB_INVALID, ebb_vocabulary_encode(v, "\xC3\xA4", 2, &e), "U+00E4 at byte 0");
	REFUSES(EBB_INVALID, ebb_vocabulary_encode(v, "a\xC3", 2, &e), "byte 0xC3 at byte 1");
	REFUSES(EBB_BAD_SHAPE, ebb_vocabulary_of(NULL, &e), "NULL, expected I64 [V]");
	for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
		code[0] = wrong[k][0];
		code[1] = wrong[k][1];
		REFUSES(EBB_INVALID, ebb_vocabulary_of(codes, &e), "expected ascending codes");
	}
	ebb_tensor_free(codes);
	codes = ebb_tensor_new(EBB_F32, EBB_SHAPE(2), false, NULL);
	REFUSES(EBB_BAD_SHAPE, ebb_vocabulary_of(codes, &e), "F32 [2]");
	ebb_tensor_free(codes);
	codes = ebb_tensor_new(EBB_I64, EBB_SHAPE(0), false, NULL);
	REFUSES(EBB_BAD_SHAPE, ebb_vocabulary_of(codes, &e), "I64 [0]");
	ebb_tensor_free(codes);
	ebb_vocabulary_free(v);
}
END_TEST

/* ---- Files ---------------------------------------------------------------------------------- */

START_TEST(a_file_is_read_as_tokens)
{
	static const char train[] = "\xEF\xBB\xBFto b\xC3\xA9\r\n", test[] = "bet", other[] = "zoo";
	char path[100];
	ebb_vocabulary *v = NULL, *bytes = NULL, *before;
	ebb_tensor *x, *y;
	char text[40];
	ebb_error e;

	snprintf(path, sizeof path, "%s", write_temp("train.txt", train, sizeof train - 1));
	x = ebb_tokens_read(path, &v);
	ck_assert(HAS_CODES(v, '\n', '\r', ' ', 'b', 'o', 't', 0xE9, 0xFEFF));
	ck_assert(ebb_dtype_of(x) == EBB_I64 && ebb_count(x) == 8 && ebb_at(x, 0) == 7);
	ck_assert(ebb_vocabulary_decode(v, x, text, sizeof text) == sizeof train - 1);
	ck_assert_str_eq(text, train);
	ebb_tensor_free(x);
	x = ebb_tokens_read(path, &bytes, .bytes = true, .dtype = EBB_U8);
	ck_assert(bytes->size == 256 && ebb_dtype_of(x) == EBB_U8 && ebb_count(x) == 11);
	ck_assert(ebb_vocabulary_decode(bytes, x, text, sizeof text) == sizeof train - 1);
	ck_assert_str_eq(text, train);
	ebb_tensor_free(x);
	/* Another file in the same vocabulary. */
	before = v;
	REFUSES(EBB_BAD_FILE, ebb_tokens_read(write_temp("test.txt", test, 3), &v, .error = &e),
		"test.txt: the character U+0065 at byte 1", "8 tokens");
	REFUSES(EBB_BAD_FILE, ebb_tokens_read(write_temp("other.txt", other, 3), &v, .error = &e),
		"other.txt: the character U+007A at byte 0");
	ck_assert(v == before);
	y = ebb_tokens_read(write_temp("again.txt", "boot", 4), &v, .dtype = EBB_U8);
	ck_assert(v == before && ebb_count(y) == 4 && ebb_at(y, 1) == 4);
	ebb_tensor_free(y);
	ebb_vocabulary_free(v);
	ebb_vocabulary_free(bytes);
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused)
{
	enum { MANY = 300 };
	char wide[2 * MANY];
	ebb_vocabulary *v = NULL;
	ebb_tensor *x;
	ebb_error e;

	for (int k = 0; k < MANY; k++) {
		wide[2 * k] = (char)(0xC4 + k / 64);
		wide[2 * k + 1] = (char)(0x80 + k % 64);
	}
	REFUSES(EBB_BAD_FILE, ebb_tokens_read(temp_path("none.txt"), &v, .error = &e), "none.txt",
		"No such file");
	REFUSES(EBB_BAD_FILE, ebb_tokens_read(temp_dir, &v, .error = &e), temp_dir);
	REFUSES(EBB_BAD_FILE, ebb_tokens_read(write_temp("empty.txt", "", 0), &v, .error = &e),
		"empty.txt: an empty file");
	REFUSES(EBB_BAD_FILE,
		ebb_tokens_read(
			write_temp("long.txt", "abcdef", 6), &v, .most_bytes = 5, .error = &e),
		"long.txt: more than 5 bytes");
	REFUSES(EBB_INVALID, ebb_tokens_read(NULL, &v, .error = &e), "vocabulary.c:", "path NULL");
	REFUSES(EBB_INVALID, ebb_tokens_read("a", .error = &e), "a pointer for the vocabulary");
	REFUSES(EBB_INVALID, ebb_tokens_read("a", &v, .dtype = EBB_F32, .error = &e), "of F32");
	REFUSES(EBB_INVALID, ebb_tokens_read("a", &v, .most_bytes = -1, .error = &e), "-1 bytes");
	REFUSES(EBB_BAD_DTYPE,
		ebb_tokens_read(write_temp("wide.txt", wide, sizeof wide), &v, .dtype = EBB_U8,
			.error = &e),
		"wide.txt", "300 tokens do not fit into U8");
	ck_assert(!v);
	x = ebb_tokens_read(write_temp("wide.txt", wide, sizeof wide), &v);
	ck_assert(v->size == MANY && ebb_count(x) == MANY && ebb_at(x, 299) == 299);
	ebb_tensor_free(x);
	ebb_vocabulary_free(v);
}
END_TEST

/* The codes in a checkpoint make the vocabulary of a model that is loaded later. */
START_TEST(a_vocabulary_is_saved_with_a_model)
{
	static const char text[] = "na\xC3\xAFve \xFF";
	ebb_vocabulary *v = ebb_vocabulary_new(text, sizeof text - 1, NULL), *w;
	ebb_saver *s = ebb_saver_new(temp_path("run.safetensors"));
	ebb_archive *file;
	ebb_tensor *codes;

	ebb_saver_add(s, "vocabulary", v->codes);
	ck_assert(ebb_saver_save(s, 1) && ebb_saver_wait(s));
	ebb_saver_free(s);
	file = ebb_archive_read(temp_path("run.safetensors"));
	codes = ebb_archive_tensor(file, "vocabulary", EBB_I64, NULL);
	w = ebb_vocabulary_of(codes, NULL);
	ck_assert(w && w->codes != codes && all_same(w->codes, v->codes) && w->size == v->size);
	ebb_tensor_free(codes);
	ebb_archive_free(file);
	ebb_vocabulary_free(v);
	ebb_vocabulary_free(w);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator allocator;
	char path[100];
	bool done = false;

	snprintf(path, sizeof path, "%s", write_temp("text.txt", "some text", 9));
	for (int fail_at = 0; !done; fail_at++) {
		ebb_vocabulary *v = NULL, *bytes, *copy = NULL;
		ebb_tensor *x, *y = NULL;
		ebb_error e = {0};

		counting_allocator_install(&allocator);
		allocator.fail_at = fail_at;
		x = ebb_tokens_read(path, &v, .error = &e);
		ck_assert(!x == !v);
		bytes = ebb_vocabulary_bytes(&e);
		if (v) {
			y = ebb_vocabulary_encode(v, "text", 4, &e);
			copy = ebb_vocabulary_of(v->codes, &e);
		}
		done = !allocator.refused;
		ck_assert((x && bytes && y && copy) == done);
		ck_assert(e.status == (done ? EBB_OK : EBB_NO_MEMORY));
		ebb_tensor_free(x);
		ebb_tensor_free(y);
		ebb_vocabulary_free(v);
		ebb_vocabulary_free(bytes);
		ebb_vocabulary_free(copy);
		counting_allocator_remove();
		ck_assert_msg(
			allocator.live == 0 && allocator.wrong == 0, "allocation %d", fail_at);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-vocabulary");
	TCase *c = tcase_create("texts"), *files = tcase_create("files");

	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	suite_add_tcase(s, files);
	tcase_add_checked_fixture(files, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, a_vocabulary_has_the_characters_that_occur);
	tcase_add_test(c, bytes_outside_of_utf8_are_tokens);
	tcase_add_test(c, any_bytes_are_encoded_without_loss);
	tcase_add_test(c, a_text_is_decoded_as_snprintf_would);
	tcase_add_test(c, texts_and_codes_that_do_not_fit_are_refused);
	tcase_add_test(files, a_file_is_read_as_tokens);
	tcase_add_test(files, files_that_do_not_fit_are_refused);
	tcase_add_test(files, a_vocabulary_is_saved_with_a_model);
	tcase_add_test(files, every_allocation_may_fail);
	return run_suite(s);
}
