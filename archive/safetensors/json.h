/*
 * json.h - JSON headers, for the readers and writers of safetensors.
 */
#ifndef EBB_ARCHIVE_JSON_H
#define EBB_ARCHIVE_JSON_H

#include <jansson.h>

#include "archive/internal.h"

/* The object that n bytes are, or NULL with an error: other values, names that come twice, and
 * nesting that no header has are refused. */
json_t *ebb_json_parse(const ebb_archive *a, const char *text, int64_t n, ebb_error *e);
/* The same of n bytes of an input, which count as a header. */
json_t *ebb_json_read(
	ebb_archive *a, const ebb_input *in, int64_t at, int64_t n, const char *what, ebb_error *e);

#endif
