/*
 * state.h - state in archives: numbers and arrays that come back bit for bit, and lists of what
 * does not fit.  For the folders whose objects put themselves into archives.
 */
#ifndef EBB_ARCHIVE_STATE_H
#define EBB_ARCHIVE_STATE_H

#include "archive/archive.h"

/* ---- Names ----------------------------------------------------------------------------------- */

/* A text that grows, for names put together. */
typedef struct ebb_key {
	char *text;
	size_t size;
} ebb_key;

/* The three joined, in the key's memory until its next use.  NULL without memory. */
const char *ebb_key_of(ebb_key *k, const char *a, const char *b, const char *c);
void ebb_key_free(ebb_key *k);
/* The same; without memory an error: "WHO: no memory for a name". */
const char *ebb_key_or_fail(
	ebb_key *k, const char *who, const char *a, const char *b, const char *c, ebb_error *e);

/* ---- Complaints ------------------------------------------------------------------------------ */

/* All that is wrong, as far as one message holds it, and how many more there are. */
typedef struct ebb_complaints {
	ebb_status status; /* of the first; EBB_OK: there is none */
	int64_t count, told;
	char text[400];
} ebb_complaints;

void ebb_complain(ebb_complaints *c, ebb_status status, const char *format, ...) EBB_PRINTF(3, 4);
/* ebb_key_of; without memory a complaint. */
const char *ebb_key_or_complain(
	ebb_key *k, const char *a, const char *b, const char *c, ebb_complaints *all);
/* About an entry of the file: "NAME" WHAT, the name cleaned of what a terminal would act on. */
void ebb_complain_of(ebb_complaints *c, const char *name, const char *what);
/* What a check of the same archive has left in an error. */
void ebb_complain_again(ebb_complaints *c, const ebb_archive *a, const ebb_error *e);
/* True if there were none; else they are in e: "PATH: COMPLAINT; COMPLAINT; and N more". */
bool ebb_complaints_end(const ebb_complaints *c, const ebb_archive *a, ebb_error *e);

/* ---- Values ---------------------------------------------------------------------------------- */

/* Whether the entry is there, with that type and shape; else a complaint. */
bool ebb_state_has(const ebb_archive *a, const char *name, ebb_file_dtype dtype, ebb_shape shape,
	ebb_complaints *c);
/* The same with the type and the shape of a stored tensor. */
bool ebb_state_has_like(
	const ebb_archive *a, const char *name, const ebb_tensor *x, ebb_complaints *c);
/* Adds values in memory, row-major, of x's type and shape: not copied. */
bool ebb_state_add_like(
	ebb_archive *a, const char *name, const ebb_tensor *x, const void *values, ebb_error *e);
/* All bytes of an entry that ebb_state_has has found, row-major, in this machine's order. */
bool ebb_state_read(const ebb_archive *a, const char *name, void *to, ebb_error *e);
/* A number (an entry without axes) that is there with that type; else a complaint, and *x is
 * left. */
bool ebb_state_f64(const ebb_archive *a, const char *name, double *x, ebb_complaints *c);
bool ebb_state_i64(const ebb_archive *a, const char *name, int64_t *x, ebb_complaints *c);
/* The text under the key is that one; else a complaint. */
bool ebb_state_is(const ebb_archive *a, const char *key, const char *text, ebb_complaints *c);

#endif
