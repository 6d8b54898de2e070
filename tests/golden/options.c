/* options.c - the options of a case: text by key, parsed and checked; an option that is not read is
 * an error. */
#include "golden.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void golden_problem(golden_options *o, const char *format, ...)
{
	va_list args;

	if (o->problem[0])
		return;
	va_start(args, format);
	vsnprintf(o->problem, sizeof o->problem, format, args);
	va_end(args);
}

const char *golden_text(golden_options *o, const char *key)
{
	for (int i = 0; i < o->n; i++) {
		if (!strcmp(o->option[i].key, key)) {
			o->option[i].used = true;
			return o->option[i].value;
		}
	}
	return NULL;
}

static void not_understood(golden_options *o, const char *key, const char *value)
{
	golden_problem(o, "option %s has a value that is not understood: %s", key, value);
}

double golden_number(golden_options *o, const char *key, double fallback)
{
	const char *text = golden_text(o, key);
	char *end;
	double value;

	if (!text)
		return fallback;
	value = strtod(text, &end);
	if (end == text || *end || isnan(value))
		not_understood(o, key, text);
	return value;
}

bool golden_flag(golden_options *o, const char *key, bool fallback)
{
	const char *text = golden_text(o, key);

	if (!text)
		return fallback;
	if (strcmp(text, "0") && strcmp(text, "1"))
		not_understood(o, key, text);
	return text[0] == '1';
}

int golden_ints(golden_options *o, const char *key, int64_t *values, int max)
{
	const char *text = golden_text(o, key), *p = text;
	int n = 0;

	while (p && n < max) {
		char *end;

		values[n++] = strtoll(p, &end, 10);
		if (end == p)
			break;
		p = end;
		if (!*p)
			return n;
		if (*p++ != ',')
			break;
	}
	if (text)
		not_understood(o, key, text);
	return 0;
}

ebb_axes golden_axes(golden_options *o, const char *key)
{
	int64_t values[EBB_MAX_DIMS];
	ebb_axes axes = {0};

	axes.n = golden_ints(o, key, values, EBB_MAX_DIMS);
	for (int i = 0; i < axes.n; i++)
		axes.axis[i] = (int)values[i];
	return axes;
}

int golden_axis(golden_options *o, const char *key)
{
	int64_t value = 0;

	if (golden_ints(o, key, &value, 1) != 1)
		golden_problem(o, "option %s is missing", key);
	return (int)value;
}

ebb_shape golden_shape(golden_options *o, const char *key)
{
	ebb_shape shape = {0};

	shape.ndim = golden_ints(o, key, shape.dims, EBB_MAX_DIMS);
	return shape;
}

void golden_pair(golden_options *o, const char *key, int pair[2])
{
	int64_t values[2];
	int n = golden_ints(o, key, values, 2);

	for (int i = 0; n && i < 2; i++)
		pair[i] = (int)values[n == 2 ? i : 0];
}

ebb_reduction golden_reduction(golden_options *o)
{
	const char *text = golden_text(o, "reduction");

	if (!text || !strcmp(text, "mean"))
		return EBB_MEAN;
	if (!strcmp(text, "sum"))
		return EBB_SUM_ALL;
	if (strcmp(text, "none"))
		not_understood(o, "reduction", text);
	return EBB_NONE;
}

bool golden_note(golden_options *o, const char *text)
{
	for (int i = 0; i < o->n; i++) {
		if (!strcmp(o->option[i].key, "note") && !strcmp(o->option[i].value, text)) {
			o->option[i].used = true;
			return true;
		}
	}
	return false;
}

bool golden_options_ok(golden_options *o)
{
	for (int i = 0; i < o->n; i++) {
		if (!o->option[i].used)
			golden_problem(o, "option %s=%s is not known", o->option[i].key,
				o->option[i].value);
	}
	return !o->problem[0];
}
