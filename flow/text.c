/* text.c - a growing string: formatted text, escaping, padding, base64, sparklines, and saving to a
 * file. */
#include "tensor/host.h"
#include "flow/internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void ebb_text_free(ebb_text *text)
{
	if (!text)
		return;
	ebb_free(text->data, text->capacity);
	*text = (ebb_text){0};
}

bool ebb_text_bytes(ebb_text *text, const char *s, size_t n)
{
	if (!text || text->failed)
		return false;
	if (n >= text->capacity - text->length) {
		size_t need = text->length + n + 1,
		       capacity = text->capacity ? text->capacity : 256;
		while (capacity < need)
			capacity *= 2;
		char *data = ebb_realloc(text->data, text->capacity, capacity);
		if (!data) {
			text->failed = true;
			return false;
		}
		text->data = data;
		text->capacity = capacity;
	}
	if (n)
		memcpy(text->data + text->length, s, n);
	text->length += n;
	text->data[text->length] = '\0';
	return true;
}

bool ebb_text_add(ebb_text *text, const char *s)
{
	return ebb_text_bytes(text, s, s ? strlen(s) : 0);
}

bool ebb_text_repeat(ebb_text *text, const char *s, int times)
{
	bool ok = text && !text->failed;

	for (int i = 0; ok && i < times; i++)
		ok = ebb_text_add(text, s);
	return ok;
}

bool ebb_text_printf(ebb_text *text, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	int n = ebb_format_v(line, sizeof line, format, args);
	va_end(args);
	if (!text || text->failed)
		return false;
	/* A format that printf cannot print is a failure. */
	if (n < 0) {
		text->failed = true;
		return false;
	}
	if ((size_t)n < sizeof line)
		return ebb_text_bytes(text, line, (size_t)n);
	/* Reserves the length with blanks and a NUL, then formats the text over them. */
	if (!ebb_text_repeat(text, " ", n))
		return false;
	va_start(args, format);
	ebb_format_v(text->data + text->length - n, (size_t)n + 1, format, args);
	va_end(args);
	return true;
}

const char *ebb_number(char *buffer, size_t size, const char *format, double x)
{
	if (isnan(x) || isinf(x))
		format = isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
	ebb_format(buffer, size, format, x);
	return buffer;
}

bool ebb_text_number(ebb_text *text, const char *format, double x)
{
	char number[400];

	return ebb_text_add(text, ebb_number(number, sizeof number, format, x));
}

int ebb_columns(const char *s)
{
	int n = 0;

	for (; s && *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

bool ebb_text_pad(ebb_text *text, const char *s, int width, bool right)
{
	int blanks = width - ebb_columns(s);

	if (right)
		ebb_text_repeat(text, " ", blanks);
	ebb_text_add(text, s);
	if (!right)
		ebb_text_repeat(text, " ", blanks);
	return text && !text->failed;
}

bool ebb_text_escaped(ebb_text *text, const char *s)
{
	for (; s && *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '&')
			ebb_text_add(text, "&amp;");
		else if (c == '<')
			ebb_text_add(text, "&lt;");
		else if (c == '>')
			ebb_text_add(text, "&gt;");
		else if (c == '"')
			ebb_text_add(text, "&quot;");
		else if (c == '\'')
			ebb_text_add(text, "&#39;");
		else if (c >= 0x20 || c == '\n' ||
			 c == '\t') /* XML has no other control characters */
			ebb_text_bytes(text, s, 1);
	}
	return text && !text->failed;
}

bool ebb_text_base64(ebb_text *text, const char *bytes, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		const unsigned char *b = (const unsigned char *)bytes + i;
		size_t left = n - i;
		unsigned v = (unsigned)b[0] << 16 | (left > 1 ? (unsigned)b[1] << 8 : 0) |
		             (left > 2 ? b[2] : 0);
		char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
			left > 1 ? digits[v >> 6 & 63] : '=', left > 2 ? digits[v & 63] : '='};
		ebb_text_bytes(text, four, 4);
	}
	return text && !text->failed;
}

bool ebb_text_save(const ebb_text *text, const char *path, ebb_error *e)
{
	if (!text || !path) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "text_save: %s is NULL", text ? "path" : "text");
		return false;
	}
	if (text->failed) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: not written: the text ran out of memory",
			path);
		return false;
	}
	return ebb_write_file(path, text->data, text->length, e);
}

bool ebb_text_sparkline(ebb_text *text, int64_t n, const double *y, int width)
{
	static const char *const bar[8] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	double part[200], lo = INFINITY, hi = -INFINITY;

	width = width < 1 ? 1 : width > 200 ? 200 : width;
	if (n < width || !y)
		width = n > 0 && y ? (int)n : 0;
	for (int i = 0; i < width; i++) {
		int64_t from = i * n / width, to = (i + 1) * n / width, used = 0;
		double sum = 0;
		for (int64_t k = from; k < to; k++)
			if (isfinite(y[k])) {
				sum += y[k];
				used++;
			}
		part[i] = used ? sum / (double)used : NAN;
		if (used) {
			lo = fmin(lo, part[i]);
			hi = fmax(hi, part[i]);
		}
	}
	for (int i = 0; i < width; i++) {
		double height = hi > lo ? (part[i] - lo) / (hi - lo) : 0;
		/* hi - lo may overflow. */
		height = fmin(fmax(height, 0), 1);
		ebb_text_add(text, isnan(part[i]) ? " " : bar[(int)lrint(7 * height)]);
	}
	return text && !text->failed;
}
