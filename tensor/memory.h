/*
 * memory.h - where memory comes from: devices, blocks, the pool and its heap, arenas.
 *
 * A block is a piece of a device's memory.  Descriptors of blocks lie apart from what they
 * describe, in the processor's memory.
 */
#ifndef EBB_TENSOR_MEMORY_H
#define EBB_TENSOR_MEMORY_H

#include "kernels/kernels.h"
#include "kernels/sizes.h"
#include "tensor/host.h"

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

/* EBB_REDZONE: poisoned bytes behind each block's data, which the next block's begins after. */
#ifdef EBB_ASAN
enum { EBB_ALIGN = 64, EBB_POOL_CLASSES = 65, EBB_REDZONE = 64 };
#else
enum { EBB_ALIGN = 64, EBB_POOL_CLASSES = 65, EBB_REDZONE = 0 };
#endif

static inline size_t ebb_align_up(size_t bytes)
{
	return (bytes + EBB_ALIGN - 1) & ~(size_t)(EBB_ALIGN - 1);
}

/* The first cache line that begins at p or behind it. */
static inline char *ebb_align_pointer(void *p)
{
	return (char *)p + (ebb_align_up((size_t)(uintptr_t)p) - (size_t)(uintptr_t)p);
}

/* ---- The device that memory lies on (device.c) ----------------------------------------------- */

typedef struct ebb_device {
	const char *name;
	/* NULL if there is no memory; what it returns is aligned like malloc's. */
	void *(*alloc)(size_t bytes);
	void (*free)(void *p, size_t bytes);
	/* Copies between this device's memory and the processor's, in either direction. */
	void (*copy)(void *to, const void *from, size_t bytes);
	/* Returns when all that was asked of the device is done. */
	void (*sync)(void);
	/* The kernels that compute in a type. */
	const ebb_kernels *(*kernels)(ebb_dtype dtype);
} ebb_device;

/* Its memory passes the allocation hook. */
extern const ebb_device ebb_processor;

/* What there is to know of a type: EBB_DEFAULT's row is zero. */
typedef struct ebb_dtype_traits {
	const char *name;
	size_t size;           /* bytes of an element */
	bool real;             /* computes, and is differentiated */
	ebb_dtype accumulator; /* what sums of it are kept in */
	const ebb_kernels *(*kernels)(void);
} ebb_dtype_traits;
extern const ebb_dtype_traits ebb_dtypes[];

/* The processor's, without a call in between. */
static inline const ebb_kernels *ebb_kernels_of(ebb_dtype dtype)
{
	return ebb_dtypes[dtype].kernels();
}

/* ---- Arenas (arena.c) ------------------------------------------------------------------------ */

typedef struct ebb_chunk {
	char *memory;
	size_t size;
} ebb_chunk;

/* The processor's memory for structs, which all go at once. */
typedef struct ebb_arena {
	ebb_chunk *chunks;
	int64_t count, capacity, current;
	size_t offset;
	size_t reserved;
} ebb_arena;

void *ebb_arena_take(ebb_arena *a, size_t size);
void ebb_arena_rewind(ebb_arena *a, uint64_t mark);
uint64_t ebb_arena_mark(const ebb_arena *a);
/* Whether p was taken after the mark (and not rewound since). */
bool ebb_arena_is_after(const ebb_arena *a, uint64_t mark, const void *p);
void ebb_arena_free(ebb_arena *a);

/* ---- Blocks (pool.c, heap.c) ----------------------------------------------------------------- */

typedef struct ebb_region ebb_region;
typedef struct ebb_pool ebb_pool;

typedef struct ebb_block {
	char *data;
	size_t bytes;
	uint8_t size_class;              /* or EBB_ON_HEAP */
	bool free;                       /* on the heap alone */
	struct ebb_block *next, *prev;   /* in a free list; prev on the heap alone */
	struct ebb_block *below, *above; /* the neighbours on the heap, or NULL */
	ebb_region *region;
} ebb_block;

enum { EBB_ON_HEAP = 255 };

typedef struct ebb_heap {
	ebb_region *regions; /* the oldest first */
	size_t reserved;
} ebb_heap;

typedef struct ebb_descriptors ebb_descriptors;
typedef struct ebb_storage ebb_storage;

struct ebb_pool {
	const ebb_device *device;
	ebb_storage *free[EBB_POOL_CLASSES]; /* with a small block each */
	ebb_heap heap;                       /* for large blocks */
	ebb_chunk *slabs;                    /* small blocks are cut from these */
	int64_t nslabs, slabs_capacity;
	char *slab_at, *slab_end;
	ebb_descriptors *descriptors;
	ebb_block *spare_blocks; /* descriptors of nothing, through next */
	ebb_storage *spare_storages;
	size_t reserved, in_use, peak;
	int64_t absent; /* values that their makers can compute again, and that have no memory */
	/* Makes the value of s again, in memory that is there; false: its tape has failed. */
	bool (*make)(ebb_storage *s);
};

/* Which class a small size is of, and what that holds; EBB_ON_HEAP: it is the heap's. */
int ebb_size_class(size_t bytes, size_t *rounded);
/* Each returns NULL without an error if there is no memory.  A new block of a class: */
ebb_block *ebb_class_block(ebb_pool *p, int size_class, size_t rounded);
ebb_block *ebb_heap_take(ebb_pool *p, size_t bytes);
void ebb_heap_give(ebb_pool *p, ebb_block *b);
void ebb_heap_trim(ebb_pool *p, ebb_block *b, size_t bytes);
void ebb_heap_free(ebb_pool *p);
const ebb_region *ebb_region_next(const ebb_region *r);
const ebb_block *ebb_region_lowest(const ebb_region *r);
ebb_block *ebb_descriptor_take(ebb_pool *p);
void ebb_descriptor_give(ebb_pool *p, ebb_block *b);

#endif
