/*
 * saving - how long saving a checkpoint takes, and how long saving in the background stalls
 * training.
 *
 *   saving [--megabytes N] [--rounds N] [--path FILE]
 *
 * Saves a store of N megabytes (10^6 bytes, default 500) of parameters to FILE (default
 * saving.safetensors in the current directory; removed at the end).  Each round saves in the
 * foreground, in the background while nothing else runs, and in the background while matrix
 * products keep all threads busy.  Prints one line of JSON per save: the seconds that the caller
 * was stalled, and the seconds of writing.  Then it prints the medians, and the stall in the
 * background as a share of the time of a save in the foreground.
 *
 * Each round also measures the limits of memory and disk: a copy of as many bytes by all threads,
 * and write and fsync of a block in memory.
 */
#include <ebb.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "demos/cli.h"
#include "kernels/kernels.h"

enum { MOST_ROUNDS = 50, PARAMETER = 1 << 20 }; /* numbers in each parameter */

typedef struct options {
	int64_t megabytes;
	int rounds;
	const char *path;
} options;

typedef struct figures {
	double foreground[MOST_ROUNDS], stall[MOST_ROUNDS], writing[MOST_ROUNDS];
	double busy_stall[MOST_ROUNDS], busy_writing[MOST_ROUNDS];
	double copy[MOST_ROUNDS], disk[MOST_ROUNDS];
} figures;

/* ---- What there is to save ------------------------------------------------------------------ */

static bool make_model(ebb_params *p, int64_t megabytes)
{
	int64_t numbers = megabytes * 1000000 / 4;
	char name[40];

	for (int i = 0; numbers > 0 && !ebb_params_error(p); i++) {
		int64_t n = numbers < PARAMETER ? numbers : PARAMETER;

		snprintf(name, sizeof name, "layer%d.weight", i);
		ebb_params_add(p, name, EBB_SHAPE(n), EBB_INIT(EBB_INIT_NORMAL));
		numbers -= n;
	}
	return !ebb_params_error(p);
}

/* ---- Limits --------------------------------------------------------------------------------- */

enum { PIECE = 4 << 20 };

typedef struct copying {
	char *to;
	const char *from;
	int64_t bytes;
} copying;

static void copy_piece(void *ctx, int64_t piece, int worker)
{
	const copying *c = ctx;
	int64_t at = piece * PIECE, left = c->bytes - at;

	(void)worker;
	memcpy(c->to + at, c->from + at, (size_t)(left < PIECE ? left : PIECE));
}

static double time_copy(const copying *c)
{
	double began = cli_now();

	ebb_parallel((c->bytes + PIECE - 1) / PIECE, copy_piece, (void *)c);
	return cli_now() - began;
}

static double time_disk(const copying *c, const char *path)
{
	double began = cli_now();
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	int64_t at = 0;

	while (fd >= 0 && at < c->bytes) {
		ssize_t n = write(fd, c->from + at, (size_t)(c->bytes - at));

		if (n <= 0 && errno != EINTR)
			break;
		at += n > 0 ? n : 0;
	}
	if (fd < 0 || at < c->bytes || fsync(fd) != 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return cli_now() - began;
}

/* ---- Saves ---------------------------------------------------------------------------------- */

static void print(const char *method, double stall, double writing)
{
	printf("{\"mode\": \"%s\", \"stall_s\": %.4f, \"writing_s\": %.4f}\n", method, stall,
		writing);
	fflush(stdout);
}

static bool say(ebb_saver *s)
{
	const ebb_error *e = ebb_saver_error(s);

	if (e)
		fprintf(stderr, "%s\n", e->message);
	return !e;
}

/* Computes matrix products of about a millisecond each for that many seconds. */
static void keep_busy(double seconds)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *a = ebb_ones(t, EBB_SHAPE(384, 384));
	ebb_mark mark = ebb_tape_mark(t);
	double began = cli_now();

	while (cli_now() - began < seconds) {
		ebb_matmul(t, a, a);
		ebb_rewind(t, mark);
	}
	ebb_tape_free(t);
}

static bool save(
	ebb_saver *s, int64_t step, const char *method, double busy, double *stall, double *writing)
{
	if (!ebb_saver_save(s, step))
		return say(s);
	*stall = ebb_saver_stall(s);
	if (busy > 0)
		keep_busy(busy);
	if (!ebb_saver_wait(s))
		return say(s);
	*writing = ebb_saver_seconds(s);
	print(method, *stall, *writing);
	return true;
}

static ebb_saver *saver_of(const options *o, ebb_params *p, bool background)
{
	ebb_error e = {0};
	ebb_saver *s = ebb_saver_new(o->path, .background = background, .error = &e);

	if (!s || !ebb_saver_add(s, "model", p))
		fprintf(stderr, "%s\n", s ? ebb_saver_error(s)->message : e.message);
	return s;
}

static double median(double *values, int n)
{
	return bench_median(values, n);
}

static bool measure(const options *o, ebb_params *p, const copying *c)
{
	static figures f;
	ebb_saver *foreground = saver_of(o, p, false), *background = saver_of(o, p, true);
	double unused;
	/* One save is not measured: it touches the memory of the background saver and creates the
	 * file. */
	bool ok = foreground && background && ebb_saver_save(background, 0) &&
	          ebb_saver_wait(background);

	for (int i = 0; ok && i < o->rounds; i++) {
		f.copy[i] = time_copy(c);
		f.disk[i] = time_disk(c, o->path);
		ok = save(foreground, i, "foreground", 0, &f.foreground[i], &unused) &&
		     save(background, i, "background", 0, &f.stall[i], &f.writing[i]) &&
		     save(background, i, "background, busy", 2 * f.writing[i], &f.busy_stall[i],
			     &f.busy_writing[i]);
	}
	ebb_saver_free(foreground);
	ebb_saver_free(background);
	unlink(o->path);
	if (!ok)
		return false;
	double whole = median(f.foreground, o->rounds), stall = median(f.stall, o->rounds),
	       busy = median(f.busy_stall, o->rounds);
	printf("{\"megabytes\": %lld, \"rounds\": %d, \"foreground_s\": %.4f, \"stall_s\": %.4f, "
	       "\"share\": %.3f, \"busy_stall_s\": %.4f, \"busy_share\": %.3f, \"writing_s\": "
	       "%.4f, "
	       "\"busy_writing_s\": %.4f, \"copy_s\": %.4f, \"write_fsync_s\": %.4f}\n",
		(long long)o->megabytes, o->rounds, whole, stall, stall / whole, busy, busy / whole,
		median(f.writing, o->rounds), median(f.busy_writing, o->rounds),
		median(f.copy, o->rounds), median(f.disk, o->rounds));
	return true;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"megabytes", required_argument, NULL, 'm'},
		{"rounds", required_argument, NULL, 'r'}, {"path", required_argument, NULL, 'p'},
		{0}};
	options o = {.megabytes = 500, .rounds = 9, .path = "saving.safetensors"};
	int c;

	cli_begin();
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'm')
			o.megabytes = cli_int("--megabytes", optarg, 1, 100000);
		else if (c == 'r')
			o.rounds = (int)cli_int("--rounds", optarg, 1, MOST_ROUNDS);
		else if (c == 'p')
			o.path = optarg;
		else
			return 2;
	}
	cli_no_arguments(argc, argv, optind);
	int64_t bytes = o.megabytes * 1000000;
	copying block = {malloc((size_t)bytes), malloc((size_t)bytes), bytes};
	ebb_params *p = ebb_params_new(1);
	bool ok = block.to && block.from && make_model(p, o.megabytes);

	if (ok) {
		memset(block.to, 1, (size_t)bytes);
		memset((char *)block.from, 2, (size_t)bytes);
		ok = measure(&o, p, &block);
	} else {
		fprintf(stderr, "no memory for %lld megabytes\n", (long long)o.megabytes);
	}
	ebb_params_free(p);
	free(block.to);
	free((char *)block.from);
	return ok ? 0 : 1;
}
