/*
 * optim.h - optimizers over a parameter store, learning-rate schedules, gradient clipping.
 *
 * Formulas, names and defaults are PyTorch's.  A number left out takes its default; EBB_ZERO says a
 * real zero.
 */
#ifndef EBB_OPTIM_H
#define EBB_OPTIM_H

#include "../archive/archive.h"
#include "../autograd/autograd.h"
#include "../nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Optimizers (optim.c) ----------------------------------------------------------------------
 *
 * Each is made over a store, or a view of one, and updates the parameters that are not frozen and
 * have a gradient; the others, and their state, stay as they are.  NULL on failure, with the error
 * in the store: a number out of its range or no memory.  State is allocated when the optimizer is
 * made, so that steps allocate nothing (parameters added later get theirs at the next step).
 * .check_finite: a step refuses gradients with a NaN or an infinity. */

typedef struct ebb_optim ebb_optim;

/* g += weight_decay*w; m = momentum*m + g (m = g at first); w -= lr*m, with .nesterov
 * w -= lr*(g + momentum*m) (Sutskever et al. 2013), which needs a momentum.  lr defaults to 1e-3,
 * the others to 0. */
typedef struct ebb_sgd_args {
	ebb_params *p;
	double lr, momentum, weight_decay;
	bool nesterov;
	bool check_finite;
	const char *site;
} ebb_sgd_args;
EBB_API ebb_optim *ebb_sgd(const ebb_sgd_args *a);

/* m = b1*m + (1-b1)*g; v = b2*v + (1-b2)*g^2; w -= lr * m/(1-b1^k) / (sqrt(v/(1-b2^k)) + eps) at
 * the parameter's k-th step (Kingma & Ba 2015).  lr 1e-3, betas {0.9, 0.999}, eps 1e-8.
 * weight_decay: adam adds weight_decay*w to g (default 0); adamw first shrinks w by
 * lr*weight_decay*w (default 1e-2; Loshchilov & Hutter 2019). */
typedef struct ebb_adam_args {
	ebb_params *p;
	double lr, betas[2], eps, weight_decay;
	bool check_finite;
	const char *site;
} ebb_adam_args;
EBB_API ebb_optim *ebb_adam(const ebb_adam_args *a);
EBB_API ebb_optim *ebb_adamw(const ebb_adam_args *a);

/* g += weight_decay*w; v = alpha*v + (1-alpha)*g^2; u = momentum*u + g/(sqrt(v)+eps); w -= lr*u
 * (Tieleman & Hinton 2012).  lr 1e-2, alpha 0.99, eps 1e-8, momentum and weight_decay 0. */
typedef struct ebb_rmsprop_args {
	ebb_params *p;
	double lr, alpha, eps, momentum, weight_decay;
	bool check_finite;
	const char *site;
} ebb_rmsprop_args;
EBB_API ebb_optim *ebb_rmsprop(const ebb_rmsprop_args *a);

/* Frees the optimizer, not the store; either may be freed first. */
EBB_API void ebb_optim_free(ebb_optim *o);

/* One step with the gradients of the store.  False, and nothing is changed, if no parameter has a
 * gradient (no ebb_backward succeeded since the last ebb_params_zero_grad), if .check_finite finds
 * a NaN or an infinity, if there is no memory, or after an earlier error: it stays until
 * ebb_optim_clear_error. */
EBB_API bool ebb_optim_step(ebb_optim *o);
EBB_API int64_t ebb_optim_steps(const ebb_optim *o); /* steps taken */
/* The base rate.  False (an error in o) if it is negative or not finite. */
EBB_API bool ebb_optim_set_lr(ebb_optim *o, double lr);
EBB_API double ebb_optim_lr(const ebb_optim *o); /* NaN for NULL */
/* Parameters whose names (below the optimizer's store) match the glob get lr*lr_scale and
 * weight_decay*decay_scale: "*.bias", 1, 0 leaves biases without decay.  The last match holds.
 * Returns how many parameters matched, -1 (an error in o) for a negative or not finite scale.
 * Concerns the parameters that exist now. */
EBB_API int64_t ebb_optim_scale(
	ebb_optim *o, const char *glob, double lr_scale, double decay_scale);

/* The optimizer's first error, or NULL if there was none.  For a NULL optimizer: that there is
 * none. */
EBB_API const ebb_error *ebb_optim_error(const ebb_optim *o);
EBB_API void ebb_optim_clear_error(ebb_optim *o);

/* ---- To archives and back (state.c)
 * -----------------------------------------------------------
 *
 * What an optimizer keeps, below a prefix ("optimizer."), by the names of the parameters below
 * its store: NAME.momentum_buffer, .exp_avg, .exp_avg_sq and .square_avg (PyTorch's names, of
 * the parameters' type and shape), NAME.step, and NAME.lr_scale and .decay_scale where they are
 * not 1; the rate lr, and steps.  The metadata "optimizer" is "adam", and so on.  A saver
 * (training.h) does all this.
 *
 * What an optimizer was made with (weight_decay, momentum, nesterov, betas, eps, alpha) is in
 * the archive to be compared: another value is an error, since steps would then differ from
 * those of the run that was saved.  The rate and the scales, which a program may change at any
 * step, are restored. */

/* Adds it to an archive, which refers to the optimizer's memory until it is written or freed. 
 * False (an error in e) for an optimizer with an error, and without memory. */
EBB_API bool ebb_optim_put(ebb_optim *o, ebb_archive *a, const char *prefix, ebb_error *e);
/* Whether the optimizer can take all of it, and it is all that the optimizer has: the algorithm,
 * its options, every parameter's state with its shape and type.  Else e says what is wrong, as
 * much as its message holds.  Changes nothing. */
EBB_API bool ebb_optim_fits(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e);
/* Takes it.  False with an error as above, and nothing is changed; only if the file fails while
 * values are read, or there is no memory, are they lost, and the optimizer has that error: it
 * makes no step. */
EBB_API bool ebb_optim_take(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- Clipping (clip.c) ---------------------------------------------------------------------- */

/* Scales all gradients by max_norm/(norm + 1e-6) if that is below 1, norm the 2-norm of all
 * together (Pascanu et al. 2013).  Returns the norm before.  A norm that is not finite changes
 * nothing; a max_norm that is not positive is an error in the store and gives NaN. */
EBB_API double ebb_clip_grad_norm(ebb_params *p, double max_norm);
/* Clamps every element of every gradient to [-limit, limit]; NaN stays.  A limit that is not
 * positive is an error in the store. */
EBB_API bool ebb_clip_grad_value(ebb_params *p, double limit);

/* ---- Schedules (schedule.c) --------------------------------------------------------------------
 *
 * Pure functions of the step, from 0: factors of a base rate, so that they compose by
 * multiplication: 0.1 * ebb_schedule_warmup(i, 500) * ebb_schedule_cosine(i, 20000, 0).  A negative
 * step counts as 0, a length below 1 as 1. */

/* gamma^floor(step/every) */
EBB_API double ebb_schedule_step(int64_t step, int64_t every, double gamma);
/* last + (1 - last)*(1 + cos(pi*min(step/steps, 1)))/2: from 1 to last (Loshchilov & Hutter 2017,
 * without restarts) */
EBB_API double ebb_schedule_cosine(int64_t step, int64_t steps, double last);
/* min((step + 1)/steps, 1) (Goyal et al. 2017) */
EBB_API double ebb_schedule_warmup(int64_t step, int64_t steps);
/* With q = warm*steps - 1 and e = steps - 1: by half a cosine from 1/start_div up to 1 at step q,
 * then down to 1/(start_div*end_div) at step e, and constant after it (Smith & Topin 2018;
 * PyTorch's OneCycleLR, whose defaults are warm 0.3, start_div 25, end_div 1e4).  0 takes these
 * defaults. */
EBB_API double ebb_schedule_one_cycle(
	int64_t step, int64_t steps, double warm, double start_div, double end_div);

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_sgd(...) ebb_sgd(&(ebb_sgd_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_adam(...) ebb_adam(&(ebb_adam_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_adamw(...) ebb_adamw(&(ebb_adam_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_rmsprop(...) ebb_rmsprop(&(ebb_rmsprop_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
