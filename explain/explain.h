/*
 * explain.h - what a trained network reads in its input: attributions (attribution.h) and
 * adversarial examples (adversarial.h).
 */
#ifndef EBB_EXPLAIN_H
#define EBB_EXPLAIN_H

#include "adversarial.h"
#include "attribution.h"

#endif
