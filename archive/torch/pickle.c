/*
 * pickle.c - the interpreter of pickles: a stack with marks, and a memo.
 *
 * Each value is created once and referred to afterwards, so time and memory are about linear in the
 * pickle's size, however often a value is referenced.  A list or dict may contain itself; a
 * traversal of the tree must therefore limit levels and steps.
 */
#include <stdarg.h>
#include <string.h>

#include "archive/torch/pickle.h"

bool ebb_pickle_refuse(ebb_pickle *p, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	return ebb_archive_refuse(p->heap->a, p->heap->e, "%s %s", p->what, text);
}

/* ---- The stack ------------------------------------------------------------------------------ */

static bool push(ebb_pickle *p, ebb_py *x)
{
	if (!x || !ebb_py_room(p->heap, &p->stack, &p->capacity, p->depth + 1, sizeof *p->stack))
		return false;
	p->stack[p->depth++] = x;
	return true;
}

static int64_t above_mark(const ebb_pickle *p)
{
	return p->depth - (p->marks ? p->mark[p->marks - 1] : 0);
}

/* Whether there are n values above the last mark; if not, an error. */
static bool holds(ebb_pickle *p, int64_t n)
{
	return above_mark(p) >= n ||
	       ebb_pickle_refuse(p, "takes %lld values at offset %lld from a stack of %lld",
		       (long long)n, (long long)(p->origin + p->at), (long long)above_mark(p));
}

static ebb_py *top(ebb_pickle *p)
{
	return p->stack[p->depth - 1];
}

static bool mark(ebb_pickle *p)
{
	if (!ebb_py_room(p->heap, &p->mark, &p->mark_capacity, p->marks + 1, sizeof *p->mark))
		return false;
	p->mark[p->marks++] = p->depth;
	return true;
}

/* Pops the last mark and the values above it: n values from *from on, valid until the next push. */
static bool unmark(ebb_pickle *p, ebb_py ***from, int64_t *n)
{
	if (p->marks == 0)
		return ebb_pickle_refuse(
			p, "has no mark before offset %lld", (long long)(p->origin + p->at));
	*n = above_mark(p);
	p->depth = p->mark[--p->marks];
	*from = p->stack ? p->stack + p->depth : NULL;
	return true;
}

/* ---- The memo, and containers --------------------------------------------------------------- */

static bool get(ebb_pickle *p)
{
	uint32_t index = (uint32_t)ebb_little_endian(p->arg, (int)p->arg_n);
	ebb_py *x = ebb_py_get(p, index);

	if (!x)
		return ebb_pickle_refuse(p,
			"reads at offset %lld memo entry %lu, which it has not written",
			(long long)(p->origin + p->at), (unsigned long)index);
	return push(p, x);
}

static bool put(ebb_pickle *p, uint32_t index)
{
	return holds(p, 1) && ebb_py_put(p, index, top(p));
}

static bool push_tuple(ebb_pickle *p, ebb_py **from, int64_t n)
{
	ebb_py *x;

	if (n == 0)
		return push(p, &p->heap->empty);
	x = ebb_py_new(p, EBB_PY_TUPLE);
	if (!x || !(x->item = ebb_py_take(p->heap, (size_t)n * sizeof *x->item)))
		return false;
	memcpy(x->item, from, (size_t)n * sizeof *x->item);
	x->n = (uint32_t)n;
	return push(p, x);
}

static bool tuple_of(ebb_pickle *p, int64_t n)
{
	if (!holds(p, n))
		return false;
	p->depth -= n;
	return push_tuple(p, p->stack + p->depth, n);
}

static bool push_dict(ebb_pickle *p)
{
	ebb_py *x = ebb_py_new(p, EBB_PY_DICT);

	if (x)
		x->meaning = EBB_PY_PLAIN_DICT;
	return push(p, x);
}

/* Adds n values to the container below them in the stack. */
static bool add(ebb_pickle *p, ebb_py_kind kind, ebb_py **from, int64_t n)
{
	static const char *const names[] = {
		[EBB_PY_LIST] = "list", [EBB_PY_DICT] = "dict", [EBB_PY_SET] = "set"};

	if (!holds(p, 1))
		return false;
	if (top(p)->kind != kind || (kind == EBB_PY_DICT && n % 2 != 0))
		return ebb_pickle_refuse(p,
			"cannot add %lld values at offset %lld to a %s: the object is of another "
			"kind",
			(long long)n, (long long)(p->origin + p->at), names[kind]);
	for (int64_t i = 0; kind != EBB_PY_SET && i < n; i++)
		if (!ebb_py_append(p, top(p), from[i]))
			return false;
	return true;
}

static bool add_above(ebb_pickle *p, ebb_py_kind kind, int64_t n)
{
	if (!holds(p, n + 1))
		return false;
	p->depth -= n;
	return add(p, kind, p->stack + p->depth, n);
}

/* ---- Opcodes -------------------------------------------------------------------------------- */

static bool step_container(ebb_pickle *p, uint8_t op)
{
	ebb_py **from = NULL;
	int64_t n = 0;

	switch (op) {
	case ')':
		return push(p, &p->heap->empty);
	case ']':
		return push(p, ebb_py_new(p, EBB_PY_LIST));
	case '}':
		return push_dict(p);
	case 0x8f:
		return push(p, ebb_py_new(p, EBB_PY_SET));
	case 0x85:
	case 0x86:
	case 0x87:
		return tuple_of(p, op - 0x84);
	case 'a':
		return add_above(p, EBB_PY_LIST, 1);
	case 's':
		return add_above(p, EBB_PY_DICT, 2);
	default:
		break;
	}
	if (!unmark(p, &from, &n))
		return false;
	if (op == 't')
		return push_tuple(p, from, n);
	if (op == 0x91)
		return push(p, ebb_py_new(p, EBB_PY_SET));
	return op == '1' || add(p,
				    op == 'e'   ? EBB_PY_LIST
				    : op == 'u' ? EBB_PY_DICT
						: EBB_PY_SET,
				    from, n);
}

/* GLOBAL: pushes a global from the lines of its module and its name. */
static bool push_global(ebb_pickle *p)
{
	const uint8_t *end = memchr(p->arg, '\n', (size_t)p->arg_n);
	ebb_py *module = ebb_py_new(p, EBB_PY_TEXT), *name = ebb_py_new(p, EBB_PY_TEXT);

	if (!module || !name)
		return false;
	module->bytes = p->arg;
	module->n = (uint32_t)(end - p->arg);
	name->bytes = end + 1;
	name->n = (uint32_t)(p->arg + p->arg_n - (end + 1));
	return push(p, ebb_py_global(p, module, name));
}

/* Opcodes that pop two values and push an object made of them. */
static bool step_pair(ebb_pickle *p, uint8_t op)
{
	ebb_py *a, *b;

	if (!holds(p, 2))
		return false;
	a = p->stack[p->depth - 2];
	b = p->stack[p->depth - 1];
	if (op == 'b') {
		p->depth--;
		return ebb_py_build(p, a, b);
	}
	p->depth -= 2;
	if (op == 'R')
		return push(p, ebb_py_call(p, a, b));
	if (op == 0x81)
		return push(p, ebb_py_make(p, a, b));
	if (a->kind != EBB_PY_TEXT || b->kind != EBB_PY_TEXT)
		return ebb_pickle_refuse(p, "has a global at offset %lld whose name is not text",
			(long long)(p->origin + p->at));
	return push(p, ebb_py_global(p, a, b));
}

static bool step_persistent(ebb_pickle *p)
{
	ebb_py *x;

	if (!holds(p, 1))
		return false;
	x = ebb_py_persistent(p, p->stack[--p->depth]);
	if (!x || !ebb_py_room(p->heap, &p->storage, &p->storage_capacity, p->storages + 1,
			  sizeof *p->storage))
		return false;
	p->storage[p->storages++] = x;
	return push(p, x);
}

/* The protocol, and frames: frames have no meaning here, because all bytes are in memory. */
static bool step_framing(ebb_pickle *p, uint8_t op)
{
	uint64_t n = ebb_little_endian(p->arg, (int)p->arg_n);

	if (op == 0x80 && (n < 2 || n > 5))
		return ebb_pickle_refuse(p, "has protocol %u, expected 2 to 5", (unsigned)n);
	if (op == 0x95 && n > (uint64_t)(p->size - p->next))
		return ebb_pickle_refuse(p,
			"has a frame of %llu bytes at offset %lld, where %lld are left",
			(unsigned long long)n, (long long)(p->origin + p->at),
			(long long)(p->size - p->next));
	return true;
}

static bool step(ebb_pickle *p, uint8_t op)
{
	switch (op) {
	case 0x80:
	case 0x95:
		return step_framing(p, op);
	case '(':
		return mark(p);
	case '0':
		return holds(p, 1) && (p->depth--, true);
	case 'h':
	case 'j':
		return get(p);
	case 'q':
	case 'r':
		return put(p, (uint32_t)ebb_little_endian(p->arg, (int)p->arg_n));
	case 0x94:
		return put(p, p->memoized);
	case 'c':
		return push_global(p);
	case 'R':
	case 'b':
	case 0x81:
	case 0x93:
		return step_pair(p, op);
	case 'Q':
		return step_persistent(p);
	case ')':
	case ']':
	case '}':
	case '1':
	case 'a':
	case 'e':
	case 's':
	case 't':
	case 'u':
	case 0x85:
	case 0x86:
	case 0x87:
	case 0x8f:
	case 0x90:
	case 0x91:
		return step_container(p, op);
	default:
		return push(p, ebb_py_constant(p, op));
	}
}

/* ---- The pickle ----------------------------------------------------------------------------- */

/* Sets arg and arg_n of the opcode at p->at, and next to the position after both. */
static bool argument(ebb_pickle *p, uint8_t op)
{
	int kind = ebb_opcode_argument(op), width = kind < 0 && kind >= EBB_ARG_COUNT8 ? -kind : 0;
	const uint8_t *end = NULL;
	int64_t left = p->size - p->at - 1;
	uint64_t n = kind > 0 ? (uint64_t)kind : 0;

	if (kind == EBB_ARG_REFUSED)
		return ebb_opcode_refuse(p->heap->a, p->what, op, p->origin + p->at, p->heap->e);
	p->arg = p->bytes + p->at + 1;
	if (width > 0 && width <= left) {
		n = ebb_little_endian(p->arg, width);
		p->arg += width;
	}
	left -= width;
	if (kind == EBB_ARG_LINE || kind == EBB_ARG_LINES) {
		end = memchr(p->arg, '\n', (size_t)left);
		if (end && kind == EBB_ARG_LINES)
			end = memchr(end + 1, '\n', (size_t)(p->bytes + p->size - (end + 1)));
		n = end ? (uint64_t)(end - p->arg) : UINT64_MAX;
	}
	if (left < 0 || n > (uint64_t)left)
		return ebb_pickle_refuse(p,
			"is truncated: it ends within the opcode at offset %lld",
			(long long)(p->origin + p->at));
	p->arg_n = (int64_t)n;
	p->next = p->arg - p->bytes + p->arg_n + (end ? 1 : 0);
	return true;
}

static ebb_py *finish(ebb_pickle *p)
{
	if (p->depth != 1 || p->marks != 0) {
		ebb_pickle_refuse(p, "ends with %lld values and %lld marks, expected one value",
			(long long)p->depth, (long long)p->marks);
		return NULL;
	}
	if (p->next != p->size) {
		ebb_pickle_refuse(
			p, "has %lld bytes after its end", (long long)(p->size - p->next));
		return NULL;
	}
	return p->stack[0];
}

/* Counts in values have 32 bits (ebb_py.n), so a pickle must be smaller. */
static bool is_small(ebb_pickle *p)
{
	return p->size <= INT32_MAX || ebb_pickle_refuse(p, "has %lld bytes, expected at most %lld",
					       (long long)p->size, (long long)INT32_MAX);
}

ebb_py *ebb_pickle_load(ebb_pickle *p)
{
	if (!is_small(p))
		return NULL;
	for (p->at = 0; p->at < p->size; p->at = p->next) {
		uint8_t op = p->bytes[p->at];

		if (!argument(p, op))
			return NULL;
		if (op == '.')
			return finish(p);
		if (!step(p, op))
			return NULL;
	}
	ebb_pickle_refuse(
		p, "is truncated: its %lld bytes have no STOP opcode", (long long)p->size);
	return NULL;
}

void ebb_pickle_free(ebb_pickle *p)
{
	ebb_py_give(p->heap, p->stack, p->capacity, sizeof *p->stack);
	ebb_py_give(p->heap, p->mark, p->mark_capacity, sizeof *p->mark);
	ebb_py_give(p->heap, p->storage, p->storage_capacity, sizeof *p->storage);
	p->stack = p->storage = NULL;
	p->mark = NULL;
	p->capacity = p->mark_capacity = p->storage_capacity = 0;
}
