/* torch_files.h - builds files of torch.save by hand, and reads them. */
#ifndef EBB_TESTS_ARCHIVE_TORCH_FILES_H
#define EBB_TESTS_ARCHIVE_TORCH_FILES_H

#include "tests/support/support.h"

enum { ROOM = 1 << 16 };

typedef struct bytes {
	uint8_t at[ROOM];
	size_t n;
} bytes;

#define ADD(b, literal) add(b, literal, sizeof literal - 1)

/* A tensor as a pickle describes it. */
typedef struct tensor {
	const char *type, *key;
	int64_t count, offset;
	int ndim;
	int64_t size[10], stride[10];
	const char *dtype; /* or NULL: the type of the storage */
	bool negated;
	int strides;  /* the number of strides exceeds that of sizes */
	bool older;   /* the persistent id has a sixth element, a view: */
	int64_t view; /* this many elements from the third on, or 0 for None */
} tensor;

typedef struct zipped {
	bytes file, directory;
	int members;
} zipped;

extern ebb_error e;      /* the error of the last read */
extern const tensor six; /* [2,3] in storage "0" of a zip file */
extern const tensor old; /* the same in storage "77" of an older file */

/* Append to b.  add_one: the pickle of {"x": a tensor}; older_of: a whole file with it. */
void add(bytes *b, const void *data, size_t n);
void add_number(bytes *b, uint64_t x, int width);
void add_text(bytes *b, const char *text);
void add_int(bytes *b, int64_t x);
void add_global(bytes *b, const char *module, const char *name);
void add_ints(bytes *b, int n, const int64_t *x);
void add_storage(bytes *b, const tensor *x);
void add_tensor(bytes *b, const tensor *x);
void add_one(bytes *b, const tensor *x);
void add_member(zipped *z, const char *name, const void *data, size_t n);
void add_floats(bytes *b, int n, bool big_endian);
void add_beginning(bytes *b);
void add_keys(bytes *b, const char *key);
void older_of(bytes *b, const tensor *x);
/* Write a file; return its path. */
const char *finish(zipped *z);
const char *zip_of(const bytes *pickle, const void *storage, size_t n);
const char *write_bytes(const bytes *b);
/* Read a file, and check the result. */
ebb_archive *read_file(const char *path);
ebb_archive *must_read(const char *path);
void must_refuse(const char *path, const char *words);
void must_hold(const ebb_archive *a, const char *name, int n, const double *values);
void must_note(const ebb_archive *a, const char *key, const char *text);

#endif
