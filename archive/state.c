/*
 * state.c - state of objects in archives: names, lists of errors, and values of an exact type.
 */
#include <stdarg.h>
#include <string.h>

#include "archive/internal.h"
#include "archive/state.h"

/* ---- Names ----------------------------------------------------------------------------------- */

const char *ebb_key_of(ebb_key *k, const char *a, const char *b, const char *c)
{
	size_t na = strlen(a), nb = strlen(b), nc = strlen(c), size = na + nb + nc + 1;

	if (size > k->size) {
		char *larger = ebb_realloc(k->text, k->size, size);

		if (!larger)
			return NULL;
		k->text = larger;
		k->size = size;
	}
	memcpy(k->text, a, na);
	memcpy(k->text + na, b, nb);
	memcpy(k->text + na + nb, c, nc + 1);
	return k->text;
}

const char *ebb_key_or_fail(
	ebb_key *k, const char *who, const char *a, const char *b, const char *c, ebb_error *e)
{
	const char *key = ebb_key_of(k, a, b, c);

	if (!key)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for a name", who);
	return key;
}

void ebb_key_free(ebb_key *k)
{
	ebb_free(k->text, k->size);
	*k = (ebb_key){0};
}

/* ---- Errors ---------------------------------------------------------------------------------- */

void ebb_complain(ebb_complaints *c, ebb_status status, const char *format, ...)
{
	size_t used = strlen(c->text), left = sizeof c->text - used;
	char one[sizeof c->text];
	va_list args;
	int n;

	if (c->count++ == 0)
		c->status = status;
	va_start(args, format);
	n = ebb_vsnprintf(one, sizeof one, format, args);
	va_end(args);
	/* The first message is always added; after one that did not fit no other is added. */
	if (n < 0 || (c->listed > 0 && ((size_t)n + 3 > left || c->listed + 1 < c->count)))
		return;
	ebb_snprintf(c->text + used, left, "%s%s", c->listed ? "; " : "", one);
	c->listed++;
}

const char *ebb_key_or_complain(
	ebb_key *k, const char *a, const char *b, const char *c, ebb_complaints *all)
{
	const char *key = ebb_key_of(k, a, b, c);

	if (!key)
		ebb_complain(all, EBB_NO_MEMORY, "no memory for a name");
	return key;
}

void ebb_complain_of(ebb_complaints *c, const char *name, const char *what)
{
	char shown[100];

	ebb_complain(c, EBB_INVALID, "\"%s\" %s",
		ebb_printable(name, strlen(name), shown, sizeof shown), what);
}

/* Both messages begin with the path; it is removed here. */
void ebb_complain_again(ebb_complaints *c, const ebb_archive *a, const ebb_error *e)
{
	const char *path = ebb_archive_path(a), *text = e->message;
	size_t n = strlen(path);

	if (strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0)
		text += n + 2;
	ebb_complain(c, e->status, "%s", text);
}

bool ebb_complaints_end(const ebb_complaints *c, const ebb_archive *a, ebb_error *e)
{
	char more[40] = "";

	if (c->count == 0)
		return true;
	if (c->count > c->listed)
		ebb_snprintf(
			more, sizeof more, "; and %lld more", (long long)(c->count - c->listed));
	ebb_error_set(e, c->status, NULL, "%.300s: %s%s", ebb_archive_path(a), c->text, more);
	return false;
}

/* ---- Values ---------------------------------------------------------------------------------- */

bool ebb_state_has(const ebb_archive *a, const char *name, ebb_file_dtype dtype, ebb_shape shape,
	ebb_complaints *c)
{
	int64_t i = ebb_archive_find(a, name);
	char there[120], here[120];

	if (i < 0) {
		ebb_complain(c, EBB_INVALID, "\"%.100s\" is missing", name);
		return false;
	}
	if (a->entry[i].dtype == dtype && ebb_same_dims(a->entry[i].shape, shape))
		return true;
	ebb_complain(c, a->entry[i].dtype == dtype ? EBB_BAD_SHAPE : EBB_BAD_DTYPE,
		"\"%.100s\" is %s %s, expected %s %s", name, ebb_file_dtype_name(a->entry[i].dtype),
		ebb_shape_text(a->entry[i].shape, there, sizeof there), ebb_file_dtype_name(dtype),
		ebb_shape_text(shape, here, sizeof here));
	return false;
}

bool ebb_state_has_like(
	const ebb_archive *a, const char *name, const ebb_tensor *x, ebb_complaints *c)
{
	return ebb_state_has(a, name, ebb_file_dtype_of(ebb_dtype_of(x)), ebb_shape_of(x), c);
}

bool ebb_state_add_like(
	ebb_archive *a, const char *name, const ebb_tensor *x, const void *values, ebb_error *e)
{
	return ebb_archive_add_values(
		a, name, ebb_file_dtype_of(ebb_dtype_of(x)), ebb_shape_of(x), values, e);
}

bool ebb_state_read(const ebb_archive *a, const char *name, void *to, ebb_error *e)
{
	const ebb_archived *x = &a->entry[ebb_archive_find(a, name)];

	return ebb_archived_values(a, x, x->dtype, to, e);
}

static bool number(
	const ebb_archive *a, const char *name, ebb_file_dtype dtype, void *x, ebb_complaints *c)
{
	ebb_error e = {0};

	if (!ebb_state_has(a, name, dtype, EBB_SCALAR_SHAPE, c))
		return false;
	if (ebb_state_read(a, name, x, &e))
		return true;
	ebb_complain(c, e.status, "%s", e.message);
	return false;
}

bool ebb_state_f64(const ebb_archive *a, const char *name, double *x, ebb_complaints *c)
{
	return number(a, name, EBB_FILE_F64, x, c);
}

bool ebb_state_i64(const ebb_archive *a, const char *name, int64_t *x, ebb_complaints *c)
{
	return number(a, name, EBB_FILE_I64, x, c);
}

bool ebb_state_is(const ebb_archive *a, const char *key, const char *text, ebb_complaints *c)
{
	const char *there = ebb_archive_metadata(a, key);
	char shown[64];

	if (there && strcmp(there, text) == 0)
		return true;
	if (there)
		ebb_complain(c, EBB_INVALID, "%.60s is %s, expected %.60s", key,
			ebb_printable(there, strlen(there), shown, sizeof shown), text);
	else
		ebb_complain(c, EBB_INVALID, "%.60s is missing, expected %.60s", key, text);
	return false;
}
