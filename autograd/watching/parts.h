/*
 * parts.h - for containers (ebb_sequential) that run several layers as one fused op: observers are
 * shown each part as the result of its layer's scope.
 */
#ifndef EBB_AUTOGRAD_WATCHING_PARTS_H
#define EBB_AUTOGRAD_WATCHING_PARTS_H

#include "autograd/autograd.h"

/* Announces that the next call of a fused op of n parts stands for n layers with scopes of their
 * own.  name[k] is the name of part k's scope, in the parent of the open scope; NULL: part k has no
 * scope.  When the open scope ends, observers are notified that these scopes end, each with the
 * value of its part, instead of the open scope.  n = 0 cancels the announcement.  True: an observer
 * wants these values, so that the call must not overwrite its inputs. */
bool ebb_name_parts(ebb_tape *t, int n, const char *const *name);

/* Notes for observers that the step of a container whose scope, inside the open scope, is called
 * name was added at the line added. */
void ebb_scope_step(ebb_tape *t, const char *name, const char *added);

/* Temporary tensors for a callback, in the list t->shown, which are freed when the callback has
 * returned.  Both have x's shape and type, and the memory order of like; the first has
 * uninitialised elements, the second x's elements.  NULL: no memory. */
ebb_tensor *ebb_shown_new(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like);
ebb_tensor *ebb_shown_copy(ebb_tape *t, const ebb_tensor *x, const ebb_tensor *like);
/* A struct for a callback with x's properties and x's memory.  NULL: no memory. */
ebb_tensor *ebb_shown_alias(ebb_tape *t, const ebb_tensor *x);
/* Frees all tensors of a list. */
void ebb_shown_free(ebb_tensor **list);
/* The value of part k, not the last one, of a call that has just run with the result y, as a
 * temporary tensor.  NULL: no memory, or an input was overwritten. */
ebb_tensor *ebb_part_of_call(ebb_call *c, int k, const ebb_tensor *y);

#endif
