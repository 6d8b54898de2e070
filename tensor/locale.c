/* locale.c - text formatting that does not depend on the locale. */
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/host.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t plain;

static void make_plain(void)
{
	plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Sets this thread's locale to "C" and returns the former one.  0: the system had no memory for a
 * locale, and the thread's locale is unchanged. */
static locale_t enter(void)
{
	pthread_once(&once, make_plain);
	return plain ? uselocale(plain) : (locale_t)0;
}

static void leave(locale_t before)
{
	if (before)
		uselocale(before);
}

int ebb_vsnprintf(char *buffer, size_t size, const char *format, va_list ap)
{
	locale_t before = enter();
	int n = vsnprintf(buffer, size, format, ap);

	leave(before);
	return n;
}

int ebb_snprintf(char *buffer, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = ebb_vsnprintf(buffer, size, format, ap);
	va_end(ap);
	return n;
}

void ebb_append_v(char *buffer, size_t size, const char *format, va_list ap)
{
	size_t n = strlen(buffer);

	ebb_vsnprintf(buffer + n, size - n, format, ap);
}

void ebb_append(char *buffer, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	ebb_append_v(buffer, size, format, ap);
	va_end(ap);
}

double ebb_strtod(const char *text, char **end)
{
	locale_t before = enter();
	double x = strtod(text, end);

	leave(before);
	return x;
}

const char *ebb_reason(int code)
{
	pthread_once(&once, make_plain);
	return plain ? strerror_l(code, plain) : strerror(code);
}
