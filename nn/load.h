/*
 * load.h - a load of weights while it is planned: which entry of a file goes where.  For nn/ only.
 */
#ifndef EBB_NN_LOAD_H
#define EBB_NN_LOAD_H

#include "archive/internal.h"
#include "nn/internal.h"

/* What becomes of a tensor of the store. */
typedef struct ebb_load_target {
	const char *name; /* below the prefix */
	ebb_tensor *x;
	const ebb_archived *from; /* or NULL */
	bool misfit;              /* an entry of its name does not fit */
} ebb_load_target;

typedef struct ebb_loading {
	ebb_params *p;
	const ebb_archive *a;
	const char *prefix;
	const ebb_rename *rename;
	ebb_load_target *target; /* [count], sorted by name */
	int64_t count, loaded;
	ebb_load_report *report;
	ebb_archive *memory; /* of the report */
	bool no_memory;
} ebb_loading;

/* Gives every entry its place, and lists in the report what has none (load.c).  False without
 * memory. */
bool ebb_load_plan(ebb_loading *l, ebb_error *e);
bool ebb_load_ends_in(const char *name, const char *suffix); /* as its last dotted parts */
/* Fails with what is missing, unexpected or misfit, and what would help (load_advice.c). */
bool ebb_load_complain(const ebb_loading *l, ebb_error *e);

#endif
