/*
 * archive.h - files of named tensors: safetensors, NumPy's .npy and .npz, PyTorch's .pt and .pth.
 *
 * An archive is a list of entries (a name, an element type, a shape, values) and metadata (texts
 * under keys).  An archive that was read keeps its file open, and reads the values of an entry when
 * they are requested.  An archive that is to be written refers to the tensors that were added to
 * it.
 *
 * No function here takes a tape.  Errors fill an ebb_error (which may be NULL), and the function
 * returns NULL or false.  Every error names the file, the entry, what was found and what was
 * expected.  Only one thread at a time may use an archive.
 */
#ifndef EBB_ARCHIVE_H
#define EBB_ARCHIVE_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ebb_archive ebb_archive;

/* Element types in files.  BOOL is a byte, 0 or 1.  F8_E4M3 has no infinity (OCP 8-bit floating
 * point specification 2023, "E4M3"); BF16 is the upper half of an F32.  EBB_FILE_OTHER is a type
 * that the file names and Ebb cannot read, such as complex numbers: the entry is listed, but
 * reading its values is an error. */
typedef enum ebb_file_dtype {
	EBB_FILE_DEFAULT, /* in options: the tensor's own type */
	EBB_FILE_BOOL,
	EBB_FILE_U8,
	EBB_FILE_I8,
	EBB_FILE_U16,
	EBB_FILE_I16,
	EBB_FILE_U32,
	EBB_FILE_I32,
	EBB_FILE_U64,
	EBB_FILE_I64,
	EBB_FILE_F8_E5M2,
	EBB_FILE_F8_E4M3,
	EBB_FILE_F16,
	EBB_FILE_BF16,
	EBB_FILE_F32,
	EBB_FILE_F64,
	EBB_FILE_OTHER
} ebb_file_dtype;

EBB_API const char *ebb_file_dtype_name(
	ebb_file_dtype dtype); /* "BF16", as safetensors spells it */
EBB_API size_t ebb_file_dtype_size(
	ebb_file_dtype dtype); /* bytes per element; 0 for DEFAULT, OTHER */

/* ---- Reading -------------------------------------------------------------------------------- */

/* Opens a file and reads its header.  The content of the file decides on the format, not its name:
 *
 * safetensors: also a sharded set, by its index file (model.safetensors.index.json) or by the index
 * file's name without .index.json.  Refused: offsets that overlap, leave gaps or lie outside of the
 * file, and repeated names.
 * .npy, versions 1 to 3: one entry, whose name is "".  .npz, deflated or not: the entries' names
 * without ".npy".
 * .pt, .pth (torch.save, zip or the older format): the tensors of a state_dict or of nested dicts,
 * under names joined by dots ("state_dict.conv1.weight"); numbers and texts beside tensors are
 * metadata.  The pickle reader executes no Python code.  It accepts only a fixed list of Python
 * names, those that torch.save writes for tensors and containers, and refuses a pickle that uses
 * another name.
 *
 * most_header: the largest size in bytes of headers, pickles and lists of names (default 100
 * million); reading them takes at most 64 times their size plus 1 MiB of memory.  most_bytes: the
 * largest size of all tensors together, in the file's types, uncompressed (default: no limit).
 * Memory for values is allocated only when they are requested.  EBB_BAD_FILE: missing, truncated,
 * damaged or malicious files, and files beyond these limits. */
typedef struct ebb_archive_read_args {
	const char *path;
	int64_t most_header, most_bytes;
	ebb_error *error;
	const char *site;
} ebb_archive_read_args;
EBB_API ebb_archive *ebb_archive_read(const ebb_archive_read_args *a);
EBB_API void ebb_archive_free(ebb_archive *a);

EBB_API int64_t ebb_archive_count(const ebb_archive *a); /* the number of entries */
/* The name, type and shape of entry number index, in the file's order.  If there is no such entry:
 * NULL, EBB_FILE_DEFAULT, and a shape without axes. */
EBB_API const char *ebb_archive_name_at(const ebb_archive *a, int64_t index);
EBB_API ebb_file_dtype ebb_archive_dtype_at(const ebb_archive *a, int64_t index);
EBB_API ebb_shape ebb_archive_shape_at(const ebb_archive *a, int64_t index);
EBB_API int64_t ebb_archive_find(const ebb_archive *a, const char *name); /* its index, or -1 */

/* The text under a key, or NULL; the number of keys; the key and the text of number index. */
EBB_API const char *ebb_archive_metadata(const ebb_archive *a, const char *key);
EBB_API int64_t ebb_archive_metadata_count(const ebb_archive *a);
EBB_API const char *ebb_archive_metadata_key_at(const ebb_archive *a, int64_t index);
EBB_API const char *ebb_archive_metadata_at(const ebb_archive *a, int64_t index);

/* Returns an entry as a persistent tensor of its shape, row-major, which the caller frees.  dtype:
 * the type to convert the values to.  EBB_DEFAULT: F64 and F32 are kept, smaller floats become F32,
 * U8 and BOOL become U8, other integers I64.  Floats are rounded to nearest even; a float that is
 * converted to an integer is truncated.  NULL: no such entry, a value that the integer dtype cannot
 * hold (NaN among them), out of memory, a file that can no longer be read. */
EBB_API ebb_tensor *ebb_archive_tensor(
	const ebb_archive *a, const char *name, ebb_dtype dtype, ebb_error *e);
/* Overwrites the persistent tensor to, which must have the entry's shape, and converts the values
 * to its type as ebb_archive_tensor does.  On failure the values of `to` are unchanged; only if the
 * file failed while values were read, they are undefined. */
EBB_API bool ebb_archive_copy(const ebb_archive *a, const char *name, ebb_tensor *to, ebb_error *e);

/* ---- Writing -------------------------------------------------------------------------------- */

EBB_API ebb_archive *ebb_archive_new(void); /* empty; NULL: out of memory */
/* Adds x.  The values are read when the archive is written, so x must live until the archive is
 * written or freed.  name: UTF-8, and not yet in use.  as: the type in the file.  Floats that
 * become a smaller float type are rounded to nearest even (beyond its range to infinity; F8_E4M3:
 * to NaN).  Integers must fit the type.  A float is not written as an integer. */
EBB_API bool ebb_archive_add(
	ebb_archive *a, const char *name, const ebb_tensor *x, ebb_file_dtype as, ebb_error *e);
/* Adds count values in memory, row-major, of the file's type in this machine's byte order.  The
 * values are not copied, and must live until the archive is written or freed. */
EBB_API bool ebb_archive_add_values(ebb_archive *a, const char *name, ebb_file_dtype dtype,
	ebb_shape shape, const void *values, ebb_error *e);
/* Adds a copy of one number, as an entry without axes. */
EBB_API bool ebb_archive_add_f64(ebb_archive *a, const char *name, double value, ebb_error *e);
EBB_API bool ebb_archive_add_i64(ebb_archive *a, const char *name, int64_t value, ebb_error *e);
/* Sets the text under a key.  Both are UTF-8 and are copied. */
EBB_API bool ebb_archive_set_metadata(
	ebb_archive *a, const char *key, const char *text, ebb_error *e);

typedef enum ebb_archive_format {
	/* by the extension of the path: .npz, .npy, else safetensors; .pt, .zip and others that
	 * cannot be written are refused */
	EBB_BY_NAME,
	EBB_SAFETENSORS,
	EBB_NPZ,
	EBB_NPY /* the archive must have one entry; its name is not written */
} ebb_archive_format;

/* Writes an archive, also one that was read.  The write is atomic: a temporary file in the same
 * directory is written, synchronised (fsync) and renamed, and the directory is synchronised.  When
 * the call returns, the file is on the disk.  After a failure, or a crash at any moment, the path
 * holds its former content (or all of the new content, if only the directory could not be
 * synchronised).  A temporary file that a crash left is removed by the next write into the
 * directory.
 *
 * shard_bytes (safetensors): the largest number of bytes of values in one file; only an entry that
 * is larger exceeds it.  For a path model.safetensors the files are called
 * model-00001-of-00003.safetensors, and the index model.safetensors.index.json maps names to files.
 * The index is written last; afterwards, a single file at the path and files of a former set are
 * removed.  A lock on the directory prevents two processes from writing sharded sets into it at the
 * same time.  Writing a single file model.safetensors does not remove a sharded set of the same
 * name: ebb_archive_read then reads the single file by the path model.safetensors, and the set by
 * the path of its index.
 *
 * deflate (.npz): compress, as numpy.savez_compressed does.
 *
 * Only safetensors files get the metadata.  BF16 and F8 are refused for .npz and .npy, because
 * NumPy has no such types. */
typedef struct ebb_archive_write_args {
	const ebb_archive *a;
	const char *path;
	ebb_archive_format format;
	int64_t shard_bytes;
	bool deflate;
	ebb_error *error;
	const char *site;
} ebb_archive_write_args;
EBB_API bool ebb_archive_write(const ebb_archive_write_args *a);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_archive_read(...) EBB_CALL_ARGS(ebb_archive_read, ebb_archive_read_args, __VA_ARGS__)
#define ebb_archive_write(...) EBB_CALL_ARGS(ebb_archive_write, ebb_archive_write_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
