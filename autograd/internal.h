/*
 * internal.h - the tape and the sweep, for autograd/, autograd/transforms/, autograd/watching/ and
 * ops/ only.
 *
 * The words of this folder:
 *	node: one recorded call of an op, with its inputs, its result and what its vjp reads;
 *	vjp: an op's rule for gradients, its vector-Jacobian product;
 *	sweep: a backward pass, which visits the nodes from the last to the first;
 *	accumulator: the gradient of one node's result, summed so far in one sweep;
 *	contribution: a gradient that a vjp has passed to ebb_give for one of its inputs;
 *	handle: an ebb_tensor;
 *	storage: one value in memory, which a handle and its views share;
 *	reader, saver: users of a storage, one reference count each: a reader may read the value at
 *		any time, a saver is a node whose gradients will read the value in the sweep;
 *	maker: the node that can recompute a storage's value after its memory was freed.
 *		See tensor/internal.h.
 */
#ifndef EBB_AUTOGRAD_INTERNAL_H
#define EBB_AUTOGRAD_INTERNAL_H

#include "autograd/autograd.h"
#include "tensor/deferred.h"
#include "tensor/internal.h"

/* ---- The tape (tape.c, scope.c) -------------------------------------------------------------- */

struct ebb_node {
	const ebb_op *op;
	const char *site;
	const ebb_scope *scope;
	ebb_tensor *out;
	void *attrs;
	/* The inputs (and EBB_OUT) that the node's gradients read.  The node is a saver of their
	 * storages until it is consumed.  Inputs from number 30 on share bit 30. */
	unsigned reads;
	int32_t index, nin, nsaved;
	bool consumed;     /* it has released what it saved */
	bool saves_inputs; /* saves all inputs, whose ranges anomaly detection reports */
	/* The op can recompute the result, and the node has become the maker of its storage. */
	bool makes;
	uint8_t flushed; /* ctx.flushed at the call, for a recomputation of the result */
	uint32_t out_version;
	uint32_t *versions; /* of the inputs' storages at the call; set for saved inputs only */
	ebb_tensor **saved;
	ebb_tensor *in[];
};

struct ebb_scope {
	struct ebb_scope *parent, *children, *sibling;
	size_t size; /* of this allocation */
	const char *name;
	const char *path;
	const char *added; /* ebb_scope_added, or NULL */
};

typedef struct ebb_open_scope {
	ebb_scope *scope; /* the scope around this one */
	int64_t live;     /* the number of live handles when this one began */
	uint64_t serial;  /* unique for each ebb_scope_begin on this tape */
	const char *site;
} ebb_open_scope;

/* The recording is divided into epochs.  ebb_rewind(t, m) removes the epochs that began after m,
 * and appends an epoch that begins at m.  A mark contains the number of the epoch in which it was
 * taken.  The mark is valid while this epoch exists and the next epoch does not begin before the
 * mark. */
typedef struct ebb_epoch {
	uint64_t number;
	ebb_mark start;
} ebb_epoch;

typedef struct ebb_kept_grad {
	ebb_tensor *variable, *grad;
} ebb_kept_grad;

/* A frame is open while a sweep runs a vjp or ops of its own.  Errors and nodes of the ops that run
 * inside the frame have the call site place.site, and their error messages name the op
 * place.gradient_of.  These ops are recorded only if create_graph. */
typedef struct ebb_frame {
	ebb_place place;
	bool create_graph;
	/* The tape's state before the frame: ebb_close_frame restores outer and recording, and
	 * drops the handles from number live on. */
	const struct ebb_frame *outer;
	bool recording;
	int64_t live;
} ebb_frame;

/* A trace is open during the first run of a checkpoint.  ebb_begin appends each input that is older
 * than the run to t->traced, where the list of this trace begins at number start. */
typedef struct ebb_trace {
	const struct ebb_trace *outer;
	uint64_t mark; /* position in the arena of handles: handles before mark are older */
	int64_t start;
} ebb_trace;

enum { EBB_MAX_OBSERVERS = 8, EBB_MAX_PARTS = 4 };

struct ebb_tape {
	ebb_context ctx; /* must be first: tensor/ casts a tape to its context */
	bool recording, training;
	const struct ebb_guard *anomaly; /* the checks of anomaly detection; NULL: disabled */
	const ebb_frame *frame;          /* the innermost open frame, or NULL */
	bool in_callback;
	const ebb_trace *trace;
	ebb_tensor **traced; /* the inputs of all open traces */
	int64_t ntraced, traced_capacity;
	int replays; /* the number of checkpoints' second runs in progress */
	/* The position in the arena of handles at which the innermost second run began. */
	uint64_t replay_mark;
	int sweeps;        /* the number of sweeps in progress */
	ebb_storage *made; /* list, linked by next: recomputed values that a sweep may read */

	ebb_node **nodes;
	int64_t nnodes, nodes_capacity;
	ebb_kept_grad *grads;
	int64_t ngrads, grads_capacity;

	ebb_scope *root, *scope;
	ebb_open_scope *open;
	int64_t nopen, open_capacity, unopened;
	uint64_t scopes_begun;

	const struct ebb_watch *watch; /* NULL without observers */
	const ebb_observer *observers[EBB_MAX_OBSERVERS];
	bool looks[EBB_MAX_OBSERVERS]; /* each observer's last answer to .looks */
	bool asked;                    /* these answers are current */
	int nobservers;
	int ntimers;       /* the number of observers with a ran callback */
	ebb_tensor *shown; /* list, linked by grad: tensors for the open callback (parts.h) */
	/* ebb_name_parts: the names of the next fused op's parts, their values, and the serial
	 * number of the open scope whose end reports them to observers (0: the op has not run). */
	int nparts;
	const char *const *part_names;
	ebb_tensor *part_values[EBB_MAX_PARTS];
	uint64_t part_scope;

	ebb_rules rules;         /* of the user; .n is 0 without rules */
	struct ebb_ruled *ruled; /* list of the ops that rules have replaced (rules.c) */

	uint64_t generation; /* the number of resets */
	ebb_epoch *epochs;   /* without the first epoch, number 0, which begins at the reset */
	int64_t nepochs, epochs_capacity;
	uint64_t rewinds;
};

_Static_assert(offsetof(struct ebb_tape, ctx) == 0, "ebb_context_of casts a tape to its context");

/* The tape's handle for a persistent tensor, which becomes a leaf if it requires a gradient and the
 * tape records.  NULL: the tape has failed. */
ebb_tensor *ebb_import(ebb_tape *t, ebb_tensor *persistent, const char *site);
/* x, or the tape's handle for a persistent x, if x can be read on tape t.  Else NULL, and the tape
 * fails with a message about input k of what. */
ebb_tensor *ebb_usable(ebb_tape *t, ebb_tensor *x, const char *what, int k, const char *site);

/* The op, or the copy of it that the first rule of that name asks for.  NULL: the tape has failed. */
const ebb_op *ebb_op_by_rules(ebb_tape *t, const ebb_op *op, const char *site);
/* Frees all copies. */
void ebb_forget_rules(ebb_tape *t);

/* Whether a run of a checkpointed function is in progress and x is older than the run: the other
 * run reads x, too, so x must stay as it is. */
bool ebb_is_given(const ebb_tape *t, const ebb_tensor *x);

/* Returns a call's scratch memory to the pool. */
void ebb_end_scratch(ebb_call *c);

/* The functions by which the engine notifies observers (watching/observe.c), so that autograd/ does
 * not depend on autograd/watching/. */
typedef struct ebb_watch {
	int64_t (*clock)(void); /* nanoseconds of a monotonic clock */
	/* A call that began at c->start has run. */
	void (*ran)(const ebb_call *c, const ebb_tensor *y);
	/* A call has ended; pushed: it was recorded as node y->node.  The tensors that the call
	 * saved can still be read. */
	void (*recorded)(ebb_call *c, ebb_tensor *y, bool pushed);
	/* The open scope ends. */
	void (*ended)(ebb_tape *t, const ebb_tensor *y);
	/* The gradient g of n's output is complete; it must not be changed. */
	void (*gradient)(ebb_tape *t, const ebb_node *n, const ebb_tensor *g);
	/* The outermost sweep begins: calls each observer's .looks. */
	void (*ask)(ebb_tape *t);
	/* A vjp has passed g to ebb_give or ebb_give_part for input k. */
	void (*contribution)(const ebb_vjp *v, int k, const ebb_tensor *g);
	/* The outermost ebb_backward begins, and ends: see ebb_observer. */
	void (*backward)(ebb_tape *t, const ebb_tensor *y);
	void (*backward_end)(ebb_tape *t, bool ok);
	void (*reset)(ebb_tape *t);
} ebb_watch;

/* The next notification calls each observer's .looks again. */
static inline void ebb_ask_later(ebb_tape *t)
{
	t->asked = false;
}

/* Anomaly detection.  Each function returns true if all elements are finite; else the tape (and the
 * call) fails. */
typedef struct ebb_guard {
	bool (*result)(ebb_call *c, const ebb_tensor *y);
	bool (*gradient)(ebb_vjp *v, int k, const ebb_tensor *g);
} ebb_guard;

/* The tensors of a node as its vjp sees them (view.c). */
typedef struct ebb_shown {
	ebb_tensor *x;
	ebb_storage *read; /* a storage that the view is a reader of, or NULL */
	ebb_tensor shadow; /* what the vjp gets in place of an undeclared x: a shape without data */
	bool was_dropped;  /* x was dropped, and can be read while the view is open */
} ebb_shown;

typedef struct ebb_view {
	ebb_shown out, saved[EBB_MAX_SAVED], few[EBB_MAX_READS], *inputs;
	ebb_tensor *few_in[EBB_MAX_READS], **in;
	bool few_wanted[EBB_MAX_READS], *wanted;
	/* The memory of inputs, in and wanted, for a node of more than EBB_MAX_READS inputs.
	 * NULL: these three point to few, few_in and few_wanted. */
	ebb_storage *memory;
} ebb_view;

/* Fills in v's members that depend on the node alone.  For a vjp, the caller must fill
 * w->wanted, which v->wanted points to.  For .recompute (the parameter recomputes), w->wanted is
 * all false, and v->out has memory for the result.  Until ebb_close_view, v->in and v->saved can
 * be read as the op declared.  False: no memory, and the tape has failed. */
bool ebb_open_view(ebb_node *n, ebb_view *w, ebb_vjp *v, bool recomputes);
void ebb_close_view(const ebb_node *n, const ebb_view *w);

/* For tests: whether the reference counts and flags of a tape agree with its handles and nodes.  No
 * sweep or call may be in progress.  False: e says which count or flag is wrong. */
bool ebb_tape_check(const ebb_tape *t, ebb_error *e);

/* Appends a node, whose out, attrs, reads and arrays the caller fills.  NULL: the tape has
 * failed. */
ebb_node *ebb_push_node(ebb_tape *t, const ebb_op *op, const char *site, int nin, int nsaved);
extern const ebb_op ebb_leaf_op;
/* Releases what the node saved for its gradients. */
void ebb_consume(ebb_node *n);
/* Frees s, its siblings and all their children. */
void ebb_scopes_free(ebb_scope *s);
void ebb_enter_scope(ebb_tape *t, const ebb_scope *s);
/* The scope of that name inside parent, which is created if it does not exist.  NULL: no memory. */
ebb_scope *ebb_scope_inside(ebb_scope *parent, const char *name);

/* ---- The sweep (sweep.c, backward.c, grad.c) ------------------------------------------------- */

typedef struct ebb_sweep {
	ebb_tape *t;
	ebb_tensor **acc; /* acc[i - base]: the accumulator of node i in base .. last, or NULL */
	ebb_storage *acc_memory;
	/* needed[i - base], bit 0: node i depends on a target of the sweep, so that its gradient is
	 * needed; bit 1: node i is a target.  NULL: all gradients are needed. */
	const uint8_t *needed;
	ebb_storage *needed_memory;
	int64_t base, first, last; /* the sweep visits the nodes last .. first, first >= base */
	/* For the second run of a checkpoint: the sweep that has reached the checkpoint, or NULL.
	 * This sweep has no accumulators for nodes older than base, and uses those of the outer
	 * sweep. */
	struct ebb_sweep *outer;
	int64_t limit; /* the number of the checkpoint's node, which outer is visiting */
	bool create_graph, consume;
	bool accumulates; /* ebb_backward: gradients are accumulated into the leaves */
	const char *site;
} ebb_sweep;

/* Whether the node's gradients read input k. */
static inline bool ebb_reads(const ebb_node *n, int k)
{
	return n->in[k] && (n->reads & EBB_IN(k < 30 ? k : 30));
}

/* Whether the node is a saver of input k. */
static inline bool ebb_saves_input(const ebb_node *n, int k)
{
	return n->in[k] && (n->saves_inputs || ebb_reads(n, k));
}

/* Whether the node's gradients can be computed.  False, and the tape fails: the node was consumed,
 * or a tensor that its gradients read was overwritten.  site: that of the sweep. */
bool ebb_saved_values_stand(ebb_tape *t, ebb_node *n, const char *site);

/* ---- Recomputed results (recompute.c) -------------------------------------------------------- */

/* The maker of s recomputes the value of s.  ebb_present calls this function, by ebb_pool.make.
 * False: the tape has failed. */
bool ebb_make_again(ebb_storage *s);
/* Recomputes each absent value that n's gradients read.  False: the tape has failed. */
bool ebb_make_readable(const ebb_sweep *s, ebb_node *n);
/* A sweep is a reader of each value that it recomputes.  ebb_unread_result ends this for n's result
 * when the sweep has passed n; ebb_unread_results ends it for all values when the outermost sweep
 * has ended. */
void ebb_unread_result(ebb_node *n);
void ebb_unread_results(ebb_tape *t);
/* Called when n is consumed, after which n cannot recompute its result: ends n's role as maker. */
void ebb_end_making(ebb_node *n);

/* ---- The contributions of a vjp (give.c) ----------------------------------------------------- */

/* WHOLE: of the input's shape.  TO_SUM: of the shape that the input was broadcast to.  PART: of a
 * part (ebb_give_part).  OUTER: an outer product (ebb_give_outer). */
typedef enum ebb_gift_kind {
	EBB_GIFT_WHOLE,
	EBB_GIFT_TO_SUM,
	EBB_GIFT_PART,
	EBB_GIFT_OUTER
} ebb_gift_kind;

/* One contribution, to the gradient of input k. */
typedef struct ebb_gift {
	ebb_gift_kind kind;
	int k;
	/* OUTER: the operands a and b.  Else g is the gradient; for a PART, other is part.index. */
	ebb_tensor *g, *other;
	ebb_selection part;
} ebb_gift;

enum { EBB_FEW_GIFTS = 4 };

/* The visit of one node by a sweep: what v->visit points to. */
typedef struct ebb_visit {
	ebb_sweep *sweep;
	ebb_gift few[EBB_FEW_GIFTS], *given; /* in the order of the ebb_give calls */
	int count, capacity;
	ebb_storage *more; /* the memory of given; NULL: given is few */
	/* The leaf gradient that ebb_new_gradient has made a view of for the vjp to compute in, or
	 * NULL. */
	ebb_tensor *place;
} ebb_visit;

/* Adds the contributions to the accumulators, unless the tape has failed, and empties the list. */
void ebb_add_given(ebb_visit *w, const ebb_vjp *v);
/* Replaces the tensor in an accumulator by g, which may be NULL. */
static inline void ebb_set_slot(ebb_tensor **slot, ebb_tensor *g)
{
	ebb_tensor *before = *slot;

	if (g)
		ebb_hold(g);
	*slot = g;
	if (before)
		ebb_unhold(before);
}
/* Whether the tensor g of an accumulator may be overwritten.  A persistent g is the gradient of
 * a persistent tensor and may always be overwritten, because ebb_accumulation_target returns it
 * for one accumulator of one sweep only. */
static inline bool ebb_owns_gradient(const ebb_tensor *g)
{
	assert(g->tape || g->holds == 1);
	return !g->tape || ebb_is_sole(g);
}

/* Lists x, an input of an op, in the innermost open trace, if x is older than the trace. */
void ebb_trace_input(ebb_tape *t, ebb_tensor *x);

/* The accumulator of a node, in this sweep or an outer one. */
static inline ebb_tensor **ebb_accumulator_of(const ebb_sweep *s, int64_t node)
{
	while (node < s->base)
		s = s->outer;
	assert(node <= s->last);
	return &s->acc[node - s->base];
}
/* Whether this sweep, or an outer one, needs the gradient of the node's result. */
bool ebb_is_needed(const ebb_sweep *s, int64_t node);
/* Checks that y can be differentiated, and replaces a persistent *y by the tape's handle for it.
 * False: the tape has failed. */
bool ebb_sweep_target(ebb_tape *t, const char *what, ebb_tensor **y, const char *site);
/* ebb_sweep_target, and checks that *gy has the shape and type of *y, or that *y has one element if
 * *gy is NULL. */
bool ebb_sweep_check(
	ebb_tape *t, const char *what, ebb_tensor **y, ebb_tensor **gy, const char *site);
/* Allocates the accumulators, and puts the gradients gy[0..n-1] (NULL: ones) into those of
 * y[0..n-1].  The caller has set s->t, s->base and the options. */
bool ebb_sweep_begin(ebb_sweep *s, int n, ebb_tensor *const *y, ebb_tensor *const *gy);
/* keep_targets: the gradients of targets (bit 1 of needed) stay in their accumulators. */
bool ebb_sweep_run(ebb_sweep *s, bool keep_targets);
void ebb_sweep_end(ebb_sweep *s);
/* The gradient tensor of x's persistent tensor, if the sweep may use it as x's accumulator;
 * ebb_grad_of does not return it until the sweep has succeeded.  NULL: the accumulator must be
 * another tensor, or the tape has failed. */
ebb_tensor *ebb_accumulation_target(const ebb_sweep *s, const ebb_tensor *x);
/* Whether the gradient gy^T x of a weight [out,in] is so much larger than its operands gy
 * [rows,out] and x [rows,in] that the outer product is worth deferring. */
bool ebb_is_outer(int64_t rows, int64_t out, int64_t in);
/* Opens and closes the frame f (see ebb_frame), for the vjp of a call of op at site, or with a NULL
 * op for ops of the sweep itself.  A handle that is created inside the frame belongs to the sweep
 * (EBB_F_SWEEP). */
void ebb_open_frame(ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph);
void ebb_close_frame(ebb_tape *t, const ebb_frame *f);
/* Makes f the tape's innermost frame; NULL: none. */
void ebb_enter_frame(ebb_tape *t, const ebb_frame *f);
/* ebb_grad of the sum over i < ny of sum y[i]*gy[i].  what: the caller's name in errors. */
bool ebb_grad_of_sum(const ebb_grad_args *a, const char *what, int ny, ebb_tensor *const *y,
	ebb_tensor *const *gy);
/* ebb_rewind.  False: the tape has failed, and nothing was discarded. */
bool ebb_rewind_to(ebb_tape *t, ebb_mark m);
/* Rewinds to m, but keeps the values of x[0..n-1] as constants under new handles; a NULL x[i] is
 * skipped.  Does nothing if m.tape is NULL, which ebb_tape_mark returns inside a vjp.  False: the
 * tape has failed, and every x[i] is NULL. */
bool ebb_rewind_keeping(ebb_tape *t, ebb_mark m, int n, ebb_tensor **x);

/* ---- The linear ops that gradients need (linear.c) ------------------------------------------- */

/* The public ebb_add, ebb_sum_to, ebb_expand and ebb_dense in ops/ call these. */
ebb_tensor *ebb_linear_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
ebb_tensor *ebb_linear_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
ebb_tensor *ebb_linear_expand(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
ebb_tensor *ebb_linear_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);
/* x, copied if its memory order is not that of like. */
ebb_tensor *ebb_linear_dense_like(
	ebb_tape *t, ebb_tensor *x, const ebb_tensor *like, const char *site);
ebb_tensor *ebb_linear_copy(ebb_tape *t, ebb_tensor *x, const char *site); /* always copies */
/* A tensor of x's shape, type and memory order whose elements are value.  x may be dropped, because
 * its elements are not read. */
ebb_tensor *ebb_linear_full_like(ebb_tape *t, const ebb_tensor *x, double value, const char *site);
/* y += x, both dense in the same order; y may be a persistent tensor. */
void ebb_linear_accumulate(ebb_tensor *y, const ebb_tensor *x);

#endif
