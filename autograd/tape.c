/* tape.c - the recording: its life, its nodes and handles, marks, modes. */
#include "autograd/internal.h"
#include "kernels/kernels.h"

#include <string.h>

const ebb_op ebb_leaf_op = {.name = "leaf"};

enum { FLUSHES_F32 = 1 << EBB_F32, FLUSHES_ALL = 1 << EBB_F32 | 1 << EBB_F64 };

ebb_tape *ebb_tape_new(void)
{
	ebb_tape *t = ebb_alloc_zeroed(sizeof *t);
	char complaint[160];

	if (!t)
		return NULL;
	t->root = ebb_alloc_zeroed(sizeof *t->root + 1);
	if (!t->root) {
		ebb_free(t, sizeof *t);
		return NULL;
	}
	t->root->size = sizeof *t->root + 1;
	t->root->name = t->root->path = (const char *)(t->root + 1);
	t->scope = t->root;
	t->recording = t->training = true;
	t->dtype = EBB_F32;
	t->flushed = FLUSHES_F32;
	ebb_start_debug(t);
	if (ebb_environment_complaint(complaint, sizeof complaint))
		ebb_error_set(&t->error, EBB_INVALID, NULL, "tape_new: %s", complaint);
	return t;
}

/* Lets go of what was recorded from a mark on (or from the start). */
static void forget(ebb_tape *t, int64_t nodes, int64_t live, int64_t grads)
{
	for (int64_t i = nodes; i < t->nnodes; i++)
		ebb_consume(t->nodes[i]);
	for (int64_t i = live; i < t->nlive; i++)
		ebb_drop(t->live[i]);
	for (int64_t i = grads; i < t->ngrads; i++) {
		ebb_drop(t->grads[i].grad);
		t->grads[i].variable->grad = NULL;
		t->grads[i].variable->flags &= (uint16_t)~EBB_F_HAS_GRAD;
	}
	t->nnodes = nodes;
	t->nlive = live;
	t->ngrads = grads;
	t->spare = NULL; /* may lie in the part of the arena that goes */
}

static void clear_adopted(ebb_tape *t)
{
	if (t->nadopted)
		memset(t->adopted_table, 0xff,
			(size_t)t->table_capacity * sizeof *t->adopted_table);
	t->nadopted = 0;
}

void ebb_tape_reset(ebb_tape *t)
{
	if (!t)
		return;
	if (t->nopen)
		ebb_fail(t, EBB_BAD_STATE, t->open[t->nopen - 1].site,
			"scope_begin: the tape was reset while this scope was open");
	forget(t, 0, 0, 0);
	clear_adopted(t);
	ebb_arena_rewind(&t->arena, 0);
	ebb_arena_rewind(&t->names, 0);
	ebb_forget_handles(t, 0);
	t->scope = t->root;
	t->nopen = t->unopened = 0;
	t->nepochs = 0;
	t->frame = NULL;
	t->trace = NULL;
	t->ntraced = 0;
	t->generation++;
}

void ebb_tape_free(ebb_tape *t)
{
	if (!t)
		return;
	ebb_tape_reset(t);
	ebb_arena_free(&t->arena);
	ebb_arena_free(&t->kept);
	ebb_arena_free(&t->names);
	ebb_pool_free(t);
	ebb_scopes_free(t->root);
	ebb_free(t->nodes, (size_t)t->nodes_capacity * sizeof *t->nodes);
	ebb_free(t->live, (size_t)t->live_capacity * sizeof *t->live);
	ebb_free(t->adopted, (size_t)t->adopted_capacity * sizeof *t->adopted);
	ebb_free(t->adopted_table, (size_t)t->table_capacity * sizeof *t->adopted_table);
	ebb_free(t->grads, (size_t)t->grads_capacity * sizeof *t->grads);
	ebb_free(t->traced, (size_t)t->traced_capacity * sizeof *t->traced);
	ebb_free(t->tracked, (size_t)t->tracked_capacity * sizeof *t->tracked);
	ebb_free(t->open, (size_t)t->open_capacity * sizeof *t->open);
	ebb_free(t->epochs, (size_t)t->epochs_capacity * sizeof *t->epochs);
	ebb_free(t, sizeof *t);
}

/* ---- Marks ----------------------------------------------------------------------------------- */

static bool same_place(const ebb_mark *a, const ebb_mark *b)
{
	return a->arena == b->arena && a->live == b->live && a->grads == b->grads &&
	       a->adopted == b->adopted && a->tracked == b->tracked;
}

ebb_mark ebb_tape_mark(const ebb_tape *t)
{
	ebb_mark m = {0};
	int64_t k;

	/* Inside a gradient, structs are handed out again: such a mark never holds. */
	if (!t || t->frame)
		return m;
	m.tape = t;
	m.nodes = t->nnodes;
	m.live = t->nlive;
	m.adopted = t->nadopted;
	m.grads = t->ngrads;
	m.arena = ebb_arena_mark(&t->arena);
	m.handles = ebb_arena_mark(t->handles);
	m.tracked = t->ntracked;
	m.generation = t->generation;
	m.scope = t->nopen ? t->open[t->nopen - 1].serial : 0;
	/* The start of an epoch is the end of the one before. */
	for (k = t->nepochs - 1; k >= 0 && same_place(&m, &t->epochs[k].start); k--)
		;
	m.epoch = k < 0 ? 0 : t->epochs[k].number;
	return m;
}

/* How many epochs are left when the tape is rewound to m; -1 if m is of a part that has been
 * forgotten. */
static int64_t epochs_before(const ebb_tape *t, const ebb_mark *m)
{
	int64_t k = t->nepochs;
	const ebb_mark *next;

	if (m->tape != t || m->generation != t->generation ||
		m->scope != (t->nopen ? t->open[t->nopen - 1].serial : 0))
		return -1;
	while (k > 0 && t->epochs[k - 1].number != m->epoch)
		k--;
	if (k == 0 && m->epoch != 0)
		return -1;
	if (k == t->nepochs)
		return k;
	next = &t->epochs[k].start;
	return m->arena > next->arena || m->live > next->live || m->grads > next->grads ||
	                       m->adopted > next->adopted || m->tracked > next->tracked
	               ? -1
	               : k;
}

static void table_insert(ebb_tape *t, int64_t k);

/* False: the tape has failed, and nothing is forgotten. */
static bool rewind_to(ebb_tape *t, ebb_mark m)
{
	int64_t epochs = epochs_before(t, &m);

	if (epochs < 0 || t->frame) {
		ebb_fail(t, EBB_BAD_STATE, NULL,
			"rewind: the mark is of a recording that was reset or rewound, or of "
			"another tape or scope");
		return false;
	}
	if (!ebb_grow(&t->epochs, &t->epochs_capacity, epochs + 1, sizeof *t->epochs)) {
		ebb_no_memory(t, NULL, "an epoch of the recording", sizeof *t->epochs);
		return false;
	}
	t->epochs[epochs] = (ebb_epoch){++t->rewinds, m};
	t->nepochs = epochs + 1;
	/* Handles of stored tensors made before the mark may have become leaves after it. */
	for (int64_t i = 0; i < m.adopted; i++)
		if (t->adopted[i]->node >= m.nodes)
			t->adopted[i]->node = -1;
	forget(t, m.nodes, m.live, m.grads);
	if (m.adopted < t->nadopted) {
		memset(t->adopted_table, 0xff,
			(size_t)t->table_capacity * sizeof *t->adopted_table);
		t->nadopted = m.adopted;
		for (int64_t i = 0; i < t->nadopted; i++)
			table_insert(t, i);
	}
	ebb_arena_rewind(&t->arena, m.arena);
	ebb_forget_handles(t, m.tracked);
	return true;
}

void ebb_rewind(ebb_tape *t, ebb_mark m)
{
	if (t)
		rewind_to(t, m);
}

bool ebb_rewind_keeping(ebb_tape *t, ebb_mark m, int n, ebb_tensor **x)
{
	ebb_storage *memory = NULL;
	ebb_tensor *kept = NULL;
	bool ok = true;

	if (!m.tape)
		return true;
	if (n) {
		memory = ebb_pool_take(t, (size_t)n * sizeof *kept);
		if (!memory)
			ebb_no_memory(t, NULL, "results", (size_t)n * sizeof *kept);
		kept = memory ? ebb_storage_data(memory) : NULL;
		ok = memory != NULL;
	}
	for (int i = 0; kept && i < n; i++) {
		if (!x[i])
			continue;
		kept[i] = *x[i];
		ebb_ref(kept[i].storage);
	}
	ok = rewind_to(t, m) && ok;
	for (int i = 0; i < n; i++) {
		ebb_tensor *y = NULL;

		if (kept && x[i]) {
			y = ok ? ebb_handle_new(t, (ebb_dtype)kept[i].dtype, kept[i].ndim,
					 kept[i].shape, kept[i].count)
			       : NULL;
			if (y) {
				memcpy(y->strides, kept[i].strides, sizeof y->strides);
				y->flags |= kept[i].flags &
				            (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST |
						    EBB_F_COMPUTED);
				y->storage = kept[i].storage;
				y->data = kept[i].data;
				y->name = kept[i].name;
				ebb_copy_origin(y, x[i]);
			} else {
				if (ok)
					ebb_no_memory(t, NULL, "a tensor", sizeof *y);
				ok = false;
				ebb_unref(kept[i].storage);
			}
		}
		x[i] = y;
	}
	for (int i = 0; !ok && i < n; i++)
		x[i] = NULL;
	if (memory)
		ebb_unref(memory);
	return ok;
}

/* ---- Modes ----------------------------------------------------------------------------------- */

bool ebb_set_recording(ebb_tape *t, bool on)
{
	bool was = t && t->recording;

	if (t)
		t->recording = on;
	return was;
}

bool ebb_set_training(ebb_tape *t, bool on)
{
	bool was = t && t->training;

	if (t)
		t->training = on;
	return was;
}

ebb_dtype ebb_set_default_dtype(ebb_tape *t, ebb_dtype dtype)
{
	ebb_dtype was = t ? t->dtype : EBB_F32;

	if (!t)
		return was;
	if (dtype != EBB_F32 && dtype != EBB_F64)
		ebb_fail(t, EBB_BAD_DTYPE, NULL, "set_default_dtype: F32 or F64 compute, got %s",
			ebb_dtype_name(dtype));
	else
		t->dtype = dtype;
	return was;
}

ebb_flush ebb_flush_subnormal(const ebb_tape *t)
{
	if (!t || t->flushed == FLUSHES_F32)
		return EBB_FLUSH_F32;
	return t->flushed ? EBB_FLUSH_ALWAYS : EBB_FLUSH_NEVER;
}

ebb_flush ebb_set_flush_subnormal(ebb_tape *t, ebb_flush flush)
{
	static const uint8_t flushed[] = {[EBB_FLUSH_NEVER] = 0,
		[EBB_FLUSH_ALWAYS] = FLUSHES_ALL,
		[EBB_FLUSH_F32] = FLUSHES_F32};
	ebb_flush was = ebb_flush_subnormal(t);

	if (t && (unsigned)flush > EBB_FLUSH_F32)
		ebb_fail(t, EBB_INVALID, NULL,
			"set_flush_subnormal: %d, expected EBB_FLUSH_NEVER, EBB_FLUSH_ALWAYS or "
			"EBB_FLUSH_F32",
			(int)flush);
	else if (t)
		t->flushed = flushed[flush];
	return was;
}

bool ebb_is_recording(const ebb_tape *t)
{
	return t && t->recording;
}

bool ebb_is_training(const ebb_tape *t)
{
	return t && t->training;
}

ebb_dtype ebb_default_dtype(const ebb_tape *t)
{
	return t ? t->dtype : EBB_F32;
}

void ebb_seed(ebb_tape *t, uint64_t seed)
{
	if (t)
		t->random = (ebb_random){seed, 0};
}

ebb_random ebb_random_state(const ebb_tape *t)
{
	return t ? t->random : (ebb_random){0, 0};
}

void ebb_set_random_state(ebb_tape *t, ebb_random r)
{
	if (t)
		t->random = r;
}

ebb_random ebb_random_next(ebb_tape *t)
{
	ebb_random r = ebb_random_state(t);

	if (t)
		t->random.stream++;
	return r;
}

ebb_memory ebb_memory_of(const ebb_tape *t)
{
	ebb_memory m = {0};

	if (t)
		m = (ebb_memory){t->pool.reserved + t->pool.heap.reserved + t->arena.reserved +
					 t->kept.reserved + t->names.reserved,
			t->pool.in_use, t->pool.peak, t->nnodes};
	return m;
}

void ebb_memory_reset_peak(ebb_tape *t)
{
	if (t)
		t->pool.peak = t->pool.in_use;
}

/* ---- Stored tensors on this tape ------------------------------------------------------------- */

static uint64_t hash_of(const void *p)
{
	return ((uint64_t)(uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

static void table_insert(ebb_tape *t, int64_t k)
{
	uint64_t mask = (uint64_t)t->table_capacity - 1, at = hash_of(t->adopted[k]->stored) & mask;

	while (t->adopted_table[at] >= 0)
		at = (at + 1) & mask;
	t->adopted_table[at] = (int32_t)k;
}

ebb_tensor *ebb_adopted(const ebb_tape *t, const ebb_tensor *stored)
{
	uint64_t mask, at;

	if (!t->nadopted)
		return NULL;
	mask = (uint64_t)t->table_capacity - 1;
	for (at = hash_of(stored) & mask; t->adopted_table[at] >= 0; at = (at + 1) & mask)
		if (t->adopted[t->adopted_table[at]]->stored == stored)
			return t->adopted[t->adopted_table[at]];
	return NULL;
}

static bool table_reserve(ebb_tape *t)
{
	int64_t wanted = t->table_capacity ? t->table_capacity * 2 : 128;
	int32_t *table;

	if (!ebb_grow(&t->adopted, &t->adopted_capacity, t->nadopted + 1, sizeof *t->adopted))
		return false;
	if (2 * (t->nadopted + 1) <= t->table_capacity)
		return true;
	table = ebb_alloc((size_t)wanted * sizeof *table);
	if (!table)
		return false;
	ebb_free(t->adopted_table, (size_t)t->table_capacity * sizeof *table);
	memset(table, 0xff, (size_t)wanted * sizeof *table);
	t->adopted_table = table;
	t->table_capacity = wanted;
	for (int64_t i = 0; i < t->nadopted; i++)
		table_insert(t, i);
	return true;
}

static ebb_tensor *adopt_new(ebb_tape *t, ebb_tensor *stored, const char *site)
{
	ebb_tensor *x;

	if (!table_reserve(t))
		return ebb_no_memory(t, site, "a stored tensor's entry", sizeof x);
	/* It outlives the sweep that first meets it: never a recycled struct, nor one in the
	 * list of a frame. */
	x = ebb_handle_take(t);
	if (!x)
		return ebb_no_memory(t, site, "a tensor", sizeof *x);
	*x = *stored;
	x->tape = t;
	x->node = -1;
	x->holds = 0;
	x->grad = NULL;
	x->stored = stored;
	x->flags = (uint16_t)((stored->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST)) |
			      EBB_F_ADOPTED);
	t->adopted[t->nadopted] = x;
	table_insert(t, t->nadopted++);
	return x;
}

ebb_tensor *ebb_adopt(ebb_tape *t, ebb_tensor *stored, const char *site)
{
	ebb_tensor *x;

	if (stored->fault && stored->fault->status != EBB_OK) {
		ebb_fail_as(t, stored->fault);
		return NULL;
	}
	x = ebb_adopted(t, stored);
	if (!x && !(x = adopt_new(t, stored, site)))
		return NULL;
	if (x->node < 0 && t->recording && (stored->flags & EBB_F_WANTS_GRAD)) {
		ebb_node *n = ebb_push_node(t, &ebb_leaf_op, site, 0, 0);

		if (!n)
			return NULL;
		n->out = x;
		x->node = n->index;
	}
	return x;
}

ebb_tensor *ebb_usable(ebb_tape *t, ebb_tensor *x, const char *what, int k, const char *site)
{
	char text[240];

	if (!x)
		return ebb_fail(t, EBB_INVALID, site, "%s: input %d is NULL", what, k);
	if (ebb_refuses_stale(t, x, what, site))
		return NULL;
	if (x->tape != t) {
		if (x->tape)
			return ebb_fail(t, EBB_INVALID, site,
				"%s: input %d (%s) belongs to another tape", what, k,
				ebb_describe(x, text, sizeof text));
		return ebb_adopt(t, x, site);
	}
	if (x->flags & EBB_F_HIDDEN)
		return ebb_fail(t, EBB_BAD_STATE, site,
			"%s: the gradient reads input %d (%s) without declaring it in .reads", what,
			k, ebb_describe(x, text, sizeof text));
	if (x->flags & EBB_F_DROPPED)
		return ebb_fail(t, EBB_BAD_STATE, site, "%s: the value of input %d (%s) %s%s", what,
			k, ebb_describe(x, text, sizeof text), ebb_dropped_how(x),
			x->dropped_by ? x->dropped_by->path : "");
	return x;
}

/* ---- Leaves ---------------------------------------------------------------------------------- */

/* Another handle on x's memory, without its history. */
static ebb_tensor *alias(ebb_tape *t, ebb_tensor *x, const char *what, const char *site)
{
	ebb_tensor *y;

	if (ebb_failed(t))
		return NULL;
	if (t->in_callback)
		return ebb_fail(t, EBB_BAD_STATE, site,
			"%s: an observer may not run ops on the tape it watches", what);
	if (!(x = ebb_usable(t, x, what, 0, site)))
		return NULL;
	y = ebb_handle_new(t, (ebb_dtype)x->dtype, x->ndim, x->shape, x->count);
	if (!y)
		return ebb_no_memory(t, site, "a tensor", sizeof *y);
	memcpy(y->strides, x->strides, sizeof y->strides);
	y->flags |= x->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST | EBB_F_COMPUTED);
	y->storage = x->storage;
	y->data = x->data;
	ebb_ref(y->storage);
	ebb_note_origin(y, what, site);
	return y;
}

ebb_tensor *(ebb_detach)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return alias(t, x, "detach", site);
}

ebb_tensor *(ebb_variable)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	char text[240];
	ebb_node *n;
	ebb_tensor *y;

	if (!ebb_failed(t) && x && x->dtype != EBB_F32 && x->dtype != EBB_F64)
		return ebb_fail(t, EBB_BAD_DTYPE, site,
			"variable: only F32 and F64 are differentiated, got %s",
			ebb_describe(x, text, sizeof text));
	y = alias(t, x, "variable", site);
	if (!y || !(n = ebb_push_node(t, &ebb_leaf_op, site, 0, 0)))
		return NULL;
	y->flags = (uint16_t)((y->flags & ~(EBB_F_COMPUTED | EBB_F_TEMPORARY)) | EBB_F_LEAF);
	n->out = y;
	y->node = n->index;
	return y;
}
