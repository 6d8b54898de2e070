/*
 * archives.c - the fuzz targets for archives.
 */
#include "readers.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "archive/torch/pickle.h"

static void must(bool so)
{
	if (!so)
		abort();
}

static void must_say(bool ok, const ebb_error *e)
{
	must(ok == (e->status == EBB_OK) && ok == (e->message[0] == '\0'));
}

/* Only entries of at most so many elements are read. */
enum { MOST_ELEMENTS = 1 << 16 };

static void look_at_entry(const ebb_archive *a, int64_t index)
{
	ebb_shape shape = ebb_archive_shape_at(a, index);
	const char *name = ebb_archive_name_at(a, index);
	int64_t n = 1;
	ebb_error e = {0};
	ebb_tensor *x;

	must(ebb_archive_find(a, name) == index);
	for (int i = 0; i < shape.ndim; i++) {
		must(shape.dims[i] >= 0);
		n = shape.dims[i] && n > MOST_ELEMENTS / shape.dims[i] ? MOST_ELEMENTS + 1
		                                                       : n * shape.dims[i];
	}
	if (n > MOST_ELEMENTS)
		return;
	x = ebb_archive_tensor(a, name, EBB_DEFAULT, &e);
	must_say(x != NULL, &e);
	must(!x || ebb_count(x) == n);
	ebb_tensor_free(x);
}

static void look_at_archive(const uint8_t *bytes, size_t size)
{
	ebb_error e = {0};
	ebb_archive *a = (ebb_archive_read)(&(ebb_archive_read_args){
		.path = put_file("archive", bytes, size), .error = &e});

	must_say(a != NULL, &e);
	for (int64_t i = 0; i < ebb_archive_count(a); i++)
		look_at_entry(a, i);
	for (int64_t i = 0; i < ebb_archive_metadata_count(a); i++)
		must(ebb_archive_metadata_key_at(a, i) && ebb_archive_metadata_at(a, i));
	ebb_archive_free(a);
}

/* ---- safetensors ---------------------------------------------------------------------------- */

/* Writes a file: the length of the header, the header `text`, and some values. */
static void look_at_header(const char *name, const uint8_t *text, size_t size, size_t values)
{
	uint8_t *all = calloc(1, 8 + size + values), *to = all;

	must(all != NULL);
	for (int i = 0; i < 8; i++)
		*to++ = (uint8_t)((uint64_t)size >> (8 * i));
	if (size > 0)
		memcpy(to, text, size);
	if (strcmp(name, "archive") == 0)
		look_at_archive(all, 8 + size + values);
	else
		put_file(name, all, 8 + size + values);
	free(all);
}

/* Reads the bytes as a file, and as the header of a file, because random changes rarely produce
 * its length.  The last byte is the number of bytes of values, which must be as many as the header
 * says. */
void read_safetensors(const uint8_t *bytes, size_t size)
{
	look_at_archive(bytes, size);
	if (size > 0)
		look_at_header("archive", bytes, size - 1, bytes[size - 1]);
}

/* The bytes are an index of two shards, a.safetensors and b.safetensors. */
void read_index(const uint8_t *bytes, size_t size)
{
	static const char a[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
	static const char b[] = "{\"y\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
				"\"__metadata__\":{\"k\":\"v\"}}";

	look_at_header("a.safetensors", (const uint8_t *)a, sizeof a - 1, 8);
	look_at_header("b.safetensors", (const uint8_t *)b, sizeof b - 1, 1);
	look_at_archive(bytes, size);
}

/* ---- A zip file with given members ---------------------------------------------------------- */

typedef struct zipped {
	uint8_t *at;
	size_t n, members;
	uint8_t directory[1000];
	size_t directory_n;
} zipped;

static void add_number(uint8_t **to, uint64_t x, int width)
{
	for (int i = 0; i < width; i++)
		*(*to)++ = (uint8_t)(x >> (8 * i));
}

/* The fields that the local and the central header of a member have in common, from the version
 * on. */
static void add_fields(uint8_t **to, const char *name, const uint8_t *bytes, size_t size)
{
	add_number(to, 0, 8);
	add_number(to, 0x21, 2);
	add_number(to, crc32(crc32(0, NULL, 0), size ? bytes : (const uint8_t *)"", (uInt)size), 4);
	add_number(to, size, 4);
	add_number(to, size, 4);
	add_number(to, strlen(name), 2);
	add_number(to, 0, 2);
}

static void add_member(zipped *z, const char *name, const uint8_t *bytes, size_t size)
{
	uint8_t *to = z->at + z->n, *entry = z->directory + z->directory_n;
	size_t where = z->n, length = strlen(name);

	add_number(&to, 0x04034b50, 4);
	add_fields(&to, name, bytes, size);
	memcpy(to, name, length);
	if (size > 0)
		memcpy(to + length, bytes, size);
	z->n = (size_t)(to - z->at) + length + size;
	add_number(&entry, 0x02014b50, 4);
	add_number(&entry, 0, 2);
	add_fields(&entry, name, bytes, size);
	add_number(&entry, 0, 8);
	add_number(&entry, 0, 2);
	add_number(&entry, where, 4);
	memcpy(entry, name, length);
	z->directory_n = (size_t)(entry - z->directory) + length;
	z->members++;
}

static void finish(zipped *z)
{
	uint8_t *to = z->at + z->n;

	memcpy(to, z->directory, z->directory_n);
	to += z->directory_n;
	add_number(&to, 0x06054b50, 4);
	add_number(&to, 0, 4);
	add_number(&to, z->members, 2);
	add_number(&to, z->members, 2);
	add_number(&to, z->directory_n, 4);
	add_number(&to, z->n, 4);
	add_number(&to, 0, 2);
	z->n = (size_t)(to - z->at);
}

/* ---- NumPy's -------------------------------------------------------------------------------- */

/* Reads the bytes as a file; if they are no .npy file, also as the header of one, with values
 * behind it. */
void read_npy(const uint8_t *bytes, size_t size)
{
	static const uint8_t start[8] = "\x93NUMPY\1";
	uint8_t *all = malloc(size + 10 + 64), *to = all + sizeof start;

	must(all != NULL);
	look_at_archive(bytes, size);
	if (size > 0 && size < 1 << 16 && bytes[0] != start[0]) {
		memcpy(all, start, sizeof start);
		add_number(&to, size, 2);
		memcpy(to, bytes, size);
		memset(to + size, 1, 64);
		look_at_archive(all, size + 10 + 64);
	}
	free(all);
}

/* Reads the bytes as a file; if they are no zip file, also as two members of one. */
void read_npz(const uint8_t *bytes, size_t size)
{
	zipped z = {.at = malloc(2 * size + 4000)};

	must(z.at != NULL);
	look_at_archive(bytes, size);
	if (size < 2 || bytes[0] != 'P') {
		add_member(&z, "a.npy", bytes, size);
		add_member(&z, "b", bytes, size);
		finish(&z);
		look_at_archive(z.at, z.n);
	}
	free(z.at);
}

/* ---- PyTorch's ------------------------------------------------------------------------------ */

/* Reads the bytes as a file; if they are no zip file, also as the pickle of one, because random
 * changes never produce valid checksums. */
void read_torch(const uint8_t *bytes, size_t size)
{
	static const uint8_t numbers[64] = {0, 0, 0x80, 0x3f, 1, 2, 3, 4, 0xff, 0x7f};
	zipped z = {.at = malloc(size + 4000)};

	must(z.at != NULL);
	look_at_archive(bytes, size);
	if (size < 2 || bytes[0] != 'P') {
		add_member(&z, "a/data.pkl", bytes, size);
		add_member(&z, "a/data/0", numbers, sizeof numbers);
		add_member(&z, "a/data/1", numbers, 8);
		add_member(&z, "a/data/2", numbers, 0);
		finish(&z);
		look_at_archive(z.at, z.n);
	}
	free(z.at);
}

/* The pickle interpreter alone, without a file. */
void read_pickle(const uint8_t *bytes, size_t size)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_of_file("fuzz", 0, 0, &e);
	ebb_py_heap heap;
	ebb_pickle p = {.heap = &heap, .what = "data.pkl", .bytes = bytes, .size = (int64_t)size};

	must(a != NULL);
	ebb_py_begin(&heap, a, &e);
	must(ebb_archive_expect(a, p.size, "data.pkl", &e));
	must_say(ebb_pickle_load(&p) != NULL, &e);
	ebb_pickle_free(&p);
	must(a->taken <= 64 * p.size + (1 << 20));
	ebb_py_end(&heap);
	must(a->taken == 0);
	ebb_archive_free(a);
}
