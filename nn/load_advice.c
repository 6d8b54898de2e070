/*
 * load_advice.c - the error message of a load that failed, with advice for the caller.
 */
#include <string.h>

#include "nn/load.h"

/* Appends "2 missing (fc.weight; fc.bias)", with at most three names. */
static void tell(char *text, size_t size, int64_t count, const char *what, const char *const *names)
{
	char shown[90];
	int64_t n = count < 3 ? count : 3;

	if (count == 0)
		return;
	ebb_append(text, size, "%s%lld %s (", *text ? ", " : "", (long long)count, what);
	for (int64_t i = 0; i < n; i++)
		ebb_append(text, size, "%s%s", i ? "; " : "",
			ebb_printable(names[i], strlen(names[i]), shown, sizeof shown));
	ebb_append(text, size, "%s)", count > n ? "; .." : "");
}

/* How many of the store's names, with the first n bytes of entry before them, are in the file. */
static int64_t found_under(const ebb_loading *l, const char *entry, size_t n)
{
	char name[400];
	int64_t found = 0;

	if (n >= sizeof name)
		return 0;
	memcpy(name, entry, n);
	for (int64_t i = 0; i < l->count; i++) {
		size_t m = strlen(l->target[i].name) + 1;

		if (m > sizeof name - n)
			continue;
		memcpy(name + n, l->target[i].name, m);
		found += ebb_archive_find(l->a, name) >= 0;
	}
	return found;
}

enum { MOST_GUESSES = 100 };

/* Looks for a prefix under which the file has most of the store's names.  Returns the name of an
 * entry that begins with the prefix, and sets *n to the prefix's length; NULL if there is none. */
static const char *better_prefix(const ebb_loading *l, size_t *n)
{
	const char *wanted = l->report->missing_count ? l->report->missing[0] : "";
	int guesses = 0;

	for (int64_t i = 0; *wanted && i < l->a->count && guesses < MOST_GUESSES; i++) {
		const char *name = l->a->entry[i].name;

		if (!ebb_load_ends_in(name, wanted))
			continue;
		guesses++;
		*n = strlen(name) - strlen(wanted);
		if (2 * found_under(l, name, *n) > l->count)
			return name;
	}
	return NULL;
}

static bool matches_any(const ebb_loading *l, const ebb_rename *rule)
{
	size_t n = strlen(l->prefix);

	for (int64_t i = 0; i < l->a->count; i++) {
		const char *entry = l->a->entry[i].name;

		if (strncmp(entry, l->prefix, n) == 0 && ebb_rename_matches(rule, entry + n))
			return true;
	}
	return false;
}

bool ebb_load_complain(const ebb_loading *l, ebb_error *e)
{
	const ebb_load_report *r = l->report;
	const char *entry;
	char text[400] = "", prefix[100];
	size_t n;

	tell(text, sizeof text, r->missing_count, "missing", r->missing);
	tell(text, sizeof text, r->unexpected_count, "unexpected", r->unexpected);
	tell(text, sizeof text, r->misfit_count, "that do not fit", r->misfit);
	if (l->loaded == 0 && !*text)
		ebb_append(text, sizeof text, "neither the store nor the file has a tensor");
	for (const ebb_rename *rule = l->rename; rule && rule->from; rule++)
		if (!matches_any(l, rule))
			ebb_append(text, sizeof text, "; no name matches the rename \"%.60s\"",
				rule->from);
	entry = l->loaded == 0 ? better_prefix(l, &n) : NULL;
	if (entry && n == 0)
		ebb_append(text, sizeof text, "; without .prefix most are found");
	else if (entry)
		ebb_append(text, sizeof text, "; with .prefix = \"%s\" most are found",
			ebb_printable(entry, n, prefix, sizeof prefix));
	if (l->loaded > 0)
		ebb_append(text, sizeof text, "; .partial = true loads the %lld that fit",
			(long long)l->loaded);
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: nothing is loaded, %lld of %lld tensors fit: %s",
		ebb_archive_path(l->a), (long long)l->loaded, (long long)l->count, text);
	return false;
}
