/*
 * vocabulary.h - the characters of a text as tokens, for models of characters or bytes
 * (vocabulary.c).
 *
 *	ebb_vocabulary *v = NULL;
 *	ebb_tensor *tokens = ebb_tokens_read("book.txt", &v, .error = &e);
 *	ebb_dataset *data = ebb_windows(tokens, .context = 128, .error = &e);
 *
 * A text is UTF-8 (RFC 3629), and a token is a character, that is a code point.  A byte that is not
 * part of a valid UTF-8 sequence is a token of its own, so any bytes can be encoded, and decoding
 * returns the same bytes.
 */
#ifndef EBB_VOCABULARY_H
#define EBB_VOCABULARY_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The code of the byte b outside of valid UTF-8 is EBB_BYTE_CODE + b. */
enum { EBB_BYTE_CODE = 0x110000 };

/* Token k, from 0 to size - 1, is the character codes[k]. */
typedef struct ebb_vocabulary {
	int64_t size;
	/* I64 [size], ascending: Unicode code points, then codes of bytes.  Persistent: add it to a
	 * saver or an archive, and make the vocabulary from it when the model is loaded. */
	ebb_tensor *codes;
} ebb_vocabulary;

/* The characters that occur in text.  An error for an empty text. */
EBB_API ebb_vocabulary *ebb_vocabulary_new(const void *text, int64_t bytes, ebb_error *e);
/* The 256 bytes.  In this vocabulary every text can be encoded. */
EBB_API ebb_vocabulary *ebb_vocabulary_bytes(ebb_error *e);
/* The vocabulary of these codes, which are copied.  An error for NULL, for codes that are not I64
 * [V], not ascending or out of range. */
EBB_API ebb_vocabulary *ebb_vocabulary_of(const ebb_tensor *codes, ebb_error *e);
EBB_API void ebb_vocabulary_free(ebb_vocabulary *v);

/* The tokens of a text as a persistent tensor I64 [T], which the caller frees.  A character that
 * the vocabulary does not have is encoded by its bytes, if the vocabulary has them all; else it is
 * an error that names the character and its position.  An error for an empty text. */
EBB_API ebb_tensor *ebb_vocabulary_encode(
	const ebb_vocabulary *v, const void *text, int64_t bytes, ebb_error *e);
/* Writes the text of tokens, I64 or U8 of any shape, to a buffer of size bytes, as snprintf does:
 * at most size - 1 bytes and a NUL.  Returns the number of bytes of the whole text; a text may
 * itself contain NULs.  -1 for NULL, other types, dropped tensors, and tokens that are not below
 * v->size. */
EBB_API int64_t ebb_vocabulary_decode(
	const ebb_vocabulary *v, const ebb_tensor *tokens, char *buffer, size_t size);
/* Writes the character of one token to a buffer of at least 5 bytes, NUL-terminated, and returns
 * the buffer.  "" if the token is not below v->size. */
EBB_API const char *ebb_vocabulary_text(const ebb_vocabulary *v, int64_t token, char buffer[5]);

/* Reads a text file, plain or gzipped, as a persistent tensor of tokens [T], which the caller
 * frees.  If *v is NULL, sets *v to a new vocabulary, of the characters that occur in the file or,
 * with .bytes, of the 256 bytes.  If *v is a vocabulary, such as that of the training text, the
 * file's characters are encoded with it.  Every byte of the file is kept, also a byte order mark
 * and carriage returns.  .dtype: EBB_I64, which ebb_embedding takes (the default), or EBB_U8 for a
 * vocabulary of at most 256 tokens, which takes an eighth of the memory.  .most_bytes: the largest
 * size of the text, decompressed (default: 1 GiB).  NULL, with *v unchanged and an error in .error:
 * a missing, empty or too large file, characters that *v does not have, more than 256 of them for
 * EBB_U8, out of memory. */
typedef struct ebb_tokens_read_args {
	const char *path;
	ebb_vocabulary **v;
	bool bytes;
	ebb_dtype dtype;
	int64_t most_bytes;
	ebb_error *error;
	const char *site;
} ebb_tokens_read_args;
EBB_API ebb_tensor *ebb_tokens_read(const ebb_tokens_read_args *a);

#define ebb_tokens_read(...) EBB_CALL_ARGS(ebb_tokens_read, ebb_tokens_read_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
