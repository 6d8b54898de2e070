/*
 * torch.h - what a file of torch.save holds: a tree of values, and the storages that its tensors
 * lie in.
 */
#ifndef EBB_ARCHIVE_TORCH_H
#define EBB_ARCHIVE_TORCH_H

#include "archive/torch/pickle.h"

/* A run of elements that tensors are views of, under a key of the file. */
typedef struct ebb_torch_storage {
	const uint8_t *key;
	uint32_t key_bytes;
	int element; /* bytes; of the older format */
	int64_t count;
	bool present;
	ebb_blob blob;
} ebb_torch_storage;

typedef struct ebb_torch {
	ebb_py_heap heap;
	const char *what; /* the pickle, for messages */
	bool big_endian;  /* bytes of storages */
	ebb_torch_storage *storage;
	int64_t storages;
	/* of the visit: the name so far, and how many steps it may still take */
	char *name;
	int64_t name_bytes, name_capacity;
	int64_t steps;
} ebb_torch;

/* ---- Storages (storages.c) ------------------------------------------------------------- */

/* Sorts the storages by key, in time n log n whatever the keys are. */
void ebb_torch_sort(ebb_torch *t);
bool ebb_torch_same(const ebb_torch_storage *a, const ebb_torch_storage *b); /* by key */
ebb_torch_storage *ebb_torch_find(const ebb_torch *t, const ebb_py *key);    /* or NULL */

/* ---- Entries (tree.c, tensors.c) ------------------------------------------------- */

/* Adds to the archive what the tree holds: tensors as entries and numbers and texts as metadata,
 * under names joined by dots.  pickle_bytes: what the tree was made of; the steps are about
 * linear in it. */
bool ebb_torch_collect(ebb_torch *t, const ebb_py *root, int64_t pickle_bytes);
/* Adds one value of kind TENSOR or STORAGE under t->name. */
bool ebb_torch_tensor(ebb_torch *t, const ebb_py *x);
bool ebb_torch_storage_entry(ebb_torch *t, const ebb_py *x);

#endif
