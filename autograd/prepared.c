/*
 * prepared.c - what ops have made of stored tensors and may use again: weights packed as a kernel
 * wants them, while nobody writes to them.
 *
 * Kept on the tape beyond its resets.  A stored tensor is told from a later one at the same address
 * by its serial number, and its values from others by the version.
 */
#include "autograd/internal.h"

#include <string.h>

/* Beyond that an op does without: to drop one for another, step after step, would cost more than
 * it saves. */
enum { EBB_MOST_PREPARED = 256 };

typedef struct ebb_prepared {
	const ebb_op *op;
	uint64_t serial;
	uint32_t version;
	size_t key_size;
	unsigned char key[EBB_PREPARED_KEY];
	ebb_storage *storage;
} ebb_prepared;

static bool is_for(
	const ebb_prepared *p, const ebb_op *op, uint64_t serial, const void *key, size_t key_size)
{
	return p->op == op && p->serial == serial && p->key_size == key_size &&
	       memcmp(p->key, key, key_size) == 0;
}

static ebb_prepared *entry(ebb_tape *t)
{
	ebb_prepared *p;

	if (t->nprepared == EBB_MOST_PREPARED ||
		!ebb_grow(&t->prepared, &t->prepared_capacity, t->nprepared + 1, sizeof *p))
		return NULL;
	p = &t->prepared[t->nprepared++];
	*p = (ebb_prepared){0};
	return p;
}

static void let_go(ebb_tape *t, ebb_prepared *p)
{
	if (p->storage)
		t->prepared_bytes -= p->storage->bytes;
	ebb_storage_free(p->storage);
	p->storage = NULL;
}

void *ebb_prepared_of(ebb_tape *t, const ebb_op *op, const ebb_tensor *x, const void *key,
	size_t key_size, size_t bytes, bool *fresh)
{
	ebb_prepared *p = NULL;
	uint64_t serial;

	*fresh = false;
	if (!x->stored || !bytes || key_size > EBB_PREPARED_KEY)
		return NULL;
	serial = x->storage->serial;
	for (int64_t i = 0; !p && i < t->nprepared; i++)
		if (is_for(&t->prepared[i], op, serial, key, key_size))
			p = &t->prepared[i];
	if (p && p->storage && p->version == x->storage->version)
		return ebb_storage_data(p->storage);
	if (!p && !(p = entry(t)))
		return NULL;
	if (p->storage && p->storage->bytes != bytes)
		let_go(t, p);
	if (!p->storage && (p->storage = ebb_storage_new(bytes)))
		t->prepared_bytes += bytes;
	p->op = op;
	p->serial = serial;
	p->version = x->storage->version;
	p->key_size = key_size;
	memcpy(p->key, key, key_size);
	*fresh = p->storage != NULL;
	return p->storage ? ebb_storage_data(p->storage) : NULL;
}

void ebb_prepared_free(ebb_tape *t)
{
	for (int64_t i = 0; i < t->nprepared; i++)
		let_go(t, &t->prepared[i]);
	ebb_free(t->prepared, (size_t)t->prepared_capacity * sizeof *t->prepared);
}
