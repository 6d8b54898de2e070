/*
 * add.c - the list of objects that a saver saves.
 */
#include <string.h>

#include "archive/internal.h"
#include "training/internal.h"

static void free_text(char *text)
{
	ebb_free(text, text ? strlen(text) + 1 : 0);
}

static void free_item(ebb_saved *x)
{
	if (!x)
		return;
	free_text(x->name);
	free_text(x->prefix);
	ebb_free(x, sizeof *x);
}

void ebb_saver_free_items(ebb_saver *s)
{
	for (int64_t i = 0; i < s->count; i++)
		free_item(s->item[i]);
	ebb_free(s->item, (size_t)s->capacity * sizeof *s->item);
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Whether one name equals the other, or extends it by a dot. */
static bool overlap(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;
	const char *longer = n < m ? b : a;

	return memcmp(a, b, least) == 0 && (longer[least] == '\0' || longer[least] == '.');
}

static bool is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n > 0 && name[0] != '.' && name[n - 1] != '.' && !strstr(name, "..") &&
	       ebb_is_utf8(name, n);
}

static bool check_name(const ebb_saver *s, const char *name, ebb_error *e)
{
	char shown[200];

	if (!is_name(name)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"saver_add: %s%s%s is not a valid name: expected dotted parts, none of "
			"them "
			"empty, in UTF-8",
			name ? "\"" : "",
			name ? ebb_printable(name, strlen(name), shown, sizeof shown) : "NULL",
			name ? "\"" : "");
		return false;
	}
	if (overlap(name, ebb_saver_own)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"saver_add: \"%.200s\": names that begin with \"%s\" are the saver's own",
			name, ebb_saver_own);
		return false;
	}
	for (int64_t i = 0; i < s->count; i++) {
		const char *taken = s->item[i]->name;

		if (strcmp(name, taken) == 0)
			ebb_error_set(
				e, EBB_INVALID, NULL, "saver_add: \"%.200s\" is added twice", name);
		else if (overlap(name, taken))
			ebb_error_set(e, EBB_INVALID, NULL,
				"saver_add: \"%.200s\" cannot be told from \"%.200s\", which is "
				"added, too",
				name, taken);
		else
			continue;
		return false;
	}
	return true;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static char *joined(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	char *text = ebb_alloc(n + m + 1);

	if (text) {
		memcpy(text, a, n);
		memcpy(text + n, b, m + 1);
	}
	return text;
}

/* Adds an item with this name, to be completed by the caller; NULL with an error in the saver,
 * which then saves nothing. */
static ebb_saved *add(ebb_saver *s, const char *name, const ebb_saved_kind *kind, void *object)
{
	ebb_saved *x = NULL;
	ebb_error e = {0};

	if (!s)
		return NULL;
	if (!object)
		ebb_error_set(&e, EBB_INVALID, NULL,
			"saver_add: \"%.200s\" is NULL: creating it failed, or was omitted",
			name ? name : "NULL");
	else if (check_name(s, name, &e))
		x = ebb_alloc_zeroed(sizeof *x);
	if (x) {
		x->kind = kind;
		x->object = object;
		x->name = joined(name, "");
		x->prefix = joined(name, ".");
	}
	if (x && x->name && x->prefix &&
		ebb_grow(&s->item, &s->capacity, s->count + 1, sizeof *s->item))
		return s->item[s->count++] = x;
	free_item(x);
	ebb_error_set(&e, EBB_NO_MEMORY, NULL, "saver_add: no memory for an item");
	ebb_saver_fail(s, &e);
	s->broken = true;
	return NULL;
}

/* Allocates the memory of the background copy in advance, so that no step has to wait for it. */
static bool reserve_copy(ebb_saver *s)
{
	ebb_error ignored = {0};
	ebb_archive *a = s->background ? ebb_saver_gather(s, 0, &ignored) : NULL;

	if (a)
		ebb_snapshot_room(&s->snapshot, a);
	ebb_archive_free(a);
	return true;
}

static bool add_numbers(
	ebb_saver *s, const char *name, void *at, ebb_file_dtype dtype, ebb_shape shape)
{
	ebb_saved *x = add(s, name, &ebb_saved_numbers, at);

	if (x)
		x->field[0] = (ebb_field){"", dtype, shape, at};
	return x;
}

bool ebb_saver_add_params(ebb_saver *s, const char *name, ebb_params *p)
{
	return add(s, name, &ebb_saved_params, p) && reserve_copy(s);
}

bool ebb_saver_add_optim(ebb_saver *s, const char *name, ebb_optim *o)
{
	return add(s, name, &ebb_saved_optim, o) && reserve_copy(s);
}

bool ebb_saver_add_averager(ebb_saver *s, const char *name, ebb_averager *a)
{
	return add(s, name, &ebb_saved_averager, a) && reserve_copy(s);
}

bool ebb_saver_add_loader(ebb_saver *s, const char *name, ebb_loader *l)
{
	return add(s, name, &ebb_saved_loader, l);
}

bool ebb_saver_add_tensor(ebb_saver *s, const char *name, ebb_tensor *t)
{
	return add(s, name, &ebb_saved_tensor, t) && reserve_copy(s);
}

bool ebb_saver_add_tape(ebb_saver *s, const char *name, ebb_tape *t)
{
	ebb_saved *x = add(s, name, &ebb_saved_tape, t);

	if (x)
		x->field[0] = (ebb_field){".random", EBB_FILE_U64, EBB_SHAPE(2), x->drawn};
	return x;
}

bool ebb_saver_add_average(ebb_saver *s, const char *name, ebb_average *a)
{
	ebb_saved *x = add(s, name, &ebb_saved_numbers, a);

	if (x) {
		x->field[0] = (ebb_field){".sum", EBB_FILE_F64, EBB_SCALAR_SHAPE, &a->sum};
		x->field[1] = (ebb_field){".weight", EBB_FILE_F64, EBB_SCALAR_SHAPE, &a->weight};
	}
	return x;
}

bool ebb_saver_add_f64(ebb_saver *s, const char *name, double *x)
{
	return add_numbers(s, name, x, EBB_FILE_F64, EBB_SCALAR_SHAPE);
}

bool ebb_saver_add_i64(ebb_saver *s, const char *name, int64_t *x)
{
	return add_numbers(s, name, x, EBB_FILE_I64, EBB_SCALAR_SHAPE);
}

bool ebb_saver_add_u64(ebb_saver *s, const char *name, uint64_t *x)
{
	return add_numbers(s, name, x, EBB_FILE_U64, EBB_SCALAR_SHAPE);
}

bool ebb_saver_add_int(ebb_saver *s, const char *name, int *x)
{
	_Static_assert(sizeof(int) == 4, "an int is saved as I32");
	return add_numbers(s, name, x, EBB_FILE_I32, EBB_SCALAR_SHAPE);
}

bool ebb_saver_add_bool(ebb_saver *s, const char *name, bool *x)
{
	_Static_assert(sizeof(bool) == 1, "a bool is saved as it is");
	return add_numbers(s, name, x, EBB_FILE_BOOL, EBB_SCALAR_SHAPE);
}

bool ebb_saver_add_f64s(ebb_saver *s, const char *name, double *x, int64_t count)
{
	return add_numbers(
		s, name, count < 0 ? NULL : x, EBB_FILE_F64, EBB_SHAPE(count < 0 ? 0 : count));
}

bool ebb_saver_add_text(ebb_saver *s, const char *name, char *text, size_t size)
{
	ebb_saved *x = add(s, name, &ebb_saved_text, size == 0 ? NULL : text);

	if (x)
		x->size = size;
	return x;
}
