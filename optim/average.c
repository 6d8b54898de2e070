/*
 * average.c - averages of the weights of a store over the steps of its training.
 *
 * An averager keeps the averages in a store of its own, whose parameter number i is the average of
 * the model's parameter number i, and likewise the buffers.
 */
#include <math.h>
#include <string.h>

#include "archive/state.h"
#include "kernels/float_state.h"
#include "nn/internal.h"
#include "optim/optim.h"

struct ebb_averager {
	ebb_params *p, *averages;
	double decay; /* 0: the equal average */
	bool warmup, buffers, swapped;
	int64_t updates;
	ebb_error error;
};

static const ebb_error NO_AVERAGER = {.status = EBB_INVALID,
	.message = "the averager is NULL: it could not be made, see ebb_params_error of its store"};

/* ---- Errors --------------------------------------------------------------------------------- */

const ebb_error *ebb_averager_error(const ebb_averager *a)
{
	if (!a)
		return &NO_AVERAGER;
	return a->error.status == EBB_OK ? NULL : &a->error;
}

void ebb_averager_clear_error(ebb_averager *a)
{
	if (a)
		a->error = (ebb_error){0};
}

/* Whether the averager and its model's store have no error; if the store has one, the averager
 * fails with it. */
static bool is_healthy(ebb_averager *a, const char *what)
{
	const ebb_error *fault;

	if (!a || a->error.status != EBB_OK)
		return false;
	fault = ebb_params_error(a->p);
	if (fault)
		ebb_error_set(&a->error, fault->status, NULL, "%s: %s", what, fault->message);
	return !fault;
}

/* ---- Making --------------------------------------------------------------------------------- */

static size_t bytes_of(const ebb_tensor *x)
{
	return (size_t)ebb_count(x) * ebb_dtype_size(ebb_dtype_of(x));
}

static bool copy_value(ebb_tensor *to, const ebb_tensor *from)
{
	size_t n = bytes_of(from);

	if (to && n > 0)
		memcpy(ebb_data_mutable(to), ebb_data(from), n);
	return to;
}

/* Adds the parameters and buffers that the averages do not have yet, with their present values. */
static bool take_tensors(ebb_averager *a)
{
	ebb_params *to = a->averages;
	bool ok = true;

	if (ebb_params_count(to) + ebb_buffers_count(to) == 0)
		ok = ebb_params_set_dtype(to, ebb_params_dtype(a->p));
	for (int64_t i = ebb_params_count(to); ok && i < ebb_params_count(a->p); i++) {
		const ebb_tensor *w = ebb_params_at(a->p, i);
		ebb_tensor *x = (ebb_params_add)(to, ebb_params_name_below(a->p, i),
			ebb_shape_of(w), EBB_INIT(EBB_INIT_ZEROS), NULL);

		ok = copy_value(x, w) && ebb_set_requires_grad(x, false);
	}
	for (int64_t i = ebb_buffers_count(to); ok && i < ebb_buffers_count(a->p); i++)
		ok = copy_value((ebb_buffers_add)(to, ebb_buffers_name_below(a->p, i),
					ebb_shape_of(ebb_buffers_at(a->p, i)), 0, NULL),
			ebb_buffers_at(a->p, i));
	return ok;
}

/* take_tensors, whose failure is the averager's error. */
static bool is_complete(ebb_averager *a, const char *what)
{
	const ebb_error *fault;

	if (take_tensors(a))
		return true;
	fault = ebb_params_error(a->averages);
	ebb_error_set(&a->error, fault->status, NULL, "%s: %s", what, fault->message);
	ebb_params_clear_error(a->averages);
	return false;
}

static ebb_averager *make(const ebb_averager *checked, const char *what, const char *site)
{
	ebb_averager *a;

	if (!checked->p || ebb_params_error(checked->p))
		return NULL;
	a = ebb_alloc_zeroed(sizeof *a);
	if (a) {
		*a = *checked;
		a->averages = ebb_params_new(0);
		if (a->averages && is_complete(a, what))
			return a;
	}
	ebb_params_fail(checked->p, EBB_NO_MEMORY, site, "%s: no memory for the averages", what);
	ebb_averager_free(a);
	return NULL;
}

ebb_averager *(ebb_ema)(const ebb_ema_args *args)
{
	ebb_averager a = {.p = args->p,
		.decay = ebb_option(args->decay, 0.999),
		.warmup = args->warmup,
		.buffers = args->buffers};

	if (!(a.decay > 0 && a.decay < 1)) {
		ebb_params_fail(args->p, EBB_INVALID, args->site,
			"ema: decay %g, expected a number > 0 and < 1", a.decay);
		return NULL;
	}
	return make(&a, "ema", args->site);
}

ebb_averager *(ebb_swa)(const ebb_swa_args *args)
{
	return make(&(ebb_averager){.p = args->p, .buffers = args->buffers}, "swa", args->site);
}

void ebb_averager_free(ebb_averager *a)
{
	if (!a)
		return;
	ebb_params_free(a->averages);
	ebb_free(a, sizeof *a);
}

/* ---- Averaging ------------------------------------------------------------------------------ */

/* The weight of the model in the next update. */
static double next_weight(const ebb_averager *a)
{
	double n = (double)a->updates, decay = a->decay;

	if (a->updates == 0)
		return 1;
	if (decay == 0)
		return 1 / (n + 1);
	if (a->warmup)
		decay = fmin(decay, (1 + n) / (10 + n));
	return 1 - decay;
}

static bool refuse_swapped(ebb_averager *a, const char *what)
{
	if (a->swapped)
		ebb_error_set(&a->error, EBB_BAD_STATE, NULL,
			"%s: the model has the averages: call ebb_averager_swap first", what);
	return !a->swapped;
}

/* average += weight*(w - average).  A copy also replaces an average that is not finite. */
static void move_towards(
	const ebb_kernels *k, ebb_tensor *average, const ebb_tensor *w, double weight)
{
	if (weight == 1) {
		copy_value(average, w);
	} else {
		void *x = ebb_data_mutable(average);

		k->binary(EBB_BINARY_lerp, ebb_count(w), x, ebb_data(w), x, weight);
	}
}

bool ebb_averager_update(ebb_averager *a)
{
	const ebb_kernels *k;
	ebb_float_state own;
	double weight;

	if (!is_healthy(a, "averager_update") || !refuse_swapped(a, "averager_update") ||
		!is_complete(a, "averager_update"))
		return false;
	k = ebb_params_dtype(a->p) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
	weight = next_weight(a);
	own = ebb_float_enter(false);
	for (int64_t i = 0; i < ebb_params_count(a->p); i++)
		move_towards(k, ebb_params_at(a->averages, i), ebb_params_at(a->p, i), weight);
	for (int64_t i = 0; i < ebb_buffers_count(a->p); i++)
		move_towards(k, ebb_buffers_at(a->averages, i), ebb_buffers_at(a->p, i),
			a->buffers ? weight : 1);
	ebb_float_leave(own);
	a->updates++;
	return true;
}

int64_t ebb_averager_updates(const ebb_averager *a)
{
	return a ? a->updates : 0;
}

ebb_params *ebb_averager_params(ebb_averager *a)
{
	return a ? a->averages : NULL;
}

/* ---- Using the averages --------------------------------------------------------------------- */

static void swap_values(ebb_tensor *a, ebb_tensor *b)
{
	char *x = ebb_data_mutable(a), *y = ebb_data_mutable(b), part[4096];
	size_t left = bytes_of(a);

	while (left > 0) {
		size_t n = left < sizeof part ? left : sizeof part;

		memcpy(part, x, n);
		memcpy(x, y, n);
		memcpy(y, part, n);
		x += n;
		y += n;
		left -= n;
	}
}

bool ebb_averager_swap(ebb_averager *a)
{
	if (!is_healthy(a, "averager_swap") || !is_complete(a, "averager_swap"))
		return false;
	for (int64_t i = 0; i < ebb_params_count(a->p); i++)
		swap_values(ebb_params_at(a->p, i), ebb_params_at(a->averages, i));
	for (int64_t i = 0; i < ebb_buffers_count(a->p); i++)
		swap_values(ebb_buffers_at(a->p, i), ebb_buffers_at(a->averages, i));
	a->swapped = !a->swapped;
	return true;
}

bool ebb_averager_is_swapped(const ebb_averager *a)
{
	return a && a->swapped;
}

/* ---- Saving and loading --------------------------------------------------------------------- */

static const char TENSORS[] = "average.", UPDATES[] = "updates";
static const char *const METHOD[] = {"decay", "warmup", "buffers"};
enum { METHOD_NUMBERS = sizeof METHOD / sizeof *METHOD };

static double method_number(const ebb_averager *a, int i)
{
	return i == 0 ? a->decay : i == 1 ? a->warmup : a->buffers;
}

/* The averages: those of the parameters, then those of the buffers. */
static int64_t tensor_count(const ebb_averager *a)
{
	return ebb_params_count(a->averages) + ebb_buffers_count(a->averages);
}

static ebb_tensor *tensor_at(const ebb_averager *a, int64_t i, const char **name)
{
	const ebb_params *p = a->averages;
	int64_t params = ebb_params_count(p);

	*name = i < params ? ebb_params_name_at(p, i) : ebb_buffers_name_at(p, i - params);
	return i < params ? ebb_params_at(p, i) : ebb_buffers_at(p, i - params);
}

static bool put_all(
	const ebb_averager *a, ebb_archive *to, const char *prefix, ebb_key *k, ebb_error *e)
{
	for (int i = 0; i < METHOD_NUMBERS; i++)
		if (!ebb_key_or_fail(k, "averager_put", prefix, METHOD[i], "", e) ||
			!ebb_archive_add_f64(to, k->text, method_number(a, i), e))
			return false;
	if (!ebb_key_or_fail(k, "averager_put", prefix, UPDATES, "", e) ||
		!ebb_archive_add_i64(to, k->text, a->updates, e))
		return false;
	for (int64_t i = 0; i < tensor_count(a); i++) {
		const char *name;
		const ebb_tensor *x = tensor_at(a, i, &name);

		if (!ebb_key_or_fail(k, "averager_put", prefix, TENSORS, name, e) ||
			!ebb_archive_add(to, k->text, x, EBB_FILE_DEFAULT, e))
			return false;
	}
	return true;
}

static bool are_given(const ebb_averager *a, const ebb_archive *b, const char *prefix,
	const char *what, ebb_error *e)
{
	if (a && b && prefix)
		return true;
	ebb_error_set(e, EBB_INVALID, NULL, "%s: no averager, archive or prefix", what);
	return false;
}

bool ebb_averager_put(ebb_averager *a, ebb_archive *to, const char *prefix, ebb_error *e)
{
	ebb_key k = {0};
	bool ok;

	if (!are_given(a, to, prefix, "averager_put", e))
		return false;
	ok = is_healthy(a, "averager_put") && is_complete(a, "averager_put");
	if (!ok)
		ebb_error_set(e, a->error.status, NULL, "averager_put: %s", a->error.message);
	else if (a->swapped)
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"averager_put: the model has the averages: call ebb_averager_swap first");
	ok = ok && !a->swapped && put_all(a, to, prefix, &k, e);
	ebb_key_free(&k);
	return ok;
}

/* Returns how many entries exist and fit. */
static int64_t check_numbers(const ebb_averager *a, const ebb_archive *from, const char *prefix,
	ebb_key *k, ebb_complaints *c)
{
	int64_t updates = 0, known = 0;

	for (int i = 0; i < METHOD_NUMBERS; i++) {
		double x = 0;

		if (!ebb_key_or_complain(k, prefix, METHOD[i], "", c) ||
			!ebb_state_f64(from, k->text, &x, c))
			continue;
		known++;
		if (x != method_number(a, i))
			ebb_complain(c, EBB_INVALID, "%.60s is %.9g, expected %.9g", k->text, x,
				method_number(a, i));
	}
	if (!ebb_key_or_complain(k, prefix, UPDATES, "", c) ||
		!ebb_state_i64(from, k->text, &updates, c))
		return known;
	/* Counting on from a larger number might overflow. */
	if (updates < 0 || updates > INT64_C(1) << 62)
		ebb_complain(c, EBB_INVALID, "\"%.100s\" is %lld, expected a number >= 0", k->text,
			(long long)updates);
	return known + 1;
}

static int64_t check_tensors(const ebb_averager *a, const ebb_archive *from, const char *prefix,
	ebb_key *k, ebb_complaints *c)
{
	int64_t known = 0;

	for (int64_t i = 0; i < tensor_count(a); i++) {
		const char *name;
		const ebb_tensor *x = tensor_at(a, i, &name);

		known += ebb_key_or_complain(k, prefix, TENSORS, name, c) &&
		         ebb_state_has_like(from, k->text, x, c);
	}
	return known;
}

/* Whether the averager has an entry of that name, which is without the prefix. */
static bool knows(const ebb_averager *a, const char *name)
{
	size_t n = sizeof TENSORS - 1;

	for (int i = 0; i < METHOD_NUMBERS; i++)
		if (strcmp(name, METHOD[i]) == 0)
			return true;
	if (strcmp(name, UPDATES) == 0)
		return true;
	return strncmp(name, TENSORS, n) == 0 && ebb_params_find(a->averages, name + n);
}

/* Reports the entries with the prefix that do not belong to the averager. */
static void check_rest(const ebb_averager *a, const ebb_archive *from, const char *prefix,
	int64_t known, ebb_complaints *c)
{
	size_t n = strlen(prefix);
	int64_t below = 0;

	for (int64_t i = 0; i < ebb_archive_count(from); i++)
		below += strncmp(ebb_archive_name_at(from, i), prefix, n) == 0;
	if (below == known)
		return;
	for (int64_t i = 0; i < ebb_archive_count(from); i++) {
		const char *name = ebb_archive_name_at(from, i);

		if (strncmp(name, prefix, n) == 0 && !knows(a, name + n))
			ebb_complain_of(c, name, "belongs to no average");
	}
}

bool ebb_averager_fits(ebb_averager *a, const ebb_archive *from, const char *prefix, ebb_error *e)
{
	ebb_complaints c = {0};
	ebb_key k = {0};
	int64_t known;

	if (!are_given(a, from, prefix, "averager_fits", e))
		return false;
	if (a->swapped) {
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"averager_fits: the model has the averages: call ebb_averager_swap first");
		return false;
	}
	if (!take_tensors(a)) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"averager_fits: no memory for the averages of new parameters");
		ebb_params_clear_error(a->averages);
		return false;
	}
	known = check_numbers(a, from, prefix, &k, &c);
	known += check_tensors(a, from, prefix, &k, &c);
	check_rest(a, from, prefix, known, &c);
	ebb_key_free(&k);
	return ebb_complaints_end(&c, from, e);
}

static bool take_all(
	ebb_averager *a, const ebb_archive *from, const char *prefix, ebb_key *k, ebb_error *e)
{
	ebb_complaints c = {0};
	int64_t updates = 0;

	for (int64_t i = 0; i < tensor_count(a); i++) {
		const char *name;
		ebb_tensor *x = tensor_at(a, i, &name);

		if (!ebb_key_or_fail(k, "averager_take", prefix, TENSORS, name, e) ||
			!ebb_archive_copy(from, k->text, x, e))
			return false;
	}
	if (!ebb_key_or_fail(k, "averager_take", prefix, UPDATES, "", e))
		return false;
	if (!ebb_state_i64(from, k->text, &updates, &c))
		return ebb_complaints_end(&c, from, e);
	a->updates = updates;
	return true;
}

bool ebb_averager_take(ebb_averager *a, const ebb_archive *from, const char *prefix, ebb_error *e)
{
	ebb_error own = {0};
	ebb_key k = {0};
	bool ok;

	if (!ebb_averager_fits(a, from, prefix, e))
		return false;
	ok = take_all(a, from, prefix, &k, &own);
	ebb_key_free(&k);
	/* Some averages may have been overwritten, so none of them may be used. */
	if (!ok) {
		ebb_error_set(&a->error, own.status, NULL, "%s", own.message);
		ebb_error_set(e, own.status, NULL, "%s", own.message);
	}
	return ok;
}
