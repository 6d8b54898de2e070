/*
 * npy.h - the header of NumPy's .npy files as it is written there.
 */
#ifndef EBB_ARCHIVE_NPY_H
#define EBB_ARCHIVE_NPY_H

#include "archive/internal.h"

/* What the header's dictionary says. */
typedef struct ebb_npy_text {
	const char
		*descr; /* [descr_size], in the header: a type's name, or all of another literal */
	size_t descr_size;
	bool named; /* descr is a name */
	bool fortran;
	ebb_shape shape;
} ebb_npy_text;

/* Reads the dictionary of n bytes of a header.  NULL, or what is wrong, and *at where. */
const char *ebb_npy_parse(const char *header, size_t n, ebb_npy_text *text, size_t *at);

/* Magic number, version, length and dictionary of an array in row-major order, little-endian.
 * bytes has room for EBB_NPY_HEADER; returns how many it has, a multiple of 64.  0 for a type
 * that NumPy has not. */
enum { EBB_NPY_HEADER = 320 };
size_t ebb_npy_write_header(ebb_file_dtype dtype, ebb_shape shape, char *bytes);

#endif
