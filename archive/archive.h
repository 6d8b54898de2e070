/*
 * archive.h - named tensors in files: safetensors, NumPy's .npy and .npz, PyTorch's .pt and .pth.
 *
 * An archive is a list of entries (a name, an element type, a shape, values) and of metadata
 * (texts under keys).  One that is read keeps its file open, and reads the values of an entry
 * when they are asked for. One that is written refers to the tensors that were added to it.
 *
 * Nothing here has a tape, so errors fill an ebb_error (which may be NULL); functions then
 * return NULL or false.  Every error names the file, the entry, what was found and what was
 * expected.  An archive is for one thread at a time.
 */
#ifndef EBB_ARCHIVE_H
#define EBB_ARCHIVE_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ebb_archive ebb_archive;

/* Element types of files.  BOOL is a byte, 0 or 1.  F8_E4M3 has no infinity (OCP 8-bit floating
 * point specification 2023, "E4M3"); BF16 is the upper half of an F32.  EBB_FILE_OTHER: a type
 * that the file names and Ebb cannot read, such as complex numbers; the entry is listed, and
 * asking for its values is an error. */
typedef enum ebb_file_dtype {
	EBB_FILE_DEFAULT, /* in options: the type of the tensor */
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

/* Opens a file and reads its header.  The content decides on the format, not the name:
 *
 * safetensors: also a sharded set, by its index file (model.safetensors.index.json) or by any
 * name that the index gives with .index.json left out.  Offsets that overlap, leave gaps, or lie
 * outside of the file, and names that come twice, are refused. .npy, versions 1 to 3: one entry,
 * whose name is ""; .npz, stored or deflated: entries without ".npy". .pt, .pth (torch.save, zip
 * or the older format): what a state_dict or a nested dict of them holds, under names joined by
 * dots ("state_dict.conv1.weight"); numbers and texts beside tensors are metadata.  The pickle
 * is interpreted by rules for tensors alone: nothing in it is executed, and one that calls
 * anything else is refused.
 *
 * most_header: the bytes that headers may have, pickles and lists of names included (default 100
 * million); reading one takes at most 64 times its size and 1 MiB.  most_bytes: what all tensors
 * together may have in the file's types, unpacked (default: no limit).  Nothing is allocated for
 * values before they are asked for. EBB_BAD_FILE: missing, truncated, damaged or hostile files,
 * and files beyond these limits. */
typedef struct ebb_archive_read_args {
	const char *path;
	int64_t most_header, most_bytes;
	ebb_error *error;
	const char *site;
} ebb_archive_read_args;
EBB_API ebb_archive *ebb_archive_read(const ebb_archive_read_args *a);
EBB_API void ebb_archive_free(ebb_archive *a);

EBB_API int64_t ebb_archive_count(const ebb_archive *a); /* entries */
/* Of entry number index, in the file's order; NULL, DEFAULT and no axes if there is none. */
EBB_API const char *ebb_archive_name_at(const ebb_archive *a, int64_t index);
EBB_API ebb_file_dtype ebb_archive_dtype_at(const ebb_archive *a, int64_t index);
EBB_API ebb_shape ebb_archive_shape_at(const ebb_archive *a, int64_t index);
EBB_API int64_t ebb_archive_find(const ebb_archive *a, const char *name); /* its number, or -1 */

/* The text under a key, or NULL; and all of them by number. */
EBB_API const char *ebb_archive_metadata(const ebb_archive *a, const char *key);
EBB_API int64_t ebb_archive_metadata_count(const ebb_archive *a);
EBB_API const char *ebb_archive_metadata_key_at(const ebb_archive *a, int64_t index);
EBB_API const char *ebb_archive_metadata_at(const ebb_archive *a, int64_t index);

/* An entry as a stored tensor of its shape, row-major, which the caller frees.  dtype: what the
 * values are converted to; EBB_DEFAULT: F64 and F32 as they are, the smaller floats to F32, U8
 * and BOOL to U8, other integers to I64.  Floats are rounded to nearest even; an integer dtype
 * takes floats without their fraction. NULL: no such entry, a value that an integer dtype cannot
 * hold (NaN among them), no memory, a file that cannot be read any more. */
EBB_API ebb_tensor *ebb_archive_tensor(
	const ebb_archive *a, const char *name, ebb_dtype dtype, ebb_error *e);
/* Overwrites a stored tensor of the entry's shape, converting to its type as above.  When false,
 * to's values are undefined if the file failed while they were read, else unchanged. */
EBB_API bool ebb_archive_copy(const ebb_archive *a, const char *name, ebb_tensor *to, ebb_error *e);

/* ---- Writing -------------------------------------------------------------------------------- */

EBB_API ebb_archive *ebb_archive_new(void); /* empty; NULL without memory */
/* Adds x, which must live until the archive is written or freed: the values are read then. 
 * name: UTF-8, not taken; as: the type in the file.  From floats to a smaller float values are
 * rounded to nearest even (beyond its range to infinity; F8_E4M3: to NaN); between integers they
 * must fit; a float is not written as an integer. */
EBB_API bool ebb_archive_add(
	ebb_archive *a, const char *name, const ebb_tensor *x, ebb_file_dtype as, ebb_error *e);
/* Adds count values that are in memory, row-major, in the file's type and this machine's byte
 * order: not copied. */
EBB_API bool ebb_archive_add_values(ebb_archive *a, const char *name, ebb_file_dtype dtype,
	ebb_shape shape, const void *values, ebb_error *e);
/* Adds one number as an entry without axes: copied. */
EBB_API bool ebb_archive_add_f64(ebb_archive *a, const char *name, double value, ebb_error *e);
EBB_API bool ebb_archive_add_i64(ebb_archive *a, const char *name, int64_t value, ebb_error *e);
/* Replaces the text under a key.  Both are UTF-8, and copied. */
EBB_API bool ebb_archive_set_metadata(
	ebb_archive *a, const char *key, const char *text, ebb_error *e);

typedef enum ebb_archive_format {
	/* .npz and .npy by the end of the path, else safetensors; .pt, .zip and others that are
	 * not written are refused */
	EBB_BY_NAME,
	EBB_SAFETENSORS,
	EBB_NPZ,
	EBB_NPY /* one entry, whatever its name */
} ebb_archive_format;

/* Writes an archive, one that was read too.  The file is replaced as a whole and is on the disk
 * when the call returns: a temporary file in the same directory is written, synchronised (fsync)
 * and renamed, and the directory synchronised.  After a failure, or a crash at any moment, the
 * path holds what it held before (or the whole of the new, where the directory could not be
 * synchronised); what a crash left of a temporary file, the next write into the directory
 * removes.
 *
 * shard_bytes (safetensors): no file gets more bytes of values, but for single entries above it;
 * the files are called model-00001-of-00003.safetensors for a path model.safetensors, and an
 * index model.safetensors.index.json says what is where.  The index is written last; a single
 * file at the path and files of a former set are removed after it.  Sets in one directory are
 * written one after the other.  A single file leaves a set of its name alone: the path is that
 * of the file then, and the index's that of the set.
 *
 * deflate (.npz): compressed, as by numpy.savez_compressed.
 *
 * Metadata are written to safetensors alone.  NumPy has no BF16 and no F8: refused. */
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

#ifndef __cplusplus
#define ebb_archive_read(...)                                                                      \
	ebb_archive_read(&(ebb_archive_read_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_archive_write(...)                                                                     \
	ebb_archive_write(&(ebb_archive_write_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
