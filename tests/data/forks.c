/* Loaders with workers in a process that forks: parent and child get the same remaining batches. */
#include "tests/data/workers.h"
#include "tests/support/fork.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* Takes a tenth of a millisecond per image, so that the fork finds busy workers. */
static bool make_slowly(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	usleep(100);
	return make_image(ctx, i, x, e);
}

/* Gets the rest of the epoch and all of the next one, and frees the loader.  Returns whether the
 * batches equal those of hashes from at on. */
static bool goes_on(ebb_loader *l, const uint64_t *hashes, int at)
{
	ebb_batch b;
	bool same = true;

	for (int epoch = 0; epoch < 2; epoch++) {
		for (; ebb_loader_next(l, &b); at++) {
			uint64_t h = hash_of(b.images, 14695981039346656037u + (uint64_t)b.index);

			h = hash_of(b.labels, h);
			same = same && hashes[at] == hash_of(b.targets, h);
		}
		same = same && !ebb_loader_error(l) && hashes[at++] == 0;
	}
	ebb_loader_free(l);
	return same;
}

/* Parent and child get the batches that a loader without workers makes, at any time of the fork.
 * The batches are mixed, so mixing one twice in the same memory would be noticed. */
START_TEST(a_child_of_fork_gets_the_remaining_batches)
{
	enum { BATCH = 8, BATCHES = (COUNT + BATCH - 1) / BATCH };
	static const origin skips = {.corrupt = {3, 17, 40, -1}};
	origin o = skips;
	ebb_dataset *d = ebb_dataset_custom(
		COUNT, CLASSES, make_slowly, make_label, &o, .channels = 3, .on_error = EBB_SKIP);
	ebb_augment *a = pipeline(true);
	ebb_loader_args args = {.data = d,
		.batch = BATCH,
		.shuffle = true,
		.seed = 3,
		.augment = a,
		.cache = 20000};
	uint64_t hashes[MOST];
	ebb_loader *l = (ebb_loader_new)(&args);

	trace(l, hashes);
	ebb_loader_free(l);
	for (int before = 0; before <= BATCHES; before++) {
		for (int workers = 1; workers <= 4; workers += 3) {
			int status;
			pid_t child;
			ebb_batch b;

			args.workers = workers;
			args.prefetch = 1 + before % 3;
			l = (ebb_loader_new)(&args);
			for (int k = 0; k < before; k++)
				ck_assert(ebb_loader_next(l, &b));
			child = fork();
			ck_assert_int_ge(child, 0);
			if (child == 0) {
				alarm(20);
				_exit(goes_on(l, hashes, before) ? 0 : 1);
			}
			ck_assert(goes_on(l, hashes, before));
			ck_assert_int_eq(waitpid(child, &status, 0), child);
			ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
				"after %d batches, %d workers: status %x", before, workers, status);
		}
	}
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static bool make_behind_the_gate(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	bool ok;

	/* An image of another size, in this worker's memory. */
	ok = ebb_image_shape(x, 1 + i % 3, 1, 1, e);
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return ok && make_image(ctx, i, x, e);
}

/* Workers that wait for the forking thread cannot finish before the fork: the child makes their
 * images again. */
START_TEST(a_fork_does_not_deadlock_with_a_waiting_worker)
{
	origin o = HEALTHY;
	ebb_dataset *d = ebb_dataset_custom(
		COUNT, CLASSES, make_behind_the_gate, make_label, &o, .channels = 3);
	ebb_augment *a = pipeline(true);
	ebb_loader_args args = {.data = d, .batch = 16, .augment = a};
	uint64_t hashes[MOST];
	ebb_loader *l = (ebb_loader_new)(&args);
	int status;
	pid_t child;

	trace(l, hashes);
	ebb_loader_free(l);
	pthread_mutex_lock(&gate);
	args.workers = 3;
	l = (ebb_loader_new)(&args);
	usleep(20000);
	child = fork();
	ck_assert_int_ge(child, 0);
	pthread_mutex_unlock(&gate);
	if (child == 0) {
		alarm(20);
		_exit(goes_on(l, hashes, 0) ? 0 : 1);
	}
	ck_assert(goes_on(l, hashes, 0));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

static bool make_in_a_child(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit((int)i);
	if (child < 0 || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != i) {
		ebb_error_set(e, EBB_INVALID, NULL, "image %d: no child", (int)i);
		return false;
	}
	return make_image(ctx, i, x, e);
}

START_TEST(a_worker_may_fork)
{
	origin o = HEALTHY;
	ebb_dataset *d =
		ebb_dataset_custom(COUNT, CLASSES, make_in_a_child, make_label, &o, .channels = 3);
	ebb_augment *a = pipeline(false);
	ebb_loader *l = ebb_loader_new(d, 16, .augment = a, .workers = 1);
	uint64_t hashes[MOST];

	ck_assert_int_eq(trace(l, hashes), 2 * (4 + 1));
	ck_assert_ptr_null(ebb_loader_error(l));
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-forks");
	TCase *c = tcase_create("forks");

	tcase_set_timeout(c, 100);
	if (child_may_start_threads()) {
		tcase_add_test(c, a_child_of_fork_gets_the_remaining_batches);
		tcase_add_test(c, a_fork_does_not_deadlock_with_a_waiting_worker);
	}
	tcase_add_test(c, a_worker_may_fork);
	suite_add_tcase(s, c);
	return run_suite(s);
}
