/*
 * Lists the tensors in a file: safetensors, .npy, .npz, .pt, .pth, or a training checkpoint.  With
 * --values also the range of each tensor, and how many of its numbers are not finite.
 */
#include <ebb.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* Prints control characters, which could change the terminal's state, as '?'. */
static void put_text(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static int64_t put_shape(ebb_shape shape)
{
	int64_t count = 1;
	char text[200] = "[";
	size_t n = 1;

	for (int i = 0; i < shape.ndim; i++) {
		count *= shape.dims[i];
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "," : "",
			(long long)shape.dims[i]);
	}
	snprintf(text + n, sizeof text - n, "]");
	printf("%-20s", text);
	return count;
}

static bool put_range(const ebb_archive *a, const char *name, ebb_error *e)
{
	ebb_tensor *x = ebb_archive_tensor(a, name, EBB_F64, e);
	const double *values = ebb_data(x);
	double low = INFINITY, high = -INFINITY;
	int64_t odd = 0;

	for (int64_t i = 0; i < ebb_count(x); i++) {
		odd += !isfinite(values[i]);
		low = fmin(low, values[i]);
		high = fmax(high, values[i]);
	}
	if (ebb_count(x) > 0 && low <= high)
		printf("%10.4g to %-10.4g  ", low, high);
	else
		printf("%26s", "");
	if (odd)
		printf("%lld not finite  ", (long long)odd);
	ebb_tensor_free(x);
	return x;
}

static bool show(const char *path, bool values, ebb_error *e)
{
	ebb_archive *a = ebb_archive_read(path, .error = e);
	int64_t numbers = 0;
	bool ok = a;

	for (int64_t i = 0; ok && i < ebb_archive_count(a); i++) {
		const char *name = ebb_archive_name_at(a, i);

		printf("%-8s", ebb_file_dtype_name(ebb_archive_dtype_at(a, i)));
		numbers += put_shape(ebb_archive_shape_at(a, i));
		if (values && ebb_archive_dtype_at(a, i) != EBB_FILE_OTHER)
			ok = put_range(a, name, e);
		put_text(name);
		putchar('\n');
	}
	for (int64_t i = 0; i < ebb_archive_metadata_count(a); i++) {
		put_text(ebb_archive_metadata_key_at(a, i));
		printf(" = ");
		put_text(ebb_archive_metadata_at(a, i));
		putchar('\n');
	}
	if (ok)
		printf("%lld tensors, %lld numbers\n", (long long)ebb_archive_count(a),
			(long long)numbers);
	ebb_archive_free(a);
	return ok;
}

static const char help[] = "inspect: lists the tensors in a file\n"
			   "\n"
			   "  inspect [--values] FILE...\n"
			   "\n"
			   "  --values       prints the range of each tensor's numbers, too\n"
			   "  --help         this text\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"values", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool values = false;
	int status = 0;

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h')
			return fputs(help, stdout), 0;
		if (o != 'v')
			return 2;
		values = true;
	}
	if (optind == argc)
		return fprintf(stderr, "%s: a file is expected (see --help)\n", argv[0]), 2;
	for (; optind < argc; optind++) {
		ebb_error e = {0};

		if (!show(argv[optind], values, &e)) {
			fprintf(stderr, "%s\n", e.message);
			status = 1;
		}
	}
	return status;
}
