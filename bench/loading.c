/*
 * loading - the time to load a parameter store from safetensors, compared with a pread of as many
 * bytes into memory that has been touched before; both read from a warm page cache, alternately.
 *   loading [MEGABYTES [TIMES]]      (default 500 and 15)
 */
#include <ebb.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "demos/cli.h"

enum { LAYERS = 50, MOST_TIMES = 1000 };

static bool read_all(int fd, char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, to + done, size - done, (off_t)done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static int run(const char *path, int64_t megabytes, int times)
{
	static double loads[MOST_TIMES], reads[MOST_TIMES], ratios[MOST_TIMES];
	int64_t columns = 1000,
		rows = megabytes * 1000000 / (LAYERS * columns * (int64_t)sizeof(float));
	size_t size = (size_t)(LAYERS * rows * columns) * sizeof(float);
	ebb_params *p = ebb_params_new(1);
	char *memory = malloc(size), name[20];
	int fd;

	for (int i = 0; i < LAYERS; i++) {
		snprintf(name, sizeof name, "layer%d.weight", i);
		ebb_params_add(p, name, EBB_SHAPE(rows, columns), EBB_INIT(EBB_INIT_NORMAL));
	}
	ebb_params_save(p, path);
	fd = open(path, O_RDONLY);
	if (!memory || fd < 0 || ebb_params_error(p))
		return fprintf(stderr, "%s\n", fd < 0 ? path : ebb_params_error(p)->message), 1;
	memset(memory, 1, size);
	for (int i = -1; i < times; i++) {
		double began = cli_now(), middle;

		if (!ebb_params_load(p, path))
			return fprintf(stderr, "%s\n", ebb_params_error(p)->message), 1;
		middle = cli_now();
		if (!read_all(fd, memory, size))
			return fprintf(stderr, "%s cannot be read\n", path), 1;
		if (i < 0)
			continue; /* the page cache is warm now */
		loads[i] = middle - began;
		reads[i] = cli_now() - middle;
		ratios[i] = loads[i] / reads[i];
	}
	printf("%.0f MB in %d tensors: load %.1f ms, pread %.1f ms, ratio %.2f\n",
		(double)size / 1e6, LAYERS, 1e3 * bench_median(loads, times),
		1e3 * bench_median(reads, times), bench_median(ratios, times));
	close(fd);
	free(memory);
	ebb_params_free(p);
	return 0;
}

int main(int argc, char **argv)
{
	int64_t megabytes = argc > 1 ? cli_int("MEGABYTES", argv[1], 1, 100000) : 500;
	int times = argc > 2 ? (int)cli_int("TIMES", argv[2], 1, MOST_TIMES) : 15, status;
	char path[] = "/tmp/ebb-loading-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		return perror(path), 1;
	close(fd);
	status = run(path, megabytes, times);
	unlink(path);
	return status;
}
