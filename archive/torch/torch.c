/*
 * torch.c - files of torch.save since PyTorch 1.6: a zip file with a pickle and one member per
 * storage.
 */
#include <string.h>

#include "archive/torch/torch.h"

/* The members below the folder that contains all members.  ebb_zip_open has refused members with
 * the same name. */
typedef struct members {
	const ebb_zip *zip;
	size_t prefix; /* length of "archive/" */
	int64_t pickle, byteorder, version, constants;
} members;

static const char *const PICKLE = "data.pkl";
/* The newest version of PyTorch's reader, caffe2/serialize/versions.h. */
enum { NEWEST_VERSION = 10 };

static bool refuse(ebb_torch *t, const char *text)
{
	return ebb_archive_refuse(t->heap.a, t->heap.e, "%s", text);
}

/* ---- Members -------------------------------------------------------------------------------- */

static void sort_out(ebb_torch *t, members *m, ebb_zip *zip, int64_t index)
{
	const char *name = ebb_zip_name(zip, index);

	if (strncmp(name, ebb_zip_name(zip, 0), m->prefix) != 0)
		return;
	name += m->prefix;
	if (strcmp(name, PICKLE) == 0)
		m->pickle = index;
	else if (strcmp(name, "byteorder") == 0)
		m->byteorder = index;
	else if (strcmp(name, "version") == 0)
		m->version = index;
	else if (strcmp(name, "constants.pkl") == 0)
		m->constants = index;
	else if (strncmp(name, "data/", 5) == 0)
		t->storage[t->storages++] = (ebb_torch_storage){.key = (const uint8_t *)name + 5,
			.key_bytes = (uint32_t)strlen(name + 5),
			.present = true,
			.blob = ebb_blob_of_zip(zip, index)};
}

static bool find_members(ebb_torch *t, members *m, ebb_zip *zip)
{
	int64_t count = ebb_zip_count(zip);
	const char *slash = count > 0 ? strchr(ebb_zip_name(zip, 0), '/') : NULL;

	if (!slash)
		return refuse(t, "a zip file without a folder, expected ARCHIVE/data.pkl in it");
	m->prefix = (size_t)(slash - ebb_zip_name(zip, 0)) + 1;
	t->storage = ebb_py_take(&t->heap, ebb_bytes_of(count, sizeof *t->storage));
	if (!t->storage)
		return false;
	for (int64_t i = 0; i < count; i++)
		sort_out(t, m, zip, i);
	ebb_torch_sort(t);
	return true;
}

/* ---- Small members -------------------------------------------------------------------------- */

/* Reads a small member as text, without its line end. */
static bool text_of(ebb_torch *t, ebb_zip *zip, int64_t index, char *text, size_t size)
{
	ebb_blob b = ebb_blob_of_zip(zip, index);
	int64_t n = b.size < (int64_t)size ? b.size : (int64_t)size - 1;

	if (n > 0 && !b.read(&b, 0, text, n, t->heap.e))
		return false;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	return true;
}

static bool check_version(ebb_torch *t, const members *m, ebb_zip *zip)
{
	char text[24], shown[24];
	int version = 0;

	if (m->version < 0)
		return true;
	if (!text_of(t, zip, m->version, text, sizeof text))
		return false;
	for (const char *c = text; *c; c++)
		version = *c >= '0' && *c <= '9' && version <= NEWEST_VERSION
		                  ? 10 * version + (*c - '0')
		                  : NEWEST_VERSION + 1;
	return (version > 0 && version <= NEWEST_VERSION) ||
	       ebb_archive_refuse(t->heap.a, t->heap.e,
		       "version \"%s\" of the format, expected 1 to %d",
		       ebb_printable(text, strlen(text), shown, sizeof shown), NEWEST_VERSION);
}

/* A file without the member is from a version that wrote only little-endian files. */
static bool read_byteorder(ebb_torch *t, const members *m, ebb_zip *zip)
{
	char text[16], shown[16];

	if (m->byteorder < 0)
		return true;
	if (!text_of(t, zip, m->byteorder, text, sizeof text))
		return false;
	t->big_endian = strcmp(text, "big") == 0;
	return t->big_endian || strcmp(text, "little") == 0 ||
	       ebb_archive_refuse(t->heap.a, t->heap.e,
		       "byte order \"%s\", expected \"little\" or \"big\"",
		       ebb_printable(text, strlen(text), shown, sizeof shown));
}

static bool read_pickle(ebb_torch *t, ebb_zip *zip, int64_t index)
{
	ebb_blob b = ebb_blob_of_zip(zip, index);
	ebb_pickle p = {.heap = &t->heap, .what = PICKLE, .size = b.size};
	uint8_t *bytes;
	ebb_py *root;
	bool ok;

	if (!ebb_archive_expect(t->heap.a, b.size, PICKLE, t->heap.e))
		return false;
	bytes = ebb_py_take(&t->heap, b.size > 0 ? ebb_bytes_of(b.size, 1) : 1);
	if (!bytes || (b.size > 0 && !b.read(&b, 0, bytes, b.size, t->heap.e)))
		return false;
	p.bytes = bytes;
	root = ebb_pickle_load(&p);
	ok = root && ebb_torch_collect(t, root, b.size);
	ebb_pickle_free(&p);
	return ok;
}

static bool read_zip(ebb_torch *t, ebb_zip *zip)
{
	members m = {.pickle = -1, .byteorder = -1, .version = -1, .constants = -1};

	if (!find_members(t, &m, zip))
		return false;
	if (m.constants >= 0)
		return refuse(t,
			"a TorchScript program (torch.jit.save), expected tensors: save them with "
			"torch.save(model.state_dict(), path)");
	if (m.pickle < 0)
		return refuse(
			t, "a zip file without ARCHIVE/data.pkl, expected what torch.save writes");
	return check_version(t, &m, zip) && read_byteorder(t, &m, zip) &&
	       read_pickle(t, zip, m.pickle);
}

bool ebb_read_torch_zip(ebb_archive *a, ebb_zip *zip, ebb_error *e)
{
	ebb_torch t = {.what = PICKLE};
	bool ok;

	ebb_py_begin(&t.heap, a, e);
	ok = read_zip(&t, zip);
	ebb_py_end(&t.heap);
	return ok;
}
