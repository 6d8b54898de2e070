/* scope.c - scopes: their names and paths, and the values that are dropped at their end. */
#include "autograd/internal.h"

#include <string.h>

const char *ebb_scope_path(const ebb_scope *s)
{
	return s ? s->path : "";
}

const ebb_scope *ebb_scope_parent(const ebb_scope *s)
{
	return s ? s->parent : NULL;
}

const char *ebb_scope_added(const ebb_scope *s)
{
	while (s && !s->added)
		s = s->parent;
	return s ? s->added : NULL;
}

void ebb_enter_scope(ebb_tape *t, const ebb_scope *s)
{
	t->scope = (ebb_scope *)s;
	t->ctx.scope = s->path;
}

const char *ebb_current_scope(const ebb_tape *t)
{
	return t ? t->scope->path : "";
}

void ebb_scopes_free(ebb_scope *s)
{
	while (s) {
		ebb_scope *next = s->sibling;

		ebb_scopes_free(s->children);
		ebb_free(s, s->size);
		s = next;
	}
}

/* The length of the longest beginning of name that is also the end of path, in whole parts between
 * dots: 8, for "layer1.0", with the path "a.layer1.0" and the name "layer1.0.conv1". */
static size_t overlap(const char *path, const char *name)
{
	size_t n = strlen(path), best = 0;

	for (size_t i = 0; name[i]; i++) {
		size_t k = i + 1;

		if (name[k] != '.' && name[k] != '\0')
			continue;
		if (k <= n && memcmp(path + n - k, name, k) == 0 &&
			(k == n || path[n - k - 1] == '.'))
			best = k;
	}
	return best;
}

ebb_scope *ebb_scope_inside(ebb_scope *parent, const char *name)
{
	size_t shared, length, size;
	ebb_scope *s, **end;
	char *text;

	for (s = parent->children; s; s = s->sibling)
		if (s->name == name || strcmp(s->name, name) == 0)
			return s;
	shared = overlap(parent->path, name);
	length = strlen(name);
	size = sizeof *s + length + 1 + strlen(parent->path) + 1 + (length - shared) + 1;
	s = ebb_alloc_zeroed(size);
	if (!s)
		return NULL;
	text = (char *)(s + 1);
	memcpy(text, name, length + 1);
	s->name = text;
	s->path = text + length + 1;
	strcpy((char *)s->path, parent->path);
	if (shared < length) {
		const char *rest = name + shared + (shared > 0);

		if (parent->path[0])
			strcat((char *)s->path, ".");
		strcat((char *)s->path, rest);
	}
	s->size = size;
	s->parent = parent;
	/* Children are in the order of first use, which is the order of depth in a model. */
	for (end = &parent->children; *end; end = &(*end)->sibling)
		;
	*end = s;
	return s;
}

void(ebb_scope_begin)(ebb_tape *t, const char *name, const char *site)
{
	ebb_scope *s;

	if (!t)
		return;
	if (!t->nopen && !t->nnodes)
		ebb_ask_later(t);
	/* A tape that has failed opens scopes, too, so that each ebb_scope_end closes the scope of
	 * its own ebb_scope_begin.  unopened counts the scopes that were not opened for lack of
	 * memory, and the scopes inside them. */
	s = t->unopened ? NULL : ebb_scope_inside(t->scope, name ? name : "");
	if (!s || !ebb_grow(&t->open, &t->open_capacity, t->nopen + 1, sizeof *t->open)) {
		if (!t->unopened)
			ebb_no_memory(t, site, "a scope", sizeof *s);
		t->unopened++;
		return;
	}
	t->open[t->nopen++] = (ebb_open_scope){t->scope, t->ctx.nlive, ++t->scopes_begun, site};
	ebb_enter_scope(t, s);
}

ebb_tensor *(ebb_scope_end)(ebb_tape *t, ebb_tensor *y, const char *site)
{
	ebb_open_scope open;
	int64_t kept;

	if (!t)
		return NULL;
	if (t->unopened) {
		t->unopened--;
		return NULL;
	}
	if (!t->nopen)
		return ebb_fail(t, EBB_BAD_STATE, site, "scope_end: no scope is open");
	if (t->watch && !ebb_failed(t))
		t->watch->ended(t, y);
	open = t->open[--t->nopen];
	kept = open.live < t->ctx.nlive ? open.live : t->ctx.nlive;
	for (int64_t i = kept; i < t->ctx.nlive; i++) {
		ebb_tensor *x = t->ctx.live[i];

		/* If a vjp has opened the scope, its sweep may hold x as well, and drops x
		 * later. */
		if (x == y || x->holds > 1) {
			t->ctx.live[kept++] = x;
		} else if (!(x->flags & EBB_F_DROPPED)) {
			x->dropped_by = t->scope->path;
			ebb_drop_value(x);
		}
	}
	t->ctx.nlive = kept;
	ebb_enter_scope(t, open.scope);
	return ebb_failed(t) ? NULL : y;
}

void ebb_release(ebb_tape *t, ebb_tensor *x)
{
	/* If a sweep holds x as well, or shows a dropped x to a vjp, the sweep drops x later. */
	if (!t || !x || x->tape != t || x->holds != 1 || !(x->flags & EBB_F_LISTED) ||
		ebb_is_given(t, x))
		return;
	ebb_drop_value(x);
}
