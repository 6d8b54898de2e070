/* profile.c - a profile of a run: the time of all calls by op, scope and line, and a trace of the
 * calls. */
#include "tensor/host.h"
#include "flow/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct call {
	const char *op, *site, *gradient_of;
	const ebb_scope *scope;
	int64_t start, nanoseconds;
	int64_t own; /* nanoseconds without those of the calls that it made */
	double flops, bytes, multiply_adds, result_bytes;
} call;

struct ebb_profile {
	ebb_tape *t;
	ebb_observer observer;
	call *calls;
	int64_t n, capacity;
	bool full; /* a call could not be recorded */
};

static void on_ran(void *ctx, const ebb_run *r)
{
	ebb_profile *p = ctx;
	int64_t own = r->nanoseconds;

	if (!ebb_grow(&p->calls, &p->capacity, p->n + 1, sizeof *p->calls)) {
		p->full = true;
		return;
	}
	/* A call is reported when it ends, so the calls that it made directly precede it. */
	for (int64_t i = p->n - 1; i >= 0 && p->calls[i].start >= r->start; i--)
		own -= p->calls[i].own;
	p->calls[p->n++] = (call){r->op, r->site, r->gradient_of, r->scope, r->start,
		r->nanoseconds, own, r->flops, r->bytes, r->multiply_adds, r->result_bytes};
}

ebb_profile *ebb_profile_new(ebb_tape *t)
{
	ebb_profile *p = ebb_alloc_zeroed(sizeof *p);

	if (!p)
		return NULL;
	p->t = t;
	p->observer = (ebb_observer){.ctx = p, .ran = on_ran};
	if (ebb_observe(t, &p->observer))
		return p;
	ebb_free(p, sizeof *p);
	return NULL;
}

void ebb_profile_free(ebb_profile *p)
{
	if (!p)
		return;
	ebb_unobserve(p->t, &p->observer);
	ebb_free(p->calls, (size_t)p->capacity * sizeof *p->calls);
	ebb_free(p, sizeof *p);
}

void ebb_profile_reset(ebb_profile *p)
{
	if (!p)
		return;
	p->n = 0;
	p->full = false;
}

/* ---- Rows ---- */

static const char *key_of(const call *c, ebb_profile_by by)
{
	switch (by) {
	case EBB_BY_SCOPE:
		return ebb_scope_path(c->scope);
	case EBB_BY_SITE:
		return c->site;
	default:
		return c->gradient_of ? c->gradient_of : c->op;
	}
}

typedef struct keyed {
	const char *key;
	const call *c;
} keyed;

static int by_key(const void *a, const void *b)
{
	return strcmp(((const keyed *)a)->key, ((const keyed *)b)->key);
}

static double seconds_of(const ebb_profile_row *r)
{
	return r->forward.seconds + r->backward.seconds;
}

static int by_time(const void *a, const void *b)
{
	double x = seconds_of(a), y = seconds_of(b);

	return x == y  ? strcmp(((const ebb_profile_row *)a)->name,
				 ((const ebb_profile_row *)b)->name)
	       : x < y ? 1
	               : -1;
}

/* All rows, the largest time first, to be freed with free_rows; NULL if there are none or no
 * memory. */
static ebb_profile_row *make_rows(const ebb_profile *p, ebb_profile_by by, int64_t *n)
{
	keyed *k;
	ebb_profile_row *rows;

	*n = 0;
	if (!p || p->full || !p->n)
		return NULL;
	k = ebb_alloc((size_t)p->n * sizeof *k);
	rows = ebb_alloc_zeroed((size_t)p->n * sizeof *rows);
	if (!k || !rows) {
		ebb_free(k, (size_t)p->n * sizeof *k);
		ebb_free(rows, (size_t)p->n * sizeof *rows);
		return NULL;
	}
	for (int64_t i = 0; i < p->n; i++)
		k[i] = (keyed){key_of(&p->calls[i], by), &p->calls[i]};
	qsort(k, (size_t)p->n, sizeof *k, by_key);
	for (int64_t i = 0; i < p->n; i++) {
		const call *c = k[i].c;
		ebb_profile_cost *cost;

		if (!i || strcmp(k[i].key, k[i - 1].key))
			rows[(*n)++].name = k[i].key;
		cost = c->gradient_of ? &rows[*n - 1].backward : &rows[*n - 1].forward;
		cost->calls++;
		cost->seconds += (double)c->own * 1e-9;
		cost->flops += c->flops;
		cost->bytes += c->bytes;
		cost->multiply_adds += c->multiply_adds;
		cost->result_bytes += c->result_bytes;
	}
	ebb_free(k, (size_t)p->n * sizeof *k);
	qsort(rows, (size_t)*n, sizeof *rows, by_time);
	return rows;
}

static void free_rows(const ebb_profile *p, ebb_profile_row *rows)
{
	if (rows)
		ebb_free(rows, (size_t)p->n * sizeof *rows);
}

int64_t ebb_profile_rows(
	const ebb_profile *p, ebb_profile_by by, int64_t max, ebb_profile_row *rows)
{
	int64_t n;
	ebb_profile_row *all = make_rows(p, by, &n);

	if (all && rows && max > 0)
		memcpy(rows, all, (size_t)(n < max ? n : max) * sizeof *rows);
	free_rows(p, all);
	return n;
}

/* ---- The table ---- */

static void add_cost(ebb_text *text, const ebb_profile_cost *c)
{
	if (!c->calls) {
		ebb_text_repeat(text, " ", 37);
		return;
	}
	ebb_text_printf(text, "%8" PRId64 " ", c->calls);
	ebb_text_number(text, "%10.3f ", c->seconds * 1e3);
	ebb_text_number(text, "%8.2f ", c->seconds > 0 ? c->flops / c->seconds * 1e-9 : 0);
	ebb_text_number(text, "%8.2f", c->seconds > 0 ? c->bytes / c->seconds * 1e-9 : 0);
}

static void add_row(ebb_text *text, const ebb_profile_row *r, int width, double total)
{
	ebb_text_pad(text, r->name[0] ? r->name : "-", width, false);
	add_cost(text, &r->forward);
	ebb_text_add(text, "  |");
	add_cost(text, &r->backward);
	ebb_text_number(text, " %6.1f", total > 0 ? 100 * seconds_of(r) / total : 0);
	ebb_text_add(text, "\n");
}

bool ebb_profile_table(const ebb_profile *p, ebb_profile_by by, ebb_text *text)
{
	static const char *const names[] = {"op", "scope", "line"};
	ebb_profile_row total = {.name = "all"}, *rows;
	int64_t n;
	int width = 12;

	if (!text)
		return false;
	rows = make_rows(p, by, &n);
	if (!rows && !(p && !p->full && !p->n))
		return false;
	for (int64_t i = 0; i < n; i++) {
		ebb_profile_cost *to[] = {&total.forward, &total.backward};
		const ebb_profile_cost *from[] = {&rows[i].forward, &rows[i].backward};
		int length = (int)strlen(rows[i].name);

		width = length > width ? length : width;
		for (int k = 0; k < 2; k++) {
			to[k]->calls += from[k]->calls;
			to[k]->seconds += from[k]->seconds;
			to[k]->flops += from[k]->flops;
			to[k]->bytes += from[k]->bytes;
		}
	}
	ebb_text_pad(text, names[by == EBB_BY_SCOPE ? 1 : by == EBB_BY_SITE ? 2 : 0], width, false);
	for (int k = 0; k < 2; k++)
		ebb_text_printf(text, "%8s %10s %8s %8s%s", k ? "backward" : "forward", "ms",
			"GFLOP/s", "GB/s", k ? "      %\n" : "  |");
	for (int64_t i = 0; i < n; i++)
		add_row(text, &rows[i], width, seconds_of(&total));
	add_row(text, &total, width, seconds_of(&total));
	free_rows(p, rows);
	return !text->failed;
}

/* ---- The trace ---- */

/* Appends s escaped as the content of a JSON string. */
static void add_escaped(ebb_text *text, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			ebb_text_printf(text, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			ebb_text_printf(text, "\\u%04x", (unsigned)(unsigned char)*s);
		else
			ebb_text_bytes(text, s, 1);
	}
}

static void add_call(ebb_text *text, const call *c, int64_t origin)
{
	ebb_text_add(text, "{\"name\":\"");
	add_escaped(text, c->op);
	ebb_text_printf(text, "\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%d,",
		c->gradient_of ? "backward" : "forward", c->gradient_of ? 2 : 1);
	ebb_text_number(text, "\"ts\":%.3f", (double)(c->start - origin) * 1e-3);
	ebb_text_number(text, ",\"dur\":%.3f", (double)c->nanoseconds * 1e-3);
	ebb_text_add(text, ",\"args\":{\"scope\":\"");
	add_escaped(text, ebb_scope_path(c->scope));
	ebb_text_add(text, "\",\"line\":\"");
	add_escaped(text, c->site);
	if (c->gradient_of) {
		ebb_text_add(text, "\",\"gradient of\":\"");
		add_escaped(text, c->gradient_of);
	}
	ebb_text_number(text, "\",\"flops\":%.0f", c->flops);
	ebb_text_number(text, ",\"bytes\":%.0f}}", c->bytes);
}

bool ebb_profile_trace(const ebb_profile *p, ebb_text *text)
{
	static const char *const threads[] = {"forward", "backward"};
	int64_t origin = 0;

	if (!p || p->full || !text)
		return false;
	ebb_text_add(text, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	for (int k = 0; k < 2; k++)
		ebb_text_printf(text,
			"%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,"
			"\"args\":{\"name\":\"%s\"}}",
			k ? "," : "", k + 1, threads[k]);
	for (int64_t i = 0; i < p->n; i++)
		if (!i || p->calls[i].start < origin)
			origin = p->calls[i].start;
	for (int64_t i = 0; i < p->n; i++) {
		ebb_text_add(text, ",\n");
		add_call(text, &p->calls[i], origin);
	}
	ebb_text_add(text, "\n]}\n");
	return !text->failed;
}
