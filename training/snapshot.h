/*
 * snapshot.h - a copy of an archive's values, for whoever writes it while they change.
 */
#ifndef EBB_TRAINING_SNAPSHOT_H
#define EBB_TRAINING_SNAPSHOT_H

#include "archive/archive.h"

/* Memory that is kept from one copy to the next. */
typedef struct ebb_snapshot {
	char *block;
	size_t size;
} ebb_snapshot;

/* Has the memory for a copy, touched, so that copies take no page faults.  False without memory. */
bool ebb_snapshot_room(ebb_snapshot *s, const ebb_archive *a);
/* An archive of the same names, types, shapes and metadata, with values of its own; they live
 * until the next copy.  NULL without memory. */
ebb_archive *ebb_snapshot_copy(ebb_snapshot *s, const ebb_archive *a);
void ebb_snapshot_free(ebb_snapshot *s);

#endif
