/*
 * tensor.h - values: types, shapes and memory orders, errors, the allocation hook, and tensors.
 *
 * Errors are sticky: the first failure of an op stays on the tape with its whole story, every later
 * op returns NULL at once, and accessors accept NULL.  The library never aborts, exits or prints.
 */
#ifndef EBB_TENSOR_H
#define EBB_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define EBB_API
#else
#define EBB_API __attribute__((visibility("default")))
#endif

#if defined(__GNUC__)
#define EBB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define EBB_PRINTF(fmt, args)
#endif

/* The caller's file and line, as one static string: the last argument of every op's function.
 * Macros of the same name add it, so that calls read ebb_relu(t, x). */
#define EBB_SITE_STRING_(line) #line
#define EBB_SITE_STRING(line) EBB_SITE_STRING_(line)
#define EBB_SITE __FILE__ ":" EBB_SITE_STRING(__LINE__)

/* The body of the macro beside an op's prototype.  In C, EBB_CALL appends the call site to the
 * arguments, and EBB_CALL_ARGS builds the struct of arguments and sets its member site.  C++ and
 * function pointers call the function itself, and pass the site (or NULL) or the struct. */
#ifdef __cplusplus
#define EBB_CALL(function, ...) function(__VA_ARGS__)
#define EBB_CALL_ARGS(function, type, ...) function(__VA_ARGS__)
#else
#define EBB_CALL(function, ...) function(__VA_ARGS__, EBB_SITE)
#define EBB_CALL_ARGS(function, type, ...) function(&(type){__VA_ARGS__, .site = EBB_SITE})
#endif

typedef struct ebb_tape ebb_tape;
typedef struct ebb_tensor ebb_tensor;
typedef struct ebb_scope ebb_scope;
typedef struct ebb_node ebb_node;

/* ---- Types and shapes ------------------------------------------------------------------------ */

/* F32 and F64 compute, never mixed.  Labels and indices are I64, images and conditions may be
 * U8; integers are never differentiated.  Where an option is left out, EBB_DEFAULT means the
 * tape's default. */
typedef enum ebb_dtype { EBB_DEFAULT, EBB_F32, EBB_F64, EBB_I64, EBB_U8 } ebb_dtype;

enum { EBB_MAX_DIMS = 8 };

/* EBB_SHAPE(64, 3, 32, 32); a scalar has no axes: EBB_SCALAR_SHAPE.  Axes of size 0 are allowed. */
typedef struct ebb_shape {
	int ndim;
	int64_t dims[EBB_MAX_DIMS];
} ebb_shape;
#define EBB_COUNT_ARGS(...) ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define EBB_SHAPE(...) ((ebb_shape){EBB_COUNT_ARGS(__VA_ARGS__), {__VA_ARGS__}})
#define EBB_SCALAR_SHAPE ((ebb_shape){0, {0}})

/* A list of axes that carries its count: EBB_AXES(0), EBB_AXES(2, 3).  Negative axes count from
 * the end. Left out: all axes. */
typedef struct ebb_axes {
	int n;
	int axis[EBB_MAX_DIMS];
} ebb_axes;
#define EBB_AXES(...) ((ebb_axes){(int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), {__VA_ARGS__}})

/* Memory orders.  An op says in which it takes its inputs; ebb_begin copies (through the
 * recorded op "dense") what is in another. */
typedef enum ebb_order {
	EBB_DENSE,         /* one block without gaps, axes in any order */
	EBB_ROWS,          /* row-major */
	EBB_CHANNELS_LAST, /* axis 1 innermost, for 3 to 5 axes; row-major for fewer */
	EBB_STRIDED        /* anything */
} ebb_order;

/* Left out is zero, and zero means the default.  EBB_ZERO says a real zero where the default is
 * another number: .momentum = EBB_ZERO. */
#define EBB_ZERO (-0x1p-1000)

EBB_API const char *ebb_dtype_name(ebb_dtype dtype); /* "F32" */
EBB_API size_t ebb_dtype_size(ebb_dtype dtype);      /* bytes per element; 0 for EBB_DEFAULT */

/* ---- Errors ---------------------------------------------------------------------------------- */

typedef enum ebb_status {
	EBB_OK,
	EBB_INVALID,   /* an argument out of its range, NULL, or of another tape */
	EBB_BAD_SHAPE, /* shapes that do not fit, or whose size overflows */
	EBB_BAD_DTYPE, /* the wrong element type */
	EBB_NO_MEMORY, /* the allocator said no */
	/* a call at the wrong time: a dropped value, a consumed graph, a step without gradients */
	EBB_BAD_STATE,
	EBB_BAD_FILE,  /* missing, truncated, or not of the format expected */
	EBB_NOT_FINITE /* a NaN or an infinity where none may be */
} ebb_status;

/* What has no tape (files, loaders, stores) fills one of these.  Functions that take an
 * ebb_error * accept NULL.  The first error stays: a filled one is not overwritten. */
typedef struct ebb_error {
	ebb_status status;
	char message[500];
	uint64_t order; /* counts this process's errors, from 1; 0 is unknown */
} ebb_error;

/* Fills e (unless NULL or already filled) with "site: text"; site may be NULL. */
EBB_API void ebb_error_set(ebb_error *e, ebb_status status, const char *site, const char *format,
	...) EBB_PRINTF(4, 5);

EBB_API bool ebb_failed(const ebb_tape *t); /* true for NULL: no memory for a tape */
EBB_API ebb_status ebb_error_status(const ebb_tape *t);
/* "" if none; valid until ebb_clear_error */
EBB_API const char *ebb_error_message(const ebb_tape *t);
EBB_API void ebb_clear_error(ebb_tape *t);
/* The tape's error, or NULL if there is none.  For a NULL tape: that there is none. */
EBB_API const ebb_error *ebb_tape_error(const ebb_tape *t);
/* Of n errors (NULLs are none) the one that happened first; NULL if there is none.  ebb.h has
 * ebb_ok and ebb_first_error, which take tapes, stores, optimizers and loaders themselves. */
EBB_API const ebb_error *ebb_earliest_error(int n, const ebb_error *const *e);
/* Fails the tape, for ops of one's own: "site: text in scope".  The first failure wins.
 * Returns NULL. */
EBB_API ebb_tensor *ebb_fail(
	ebb_tape *t, ebb_status status, const char *site, const char *format, ...) EBB_PRINTF(4, 5);

/* ---- A tape's default type ------------------------------------------------------------------- */

/* Of what is made on a tape without a type of its own: EBB_F32, or EBB_F64.  Returns the former
 * one. */
EBB_API ebb_dtype ebb_set_default_dtype(ebb_tape *t, ebb_dtype dtype);
EBB_API ebb_dtype ebb_default_dtype(const ebb_tape *t);

/* ---- Subnormal numbers ----------------------------------------------------------------------- */

/* How the kernels of a tape's ops treat subnormal numbers (F32: below 2^-126 = 1.2e-38, F64:
 * below 2^-1022 = 2.2e-308), in all threads alike.  Flushed, a subnormal operand counts as zero
 * and a subnormal result becomes zero; kept, each may cost its processor a hundred cycles or
 * more.  Values that are persistent and not computed (ebb_from_f32, ebb_full, ebb_copy_in, ..)
 * stay as they are.
 *
 * The default flushes F32: gradients that fade reach 1e-38 within tens of layers, and would make
 * the backward pass many times slower there.  It keeps them in F64, so that what a gradient-flow
 * figure shows in double precision goes down to 4.9e-324; a run that must see what F32 loses is
 * made in F64, or with EBB_FLUSH_NEVER.  (PyTorch's default keeps them in both.)  Optimizers
 * have no tape and always flush.  Kernels round to nearest and trap nothing, whatever the
 * calling thread's floating-point state, which is as it was in callbacks and after every call. 
 * Numbers that an op derives once from its options (the divisor of a mean) follow the calling
 * thread's rounding.  Processors other than x86 with SSE2 and 64-bit ARM keep subnormal numbers
 * always. */
typedef enum ebb_flush {
	EBB_FLUSH_NEVER,
	EBB_FLUSH_ALWAYS, /* F32 and F64 */
	EBB_FLUSH_F32
} ebb_flush;
EBB_API ebb_flush ebb_set_flush_subnormal(ebb_tape *t, ebb_flush flush);
EBB_API ebb_flush ebb_flush_subnormal(const ebb_tape *t);

/* ---- Random numbers -------------------------------------------------------------------------- */

/* The random generator is counter-based: the n-th random op after seeding draws from stream n. */
EBB_API void ebb_seed(ebb_tape *t, uint64_t seed);
typedef struct ebb_random {
	uint64_t seed, stream;
} ebb_random;
EBB_API ebb_random ebb_random_state(const ebb_tape *t);
EBB_API void ebb_set_random_state(ebb_tape *t, ebb_random r);
/* The next stream, for a random op of one's own. */
EBB_API ebb_random ebb_random_next(ebb_tape *t);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The process-wide allocation hook; all memory that Ebb takes from the system passes it
 * (OpenBLAS's, libjpeg's, libzip's and Jansson's own, and threads' stacks apart). old_size 0:
 * allocate (p is NULL); new_size 0: free (returns NULL); else reallocate.  Returns memory
 * aligned like malloc's, or NULL.  Set it before anything else is allocated, or to one that
 * understands the former's memory; NULL restores the C library's.  It may be called from several
 * threads. */
typedef void *(*ebb_alloc_fn)(void *ctx, void *p, size_t old_size, size_t new_size);
EBB_API void ebb_set_allocator(ebb_alloc_fn fn, void *ctx);
/* The hook itself, for the library's folders and for custom ops. */
EBB_API void *ebb_alloc(size_t size); /* NULL if there is none; size 0 gives NULL */
EBB_API void *ebb_alloc_zeroed(size_t size);
EBB_API void *ebb_realloc(void *p, size_t old_size, size_t new_size);
EBB_API void ebb_free(void *p, size_t size); /* the size it was allocated with */

/* ---- Tensors --------------------------------------------------------------------------------- */

/* A handle is valid until ebb_tape_reset.  Its value can be read until the first of: reset,
 * ebb_release, or the end of the scope that made it; reading a dropped value is a sticky error.
 * All accessors accept NULL. */
EBB_API int ebb_ndim(const ebb_tensor *x);
/* negative axes count from the end; 0 if there is none */
EBB_API int64_t ebb_size(const ebb_tensor *x, int axis);
EBB_API int64_t ebb_stride(const ebb_tensor *x, int axis);
EBB_API int64_t ebb_count(const ebb_tensor *x); /* elements */
EBB_API ebb_shape ebb_shape_of(const ebb_tensor *x);
EBB_API ebb_dtype ebb_dtype_of(const ebb_tensor *x);
EBB_API bool ebb_requires_grad(const ebb_tensor *x);
EBB_API const char *ebb_name(const ebb_tensor *x);          /* "" if none */
EBB_API void ebb_set_name(ebb_tensor *x, const char *name); /* cut at 63 characters */
/* The value of a one-element tensor; NaN for any other (and an error on its tape). */
EBB_API double ebb_item(const ebb_tensor *x);
/* Element number i in reading (row-major) order, as a double; NaN if there is none. */
EBB_API double ebb_at(const ebb_tensor *x, int64_t i);
/* The values in reading order, NCHW for images.  bytes must be count * dtype size.  False on a
 * NULL or dropped x, a NULL dst or a wrong size. */
EBB_API bool ebb_copy_out(const ebb_tensor *x, void *dst, size_t bytes);
/* The converse: overwrites x and raises its version; not for a tensor that an op computed. */
EBB_API bool ebb_copy_in(ebb_tensor *x, const void *src, size_t bytes);
/* The raw memory of the first element; it comes with strides. NULL if dropped or x is NULL. */
EBB_API const void *ebb_data(const ebb_tensor *x);
/* The same to write through: raises the version, so that a gradient which saved the old value
 * fails.  Ask again before writing again. */
EBB_API void *ebb_data_mutable(ebb_tensor *x);
/* "F32 [64,3,28,28]" into a buffer of the caller's; returns it. */
EBB_API const char *ebb_describe(const ebb_tensor *x, char *buffer, size_t size);

/* Stored tensors belong to no tape: parameters, batches, results that outlive a step.  They may
 * be given to ops on any tape; a tape that used one must be reset (or freed) before it is
 * freed.  Zeroed.  NULL if there is no memory or the size overflows (e says which).
 * channels_last: 3 to 5 axes, axis 1 innermost in memory. */
EBB_API ebb_tensor *ebb_tensor_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, ebb_error *e);
EBB_API void ebb_tensor_free(
	ebb_tensor *x); /* a persistent tensor; a tape's tensor is left alone */
/* For what owns persistent tensors: while e, which must live as long as x, has an error, a tape
 * that meets x fails with it.  NULL: none. */
EBB_API void ebb_set_fault(ebb_tensor *x, const ebb_error *e);
/* Stored tensors only: whether ops on it record and ebb_backward deposits its gradient; a tape
 * that has recorded it as a leaf forgets that with its next reset.  False if not a persistent real
 * tensor. */
EBB_API bool ebb_set_requires_grad(ebb_tensor *x, bool on);
/* A persistent copy of x's value in x's memory order; the caller frees it.  NULL on failure (an
 * error on x's tape). */
EBB_API ebb_tensor *ebb_detach_copy(const ebb_tensor *x);

/* The gradient that ebb_backward deposited for a variable or a persistent tensor; NULL if none
 * was (since it was zeroed). Several sweeps add up.  A variable's lives until reset, or until a
 * rewind to before its deposit; a persistent tensor's as long as it does, and one at a time may
 * be the thread that deposits in a persistent tensor or is the first to ask for its gradient: a
 * large weight's is computed only then. */
EBB_API ebb_tensor *ebb_grad_of(const ebb_tensor *x);
EBB_API void ebb_zero_grad(ebb_tensor *x); /* forgets it (the memory stays) */

#ifdef __cplusplus
}
#endif
#endif
