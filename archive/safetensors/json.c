/*
 * json.c - JSON headers, parsed with Jansson.
 *
 * A tree of JSON values takes more memory than its text: an empty object takes over 200 bytes for
 * two characters.  The headers of archives have a fixed nesting, which is checked before Jansson
 * parses them: objects at most two deep, and in those lists without lists in them.  With this
 * nesting a text takes at most about 45 times its length.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/safetensors/json.h"

/* The position of the first bracket that violates this nesting, or -1. */
static int64_t nested_otherwise(const char *text, int64_t n)
{
	char open[3]; /* the open brackets: "{", "{{" or "{{[" */
	int depth = 0;

	for (int64_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '"') {
			for (i++; i < n && text[i] != '"'; i++)
				i += text[i] == '\\';
		} else if (c == '{' || c == '[') {
			if (depth == 3 || (c == '[') != (depth == 2))
				return i;
			open[depth++] = c;
		} else if (c == '}' || c == ']') {
			if (depth == 0 || (c == '}') != (open[depth - 1] == '{'))
				return i;
			depth--;
		}
	}
	return -1;
}

json_t *ebb_json_parse(const ebb_archive *a, const char *text, int64_t n, ebb_error *e)
{
	int64_t wrong = nested_otherwise(text, n);
	json_error_t why;
	json_t *json;

	if (wrong >= 0) {
		ebb_archive_refuse(a, e,
			"byte %lld of the header nests lists or objects where none are expected",
			(long long)wrong);
		return NULL;
	}
	json = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(json))
		return json;
	if (!json && json_error_code(&why) == json_error_out_of_memory)
		ebb_archive_no_memory(a, e);
	else {
		char shown[120];

		ebb_archive_refuse(a, e, "the header is not a JSON object: %s at byte %d",
			json ? "another value"
			     : ebb_printable(why.text, strlen(why.text), shown, sizeof shown),
			json ? 0 : why.position);
	}
	json_decref(json);
	return NULL;
}

json_t *ebb_json_read(
	ebb_archive *a, const ebb_input *in, int64_t at, int64_t n, const char *what, ebb_error *e)
{
	char *text;
	json_t *json = NULL;

	if (!ebb_archive_expect(a, n, what, e))
		return NULL;
	text = ebb_alloc(ebb_bytes_of(n, 1));
	if (!text)
		return ebb_archive_no_memory(a, e), NULL;
	if (ebb_input_read(in, at, text, n, what, e))
		json = ebb_json_parse(a, text, n, e);
	ebb_free(text, (size_t)n);
	return json;
}
