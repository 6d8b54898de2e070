/* Reads safetensors files: 8 bytes of header length, a JSON header, and the tensors' bytes. */
#include "golden.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void *read_all(const char *path, size_t *size, ebb_error *error)
{
	FILE *f = fopen(path, "rb");
	char *bytes = NULL;
	long end;

	if (!f) {
		ebb_error_set(error, EBB_BAD_FILE, NULL, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if (!fseek(f, 0, SEEK_END) && (end = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
		*size = (size_t)end;
		bytes = malloc(*size + 1);
		if (bytes && fread(bytes, 1, *size, f) != *size) {
			free(bytes);
			bytes = NULL;
		}
	}
	fclose(f);
	if (!bytes)
		ebb_error_set(error, EBB_BAD_FILE, NULL, "%s: cannot be read", path);
	return bytes;
}

static const char *read_metadata(golden_case *c, json_t *metadata)
{
	const char *key;
	json_t *value;

	json_object_foreach(metadata, key, value)
	{
		if (!json_is_string(value))
			return "a metadata value is not a string";
		if (!strcmp(key, "op")) {
			c->op = json_string_value(value);
			continue;
		}
		if (c->options.n == GOLDEN_MAX_OPTIONS)
			return "too many metadata keys";
		c->options.option[c->options.n++] =
			(golden_option){key, json_string_value(value), false};
	}
	return NULL;
}

static const char *read_shape(json_t *shape, golden_tensor *out)
{
	size_t i;
	json_t *dim;

	if (!json_is_array(shape) || json_array_size(shape) > EBB_MAX_DIMS)
		return "shape";
	out->count = 1;
	json_array_foreach(shape, i, dim)
	{
		int64_t d = json_is_integer(dim) ? json_integer_value(dim) : -1;

		if (d < 0 || (d > 0 && out->count > INT64_MAX / 8 / d))
			return "shape";
		out->shape.dims[out->shape.ndim++] = d;
		out->count *= d;
	}
	return NULL;
}

static size_t bytes_of(const golden_tensor *x)
{
	return (size_t)x->count * ebb_dtype_size(x->dtype);
}

static size_t aligned_bytes(const golden_tensor *x)
{
	return (bytes_of(x) + 7) / 8 * 8;
}

/* n values of that many bytes each, the least significant one first, as this machine has them. */
static void *take_little_endian(char *to, const char *from, size_t n, size_t bytes)
{
	const uint16_t one = 1;
	bool turned = *(const char *)&one == 0;

	for (size_t i = 0; i < n * bytes; i += bytes)
		for (size_t k = 0; k < bytes; k++)
			to[i + k] = from[i + (turned ? bytes - 1 - k : k)];
	return to;
}

/* Returns what is wrong, or NULL.  The values are moved to where they are aligned, left bytes of
 * room. */
static const char *read_tensor(json_t *entry, const char *data, size_t size, char *aligned,
	size_t left, golden_tensor *out)
{
	const char *dtype = json_string_value(json_object_get(entry, "dtype"));
	json_t *offsets = json_object_get(entry, "data_offsets");
	json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
	const char *wrong = read_shape(json_object_get(entry, "shape"), out);
	json_int_t begin, end;

	if (wrong)
		return wrong;
	if (dtype && !strcmp(dtype, "F64"))
		out->dtype = EBB_F64;
	else if (dtype && !strcmp(dtype, "F32"))
		out->dtype = EBB_F32;
	else if (dtype && !strcmp(dtype, "I64"))
		out->dtype = EBB_I64;
	else
		return "dtype (F64, F32 and I64 are known)";
	if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
		return "data_offsets";
	begin = json_integer_value(first);
	end = json_integer_value(last);
	if (begin < 0 || end < begin || (uint64_t)end > size ||
		(size_t)(end - begin) != bytes_of(out))
		return "data_offsets";
	if (aligned_bytes(out) > left)
		return "overlapping data";
	out->values = take_little_endian(
		aligned, data + begin, (size_t)out->count, ebb_dtype_size(out->dtype));
	return NULL;
}

static bool fail(
	golden_case *c, const char *path, const char *what, const char *name, ebb_error *error)
{
	ebb_error_set(error, EBB_BAD_FILE, NULL, "%s: %s%s%s", path, what, name ? " of " : "",
		name ? name : "");
	golden_unload(c);
	return false;
}

bool golden_load(const char *path, golden_case *c, ebb_error *error)
{
	size_t size = 0, room;
	uint64_t header = 0;
	char *file = read_all(path, &size, error), *aligned;
	const char *name, *wrong;
	json_t *entry;
	json_error_t json_error;

	*c = (golden_case){0};
	if (!file)
		return false;
	if (size < 8) {
		free(file);
		return fail(c, path, "shorter than a header", NULL, error);
	}
	for (int i = 7; i >= 0; i--)
		header = header << 8 | (unsigned char)file[i];
	if (header <= size - 8)
		c->json = json_loadb(file + 8, (size_t)header, JSON_REJECT_DUPLICATES, &json_error);
	if (!json_is_object((json_t *)c->json)) {
		free(file);
		return fail(
			c, path, "the header is not a JSON object within the file", NULL, error);
	}
	size -= 8 + (size_t)header;
	c->tensors = calloc(json_object_size(c->json), sizeof *c->tensors);
	room = size + 8 * json_object_size(c->json);
	c->data = aligned = malloc(room);
	wrong = c->tensors && aligned ? read_metadata(c, json_object_get(c->json, "__metadata__"))
	                              : "no memory";
	name = NULL;
	if (!wrong) {
		size_t left = room;

		json_object_foreach((json_t *)c->json, name, entry)
		{
			golden_tensor *x = &c->tensors[c->n];

			if (!strcmp(name, "__metadata__"))
				continue;
			x->name = name;
			wrong = read_tensor(
				entry, file + 8 + header, size, aligned + (room - left), left, x);
			if (wrong)
				break;
			left -= aligned_bytes(x);
			c->n++;
		}
	}
	free(file);
	return wrong ? fail(c, path, wrong, name, error) : true;
}

void golden_unload(golden_case *c)
{
	json_decref(c->json);
	free(c->tensors);
	free(c->data);
	*c = (golden_case){0};
}

const golden_tensor *golden_find(const golden_case *c, const char *prefix, const char *suffix)
{
	size_t n = strlen(prefix);

	for (int i = 0; i < c->n; i++) {
		const char *name = c->tensors[i].name;

		if (!strncmp(name, prefix, n) && name[n] == '.' && !strcmp(name + n + 1, suffix))
			return &c->tensors[i];
	}
	return NULL;
}

const golden_tensor *golden_find_numbered(const golden_case *c, const char *prefix, int k)
{
	char number[16];

	snprintf(number, sizeof number, "%d", k);
	return golden_find(c, prefix, number);
}
