/*
 * state.c - the position of a loader, to archives and back.
 *
 * The order of an epoch and the draws of its augmentation depend on the seed, the epoch and the place in
 * it alone, so that two numbers are enough: no batch is made again to get to a later one.
 */
#include <string.h>

#include "archive/state.h"
#include "data/loader/internal.h"
#include "autograd/host.h"

/* What the batches of an epoch depend on, as a text. */
typedef struct setting {
	const char *name;
	char value[24];
} setting;

enum { SETTINGS = 8 };

static void settings_of(const ebb_loader *l, setting s[SETTINGS])
{
	const ebb_sampler *o = &l->sampler;
	const struct {
		const char *name;
		int64_t value;
	} number[SETTINGS - 1] = {{"images", o->total}, {"batch", l->batch},
		{"shuffle", o->shuffle}, {"balanced", o->balanced}, {"drop_last", o->drop_last},
		{"rank", o->rank}, {"world", o->world}};

	for (int i = 0; i < SETTINGS - 1; i++) {
		s[i].name = number[i].name;
		ebb_format(s[i].value, sizeof s[i].value, "%lld", (long long)number[i].value);
	}
	s[SETTINGS - 1].name = "seed";
	ebb_format(s[SETTINGS - 1].value, sizeof s->value, "%llu", (unsigned long long)l->seed);
}

static bool no_memory(const char *who, ebb_error *e)
{
	ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for a name", who);
	return false;
}

bool ebb_loader_put(const ebb_loader *l, ebb_archive *a, const char *prefix, ebb_error *e)
{
	setting set[SETTINGS];
	ebb_key k = {0};
	bool ok = true;

	if (!l || !a || !prefix || l->error.status != EBB_OK) {
		ebb_error_set(e, EBB_INVALID, NULL, "loader_put: %s",
			l && a && prefix ? l->error.message : "no loader, archive or prefix");
		return false;
	}
	settings_of(l, set);
	for (int i = 0; ok && i < SETTINGS; i++)
		ok = ebb_key_of(&k, prefix, set[i].name, "")
		             ? ebb_archive_set_metadata(a, k.text, set[i].value, e)
		             : no_memory("loader_put", e);
	ok = ok &&
	     (ebb_key_of(&k, prefix, "epoch", "") ? ebb_archive_add_i64(a, k.text, l->epoch, e)
						  : no_memory("loader_put", e));
	ok = ok && (ebb_key_of(&k, prefix, "next", "") ? ebb_archive_add_i64(a, k.text, l->next, e)
						       : no_memory("loader_put", e));
	ebb_key_free(&k);
	return ok;
}

/* Without memory for a name nothing is known of what it stands for. */
static const char *key(ebb_key *k, const char *prefix, const char *name, ebb_complaints *all)
{
	const char *full = ebb_key_of(k, prefix, name, "");

	if (!full)
		ebb_complain(all, EBB_NO_MEMORY, "no memory for a name");
	return full;
}

/* The position, if it is one of the loader's. */
static bool find(const ebb_loader *l, const ebb_archive *a, const char *prefix, int64_t *epoch,
	int64_t *next, ebb_error *e)
{
	static const int64_t MOST_EPOCHS = INT64_C(1) << 62;
	ebb_complaints all = {0};
	setting set[SETTINGS];
	ebb_key k = {0};

	if (!l || !a || !prefix) {
		ebb_error_set(e, EBB_INVALID, NULL, "loader_take: no loader, archive or prefix");
		return false;
	}
	settings_of(l, set);
	for (int i = 0; i < SETTINGS; i++)
		if (key(&k, prefix, set[i].name, &all))
			ebb_state_is(a, k.text, set[i].value, &all);
	*epoch = *next = 0;
	if (key(&k, prefix, "epoch", &all))
		ebb_state_i64(a, k.text, epoch, &all);
	if (key(&k, prefix, "next", &all))
		ebb_state_i64(a, k.text, next, &all);
	ebb_key_free(&k);
	if (*epoch < 0 || *epoch > MOST_EPOCHS || *next < 0 || *next > l->batches)
		ebb_complain(&all, EBB_INVALID,
			"%sepoch is %lld and %snext is %lld, expected a batch of %lld", prefix,
			(long long)*epoch, prefix, (long long)*next, (long long)l->batches);
	return ebb_complaints_end(&all, a, e);
}

bool ebb_loader_fits(const ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	int64_t epoch, next;

	return find(l, a, prefix, &epoch, &next, e);
}

bool ebb_loader_take(ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	int64_t epoch, next;

	if (!find(l, a, prefix, &epoch, &next, e))
		return false;
	if (ebb_loader_begin_at(l, epoch, next))
		return true;
	ebb_error_set(e, l->error.status, NULL, "%s", l->error.message);
	return false;
}
