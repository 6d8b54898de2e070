/*
 * network.h - a network as a function of its input, as attributions and adversarial examples take it.
 */
#ifndef EBB_EXPLAIN_NETWORK_H
#define EBB_EXPLAIN_NETWORK_H

#include "../autograd/autograd.h"

/* A network: scores [N,classes] (logits) of x [N,...], of x's type.  The rows of the result must
 * depend on the same rows of x only.  The functions of this folder call it several times, in
 * evaluation mode (ebb_set_training), and afterwards restore the tape's modes and rewind what they
 * have recorded.  It returns NULL, or fails the tape, on failure. */
typedef ebb_tensor *(*ebb_network_fn)(ebb_tape *t, ebb_tensor *x, void *ctx);

#endif
