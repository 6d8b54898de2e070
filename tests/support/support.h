/*
 * support.h - functions that the tests share: persistent tensors, comparisons, an allocator that
 * counts and fails, and the LeNet of the README.
 */
#ifndef EBB_TESTS_SUPPORT_H
#define EBB_TESTS_SUPPORT_H

#include <check.h>
#include <ebb.h>

/* ---- Check -------------------------------------------------------------------------- */

/* Runs the suite and prints Check's summary.  Returns the exit status for main. */
int run_suite(Suite *s);

#define assert_healthy(t) ck_assert_msg(!ebb_failed(t), "%s", ebb_error_message(t))
/* Asserts that the call returns NULL (or false) and fails the tape with this status and a message
 * that contains all of these words.  Then clears the error. */
#define assert_refused(t, status, call, ...)                                                       \
	do {                                                                                       \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		check_error(t, status, #call, (const char *[]){__VA_ARGS__, NULL});                \
		ebb_clear_error(t);                                                                \
	} while (0)
void check_error(ebb_tape *t, ebb_status status, const char *call, const char *const *words);

/* ---- The tape's reference counts ---------------------------------------------------- */

/* Fails the test unless the tape's reference counts, its flags and its pool's sums agree with its
 * handles and nodes (ebb_tape_check).  The macros check before each ebb_tape_reset and
 * ebb_tape_free. */
void check_tape_counts(const ebb_tape *t);
#define ebb_tape_reset(t) reset_checked(t)
#define ebb_tape_free(t) free_checked(t)
void reset_checked(ebb_tape *t);
void free_checked(ebb_tape *t);

/* ---- Debug mode --------------------------------------------------------------------- */

/* Fixtures that set EBB_DEBUG for the tapes created from then on, and restore the environment.
 * Tests that count memory disable debug mode. */
void debug_on(void);
void debug_off(void);
void debug_as_before(void);

/* ---- Files -------------------------------------------------------------------------- */

/* A checked fixture: an empty directory for one test.  temp_path returns the path of a file in it,
 * valid until the second next call. */
void make_temp_dir(void);
void remove_temp_dir(void);
extern char temp_dir[64];
const char *temp_path(const char *name);
/* Writes a file in the directory, creates the folders of its name, and returns its path. */
const char *write_temp(const char *name, const void *bytes, size_t n);

/* ---- Tensors ------------------------------------------------------------------------ */

/* A persistent tensor with values in (-1, 1) that depend only on the seed; the caller frees it. */
ebb_tensor *persistent_random(ebb_dtype dtype, ebb_shape shape, uint64_t seed);
/* Whether the shapes are equal and |a - b| <= tolerance * (1 + |b|) for every element; false for
 * NaN. */
bool all_close(const ebb_tensor *a, const ebb_tensor *b, double tolerance);
/* Whether the shapes and the bits of all elements are equal. */
bool all_same(const ebb_tensor *a, const ebb_tensor *b);
/* A checksum of the values of all parameters and buffers of a parameter store. */
uint64_t params_hash(const ebb_params *p);
/* A checksum of the gradients of all parameters; a parameter without a gradient counts as 0. */
uint64_t grads_hash(const ebb_params *p);

/* ---- The allocator ------------------------------------------------------------------ */

typedef struct counting_allocator {
	int64_t calls;   /* the number of calls that asked for memory */
	int64_t fail_at; /* the number (from 0) of the call that fails; -1: none */
	bool fail_after; /* all later calls fail, too */
	int64_t refused; /* the number of calls that failed */
	int64_t live;    /* the number of blocks in use */
	int64_t bytes;   /* the bytes of these blocks */
	int64_t wrong;   /* the number of blocks that were freed with a wrong size */
} counting_allocator;
/* Makes it the allocation hook, with all counts 0 and fail_at -1.  For one thread only. */
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
