/*
 * autograd.h - the engine: the tape, the reverse sweep, and how an op is made.
 *
 * A tape records the tensor operations of ordinary C code as they run, owns their results, and
 * sends gradients back along the recording.
 */
#ifndef EBB_AUTOGRAD_H
#define EBB_AUTOGRAD_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

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
 * Debug mode: EBB_DEBUG=1 in the environment when the tape is made, or a build with the address,
 * thread or memory sanitizer and no EBB_DEBUG=0.  No handle is used again for another tensor. 
 * One from before a reset or a rewind is a sticky error (EBB_BAD_STATE) in every op and
 * accessor, which names the op and the line that made it (ebb_release, ebb_scope_end and
 * ebb_node_of take it in silence).  Each tensor takes some 250 bytes until the tape is freed. 
 * Without debug mode such a handle may read as another tensor. */
EBB_API void ebb_tape_reset(ebb_tape *t);

/* Forgets what was recorded, and every tensor made, since the mark: an inner loop can drop its
 * part.  A mark is valid until the tape is reset or rewound beyond it, and inside the scope in
 * which it was taken; any other is an error (EBB_BAD_STATE), and nothing is forgotten. */
typedef struct ebb_mark {
	const ebb_tape *tape;
	int64_t nodes, live, imported, grads, tracked;
	uint64_t arena, handles, generation, epoch, scope;
} ebb_mark;
EBB_API ebb_mark ebb_tape_mark(const ebb_tape *t);
EBB_API void ebb_rewind(ebb_tape *t, ebb_mark mark);

/* Each returns the former value. */
/* off: ops compute and record nothing (no-grad mode) */
EBB_API bool ebb_set_recording(ebb_tape *t, bool on);
EBB_API bool ebb_set_training(ebb_tape *t, bool on); /* off: evaluation (dropout, batch norm) */
/* on: the first NaN or infinity in the result of an op, or in a gradient that an op gives, fails
 * the tape (EBB_NOT_FINITE) and says which op, its inputs' ranges, the scope and the line.  Slow,
 * and large: every value is looked at, and inputs are kept for the sweep.  Off, it costs
 * nothing. */
EBB_API bool ebb_detect_anomaly(ebb_tape *t, bool on);
EBB_API bool ebb_is_recording(const ebb_tape *t);
EBB_API bool ebb_is_training(const ebb_tape *t);

/* A scope names what happens inside, for errors, probes and profiles.  A name that begins with
 * the tail of the current path continues it: inside "resnet.layer1.0" the name "layer1.0.conv1"
 * gives "resnet.layer1.0.conv1". Ending it drops every value made inside but y (which may be
 * NULL), and returns y.  Ending one when none is open is an error, and so is a reset while one
 * is open, which names the line that began it (both EBB_BAD_STATE).  After a failure inside a
 * scope, reset first and clear the error then. */
EBB_API void ebb_scope_begin(ebb_tape *t, const char *name, const char *site);
EBB_API ebb_tensor *ebb_scope_end(ebb_tape *t, ebb_tensor *y, const char *site);
/* "I will not read x again": its memory goes back as soon as no gradient needs it.  A checkpointed
 * function's two runs share what is older than they: that stays. */
EBB_API void ebb_release(ebb_tape *t, ebb_tensor *x);
/* "lenet.conv2"; "" for the outermost; lives as long as the tape */
EBB_API const char *ebb_scope_path(const ebb_scope *s);
EBB_API const char *ebb_current_scope(const ebb_tape *t);

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

/* ---- Leaves ---------------------------------------------------------------------------------- */

/* A leaf that wants a gradient, sharing x's value.  Not for integers. */
EBB_API ebb_tensor *ebb_variable(ebb_tape *t, ebb_tensor *x, const char *site);
/* x's value cut off from its history: a constant. */
EBB_API ebb_tensor *ebb_detach(ebb_tape *t, ebb_tensor *x, const char *site);

/* ---- Gradients ------------------------------------------------------------------------------- */

/* Sends a gradient from y back along the tape and adds it to the gradients of variables and
 * persistent tensors.  gy (default: 1, y then must have one element) has y's shape.  Consumes the
 * graph (buffers go back as the sweep passes) unless .retain.  Nothing is accumulated unless the
 * whole sweep succeeded.  True on success. */
typedef struct ebb_backward_args {
	ebb_tape *t;
	ebb_tensor *y;
	ebb_tensor *gy;
	bool retain;
	const char *site;
} ebb_backward_args;
EBB_API bool ebb_backward(const ebb_backward_args *a);

/* gx[i] = d(sum y*gy)/d x[i], for variables, persistent tensors and intermediate results;
 * accumulates nothing, consumes nothing.  With .create_graph the gradients are themselves
 * recorded and can be differentiated again.  A tensor that y does not depend on gets zeros, but
 * a y that depends on nothing which requires a gradient is an error.  On failure every gx[i] is
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

enum { EBB_MAX_READS = 8, EBB_MAX_SAVED = 4 };

typedef struct ebb_vjp ebb_vjp;
typedef struct ebb_call ebb_call;

/* A step that a fused op stands for.  Both functions write what the step alone would give, to
 * the bit, into a tensor of input 0's shape, type and memory order, from v->in, v->out (NULL
 * where the value is not there any more), v->attrs and v->saved, without ops.  False: something
 * that they need is not there.  The last part needs neither. */
typedef struct ebb_part {
	const char *op; /* "relu" */
	bool (*value)(const ebb_vjp *v, ebb_tensor *y);
	/* from v->gy, in the output's memory order */
	bool (*gradient)(const ebb_vjp *v, ebb_tensor *g);
} ebb_part;

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
	void (*recompute)(ebb_vjp *v);
	/* Floating-point operations of a call with result y, for profiles; NULL: one per element
	 * of y, none for a view. */
	double (*flops)(const ebb_call *c, const ebb_tensor *y);
	/* A fused op's steps, in order; the last one's value is the op's. */
	const ebb_part *parts;
	int nparts;
} ebb_op;

/* What a rule is given: plain data. */
struct ebb_vjp {
	ebb_tape *t;
	ebb_tensor *gy; /* the gradient of the output */
	/* nobody else will read gy: the rule may write over its memory before it gives it on */
	bool owns_gy;
	/* create_graph: compose from ops; else a fused kernel may be called */
	bool recording;
	int nin, nsaved;
	ebb_tensor *out;          /* the output; data only if declared */
	ebb_tensor *const *in;    /* the inputs; data only if declared */
	const bool *wanted;       /* of each input: whether anyone asked for its gradient */
	const void *attrs;        /* what ebb_attach persistent */
	ebb_tensor *const *saved; /* what ebb_save persistent */
	const ebb_node *node;
	struct ebb_visit *visit; /* the engine's own: what was given */
};
/* Whether anyone asked for the gradient of input k. */
EBB_API bool ebb_wants(const ebb_vjp *v, int k);
/* Adds g to the gradient of input k.  A g of a shape that input k broadcasts to is summed to
 * the input's shape.  Not giving means zero; NULL is ignored (the tape has then failed).
 * Giving what nobody wants is ignored.  g is read when the rule has returned, or, while gradients
 * are recorded, at once. */
EBB_API void ebb_give(ebb_vjp *v, int k, ebb_tensor *g);

/* A part of a tensor along one axis (negative: from the end): elements start, start + step, ..;
 * or those at the indices: of one axis, for whole slices as ebb_index_select takes them, or of
 * the part's shape, for elements as ebb_gather takes them. */
typedef struct ebb_selection {
	int axis;
	int64_t start, step; /* step 0 is 1 */
	ebb_tensor *index;   /* I64, row-major, or NULL */
} ebb_selection;
/* Adds g, in time that depends on g's size alone, to the gradient of a part of input k: many
 * parts of one tensor are added in one buffer.  False while gradients are recorded: give the
 * whole, with zeros beside the part, from ops. */
EBB_API bool ebb_give_part(ebb_vjp *v, int k, ebb_tensor *g, ebb_selection part);
/* Adds a^T b, a [rows,out], b [rows,in], to the gradient of a large weight, input k [out,in], as
 * a sum of few outer products that is computed when somebody reads it; an optimizer may never
 * do.  False where that is not possible or does not pay: give the product. */
EBB_API bool ebb_give_outer(ebb_vjp *v, int k, ebb_tensor *a, ebb_tensor *b);

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
/* Likewise for a result of input k's type but another shape, no larger: at the beginning of its
 * memory. When it is recorded, the rest goes back, of large results that begin where their
 * memory does. */
EBB_API ebb_tensor *ebb_new_within(ebb_call *c, int k, ebb_shape shape, ebb_order order);
/* A row-major result of input k's type and shape that will be given as its gradient: in the
 * memory where that stays, if it has one.  A rule runs no ebb_backward between this and
 * ebb_give. */
EBB_API ebb_tensor *ebb_new_gradient(ebb_call *c, ebb_vjp *v, int k);
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
 * callbacks are skipped.  The same ops run, with the same results, whoever observes. */
typedef struct ebb_observer {
	void *ctx;
	void (*recorded)(void *ctx, const ebb_node *node);
	/* y: the scope's result, or NULL; its value is readable. */
	void (*scope_ended)(void *ctx, const ebb_scope *scope, const ebb_tensor *y);
	/* g: the finished gradient with respect to node's output, in its memory order; NULL:
	 * there is no memory to show it. */
	void (*gradient)(void *ctx, const ebb_node *node, const ebb_tensor *g);
	/* Every call of an op, recorded or not, in gradients too. */
	void (*ran)(void *ctx, const ebb_run *run);
	/* Whether the observer looks at what comes: before the first op or scope of an empty
	 * tape and of what follows a rewind or a sweep, and when a sweep begins.  False: none of
	 * the first three is called, and what only they would see is not computed.  NULL: it
	 * always looks. */
	bool (*looks)(void *ctx);
} ebb_observer;
/* Added by address, removed by address; at most 8.  False if there is no room. */
EBB_API bool ebb_observe(ebb_tape *t, const ebb_observer *o);
EBB_API void ebb_unobserve(ebb_tape *t, const ebb_observer *o);
/* Whether there is an observer of more than calls, or anomaly detection.  For information alone:
 * what runs, and which steps run as one op, must not depend on it. */
EBB_API bool ebb_is_watched(const ebb_tape *t);

/* "conv2d"; "leaf" for variables and persistent tensors */
EBB_API const char *ebb_node_op(const ebb_node *n);
EBB_API const char *ebb_node_site(const ebb_node *n); /* "" if unknown */
EBB_API const ebb_scope *ebb_node_scope(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_output(const ebb_node *n);
EBB_API int ebb_node_inputs(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_input(const ebb_node *n, int k);
EBB_API int64_t ebb_node_index(const ebb_node *n);
/* The persistent tensor behind a leaf, or NULL. */
EBB_API const ebb_tensor *ebb_node_persistent(const ebb_node *n);
/* The node that computed x, or NULL for a constant. */
EBB_API const ebb_node *ebb_node_of(const ebb_tensor *x);

/* A fused op is one node that stands for several steps, its parts: "batchnorm_relu" for
 * "batchnorm", "add" (of a residual) and "relu".  How many there are, in order, the last one's
 * value being the node's; 0: the op is not fused. */
EBB_API int ebb_node_parts(const ebb_node *n);
EBB_API const char *ebb_node_part_op(const ebb_node *n, int k); /* "" if there is none */
/* Inside a callback, and until it returns, the value of part k and its gradient, which is
 * computed from g, that of the node's output (NULL: ones, which give the slope of what follows
 * the part).  To the bit what the steps would give one by one.  NULL: there is no such part, no
 * memory, or no callback, or what it is computed from is gone.  A value is there when the node
 * is recorded, and later if the node keeps what it is computed from; a gradient is there when
 * the node's own is. */
EBB_API const ebb_tensor *ebb_node_part_value(const ebb_node *n, int k);
EBB_API const ebb_tensor *ebb_node_part_gradient(const ebb_node *n, int k, const ebb_tensor *g);
/* Of the result of a scope: which part of ebb_node_of it is the value of; -1: it is the node's
 * output. */
EBB_API int ebb_part_of(const ebb_tensor *y);

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
	/* persistent F64 tensors (I64 and U8 are passed on as constants) */
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
