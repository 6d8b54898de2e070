/*
 * chars.h - the parts of the demo chars: its options, training, and writing.
 */
#ifndef EBB_DEMOS_CHARS_H
#define EBB_DEMOS_CHARS_H

#include <ebb.h>

#include "../keep.h"

typedef struct settings {
	const char *text, *prompt;
	int64_t context, width, layers, heads, batch, steps, top_k, length;
	double minutes, lr, dropout, temperature;
	uint64_t seed;
	bool sample_only;
	keeping keep;
} settings;

/* Prints e on stderr, if it is an error; returns whether it is none. */
bool said_ok(const ebb_error *e);

/* ---- train.c ---- */

/* Trains on the text and then writes.  False with a message on stderr. */
bool train(settings *s);

/* ---- write.c ---- */

/* The tokens of --prompt as I64 [n], or without --prompt those of a line's end.  NULL with a
 * message on stderr for characters that the vocabulary does not have. */
ebb_tensor *read_prompt(const settings *s, const ebb_vocabulary *v);
/* Writes the prompt and --length characters that the network draws.  A signal that is caught sets
 * s->keep.ended.  False with a message on stderr. */
bool write_sample(settings *s, const ebb_gpt *net, const ebb_vocabulary *v);

#endif
