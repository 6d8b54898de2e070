/* error.c - sticky errors: the first failure stays, with the caller's line and the scope. */
#include "tensor/internal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

/* The number of the next error in this process, by which ebb_earliest_error compares. */
static uint64_t next_order(void)
{
	static atomic_ulong count; /* of long, because not every machine has 64-bit atomics */

	return atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
}

void ebb_error_set(ebb_error *e, ebb_status status, const char *site, const char *format, ...)
{
	va_list ap;

	if (!e || e->status != EBB_OK)
		return;
	e->status = status;
	e->order = next_order();
	e->message[0] = '\0';
	if (site && *site)
		ebb_append(e->message, sizeof e->message, "%s: ", site);
	va_start(ap, format);
	ebb_append_v(e->message, sizeof e->message, format, ap);
	va_end(ap);
}

bool ebb_failed(const ebb_tape *t)
{
	return ebb_has_failed(t);
}

ebb_status ebb_error_status(const ebb_tape *t)
{
	return t ? ebb_context_read(t)->error.status : EBB_NO_MEMORY;
}

const char *ebb_error_message(const ebb_tape *t)
{
	return t ? ebb_context_read(t)->error.message : "no memory for a tape";
}

void ebb_clear_error(ebb_tape *t)
{
	ebb_error *e;

	if (!t)
		return;
	e = &ebb_context_of(t)->error;
	e->status = EBB_OK;
	e->message[0] = '\0';
	e->order = 0;
}

const ebb_error *ebb_tape_error(const ebb_tape *t)
{
	static const ebb_error NO_TAPE = {
		.status = EBB_NO_MEMORY, .message = "no memory for a tape"};

	if (!t)
		return &NO_TAPE;
	return ebb_context_read(t)->error.status == EBB_OK ? NULL : &ebb_context_read(t)->error;
}

const ebb_error *ebb_earliest_error(int n, const ebb_error *const *e)
{
	const ebb_error *first = NULL;

	/* The constant errors for NULL objects have the order 0; any error with an order is
	 * preferred, because it may be the cause of the NULL. */
	for (int i = 0; i < n; i++)
		if (e[i] && e[i]->status != EBB_OK &&
			(!first || (e[i]->order && (!first->order || e[i]->order < first->order))))
			first = e[i];
	return first;
}

void ebb_fail_as(ebb_tape *t, const ebb_error *cause)
{
	ebb_context *c = ebb_context_of(t);

	if (c->error.status == EBB_OK)
		c->error = *cause;
}

void ebb_fail_v(ebb_tape *t, ebb_status status, const char *site, const char *op,
	const char *format, va_list ap)
{
	ebb_context *c = ebb_context_of(t);
	const ebb_place *at = c->place;
	char *m = c->error.message;
	size_t size = sizeof c->error.message;

	if (c->error.status != EBB_OK)
		return;
	c->error.status = status;
	c->error.order = next_order();
	m[0] = '\0';
	if (at && at->site)
		site = at->site;
	if (site && *site)
		ebb_append(m, size, "%s: ", site);
	if (at && at->gradient_of)
		ebb_append(m, size, "gradient of %s: ", at->gradient_of);
	if (op)
		ebb_append(m, size, "%s: ", op);
	ebb_append_v(m, size, format, ap);
	if (c->scope && c->scope[0])
		ebb_append(m, size, " in %s", c->scope);
}

ebb_tensor *ebb_fail(ebb_tape *t, ebb_status status, const char *site, const char *format, ...)
{
	va_list ap;

	if (!t)
		return NULL;
	va_start(ap, format);
	ebb_fail_v(t, status, site, NULL, format, ap);
	va_end(ap);
	return NULL;
}

ebb_tensor *ebb_no_memory(ebb_tape *t, const char *site, const char *what, size_t bytes)
{
	return ebb_fail(t, EBB_NO_MEMORY, site, "no memory for %s (%zu bytes)", what, bytes);
}
