/*
 * files.c - the names of a saver's files, and the list of existing files.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"
#include "training/internal.h"

enum { DIGITS = 12, MOST_DIGITS = 19, EXTRA = MOST_DIGITS + 8 };

/* ---- Names ----------------------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode);
}

/* A copy of the first n bytes. */
static char *part_of(const char *text, size_t n)
{
	char *part = ebb_alloc(n + 1);

	if (part) {
		memcpy(part, text, n);
		part[n] = '\0';
	}
	return part;
}

/* Splits path into directory, name and extension.  False if there is no memory. */
static bool split(ebb_saves *f, const char *path)
{
	const char *slash = strrchr(path, '/'), *dot;

	f->length = strlen(path);
	f->directory = slash ? (size_t)(slash - path) + 1 : 0;
	dot = strrchr(path + f->directory, '.');
	f->name = dot && dot != path + f->directory ? (size_t)(dot - path) : f->length;
	f->path = part_of(path, f->length);
	f->folder = slash ? part_of(path, f->directory) : part_of(".", 1);
	return f->path && f->folder;
}

bool ebb_saves_new(ebb_saves *f, const char *path, int keep, ebb_error *e, const char *site)
{
	static const char *const foreign[] = {".npz", ".npy", ".pt", ".pth", NULL};

	*f = (ebb_saves){.keep = keep};
	if (!path || !*path || path[strlen(path) - 1] == '/' || keep < 0) {
		ebb_error_set(e, EBB_INVALID, site,
			"saver_new: path \"%.200s\", keep %d: expected a name of a file, and a "
			"number >= 0",
			path ? path : "NULL", keep);
		return false;
	}
	if (ebb_ends_in_one(path, foreign)) {
		ebb_error_set(e, EBB_INVALID, site,
			"saver_new: \"%.200s\": a saver writes only safetensors, so its path "
			"cannot have this extension",
			path);
		return false;
	}
	if (!split(f, path)) {
		ebb_error_set(e, EBB_NO_MEMORY, site, "saver_new: no memory for a path");
		return false;
	}
	if (!is_directory(f->folder) || access(f->folder, W_OK | X_OK) != 0) {
		ebb_error_set(e, EBB_BAD_FILE, site,
			"saver_new: %.300s: the directory cannot be used: %s", path,
			ebb_reason(errno));
		return false;
	}
	if (is_directory(path)) {
		ebb_error_set(e, EBB_BAD_FILE, site,
			"saver_new: %.300s is a directory, expected a name for a file", path);
		return false;
	}
	return true;
}

void ebb_saves_free(ebb_saves *f)
{
	ebb_free(f->path, f->path ? f->length + 1 : 0);
	ebb_free(f->folder, f->folder ? strlen(f->folder) + 1 : 0);
	*f = (ebb_saves){0};
}

/* The path with extra inserted before its extension. */
static char *extended(const ebb_saves *f, const char *extra)
{
	size_t n = strlen(extra), size = f->length + n + 1;
	char *text = ebb_alloc(size);

	if (!text)
		return NULL;
	memcpy(text, f->path, f->name);
	memcpy(text + f->name, extra, n);
	memcpy(text + f->name + n, f->path + f->name, f->length - f->name + 1);
	return text;
}

char *ebb_saves_path(const ebb_saves *f, int64_t step)
{
	char extra[EXTRA] = "";

	if (step < 0)
		return extended(f, "-best");
	if (f->keep > 0)
		ebb_snprintf(extra, sizeof extra, "-%0*lld", DIGITS, (long long)step);
	return extended(f, extra);
}

/* ---- Existing files -------------------------------------------------------------------------- */

/* The step in a file name that ebb_saves_path made, or -1. */
static int64_t step_in(const ebb_saves *f, const char *name)
{
	size_t before = f->name - f->directory, ending = f->length - f->name, n = strlen(name),
	       digits;
	int64_t step = 0;

	if (n < before + 1 + DIGITS + ending || memcmp(name, f->path + f->directory, before) != 0 ||
		name[before] != '-' || memcmp(name + n - ending, f->path + f->name, ending) != 0)
		return -1;
	name += before + 1;
	digits = n - before - 1 - ending;
	if (digits > MOST_DIGITS || (digits > DIGITS && *name == '0'))
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int digit = name[i] - '0';

		if (digit < 0 || digit > 9 || step > (INT64_MAX - digit) / 10)
			return -1;
		step = 10 * step + digit;
	}
	return step;
}

static int later_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x < y) - (x > y);
}

void ebb_steps_free(ebb_steps *s)
{
	ebb_free(s->at, (size_t)s->capacity * sizeof *s->at);
	*s = (ebb_steps){0};
}

static bool add_step(ebb_steps *s, int64_t step)
{
	if (!ebb_grow(&s->at, &s->capacity, s->count + 1, sizeof *s->at))
		return false;
	s->at[s->count++] = step;
	return true;
}

static int64_t fail(const ebb_saves *f, const char *what, ebb_error *e)
{
	ebb_error_set(e, errno == ENOMEM ? EBB_NO_MEMORY : EBB_BAD_FILE, NULL, "%.300s: %s: %s",
		f->path, what, ebb_reason(errno));
	return -1;
}

static int64_t list_one(const ebb_saves *f, ebb_steps *steps, ebb_error *e)
{
	struct stat st;

	if (stat(f->path, &st) != 0)
		return errno == ENOENT ? 0 : fail(f, "cannot be found", e);
	if (add_step(steps, 0))
		return 1;
	errno = ENOMEM;
	return fail(f, "cannot be listed", e);
}

int64_t ebb_saves_list(const ebb_saves *f, ebb_steps *steps, ebb_error *e)
{
	const struct dirent *entry;
	DIR *d;

	*steps = (ebb_steps){0};
	if (f->keep == 0)
		return list_one(f, steps, e);
	d = opendir(f->folder);
	if (!d)
		return fail(f, "the directory cannot be read", e);
	for (errno = 0; (entry = readdir(d)); errno = 0) {
		int64_t step = step_in(f, entry->d_name);

		if (step < 0)
			continue;
		if (!add_step(steps, step)) {
			errno = ENOMEM;
			break;
		}
	}
	if (errno) {
		fail(f, "the directory cannot be read", e);
		ebb_steps_free(steps);
		closedir(d);
		return -1;
	}
	closedir(d);
	if (steps->count > 1)
		qsort(steps->at, (size_t)steps->count, sizeof *steps->at, later_first);
	return steps->count;
}

char *ebb_saves_other(const ebb_saves *f, ebb_error *e)
{
	ebb_saves other = *f;
	ebb_steps steps;
	char *path = NULL;

	other.keep = f->keep ? 0 : 1;
	if (ebb_saves_list(&other, &steps, e) > 0)
		path = ebb_saves_path(&other, steps.at[0]);
	ebb_steps_free(&steps);
	return path;
}

/* ---- Removing -------------------------------------------------------------------------------- */

static bool remove_step(const ebb_saves *f, int64_t step, ebb_error *e)
{
	char *path = ebb_saves_path(f, step);
	bool ok = path && (unlink(path) == 0 || errno == ENOENT);

	if (!ok)
		ebb_error_set(e, path ? EBB_BAD_FILE : EBB_NO_MEMORY, NULL,
			"%.300s: cannot be removed: %s", path ? path : f->path,
			path ? ebb_reason(errno) : "no memory");
	ebb_free(path, path ? strlen(path) + 1 : 0);
	return ok;
}

bool ebb_saves_prune(const ebb_saves *f, int64_t step, bool later, ebb_error *e)
{
	ebb_steps steps;
	int64_t count, kept = 0;
	bool ok = true;

	if (f->keep == 0)
		return true;
	count = ebb_saves_list(f, &steps, e);
	for (int64_t i = 0; i < count; i++)
		if (steps.at[i] > step ? later : ++kept > f->keep)
			ok = remove_step(f, steps.at[i], e) && ok;
	ebb_steps_free(&steps);
	return ok && count >= 0;
}
