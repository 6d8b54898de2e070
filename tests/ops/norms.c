/* norms.c - normalisation by sample, further losses, attention. */
#include "tests/ops/ops_test.h"

const entry norm_ops[] = {
	{.name = NULL},
};
