/*
 * internal.h - the tape and the sweep, for autograd/, autograd/transforms/, autograd/watching/
 * and ops/ only.
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
	/* inputs (and EBB_OUT) that the gradient declared to read, of whose storages this node
	 * is a saver; inputs from 30 on share a bit */
	unsigned reads;
	int32_t index, nin, nsaved;
	bool consumed;
	bool saves_inputs; /* all of them, for the ranges that an anomaly is told with */
	bool makes;        /* can compute its result again: it may be its storage's maker */
	uint8_t flushed;   /* the tape's, for a result that is made again */
	uint32_t out_version;
	uint32_t *versions; /* of the inputs saved, when they were */
	ebb_tensor **saved;
	ebb_tensor *in[];
};

struct ebb_scope {
	struct ebb_scope *parent, *children, *sibling;
	size_t size; /* of this allocation */
	const char *name;
	const char *path;
};

typedef struct ebb_open_scope {
	ebb_scope *scope;
	int64_t live;
	uint64_t serial; /* tells it from others that were open before */
	const char *site;
} ebb_open_scope;

/* What was recorded after a rewind, up to the next one that did not go further back. */
typedef struct ebb_epoch {
	uint64_t number;
	ebb_mark start;
} ebb_epoch;

typedef struct ebb_kept_grad {
	ebb_tensor *variable, *grad;
} ebb_kept_grad;

/* What a vjp's ops inherit. */
typedef struct ebb_frame {
	ebb_place place; /* the context's while the frame is open */
	bool create_graph;
	/* What comes back when it closes. */
	const struct ebb_frame *outer;
	bool recording;
	int64_t live;
} ebb_frame;

/* The first run of a checkpoint, which notes what older tensors it reads. */
typedef struct ebb_trace {
	const struct ebb_trace *outer;
	uint64_t mark; /* of the handles */
	int64_t start; /* in traced */
} ebb_trace;

enum { EBB_MAX_OBSERVERS = 8, EBB_MAX_PARTS = 4 };

struct ebb_tape {
	ebb_context ctx; /* first: what tensor/ knows of it */
	bool recording, training;
	const struct ebb_guard *anomaly; /* that looks at each value, or NULL */
	const ebb_frame *frame;          /* inside a vjp */
	bool in_callback;
	const ebb_trace *trace;
	ebb_tensor **traced; /* of all open traces */
	int64_t ntraced, traced_capacity;
	int replays;          /* second runs of checkpoints that are going on */
	uint64_t replay_mark; /* of the handles, where the innermost of them began */
	int sweeps;           /* that are going on */
	ebb_storage *made;    /* values that sweeps made again and read, through next */

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
	bool looks[EBB_MAX_OBSERVERS]; /* as each answered, if asked */
	bool asked;
	int nobservers;
	int ntimers;       /* of them, those that want to know of every call */
	ebb_tensor *shown; /* what is made for the callback that runs, through grad */
	/* The scopes of the next fused op's parts, and the values that are told when the scope
	 * of this serial ends. */
	int nparts;
	const char *const *part_names;
	ebb_tensor *part_values[EBB_MAX_PARTS];
	uint64_t part_scope;

	uint64_t generation; /* counts resets */
	ebb_epoch *epochs;   /* that the present recording is made of, after the first */
	int64_t nepochs, epochs_capacity;
	uint64_t rewinds;
};

_Static_assert(offsetof(struct ebb_tape, ctx) == 0, "ebb_context_of takes a tape for its context");

/* The tape's handle for a persistent tensor. NULL: the tape has failed. */
ebb_tensor *ebb_import(ebb_tape *t, ebb_tensor *persistent, const char *site);
/* x, checked: on this tape (importing a persistent one), readable; else NULL and the tape fails. */
ebb_tensor *ebb_usable(ebb_tape *t, ebb_tensor *x, const char *what, int k, const char *site);

/* Older than the run of a checkpointed function that is going on: the other run reads it, too. */
bool ebb_is_given(const ebb_tape *t, const ebb_tensor *x);

/* Gives a call's scratch memory back. */
void ebb_end_scratch(ebb_call *c);

/* What the engine has observers told while a tape has any (watching/observe.c). */
typedef struct ebb_watch {
	int64_t (*clock)(void); /* nanoseconds, of a clock that only goes forward */
	/* A call that began at c->start has run. */
	void (*ran)(const ebb_call *c, const ebb_tensor *y);
	/* A call was recorded (y->node then is its node) or not; before what it saved is
	 * dropped. */
	void (*recorded)(ebb_call *c, ebb_tensor *y, bool pushed);
	/* The open scope ends. */
	void (*ended)(ebb_tape *t, const ebb_tensor *y);
	/* The gradient g of n's output, which stays as it is. */
	void (*gradient)(ebb_tape *t, const ebb_node *n, const ebb_tensor *g);
	/* The outermost sweep begins. */
	void (*ask)(ebb_tape *t);
} ebb_watch;

/* Observers are asked again whether they look, when there is something to tell. */
static inline void ebb_ask_later(ebb_tape *t)
{
	t->asked = false;
}

/* Anomaly detection: each is true if all is finite, else the tape (and the call) fails. */
typedef struct ebb_guard {
	bool (*result)(ebb_call *c, const ebb_tensor *y);
	bool (*gradient)(ebb_vjp *v, int k, const ebb_tensor *g);
} ebb_guard;

/* What a rule sees of its node (view.c). */
typedef struct ebb_shown {
	ebb_tensor *x;
	ebb_storage *read; /* that the view is a reader of, or NULL */
	ebb_tensor shadow;
	bool was_dropped;
} ebb_shown;

typedef struct ebb_view {
	ebb_shown out, saved[EBB_MAX_SAVED], few[EBB_MAX_READS], *inputs;
	ebb_tensor *few_in[EBB_MAX_READS], **in;
	bool few_wanted[EBB_MAX_READS], *wanted;
	ebb_storage *memory; /* for nodes of more inputs */
} ebb_view;

/* Fills in of v all that a rule is told of its node, but whose gradients are wanted: v->wanted
 * points to memory for that.  What is declared can be read, and v->out if its value is what is
 * asked for.  False: no memory, and the tape has failed. */
bool ebb_open_view(ebb_node *n, ebb_view *w, ebb_vjp *v, bool recomputes);
void ebb_close_view(const ebb_node *n, const ebb_view *w);

/* For tests: whether all counts and flags of a tape that no sweep or call is running on are what
 * its handles and nodes say.  False: e says which is not. */
bool ebb_tape_check(const ebb_tape *t, ebb_error *e);

ebb_node *ebb_push_node(ebb_tape *t, const ebb_op *op, const char *site, int nin, int nsaved);
extern const ebb_op ebb_leaf_op;
/* Lets go of what the node keeps for its gradient. */
void ebb_consume(ebb_node *n);
void ebb_scopes_free(ebb_scope *s);
void ebb_enter_scope(ebb_tape *t, const ebb_scope *s);
/* The scope of that name inside parent, made if there is none; NULL: no memory. */
ebb_scope *ebb_scope_inside(ebb_scope *parent, const char *name);

/* ---- The sweep (sweep.c, backward.c, grad.c) ------------------------------------------------- */

typedef struct ebb_sweep {
	ebb_tape *t;
	ebb_tensor **acc; /* of nodes base .. last */
	ebb_storage *acc_memory;
	/* per node from base on, or NULL: all.  Bit 0: it leads to a target; bit 1: it is one. */
	const uint8_t *needed;
	ebb_storage *needed_memory;
	int64_t base, first, last; /* nodes */
	/* A replayed segment's sweep goes on where this one met the checkpoint: gradients of
	 * what is older than base go straight into its accumulators. */
	struct ebb_sweep *outer;
	int64_t limit; /* the node of the checkpoint: what is younger is not the outer sweep's */
	bool create_graph, consume;
	bool accumulates; /* what reaches persistent tensors becomes their gradient */
	const char *site;
} ebb_sweep;

static inline bool ebb_reads(const ebb_node *n, int k)
{
	return n->in[k] && (n->reads & EBB_IN(k < 30 ? k : 30));
}

static inline bool ebb_saves_input(const ebb_node *n, int k)
{
	return n->in[k] && (n->saves_inputs || ebb_reads(n, k));
}

/* False after saying so: a value that the node's gradient reads has been overwritten, or the node
 * was consumed.  site: the sweep's. */
bool ebb_saved_values_stand(ebb_tape *t, ebb_node *n, const char *site);

/* ---- Results that are made again (recompute.c) ----------------------------------------------- */

/* The pool's make: the maker of s computes it again. */
bool ebb_make_again(ebb_storage *s);
/* What n's gradient reads is in memory afterwards.  False: the tape has failed. */
bool ebb_make_readable(const ebb_sweep *s, ebb_node *n);
/* The sweep has passed n; the outermost one has ended. */
void ebb_unread_result(ebb_node *n);
void ebb_unread_results(ebb_tape *t);
/* n is consumed, and makes nothing again. */
void ebb_end_making(ebb_node *n);

/* ---- What a rule gives (give.c) -------------------------------------------------------------- */

/* TO_SUM: to the shape of its input. */
typedef enum ebb_gift_kind {
	EBB_GIFT_WHOLE,
	EBB_GIFT_TO_SUM,
	EBB_GIFT_PART,
	EBB_GIFT_OUTER
} ebb_gift_kind;

typedef struct ebb_gift {
	ebb_gift_kind kind;
	int k;
	ebb_tensor *g, *other; /* the gradient, and an index; or both deferred */
	ebb_selection part;
} ebb_gift;

enum { EBB_FEW_GIFTS = 4 };

/* One node's turn in a sweep: what v->visit points to. */
typedef struct ebb_visit {
	ebb_sweep *sweep;
	ebb_gift few[EBB_FEW_GIFTS], *given; /* in the order of giving */
	int count, capacity;
	ebb_storage *more; /* memory for given, or NULL */
	ebb_tensor *place; /* where a rule computes a gradient that it has not given yet, or NULL */
} ebb_visit;

/* Adds all that was given to the accumulators, or nothing more after a failure; and lets go of
 * it. */
void ebb_add_given(ebb_visit *w, const ebb_vjp *v);
/* The slot's tensor is g (or NULL) from now on. */
static inline void ebb_set_slot(ebb_tensor **slot, ebb_tensor *g)
{
	ebb_tensor *before = *slot;

	if (g)
		ebb_hold(g);
	*slot = g;
	if (before)
		ebb_unhold(before);
}
/* Whether whoever has g in the one accumulator that holds it may write over it: no other
 * persistent tensor is an accumulator than one that is being accumulated in. */
static inline bool ebb_owns_gradient(const ebb_tensor *g)
{
	return !g->tape || ebb_is_sole(g);
}

/* Notes x, an input of an op, in the open trace. */
void ebb_trace_input(ebb_tape *t, ebb_tensor *x);

/* The accumulator of a node, in this sweep or an outer one. */
static inline ebb_tensor **ebb_accumulator_of(const ebb_sweep *s, int64_t node)
{
	while (node < s->base)
		s = s->outer;
	return &s->acc[node - s->base];
}
bool ebb_is_needed(const ebb_sweep *s, int64_t node);
/* y, checked, on this tape and with a history. */
bool ebb_sweep_target(ebb_tape *t, const char *what, ebb_tensor **y, const char *site);
/* y and gy (NULL: 1), checked and on this tape. */
bool ebb_sweep_check(
	ebb_tape *t, const char *what, ebb_tensor **y, ebb_tensor **gy, const char *site);
/* Room for accumulators, and the first of them; s has t, base and what the sweep is to do. */
bool ebb_sweep_begin(ebb_sweep *s, int n, ebb_tensor *const *y, ebb_tensor *const *gy);
/* keep_targets: what reached a target stays in its accumulator. */
bool ebb_sweep_run(ebb_sweep *s, bool keep_targets);
void ebb_sweep_end(ebb_sweep *s);
/* The persistent tensor that x's gradient may be summed in from the start, which changes nothing
 * yet; NULL: in an accumulator (or the tape has failed). */
ebb_tensor *ebb_accumulation_target(const ebb_sweep *s, const ebb_tensor *x);
/* Whether the gradient gy^T x of a weight [out,in] is a sum of few outer products, far larger than
 * its deferred. */
bool ebb_is_outer(int64_t rows, int64_t out, int64_t in);
/* From open to close ops inherit site and op, record only under create_graph, and what they make is
 * the sweep's. */
void ebb_open_frame(ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph);
void ebb_close_frame(ebb_tape *t, const ebb_frame *f);
/* The same for what returns to a frame, or leaves all (NULL) for a while. */
void ebb_enter_frame(ebb_tape *t, const ebb_frame *f);
/* ebb_grad of the sum over i < ny of sum y[i]*gy[i]; what names the caller in errors. */
bool ebb_grad_of_sum(const ebb_grad_args *a, const char *what, int ny, ebb_tensor *const *y,
	ebb_tensor *const *gy);
/* False: the tape has failed, and nothing is forgotten. */
bool ebb_rewind_to(ebb_tape *t, ebb_mark m);
/* Rewinds to m (if it is a mark: none can be taken inside a gradient), but keeps x[0..n-1], as
 * constants under new handles; NULLs are skipped.  False: no memory, and all are NULL. */
bool ebb_rewind_keeping(ebb_tape *t, ebb_mark m, int n, ebb_tensor **x);

/* ---- The linear ops that gradients need (linear.c) ------------------------------------------- */

/* Those that users call too are ebb_add, ebb_sum_to, ebb_expand and ebb_dense in ops/. */
ebb_tensor *ebb_linear_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
ebb_tensor *ebb_linear_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
ebb_tensor *ebb_linear_expand(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
ebb_tensor *ebb_linear_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);
/* x in the memory order of like. */
ebb_tensor *ebb_linear_dense_like(
	ebb_tape *t, ebb_tensor *x, const ebb_tensor *like, const char *site);
ebb_tensor *ebb_linear_copy(ebb_tape *t, ebb_tensor *x, const char *site); /* always a new buffer */
/* value everywhere, of x's type and order.  Only x's shape is read: it may have been dropped. */
ebb_tensor *ebb_linear_full_like(ebb_tape *t, const ebb_tensor *x, double value, const char *site);
/* y += x, both dense in the same order; y may be a persistent tensor. */
void ebb_linear_accumulate(ebb_tensor *y, const ebb_tensor *x);

#endif
