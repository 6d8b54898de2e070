/*
 * training.h - savers: training checkpoints, from which an interrupted run resumes with
 * bit-identical results.
 *
 * A saver writes the objects that were added to it (stores, optimizers, loaders, tapes, numbers),
 * each under its name, into one safetensors file.  Add everything that the next step of the run
 * depends on.  A resumed run computes what it would have computed without the interruption.
 *
 *	ebb_saver *saver = ebb_saver_new("runs/lenet.safetensors", .keep = 3, .error = &e);
 *	ebb_saver_add(saver, "model", p);
 *	ebb_saver_add(saver, "optimizer", opt);
 *	ebb_saver_add(saver, "tape", t);
 *	ebb_saver_add(saver, "loader", loader);
 *	ebb_saver_add(saver, "loss", &loss);
 *	int64_t step = ebb_saver_resume(saver);
 *	if (ebb_saver_error(saver))
 *		return false;  the file belongs to another run, or is damaged
 *	if (step < 0)
 *		step = 0;  there is no checkpoint yet
 *	for (int64_t epoch = ebb_loader_epoch(loader); epoch < EPOCHS; epoch++) {
 *		while (ebb_loader_next(loader, &batch)) {
 *			...
 *			if (++step % 500 == 0)
 *				ebb_saver_save(saver, step);
 *		}
 *		loss = (ebb_average){0};  reset here, so that a resumed epoch continues its average
 *		ebb_saver_save(saver, step);
 *	}
 *	bool saved = ebb_saver_wait(saver);
 *	ebb_saver_free(saver);
 *
 * (Gradient checkpointing, which recomputes activations in the backward pass, has nothing to do
 * with savers: see ebb_checkpoint in autograd.h.)
 *
 * A saver keeps its first error until ebb_saver_clear_error, but still tries every later save.
 * Only one thread may use a saver: the one that trains.
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

/* ---- Construction (saver.c) ----------------------------------------------------------------- */

/* A saver that writes to path, a safetensors file in a directory that exists.
 *
 * .keep = n: keeps the last n checkpoints, each in a file named by its step:
 * runs/lenet-000000001200.safetensors for a path runs/lenet.safetensors.  Older files are removed
 * once a new one is on the disk.  .keep = 0: one file at path, which each save replaces.
 *
 * A saver does not overwrite an earlier run by mistake.  With .keep, the first save of a saver is
 * refused if there are files of later steps than the step to be saved; call ebb_saver_resume first.
 * A save after ebb_saver_resume removes files of later steps than its own: they are damaged,
 * because ebb_saver_resume would have read them otherwise, or the run computes their steps again.
 * If the first ebb_saver_resume of a saver fails, with .keep or without, saves are refused until a
 * later ebb_saver_resume succeeds, or until the checkpoint files of the earlier run are removed.
 *
 * .background: ebb_saver_save only copies the values, and a thread writes the copy while training
 * continues.  The memory for the copy is as large as the file, and is allocated by ebb_saver_add.
 * If there is no memory for the copy, or no thread, ebb_saver_save writes the file in the caller's
 * thread.
 *
 * NULL with an error in .error for no path, a directory that does not exist, a negative number, out
 * of memory. */
typedef struct ebb_saver ebb_saver;
typedef struct ebb_saver_args {
	const char *path;
	int keep;
	bool background;
	ebb_error *error;
	const char *site;
} ebb_saver_args;
EBB_API ebb_saver *ebb_saver_new(const ebb_saver_args *a);
/* Waits for a background write, then frees the saver. */
EBB_API void ebb_saver_free(ebb_saver *s);

/* The saver's first error, or NULL.  For a NULL saver: an error that says so. */
EBB_API const ebb_error *ebb_saver_error(ebb_saver *s);
EBB_API void ebb_saver_clear_error(ebb_saver *s);

/* ---- Adding what is saved (add.c, items.c) -------------------------------------------------- */

/* ebb_saver_add(saver, name, x) selects one of these functions by the type of x.  The saver reads *x
 * at each save, and ebb_saver_resume writes it; *x must stay valid as long as the saver is used.
 * name: UTF-8, parts joined by dots, none of them empty.  A name may
 * not equal another one, nor extend it by a dot ("net" and "net.ema"); "saver" is reserved.
 *
 * In the file a store's parameters and buffers are called NAME.conv1.weight and so on, so that
 * ebb_params_load with .prefix = "NAME.", and Python's safetensors, can read the weights of a
 * checkpoint.  A store also saves which parameters are frozen.  optim.h and data.h say what an
 * optimizer, an averager and a loader save.  Of a tape, the state of its random generator is saved
 * (NAME.random); of an ebb_average, its members NAME.sum and NAME.weight; of numbers and arrays,
 * their values.  A tensor must be persistent.
 *
 * False for a NULL x, a name that is not allowed, and out of memory.  The saver then has the error,
 * and saves and resumes nothing. */
EBB_API bool ebb_saver_add_params(ebb_saver *s, const char *name, ebb_params *p);
EBB_API bool ebb_saver_add_optim(ebb_saver *s, const char *name, ebb_optim *o);
EBB_API bool ebb_saver_add_averager(ebb_saver *s, const char *name, ebb_averager *a);
EBB_API bool ebb_saver_add_tape(ebb_saver *s, const char *name, ebb_tape *t);
EBB_API bool ebb_saver_add_loader(ebb_saver *s, const char *name, ebb_loader *l);
EBB_API bool ebb_saver_add_average(ebb_saver *s, const char *name, ebb_average *a);
EBB_API bool ebb_saver_add_tensor(ebb_saver *s, const char *name, ebb_tensor *x);
EBB_API bool ebb_saver_add_f64(ebb_saver *s, const char *name, double *x);
EBB_API bool ebb_saver_add_i64(ebb_saver *s, const char *name, int64_t *x);
EBB_API bool ebb_saver_add_u64(ebb_saver *s, const char *name, uint64_t *x);
EBB_API bool ebb_saver_add_int(ebb_saver *s, const char *name, int *x);
EBB_API bool ebb_saver_add_bool(ebb_saver *s, const char *name, bool *x);
/* An array of count numbers, and a UTF-8 text in a buffer of size bytes, its NUL included (the text
 * is metadata of the file). */
EBB_API bool ebb_saver_add_f64s(ebb_saver *s, const char *name, double *x, int64_t count);
EBB_API bool ebb_saver_add_text(ebb_saver *s, const char *name, char *x, size_t size);

/* ---- Saving ---------------------------------------------------------------------------------- */

/* Saves the present state of everything that was added, as the given step (from 0).  Gradients are
 * not saved, so call ebb_saver_save between an optimizer step and the next ebb_backward.  If
 * gradients of several batches are summed for one step, a save between these batches loses the sum.
 * Returns false, with an error in the saver, if the file cannot be written, if an earlier run would
 * be lost (see .keep), or if a tape, store, optimizer or loader that was added has an error; files
 * on the disk are then unchanged.  With .background, true means that the write has started;
 * ebb_saver_wait and ebb_saver_error tell whether it succeeded.  A save waits until the previous
 * save is written.  A child of fork neither continues nor waits for a write of its parent. */
EBB_API bool ebb_saver_save(ebb_saver *s, int64_t step);
/* As ebb_saver_save, to runs/lenet-best.safetensors, if score is above every earlier score of the
 * run.  A NaN is not above any score.  Returns true if the file was saved, false if the score is
 * not the best, or if the save failed.  Every later checkpoint contains the best score.
 * ebb_saver_resume also reads the score of the -best file, unless the step of this file is later
 * than that of the checkpoint. */
EBB_API bool ebb_saver_save_best(ebb_saver *s, int64_t step, double score);
EBB_API double ebb_saver_best(const ebb_saver *s); /* -infinity if there is none */
/* Waits until the background write is on the disk.  False if the saver has an error. */
EBB_API bool ebb_saver_wait(ebb_saver *s);
/* ebb_saver_stall: the seconds for which the last save blocked the caller.  ebb_saver_seconds: the
 * seconds that writing the last finished save took. */
EBB_API double ebb_saver_stall(const ebb_saver *s);
EBB_API double ebb_saver_seconds(const ebb_saver *s);

/* ---- Resuming -------------------------------------------------------------------------------- */

/* Restores everything that was added from the newest checkpoint, and returns its step.  -1 if there
 * is no checkpoint (nothing is changed), or with an error in the saver.  All names, types, shapes
 * and settings are compared with those in the file before anything changes.  A difference, and a
 * missing or an additional entry in the file, is an error that names the entry.  Gradients are
 * cleared.  Values can be lost only if an I/O error occurs while they are read.  Each store that
 * was added then has that error, so that its optimizer takes no step.
 *
 * .keep: if the newest file is damaged, ebb_saver_resume reads the next older file, and
 * ebb_saver_note says so.  A file that cannot be opened (because of its permissions, for example)
 * is an error.  If there are only files of a saver without .keep, ebb_saver_resume of a saver with
 * .keep is an error, and the reverse.  A file counts as damaged if its header or its size is wrong;
 * values have no checksum.
 *
 * To continue from the best checkpoint, resume with a saver without .keep whose path is the -best
 * file.  The learning rate is restored from the file, whatever the optimizer was created with.  The
 * augmentation, and a loader's mean and std, are not compared: the program must keep them. */
EBB_API int64_t ebb_saver_resume(ebb_saver *s);
/* Which files ebb_saver_resume skipped, and why; NULL if none. */
EBB_API const char *ebb_saver_note(const ebb_saver *s);
/* The path of the newest checkpoint, of this saver or of an earlier run; NULL if there is none.
 * Valid until the next call with this saver. */
EBB_API const char *ebb_saver_newest(ebb_saver *s);

/* ---- The macros that add the call site, or select by type ------------------------------------ */

#define ebb_saver_new(...) EBB_CALL_ARGS(ebb_saver_new, ebb_saver_args, __VA_ARGS__)

/* ITEM(type, function) for each type of *x that ebb_saver_add(s, name, x) takes. */
#define EBB_SAVED_TYPES_(ITEM)                                                                     \
	ITEM(ebb_params *, ebb_saver_add_params)                                                   \
	ITEM(ebb_optim *, ebb_saver_add_optim)                                                     \
	ITEM(ebb_averager *, ebb_saver_add_averager)                                               \
	ITEM(ebb_tape *, ebb_saver_add_tape)                                                       \
	ITEM(ebb_loader *, ebb_saver_add_loader)                                                   \
	ITEM(ebb_average *, ebb_saver_add_average)                                                 \
	ITEM(ebb_tensor *, ebb_saver_add_tensor)                                                   \
	ITEM(double *, ebb_saver_add_f64)                                                          \
	ITEM(int64_t *, ebb_saver_add_i64)                                                         \
	ITEM(uint64_t *, ebb_saver_add_u64)                                                        \
	ITEM(int *, ebb_saver_add_int)                                                             \
	ITEM(bool *, ebb_saver_add_bool)

/* An array does not compile, because it would decay to a pointer to its first element;
 * ebb_saver_add_f64s saves an array. */
#ifdef __cplusplus
#define ebb_saver_add(s, name, x) (ebb_cxx::saver_add(s, name, x))
#else
#define ebb_saver_add(s, name, x)                                                                  \
	((void)sizeof(char[sizeof(x) == sizeof(void *) ? 1 : -1]), EBB_SAVER_ADD_(x)(s, name, x))
#define EBB_SAVER_ADD_(x) _Generic((x)EBB_SAVED_TYPES_(EBB_SAVED_CASE_))
#define EBB_SAVED_CASE_(type, function) , type : function
#endif

#ifdef __cplusplus
}

extern "C++" {
namespace ebb_cxx
{
#define EBB_SAVED_OVERLOAD_(type, function)                                                        \
	inline bool add_to_saver(ebb_saver *saver, const char *key, type what)                     \
	{                                                                                          \
		return function(saver, key, what);                                                 \
	}
EBB_SAVED_TYPES_(EBB_SAVED_OVERLOAD_)
#undef EBB_SAVED_OVERLOAD_

template <class T> bool saver_add(ebb_saver *saver, const char *key, T &&what)
{
	static_assert(!std::is_array_v<std::remove_reference_t<T>>,
		"ebb_saver_add takes no array; ebb_saver_add_f64s saves one");
	return add_to_saver(saver, key, what);
}
} /* namespace ebb_cxx */
}
#endif
#endif
