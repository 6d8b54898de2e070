/*
 * refusals.h - requests for memory inside the library that are refused one at a time.
 *
 * The pool and the arenas serve most requests from memory that they have, so an allocator that
 * fails (counting_allocator) reaches few of the places that ask.  Here the linker puts the
 * functions below in place of ebb_pool_take, ebb_arena_take, ebb_grow, ebb_storage_new and
 * ebb_alloc_zeroed, wherever another file calls them (-Wl,--wrap; tests/meson.build).
 */
#ifndef EBB_TESTS_REFUSALS_H
#define EBB_TESTS_REFUSALS_H

#include "tests/support/support.h"

typedef struct refusals {
	int64_t requests; /* since refuse_at */
	int64_t at;       /* the request (from 0) that is refused; -1: none */
	int64_t refused;
} refusals;
extern refusals requests;

/* From here on request number n is refused, or none if n is -1. */
void refuse_at(int64_t n);

/*
 * Runs .run once for every request that it makes, each time with another one refused, on a new
 * F64 tape, which .prepare has filled before the first request counts.  .run returns whether it
 * succeeded; .finish frees what .prepare has made beside the tape.  Where a sanitizer watches,
 * every third request is refused.
 *
 * Checked after each run: a refusal leaves the tape failed with EBB_NO_MEMORY exactly if .run
 * failed; the counts of the tape are right; nothing is in use after a reset; .run succeeds on
 * that same tape from then on; and at the end no block is left.  Returns how many of the
 * refusals .run did not notice: the library did without the memory.
 */
typedef struct attempt {
	const char *name;
	bool (*run)(ebb_tape *t, void *ctx);
	void (*prepare)(ebb_tape *t, void *ctx); /* or NULL */
	void (*finish)(void *ctx);               /* or NULL */
	void *ctx;
} attempt;
int64_t refuse_each(const attempt *a);

#endif
