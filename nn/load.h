/*
 * load.h - the plan for loading weights: which entry of a file goes to which tensor.  For nn/ only.
 */
#ifndef EBB_NN_LOAD_H
#define EBB_NN_LOAD_H

#include "archive/internal.h"
#include "nn/internal.h"

/* A tensor of the store, and the entry of the file that it is loaded from. */
typedef struct ebb_load_target {
	const char *name; /* without the store's prefix */
	ebb_tensor *x;
	const ebb_archived *from; /* or NULL */
	bool misfit;              /* the entry of this name has another shape or an unknown type */
} ebb_load_target;

typedef struct ebb_loading {
	ebb_params *p;
	const ebb_archive *a;
	const char *prefix;
	const ebb_rename *rename;
	const char *keep;        /* globs of names that are not loaded */
	ebb_load_target *target; /* [count], sorted by name */
	int64_t count, loaded;
	ebb_load_report *report;
	ebb_archive *memory; /* that holds the report's names */
	bool no_memory;
} ebb_loading;

/* Assigns every entry to a tensor, and lists the entries and tensors without a match in the report
 * (load.c).  False without memory. */
bool ebb_load_plan(ebb_loading *l, ebb_error *e);
bool ebb_load_ends_in(const char *name, const char *suffix); /* as whole dotted parts */
/* Sets the error: what is missing, unexpected or misfit, and what could help (load_advice.c).
 * Returns false. */
bool ebb_load_complain(const ebb_loading *l, ebb_error *e);

#endif
