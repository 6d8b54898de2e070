/* scope.c - names for what happens inside, and the end of what was made there. */
#include "autograd/internal.h"

#include <string.h>

const char *ebb_scope_path(const ebb_scope *s)
{
	return s ? s->path : "";
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

/* How much of name's beginning, in whole parts, is the end of path: "a.layer1.0" and
 * "layer1.0.conv1" share 8. */
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
	/* In order of first use, which is the order of depth. */
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
	/* Begin and end stay paired on a failed tape too. */
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

		/* What a vjp gave inside a scope of its own is the sweep's until it has passed. */
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
	/* What a sweep holds, or shows to a rule, goes when the sweep lets go of it. */
	if (!t || !x || x->tape != t || x->holds != 1 || !(x->flags & EBB_F_LISTED) ||
		ebb_is_given(t, x))
		return;
	ebb_drop_value(x);
}
