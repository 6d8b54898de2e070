/* spatial.c - convolution, pooling and upsampling beyond conv2d. */
#include "tests/ops/ops_test.h"

const entry spatial_ops[] = {
	{.name = NULL},
};
