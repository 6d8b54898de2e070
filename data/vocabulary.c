/*
 * vocabulary.c - characters of UTF-8 texts as tokens.
 */
#include <string.h>

#include "data/internal.h"
#include "tensor/host.h"

enum { CODES = EBB_BYTE_CODE + 256, WORDS = CODES / 64, ASCII = 128, LONGEST = 4 };
static const int64_t MOST_TEXT = INT64_C(1) << 30;

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

static int32_t byte_code(uint8_t b)
{
	return b < ASCII ? b : EBB_BYTE_CODE + b;
}

/* Reads the character at s, of which left bytes follow (at least 1).  *length is its number of
 * bytes: 1 for a byte that is not part of a valid sequence (RFC 3629, section 4). */
static int32_t next_code(const uint8_t *s, int64_t left, int *length)
{
	/* The smallest code of each length: shorter encodings exist below it. */
	static const int32_t least[LONGEST + 1] = {0, 0, 0x80, 0x800, 0x10000};
	int n = *s < ASCII                ? 1
	        : *s >= 0xC2 && *s < 0xE0 ? 2
	        : *s >= 0xE0 && *s < 0xF0 ? 3
	        : *s >= 0xF0 && *s < 0xF5 ? 4
	                                  : 0;
	int32_t code;

	*length = 1;
	if (n < 2 || n > left)
		return byte_code(*s);
	code = *s & (0xFF >> (n + 1));
	for (int k = 1; k < n; k++) {
		if ((s[k] & 0xC0) != 0x80)
			return byte_code(*s);
		code = code << 6 | (s[k] & 0x3F);
	}
	if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return byte_code(*s);
	*length = n;
	return code;
}

/* Writes the bytes of a code; returns their number. */
static int write_code(int64_t code, char to[LONGEST])
{
	int n = code < ASCII ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	if (code >= EBB_BYTE_CODE) {
		to[0] = (char)(uint8_t)(code - EBB_BYTE_CODE);
		return 1;
	}
	if (n == 1) {
		to[0] = (char)code;
		return 1;
	}
	for (int k = n - 1; k > 0; k--, code >>= 6)
		to[k] = (char)(uint8_t)(0x80 | (code & 0x3F));
	to[0] = (char)(uint8_t)((0xF00 >> n) | code);
	return n;
}

/* Codes of text: scalar values, and those of bytes from 0x80 on. */
static bool is_code(int64_t code)
{
	return code >= 0 && code < CODES && (code < 0xD800 || code > 0xDFFF) &&
	       (code < EBB_BYTE_CODE || code >= EBB_BYTE_CODE + ASCII);
}

/* ---- Vocabularies --------------------------------------------------------------------------- */

static ebb_vocabulary *vocabulary_of(int64_t size, ebb_error *e)
{
	ebb_vocabulary *v = ebb_alloc_zeroed(sizeof *v);

	if (!v) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "vocabulary: no memory");
		return NULL;
	}
	v->size = size;
	v->codes = ebb_tensor_new(EBB_I64, EBB_SHAPE(size), false, e);
	if (v->codes)
		return v;
	ebb_free(v, sizeof *v);
	return NULL;
}

void ebb_vocabulary_free(ebb_vocabulary *v)
{
	if (!v)
		return;
	ebb_tensor_free(v->codes);
	ebb_free(v, sizeof *v);
}

ebb_vocabulary *ebb_vocabulary_new(const void *text, int64_t bytes, ebb_error *e)
{
	const uint8_t *s = text;
	ebb_vocabulary *v;
	int64_t size = 0, *codes;
	uint64_t *occurs; /* a bit per code */
	int length;

	if (!s || bytes < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"vocabulary_new: %lld bytes from %s: expected a text", (long long)bytes,
			s ? "a text" : "NULL");
		return NULL;
	}
	occurs = ebb_alloc_zeroed(WORDS * sizeof *occurs);
	if (!occurs) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "vocabulary_new: no memory");
		return NULL;
	}
	for (int64_t at = 0; at < bytes; at += length) {
		int32_t code = next_code(s + at, bytes - at, &length);

		uint64_t bit = (uint64_t)1 << code % 64;

		size += !(occurs[code / 64] & bit);
		occurs[code / 64] |= bit;
	}
	v = vocabulary_of(size, e);
	codes = v ? ebb_data_mutable(v->codes) : NULL;
	for (int64_t code = 0; codes && code < CODES; code++)
		if (occurs[code / 64] >> code % 64 & 1)
			*codes++ = code;
	ebb_free(occurs, WORDS * sizeof *occurs);
	return v;
}

ebb_vocabulary *ebb_vocabulary_bytes(ebb_error *e)
{
	ebb_vocabulary *v = vocabulary_of(256, e);
	int64_t *codes = v ? ebb_data_mutable(v->codes) : NULL;

	for (int b = 0; codes && b < 256; b++)
		codes[b] = byte_code((uint8_t)b);
	return v;
}

ebb_vocabulary *ebb_vocabulary_of(const ebb_tensor *codes, ebb_error *e)
{
	int64_t n = ebb_count(codes), last = -1;
	ebb_vocabulary *v;
	char text[160];

	if (!ebb_data(codes) || ebb_ndim(codes) != 1 || n < 1 || ebb_dtype_of(codes) != EBB_I64) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL,
			"vocabulary_of: codes are %s, expected I64 [V]",
			codes ? ebb_describe(codes, text, sizeof text) : "NULL");
		return NULL;
	}
	v = vocabulary_of(n, e);
	if (!v || !ebb_copy_out(codes, ebb_data_mutable(v->codes), (size_t)n * sizeof(int64_t)))
		goto fail;
	for (int64_t k = 0; k < n; k++) {
		int64_t code = ((const int64_t *)ebb_data(v->codes))[k];

		if (code > last && is_code(code)) {
			last = code;
			continue;
		}
		ebb_error_set(e, EBB_INVALID, NULL,
			"vocabulary_of: code %lld is %lld, after %lld: expected ascending codes of "
			"characters",
			(long long)k, (long long)code, (long long)last);
		goto fail;
	}
	return v;
fail:
	ebb_vocabulary_free(v);
	return NULL;
}

/* ---- Encoding ------------------------------------------------------------------------------- */

/* Looks up tokens. */
typedef struct lookup {
	const int64_t *codes;
	int64_t size;
	int64_t ascii[ASCII]; /* the tokens of these codes, or -1 */
} lookup;

/* The token of a code, or -1: a binary search. */
static int64_t search(const lookup *u, int64_t code)
{
	int64_t from = 0, to = u->size;

	while (from < to) {
		int64_t middle = from + (to - from) / 2;

		if (u->codes[middle] < code)
			from = middle + 1;
		else
			to = middle;
	}
	return from < u->size && u->codes[from] == code ? from : -1;
}

static int64_t token_of(const lookup *u, int32_t code)
{
	return code < ASCII ? u->ascii[code] : search(u, code);
}

static void lookup_new(lookup *u, const ebb_vocabulary *v)
{
	u->codes = ebb_data(v->codes);
	u->size = v->size;
	for (int code = 0; code < ASCII; code++)
		u->ascii[code] = search(u, code);
}

/* The number of tokens of the character at s, 1 or length, and the tokens; 0 if the vocabulary has
 * neither the character nor all its bytes. */
static int tokens_of(
	const lookup *u, const uint8_t *s, int32_t code, int length, int64_t to[LONGEST])
{
	to[0] = token_of(u, code);
	if (to[0] >= 0)
		return 1;
	for (int k = 0; k < length; k++) {
		to[k] = token_of(u, byte_code(s[k]));
		if (to[k] < 0)
			return 0;
	}
	return length;
}

static void unknown(
	const ebb_vocabulary *v, int64_t at, int32_t code, const char *path, ebb_error *e)
{
	char name[32];

	if (code < EBB_BYTE_CODE)
		ebb_snprintf(name, sizeof name, "character U+%04X", (unsigned)code);
	else
		ebb_snprintf(name, sizeof name, "byte 0x%02X", (unsigned)(code - EBB_BYTE_CODE));
	ebb_error_set(e, path ? EBB_BAD_FILE : EBB_INVALID, NULL,
		"%s: the %s at byte %lld is not among the %lld tokens of the vocabulary",
		path ? path : "vocabulary_encode", name, (long long)at, (long long)v->size);
}

/* Counts the tokens of a text if `to` is NULL, else writes them.  -1 with an error. */
static int64_t encode(const ebb_vocabulary *v, const uint8_t *s, int64_t bytes, ebb_tensor *to,
	const char *path, ebb_error *e)
{
	void *out = to ? ebb_data_mutable(to) : NULL;
	bool narrow = ebb_dtype_of(to) == EBB_U8;
	int64_t n = 0, token[LONGEST];
	int length;
	lookup u;

	lookup_new(&u, v);
	for (int64_t at = 0; at < bytes; at += length) {
		int32_t code = next_code(s + at, bytes - at, &length);
		int count = tokens_of(&u, s + at, code, length, token);

		if (count == 0) {
			unknown(v, at, code, path, e);
			return -1;
		}
		for (int k = 0; out && k < count; k++) {
			if (narrow)
				((uint8_t *)out)[n + k] = (uint8_t)token[k];
			else
				((int64_t *)out)[n + k] = token[k];
		}
		n += count;
	}
	return n;
}

static ebb_tensor *encoded(const ebb_vocabulary *v, const uint8_t *s, int64_t bytes,
	ebb_dtype dtype, const char *path, ebb_error *e)
{
	int64_t n = encode(v, s, bytes, NULL, path, e);
	ebb_tensor *tokens = n < 0 ? NULL : ebb_tensor_new(dtype, EBB_SHAPE(n), false, e);

	if (tokens)
		encode(v, s, bytes, tokens, path, e);
	return tokens;
}

ebb_tensor *ebb_vocabulary_encode(
	const ebb_vocabulary *v, const void *text, int64_t bytes, ebb_error *e)
{
	if (v && text && bytes > 0)
		return encoded(v, text, bytes, EBB_I64, NULL, e);
	ebb_error_set(e, EBB_INVALID, NULL,
		"vocabulary_encode: %lld bytes from %s, %s vocabulary: expected a text and a "
		"vocabulary",
		(long long)bytes, text ? "a text" : "NULL", v ? "a" : "no");
	return NULL;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

int64_t ebb_vocabulary_decode(
	const ebb_vocabulary *v, const ebb_tensor *tokens, char *buffer, size_t size)
{
	int64_t n = 0, count = ebb_count(tokens), end = 0;
	const int64_t *codes = v ? ebb_data(v->codes) : NULL;

	if (size > 0 && buffer)
		*buffer = '\0';
	if (!codes || !ebb_data(tokens) ||
		(ebb_dtype_of(tokens) != EBB_I64 && ebb_dtype_of(tokens) != EBB_U8))
		return -1;
	for (int64_t k = 0; k < count; k++) {
		double token = ebb_at(tokens, k);
		char text[LONGEST];
		int length;

		if (!(token >= 0 && token < (double)v->size))
			return -1;
		length = write_code(codes[(int64_t)token], text);
		for (int j = 0; buffer && j < length; j++)
			if ((uint64_t)(n + j) + 1 < size) {
				buffer[n + j] = text[j];
				end = n + j + 1;
			}
		n += length;
	}
	if (size > 0 && buffer)
		buffer[end] = '\0';
	return n;
}

const char *ebb_vocabulary_text(const ebb_vocabulary *v, int64_t token, char buffer[5])
{
	int n = 0;

	if (v && token >= 0 && token < v->size)
		n = write_code(((const int64_t *)ebb_data(v->codes))[token], buffer);
	buffer[n] = '\0';
	return buffer;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static bool check(const ebb_tokens_read_args *a)
{
	if (a->path && a->v && a->most_bytes >= 0 &&
		(a->dtype == EBB_DEFAULT || a->dtype == EBB_I64 || a->dtype == EBB_U8))
		return true;
	ebb_error_set(a->error, EBB_INVALID, a->site,
		"tokens_read: path %s, tokens of %s, at most %lld bytes: expected a path, a "
		"pointer for the vocabulary, I64 or U8, and no negative number",
		a->path ? a->path : "NULL", ebb_dtype_name(a->dtype), (long long)a->most_bytes);
	return false;
}

ebb_tensor *(ebb_tokens_read)(const ebb_tokens_read_args *a)
{
	ebb_dtype dtype = a->dtype == EBB_U8 ? EBB_U8 : EBB_I64;
	ebb_vocabulary *v, *own = NULL;
	ebb_tensor *tokens = NULL;
	ebb_bytes text = {0};

	if (!check(a) || !ebb_source_read_all(a->path, a->most_bytes ? a->most_bytes : MOST_TEXT,
				 &text, a->error))
		return NULL;
	v = *a->v;
	if (!v)
		v = own = a->bytes ? ebb_vocabulary_bytes(a->error)
		                   : ebb_vocabulary_new(text.data, (int64_t)text.size, a->error);
	if (v && dtype == EBB_U8 && v->size > 256)
		ebb_error_set(a->error, EBB_BAD_DTYPE, a->site,
			"tokens_read: %s: %lld tokens do not fit into U8, expected .dtype EBB_I64",
			a->path, (long long)v->size);
	else if (v)
		tokens = encoded(v, text.data, (int64_t)text.size, dtype, a->path, a->error);
	ebb_bytes_free(&text);
	if (tokens)
		*a->v = v;
	else
		ebb_vocabulary_free(own);
	return tokens;
}
