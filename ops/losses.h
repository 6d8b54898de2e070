/*
 * losses.h - softmax and losses.
 */
#ifndef EBB_OPS_LOSSES_H
#define EBB_OPS_LOSSES_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Softmax, losses (softmax.c, loss.c, cross_entropy.c) ------------------------------------ */

/* exp(x)/sum exp(x); 0, with a gradient of 0, where all of x along the axis is -inf */
EBB_API ebb_tensor *ebb_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_softmax(...) EBB_CALL(ebb_softmax, __VA_ARGS__)
/* x - logsumexp(x); -inf, with y's gradient passed on, where all of x along the axis is -inf */
EBB_API ebb_tensor *ebb_log_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_log_softmax(...) EBB_CALL(ebb_log_softmax, __VA_ARGS__)

/* EBB_BATCH_MEAN: the sum divided by the size of axis 0 (kl_div only) */
typedef enum ebb_reduction { EBB_MEAN, EBB_SUM_ALL, EBB_NONE, EBB_BATCH_MEAN } ebb_reduction;

/* -log softmax(x)[label] of x [N,C], [N,C,..] or [C]; target: I64 labels [N,..] (of x [C] a scalar),
 * or soft targets of x's shape and type. .weight [C] weighs classes (the mean divides by the weights' sum),
 * .label_smoothing e mixes in e/C of every class, .ignore_index (default -100; EBB_ZERO for
 * class 0) leaves labels out.  A class whose target or weight is 0 takes no part in the loss, nor in
 * its derivatives by a target where the logit is -inf. */
typedef struct ebb_cross_entropy_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_tensor *weight;
	double label_smoothing;
	double ignore_index;
	ebb_reduction reduction;
	const char *site;
} ebb_cross_entropy_args;
EBB_API ebb_tensor *ebb_cross_entropy(const ebb_cross_entropy_args *a);
#define ebb_cross_entropy(...) EBB_CALL_ARGS(ebb_cross_entropy, ebb_cross_entropy_args, __VA_ARGS__)

/* -x[label] of log-probabilities x [N,C], [N,C,..] or [C]; labels, .weight, .ignore_index as for
 * cross_entropy; a weight of 0 makes 0 of any x, and of its gradient */
typedef struct ebb_nll_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_tensor *weight;
	double ignore_index;
	ebb_reduction reduction;
	const char *site;
} ebb_nll_loss_args;
EBB_API ebb_tensor *ebb_nll_loss(const ebb_nll_loss_args *a);
#define ebb_nll_loss(...) EBB_CALL_ARGS(ebb_nll_loss, ebb_nll_loss_args, __VA_ARGS__)

typedef struct ebb_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	ebb_reduction reduction;
	const char *site;
} ebb_loss_args;
/* (x - target)^2; same shape */
EBB_API ebb_tensor *ebb_mse_loss(const ebb_loss_args *a);
#define ebb_mse_loss(...) EBB_CALL_ARGS(ebb_mse_loss, ebb_loss_args, __VA_ARGS__)
/* softplus(x) - x*target, to the last digit where that is small: -target*log sigmoid(x) - (1 -
 * target)*log sigmoid(-x), without a term whose factor is 0; same shape */
EBB_API ebb_tensor *ebb_bce_with_logits(const ebb_loss_args *a);
#define ebb_bce_with_logits(...) EBB_CALL_ARGS(ebb_bce_with_logits, ebb_loss_args, __VA_ARGS__)

/* |x - target|; same shape; derivative 0 where equal */
EBB_API ebb_tensor *ebb_l1_loss(const ebb_loss_args *a);
#define ebb_l1_loss(...) EBB_CALL_ARGS(ebb_l1_loss, ebb_loss_args, __VA_ARGS__)
/* d = |x - target|: d <= delta ? d^2/2 : delta*(d - delta/2); delta > 0 defaults to 1; same
 * shape.  Huber 1964 */
typedef struct ebb_huber_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	double delta;
	ebb_reduction reduction;
	const char *site;
} ebb_huber_loss_args;
EBB_API ebb_tensor *ebb_huber_loss(const ebb_huber_loss_args *a);
#define ebb_huber_loss(...) EBB_CALL_ARGS(ebb_huber_loss, ebb_huber_loss_args, __VA_ARGS__)
/* target*(log target - x), x log-probabilities, 0 where target is 0; with .log_target the target
 * holds logarithms too: exp(target)*(target - x), 0 where exp(target) is 0; there the derivative by the
 * target is given as 0.  Same shape. */
typedef struct ebb_kl_div_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	bool log_target;
	ebb_reduction reduction;
	const char *site;
} ebb_kl_div_args;
EBB_API ebb_tensor *ebb_kl_div(const ebb_kl_div_args *a);
#define ebb_kl_div(...) EBB_CALL_ARGS(ebb_kl_div, ebb_kl_div_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
