/*
 * torch.h - the content of a torch.save file: a tree of values, and the storages of its tensors.
 */
#ifndef EBB_ARCHIVE_TORCH_H
#define EBB_ARCHIVE_TORCH_H

#include "archive/torch/pickle.h"

/* A run of elements that tensors are views of, identified by a key in the file. */
typedef struct ebb_torch_storage {
	const uint8_t *key;
	uint32_t key_bytes;
	int element; /* element: bytes, only in the older format */
	int64_t count;
	bool present;
	ebb_blob blob;
} ebb_torch_storage;

typedef struct ebb_torch {
	ebb_py_heap heap;
	const char *what; /* name of the pickle, for error messages */
	bool big_endian;  /* of the storages */
	ebb_torch_storage *storage;
	int64_t storages;
	/* State of ebb_torch_collect: the current name, and the number of steps that remain. */
	char *name;
	int64_t name_bytes, name_capacity;
	int64_t steps;
} ebb_torch;

/* ---- Storages (storages.c) ------------------------------------------------------------- */

/* Sorts the storages by key, in O(n log n) for any keys. */
void ebb_torch_sort(ebb_torch *t);
bool ebb_torch_same(const ebb_torch_storage *a, const ebb_torch_storage *b); /* by key */
ebb_torch_storage *ebb_torch_find(const ebb_torch *t, const ebb_py *key);    /* or NULL */

/* ---- Entries (tree.c, tensors.c) ------------------------------------------------- */

/* Adds the values of the tree to the archive: tensors as entries, numbers and texts as metadata,
 * under names joined by dots.  The number of steps is limited in proportion to pickle_bytes, the
 * size of the pickle. */
bool ebb_torch_collect(ebb_torch *t, const ebb_py *root, int64_t pickle_bytes);
/* Adds one value of kind TENSOR or STORAGE under t->name. */
bool ebb_torch_tensor(ebb_torch *t, const ebb_py *x);
bool ebb_torch_storage_entry(ebb_torch *t, const ebb_py *x);

#endif
