/*
 * support.h - what the tests share: persistent tensors, comparisons, an allocator that counts and
 * fails, and the LeNet of the README.
 */
#ifndef EBB_TESTS_SUPPORT_H
#define EBB_TESTS_SUPPORT_H

#include <check.h>
#include <ebb.h>

/* ---- Check -------------------------------------------------------------------------- */

/* Runs the suite and prints Check's summary; what main returns. */
int run_suite(Suite *s);

#define assert_healthy(t) ck_assert_msg(!ebb_failed(t), "%s", ebb_error_message(t))
/* The call gave NULL (or false) and left this status and a message with these words; the tape is
 * cleared. */
#define assert_refused(t, status, call, ...)                                                       \
	do {                                                                                       \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		check_error(t, status, #call, (const char *[]){__VA_ARGS__, NULL});                \
		ebb_clear_error(t);                                                                \
	} while (0)
void check_error(ebb_tape *t, ebb_status status, const char *call, const char *const *words);

/* ---- The tape's counts -------------------------------------------------------------- */

/* Fails the test unless the tape's counts of readers and savers, its flags and its pool's sums
 * are what its handles and nodes say.  Before each reset and at the end of each tape: what a
 * test's steps did. */
void check_tape_counts(const ebb_tape *t);
#define ebb_tape_reset(t) reset_checked(t)
#define ebb_tape_free(t) free_checked(t)
void reset_checked(ebb_tape *t);
void free_checked(ebb_tape *t);

/* ---- Debug mode --------------------------------------------------------------------- */

/* Fixtures: tapes made from here on are in debug mode, or are not whatever the suite's environment
 * says (tests that count memory); and the environment as it was before. */
void debug_on(void);
void debug_off(void);
void debug_as_before(void);

/* ---- Files -------------------------------------------------------------------------- */

/* A directory for one test: a checked fixture.  Its name, and names inside it (each call of
 * temp_path overwrites the result of the last but one). */
void make_temp_dir(void);
void remove_temp_dir(void);
extern char temp_dir[64];
const char *temp_path(const char *name);
/* Writes a file in it, and the directories on the variant; returns its path. */
const char *write_temp(const char *name, const void *bytes, size_t n);

/* ---- Tensors ------------------------------------------------------------------------ */

/* A persistent tensor with values in (-1, 1) that depend on the seed alone; the caller frees it. */
ebb_tensor *persistent_random(ebb_dtype dtype, ebb_shape shape, uint64_t seed);
/* |a - b| <= tolerance * (1 + |b|) for every element, and the same shapes; NaN is not close. */
bool all_close(const ebb_tensor *a, const ebb_tensor *b, double tolerance);
/* The same shape and the same bits. */
bool all_same(const ebb_tensor *a, const ebb_tensor *b);
/* A checksum of the values of every parameter and buffer of a store. */
uint64_t params_hash(const ebb_params *p);
/* The same of the gradients (0 for a parameter without one). */
uint64_t grads_hash(const ebb_params *p);

/* ---- The allocator ------------------------------------------------------------------ */

typedef struct counting_allocator {
	int64_t calls;   /* that ask for memory */
	int64_t fail_at; /* the call (from 0) that is refused; -1: none */
	bool fail_after; /* and every later one too */
	int64_t refused;
	int64_t live;  /* blocks */
	int64_t bytes; /* in them */
	int64_t wrong; /* blocks given back with another size than they were taken with */
} counting_allocator;
/* Puts it into ebb_set_allocator, with everything at zero and fail_at -1.  One thread only. */
void counting_allocator_install(counting_allocator *a);
void counting_allocator_remove(void);

/* ---- LeNet -------------------------------------------------------------------------- */

typedef struct lenet {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2, fc3;
} lenet;
lenet lenet_new(ebb_params *p);
/* x [N,1,28,28] -> [N,10] */
ebb_tensor *lenet_forward(ebb_tape *t, const lenet *net, ebb_tensor *x);

#endif
