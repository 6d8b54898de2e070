/*
 * refusals.h - requests for memory inside the library that are refused one at a time.
 *
 * The pool and the arenas serve most requests from memory that they already own.  An allocator that
 * fails (counting_allocator) therefore makes few of the library's requests fail.  refusals.c
 * defines replacements of ebb_pool_take, ebb_storage_refill, ebb_storage_new, ebb_arena_take,
 * ebb_grow and ebb_alloc_zeroed, which may fail.  The linker replaces each call from another file
 * (-Wl,--wrap; tests/meson.build).
 */
#ifndef EBB_TESTS_REFUSALS_H
#define EBB_TESTS_REFUSALS_H

#include "tests/support/support.h"

typedef struct refusals {
	int64_t requests; /* the number of requests since refuse_at */
	int64_t at;       /* the request (from 0) that is refused; -1: none */
	int64_t refused;
} refusals;
extern refusals requests;

/* Starts to count requests from 0, and refuses number n, or none if n is -1. */
void refuse_at(int64_t n);

/*
 * Calls .run once for each request that .run makes, and refuses this request; with a sanitizer, for
 * every third request.  Each call has a new tape with the default type F64, on which .prepare was
 * called before; the requests of .prepare are not counted.  .run returns whether it succeeded.
 * .finish frees what .prepare has allocated outside the tape.
 *
 * Checked after each call of .run: if .run failed, the tape has the error EBB_NO_MEMORY, and
 * otherwise none; ebb_tape_check succeeds; no memory is in use after a reset; and .run succeeds on
 * the same tape afterwards.  At the end every block is freed.  Returns the number of refused
 * requests after which .run succeeded, because the library does not need the memory.
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
