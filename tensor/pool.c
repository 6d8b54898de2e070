/* pool.c - the descriptors and the small blocks of a pool. */
#include "tensor/internal.h"

/* ---- Descriptors ----------------------------------------------------------------------------- */

enum { DESCRIPTORS_SIZE = sizeof(ebb_descriptors) + EBB_ALIGN };

/* Allocates descriptors: as many storages as blocks, because most storages have a block. */
bool ebb_add_descriptors(ebb_pool *p)
{
	char *memory = ebb_alloc_zeroed(DESCRIPTORS_SIZE);
	ebb_descriptors *d;

	if (!memory)
		return false;
	d = (ebb_descriptors *)(void *)ebb_align_pointer(memory);
	d->memory = memory;
	d->next = p->descriptors;
	p->descriptors = d;
	p->reserved += DESCRIPTORS_SIZE;
	for (int i = EBB_DESCRIPTORS - 1; i >= 0; i--) {
		d->blocks[i].next = p->spare_blocks;
		p->spare_blocks = &d->blocks[i];
		d->storages[i].next = p->spare_storages;
		p->spare_storages = &d->storages[i];
	}
	return true;
}

ebb_block *ebb_descriptor_take(ebb_pool *p)
{
	ebb_block *b;

	if (!p->spare_blocks && !ebb_add_descriptors(p))
		return NULL;
	b = p->spare_blocks;
	p->spare_blocks = b->next;
	return b;
}

void ebb_descriptor_give(ebb_pool *p, ebb_block *b)
{
	b->next = p->spare_blocks;
	p->spare_blocks = b;
}

/* ---- Small blocks ---------------------------------------------------------------------------- */

enum { SLAB = 128 * 1024, CLASS_LIMIT = 64 * 1024, LARGEST_CUT = 4096 };

/* Size classes: multiples of 64 up to 512 bytes, then eight sizes between consecutive powers of
 * two. */
int ebb_size_class(size_t bytes, size_t *rounded)
{
	size_t units = bytes ? (bytes + EBB_ALIGN - 1) / EBB_ALIGN : 1;
	int log, step;

	if (bytes > CLASS_LIMIT)
		return EBB_ON_HEAP;
	if (units <= 8) {
		*rounded = units * EBB_ALIGN;
		return (int)units;
	}
	/* 2^log <= units - 1 < 2^(log+1) */
	log = 63 - __builtin_clzll((unsigned long long)(units - 1));
	step = (int)(((units - 1) >> (log - 3)) & 7);
	*rounded = ((((size_t)8 + (size_t)step + 1)) << (log - 3)) * EBB_ALIGN;
	return 9 + (log - 3) * 8 + step;
}

/* The first aligned address in a new slab of that size.  NULL: no memory. */
static char *add_slab(ebb_pool *p, size_t size)
{
	char *memory;

	if (!ebb_grow(&p->slabs, &p->slabs_capacity, p->nslabs + 1, sizeof *p->slabs) ||
		!(memory = p->device->alloc(size)))
		return NULL;
	p->slabs[p->nslabs++] = (ebb_chunk){memory, size};
	p->reserved += size;
	return ebb_align_pointer(memory);
}

static char *cut_from_slab(ebb_pool *p, size_t bytes)
{
	char *data;

	/* A block of more than LARGEST_CUT bytes has a slab to itself. */
	if (bytes > LARGEST_CUT)
		return add_slab(p, bytes + EBB_ALIGN);
	if ((size_t)(p->slab_end - p->slab_at) < bytes) {
		data = add_slab(p, SLAB);
		if (!data)
			return NULL;
		p->slab_at = data;
		p->slab_end = p->slabs[p->nslabs - 1].memory + SLAB;
	}
	data = p->slab_at;
	p->slab_at += bytes;
	return data;
}

ebb_block *ebb_class_block(ebb_pool *p, int size_class, size_t rounded)
{
	ebb_block *b = ebb_descriptor_take(p);

	if (!b)
		return NULL;
	b->data = cut_from_slab(p, rounded + EBB_REDZONE);
	if (!b->data) {
		ebb_descriptor_give(p, b);
		return NULL;
	}
	EBB_POISON(b->data, rounded + EBB_REDZONE);
	b->bytes = rounded;
	b->size_class = (uint8_t)size_class;
	return b;
}

/* ---- Freeing the pool ------------------------------------------------------------------------ */

void ebb_pool_free(ebb_pool *p)
{
	for (int64_t i = 0; i < p->nslabs; i++) {
		EBB_UNPOISON(p->slabs[i].memory, p->slabs[i].size);
		p->device->free(p->slabs[i].memory, p->slabs[i].size);
	}
	ebb_free(p->slabs, (size_t)p->slabs_capacity * sizeof *p->slabs);
	ebb_heap_free(p);
	while (p->descriptors) {
		ebb_descriptors *d = p->descriptors;

		p->descriptors = d->next;
		ebb_free(d->memory, DESCRIPTORS_SIZE);
	}
	*p = (ebb_pool){.device = p->device, .make = p->make};
}
