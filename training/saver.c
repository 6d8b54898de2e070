/*
 * saver.c - creating a saver, and saving all items at once.
 */
#include <math.h>
#include <string.h>

#include "training/internal.h"

/* The names of the saver's own entries, and the key that marks its files. */
const char ebb_saver_own[] = "saver", ebb_saver_step[] = "saver.step",
	   ebb_saver_best_score[] = "saver.best", ebb_saver_item[] = "saver.item.",
	   ebb_saver_version[] = "1";

static const ebb_error NO_SAVER = {.status = EBB_INVALID,
	.message = "the saver is NULL: it could not be created, and .error says why"};

/* ---- Construction ---------------------------------------------------------------------------- */

ebb_saver *(ebb_saver_new)(const ebb_saver_args *a)
{
	ebb_saver *s = ebb_alloc_zeroed(sizeof *s);

	if (!s) {
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site, "saver_new: no memory for a saver");
		return NULL;
	}
	s->background = a->background;
	s->best = -INFINITY;
	if (ebb_saves_new(&s->files, a->path, a->keep, a->error, a->site))
		return s;
	ebb_saver_free(s);
	return NULL;
}

void ebb_saver_free(ebb_saver *s)
{
	if (!s)
		return;
	ebb_writing_end(&s->writing);
	ebb_saver_free_items(s);
	ebb_snapshot_free(&s->snapshot);
	ebb_free(s->newest, s->newest ? strlen(s->newest) + 1 : 0);
	ebb_saves_free(&s->files);
	ebb_free(s, sizeof *s);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

void ebb_saver_fail(ebb_saver *s, const ebb_error *e)
{
	if (e->status != EBB_OK && s->error.status == EBB_OK)
		s->error = *e;
}

/* Waits for the previous save; its error becomes the saver's.  If a best save failed, the previous
 * best score is restored. */
void ebb_saver_finish(ebb_saver *s)
{
	ebb_writing_end(&s->writing);
	s->seconds = s->writing.seconds;
	if (s->writing.error.status == EBB_OK)
		return;
	if (s->writing.step < 0)
		s->best = s->best_before;
	ebb_saver_fail(s, &s->writing.error);
	s->writing.error = (ebb_error){0};
}

const ebb_error *ebb_saver_error(ebb_saver *s)
{
	if (!s)
		return &NO_SAVER;
	if (ebb_writing_has_ended(&s->writing))
		ebb_saver_finish(s);
	return s->error.status == EBB_OK ? NULL : &s->error;
}

void ebb_saver_clear_error(ebb_saver *s)
{
	if (s)
		s->error = (ebb_error){0};
}

/* ---- Saving ---------------------------------------------------------------------------------- */

bool ebb_saver_is_ready(const ebb_saver *s, ebb_error *e)
{
	if (s->broken) {
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"saver: adding an item failed, so that a file would be incomplete");
		return false;
	}
	for (int64_t i = 0; i < s->count; i++) {
		const ebb_saved *x = s->item[i];
		const ebb_error *own = x->kind->fault ? x->kind->fault(x) : NULL;

		if (!own)
			continue;
		ebb_error_set(e, own->status, NULL, "saver: \"%.80s\" has an error: %s", x->name,
			own->message);
		return false;
	}
	return true;
}

/* Adds the name and kind of each item; a resume compares these first. */
static bool name_items(const ebb_saver *s, ebb_archive *a, ebb_error *e)
{
	ebb_key k = {0};
	bool ok = true;

	for (int64_t i = 0; ok && i < s->count; i++)
		ok = ebb_key_or_fail(&k, "saver", ebb_saver_item, s->item[i]->name, "", e) &&
		     ebb_archive_set_metadata(a, k.text, s->item[i]->kind->what, e);
	ebb_key_free(&k);
	return ok;
}

ebb_archive *ebb_saver_gather(ebb_saver *s, int64_t step, ebb_error *e)
{
	ebb_archive *a = ebb_archive_new();
	bool ok = a && ebb_archive_set_metadata(a, ebb_saver_own, ebb_saver_version, e) &&
	          ebb_archive_add_i64(a, ebb_saver_step, step, e) &&
	          ebb_archive_add_f64(a, ebb_saver_best_score, s->best, e);

	if (!a)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "saver: no memory for an archive");
	ok = ok && name_items(s, a, e);
	for (int64_t i = 0; ok && i < s->count; i++)
		ok = s->item[i]->kind->put(s->item[i], a, e);
	if (ok)
		return a;
	ebb_archive_free(a);
	return NULL;
}

/* Writes the archive, or a copy in a thread.  Takes ownership of the archive and of path. */
static void send(ebb_saver *s, ebb_archive *a, char *path, int64_t step)
{
	ebb_archive *copy = s->background ? ebb_snapshot_copy(&s->snapshot, a) : NULL;

	if (copy)
		ebb_archive_free(a);
	s->writing.files = &s->files;
	s->writing.archive = copy ? copy : a;
	s->writing.path = path;
	s->writing.step = step;
	s->writing.later = s->looked == EBB_LOOKED;
	s->writing.error = (ebb_error){0};
	ebb_writing_begin(&s->writing, copy != NULL);
}

/* False if a save could destroy an earlier run that was not resumed: its files are of later steps,
 * or resuming them failed. */
static bool former_run_is_safe(ebb_saver *s, int64_t step, ebb_error *e)
{
	bool in_vain = s->looked == EBB_LOOKED_IN_VAIN;
	ebb_steps steps;
	int64_t count, newest;
	char *path;

	if (s->looked == EBB_LOOKED)
		return true;
	count = ebb_saves_list(&s->files, &steps, e);
	newest = count > 0 ? steps.at[0] : -1;
	ebb_steps_free(&steps);
	if (count == 0 || (count > 0 && newest <= step && !in_vain)) {
		s->looked = EBB_LOOKED;
		return true;
	}
	path = count < 0 ? NULL : ebb_saves_path(&s->files, newest);
	if (path)
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"saver_save: step %lld: %.300s is of a run that %s: resume it "
			"(ebb_saver_resume), or remove it",
			(long long)step, path,
			in_vain ? "could not be resumed"
				: "has reached a later step and was not resumed");
	else
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "saver_save: no memory for a path");
	ebb_free(path, path ? strlen(path) + 1 : 0);
	return false;
}

/* Saves to the file of a step, or of the best save. */
static bool save(ebb_saver *s, int64_t step, bool best, ebb_error *e)
{
	char *path;
	ebb_archive *a;

	if (step < 0) {
		ebb_error_set(e, EBB_INVALID, NULL, "saver_save: step %lld, expected a number >= 0",
			(long long)step);
		return false;
	}
	if (!ebb_saver_is_ready(s, e) || !former_run_is_safe(s, step, e))
		return false;
	a = ebb_saver_gather(s, step, e);
	if (!a)
		return false;
	path = ebb_saves_path(&s->files, best ? -1 : step);
	if (!path) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "saver_save: no memory for a path");
		ebb_archive_free(a);
		return false;
	}
	send(s, a, path, best ? -1 : step);
	/* If this thread wrote the file, the result is known already. */
	if (!s->writing.running)
		*e = s->writing.error;
	return e->status == EBB_OK;
}

static bool timed_save(ebb_saver *s, int64_t step, bool best)
{
	double began = ebb_writing_now();
	ebb_error e = {0};
	bool ok;

	ok = save(s, step, best, &e);
	ebb_saver_fail(s, &e);
	if (!s->writing.running)
		ebb_saver_finish(s);
	s->stall += ebb_writing_now() - began;
	return ok;
}

/* Waits for the previous save, because its failure changes the best score. */
static void wait_first(ebb_saver *s)
{
	double began = ebb_writing_now();

	ebb_saver_finish(s);
	s->stall = ebb_writing_now() - began;
}

bool ebb_saver_save(ebb_saver *s, int64_t step)
{
	if (!s)
		return false;
	wait_first(s);
	return timed_save(s, step, false);
}

/* A best save that is being written may fail, and then its score does not count. */
static bool is_best(ebb_saver *s, double score)
{
	bool is_being_written = s->writing.running && s->writing.step < 0;

	if (!(score > (is_being_written ? s->best_before : s->best)))
		return false;
	wait_first(s);
	return score > s->best;
}

bool ebb_saver_save_best(ebb_saver *s, int64_t step, double score)
{
	bool ok;

	if (!s || !is_best(s, score))
		return false;
	s->best_before = s->best;
	s->best = score;
	ok = timed_save(s, step, true);
	if (!ok)
		s->best = s->best_before;
	return ok;
}

double ebb_saver_best(const ebb_saver *s)
{
	return s ? s->best : -INFINITY;
}

bool ebb_saver_wait(ebb_saver *s)
{
	if (!s)
		return false;
	ebb_saver_finish(s);
	return s->error.status == EBB_OK;
}

double ebb_saver_stall(const ebb_saver *s)
{
	return s ? s->stall : 0;
}

double ebb_saver_seconds(const ebb_saver *s)
{
	if (!s)
		return 0;
	return ebb_writing_has_ended(&s->writing) ? s->writing.seconds : s->seconds;
}
