/*
 * npy_text.c - a parser for the dictionary in the header of an .npy file, a Python literal with
 * three keys.
 *
 * It accepts what Python accepts, with these exceptions: keys and type names have no escapes, sizes
 * are decimal, and no key is repeated.  A size may end in L, as Python 2 wrote it.
 */
#include <string.h>

#include "archive/numpy/npy.h"

enum { MOST_NESTING = 64 };

typedef struct literal {
	const char *start, *at, *end;
	const char *wrong; /* the first error */
} literal;

static bool wrong(literal *l, const char *what)
{
	if (!l->wrong)
		l->wrong = what;
	return false;
}

static void skip_space(literal *l)
{
	while (l->at < l->end && *l->at != '\0' && strchr(" \t\r\n\f", *l->at))
		l->at++;
}

/* Whether the next character after spaces is c; if so, consumes it. */
static bool takes(literal *l, char c)
{
	skip_space(l);
	if (l->at == l->end || *l->at != c)
		return false;
	l->at++;
	return true;
}

static bool takes_word(literal *l, const char *word)
{
	size_t n = strlen(word);

	skip_space(l);
	if ((size_t)(l->end - l->at) < n || memcmp(l->at, word, n) != 0)
		return false;
	l->at += n;
	return true;
}

/* A string in single or double quotes, or Python 2's u''. */
static bool string(literal *l, const char **text, size_t *n)
{
	const char *close;
	char quote;

	if (takes(l, 'u') && (l->at == l->end || (*l->at != '\'' && *l->at != '"')))
		return wrong(l, "a string is expected");
	skip_space(l);
	if (l->at == l->end || (*l->at != '\'' && *l->at != '"'))
		return wrong(l, "a string is expected");
	quote = *l->at++;
	close = memchr(l->at, quote, (size_t)(l->end - l->at));
	if (!close)
		return wrong(l, "a string does not end");
	*text = l->at;
	*n = (size_t)(close - l->at);
	if (memchr(*text, '\\', *n))
		return wrong(l, "a string has escapes, expected none");
	l->at = close + 1;
	return true;
}

static bool size(literal *l, int64_t *value)
{
	const char *start;

	skip_space(l);
	start = l->at;
	*value = 0;
	for (; l->at < l->end && *l->at >= '0' && *l->at <= '9'; l->at++) {
		int digit = *l->at - '0';

		if (*value > (INT64_MAX - digit) / 10)
			return wrong(l, "a size is too large");
		*value = 10 * *value + digit;
	}
	if (l->at == start || (*start == '0' && *value > 0))
		return wrong(l, "a size is expected, decimal and not negative");
	l->at += l->at < l->end && *l->at == 'L';
	return true;
}

/* (), (3,), (3, 4) or (3, 4,); (3) is not a tuple. */
static bool shape(literal *l, ebb_shape *shape)
{
	bool comma = true;

	*shape = EBB_SCALAR_SHAPE;
	if (!takes(l, '('))
		return wrong(l, "a tuple of sizes is expected");
	while (!takes(l, ')')) {
		if (!comma)
			return wrong(l, "',' or ')' is expected");
		if (shape->ndim == EBB_MAX_DIMS)
			return wrong(l, "more than 8 axes");
		if (!size(l, &shape->dims[shape->ndim]))
			return false;
		shape->ndim++;
		comma = takes(l, ',');
	}
	return shape->ndim != 1 || comma || wrong(l, "a tuple of one size has a ','");
}

/* Skips any literal of brackets, strings and words, to the ',' or '}' after it. */
static bool pass_over(literal *l)
{
	char open[MOST_NESTING];
	const char *text;
	int depth = 0;
	size_t n;

	for (;;) {
		skip_space(l);
		if (l->at == l->end)
			return wrong(l, "the dictionary does not end");
		if (depth == 0 && (*l->at == ',' || *l->at == '}'))
			return true;
		if (*l->at == '\'' || *l->at == '"') {
			if (!string(l, &text, &n))
				return false;
			continue;
		}
		if (*l->at == '(' || *l->at == '[' || *l->at == '{') {
			if (depth == MOST_NESTING)
				return wrong(l, "brackets nest more than 64 deep");
			open[depth++] = *l->at == '(' ? ')' : *l->at == '[' ? ']' : '}';
		} else if (*l->at == ')' || *l->at == ']' || *l->at == '}') {
			if (depth == 0 || open[--depth] != *l->at)
				return wrong(l, "brackets do not match");
		}
		l->at++;
	}
}

static bool descr(literal *l, ebb_npy_text *text)
{
	skip_space(l);
	text->named = l->at < l->end && (*l->at == '\'' || *l->at == '"' || *l->at == 'u');
	if (text->named)
		return string(l, &text->descr, &text->descr_size);
	text->descr = l->at;
	if (!pass_over(l))
		return false;
	text->descr_size = (size_t)(l->at - text->descr);
	return text->descr_size > 0 || wrong(l, "a type is expected");
}

static bool fortran_order(literal *l, ebb_npy_text *text)
{
	text->fortran = takes_word(l, "True");
	return text->fortran || takes_word(l, "False") || wrong(l, "True or False is expected");
}

/* Parses one key and its value; found is the set of the keys so far. */
static bool pair(literal *l, ebb_npy_text *text, unsigned *found)
{
	static const char *const keys[] = {"descr", "fortran_order", "shape"};
	const char *key;
	size_t n;
	unsigned k = 0;

	if (!string(l, &key, &n))
		return false;
	while (k < 3 && (strlen(keys[k]) != n || memcmp(keys[k], key, n) != 0))
		k++;
	if (k == 3)
		return wrong(l, "a key other than descr, fortran_order and shape");
	if (*found & 1u << k)
		return wrong(l, "a key is repeated");
	*found |= 1u << k;
	if (!takes(l, ':'))
		return wrong(l, "':' is expected");
	return k == 0 ? descr(l, text) : k == 1 ? fortran_order(l, text) : shape(l, &text->shape);
}

static bool dictionary(literal *l, ebb_npy_text *text)
{
	unsigned found = 0;
	bool comma = true;

	if (!takes(l, '{'))
		return wrong(l, "a dictionary is expected");
	while (!takes(l, '}')) {
		if (!comma)
			return wrong(l, "',' or '}' is expected");
		if (!pair(l, text, &found))
			return false;
		comma = takes(l, ',');
	}
	if (found != 7)
		return wrong(l, "one of descr, fortran_order and shape is missing");
	skip_space(l);
	return l->at == l->end || wrong(l, "there is text after the dictionary");
}

const char *ebb_npy_parse(const char *header, size_t n, ebb_npy_text *text, size_t *at)
{
	literal l = {header, header, header + n, NULL};

	*text = (ebb_npy_text){0};
	dictionary(&l, text);
	*at = (size_t)(l.at - header);
	return l.wrong;
}
