/*
 * internal.h - what an archive is made of: inputs (open files), blobs (runs of bytes in them or
 * in memory), and entries that say how values lie in a blob.  One reader per format fills an
 * archive with entries.
 */
#ifndef EBB_ARCHIVE_INTERNAL_H
#define EBB_ARCHIVE_INTERNAL_H

#include "archive/archive.h"
#include "kernels/sizes.h"
#include "tensor/host.h"
#include "tensor/memory.h"

/* ---- Inputs (input.c) ----------------------------------------------------------------------- */

/* A regular file that is open for reading. */
typedef struct ebb_input {
	int fd;
	int64_t size; /* when it was opened */
	char *path;
} ebb_input;

/* NULL with an error.  Fails for what is no regular file. */
ebb_input *ebb_input_open(const char *path, ebb_error *e);
void ebb_input_close(ebb_input *in);
/* Exactly n bytes from offset at on (pread); an error, with what in its text, where the file has
 * fewer. */
bool ebb_input_read(
	const ebb_input *in, int64_t at, void *to, int64_t n, const char *what, ebb_error *e);

/* ---- Blobs ---------------------------------------------------------------------------------- */

/* A run of bytes: a part of a file, a member of a zip file, or memory.  read gives n bytes from
 * offset at on, both within size; of what is not packed, several threads may read at once. */
typedef struct ebb_blob ebb_blob;
struct ebb_blob {
	int64_t size;
	bool (*read)(const ebb_blob *b, int64_t at, void *to, int64_t n, ebb_error *e);
	void *ctx;          /* an ebb_input, an ebb_zip; owned by the archive, not by the blob */
	int64_t where;      /* offset in the file, number in the zip file */
	const void *memory; /* or NULL */
	bool packed;        /* read goes forward only without a detour: a deflated member */
};

/* size bytes of an input. */
ebb_blob ebb_blob_of_input(ebb_input *in, int64_t at, int64_t size);
ebb_blob ebb_blob_of_memory(const void *bytes, int64_t size);

/* ---- Entries (archive.c) -------------------------------------------------------------------- */

typedef struct ebb_archived {
	const char *name; /* owned by the archive */
	ebb_file_dtype dtype;
	ebb_shape shape;
	int64_t strides[EBB_MAX_DIMS]; /* in elements, not negative */
	bool big_endian;               /* as the bytes of a file; memory has this machine's order */
	ebb_blob blob;
	int64_t offset;         /* of the first element in the blob, in bytes */
	const ebb_tensor *live; /* added by ebb_archive_add: its values are asked for at writing */
	const char *other;      /* EBB_FILE_OTHER: what the file calls it; owned by the archive */
} ebb_archived;

/* Room for what headers say: all that an archive allocates for names, entries and metadata is
 * counted, and taking more than 64 times header_bytes + 1 MiB fails.  header_bytes grows as
 * headers are read. */
struct ebb_archive {
	char *path;
	int64_t most_header, most_bytes;
	bool limited; /* it is read from a file */
	int64_t header_bytes, taken;
	uint64_t seed;       /* of the hash table: no file can aim at one place of it */
	int64_t value_bytes; /* of all entries */
	ebb_archived *entry;
	int64_t count, capacity;
	int64_t *slot; /* [slots], a power of two: a hash table of entry numbers + 1 */
	int64_t slots;
	struct ebb_text_pair {
		char *key, *text;
	} * metadata;
	int64_t metadata_count, metadata_capacity;
	ebb_arena names; /* texts and small objects, freed with the archive */
	struct ebb_archive_owned {
		void *object;
		void (*destroy)(void *object);
	} * owned;
	int64_t owned_count, owned_capacity;
};

/* An empty one for the file at path; a limit of 0 is the default. */
ebb_archive *ebb_archive_of_file(
	const char *path, int64_t most_header, int64_t most_bytes, ebb_error *e);
const char *ebb_archive_path(const ebb_archive *a); /* for messages; never NULL */
/* Says that a header of n bytes is about to be read: false with an error if all headers of the
 * archive together are beyond most_header.  Raises the memory that the archive may take. */
bool ebb_archive_expect(ebb_archive *a, int64_t n, const char *what, ebb_error *e);
/* Counts n bytes that are allocated elsewhere for what a header says.  False with an error
 * (EBB_BAD_FILE) where that is more than it may be. */
bool ebb_archive_charge(ebb_archive *a, size_t n, ebb_error *e);
/* n bytes that live as long as the archive, aligned for any object; counted.  NULL with an error
 * (EBB_NO_MEMORY; EBB_BAD_FILE where the header asks for more than it may). */
void *ebb_archive_take(ebb_archive *a, size_t n, ebb_error *e);
/* A copy of n bytes and a NUL. */
char *ebb_archive_text(ebb_archive *a, const char *text, size_t n, ebb_error *e);
/* object is freed with the archive, by destroy; also when false (an error) is returned. */
bool ebb_archive_own(ebb_archive *a, void *object, void (*destroy)(void *object), ebb_error *e);
/* Adds an entry that a reader has filled: name (n bytes, copied), dtype, shape, blob, offset;
 * strides NULL: row-major.  Refuses a name that is taken, is not UTF-8 or contains NUL, a shape
 * whose size overflows, values that do not lie within the blob, and tensors that are together
 * beyond most_bytes. */
bool ebb_archive_enter(ebb_archive *a, const char *name, size_t n, ebb_archived *x,
	const int64_t *strides, ebb_error *e);
/* metadata of n and m bytes, copied.  The key is not looked for: of two pairs with one, the first
 * is found. */
bool ebb_archive_note(
	ebb_archive *a, const char *key, size_t n, const char *text, size_t m, ebb_error *e);
/* Fails with EBB_BAD_FILE and "PATH: text". */
bool ebb_archive_refuse(const ebb_archive *a, ebb_error *e, const char *format, ...)
	EBB_PRINTF(3, 4);
bool ebb_archive_no_memory(const ebb_archive *a, ebb_error *e); /* false, with EBB_NO_MEMORY */
/* Sets the strides of row-major values. */
void ebb_archived_rows(ebb_archived *x);
/* Elements of a shape; -1 where they, in bytes of that type, are more than any file holds, or a
 * size is negative. */
int64_t ebb_archived_count(const ebb_archived *x);
int64_t ebb_archived_bytes(const ebb_archived *x); /* of all its values in its file's type */
/* The bytes from the first element to behind the last; -1 where they overflow, or a stride is
 * negative. */
int64_t ebb_archived_span(const ebb_archived *x);
bool ebb_archived_is_rows(const ebb_archived *x); /* whether they lie row-major, without gaps */
/* A list of all entries, in their order, for writers that sort; NULL with an error. */
ebb_archived **ebb_archive_entries(const ebb_archive *a, ebb_error *e);
void ebb_archive_entries_free(const ebb_archive *a, ebb_archived **list);
/* Opens a file that the archive then owns. */
ebb_input *ebb_archive_input(ebb_archive *a, const char *path, ebb_error *e);

/* ---- Texts (text.c) ------------------------------------------------------------------------- */

bool ebb_is_utf8(const char *text, size_t n); /* and without NUL */
bool ebb_ends_in(const char *path, const char *suffix);
bool ebb_ends_in_one(const char *path, const char *const *suffix); /* of a list that ends in NULL */
/* text without what a terminal would act on, cut to a length that fits a message; into buffer. */
const char *ebb_printable(const char *text, size_t n, char *buffer, size_t size);

/* ---- Values (values.c, convert.c) ----------------------------------------------------------- */

/* Hands all values of an entry to sink: row-major, in the entry's type and this machine's byte
 * order, in pieces of whole elements.  False as soon as sink or the reading fails. */
typedef bool (*ebb_sink)(void *ctx, const void *bytes, int64_t n, ebb_error *e);
bool ebb_archived_stream(
	const ebb_archive *a, const ebb_archived *x, ebb_sink sink, void *ctx, ebb_error *e);
/* All values of an entry into memory, row-major, converted to dtype. */
bool ebb_archived_values(
	const ebb_archive *a, const ebb_archived *x, ebb_file_dtype dtype, void *to, ebb_error *e);
bool ebb_same_dims(ebb_shape a, ebb_shape b);
bool ebb_file_dtype_is_float(ebb_file_dtype dtype);
/* n elements of type from, of which the first is the entry's number first, into the entry's
 * type.  False with an error that names an element which does not fit. */
bool ebb_archived_narrow(const ebb_archive *a, const ebb_archived *x, ebb_file_dtype from,
	const void *values, void *to, int64_t first, int64_t n, ebb_error *e);
/* Writes all values of an entry, little-endian. */
bool ebb_archived_write(const ebb_archive *a, const ebb_archived *x, ebb_output *out, ebb_error *e);
bool ebb_is_big_endian(void); /* this machine */
/* n elements from one type to another, both in this machine's byte order.  Returns the number of
 * the first that the target cannot hold, or -1. */
int64_t ebb_convert(ebb_file_dtype from, const void *x, ebb_file_dtype to, void *y, int64_t n);
/* Reverses the bytes of each of n elements, where the machine's order is the other one. */
void ebb_reorder(void *x, int64_t n, size_t element, bool big_endian);
ebb_file_dtype ebb_file_dtype_of(ebb_dtype dtype);

typedef struct ebb_zip ebb_zip;

/* ---- Formats -------------------------------------------------------------------------------- */

/* What a reader of a format does: fills a with the entries of the file; in is owned by a by
 * then.  Errors in e, and false. */
bool ebb_read_safetensors(ebb_archive *a, ebb_input *in, ebb_error *e); /* safetensors.c */
bool ebb_read_shards(ebb_archive *a, ebb_input *in, ebb_error *e);   /* shards.c: an index file */
bool ebb_read_npy(ebb_archive *a, ebb_input *in, ebb_error *e);      /* npy.c */
bool ebb_read_npz(ebb_archive *a, ebb_zip *zip, ebb_error *e);       /* npz.c */
bool ebb_read_torch_zip(ebb_archive *a, ebb_zip *zip, ebb_error *e); /* torch.c */
bool ebb_read_torch_legacy(ebb_archive *a, ebb_input *in, ebb_error *e);

/* What a writer does: the whole file into an output (autograd/host.h), which the caller opens and
 * commits. */
bool ebb_write_safetensors(const ebb_archive *a, ebb_output *out, ebb_error *e);
/* A file of n entries, which it sorts, and all metadata. */
bool ebb_write_entries(
	const ebb_archive *a, ebb_archived **entry, int64_t n, ebb_output *out, ebb_error *e);
bool ebb_write_shards(const ebb_archive *a, const char *path, int64_t shard_bytes, ebb_error *e);
bool ebb_write_npy(const ebb_archive *a, ebb_output *out, ebb_error *e);
bool ebb_write_npz(const ebb_archive *a, bool deflate, ebb_output *out, ebb_error *e);

/* The header of .npy that a blob begins with: fills x (dtype, other, shape, big_endian, blob,
 * offset) and strides, for ebb_archive_enter.  x->name: of a zip member, for errors, or NULL. */
bool ebb_npy_header(ebb_archive *a, ebb_blob blob, ebb_archived *x, int64_t *strides, ebb_error *e);

/* ---- Zip files (zip.c, through libzip) ------------------------------------------------------- */

/* Opens the zip file that in is, for the archive, which owns it; the central directory counts as
 * a header. Refuses members that overlap, are encrypted, or claim more bytes than deflate can
 * pack (1032 to 1). */
ebb_zip *ebb_zip_open(ebb_archive *a, ebb_input *in, ebb_error *e);
int64_t ebb_zip_count(const ebb_zip *z);
const char *ebb_zip_name(const ebb_zip *z, int64_t index);
/* The member's bytes, unpacked.  Reading more than it claims to have, or less, is an error, and
 * so is a wrong checksum, found when its last byte is read. */
ebb_blob ebb_blob_of_zip(ebb_zip *z, int64_t index);

#endif
