/*
 * parts.c - the parts (steps) of fused ops for observers: their values and their gradients.
 *
 * Neither values nor gradients of parts are recorded.  They are computed from what the node saves
 * for its gradient, when an observer asks for them or when the scope of a part ends, and are freed
 * after the callback.
 */
#include "autograd/internal.h"
#include "autograd/watching/parts.h"

#include <string.h>

#include "kernels/kernels.h"

/* ---- Temporary tensors for callbacks --------------------------------------------------------- */

/* The ebb_tensor struct lies at the start of the storage, and the data after it. */
enum { HEAD = (sizeof(ebb_tensor) + EBB_ALIGN - 1) / EBB_ALIGN * EBB_ALIGN };

ebb_tensor *ebb_shown_new(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like)
{
	size_t bytes = HEAD + (size_t)x->count * ebb_dtype_size((ebb_dtype)x->dtype);
	ebb_storage *s = ebb_pool_take(&t->ctx.pool, bytes);
	ebb_tensor *y;

	if (!s)
		return NULL;
	y = ebb_storage_data(s);
	*y = (ebb_tensor){.tape = t,
		.storage = s,
		.data = (char *)y + HEAD,
		.offset = HEAD,
		.count = x->count,
		.node = -1,
		.dtype = x->dtype,
		.ndim = x->ndim,
		.grad = t->shown};
	memcpy(y->shape, x->shape, sizeof y->shape);
	if (like->flags & EBB_F_DENSE)
		memcpy(y->strides, like->strides, sizeof y->strides);
	else
		ebb_strides_like(x->ndim, x->shape, like->strides, y->strides);
	y->flags = ebb_layout_of(y->ndim, y->shape, y->strides);
	t->shown = y;
	return y;
}

ebb_tensor *ebb_shown_copy(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like)
{
	ebb_tensor *y = ebb_shown_new(t, x, like);

	if (y && y->count)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)y->dtype), y->ndim, y->shape, x->data,
			x->strides, y->data, y->strides);
	return y;
}

void ebb_shown_free(ebb_tensor **list)
{
	while (*list) {
		ebb_tensor *x = *list;

		*list = x->grad;
		ebb_unref(x->storage);
	}
}

ebb_tensor *ebb_shown_alias(ebb_tape *t, const ebb_tensor *x)
{
	ebb_storage *s = ebb_pool_take(&t->ctx.pool, HEAD);
	ebb_tensor *y;

	if (!s)
		return NULL;
	y = ebb_storage_data(s);
	*y = *x;
	y->storage = s;
	y->grad = t->shown;
	t->shown = y;
	return y;
}

/* ---- Values of a call that has just run ------------------------------------------------------ */

/* Whether no input was overwritten by the result (ebb_new_over drops such an input). */
static bool is_whole(const ebb_call *c)
{
	for (int k = 0; k < c->nin; k++)
		if (c->in[k] && (c->in[k]->flags & EBB_F_DROPPED))
			return false;
	return true;
}

ebb_tensor *ebb_part_of_call(ebb_call *c, int k, const ebb_tensor *y)
{
	ebb_vjp v = {.t = c->t,
		.out = (ebb_tensor *)y,
		.in = c->in,
		.nin = c->nin,
		.attrs = c->attrs,
		.saved = c->saved,
		.nsaved = c->nsaved};
	ebb_tensor *value = is_whole(c) ? ebb_shown_new(c->t, c->in[0], c->in[0]) : NULL;

	if (!value || !c->op->parts[k].value(&v, value))
		return NULL;
	value->node = y->node;
	value->part = (int8_t)(k + 1);
	return value;
}

/* ---- Values and gradients of a recorded node ------------------------------------------------- */

/* A node as the functions of its parts see it: tensors that are not in memory are NULL. */
typedef struct seen {
	ebb_vjp v;
	ebb_tensor out, in[EBB_MAX_READS], saved[EBB_MAX_SAVED];
	ebb_tensor *inputs[EBB_MAX_READS], *constants[EBB_MAX_SAVED];
} seen;

/* A readable copy of x's struct, if there (x's value is in memory); else NULL. */
static ebb_tensor *see(const ebb_tensor *x, bool there, ebb_tensor *copy)
{
	if (!x || !there)
		return NULL;
	*copy = *x;
	copy->data = x->storage->data + x->offset;
	copy->flags &= (uint16_t)~EBB_F_DROPPED;
	return copy;
}

/* Whether input k is in memory with the value of the call: the node has saved it and it was not
 * overwritten since, or the node is the newest, so that no later call can have overwritten it. */
static bool input_is_there(const ebb_node *n, int k)
{
	const ebb_tensor *x = n->in[k];

	if (!x || n->consumed)
		return false;
	if (ebb_saves_input(n, k))
		return x->storage->presence == EBB_PRESENT && x->storage->version == n->versions[k];
	return !(x->flags & EBB_F_DROPPED) && n->index + 1 == x->tape->nnodes;
}

static bool output_is_there(const ebb_node *n)
{
	const ebb_tensor *y = n->out;
	return ((n->reads & EBB_OUT) || !(y->flags & EBB_F_DROPPED)) &&
	       y->storage->presence == EBB_PRESENT && y->storage->version == n->out_version;
}

static bool look(const ebb_node *n, seen *s)
{
	if (n->nin > EBB_MAX_READS || n->consumed)
		return false;
	s->v = (ebb_vjp){.t = n->out->tape,
		.out = see(n->out, output_is_there(n), &s->out),
		.in = s->inputs,
		.nin = n->nin,
		.attrs = n->attrs,
		.saved = s->constants,
		.nsaved = n->nsaved,
		.node = n};
	for (int k = 0; k < n->nin; k++)
		s->inputs[k] = see(n->in[k], input_is_there(n, k), &s->in[k]);
	for (int k = 0; k < n->nsaved; k++)
		s->constants[k] = see(n->saved[k], true, &s->saved[k]);
	return true;
}

/* The node's tape, if a callback is in progress and there is a part k; else NULL. */
static ebb_tape *shows_part(const ebb_node *n, int k)
{
	ebb_tape *t = n ? n->out->tape : NULL;

	return t && t->in_callback && k >= 0 && k < n->op->nparts ? t : NULL;
}

/* A temporary tensor that f has written for part k, with the node's setting of subnormal numbers;
 * or NULL. */
static const ebb_tensor *written(ebb_tape *t, const ebb_node *n, int k, const ebb_vjp *v,
	bool (*f)(const ebb_vjp *v, ebb_tensor *y))
{
	ebb_tensor *y = ebb_shown_new(t, n->in[0], n->in[0]);
	uint8_t flushed = t->ctx.flushed;
	bool ok;

	if (!y)
		return NULL;
	y->node = n->index;
	y->part = (int8_t)(k + 1);
	t->ctx.flushed = n->flushed;
	ok = f(v, y);
	t->ctx.flushed = flushed;
	return ok ? y : NULL;
}

/* A readable struct for x during a callback, if there (x's value is in memory); else NULL. */
static const ebb_tensor *shown(const ebb_tensor *x, bool there)
{
	ebb_tape *t = x ? x->tape : NULL;
	ebb_tensor copy;

	if (!t || !t->in_callback || !see(x, there, &copy))
		return NULL;
	return ebb_shown_alias(t, &copy);
}

const ebb_tensor *ebb_node_output_value(const ebb_node *n)
{
	return n ? shown(n->out, output_is_there(n)) : NULL;
}

const ebb_tensor *ebb_node_input_value(const ebb_node *n, int k)
{
	return n && k >= 0 && k < n->nin ? shown(n->in[k], input_is_there(n, k)) : NULL;
}

int ebb_node_parts(const ebb_node *n)
{
	return n ? n->op->nparts : 0;
}

const char *ebb_node_part_op(const ebb_node *n, int k)
{
	return n && k >= 0 && k < n->op->nparts ? n->op->parts[k].op : "";
}

int ebb_part_of(const ebb_tensor *y)
{
	return y ? y->part - 1 : -1;
}

const ebb_tensor *ebb_node_part_value(const ebb_node *n, int k)
{
	ebb_tape *t = shows_part(n, k);
	ebb_tensor *y;
	seen s;

	if (!t || !look(n, &s))
		return NULL;
	if (k < n->op->nparts - 1)
		return written(t, n, k, &s.v, n->op->parts[k].value);
	y = s.v.out ? ebb_shown_copy(t, s.v.out, n->out) : NULL;
	if (y)
		y->node = n->index;
	return y;
}

/* A gradient of n's output that is 1 everywhere. */
static const ebb_tensor *ones(ebb_tape *t, const ebb_node *n)
{
	ebb_tensor *g = ebb_shown_new(t, n->out, n->out);

	for (int64_t i = 0; g && i < g->count; i++)
		if (g->dtype == EBB_F64)
			((double *)(void *)g->data)[i] = 1;
		else
			((float *)(void *)g->data)[i] = 1;
	return g;
}

/* g in the memory order of n's output; NULL if g does not fit the output, or without memory. */
static const ebb_tensor *ordered(ebb_tape *t, const ebb_node *n, const ebb_tensor *g)
{
	if (!ebb_same_shape(g, n->out) || g->dtype != n->out->dtype || !g->data)
		return NULL;
	return ebb_same_memory(g, n->out) ? g : ebb_shown_copy(t, g, n->out);
}

const ebb_tensor *ebb_node_part_gradient(const ebb_node *n, int k, const ebb_tensor *g)
{
	ebb_tape *t = shows_part(n, k);
	seen s;

	if (!t || !look(n, &s))
		return NULL;
	g = g ? ordered(t, n, g) : ones(t, n);
	if (!g || k == n->op->nparts - 1)
		return g;
	s.v.gy = (ebb_tensor *)g;
	return written(t, n, k, &s.v, n->op->parts[k].gradient);
}
