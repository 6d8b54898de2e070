/*
 * option.h - what an option that was left out means.  For every folder above, and installed
 * nowhere.
 */
#ifndef EBB_AUTOGRAD_OPTION_H
#define EBB_AUTOGRAD_OPTION_H

#include "tensor/tensor.h"

/* A number left out takes its default; EBB_ZERO is a real zero. */
static inline double ebb_option(double given, double standard)
{
	return given == 0 ? standard : given == EBB_ZERO ? 0 : given;
}

/* A count, of which 0 is no value. */
static inline int64_t ebb_option_count(int64_t given, int64_t standard)
{
	return given ? given : standard;
}

/* An option that is one number or one for each of height and width: which of both, where any of
 * them is not 0, else the single one, else the standard. */
static inline int64_t ebb_option_hw(int single, const int both[2], int which, int64_t standard)
{
	if (both[0] || both[1])
		return both[which];
	return ebb_option_count(single, standard);
}

#endif
