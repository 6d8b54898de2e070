/*
 * text.c - texts in files and paths: UTF-8 validation, suffixes, and printable copies.
 */
#include <string.h>

#include "archive/internal.h"

/* Control characters become '?'; a long text keeps its beginning and its end. */
const char *ebb_printable(const char *text, size_t n, char *buffer, size_t size)
{
	size_t most = size - 1, head = n <= most ? n : (most - 3) / 2, k = 0;

	for (size_t i = 0; i < head; i++)
		buffer[k++] = text[i];
	if (n > most) {
		memcpy(buffer + k, "...", 3);
		k += 3;
		while (k < most) {
			buffer[k] = text[n - (most - k)];
			k++;
		}
	}
	buffer[k] = '\0';
	for (size_t i = 0; i < k; i++)
		if ((unsigned char)buffer[i] < 0x20 || buffer[i] == 0x7f)
			buffer[i] = '?';
	return buffer;
}

/* The length of the UTF-8 sequence that begins at s (Unicode 15, table 3-7), or 0 if it is
 * invalid. */
static size_t sequence(const unsigned char *s, size_t n)
{
	static const unsigned char first_low[] = {[0] = 0xa0, [4] = 0x90};
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	unsigned char low = 0x80, high = 0xbf;

	if (length == 0 || length > n || s[0] > 0xf4)
		return 0;
	if (s[0] == 0xe0 || s[0] == 0xf0)
		low = first_low[s[0] == 0xf0 ? 4 : 0];
	if (s[0] == 0xed)
		high = 0x9f;
	if (s[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < length; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return length;
}

bool ebb_is_utf8(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0, step; i < n; i += step) {
		step = sequence(s + i, n - i);
		if (step == 0 || s[i] == 0)
			return false;
	}
	return true;
}

bool ebb_ends_in(const char *path, const char *suffix)
{
	size_t n = strlen(path), m = strlen(suffix);

	return n >= m && strcmp(path + n - m, suffix) == 0;
}

bool ebb_ends_in_one(const char *path, const char *const *suffix)
{
	while (*suffix && !ebb_ends_in(path, *suffix))
		suffix++;
	return *suffix;
}
