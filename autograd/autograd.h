/*
 * autograd.h - the automatic differentiation engine: the tape, the reverse sweep, and custom ops.
 *
 * A tape records the tensor ops of ordinary C code as they run, one node for each op (a Wengert
 * list), and owns their results.  The reverse sweep of ebb_backward and ebb_grad (the backward
 * pass) visits the nodes from the last to the first and computes gradients by the chain rule.
 */
#ifndef EBB_AUTOGRAD_H
#define EBB_AUTOGRAD_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The tape -------------------------------------------------------------------------------- */

/* Creates a tape, for use by one thread at a time.  The new tape records, is in training mode,
 * computes in F32 and has the seed 0.  NULL if there is no memory; every function accepts a NULL
 * tape, and ebb_failed is true for it.  The new tape has failed (EBB_INVALID) if EBB_THREADS,
 * EBB_ISA, EBB_CONV or EBB_DEBUG in the environment has an invalid value; after ebb_clear_error
 * that variable counts as not set. */
EBB_API ebb_tape *ebb_tape_new(void);
EBB_API void ebb_tape_free(ebb_tape *t);
/* Discards the recording and every tensor of the tape; their memory stays in the tape's pool for
 * reuse.  Pointers to the tape's tensors are invalid afterwards.  An error stays until
 * ebb_clear_error.
 *
 * Debug mode finds uses of such invalid tensors.  It is on if EBB_DEBUG=1 is in the environment
 * when the tape is created, or if the build has the address, thread or memory sanitizer and
 * EBB_DEBUG is not 0.  In debug mode, an op or accessor that takes a tensor from before a reset or
 * a rewind is a sticky error (EBB_BAD_STATE), whose message names the op and the line that created
 * the tensor.  (ebb_release, ebb_scope_end and ebb_node_of ignore such a tensor.)  To tell tensors
 * apart, debug mode never reuses an ebb_tensor struct: each takes some 250 bytes until the tape is
 * freed.  Without debug mode, an invalid tensor may read as another tensor. */
EBB_API void ebb_tape_reset(ebb_tape *t);

/* ebb_rewind discards all nodes that were recorded and all tensors that were created since the
 * mark, for example those of an inner loop.  A mark is valid until the tape is reset or is rewound
 * to an earlier mark, and only inside the scope in which it was taken.  A mark taken inside a vjp
 * is never valid.  Rewinding to an invalid mark is an error (EBB_BAD_STATE) and discards nothing.
 * The members of ebb_mark are internal. */
typedef struct ebb_mark {
	const ebb_tape *tape;
	int64_t nodes, live, imported, grads, tracked;
	uint64_t arena, handles, generation, epoch, scope;
} ebb_mark;
EBB_API ebb_mark ebb_tape_mark(const ebb_tape *t);
EBB_API void ebb_rewind(ebb_tape *t, ebb_mark mark);

/* The modes of a tape.  The three setters return the former setting. */
/* off: ops compute without being recorded (PyTorch's no_grad) */
EBB_API bool ebb_set_recording(ebb_tape *t, bool on);
/* off: evaluation mode, which dropout and batch norm read */
EBB_API bool ebb_set_training(ebb_tape *t, bool on);
/* on: the first NaN or infinity in the result of an op, or in a gradient that an op's vjp computes,
 * fails the tape (EBB_NOT_FINITE).  The message names the op, the ranges of its inputs, the scope
 * and the line.  Anomaly detection is slow and needs more memory, because it checks every value and
 * saves every input for the sweep.  Disabled, it costs nothing. */
EBB_API bool ebb_detect_anomaly(ebb_tape *t, bool on);
EBB_API bool ebb_is_recording(const ebb_tape *t);
EBB_API bool ebb_is_training(const ebb_tape *t);

/* A scope names the code between ebb_scope_begin and ebb_scope_end, for errors, probes and
 * profiles.  Scopes nest; a scope's path is the names from the outermost scope on, joined by dots.
 * If a name begins with the last names of the current path, these names are not repeated: inside
 * "resnet.layer1.0", the name "layer1.0.conv1" gives "resnet.layer1.0.conv1".
 *
 * ebb_scope_end drops every value that was created inside the scope except y (which may be NULL),
 * and returns y.  Both ebb_scope_end without an open scope and ebb_tape_reset with an open scope
 * are errors (EBB_BAD_STATE); the second names the line of the ebb_scope_begin.  After a failure
 * inside a scope, call ebb_tape_reset first and ebb_clear_error second. */
EBB_API void ebb_scope_begin(ebb_tape *t, const char *name, const char *site);
EBB_API ebb_tensor *ebb_scope_end(ebb_tape *t, ebb_tensor *y, const char *site);
/* Drops x's value: the caller will not read x again.  The memory is reused as soon as no gradient
 * needs the value.  Inside a function that ebb_checkpoint runs, ebb_release ignores tensors from
 * outside the function, because the recomputation reads them again. */
EBB_API void ebb_release(ebb_tape *t, ebb_tensor *x);
/* The path, such as "lenet.conv2"; "" for the outermost scope.  Valid as long as the tape. */
EBB_API const char *ebb_scope_path(const ebb_scope *s);
/* The scope around it; NULL for the outermost. */
EBB_API const ebb_scope *ebb_scope_parent(const ebb_scope *s);
/* For the scope of a step of a container (ebb_sequential), and the scopes inside it: the line that
 * added the step.  NULL for other scopes. */
EBB_API const char *ebb_scope_added(const ebb_scope *s);
EBB_API const char *ebb_current_scope(const ebb_tape *t);

typedef struct ebb_memory {
	/* bytes that the tape holds from the system.  Large tensors lie in regions; a part of a
	 * region that no tensor has used yet takes address space but no physical memory. */
	size_t reserved;
	size_t in_use; /* bytes of tensor data in use now */
	size_t peak;   /* the largest in_use since ebb_tape_new or ebb_memory_reset_peak */
	int64_t nodes; /* the number of nodes recorded now */
} ebb_memory;
EBB_API ebb_memory ebb_memory_of(const ebb_tape *t);
EBB_API void ebb_memory_reset_peak(ebb_tape *t);

/* ---- Leaves ---------------------------------------------------------------------------------- */

/* A leaf that requires a gradient: a new tensor that shares x's memory, so that a later write to x
 * changes the leaf as well.  F32 and F64 only. */
EBB_API ebb_tensor *ebb_variable(ebb_tape *t, ebb_tensor *x, const char *site);
/* A constant, through which no gradient flows: a new tensor that shares x's memory, without x's
 * history. */
EBB_API ebb_tensor *ebb_detach(ebb_tape *t, ebb_tensor *x, const char *site);

/* ---- Gradients ------------------------------------------------------------------------------- */

/* Computes d(sum y*gy)/dx for every variable and every persistent tensor x that requires a
 * gradient, and accumulates it into x's gradient (ebb_grad_of).  gy has y's shape.  If gy is left
 * out, gy is 1 and y must have one element.  Consumes the graph unless .retain: when the sweep has
 * passed a node, the node's saved tensors are freed.  A second sweep through a consumed node is an
 * error.  A vjp may itself call ebb_backward and ebb_grad.  True on success; after a failure no
 * gradient has changed. */
typedef struct ebb_backward_args {
	ebb_tape *t;
	ebb_tensor *y;
	ebb_tensor *gy;
	bool retain;
	const char *site;
} ebb_backward_args;
EBB_API bool ebb_backward(const ebb_backward_args *a);

/* gx[i] = d(sum y*gy)/dx[i], for variables, persistent tensors and intermediate results.
 * Accumulates into no tensor's gradient and consumes nothing.  With .create_graph the computation
 * of the gradients is recorded too, so that they can be differentiated again.  gx[i] is zeros if y
 * does not depend on x[i].  It is an error if an x[i] does not require a gradient, or if y depends
 * on no tensor that requires a gradient.  True on success; else every gx[i] is NULL. */
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

/* ---- Jacobians and Hessians of y by x[0..n-1] (transform.c); y, n and x as in ebb_grad ------- */

/* The Jacobian-vector product J v = sum over i of dy/dx[i] v[i], of y's shape; v[i] has x[i]'s
 * shape.  Takes two reverse sweeps: the first records u -> J^T u, the second differentiates that
 * linear map by u, which gives J v (the double-vjp identity).  NULL on failure. */
typedef struct ebb_jvp_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x, *const *v;
	bool create_graph;
	const char *site;
} ebb_jvp_args;
EBB_API ebb_tensor *ebb_jvp(const ebb_jvp_args *a);

/* The Hessian-vector product hv[i] = sum over k of d2y/(dx[i] dx[k]) v[k]; y has one element, v[k]
 * and hv[k] have x[k]'s shape.  True on success; else every hv[i] is NULL. */
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

/* The Jacobian jx[i] = dy/dx[i], whose axes are y's followed by x[i]'s (at most EBB_MAX_DIMS
 * together).  Takes one sweep per element of y, so it is for small problems.  The results are
 * constants, which cannot be differentiated again.  True on success; else every jx[i] is NULL. */
typedef struct ebb_jacobian_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x;
	ebb_tensor **jx;
	const char *site;
} ebb_jacobian_args;
EBB_API bool ebb_jacobian(const ebb_jacobian_args *a);
/* The Hessian hx[i*n+k] = d2y/(dx[i] dx[k]), whose axes are x[i]'s followed by x[k]'s; y has one
 * element.  Takes one sweep per element of each x[i].  The results are constants.  True on success;
 * else all n*n of hx are NULL. */
typedef struct ebb_hessian_args {
	ebb_tape *t;
	ebb_tensor *y;
	int n;
	ebb_tensor *const *x;
	ebb_tensor **hx;
	const char *site;
} ebb_hessian_args;
EBB_API bool ebb_hessian(const ebb_hessian_args *a);

/* ---- Gradient checkpointing (checkpoint.c) --------------------------------------------------- */

/* Returns fn(t, x, ctx) without keeping fn's intermediate results (Chen et al. 2016).  The tape
 * saves only the tensors that fn reads and has not created: x, parameters and others.  When the
 * sweep reaches the checkpoint, it runs fn a second time, with the same random numbers and modes,
 * and differentiates that recording.  Gradients are bit-identical to those without a checkpoint.
 *
 * fn must compute the same both times, and ctx must be valid until the sweep.  Of the tensors that
 * fn creates, only its result is valid after fn.  Observers see the first run only.  Running
 * statistics are updated in the first run only.  Checkpoints nest. */
typedef ebb_tensor *(*ebb_checkpoint_fn)(ebb_tape *t, ebb_tensor *x, void *ctx);
EBB_API ebb_tensor *ebb_checkpoint(
	ebb_tape *t, ebb_checkpoint_fn fn, void *ctx, ebb_tensor *x, const char *site);
/* Whether the second run of a checkpoint is in progress.  A custom op must then leave out its side
 * effects, such as an update of running statistics. */
EBB_API bool ebb_is_replaying(const ebb_tape *t);

/* ---- Making ops ------------------------------------------------------------------------------ */

/* A set of an op's tensors is a bit mask: EBB_IN(k) is input k, EBB_OUT is the output. */
#define EBB_IN(k) (1u << (k))
#define EBB_OUT (1u << 31)

enum { EBB_MAX_READS = 8, EBB_MAX_SAVED = 4 };

typedef struct ebb_vjp ebb_vjp;
typedef struct ebb_call ebb_call;

/* One step of a fused op, for observers.  value writes the step's result into y, and gradient
 * writes the gradient with respect to that result into g, bit-identical to what the separate ops
 * would compute.  y and g have input 0's shape, type and memory order.  Both functions read v->in,
 * v->out (NULL for a tensor that was freed), v->attrs and v->saved, and run no ops.  False: a
 * tensor that the function reads was freed.  The last part needs neither function: its value is the
 * op's output, and its gradient is v->gy. */
typedef struct ebb_part {
	const char *op; /* "relu" */
	bool (*value)(const ebb_vjp *v, ebb_tensor *y);
	/* from v->gy, the gradient of the op's output, in the output's memory order */
	bool (*gradient)(const ebb_vjp *v, ebb_tensor *g);
} ebb_part;

/* An op: one static const ebb_op beside its forward function.  An op has one output.  Ops are
 * compared by address. */
typedef struct ebb_op {
	const char *name;
	/* The vector-Jacobian product: computes the gradient of each input from v->gy, the gradient
	 * of the output, and passes it to ebb_give.  A vjp is composed of ops, so that it can be
	 * recorded and differentiated.  NULL: the op has no derivative, and an input that requires
	 * a gradient is an error in the forward call. */
	void (*vjp)(ebb_vjp *v);
	/* reads[k]: the set of tensors that the gradient of input k reads.  The tape saves only
	 * these until the sweep has passed the node; inside vjp, any other tensor has a shape but
	 * no data.  Inputs from number 7 on share reads[7]; EBB_IN(30) stands for all inputs from
	 * number 30 on. */
	unsigned reads[EBB_MAX_READS];
	/* The inputs that may be NULL, as a set; EBB_IN(7) stands for all from number 7 on. */
	unsigned optional;
	/* takes[k]: the memory order of input k.  Inputs from number 7 on share takes[7]. */
	ebb_order takes[EBB_MAX_READS];
	/* true: vjp accepts a gy with any strides, such as those of a view.  false: the sweep
	 * copies gy if necessary, so that gy is dense and in the output's memory order. */
	bool gy_strided;
	/* Recomputes the output into v->out, bit-identical, from the inputs in .reads, v->attrs and
	 * v->saved, without ops.  The tape then frees the output when no handle can read it any
	 * more, and calls this function when the sweep reaches a gradient that reads the output.
	 * NULL: the output stays in memory until the sweep has passed those gradients. */
	void (*recompute)(ebb_vjp *v);
	/* Floating-point operations of a call with result y, for profiles: of an op that multiplies
	 * and adds, two for each pair.  NULL: one per element of y, none for a view, and no
	 * multiply-adds. */
	double (*flops)(const ebb_call *c, const ebb_tensor *y);
	/* The steps of a fused op, in order; the value of the last step is the op's result. */
	const ebb_part *parts;
	int nparts;
} ebb_op;

/* The argument of a vjp: one node in a sweep. */
struct ebb_vjp {
	ebb_tape *t;
	ebb_tensor *gy; /* the gradient of the output (upstream gradient) */
	/* The sweep does not read gy after this vjp: the vjp may overwrite gy's memory and pass the
	 * result to ebb_give. */
	bool owns_gy;
	/* Gradients are recorded (.create_graph): the vjp must be composed of ops.  Else it may
	 * call a fused kernel. */
	bool recording;
	int nin, nsaved;
	ebb_tensor *out;          /* the output; it has data only if .reads declares EBB_OUT */
	ebb_tensor *const *in;    /* the inputs; in[k] has data only if .reads declares EBB_IN(k) */
	const bool *wanted;       /* wanted[k]: whether the gradient of input k is needed */
	const void *attrs;        /* the copy of what ebb_attach was given */
	ebb_tensor *const *saved; /* the tensors that ebb_save was given */
	const ebb_node *node;
	struct ebb_visit *visit; /* internal: what ebb_give was called with so far */
};
/* Whether the gradient of input k is needed; a vjp need not compute any other. */
EBB_API bool ebb_wants(const ebb_vjp *v, int k);
/* Adds g to the gradient of input k.  If input k was broadcast to g's shape, g is summed to the
 * input's shape.  An input that no ebb_give names has gradient zero.  NULL is ignored (the tape has
 * failed then), and so is a gradient that is not needed.  The sweep reads g after the vjp has
 * returned (while gradients are recorded: inside ebb_give), so the vjp must not overwrite g
 * afterwards. */
EBB_API void ebb_give(ebb_vjp *v, int k, ebb_tensor *g);

/* A part of a tensor along one axis; axis -1 is the last.  Without index: the elements start, start
 * + step, ..  With an index of one axis: the slices at these indices, as in ebb_index_select.  With
 * an index of the part's shape: single elements, as in ebb_gather. */
typedef struct ebb_selection {
	int axis;
	int64_t start, step; /* step 0 means 1 */
	ebb_tensor *index;   /* I64, row-major, or NULL */
} ebb_selection;
/* Adds g to the gradient of a part of input k, for example in the vjp of a slice.  The time depends
 * on g's size, not on the input's: all parts of one tensor are added into one buffer.  False while
 * gradients are recorded: the vjp must then compose the gradient of the whole input, zero outside
 * the part, from ops, and pass it to ebb_give. */
EBB_API bool ebb_give_part(ebb_vjp *v, int k, ebb_tensor *g, ebb_selection part);
/* Adds a^T b, with a [rows,out] and b [rows,in], to the gradient of a large weight, input k
 * [out,in].  The sweep keeps copies of the operands a and b and defers the product until the
 * gradient is read; an optimizer may apply the product without writing the product to memory.
 * False if deferring is not possible or not faster: the vjp must then compute the product and pass
 * it to ebb_give. */
EBB_API bool ebb_give_outer(ebb_vjp *v, int k, ebb_tensor *a, ebb_tensor *b);

/* One call of an op, from ebb_begin to ebb_record. */
struct ebb_call {
	ebb_tape *t; /* NULL after a failure: ebb_new_* and ebb_record then return NULL */
	const ebb_op *op;
	const char *site;
	int nin, nsaved;
	ebb_tensor **in;
	/* The result will require a gradient.  If not, the op need not compute what only its
	 * gradient reads. */
	bool tracked;
	bool shrinks; /* internal: the result uses only a part of the memory that it took over */
	const void *attrs;
	size_t attrs_size;
	ebb_tensor *saved[EBB_MAX_SAVED];
	struct ebb_storage *scratch[EBB_MAX_SAVED];
	int64_t start; /* nanoseconds; 0 if no observer has a ran callback */
};

/* Begins a call.  The call fails (.t is NULL in the result) if the tape has failed; if an input is
 * NULL (unless .optional), of another tape, or dropped; or if the op has no vjp and an input
 * requires a gradient while the tape records.  Replaces a persistent in[k] by the tape's handle for
 * it.  If the memory order of in[k] is not op->takes[k], replaces in[k] by a copy in that order.
 * The op itself checks types and shapes. */
EBB_API ebb_call ebb_begin(
	ebb_tape *t, const ebb_op *op, const char *site, int nin, ebb_tensor **in);
/* Fails the tape, with the op's name before the text (see ebb_fail), and ends the call: c->t
 * becomes NULL.  Returns NULL. */
EBB_API ebb_tensor *ebb_call_fail(ebb_call *c, ebb_status status, const char *format, ...)
	EBB_PRINTF(3, 4);
/* A new result with uninitialised elements.  NULL if the call has failed; without memory, the call
 * fails.  This holds for all ebb_new_* below. */
EBB_API ebb_tensor *ebb_new(ebb_call *c, ebb_dtype dtype, ebb_shape shape, ebb_order order);
/* A result of x's type, shape and memory order. */
EBB_API ebb_tensor *ebb_new_like(ebb_call *c, const ebb_tensor *x);
/* A result like input k, in place (in the input's memory) if no gradient, other tensor, view or
 * checkpoint needs that memory.  An in-place result drops the input, whose data may be read until
 * the op overwrites it.  Only for an op whose caller has said that the input will not be read
 * again, and at most once in a call. */
EBB_API ebb_tensor *ebb_new_over(ebb_call *c, int k);
/* The same for a result of input k's type and another shape, with no more elements than the input:
 * the result takes the beginning of the input's memory.  ebb_record returns the rest of the memory
 * to the pool if the memory is large and the input's first element lies at the start of the
 * memory. */
EBB_API ebb_tensor *ebb_new_within(ebb_call *c, int k, ebb_shape shape, ebb_order order);
/* For a call c inside the vjp v: a row-major result of the type and shape of v's input k, which the
 * vjp will pass to ebb_give for input k.  Where possible, the result is a view of the memory in
 * which ebb_backward accumulates that gradient, which saves a copy.  The vjp must not call
 * ebb_backward between this function and ebb_give. */
EBB_API ebb_tensor *ebb_new_gradient(ebb_call *c, ebb_vjp *v, int k);
/* A view: x's memory with another shape and strides.  Its first element lies offset elements after
 * x's first element. */
EBB_API ebb_tensor *ebb_new_view(
	ebb_call *c, ebb_tensor *x, ebb_shape shape, const int64_t *strides, int64_t offset);
/* Temporary memory from the tape's pool, 64-byte aligned, valid until ebb_record or a failure of
 * the call; at most EBB_MAX_SAVED blocks in a call.  NULL for size 0; NULL without memory, which
 * fails the call. */
EBB_API void *ebb_scratch(ebb_call *c, size_t size);
/* Attributes for the vjp (v->attrs).  ebb_record copies size bytes, so attrs must be valid until
 * ebb_record returns. */
EBB_API void ebb_attach(ebb_call *c, const void *attrs, size_t size);
/* Saves a tensor that this call created, beside its result, for the vjp (v->saved); at most
 * EBB_MAX_SAVED.  A saved tensor is a constant: no gradient flows through it to the inputs that it
 * was computed from.  So while gradients are recorded (v->recording), the vjp must compute the same
 * values from the inputs by ops instead of reading v->saved. */
EBB_API void ebb_save(ebb_call *c, ebb_tensor *x);
/* Ends the call, whose finished result is y, and returns y.  Records the call as a node if an input
 * requires a gradient and the tape records.  NULL for a call that has failed or for a NULL y. */
EBB_API ebb_tensor *ebb_record(ebb_call *c, ebb_tensor *y);

/* ---- Rules (rules.c) --------------------------------------------------------------------------- */

/* Another vjp for all ops of a name.  An op that is recorded while the rule is set passes gradients
 * on by .vjp in place of its own vjp, whoever calls it and however often; results do not change.
 * .reads as in ebb_op.  Guided backpropagation is a rule of "relu"; a straight-through estimator is a
 * rule of "round".  Of an op without a vjp, an input that requires a gradient stays an error. */
typedef struct ebb_rule {
	const char *op; /* the op's name, such as "relu" */
	void (*vjp)(ebb_vjp *v);
	unsigned reads[EBB_MAX_READS];
} ebb_rule;
typedef struct ebb_rules {
	int n;
	const ebb_rule *rule;
	bool unfused; /* as if there were a rule: no op is fused */
} ebb_rules;
/* Sets the rules for the ops that are recorded from here on, and returns the former rules; {0} sets
 * none.  Of several rules of one name the first counts.  The array must stay valid while the rules
 * are set, and until the sweep of a checkpoint that was recorded under the rules.
 *
 * Rules do not change the ops that vjps call.  While there is a rule, a function that fuses several
 * ops (ebb_batchnorm_relu, steps of an ebb_sequential) calls these ops one by one, with the same
 * results.  Other ops that include the function of another op, such as ebb_relu6 or an LSTM's gates,
 * have names of their own.  A rule without .op or .vjp fails the tape, and the former rules stay. */
EBB_API ebb_rules ebb_set_rules(ebb_tape *t, ebb_rules rules);
/* Whether fused ops are to call their parts one by one now; false inside a vjp. */
EBB_API bool ebb_is_unfused(const ebb_tape *t);

/* ---- Watching -------------------------------------------------------------------------------- */

/* One call of an op, measured from the end of ebb_begin to ebb_record. */
typedef struct ebb_run {
	const char *op, *site; /* site "" if unknown */
	const ebb_scope *scope;
	/* NULL in a forward computation.  Else the op whose vjp made the call, "backward" for a
	 * call by the sweep itself, or "checkpoint" for a call in the second run of a
	 * checkpoint. */
	const char *gradient_of;
	int64_t start, nanoseconds; /* when it began, and how long it took, by a monotonic clock */
	double flops;
	double bytes; /* size of the inputs and the result; 0 for a view */
	const ebb_tensor *y;
	double multiply_adds; /* flops/2 of an op that has .flops; else 0 */
	double result_bytes;  /* size of the result; 0 for a view, and if it overwrites an input */
	/* The inputs, valid until the callback returns; in[k] is NULL for an optional input that
	 * was left out. */
	int nin;
	ebb_tensor *const *in;
} ebb_run;

/* Callbacks of an observer; a NULL callback is skipped.  A tensor that a callback is given is valid
 * until the callback returns.  A callback must not run ops on this tape.  Observers change neither
 * which ops run nor their results. */
typedef struct ebb_observer {
	void *ctx;
	/* An op was recorded; its result is finished. */
	void (*recorded)(void *ctx, const ebb_node *node);
	/* A scope ends.  y: the scope's result, whose value is readable, or NULL. */
	void (*scope_ended)(void *ctx, const ebb_scope *scope, const ebb_tensor *y);
	/* A gradient is complete and will be released next.  g: the gradient with respect to node's
	 * output, in the output's memory order; NULL without memory for a copy in that order. */
	void (*gradient)(void *ctx, const ebb_node *node, const ebb_tensor *g);
	/* An op has run, recorded or not, in a forward computation or a gradient. */
	void (*ran)(void *ctx, const ebb_run *run);
	/* Whether the observer wants the next recorded, scope_ended, gradient and contribution
	 * callbacks.  looks is called before the first op or scope on an empty tape, before the
	 * first op or scope after a rewind or a sweep, and when a sweep begins.  False: these four
	 * callbacks are not called, and tensors that only these callbacks would read are not
	 * computed.  NULL: as if it always returned true. */
	bool (*looks)(void *ctx);
	/* node's vjp has computed g, one term of the gradient of node's input k; also terms of a
	 * part of the input (ebb_give_part), but not deferred outer products (ebb_give_outer).  If
	 * the input was broadcast, g has the shape to which it was broadcast. */
	void (*contribution)(void *ctx, const ebb_node *node, int k, const ebb_tensor *g);
	/* An ebb_backward begins that no other sweep contains, and y, whose value is readable, is
	 * its target. */
	void (*backward)(void *ctx, const ebb_tensor *y);
	/* That ebb_backward has ended.  ok: it has succeeded. */
	void (*backward_end)(void *ctx, bool ok);
	/* All nodes are about to be discarded, by ebb_tape_reset or ebb_rewind, but not by
	 * ebb_tape_free.  The persistent tensors that they used still exist. */
	void (*reset)(void *ctx);
	/* Whether recorded, gradient and contribution are also called for nodes of the second run
	 * of a checkpoint (ebb_is_replaying). */
	bool replays;
} ebb_observer;
/* An observer is added and removed by its address.  False if the tape has 8 observers already. */
EBB_API bool ebb_observe(ebb_tape *t, const ebb_observer *o);
EBB_API void ebb_unobserve(ebb_tape *t, const ebb_observer *o);
/* Whether an observer has a recorded, scope_ended or gradient callback, or anomaly detection is on.
 * For information only: neither the ops that run nor their fusion may depend on it. */
EBB_API bool ebb_is_watched(const ebb_tape *t);
/* Whether an ebb_backward or ebb_grad is in progress: .looks is called when one begins. */
EBB_API bool ebb_is_differentiating(const ebb_tape *t);

/* "conv2d"; "leaf" for variables and persistent tensors */
EBB_API const char *ebb_node_op(const ebb_node *n);
EBB_API const char *ebb_node_site(const ebb_node *n); /* "" if unknown */
EBB_API const ebb_scope *ebb_node_scope(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_output(const ebb_node *n);
EBB_API int ebb_node_inputs(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_input(const ebb_node *n, int k);
EBB_API int64_t ebb_node_index(const ebb_node *n);
/* The persistent tensor of a leaf, or NULL. */
EBB_API const ebb_tensor *ebb_node_persistent(const ebb_node *n);
/* The node that computed x, or NULL for a constant. */
EBB_API const ebb_node *ebb_node_of(const ebb_tensor *x);
/* The node number index, from 0 on in the order of recording, or NULL if there is none. */
EBB_API const ebb_node *ebb_node_at(const ebb_tape *t, int64_t index);
/* The persistent tensor for which x is the tape's handle, or of which x is an ebb_detach; or
 * NULL. */
EBB_API const ebb_tensor *ebb_persistent_of(const ebb_tensor *x);
/* Whether the node was recorded inside a vjp (.create_graph). */
EBB_API bool ebb_node_is_gradient(const ebb_node *n);
/* The node's output, and its input k, as readable tensors, also if their handles were dropped.
 * Both functions work only inside a callback, and their results are valid until the callback
 * returns.  NULL: the value is no longer in memory, or was overwritten. */
EBB_API const ebb_tensor *ebb_node_output_value(const ebb_node *n);
EBB_API const ebb_tensor *ebb_node_input_value(const ebb_node *n, int k);

/* A fused op is one node for several steps, its parts: "batchnorm_relu" has the parts "batchnorm",
 * "add" (of a residual) and "relu".  The number of parts; part k is the k-th step, and the value of
 * the last part is the node's output.  0: the op is not fused. */
EBB_API int ebb_node_parts(const ebb_node *n);
EBB_API const char *ebb_node_part_op(const ebb_node *n, int k); /* "" if there is no part k */
/* The scope that part k stands for: that of its step in a container, else the node's.  Works only
 * inside the recorded callback of the node; later it is the node's. */
EBB_API const ebb_scope *ebb_node_part_scope(const ebb_node *n, int k);
/* The value of part k, and the gradient with respect to that value, computed from g, the gradient
 * of the node's output (NULL: ones).  Both are bit-identical to those of the separate ops.  Both
 * functions work only inside a callback, and their results are valid until the callback returns.
 * NULL: there is no such part, no memory, or no callback in progress, or a tensor that the
 * computation reads was freed.  The value is available when the node is recorded, and later if the
 * node saves what the value is computed from.  The gradient is available in the gradient callback
 * of the node. */
EBB_API const ebb_tensor *ebb_node_part_value(const ebb_node *n, int k);
EBB_API const ebb_tensor *ebb_node_part_gradient(const ebb_node *n, int k, const ebb_tensor *g);
/* The result y of a scope may be the value of a part of the fused op that computed it.  Returns the
 * number of that part of ebb_node_of(y); -1 if y is the output of its node. */
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
	/* persistent F64 tensors, which are differentiated; I64 and U8 ones are constants */
	const ebb_tensor *const *x;
	double eps;        /* step of the central difference, default 1e-6 */
	double rtol, atol; /* default 1e-5 and 1e-7; negative or NaN is an error */
	uint64_t seed;     /* of the random cotangent (upstream gradient) */
	bool second;       /* also check the derivative of the gradient */
	bool eval;         /* on a tape in evaluation mode */
	bool allow_zero;   /* accept gradients that are all zero (piecewise constant functions) */
	ebb_error *error;  /* filled on failure: the input, the element, and both values */
	const char *site;
} ebb_gradcheck_args;
/* Compares the gradient of sum u*fn(x), with a random cotangent u, with central differences in
 * double precision.  Every element must satisfy |a - n| <= atol + rtol*|n|, with a the computed
 * gradient and n the central difference; NaN fails.  All gradients zero is a failure, too, unless
 * .allow_zero.  True if every element agrees. */
EBB_API bool ebb_gradcheck(const ebb_gradcheck_args *a);

/* ---- The macros that add the call site ------------------------------------------------------- */

#define ebb_scope_begin(...) EBB_CALL(ebb_scope_begin, __VA_ARGS__)
#define ebb_scope_end(...) EBB_CALL(ebb_scope_end, __VA_ARGS__)
#define ebb_variable(...) EBB_CALL(ebb_variable, __VA_ARGS__)
#define ebb_detach(...) EBB_CALL(ebb_detach, __VA_ARGS__)
#define ebb_backward(...) EBB_CALL_ARGS(ebb_backward, ebb_backward_args, __VA_ARGS__)
#define ebb_grad(...) EBB_CALL_ARGS(ebb_grad, ebb_grad_args, __VA_ARGS__)
#define ebb_jvp(...) EBB_CALL_ARGS(ebb_jvp, ebb_jvp_args, __VA_ARGS__)
#define ebb_hvp(...) EBB_CALL_ARGS(ebb_hvp, ebb_hvp_args, __VA_ARGS__)
#define ebb_jacobian(...) EBB_CALL_ARGS(ebb_jacobian, ebb_jacobian_args, __VA_ARGS__)
#define ebb_hessian(...) EBB_CALL_ARGS(ebb_hessian, ebb_hessian_args, __VA_ARGS__)
#define ebb_checkpoint(...) EBB_CALL(ebb_checkpoint, __VA_ARGS__)
#define ebb_gradcheck(...) EBB_CALL_ARGS(ebb_gradcheck, ebb_gradcheck_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
