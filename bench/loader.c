/*
 * loader - images per second of a loader, compared with torchvision.
 *
 *   loader [--cifar DIR] [--folder DIR] [--workers N] [--seconds X] [--rounds N] [--peer SCRIPT]
 *
 * There are two pipelines.  cifar: 32 x 32 images in memory (random images without --cifar) with
 * crop, flip, jitter and normalise.  folder (only with --folder): JPEG or PNG files, decoded,
 * resized to a shorter side of 256, cropped to 224 x 224, and then the same.  With --peer, the
 * script (bench/loader_peer.py) does the same with torchvision after each round.  Prints one line
 * of JSON per run: images per second of wall-clock time, and microseconds of processor time per
 * image, of all threads and processes.  With a peer, the ratios of the medians follow (above 1:
 * Ebb is faster).
 */
#include <ebb.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"
#include "demos/cli.h"

enum { MOST_ROUNDS = 50, BATCH = 128, SYNTHETIC = 10000 };

typedef struct options {
	const char *cifar, *folder, *peer;
	int workers, rounds;
	double seconds;
} options;

typedef struct figures {
	double images_per_second[MOST_ROUNDS], cpu_us[MOST_ROUNDS];
} figures;

static double processor_time(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void print(
	const char *pipeline, const char *program, const options *o, const figures *f, int round)
{
	printf("{\"pipeline\": \"%s\", \"program\": \"%s\", \"workers\": %d, "
	       "\"images_per_second\": %.1f, \"cpu_us_per_image\": %.1f}\n",
		pipeline, program, o->workers, f->images_per_second[round], f->cpu_us[round]);
	fflush(stdout);
}

/* ---- Ebb ------------------------------------------------------------------------------------ */

static ebb_dataset *synthetic(ebb_error *e)
{
	ebb_dataset *d = ebb_dataset_new(SYNTHETIC, 3, 32, 32, 10, e);
	uint8_t *x = d ? ebb_data_mutable(d->images) : NULL;
	uint32_t state = 1;

	for (int64_t k = 0; x && k < (int64_t)SYNTHETIC * 3 * 32 * 32; k++) {
		state = state * 1664525u + 1013904223u;
		x[k] = (uint8_t)(state >> 24);
	}
	return d;
}

static ebb_augment *pipeline(bool files, ebb_error *e)
{
	ebb_augment *a = ebb_augment_new(e);

	if (files) {
		ebb_augment_resize(a, 256);
		ebb_augment_crop(a, 224, 224);
	} else {
		ebb_augment_crop(a, 32, 32, .pad = 4);
	}
	ebb_augment_flip(a);
	ebb_augment_jitter(a, 0.4, 0.4, 0.4, 0.1);
	return a;
}

/* Reads batches for o->seconds, after one batch to warm up. */
static bool measure(ebb_loader *l, const options *o, figures *f, int round, ebb_error *e)
{
	double start = 0, cpu = 0, now = 0;
	int64_t images = 0;
	ebb_batch b;

	while (images == 0 || now - start < o->seconds) {
		if (!ebb_loader_next(l, &b)) {
			if (ebb_loader_error(l))
				break;
			continue;
		}
		now = cli_now();
		images += b.count;
		if (start == 0) {
			start = now;
			cpu = processor_time();
			images = 0;
		}
	}
	if (ebb_loader_error(l)) {
		*e = *ebb_loader_error(l);
		return false;
	}
	f->images_per_second[round] = (double)images / (now - start);
	f->cpu_us[round] = 1e6 * (processor_time() - cpu) / (double)images;
	return true;
}

/* ---- The peer ------------------------------------------------------------------------------- */

static bool measure_peer(
	const options *o, const char *name, const char *directory, figures *f, int round)
{
	char command[5000], line[1000] = "";
	FILE *in;
	bool ok;

	if (strchr(o->peer, '\'') || strchr(directory, '\'') ||
		snprintf(command, sizeof command, "'%s' %s '%s' %d %g", o->peer, name, directory,
			o->workers, o->seconds) >= (int)sizeof command)
		return false;
	in = popen(command, "r");
	ok = in && fgets(line, sizeof line, in) &&
	     bench_number_after(line, "\"images_per_second\"", &f->images_per_second[round]) &&
	     bench_number_after(line, "\"cpu_us_per_image\"", &f->cpu_us[round]);
	if (in)
		pclose(in);
	return ok;
}

/* ---- Side by side --------------------------------------------------------------------------- */

static bool compare(const options *o, const char *name, const char *directory, ebb_error *e)
{
	static figures ebb, peer;
	bool files = strcmp(name, "folder") == 0, with_peer = o->peer != NULL;
	ebb_dataset *d = files        ? ebb_folder(directory, .error = e)
	                 : *directory ? ebb_cifar10(directory, EBB_TRAIN, e)
	                              : synthetic(e);
	ebb_augment *a = d ? pipeline(files, e) : NULL;
	ebb_loader *l = NULL;
	bool ok;

	if (a)
		l = ebb_loader_new(d, BATCH, .shuffle = true, .augment = a, .workers = o->workers,
			.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}, .error = e);
	ok = l;
	for (int round = 0; ok && round < o->rounds; round++) {
		ok = measure(l, o, &ebb, round, e);
		/* Frees the loader, so that none of its threads runs while the peer does. */
		ebb_loader_free(l);
		l = NULL;
		if (ok)
			print(name, "ebb", o, &ebb, round);
		if (ok && with_peer) {
			with_peer = measure_peer(o, name, directory, &peer, round);
			if (with_peer)
				print(name, "torchvision", o, &peer, round);
			else
				fprintf(stderr, "loader: the peer printed no figures: it needs "
						"python3-torch, torchvision and python3-pil\n");
		}
		if (ok && round + 1 < o->rounds) {
			l = ebb_loader_new(d, BATCH, .shuffle = true, .augment = a,
				.workers = o->workers, .mean = {0.485, 0.456, 0.406},
				.std = {0.229, 0.224, 0.225}, .error = e);
			ok = l;
		}
	}
	if (ok && with_peer)
		printf("{\"pipeline\": \"%s\", \"workers\": %d, \"speed_ratio\": %.2f, "
		       "\"cpu_ratio\": %.2f}\n",
			name, o->workers,
			bench_median(ebb.images_per_second, o->rounds) /
				bench_median(peer.images_per_second, o->rounds),
			bench_median(peer.cpu_us, o->rounds) / bench_median(ebb.cpu_us, o->rounds));
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
	return ok;
}

int main(int argc, char **argv)
{
	cli_begin();
	static const struct option names[] = {{"cifar", required_argument, NULL, 'c'},
		{"folder", required_argument, NULL, 'f'}, {"workers", required_argument, NULL, 'w'},
		{"seconds", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
		{"peer", required_argument, NULL, 'p'}, {0}};
	options o = {.cifar = "", .workers = 2, .rounds = 3, .seconds = 2};
	ebb_error e = {0};

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (c == 'c')
			o.cifar = optarg;
		else if (c == 'f')
			o.folder = optarg;
		else if (c == 'w')
			o.workers = (int)cli_int("--workers", optarg, 0, 256);
		else if (c == 's')
			o.seconds = cli_double("--seconds", optarg, 0.01, 1000);
		else if (c == 'r')
			o.rounds = (int)cli_int("--rounds", optarg, 1, MOST_ROUNDS);
		else if (c == 'p')
			o.peer = optarg;
		else
			return 2;
	}
	cli_no_arguments(argc, argv, optind);
	if (compare(&o, "cifar", o.cifar, &e) && (!o.folder || compare(&o, "folder", o.folder, &e)))
		return 0;
	fprintf(stderr, "loader: %s\n", e.message);
	return 1;
}
