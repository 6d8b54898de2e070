/*
 * optim.h - optimizers over a parameter store, averages of weights, learning-rate schedules, gradient
 * clipping.
 *
 * Formulas, names and defaults are PyTorch's.  A number that is left out takes its default;
 * EBB_ZERO stands for the number 0.
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
 * An optimizer belongs to a parameter store, or to a view of a store (ebb_params_sub).  A step
 * updates the parameters that are not frozen and have a gradient; other parameters and their state
 * stay unchanged.  In the formulas, w is a parameter and g its gradient.  The functions that create
 * an optimizer return NULL on failure (a number out of its range, or out of memory), with the error
 * in the store.  They allocate the state, so that steps allocate nothing; a parameter that is added
 * later gets its state at the next step.  With .check_finite, a step fails if a gradient has a NaN
 * or an infinity. */

typedef struct ebb_optim ebb_optim;

/* g += weight_decay*w; m = momentum*m + g (m = g in the first step of a parameter); w -= lr*m.
 * With .nesterov: w -= lr*(g + momentum*m) (Sutskever et al. 2013); momentum must then be > 0.
 * lr defaults to 1e-3, the others to 0. */
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

/* g += weight_decay*w; v += g^2, from v = initial_accumulator_value; w -= lr/(1 + (k-1)*lr_decay) *
 * g/(sqrt(v)+eps) at the parameter's k-th step (Duchi et al. 2011).  lr 1e-2, eps 1e-10, the others
 * 0. */
typedef struct ebb_adagrad_args {
	ebb_params *p;
	double lr, lr_decay, weight_decay, initial_accumulator_value, eps;
	bool check_finite;
	const char *site;
} ebb_adagrad_args;
EBB_API ebb_optim *ebb_adagrad(const ebb_adagrad_args *a);

/* L-BFGS, a quasi-Newton method for losses without noise: whole data sets, physics-informed networks
 * (Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 7.4 and 7.5).  A step evaluates the loss
 * several times, so it is taken by ebb_optim_step_closure, and ebb_optim_step is an error.
 *
 * Each iteration moves along d = -H g, where H approximates the inverse Hessian by the last
 * `history` changes of parameters and gradient.  EBB_STRONG_WOLFE, the default, searches for a step
 * along d that satisfies the strong Wolfe conditions with c1 = 1e-4 and c2 = 0.9 (algorithms 3.5 and
 * 3.6), from lr on; trials without a finite loss shorten the step.  EBB_FIXED_STEP takes the step
 * lr.  (PyTorch's default is the fixed step.)  The first trial of the first iteration is
 * lr*min(1, 1/sum|g|).
 *
 * lr 1, max_iter 20 iterations in a step, max_eval max_iter*5/4, tolerance_grad 1e-7,
 * tolerance_change 1e-9, history 100.  A step ends after max_iter iterations, and after an iteration
 * if max_eval evaluations were made, if the largest |g| is at most tolerance_grad, if the largest
 * change of a parameter is at most tolerance_change, or if the loss changes by less than
 * tolerance_change.
 *
 * The vectors consist of all parameters that are not frozen and have a gradient after the first
 * evaluation of a step.  If these are other parameters than in the last step, H starts anew.  The
 * memory is 6 + 2*(history + min(history, max_iter)) vectors at most, allocated as steps need it.
 * All parameters have the same lr: ebb_optim_scale is an error. */
typedef enum ebb_line_search { EBB_STRONG_WOLFE, EBB_FIXED_STEP } ebb_line_search;
typedef struct ebb_lbfgs_args {
	ebb_params *p;
	double lr;
	int64_t max_iter, max_eval;
	double tolerance_grad, tolerance_change;
	int64_t history;
	ebb_line_search line_search;
	const char *site;
} ebb_lbfgs_args;
EBB_API ebb_optim *ebb_lbfgs(const ebb_lbfgs_args *a);

/* Frees the optimizer but not the store; either may be freed first. */
EBB_API void ebb_optim_free(ebb_optim *o);

/* Takes one step with the gradients of the store.  Returns false and changes nothing if no
 * parameter has a gradient (no ebb_backward succeeded since the last ebb_params_zero_grad), if
 * .check_finite finds a NaN or an infinity, if there is no memory, or if the optimizer has an
 * earlier error, which stays until ebb_optim_clear_error. */
EBB_API bool ebb_optim_step(ebb_optim *o);
/* Computes the loss at the present parameters and calls ebb_backward.  True with the loss in *loss,
 * or false if that failed:
 *
 *	static bool closure(void *ctx, double *loss)
 *	{
 *		struct problem *p = ctx;
 *		ebb_tensor *y = loss_of(p->t, p);
 *		bool ok = ebb_backward(p->t, y);
 *
 *		*loss = ebb_item(y);
 *		ebb_tape_reset(p->t);
 *		return ok;
 *	}
 *
 * It need not call ebb_params_zero_grad, because the optimizer does. */
typedef bool (*ebb_closure)(void *ctx, double *loss);
/* Takes one step, for which the closure is called once, or by ebb_lbfgs several times with different
 * parameters.  Returns the loss of the first call, as PyTorch's step does.  Returns NaN, with an
 * error in the optimizer, for the reasons of ebb_optim_step, if the closure returns false, or, with
 * ebb_lbfgs, if the loss or its gradient at the start is not finite.  After an error the parameters and the optimizer's state are as before the step, and the
 * gradients are cleared by ebb_lbfgs.  After success the gradients are those of the last call. */
EBB_API double ebb_optim_step_closure(ebb_optim *o, ebb_closure closure, void *ctx);
EBB_API int64_t ebb_optim_steps(const ebb_optim *o); /* steps taken */
/* Sets the base learning rate.  Returns false (error in o) if it is negative or not finite. */
EBB_API bool ebb_optim_set_lr(ebb_optim *o, double lr);
EBB_API double ebb_optim_lr(const ebb_optim *o); /* NaN for NULL */
/* The parameters whose names, relative to the optimizer's store, match the glob use lr*lr_scale
 * and weight_decay*decay_scale: "*.bias", 1, 0 disables weight decay of biases.  If several calls
 * match a parameter, the last of them applies.  Returns the number of parameters that matched, or
 * -1 (error in o) if a scale is negative or not finite.  Parameters that are added later have the
 * scales 1. */
EBB_API int64_t ebb_optim_scale(
	ebb_optim *o, const char *glob, double lr_scale, double decay_scale);

/* The first error of the optimizer, or NULL if it has none.  For a NULL optimizer, an error that
 * says so. */
EBB_API const ebb_error *ebb_optim_error(const ebb_optim *o);
EBB_API void ebb_optim_clear_error(ebb_optim *o);

/* ---- Saving and loading (state.c) -------------------------------------------------------------
 *
 * These functions save the state of an optimizer as entries of an archive, and load it.  The names
 * of the entries begin with a prefix such as "optimizer.".  NAME stands for the name of a
 * parameter, relative to the optimizer's store.
 * - NAME.momentum_buffer, .exp_avg, .exp_avg_sq, .square_avg and .sum (PyTorch's names): the state,
 *   with the type and shape of the parameter;
 * - old_stps.I and old_dirs.I, ro, H_diag and n_iter (PyTorch's names), active and pending: the
 *   memory of L-BFGS;
 * - NAME.step, and NAME.lr_scale and .decay_scale where they are not 1;
 * - lr and steps; the metadata "optimizer" is the algorithm, such as "adam".
 * A saver (training.h) saves and loads all of them.
 *
 * The options of the optimizer (all arguments but lr and check_finite) are saved as well.  Loading
 * fails if an option differs, because the next steps would then differ from those of the run that
 * was saved.  The learning rate and the scales, which a program may change at any
 * step, are restored. */

/* Adds the entries to an archive, which refers to the memory of the optimizer until the archive is
 * written or freed.  Returns false (error in e) if the optimizer has an error, or if there is no
 * memory. */
EBB_API bool ebb_optim_put(ebb_optim *o, ebb_archive *a, const char *prefix, ebb_error *e);
/* Whether the optimizer can load its entries from an archive: the algorithm and the options are
 * equal, the archive has the state of every parameter, with the parameter's shape and type, and no
 * other entry has the prefix.  If not, the message of e lists the differences, as many as fit.
 * Changes nothing. */
EBB_API bool ebb_optim_fits(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e);
/* Loads the entries.  Returns false if ebb_optim_fits does, and changes nothing.  Also returns
 * false if the file fails while values are read, or if there is no memory.  The state may then be
 * lost in part: the optimizer has that error, and takes no step. */
EBB_API bool ebb_optim_take(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- Averages of weights (average.c) -----------------------------------------------------------
 *
 * An averager keeps averages of the parameters of a store, or of a view of one, over the steps of
 * the training.  The averages often generalize better than the last weights (Polyak & Juditsky
 * 1992).
 *
 *	ebb_averager *ema = ebb_ema(p, .decay = 0.999);
 *	...after each step: ebb_averager_update(ema);
 *	ebb_averager_swap(ema);     the model computes with the averages
 *	...evaluate...
 *	ebb_averager_swap(ema);     and with its own weights again
 *
 * The first update copies the parameters.  A parameter that is added later enters the averages with
 * its value at the next update.  Frozen parameters are averaged too.  The functions that create an
 * averager return NULL on failure, with the error in the store. */

typedef struct ebb_averager ebb_averager;

/* The exponential moving average: average = decay*average + (1 - decay)*w.  decay 0.999.  .warmup:
 * the decay of update k, counted from 0, is min(decay, (1 + k)/(10 + k)), so that the first weights
 * are forgotten sooner (TensorFlow's ExponentialMovingAverage with num_updates).  .buffers: buffers
 * such as running statistics are averaged like parameters; without it an update copies them
 * (PyTorch's AveragedModel with use_buffers). */
typedef struct ebb_ema_args {
	ebb_params *p;
	double decay;
	bool warmup, buffers;
	const char *site;
} ebb_ema_args;
EBB_API ebb_averager *ebb_ema(const ebb_ema_args *a);
/* The equal average of the weights at all updates, for example at the end of each of the last
 * epochs (stochastic weight averaging, Izmailov et al. 2018).  Running statistics do not belong to
 * averaged weights: compute them anew with forward passes in train mode while the averages are
 * swapped in. */
typedef struct ebb_swa_args {
	ebb_params *p;
	bool buffers;
	const char *site;
} ebb_swa_args;
EBB_API ebb_averager *ebb_swa(const ebb_swa_args *a);
/* Frees the averages but not the store; either may be freed first. */
EBB_API void ebb_averager_free(ebb_averager *a);

/* Adds the present parameters to the averages.  False, and nothing is changed, if the averages are
 * swapped in, without memory for a new parameter, or if the averager or its store has an error. */
EBB_API bool ebb_averager_update(ebb_averager *a);
EBB_API int64_t ebb_averager_updates(const ebb_averager *a); /* the number of updates */
/* Exchanges the values of the store's parameters and buffers with their averages; a second call
 * exchanges them back.  Take no optimizer step in between.  False as for ebb_averager_update. */
EBB_API bool ebb_averager_swap(ebb_averager *a);
EBB_API bool ebb_averager_is_swapped(const ebb_averager *a);
/* The store of the averages, for ebb_params_save or ebb_params_copy.  It has the names of the
 * averager's store, relative to it, and its parameters are frozen.  The averager owns it. */
EBB_API ebb_params *ebb_averager_params(ebb_averager *a);

/* The first error, or NULL.  For a NULL averager, an error that says so. */
EBB_API const ebb_error *ebb_averager_error(const ebb_averager *a);
EBB_API void ebb_averager_clear_error(ebb_averager *a);

/* Saving and loading, as for an optimizer.  The entries after the prefix are average.NAME (the
 * averages, which ebb_params_load with .prefix reads too), updates, decay (0: the equal average),
 * warmup and buffers.  Loading fails if decay, warmup or buffers differ. */
EBB_API bool ebb_averager_put(ebb_averager *a, ebb_archive *to, const char *prefix, ebb_error *e);
EBB_API bool ebb_averager_fits(
	ebb_averager *a, const ebb_archive *from, const char *prefix, ebb_error *e);
EBB_API bool ebb_averager_take(
	ebb_averager *a, const ebb_archive *from, const char *prefix, ebb_error *e);

/* ---- Clipping (clip.c) ---------------------------------------------------------------------- */

/* Scales all gradients by c = max_norm/(norm + 1e-6) if c < 1, where norm is the 2-norm of all
 * gradients together (Pascanu et al. 2013).  Returns the norm before scaling.  If the norm is
 * not finite, nothing is scaled.  A max_norm that is not positive is an error in the store, and
 * NaN is returned. */
EBB_API double ebb_clip_grad_norm(ebb_params *p, double max_norm);
/* Clamps every element of every gradient to [-limit, limit]; NaN stays.  A limit that is not
 * positive is an error in the store. */
EBB_API bool ebb_clip_grad_value(ebb_params *p, double limit);

/* ---- Schedules (schedule.c) --------------------------------------------------------------------
 *
 * A schedule is a pure function of the step, counted from 0.  It returns a multiplier of the base
 * learning rate, so that schedules compose by multiplication:
 * 0.1 * ebb_schedule_warmup(i, 500) * ebb_schedule_cosine(i, 20000, 0).  A negative step counts as
 * 0; every and steps below 1 count as 1. */

/* gamma^floor(step/every) */
EBB_API double ebb_schedule_step(int64_t step, int64_t every, double gamma);
/* last + (1 - last)*(1 + cos(pi*min(step/steps, 1)))/2: from 1 to last (Loshchilov & Hutter 2017,
 * without restarts) */
EBB_API double ebb_schedule_cosine(int64_t step, int64_t steps, double last);
/* min((step + 1)/steps, 1) (Goyal et al. 2017) */
EBB_API double ebb_schedule_warmup(int64_t step, int64_t steps);
/* The multiplier rises from 1/start_div at step 0 to 1 at step warm*steps - 1, and falls to
 * 1/(start_div*end_div) at step steps - 1, each time along half a period of a cosine; after that it
 * is constant (Smith & Topin 2018; PyTorch's OneCycleLR).  An argument of 0 takes its default: warm
 * 0.3, start_div 25, end_div 1e4. */
EBB_API double ebb_schedule_one_cycle(
	int64_t step, int64_t steps, double warm, double start_div, double end_div);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_sgd(...) EBB_CALL_ARGS(ebb_sgd, ebb_sgd_args, __VA_ARGS__)
#define ebb_adam(...) EBB_CALL_ARGS(ebb_adam, ebb_adam_args, __VA_ARGS__)
#define ebb_adamw(...) EBB_CALL_ARGS(ebb_adamw, ebb_adam_args, __VA_ARGS__)
#define ebb_rmsprop(...) EBB_CALL_ARGS(ebb_rmsprop, ebb_rmsprop_args, __VA_ARGS__)
#define ebb_adagrad(...) EBB_CALL_ARGS(ebb_adagrad, ebb_adagrad_args, __VA_ARGS__)
#define ebb_lbfgs(...) EBB_CALL_ARGS(ebb_lbfgs, ebb_lbfgs_args, __VA_ARGS__)
#define ebb_ema(...) EBB_CALL_ARGS(ebb_ema, ebb_ema_args, __VA_ARGS__)
#define ebb_swa(...) EBB_CALL_ARGS(ebb_swa, ebb_swa_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
