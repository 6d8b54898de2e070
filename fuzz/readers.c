/*
 * readers.c - the fuzz targets for images and data sets; a test replays inputs that once failed.
 *
 * A target asserts that a reader either succeeds or reports an error, and accesses every element
 * of the result.
 */
#include "readers.h"

#include <ebb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Most pixels per image: enough for every code path, and fast. */
enum { MOST_PIXELS = 1 << 18 };

static void must(bool so)
{
	if (!so)
		abort();
}

static void must_say(bool ok, const ebb_error *e)
{
	must(ok == (e->status == EBB_OK) && ok == (e->message[0] == '\0'));
}

/* ---- Files, for readers that do not read from memory ---------------------------------------- */

static char directory[32];

static void remove_directory(void)
{
	static const char *const names[] = {"idx", "list", "test_batch.bin", "test.bin", "archive",
		"a.safetensors", "b.safetensors"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[64];

		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

const char *put_file(const char *name, const uint8_t *bytes, size_t size)
{
	static char path[64];
	FILE *f;

	if (!directory[0]) {
		/* In memory if possible, because every run would wait for the disk. */
		strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/ebb-fuzz-XXXXXX"
								: "/tmp/ebb-fuzz-XXXXXX");
		must(mkdtemp(directory) != NULL);
		atexit(remove_directory);
	}
	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "wb");
	must(f != NULL);
	must(fwrite(bytes, 1, size, f) == size);
	must(fclose(f) == 0);
	return path;
}

/* ---- Images --------------------------------------------------------------------------------- */

static void read_image(const uint8_t *bytes, size_t size)
{
	static const ebb_image_options options[] = {
		{.max_pixels = MOST_PIXELS, .keep_wide = true},
		{.max_pixels = MOST_PIXELS, .channels = 1},
		{.max_pixels = MOST_PIXELS, .channels = 2, .shorter_side = 16},
		{.max_pixels = MOST_PIXELS, .channels = 3, .shorter_side = 1},
		{.max_pixels = MOST_PIXELS, .channels = 4, .keep_wide = true, .upright = true},
		{.max_pixels = MOST_PIXELS, .strict = true},
	};
	ebb_error e = {0};
	ebb_image x = {0};

	must_say(ebb_image_probe(bytes, size, NULL, &x, &e), &e);
	must(e.status != EBB_OK || (x.height > 0 && x.width > 0 && !x.pixels));
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		bool ok;

		e = (ebb_error){0};
		ok = ebb_image_decode(bytes, size, NULL, &options[i], &x, &e);
		must_say(ok, &e);
		if (ok) {
			int64_t n = x.height * x.width * x.channels * (x.wide ? 2 : 1);
			unsigned sum = 0;

			must(options[i].channels == 0 || x.channels == options[i].channels);
			for (int64_t k = 0; k < n; k++)
				sum += x.pixels[k];
			must(sum <= n * 255);
		}
	}
	ebb_image_free(&x);
}

static void put_checksum(uint8_t *at, uLong sum)
{
	for (int k = 0; k < 4; k++)
		at[k] = (uint8_t)(sum >> (24 - 8 * k));
}

/* Reads the bytes as they are, and once more with the checksum of every chunk corrected, because
 * random changes never produce a valid one. */
void read_png(const uint8_t *bytes, size_t size)
{
	static const uint8_t magic[8] = "\x89PNG\r\n\x1a\n";
	bool headed = size >= 8 && bytes[0] == magic[0];
	size_t start = headed ? 0 : sizeof magic, n = start + size, at = sizeof magic;
	uint8_t *all = malloc(n);

	must(all != NULL);
	memcpy(all, magic, start);
	if (size > 0)
		memcpy(all + start, bytes, size);
	read_image(all, n);
	while (n - at >= 12) {
		size_t length = (size_t)all[at] << 24 | (size_t)all[at + 1] << 16 |
		                (size_t)all[at + 2] << 8 | all[at + 3];

		if (length > n - at - 12)
			break;
		put_checksum(all + at + 8 + length, crc32(0, all + at + 4, (uInt)length + 4));
		at += length + 12;
	}
	read_image(all, n);
	free(all);
}

/* Prepends the magic number, so that no run is spent on finding it. */
void read_jpeg(const uint8_t *bytes, size_t size)
{
	uint8_t *all = malloc(size + 3);

	must(all != NULL);
	memcpy(all, "\xff\xd8\xff", 3);
	if (size > 0)
		memcpy(all + 3, bytes, size);
	if (size >= 3 && bytes[0] == 0xff)
		read_image(bytes, size);
	else
		read_image(all, size + 3);
	free(all);
}

/* ---- Data sets ------------------------------------------------------------------------------ */

void read_idx(const uint8_t *bytes, size_t size)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_idx_read(put_file("idx", bytes, size), &e);

	must_say(x != NULL, &e);
	must(!x || ebb_count(x) == 0 || ebb_at(x, ebb_count(x) - 1) <= 255);
	ebb_tensor_free(x);
}

static void look_at(ebb_dataset *d, const ebb_error *e)
{
	must_say(d != NULL, e);
	for (int64_t i = 0; d && i < d->count; i++)
		must(ebb_dataset_label(d, i) >= 0 && ebb_dataset_label(d, i) < d->classes);
	ebb_dataset_free(d);
}

void read_cifar(const uint8_t *bytes, size_t size)
{
	ebb_error e = {0};

	put_file("test_batch.bin", bytes, size);
	look_at(ebb_cifar10(directory, EBB_TEST, &e), &e);
	e = (ebb_error){0};
	put_file("test.bin", bytes, size);
	look_at(ebb_cifar100(directory, EBB_TEST, EBB_FINE, &e), &e);
}

void read_list(const uint8_t *bytes, size_t size)
{
	ebb_error e = {0};

	look_at(ebb_list(put_file("list", bytes, size), .error = &e), &e);
}
