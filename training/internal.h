/*
 * internal.h - the parts of a saver: items, the names of its files, and the save that is being
 * written.
 */
#ifndef EBB_TRAINING_INTERNAL_H
#define EBB_TRAINING_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "archive/state.h"
#include "training/snapshot.h"
#include "training/training.h"

/* ---- Items (items.c) ------------------------------------------------------------------------- */

typedef struct ebb_saved ebb_saved;

/* The functions of a kind of item. */
typedef struct ebb_saved_kind {
	const char *what; /* "an optimizer" */
	/* Returns the object's own error; NULL: none, or the kind has no errors. */
	const ebb_error *(*fault)(const ebb_saved *x);
	bool (*put)(ebb_saved *x, ebb_archive *a, ebb_error *e);
	/* Checks that the item can be restored, without changing it; all mismatches are added to
	 * c. */
	void (*fits)(ebb_saved *x, const ebb_archive *a, ebb_complaints *c);
	/* Restores the item; called after fits. */
	bool (*take)(ebb_saved *x, const ebb_archive *a, ebb_error *e);
	/* Called if the item was restored only in part: sets an error in the object so that it is
	 * not used.  NULL: not possible for the kind. */
	void (*spoil)(ebb_saved *x, const ebb_error *e);
} ebb_saved_kind;

/* An entry of numbers. */
typedef struct ebb_field {
	const char *suffix; /* appended to the item's name */
	ebb_file_dtype dtype;
	ebb_shape shape;
	void *at; /* NULL: there is no such entry */
} ebb_field;

struct ebb_saved {
	const ebb_saved_kind *kind;
	char *name, *prefix; /* for example "model" and "model." */
	void *object;
	ebb_field field[2];
	uint64_t drawn[2]; /* the state of a tape's random generator */
	size_t size;       /* capacity of a text's buffer */
};

extern const ebb_saved_kind ebb_saved_params, ebb_saved_optim, ebb_saved_averager, ebb_saved_loader,
	ebb_saved_numbers, ebb_saved_tape, ebb_saved_tensor, ebb_saved_text;

/* ---- Files (files.c) ------------------------------------------------------------------------- */

/* The parts of a path: directory (with its slash), name, extension (with its dot). */
typedef struct ebb_saves {
	char *path, *folder;            /* folder: the directory, as a separate string */
	size_t directory, name, length; /* where each part ends, counted from the beginning */
	int keep;
} ebb_saves;

bool ebb_saves_new(ebb_saves *f, const char *path, int keep, ebb_error *e, const char *site);
void ebb_saves_free(ebb_saves *f);
/* The path of the file of a step, or of the best save: step -1.  The caller frees length + 1 bytes.
 * NULL if there is no memory. */
char *ebb_saves_path(const ebb_saves *f, int64_t step);
typedef struct ebb_steps {
	int64_t *at;
	int64_t count, capacity;
} ebb_steps;
/* Lists the steps of the existing files, newest first, and returns their number; with keep = 0 the
 * one file counts as step 0.  The caller frees them.  -1 with an error. */
int64_t ebb_saves_list(const ebb_saves *f, ebb_steps *steps, ebb_error *e);
void ebb_steps_free(ebb_steps *s);
/* A file that a saver with the same path but the other kind of .keep (0 or not) wrote; NULL: there
 * is none, or an error. */
char *ebb_saves_other(const ebb_saves *f, ebb_error *e);
/* Removes files after the file of step is on the disk: all but the last n, and with later also the
 * files of later steps.  Without later, files of later steps remain and do not count. */
bool ebb_saves_prune(const ebb_saves *f, int64_t step, bool later, ebb_error *e);

/* ---- Writing (write.c) ----------------------------------------------------------------------- */

/* A save that is being written, or was written. */
typedef struct ebb_writing {
	const ebb_saves *files;
	ebb_archive *archive;
	char *path;
	int64_t step; /* files of earlier steps are removed afterwards; -1: none */
	bool later;   /* files of later steps may be removed */
	double seconds;
	ebb_error error;
	bool running; /* in a thread of this process */
	atomic_bool ended;
	pid_t process;
	pthread_t thread;
} ebb_writing;

/* Writes archive to path, and frees both.  in_thread: in a new thread, if one can be started. */
void ebb_writing_begin(ebb_writing *w, bool in_thread);
/* Waits until the save is written.  In a child of fork it does not wait, because thread and file
 * are the parent's. */
void ebb_writing_end(ebb_writing *w);
/* Whether a thread has finished, so that ebb_writing_end would not wait. */
bool ebb_writing_has_ended(const ebb_writing *w);
double ebb_writing_now(void); /* seconds */

/* ---- The saver ------------------------------------------------------------------------------- */

void ebb_saver_free_items(ebb_saver *s); /* add.c */
/* An archive that refers to the values of all items in memory, for saver.c and resume.c. */
ebb_archive *ebb_saver_gather(ebb_saver *s, int64_t step, ebb_error *e);
/* Whether all items were added, and no item has an error; an item with an error may be in the
 * middle of a step. */
bool ebb_saver_is_ready(const ebb_saver *s, ebb_error *e);
/* Waits for the save that is being written. */
void ebb_saver_finish(ebb_saver *s);
/* Sets the saver's error, unless it has one. */
void ebb_saver_fail(ebb_saver *s, const ebb_error *e);
extern const char ebb_saver_own[], ebb_saver_step[], ebb_saver_best_score[], ebb_saver_item[],
	ebb_saver_version[];

/* What the saver knows of an earlier run in its files. */
typedef enum ebb_looked {
	EBB_NOT_LOOKED,
	EBB_LOOKED_IN_VAIN, /* a file exists that could not be resumed */
	/* resumed, or no file exists, or a save found no file of a later step */
	EBB_LOOKED
} ebb_looked;

struct ebb_saver {
	ebb_saves files;
	ebb_looked looked;
	bool background;
	ebb_saved **item; /* [count] */
	int64_t count, capacity;
	bool broken; /* adding an item failed */
	/* best_before: the best score without the save that is being written */
	double best, best_before;
	double stall, seconds;
	char note[500];
	char *newest; /* for ebb_saver_newest */
	ebb_snapshot snapshot;
	ebb_writing writing;
	ebb_error error;
};

#endif
