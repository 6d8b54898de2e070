/*
 * state.c - saving and restoring the position of a loader.
 *
 * The order of an epoch and the random numbers of its augmentation depend on the seed, the epoch
 * and the position in the epoch alone.  So two numbers are enough, and no earlier batch is computed
 * again.
 */
#include <string.h>

#include "archive/state.h"
#include "data/loader/internal.h"
#include "tensor/host.h"

/* A setting that determines the batches of an epoch, as text. */
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
		ebb_snprintf(s[i].value, sizeof s[i].value, "%lld", (long long)number[i].value);
	}
	s[SETTINGS - 1].name = "seed";
	ebb_snprintf(s[SETTINGS - 1].value, sizeof s->value, "%llu", (unsigned long long)l->seed);
}

static bool put_number(ebb_archive *a, ebb_key *k, const char *prefix, const char *name,
	int64_t value, ebb_error *e)
{
	const char *full = ebb_key_or_fail(k, "loader_put", prefix, name, "", e);

	return full && ebb_archive_add_i64(a, full, value, e);
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
		ok = ebb_key_or_fail(&k, "loader_put", prefix, set[i].name, "", e) &&
		     ebb_archive_set_metadata(a, k.text, set[i].value, e);
	ok = ok && put_number(a, &k, prefix, "epoch", l->epoch, e) &&
	     put_number(a, &k, prefix, "next", l->next, e);
	ebb_key_free(&k);
	return ok;
}

/* Reads the position, and checks that it is within the loader's epoch. */
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
		if (ebb_key_or_complain(&k, prefix, set[i].name, "", &all))
			ebb_state_is(a, k.text, set[i].value, &all);
	*epoch = *next = 0;
	if (ebb_key_or_complain(&k, prefix, "epoch", "", &all))
		ebb_state_i64(a, k.text, epoch, &all);
	if (ebb_key_or_complain(&k, prefix, "next", "", &all))
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
