/* pickle_reading.h - reads a pickle from memory; parts that many test pickles contain. */
#ifndef EBB_TESTS_ARCHIVE_PICKLE_READING_H
#define EBB_TESTS_ARCHIVE_PICKLE_READING_H

#include "archive/torch/pickle.h"

#include "tests/support/support.h"

typedef struct reading {
	ebb_archive *a;
	ebb_py_heap heap;
	ebb_pickle p;
	ebb_error e;
	const ebb_py *root;
} reading;

static inline void begin(reading *r, const void *bytes, size_t n)
{
	*r = (reading){.root = NULL};
	r->a = ebb_archive_of_file("FILE", 0, 0, &r->e);
	if (!r->a)
		return;
	ebb_py_begin(&r->heap, r->a, &r->e);
	r->p = (ebb_pickle){
		.heap = &r->heap, .what = "data.pkl", .bytes = bytes, .size = (int64_t)n};
	if (ebb_archive_expect(r->a, (int64_t)n, "data.pkl", &r->e))
		r->root = ebb_pickle_load(&r->p);
}

static inline void end(reading *r)
{
	if (r->a) {
		ebb_pickle_free(&r->p);
		ebb_py_end(&r->heap);
		ck_assert_int_eq(r->a->taken, 0);
	}
	ebb_archive_free(r->a);
}

typedef struct pickled {
	const char *bytes;
	size_t n;
	const char *says;
} pickled;
#define PICKLE(bytes, says)                                                                        \
	{                                                                                          \
		bytes, sizeof bytes - 1, says                                                      \
	}

/* ("storage", torch.FloatStorage, "0", "cpu", 6) and BINPERSID */
#define STORAGE                                                                                    \
	"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                         \
	"0X\3\0\0\0cpuK\6tQ"
#define ORDERED "ccollections\nOrderedDict\n)R"
#define TENSOR                                                                                     \
	"ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE "K\0K\2K\3\x86K\3K\1\x86\x89" ORDERED "tR"
/* A NumPy scalar: its type, byte order, and bytes with their count. */
#define SCALAR(type, order, bytes)                                                                 \
	"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(U\2" type "\x89\x88tR(K\3U\1" order       \
	"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbC" bytes "\x86R."

#endif
