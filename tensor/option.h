/*
 * option.h - the defaults of options that are left out, for all folders.  Not installed.
 */
#ifndef EBB_AUTOGRAD_OPTION_H
#define EBB_AUTOGRAD_OPTION_H

#include "tensor/tensor.h"

/* The number, or its default if it is 0 (left out).  EBB_ZERO is the number 0. */
static inline double ebb_option(double given, double standard)
{
	return given == 0 ? standard : given == EBB_ZERO ? 0 : given;
}

/* The same for a count, which is never 0. */
static inline int64_t ebb_option_count(int64_t given, int64_t standard)
{
	return given ? given : standard;
}

/* An option that is one number (single), or one each for height and width (both[0], both[1]):
 * both[which] if either of both is not 0, else single, else the default. */
static inline int64_t ebb_option_hw(int single, const int both[2], int which, int64_t standard)
{
	if (both[0] || both[1])
		return both[which];
	return ebb_option_count(single, standard);
}

#endif
