/*
 * shards.c - safetensors in several files (shards), with an index that maps entries to files:
 * {"metadata": {"total_size": 123}, "weight_map": {"conv1.weight":
 * "model-00001-of-00002.safetensors"}}.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/safetensors/json.h"

/* ---- Reading -------------------------------------------------------------------------------- */

/* Joins the directory of the index and a name; the result is freed with the archive. */
static char *beside(ebb_archive *a, const char *index, const char *name, ebb_error *e)
{
	const char *slash = strrchr(index, '/');
	size_t n = slash ? (size_t)(slash - index) + 1 : 0, m = strlen(name);
	char *path = ebb_archive_take(a, n + m + 1, e);

	if (path) {
		memcpy(path, index, n);
		memcpy(path + n, name, m + 1);
	}
	return path;
}

/* Checks that the index assigns the entries from number first on to this shard. */
static bool check_shard(
	const ebb_archive *a, json_t *map, const char *shard, int64_t first, ebb_error *e)
{
	char shown[80];

	for (int64_t i = first; i < a->count; i++) {
		const char *name = a->entry[i].name;
		const char *where = json_string_value(json_object_get(map, name));

		if (!where || strcmp(where, shard) != 0)
			return ebb_archive_refuse(a, e, "\"%s\" is in %s, but the index says %s%s",
				ebb_printable(name, strlen(name), shown, sizeof shown), shard,
				where ? "" : "no file", where ? where : "");
	}
	return true;
}

/* Removes metadata from number first on whose keys an earlier shard had: each shard repeats all
 * metadata of the set. */
static bool merge_metadata(ebb_archive *a, json_t *keys, int64_t first, ebb_error *e)
{
	int64_t kept = first;

	for (int64_t i = first; i < a->metadata_count; i++) {
		const char *key = a->metadata[i].key;

		if (json_object_get(keys, key))
			continue;
		if (json_object_set_new(keys, key, json_true()) != 0)
			return ebb_archive_no_memory(a, e);
		a->metadata[kept++] = a->metadata[i];
	}
	a->metadata_count = kept;
	return true;
}

/* The names of the files, and the keys of metadata, that were read so far. */
typedef struct already {
	json_t *files, *keys;
} already;

/* A shard must be in the directory of its index; a name that leads to another directory is
 * refused. */
static bool read_shard(ebb_archive *a, const char *index, json_t *map, const char *shard,
	const already *seen, ebb_error *e)
{
	int64_t first = a->count, first_metadata = a->metadata_count;
	char *path, shown[120];
	ebb_input *in;

	if (!*shard || strchr(shard, '/') || strcmp(shard, ".") == 0 || strcmp(shard, "..") == 0)
		return ebb_archive_refuse(a, e,
			"the index names \"%s\", expected a file in its own directory",
			ebb_printable(shard, strlen(shard), shown, sizeof shown));
	path = beside(a, index, shard, e);
	in = path ? ebb_archive_input(a, path, e) : NULL;
	return in && ebb_read_safetensors(a, in, e) && check_shard(a, map, shard, first, e) &&
	       merge_metadata(a, seen->keys, first_metadata, e);
}

static bool read_all(
	ebb_archive *a, const char *index, json_t *map, const already *seen, ebb_error *e)
{
	const char *name;
	json_t *shard;
	char shown[80];

	json_object_foreach(map, name, shard)
	{
		const char *file = json_string_value(shard);

		ebb_printable(name, strlen(name), shown, sizeof shown);
		if (!file)
			return ebb_archive_refuse(a, e,
				"the index has no text for \"%s\", expected a file name", shown);
		if (json_object_get(seen->files, file))
			continue;
		if (json_object_set_new(seen->files, file, json_true()) != 0)
			return ebb_archive_no_memory(a, e);
		if (!read_shard(a, index, map, file, seen, e))
			return false;
	}
	json_object_foreach(map, name, shard)
	{
		if (ebb_archive_find(a, name) < 0)
			return ebb_archive_refuse(a, e,
				"\"%s\" is not in %s, where the index puts it",
				ebb_printable(name, strlen(name), shown, sizeof shown),
				json_string_value(shard));
	}
	return true;
}

bool ebb_read_shards(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	json_t *index = ebb_json_read(a, in, 0, in->size, "an index", e);
	json_t *map = json_object_get(index, "weight_map");
	already seen = {json_object(), json_object()};
	bool ok = false;

	if (index && !json_is_object(map))
		ebb_archive_refuse(
			a, e, "is JSON without a \"weight_map\": not the index of a sharded set");
	else if (index && !(seen.files && seen.keys))
		ebb_archive_no_memory(a, e);
	else if (index)
		ok = read_all(a, in->path, map, &seen, e);
	json_decref(seen.files);
	json_decref(seen.keys);
	json_decref(index);
	return ok;
}

/* ---- Writing -------------------------------------------------------------------------------- */

typedef struct set {
	const ebb_archive *a;
	const char *path;
	/* length of path without ".safetensors"; length of its directory with the slash */
	size_t stem, directory;
	ebb_archived **entry;
	int64_t *end; /* [shards]: the end of each shard in entry */
	int64_t shards;
	/* part of the names if above 1, so that no file of an existing set is overwritten */
	int generation;
	char *text; /* a buffer for a path */
	size_t capacity;
	ebb_error *e;
} set;

static const char *shard_path(const set *s, int64_t i)
{
	int n = ebb_snprintf(s->text, s->capacity, "%.*s-%05lld-of-%05lld", (int)s->stem, s->path,
		(long long)i + 1, (long long)s->shards);

	if (s->generation > 1)
		n += ebb_snprintf(s->text + n, s->capacity - (size_t)n, "-%d", s->generation);
	ebb_snprintf(s->text + n, s->capacity - (size_t)n, ".safetensors");
	return s->text;
}

static const char *index_path(const set *s)
{
	ebb_snprintf(s->text, s->capacity, "%.*s.safetensors.index.json", (int)s->stem, s->path);
	return s->text;
}

static const char *directory_path(const set *s)
{
	ebb_snprintf(s->text, s->capacity, "%.*s", s->directory ? (int)s->directory : 1,
		s->directory ? s->path : ".");
	return s->text;
}

/* The longest wait for another writer, in tenths of a second; it may have been stopped. */
enum { MOST_WAITS = 600 };

/* Locks the directory (flock), because two writers at once would choose the same names and remove
 * each other's files.  The lock ends with its process.  If the lock is not available (fd -1, or a
 * file system without locks) the set is written without it.  False with an error after a minute. */
static bool lock_directory(const set *s, int *fd)
{
	const struct timespec tenth = {.tv_nsec = 100000000};

	*fd = open(directory_path(s), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; *fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return true;
		if (i == MOST_WAITS)
			return ebb_archive_refuse(s->a, s->e,
				"%s: another process has been writing a set into %s for a minute",
				s->path, directory_path(s));
		nanosleep(&tenth, NULL);
	}
	return true;
}

/* A child that was forked in the meantime shares the lock; this releases it there too.  If the lock
 * was not taken there is nothing to release. */
static void unlock_directory(int fd)
{
	if (fd < 0)
		return;
	flock(fd, LOCK_UN);
	close(fd);
}

/* Divides the entries into shards. */
static void divide(set *s, int64_t most)
{
	int64_t filled = 0;

	for (int64_t i = 0; i < s->a->count; i++) {
		int64_t bytes = ebb_archived_bytes(s->entry[i]);

		if (s->shards == 0 || (filled > 0 && bytes > most - filled)) {
			s->shards++;
			filled = 0;
		}
		filled += bytes;
		s->end[s->shards - 1] = i + 1;
	}
	if (s->shards == 0)
		s->end[s->shards++] = 0;
}

/* Chooses a generation whose file names are all unused. */
static void choose_generation(set *s)
{
	for (s->generation = 1;; s->generation++) {
		int64_t i = 0;

		while (i < s->shards && access(shard_path(s, i), F_OK) != 0)
			i++;
		if (i == s->shards)
			return;
	}
}

static bool write_shard(set *s, int64_t i)
{
	int64_t begin = i > 0 ? s->end[i - 1] : 0;
	ebb_output *out = ebb_output_open(shard_path(s, i), true, s->e);

	if (!out)
		return false;
	if (ebb_write_entries(s->a, s->entry + begin, s->end[i] - begin, out, s->e))
		return ebb_output_commit(out, s->e);
	ebb_output_discard(out);
	return false;
}

/* The text of the index, which the caller frees with free; NULL if there is no memory. */
static char *index_of(set *s)
{
	json_t *map = json_object(), *index;
	int64_t total = 0;
	char *text;
	bool ok = map;

	for (int64_t i = 0, k = 0; ok && i < s->shards; i++) {
		const char *name = shard_path(s, i) + s->directory;

		for (; ok && k < s->end[i]; k++) {
			ok = json_object_set_new(map, s->entry[k]->name, json_string(name)) == 0;
			total += ebb_archived_bytes(s->entry[k]);
		}
	}
	if (!ok)
		return json_decref(map), NULL;
	index = json_pack(
		"{s:{s:I},s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
	text = index ? json_dumps(index, JSON_INDENT(2)) : NULL;
	json_decref(index);
	return text;
}

/* Whether a file has exactly this text. */
static bool holds(const char *path, const char *text)
{
	int64_t n = (int64_t)strlen(text);
	ebb_input *in = ebb_input_open(path, NULL);
	char *bytes = in && in->size == n ? ebb_alloc((size_t)n) : NULL;
	bool same = bytes && ebb_input_read(in, 0, bytes, n, "index", NULL) &&
	            memcmp(bytes, text, (size_t)n) == 0;

	ebb_free(bytes, bytes ? (size_t)n : 0);
	ebb_input_close(in);
	return same;
}

/* *there: whether the index is in place.  It can be in place after a failure too, if its directory
 * could not be synchronised. */
static bool write_index(set *s, bool *there)
{
	char *text = index_of(s);
	ebb_output *out;
	bool ok;

	if (!text)
		return ebb_archive_no_memory(s->a, s->e);
	out = ebb_output_open(index_path(s), true, s->e);
	ok = out && ebb_output_write(out, text, strlen(text), s->e);
	if (ok)
		ok = ebb_output_commit(out, s->e);
	else
		ebb_output_discard(out);
	*there = ok || holds(index_path(s), text);
	free(text);
	return ok;
}

static bool skip_text(const char **name, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*name, text, n) != 0)
		return false;
	*name += n;
	return true;
}

/* Skips a number of at least this many digits. */
static bool skip_number(const char **name, size_t least)
{
	size_t n = strspn(*name, "0123456789");

	*name += n;
	return n >= least;
}

/* Whether shard_path makes this name for the set, with any numbers. */
static bool is_shard(const set *s, const char *name)
{
	size_t n = s->stem - s->directory;

	if (strncmp(name, s->path + s->directory, n) != 0)
		return false;
	name += n;
	return skip_text(&name, "-") && skip_number(&name, 5) && skip_text(&name, "-of-") &&
	       skip_number(&name, 5) && (!skip_text(&name, "-") || skip_number(&name, 1)) &&
	       strcmp(name, ".safetensors") == 0;
}

/* Removes the shards that the new index does not name: those of the replaced set, and those of
 * writes that a crash ended.  A shard that cannot be removed remains; nothing reads it. */
static void remove_others(set *s)
{
	DIR *d;

	d = opendir(directory_path(s));
	for (struct dirent *item; d && (item = readdir(d)) != NULL;) {
		int64_t i = 0;

		if (!is_shard(s, item->d_name))
			continue;
		while (i < s->shards && strcmp(shard_path(s, i) + s->directory, item->d_name) != 0)
			i++;
		if (i == s->shards)
			unlinkat(dirfd(d), item->d_name, 0);
	}
	if (d)
		closedir(d);
}

/* Removes the single file at the path, which would be read in place of the set. */
static bool remove_single(const set *s, int directory)
{
	struct stat st;

	if (lstat(s->path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
		return true;
	if (unlink(s->path) == 0)
		return directory < 0 || fsync(directory) == 0 || errno == EINVAL;
	return errno == ENOENT;
}

static bool write_locked(set *s, int directory)
{
	bool ok = true, there = false;

	choose_generation(s);
	for (int64_t i = 0; ok && i < s->shards; i++)
		ok = write_shard(s, i);
	ok = ok && write_index(s, &there);
	if (ok && !remove_single(s, directory)) {
		ebb_archive_refuse(s->a, s->e,
			"%s: the file that the set replaces cannot be removed: %s", s->path,
			ebb_reason(errno));
		ok = false;
	}
	if (ok)
		remove_others(s);
	/* Without an index nothing refers to the shards that were written. */
	for (int64_t i = 0; !there && i < s->shards; i++)
		unlink(shard_path(s, i));
	return ok;
}

static bool write_set(set *s, int64_t shard_bytes)
{
	int directory;
	bool ok = lock_directory(s, &directory);

	divide(s, shard_bytes);
	ok = ok && write_locked(s, directory);
	unlock_directory(directory);
	return ok;
}

bool ebb_write_shards(const ebb_archive *a, const char *path, int64_t shard_bytes, ebb_error *e)
{
	static const char suffix[] = ".safetensors";
	size_t n = strlen(path), m = sizeof suffix - 1;
	const char *slash = strrchr(path, '/');
	set s = {.a = a, .path = path, .stem = n, .capacity = n + 80, .e = e};
	bool ok = false;

	if (ebb_ends_in(path, suffix))
		s.stem = n - m;
	s.directory = slash ? (size_t)(slash - path) + 1 : 0;
	s.entry = ebb_archive_entries(a, e);
	s.end = ebb_alloc_zeroed(ebb_bytes_of(a->count + 1, sizeof *s.end));
	s.text = ebb_alloc(s.capacity);
	if (s.entry && s.end && s.text)
		ok = write_set(&s, shard_bytes);
	else
		ebb_archive_no_memory(a, e);
	ebb_free(s.text, s.text ? s.capacity : 0);
	ebb_free(s.end, s.end ? (size_t)(a->count + 1) * sizeof *s.end : 0);
	ebb_archive_entries_free(a, s.entry);
	return ok;
}
