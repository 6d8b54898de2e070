/*
 * tensor.h - tensors: element types, shapes, memory orders, errors, and the allocation hook.
 *
 * Errors are sticky: the first op that fails leaves its error on the tape.  Every later op on that
 * tape returns NULL at once, and accessors accept NULL, so that one check per step finds the first
 * failure.  The library never aborts or exits, and prints only in ebb_print.
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

/* The call site: the caller's file and line as one string literal.  It is the last argument of
 * every op's function.  A macro with the function's name adds this argument, so that users write
 * ebb_relu(t, x). */
#define EBB_SITE_STRING_(line) #line
#define EBB_SITE_STRING(line) EBB_SITE_STRING_(line)
#define EBB_SITE __FILE__ ":" EBB_SITE_STRING(__LINE__)

/* The body of the macro beside a function's prototype, in C and in C++.  EBB_CALL appends the call
 * site to the arguments.  EBB_CALL_ARGS builds the struct of arguments and sets its member site.
 * EBB_CALL_STEP does the same for a function of an object and a struct whose first two members stay
 * NULL.  A function pointer, and a call in parentheses, (ebb_relu)(t, x, site), take the function
 * itself.  In C++ an option is ebb::NAME = value (call.hpp). */
#define EBB_CALL(function, ...) function(__VA_ARGS__, EBB_SITE)
#ifdef __cplusplus
#define EBB_CALL_ARGS(function, type, ...) ebb_cxx::call<type>(function, EBB_SITE, __VA_ARGS__)
#define EBB_CALL_STEP(function, type, object, ...)                                                 \
	ebb_cxx::call_step<type>(function, EBB_SITE, object, __VA_ARGS__)
#else
#define EBB_CALL_ARGS(function, type, ...) function(&(type){__VA_ARGS__, .site = EBB_SITE})
#define EBB_CALL_STEP(function, type, object, ...)                                                 \
	function(object, &(type){NULL, NULL, __VA_ARGS__, .site = EBB_SITE})
#endif

/* The body of EBB_SHAPE and other macros that make a list: a struct of a count and an array. */
#ifdef __cplusplus
#define EBB_COUNT_ARGS(...) (decltype(ebb_cxx::count(__VA_ARGS__))::value)
#define EBB_LIST(type, element, ...) (ebb_cxx::list<type, element>(__VA_ARGS__))
#else
#define EBB_COUNT_ARGS(...) ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define EBB_LIST(type, element, ...)                                                               \
	((type){(int)(sizeof((element[]){__VA_ARGS__}) / sizeof(element)), {__VA_ARGS__}})
#endif

typedef struct ebb_tape ebb_tape;
typedef struct ebb_tensor ebb_tensor;
typedef struct ebb_scope ebb_scope;
typedef struct ebb_node ebb_node;

/* ---- Types and shapes ------------------------------------------------------------------------ */

/* Ops compute in F32 or F64 and never mix the two.  Labels and indices are I64; images and
 * conditions may be U8.  Integer tensors have no gradient.  EBB_DEFAULT, the value of an option
 * that is left out, selects the tape's default type. */
typedef enum ebb_dtype { EBB_DEFAULT, EBB_F32, EBB_F64, EBB_I64, EBB_U8 } ebb_dtype;

enum { EBB_MAX_DIMS = 8 };

/* EBB_SHAPE(64, 3, 32, 32) has four axes.  A scalar has none: EBB_SCALAR_SHAPE.  An axis may have
 * size 0. */
typedef struct ebb_shape {
	int ndim;
	int64_t dims[EBB_MAX_DIMS];
} ebb_shape;
#define EBB_SHAPE(...) EBB_LIST(ebb_shape, int64_t, __VA_ARGS__)
#ifdef __cplusplus
#define EBB_SCALAR_SHAPE (ebb_shape{0, {0}})
#else
#define EBB_SCALAR_SHAPE ((ebb_shape){0, {0}})
#endif

/* A list of axes with its count: EBB_AXES(0), EBB_AXES(2, 3).  Axis -1 is the last one.  A list
 * that is left out (n = 0) means all axes. */
typedef struct ebb_axes {
	int n;
	int axis[EBB_MAX_DIMS];
} ebb_axes;
#define EBB_AXES(...) EBB_LIST(ebb_axes, int, __VA_ARGS__)

/* Memory orders.  Each op declares the order in which it takes each input (ebb_op.takes).  If an
 * input is in another order, ebb_begin replaces it by a copy.  The op "dense" makes the copy and is
 * recorded, so that gradients flow through the copy. */
typedef enum ebb_order {
	EBB_DENSE,         /* one block without gaps, axes in any order */
	EBB_ROWS,          /* row-major */
	EBB_CHANNELS_LAST, /* axis 1 innermost, for 3 to 5 axes; row-major for fewer */
	EBB_STRIDED        /* any strides */
} ebb_order;

/* An option that is left out is zero, and zero selects its default.  EBB_ZERO requests the number 0
 * where the default is another number: .momentum = EBB_ZERO. */
#define EBB_ZERO (-0x1p-1000)

EBB_API const char *ebb_dtype_name(ebb_dtype dtype); /* "F32" */
EBB_API size_t ebb_dtype_size(ebb_dtype dtype);      /* bytes per element; 0 for EBB_DEFAULT */

/* ---- Errors ---------------------------------------------------------------------------------- */

typedef enum ebb_status {
	EBB_OK,
	EBB_INVALID,   /* an argument out of its range, NULL, or of another tape */
	EBB_BAD_SHAPE, /* shapes that do not fit, or whose size overflows */
	EBB_BAD_DTYPE, /* the wrong element type */
	EBB_NO_MEMORY, /* an allocation failed */
	/* a call at the wrong time: on a dropped value or a consumed graph, or an optimizer step
	 * without gradients */
	EBB_BAD_STATE,
	EBB_BAD_FILE,  /* a file is missing, truncated, or not of the format expected */
	EBB_NOT_FINITE /* a NaN or an infinity where none is allowed */
} ebb_status;

/* An error outside a tape: of files, loaders and parameter stores.  Functions that take an
 * ebb_error * accept NULL.  The first error stays: no function overwrites an ebb_error that is
 * already filled. */
typedef struct ebb_error {
	ebb_status status;
	char message[500];
	uint64_t order; /* numbers this process's errors as they occur, from 1; 0: unknown */
} ebb_error;

/* Fills e with "site: text", unless e is NULL or already filled.  site may be NULL. */
EBB_API void ebb_error_set(ebb_error *e, ebb_status status, const char *site, const char *format,
	...) EBB_PRINTF(4, 5);

/* Whether the tape has an error; true for NULL, which is a tape that could not be allocated. */
EBB_API bool ebb_failed(const ebb_tape *t);
EBB_API ebb_status ebb_error_status(const ebb_tape *t);
/* "" if there is no error; valid until ebb_clear_error */
EBB_API const char *ebb_error_message(const ebb_tape *t);
EBB_API void ebb_clear_error(ebb_tape *t);
/* The tape's error, or NULL if there is none.  For a NULL tape: EBB_NO_MEMORY, "no memory for a
 * tape". */
EBB_API const ebb_error *ebb_tape_error(const ebb_tape *t);
/* The one of n errors that occurred first; NULL if none of them is an error.  NULL entries are
 * skipped.  ebb_first_error in ebb.h does the same for tapes, parameter stores, optimizers and
 * loaders; ebb_ok says whether none of these has an error. */
EBB_API const ebb_error *ebb_earliest_error(int n, const ebb_error *const *e);
/* Fails the tape, for custom ops.  The message is site, the formatted text and the path of the
 * current scope: "model.c:12: no such row in lenet.conv2".  A tape that has failed already keeps
 * its first error.  Returns NULL. */
EBB_API ebb_tensor *ebb_fail(
	ebb_tape *t, ebb_status status, const char *site, const char *format, ...) EBB_PRINTF(4, 5);

/* ---- A tape's default type ------------------------------------------------------------------- */

/* The type of tensors that are created on t without an explicit type: EBB_F32 (a new tape's) or
 * EBB_F64; any other is an error (EBB_BAD_DTYPE).  Returns the former default. */
EBB_API ebb_dtype ebb_set_default_dtype(ebb_tape *t, ebb_dtype dtype);
EBB_API ebb_dtype ebb_default_dtype(const ebb_tape *t);

/* ---- Subnormal numbers ----------------------------------------------------------------------- */

/* How the kernels of a tape's ops treat subnormal numbers (F32: below 2^-126 = 1.2e-38, F64: below
 * 2^-1022 = 2.2e-308).  The setting holds in every thread that runs these kernels.  Flushed: a
 * subnormal operand counts as zero and a subnormal result becomes zero.  Kept: each subnormal
 * number may cost the processor a hundred cycles or more.  Functions that copy values without
 * computing (ebb_from_f32, ebb_full, ebb_copy_in, ..) never change them.
 *
 * The default flushes F32, because vanishing gradients reach 1e-38 within tens of layers, where
 * subnormal numbers would make the backward pass many times slower.  The default keeps subnormal
 * numbers in F64, so that gradients computed in double precision can be observed down to 4.9e-324.
 * To see what F32 loses, compute in F64 or set EBB_FLUSH_NEVER.  (PyTorch's default keeps subnormal
 * numbers in both types.)  Optimizers have no tape and always flush.
 *
 * Kernels round to nearest and raise no floating-point trap, whatever floating-point state the
 * calling thread has.  Callbacks run with the calling thread's floating-point state, and the thread
 * has this state after every call.  Numbers that an op computes once from its options (the divisor
 * of a mean) follow the calling thread's rounding mode.  Processors other than x86 with SSE2 and
 * 64-bit ARM always keep subnormal numbers. */
typedef enum ebb_flush {
	EBB_FLUSH_NEVER,
	EBB_FLUSH_ALWAYS, /* F32 and F64 */
	EBB_FLUSH_F32
} ebb_flush;
EBB_API ebb_flush ebb_set_flush_subnormal(ebb_tape *t, ebb_flush flush);
EBB_API ebb_flush ebb_flush_subnormal(const ebb_tape *t);

/* ---- Threads --------------------------------------------------------------------------------- */

/* The number of threads that a kernel uses, from 1 to 256, the calling thread included.  The
 * default is EBB_THREADS in the environment or, if that is not set, the number of processors that
 * this process may run on.  The number is process-wide.  Results do not depend on it.  The threads
 * of a loader (data.h) and of a saver (training.h) are not counted. */
EBB_API int ebb_threads(void);
/* Sets the number.  n < 1 restores the default, and n > 256 counts as 256.  Threads that are no
 * longer needed end before the function returns; new threads start with the next kernel that needs
 * them.  Call ebb_set_threads while no other thread runs an op, a backward pass or an optimizer
 * step, because these have allocated memory for the former number. */
EBB_API void ebb_set_threads(int n);

/* ---- Random numbers -------------------------------------------------------------------------- */

/* The random generator is counter-based: the n-th random op after ebb_seed draws from stream n of
 * the seed, counted from 0. */
EBB_API void ebb_seed(ebb_tape *t, uint64_t seed);
typedef struct ebb_random {
	uint64_t seed, stream;
} ebb_random;
EBB_API ebb_random ebb_random_state(const ebb_tape *t);
EBB_API void ebb_set_random_state(ebb_tape *t, ebb_random r);
/* Takes the next stream, for a custom random op. */
EBB_API ebb_random ebb_random_next(ebb_tape *t);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The process-wide allocation hook.  Ebb takes all its memory from this hook, except thread stacks
 * and what OpenBLAS, libjpeg, libzip and Jansson allocate themselves.  old_size 0: allocate (p is
 * NULL).  new_size 0: free p and return NULL.  Else: reallocate.  The hook returns memory aligned
 * like malloc's, or NULL.  Several threads may call it at once.  Set the hook before the first
 * allocation; a hook that is set later must be able to free and reallocate the former hook's
 * memory.  NULL restores the default hook: the C library's allocator, with huge pages of Linux for
 * memory of 6 MB and more. */
typedef void *(*ebb_alloc_fn)(void *ctx, void *p, size_t old_size, size_t new_size);
EBB_API void ebb_set_allocator(ebb_alloc_fn fn, void *ctx);
/* Allocation by the hook, for the library and for custom ops. */
EBB_API void *ebb_alloc(size_t size); /* NULL if there is no memory, and for size 0 */
EBB_API void *ebb_alloc_zeroed(size_t size);
EBB_API void *ebb_realloc(void *p, size_t old_size, size_t new_size);
EBB_API void ebb_free(void *p, size_t size); /* size: that of the allocation; p may be NULL */

/* ---- Tensors --------------------------------------------------------------------------------- */

/* An ebb_tensor of a tape is a handle on a value.  The handle is valid until ebb_tape_reset, or an
 * ebb_rewind to a mark before its creation.  The value can be read until ebb_release, or until the
 * end of the scope (ebb_scope_end) in which the handle was created.  The value is then dropped, and
 * reading it is a sticky error (EBB_BAD_STATE).  All accessors accept NULL. */
EBB_API int ebb_ndim(const ebb_tensor *x);
/* Size and stride, in elements, of an axis; -1 is the last axis.  0 if there is no such axis. */
EBB_API int64_t ebb_size(const ebb_tensor *x, int axis);
EBB_API int64_t ebb_stride(const ebb_tensor *x, int axis);
EBB_API int64_t ebb_count(const ebb_tensor *x); /* the number of elements */
EBB_API ebb_shape ebb_shape_of(const ebb_tensor *x);
EBB_API ebb_dtype ebb_dtype_of(const ebb_tensor *x);
EBB_API bool ebb_requires_grad(const ebb_tensor *x);
EBB_API const char *ebb_name(const ebb_tensor *x);          /* "" if none */
EBB_API void ebb_set_name(ebb_tensor *x, const char *name); /* cut at 63 characters */
/* The value of a one-element tensor.  NaN for NULL; NaN for any other number of elements, and the
 * tape fails (EBB_BAD_SHAPE). */
EBB_API double ebb_item(const ebb_tensor *x);
/* The element at row-major index i, as a double; NaN if there is none. */
EBB_API double ebb_at(const ebb_tensor *x, int64_t i);
/* Copies x's elements to dst in row-major order (NCHW for images), whatever x's memory order.
 * bytes must be count * dtype size.  False if x is NULL or dropped, dst is NULL, or bytes is
 * wrong. */
EBB_API bool ebb_copy_out(const ebb_tensor *x, void *dst, size_t bytes);
/* The converse: overwrites x's elements from src, in row-major order, and increments the version of
 * x's memory (see ebb_data_mutable).  ebb_copy_in cannot overwrite the result of an op
 * (EBB_BAD_STATE). */
EBB_API bool ebb_copy_in(ebb_tensor *x, const void *src, size_t bytes);
/* The address of x's first element; ebb_stride says where the others lie.  NULL if x is NULL or
 * dropped. */
EBB_API const void *ebb_data(const ebb_tensor *x);
/* The same address for writing.  Increments the version of x's memory: if a gradient needs the old
 * value, a later ebb_backward or ebb_grad finds another version and fails (EBB_BAD_STATE).  Call
 * ebb_data_mutable before each modification. */
EBB_API void *ebb_data_mutable(ebb_tensor *x);
/* How often x's memory was overwritten since it was allocated, by ops, optimizers, ebb_copy_in and
 * ebb_data_mutable; 0 for NULL. */
EBB_API uint32_t ebb_version(const ebb_tensor *x);
/* Writes "F32 [64,3,28,28]" into the buffer, and returns the buffer. */
EBB_API const char *ebb_describe(const ebb_tensor *x, char *buffer, size_t size);

/* The values of a tensor of any type as text, in the layout of PyTorch: nested brackets in row-major
 * order (NCHW for images), aligned columns, blank lines between matrices.  A last line has type,
 * shape and name: F32 [2,3] "fc.weight".  Numbers have a decimal point in any locale.
 *
 * All elements have one number format: integers without a point for integer types; "2." if all
 * elements of F32 or F64 are integers; else .precision digits after the point (default 4; -1: none).
 * F32 and F64 are scientific (1.0000e-05) if the largest magnitude is above 1e8 or more than 1000
 * times the smallest, or if there are fractions and a magnitude below 1e-4; zeros, infinities and
 * NaN do not count.  A tensor of more than .threshold elements (default 1000) is shortened: of each
 * axis the first and the last .edge (default 3) are shown, with ... between them, and only these
 * elements are read.  Rows are broken into lines of at most .width characters (default 80).
 *
 * If there is no value (x is NULL, or its value was dropped), the text is one line that says so,
 * after the caller's file and line.  This is no error of the tape. */
typedef struct ebb_format_args {
	const ebb_tensor *x;
	char *buffer;
	size_t size;
	int precision, edge, width;
	int64_t threshold;
	const char *site;
} ebb_format_args;
typedef struct ebb_print_args {
	const ebb_tensor *x;
	FILE *file;
	int precision, edge, width;
	int64_t threshold;
	const char *site;
} ebb_print_args;
/* Writes the text into the buffer as snprintf does: at most size - 1 characters and a terminating 0.
 * Returns the length of the whole text; buffer may be NULL if size is 0. */
EBB_API size_t ebb_format(const ebb_format_args *a);
#define ebb_format(...) EBB_CALL_ARGS(ebb_format, ebb_format_args, __VA_ARGS__)
/* Writes the text and a newline to .file, by default stdout.  False if that failed. */
EBB_API bool ebb_print(const ebb_print_args *a);
#define ebb_print(...) EBB_CALL_ARGS(ebb_print, ebb_print_args, __VA_ARGS__)

/* A persistent tensor belongs to no tape: a parameter, a batch, a result that outlives a step.  Ops
 * on any tape take it as an input; a tape that has used it must be reset (or freed) before the
 * tensor is freed.  Its elements are zero.  NULL if there is no memory or the size overflows (e
 * says which).  channels_last: axis 1 is innermost in memory, for 3 to 5 axes. */
EBB_API ebb_tensor *ebb_tensor_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, ebb_error *e);
/* Frees a persistent tensor and its gradient; does nothing for a tape's tensor. */
EBB_API void ebb_tensor_free(ebb_tensor *x);
/* For the owner of a persistent tensor, such as a parameter store: while *e is an error, an op that
 * takes x fails its tape with that error.  e must live as long as x.  NULL removes the link. */
EBB_API void ebb_set_fault(ebb_tensor *x, const ebb_error *e);
/* For persistent tensors: whether ops on x are recorded and ebb_backward accumulates x's gradient.
 * A tape that has recorded x as a leaf keeps x as a leaf until the tape's next reset.  False if x
 * is not a persistent F32 or F64 tensor. */
EBB_API bool ebb_set_requires_grad(ebb_tensor *x, bool on);
/* A persistent copy of x's value, in x's memory order and without x's history; the caller frees it.
 * NULL on failure; then x's tape, if x has one, fails. */
EBB_API ebb_tensor *ebb_detach_copy(const ebb_tensor *x);

/* The gradient that ebb_backward has accumulated for x, a variable or a persistent tensor.  NULL if
 * there is none since the last ebb_zero_grad.  The gradients of several ebb_backward calls add up.
 * A variable's gradient is valid until ebb_tape_reset, or an ebb_rewind to a mark before that
 * ebb_backward; a persistent tensor's gradient is valid as long as the tensor.
 *
 * ebb_backward may leave the gradient of a large weight as a deferred outer product a^T b (see
 * ebb_give_outer), which the next ebb_grad_of computes.  So while a thread calls ebb_grad_of for a
 * persistent tensor, no other thread may call ebb_grad_of for the same tensor, or an ebb_backward
 * that accumulates into its gradient. */
EBB_API ebb_tensor *ebb_grad_of(const ebb_tensor *x);
/* Whether ebb_grad_of would return a gradient; computes nothing. */
EBB_API bool ebb_has_grad(const ebb_tensor *x);
/* Clears x's gradient: ebb_grad_of returns NULL until the next ebb_backward, which overwrites the
 * gradient's memory. */
EBB_API void ebb_zero_grad(ebb_tensor *x);

#ifdef __cplusplus
}
#include "call.hpp"
#endif
#endif
