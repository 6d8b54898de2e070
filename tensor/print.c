/*
 * print.c - a tensor's values as text, in the layout of PyTorch.
 *
 * The text is produced twice: without output to find the number format and the common width of the
 * elements, and then into the buffer or the file.  Nothing is allocated.
 */
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

#include "tensor/host.h"

/* ---- Where the text goes --------------------------------------------------------------------- */

typedef struct output {
	char *buffer; /* NULL: the text goes to file */
	size_t size, n;
	FILE *file;
	bool failed;
} output;

static void put(output *o, const char *text, size_t n)
{
	if (o->file)
		o->failed |= fwrite(text, 1, n, o->file) != n;
	else if (o->n < o->size)
		memcpy(o->buffer + o->n, text, n < o->size - o->n ? n : o->size - o->n);
	o->n += n;
}

static void puts_to(output *o, const char *text)
{
	put(o, text, strlen(text));
}

static void repeat(output *o, char c, int64_t n)
{
	for (; n > 0; n--)
		put(o, &c, 1);
}

/* ---- The format of an element ---------------------------------------------------------------- */

enum { NUMBER_SIZE = 400, MOST_DIGITS = 50 };

typedef enum style { INTEGER, POINT, FIXED, SCIENTIFIC } style;

typedef struct printer {
	const ebb_tensor *x;
	int64_t edge; /* of axes with more than 2*edge elements, the first and last edge are shown;
	                 0: all elements are shown */
	int precision, line;
	style style;
	int width; /* of the widest element */
	output *o;

	/* Of the finite, nonzero elements: */
	double smallest, largest;
	bool whole;
} printer;

/* The text of the element at an offset; POINT writes integers as "2.", for a real type. */
static int write_element(const printer *p, int64_t at, char *text)
{
	const ebb_tensor *x = p->x;
	double v = ebb_value_at_offset(x, at);

	if (x->dtype == EBB_I64)
		return ebb_snprintf(text, NUMBER_SIZE, "%lld",
			(long long)((const int64_t *)(const void *)x->data)[at]);
	if (isnan(v))
		return ebb_snprintf(text, NUMBER_SIZE, "nan");
	switch (p->style) {
	case INTEGER:
		return ebb_snprintf(text, NUMBER_SIZE, "%.0f", v);
	case POINT:
		return ebb_snprintf(text, NUMBER_SIZE, isinf(v) ? "%f" : "%.0f.", v);
	case FIXED:
		return ebb_snprintf(text, NUMBER_SIZE, "%.*f", p->precision, v);
	default:
		return ebb_snprintf(text, NUMBER_SIZE, "%.*e", p->precision, v);
	}
}

static void note_range(printer *p, int64_t at)
{
	double v = fabs(ebb_value_at_offset(p->x, at));

	if (!isfinite(v) || v == 0)
		return;
	p->smallest = fmin(p->smallest, v);
	p->largest = fmax(p->largest, v);
	p->whole = p->whole && v == rint(v);
}

static void note_width(printer *p, int64_t at)
{
	char text[NUMBER_SIZE];
	int n = write_element(p, at, text);

	p->width = n > p->width ? n : p->width;
}

/* ---- The elements that are shown ------------------------------------------------------------- */

static bool is_shortened(const printer *p, int axis)
{
	return p->edge && p->x->shape[axis] > 2 * p->edge;
}

/* The position after i on an axis, which skips what is not shown. */
static int64_t next_shown(const printer *p, int axis, int64_t i)
{
	return is_shortened(p, axis) && i == p->edge - 1 ? p->x->shape[axis] - p->edge : i + 1;
}

static void for_each_shown(printer *p, int axis, int64_t at, void (*note)(printer *p, int64_t at))
{
	const ebb_tensor *x = p->x;

	if (axis == x->ndim) {
		note(p, at);
		return;
	}
	for (int64_t i = 0; i < x->shape[axis]; i = next_shown(p, axis, i))
		for_each_shown(p, axis + 1, at + i * x->strides[axis], note);
}

/* As in NumPy and PyTorch: scientific if the largest magnitude is more than 1000 times the
 * smallest, above 1e8, or, unless all elements are integers, if one is below 1e-4. */
static void choose_style(printer *p)
{
	p->smallest = INFINITY;
	p->largest = 0;
	p->whole = true;
	p->style = INTEGER;
	if (ebb_is_real(p->x)) {
		for_each_shown(p, 0, 0, note_range);
		p->style = p->whole ? POINT : FIXED;
		if (p->largest > 0 && (p->largest / p->smallest > 1000 || p->largest > 1e8 ||
					      (!p->whole && p->smallest < 1e-4)))
			p->style = SCIENTIFIC;
	}
	for_each_shown(p, 0, 0, note_width);
}

/* ---- Rows and brackets ----------------------------------------------------------------------- */

static void print_element(const printer *p, int64_t at)
{
	char text[NUMBER_SIZE];
	int n = write_element(p, at, text);

	repeat(p->o, ' ', p->width - n);
	put(p->o, text, (size_t)n);
}

/* The elements along the last axis, in lines of at most p->line columns with all brackets. */
static void print_row(const printer *p, int axis, int64_t at)
{
	int64_t n = p->x->shape[axis], fit = (p->line - 2 * p->x->ndim + 2) / (p->width + 2);
	int64_t used = 0;

	fit = fit < 1 ? 1 : fit;
	for (int64_t i = 0; i < n; i = next_shown(p, axis, i)) {
		bool gap = is_shortened(p, axis) && i == n - p->edge;

		for (int item = !gap; item < 2; item++) {
			if (used && used % fit == 0) {
				puts_to(p->o, ",\n");
				repeat(p->o, ' ', axis + 1);
			} else if (used) {
				puts_to(p->o, ", ");
			}
			used++;
			if (item)
				print_element(p, at + i * p->x->strides[axis]);
			else
				puts_to(p->o, " ...");
		}
	}
}

static void print_axis(const printer *p, int axis, int64_t at)
{
	const ebb_tensor *x = p->x;
	int64_t n = x->shape[axis];

	puts_to(p->o, "[");
	if (axis == x->ndim - 1) {
		print_row(p, axis, at);
		puts_to(p->o, "]");
		return;
	}
	for (int64_t i = 0; i < n; i = next_shown(p, axis, i)) {
		for (int k = is_shortened(p, axis) && i == n - p->edge ? 0 : 1; k < 2; k++) {
			if (i) {
				puts_to(p->o, ",");
				repeat(p->o, '\n', x->ndim - 1 - axis);
				repeat(p->o, ' ', axis + 1);
			}
			if (k)
				print_axis(p, axis + 1, at + i * x->strides[axis]);
			else
				puts_to(p->o, "...");
		}
	}
	puts_to(p->o, "]");
}

/* ---- The whole text -------------------------------------------------------------------------- */

/* Why x's value cannot be read; NULL if it can. */
static const char *unreadable(const ebb_tensor *x)
{
	if (x->stale)
		return "is gone since the tape was reset or rewound";
	if (x->flags & EBB_F_HIDDEN)
		return "is not declared in the op's .reads";
	return x->flags & EBB_F_DROPPED ? ebb_dropped_how(x) : NULL;
}

static void print_summary(output *o, const ebb_tensor *x)
{
	char text[240];

	puts_to(o, ebb_describe_any(x, text, sizeof text));
	if (x && !x->stale && x->name && *x->name) {
		puts_to(o, " \"");
		puts_to(o, x->name);
		puts_to(o, "\"");
	}
}

static void print_unreadable(output *o, const ebb_tensor *x, const char *site)
{
	if (site) {
		puts_to(o, site);
		puts_to(o, ": ");
	}
	print_summary(o, x);
	if (!x) {
		puts_to(o, ": no tensor; ebb_error_message has the error of a tape that failed");
		return;
	}
	puts_to(o, ": the value ");
	puts_to(o, unreadable(x));
	if (!x->stale && x->dropped_by && !(x->flags & EBB_F_HIDDEN))
		puts_to(o, x->dropped_by);
}

static void print_tensor(output *o, const ebb_print_args *a)
{
	const ebb_tensor *x = a->x;
	int64_t threshold = a->threshold > 0 ? a->threshold : 1000;
	printer p = {.x = x,
		.precision = a->precision ? a->precision : 4,
		.line = a->width > 0 ? a->width : 80,
		.o = o};

	if (!x || unreadable(x)) {
		print_unreadable(o, x, a->site);
		return;
	}
	p.precision = p.precision < 0 ? 0 : p.precision > MOST_DIGITS ? MOST_DIGITS : p.precision;
	if (x->count > threshold)
		p.edge = a->edge > 0 ? a->edge : 3;
	if (x->count == 0) {
		puts_to(o, "[]");
	} else {
		choose_style(&p);
		if (x->ndim)
			print_axis(&p, 0, 0);
		else
			print_element(&p, 0);
	}
	puts_to(o, "\n");
	print_summary(o, x);
}

size_t(ebb_format)(const ebb_format_args *a)
{
	output o = {.buffer = a->buffer, .size = a->buffer && a->size ? a->size - 1 : 0};

	print_tensor(&o, &(ebb_print_args){.x = a->x,
				 .precision = a->precision,
				 .threshold = a->threshold,
				 .edge = a->edge,
				 .width = a->width,
				 .site = a->site});
	if (a->buffer && a->size)
		a->buffer[o.n < o.size ? o.n : o.size] = 0;
	return o.n;
}

bool(ebb_print)(const ebb_print_args *a)
{
	output o = {.file = a->file ? a->file : stdout};

	print_tensor(&o, a);
	puts_to(&o, "\n");
	return !o.failed;
}
