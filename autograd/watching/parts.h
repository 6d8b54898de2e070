/*
 * parts.h - the parts of fused ops as results of scopes: for containers that run several of their
 * steps as one op.
 */
#ifndef EBB_AUTOGRAD_WATCHING_PARTS_H
#define EBB_AUTOGRAD_WATCHING_PARTS_H

#include "autograd/autograd.h"

/* The next call of a fused op of n parts stands for steps with scopes of their own: name[k] is
 * that of part k, beside the scope that the call is made in (NULL: none).  When that scope ends,
 * observers are told of these in its place, each with the value of its part.  n 0 ends it. 
 * True: an observer looks at them, so that the call must leave its inputs as they are. */
bool ebb_name_parts(ebb_tape *t, int n, const char *const *name);

/* What is shown to observers alone, in the list t->shown: x's shape and type in the memory order
 * of like, contents undefined; and a copy of x in that order.  NULL: no memory. */
ebb_tensor *ebb_shown_new(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like);
ebb_tensor *ebb_shown_copy(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like);
/* All of a list goes. */
void ebb_shown_free(ebb_tensor **list);
/* The value of part k, not the last, of a call with result y that has just run, shown; or NULL. */
ebb_tensor *ebb_part_of_call(ebb_call *c, int k, const ebb_tensor *y);

#endif
