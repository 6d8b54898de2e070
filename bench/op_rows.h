/* op_rows.h - the rows of the benchmark ops: kernels over the shapes of the networks that are
 * measured. */
#ifndef EBB_BENCH_OP_ROWS_H
#define EBB_BENCH_OP_ROWS_H

#include "kernels/kernels.h"

enum { OP_BUFFERS = 5 };

typedef struct op_row op_row;

/* One kernel with one shape. */
struct op_row {
	char name[80];
	double flops; /* operations of a call; 0 if memory is the limit, and then bytes is set */
	double bytes; /* bytes that a call has to read and write */
	/* Floats in each buffer that a call reads or writes, and bytes of workspace. */
	size_t floats[OP_BUFFERS], workspace;
	/* Called before the first run, to write what run reads; or NULL. */
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

/* Sets *r to row number i; false if there are no more rows. */
bool op_row_at(int i, const ebb_kernels *k, op_row *r);

#endif
