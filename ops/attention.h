/*
 * attention.h - what attention.c and attention_composed.c share.
 */
#ifndef EBB_OPS_ATTENTION_H
#define EBB_OPS_ATTENTION_H

#include "ops/internal.h"

/* The attributes of an attention node.  dropout is 0 unless the tape trained. */
typedef struct ebb_attention_attrs {
	double scale, dropout;
	bool causal, grouped;
	int64_t past;
	ebb_random random;
} ebb_attention_attrs;

/* Gives the gradients of q, k, v and a real mask, composed of ops, with the matrix [..,L,S] in
 * memory: for derivatives of gradients, and for the gradient of a mask. */
void ebb_attention_composed_grad(ebb_vjp *v);

#endif
