/*
 * pull.h - the values of an entry, for a writer that pulls them in parts.
 */
#ifndef EBB_ARCHIVE_PULL_H
#define EBB_ARCHIVE_PULL_H

#include "archive/internal.h"

typedef struct ebb_pull {
	const ebb_archive *a;
	const ebb_archived *x;
	ebb_archived view;     /* x in its own type, a tensor as memory */
	int64_t count, next;   /* elements; elements that were read */
	int64_t most;          /* elements in a part */
	char *piece, *own;     /* [most] in x's type; in view's type if that differs */
	int64_t filled, taken; /* bytes in piece */
} ebb_pull;

/* Starts at the first value.  False with an error; ebb_pull_close must be called in both cases. */
bool ebb_pull_open(ebb_pull *p, const ebb_archive *a, const ebb_archived *x, ebb_error *e);
/* Reads the next n bytes, row-major and little-endian; fewer only at the end; -1 with an error. */
int64_t ebb_pull_read(ebb_pull *p, void *to, int64_t n, ebb_error *e);
void ebb_pull_close(ebb_pull *p);

#endif
