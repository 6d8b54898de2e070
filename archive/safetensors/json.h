/*
 * json.h - JSON headers, for the readers and writers of safetensors.
 */
#ifndef EBB_ARCHIVE_JSON_H
#define EBB_ARCHIVE_JSON_H

#include <jansson.h>

#include "archive/internal.h"

/* Parses an object of n bytes.  NULL with an error for other values, repeated names, and a nesting
 * that no header has. */
json_t *ebb_json_parse(const ebb_archive *a, const char *text, int64_t n, ebb_error *e);
/* As ebb_json_parse, from n bytes of an input, which count as a header. */
json_t *ebb_json_read(
	ebb_archive *a, const ebb_input *in, int64_t at, int64_t n, const char *what, ebb_error *e);

#endif
