/*
 * training.h - savers: training checkpoints, from which a run that was stopped goes on bit for bit.
 *
 * A saver knows all that a run's next step depends on, by name, and keeps it in one safetensors file.
 * Resumed, a run computes what it would have computed without the stop.
 *
 *	ebb_saver *saver = ebb_saver_new("runs/lenet.safetensors", .keep = 3, .error = &e);
 *	ebb_saver_add(saver, "model", p);
 *	ebb_saver_add(saver, "optimizer", opt);
 *	ebb_saver_add(saver, "tape", t);
 *	ebb_saver_add(saver, "loader", loader);
 *	ebb_saver_add(saver, "loss", &loss);
 *	int64_t step = ebb_saver_resume(saver);
 *	if (ebb_saver_error(saver))
 *		return false;  there is a run, but not this one's, or damaged
 *	if (step < 0)
 *		step = 0;  there was none
 *	for (int64_t epoch = ebb_loader_epoch(loader); epoch < EPOCHS; epoch++) {
 *		while (ebb_loader_next(loader, &batch)) {
 *			...
 *			if (++step % 500 == 0)
 *				ebb_saver_save(saver, step);
 *		}
 *		loss = (ebb_average){0};  of the next epoch: a run that is resumed goes on with what it had
 *		ebb_saver_save(saver, step);
 *	}
 *	bool saved = ebb_saver_wait(saver);
 *	ebb_saver_free(saver);
 *
 * (A gradient checkpoint is something else: ebb_checkpoint, autograd.h.)
 *
 * A saver's first error stays until ebb_saver_clear_error, but saving goes on being tried.  A saver is for one
 * thread at a time, the one that trains.
 */
#ifndef EBB_TRAINING_H
#define EBB_TRAINING_H

#include "../autograd/autograd.h"
#include "../data/data.h"
#include "../nn/nn.h"
#include "../optim/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Making (saver.c) ----------------------------------------------------------------------- */

/* A saver that writes to path, a safetensors file in a directory that exists.
 *
 * .keep = n: the last n, each in a file of its own, named by its step:
 * runs/lenet-000000001200.safetensors for a path runs/lenet.safetensors.  Once one is on the
 * disk, those before the last n are removed.  0: one file at path, replaced by each save.
 *
 * A run that was forgotten is not lost: with .keep, where there are files of later steps than
 * the one to be saved, a saver's first save is refused until ebb_saver_resume has looked at
 * them.  After that they are removed: the newest that can be read was taken, so that those
 * beyond are damaged, or of steps that are made again. With .keep or without, a saver whose
 * first ebb_saver_resume was an error saves nothing while there is a file that it would have
 * read, until another ebb_saver_resume succeeds.
 *
 * .background: a save only copies what is to be saved, and a thread writes it while training
 * goes on.  The copy takes as much memory as the file is large, from ebb_saver_add on.  Where
 * there is no memory or no thread, a save is as without .background.
 *
 * NULL with an error in .error for no path, a directory that is not there, a negative number, no
 * memory. */
typedef struct ebb_saver ebb_saver;
typedef struct ebb_saver_args {
	const char *path;
	int keep;
	bool background;
	ebb_error *error;
	const char *site;
} ebb_saver_args;
EBB_API ebb_saver *ebb_saver_new(const ebb_saver_args *a);
/* Waits for what is being written. */
EBB_API void ebb_saver_free(ebb_saver *s);

/* The first error, or NULL if there was none.  For a NULL saver: that there is none. */
EBB_API const ebb_error *ebb_saver_error(ebb_saver *s);
EBB_API void ebb_saver_clear_error(ebb_saver *s);

/* ---- What is saved (add.c, items.c) --------------------------------------------------------- */

/* ebb_saver_add(saver, name, x) by x's type, whose functions C++ calls by their names.  What x
 * points to must outlive its use by the saver; it is read at each save and written by
 * ebb_saver_resume.  name: dotted parts, none of them empty, UTF-8; none may be, or continue,
 * another's ("net" and "net.ema"), and "saver" is taken.
 *
 * In the file a store's parameters and buffers are called NAME.conv1.weight and so on, so that
 * ebb_params_load with .prefix = "NAME.", and Python's safetensors, read weights out of a
 * checkpoint.  Which parameters are frozen is saved too.  Of an optimizer and of a loader there
 * is what optim.h and data.h say; of a tape its random state (NAME.random); of an average
 * NAME.sum and NAME.weight; numbers and arrays are what they are.  A tensor is a stored one.
 *
 * False (an error in the saver, which then saves and resumes nothing) for a NULL x, a name that
 * may not be, no memory. */
EBB_API bool ebb_saver_add_params(ebb_saver *s, const char *name, ebb_params *p);
EBB_API bool ebb_saver_add_optim(ebb_saver *s, const char *name, ebb_optim *o);
EBB_API bool ebb_saver_add_tape(ebb_saver *s, const char *name, ebb_tape *t);
EBB_API bool ebb_saver_add_loader(ebb_saver *s, const char *name, ebb_loader *l);
EBB_API bool ebb_saver_add_average(ebb_saver *s, const char *name, ebb_average *a);
EBB_API bool ebb_saver_add_tensor(ebb_saver *s, const char *name, ebb_tensor *x);
EBB_API bool ebb_saver_add_f64(ebb_saver *s, const char *name, double *x);
EBB_API bool ebb_saver_add_i64(ebb_saver *s, const char *name, int64_t *x);
EBB_API bool ebb_saver_add_u64(ebb_saver *s, const char *name, uint64_t *x);
EBB_API bool ebb_saver_add_int(ebb_saver *s, const char *name, int *x);
EBB_API bool ebb_saver_add_bool(ebb_saver *s, const char *name, bool *x);
/* count numbers; and a text, UTF-8, in size bytes of the caller's with its NUL (it is metadata of
 * the file). */
EBB_API bool ebb_saver_add_f64s(ebb_saver *s, const char *name, double *x, int64_t count);
EBB_API bool ebb_saver_add_text(ebb_saver *s, const char *name, char *x, size_t size);

/* ---- Saving ---------------------------------------------------------------------------------- */

/* Saves what was added, as it is now, as that step (from 0).  Gradients are not saved: save
 * between a step and the next ebb_backward.  Where the gradients of several batches are summed
 * for one step, a save between those batches loses the sum.  False, with an error in the saver,
 * if it cannot be written, or a former run would be lost (see .keep), and whatever was there
 * before stays; or if a tape, a store, an optimizer or a loader that was added has an error. 
 * With .background true says that it is on its way; whether it arrives, ebb_saver_wait and
 * ebb_saver_error tell.  A save waits until the former one is written.  In a child of fork, what
 * the parent is writing is the parent's alone. */
EBB_API bool ebb_saver_save(ebb_saver *s, int64_t step);
/* The same to runs/lenet-best.safetensors, if score is above every one before (a NaN is not);
 * true if it is, and is saved.  Every later save has the best score.  One before it, of the same
 * step or an earlier one, takes it from this file when it is resumed. */
EBB_API bool ebb_saver_save_best(ebb_saver *s, int64_t step, double score);
EBB_API double ebb_saver_best(const ebb_saver *s); /* -infinity if there was none */
/* Returns when what is being written is on the disk.  False if the saver has an error. */
EBB_API bool ebb_saver_wait(ebb_saver *s);
/* Seconds: how long the last save held the caller up; how long the last that has ended took to be
 * written. */
EBB_API double ebb_saver_stall(const ebb_saver *s);
EBB_API double ebb_saver_seconds(const ebb_saver *s);

/* ---- Resuming -------------------------------------------------------------------------------- */

/* Puts everything that was added into the state of the newest save, and returns its step; -1 if
 * there is none (nothing is changed), or with an error in the saver.  All is checked before
 * anything changes: what was added must be what was saved, by name, type, shape and settings,
 * and a file with less or more is an error that names what differs.  Gradients are forgotten. 
 * Only if the file fails while values are read (an I/O error) are they lost: the stores that
 * were added then have that error, and no step is made with them.
 *
 * .keep: where the newest file is damaged, the one before is taken, and ebb_saver_note says so. 
 * One that cannot be opened (for want of a permission, say) is an error.  Files of a saver
 * without .keep, or the other way round, are an error and not taken.  A damaged file is one
 * whose header or size is wrong: values have no checksum.
 *
 * To go on from the best one, resume with a saver without .keep whose path is that file.  The
 * learning rate is the saved one, whatever the optimizer was made with.  What an augmentation
 * does, and a loader's mean and std, are the program's: they are not compared. */
EBB_API int64_t ebb_saver_resume(ebb_saver *s);
/* What ebb_saver_resume has passed over, and why; NULL: nothing. */
EBB_API const char *ebb_saver_note(const ebb_saver *s);
/* The path of the newest save, this saver's or a former run's; NULL if there is none.  Valid
 * until the saver's next call. */
EBB_API const char *ebb_saver_newest(ebb_saver *s);

/* ---- The macros that add the call site, and choose by type ----------------------------------- */

#ifndef __cplusplus
#define ebb_saver_new(...) ebb_saver_new(&(ebb_saver_args){__VA_ARGS__, .site = EBB_SITE})
/* An array would decay to a pointer to its first element: ebb_saver_add_f64s takes all of it. */
#define ebb_saver_add(s, name, x)                                                                  \
	((void)sizeof(char[sizeof(x) == sizeof(void *) ? 1 : -1]), EBB_SAVER_ADD_(x)(s, name, x))
#define EBB_SAVER_ADD_(x)                                                                          \
	_Generic((x), ebb_params *: ebb_saver_add_params, ebb_optim *: ebb_saver_add_optim,        \
		ebb_tape *: ebb_saver_add_tape, ebb_loader *: ebb_saver_add_loader,                \
		ebb_average *: ebb_saver_add_average, ebb_tensor *: ebb_saver_add_tensor,          \
		double *: ebb_saver_add_f64, int64_t *: ebb_saver_add_i64,                         \
		uint64_t *: ebb_saver_add_u64, int *: ebb_saver_add_int,                           \
		bool *: ebb_saver_add_bool)
#endif

#ifdef __cplusplus
}
#endif
#endif
