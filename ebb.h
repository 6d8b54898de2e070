/* ebb.h - the whole public interface of Ebb in one include. */
#ifndef EBB_H
#define EBB_H

#include "autograd/autograd.h"
#include "archive/archive.h"
#include "ops/ops.h"
#include "nn/nn.h"
#include "nn/weights.h"
#include "nn/models/models.h"
#include "optim/optim.h"
#include "data/data.h"
#include "flow/flow.h"
#include "training/training.h"
#include "explain/explain.h"

/*
 * Checks whether any of up to eight objects has an error.  Arguments are tapes, parameter stores,
 * optimizers, averagers, loaders, savers, augmentations and ebb_error *.  A NULL optimizer,
 * averager, saver or loader counts as an error, because its constructor has failed.  Any other
 * argument may be NULL.
 *
 *	if (!ebb_ok(t, p, opt, loader))
 *		return fprintf(stderr, "%s\n", ebb_first_error(t, p, opt, loader)->message), 1;
 */

/* ITEM(type, kind, function) for each type of object that has an error, with the function that
 * returns the error. */
#define EBB_ERROR_TYPES_(ITEM)                                                                     \
	ITEM(ebb_tape *, 1, ebb_tape_error)                                                        \
	ITEM(const ebb_tape *, 2, ebb_tape_error)                                                  \
	ITEM(ebb_params *, 3, ebb_params_error)                                                    \
	ITEM(const ebb_params *, 4, ebb_params_error)                                              \
	ITEM(ebb_optim *, 5, ebb_optim_error)                                                      \
	ITEM(ebb_averager *, 6, ebb_averager_error)                                                \
	ITEM(ebb_loader *, 7, ebb_loader_error)                                                    \
	ITEM(ebb_augment *, 8, ebb_augment_error)                                                  \
	ITEM(ebb_saver *, 9, ebb_saver_error)                                                      \
	ITEM(ebb_error *, 10, ebb_error_itself)                                                    \
	ITEM(const ebb_error *, 11, ebb_error_itself)
static inline const ebb_error *ebb_error_itself(const ebb_error *e)
{
	return e;
}

#define ebb_ok(...) (ebb_first_error(__VA_ARGS__) == NULL)
/* The error that happened first, or NULL. */
#ifdef __cplusplus
#define ebb_first_error(...) (ebb_cxx::first_error(__VA_ARGS__))

extern "C++" {
namespace ebb_cxx
{
#define EBB_ERROR_OVERLOAD_(type, kind, function)                                                  \
	inline const ebb_error *error_of(type object)                                              \
	{                                                                                          \
		return function(object);                                                           \
	}
EBB_ERROR_TYPES_(EBB_ERROR_OVERLOAD_)
#undef EBB_ERROR_OVERLOAD_

template <class... T> const ebb_error *first_error(T... objects)
{
	const ebb_error *const all[] = {error_of(objects)...};

	static_assert(sizeof...(T) <= 8, "at most eight objects");
	return ebb_earliest_error(static_cast<int>(sizeof...(T)), all);
}
} /* namespace ebb_cxx */
}
#else
#define ebb_first_error(...)                                                                       \
	EBB_FIRST_ERROR_(__VA_ARGS__, EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_,       \
		EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_)

/* A ninth argument does not compile, because it takes the place of too_many. */
struct ebb_none_;
#define EBB_NONE_ ((const struct ebb_none_ *)NULL)
#define EBB_FIRST_ERROR_(a, b, c, d, e, f, g, h, too_many, ...)                                    \
	ebb_earliest_error(_Generic((too_many), const struct ebb_none_ * : 8),                     \
		(const ebb_error *const[]){EBB_ERROR_OF_(a), EBB_ERROR_OF_(b), EBB_ERROR_OF_(c),   \
			EBB_ERROR_OF_(d), EBB_ERROR_OF_(e), EBB_ERROR_OF_(f), EBB_ERROR_OF_(g),    \
			EBB_ERROR_OF_(h)})
/* Numbers instead of functions keep the expansion short: a string of at most 4095 characters holds
 * it, as a macro that prints a condition makes it. */
#define EBB_ERROR_OF_(x)                                                                           \
	ebb_error_of_(                                                                             \
		_Generic((x)EBB_ERROR_TYPES_(EBB_ERROR_KIND_), const struct ebb_none_ * : 0), x)
#define EBB_ERROR_KIND_(type, kind, function) , type : kind
static inline const ebb_error *ebb_error_of_(int kind, const void *x)
{
#define EBB_ERROR_CASE_(type, number, function)                                                    \
	case number:                                                                               \
		return function((type)(uintptr_t)x);
	switch (kind) {
		EBB_ERROR_TYPES_(EBB_ERROR_CASE_)
	default:
		return NULL;
	}
#undef EBB_ERROR_CASE_
}
#endif

#endif
