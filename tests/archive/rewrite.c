/* rewrite FROM TO [deflate | shards]: reads an archive, and writes it in the format of the name TO.
 * rewrite resnet18 TO: writes the parameters of a new ResNet-18.
 * For scripts that compare how other programs read both files. */
#include <ebb.h>
#include <stdio.h>
#include <string.h>

static bool rewrite(const char *from, const char *to, const char *how, ebb_error *e)
{
	ebb_archive *a = ebb_archive_read(from, .error = e);
	bool ok = a && ebb_archive_write(a, to, .deflate = strcmp(how, "deflate") == 0,
			       .shard_bytes = strcmp(how, "shards") == 0 ? 100000 : 0, .error = e);

	ebb_archive_free(a);
	return ok;
}

static bool save_model(const char *to, ebb_error *e)
{
	ebb_params *p = ebb_params_new(1);
	bool ok;

	ebb_resnet_new(p, 18);
	ok = ebb_params_save(p, to, .error = e);
	ebb_params_free(p);
	return ok;
}

int main(int argc, char **argv)
{
	ebb_error e = {0};
	bool ok;

	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "resnet18") == 0)
		ok = save_model(argv[2], &e);
	else
		ok = rewrite(argv[1], argv[2], argc > 3 ? argv[3] : "", &e);
	if (!ok)
		fprintf(stderr, "%s\n", e.message);
	return !ok;
}
