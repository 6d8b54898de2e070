#include "torch_files.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- Bytes ---------------------------------------------------------------------------------- */

void add(bytes *b, const void *data, size_t n)
{
	ck_assert_uint_le(b->n + n, ROOM);
	if (n > 0)
		memcpy(b->at + b->n, data, n);
	b->n += n;
}

void add_number(bytes *b, uint64_t x, int width)
{
	for (int i = 0; i < width; i++)
		add(b, &(uint8_t){(uint8_t)(x >> (8 * i))}, 1);
}

/* ---- Pickles -------------------------------------------------------------------------------- */

void add_text(bytes *b, const char *text)
{
	ADD(b, "X");
	add_number(b, strlen(text), 4);
	add(b, text, strlen(text));
}

void add_int(bytes *b, int64_t x)
{
	ADD(b, "\x8a\x08");
	add_number(b, (uint64_t)x, 8);
}

void add_global(bytes *b, const char *module, const char *name)
{
	ADD(b, "c");
	add(b, module, strlen(module));
	ADD(b, "\n");
	add(b, name, strlen(name));
	ADD(b, "\n");
}

void add_ints(bytes *b, int n, const int64_t *x)
{
	ADD(b, "(");
	for (int i = 0; i < n; i++)
		add_int(b, x[i]);
	ADD(b, "t");
}

void add_storage(bytes *b, const tensor *x)
{
	ADD(b, "(");
	add_text(b, "storage");
	add_global(b, x->dtype ? "torch.storage" : "torch", x->dtype ? "UntypedStorage" : x->type);
	add_text(b, x->key);
	add_text(b, "cpu");
	add_int(b, x->count);
	if (x->view) {
		ADD(b, "(");
		add_text(b, "a view");
		ADD(b, "K\2");
		add_int(b, x->view);
		ADD(b, "t");
	} else if (x->older)
		ADD(b, "N");
	ADD(b, "tQ");
}

void add_tensor(bytes *b, const tensor *x)
{
	add_global(b, "torch._utils", x->dtype ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
	ADD(b, "(");
	add_storage(b, x);
	add_int(b, x->offset);
	add_ints(b, x->ndim, x->size);
	add_ints(b, x->ndim + x->strides, x->stride);
	ADD(b, "\x89}");
	if (x->dtype)
		add_global(b, "torch", x->dtype);
	if (x->negated) {
		ADD(b, "}");
		add_text(b, "neg");
		ADD(b, "\x88s");
	}
	ADD(b, "tR");
}

/* {name: tensor} */
void add_one(bytes *b, const tensor *x)
{
	ADD(b, "\x80\2}");
	add_text(b, "x");
	add_tensor(b, x);
	ADD(b, "s.");
}

/* ---- Zip files ------------------------------------------------------------------------------ */

void add_member(zipped *z, const char *name, const void *data, size_t n)
{
	size_t at = z->file.n;
	uint32_t sum = (uint32_t)crc32(crc32(0, NULL, 0), n ? data : (const void *)"", (uInt)n);

	for (int which = 0; which < 2; which++) {
		bytes *b = which ? &z->directory : &z->file;

		if (which)
			ADD(b, "PK\1\2\0\0");
		else
			ADD(b, "PK\3\4");
		ADD(b, "\0\0\0\0\0\0\0\0\x21\0"); /* version, flags, method 0, time, date */
		add_number(b, sum, 4);
		add_number(b, n, 4);
		add_number(b, n, 4);
		add_number(b, strlen(name), 2);
		ADD(b, "\0\0");
		if (which) {
			ADD(b, "\0\0\0\0\0\0\0\0\0\0");
			add_number(b, at, 4);
		}
		add(b, name, strlen(name));
	}
	add(&z->file, data, n);
	z->members++;
}

/* Writes the file; returns its path. */
const char *finish(zipped *z)
{
	size_t at = z->file.n;

	add(&z->file, z->directory.at, z->directory.n);
	ADD(&z->file, "PK\5\6\0\0\0\0");
	add_number(&z->file, (uint64_t)z->members, 2);
	add_number(&z->file, (uint64_t)z->members, 2);
	add_number(&z->file, z->directory.n, 4);
	add_number(&z->file, at, 4);
	ADD(&z->file, "\0\0");
	return write_temp("file.pt", z->file.at, z->file.n);
}

/* Writes a zip file of this pickle and one storage, "0". */
const char *zip_of(const bytes *pickle, const void *storage, size_t n)
{
	static zipped z;

	memset(&z, 0, sizeof z);
	add_member(&z, "a/data.pkl", pickle->at, pickle->n);
	add_member(&z, "a/data/0", storage, n);
	add_member(&z, "a/version", "3\n", 2);
	return finish(&z);
}

/* ---- Reading -------------------------------------------------------------------------------- */

ebb_error e;

ebb_archive *read_file(const char *path)
{
	e = (ebb_error){0};
	return ebb_archive_read(path, .error = &e);
}

ebb_archive *must_read(const char *path)
{
	ebb_archive *a = read_file(path);

	ck_assert_msg(a != NULL, "%s", e.message);
	return a;
}

void must_refuse(const char *path, const char *words)
{
	ebb_archive *a = read_file(path);

	ck_assert_msg(a == NULL, "accepted, expected: %s", words);
	ck_assert_int_eq(e.status, EBB_BAD_FILE);
	ck_assert_msg(strstr(e.message, path) != NULL, "no path in: %s", e.message);
	ck_assert_msg(strstr(e.message, words) != NULL, "%s: expected %s", e.message, words);
}

void must_hold(const ebb_archive *a, const char *name, int n, const double *values)
{
	ebb_tensor *x = ebb_archive_tensor(a, name, EBB_F64, &e);

	ck_assert_msg(x != NULL, "%s", e.message);
	ck_assert_int_eq(ebb_count(x), n);
	for (int i = 0; i < n; i++)
		ck_assert_msg(ebb_at(x, i) == values[i], "%s[%d] is %g, expected %g", name, i,
			ebb_at(x, i), values[i]);
	ebb_tensor_free(x);
}

void must_note(const ebb_archive *a, const char *key, const char *text)
{
	const char *found = ebb_archive_metadata(a, key);

	ck_assert_msg(found && strcmp(found, text) == 0, "%s: %s, expected %s", key,
		found ? found : "none", text);
}

/* 1.0f, 2.0f, ... little-endian or big-endian */
void add_floats(bytes *b, int n, bool big_endian)
{
	for (int i = 1; i <= n; i++) {
		float value = (float)i;
		uint32_t bits;

		memcpy(&bits, &value, sizeof bits);
		for (int k = 0; k < 4; k++)
			add(b, &(uint8_t){(uint8_t)(bits >> (big_endian ? 24 - 8 * k : 8 * k))}, 1);
	}
}

const tensor six = {.type = "FloatStorage",
	.key = "0",
	.count = 6,
	.ndim = 2,
	.size = {2, 3},
	.stride = {3, 1}};

/* ---- The older format ------------------------------------------------------------------------ */

void add_beginning(bytes *b)
{
	ADD(b, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
	ADD(b, "\x80\2M\xe9\3.");
	ADD(b, "\x80\2}(");
	add_text(b, "little_endian");
	ADD(b, "\x88u.");
}

const tensor old = {.type = "FloatStorage",
	.key = "77",
	.count = 6,
	.ndim = 2,
	.size = {2, 3},
	.stride = {3, 1},
	.older = true};

void add_keys(bytes *b, const char *key)
{
	ADD(b, "\x80\2](");
	if (key)
		add_text(b, key);
	ADD(b, "e.");
}

const char *write_bytes(const bytes *b)
{
	return write_temp("file.pt", b->at, b->n);
}

void older_of(bytes *b, const tensor *x)
{
	b->n = 0;
	add_beginning(b);
	add_one(b, x);
	add_keys(b, "77");
	add_number(b, 6, 8);
	add_floats(b, 6, false);
}
