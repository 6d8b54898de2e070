/*
 * zip.h - the members in the central directory of a zip file, for zip.c and the tests.
 */
#ifndef EBB_ARCHIVE_ZIP_H
#define EBB_ARCHIVE_ZIP_H

#include <zip.h>
#include <zlib.h>

#include "archive/internal.h"

/* A member, from its record in the central directory. */
typedef struct ebb_zip_member {
	int64_t header, data; /* offsets of the local header, and of the compressed bytes */
	int64_t packed, size; /* bytes in the file, and decompressed */
	uint32_t checksum;
	bool deflated; /* false: uncompressed */
} ebb_zip_member;

/* Reads and checks the whole directory of a zip file before libzip reads it.  *member, in the
 * directory's order, lives as long as a.  False with an error. */
bool ebb_zip_directory(
	ebb_archive *a, const ebb_input *in, ebb_zip_member **member, int64_t *count, ebb_error *e);

/* Whether libzip failed for lack of memory; an error without a message counts as such. */
static inline bool ebb_zip_lacks_memory(zip_error_t *why)
{
	int code = zip_error_code_zip(why);

	return code == ZIP_ER_MEMORY || code == ZIP_ER_OK ||
	       (code == ZIP_ER_ZLIB && zip_error_code_system(why) == Z_MEM_ERROR);
}

#endif
