/* JPEG files: every kind, valid, truncated, damaged, and with defects outside of the pixel data. */
#include "tests/data/pictures.h"

#include <stdlib.h>
#include <string.h>

#if EBB_HAVE_JPEG
/* 17 x 13 pixels; checksums of Pillow's results. */
static const struct {
	const char *name;
	int channels;
	uint64_t hash, rgb;
} jpegs[] = {
	{"jpeg/grey.jpg", 1, 0x27dd169c5e23be35, 0x2fd22e5466ed29b1},
	{"jpeg/progressive.jpg", 3, 0x0af58952aec12ce4, 0x0af58952aec12ce4},
	{"jpeg/restart.jpg", 3, 0xe4e61d90d927abf8, 0xe4e61d90d927abf8},
	{"jpeg/rgb-420.jpg", 3, 0xcd9af1f78159e865, 0xcd9af1f78159e865},
	{"jpeg/rgb-444.jpg", 3, 0x84730a2cfa8da35b, 0x84730a2cfa8da35b},
};

START_TEST(every_kind_of_jpeg_is_decoded)
{
	for (size_t i = 0; i < sizeof jpegs / sizeof *jpegs; i++) {
		ebb_image x = {0}, y = {0};
		ebb_error e = {0};
		size_t size;
		uint8_t *bytes = load(jpegs[i].name, &size);

		ck_assert_msg(ebb_image_decode(bytes, size, NULL, NULL, &x, &e), "%s", e.message);
		ck_assert(x.height == 17 && x.width == 13 && x.channels == jpegs[i].channels);
		/* Another version of libjpeg may round differently. */
		ck_assert_msg(hash_image(&x) == jpegs[i].hash, "%s differs", jpegs[i].name);
		ck_assert(ebb_image_decode(
			bytes, size, NULL, &(ebb_image_options){.channels = 3}, &x, &e));
		ck_assert(hash_image(&x) == jpegs[i].rgb);
		ck_assert(ebb_image_probe(bytes, size, NULL, &y, &e));
		ck_assert(y.height == 17 && y.width == 13 && y.channels == jpegs[i].channels);
		for (int channels = 1; channels <= 4; channels++) {
			const ebb_image_options o = {.channels = channels};

			ck_assert(ebb_image_decode(bytes, size, NULL, &o, &y, &e));
			ck_assert_int_eq(y.channels, channels);
			for (int k = 0; k < 17 * 13; k++) {
				const uint8_t *p = x.pixels + 3 * k, *q = y.pixels + channels * k;

				if (channels >= 3)
					ck_assert(p[0] == q[0] && p[1] == q[1] && p[2] == q[2]);
				else
					ck_assert_int_le(
						abs(q[0] - (299 * p[0] + 587 * p[1] + 114 * p[2]) /
								   1000),
						2);
				ck_assert(channels % 2 == 1 || q[channels - 1] == 255);
			}
		}
		for (size_t n = 0; n < size - 2; n++) {
			e = (ebb_error){0};
			ck_assert_msg(!ebb_image_decode(bytes, n, "cut.jpg", NULL, &y, &e),
				"%zu of %zu bytes of %s were enough", n, size, jpegs[i].name);
			ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "cut.jpg: "));
		}
		refused(bytes, size, &(ebb_image_options){.max_pixels = 220}, EBB_BAD_FILE,
			"17 x 13 pixels");
		ebb_image_free(&x);
		ebb_image_free(&y);
		free(bytes);
	}
}
END_TEST

START_TEST(a_jpeg_is_decoded_at_a_reduced_size)
{
	/* the requested shorter side, and the size that results from 17 x 13 */
	static const int sizes[][3] = {
		{13, 17, 13}, {12, 15, 12}, {7, 9, 7}, {1, 3, 2}, {99, 17, 13}};
	size_t size;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size);
	ebb_image x = {0};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const ebb_image_options o = {.shorter_side = sizes[i][0]};

		ck_assert(ebb_image_decode(bytes, size, NULL, &o, &x, NULL));
		ck_assert_msg(x.height == sizes[i][1] && x.width == sizes[i][2],
			"case %zu: %lld x %lld", i, (long long)x.height, (long long)x.width);
	}
	refused(bytes, size, &(ebb_image_options){.shorter_side = -1}, EBB_INVALID, "side -1");
	ebb_image_free(&x);
	free(bytes);
}
END_TEST

START_TEST(cmyk_is_converted_to_rgb)
{
	/* Pillow's convert("RGB"), and convert("L") of that */
	static const struct {
		const char *name;
		uint64_t rgb, grey;
	} files[] = {{"jpeg/cmyk.jpg", 0x05650c4bdbd11656, 0xcf5e6eb82b1f3972},
		{"jpeg/ycck.jpg", 0x0935364818845127, 0xcdf85ec7e69080c6}};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		ebb_image x = {0}, y = {0}, z = {0};
		ebb_error e = {0};
		size_t size;
		uint8_t *bytes = load(files[i].name, &size);

		ck_assert_msg(ebb_image_decode(bytes, size, NULL, NULL, &x, &e), "%s", e.message);
		ck_assert(x.height == 17 && x.width == 13 && x.channels == 3);
		ck_assert_msg(hash_image(&x) == files[i].rgb, "%s differs", files[i].name);
		ck_assert(ebb_image_probe(bytes, size, NULL, &y, &e) && y.channels == 3);
		for (int channels = 1; channels <= 4; channels++) {
			const ebb_image_options o = {.channels = channels};

			ck_assert(ebb_image_decode(bytes, size, NULL, &o, &y, &e));
			ck_assert(ebb_image_convert(&x, channels, &z, NULL));
			ck_assert(y.channels == channels && hash_image(&y) == hash_image(&z));
			ck_assert(channels != 1 || hash_image(&y) == files[i].grey);
		}
		ebb_image_free(&x);
		ebb_image_free(&y);
		ebb_image_free(&z);
		free(bytes);
	}
}
END_TEST

/* Checks an error that is detected after pixels were decoded. */
static void damaged(const void *bytes, size_t size, const ebb_image_options *o, const char *words)
{
	ebb_image x = {0};
	ebb_error e = {0};

	ck_assert_msg(!ebb_image_decode(bytes, size, "a/file", o, &x, &e), "expected: %s", words);
	ck_assert_msg(e.status == EBB_BAD_FILE && strstr(e.message, words), "%s", e.message);
	ck_assert(strstr(e.message, "a/file: damaged JPEG: "));
	ebb_image_free(&x);
}

/* A copy of bytes with n more bytes inserted at a position; increases *size. */
static uint8_t *inserted(const uint8_t *bytes, size_t *size, size_t at, const void *more, size_t n)
{
	uint8_t *all = malloc(*size + n);

	ck_assert_ptr_nonnull(all);
	memcpy(all, bytes, at);
	memcpy(all + at, more, n);
	memcpy(all + at + n, bytes + at, *size - at);
	*size += n;
	return all;
}

static size_t find_marker(const uint8_t *bytes, size_t size, uint8_t marker)
{
	for (size_t i = 0; i + 1 < size; i++)
		if (bytes[i] == 0xff && bytes[i + 1] == marker)
			return i;
	ck_abort_msg("no marker 0x%02x", marker);
	return 0;
}

/* Zeros before the quantisation tables, the frame, the Huffman tables, the scan, and the end. */
START_TEST(stray_bytes_between_segments_are_a_warning)
{
	static const uint8_t markers[] = {0xdb, 0xc0, 0xc4, 0xda, 0xd9}, zeros[258] = {0};
	size_t size;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size);
	ebb_image x = {0};

	for (size_t i = 0; i < sizeof markers; i++) {
		for (size_t n = 2; n <= 258; n += 256) {
			size_t longer = size, at = find_marker(bytes, size, markers[i]);
			uint8_t *stray = inserted(bytes, &longer, at, zeros, n);
			ebb_error e = {0}, warning = {0};
			ebb_image_options o = {.warning = &warning};
			bool ok = ebb_image_decode(stray, longer, "a/file", &o, &x, &e);

			ck_assert_msg(ok, "before 0x%02x: %s", markers[i], e.message);
			ck_assert(hash_image(&x) == jpegs[4].hash && e.status == EBB_OK);
			/* The decoder reads a few bytes beyond those that it needs. */
			if (n > 2 || markers[i] != 0xd9)
				ck_assert_msg(warning.status == EBB_BAD_FILE &&
						      strstr(warning.message, "a/file: decoded") &&
						      strstr(warning.message, "extraneous bytes"),
					"%zu before 0x%02x: %s", n, markers[i], warning.message);
			ck_assert(ebb_image_decode(stray, longer, NULL, NULL, &x, NULL));
			if (warning.status != EBB_OK)
				damaged(stray, longer, &(ebb_image_options){.strict = true},
					"extraneous bytes");
			free(stray);
		}
	}
	/* Bytes after the end are ignored. */
	{
		size_t longer = size;
		uint8_t *stray = inserted(bytes, &longer, size, "after the end", 13);
		ebb_error warning = {0};
		ebb_image_options o = {.warning = &warning, .strict = true};

		ck_assert(ebb_image_decode(stray, longer, NULL, &o, &x, NULL));
		ck_assert(hash_image(&x) == jpegs[4].hash && warning.status == EBB_OK);
		free(stray);
	}
	ebb_image_free(&x);
	free(bytes);
}
END_TEST

START_TEST(an_application_segment_of_an_unknown_version_is_a_warning)
{
	size_t size;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size);
	size_t jfif = find_marker(bytes, size, 0xe0);
	ebb_error warning = {0};
	ebb_image_options o = {.warning = &warning};
	ebb_image x = {0};

	ck_assert(memcmp(bytes + jfif + 4, "JFIF", 5) == 0);
	bytes[jfif + 9] = 7;
	ck_assert(ebb_image_decode(bytes, size, NULL, &o, &x, NULL));
	ck_assert(hash_image(&x) == jpegs[4].hash);
	ck_assert_msg(strstr(warning.message, "JFIF"), "%s", warning.message);
	o.strict = true;
	damaged(bytes, size, &o, "JFIF");
	ebb_image_free(&x);
	free(bytes);
}
END_TEST

/* Changed data, which libjpeg decodes with a warning, must be an error. */
START_TEST(damaged_data_of_a_jpeg_are_an_error)
{
	size_t size;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size), *cut;
	size_t longer = size;

	/* The next segment begins in the middle of the data. */
	cut = inserted(bytes, &longer, size - 40, "\xff\xd0", 2);
	damaged(cut, longer, NULL, "premature end of data segment");
	free(cut);
	memset(bytes + size - 40, 0xfe, 30);
	damaged(bytes, size, NULL, "Corrupt JPEG data");
	free(bytes);
}
END_TEST

/* Writes an APP1 segment with a TIFF structure of two entries, in either byte order. */
static size_t exif(uint8_t *to, bool little, int orientation)
{
	static const uint8_t big_end[] = {0xff, 0xe1, 0, 40, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0,
		42, 0, 0, 0, 8, 0, 2, 1, 0, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0, 1, 0x12, 0, 3, 0, 0, 0, 1,
		0, 0, 0, 0};
	static const uint8_t little_end[] = {0xff, 0xe1, 0, 40, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I',
		42, 0, 8, 0, 0, 0, 2, 0, 0, 1, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0,
		0, 0, 0, 0, 0};

	memcpy(to, little ? little_end : big_end, sizeof big_end);
	to[40 + !little] = (uint8_t)orientation;
	to[3] = sizeof big_end - 2;
	return sizeof big_end;
}

START_TEST(upright_applies_the_exif_orientation)
{
	/* of Pillow's transposed images */
	static const uint64_t hashes[9] = {[1] = 0x84730a2cfa8da35b,
		[2] = 0x3f4e337b62e45287,
		[3] = 0x830b50aacfd41e27,
		[4] = 0x5b6d6b024f39d96b,
		[5] = 0x69ab8aa486b874d7,
		[6] = 0x81a12ea58504140f,
		[7] = 0x53c31d7704778feb,
		[8] = 0xac1ca5608228806b};
	size_t size;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size), segment[64];
	ebb_image x = {0}, y = {0};

	for (int orientation = 0; orientation <= 9; orientation++) {
		bool valid = orientation >= 1 && orientation <= 8,
		     swapped = valid && orientation >= 5;

		for (int little = 0; little <= 1; little++) {
			size_t longer = size, n = exif(segment, little, orientation);
			uint8_t *all = inserted(bytes, &longer, 2, segment, n);
			ebb_image_options o = {0};

			ck_assert(ebb_image_decode(all, longer, NULL, &o, &x, NULL));
			ck_assert(hash_image(&x) == hashes[1]);
			o.upright = true;
			for (o.channels = 0; o.channels <= 4; o.channels++) {
				ck_assert(ebb_image_decode(all, longer, NULL, &o, &x, NULL));
				ck_assert(x.width == (swapped ? 17 : 13));
				ck_assert(x.height == (swapped ? 13 : 17));
				if (o.channels == 4) {
					ck_assert(ebb_image_convert(&x, 3, &y, NULL));
					ck_assert(
						hash_image(&y) == hashes[valid ? orientation : 1]);
				} else if (o.channels % 3 == 0) {
					ck_assert_msg(
						hash_image(&x) == hashes[valid ? orientation : 1],
						"orientation %d", orientation);
				}
			}
			free(all);
		}
	}
	/* A truncated segment is never read beyond its end. */
	for (int n = 4; n < 42; n++) {
		size_t longer = size;
		uint8_t *all;

		exif(segment, false, 6);
		segment[3] = (uint8_t)(n - 2);
		all = inserted(bytes, &longer, 2, segment, (size_t)n);
		ck_assert(ebb_image_decode(
			all, longer, NULL, &(ebb_image_options){.upright = true}, &x, NULL));
		ck_assert(x.width == (n < 42 ? 13 : 17));
		free(all);
	}
	ebb_image_free(&x);
	ebb_image_free(&y);
	free(bytes);
}
END_TEST

START_TEST(a_data_set_lists_the_warnings_of_its_files)
{
	size_t size, longer;
	uint8_t *bytes = load("jpeg/rgb-444.jpg", &size), *stray;
	const char *message;
	int64_t index;
	ebb_dataset *d, *part;
	ebb_image x = {0};
	ebb_error e = {0};

	write_temp("root/class/0.jpg", "none", 4);
	write_temp("root/class/1.jpg", bytes, size);
	longer = size;
	stray = inserted(bytes, &longer, find_marker(bytes, size, 0xdb), "\0\0", 2);
	write_temp("root/class/2.jpg", stray, longer);
	for (int verify = 0; verify <= 1; verify++) {
		int64_t there = verify ? 1 : 2;

		d = ebb_folder(
			temp_path("root"), .verify = verify, .on_error = EBB_SKIP, .error = &e);
		ck_assert_msg(d && d->count == there + 1, "%s", e.message);
		ck_assert_int_eq(ebb_dataset_warned(d), verify);
		part = ebb_dataset_range(d, there, 1, NULL);
		for (int k = 0; k < 2; k++)
			ck_assert(ebb_dataset_fetch(part, 0, &x, &e) == EBB_FETCHED);
		ck_assert(hash_image(&x) == jpegs[4].hash && e.status == EBB_OK);
		ck_assert(ebb_dataset_fetch(d, there - 1, &x, &e) == EBB_FETCHED);
		ck_assert_int_eq(ebb_dataset_warned(d), 1);
		ck_assert(ebb_dataset_warned_at(d, 0, &index, &message) && index == there);
		ck_assert(strstr(message, "root/class/2.jpg: decoded with a warning"));
		ck_assert(!ebb_dataset_warned_at(d, 1, &index, &message));
		ck_assert_int_eq(ebb_dataset_warned(part), 1);
		ck_assert(ebb_dataset_warned_at(part, 0, &index, &message) && index == 0);
		ck_assert_int_eq(ebb_dataset_skipped(d), verify);
		ebb_dataset_free(part);
		ebb_dataset_free(d);
		d = ebb_folder(
			temp_path("root"), .verify = verify, .on_error = EBB_SKIP, .strict = true);
		if (!verify)
			ck_assert(ebb_dataset_fetch(d, 2, &x, &e) == EBB_FETCH_SKIPPED);
		ck_assert(ebb_dataset_warned(d) == 0 && ebb_dataset_skipped(d) == 1 + verify);
		ebb_dataset_free(d);
	}
	ck_assert(
		ebb_dataset_warned(NULL) == 0 && !ebb_dataset_warned_at(NULL, 0, &index, &message));
	write_temp("root/list.tsv", "class/2.jpg\t0\n", 14);
	ck_assert_ptr_null(
		ebb_list(temp_path("root/list.tsv"), .strict = true, .verify = true, .error = &e));
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "2.jpg: damaged JPEG"));
	ebb_image_free(&x);
	free(stray);
	free(bytes);
}
END_TEST
#else
START_TEST(a_build_without_jpeg_refuses_it)
{
	refused("\xff\xd8\xff\xe0", 4, NULL, EBB_BAD_FILE, "built without libjpeg-turbo");
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("data-jpeg-files");
	TCase *c = tcase_create("jpeg");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
#if EBB_HAVE_JPEG
	tcase_add_test(c, every_kind_of_jpeg_is_decoded);
	tcase_add_test(c, a_jpeg_is_decoded_at_a_reduced_size);
	tcase_add_test(c, cmyk_is_converted_to_rgb);
	tcase_add_test(c, stray_bytes_between_segments_are_a_warning);
	tcase_add_test(c, an_application_segment_of_an_unknown_version_is_a_warning);
	tcase_add_test(c, damaged_data_of_a_jpeg_are_an_error);
	tcase_add_test(c, upright_applies_the_exif_orientation);
	tcase_add_test(c, a_data_set_lists_the_warnings_of_its_files);
#else
	tcase_add_test(c, a_build_without_jpeg_refuses_it);
#endif
	suite_add_tcase(s, c);
	return run_suite(s);
}
