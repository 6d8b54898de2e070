/*
 * resume.c - finds a saver's newest readable file and restores the state from it.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "archive/internal.h"
#include "training/internal.h"

static void free_path(char *path)
{
	ebb_free(path, path ? strlen(path) + 1 : 0);
}

/* ---- The file -------------------------------------------------------------------------------- */

/* Opens the file at path.  EBB_BAD_STATE for a file that cannot be opened but may be intact: it
 * must stop the resume, because the next save after a resume from an older file would remove it. */
static ebb_archive *open_one(const char *path, ebb_error *e)
{
	if (path && access(path, R_OK) != 0 && errno != ENOENT)
		ebb_error_set(e, EBB_BAD_STATE, NULL, "%.300s: cannot be read: %s", path,
			ebb_reason(errno));
	else if (path)
		return (ebb_archive_read)(&(ebb_archive_read_args){.path = path, .error = e});
	else
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "saver: no memory for a path");
	return NULL;
}

/* Opens the newest of count files that can be read, and notes the damaged ones before it.  NULL
 * with an error. */
static ebb_archive *open_newest(ebb_saver *s, const int64_t *steps, int64_t count, ebb_error *e)
{
	ebb_archive *a = NULL;

	for (int64_t i = 0; !a && i < count; i++) {
		char *path = ebb_saves_path(&s->files, steps[i]);
		ebb_error own = {0};

		a = open_one(path, &own);
		free_path(path);
		if (a)
			break;
		/* The error that ended the search is reported, otherwise that of the first damaged
		 * file. */
		if (own.status != EBB_BAD_FILE)
			*e = (ebb_error){0};
		ebb_error_set(e, own.status, NULL, "%s", own.message);
		if (own.status != EBB_BAD_FILE)
			return NULL;
		if (!*s->note)
			ebb_snprintf(s->note, sizeof s->note, "%s", own.message);
	}
	return a;
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* Whether an entry, or the key of a text, belongs to the saver or to an item. */
static bool is_known(const ebb_saver *s, const char *name)
{
	if (strcmp(name, ebb_saver_own) == 0 || strcmp(name, ebb_saver_step) == 0 ||
		strcmp(name, ebb_saver_best_score) == 0 ||
		strncmp(name, ebb_saver_item, strlen(ebb_saver_item)) == 0)
		return true;
	for (int64_t i = 0; i < s->count; i++) {
		const ebb_saved *x = s->item[i];

		if (strcmp(name, x->name) == 0 || strncmp(name, x->prefix, strlen(x->prefix)) == 0)
			return true;
	}
	return false;
}

/* The saver's own values. */
typedef struct header {
	int64_t step;
	double best;
} header;

static void read_header(const ebb_archive *a, header *h, ebb_complaints *c)
{
	*h = (header){-1, -INFINITY};
	if (!ebb_archive_metadata(a, ebb_saver_own)) {
		ebb_complain(c, EBB_BAD_FILE,
			"no saver has written it, so there is no run to resume; weights are "
			"read by ebb_params_load");
		return;
	}
	if (!ebb_state_is(a, ebb_saver_own, ebb_saver_version, c))
		return;
	if (ebb_state_i64(a, ebb_saver_step, &h->step, c) && h->step < 0)
		ebb_complain(
			c, EBB_INVALID, "step %lld, expected a number >= 0", (long long)h->step);
	if (ebb_state_f64(a, ebb_saver_best_score, &h->best, c) && isnan(h->best))
		ebb_complain(c, EBB_INVALID, "the best score is NaN");
}

static void check_known(const ebb_saver *s, const char *name, ebb_complaints *c)
{
	if (!is_known(s, name))
		ebb_complain_of(c, name, "was saved, but is not among what was added");
}

static bool was_added(const ebb_saver *s, const char *name)
{
	for (int64_t i = 0; i < s->count; i++)
		if (strcmp(s->item[i]->name, name) == 0)
			return true;
	return false;
}

/* Checks that an added item was saved, and that it fits. */
static void check_added(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_key k = {0};

	if (ebb_key_or_complain(&k, ebb_saver_item, x->name, "", c) &&
		ebb_archive_metadata(a, k.text))
		x->kind->fits(x, a, c);
	else if (k.text)
		ebb_complain(c, EBB_INVALID, "\"%.100s\" (%s) was added, but was not saved",
			x->name, x->kind->what);
	ebb_key_free(&k);
}

/* Checks that every saved item was added. */
static void check_saved(const ebb_saver *s, const ebb_archive *a, ebb_complaints *c)
{
	size_t n = strlen(ebb_saver_item);

	for (int64_t i = 0; i < ebb_archive_metadata_count(a); i++) {
		const char *name = ebb_archive_metadata_key_at(a, i);
		char shown[100];

		if (strncmp(name, ebb_saver_item, n) == 0 && !was_added(s, name + n))
			ebb_complain(c, EBB_INVALID, "\"%s\" (%.40s) was saved, but was not added",
				ebb_printable(name + n, strlen(name + n), shown, sizeof shown),
				ebb_archive_metadata_at(a, i));
	}
}

static bool check(const ebb_saver *s, const ebb_archive *a, header *h, ebb_error *e)
{
	ebb_complaints c = {0};
	int64_t before;

	read_header(a, h, &c);
	/* If the file is not a checkpoint, every further check would fail. */
	if (c.count > 0)
		return ebb_complaints_end(&c, a, e);
	for (int64_t i = 0; i < s->count; i++)
		check_added(s->item[i], a, &c);
	before = c.count;
	check_saved(s, a, &c);
	/* Entries of items that were not added were reported above. */
	for (int64_t i = 0; c.count == before && i < ebb_archive_count(a); i++)
		check_known(s, ebb_archive_name_at(a, i), &c);
	for (int64_t i = 0; c.count == before && i < ebb_archive_metadata_count(a); i++)
		check_known(s, ebb_archive_metadata_key_at(a, i), &c);
	return ebb_complaints_end(&c, a, e);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static bool take(ebb_saver *s, const ebb_archive *a, ebb_error *e)
{
	for (int64_t i = 0; i < s->count; i++) {
		if (s->item[i]->kind->take(s->item[i], a, e))
			continue;
		for (int64_t k = 0; k < s->count; k++)
			if (s->item[k]->kind->spoil)
				s->item[k]->kind->spoil(s->item[k], e);
		return false;
	}
	return true;
}

/* Reads the score of the best save, if it was saved after the file of its step: the score counts as
 * if it were in that file. */
static void look_at_best(ebb_saver *s, int64_t step)
{
	char *path = ebb_saves_path(&s->files, -1);
	ebb_archive *a = path ? (ebb_archive_read)(&(ebb_archive_read_args){.path = path}) : NULL;
	ebb_complaints c = {0};
	header h;

	if (a) {
		read_header(a, &h, &c);
		if (c.count == 0 && h.step <= step && h.best > s->best)
			s->best = h.best;
	}
	ebb_archive_free(a);
	free_path(path);
}

/* Restores all items from the archive; returns its step; -1 with an error. */
static int64_t take_from(ebb_saver *s, const ebb_archive *a, ebb_error *e)
{
	header h;

	if (!check(s, a, &h, e) || !take(s, a, e))
		return -1;
	s->best = h.best;
	look_at_best(s, h.step);
	return h.step;
}

/* Whether a saver has written the file. */
static bool is_checkpoint(const char *path)
{
	ebb_archive *a = path ? (ebb_archive_read)(&(ebb_archive_read_args){.path = path}) : NULL;
	bool so = ebb_archive_metadata(a, ebb_saver_own);

	ebb_archive_free(a);
	return so;
}

/* Called if there is no file to resume.  A file with another kind of .keep is an error.  The score
 * of a best save is read, so that a worse one does not replace it. */
static void look_beside(ebb_saver *s, ebb_error *e)
{
	char *path = ebb_saves_other(&s->files, e);

	if (is_checkpoint(path))
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"saver_resume: %.300s was saved %s .keep, and this saver has %s", path,
			s->files.keep ? "without" : "with", s->files.keep ? "one" : "none");
	free_path(path);
	if (e->status == EBB_OK)
		look_at_best(s, INT64_MAX);
}

int64_t ebb_saver_resume(ebb_saver *s)
{
	ebb_steps steps = {0};
	int64_t count, step = -1;
	ebb_archive *a = NULL;
	ebb_error e = {0};

	if (!s)
		return -1;
	ebb_saver_finish(s);
	*s->note = '\0';
	count = ebb_saver_is_ready(s, &e) ? ebb_saves_list(&s->files, &steps, &e) : -1;
	if (count > 0)
		a = open_newest(s, steps.at, count, &e);
	if (a) {
		e = (ebb_error){0};
		step = take_from(s, a, &e);
	} else {
		*s->note = '\0';
	}
	if (count == 0)
		look_beside(s, &e);
	ebb_archive_free(a);
	ebb_steps_free(&steps);
	ebb_saver_fail(s, &e);
	if (e.status == EBB_OK)
		s->looked = EBB_LOOKED;
	else if (s->looked == EBB_NOT_LOOKED)
		s->looked = EBB_LOOKED_IN_VAIN;
	return step;
}

const char *ebb_saver_note(const ebb_saver *s)
{
	return s && *s->note ? s->note : NULL;
}

const char *ebb_saver_newest(ebb_saver *s)
{
	ebb_steps steps;
	int64_t count;
	ebb_error e = {0};

	if (!s)
		return NULL;
	ebb_saver_finish(s);
	free_path(s->newest);
	count = ebb_saves_list(&s->files, &steps, &e);
	s->newest = count > 0 ? ebb_saves_path(&s->files, steps.at[0]) : NULL;
	ebb_saver_fail(s, &e);
	ebb_steps_free(&steps);
	return s->newest;
}
