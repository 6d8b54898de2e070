/*
 * zips.h - zip files built by hand, byte by byte, so that a test can make each field wrong.
 */
#ifndef EBB_TESTS_ARCHIVE_ZIPS_H
#define EBB_TESTS_ARCHIVE_ZIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_MADE = 16 };

/* A zip file in memory, and the offsets of its parts. */
typedef struct made_zip {
	unsigned char *bytes;
	size_t size, capacity;
	struct made_member {
		size_t local, data,
			/* offsets of the header, the compressed bytes, and the record */
			record;
		unsigned char *extra; /* of the record */
		size_t packed, size, extra_size;
		char name[64];
		size_t name_size;
		uint32_t checksum;
		bool deflated;
	} member[MOST_MADE];
	int count;
	size_t directory, end; /* offsets */
} made_zip;

void made_put(made_zip *z, size_t at, int width, uint64_t value); /* little-endian */
uint64_t made_get(const made_zip *z, size_t at, int width);
void made_append(made_zip *z, const void *bytes, size_t n);
/* Adds a member of n bytes, deflated or not; returns its index.  extra: the extra fields of its
 * local header and its record. */
int made_add(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated);
int made_add_extra(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated,
	const void *extra, size_t extra_size);
/* Adds the directory, its end record (after a 64-bit one if wide), and a comment (or NULL). */
void made_finish(made_zip *z, bool wide, const char *comment);
void made_free(made_zip *z);

#endif
