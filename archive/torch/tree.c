/*
 * tree.c - flattens dicts and lists of a pickle to names joined by dots.
 */
#include <string.h>

#include "archive/torch/torch.h"

/* The limit of nested dicts and lists; a list that contains itself is nested infinitely. */
enum { LEVELS = 64 };
/* The limit of visited values, because a pickle may refer to a value many times: STEPS per byte of
 * the pickle, and FREE_STEPS more.  Only nested lists that contain the same list twice need
 * more. */
enum { STEPS = 64, FREE_STEPS = 4096 };

static bool visit(ebb_torch *t, const ebb_py *x, int level);

static bool spend(ebb_torch *t, int64_t steps)
{
	t->steps -= steps;
	return t->steps >= 0 || ebb_archive_refuse(t->heap.a, t->heap.e,
					"%s refers to the same values too often", t->what);
}

static bool add_to_name(ebb_torch *t, const char *text, size_t n)
{
	if (!ebb_py_room(&t->heap, &t->name, &t->name_capacity, t->name_bytes + (int64_t)n, 1))
		return false;
	if (n > 0)
		memcpy(t->name + t->name_bytes, text, n);
	t->name_bytes += (int64_t)n;
	return true;
}

static bool visit_child(ebb_torch *t, const char *key, size_t n, const ebb_py *x, int level)
{
	int64_t before = t->name_bytes;
	bool ok = spend(t, 1 + (int64_t)n) && (level == 0 || add_to_name(t, ".", 1)) &&
	          add_to_name(t, key, n) && visit(t, x, level + 1);

	t->name_bytes = before;
	return ok;
}

/* Visits a value under its key, a text or a number, as the last part of the name. */
static bool visit_pair(ebb_torch *t, const ebb_py *key, const ebb_py *x, int level)
{
	char number[EBB_PY_NUMBER], name[80];
	int n;

	if (key->kind == EBB_PY_TEXT)
		return visit_child(t, (const char *)key->bytes, key->n, x, level);
	n = ebb_py_number(key, number);
	if (n < 0)
		return ebb_archive_refuse(t->heap.a, t->heap.e,
			"%s: a key in \"%s\" is neither text nor a number", t->what,
			ebb_printable(
				t->name ? t->name : "", (size_t)t->name_bytes, name, sizeof name));
	return visit_child(t, number, (size_t)n, x, level);
}

static bool visit_dict(ebb_torch *t, const ebb_py *x, int level)
{
	for (uint32_t i = 0; i < x->n; i += 2)
		if (!visit_pair(t, x->item[i], x->item[i + 1], level))
			return false;
	return true;
}

static bool visit_list(ebb_torch *t, const ebb_py *x, int level)
{
	char number[EBB_PY_NUMBER];

	for (uint32_t i = 0; i < x->n; i++) {
		int n = ebb_snprintf(number, sizeof number, "%lu", (unsigned long)i);

		if (!visit_child(t, number, (size_t)n, x->item[i], level))
			return false;
	}
	return true;
}

static bool note(ebb_torch *t, const char *text, size_t n)
{
	return ebb_archive_note(
		t->heap.a, t->name ? t->name : "", (size_t)t->name_bytes, text, n, t->heap.e);
}

/* Bytes that are not text, which Python 2's str may be, are left out. */
static bool note_text(ebb_torch *t, const ebb_py *x)
{
	if (!ebb_is_utf8((const char *)x->bytes, x->n))
		return spend(t, x->n);
	return note(t, (const char *)x->bytes, x->n);
}

static bool note_number(ebb_torch *t, const ebb_py *x)
{
	char number[EBB_PY_NUMBER];
	int n = ebb_py_number(x, number);

	return n < 0 || note(t, number, (size_t)n);
}

static bool note_dtype(ebb_torch *t, const ebb_py *x)
{
	char text[40];
	int n;

	if (ebb_py_means(x) != EBB_PY_DTYPE)
		return true;
	n = ebb_snprintf(text, sizeof text, "torch.%s", ebb_py_named(x)->name);
	return note(t, text, (size_t)n);
}

static bool visit(ebb_torch *t, const ebb_py *x, int level)
{
	if (level > LEVELS)
		return ebb_archive_refuse(t->heap.a, t->heap.e,
			"%s nests values more than %d levels deep", t->what, LEVELS);
	switch (x->kind) {
	case EBB_PY_TENSOR:
		return ebb_torch_tensor(t, x);
	case EBB_PY_STORAGE:
		return ebb_torch_storage_entry(t, x);
	case EBB_PY_DICT:
		return visit_dict(t, x, level);
	case EBB_PY_LIST:
	case EBB_PY_TUPLE:
		return visit_list(t, x, level);
	case EBB_PY_TEXT:
		return note_text(t, x);
	case EBB_PY_GLOBAL:
		return note_dtype(t, x);
	default:
		return note_number(t, x);
	}
}

bool ebb_torch_collect(ebb_torch *t, const ebb_py *root, int64_t pickle_bytes)
{
	bool ok;

	t->steps = STEPS * pickle_bytes + FREE_STEPS;
	ok = visit(t, root, 0);
	ebb_py_give(&t->heap, t->name, t->name_capacity, 1);
	t->name = NULL;
	t->name_bytes = t->name_capacity = 0;
	return ok;
}
