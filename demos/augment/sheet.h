/* sheet.h - a page of labelled images. */
#ifndef EBB_DEMOS_SHEET_H
#define EBB_DEMOS_SHEET_H

#include <ebb.h>

/* Images are square, and shown pixel by pixel. */
enum { SIDE = 160, COLUMNS = 10 };

typedef struct sheet_row {
	const char *group; /* a heading above it; NULL: none */
	const char *name, *call;
	ebb_image image[COLUMNS];
} sheet_row;

/* The program's own picture: a boat at low tide, SIDE x SIDE in colour. */
bool picture_of_a_boat(ebb_image *x, ebb_error *e);
/* And another to mix it with: a lighthouse at night. */
bool picture_of_a_lighthouse(ebb_image *x, ebb_error *e);
/* original stands beside the title. */
bool sheet_write(const char *path, const ebb_image *original, const char *subtitle,
	const sheet_row *rows, int n, ebb_error *e);

#endif
