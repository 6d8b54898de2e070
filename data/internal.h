/*
 * internal.h - compressed files and the strokes of digits, for data/ and its tests only.
 */
#ifndef EBB_DATA_INTERNAL_H
#define EBB_DATA_INTERNAL_H

#include "data/data.h"

/* ---- Files, plain or gzipped (source.c) ----------------------------------------------------- */

typedef struct ebb_source ebb_source;
/* NULL with an error for a file that cannot be opened or read. */
ebb_source *ebb_source_open(const char *path, ebb_error *e);
/* Reads up to n bytes; less only at the end.  -1 with an error if reading or unpacking fails. */
int64_t ebb_source_read(ebb_source *s, void *to, int64_t n, ebb_error *e);
/* The most bytes that the whole file can hold once unpacked: its size, or what deflate could at
 * best have packed into it. */
int64_t ebb_source_bound(const ebb_source *s);
void ebb_source_close(ebb_source *s);

/* ---- Strokes (strokes.c) -------------------------------------------------------------------- */

enum { EBB_MAX_INK = 256 };

/* Pen positions in the unit square, y downwards; start lifts the pen before this point. */
typedef struct ebb_ink {
	int count;
	struct {
		float x, y;
		bool start;
	} at[EBB_MAX_INK];
} ebb_ink;

/* How many hands (ways of writing) there are of a digit. */
int ebb_digit_hands(int digit);
/* One of them as a polyline. */
void ebb_digit_trace(int digit, int hand, ebb_ink *ink);

#endif
