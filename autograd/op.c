/* op.c - one call of an op: checking its inputs, creating its result, recording it as a node. */
#include "autograd/internal.h"

#include <string.h>

/* ---- Before the computation ------------------------------------------------------------------ */

ebb_call ebb_begin(ebb_tape *t, const ebb_op *op, const char *site, int nin, ebb_tensor **in)
{
	ebb_call c = {.op = op, .site = site, .nin = nin, .in = in};

	if (ebb_has_failed(t))
		return c;
	if (t->in_callback) {
		ebb_fail(t, EBB_BAD_STATE, site,
			"%s: an observer may not run ops on the tape it watches", op->name);
		return c;
	}
	for (int k = 0; k < nin; k++) {
		int known = k < EBB_MAX_READS ? k : EBB_MAX_READS - 1;
		ebb_tensor *x = in[k];
		uint16_t order = ebb_order_flag(op->takes[known]);

		if (!x && (op->optional & EBB_IN(known)))
			continue;
		if (!x || x->tape != t || (x->flags & (EBB_F_DROPPED | EBB_F_HIDDEN))) {
			x = in[k] = ebb_usable(t, x, op->name, k, site);
			if (!x)
				return c;
		}
		if (order && !(x->flags & order)) {
			x = in[k] = ebb_linear_dense(t, x, op->takes[known], site);
			if (!x)
				return c;
		}
		if (t->trace)
			ebb_trace_input(t, x);
		if (x->node >= 0 && t->recording) {
			if (!op->vjp) {
				ebb_fail(t, EBB_INVALID, site,
					"%s: has no derivative, but input %d requires a gradient",
					op->name, k);
				return c;
			}
			c.tracked = true;
		}
	}
	if (t->ntimers)
		c.start = t->watch->clock();
	c.t = t;
	return c;
}

static ebb_tensor *new_storage(
	ebb_call *c, ebb_dtype dtype, int ndim, const int64_t *shape, int64_t count)
{
	size_t bytes = (size_t)count * ebb_dtype_size(dtype);
	ebb_tensor *y = ebb_handle_new(c->t, dtype, ndim, shape, count);
	char text[200];

	if (y)
		y->storage = ebb_pool_take(&c->t->ctx.pool, bytes);
	if (!y || !y->storage) {
		ebb_shape s = {ndim, {0}};

		memcpy(s.dims, shape, (size_t)ndim * sizeof *shape);
		return ebb_call_fail(c, EBB_NO_MEMORY,
			"no memory for a result of shape %s (%zu bytes)",
			ebb_shape_text(s, text, sizeof text), bytes);
	}
	y->data = ebb_storage_data(y->storage);
	ebb_note_origin(y, c->op->name, c->site);
	return y;
}

/* The number of elements of that shape; -1: the call has failed. */
static int64_t count_of(ebb_call *c, ebb_shape shape, ebb_dtype dtype)
{
	int64_t count = ebb_checked_count(shape, dtype);
	char text[200];

	if (count < 0)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"a result of %d axes, shape %s, has a negative size or is too large",
			shape.ndim,
			shape.ndim >= 0 && shape.ndim <= EBB_MAX_DIMS
				? ebb_shape_text(shape, text, sizeof text)
				: "?");
	return count;
}

ebb_tensor *ebb_new(ebb_call *c, ebb_dtype dtype, ebb_shape shape, ebb_order order)
{
	int64_t count;
	ebb_tensor *y;

	if (!c->t)
		return NULL;
	if (dtype == EBB_DEFAULT)
		dtype = c->t->ctx.dtype;
	count = count_of(c, shape, dtype);
	if (count < 0)
		return NULL;
	y = new_storage(c, dtype, shape.ndim, shape.dims, count);
	if (!y)
		return NULL;
	ebb_strides_of(order, y->ndim, y->shape, y->strides);
	y->flags |= ebb_layout_of(y->ndim, y->shape, y->strides);
	return y;
}

ebb_tensor *ebb_new_like(ebb_call *c, const ebb_tensor *x)
{
	ebb_tensor *y;

	if (!c->t || !x)
		return NULL;
	y = new_storage(c, (ebb_dtype)x->dtype, x->ndim, x->shape, x->count);
	if (!y)
		return NULL;
	if (x->flags & EBB_F_DENSE) {
		for (int i = 0; i < x->ndim; i++)
			y->strides[i] = x->strides[i];
		y->flags |= x->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST);
	} else {
		ebb_strides_like(x->ndim, x->shape, x->strides, y->strides);
		y->flags |= ebb_layout_of(y->ndim, y->shape, y->strides);
	}
	return y;
}

/* Whether the result of this call may overwrite input k: the call is the only reader of the input's
 * memory, and neither a gradient nor a run of a checkpoint will read the input later. */
static bool is_last_reader(const ebb_call *c, int k)
{
	const ebb_tape *t = c->t;
	const ebb_tensor *x = c->in[k];

	if (c->tracked || t->anomaly || t->frame || x->node >= 0 || ebb_is_given(t, x))
		return false;
	for (int i = 0; i < c->nin; i++)
		if (i != k && c->in[i] == x)
			return false;
	return (x->flags & EBB_F_COMPUTED) && (x->flags & EBB_F_DENSE) && ebb_is_sole(x);
}

/* A result in the memory of input k; only if is_last_reader(c, k). */
static ebb_tensor *take_over(ebb_call *c, int k, ebb_shape shape, const int64_t *strides)
{
	ebb_tensor *x = c->in[k], *y = ebb_new_view(c, x, shape, strides, 0);

	if (y)
		ebb_drop_value(x);
	return y;
}

ebb_tensor *ebb_new_over(ebb_call *c, int k)
{
	if (!c->t || !c->in[k])
		return NULL;
	if (!is_last_reader(c, k))
		return ebb_new_like(c, c->in[k]);
	return take_over(c, k, ebb_shape_of(c->in[k]), c->in[k]->strides);
}

ebb_tensor *ebb_new_within(ebb_call *c, int k, ebb_shape shape, ebb_order order)
{
	int64_t strides[EBB_MAX_DIMS], count;
	ebb_tensor *y;

	if (!c->t || !c->in[k])
		return NULL;
	count = ebb_checked_count(shape, ebb_dtype_of(c->in[k]));
	if (count < 0 || count > c->in[k]->count || !is_last_reader(c, k))
		return ebb_new(c, ebb_dtype_of(c->in[k]), shape, order);
	ebb_strides_of(order, shape.ndim, shape.dims, strides);
	y = take_over(c, k, shape, strides);
	c->shrinks = y && y->data == ebb_storage_data(y->storage);
	return y;
}

ebb_tensor *ebb_new_view(
	ebb_call *c, ebb_tensor *x, ebb_shape shape, const int64_t *strides, int64_t offset)
{
	int64_t count;
	ebb_tensor *y;

	if (!c->t || !x)
		return NULL;
	count = count_of(c, shape, (ebb_dtype)x->dtype);
	if (count < 0)
		return NULL;
	y = ebb_handle_new(c->t, (ebb_dtype)x->dtype, shape.ndim, shape.dims, count);
	if (!y)
		return ebb_call_fail(c, EBB_NO_MEMORY, "no memory for a tensor");
	memcpy(y->strides, strides, (size_t)shape.ndim * sizeof *strides);
	y->flags |= ebb_layout_of(y->ndim, y->shape, y->strides);
	y->storage = x->storage;
	y->offset = x->offset;
	if (count)
		y->offset += offset * (int64_t)ebb_dtype_size((ebb_dtype)x->dtype);
	y->data = x->data + (y->offset - x->offset);
	ebb_ref(y->storage);
	ebb_note_origin(y, c->op->name, c->site);
	return y;
}

void *ebb_scratch(ebb_call *c, size_t size)
{
	if (!c->t || !size)
		return NULL;
	for (int i = 0; i < EBB_MAX_SAVED; i++)
		if (!c->scratch[i]) {
			c->scratch[i] = ebb_pool_take(&c->t->ctx.pool, size);
			if (c->scratch[i])
				return ebb_storage_data(c->scratch[i]);
			ebb_call_fail(c, EBB_NO_MEMORY, "no memory for scratch (%zu bytes)", size);
			return NULL;
		}
	ebb_call_fail(c, EBB_INVALID, "ebb_scratch: a call has at most %d blocks", EBB_MAX_SAVED);
	return NULL;
}

void ebb_end_scratch(ebb_call *c)
{
	for (int i = 0; i < EBB_MAX_SAVED && c->scratch[i]; i++) {
		ebb_unref(c->scratch[i]);
		c->scratch[i] = NULL;
	}
}

void ebb_attach(ebb_call *c, const void *attrs, size_t size)
{
	c->attrs = attrs;
	c->attrs_size = size;
}

void ebb_save(ebb_call *c, ebb_tensor *x)
{
	if (!c->t || !x)
		return;
	if (c->nsaved == EBB_MAX_SAVED)
		ebb_call_fail(c, EBB_INVALID, "saves more than %d tensors", EBB_MAX_SAVED);
	else
		c->saved[c->nsaved++] = x;
}

/* ---- After the computation ------------------------------------------------------------------- */

ebb_node *ebb_push_node(ebb_tape *t, const ebb_op *op, const char *site, int nin, int nsaved)
{
	size_t size = sizeof(ebb_node) + (size_t)nin * sizeof(ebb_tensor *);
	size_t extra = (size_t)nsaved * sizeof(ebb_tensor *) + (size_t)nin * sizeof(uint32_t);
	ebb_node *n;

	if (t->nnodes >= INT32_MAX) {
		ebb_fail(t, EBB_NO_MEMORY, site,
			"%s: the tape is full (%d nodes); reset or rewind it", op->name, INT32_MAX);
		return NULL;
	}
	if (!ebb_grow(&t->nodes, &t->nodes_capacity, t->nnodes + 1, sizeof *t->nodes) ||
		!(n = ebb_arena_take(&t->ctx.arena, size + extra))) {
		ebb_no_memory(t, site, "a node", size + extra);
		return NULL;
	}
	n->op = op;
	n->site = t->frame ? t->frame->place.site : site;
	n->scope = t->scope;
	n->out = NULL;
	n->attrs = NULL;
	n->reads = 0;
	n->index = (int32_t)t->nnodes;
	n->nin = nin;
	n->nsaved = nsaved;
	n->consumed = false;
	n->saves_inputs = n->makes = false;
	n->flushed = t->ctx.flushed;
	n->saved = (ebb_tensor **)(void *)((char *)n + size);
	n->versions =
		(uint32_t *)(void *)((char *)n + size + (size_t)nsaved * sizeof(ebb_tensor *));
	t->nodes[t->nnodes++] = n;
	return n;
}

void ebb_consume(ebb_node *n)
{
	if (n->consumed)
		return;
	n->consumed = true;
	if (n->makes)
		ebb_end_making(n);
	for (int k = 0; (n->reads || n->saves_inputs) && k < n->nin; k++)
		if (ebb_saves_input(n, k))
			ebb_unref_saved(n->in[k]->storage);
	if (n->reads & EBB_OUT)
		ebb_unref_saved(n->out->storage);
	for (int k = 0; k < n->nsaved; k++)
		ebb_unref_saved(n->saved[k]->storage);
}

/* The set of tensors that the gradients of this call read.  Only inputs with a history have a
 * gradient.  all: as if every input had one, because .recompute may read any tensor in .reads. */
static unsigned reads_of(const ebb_call *c, bool all)
{
	unsigned reads = 0;

	for (int k = 0; k < c->nin; k++)
		if (c->in[k] && (all || c->in[k]->node >= 0))
			reads |= c->op->reads[k < EBB_MAX_READS ? k : EBB_MAX_READS - 1];
	return reads;
}

/* A node refers to x from now on, so that x's struct must not be recycled when x is dropped. */
static ebb_tensor *lasting(ebb_tensor *x)
{
	if (x)
		x->flags &= (uint16_t)~EBB_F_TEMPORARY;
	return x;
}

/* Makes n, just recorded, a saver of the inputs that its gradients read, and notes their versions.
 * ebb_keep keeps the inputs of a maker in memory, so that a recomputation never needs another
 * recomputation. */
static void save_inputs(ebb_node *n)
{
	for (int k = 0; k < n->nin; k++) {
		ebb_storage *s;

		if (!ebb_saves_input(n, k))
			continue;
		s = n->in[k]->storage;
		n->versions[k] = s->version;
		if (s->pool && (n->makes || n->saves_inputs))
			ebb_keep(s);
		ebb_ref_saved(s);
	}
}

static bool push(ebb_call *c, ebb_tensor *y)
{
	ebb_tape *t = c->t;
	void *attrs = NULL;
	ebb_node *n;

	/* The ops that a vjp calls keep their own vjps. */
	if (t->rules.n > 0 && !t->frame) {
		const ebb_op *op = ebb_op_by_rules(t, c->op, c->site);

		if (!op)
			return false;
		c->op = op;
	}
	if (c->attrs_size) {
		attrs = ebb_arena_take(&t->ctx.arena, c->attrs_size);
		if (!attrs) {
			ebb_no_memory(t, c->site, "attributes", c->attrs_size);
			return false;
		}
		memcpy(attrs, c->attrs, c->attrs_size);
	}
	n = ebb_push_node(t, c->op, c->site, c->nin, c->nsaved);
	if (!n)
		return false;
	n->out = lasting(y);
	n->attrs = attrs;
	n->saves_inputs = t->anomaly;
	/* Only a result with a storage of its own can be recomputed; a view's storage is its
	 * base's. */
	n->makes = c->op->recompute && !t->anomaly && y->storage->pool &&
	           y->storage->readers == 1 && !y->storage->savers;
	n->reads = reads_of(c, n->makes);
	for (int k = 0; k < c->nin; k++)
		n->in[k] = lasting(c->in[k]);
	save_inputs(n);
	n->out_version = y->storage->version;
	if (n->makes)
		ebb_set_maker(y->storage, n);
	if (n->reads & EBB_OUT)
		ebb_ref_saved(y->storage);
	for (int k = 0; k < c->nsaved; k++) {
		n->saved[k] = lasting(c->saved[k]);
		ebb_ref_saved(c->saved[k]->storage);
	}
	y->node = n->index;
	return true;
}

ebb_tensor *ebb_record(ebb_call *c, ebb_tensor *y)
{
	ebb_tape *t = c->t;
	bool real, pushed = false;

	ebb_end_scratch(c);
	if (!t)
		return NULL;
	if (!y || ebb_has_failed(t)) {
		c->t = NULL;
		return NULL;
	}
	/* The storage shrinks to the result.  If y is a view of the result of ebb_new_within, both
	 * are readers, and the storage keeps its size. */
	if (c->shrinks && y->storage->readers == 1 && !y->storage->savers)
		ebb_storage_trim(
			y->storage, (size_t)y->count * ebb_dtype_size((ebb_dtype)y->dtype));
	if (c->start && t->watch)
		t->watch->ran(c, y);
	/* An intermediate value of a vjp may be infinite and be masked out later.  Anomaly
	 * detection checks the contributions of a vjp instead (ebb_give). */
	if (t->anomaly && !t->frame && !t->anomaly->result(c, y))
		return NULL;
	y->flags |= EBB_F_COMPUTED;
	real = ebb_is_real(y);
	if (c->tracked && real && t->recording) {
		if (!push(c, y))
			return NULL;
		pushed = true;
	}
	if (t->watch)
		t->watch->recorded(c, y, pushed);
	/* Only the node, as a saver, keeps a saved tensor's value from now on. */
	for (int k = 0; k < c->nsaved; k++)
		ebb_drop_value(c->saved[k]);
	c->t = NULL;
	return y;
}

ebb_tensor *ebb_call_fail(ebb_call *c, ebb_status status, const char *format, ...)
{
	va_list ap;

	if (!c->t)
		return NULL;
	va_start(ap, format);
	ebb_fail_v(c->t, status, c->site, c->op ? c->op->name : NULL, format, ap);
	va_end(ap);
	ebb_end_scratch(c);
	c->t = NULL;
	return NULL;
}
