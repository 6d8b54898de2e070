/*
 * state.h - state of objects in archives: numbers and arrays that are restored bit for bit, and
 * lists of mismatches.  For folders whose objects save and restore their state.
 */
#ifndef EBB_ARCHIVE_STATE_H
#define EBB_ARCHIVE_STATE_H

#include "archive/archive.h"

/* ---- Names ----------------------------------------------------------------------------------- */

/* A buffer that grows, for names that are joined of parts. */
typedef struct ebb_key {
	char *text;
	size_t size;
} ebb_key;

/* Joins the three parts, in the key's memory until its next use.  NULL if there is no memory. */
const char *ebb_key_of(ebb_key *k, const char *a, const char *b, const char *c);
void ebb_key_free(ebb_key *k);
/* As ebb_key_of; if there is no memory sets the error "WHO: no memory for a name". */
const char *ebb_key_or_fail(
	ebb_key *k, const char *who, const char *a, const char *b, const char *c, ebb_error *e);

/* ---- Errors ---------------------------------------------------------------------------------- */

/* A list of errors: as many as one message can hold, and the number of the others. */
typedef struct ebb_complaints {
	ebb_status status; /* of the first; EBB_OK: no error */
	int64_t count, listed;
	char text[400];
} ebb_complaints;

void ebb_complain(ebb_complaints *c, ebb_status status, const char *format, ...) EBB_PRINTF(3, 4);
/* As ebb_key_of; adds an error if there is no memory. */
const char *ebb_key_or_complain(
	ebb_key *k, const char *a, const char *b, const char *c, ebb_complaints *all);
/* Adds an error about an entry of the file: "NAME" WHAT; control characters in the name are
 * replaced. */
void ebb_complain_of(ebb_complaints *c, const char *name, const char *what);
/* Adds the error that another check of the same archive has set. */
void ebb_complain_again(ebb_complaints *c, const ebb_archive *a, const ebb_error *e);
/* True if there were no errors; otherwise sets e: "PATH: ERROR; ERROR; and N more". */
bool ebb_complaints_end(const ebb_complaints *c, const ebb_archive *a, ebb_error *e);

/* ---- Values ---------------------------------------------------------------------------------- */

/* Whether the entry exists with this type and shape; if not, adds an error. */
bool ebb_state_has(const ebb_archive *a, const char *name, ebb_file_dtype dtype, ebb_shape shape,
	ebb_complaints *c);
/* As ebb_state_has, with the type and the shape of a persistent tensor. */
bool ebb_state_has_like(
	const ebb_archive *a, const char *name, const ebb_tensor *x, ebb_complaints *c);
/* Adds values in memory, row-major, of x's type and shape; they are not copied. */
bool ebb_state_add_like(
	ebb_archive *a, const char *name, const ebb_tensor *x, const void *values, ebb_error *e);
/* Reads all bytes of an entry that ebb_state_has accepted, row-major, in this machine's byte
 * order. */
bool ebb_state_read(const ebb_archive *a, const char *name, void *to, ebb_error *e);
/* Reads a number (an entry without axes) of exactly this type; if it does not exist, adds an error
 * and leaves *x unchanged. */
bool ebb_state_f64(const ebb_archive *a, const char *name, double *x, ebb_complaints *c);
bool ebb_state_i64(const ebb_archive *a, const char *name, int64_t *x, ebb_complaints *c);
/* Whether the text under the key equals text; if not, adds an error. */
bool ebb_state_is(const ebb_archive *a, const char *key, const char *text, ebb_complaints *c);

#endif
