/*
 * snapshot.h - a copy of an archive's values, so that a thread can write it while the originals
 * change.
 */
#ifndef EBB_TRAINING_SNAPSHOT_H
#define EBB_TRAINING_SNAPSHOT_H

#include "archive/archive.h"

/* Memory that is reused by the next copy. */
typedef struct ebb_snapshot {
	char *block;
	size_t size;
} ebb_snapshot;

/* Allocates the memory for a copy, and writes to it, so that copies cause no page faults.  False if
 * there is no memory. */
bool ebb_snapshot_room(ebb_snapshot *s, const ebb_archive *a);
/* An archive of the same names, types, shapes and metadata, with a copy of the values, which is
 * valid until the next copy.  NULL if there is no memory. */
ebb_archive *ebb_snapshot_copy(ebb_snapshot *s, const ebb_archive *a);
void ebb_snapshot_free(ebb_snapshot *s);

#endif
