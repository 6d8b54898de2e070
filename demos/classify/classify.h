/* classify.h - functions that the files of classify share. */
#ifndef EBB_DEMOS_CLASSIFY_H
#define EBB_DEMOS_CLASSIFY_H

#include "../network.h"

typedef struct settings {
	network_files files;
	int top;
	bool list;
} settings;

/* Escape sequences for a terminal, else empty texts. */
typedef struct colours {
	const char *bold, *faint, *bar, *off;
} colours;
colours colours_of_stdout(void);

/* Prints the catalogue of networks: a line for each file of weights (list.c). */
void print_catalogue(void);

#endif
