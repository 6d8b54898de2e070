/*
 * summary_text.c - a summary as text.
 */
#include "flow/summary_tree.h"

#include <string.h>

#include "tensor/host.h"

/* Columns; together with blanks and the largest texts they are 100. */
enum { NAME = 32, OP = 18, SHAPE = 18, NUMBER = 11, COST = 8 };

/* "11,689,512" */
static void grouped(char *buffer, size_t size, int64_t n)
{
	char digits[32];
	size_t length, at = 0;

	ebb_snprintf(digits, sizeof digits, "%lld", (long long)n);
	length = strlen(digits);
	for (size_t i = 0; i < length && at + 2 < size; i++) {
		if (i && (length - i) % 3 == 0)
			buffer[at++] = ',';
		buffer[at++] = digits[i];
	}
	buffer[at] = '\0';
}

/* Three digits and a unit: "1.81 G"; "" for 0. */
static void scaled(char *buffer, size_t size, double x, double thousand, const char *const *units)
{
	int k = 0;

	while (x >= 999.5 && units[k + 1]) {
		x /= thousand;
		k++;
	}
	if (x == 0)
		ebb_snprintf(buffer, size, "%s", "");
	else
		ebb_snprintf(buffer, size, "%.*f %s",
			k == 0 || x >= 99.95 ? 0
			: x >= 9.995         ? 1
					     : 2,
			x, units[k]);
}

static void count_text(char *buffer, size_t size, double x)
{
	static const char *const units[] = {"", "k", "M", "G", "T", NULL};

	scaled(buffer, size, x, 1000, units);
}

static void bytes_text(char *buffer, size_t size, double x)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", NULL};

	scaled(buffer, size, x, 1000, units);
}

/* The name of a row without that of the container that it is in. */
static const char *own_name(const ebb_summary_row *row, const ebb_summary_row *container)
{
	size_t n = container ? strlen(container->name) : 0;

	if (n && strncmp(row->name, container->name, n) == 0 && row->name[n] == '.')
		return row->name + n + 1;
	return row->name;
}

/* Replaces the end of an ASCII text by ".." if it has more than n characters. */
static const char *cut(char *text, size_t n)
{
	if (strlen(text) > n)
		strcpy(text + n - 2, "..");
	return text;
}

static void add_line(ebb_text *text, int indent, const char *name, const char *op,
	const char *shape, const char *const numbers[3])
{
	ebb_text_repeat(text, " ", indent);
	ebb_text_name(text, name, NAME - indent, false);
	ebb_text_add(text, " ");
	ebb_text_pad(text, op, OP, false);
	ebb_text_add(text, " ");
	ebb_text_pad(text, shape, SHAPE, false);
	ebb_text_add(text, " ");
	ebb_text_pad(text, numbers[0], NUMBER, true);
	for (int k = 1; k < 3; k++) {
		ebb_text_add(text, " ");
		ebb_text_pad(text, numbers[k], COST, true);
	}
	while (text->length && text->data[text->length - 1] == ' ')
		text->length--;
	ebb_text_add(text, "\n");
}

static void add_row(ebb_text *text, const ebb_summary_row *row, const ebb_summary_row *container)
{
	char op[OP + 24] = "", shape[100] = "", parameters[32] = "", adds[32], bytes[32];
	int indent = 2 * (row->depth < 8 ? row->depth : 8);

	if (!row->container)
		ebb_snprintf(op, sizeof op, "%.*s", OP, row->op);
	if (row->runs > 1)
		ebb_append(op, sizeof op, "%sx%lld", *op ? " " : "", (long long)row->runs);
	if (row->calls && !row->container)
		ebb_shape_text(row->shape, shape, sizeof shape);
	if (row->parameters)
		grouped(parameters, sizeof parameters, row->parameters);
	else if (row->shared)
		strcpy(parameters, "shared");
	count_text(adds, sizeof adds, row->multiply_adds);
	bytes_text(bytes, sizeof bytes, row->result_bytes);
	add_line(text, indent, own_name(row, container), cut(op, OP), cut(shape, SHAPE),
		(const char *const[]){parameters, adds, bytes});
}

static void add_rows(ebb_summary *s, int64_t n)
{
	enum { MOST = 64 };
	const ebb_summary_row *around[MOST] = {NULL};

	for (int64_t i = 0; i < n; i++) {
		const ebb_summary_row *row = &s->rows[i];
		int depth = row->depth < MOST ? row->depth : MOST - 1;

		around[depth] = row;
		if (s->depth > 0 && row->depth >= s->depth)
			continue;
		add_row(&s->text, row, depth ? around[depth - 1] : NULL);
	}
}

static void add_totals(ebb_summary *s)
{
	ebb_summary_totals total = ebb_summary_total(s);
	char number[40], other[40];

	grouped(number, sizeof number, total.parameters);
	bytes_text(other, sizeof other, (double)total.parameter_bytes);
	ebb_text_printf(&s->text, "parameters     %s (%s)", number, *other ? other : "0 B");
	if (total.frozen) {
		grouped(number, sizeof number, total.frozen);
		ebb_text_printf(&s->text, ", of which %s frozen", number);
	}
	if (total.unused) {
		grouped(number, sizeof number, total.unused);
		ebb_text_printf(&s->text, ", %s not used", number);
	}
	grouped(number, sizeof number, (int64_t)total.multiply_adds);
	grouped(other, sizeof other, (int64_t)total.flops);
	ebb_text_printf(
		&s->text, "\nmultiply-adds  %s (%s floating-point operations)\n", number, other);
	bytes_text(number, sizeof number, total.result_bytes);
	grouped(other, sizeof other, total.calls);
	ebb_text_printf(&s->text, "results        %s, of %s calls of ops\n",
		*number ? number : "0 B", other);
}

const char *ebb_summary_text(ebb_summary *s)
{
	ebb_summary_row sums;
	int64_t n = ebb_summary_fill(s, &sums);

	if (n < 0)
		return NULL;
	s->text.length = 0;
	s->text.failed = false;
	add_line(&s->text, 0, "layer", "op", "result",
		(const char *const[]){"parameters", "mult-add", "memory"});
	add_rows(s, n);
	add_totals(s);
	return s->text.failed ? NULL : s->text.data;
}
