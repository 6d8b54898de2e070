/*
 * npy.h - the header of NumPy's .npy files.
 */
#ifndef EBB_ARCHIVE_NPY_H
#define EBB_ARCHIVE_NPY_H

#include "archive/internal.h"

/* The content of the header's dictionary. */
typedef struct ebb_npy_text {
	const char
		/* [descr_size], inside the header: a type's name, or the text of another literal */
		*descr;
	size_t descr_size;
	bool named; /* descr is a type's name */
	bool fortran;
	ebb_shape shape;
} ebb_npy_text;

/* Parses the dictionary of n bytes of a header.  Returns NULL, or a description of the error, and
 * its position in *at. */
const char *ebb_npy_parse(const char *header, size_t n, ebb_npy_text *text, size_t *at);

/* Writes the magic number, version, length and dictionary of a row-major, little-endian array to
 * bytes, which has EBB_NPY_HEADER bytes.  Returns the size, a multiple of 64, or 0 for a type that
 * NumPy does not have. */
enum { EBB_NPY_HEADER = 320 };
size_t ebb_npy_write_header(ebb_file_dtype dtype, ebb_shape shape, char *bytes);

#endif
