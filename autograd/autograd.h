/*
 * autograd.h - the engine: tensors, the tape, the reverse sweep, errors, and how an op is made.
 *
 * A tape records the tensor operations of ordinary C code as they run, owns their results, and
 * sends gradients back along the recording.  Errors are sticky: the first failure of an op
 * stays on the tape with its whole story, every later op returns NULL at once, and accessors
 * accept NULL.  The library never aborts, exits or prints.
 */
#ifndef EBB_AUTOGRAD_H
#define EBB_AUTOGRAD_H

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
/* Of n errors (NULLs are none) the one that happened first; NULL if there is none.  ebb.h has ebb_ok
 * and ebb_first_error, which take tapes, stores, optimizers and loaders themselves. */
EBB_API const ebb_error *ebb_earliest_error(int n, const ebb_error *const *e);
/* Fails the tape, for ops of one's own: "site: text in scope".  The first failure wins.
 * Returns NULL. */
EBB_API ebb_tensor *ebb_fail(
	ebb_tape *t, ebb_status status, const char *site, const char *format, ...) EBB_PRINTF(4, 5);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The process-wide allocation hook; all memory that Ebb takes from the system passes it
 * (OpenBLAS's, libjpeg's, libzip's and Jansson's own, and threads' stacks apart). old_size 0: allocate (p is NULL);
 * new_size 0: free (returns NULL); else reallocate.  Returns memory aligned like malloc's, or
 * NULL.  Set it before anything else is allocated, or to one that understands the former's
 * memory; NULL restores the C library's.  It may be called from several threads. */
typedef void *(*ebb_alloc_fn)(void *ctx, void *p, size_t old_size, size_t new_size);
EBB_API void ebb_set_allocator(ebb_alloc_fn fn, void *ctx);
/* The hook itself, for the library's folders and for custom ops. */
EBB_API void *ebb_alloc(size_t size); /* NULL if there is none; size 0 gives NULL */
EBB_API void *ebb_alloc_zeroed(size_t size);
EBB_API void *ebb_realloc(void *p, size_t old_size, size_t new_size);
EBB_API void ebb_free(void *p, size_t size); /* the size it was allocated with */

typedef struct ebb_memory {
	/* bytes that the tape holds from the system; large tensors lie in regions, of which what no
	 * tensor has used yet takes addresses alone */
	size_t reserved;
	size_t in_use; /* bytes of tensor data alive now */
	size_t peak;   /* the largest in_use since the tape was made or ebb_memory_reset_peak */
	int64_t nodes; /* recorded now */
} ebb_memory;
EBB_API ebb_memory ebb_memory_of(const ebb_tape *t);
EBB_API void ebb_memory_reset_peak(ebb_tape *t);

/* ---- The tape -------------------------------------------------------------------------------- */

/* A tape, for one thread at a time.  NULL if there is no memory (every function accepts a NULL
 * tape, and ebb_failed is true for it).  It records, trains, computes in F32 and is seeded with
 * 0.  EBB_INVALID: EBB_THREADS, EBB_ISA, EBB_CONV or EBB_DEBUG in the environment has a value that
 * makes no sense; after ebb_clear_error it counts as not set. */
EBB_API ebb_tape *ebb_tape_new(void);
EBB_API void ebb_tape_free(ebb_tape *t);
/* Forgets all that was recorded and every tensor; buffers stay in the tape's pool.  Handles are
 * invalid from here on.  An error stays until ebb_clear_error.
 *
 * Debug mode: EBB_DEBUG=1 in the environment when the tape is made, or a build with the address, thread
 * or memory sanitizer and no EBB_DEBUG=0.  No handle is used again for another tensor.  One from before a
 * reset or a rewind is a sticky error (EBB_BAD_STATE) in every op and accessor, which names the op and the
 * line that made it (ebb_release, ebb_scope_end and ebb_node_of take it in silence).  Each tensor takes
 * some 250 bytes until the tape is freed.  Without debug mode such a handle may read as another tensor. */
EBB_API void ebb_tape_reset(ebb_tape *t);

/* Forgets what was recorded, and every tensor made, since the mark: an inner loop can drop its
 * part.  A mark is valid until the tape is reset or rewound beyond it, and inside the scope in
 * which it was taken; any other is an error (EBB_BAD_STATE), and nothing is forgotten. */
typedef struct ebb_mark {
	const ebb_tape *tape;
	int64_t nodes, live, adopted, grads, tracked;
	uint64_t arena, handles, generation, epoch, scope;
} ebb_mark;
EBB_API ebb_mark ebb_tape_mark(const ebb_tape *t);
EBB_API void ebb_rewind(ebb_tape *t, ebb_mark mark);

/* Each returns the former value. */
/* off: ops compute and record nothing (no-grad mode) */
EBB_API bool ebb_set_recording(ebb_tape *t, bool on);
EBB_API bool ebb_set_training(ebb_tape *t, bool on); /* off: evaluation (dropout, batch norm) */
EBB_API ebb_dtype ebb_set_default_dtype(ebb_tape *t, ebb_dtype dtype); /* EBB_F32 or EBB_F64 */
/* on: the first NaN or infinity in the result of an op, or in a gradient that an op gives, fails
 * the tape (EBB_NOT_FINITE) and says which op, its inputs' ranges, the scope and the line.  Slow,
 * and large: every value is looked at, and inputs are kept for the sweep.  Off, it costs
 * nothing. */
EBB_API bool ebb_detect_anomaly(ebb_tape *t, bool on);
/* How the kernels of a tape's ops treat subnormal numbers (F32: below 2^-126 = 1.2e-38, F64: below
 * 2^-1022 = 2.2e-308), in all threads alike.  Flushed, a subnormal operand counts as zero and a
 * subnormal result becomes zero; kept, each may cost its processor a hundred cycles or more.  Values
 * that are stored and not computed (ebb_from_f32, ebb_full, ebb_copy_in, ..) stay as they are.
 *
 * The default flushes F32: gradients that fade reach 1e-38 within tens of layers, and would make the
 * backward pass many times slower there.  It keeps them in F64, so that what a gradient-flow figure
 * shows in double precision goes down to 4.9e-324; a run that must see what F32 loses is made in F64, or
 * with EBB_FLUSH_NEVER.  (PyTorch's default keeps them in both.)  Optimizers have no tape and always
 * flush.  Kernels round to nearest and trap nothing, whatever the calling thread's floating-point state,
 * which is as it was in callbacks and after every call.  Numbers that an op derives once from its options
 * (the divisor of a mean) follow the calling thread's rounding.  Processors other than x86 with SSE2
 * and 64-bit ARM keep subnormal numbers always. */
typedef enum ebb_flush {
	EBB_FLUSH_NEVER,
	EBB_FLUSH_ALWAYS, /* F32 and F64 */
	EBB_FLUSH_F32
} ebb_flush;
EBB_API ebb_flush ebb_set_flush_subnormal(ebb_tape *t, ebb_flush flush);
EBB_API ebb_flush ebb_flush_subnormal(const ebb_tape *t);
EBB_API bool ebb_is_recording(const ebb_tape *t);
EBB_API bool ebb_is_training(const ebb_tape *t);
EBB_API ebb_dtype ebb_default_dtype(const ebb_tape *t);

/* The random generator is counter-based: the n-th random op after seeding draws from stream n. */
EBB_API void ebb_seed(ebb_tape *t, uint64_t seed);
typedef struct ebb_random {
	uint64_t seed, stream;
} ebb_random;
EBB_API ebb_random ebb_random_state(const ebb_tape *t);
EBB_API void ebb_set_random_state(ebb_tape *t, ebb_random r);
/* The next stream, for a random op of one's own. */
EBB_API ebb_random ebb_random_next(ebb_tape *t);

/* A scope names what happens inside, for errors, probes and profiles.  A name that begins with
 * the tail of the current path continues it: inside "resnet.layer1.0" the name "layer1.0.conv1"
 * gives "resnet.layer1.0.conv1". Ending it drops every value made inside but y (which may be
 * NULL), and returns y.  Ending one when none is open is an error, and so is a reset while one is open,
 * which names the line that began it (both EBB_BAD_STATE).  After a failure inside a scope, reset first and
 * clear the error then. */
EBB_API void ebb_scope_begin(ebb_tape *t, const char *name, const char *site);
EBB_API ebb_tensor *ebb_scope_end(ebb_tape *t, ebb_tensor *y, const char *site);
/* "I will not read x again": its memory goes back as soon as no gradient needs it.  A checkpointed
 * function's two runs share what is older than they: that stays. */
EBB_API void ebb_release(ebb_tape *t, ebb_tensor *x);
/* "lenet.conv2"; "" for the outermost; lives as long as the tape */
EBB_API const char *ebb_scope_path(const ebb_scope *s);
EBB_API const char *ebb_current_scope(const ebb_tape *t);

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
EBB_API void ebb_tensor_free(ebb_tensor *x); /* a stored tensor; a tape's tensor is left alone */
/* For what owns stored tensors: while e, which must live as long as x, has an error, a tape that meets x
 * fails with it.  NULL: none. */
EBB_API void ebb_set_fault(ebb_tensor *x, const ebb_error *e);
/* Stored tensors only: whether ops on it record and ebb_backward deposits its gradient; a tape
 * that has recorded it as a leaf forgets that with its next reset.  False if not a stored real
 * tensor. */
EBB_API bool ebb_set_requires_grad(ebb_tensor *x, bool on);
/* A stored copy of x's value in x's memory order; the caller frees it.  NULL on failure (an
 * error on x's tape). */
EBB_API ebb_tensor *ebb_detach_copy(const ebb_tensor *x);

/* A leaf that wants a gradient, sharing x's value.  Not for integers. */
EBB_API ebb_tensor *ebb_variable(ebb_tape *t, ebb_tensor *x, const char *site);
/* x's value cut off from its history: a constant. */
EBB_API ebb_tensor *ebb_detach(ebb_tape *t, ebb_tensor *x, const char *site);

/* The gradient that ebb_backward deposited for a variable or a stored tensor; NULL if none was
 * (since it was zeroed). Several sweeps add up.  A variable's lives until reset, or until a
 * rewind to before its deposit; a stored tensor's as long as it does, and one at a time may be the
 * thread that deposits in a stored tensor or is the first to ask for its gradient: a large weight's
 * is computed only then. */
EBB_API ebb_tensor *ebb_grad_of(const ebb_tensor *x);
EBB_API void ebb_zero_grad(ebb_tensor *x); /* forgets it (the memory stays) */

/* ---- Gradients ------------------------------------------------------------------------------- */

/* Sends a gradient from y back along the tape and adds it to the gradients of variables and
 * stored tensors.  gy (default: 1, y then must have one element) has y's shape.  Consumes the
 * graph (buffers go back as the sweep passes) unless .retain.  Nothing is deposited unless the
 * whole sweep succeeded.  True on success. */
typedef struct ebb_backward_args {
	ebb_tape *t;
	ebb_tensor *y;
	ebb_tensor *gy;
	bool retain;
	const char *site;
} ebb_backward_args;
EBB_API bool ebb_backward(const ebb_backward_args *a);

/* gx[i] = d(sum y*gy)/d x[i], for variables, stored tensors and intermediate results; deposits
 * nothing, consumes nothing.  With .create_graph the gradients are themselves recorded and can
 * be differentiated again.  A tensor that y does not depend on gets zeros, but a y
 * that depends on nothing which requires a gradient is an error.  On failure every gx[i] is
 * NULL. */
typedef struct ebb_grad_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x;
	ebb_tensor **gx;
	ebb_tensor *gy;
	bool create_graph;
	const char *site;
} ebb_grad_args;
EBB_API bool ebb_grad(const ebb_grad_args *a);

/* ---- Derivatives as linear maps (transform.c): of y by x[0..n-1], as in ebb_grad ------------- */

/* The directional derivative J v = sum over i of dy/dx[i] v[i], of y's shape; v[i] has x[i]'s.
 * Two sweeps, by differentiating u -> J^T u once more (the double-vjp identity).  NULL on
 * failure. */
typedef struct ebb_jvp_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x, *const *v;
	bool create_graph;
	const char *site;
} ebb_jvp_args;
EBB_API ebb_tensor *ebb_jvp(const ebb_jvp_args *a);

/* The Hessian of y (one element) times v: hv[i] = sum over k of d2y/(dx[i] dx[k]) v[k].  True on
 * success, else every hv[i] is NULL. */
typedef struct ebb_hvp_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x, *const *v;
	ebb_tensor **hv;
	bool create_graph;
	const char *site;
} ebb_hvp_args;
EBB_API bool ebb_hvp(const ebb_hvp_args *a);

/* jx[i] = dy/dx[i], of y's axes followed by x[i]'s (at most EBB_MAX_DIMS together): one sweep per
 * element of y, for small problems.  Constants.  True on success, else every jx[i] is NULL. */
typedef struct ebb_jacobian_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x;
	ebb_tensor **jx;
	const char *site;
} ebb_jacobian_args;
EBB_API bool ebb_jacobian(const ebb_jacobian_args *a);
/* hx[i*n+k] = d2y/(dx[i] dx[k]) of a y of one element, of x[i]'s axes followed by x[k]'s: one
 * sweep per element of x.  Constants.  True on success, else every hx[i] is NULL. */
typedef struct ebb_hessian_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x;
	ebb_tensor **hx;
	const char *site;
} ebb_hessian_args;
EBB_API bool ebb_hessian(const ebb_hessian_args *a);

/* ---- Memory for compute (checkpoint.c) ------------------------------------------------------- */

/* fn(t, x, ctx), of which the tape keeps only what it reads: x, parameters, and other older
 * tensors.  The sweep runs fn again, with the same random numbers and modes, and sends the gradient
 * through; gradients are the same bit for bit.  fn must do the same both times, ctx must live until
 * the sweep, and tensors that fn makes do not outlive it but for its result.  Observers see the
 * first run alone, and running statistics are updated by it alone.  Checkpoints nest. */
typedef ebb_tensor *(*ebb_checkpoint_fn)(ebb_tape *t, ebb_tensor *x, void *ctx);
EBB_API ebb_tensor *ebb_checkpoint(
	ebb_tape *t, ebb_checkpoint_fn fn, void *ctx, ebb_tensor *x, const char *site);
/* Inside a second run: what an op of one's own changes beside its result is left alone. */
EBB_API bool ebb_is_replaying(const ebb_tape *t);

/* ---- Making ops ------------------------------------------------------------------------------ */

/* What a gradient reads, as a set: inputs by number, and the output. */
#define EBB_IN(k) (1u << (k))
#define EBB_OUT (1u << 31)

/* What memory order an op takes its inputs in; ebb_begin copies (through the recorded op
 * "dense") what is not. */
typedef enum ebb_order {
	EBB_DENSE,         /* one block without gaps, axes in any order */
	EBB_ROWS,          /* row-major */
	EBB_CHANNELS_LAST, /* axis 1 innermost, for 3 to 5 axes; row-major for fewer */
	EBB_STRIDED        /* anything */
} ebb_order;

enum { EBB_MAX_READS = 8, EBB_MAX_SAVED = 4 };

typedef struct ebb_vjp ebb_vjp;
typedef struct ebb_call ebb_call;

/* An op: one static const of these beside its forward.  Ops are compared by address. */
typedef struct ebb_op {
	const char *name;
	/* Gives the gradient of each input from v->gy.  Written in ops, so that it can itself
	 * be recorded.  NULL: the op has no derivative, and an input that requires a gradient
	 * is an error at forward time. */
	void (*vjp)(ebb_vjp *v);
	/* reads[k]: what the gradient of input k reads.  Only that keeps its data until the
	 * sweep has passed; anything else has a shape but no data inside vjp.  Inputs from
	 * number 7 on share reads[7]; EBB_IN(30) stands for those from 30 on. */
	unsigned reads[EBB_MAX_READS];
	unsigned optional; /* EBB_IN(k): input k may be NULL */
	ebb_order takes[EBB_MAX_READS];
	/* vjp takes gy in any memory (views); else it is dense in the output's order */
	bool gy_strided;
	/* Writes the same result again, bit for bit, into v->out, from what the gradient keeps:
	 * the declared inputs, v->attrs, v->saved; without ops.  The tape then does not hold the
	 * result for gradients that read it, and has it made again when the sweep comes to them.
	 * NULL: it holds it. */
	void (*remake)(ebb_vjp *v);
	/* Floating-point operations of a call with result y, for profiles; NULL: one per element
	 * of y, none for a view. */
	double (*flops)(const ebb_call *c, const ebb_tensor *y);
} ebb_op;

/* Inside a vjp. */
struct ebb_vjp {
	ebb_tape *t;
	ebb_tensor *gy;        /* the gradient of the output */
	ebb_tensor *out;       /* the output; data only if declared */
	ebb_tensor *const *in; /* the inputs; data only if declared */
	int nin;
	const void *attrs;        /* what ebb_attach stored */
	ebb_tensor *const *saved; /* what ebb_save stored */
	int nsaved;
	/* create_graph: compose from ops; else a fused kernel may be called */
	bool recording;
	struct ebb_sweep *sweep; /* the engine's own */
	const ebb_node *node;
};
/* Whether anyone asked for the gradient of input k. */
EBB_API bool ebb_wants(const ebb_vjp *v, int k);
/* Adds g to the gradient of input k.  A g of a shape that input k broadcasts to is summed to
 * the input's shape.  Not giving means zero; NULL is ignored (the tape has then failed).
 * Giving what nobody wants is ignored. */
EBB_API void ebb_give(ebb_vjp *v, int k, ebb_tensor *g);

/* One call of an op, between ebb_begin and ebb_record. */
struct ebb_call {
	ebb_tape *t; /* NULL after a failure: ebb_new_* and ebb_record then return NULL */
	const ebb_op *op;
	const char *site;
	int nin, nsaved;
	ebb_tensor **in;
	/* the result will require a gradient: what only a gradient reads need be computed only
	 * then */
	bool tracked;
	bool shrinks; /* a result needs but a part of the memory that it took over */
	const void *attrs;
	size_t attrs_size;
	ebb_tensor *saved[EBB_MAX_SAVED];
	struct ebb_storage *scratch[EBB_MAX_SAVED];
	int64_t start; /* nanoseconds, if an observer wants to know; else 0 */
};

/* Checks the inputs (a failed tape, NULL, another tape's, dropped values) and replaces each
 * in[k] by one that is on this tape and in the memory order that the op takes.  Types and
 * shapes are the op's to check. */
EBB_API ebb_call ebb_begin(
	ebb_tape *t, const ebb_op *op, const char *site, int nin, ebb_tensor **in);
/* Fails the call: c->t becomes NULL.  The message is "site: op: text in scope".  Returns NULL. */
EBB_API ebb_tensor *ebb_call_fail(ebb_call *c, ebb_status status, const char *format, ...)
	EBB_PRINTF(3, 4);
/* Results, uninitialised.  NULL if the call has failed or there is no memory (then it has). */
EBB_API ebb_tensor *ebb_new(ebb_call *c, ebb_dtype dtype, ebb_shape shape, ebb_order order);
/* x's type, shape and memory order */
EBB_API ebb_tensor *ebb_new_like(ebb_call *c, const ebb_tensor *x);
/* Like input k, and in its memory if nobody else needs that: no gradient, handle, view or
 * checkpoint.  The input is then dropped; its data may be read until the result is written over it.
 * For ops whose user has said that the input will not be read again; once in a call. */
EBB_API ebb_tensor *ebb_new_over(ebb_call *c, int k);
/* Likewise for a result of input k's type but another shape, no larger: at the beginning of its memory.
 * When it is recorded, the rest goes back, of large results that begin where their memory does. */
EBB_API ebb_tensor *ebb_new_within(ebb_call *c, int k, ebb_shape shape, ebb_order order);
/* A view: x's memory under another shape and strides, offset elements further. */
EBB_API ebb_tensor *ebb_new_view(
	ebb_call *c, ebb_tensor *x, ebb_shape shape, const int64_t *strides, int64_t offset);
/* Scratch memory from the tape's pool, 64-byte aligned, returned by ebb_record or when the call
 * fails; NULL fails the call (and for size 0). */
EBB_API void *ebb_scratch(ebb_call *c, size_t size);
/* Attributes (copied by ebb_record) and extra tensors that the vjp reads (at most
 * EBB_MAX_SAVED; they must be the op's own).  A saved tensor is a constant: under create_graph
 * nothing flows through it to the inputs it was computed from, so a gradient that is to be
 * differentiated again computes it anew, from ops (v->recording). */
EBB_API void ebb_attach(ebb_call *c, const void *attrs, size_t size);
EBB_API void ebb_save(ebb_call *c, ebb_tensor *x);
/* Records the call with its finished result and returns the result.  Records nothing when no
 * input requires a gradient or the tape does not record. */
EBB_API ebb_tensor *ebb_record(ebb_call *c, ebb_tensor *y);

/* ---- Watching -------------------------------------------------------------------------------- */

/* One call of an op, from its checked inputs to its finished result. */
typedef struct ebb_run {
	const char *op, *site; /* site "" if unknown */
	const ebb_scope *scope;
	const char *gradient_of;    /* the op whose gradient it is a part of, or NULL: forward */
	int64_t start, nanoseconds; /* of a clock that only goes forward */
	double flops;
	double bytes; /* read and written: inputs and result, none for a view */
	const ebb_tensor *y;
} ebb_run;

/* Observers see every op when it is recorded (values finished), every scope when it ends, and
 * every gradient when it is complete, before it is released.  Tensors are the engine's: read
 * them in the callback, do not keep them.  Callbacks may not run ops on this tape.  NULL
 * callbacks are skipped. */
typedef struct ebb_observer {
	void *ctx;
	void (*recorded)(void *ctx, const ebb_node *node);
	/* y: the scope's result, or NULL; its value is readable. */
	void (*scope_ended)(void *ctx, const ebb_scope *scope, const ebb_tensor *y);
	/* g: the finished gradient with respect to node's output. */
	void (*gradient)(void *ctx, const ebb_node *node, const ebb_tensor *g);
	/* Every call of an op, recorded or not, in gradients too. */
	void (*ran)(void *ctx, const ebb_run *run);
} ebb_observer;
/* Added by address, removed by address; at most 8.  False if there is no room. */
EBB_API bool ebb_observe(ebb_tape *t, const ebb_observer *o);
EBB_API void ebb_unobserve(ebb_tape *t, const ebb_observer *o);
/* Whether anyone looks at each step: an observer of more than calls, or anomaly detection.  A
 * container that may run two steps as one op then runs them one by one. */
EBB_API bool ebb_is_watched(const ebb_tape *t);

/* "conv2d"; "leaf" for variables and stored tensors */
EBB_API const char *ebb_node_op(const ebb_node *n);
EBB_API const char *ebb_node_site(const ebb_node *n); /* "" if unknown */
EBB_API const ebb_scope *ebb_node_scope(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_output(const ebb_node *n);
EBB_API int ebb_node_inputs(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_input(const ebb_node *n, int k);
EBB_API int64_t ebb_node_index(const ebb_node *n);
/* The stored tensor behind a leaf, or NULL. */
EBB_API const ebb_tensor *ebb_node_stored(const ebb_node *n);
/* The node that computed x, or NULL for a constant. */
EBB_API const ebb_node *ebb_node_of(const ebb_tensor *x);

/* The recording as a Graphviz digraph: op, shape, scope and source line of each node.  False if
 * writing failed. */
EBB_API bool ebb_dump_dot(const ebb_tape *t, FILE *out);

/* ---- Checking gradients ---------------------------------------------------------------------- */

/* A function to check: ops on t from x[0..n-1] (F64 variables) to one tensor of any shape. */
typedef ebb_tensor *(*ebb_gradcheck_fn)(ebb_tape *t, ebb_tensor **x, void *ctx);
typedef struct ebb_gradcheck_args {
	ebb_gradcheck_fn fn;
	void *ctx;
	int n; /* inputs, at most 8 */
	/* stored F64 tensors (I64 and U8 are passed on as constants) */
	const ebb_tensor *const *x;
	double eps;        /* step of the central difference, default 1e-6 */
	double rtol, atol; /* default 1e-5 and 1e-7; negative or NaN is an error */
	uint64_t seed;     /* of the random cotangent */
	bool second;       /* also check the derivative of the gradient */
	bool eval;         /* on a tape in evaluation mode */
	/* accept gradients that are zero throughout (piecewise constants) */
	bool allow_zero;
	ebb_error *error; /* says which input and element, and both values */
	const char *site;
} ebb_gradcheck_args;
/* Compares gradients with central differences, in double precision, with random cotangents: |a
 * - n| <= atol + rtol*|n| for every element, written so that NaN fails.  Refuses when every
 * gradient is zero.  True if all agree. */
EBB_API bool ebb_gradcheck(const ebb_gradcheck_args *a);

/* ---- The macros that add the call site ------------------------------------------------------- */

#ifndef __cplusplus
#define ebb_scope_begin(...) ebb_scope_begin(__VA_ARGS__, EBB_SITE)
#define ebb_scope_end(...) ebb_scope_end(__VA_ARGS__, EBB_SITE)
#define ebb_variable(...) ebb_variable(__VA_ARGS__, EBB_SITE)
#define ebb_detach(...) ebb_detach(__VA_ARGS__, EBB_SITE)
#define ebb_backward(...) ebb_backward(&(ebb_backward_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_grad(...) ebb_grad(&(ebb_grad_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_jvp(...) ebb_jvp(&(ebb_jvp_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_hvp(...) ebb_hvp(&(ebb_hvp_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_jacobian(...) ebb_jacobian(&(ebb_jacobian_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_hessian(...) ebb_hessian(&(ebb_hessian_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_checkpoint(...) ebb_checkpoint(__VA_ARGS__, EBB_SITE)
#define ebb_gradcheck(...) ebb_gradcheck(&(ebb_gradcheck_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
