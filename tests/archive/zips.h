/*
 * zips.h - zip files made by hand, byte by byte, so that each of their fields can be wrong.
 */
#ifndef EBB_TESTS_ARCHIVE_ZIPS_H
#define EBB_TESTS_ARCHIVE_ZIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_MADE = 16 };

/* A zip file in memory, and where its parts begin. */
typedef struct made_zip {
	unsigned char *bytes;
	size_t size, room;
	struct made_member {
		size_t local, data,
			record;       /* offsets: of the header, the packed bytes, the record */
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
/* A member of n bytes, stored or deflated; its number.  extra: of its local header and its
 * record. */
int made_add(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated);
int made_add_extra(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated,
	const void *extra, size_t extra_size);
/* The directory, its end (a 64-bit one before it if wide), and a comment (or NULL). */
void made_finish(made_zip *z, bool wide, const char *comment);
void made_free(made_zip *z);

#endif
