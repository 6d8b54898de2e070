/*
 * ops.h - the differentiable operations: all headers of ops/.
 *
 * Shapes are NCHW in reading order.  Every op returns a new tensor on the tape.  On failure it
 * returns NULL and the tape holds the error: a NULL tensor or one of another tape, types that
 * differ, shapes that do not fit, an axis out of range.  Every op is differentiable to any order
 * unless its comment says otherwise; the derivative of a piecewise-constant op is zero.
 * Broadcasting is NumPy's: axes are aligned from the last, and size 1 (or a missing axis)
 * stretches.  Semantics and defaults are PyTorch's.
 *
 * Each prototype is followed by the macro that C calls: EBB_CALL or EBB_CALL_ARGS (tensor.h) adds
 * the caller's file and line.
 */
#ifndef EBB_OPS_H
#define EBB_OPS_H

#include "arrays.h"
#include "elementwise.h"
#include "losses.h"
#include "norms.h"
#include "products.h"

#endif
