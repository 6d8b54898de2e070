/*
 * pickle.h - the content of a PyTorch pickle, as a tree of values.
 *
 * The interpreter accepts the opcodes of protocols 2 to 5 that torch.save writes.  The name of a
 * Python function or class (a global) is a value.  Calling a global is either a rule of
 * pickle_globals.c or refused.  Nothing is imported and nothing is executed.
 */
#ifndef EBB_ARCHIVE_PICKLE_H
#define EBB_ARCHIVE_PICKLE_H

#include <string.h>

#include "archive/internal.h"

/* ---- Values --------------------------------------------------------------------------------- */

typedef enum ebb_py_kind {
	EBB_PY_NONE,
	EBB_PY_BOOL,
	EBB_PY_INT,
	EBB_PY_LONG, /* integers that int64_t cannot hold: little-endian bytes, two's complement */
	EBB_PY_FLOAT,
	EBB_PY_TEXT, /* str, and Python 2's str, which has no encoding */
	EBB_PY_BYTES,
	EBB_PY_TUPLE,
	EBB_PY_LIST,
	EBB_PY_DICT,
	EBB_PY_SET, /* without its elements */
	EBB_PY_GLOBAL,
	EBB_PY_STORAGE, /* item: the tuple of the persistent id, which begins with "storage" */
	EBB_PY_TENSOR,  /* item: the arguments of the function that created it */
	EBB_PY_NUMPY_TYPE
} ebb_py_kind;

/* The meaning of a global, when called or as an argument of a call. */
typedef enum ebb_py_meaning {
	EBB_PY_NOTHING,
	EBB_PY_PLAIN_DICT, /* of a value of kind DICT: {} */
	EBB_PY_ORDERED_DICT,
	EBB_PY_DEFAULT_DICT,
	EBB_PY_COUNTER,
	EBB_PY_NAMESPACE,
	EBB_PY_SET_TYPE,
	EBB_PY_SIZE,
	EBB_PY_DEVICE,
	EBB_PY_LAYOUT,
	EBB_PY_REBUILD,           /* (storage, offset, size, strides) */
	EBB_PY_REBUILD_2,         /* (..., requires_grad, hooks[, metadata]) */
	EBB_PY_REBUILD_3,         /* (..., requires_grad, hooks, dtype[, metadata]) */
	EBB_PY_REBUILD_QUANTIZED, /* (storage, offset, size, strides, quantizer, ...) */
	EBB_PY_REBUILD_SPARSE,    /* (layout, (indices, values, size, ...)) */
	EBB_PY_REBUILD_META,      /* (dtype, size, strides, requires_grad) */
	EBB_PY_REBUILD_PARAMETER, /* (tensor, requires_grad, hooks[, state]) */
	EBB_PY_REBUILD_TYPE,      /* (function, class, arguments, state) */
	EBB_PY_TENSOR_TYPE,
	EBB_PY_STORAGE_TYPE,
	EBB_PY_DTYPE,
	EBB_PY_NUMPY_DTYPE,
	EBB_PY_NUMPY_SCALAR,
	EBB_PY_ENCODE
} ebb_py_meaning;

typedef struct ebb_py ebb_py;
struct ebb_py {
	uint8_t kind;
	uint8_t meaning;       /* GLOBAL: its row; TENSOR, DICT: which; NUMPY_TYPE: is big-endian */
	uint8_t log2_capacity; /* LIST, DICT: the logarithm of the capacity of item */
	uint32_t n;            /* bytes; or elements; or keys and values */
	union {
		int64_t i; /* INT, and BOOL: 0 or 1 */
		double f;
		const uint8_t *bytes; /* TEXT, BYTES, LONG, NUMPY_TYPE: in the pickle's memory */
		/* other kinds; DICT: key, value, key, value...; GLOBAL: module, name */
		ebb_py **item;
	};
};

/* One row of the list of known globals. */
typedef struct ebb_py_name {
	const char *module, *name;
	ebb_py_meaning meaning;
	ebb_file_dtype dtype; /* of STORAGE_TYPE and DTYPE */
	const char *other;    /* if dtype is EBB_FILE_OTHER */
	int size;             /* bytes of an element of STORAGE_TYPE */
} ebb_py_name;

static inline bool ebb_py_is(const ebb_py *x, const char *text)
{
	return x->kind == EBB_PY_TEXT && x->n == strlen(text) && memcmp(x->bytes, text, x->n) == 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* The memory of the values of all pickles of a file.  It is counted towards the archive's limit,
 * and subtracted when freed. */
typedef struct ebb_py_heap {
	ebb_archive *a;
	ebb_error *e;
	ebb_arena arena;
	int64_t charged;
	ebb_py none, truth[2], empty; /* shared constants: empty is a tuple */
} ebb_py_heap;

void ebb_py_begin(ebb_py_heap *h, ebb_archive *a, ebb_error *e);
void ebb_py_end(ebb_py_heap *h);
void *ebb_py_take(ebb_py_heap *h, size_t n); /* NULL with an error */
/* Grow and free *array, as ebb_grow and ebb_free do, with counting. */
bool ebb_py_room(ebb_py_heap *h, void *array, int64_t *capacity, int64_t n, size_t element);
void ebb_py_give(ebb_py_heap *h, void *array, int64_t capacity, size_t element);

typedef struct ebb_pickle {
	ebb_py_heap *heap;
	const char *what; /* "data.pkl", for error messages */
	const uint8_t *bytes;
	int64_t size;
	int64_t origin; /* the position of bytes in the offsets of error messages */
	/* the opcode: its position, the next one's, and its argument */
	int64_t at, next;
	const uint8_t *arg;
	int64_t arg_n;
	ebb_py **stack;
	int64_t depth, capacity;
	int64_t *mark; /* depths of the stack */
	int64_t marks, mark_capacity;
	union ebb_py_page *memo;
	uint32_t memoized;
	ebb_py **storage; /* every STORAGE, in the order of the pickle */
	int64_t storages, storage_capacity;
} ebb_pickle;

/* Interprets a pickle, which must use all bytes.  Returns its value; NULL with an error in the
 * heap's e.  storage is valid until ebb_pickle_free, which must be called after a failure too. */
ebb_py *ebb_pickle_load(ebb_pickle *p);
void ebb_pickle_free(ebb_pickle *p);
/* The number of bytes, at most most, from offset at of a file to the end of the pickle that begins
 * there; -1 with an error. */
int64_t ebb_pickle_measure(ebb_archive *a, const ebb_input *in, const char *what, int64_t at,
	int64_t most, ebb_error *e);

ebb_py *ebb_py_new(ebb_pickle *p, ebb_py_kind kind);
bool ebb_py_append(ebb_pickle *p, ebb_py *to, ebb_py *x); /* appends x to item of a LIST or DICT */
/* The memo: writes a value under an index; reads it, or NULL. */
bool ebb_py_put(ebb_pickle *p, uint32_t index, ebb_py *x);
ebb_py *ebb_py_get(const ebb_pickle *p, uint32_t index);
/* Sets the error "PATH: what text"; returns false. */
bool ebb_pickle_refuse(ebb_pickle *p, const char *format, ...) EBB_PRINTF(2, 3);

/* ---- Opcodes (pickle_opcodes.c) -------------------------------------------------------------- */

/* The argument of an opcode: a number of bytes, or one of these. */
enum {
	EBB_ARG_COUNT1 = -1,  /* a count in 1 byte, and then as many bytes */
	EBB_ARG_COUNT4 = -4,  /* a little-endian count in 4 bytes */
	EBB_ARG_COUNT8 = -8,  /* in 8 bytes */
	EBB_ARG_LINE = -20,   /* a line */
	EBB_ARG_LINES = -21,  /* two lines */
	EBB_ARG_REFUSED = -30 /* an opcode that is refused */
};
int ebb_opcode_argument(uint8_t op);
/* Sets an error that the opcode at the offset is refused, with its name; returns false. */
bool ebb_opcode_refuse(
	const ebb_archive *a, const char *what, uint8_t op, int64_t offset, ebb_error *e);
uint64_t ebb_little_endian(const uint8_t *bytes, int n);

/* ---- Globals (pickle_globals.c) -------------------------------------------------------------- */

/* The row of a known global, or NULL. */
const ebb_py_name *ebb_py_named(const ebb_py *x);
ebb_py_meaning ebb_py_means(const ebb_py *x); /* NOTHING if x is not a known global */
ebb_py *ebb_py_global(ebb_pickle *p, ebb_py *module, ebb_py *name);
/* Opcodes that create objects.  NULL (false) with an error for everything that is not on the
 * list. */
ebb_py *ebb_py_call(ebb_pickle *p, ebb_py *function, ebb_py *args); /* REDUCE */
ebb_py *ebb_py_make(ebb_pickle *p, ebb_py *class, ebb_py *args);    /* NEWOBJ */
bool ebb_py_build(ebb_pickle *p, ebb_py *object, ebb_py *state);    /* BUILD */
ebb_py *ebb_py_persistent(ebb_pickle *p, ebb_py *id);               /* BINPERSID */

/* ---- Numbers and texts (pickle_scalars.c) ---------------------------------------------------- */

/* The value of an opcode that reads nothing from the stack. */
ebb_py *ebb_py_constant(ebb_pickle *p, uint8_t op);
/* numpy.dtype(name, ...); setting its state; and a scalar of such a type from bytes. */
ebb_py *ebb_numpy_dtype(ebb_pickle *p, ebb_py *args);
bool ebb_numpy_dtype_build(ebb_pickle *p, ebb_py *type, ebb_py *state);
ebb_py *ebb_numpy_scalar(ebb_pickle *p, ebb_py *args);
/* Formats a number or bool as text that parses to the same value.  Returns its length, or -1 if x
 * is neither, or an integer of more than 64 bits. */
enum { EBB_PY_NUMBER = 40 };
int ebb_py_number(const ebb_py *x, char buffer[EBB_PY_NUMBER]);

#endif
