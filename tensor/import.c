/*
 * import.c - a tape's handles for persistent tensors: one for each tensor, in a hash table by its
 * address.
 */
#include <string.h>

#include "tensor/internal.h"

static uint64_t hash_of(const void *p)
{
	return ((uint64_t)(uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

static void table_insert(ebb_context *c, int64_t k)
{
	uint64_t mask = (uint64_t)c->table_capacity - 1,
		 at = hash_of(c->imported[k]->persistent) & mask;

	while (c->imported_table[at] >= 0)
		at = (at + 1) & mask;
	c->imported_table[at] = (int32_t)k;
}

ebb_tensor *ebb_imported(const ebb_context *c, const ebb_tensor *persistent)
{
	uint64_t mask, at;

	if (!c->nimported)
		return NULL;
	mask = (uint64_t)c->table_capacity - 1;
	for (at = hash_of(persistent) & mask; c->imported_table[at] >= 0; at = (at + 1) & mask)
		if (c->imported[c->imported_table[at]]->persistent == persistent)
			return c->imported[c->imported_table[at]];
	return NULL;
}

/* Reserves memory for one more handle; at most half of the slots are used.  False: no memory. */
static bool reserve(ebb_context *c)
{
	int64_t wanted = c->table_capacity ? c->table_capacity * 2 : 128;
	int32_t *table;

	if (!ebb_grow(&c->imported, &c->imported_capacity, c->nimported + 1, sizeof *c->imported))
		return false;
	if (2 * (c->nimported + 1) <= c->table_capacity)
		return true;
	table = ebb_alloc((size_t)wanted * sizeof *table);
	if (!table)
		return false;
	ebb_free(c->imported_table, (size_t)c->table_capacity * sizeof *table);
	memset(table, 0xff, (size_t)wanted * sizeof *table);
	c->imported_table = table;
	c->table_capacity = wanted;
	for (int64_t i = 0; i < c->nimported; i++)
		table_insert(c, i);
	return true;
}

ebb_tensor *ebb_import_new(ebb_tape *t, ebb_tensor *persistent)
{
	ebb_context *c = ebb_context_of(t);
	ebb_tensor *x;

	/* The handle outlives the sweep that may create it: it is no recycled struct, and not in
	 * the list of live handles, which ebb_close_frame cuts. */
	if (!reserve(c) || !(x = ebb_handle_take(c)))
		return NULL;
	*x = *persistent;
	x->tape = t;
	x->node = -1;
	x->holds = 0;
	x->grad = NULL;
	x->persistent = persistent;
	x->flags =
		(uint16_t)((persistent->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST)) |
			   EBB_F_IMPORTED);
	c->imported[c->nimported] = x;
	table_insert(c, c->nimported++);
	return x;
}

void ebb_forget_imported(ebb_context *c, int64_t first)
{
	if (first >= c->nimported)
		return;
	memset(c->imported_table, 0xff, (size_t)c->table_capacity * sizeof *c->imported_table);
	c->nimported = first;
	for (int64_t i = 0; i < first; i++)
		table_insert(c, i);
}
