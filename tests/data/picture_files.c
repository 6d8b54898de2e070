/* PNG files: every kind, valid, truncated and damaged; writing and reading back. */
#include "tests/data/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All have 5 x 7 random pixels.  Checksums: of Pillow's pixels, as RGB or with alpha; for 16 bits,
 * which Pillow reduces, of a small decoder in Python. */
static const struct {
	const char *name;
	int channels;
	bool wide;
	uint64_t hash;
} pngs[] = {
	{"grey-1-interlaced.png", 1, false, 0x31b9884608000447},
	{"grey-1.png", 1, false, 0x854293ec8be9a9a1},
	{"grey-16-interlaced.png", 1, true, 0xe6875d3565bc00d9},
	{"grey-16.png", 1, true, 0x774f457b4a58e7a1},
	{"grey-2-interlaced.png", 1, false, 0xb1ea98f214a5a91b},
	{"grey-2.png", 1, false, 0xfcc7b93d3551a646},
	{"grey-4-interlaced.png", 1, false, 0xece28ab0090ba3b1},
	{"grey-4.png", 1, false, 0xbd0eac787813c795},
	{"grey-8-interlaced.png", 1, false, 0xd612cfd9e6ecce6b},
	{"grey-8-transparent.png", 2, false, 0xbd317b1ef9fce723},
	{"grey-8.png", 1, false, 0xdce872d79d5970a9},
	{"grey-alpha-16-interlaced.png", 2, true, 0x01b722c176df6776},
	{"grey-alpha-16.png", 2, true, 0xf551975291367fac},
	{"grey-alpha-8-interlaced.png", 2, false, 0x0d9a07b292523fde},
	{"grey-alpha-8.png", 2, false, 0x50f63577d9efaee5},
	{"palette-1-interlaced.png", 3, false, 0xa30c0ce4e49a5ecd},
	{"palette-1.png", 3, false, 0x41862fc364034cfb},
	{"palette-2-interlaced.png", 3, false, 0x628a76f65e1d6046},
	{"palette-2.png", 3, false, 0xc064d5414cba18dc},
	{"palette-4-interlaced.png", 3, false, 0x25e8971cb9dcea9a},
	{"palette-4.png", 3, false, 0x64064fc824809cb9},
	{"palette-8-interlaced.png", 3, false, 0xad320a3803b46bac},
	{"palette-8-transparent.png", 4, false, 0x6729729d960dc9d0},
	{"palette-8.png", 3, false, 0xc242b870b3d00d24},
	{"rgb-16-interlaced.png", 3, true, 0x5baea62f837a9818},
	{"rgb-16-transparent.png", 4, true, 0xb0f9dff390e9352d},
	{"rgb-16.png", 3, true, 0x517cf81a59d53720},
	{"rgb-8-interlaced.png", 3, false, 0x3d546622c6a9ec6d},
	{"rgb-8.png", 3, false, 0xbcdd29d88b05f4f3},
	{"rgba-16-interlaced.png", 4, true, 0x08a4e25c4f012031},
	{"rgba-16.png", 4, true, 0x348f64d795933376},
	{"rgba-8-interlaced.png", 4, false, 0xdbbbdf818e18cb99},
	{"rgba-8.png", 4, false, 0x44aa31391b4f29ca},
};

START_TEST(every_kind_of_png_is_decoded)
{
	for (size_t i = 0; i < sizeof pngs / sizeof *pngs; i++) {
		char name[100];
		size_t size;
		uint8_t *bytes;
		ebb_image x = {0}, y = {0}, z = {0}, header = {0};
		ebb_error e = {0};

		snprintf(name, sizeof name, "png/%s", pngs[i].name);
		bytes = load(name, &size);
		ck_assert_msg(ebb_image_decode(bytes, size, name,
				      &(ebb_image_options){.keep_wide = true}, &x, &e),
			"%s", e.message);
		ck_assert(x.height == 7 && x.width == 5 && x.channels == pngs[i].channels);
		ck_assert(x.wide == pngs[i].wide);
		ck_assert_msg(hash_image(&x) == pngs[i].hash, "%s differs", name);
		ck_assert(ebb_image_probe(bytes, size, name, &header, &e));
		ck_assert(header.height == 7 && header.width == 5 && header.wide == x.wide &&
			  header.channels == x.channels && !header.pixels);
		/* To bytes: v / 257, rounded. */
		ck_assert(ebb_image_decode(bytes, size, name, NULL, &y, &e) && !y.wide);
		for (int64_t k = 0; k < 35 * x.channels; k++) {
			int v = x.wide ? (((uint16_t *)(void *)x.pixels)[k] + 128) / 257
			               : x.pixels[k];

			ck_assert_int_eq(y.pixels[k], v);
		}
		/* The reader converts as ebb_image_convert does. */
		for (int channels = 1; channels <= 4; channels++) {
			const ebb_image_options o = {.channels = channels, .keep_wide = true};

			ck_assert(ebb_image_decode(bytes, size, name, &o, &y, &e));
			ck_assert(ebb_image_convert(&x, channels, &z, NULL));
			ck_assert_msg(y.channels == channels && hash_image(&y) == hash_image(&z),
				"%s as %d channels", name, channels);
		}
		/* Every truncated file is an error. */
		for (size_t n = 0; n < size; n++) {
			e = (ebb_error){0};
			ck_assert_msg(!ebb_image_decode(bytes, n, "cut.png", NULL, &y, &e),
				"%zu of %zu bytes of %s were enough", n, size, name);
			ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "cut.png: "));
		}
		/* Every critical chunk has a checksum. */
		e = (ebb_error){0};
		bytes[size - 30] ^= 1;
		ck_assert(!ebb_image_decode(bytes, size, "bad.png", NULL, &y, &e));
		ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "bad.png: damaged PNG: "));
		ebb_image_free(&x);
		ebb_image_free(&y);
		ebb_image_free(&z);
		free(bytes);
	}
}
END_TEST

START_TEST(a_written_png_is_read_back)
{
	ebb_image x = {0}, y = {0};
	ebb_error e = {0};

	for (int channels = 1; channels <= 4; channels++) {
		for (int wide = 0; wide <= 1; wide++) {
			const char *path = temp_path("back.png");
			uint8_t *bytes;
			size_t size, capacity;

			/* An image of 16 bits is drawn as one of bytes with twice the width. */
			draw_pattern(&x, 21, 34, channels);
			x.wide = wide;
			x.width = wide ? 17 : 34;
			ck_assert_msg(ebb_image_write_png(path, &x, &e), "%s", e.message);
			ck_assert_msg(ebb_image_read(path, &(ebb_image_options){.keep_wide = true},
					      &y, &e),
				"%s", e.message);
			ck_assert(y.wide == x.wide && y.width == x.width && y.height == 21 &&
				  y.channels == channels && hash_image(&x) == hash_image(&y));
			ck_assert(ebb_image_encode_png(&x, &bytes, &size, &capacity, &e));
			ck_assert(ebb_image_decode(bytes, size, NULL, NULL, &y, &e) && !y.wide);
			ebb_free(bytes, capacity);
		}
	}
	ck_assert(!ebb_image_write_png(temp_path("none/x.png"), &x, &e));
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "No such file"));
	ck_assert(!ebb_image_write_png(NULL, &x, NULL));
	ck_assert(!ebb_image_write_png(temp_path("x.png"), NULL, NULL));
	ck_assert(access(temp_path("x.png"), F_OK) != 0);
	if (access("/dev/full", W_OK) == 0) {
		ck_assert_int_eq(symlink("/dev/full", temp_path("full.png")), 0);
		e = (ebb_error){0};
		ck_assert(!ebb_image_write_png(temp_path("full.png"), &x, &e));
		ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "No space left"));
		ck_assert(access(temp_path("full.png"), F_OK) == 0);
	}
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(other_files_are_refused)
{
	size_t size;
	uint8_t *bytes = load("png/rgb-8.png", &size);
	ebb_image x = {0};
	ebb_error e = {0};

	refused("GIF89a..", 8, NULL, EBB_BAD_FILE,
		"neither PNG nor JPEG: it begins with 47 49 46 38");
	refused("ab", 2, NULL, EBB_BAD_FILE, "2 bytes");
	refused(bytes, size, &(ebb_image_options){.max_pixels = 34}, EBB_BAD_FILE,
		"7 x 5 pixels, more than the 34");
	refused(bytes, size, &(ebb_image_options){.channels = 5}, EBB_INVALID, "5 channels");
	refused(bytes, size, &(ebb_image_options){.channels = -1}, EBB_INVALID, "-1 channels");
	refused(bytes, size, &(ebb_image_options){.max_pixels = -1}, EBB_INVALID, "at most -1");
	refused(NULL, 5, NULL, EBB_INVALID, "NULL");
	ck_assert(!ebb_image_decode(bytes, size, NULL, NULL, NULL, NULL));
	ck_assert(!ebb_image_read(temp_path("nowhere.png"), NULL, &x, &e));
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, temp_dir));
	e = (ebb_error){0};
	ck_assert(!ebb_image_read(write_temp("empty.png", "", 0), NULL, &x, &e));
	ck_assert(strstr(e.message, "empty file"));
	ck_assert(!ebb_image_read(NULL, NULL, &x, NULL));
	free(bytes);
}
END_TEST

/* A header that declares more pixels than memory can hold is refused by max_pixels, or because the
 * file is too small for it. */
START_TEST(headers_of_huge_images_are_refused)
{
	/* IHDR of 30,000 x 30,000 RGBA pixels of 16 bits with its checksum, and an empty IDAT. */
	static const uint8_t bomb[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13,
		'I', 'H', 'D', 'R', 0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 16, 6, 0, 0, 0, 0x36, 0xb7,
		0x24, 0xf9, 0, 0, 0, 0, 'I', 'D', 'A', 'T', 0x35, 0xaf, 0x06, 0x1e};
	counting_allocator a;

	counting_allocator_install(&a);
	refused(bomb, sizeof bomb, NULL, EBB_BAD_FILE, "more than the 67108864");
	refused(bomb, sizeof bomb, &(ebb_image_options){.max_pixels = INT64_MAX}, EBB_BAD_FILE,
		"too few bytes");
	ck_assert(a.live == 0 && a.wrong == 0);
	counting_allocator_remove();
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	static const char *const names[] = {"png/palette-8-transparent.png", "png/rgb-16.png"};
	counting_allocator a;

	for (int i = 0; i < 4; i++) {
		size_t size;
		uint8_t *bytes = load(names[i % 2], &size);
		const ebb_image_options o = {.channels = i / 2};
		bool done = false;

		for (int fail_at = 0; !done; fail_at++) {
			ebb_image x = {0};
			ebb_error e = {0};
			uint8_t *packed = NULL;
			size_t packed_size, capacity = 0;
			bool ok;

			counting_allocator_install(&a);
			a.fail_at = fail_at;
			ok = ebb_image_decode(bytes, size, NULL, &o, &x, &e) &&
			     ebb_image_encode_png(&x, &packed, &packed_size, &capacity, &e);
			done = a.refused == 0;
			ck_assert_msg(ok || e.status == EBB_NO_MEMORY, "allocation %d: %s", fail_at,
				e.message);
			ck_assert(!done || ok);
			ebb_free(packed, capacity);
			ebb_image_free(&x);
			counting_allocator_remove();
			ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d leaks", fail_at);
		}
		free(bytes);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-picture-files");
	TCase *c = tcase_create("png");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, every_kind_of_png_is_decoded);
	tcase_add_test(c, a_written_png_is_read_back);
	tcase_add_test(c, other_files_are_refused);
	tcase_add_test(c, headers_of_huge_images_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
