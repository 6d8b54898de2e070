/*
 * folder.c - a data set from a folder with a subfolder per class.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tensor/host.h"
#include "data/internal.h"

enum { PATH_SIZE = 4096 };

/* The traversal of the directory of one class. */
typedef struct traversal {
	ebb_files *files;
	int64_t label;
	char path[PATH_SIZE];
	size_t length;
	ebb_error *e;
} traversal;

/* The directories from the root to the current one, to detect links that lead back to one of
 * them. */
typedef struct level {
	const struct level *outer;
	dev_t device;
	ino_t inode;
} level;

static bool is_image(const char *name)
{
	static const char *const endings[] = {".png", ".jpg", ".jpeg", ".jpe"};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++) {
		if (strcasecmp(dot, endings[i]) == 0)
			return true;
	}
	return false;
}

static bool cannot_read(traversal *w)
{
	ebb_error_set(
		w->e, EBB_BAD_FILE, NULL, "%s: cannot be read: %s", w->path, ebb_reason(errno));
	return false;
}

/* Appends "/name" to the path. */
static bool enter(traversal *w, const char *name)
{
	size_t n = strlen(name) + 1;

	if (w->length + n >= PATH_SIZE) {
		ebb_error_set(w->e, EBB_BAD_FILE, NULL, "%s/%s: a path of more than %d bytes",
			w->path, name, PATH_SIZE - 1);
		return false;
	}
	w->path[w->length] = '/';
	memcpy(w->path + w->length + 1, name, n);
	w->length += n;
	return true;
}

static void leave(traversal *w, size_t length)
{
	w->length = length;
	w->path[length] = '\0';
}

static bool scan_directory(traversal *w, const level *here);

/* Adds an image file, descends into a directory, and ignores anything else. */
static bool visit(traversal *w, const char *name, const level *here)
{
	struct stat s;

	if (stat(w->path, &s) != 0) {
		/* A dangling or circular link is an error only if its name is that of an image. */
		return is_image(name) ? cannot_read(w) : true;
	}
	if (S_ISDIR(s.st_mode)) {
		const level inner = {here, s.st_dev, s.st_ino};

		for (const level *l = here; l; l = l->outer) {
			if (l->device == s.st_dev && l->inode == s.st_ino)
				return true;
		}
		return scan_directory(w, &inner);
	}
	if (!S_ISREG(s.st_mode) || !is_image(name))
		return true;
	return ebb_files_add(w->files, w->path, w->label, w->path, w->e);
}

static bool scan_directory(traversal *w, const level *here)
{
	DIR *directory = opendir(w->path);
	size_t length = w->length;
	const struct dirent *entry;
	bool ok = true;

	if (!directory)
		return cannot_read(w);
	while (ok && (errno = 0, entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		ok = enter(w, entry->d_name) && visit(w, entry->d_name, here);
		leave(w, length);
	}
	if (ok && errno != 0)
		ok = cannot_read(w);
	closedir(directory);
	return ok;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts files from first to the last by path. */
static bool sort(ebb_files *f, int64_t first, ebb_error *e)
{
	int64_t n = f->count - first;
	const char **path = ebb_alloc((size_t)n * sizeof *path);

	if (!path) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to sort %lld paths",
			ebb_files_path(f, first), (long long)n);
		return false;
	}
	for (int64_t i = 0; i < n; i++)
		path[i] = ebb_files_path(f, first + i);
	qsort(path, (size_t)n, sizeof *path, by_bytes);
	for (int64_t i = 0; i < n; i++)
		f->file[first + i].path = (size_t)(path[i] - (const char *)f->text.data);
	ebb_free(path, (size_t)n * sizeof *path);
	return true;
}

/* ---- Classes -------------------------------------------------------------------------------- */

/* Collects the names of root's directories, in order; the path of the traversal is root. */
static bool list_classes(traversal *w, ebb_bytes *text, const char ***names, int *count)
{
	DIR *directory = opendir(w->path);
	size_t length = w->length, at = 0;
	const struct dirent *entry;
	bool ok = true;

	*count = 0;
	if (!directory)
		return cannot_read(w);
	while (ok && (errno = 0, entry = readdir(directory))) {
		size_t n = strlen(entry->d_name) + 1;
		struct stat s;

		if (entry->d_name[0] == '.')
			continue;
		ok = enter(w, entry->d_name);
		if (ok && stat(w->path, &s) == 0 && S_ISDIR(s.st_mode)) {
			ok = ebb_bytes_reserve(text, text->size + n);
			if (ok) {
				memcpy(text->data + text->size, entry->d_name, n);
				text->size += n;
				++*count;
			}
		}
		leave(w, length);
	}
	if (ok && errno != 0)
		ok = cannot_read(w);
	closedir(directory);
	if (ok && *count == 0) {
		ebb_error_set(w->e, EBB_BAD_FILE, NULL,
			"%s: no directory in it, expected one for each class", w->path);
		return false;
	}
	*names = ok ? ebb_alloc((size_t)*count * sizeof **names) : NULL;
	if (!*names) {
		ebb_error_set(w->e, EBB_NO_MEMORY, NULL, "%s: no memory for the names of classes",
			w->path);
		return false;
	}
	for (int i = 0; i < *count; i++) {
		(*names)[i] = (const char *)text->data + at;
		at += strlen((*names)[i]) + 1;
	}
	qsort(*names, (size_t)*count, sizeof **names, by_bytes);
	return true;
}

static bool scan_class(traversal *w, const char *name, int label)
{
	int64_t first = w->files->count;
	size_t length = w->length;
	struct stat s;
	bool ok;

	w->label = label;
	ok = enter(w, name) && (stat(w->path, &s) == 0 || cannot_read(w)) &&
	     scan_directory(w, &(level){NULL, s.st_dev, s.st_ino});
	if (ok && w->files->count == first) {
		ebb_error_set(w->e, EBB_BAD_FILE, NULL,
			"%s: no image in this class: no name ends in .png, .jpg, .jpeg or .jpe",
			w->path);
		ok = false;
	}
	leave(w, length);
	return ok && sort(w->files, first, w->e);
}

ebb_dataset *(ebb_folder)(const ebb_folder_args *a)
{
	ebb_files files = {0};
	ebb_bytes text = {0};
	const char **names = NULL;
	int classes = 0;
	traversal w = {.files = &files, .e = a->error};
	const ebb_image_options o = {.channels = a->channels,
		.shorter_side = a->shorter_side,
		.max_pixels = a->max_pixels,
		.strict = a->strict,
		.upright = a->upright};
	ebb_dataset *d = NULL;

	if (!ebb_files_options(&files, &o, a->on_error, a->site, a->error))
		return NULL;
	if (!a->root || !*a->root || strlen(a->root) >= PATH_SIZE) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"folder: expected the path of a directory, below %d bytes long", PATH_SIZE);
		return NULL;
	}
	strcpy(w.path, a->root);
	w.length = strlen(a->root);
	while (w.length > 1 && w.path[w.length - 1] == '/')
		w.path[--w.length] = '\0';
	if (!list_classes(&w, &text, &names, &classes))
		goto end;
	for (int k = 0; k < classes; k++) {
		if (!scan_class(&w, names[k], k))
			goto end;
	}
	d = ebb_files_dataset(&files, classes, a->verify, a->root, a->error);
	if (d && !ebb_dataset_name_classes(d, names)) {
		ebb_error_set(a->error, EBB_NO_MEMORY, NULL,
			"%s: no memory for the names of classes", a->root);
		ebb_dataset_free(d);
		d = NULL;
	}
end:
	ebb_free(names, names ? (size_t)classes * sizeof *names : 0);
	ebb_bytes_free(&text);
	ebb_files_free(&files);
	return d;
}
