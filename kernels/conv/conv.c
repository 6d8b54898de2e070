/*
 * conv.c - chooses the algorithm of a convolution.
 *
 * Depthwise convolutions have an algorithm of their own.  Other shapes use Winograd transforms
 * where these apply and cost less (winograd_wins), else the direct algorithm.  EBB_CONV in the
 * environment forces an algorithm for every shape that it supports.
 */
#include "kernels/conv/conv.h"

#include <string.h>

struct algorithm {
	size_t (*workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);
	void (*forward)(const ebb_conv_shape *s, const void *x, const void *w, const void *b,
		void *y, void *ws);
	void (*grad_input)(
		const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);
	void (*grad_weight)(
		const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws);
};

#define PASSES(name)                                                                               \
	EBB_NAME(name##_workspace), EBB_NAME(name##_forward), EBB_NAME(name##_grad_input),         \
		EBB_NAME(name##_grad_weight)
static const struct algorithm direct = {PASSES(direct)};
static const struct algorithm depthwise = {PASSES(depthwise)};
static const struct algorithm im2col = {PASSES(im2col)};
#if !EBB_F64
static const struct algorithm winograd = {PASSES(winograd)};
#endif

static const struct algorithm *algorithm_of(const ebb_conv_shape *s)
{
	ebb_conv_choice choice = ebb_conv_chosen();

	if (choice == EBB_CONV_IM2COL)
		return &im2col;
	if (ebb_is_depthwise(s))
		return &depthwise;
#if !EBB_F64
	if (choice != EBB_CONV_DIRECT && EBB_NAME(winograd_fits)(s) &&
		(choice == EBB_CONV_WINOGRAD || EBB_NAME(winograd_wins)(s)))
		return &winograd;
#endif
	return &direct;
}

EBB_DECLARE(conv_workspace);
size_t EBB_NAME(conv_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass)
{
	return ebb_is_empty(s) || ebb_is_blind(s) ? 0 : algorithm_of(s)->workspace(s, pass);
}

EBB_DECLARE(conv_forward);
void EBB_NAME(conv_forward)(
	const ebb_conv_shape *s, const void *x, const void *w, const void *b, void *y, void *ws)
{
	if (ebb_is_empty(s))
		return;
	if (!ebb_is_blind(s)) {
		algorithm_of(s)->forward(s, x, w, b, y, ws);
		return;
	}
	for (int64_t i = 0; i < s->n * s->oh * s->ow * s->o; i++)
		((real *)y)[i] = b ? ((const real *)b)[i % s->o] : 0;
}

EBB_DECLARE(conv_grad_input);
void EBB_NAME(conv_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws)
{
	int64_t size = s->n * s->h * s->w * s->c;

	if (size == 0)
		return;
	if (ebb_is_empty(s))
		memset(gx, 0, (size_t)size * sizeof(real));
	else
		algorithm_of(s)->grad_input(s, gy, w, gx, ws);
}

EBB_DECLARE(conv_grad_weight);
void EBB_NAME(conv_grad_weight)(
	const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws)
{
	int64_t size = s->o * (s->c / s->groups) * s->kh * s->kw;

	if (size == 0)
		return;
	if (ebb_is_empty(s) || ebb_is_blind(s))
		memset(gw, 0, (size_t)size * sizeof(real));
	else
		algorithm_of(s)->grad_weight(s, x, gy, gw, ws);
}
