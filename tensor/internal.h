/*
 * internal.h - tensors, storages and memory, for tensor/, autograd/, autograd/watching/,
 * autograd/transforms/, archive/, ops/ and training/ only.
 *
 * A tape is to its tensors an ebb_context: the first error, the pool that their data comes from,
 * the arena that their structs lie in.  The context is the first member of struct ebb_tape.
 */
#ifndef EBB_TENSOR_INTERNAL_H
#define EBB_TENSOR_INTERNAL_H

#include <assert.h>

#include "tensor/deferred.h"
#include "tensor/memory.h"

/* ---- The life of a value (life.c) ------------------------------------------------------------ */

/*
 * A storage is one value, which handles (views too), accumulators and nodes share.  On a pool it counts
 * them: readers may read it at any time, savers are nodes whose gradients will.  Its value is
 *	present: in memory;
 *	absent: its node, the maker, can compute it again.  A value with a maker becomes absent when
 *		its last reader has gone, and keeps its memory for a saver only once it has no maker;
 *	product: the sum of outer products of its deferred, in memory that is not written to yet.
 * ebb_present is the door to a value that is to be read, ebb_overwrite to one that is to be written over;
 * ebb_is_sole says whether a handle's owner alone would notice.  Without readers and savers the storage
 * itself goes.  A storage without a pool is a persistent tensor's: nobody counts who holds it, because several
 * threads may read it at once.
 */
typedef enum ebb_presence { EBB_PRESENT, EBB_ABSENT, EBB_PRODUCT } ebb_presence;

struct ebb_storage {
	char *data;   /* NULL while absent */
	size_t bytes; /* capacity of the data */
	ebb_pool *pool;
	ebb_block *block;
	int32_t readers, savers;
	uint32_t version; /* raised when overwritten */
	uint8_t presence;
	uint8_t size_class; /* of its memory, or EBB_ON_HEAP */
	bool handed_out;    /* its user may read it at any time: never a product again */
	bool made;          /* a sweep made it again, and is one of its readers */
	union {
		struct ebb_node *maker;        /* on a pool: that can compute it again, or NULL */
		struct ebb_deferred *deferred; /* without one: room for its deferred, or NULL */
	} of;
	ebb_storage *next; /* of those that sweeps made again, or of spare ones */
};

enum { EBB_DESCRIPTORS = 32 };
/* Each descriptor is a cache line. */
struct ebb_descriptors {
	ebb_storage storages[EBB_DESCRIPTORS];
	ebb_block blocks[EBB_DESCRIPTORS];
	ebb_descriptors *next;
	void *memory; /* that this lies in, from the first line on */
};

/* A value with one reader, not written to.  NULL without an error if there is no memory. */
ebb_storage *ebb_pool_take(ebb_pool *p, size_t bytes);
bool ebb_add_descriptors(ebb_pool *p);
void ebb_pool_free(ebb_pool *p);
/* A persistent tensor's, with a size of its own. */
ebb_storage *ebb_storage_new(size_t bytes);
void ebb_storage_free(ebb_storage *s);
/* A value in use needs but so many bytes from now on. */
void ebb_storage_trim(ebb_storage *s, size_t bytes);

/* What the two counts call when one falls to 0. */
void ebb_last_reader_left(ebb_storage *s);
void ebb_last_saver_left(ebb_storage *s);

static inline void *ebb_storage_data(ebb_storage *s)
{
	return s->data;
}

static inline void ebb_ref(ebb_storage *s)
{
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

/* s's value is in memory afterwards.  False: its tape has failed; a value that is not absent
 * always can be. */
bool ebb_make_present(ebb_storage *s);
static inline bool ebb_present(ebb_storage *s)
{
	return s->presence == EBB_PRESENT || ebb_make_present(s);
}

/* From here on s has another value, that its caller writes; a product need not be computed
 * before. */
void ebb_overwrite(ebb_storage *s);
/* s stays in memory for its savers: its maker cannot, or need not, compute it again. */
void ebb_keep(ebb_storage *s);
/* n can compute again what s, a new value of its own, holds. */
void ebb_set_maker(ebb_storage *s, struct ebb_node *n);
/* Memory for an absent value that its maker is about to compute.  False: there is none. */
bool ebb_storage_refill(ebb_storage *s);

/* ---- Checking the counts (check.c) ----------------------------------------------------------- */

/* Who keeps each storage of a pool, as counted by whoever knows the handles and the nodes. */
typedef struct ebb_tally {
	ebb_pool *pool;
	int64_t n;
	int32_t *readers, *savers; /* the counts that the storages had */
} ebb_tally;
/* False: no memory. */
bool ebb_tally_begin(ebb_tally *y, ebb_pool *p);
void ebb_tally_reader(ebb_tally *y, ebb_storage *s);
void ebb_tally_saver(ebb_tally *y, ebb_storage *s);
/* Frees y.  False: e says what does not agree. */
bool ebb_tally_end(ebb_tally *y, ebb_error *e);

/* ---- Sums of outer products (product.c) ------------------------------------------------------ */

/* s, a persistent gradient that was not handed out, becomes the product a^T b of sizes
 * {rows,out,in}, of which it keeps copies.  False: no memory for them, and s is as it was. */
bool ebb_keep_product(ebb_storage *s, ebb_dtype dtype, const int64_t sizes[3], const void *a,
	const void *b, bool flush);
/* rows 0 unless s is a product. */
ebb_outer_product ebb_outer_product_of(const ebb_storage *s);
/* The door's own. */
void ebb_compute_product(ebb_storage *s);
/* The values of a product, for an observer, into memory that it does not use: s stays a product. */
void ebb_write_product(ebb_storage *s);
/* Before its user gets a persistent gradient, who may keep it or its address: it is present from
 * now on. */
void ebb_hand_out(ebb_storage *s);
void ebb_free_deferred(ebb_storage *s);

/* ---- What a tape is to its tensors ----------------------------------------------------------- */

/* Where a failure happens, for its message: inside a gradient, the call site of its node and the
 * op (NULL: the sweep itself). */
typedef struct ebb_place {
	const char *site, *gradient_of;
} ebb_place;

typedef struct ebb_context {
	ebb_error error;
	const ebb_place *place; /* NULL outside every gradient */
	const char *scope;      /* the path of the open scope; "" is the outermost */
	bool debug;
	uint8_t flushed; /* 1 << dtype of each whose subnormal numbers kernels flush */
	ebb_dtype dtype; /* the default */
	ebb_random random;
	uint16_t born;     /* flags of new handles */
	ebb_tensor **live; /* handles whose value may be readable, in order of making */
	int64_t nlive, live_capacity;
	ebb_tensor *spare; /* recycled structs, through grad */
	ebb_arena arena;
	ebb_arena kept;       /* handles in debug mode */
	ebb_tensor **tracked; /* in debug mode: the handles that are not stale, in order */
	int64_t ntracked, tracked_capacity;
	ebb_arena *handles;    /* where handles lie: kept or arena */
	ebb_tensor **imported; /* handles of persistent tensors */
	int64_t nimported, imported_capacity;
	int32_t *imported_table; /* open addressing over imported[]; -1 is empty */
	int64_t table_capacity;
	ebb_arena names; /* a tensor older than a mark may be named after it */
	ebb_pool pool;
} ebb_context;

/* A zeroed context begins; make: the pool's. */
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

/* ebb_failed of a tape, without a call: for what every op asks. */
static inline bool ebb_has_failed(const ebb_tape *t)
{
	return !t || ebb_context_read(t)->error.status != EBB_OK;
}
/* "site: [gradient of op: ][op: ]text[ in scope]"; op may be NULL. */
void ebb_fail_v(ebb_tape *t, ebb_status status, const char *site, const char *op,
	const char *format, va_list ap) EBB_PRINTF(5, 0);
/* The tape fails for a reason that is known already. */
void ebb_fail_as(ebb_tape *t, const ebb_error *cause);
/* The sticky error for a failed allocation. */
ebb_tensor *ebb_no_memory(ebb_tape *t, const char *site, const char *what, size_t bytes);

/* ---- Tensors (tensor.c, layout.c) ------------------------------------------------------------ */

enum {
	EBB_F_DROPPED = 1 << 0,    /* the user may not read it any more */
	EBB_F_HIDDEN = 1 << 1,     /* inside a vjp that did not declare to read it */
	EBB_F_LEAF = 1 << 2,       /* a variable */
	EBB_F_WANTS_GRAD = 1 << 3, /* a persistent tensor that wants a gradient */
	EBB_F_HAS_GRAD = 1 << 4,   /* its gradient has been deposited since it was zeroed */
	EBB_F_IMPORTED = 1 << 5,   /* the tape's handle for a persistent tensor */
	EBB_F_SWEEP = 1 << 6,      /* made by a sweep */
	/* made by a sweep that does not record: its struct may be reused */
	EBB_F_TEMPORARY = 1 << 7,
	EBB_F_LISTED =
		1 << 8, /* in the list of live handles, or of kept gradients: one of its holds */
	EBB_F_DENSE = 1 << 9,
	EBB_F_ROWS = 1 << 10,
	EBB_F_CHANNELS_LAST = 1 << 11,
	EBB_F_COMPUTED = 1 << 12, /* the result of an op */
	EBB_F_SHOWN = 1 << 13     /* dropped, but readable inside the vjp that declared it */
};

struct ebb_tensor {
	ebb_tape *tape; /* NULL: persistent */
	ebb_storage *storage;
	char *data;
	int64_t count;
	int32_t node; /* that computed it, or -1 */
	uint16_t flags;
	uint8_t dtype, ndim;
	int64_t offset; /* of data in the storage, in bytes */
	/* who keeps the value readable through this handle: the list of live ones, accumulators,
	 * gradients that are given and not added yet */
	int32_t holds;
	bool stale;  /* in debug mode: of a part that was reset or rewound */
	int8_t part; /* shown to observers: 1 + the part of its node that it is the value of */
	ebb_tensor *grad;
	const ebb_tensor *persistent; /* behind an imported handle */
	const ebb_error *fault; /* of the store that a persistent tensor belongs to, or NULL */
	const char *dropped_by; /* the path of the scope whose end dropped it, or NULL */
	char *name;
	int64_t shape[EBB_MAX_DIMS], strides[EBB_MAX_DIMS];
};

/* Computes, and is differentiated. */
static inline bool ebb_is_real(const ebb_tensor *x)
{
	return ebb_dtypes[x->dtype].real;
}

/* Product of the sizes, or -1 if one is negative or the bytes overflow. */
int64_t ebb_checked_count(ebb_shape shape, ebb_dtype dtype);
/* Which of DENSE, ROWS, CHANNELS_LAST hold. */
uint16_t ebb_layout_of(int ndim, const int64_t *shape, const int64_t *strides);
void ebb_strides_of(ebb_order order, int ndim, const int64_t *shape, int64_t *strides);
/* Dense strides in the same order of axes as the given ones. */
void ebb_strides_like(int ndim, const int64_t *shape, const int64_t *like, int64_t *strides);
/* That of a result that is x moved about: channels last if x's axes are in that order, in a view
 * with gaps too; else rows. */
ebb_order ebb_order_kept(const ebb_tensor *x);
/* Sizes before, of, and after an axis of a row-major tensor. */
typedef struct ebb_around {
	int64_t outer, len, inner;
} ebb_around;
ebb_around ebb_sizes_around(const ebb_tensor *x, int axis);
/* Where a dense I64 index first leaves [0, len); -1: nowhere. */
int64_t ebb_first_outside(const ebb_tensor *index, int64_t len);
/* The common shape of n tensors, aligned from the last axis; false if they do not fit. */
bool ebb_broadcast_shape(int n, ebb_tensor *const *x, ebb_shape *out);
/* x's strides as a tensor of that shape: 0 along axes that stretch. */
void ebb_broadcast_strides(const ebb_tensor *x, const ebb_shape *out, int64_t *strides);
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
ebb_tensor *ebb_persistent_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, bool zeroed, ebb_error *e);
/* Debug mode as the environment says (handle.c). */
void ebb_start_debug(ebb_context *c);
/* Memory for a handle, from c->handles. */
ebb_tensor *ebb_handle_take(ebb_context *c);
/* In debug mode: the op and the line that made x. */
void ebb_track_origin(ebb_tensor *x, const char *op, const char *site);
/* In debug mode, else nothing: x has the origin of another handle. */
void ebb_copy_origin(ebb_tensor *x, const ebb_tensor *from);
/* The handles from number first of c->tracked on become stale. */
void ebb_forget_handles(ebb_context *c, int64_t first);
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
/* Another handle on x's memory: a constant of x's shape. */
ebb_tensor *ebb_handle_alias(ebb_tape *t, const ebb_tensor *x);
/* The tape's handle for a persistent tensor if there is one (import.c); a new one, a constant,
 * or NULL without memory.  Those from number first on are forgotten. */
ebb_tensor *ebb_imported(const ebb_context *c, const ebb_tensor *persistent);
ebb_tensor *ebb_import_new(ebb_tape *t, ebb_tensor *persistent);
void ebb_forget_imported(ebb_context *c, int64_t first);
/* Nobody may read x's value through x any more. */
void ebb_drop_value(ebb_tensor *x);
/* Whether x is all that keeps its value readable, with one hold: whose it is may write over it. */
static inline bool ebb_is_sole(const ebb_tensor *x)
{
	const ebb_storage *s = x->storage;

	return x->holds == 1 && s->readers == 1 && !s->savers && s->pool &&
	       !(x->flags & (EBB_F_DROPPED | EBB_F_SHOWN | EBB_F_HIDDEN));
}

/* One hold more, and one less: the last one drops the value, and hands out the struct again if it
 * may. */
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
/* ebb_grad_of, for the engine's own use: it may not be computed yet. */
ebb_tensor *ebb_accumulated(const ebb_tensor *x);
/* "was released", or "was dropped at the end of scope " (whose path follows) */
const char *ebb_dropped_how(const ebb_tensor *x);
/* x, temporary and dropped: its struct may be handed out again. */
void ebb_recycle(ebb_tensor *x);

static inline void ebb_note_origin(ebb_tensor *x, const char *op, const char *site)
{
	if (ebb_context_of(x->tape)->debug)
		ebb_track_origin(x, op, site);
}

/* Whether kernels of x's type on x's tape flush subnormal numbers; not those on persistent
 * tensors. */
static inline bool ebb_flushes(const ebb_tensor *x)
{
	return x->tape && (ebb_context_of(x->tape)->flushed >> x->dtype & 1);
}

#endif
