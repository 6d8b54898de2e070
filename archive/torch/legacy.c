/*
 * legacy.c - files of torch.save before PyTorch 1.6, and later with
 * _use_new_zipfile_serialization=False: five pickles in sequence (a magic number, a version, the
 * system, the object, the keys of its storages), and then the storages.
 *
 * Numbers in storages are little-endian on every machine, regardless of the third pickle.
 */
#include <string.h>

#include "archive/torch/torch.h"

typedef struct legacy {
	ebb_torch t;
	ebb_input *in;
	int64_t at;
} legacy;

static bool refuse(legacy *l, const char *text)
{
	return ebb_archive_refuse(l->t.heap.a, l->t.heap.e, "%s", text);
}

/* Loads the next pickle of the file. */
static ebb_py *load(legacy *l, ebb_pickle *p, const char *what)
{
	ebb_py_heap *h = &l->t.heap;
	int64_t most = h->a->most_header - h->a->header_bytes;
	int64_t n = ebb_pickle_measure(h->a, l->in, what, l->at, most, h->e);
	uint8_t *bytes;

	*p = (ebb_pickle){.heap = h, .what = what, .size = n, .origin = l->at};
	if (n < 0 || !ebb_archive_expect(h->a, n, what, h->e))
		return NULL;
	bytes = ebb_py_take(h, ebb_bytes_of(n, 1));
	if (!bytes || !ebb_input_read(l->in, l->at, bytes, n, what, h->e))
		return NULL;
	p->bytes = bytes;
	l->at += n;
	return ebb_pickle_load(p);
}

/* ---- The beginning -------------------------------------------------------------------------- */

/* Whether the file has the format of PyTorch 0.1: a tar file, with its magic at byte 257. */
static bool is_tar(legacy *l, bool *tar)
{
	char mark[5];

	*tar = false;
	if (l->in->size < 512)
		return true;
	if (!ebb_input_read(l->in, 257, mark, sizeof mark, "a tar file", l->t.heap.e))
		return false;
	*tar = memcmp(mark, "ustar", sizeof mark) == 0;
	return true;
}

static bool is_magic(const ebb_py *x)
{
	static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

	return x->kind == EBB_PY_LONG && x->n == sizeof magic &&
	       memcmp(x->bytes, magic, sizeof magic) == 0;
}

static bool is_version(const ebb_py *x)
{
	return x->kind == EBB_PY_INT && x->i == 1001;
}

static bool is_system(const ebb_py *x)
{
	return x->kind == EBB_PY_DICT;
}

/* Loads one of the pickles before the object, and checks it with is. */
static bool expect(legacy *l, const char *what, bool (*is)(const ebb_py *x), const char *otherwise)
{
	ebb_pickle p;
	ebb_py *x = load(l, &p, what);
	bool ok = x && (is(x) || refuse(l, otherwise));

	ebb_pickle_free(&p);
	return ok;
}

static bool read_beginning(legacy *l)
{
	bool tar;

	if (!is_tar(l, &tar))
		return false;
	if (tar)
		return refuse(l, "a tar file, as PyTorch 0.1 wrote: load it with a newer PyTorch, "
				 "and save it "
				 "again");
	return expect(l, "the magic number", is_magic,
		       "a pickle that torch.save did not write: it does not begin with PyTorch's "
		       "magic "
		       "number") &&
	       expect(l, "the version", is_version, "a version of the format that is not 1001") &&
	       expect(l, "the description of the system", is_system,
		       "no description of the system where PyTorch writes one");
}

/* ---- Storages ------------------------------------------------------------------------------- */

static bool refuse_storage(legacy *l, const ebb_torch_storage *s, const char *text)
{
	char key[80];

	return ebb_archive_refuse(l->t.heap.a, l->t.heap.e, "storage \"%s\" %s",
		ebb_printable((const char *)s->key, s->key_bytes, key, sizeof key), text);
}

/* Collects the distinct storages that the object refers to: the pickle names a storage once per
 * tensor. */
static bool collect(legacy *l, const ebb_pickle *p)
{
	ebb_torch *t = &l->t;
	int64_t kept = 0;

	t->storage = ebb_py_take(&t->heap, ebb_bytes_of(p->storages + 1, sizeof *t->storage));
	if (!t->storage)
		return false;
	for (; t->storages < p->storages; t->storages++) {
		const ebb_py *x = p->storage[t->storages];

		t->storage[t->storages] = (ebb_torch_storage){.key = x->item[2]->bytes,
			.key_bytes = x->item[2]->n,
			.element = ebb_py_named(x->item[1])->size,
			.count = x->item[4]->i};
	}
	ebb_torch_sort(t);
	for (int64_t i = 0; i < t->storages; i++) {
		ebb_torch_storage *x = &t->storage[i], *last = kept ? &t->storage[kept - 1] : NULL;

		if (!last || !ebb_torch_same(last, x))
			t->storage[kept++] = *x;
		else if (last->element != x->element || last->count != x->count)
			return refuse_storage(l, x, "is used with different sizes");
	}
	t->storages = kept;
	return true;
}

/* Reads the position of one storage: the number of its elements in 8 bytes, then the elements. */
static bool place(legacy *l, ebb_torch_storage *s)
{
	uint8_t bytes[8];
	uint64_t count;

	if (s->present)
		return refuse_storage(l, s, "is listed twice");
	if (!ebb_input_read(
		    l->in, l->at, bytes, sizeof bytes, "the size of a storage", l->t.heap.e))
		return false;
	l->at += (int64_t)sizeof bytes;
	count = ebb_little_endian(bytes, sizeof bytes);
	if (count != (uint64_t)s->count)
		return refuse_storage(l, s, "has another number of elements than its tensors say");
	if (s->count > (l->in->size - l->at) / s->element)
		return refuse_storage(l, s, "is truncated");
	s->blob = ebb_blob_of_input(l->in, l->at, s->count * s->element);
	s->present = true;
	l->at += s->blob.size;
	return true;
}

static bool place_all(legacy *l, const ebb_py *keys)
{
	if (keys->kind != EBB_PY_LIST)
		return refuse(l, "no list of storages after the object");
	for (uint32_t i = 0; i < keys->n; i++) {
		const ebb_py *key = keys->item[i];
		ebb_torch_storage *s = key->kind == EBB_PY_TEXT ? ebb_torch_find(&l->t, key) : NULL;

		if (!s)
			return refuse(l, "a storage is listed that no tensor uses");
		if (!place(l, s))
			return false;
	}
	return l->at == l->in->size || refuse(l, "bytes after the last storage");
}

/* ---- The file ------------------------------------------------------------------------------- */

static bool read_object(legacy *l)
{
	ebb_pickle object, list = {.heap = &l->t.heap};
	ebb_py *root = load(l, &object, l->t.what), *keys;
	bool ok = root && collect(l, &object) && (keys = load(l, &list, "the list of storages")) &&
	          place_all(l, keys) && ebb_torch_collect(&l->t, root, object.size);

	ebb_pickle_free(&list);
	ebb_pickle_free(&object);
	return ok;
}

bool ebb_read_torch_legacy(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	legacy l = {.t = {.what = "the pickle"}, .in = in};
	bool ok;

	ebb_py_begin(&l.t.heap, a, e);
	ok = read_beginning(&l) && read_object(&l);
	ebb_py_end(&l.t.heap);
	return ok;
}
