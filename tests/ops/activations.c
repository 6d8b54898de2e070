/* activations.c - activation functions and exponentials. */
#include "tests/ops/ops_test.h"

const entry activation_ops[] = {
	{.name = NULL},
};
