/*
 * memory.h - where memory comes from: devices, blocks, the pool and its heap, arenas.
 *
 * A block is a contiguous range of a device's memory.  Its descriptor, an ebb_block, lies apart
 * from it, in the processor's memory.
 */
#ifndef EBB_TENSOR_MEMORY_H
#define EBB_TENSOR_MEMORY_H

#include "kernels/kernels.h"
#include "kernels/sizes.h"
#include "tensor/host.h"

/* For the address sanitizer: memory that must not be read or written now. */
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

/* 1 in a build with the address, thread or memory sanitizer, if the compiler has a macro for it. */
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

/* EBB_REDZONE: the number of poisoned bytes between a block's data and the next block's. */
#ifdef EBB_ASAN
enum { EBB_ALIGN = 64, EBB_POOL_CLASSES = 65, EBB_REDZONE = 64 };
#else
enum { EBB_ALIGN = 64, EBB_POOL_CLASSES = 65, EBB_REDZONE = 0 };
#endif

static inline size_t ebb_align_up(size_t bytes)
{
	return (bytes + EBB_ALIGN - 1) & ~(size_t)(EBB_ALIGN - 1);
}

/* The first address from p on that is a multiple of EBB_ALIGN. */
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
	/* Waits until the device has finished all kernels and copies. */
	void (*sync)(void);
	/* The table of kernels for an element type. */
	const ebb_kernels *(*kernels)(ebb_dtype dtype);
} ebb_device;

/* The CPU.  Its memory comes from the allocation hook. */
extern const ebb_device ebb_processor;

/* The properties of an element type, by ebb_dtype; EBB_DEFAULT has the size 0. */
typedef struct ebb_dtype_traits {
	const char *name;
	size_t size;           /* bytes of an element */
	bool real;             /* ops compute in it and differentiate it */
	ebb_dtype accumulator; /* the type that sums of it are computed in */
	const ebb_kernels *(*kernels)(void);
} ebb_dtype_traits;
extern const ebb_dtype_traits ebb_dtypes[];

/* The CPU's kernels for an element type. */
static inline const ebb_kernels *ebb_kernels_of(ebb_dtype dtype)
{
	return ebb_dtypes[dtype].kernels();
}

/* ---- Arenas (arena.c) ------------------------------------------------------------------------ */

typedef struct ebb_chunk {
	char *memory;
	size_t size;
} ebb_chunk;

/* A bump allocator for structs that are all discarded at once, or from a mark on. */
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
	uint8_t size_class;              /* of a small block; EBB_ON_HEAP: a block of the heap */
	bool free;                       /* used by the heap only */
	struct ebb_block *next, *prev;   /* in a free list; prev is used by the heap only */
	struct ebb_block *below, *above; /* the adjacent blocks of the heap, or NULL */
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
	ebb_storage *free[EBB_POOL_CLASSES]; /* free storages with their blocks, by size class */
	ebb_heap heap;                       /* for large blocks */
	ebb_chunk *slabs;                    /* memory that small blocks are cut from */
	int64_t nslabs, slabs_capacity;
	char *slab_at, *slab_end;
	ebb_descriptors *descriptors;
	ebb_block *spare_blocks; /* lists by next: unused descriptors */
	ebb_storage *spare_storages;
	size_t reserved, in_use, peak;
	int64_t absent; /* the number of absent values */
	/* Recomputes the absent value of s.  False: its tape has failed. */
	bool (*make)(ebb_storage *s);
};

/* The size class of a small block, and the size of its blocks; EBB_ON_HEAP: the heap allocates
 * it. */
int ebb_size_class(size_t bytes, size_t *rounded);
/* A new block of a size class.  NULL without an error if there is no memory, as for the next
 * ones. */
ebb_block *ebb_class_block(ebb_pool *p, int size_class, size_t rounded);
ebb_block *ebb_heap_take(ebb_pool *p, size_t bytes);
void ebb_heap_give(ebb_pool *p, ebb_block *b);
/* Shrinks a block in use to that many bytes. */
void ebb_heap_trim(ebb_pool *p, ebb_block *b, size_t bytes);
void ebb_heap_free(ebb_pool *p);
const ebb_region *ebb_region_next(const ebb_region *r);
const ebb_block *ebb_region_lowest(const ebb_region *r);
ebb_block *ebb_descriptor_take(ebb_pool *p);
void ebb_descriptor_give(ebb_pool *p, ebb_block *b);

#endif
