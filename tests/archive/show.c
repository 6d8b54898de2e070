/*
 * show.c - prints the entries of a file, for tests that compare them with the output of another
 * program.
 *
 *   show FILE [MOST_HEADER]
 *
 * One line per entry, name TAB dtype TAB shape TAB values, and then one per metadatum, key TAB "="
 * TAB text.  Values are printed so that they parse to the same number; more than a thousand are
 * replaced by a checksum (FNV-1a of their bits as F64, or as I64 if integers need it).  Tabs,
 * newlines, backslashes and control characters are escaped as in C.  Exits with 1 and the error
 * message if the file is refused.
 */
#include <ebb.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SHOWN = 1000 };

static void put_text(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\')
			printf("\\\\");
		else if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static bool is_whole(ebb_file_dtype dtype)
{
	return dtype >= EBB_FILE_BOOL && dtype <= EBB_FILE_I64;
}

static void put_value(const ebb_tensor *x, int64_t i)
{
	const void *data = ebb_data(x);

	if (ebb_dtype_of(x) == EBB_I64)
		printf("%" PRId64, ((const int64_t *)data)[i]);
	else
		printf("%.17g", ((const double *)data)[i]);
}

static void put_values(const ebb_tensor *x)
{
	int64_t n = ebb_count(x);
	uint64_t hash = 14695981039346656037u;

	for (int64_t i = 0; n <= MOST_SHOWN && i < n; i++) {
		if (i > 0)
			putchar(' ');
		put_value(x, i);
	}
	for (int64_t i = 0; n > MOST_SHOWN && i < n; i++) {
		uint64_t bits;

		memcpy(&bits, (const char *)ebb_data(x) + 8 * i, sizeof bits);
		for (int k = 0; k < 8; k++)
			hash = (hash ^ (bits >> (8 * k) & 0xff)) * 1099511628211u;
	}
	if (n > MOST_SHOWN)
		printf("fnv1a %016" PRIx64, hash);
}

/* False if the entry has a readable type but cannot be read. */
static bool show_entry(const ebb_archive *a, int64_t index)
{
	ebb_file_dtype dtype = ebb_archive_dtype_at(a, index);
	ebb_shape shape = ebb_archive_shape_at(a, index);
	const char *name = ebb_archive_name_at(a, index);
	ebb_error e = {0};
	ebb_tensor *x;

	put_text(name);
	printf("\t%s\t[", ebb_file_dtype_name(dtype));
	for (int i = 0; i < shape.ndim; i++)
		printf("%s%" PRId64, i ? "," : "", shape.dims[i]);
	printf("]\t");
	x = ebb_archive_tensor(a, name, is_whole(dtype) ? EBB_I64 : EBB_F64, &e);
	if (x)
		put_values(x);
	else
		put_text(e.message);
	putchar('\n');
	ebb_tensor_free(x);
	return x || dtype == EBB_FILE_OTHER || (dtype == EBB_FILE_U64 && e.status != EBB_BAD_FILE);
}

int main(int argc, char **argv)
{
	ebb_error e = {0};
	ebb_archive *a;
	int status = EXIT_SUCCESS;

	if (argc < 2)
		return fprintf(stderr, "show FILE [MOST_HEADER]\n"), 2;
	a = ebb_archive_read(argv[1], .most_header = argc > 2 ? atoll(argv[2]) : 0, .error = &e);
	if (!a)
		return printf("%s\n", e.message), EXIT_FAILURE;
	for (int64_t i = 0; i < ebb_archive_count(a); i++)
		if (!show_entry(a, i))
			status = 3;
	for (int64_t i = 0; i < ebb_archive_metadata_count(a); i++) {
		put_text(ebb_archive_metadata_key_at(a, i));
		printf("\t=\t");
		put_text(ebb_archive_metadata_at(a, i));
		putchar('\n');
	}
	ebb_archive_free(a);
	return status;
}
