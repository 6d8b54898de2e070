/*
 * lbfgs_state.c - the entries of L-BFGS in an archive: its memory of pairs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/host.h"
#include "optim/internal.h"

/* The entries of the memory; pair number i has the entries old_stps.i and old_dirs.i. */
static const char ACTIVE[] = "active", RO[] = "ro", SCALE[] = "H_diag", ITERATIONS[] = "n_iter",
		  PENDING_S[] = "pending.step", PENDING_Y[] = "pending.grad";
static const char *const PAIR[] = {"old_stps.", "old_dirs."};

static ebb_file_dtype file_dtype(const ebb_optim *o)
{
	return ebb_params_dtype(o->p) == EBB_F64 ? EBB_FILE_F64 : EBB_FILE_F32;
}

static const char *number(char text[24], int64_t i)
{
	ebb_snprintf(text, 24, "%lld", (long long)i);
	return text;
}

/* ---- To an archive --------------------------------------------------------------------------- */

/* The archive that entries are added to. */
typedef struct sink {
	ebb_archive *a;
	const char *prefix;
	ebb_key *key;
	ebb_error *e;
} sink;

static bool put(const sink *s, const char *name, const char *suffix, ebb_file_dtype dtype,
	ebb_shape shape, const void *values)
{
	const char *k = ebb_key_or_fail(s->key, "optim_put", s->prefix, name, suffix, s->e);

	return k && ebb_archive_add_values(s->a, k, dtype, shape, values, s->e);
}

static bool put_memory(const sink *s, const ebb_optim *o, ebb_curvature *m)
{
	ebb_file_dtype dtype = file_dtype(o);
	ebb_shape vector = EBB_SHAPE(m->n);
	char text[24];
	bool ok;

	ok = put(s, ACTIVE, "", EBB_FILE_BOOL, EBB_SHAPE(m->params), m->active) &&
	     put(s, RO, "", EBB_FILE_F64, EBB_SHAPE(m->count), m->ro) &&
	     put(s, SCALE, "", EBB_FILE_F64, EBB_SCALAR_SHAPE, &m->scale) &&
	     put(s, ITERATIONS, "", EBB_FILE_I64, EBB_SCALAR_SHAPE, &m->iterations);
	if (ok && m->pending)
		ok = put(s, PENDING_S, "", dtype, vector, ebb_pair_s(m, m->pending)) &&
		     put(s, PENDING_Y, "", dtype, vector, ebb_pair_y(m, m->pending));
	for (int64_t i = 0; ok && i < m->count; i++)
		ok = put(s, PAIR[0], number(text, i), dtype, vector, ebb_pair_s(m, m->pairs[i])) &&
		     put(s, PAIR[1], text, dtype, vector, ebb_pair_y(m, m->pairs[i]));
	return ok;
}

bool ebb_lbfgs_put(const ebb_optim *o, ebb_archive *a, const char *prefix, ebb_error *e)
{
	ebb_key k = {0};
	bool ok = !o->lbfgs->memory || put_memory(&(sink){a, prefix, &k, e}, o, o->lbfgs->memory);

	ebb_key_free(&k);
	return ok;
}

/* ---- From an archive ------------------------------------------------------------------------- */

/* The memory in an archive. */
typedef struct source {
	const ebb_optim *o;
	const ebb_archive *a;
	const char *prefix;
	ebb_key key;
	ebb_complaints *all;
	int64_t known;            /* entries that exist and fit */
	int64_t params, n, count; /* flags, elements of a vector, pairs */
	bool *active;             /* [params] */
	bool exists, pending;
} source;

static const char *key_of(source *s, const char *name, const char *suffix)
{
	return ebb_key_or_complain(&s->key, s->prefix, name, suffix, s->all);
}

static bool has(
	source *s, const char *name, const char *suffix, ebb_file_dtype dtype, ebb_shape shape)
{
	const char *k = key_of(s, name, suffix);
	bool ok = k && ebb_state_has(s->a, k, dtype, shape, s->all);

	s->known += ok;
	return ok;
}

/* The size of an entry's one axis, at most `most`; -1 with an error. */
static int64_t size_of(source *s, const char *name, ebb_file_dtype dtype, int64_t most)
{
	const char *k = key_of(s, name, "");
	int64_t i = k ? ebb_archive_find(s->a, k) : -1, n;
	ebb_shape shape;

	if (i < 0) {
		if (k)
			ebb_complain(s->all, EBB_INVALID, "\"%.100s\" is missing", k);
		return -1;
	}
	shape = ebb_archive_shape_at(s->a, i);
	n = shape.ndim == 1 ? shape.dims[0] : -1;
	if (n >= 0 && n <= most)
		return has(s, name, "", dtype, EBB_SHAPE(n)) ? n : -1;
	ebb_complain(s->all, EBB_BAD_SHAPE, "\"%.100s\" has not one axis of at most %lld elements",
		k, (long long)most);
	return -1;
}

/* Reads which parameters belong to the vectors. */
static bool read_active(source *s)
{
	ebb_error e = {0};
	const char *k;

	s->params = size_of(s, ACTIVE, EBB_FILE_BOOL, s->o->count);
	if (s->params < 0)
		return false;
	s->active = ebb_alloc_zeroed((size_t)s->params + 1);
	k = s->active ? key_of(s, ACTIVE, "") : NULL;
	if (!k) {
		ebb_complain(s->all, EBB_NO_MEMORY, "no memory for its flags");
		return false;
	}
	/* The bytes of the file may be neither 0 nor 1. */
	if (s->params > 0 && !ebb_state_read(s->a, k, s->active, &e)) {
		ebb_complain_again(s->all, s->a, &e);
		return false;
	}
	for (int64_t i = 0; i < s->params; i++) {
		s->active[i] = ((const unsigned char *)s->active)[i] != 0;
		s->n += s->active[i] ? ebb_count(s->o->slots[i].w) : 0;
	}
	return true;
}

static void check_vectors(source *s)
{
	ebb_file_dtype dtype = file_dtype(s->o);
	ebb_shape vector = EBB_SHAPE(s->n);
	const char *k = key_of(s, PENDING_S, "");
	char text[24];

	s->pending = k && ebb_archive_find(s->a, k) >= 0;
	if (s->pending) {
		has(s, PENDING_S, "", dtype, vector);
		has(s, PENDING_Y, "", dtype, vector);
	}
	for (int64_t i = 0; i < s->count; i++) {
		has(s, PAIR[0], number(text, i), dtype, vector);
		has(s, PAIR[1], text, dtype, vector);
	}
}

/* The name of entry number i without the prefix, if it is an entry of L-BFGS; else NULL. */
static const char *own_name(const source *s, int64_t i)
{
	const char *name = ebb_archive_name_at(s->a, i);
	size_t n = strlen(s->prefix);

	return strncmp(name, s->prefix, n) == 0 && ebb_lbfgs_knows(name + n) ? name + n : NULL;
}

static bool is_expected(const source *s, const char *name)
{
	char text[24];

	if (strcmp(name, PENDING_S) == 0 || strcmp(name, PENDING_Y) == 0)
		return s->pending;
	for (int k = 0; k < 2; k++) {
		size_t n = strlen(PAIR[k]);

		if (strncmp(name, PAIR[k], n) != 0)
			continue;
		for (int64_t i = 0; i < s->count; i++)
			if (strcmp(name + n, number(text, i)) == 0)
				return true;
		return false;
	}
	return true;
}

/* Reads what determines the sizes, and checks all entries. */
static void check(source *s)
{
	for (int64_t i = 0; !s->exists && i < ebb_archive_count(s->a); i++)
		s->exists = own_name(s, i);
	if (!s->exists || !read_active(s))
		return;
	s->count = size_of(s, RO, EBB_FILE_F64, s->o->lbfgs->history);
	has(s, SCALE, "", EBB_FILE_F64, EBB_SCALAR_SHAPE);
	has(s, ITERATIONS, "", EBB_FILE_I64, EBB_SCALAR_SHAPE);
	check_vectors(s);
	for (int64_t i = 0; s->count >= 0 && i < ebb_archive_count(s->a); i++) {
		const char *name = own_name(s, i);

		if (name && !is_expected(s, name))
			ebb_complain_of(s->all, name, "belongs to no pair");
	}
}

static void end(source *s)
{
	ebb_free(s->active, s->active ? (size_t)s->params + 1 : 0);
	ebb_key_free(&s->key);
}

int64_t ebb_lbfgs_check(
	const ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_complaints *all)
{
	source s = {.o = o, .a = a, .prefix = prefix, .all = all};

	check(&s);
	end(&s);
	return s.known;
}

static bool read(source *s, const char *name, const char *suffix, void *to, ebb_error *e)
{
	const char *k = ebb_key_or_fail(&s->key, "optim_take", s->prefix, name, suffix, e);

	return k && (!to || ebb_state_read(s->a, k, to, e));
}

static bool no_memory(ebb_error *e)
{
	ebb_error_set(e, EBB_NO_MEMORY, NULL, "optim_take: no memory for the state of lbfgs");
	return false;
}

/* NULL for a vector without elements, which is not read. */
static void *target(const ebb_curvature *m, void *vector)
{
	return m->n > 0 ? vector : NULL;
}

static bool read_memory(source *s, ebb_curvature *m, ebb_error *e)
{
	char text[24];

	if (!read(s, SCALE, "", &m->scale, e) || !read(s, ITERATIONS, "", &m->iterations, e) ||
		!read(s, RO, "", s->count > 0 ? m->ro : NULL, e))
		return false;
	for (int64_t i = 0; i < s->count; i++) {
		ebb_pair *p = ebb_pair_take(m);

		if (!p)
			return no_memory(e);
		m->pairs[m->count++] = p;
		if (!read(s, PAIR[0], number(text, i), target(m, ebb_pair_s(m, p)), e) ||
			!read(s, PAIR[1], text, target(m, ebb_pair_y(m, p)), e))
			return false;
	}
	if (!s->pending)
		return true;
	m->pending = ebb_pair_take(m);
	if (!m->pending)
		return no_memory(e);
	return read(s, PENDING_S, "", target(m, ebb_pair_s(m, m->pending)), e) &&
	       read(s, PENDING_Y, "", target(m, ebb_pair_y(m, m->pending)), e);
}

bool ebb_lbfgs_take(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	ebb_complaints all = {0};
	source s = {.o = o, .a = a, .prefix = prefix, .all = &all};
	ebb_curvature *m = NULL;
	bool ok;

	check(&s);
	ok = ebb_complaints_end(&all, a, e);
	if (ok && s.exists) {
		m = ebb_curvature_new(o, s.params, s.active);
		ok = m ? read_memory(&s, m, e) : no_memory(e);
	}
	end(&s);
	if (!ok) {
		ebb_curvature_free(m);
		return false;
	}
	ebb_curvature_free(o->lbfgs->memory);
	o->lbfgs->memory = m;
	return true;
}

bool ebb_lbfgs_knows(const char *name)
{
	static const char *const own[] = {ACTIVE, RO, SCALE, ITERATIONS, PENDING_S, PENDING_Y};

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strcmp(name, own[i]) == 0)
			return true;
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(PAIR[i]);

		if (strncmp(name, PAIR[i], n) == 0 && name[n] &&
			strspn(name + n, "0123456789") == strlen(name + n))
			return true;
	}
	return false;
}
