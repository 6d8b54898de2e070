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

/* y = exp(x)/sum exp(x) along the axis; y and its gradient are 0 where all x along the axis are
 * -infinity */
EBB_API ebb_tensor *ebb_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_softmax(...) EBB_CALL(ebb_softmax, __VA_ARGS__)
/* y = x - logsumexp(x) along the axis; where all x along the axis are -infinity, y is -infinity and
 * the gradient of x is the gradient of y */
EBB_API ebb_tensor *ebb_log_softmax(ebb_tape *t, ebb_tensor *x, int axis, const char *site);
#define ebb_log_softmax(...) EBB_CALL(ebb_log_softmax, __VA_ARGS__)

/* What a loss op returns: EBB_MEAN the mean of the losses, EBB_SUM_ALL their sum, EBB_NONE each
 * loss, EBB_BATCH_MEAN (ebb_kl_div only) the sum divided by the size of axis 0. */
typedef enum ebb_reduction { EBB_MEAN, EBB_SUM_ALL, EBB_NONE, EBB_BATCH_MEAN } ebb_reduction;

/* loss = -log softmax(x)[label] for x [N,C], [N,C,..] or [C].  target holds I64 labels [N,..] (a
 * scalar for x [C]), or soft targets of x's shape and type.
 * .weight [C] weighs the classes; the mean divides by the sum of the weights.
 * .label_smoothing e replaces target by (1 - e)*target + e/C.
 * .ignore_index: labels of this value are left out; -100 by default, EBB_ZERO for class 0.
 * A class whose target or weight is 0 contributes nothing to the loss or to its derivatives, even
 * where its logit is -infinity. */
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

/* loss = -x[label] for log-probabilities x [N,C], [N,C,..] or [C]; labels, .weight and
 * .ignore_index are those of ebb_cross_entropy.  Where the weight is 0, the loss and the
 * gradient are 0 for any x. */
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
/* loss = (x - target)^2; x and target have the same shape */
EBB_API ebb_tensor *ebb_mse_loss(const ebb_loss_args *a);
#define ebb_mse_loss(...) EBB_CALL_ARGS(ebb_mse_loss, ebb_loss_args, __VA_ARGS__)
/* loss = softplus(x) - x*target = -target*log sigmoid(x) - (1 - target)*log sigmoid(-x), computed
 * without cancellation; a term that is multiplied by 0 is 0, even if the logarithm is infinite.  x
 * and target have the same shape. */
EBB_API ebb_tensor *ebb_bce_with_logits(const ebb_loss_args *a);
#define ebb_bce_with_logits(...) EBB_CALL_ARGS(ebb_bce_with_logits, ebb_loss_args, __VA_ARGS__)

/* loss = |x - target|; x and target have the same shape; derivative 0 where they are equal */
EBB_API ebb_tensor *ebb_l1_loss(const ebb_loss_args *a);
#define ebb_l1_loss(...) EBB_CALL_ARGS(ebb_l1_loss, ebb_loss_args, __VA_ARGS__)
/* loss = d <= delta ? d^2/2 : delta*(d - delta/2) with d = |x - target|; delta > 0 defaults to 1; x
 * and target have the same shape.  Huber 1964 */
typedef struct ebb_huber_loss_args {
	ebb_tape *t;
	ebb_tensor *x, *target;
	double delta;
	ebb_reduction reduction;
	const char *site;
} ebb_huber_loss_args;
EBB_API ebb_tensor *ebb_huber_loss(const ebb_huber_loss_args *a);
#define ebb_huber_loss(...) EBB_CALL_ARGS(ebb_huber_loss, ebb_huber_loss_args, __VA_ARGS__)
/* loss = target*(log(target) - x), and 0 where target is 0; x holds log-probabilities.  With
 * .log_target the target holds logarithms too: loss = exp(target)*(target - x); where exp(target)
 * is 0, the loss and its derivative by target are 0.  x and target have the same shape. */
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
