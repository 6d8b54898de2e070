/*
 * internal.h - the engine's structs, for autograd/ and ops/ only.
 *
 * Memory.  A tape owns an arena (structs, gone at reset), and a pool of storages (tensor data,
 * reused; large ones lie on its heap).  A storage counts who needs it: every readable handle is
 * one, every node that saved it for its gradient is one, unless the node that computed it can make
 * it again.
 */
#ifndef EBB_AUTOGRAD_INTERNAL_H
#define EBB_AUTOGRAD_INTERNAL_H

#include "autograd/host.h"
#include "autograd/factors.h"
#include "kernels/sizes.h"

/* Memory that nobody may read now, for the address sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define EBB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EBB_ASAN 1
#endif
#endif
#ifdef EBB_ASAN
#include <sanitizer/asan_interface.h>
#define EBB_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define EBB_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define EBB_POISON(p, n) ((void)(p), (void)(n))
#define EBB_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* 1 in a build whose compiler announces its sanitizer: address, thread or memory. */
#if defined(EBB_ASAN) || defined(__SANITIZE_THREAD__)
#define EBB_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define EBB_SANITIZED 1
#endif
#endif
#ifndef EBB_SANITIZED
#define EBB_SANITIZED 0
#endif

enum { EBB_ALIGN = 64, EBB_MAX_OBSERVERS = 8, EBB_POOL_CLASSES = 512 };

/* ---- Storage and memory (memory.c, heap.c) --------------------------------------------------- */

typedef struct ebb_region ebb_region;

typedef struct ebb_storage {
	int32_t refs;
	uint32_t version;                /* raised when overwritten */
	int32_t size_class;              /* or EBB_ON_HEAP */
	size_t bytes;                    /* capacity of the data */
	ebb_tape *tape;                  /* whose pool; NULL for stored tensors */
	struct ebb_storage *next, *prev; /* in a free list; prev on the heap alone */
	union {
		/* what the allocator returned, and how much; NULL in a slab */
		struct {
			void *block;
			size_t size;
		} own;
		struct {
			ebb_region *region;
			struct ebb_storage *below; /* the neighbour at lower addresses, or NULL */
		} heap;
	} in;
} ebb_storage;

_Static_assert(sizeof(ebb_storage) <= EBB_ALIGN, "data follows the header at the next cache line");

static inline void *ebb_storage_data(ebb_storage *s)
{
	return (char *)s + EBB_ALIGN;
}

typedef struct ebb_block {
	struct ebb_block *next;
	size_t size;
} ebb_block;

enum { EBB_ON_HEAP = -1 };

typedef struct ebb_heap {
	ebb_region *regions; /* the oldest first */
	size_t reserved;
} ebb_heap;

typedef struct ebb_pool {
	ebb_storage *free[EBB_POOL_CLASSES];
	ebb_heap heap;    /* for large storages */
	ebb_block *slabs; /* small storages are cut from these */
	char *slab_at, *slab_end;
	size_t reserved, in_use, peak;
} ebb_pool;

typedef struct ebb_chunk {
	char *memory;
	size_t size;
} ebb_chunk;

typedef struct ebb_arena {
	ebb_chunk *chunks;
	int64_t count, capacity, current;
	size_t offset;
	size_t reserved;
} ebb_arena;

/* refs 1; NULL without an error if there is no memory */
ebb_storage *ebb_pool_take(ebb_tape *t, size_t bytes);
void ebb_pool_give(ebb_tape *t, ebb_storage *s);
/* A storage in use needs but so many bytes from now on: of a large one the rest goes back. */
void ebb_pool_trim(ebb_tape *t, ebb_storage *s, size_t bytes);
void ebb_pool_free(ebb_tape *t);
ebb_storage *ebb_heap_take(ebb_heap *h, size_t bytes); /* refs 1, or NULL */
void ebb_heap_give(ebb_storage *s);
void ebb_heap_trim(ebb_storage *s, size_t bytes);
void ebb_heap_free(ebb_heap *h);
void *ebb_arena_take(ebb_arena *a, size_t size);
void ebb_arena_rewind(ebb_arena *a, uint64_t mark);
uint64_t ebb_arena_mark(const ebb_arena *a);
/* Whether p was taken after the mark (and not rewound since). */
bool ebb_arena_is_after(const ebb_arena *a, uint64_t mark, const void *p);
void ebb_arena_free(ebb_arena *a);
ebb_storage *ebb_storage_new(size_t bytes); /* a stored tensor's */
void ebb_storage_free(ebb_storage *s);

static inline void ebb_ref(ebb_storage *s)
{
	if (s->tape)
		s->refs++;
}

static inline void ebb_unref(ebb_storage *s)
{
	if (s->tape && --s->refs == 0)
		ebb_pool_give(s->tape, s);
}

/* ---- Tensors (tensor.c, layout.c) ------------------------------------------------------------ */

enum {
	EBB_F_DROPPED = 1 << 0,    /* the user may not read it any more */
	EBB_F_HIDDEN = 1 << 1,     /* inside a vjp that did not declare to read it */
	EBB_F_LEAF = 1 << 2,       /* a variable */
	EBB_F_WANTS_GRAD = 1 << 3, /* a stored tensor that wants a gradient */
	EBB_F_HAS_GRAD = 1 << 4,   /* its gradient has been deposited since it was zeroed */
	EBB_F_ADOPTED = 1 << 5,    /* the tape's handle for a stored tensor */
	EBB_F_SWEEP = 1 << 6,      /* made by a sweep */
	/* made by a sweep that does not record: its struct may be reused */
	EBB_F_TEMPORARY = 1 << 7,
	/* an accumulator from an earlier node: may be added to in place */
	EBB_F_SETTLED = 1 << 8,
	EBB_F_DENSE = 1 << 9,
	EBB_F_ROWS = 1 << 10,
	EBB_F_CHANNELS_LAST = 1 << 11,
	EBB_F_COMPUTED = 1 << 12, /* the result of an op */
	EBB_F_SHOWN = 1 << 13,    /* dropped, but readable inside the vjp that declared it */
	/* its memory goes though gradients read it: its node can make it again */
	EBB_F_FORGETTABLE = 1 << 14,
	/* a stored tensor's gradient that is not computed yet: its factors hold it */
	EBB_F_FACTORED = 1 << 15
};

struct ebb_tensor {
	ebb_tape *tape; /* NULL: stored */
	ebb_storage *storage;
	char *data;
	int64_t count;
	int32_t node; /* that computed it, or -1 */
	uint16_t flags;
	uint8_t dtype, ndim;
	int32_t holds;   /* accumulators that hold it */
	bool handed_out; /* a stored gradient: its user may read it at any time */
	bool stale;      /* in debug mode: of a part that was reset or rewound */
	ebb_tensor *grad;
	ebb_storage *factors;        /* a stored gradient's room for them, or NULL */
	const ebb_tensor *stored;    /* behind an adopted handle */
	const ebb_error *fault;      /* of the store that a stored tensor belongs to, or NULL */
	const ebb_scope *dropped_by; /* the scope whose end dropped it */
	char *name;
	int64_t shape[EBB_MAX_DIMS], strides[EBB_MAX_DIMS];
};

/* Product of the sizes, or -1 if one is negative or the bytes overflow. */
int64_t ebb_checked_count(ebb_shape shape, ebb_dtype dtype);
/* Which of DENSE, ROWS, CHANNELS_LAST hold. */
uint16_t ebb_layout_of(int ndim, const int64_t *shape, const int64_t *strides);
void ebb_strides_of(ebb_order order, int ndim, const int64_t *shape, int64_t *strides);
/* Dense strides in the same order of axes as the given ones. */
void ebb_strides_like(int ndim, const int64_t *shape, const int64_t *like, int64_t *strides);
/* That of a result that is x moved about: channels last if x's axes are in that order, in a view with
 * gaps too; else rows. */
ebb_order ebb_order_kept(const ebb_tensor *x);
/* Both dense and in the same order: element i of one corresponds to element i of the other. */
bool ebb_same_memory(const ebb_tensor *a, const ebb_tensor *b);
bool ebb_same_shape(const ebb_tensor *a, const ebb_tensor *b);
/* The element at a row-major index, and its value as a double. */
int64_t ebb_offset_of(const ebb_tensor *x, int64_t index);
double ebb_value_at(const ebb_tensor *x, int64_t index);

static inline uint16_t ebb_order_flag(ebb_order order)
{
	switch (order) {
	case EBB_DENSE:
		return EBB_F_DENSE;
	case EBB_ROWS:
		return EBB_F_ROWS;
	case EBB_CHANNELS_LAST:
		return EBB_F_CHANNELS_LAST;
	default:
		return 0;
	}
}

/* ebb_tensor_new, whose memory is not written to unless zeroed. */
ebb_tensor *ebb_stored_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, bool zeroed, ebb_error *e);
/* Debug mode as the environment says (handle.c). */
void ebb_start_debug(ebb_tape *t);
/* Memory for a handle, from t->handles. */
ebb_tensor *ebb_handle_take(ebb_tape *t);
/* In debug mode: the op and the line that made x. */
void ebb_track_origin(ebb_tensor *x, const char *op, const char *site);
/* In debug mode, else nothing: x has the origin of another handle. */
void ebb_copy_origin(ebb_tensor *x, const ebb_tensor *from);
/* The handles from number first of t->tracked on become stale. */
void ebb_forget_handles(ebb_tape *t, int64_t first);
/* Fails t because x is stale.  Returns true. */
bool ebb_fail_stale(ebb_tape *t, const ebb_tensor *x, const char *what, const char *site);

/* Whether a call on t was given a stale x; t has then failed. */
static inline bool ebb_refuses_stale(
	ebb_tape *t, const ebb_tensor *x, const char *what, const char *site)
{
	return x && x->stale && ebb_fail_stale(t, x, what, site);
}

/* The same for what asks x alone: x's tape has failed. */
static inline bool ebb_is_stale(const ebb_tensor *x, const char *what)
{
	return x && x->stale && ebb_fail_stale(x->tape, x, what, NULL);
}

/* ebb_describe, of a stale handle too. */
const char *ebb_describe_any(const ebb_tensor *x, char *buffer, size_t size);
/* A handle on the tape with no memory yet; in the list of live handles. NULL without an error
 * if there is no memory. */
ebb_tensor *ebb_handle_new(
	ebb_tape *t, ebb_dtype dtype, int ndim, const int64_t *shape, int64_t count);
/* The tape's handle for a stored tensor. NULL: the tape has failed. */
ebb_tensor *ebb_adopt(ebb_tape *t, ebb_tensor *stored, const char *site);
/* The handle if there is one already. */
ebb_tensor *ebb_adopted(const ebb_tape *t, const ebb_tensor *stored);
/* x, checked: on this tape (adopting a stored one), readable; else NULL and the tape fails. */
ebb_tensor *ebb_usable(ebb_tape *t, ebb_tensor *x, const char *what, int k, const char *site);
void ebb_drop(ebb_tensor *x);
/* "was released", or "was dropped at the end of scope " (whose path follows) */
const char *ebb_dropped_how(const ebb_tensor *x);
void ebb_recycle(ebb_tensor *x);

/* ---- The tape (tape.c, scope.c) -------------------------------------------------------------- */

struct ebb_node {
	const ebb_op *op;
	const char *site;
	const ebb_scope *scope;
	ebb_tensor *out;
	void *attrs;
	/* inputs (and EBB_OUT) that the gradient declared to read, whose storage this node holds;
	 * inputs from 30 on share a bit */
	unsigned reads;
	int32_t index, nin, nsaved;
	bool consumed;
	bool holds_inputs;  /* all of them, for the ranges that an anomaly is told with */
	bool forgets;       /* does not hold its result, though its gradient may read it */
	uint8_t flushed;    /* the tape's, for a result that is made again */
	unsigned depends;   /* inputs that their own nodes make again instead of its holding them */
	int32_t dependents; /* nodes that so depend on this one, not consumed yet */
	ebb_storage *result; /* made again, or kept after all, and held */
	ebb_node *next_remade;
	uint32_t out_version;
	uint32_t *versions; /* of the inputs held, when they were saved */
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
	const char *site;
	const char *op;
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

struct ebb_tape {
	ebb_error error;
	bool recording, training, anomaly, debug;
	uint8_t flushed; /* 1 << dtype of each whose subnormal numbers kernels flush */
	ebb_dtype dtype;
	ebb_random random;
	const ebb_frame *frame; /* inside a vjp */
	bool in_callback;
	const ebb_trace *trace;
	ebb_tensor **traced; /* of all open traces */
	int64_t ntraced, traced_capacity;
	int replays;          /* second runs of checkpoints that are going on */
	uint64_t replay_mark; /* of the handles, where the innermost of them began */
	int sweeps;           /* that are going on */
	ebb_node *remade;     /* nodes that hold a result made again */

	ebb_node **nodes;
	int64_t nnodes, nodes_capacity;
	ebb_tensor **live; /* handles whose value may be readable, in order of making */
	int64_t nlive, live_capacity;
	ebb_tensor **adopted;
	int64_t nadopted, adopted_capacity;
	int32_t *adopted_table; /* open addressing over adopted[]; -1 is empty */
	int64_t table_capacity;
	ebb_kept_grad *grads;
	int64_t ngrads, grads_capacity;
	ebb_tensor *spare; /* recycled structs, through grad */

	ebb_scope *root, *scope;
	ebb_open_scope *open;
	int64_t nopen, open_capacity, unopened;
	uint64_t scopes_begun;

	const ebb_observer *observers[EBB_MAX_OBSERVERS];
	int nobservers;
	int ntimers; /* of them, those that want to know of every call */

	uint64_t generation; /* counts resets */
	ebb_epoch *epochs;   /* that the present recording is made of, after the first */
	int64_t nepochs, epochs_capacity;
	uint64_t rewinds;
	ebb_arena arena;
	ebb_arena kept;       /* handles in debug mode */
	ebb_tensor **tracked; /* in debug mode: the handles that are not stale, in order */
	int64_t ntracked, tracked_capacity;
	ebb_arena *handles; /* where handles lie: kept or arena */
	ebb_arena names;    /* a tensor older than a mark may be named after it */
	ebb_pool pool;
};

static inline void ebb_note_origin(ebb_tensor *x, const char *op, const char *site)
{
	if (x->tape->debug)
		ebb_track_origin(x, op, site);
}

/* Whether kernels of x's type on x's tape flush subnormal numbers; not those on stored tensors. */
static inline bool ebb_flushes(const ebb_tensor *x)
{
	return x->tape && (x->tape->flushed >> x->dtype & 1);
}

/* Older than the run of a checkpointed function that is going on: the other run reads it, too. */
bool ebb_is_given(const ebb_tape *t, const ebb_tensor *x);

/* Gives a call's scratch memory back. */
void ebb_end_scratch(ebb_call *c);

/* The clock of profiles, and what they are told of a finished call (observe.c). */
int64_t ebb_nanoseconds(void);
void ebb_tell_ran(const ebb_call *c, const ebb_tensor *y);

/* Anomaly detection (anomaly.c): true if all is finite, else the tape (and the call) fails. */
bool ebb_result_is_finite(ebb_call *c, const ebb_tensor *y);
bool ebb_gradient_is_finite(ebb_vjp *v, int k, const ebb_tensor *g);

/* What a vjp sees of its node (view.c). */
typedef struct ebb_shown {
	ebb_tensor *x;
	ebb_storage *held; /* of what was made again */
	ebb_tensor shadow;
	bool was_dropped;
} ebb_shown;

typedef struct ebb_view {
	ebb_shown out, saved[EBB_MAX_SAVED], few[EBB_MAX_READS], *inputs;
	ebb_tensor *few_in[EBB_MAX_READS], **in;
	ebb_storage *memory; /* for nodes of more inputs */
} ebb_view;

/* Fills in v->in and v->out, which can be read if declared, or if its value is what is asked for.
 * False: no memory, and the tape has failed. */
bool ebb_open_view(ebb_node *n, ebb_view *w, ebb_vjp *v, bool remakes);
void ebb_close_view(const ebb_node *n, const ebb_view *w);

ebb_node *ebb_push_node(ebb_tape *t, const ebb_op *op, const char *site, int nin, int nsaved);
extern const ebb_op ebb_leaf_op;
/* Lets go of what the node keeps for its gradient. */
void ebb_consume(ebb_node *n);
/* ebb_failed of a tape, without a call: for what every op asks. */
static inline bool ebb_has_failed(const ebb_tape *t)
{
	return !t || t->error.status != EBB_OK;
}
/* The tape fails for a reason that is known already. */
void ebb_fail_as(ebb_tape *t, const ebb_error *cause);
/* The sticky error for a failed allocation. */
ebb_tensor *ebb_no_memory(ebb_tape *t, const char *site, const char *what, size_t bytes);
void ebb_scopes_free(ebb_scope *s);

/* ---- The sweep (sweep.c, backward.c, grad.c) ------------------------------------------------- */

typedef struct ebb_sweep {
	ebb_tape *t;
	ebb_tensor **acc; /* of nodes base .. last */
	ebb_storage *acc_memory;
	/* per node from base on, or NULL: all.  Bit 0: it leads to a target; bit 1: it is one. */
	const uint8_t *needed;
	ebb_storage *needed_memory;
	int64_t base, first, last; /* nodes */
	/* A replayed segment's sweep goes on where this one met the checkpoint: gradients of what is
	 * older than base go straight into its accumulators. */
	struct ebb_sweep *outer;
	int64_t limit; /* the node of the checkpoint: what is younger is not the outer sweep's */
	bool create_graph, consume;
	bool deposits; /* what reaches stored tensors becomes their gradient */
	const char *site;
} ebb_sweep;

static inline bool ebb_reads(const ebb_node *n, int k)
{
	return n->in[k] && (n->reads & EBB_IN(k < 30 ? k : 30));
}

static inline bool ebb_holds(const ebb_node *n, int k)
{
	return n->in[k] && (n->holds_inputs || ebb_reads(n, k)) &&
	       !(k < 30 && (n->depends & EBB_IN(k)));
}

/* False after saying so: a value that the node's gradient reads has been overwritten, or the node
 * was consumed. */
bool ebb_saved_values_stand(const ebb_sweep *s, ebb_node *n);

/* ---- Results that are made again (remake.c) -------------------------------------------------- */

/* Whether the new node n, which reads input k, depends on that input's node for it. */
bool ebb_depend(ebb_node *n, int k);
/* x, which may be forgotten, stays. */
void ebb_keep_result(ebb_tensor *x);
/* Whether x, on whose node another depends, has its value. */
bool ebb_is_in_memory(const ebb_tensor *x);
/* Makes again what n's gradient reads and has been forgotten.  False: the tape has failed. */
bool ebb_remake_for(const ebb_sweep *s, ebb_node *n);
/* The sweep has passed n; the outermost one has ended. */
void ebb_forget_result(ebb_node *n);
void ebb_forget_results(ebb_tape *t);
/* n is consumed. */
void ebb_end_dependence(ebb_node *n);

/* Notes x, an input of an op, in the open trace. */
void ebb_trace_input(ebb_tape *t, ebb_tensor *x);

void ebb_hold(ebb_tensor **slot, ebb_tensor *g);
void ebb_let_go(ebb_tensor **slot);
/* The accumulator of a node, in this sweep or an outer one. */
ebb_tensor **ebb_slot(const ebb_sweep *s, int64_t node);
bool ebb_is_needed(const ebb_sweep *s, int64_t node);
/* y, checked, on this tape and with a history. */
bool ebb_sweep_target(ebb_tape *t, const char *what, ebb_tensor **y, const char *site);
/* Whether nobody will read v->gy but this vjp, which may then write over it and give it on. */
bool ebb_owns_gy(const ebb_vjp *v);
/* y and gy (NULL: 1), checked and on this tape. */
bool ebb_sweep_check(
	ebb_tape *t, const char *what, ebb_tensor **y, ebb_tensor **gy, const char *site);
/* Room for accumulators, and the first of them; s has t, base and what the sweep is to do. */
bool ebb_sweep_begin(ebb_sweep *s, int n, ebb_tensor *const *y, ebb_tensor *const *gy);
/* keep_targets: what reached a target stays in its accumulator. */
bool ebb_sweep_run(ebb_sweep *s, bool keep_targets);
void ebb_sweep_end(ebb_sweep *s);
/* The stored tensor that x's gradient may be summed in from the start; NULL: in an accumulator (or
 * the tape has failed).  What it held is gone. */
ebb_tensor *ebb_deposit_place(const ebb_sweep *s, const ebb_tensor *x);
/* A row-major result of x's type and shape that will be given as the gradient of input k, x: in its
 * place if it has one. */
ebb_tensor *ebb_new_gradient(ebb_call *c, const ebb_vjp *v, int k);
/* Whether the gradient gy^T x of a weight [out,in] is a sum of few outer products, far larger than
 * its factors. */
bool ebb_is_outer(int64_t rows, int64_t out, int64_t in);
/* Gives input k the gradient gy^T x as copies of its factors, gy [rows,out] and x [rows,in]. False:
 * not here, give the product. */
bool ebb_give_factors(ebb_vjp *v, int k, const ebb_tensor *gy, const ebb_tensor *x);
/* A gradient g has its values; who reads or adds to its memory calls this before. */
void ebb_compute_product(ebb_tensor *g);
/* The same before its user gets it, who may keep it or its address: from now on it is computed at
 * once. */
void ebb_hand_out(ebb_tensor *g);
/* ebb_grad_of, for the engine's own use: it may not be computed yet. */
ebb_tensor *ebb_deposited(const ebb_tensor *x);
/* From open to close ops inherit site and op, record only under create_graph, and what they make is
 * the sweep's. */
void ebb_open_frame(ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph);
void ebb_close_frame(ebb_tape *t, const ebb_frame *f);
/* Made by the sweep, and held by nobody else. */
bool ebb_is_alone(const ebb_tensor *g);
/* ebb_grad of the sum over i < ny of sum y[i]*gy[i]; what names the caller in errors. */
bool ebb_grad_of_sum(const ebb_grad_args *a, const char *what, int ny, ebb_tensor *const *y,
	ebb_tensor *const *gy);
/* Rewinds to m (if it is a mark: none can be taken inside a gradient), but keeps x[0..n-1], as
 * constants under new handles; NULLs are skipped.  False: no memory, and all are NULL. */
bool ebb_rewind_keeping(ebb_tape *t, ebb_mark m, int n, ebb_tensor **x);

/* ---- What the engine needs of arithmetic; ops/arith.c provides it ---------------------------- */

ebb_tensor *ebb_arith_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
ebb_tensor *ebb_arith_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site);
ebb_tensor *ebb_arith_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site);
/* x in the memory order of like. */
ebb_tensor *ebb_arith_dense_like(
	ebb_tape *t, ebb_tensor *x, const ebb_tensor *like, const char *site);
ebb_tensor *ebb_arith_copy(ebb_tape *t, ebb_tensor *x, const char *site); /* always a new buffer */
ebb_tensor *ebb_arith_full_like(ebb_tape *t, const ebb_tensor *x, double value, const char *site);
/* g = gy^T x, row-major, where ebb_is_outer. */
void ebb_arith_outer_sum(ebb_tensor *g, int64_t rows, const void *gy, const void *x, bool flush);
/* y += x, both dense in the same order. */
void ebb_arith_accumulate(ebb_tensor *y, const ebb_tensor *x);

#endif
