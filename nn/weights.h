/*
 * weights.h - saving and loading the parameters and buffers of a store (weights.c, rename.c).
 *
 * Entries of a file are matched with tensors by name.  archive.h lists the file formats.  Published
 * safetensors, .npz, .pt and .pth files load unchanged, because names and layouts are
 * torchvision's.
 */
#ifndef EBB_NN_WEIGHTS_H
#define EBB_NN_WEIGHTS_H

#include "../archive/archive.h"
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Saves all parameters and buffers below p's prefix, under their names without the prefix, as
 * ebb_archive_write does: afterwards the file is complete and on the disk, or, after an error,
 * unchanged.  dtype: the type of floats in the file (default: the tensor's).  False with an error
 * in .error, or in the store if .error is NULL. */
typedef struct ebb_params_save_args {
	ebb_params *p;
	const char *path;
	ebb_file_dtype dtype;
	int64_t shard_bytes;
	ebb_error *error;
	const char *site;
} ebb_params_save_args;
EBB_API bool ebb_params_save(const ebb_params_save_args *a);

/* A name of a file that matches from is replaced by to.  A * in from matches any run of characters,
 * also dots; the k-th * in to is replaced by the run that the k-th * in from matched:
 * {"features.*.norm.*", "layer*.bn.*"}.  to NULL: the entry is ignored. */
typedef struct ebb_rename {
	const char *from, *to;
} ebb_rename;

/* The result of a load, name by name.  Freed by ebb_load_report_free. */
typedef struct ebb_load_report {
	int64_t loaded; /* tensors of the store that were loaded */
	/* parameters and buffers that the file does not have */
	const char **missing;
	int64_t missing_count;
	/* entries that the store does not have */
	const char **unexpected;
	int64_t unexpected_count;
	/* those that do not fit: "fc.weight: F32 [10,512] in the file, [100,512] expected" */
	const char **misfit;
	int64_t misfit_count;
	void *memory; /* that holds the names */
} ebb_load_report;
EBB_API void ebb_load_report_free(ebb_load_report *r);

/* Loads the parameters and buffers below p's prefix from the entries of the same name in the file
 * at path, or in archive.  Floats and integers of any size are converted to the store's type.
 *
 * prefix: only entries whose names begin with it are loaded, and it is removed from their names;
 * give its last dot too: "model.".  rename: rules for the names without prefix, ended by {0}; the
 * first that matches a name applies.  Entries called num_batches_tracked, PyTorch's counter of
 * batches, are ignored if the store has no tensor of that name.
 *
 * keep: names of the store, as globs (ebb_params_freeze) separated by spaces: these tensors keep
 * their values, and entries of these names are ignored.  keep = "fc.*" loads a network for another
 * number of classes than the file's.
 *
 * Without .partial, every other parameter and buffer must have an entry and every other entry a
 * tensor: missing names, unexpected names and other shapes are an error, and no tensor is changed.
 * With .partial, the entries that fit are loaded and the other tensors stay unchanged; it is an error
 * if no entry fits.  report (zeroed first) lists all names.
 *
 * False with an error in .error, or in the store if .error is NULL.  If reading the values fails
 * midway, some tensors have new values: the store then fails too. */
typedef struct ebb_params_load_args {
	ebb_params *p;
	const char *path;
	const ebb_archive *archive; /* instead of path */
	const char *prefix;
	const ebb_rename *rename;
	const char *keep;
	bool partial;
	ebb_load_report *report;
	int64_t most_header, most_bytes; /* as for ebb_archive_read */
	ebb_error *error;
	const char *site;
} ebb_params_load_args;
EBB_API bool ebb_params_load(const ebb_params_load_args *a);

/* Saving and loading for files that hold more than one store.  ebb_params_put adds every parameter
 * and buffer to a, under prefix and its name.  ebb_params_take loads them, without .partial.
 * ebb_params_fits says whether ebb_params_take would succeed, and changes nothing.  prefix may be
 * NULL. */
EBB_API bool ebb_params_put(const ebb_params *p, ebb_archive *a, const char *prefix, ebb_error *e);
EBB_API bool ebb_params_fits(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e);
EBB_API bool ebb_params_take(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_params_save(...) EBB_CALL_ARGS(ebb_params_save, ebb_params_save_args, __VA_ARGS__)
#define ebb_params_load(...) EBB_CALL_ARGS(ebb_params_load, ebb_params_load_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
