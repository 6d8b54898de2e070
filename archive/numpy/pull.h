/*
 * pull.h - the values of an entry, for a writer that asks for them piece by piece.
 */
#ifndef EBB_ARCHIVE_PULL_H
#define EBB_ARCHIVE_PULL_H

#include "archive/internal.h"

typedef struct ebb_pull {
	const ebb_archive *a;
	const ebb_archived *x;
	ebb_archived view;     /* x in its own type, a tensor as memory */
	int64_t count, next;   /* elements, and how many have been asked for */
	int64_t most;          /* elements of a piece */
	char *piece, *own;     /* [most] in x's type; in view's, where that is another */
	int64_t filled, taken; /* bytes of piece */
} ebb_pull;

/* Begins at the first value.  False with an error; ebb_pull_close then too. */
bool ebb_pull_open(ebb_pull *p, const ebb_archive *a, const ebb_archived *x, ebb_error *e);
/* The next n bytes, row-major and little-endian, fewer only at the end; -1 with an error. */
int64_t ebb_pull_read(ebb_pull *p, void *to, int64_t n, ebb_error *e);
void ebb_pull_close(ebb_pull *p);

#endif
