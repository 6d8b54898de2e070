/* text.c - a growing string: formatted text, escaping, padding, base64, parts of tables, and
 * saving to a file. */
#include "tensor/host.h"
#include "flow/internal.h"

#include <limits.h>
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

const char *ebb_without_folders(const char *site)
{
	const char *slash = site ? strrchr(site, '/') : NULL;

	return slash ? slash + 1 : site ? site : "";
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
	int n = ebb_vsnprintf(line, sizeof line, format, args);
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
	ebb_vsnprintf(text->data + text->length - n, (size_t)n + 1, format, args);
	va_end(args);
	return true;
}

const char *ebb_number(char *buffer, size_t size, const char *format, double x)
{
	if (isnan(x) || isinf(x))
		format = isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
	ebb_snprintf(buffer, size, format, x);
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

bool ebb_text_field(ebb_text *text, const char *s)
{
	if (!s || !strpbrk(s, ",\"\r\n"))
		return ebb_text_add(text, s);
	ebb_text_add(text, "\"");
	for (; *s; s++)
		ebb_text_bytes(text, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
	return ebb_text_add(text, "\"");
}

/* The number of bytes of at most `most` code points of s[0..n-1], and how many they are. */
static size_t cut(const char *s, size_t n, int most, int *columns)
{
	size_t i = 0;

	for (*columns = 0; i < n; i++)
		if (((unsigned char)s[i] & 0xC0) != 0x80 && ++*columns > most)
			break;
	*columns = *columns > most ? most : *columns;
	return i;
}

bool ebb_text_wrapped(ebb_text *text, const char *s, int indent, int width)
{
	int room = width <= 0 ? INT_MAX : width > indent ? width - indent : 1, used = 0;

	ebb_text_repeat(text, " ", indent);
	while (*(s += strspn(s, " "))) {
		int columns;
		size_t n = cut(s, strcspn(s, " "), room, &columns);

		if (used && columns >= room - used) {
			ebb_text_add(text, "\n");
			ebb_text_repeat(text, " ", indent);
			used = 0;
		} else if (used) {
			ebb_text_add(text, " ");
			used++;
		}
		ebb_text_bytes(text, s, n);
		used += columns;
		s += n;
	}
	return ebb_text_add(text, "\n");
}

void ebb_text_colour(ebb_text *text, bool colour, const char *escape)
{
	if (colour)
		ebb_text_add(text, escape);
}

void ebb_text_name(ebb_text *text, const char *s, int width, bool ascii)
{
	int cut = ebb_columns(s) - width;

	if (cut <= 0) {
		ebb_text_pad(text, s, width, false);
		return;
	}
	ebb_text_add(text, ascii ? "~" : "…");
	for (cut++; cut > 0; cut--)
		for (s++; ((unsigned char)*s & 0xC0) == 0x80; s++)
			;
	ebb_text_add(text, s);
}

int ebb_text_bar(
	ebb_text *text, double norm, double lo, double hi, int width, bool colour, bool ascii)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

	if (!(norm > 0) || !isfinite(norm))
		return 0;
	int eighth = (int)lrint(1 + ebb_log_share(norm, lo, hi) * (8 * width - 1));
	ebb_text_colour(text, colour,
		norm < 1e-3 * hi   ? EBB_RED
		: norm < 0.03 * hi ? EBB_YELLOW
				   : EBB_GREEN);
	if (ascii) {
		ebb_text_repeat(text, "#", (eighth + 7) / 8);
	} else {
		ebb_text_repeat(text, "█", eighth / 8);
		ebb_text_add(text, eighths[eighth % 8]);
	}
	ebb_text_colour(text, colour, EBB_PLAIN);
	return (eighth + 7) / 8;
}

double ebb_percent(double share)
{
	return round(1000 * share) / 10;
}

bool ebb_text_no_memory(ebb_error *e, const char *site, const char *what)
{
	ebb_error_set(e, EBB_NO_MEMORY, site, "%s: no memory for the text", what);
	return false;
}

bool ebb_text_null(ebb_error *e, const char *site, const char *what, const char *argument)
{
	ebb_error_set(e, EBB_INVALID, site, "%s: the %s is NULL", what, argument);
	return false;
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
