/*
 * golden.h - the comparison with golden vectors: reads cases from safetensors files, their
 * options from the metadata, and calls the op that a case names.
 */
#ifndef EBB_TESTS_GOLDEN_H
#define EBB_TESTS_GOLDEN_H

#include <ebb.h>

enum { GOLDEN_MAX_INPUTS = 16, GOLDEN_MAX_OPTIONS = 16, GOLDEN_MAX_BUFFERS = 2 };

/* ---- Files (files.c) ------------------------------------------------------------------------- */

typedef struct golden_tensor {
	const char *name;
	ebb_dtype dtype; /* EBB_F64, EBB_F32 or EBB_I64 */
	ebb_shape shape;
	int64_t count;
	const void *values; /* reading order */
	ebb_tensor *owner;  /* of values */
} golden_tensor;

typedef struct golden_option {
	const char *key, *value;
	bool used;
} golden_option;

/* Options as text.  problem is the first error in them. */
typedef struct golden_options {
	int n;
	golden_option option[GOLDEN_MAX_OPTIONS];
	bool missing_op; /* the problem is an op that Ebb does not have */
	char problem[300];
} golden_options;

typedef struct golden_case {
	const char *op; /* NULL if the metadata names none */
	golden_options options;
	int n;
	golden_tensor *tensors;
	ebb_archive *archive; /* owner of the names */
} golden_case;

/* False, with the reason in error, if the file cannot be read. */
bool golden_load(const char *path, golden_case *c, ebb_error *error);
void golden_unload(golden_case *c);
/* The tensor called prefix.suffix, or NULL. */
const golden_tensor *golden_find(const golden_case *c, const char *prefix, const char *suffix);
const golden_tensor *golden_find_numbered(const golden_case *c, const char *prefix, int k);

/* ---- Options (options.c) --------------------------------------------------------------------- */

/* Each function marks its option as read.  If the value cannot be parsed, the error is put into
 * o->problem. */
const char *golden_text(golden_options *o, const char *key); /* NULL if absent */
double golden_number(golden_options *o, const char *key, double fallback);
bool golden_flag(golden_options *o, const char *key, bool fallback);
/* Numbers joined by commas; returns how many, 0 if absent. */
int golden_ints(golden_options *o, const char *key, int64_t *values, int max);
ebb_axes golden_axes(golden_options *o, const char *key);
int golden_axis(golden_options *o, const char *key);
ebb_shape golden_shape(golden_options *o, const char *key);
/* Sets pair from one or two numbers; unchanged if the option is absent. */
void golden_pair(golden_options *o, const char *key, int pair[2]);
ebb_reduction golden_reduction(golden_options *o);
/* Whether the note is exactly this text. */
bool golden_note(golden_options *o, const char *text);
void golden_problem(golden_options *o, const char *format, ...) EBB_PRINTF(2, 3);
/* Whether there is no problem and every option was read; an unread option becomes the problem. */
bool golden_options_ok(golden_options *o);

/* ---- Calls (calls.c, formula.c) -------------------------------------------------------------- */

typedef ebb_tensor *golden_call(ebb_tape *t, golden_options *o, int n, ebb_tensor **in);

typedef struct golden_op {
	const char *name; /* a trailing * stands for any ending */
	golden_call *call;
	int min_inputs, max_inputs;
	unsigned constants; /* EBB_IN(k): input k is not differentiated */
	const char *buffers
		[GOLDEN_MAX_INPUTS]; /* input k is the buffer of that name, updated in place */
} golden_op;

/* The op of that name, or NULL if Ebb does not have it. */
const golden_op *golden_op_named(const char *name);
/* Evaluates the note, a formula such as "tanh(x*x + in.1)": x is in.0, functions are ops by
 * name. */
golden_call golden_formula;

/* ---- Comparison (compare.c) ------------------------------------------------------------------ */

typedef enum golden_outcome {
	GOLDEN_PASSED,
	GOLDEN_FAILED,
	GOLDEN_MISSING /* the case is of an op that Ebb does not have */
} golden_outcome;

/* Compares one file in double and in single precision.  Increments passed[0] if double passes and
 * passed[1] if single passes, and prints each failure.  strict: the file was made by script/golden,
 * so it has all second derivatives. */
golden_outcome golden_run_file(const char *path, bool strict, int passed[2]);

/* ---- Coverage (coverage.c) ------------------------------------------------------------------- */

/* Returns the number of ops of ops.h that have neither vectors in one of the folders nor a waiver
 * (coverage.c), and prints their names.  Unless names_only, prints an error for each of them and
 * for each waiver that is out of date, and counts these waivers, too. */
int golden_uncovered(int n, char *const *folders, bool names_only);

#endif
