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

/*
 * Checks whether any of up to eight objects has an error.  Arguments are tapes, parameter stores,
 * optimizers, loaders, savers, augmentations and ebb_error *.  A NULL optimizer, saver or loader
 * counts as an error, because its constructor has failed.  Any other argument may be NULL.
 *
 *	if (!ebb_ok(t, p, opt, loader))
 *		return fprintf(stderr, "%s\n", ebb_first_error(t, p, opt, loader)->message), 1;
 */
#ifndef __cplusplus
/* The error that happened first, or NULL. */
#define ebb_first_error(...)                                                                       \
	EBB_FIRST_ERROR_(__VA_ARGS__, EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_,       \
		EBB_NONE_, EBB_NONE_, EBB_NONE_, EBB_NONE_)
#define ebb_ok(...) (ebb_first_error(__VA_ARGS__) == NULL)

/* A ninth argument does not compile, because it takes the place of too_many. */
struct ebb_none_;
#define EBB_NONE_ ((const struct ebb_none_ *)NULL)
#define EBB_FIRST_ERROR_(a, b, c, d, e, f, g, h, too_many, ...)                                    \
	ebb_earliest_error(_Generic((too_many), const struct ebb_none_ * : 8),                     \
		(const ebb_error *const[]){EBB_ERROR_OF_(a), EBB_ERROR_OF_(b), EBB_ERROR_OF_(c),   \
			EBB_ERROR_OF_(d), EBB_ERROR_OF_(e), EBB_ERROR_OF_(f), EBB_ERROR_OF_(g),    \
			EBB_ERROR_OF_(h)})
#define EBB_ERROR_OF_(x)                                                                           \
	_Generic((x), ebb_tape *: ebb_tape_error, const ebb_tape *: ebb_tape_error,                \
		ebb_params *: ebb_params_error, const ebb_params *: ebb_params_error,              \
		ebb_optim *: ebb_optim_error, ebb_loader *: ebb_loader_error,                      \
		ebb_augment *: ebb_augment_error, ebb_saver *: ebb_saver_error,                    \
		ebb_error *: ebb_error_itself, const ebb_error *: ebb_error_itself,                \
		const struct ebb_none_ *: ebb_no_error_)(x)
static inline const ebb_error *ebb_no_error_(const struct ebb_none_ *none)
{
	(void)none;
	return NULL;
}
static inline const ebb_error *ebb_error_itself(const ebb_error *e)
{
	return e;
}
#endif

#endif
