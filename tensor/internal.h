/*
 * internal.h - tensors, storages and memory, for tensor/, autograd/, autograd/watching/,
 * autograd/transforms/, archive/, ops/ and training/ only.
 *
 * tensor/ knows a tape only by its ebb_context: the first error, the pool that data comes from, the
 * arena that handles lie in.  The context is the first member of struct ebb_tape.
 */
#ifndef EBB_TENSOR_INTERNAL_H
#define EBB_TENSOR_INTERNAL_H

#include <assert.h>

#include "tensor/deferred.h"
#include "tensor/memory.h"

/* ---- The lifetime of a value (life.c) -------------------------------------------------------- */

/*
 * A handle is an ebb_tensor, which users hold.  A storage is one value in memory; a handle and its
 * views share one storage.  A storage of a pool has two reference counts:
 *	readers: what may read the value at any time: handles, accumulators, contributions of a vjp;
 *	savers: nodes whose gradients will read the value in the sweep.
 * When both counts are 0, the storage returns to the pool.  A storage's presence is
 *	present: the value is in memory;
 *	absent: the memory was freed; the maker, the node that computed the value, can recompute it.
 *		A value with a maker becomes absent when its last reader leaves and savers remain;
 *	product: the value is a deferred outer product, whose operands are kept; its own memory is
 *		allocated but not written.
 * Whatever reads a value that may not be present calls ebb_present first; whatever overwrites a
 * value calls ebb_overwrite.  ebb_is_sole says whether a handle's value may be overwritten without
 * any other user noticing.
 *
 * A storage without a pool belongs to a persistent tensor.  It has no reference counts, because
 * several threads may read it at once.
 */
typedef enum ebb_presence { EBB_PRESENT, EBB_ABSENT, EBB_PRODUCT } ebb_presence;

struct ebb_storage {
	char *data;   /* NULL while absent */
	size_t bytes; /* capacity of the data */
	ebb_pool *pool;
	ebb_block *block;
	int32_t readers, savers;
	uint32_t version; /* incremented when the value is overwritten */
	uint8_t presence;
	uint8_t size_class; /* of its memory, or EBB_ON_HEAP */
	bool handed_out;    /* ebb_grad_of has returned it: it is never a product again */
	bool made;          /* recomputed by a sweep, which is one of its readers */
	union {
		struct ebb_node *maker; /* of a pool: the node that can recompute it, or NULL */
		/* without a pool: memory for the operands of a product, or NULL */
		struct ebb_deferred *deferred;
	} of;
	ebb_storage *next; /* in a list of recomputed storages, or of free ones */
};

enum { EBB_DESCRIPTORS = 32 };
/* Descriptors are allocated many at a time, and aligned so that each takes one cache line. */
struct ebb_descriptors {
	ebb_storage storages[EBB_DESCRIPTORS];
	ebb_block blocks[EBB_DESCRIPTORS];
	ebb_descriptors *next;
	void *memory; /* the allocation in which this struct lies, aligned */
};

/* A storage with one reader and uninitialised memory.  NULL without an error if there is no
 * memory. */
ebb_storage *ebb_pool_take(ebb_pool *p, size_t bytes);
bool ebb_add_descriptors(ebb_pool *p);
void ebb_pool_free(ebb_pool *p);
/* The storage of a persistent tensor.  NULL without an error if there is no memory. */
ebb_storage *ebb_storage_new(size_t bytes);
void ebb_storage_free(ebb_storage *s);
/* Shrinks a storage in use to that many bytes, and returns the rest to the heap. */
void ebb_storage_trim(ebb_storage *s, size_t bytes);

/* Called when the last reader leaves, and when the last saver leaves and there is no reader. */
void ebb_last_reader_left(ebb_storage *s);
void ebb_last_saver_left(ebb_storage *s);

static inline void *ebb_storage_data(ebb_storage *s)
{
	return s->data;
}

/* Adds a reader.  An absent value has none. */
static inline void ebb_ref(ebb_storage *s)
{
	assert(s->presence != EBB_ABSENT);
	if (s->pool)
		s->readers++;
}

static inline void ebb_unref(ebb_storage *s)
{
	if (!s->pool)
		return;
	assert(s->readers > 0);
	if (--s->readers == 0)
		ebb_last_reader_left(s);
}

static inline void ebb_ref_saved(ebb_storage *s)
{
	if (s->pool)
		s->savers++;
}

static inline void ebb_unref_saved(ebb_storage *s)
{
	if (!s->pool)
		return;
	assert(s->savers > 0);
	if (--s->savers == 0 && s->readers == 0)
		ebb_last_saver_left(s);
}

/* Computes s's value if it is not in memory.  False: the value was absent, and its tape has
 * failed. */
bool ebb_make_present(ebb_storage *s);
static inline bool ebb_present(ebb_storage *s)
{
	return s->presence == EBB_PRESENT || ebb_make_present(s);
}

/* The caller is about to overwrite s: increments its version, and ends the role of its maker.  A
 * product is not computed before. */
void ebb_overwrite(ebb_storage *s);
/* Ends the role of s's maker: the value stays in memory as long as s has savers. */
void ebb_keep(ebb_storage *s);
/* n becomes the maker of s, the storage of its new result. */
void ebb_set_maker(ebb_storage *s, struct ebb_node *n);
/* Allocates memory for an absent value, which its maker is about to compute.  False: no memory. */
bool ebb_storage_refill(ebb_storage *s);

/* ---- Checking the reference counts (check.c) ------------------------------------------------- */

/* A second count of the readers and savers of a pool's storages, by a caller that visits all
 * handles and nodes: ebb_tally_begin, then one call for each reader and each saver, then
 * ebb_tally_end. */
typedef struct ebb_tally {
	ebb_pool *pool;
	int64_t n;
	int32_t *readers, *savers; /* the storages' counts at ebb_tally_begin */
} ebb_tally;
/* False: no memory. */
bool ebb_tally_begin(ebb_tally *y, ebb_pool *p);
void ebb_tally_reader(ebb_tally *y, ebb_storage *s);
void ebb_tally_saver(ebb_tally *y, ebb_storage *s);
/* Restores the storages' counts and frees y.  False: e says which counts differ. */
bool ebb_tally_end(ebb_tally *y, ebb_error *e);

/* ---- Deferred outer products (product.c) ----------------------------------------------------- */

/* Defers the product a^T b of sizes {rows,out,in}: s, a persistent gradient that ebb_grad_of has
 * not returned yet, keeps copies of a and b.  flush: the setting of subnormal numbers with which it
 * will be computed.  False: no memory for the copies, and s is as it was. */
bool ebb_keep_product(ebb_storage *s, ebb_dtype dtype, const int64_t sizes[3], const void *a,
	const void *b, bool flush);
/* The operands; rows is 0 unless s is a product. */
ebb_outer_product ebb_outer_product_of(const ebb_storage *s);
/* Computes a product: s is present afterwards.  Called by ebb_present. */
void ebb_compute_product(ebb_storage *s);
/* Writes the values of a product into its memory, for an observer; s stays a product. */
void ebb_write_product(ebb_storage *s);
/* Called before a persistent gradient is returned to the user, who may keep its address: computes a
 * product, and s is present from then on. */
void ebb_hand_out(ebb_storage *s);
void ebb_free_deferred(ebb_storage *s);

/* ---- The part of a tape that tensors need ---------------------------------------------------- */

/* For messages of failures inside a gradient: the call site of its node, and the name of the node's
 * op; NULL: the sweep itself. */
typedef struct ebb_place {
	const char *site, *gradient_of;
} ebb_place;

typedef struct ebb_context {
	ebb_error error;
	const ebb_place *place; /* NULL outside every gradient */
	const char *scope;      /* the path of the open scope; "" is the outermost */
	bool debug;
	uint8_t flushed; /* bit 1 << dtype: kernels of that type flush subnormal numbers */
	ebb_dtype dtype; /* the default type of new tensors */
	ebb_random random;
	uint16_t born;     /* additional flags of new handles */
	ebb_tensor **live; /* handles whose value may be readable, in the order of creation */
	int64_t nlive, live_capacity;
	ebb_tensor *spare; /* a list by grad: recycled structs of handles */
	ebb_arena arena;
	ebb_arena kept;       /* handles in debug mode; never rewound */
	ebb_tensor **tracked; /* in debug mode: the handles that are not stale, in order */
	int64_t ntracked, tracked_capacity;
	ebb_arena *handles;    /* where new handles lie: kept or arena */
	ebb_tensor **imported; /* this tape's handles for persistent tensors */
	int64_t nimported, imported_capacity;
	int32_t *imported_table; /* a hash table of indices into imported[]; -1: empty */
	int64_t table_capacity;
	ebb_arena names; /* separate, because a rewind keeps the names of older tensors */
	ebb_pool pool;
} ebb_context;

/* Initialises a zeroed context.  make: the pool's function that recomputes an absent value. */
void ebb_context_begin(ebb_context *c, bool (*make)(ebb_storage *s));
void ebb_context_end(ebb_context *c);

/* ebb_context is the first member of struct ebb_tape. */
static inline ebb_context *ebb_context_of(ebb_tape *t)
{
	return (ebb_context *)(void *)t;
}

static inline const ebb_context *ebb_context_read(const ebb_tape *t)
{
	return (const ebb_context *)(const void *)t;
}

/* ebb_failed, inline for every op. */
static inline bool ebb_has_failed(const ebb_tape *t)
{
	return !t || ebb_context_read(t)->error.status != EBB_OK;
}
/* "site: [gradient of op: ][op: ]text[ in scope]"; op may be NULL. */
void ebb_fail_v(ebb_tape *t, ebb_status status, const char *site, const char *op,
	const char *format, va_list ap) EBB_PRINTF(5, 0);
/* Fails the tape with the error of another object, such as a parameter store. */
void ebb_fail_as(ebb_tape *t, const ebb_error *cause);
/* Fails the tape with "site: no memory for WHAT (BYTES bytes)".  Returns NULL. */
ebb_tensor *ebb_no_memory(ebb_tape *t, const char *site, const char *what, size_t bytes);

/* ---- Tensors (tensor.c, layout.c) ------------------------------------------------------------ */

enum {
	EBB_F_DROPPED = 1 << 0,    /* the user may not read the value any more */
	EBB_F_HIDDEN = 1 << 1,     /* a shadow inside a vjp that does not declare to read it */
	EBB_F_LEAF = 1 << 2,       /* a variable */
	EBB_F_WANTS_GRAD = 1 << 3, /* a persistent tensor that requires a gradient */
	EBB_F_HAS_GRAD = 1 << 4,   /* it has a gradient since the last ebb_zero_grad */
	EBB_F_IMPORTED = 1 << 5,   /* a tape's handle for a persistent tensor */
	EBB_F_SWEEP = 1 << 6,      /* created by a sweep */
	/* created by a sweep that does not record: its struct may be recycled */
	EBB_F_TEMPORARY = 1 << 7,
	/* in the list of live handles, or of variables' gradients, which counts as one hold */
	EBB_F_LISTED = 1 << 8,
	EBB_F_DENSE = 1 << 9,
	EBB_F_ROWS = 1 << 10,
	EBB_F_CHANNELS_LAST = 1 << 11,
	EBB_F_COMPUTED = 1 << 12, /* the result of an op */
	EBB_F_SHOWN = 1 << 13     /* dropped, but readable inside a vjp that declares it */
};

struct ebb_tensor {
	ebb_tape *tape; /* NULL: a persistent tensor */
	ebb_storage *storage;
	char *data;
	int64_t count;
	int32_t node; /* the number of the node that computed it; -1: a constant */
	uint16_t flags;
	uint8_t dtype, ndim;
	int64_t offset; /* of data in the storage, in bytes */
	/* The number of users that keep the value readable through this handle: the list of live
	 * handles, accumulators, contributions of a vjp.  The handle is one reader of its storage
	 * while holds > 0. */
	int32_t holds;
	bool stale;       /* in debug mode: from before a reset or a rewind */
	int8_t part;      /* for an observer: 1 + k for the value of part k of its node; else 0 */
	ebb_tensor *grad; /* the gradient of a leaf; for other handles, the link of a list */
	const ebb_tensor *persistent; /* the persistent tensor of an EBB_F_IMPORTED handle */
	const ebb_error *fault;       /* ebb_set_fault, or NULL */
	const char *dropped_by;       /* the path of the scope whose end dropped it, or NULL */
	char *name;
	int64_t shape[EBB_MAX_DIMS], strides[EBB_MAX_DIMS];
};

/* Whether x's type is one that ops compute in and differentiate: F32 or F64. */
static inline bool ebb_is_real(const ebb_tensor *x)
{
	return ebb_dtypes[x->dtype].real;
}

/* The product of the sizes; -1 if a size is negative or the bytes overflow. */
int64_t ebb_checked_count(ebb_shape shape, ebb_dtype dtype);
/* Which of EBB_F_DENSE, EBB_F_ROWS and EBB_F_CHANNELS_LAST hold for these strides. */
uint16_t ebb_layout_of(int ndim, const int64_t *shape, const int64_t *strides);
void ebb_strides_of(ebb_order order, int ndim, const int64_t *shape, int64_t *strides);
/* Dense strides in the same order of axes as the given ones. */
void ebb_strides_like(int ndim, const int64_t *shape, const int64_t *like, int64_t *strides);
/* The memory order of a result that only moves x's elements: channels last if x's axes are in that
 * order, even in a view with gaps; else row-major. */
ebb_order ebb_order_kept(const ebb_tensor *x);
/* The product of the sizes before an axis of a row-major tensor, the axis's size, and the product
 * of the sizes after it. */
typedef struct ebb_around {
	int64_t outer, len, inner;
} ebb_around;
ebb_around ebb_sizes_around(const ebb_tensor *x, int axis);
/* The position of the first element of a dense I64 index outside [0, len); -1 if there is none. */
int64_t ebb_first_outside(const ebb_tensor *index, int64_t len);
/* The shape that n tensors broadcast to, aligned at the last axis.  False: they do not
 * broadcast. */
bool ebb_broadcast_shape(int n, ebb_tensor *const *x, ebb_shape *out);
/* x's strides after broadcasting to that shape: 0 along the broadcast axes. */
void ebb_broadcast_strides(const ebb_tensor *x, const ebb_shape *out, int64_t *strides);
/* Whether a and b have the same shape and both are dense in the same memory order, so that the i-th
 * elements in memory correspond. */
bool ebb_same_memory(const ebb_tensor *a, const ebb_tensor *b);
bool ebb_same_shape(const ebb_tensor *a, const ebb_tensor *b);
/* The offset of the element at a row-major index, in elements, and the element's value. */
int64_t ebb_offset_of(const ebb_tensor *x, int64_t index);
double ebb_value_at(const ebb_tensor *x, int64_t index);
/* The value of the element at an offset. */
double ebb_value_at_offset(const ebb_tensor *x, int64_t at);

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

/* ebb_tensor_new; unless zeroed, the elements are uninitialised. */
ebb_tensor *ebb_persistent_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, bool zeroed, ebb_error *e);
/* Enables debug mode as the environment and the build say (handle.c). */
void ebb_start_debug(ebb_context *c);
/* Memory for a handle, from c->handles. */
ebb_tensor *ebb_handle_take(ebb_context *c);
/* In debug mode: notes the op and the line that created x. */
void ebb_track_origin(ebb_tensor *x, const char *op, const char *site);
/* In debug mode: x gets the origin of another handle.  Otherwise does nothing. */
void ebb_copy_origin(ebb_tensor *x, const ebb_tensor *from);
/* Marks the handles from number first of c->tracked on as stale. */
void ebb_forget_handles(ebb_context *c, int64_t first);
/* Fails t because x is stale.  Returns true. */
bool ebb_fail_stale(ebb_tape *t, const ebb_tensor *x, const char *what, const char *site);

/* Whether x, an argument of a call on t, is stale; then t fails. */
static inline bool ebb_refuses_stale(
	ebb_tape *t, const ebb_tensor *x, const char *what, const char *site)
{
	return x && x->stale && ebb_fail_stale(t, x, what, site);
}

/* The same for an accessor, which has no tape but x's. */
static inline bool ebb_is_stale(const ebb_tensor *x, const char *what)
{
	return x && x->stale && ebb_fail_stale(x->tape, x, what, NULL);
}

/* ebb_describe, which accepts a stale handle. */
const char *ebb_describe_any(const ebb_tensor *x, char *buffer, size_t size);
/* A new handle without a storage, in the list of live handles.  NULL without an error if there is
 * no memory. */
ebb_tensor *ebb_handle_new(
	ebb_tape *t, ebb_dtype dtype, int ndim, const int64_t *shape, int64_t count);
/* A new handle on x's storage, with x's shape and strides: a constant. */
ebb_tensor *ebb_handle_alias(ebb_tape *t, const ebb_tensor *x);
/* The tape's handle for a persistent tensor, or NULL if there is none yet (import.c). */
ebb_tensor *ebb_imported(const ebb_context *c, const ebb_tensor *persistent);
/* A new handle for a persistent tensor, a constant.  NULL without an error if there is no
 * memory. */
ebb_tensor *ebb_import_new(ebb_tape *t, ebb_tensor *persistent);
/* Removes the handles from number first of c->imported on. */
void ebb_forget_imported(ebb_context *c, int64_t first);
/* Drops x's value: x is no longer a reader of its storage. */
void ebb_drop_value(ebb_tensor *x);
/* Whether x, with one hold, is the only reader of its storage, and there is no saver: the user that
 * holds x may overwrite the value. */
static inline bool ebb_is_sole(const ebb_tensor *x)
{
	const ebb_storage *s = x->storage;

	return x->holds == 1 && s->readers == 1 && !s->savers && s->pool &&
	       !(x->flags & (EBB_F_DROPPED | EBB_F_SHOWN | EBB_F_HIDDEN));
}

/* Adds and removes a hold.  Without holds the value is dropped, and a temporary struct is
 * recycled. */
void ebb_last_hold_left(ebb_tensor *x);
static inline void ebb_hold(ebb_tensor *x)
{
	x->holds++;
}
static inline void ebb_unhold(ebb_tensor *x)
{
	assert(x->holds > 0);
	if (--x->holds == 0 && x->tape)
		ebb_last_hold_left(x);
}
/* ebb_grad_of without computing a deferred product. */
ebb_tensor *ebb_accumulated(const ebb_tensor *x);
/* "was released", or "was dropped at the end of scope " (whose path follows) */
const char *ebb_dropped_how(const ebb_tensor *x);
/* The struct of x, temporary and dropped, may be reused for a new handle. */
void ebb_recycle(ebb_tensor *x);

static inline void ebb_note_origin(ebb_tensor *x, const char *op, const char *site)
{
	if (ebb_context_of(x->tape)->debug)
		ebb_track_origin(x, op, site);
}

/* Whether kernels of x's type on x's tape flush subnormal numbers; false for a persistent
 * tensor. */
static inline bool ebb_flushes(const ebb_tensor *x)
{
	return x->tape && (ebb_context_of(x->tape)->flushed >> x->dtype & 1);
}

#endif
