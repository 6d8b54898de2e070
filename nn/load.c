/*
 * load.c - plans the loading of a file: matches the file's entries with the store's tensors by
 * name.
 */
#include <stdlib.h>
#include <string.h>

#include "nn/load.h"

static void list(ebb_loading *l, const char ***names, int64_t *count, const char *text)
{
	/* The capacity is the next power of two, so the list is full when its length is one. */
	if ((*count & (*count - 1)) == 0) {
		size_t size = (size_t)(*count ? 2 * *count : 1) * sizeof **names;
		const char **more = ebb_archive_take(l->memory, size, NULL);

		if (!more) {
			l->no_memory = true;
			return;
		}
		if (*count)
			memcpy(more, *names, (size_t)*count * sizeof **names);
		*names = more;
	}
	(*names)[(*count)++] = text;
}

static const char *keep(ebb_loading *l, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = ebb_archive_take(l->memory, n, NULL);

	if (copy)
		memcpy(copy, text, n);
	else
		l->no_memory = true;
	return copy ? copy : "";
}

static void list_misfit(
	ebb_loading *l, const char *name, const ebb_archived *from, const ebb_tensor *x)
{
	char text[400], shown[120], in_file[100], wanted[100];

	ebb_snprintf(text, sizeof text, "%s: %s %s in the file, %s expected",
		ebb_printable(name, strlen(name), shown, sizeof shown),
		from->other ? from->other : ebb_file_dtype_name(from->dtype),
		ebb_shape_text(from->shape, in_file, sizeof in_file),
		ebb_shape_text(ebb_shape_of(x), wanted, sizeof wanted));
	list(l, &l->report->misfit, &l->report->misfit_count, keep(l, text));
}

bool ebb_load_ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return ebb_ends_in(name, suffix) && (n == m || name[n - m - 1] == '.');
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const ebb_load_target *)a)->name, ((const ebb_load_target *)b)->name);
}

static ebb_load_target *find_target(const ebb_loading *l, const char *name)
{
	const ebb_load_target key = {.name = name};

	return bsearch(&key, l->target, (size_t)l->count, sizeof key, by_name);
}

/* Assigns an entry to the tensor of its name, or lists it as unexpected or misfit. */
static void place(ebb_loading *l, const ebb_archived *from)
{
	size_t n = strlen(l->prefix);
	char name[1024];
	ebb_load_target *to;

	if (strncmp(from->name, l->prefix, n) != 0 ||
		!ebb_rename_apply(l->rename, from->name + n, name, sizeof name) ||
		ebb_globs_match(l->keep, name))
		return;
	to = find_target(l, name);
	if (!to && ebb_load_ends_in(name, "num_batches_tracked"))
		return;
	if (!to)
		list(l, &l->report->unexpected, &l->report->unexpected_count, keep(l, from->name));
	else if (to->from) {
		char text[400], shown[120];

		ebb_snprintf(text, sizeof text, "%s: comes from \"%.100s\" and from \"%.100s\"",
			ebb_printable(name, strlen(name), shown, sizeof shown), to->from->name,
			from->name);
		list(l, &l->report->misfit, &l->report->misfit_count, keep(l, text));
	} else if (from->dtype == EBB_FILE_OTHER ||
		   !ebb_same_dims(from->shape, ebb_shape_of(to->x))) {
		to->misfit = true;
		list_misfit(l, name, from, to->x);
	} else {
		to->from = from;
		l->loaded++;
	}
}

/* Lists every tensor of the store, sorted by name. */
static bool list_targets(ebb_loading *l, ebb_error *e)
{
	ebb_params *p = l->p;
	int64_t params = ebb_params_count(p), k = 0;

	l->count = params + ebb_buffers_count(p);
	l->target = ebb_alloc_zeroed(ebb_bytes_of(l->count + 1, sizeof *l->target));
	if (!l->target)
		return ebb_archive_no_memory(l->a, e);
	for (; k < params; k++)
		l->target[k] =
			(ebb_load_target){.name = ebb_params_name_at(p, k) + p->prefix_length,
				.x = ebb_params_at(p, k)};
	for (; k < l->count; k++)
		l->target[k] = (ebb_load_target){
			.name = ebb_buffers_name_at(p, k - params) + p->prefix_length,
			.x = ebb_buffers_at(p, k - params)};
	qsort(l->target, (size_t)l->count, sizeof *l->target, by_name);
	return true;
}

bool ebb_load_plan(ebb_loading *l, ebb_error *e)
{
	if (!list_targets(l, e))
		return false;
	for (int64_t i = 0; i < l->a->count; i++)
		place(l, &l->a->entry[i]);
	for (int64_t i = 0; i < l->count; i++)
		if (!l->target[i].from && !l->target[i].misfit &&
			!ebb_globs_match(l->keep, l->target[i].name))
			list(l, &l->report->missing, &l->report->missing_count,
				keep(l, l->target[i].name));
	return !l->no_memory || ebb_archive_no_memory(l->a, e);
}
