/* sheet.h - a page of labelled images. */
#ifndef EBB_DEMOS_SHEET_H
#define EBB_DEMOS_SHEET_H

#include <ebb.h>

/* Images are square, and their pixels are the page's. */
enum { SIDE = 160, COLUMNS = 10 };

typedef struct sheet_row {
	const char *group; /* a heading above the row; NULL: none */
	const char *name, *call;
	ebb_image image[COLUMNS];
} sheet_row;

/* The default picture: a boat at low tide, SIDE x SIDE in colour. */
bool picture_of_a_boat(ebb_image *x, ebb_error *e);
/* The picture that mixup and cutmix mix it with: a lighthouse at night. */
bool picture_of_a_lighthouse(ebb_image *x, ebb_error *e);
/* Writes the page; original is drawn beside the title. */
bool sheet_write(const char *path, const ebb_image *original, const char *subtitle,
	const sheet_row *rows, int n, ebb_error *e);

#endif
