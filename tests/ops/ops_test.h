/*
 * ops_test.h - the tests of every op as data.
 *
 * An entry holds the call of an op, its value (a plain loop in double, written without the
 * library), and the samples of its inputs.  every_op.c tests every entry: values, memory orders,
 * types, gradients of first and second order, errors.  The names of the ops come from the
 * headers of ops/, so an op without an entry fails the suite.
 */
#ifndef EBB_TESTS_OPS_TEST_H
#define EBB_TESTS_OPS_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

enum { MAX_IN = 4 };

/* ---- Plain arrays (arrays.c): what references read and write ------------------------ */

typedef struct array {
	ebb_dtype dtype; /* EBB_F64, EBB_I64 or EBB_U8; EBB_DEFAULT: an input left out */
	ebb_shape shape;
	int64_t count;
	double *v; /* reading order */
} array;

/* Memory that lives until arrays_free, at the end of each test. */
double *scratch(int64_t n);
void arrays_free(void);
array array_new(ebb_shape shape); /* of zeros */
array array_of(const ebb_tensor *x);
array array_random(ebb_shape shape, uint64_t seed); /* in (-1,1), exact in single precision */
/* Steps through the positions of a shape in reading order: at begins as zeros; false after the
 * last. */
bool next_position(const ebb_shape *shape, int64_t *at);
/* The element of a at a position of a shape that a broadcasts to. */
double broadcast_at(const array *a, const ebb_shape *shape, const int64_t *at);
int64_t flat_index(const ebb_shape *shape, const int64_t *at);
ebb_shape broadcast_shape(const array *a, int n);
/* |a - b| <= tolerance*(1 + |b|) everywhere (or equal, or both NaN), and the same shape; else
 * says where. */
bool close_to(const array *a, const array *b, double tolerance, char *why, size_t size);
uint64_t test_random(uint64_t *state); /* splitmix64 (Steele et al. 2014) */

/* ---- Entries ------------------------------------------------------------------------ */

/* One trial.  Written "2x3 4 _ i5:2x2 m2 #3f": a real input [2,3], a real [4], an input left
 * out, I64 in [0,5), U8 of zeros and ones, variant 3; "-" is a scalar.  After the variant's
 * number: e evaluation mode, r random (the value is checked elsewhere), f the gradient is zero
 * throughout. */
typedef struct sample {
	int n;
	array in[MAX_IN];
	int variant;
	bool eval, random, flat;
	char text[100];
} sample;

/* What an entry must have, or say in .waived[part] why it does not apply. */
typedef enum part {
	REFERENCE, /* a plain loop */
	GRADIENT,  /* two orders of derivatives */
	EMPTY,     /* a sample with an axis of size 0 */
	ONE,       /* a sample with an axis of size 1 */
	BROADCAST, /* real inputs of unlike shapes */
	LAYOUTS,   /* an input with two axes longer than 1, which can have several memory orders */
	REFUSED,   /* an input that is an error */
	PARTS
} part;

typedef struct entry {
	const char *name;
	ebb_tensor *(*call)(ebb_tape *t, ebb_tensor **x, int n, int variant);
	/* One of: of one element, of two (broadcast), of the whole. */
	double (*unary)(double x, int variant);
	double (*binary)(double a, double b);
	void (*reference)(const array *x, int n, int variant, array *y);
	const char *samples; /* separated by | */
	/* The same: each gives an error that names the op, the shape, the line and the scope. */
	const char *refused;
	/* A letter per input: a any, p positive, n not near zero, d all distinct (of all
	 * inputs), u in (0,1), i in (-0.9,0.9); the last stands for the rest; left out: any.
	 * "c-1, 1" is around these corners, and not near one. */
	const char *values;
	/* EBB_I64 or EBB_U8: an op of integers.  It has no derivative, so its real inputs are
	 * constants, and a variable in their place must be refused. */
	ebb_dtype result;
	void (*property)(void); /* a test that the fields above cannot express */
	const char *waived[PARTS];
} entry;

/* Each table ends with an entry without a name. */
extern const entry unary_ops[], binary_ops[], elementwise_ops[], activation_ops[], reduction_ops[],
	shape_ops[], indexing_ops[], product_ops[], spatial_ops[], norm_ops[], loss_ops[],
	creation_ops[], einsum_ops[], integer_ops[], sorting_ops[];
/* All of them: a test of every op has the array TABLES of these. */
#define EVERY_TABLE                                                                                \
	unary_ops, binary_ops, elementwise_ops, activation_ops, reduction_ops, shape_ops,          \
		indexing_ops, product_ops, spatial_ops, norm_ops, loss_ops, creation_ops,          \
		einsum_ops, integer_ops, sorting_ops

/* What else the test of a listed op checks. */
typedef struct property {
	const char *op;
	void (*check)(void);
} property;
extern const property unary_properties[];

/* Reads the next sample of a list, with values that depend on its text alone.  False at the end. */
bool next_sample(const char **list, const char *values, sample *s);
void entry_reference(const entry *e, const sample *s, array *y);

/* Declares call_NAME. */
#define CALL(name, expression)                                                                     \
	static ebb_tensor *call_##name(ebb_tape *t, ebb_tensor **x, int n, int v)                  \
	{                                                                                          \
		(void)n;                                                                           \
		(void)v;                                                                           \
		return expression;                                                                 \
	}

/* ---- Memory orders (layouts.c) ------------------------------------------------------ */

typedef enum layout {
	ROWS,
	TRANSPOSED,    /* the last two axes exchanged */
	REVERSED,      /* all axes */
	SLICED,        /* every second element of a block whose others are NaN */
	EXPANDED,      /* stride 0 along the last axis that is longer than 1 */
	CHANNELS_LAST, /* axis 1 innermost */
	PERSISTENT,    /* a persistent tensor, rather than the tape's */
	LAYOUT_COUNT
} layout;

extern const char *const layout_names[];
bool layout_applies(layout l, const array *a);
/* The values an expanded tensor can hold: those at position 0 of its repeated axis. */
void repeat_values(array *a);
/* a as a tensor on t: a variable seen through views, or a constant if it is of integers.
 * *persistent receives what the caller must free after the tape, or NULL. */
ebb_tensor *place(ebb_tape *t, const array *a, layout l, ebb_tensor **persistent);

/* ---- Runs (runs.c) ------------------------------------------------------------------ */

typedef struct outcome {
	array y, g[MAX_IN];
	array h[MAX_IN + 1]; /* of sum v*g by each input, [n] by the incoming gradient */
} outcome;

typedef struct trial {
	const entry *e;
	sample s;
	array u, v[MAX_IN]; /* the incoming gradient, and directions for the gradients */
	array y;            /* the reference's */
	outcome plain;      /* row-major, in double precision */
} trial;

/* Fills the trial from its entry and sample, and checks the plain run against the reference. */
void prepare(trial *r);
/* Every memory order of every input and of the incoming gradient. */
void try_settings(const trial *r, ebb_dtype dtype);
void try_constants(const trial *r);

/* <u, J v> = <J^T u, v> to 1e-12, with the trial's u and v (identity.c). */
void check_identity(const trial *r);
/* An op of integers refuses each real input that requires a gradient. */
void try_variables(const trial *r);

/* ---- Convolution's reference (references.c) ----------------------------------------- */

typedef struct conv_case {
	int64_t stride[2], dilation[2], groups;
	int64_t before[2], after[2]; /* padding */
} conv_case;
/* y[n,o,i,j] = b[o] + sum w[o,c,u,v]*x[n,c,i*s+u*d-p,j*s+v*d-p]; b may be left out */
array plain_conv(const array *x, const array *w, const array *b, const conv_case *c);
/* The gradients of sum gy*y with respect to x and to w, by scattering over the same loop. */
array plain_conv_gx(const array *gy, const array *w, ebb_shape x, const conv_case *c);
array plain_conv_gw(const array *gy, const array *x, ebb_shape w, const conv_case *c);

#endif
