/*
 * internal.h - the parts of an archive: inputs (open files), blobs (runs of bytes in files or in
 * memory), and entries that describe the layout of values in a blob.  Each format has a reader that
 * fills an archive with entries.
 */
#ifndef EBB_ARCHIVE_INTERNAL_H
#define EBB_ARCHIVE_INTERNAL_H

#include "archive/archive.h"
#include "kernels/sizes.h"
#include "tensor/host.h"
#include "tensor/memory.h"

/* ---- Inputs (input.c) ----------------------------------------------------------------------- */

/* A regular file, open for reading. */
typedef struct ebb_input {
	int fd;
	int64_t size; /* of the file when it was opened */
	char *path;
} ebb_input;

/* NULL with an error, also if path is not a regular file. */
ebb_input *ebb_input_open(const char *path, ebb_error *e);
void ebb_input_close(ebb_input *in);
/* Reads exactly n bytes from offset at on (pread).  An error, with what in its text, if the file
 * has fewer. */
bool ebb_input_read(
	const ebb_input *in, int64_t at, void *to, int64_t n, const char *what, ebb_error *e);

/* ---- Blobs ---------------------------------------------------------------------------------- */

/* A run of bytes: a part of a file, a member of a zip file, or memory.  read copies n bytes from
 * offset at on; both are within size.  If the blob is not packed, several threads may read it at
 * once. */
typedef struct ebb_blob ebb_blob;
struct ebb_blob {
	int64_t size;
	bool (*read)(const ebb_blob *b, int64_t at, void *to, int64_t n, ebb_error *e);
	void *ctx;          /* an ebb_input or ebb_zip; owned by the archive, not by the blob */
	int64_t where;      /* offset in the file, or index in the zip file */
	const void *memory; /* or NULL */
	/* a zip member: only reads in ascending order are fast, by one thread */
	bool packed;
};

/* A blob of size bytes of an input. */
ebb_blob ebb_blob_of_input(ebb_input *in, int64_t at, int64_t size);
ebb_blob ebb_blob_of_memory(const void *bytes, int64_t size);

/* ---- Entries (archive.c) -------------------------------------------------------------------- */

typedef struct ebb_archived {
	const char *name; /* owned by the archive */
	ebb_file_dtype dtype;
	ebb_shape shape;
	int64_t strides[EBB_MAX_DIMS]; /* in elements, >= 0 */
	/* the byte order of a file; memory has this machine's order */
	bool big_endian;
	ebb_blob blob;
	int64_t offset; /* of the first element in the blob, in bytes */
	/* set by ebb_archive_add: its values are read when the archive is written */
	const ebb_tensor *live;
	/* EBB_FILE_OTHER: the type's name in the file; owned by the archive */
	const char *other;
} ebb_archived;

/* Limits the memory for the content of headers: allocations for names, entries and metadata are
 * counted, and fail beyond 64 times header_bytes + 1 MiB.  header_bytes grows as headers are
 * read. */
struct ebb_archive {
	char *path;
	int64_t most_header, most_bytes;
	bool limited; /* the archive is read from a file */
	int64_t header_bytes, taken;
	uint64_t seed;       /* of the hash table, so that a file cannot choose colliding names */
	int64_t value_bytes; /* of all entries */
	ebb_archived *entry;
	int64_t count, capacity;
	int64_t *slot; /* [slots], a power of two: a hash table of entry indices + 1 */
	int64_t slots;
	struct ebb_text_pair {
		char *key, *text;
	} * metadata;
	int64_t metadata_count, metadata_capacity;
	ebb_arena names; /* texts and small objects, which are freed with the archive */
	struct ebb_archive_owned {
		void *object;
		void (*destroy)(void *object);
	} * owned;
	int64_t owned_count, owned_capacity;
};

/* An empty archive for the file at path; a limit of 0 selects the default. */
ebb_archive *ebb_archive_of_file(
	const char *path, int64_t most_header, int64_t most_bytes, ebb_error *e);
const char *ebb_archive_path(const ebb_archive *a); /* for error messages; never NULL */
/* Announces a header of n bytes.  False with an error if all headers of the archive together exceed
 * most_header.  Otherwise raises the limit of the archive's memory. */
bool ebb_archive_expect(ebb_archive *a, int64_t n, const char *what, ebb_error *e);
/* Counts n bytes that are allocated elsewhere for the content of a header.  False with an error
 * (EBB_BAD_FILE) beyond the limit. */
bool ebb_archive_charge(ebb_archive *a, size_t n, ebb_error *e);
/* Allocates n bytes that live as long as the archive, aligned for any object, and counts them.
 * NULL with an error (EBB_NO_MEMORY; EBB_BAD_FILE beyond the limit). */
void *ebb_archive_take(ebb_archive *a, size_t n, ebb_error *e);
/* A copy of n bytes, with a NUL after them. */
char *ebb_archive_text(ebb_archive *a, const char *text, size_t n, ebb_error *e);
/* Makes the archive the owner of object, which destroy frees with the archive.  On failure (false
 * with an error) object is freed too. */
bool ebb_archive_own(ebb_archive *a, void *object, void (*destroy)(void *object), ebb_error *e);
/* Adds an entry from a reader: name (n bytes, copied), dtype, shape, blob and offset are set;
 * strides NULL: row-major.  Refuses a name that is in use, is not UTF-8 or contains NUL; a shape
 * whose size overflows; values outside of the blob; and tensors that together exceed most_bytes. */
bool ebb_archive_enter(ebb_archive *a, const char *name, size_t n, ebb_archived *x,
	const int64_t *strides, ebb_error *e);
/* Adds metadata of n and m bytes, copied.  Does not check for an equal key: of two pairs with the
 * same key, the first is found. */
bool ebb_archive_note(
	ebb_archive *a, const char *key, size_t n, const char *text, size_t m, ebb_error *e);
/* Sets the error EBB_BAD_FILE "PATH: text"; returns false. */
bool ebb_archive_refuse(const ebb_archive *a, ebb_error *e, const char *format, ...)
	EBB_PRINTF(3, 4);
/* returns false, with EBB_NO_MEMORY */
bool ebb_archive_no_memory(const ebb_archive *a, ebb_error *e);
/* Sets row-major strides. */
void ebb_archived_rows(ebb_archived *x);
/* The number of elements; -1 if their size in bytes exceeds any file, or an axis is negative. */
int64_t ebb_archived_count(const ebb_archived *x);
int64_t ebb_archived_bytes(const ebb_archived *x); /* of all its values, in the file's type */
/* The bytes from the first element to the end of the last; -1 on overflow, or if a stride is
 * negative. */
int64_t ebb_archived_span(const ebb_archived *x);
bool ebb_archived_is_rows(const ebb_archived *x); /* row-major without gaps */
/* An array of all entries in their order, for writers that sort; NULL with an error. */
ebb_archived **ebb_archive_entries(const ebb_archive *a, ebb_error *e);
void ebb_archive_entries_free(const ebb_archive *a, ebb_archived **list);
/* Opens a file that the archive then owns. */
ebb_input *ebb_archive_input(ebb_archive *a, const char *path, ebb_error *e);

/* ---- Texts (text.c) ------------------------------------------------------------------------- */

bool ebb_is_utf8(const char *text, size_t n); /* UTF-8 without NUL */
bool ebb_ends_in(const char *path, const char *suffix);
/* suffix: a list that ends in NULL */
bool ebb_ends_in_one(const char *path, const char *const *suffix);
/* Copies text to buffer for an error message: control characters are replaced, and a long text is
 * shortened. */
const char *ebb_printable(const char *text, size_t n, char *buffer, size_t size);

/* ---- Values (values.c, convert.c) ----------------------------------------------------------- */

/* Passes all values of an entry to sink: row-major, in the entry's type and this machine's byte
 * order, in parts of whole elements.  False as soon as sink or reading fails. */
typedef bool (*ebb_sink)(void *ctx, const void *bytes, int64_t n, ebb_error *e);
bool ebb_archived_stream(
	const ebb_archive *a, const ebb_archived *x, ebb_sink sink, void *ctx, ebb_error *e);
/* Reads all values of an entry into memory, row-major, converted to dtype. */
bool ebb_archived_values(
	const ebb_archive *a, const ebb_archived *x, ebb_file_dtype dtype, void *to, ebb_error *e);
bool ebb_same_dims(ebb_shape a, ebb_shape b);
bool ebb_file_dtype_is_float(ebb_file_dtype dtype);
/* Converts n elements of type from to the entry's type; the first is element number first of the
 * entry.  False with an error that names an element that does not fit. */
bool ebb_archived_narrow(const ebb_archive *a, const ebb_archived *x, ebb_file_dtype from,
	const void *values, void *to, int64_t first, int64_t n, ebb_error *e);
/* Writes all values of an entry, little-endian. */
bool ebb_archived_write(const ebb_archive *a, const ebb_archived *x, ebb_output *out, ebb_error *e);
bool ebb_is_big_endian(void); /* this machine */
/* Converts n elements between two types, both in this machine's byte order.  Returns the index of
 * the first that the target type cannot hold, or -1. */
int64_t ebb_convert(ebb_file_dtype from, const void *x, ebb_file_dtype to, void *y, int64_t n);
/* Reverses the bytes of each of n elements if big_endian differs from this machine's order. */
void ebb_reorder(void *x, int64_t n, size_t element, bool big_endian);
ebb_file_dtype ebb_file_dtype_of(ebb_dtype dtype);

typedef struct ebb_zip ebb_zip;

/* ---- Formats -------------------------------------------------------------------------------- */

/* Readers of formats: they fill a with the entries of the file.  in is already owned by a.  False
 * with an error in e. */
bool ebb_read_safetensors(ebb_archive *a, ebb_input *in, ebb_error *e); /* safetensors.c */
bool ebb_read_shards(ebb_archive *a, ebb_input *in, ebb_error *e);   /* shards.c: an index file */
bool ebb_read_npy(ebb_archive *a, ebb_input *in, ebb_error *e);      /* npy.c */
bool ebb_read_npz(ebb_archive *a, ebb_zip *zip, ebb_error *e);       /* npz.c */
bool ebb_read_torch_zip(ebb_archive *a, ebb_zip *zip, ebb_error *e); /* torch.c */
bool ebb_read_torch_legacy(ebb_archive *a, ebb_input *in, ebb_error *e);

/* Writers of formats: they write the whole file to out (tensor/host.h), which the caller opens and
 * commits. */
bool ebb_write_safetensors(const ebb_archive *a, ebb_output *out, ebb_error *e);
/* Writes a file of n entries, which it sorts, and all metadata. */
bool ebb_write_entries(
	const ebb_archive *a, ebb_archived **entry, int64_t n, ebb_output *out, ebb_error *e);
bool ebb_write_shards(const ebb_archive *a, const char *path, int64_t shard_bytes, ebb_error *e);
bool ebb_write_npy(const ebb_archive *a, ebb_output *out, ebb_error *e);
bool ebb_write_npz(const ebb_archive *a, bool deflate, ebb_output *out, ebb_error *e);

/* Reads the .npy header at the beginning of a blob.  Fills x (dtype, other, shape, big_endian,
 * blob, offset) and strides, for ebb_archive_enter.  x->name: the zip member, for error messages,
 * or NULL. */
bool ebb_npy_header(ebb_archive *a, ebb_blob blob, ebb_archived *x, int64_t *strides, ebb_error *e);

/* ---- Zip files (zip.c, through libzip) ------------------------------------------------------- */

/* Opens a zip file for the archive, which owns the result; the central directory counts as a
 * header.  Refuses members that overlap, are encrypted, or declare more bytes than deflate can
 * compress (1032 to 1). */
ebb_zip *ebb_zip_open(ebb_archive *a, ebb_input *in, ebb_error *e);
int64_t ebb_zip_count(const ebb_zip *z);
const char *ebb_zip_name(const ebb_zip *z, int64_t index);
/* The decompressed bytes of a member.  It is an error if the member has more or fewer bytes than
 * declared, or a wrong checksum, which is compared when the last byte is read. */
ebb_blob ebb_blob_of_zip(ebb_zip *z, int64_t index);

#endif
