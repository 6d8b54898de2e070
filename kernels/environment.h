/*
 * environment.h - the environment variables of the kernels.  0, NULL or EBB_CONV_BY_SHAPE: not
 * set, or invalid.
 */
#ifndef EBB_KERNELS_ENVIRONMENT_H
#define EBB_KERNELS_ENVIRONMENT_H

#include "kernels.h"

int ebb_environment_threads(void);
/* The name of an instruction set, which the processor or the build may lack. */
const char *ebb_environment_isa(void);
ebb_conv_choice ebb_environment_conv(void);
int ebb_environment_debug(void); /* EBB_DEBUG: 0 or 1; -1: not set */

#endif
