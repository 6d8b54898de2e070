/*
 * weights.h - the parameters and buffers of a store in files (weights.c, rename.c).
 *
 * They go to a file under their names, and come back by them.  archive.h says which formats
 * there are; published safetensors, .npz, .pt and .pth files load alike, as names and layouts
 * are torchvision's.
 */
#ifndef EBB_NN_WEIGHTS_H
#define EBB_NN_WEIGHTS_H

#include "../archive/archive.h"
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes everything below p's prefix, under the names below it, as ebb_archive_write does: the
 * file is whole and on the disk, or is what it was before.  dtype: what floats are stored as
 * (default: their own type). False with an error in .error, or without one in the store. */
typedef struct ebb_params_save_args {
	ebb_params *p;
	const char *path;
	ebb_file_dtype dtype;
	int64_t shard_bytes;
	ebb_error *error;
	const char *site;
} ebb_params_save_args;
EBB_API bool ebb_params_save(const ebb_params_save_args *a);

/* Names that match from get to instead.  A * stands for any run of characters, dots too; the
 * k-th * of to is what the k-th of from stood for: {"features.*.norm.*", "layer*.bn.*"}.  to
 * NULL: the entry is left out. */
typedef struct ebb_rename {
	const char *from, *to;
} ebb_rename;

/* What a load found.  Freed by ebb_load_report_free. */
typedef struct ebb_load_report {
	int64_t loaded; /* tensors of the store that got values */
	/* parameters and buffers that the file does not have */
	const char **missing;
	int64_t missing_count;
	/* entries that the store does not have */
	const char **unexpected;
	int64_t unexpected_count;
	/* those that do not fit: "fc.weight: F32 [10,512] in the file, [100,512] expected" */
	const char **misfit;
	int64_t misfit_count;
	void *memory; /* that the names lie in */
} ebb_load_report;
EBB_API void ebb_load_report_free(ebb_load_report *r);

/* Fills the parameters and buffers below p's prefix with the entries of the file at path, or of
 * archive, which have their names.  Floats and integers of any size are converted to the store's
 * type.
 *
 * prefix: only entries whose names begin with it (its last dot included: "model.") count, and
 * are known by the rest.  rename: rules for what is left, ended by {0}; the first that matches a
 * name applies.  Entries called num_batches_tracked, PyTorch's counter of batches, are passed
 * over where the store has none of the name.
 *
 * Without .partial, every parameter and buffer must get a value and every entry must have a
 * place: names that are missing, unexpected or of another shape are an error, and nothing is
 * changed.  With it, what fits is loaded and the rest left as it is; that nothing fits is an
 * error.  report (zeroed before) gets all names.
 *
 * False with an error in .error, or without one in the store.  A file that fails while values
 * are read leaves some loaded: then the store itself has failed as well. */
typedef struct ebb_params_load_args {
	ebb_params *p;
	const char *path;
	const ebb_archive *archive; /* instead of path */
	const char *prefix;
	const ebb_rename *rename;
	bool partial;
	ebb_load_report *report;
	int64_t most_header, most_bytes; /* as for ebb_archive_read */
	ebb_error *error;
	const char *site;
} ebb_params_load_args;
EBB_API bool ebb_params_load(const ebb_params_load_args *a);

/* The parts of these, for files that hold more than one store: put adds every parameter and
 * buffer as prefix and its name; fits says whether take would succeed, and changes nothing; take
 * is a load without .partial. prefix may be NULL. */
EBB_API bool ebb_params_put(const ebb_params *p, ebb_archive *a, const char *prefix, ebb_error *e);
EBB_API bool ebb_params_fits(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e);
EBB_API bool ebb_params_take(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_params_save(...) ebb_params_save(&(ebb_params_save_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_params_load(...) ebb_params_load(&(ebb_params_load_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
