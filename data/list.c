/*
 * list.c - a data set from a list of paths and labels.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/internal.h"

enum { PATH_SIZE = 4096 };
static const int64_t MOST_BYTES = INT64_C(1) << 32;

typedef struct reader {
	const ebb_list_args *a;
	const char *root; /* paths are relative to its first root_length bytes */
	size_t root_length;
	ebb_files files;
	int64_t line, largest;
} reader;

static bool bad_line(const reader *r, const char *what)
{
	ebb_error_set(r->a->error, EBB_BAD_FILE, NULL, "%s:%lld: %s", r->a->path,
		(long long)r->line, what);
	return false;
}

/* Parses a decimal number of digits only; -1 for anything else. */
static int64_t number(const char *s, size_t n)
{
	int64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
		if (v >= INT_MAX)
			return -1;
	}
	return n > 0 ? v : -1;
}

/* Parses a line of n bytes, without its line end. */
static bool take_line(reader *r, const char *s, size_t n)
{
	const char *tab = memchr(s, '\t', n);
	size_t length = tab ? (size_t)(tab - s) : 0, before = 0;
	char path[PATH_SIZE], text[120];
	int64_t label;

	if (n == 0 || s[0] == '#')
		return true;
	if (!tab || length == 0 || memchr(s, '\0', n))
		return bad_line(r, memchr(s, '\0', n) ? "a NUL in the line"
				   : tab              ? "no path before the tab"
						      : "no tab, expected path<TAB>label");
	label = number(tab + 1, n - length - 1);
	if (label < 0 || (r->a->classes > 0 && label >= r->a->classes)) {
		size_t m = n - length - 1;

		snprintf(text, sizeof text, "the label is \"%.*s\", expected 0 to %d",
			(int)(m < 40 ? m : 40), tab + 1,
			(r->a->classes > 0 ? r->a->classes : INT_MAX) - 1);
		return bad_line(r, text);
	}
	if (s[0] != '/')
		before = r->root_length;
	if (before + length + 2 > PATH_SIZE) {
		snprintf(text, sizeof text, "a path of more than %d bytes", PATH_SIZE - 1);
		return bad_line(r, text);
	}
	memcpy(path, r->root, before);
	if (before > 0 && path[before - 1] != '/')
		path[before++] = '/';
	memcpy(path + before, s, length);
	path[before + length] = '\0';
	r->largest = label > r->largest ? label : r->largest;
	return ebb_files_add(&r->files, path, label, r->a->path, r->a->error);
}

static bool take_lines(reader *r, const char *s, size_t size)
{
	while (size > 0) {
		const char *end = memchr(s, '\n', size);
		size_t n = end ? (size_t)(end - s) : size, next = end ? n + 1 : n;

		r->line++;
		if (n > 0 && s[n - 1] == '\r')
			n--;
		if (!take_line(r, s, n))
			return false;
		s += next;
		size -= next;
	}
	if (r->files.count > 0)
		return true;
	ebb_error_set(r->a->error, EBB_BAD_FILE, NULL, "%s: no image in the list", r->a->path);
	return false;
}

ebb_dataset *(ebb_list)(const ebb_list_args *a)
{
	const ebb_image_options o = {.channels = a->channels,
		.shorter_side = a->shorter_side,
		.max_pixels = a->max_pixels,
		.strict = a->strict,
		.upright = a->upright};
	reader r = {.a = a};
	ebb_bytes text = {0};
	const char *slash;
	bool ok;

	if (!a->path || a->classes < 0) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"list: path %s, %d classes: expected a path, and no negative number",
			a->path ? a->path : "NULL", a->classes);
		return NULL;
	}
	if (!ebb_files_options(&r.files, &o, a->on_error, a->site, a->error))
		return NULL;
	slash = strrchr(a->path, '/');
	r.root = a->root ? a->root : a->path;
	r.root_length = a->root ? strlen(a->root) : slash ? (size_t)(slash - a->path) + 1 : 0;
	if (r.root_length >= PATH_SIZE) {
		ebb_error_set(a->error, EBB_INVALID, a->site, "list: a root of more than %d bytes",
			PATH_SIZE - 1);
		return NULL;
	}
	ok = ebb_source_read_all(a->path, MOST_BYTES, &text, a->error) &&
	     take_lines(&r, (const char *)text.data, text.size);
	ebb_bytes_free(&text);
	if (!ok) {
		ebb_files_free(&r.files);
		return NULL;
	}
	return ebb_files_dataset(&r.files, a->classes > 0 ? a->classes : (int)r.largest + 1,
		a->verify, a->path, a->error);
}
