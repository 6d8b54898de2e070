/* op_rows.h - the kernels that ops times, over the shapes of the networks that are measured. */
#ifndef EBB_BENCH_OP_ROWS_H
#define EBB_BENCH_OP_ROWS_H

#include "kernels/kernels.h"

enum { OP_BUFFERS = 5 };

typedef struct op_row op_row;

/* One call of a kernel. */
struct op_row {
	char name[80];
	double flops; /* of a call; 0 where memory is the limit ... */
	double bytes; /* ... which are then those that have to be read and written */
	/* Floats in each buffer that a call reads or writes, and bytes of scratch. */
	size_t floats[OP_BUFFERS], workspace;
	/* Before the first call, where it reads what another kernel has written; or NULL. */
	void (*prepare)(const op_row *r, const ebb_kernels *k, float **buffer, void *workspace);
	void (*run)(const op_row *r, const ebb_kernels *k, float **buffer, void *workspace);
	union {
		ebb_conv_shape conv;
		ebb_pool_shape pool;
		struct {
			int64_t m, n, k;
		} product;
		struct {
			int64_t rows, columns;
		} matrix;
	} shape;
};

/* Number i of all rows; false when there are no more. */
bool op_row_at(int i, const ebb_kernels *k, op_row *r);

#endif
