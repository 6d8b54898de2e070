/*
 * rename.c - rules that map the names of a file to those of a store.
 */
#include <string.h>

#include "nn/internal.h"

enum { MOST_STARS = 8 };

typedef struct run {
	const char *at;
	size_t n;
} run;

/* Finds the first n bytes of what in the size bytes at text; NULL if they do not occur. */
static const char *find(const char *text, size_t size, const char *what, size_t n)
{
	return n == 0 ? text : memmem(text, size, what, n);
}

/* Whether name matches the pattern.  star[i] becomes the run of characters that the i-th * matches:
 * the shortest run before the next part of the pattern, or, for the last *, all up to the pattern's
 * end. */
static bool match(const char *pattern, const char *name, run *star, int *stars)
{
	size_t n = strcspn(pattern, "*");
	const char *end = name + strlen(name);

	*stars = 0;
	if (strncmp(pattern, name, n) != 0)
		return false;
	pattern += n;
	name += n;
	while (*pattern) {
		const char *next;

		n = strcspn(++pattern, "*");
		if (*stars == MOST_STARS)
			return false;
		if (pattern[n])
			next = find(name, (size_t)(end - name), pattern, n);
		else
			next = (size_t)(end - name) >= n && memcmp(end - n, pattern, n) == 0
			               ? end - n
			               : NULL;
		if (!next)
			return false;
		star[(*stars)++] = (run){name, (size_t)(next - name)};
		name = next + n;
		pattern += n;
	}
	return name == end;
}

/* Appends n bytes as far as they fit into size; *length counts all of them. */
static void append(char *to, size_t size, size_t *length, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++, (*length)++)
		if (*length + 1 < size)
			to[*length] = text[i];
}

static size_t replace(const char *to, const run *star, int stars, char *buffer, size_t size)
{
	size_t length = 0;
	int k = 0;

	for (; *to; to++) {
		if (*to != '*')
			append(buffer, size, &length, to, 1);
		else if (k < stars) {
			append(buffer, size, &length, star[k].at, star[k].n);
			k++;
		}
	}
	buffer[length < size ? length : size - 1] = '\0';
	return length;
}

bool ebb_rename_apply(const ebb_rename *rule, const char *name, char *buffer, size_t size)
{
	run star[MOST_STARS];
	int stars;

	for (; rule && rule->from; rule++) {
		if (!match(rule->from, name, star, &stars))
			continue;
		if (!rule->to)
			return false;
		if (replace(rule->to, star, stars, buffer, size) >= size)
			*buffer = '\0';
		return true;
	}
	if (strlen(name) < size)
		strcpy(buffer, name);
	else
		*buffer = '\0';
	return true;
}

bool ebb_rename_matches(const ebb_rename *rule, const char *name)
{
	run star[MOST_STARS];
	int stars;

	return match(rule->from, name, star, &stars);
}

bool ebb_rename_check(const ebb_rename *rule, ebb_error *e, const char *site)
{
	for (; rule && rule->from; rule++) {
		int from = 0, to = 0;

		for (const char *c = rule->from; *c; c++)
			from += *c == '*';
		for (const char *c = rule->to ? rule->to : ""; *c; c++)
			to += *c == '*';
		if (to <= from && from <= MOST_STARS)
			continue;
		ebb_error_set(e, EBB_INVALID, site,
			"params_load: rename \"%s\" to \"%s\" has %d and %d times *, expected at "
			"most "
			"%d, "
			"and no more in the second than in the first",
			rule->from, rule->to ? rule->to : "", from, to, MOST_STARS);
		return false;
	}
	return true;
}
